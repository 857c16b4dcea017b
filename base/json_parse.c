/* SPDX-License-Identifier: Apache-2.0 */
/* Text to tree, by yajl's callbacks; nothing recurses here, so depth cannot exhaust the stack. */
#include <errno.h>
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
    if (parser->depth == JSON_DEPTH_MAX) {
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
    char *copy = str_from(text, size);
    char *end;
    errno = 0;
    int64_t integer = strtoll(copy, &end, 10);
    bool whole = *end == '\0' && errno == 0;
    struct json *value = whole ? json_int(integer) : json_number(strtod(copy, NULL));
    mem_free(copy);
    return parser_add(ctx, value);
}

static int on_string(void *ctx, const unsigned char *text, size_t size)
{
    return parser_add(ctx, json_string_n((const char *)text, size));
}

static int on_start_map(void *ctx)
{
    return parser_open(ctx, json_object());
}

static int on_map_key(void *ctx, const unsigned char *text, size_t size)
{
    struct parser *parser = ctx;
    mem_free(parser->keys[parser->depth - 1]);
    parser->keys[parser->depth - 1] = str_from(text, size);
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
