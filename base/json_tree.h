/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct json, for base/json*.c only. */
#ifndef BASE_JSON_TREE_H
#define BASE_JSON_TREE_H

#include "base/json.h"

struct json_item {
    char *key; /* owned; NULL in arrays */
    struct json *value;
};

struct json {
    enum json_type type;
    int64_t integer; /* JSON_INT, and 0 or 1 for JSON_BOOL */
    double number;
    char *text;   /* JSON_STRING, NUL-terminated */
    size_t count; /* items, or bytes of text */
    size_t capacity;
    struct json_item *items;
};

struct json *json_new(enum json_type type);
void json_push(struct json *container, char *key, struct json *value);

/* The length of the valid UTF-8 character at data (size > 0), or 0. */
size_t json_utf8_size(const uint8_t *data, size_t size);

#endif
