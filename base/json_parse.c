/* SPDX-License-Identifier: Apache-2.0 */
/* Text to tree, by yajl's callbacks; nothing recurses here, so depth cannot exhaust the stack. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "base/alloc.h"
#include "base/json_tree.h"

struct parser {
    struct json *root;
    struct json *stack[JSON_DEPTH_MAX];
    char *keys[JSON_DEPTH_MAX]; /* the key that waits for its value, per open object */
    size_t depth;
    bool too_deep;
    const char *refusal; /* ours, where yajl has none */
};

/* Puts value where the text stands; takes it. */
static int parser_add(struct parser *parser, struct json *value)
{
    if (parser->depth == 0) {
        parser->root = value;
        return 1;
    }
    struct json *parent = parser->stack[parser->depth - 1];
    if (parent->type == JSON_ARRAY) {
        json_push(parent, NULL, value);
        return 1;
    }
    char *key = parser->keys[parser->depth - 1];
    parser->keys[parser->depth - 1] = NULL;
    if (json_get(parent, key) != NULL) {
        json_set(parent, key, value);
        mem_free(key);
    } else {
        json_push(parent, key, value);
    }
    return 1;
}

static int parser_open(struct parser *parser, struct json *container)
{
    if (parser->depth == JSON_DEPTH_MAX && !FUZZ_PLANT(json_depth)) {
        parser->too_deep = true;
        json_free(container);
        return 0;
    }
    parser_add(parser, container);
    parser->keys[parser->depth] = NULL;
    parser->stack[parser->depth++] = container;
    return 1;
}

static int on_null(void *ctx)
{
    return parser_add(ctx, json_null());
}

static int on_boolean(void *ctx, int value)
{
    return parser_add(ctx, json_bool(value != 0));
}

static int on_number(void *ctx, const char *text, size_t size)
{
    struct parser *parser = ctx;
    char *copy = str_from(text, size);
    char *end;
    errno = 0;
    int64_t integer = strtoll(copy, &end, 10);
    bool whole = *end == '\0' && errno == 0;
    double number = whole ? 0 : strtod(copy, NULL);
    mem_free(copy);
    if (!isfinite(number)) {
        parser->refusal = "the number is out of range"; /* it would be written as null */
        return 0;
    }
    return parser_add(parser, whole ? json_int(integer) : json_number(number));
}

#define SURROGATE_LEAD  0xedu
#define SURROGATE_BYTES 3u

/*
 * Appends data with U+FFFD for what is no character: yajl makes three bytes of an escaped surrogate
 * that stands alone, and lets overlong forms pass.
 */
static void append_characters(struct buf *out, const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        size_t length = json_utf8_size(data + at, size - at);
        if (length != 0) {
            (void)buf_append(out, data + at, length);
            at += length;
        } else {
            buf_append_str(out, "\xef\xbf\xbd");
            bool is_surrogate = data[at] == SURROGATE_LEAD && size - at >= SURROGATE_BYTES;
            at += is_surrogate ? SURROGATE_BYTES : 1;
        }
    }
}

static bool is_all_characters(const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        size_t length = json_utf8_size(data + at, size - at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}

static int on_string(void *ctx, const unsigned char *text, size_t size)
{
    if (is_all_characters(text, size)) {
        return parser_add(ctx, json_string_n((const char *)text, size));
    }
    struct buf mended;
    buf_init(&mended, BUF_NO_LIMIT);
    append_characters(&mended, text, size);
    struct json *value = json_string_n((const char *)mended.data, mended.size);
    buf_free(&mended);
    return parser_add(ctx, value);
}

static int on_start_map(void *ctx)
{
    return parser_open(ctx, json_object());
}

static int on_map_key(void *ctx, const unsigned char *text, size_t size)
{
    struct parser *parser = ctx;
    struct buf mended;
    if (memchr(text, 0, size) != NULL) {
        parser->refusal = "a NUL in a key"; /* keys are C strings: it would be cut there */
        return 0;
    }
    buf_init(&mended, BUF_NO_LIMIT);
    append_characters(&mended, text, size);
    mem_free(parser->keys[parser->depth - 1]);
    parser->keys[parser->depth - 1] = str_from(mended.data, mended.size);
    buf_free(&mended);
    return 1;
}

static int on_start_array(void *ctx)
{
    return parser_open(ctx, json_array());
}

static int on_end(void *ctx)
{
    ((struct parser *)ctx)->depth--;
    return 1;
}

static const yajl_callbacks CALLBACKS = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_start_map,
    .yajl_map_key = on_map_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_start_array,
    .yajl_end_array = on_end,
};

static void set_error(yajl_handle handle, const struct parser *parser, const char *text,
                      size_t size, struct err *err)
{
    if (parser->too_deep) {
        err_set(err, E_INVALID, "invalid JSON: nested deeper than %u", JSON_DEPTH_MAX);
        return;
    }
    if (parser->refusal != NULL) {
        err_set(err, E_INVALID, "invalid JSON at byte %zu: %s", yajl_get_bytes_consumed(handle),
                parser->refusal);
        return;
    }
    unsigned char *reason = yajl_get_error(handle, 0, (const unsigned char *)text, size);
    size_t length = strcspn((const char *)reason, "\n");
    err_set(err, E_INVALID, "invalid JSON at byte %zu: %.*s", yajl_get_bytes_consumed(handle),
            (int)length, reason);
    yajl_free_error(handle, reason);
}

struct json *json_parse(const char *text, size_t size, struct err *err)
{
    struct parser parser = {0};
    yajl_handle handle = yajl_alloc(&CALLBACKS, NULL, &parser);
    yajl_status status = yajl_parse(handle, (const unsigned char *)text, size);
    if (status == yajl_status_ok) {
        status = yajl_complete_parse(handle);
    }
    if (status != yajl_status_ok || parser.root == NULL) {
        set_error(handle, &parser, text, size, err);
        for (size_t i = 0; i < parser.depth; i++) {
            mem_free(parser.keys[i]);
        }
        json_free(parser.root);
        parser.root = NULL;
    }
    yajl_free(handle);
    return parser.root;
}
