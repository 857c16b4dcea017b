/* SPDX-License-Identifier: Apache-2.0 */
/* From JSON to message, by yajl's callbacks: each value goes straight into its field. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "base/assert.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/plant.h"
#include "engine/rpc/pbjson.h"

#define FIELDS_MAX       64u /* of one message: a bit each */
#define NUMBER_BYTES_MAX 64u /* as text; more digits than any 64-bit number has */
#define ARRAY_FIRST      4u
#define QUOTE_MAX        60 /* of a wrong value, in the error's text */

/* An object that is open. field is the one whose value comes next, NULL: skip it. */
struct frame {
    ProtobufCMessage *message;
    const ProtobufCFieldDescriptor *field;
    uint64_t seen;
    bool in_array; /* of field */
};

struct reader {
    const ProtobufCMessageDescriptor *descriptor;
    struct arena *arena;
    struct frame frames[PBJSON_DEPTH_MAX];
    size_t depth;
    size_t skipping; /* containers open inside of a value that is skipped */
    ProtobufCMessage *root;
    yajl_handle yajl;
    struct bytes text;
    struct err *err;
    int code;
};

/* Notes what is wrong where; token_bytes before the place where yajl is. Gives 0, to stop it. */
BASE_PRINTF(3, 4)
static int fail(struct reader *reader, size_t token_bytes, const char *format, ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    size_t end = yajl_get_bytes_consumed(reader->yajl);
    size_t at = end >= token_bytes ? end - token_bytes : 0;
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < at && i < reader->text.size; i++) {
        line += reader->text.data[i] == '\n' ? 1 : 0;
        column = reader->text.data[i] == '\n' ? 1 : column + 1;
    }
    reader->code = err_set(reader->err, E_INVALID, "proto: (line %zu:%zu): %s", line, column, what);
    return 0;
}

static int no_memory(struct reader *reader)
{
    reader->code = err_set(reader->err, E_TOO_BIG, "proto: the message takes too much memory");
    return 0;
}

static struct frame *top(struct reader *reader)
{
    return reader->depth == 0 ? NULL : &reader->frames[reader->depth - 1];
}

/* True when the value that begins now is of no interest. */
static bool is_skipped(struct reader *reader)
{
    return reader->skipping > 0 || (reader->depth > 0 && top(reader)->field == NULL);
}

/* A place for one more element of a repeated field; NULL past the arena's limit. */
static void *array_grow(struct reader *reader, uint8_t *base, const ProtobufCFieldDescriptor *field)
{
    size_t *count = (size_t *)(void *)(base + field->quantifier_offset);
    uint8_t **items = (uint8_t **)(void *)(base + field->offset);
    size_t size = pbjson_element_size(field->type);
    bool full = *count == 0 || (*count >= ARRAY_FIRST && (*count & (*count - 1)) == 0);
    if (full) {
        size_t room = *count == 0 ? ARRAY_FIRST : *count * 2;
        uint8_t *larger = arena_alloc(reader->arena, room * size);
        if (larger == NULL) {
            return NULL;
        }
        if (*count > 0) {
            memcpy(larger, *items, *count * size);
        }
        *items = larger;
    }
    return *items + (*count)++ * size;
}

/*
 * The place of the value that has come, in the field that waits for one. NULL: refused, or no
 * memory.
 */
static void *value_place(struct reader *reader, size_t token_bytes)
{
    struct frame *frame = top(reader);
    const ProtobufCFieldDescriptor *field = frame->field;
    uint8_t *base = (uint8_t *)frame->message;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        if (!frame->in_array) {
            fail(reader, token_bytes, "invalid value for repeated field %s", field->name);
            return NULL;
        }
        void *place = array_grow(reader, base, field);
        if (place == NULL) {
            no_memory(reader);
        }
        return place;
    }
    void *quantifier = base + field->quantifier_offset;
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        *(uint32_t *)quantifier = field->id;
    } else if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING &&
               field->type != PROTOBUF_C_TYPE_MESSAGE) {
        *(protobuf_c_boolean *)quantifier = 1;
    }
    return base + field->offset;
}

/* ---- values ---- */

static const char *type_name(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return "int64";
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return "uint64";
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return "uint32";
    case PROTOBUF_C_TYPE_BOOL:
        return "bool";
    case PROTOBUF_C_TYPE_ENUM:
        return "enum";
    case PROTOBUF_C_TYPE_STRING:
        return "string";
    case PROTOBUF_C_TYPE_BYTES:
        return "bytes";
    case PROTOBUF_C_TYPE_MESSAGE:
        return "message";
    case PROTOBUF_C_TYPE_FLOAT:
        return "float";
    case PROTOBUF_C_TYPE_DOUBLE:
        return "double";
    default:
        return "int32";
    }
}

static int wrong_value(struct reader *reader, const char *text, size_t size, bool quoted)
{
    const ProtobufCFieldDescriptor *field = top(reader)->field;
    int shown = size > QUOTE_MAX ? QUOTE_MAX : (int)size;
    const char *quote = quoted ? "\"" : "";
    return fail(reader, size + (quoted ? 2 : 0), "invalid value for %s field %s: %s%.*s%s",
                type_name(field->type), field->name, quote, shown, text, quote);
}

/* An integer as protojson takes it: also 1e3 and 2.0, if nothing is lost. */
static bool parse_integer(const char *text, size_t size, bool is_signed, uint64_t *out_value)
{
    char copy[NUMBER_BYTES_MAX];
    char *end;
    if (size == 0 || size >= sizeof(copy) || (text[0] != '-' && (text[0] < '0' || text[0] > '9'))) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    errno = 0;
    bool negative = copy[0] == '-';
    if (strpbrk(copy, ".eE") != NULL) {
        long double number = strtold(copy, &end);
        long double low = is_signed ? -0x1p63L : 0;
        long double high = is_signed ? 0x1p63L : 0x1p64L;
        if (*end != '\0' || !(number >= low) || !(number < high)) {
            return false;
        }
        *out_value = number < 0 ? (uint64_t)(int64_t)number : (uint64_t)number;
        return (is_signed ? (long double)(int64_t)*out_value : (long double)*out_value) == number;
    }
    if (is_signed) {
        *out_value = (uint64_t)strtoll(copy, &end, 10);
    } else {
        *out_value = strtoull(copy, &end, 10);
        if (negative && *out_value != 0) {
            return false;
        }
    }
    return *end == '\0' && errno == 0;
}

static bool store_integer(const ProtobufCFieldDescriptor *field, void *place, const char *text,
                          size_t size)
{
    uint64_t value;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: {
        bool is_signed =
            field->type != PROTOBUF_C_TYPE_UINT64 && field->type != PROTOBUF_C_TYPE_FIXED64;
        if (!parse_integer(text, size, is_signed, &value)) {
            return false;
        }
        *(uint64_t *)place = value;
        return true;
    }
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        if (!parse_integer(text, size, false, &value) || value > UINT32_MAX) {
            return false;
        }
        *(uint32_t *)place = (uint32_t)value;
        return true;
    default:
        if (!parse_integer(text, size, true, &value) || (int64_t)value > INT32_MAX ||
            (int64_t)value < INT32_MIN) {
            return false;
        }
        *(int32_t *)place = (int32_t)(int64_t)value;
        return true;
    }
}

static bool store_float(const ProtobufCFieldDescriptor *field, void *place, const char *text,
                        size_t size)
{
    char copy[NUMBER_BYTES_MAX];
    char *end;
    if (size == 0 || size >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    double value = strtod(copy, &end);
    if (*end != '\0') {
        return false;
    }
    if (field->type == PROTOBUF_C_TYPE_FLOAT) {
        *(float *)place = (float)value;
    } else {
        *(double *)place = value;
    }
    return true;
}

static bool is_number_type(ProtobufCType type)
{
    return type != PROTOBUF_C_TYPE_BOOL && type != PROTOBUF_C_TYPE_STRING &&
           type != PROTOBUF_C_TYPE_BYTES && type != PROTOBUF_C_TYPE_MESSAGE;
}

static bool store_number(const ProtobufCFieldDescriptor *field, void *place, const char *text,
                         size_t size)
{
    bool floats = field->type == PROTOBUF_C_TYPE_FLOAT || field->type == PROTOBUF_C_TYPE_DOUBLE;
    return floats ? store_float(field, place, text, size) : store_integer(field, place, text, size);
}

/*
 * Standard or URL alphabet, not mixed; padded when the text's length is a multiple of four, else
 * without, as Go's protojson does. False: it is no base64.
 */
static bool decode_base64(struct bytes text, uint8_t *out, size_t *out_size)
{
    bool url =
        memchr(text.data, '-', text.size) != NULL || memchr(text.data, '_', text.size) != NULL;
    unsigned form = BASE64_LINES | (url ? BASE64_URL : 0u);
    return base64_decode(text, form | (text.size % 4 == 0 ? BASE64_PADDED : 0u), out, out_size);
}

static int store_bytes(struct reader *reader, const uint8_t *text, size_t size)
{
    uint8_t *data = NULL;
    size_t decoded = 0;
    if (size > 0) {
        data = arena_alloc(reader->arena, BASE64_DECODED_MAX(size));
        if (data == NULL) {
            return no_memory(reader);
        }
        if (!decode_base64(bytes_of(text, size), data, &decoded)) {
            return wrong_value(reader, (const char *)text, size, true);
        }
    }
    ProtobufCBinaryData *place = value_place(reader, size + 2);
    if (place == NULL) {
        return 0;
    }
    *place = (ProtobufCBinaryData){decoded, data};
    return 1;
}

static int store_string(struct reader *reader, const uint8_t *text, size_t size)
{
    if (memchr(text, 0, size) != NULL) {
        return fail(reader, size + 2, "a NUL in string field %s", top(reader)->field->name);
    }
    if (!json_is_utf8(text, size)) { /* yajl makes three bytes of half a pair of surrogates */
        return fail(reader, size + 2, "invalid escape code in string field %s",
                    top(reader)->field->name);
    }
    char *copy = arena_alloc(reader->arena, size + 1);
    if (copy == NULL) {
        return no_memory(reader);
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    char **place = value_place(reader, size + 2);
    if (place == NULL) {
        return 0;
    }
    *place = copy;
    return 1;
}

/* A name that the enum does not have leaves the field as it is. */
static int store_enum_name(struct reader *reader, const uint8_t *text, size_t size)
{
    const ProtobufCEnumDescriptor *names = top(reader)->field->descriptor;
    for (unsigned i = 0; i < names->n_values; i++) {
        const char *name = names->values[i].name;
        if (strlen(name) == size && memcmp(name, text, size) == 0) {
            int32_t *place = value_place(reader, size + 2);
            if (place == NULL) {
                return 0;
            }
            *place = names->values[i].value;
            return 1;
        }
    }
    return 1;
}

/* ---- yajl's callbacks ---- */

static bool needs_object(struct reader *reader)
{
    return reader->depth == 0;
}

static int not_an_object(struct reader *reader, size_t token_bytes)
{
    return fail(reader, token_bytes, "unexpected token, an object is expected");
}

static int on_string(void *ctx, const unsigned char *text, size_t size)
{
    struct reader *reader = ctx;
    if (is_skipped(reader)) {
        return 1;
    }
    if (needs_object(reader)) {
        return not_an_object(reader, size + 2);
    }
    const ProtobufCFieldDescriptor *field = top(reader)->field;
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        return store_bytes(reader, text, size);
    }
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        return store_string(reader, text, size);
    }
    if (field->type == PROTOBUF_C_TYPE_ENUM) {
        return store_enum_name(reader, text, size);
    }
    bool in_string = field->type != PROTOBUF_C_TYPE_BOOL && is_number_type(field->type);
    uint64_t scratch;
    if (!in_string || !store_number(field, &scratch, (const char *)text, size)) {
        return wrong_value(reader, (const char *)text, size, true);
    }
    void *place = value_place(reader, size + 2);
    return place != NULL && store_number(field, place, (const char *)text, size);
}

static int on_number(void *ctx, const char *text, size_t size)
{
    struct reader *reader = ctx;
    uint64_t scratch;
    if (is_skipped(reader)) {
        return 1;
    }
    if (needs_object(reader)) {
        return not_an_object(reader, size);
    }
    const ProtobufCFieldDescriptor *field = top(reader)->field;
    if (!is_number_type(field->type) || !store_number(field, &scratch, text, size)) {
        return wrong_value(reader, text, size, false);
    }
    void *place = value_place(reader, size);
    return place != NULL && store_number(field, place, text, size);
}

static int on_boolean(void *ctx, int value)
{
    struct reader *reader = ctx;
    const char *text = value ? "true" : "false";
    if (is_skipped(reader)) {
        return 1;
    }
    if (needs_object(reader)) {
        return not_an_object(reader, strlen(text));
    }
    if (top(reader)->field->type != PROTOBUF_C_TYPE_BOOL) {
        return wrong_value(reader, text, strlen(text), false);
    }
    protobuf_c_boolean *place = value_place(reader, strlen(text));
    if (place == NULL) {
        return 0;
    }
    *place = value != 0;
    return 1;
}

/* For a field the same as its absence; as an element, wrong. */
static int on_null(void *ctx)
{
    struct reader *reader = ctx;
    if (is_skipped(reader)) {
        return 1;
    }
    if (needs_object(reader)) {
        return not_an_object(reader, 4);
    }
    return top(reader)->in_array ? wrong_value(reader, "null", 4, false) : 1;
}

static int too_deep(struct reader *reader)
{
    return fail(reader, 1, "exceeded max recursion depth");
}

static int on_start_map(void *ctx)
{
    struct reader *reader = ctx;
    const ProtobufCMessageDescriptor *descriptor = reader->descriptor;
    if (reader->depth + reader->skipping >= PBJSON_DEPTH_MAX) {
        return too_deep(reader);
    }
    if (is_skipped(reader)) {
        reader->skipping++;
        return 1;
    }
    ProtobufCMessage **place = &reader->root;
    if (reader->depth > 0) {
        const ProtobufCFieldDescriptor *field = top(reader)->field;
        if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
            return wrong_value(reader, "{", 1, false);
        }
        descriptor = field->descriptor;
        place = NULL;
    }
    ProtobufCMessage *message = arena_alloc(reader->arena, descriptor->sizeof_message);
    if (message == NULL) {
        return no_memory(reader);
    }
    protobuf_c_message_init(descriptor, message);
    if (place == NULL) {
        place = value_place(reader, 1);
        if (place == NULL) {
            return 0;
        }
    }
    *place = message;
    ASSERT(descriptor->n_fields <= FIELDS_MAX);
    reader->frames[reader->depth++] = (struct frame){.message = message};
    return 1;
}

/* Whether text is field's name, or the same in camel case. */
static bool is_name_of(const char *name, const char *text, size_t size)
{
    size_t at = 0;
    if (strlen(name) == size && memcmp(name, text, size) == 0) {
        return true;
    }
    for (const char *c = name; *c != '\0'; c++) {
        char expected = *c;
        if (expected == '_') {
            expected = *++c;
            if (expected >= 'a' && expected <= 'z') {
                expected = (char)(expected - 'a' + 'A');
            }
            if (expected == '\0') {
                break;
            }
        }
        if (at == size || text[at++] != expected) {
            return false;
        }
    }
    return at == size;
}

static bool oneof_is_taken(const struct frame *frame, const ProtobufCFieldDescriptor *field)
{
    const void *number = (const uint8_t *)frame->message + field->quantifier_offset;
    return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 && *(const uint32_t *)number != 0;
}

static int on_map_key(void *ctx, const unsigned char *text, size_t size)
{
    struct reader *reader = ctx;
    struct frame *frame = top(reader);
    if (reader->skipping > 0) {
        return 1;
    }
    const ProtobufCMessageDescriptor *descriptor = frame->message->descriptor;
    frame->field = NULL;
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        if (!is_name_of(field->name, (const char *)text, size)) {
            continue;
        }
        if ((frame->seen & 1ull << i) != 0) {
            return fail(reader, size + 2, "duplicate field \"%s\"", field->name);
        }
        if (oneof_is_taken(frame, field)) {
            return fail(reader, size + 2, "error parsing \"%s\", a oneof of %s is already set",
                        field->name, descriptor->name);
        }
        frame->seen |= 1ull << i;
        frame->field = field;
        return 1;
    }
    return 1;
}

static int on_end_map(void *ctx)
{
    struct reader *reader = ctx;
    if (reader->skipping > 0) {
        reader->skipping--;
    } else {
        reader->depth--;
    }
    return 1;
}

static int on_start_array(void *ctx)
{
    struct reader *reader = ctx;
    if (reader->depth + reader->skipping >= PBJSON_DEPTH_MAX) {
        return too_deep(reader);
    }
    if (is_skipped(reader)) {
        reader->skipping++;
        return 1;
    }
    if (needs_object(reader)) {
        return not_an_object(reader, 1);
    }
    struct frame *frame = top(reader);
    if (frame->in_array || frame->field->label != PROTOBUF_C_LABEL_REPEATED) {
        return wrong_value(reader, "[", 1, false);
    }
    frame->in_array = true;
    return 1;
}

static int on_end_array(void *ctx)
{
    struct reader *reader = ctx;
    if (reader->skipping > 0) {
        reader->skipping--;
    } else {
        top(reader)->in_array = false;
    }
    return 1;
}

static const yajl_callbacks CALLBACKS = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_start_map,
    .yajl_map_key = on_map_key,
    .yajl_end_map = on_end_map,
    .yajl_start_array = on_start_array,
    .yajl_end_array = on_end_array,
};

static bool is_blank(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (memchr(" \t\r\n", text.data[i], 4) == NULL) {
            return false;
        }
    }
    return true;
}

/* What yajl says is for people who look at the text; that the text ended is said as Go says it. */
static int syntax_error(struct reader *reader, yajl_status status)
{
    if (reader->code != 0) {
        return reader->code;
    }
    if (status == yajl_status_ok) {
        return err_set(reader->err, E_INVALID, "unexpected EOF");
    }
    (void)fail(reader, 0, "syntax error: the text is no JSON");
    return reader->code;
}

int pbjson_read(const ProtobufCMessageDescriptor *descriptor, struct bytes text,
                struct arena *arena, ProtobufCMessage **out_message, struct err *err)
{
    struct pbjson_scan scan = {0};
    struct reader reader = {.descriptor = descriptor, .arena = arena, .text = text, .err = err};
    if (is_blank(text)) {
        ProtobufCMessage *empty = arena_alloc(arena, descriptor->sizeof_message);
        if (empty == NULL) {
            no_memory(&reader);
            return reader.code;
        }
        protobuf_c_message_init(descriptor, empty);
        *out_message = empty;
        return 0;
    }
    size_t size = pbjson_scan(&scan, text);
    reader.yajl = yajl_alloc(&CALLBACKS, NULL, &reader);
    ASSERT(reader.yajl != NULL);
    yajl_status status = yajl_parse(reader.yajl, text.data, size == 0 ? text.size : size);
    bool is_whole = status == yajl_status_ok && reader.root != NULL && reader.depth == 0;
    if (is_whole) {
        status = yajl_complete_parse(reader.yajl);
        is_whole = status == yajl_status_ok;
    }
    int rc = is_whole ? 0 : syntax_error(&reader, status);
    yajl_free(reader.yajl);
    if (rc == 0) {
        *out_message = reader.root;
    }
    return rc;
}

size_t pbjson_scan(struct pbjson_scan *scan, struct bytes buffer)
{
    while (scan->at < buffer.size) {
        uint8_t c = buffer.data[scan->at++];
        if (scan->in_string) {
            if (scan->escaped) {
                scan->escaped = false;
            } else if (c == '\\') {
                scan->escaped = true;
            } else if (c == '"') {
                scan->in_string = false;
            }
        } else if (c == '"') {
            scan->in_string = true;
            scan->began = true;
        } else if (c == '{' || c == '[') {
            scan->depth++;
            scan->began = true;
        } else if ((c == '}' || c == ']') && scan->depth > 0) {
            scan->depth--;
        } else if (memchr(" \t\r\n", c, 4) != NULL) {
            if (!scan->began || scan->depth > 0) {
                continue;
            }
        } else {
            scan->began = true;
            continue; /* inside of an object, or a bare word: its end is a space */
        }
        if (scan->began && scan->depth == 0 && !scan->in_string) {
            size_t size = scan->at;
            *scan = (struct pbjson_scan){0};
            return size;
        }
    }
    return 0;
}
