/* SPDX-License-Identifier: Apache-2.0 */
/* A protobuf reader that is driven by the schemas of types.h and the field numbers of proto_core.c.
 */
#include "proto.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "meta.h"
#include "schema.h"
#include "types.h"

#define DEPTH_MAX 40u

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Fields of runtime.Unknown and runtime.TypeMeta. */
enum { UNKNOWN_TYPE_META = 1, UNKNOWN_RAW = 2, TYPE_META_API_VERSION = 1, TYPE_META_KIND = 2 };

static const uint8_t MAGIC[] = {'k', '8', 's', 0};

/* Zero is a wish of its own in these (they are pointers in the API's types). */
static const char *const ZERO_COUNTS[] = {
    "replicas",
    "parallelism",
    "completions",
    "backoffLimit",
    "gracePeriodSeconds",
    "terminationGracePeriodSeconds",
    "enableServiceLinks",
    "minAvailable",
    "ttlSecondsAfterFinished",
    "maxUnavailable",
    "automountServiceAccountToken",
};

static const char *const EMPTY_COUNTS[] = {"emptyDir", "selector"};

struct field {
    uint32_t number;
    unsigned wire;
    uint64_t value;
    struct bytes bytes;
};

bool proto_is_envelope(struct bytes body)
{
    return body.size >= sizeof(MAGIC) && memcmp(body.data, MAGIC, sizeof(MAGIC)) == 0;
}

static bool take_varint(struct bytes *in, uint64_t *out_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && in->size > 0; shift += 7) {
        uint8_t byte = *in->data;
        in->data++;
        in->size--;
        value |= (uint64_t)(byte & 0x7fu) << shift;
        if (byte < 0x80u) {
            *out_value = value;
            return true;
        }
    }
    return false;
}

static bool take_run(struct bytes *in, uint64_t size, struct bytes *out)
{
    if (size > in->size) {
        return false;
    }
    *out = bytes_of(in->data, (size_t)size);
    in->data += size;
    in->size -= (size_t)size;
    return true;
}

static bool take_field(struct bytes *in, struct field *out_field)
{
    uint64_t tag;
    struct bytes skipped;
    memset(out_field, 0, sizeof(*out_field));
    if (!take_varint(in, &tag) || tag >> 3 > UINT32_MAX) {
        return false;
    }
    out_field->number = (uint32_t)(tag >> 3);
    out_field->wire = (unsigned)(tag & 7u);
    switch (out_field->wire) {
    case WIRE_VARINT:
        return take_varint(in, &out_field->value);
    case WIRE_BYTES:
        return take_varint(in, &out_field->value) &&
               take_run(in, out_field->value, &out_field->bytes);
    case WIRE_FIXED64:
        return take_run(in, 8, &skipped);
    case WIRE_FIXED32:
        return take_run(in, 4, &skipped);
    default:
        return false;
    }
}

/* True when a message holds nothing but zeros and empty messages. */
static bool is_hollow(struct bytes message)
{
    struct field field;
    while (message.size > 0) {
        if (!take_field(&message, &field)) {
            return false;
        }
        bool is_zero = field.wire == WIRE_VARINT ? field.value == 0 : is_hollow(field.bytes);
        if (!is_zero) {
            return false;
        }
    }
    return true;
}

static struct bytes find_bytes(struct bytes message, uint32_t number)
{
    struct field field;
    while (message.size > 0 && take_field(&message, &field)) {
        if (field.number == number && field.wire == WIRE_BYTES) {
            return field.bytes;
        }
    }
    return bytes_of(NULL, 0);
}

static uint64_t find_number(struct bytes message, uint32_t number)
{
    struct field field;
    while (message.size > 0 && take_field(&message, &field)) {
        if (field.number == number && field.wire == WIRE_VARINT) {
            return field.value;
        }
    }
    return 0;
}

/* The name of field number in a row's list; gives it (mem_free), or NULL. */
static char *field_name(const struct proto_row *row, uint32_t number)
{
    const char *at = row->numbers;
    while (*at != '\0') {
        size_t size = strcspn(at, " ");
        const char *equals = memchr(at, '=', size);
        if (equals != NULL && strtoul(equals + 1, NULL, 10) == number) {
            return str_from(at, (size_t)(equals - at));
        }
        at += size;
        at += strspn(at, " ");
    }
    return NULL;
}

static const struct proto_row *find_row(const char *name)
{
    for (size_t i = 0; i < PROTO_ROW_COUNT; i++) {
        if (strcmp(PROTO_ROWS[i].name, name) == 0) {
            return &PROTO_ROWS[i];
        }
    }
    return NULL;
}

static struct json *decode_message(struct bytes message, const char *type, unsigned depth,
                                   struct err *err);

/* The plain name of a "$ref" made with an empty prefix: what follows the last dot. */
static const char *referred(const struct json *schema)
{
    const char *reference = json_path_str(schema, "$ref", NULL);
    const char *dot = reference == NULL ? NULL : strrchr(reference, '.');
    return dot == NULL ? NULL : dot + 1;
}

/* Quantity {1: text} and IntOrString {1: is a text, 2: number, 3: text}: told apart by their wire.
 */
static struct json *decode_either(struct bytes message)
{
    struct field field;
    struct bytes copy = message;
    if (copy.size > 0 && take_field(&copy, &field) && field.number == 1 &&
        field.wire == WIRE_BYTES) {
        return json_string_n((const char *)field.bytes.data, field.bytes.size);
    }
    if (find_number(message, 1) == 0) {
        return json_int((int64_t)(int32_t)find_number(message, 2));
    }
    struct bytes text = find_bytes(message, 3);
    return json_string_n((const char *)text.data, text.size);
}

static struct json *decode_time(struct bytes message)
{
    char text[META_TIME_SIZE];
    uint64_t seconds = find_number(message, 1);
    if (seconds == 0) {
        return json_string("");
    }
    meta_time((int64_t)seconds, text);
    return json_string(text);
}

static struct json *decode_value(const struct field *field, const struct json *schema,
                                 unsigned depth, struct err *err)
{
    const char *reference = referred(schema);
    const char *type = json_path_str(schema, "type", "");
    const char *format = json_path_str(schema, "format", "");
    if (reference != NULL) {
        return decode_message(field->bytes, reference, depth + 1, err);
    }
    if (json_path_truth(schema, "x-kubernetes-int-or-string", false)) {
        return decode_either(field->bytes);
    }
    if (strcmp(type, "boolean") == 0) {
        return json_bool(field->value != 0);
    }
    if (strcmp(type, "integer") == 0) {
        return json_int((int64_t)field->value);
    }
    if (strcmp(format, "date-time") == 0) {
        return decode_time(field->bytes);
    }
    if (strcmp(format, "byte") == 0) {
        char *text = base64_text(field->bytes);
        struct json *value = json_string(text);
        mem_free(text);
        return value;
    }
    if (strcmp(type, "string") == 0) {
        return json_string_n((const char *)field->bytes.data, field->bytes.size);
    }
    if (is_hollow(field->bytes)) {
        return json_object();
    }
    err_set(err, E_UNSUPPORTED, "a part of the object is known only in its JSON form");
    return NULL;
}

static bool is_in(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_absent(const char *name, const struct json *value)
{
    switch (json_type_of(value)) {
    case JSON_STRING:
        return json_str_size(value) == 0;
    case JSON_INT:
        return json_i64(value, 0) == 0 && !is_in(name, ZERO_COUNTS, ARRAY_COUNT(ZERO_COUNTS));
    case JSON_BOOL:
        return !json_truth(value, false) && !is_in(name, ZERO_COUNTS, ARRAY_COUNT(ZERO_COUNTS));
    case JSON_OBJECT:
        return json_count(value) == 0 && !is_in(name, EMPTY_COUNTS, ARRAY_COUNT(EMPTY_COUNTS));
    case JSON_NULL:
    case JSON_NUMBER:
    case JSON_ARRAY:
        break;
    }
    return false;
}

static int decode_map_entry(struct json *object, const char *name, const struct field *field,
                            const struct json *schema, unsigned depth, struct err *err)
{
    struct bytes key = find_bytes(field->bytes, 1);
    struct field value = {.number = 2, .wire = WIRE_BYTES, .bytes = find_bytes(field->bytes, 2)};
    struct json *decoded =
        decode_value(&value, json_get(schema, "additionalProperties"), depth, err);
    if (decoded == NULL) {
        return E_UNSUPPORTED;
    }
    char *key_text = str_from(key.data, key.size);
    json_set(json_ensure_object(object, name), key_text, decoded);
    mem_free(key_text);
    return 0;
}

static int decode_field(struct json *object, const char *name, const struct field *field,
                        const struct json *schema, unsigned depth, struct err *err)
{
    if (json_get(schema, "additionalProperties") != NULL) {
        return decode_map_entry(object, name, field, schema, depth, err);
    }
    const struct json *items = schema_items(schema);
    struct json *value = decode_value(field, items != NULL ? items : schema, depth, err);
    if (value == NULL) {
        return E_UNSUPPORTED;
    }
    if (items != NULL) {
        json_append(json_ensure_array(object, name), value);
    } else if (is_absent(name, value)) {
        json_free(value);
    } else {
        json_set(object, name, value);
    }
    return 0;
}

static int decode_fields(struct bytes message, const struct proto_row *row,
                         const struct json *schema, unsigned depth, struct json *object,
                         struct err *err)
{
    struct field field;
    int rc = 0;
    while (message.size > 0 && rc == 0) {
        if (!take_field(&message, &field)) {
            return err_set(err, E_INVALID, "broken protobuf in %s", row->name);
        }
        char *name = field_name(row, field.number);
        bool is_empty = field.wire == WIRE_VARINT ? field.value == 0 : is_hollow(field.bytes);
        const struct json *kind = name == NULL ? NULL : schema_field(schema, name);
        if (kind != NULL) {
            rc = decode_field(object, name, &field, kind, depth, err);
        } else if (!is_empty) {
            rc = err_set(err, E_UNSUPPORTED, "field %u of %s is known only in its JSON form",
                         field.number, row->name);
        }
        mem_free(name);
    }
    return rc;
}

static struct json *decode_message(struct bytes message, const char *type, unsigned depth,
                                   struct err *err)
{
    const struct proto_row *row = find_row(type);
    const struct type_row *type_row = types_find(type);
    if (row == NULL || type_row == NULL || depth > DEPTH_MAX) {
        err_set(err, E_UNSUPPORTED, "%s is known only in its JSON form", type);
        return NULL;
    }
    struct json *schema = types_schema(type_row, "");
    struct json *object = json_object();
    int rc = decode_fields(message, row, schema, depth, object, err);
    json_free(schema);
    if (rc != 0) {
        json_free(object);
        return NULL;
    }
    return object;
}

struct json *proto_decode(struct bytes body, struct err *err)
{
    struct bytes unknown = bytes_of(body.data + sizeof(MAGIC), body.size - sizeof(MAGIC));
    struct bytes type_meta = find_bytes(unknown, UNKNOWN_TYPE_META);
    struct bytes api_version = find_bytes(type_meta, TYPE_META_API_VERSION);
    struct bytes kind = find_bytes(type_meta, TYPE_META_KIND);
    char *type = str_from(kind.data, kind.size);
    char *version = str_from(api_version.data, api_version.size);
    bool is_modern_event = strcmp(type, "Event") == 0 && strncmp(version, "events", 6) == 0;
    struct json *object = decode_message(find_bytes(unknown, UNKNOWN_RAW),
                                         is_modern_event ? "EventV1" : type, 0, err);
    if (object != NULL) {
        json_set_str(object, "apiVersion", version);
        json_set_str(object, "kind", type);
    }
    mem_free(type);
    mem_free(version);
    return object;
}
