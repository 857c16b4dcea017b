/* SPDX-License-Identifier: Apache-2.0 */
/* The value tree: making, reading and changing. Text goes through json_parse.c and json_write.c. */
#include "base/json_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

struct json *json_new(enum json_type type)
{
    struct json *value = mem_zalloc(sizeof(*value));
    value->type = type;
    return value;
}

struct json *json_null(void)
{
    return json_new(JSON_NULL);
}

struct json *json_bool(bool value)
{
    struct json *out = json_new(JSON_BOOL);
    out->integer = value ? 1 : 0;
    return out;
}

struct json *json_int(int64_t value)
{
    struct json *out = json_new(JSON_INT);
    out->integer = value;
    return out;
}

struct json *json_number(double value)
{
    struct json *out = json_new(JSON_NUMBER);
    out->number = value;
    return out;
}

struct json *json_string(const char *text)
{
    return json_string_n(text, strlen(text));
}

struct json *json_string_n(const char *data, size_t size)
{
    struct json *out = json_new(JSON_STRING);
    out->text = str_from(data, size);
    out->count = size;
    return out;
}

struct json *json_stringf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct json *out = json_new(JSON_STRING);
    out->text = str_vprintf(format, args);
    out->count = strlen(out->text);
    va_end(args);
    return out;
}

struct json *json_array(void)
{
    return json_new(JSON_ARRAY);
}

struct json *json_object(void)
{
    return json_new(JSON_OBJECT);
}

static bool is_container(const struct json *value)
{
    return value != NULL && (value->type == JSON_ARRAY || value->type == JSON_OBJECT);
}

void json_free(struct json *value)
{
    if (value == NULL) {
        return;
    }
    if (is_container(value)) {
        for (size_t i = 0; i < value->count; i++) {
            mem_free(value->items[i].key);
            json_free(value->items[i].value);
        }
        mem_free(value->items);
    }
    mem_free(value->text);
    mem_free(value);
}

/* Puts an item last; takes key and value. */
void json_push(struct json *container, char *key, struct json *value)
{
    if (container->count == container->capacity) {
        container->capacity = container->capacity == 0 ? 4 : container->capacity * 2;
        container->items =
            mem_realloc(container->items, container->capacity * sizeof(*container->items));
    }
    container->items[container->count++] = (struct json_item){key, value};
}

struct json *json_copy(const struct json *value)
{
    if (value == NULL) {
        return NULL;
    }
    struct json *copy = json_new(value->type);
    copy->integer = value->integer;
    copy->number = value->number;
    if (value->type == JSON_STRING) {
        copy->text = str_from(value->text, value->count);
        copy->count = value->count;
    }
    if (is_container(value)) {
        for (size_t i = 0; i < value->count; i++) {
            json_push(copy, str_dup(value->items[i].key), json_copy(value->items[i].value));
        }
    }
    return copy;
}

enum json_type json_type_of(const struct json *value)
{
    return value == NULL ? JSON_NULL : value->type;
}

bool json_is(const struct json *value, enum json_type type)
{
    return value != NULL && value->type == type;
}

const char *json_str(const struct json *value, const char *fallback)
{
    return json_is(value, JSON_STRING) ? value->text : fallback;
}

size_t json_str_size(const struct json *value)
{
    return json_is(value, JSON_STRING) ? value->count : 0;
}

int64_t json_i64(const struct json *value, int64_t fallback)
{
    if (json_is(value, JSON_INT)) {
        return value->integer;
    }
    if (json_is(value, JSON_NUMBER) && value->number >= -9e15 && value->number <= 9e15) {
        return (int64_t)value->number;
    }
    return fallback;
}

double json_f64(const struct json *value, double fallback)
{
    if (json_is(value, JSON_INT)) {
        return (double)value->integer;
    }
    return json_is(value, JSON_NUMBER) ? value->number : fallback;
}

bool json_truth(const struct json *value, bool fallback)
{
    return json_is(value, JSON_BOOL) ? value->integer != 0 : fallback;
}

size_t json_count(const struct json *value)
{
    return is_container(value) ? value->count : 0;
}

struct json *json_at(const struct json *value, size_t index)
{
    return index < json_count(value) ? value->items[index].value : NULL;
}

const char *json_key_at(const struct json *object, size_t index)
{
    return json_is(object, JSON_OBJECT) && index < object->count ? object->items[index].key : NULL;
}

static size_t find_key(const struct json *object, const char *key)
{
    if (!json_is(object, JSON_OBJECT)) {
        return SIZE_MAX;
    }
    for (size_t i = 0; i < object->count; i++) {
        if (strcmp(object->items[i].key, key) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

struct json *json_get(const struct json *object, const char *key)
{
    size_t index = find_key(object, key);
    return index == SIZE_MAX ? NULL : object->items[index].value;
}

struct json *json_set(struct json *object, const char *key, struct json *value)
{
    ASSERT(json_is(object, JSON_OBJECT));
    ASSERT(value != NULL);
    size_t index = find_key(object, key);
    if (index == SIZE_MAX) {
        json_push(object, str_dup(key), value);
    } else {
        json_free(object->items[index].value);
        object->items[index].value = value;
    }
    return value;
}

struct json *json_append(struct json *array, struct json *value)
{
    ASSERT(json_is(array, JSON_ARRAY));
    ASSERT(value != NULL);
    json_push(array, NULL, value);
    return value;
}

void json_insert(struct json *array, size_t index, struct json *value)
{
    json_append(array, value);
    ASSERT(index < array->count);
    memmove(&array->items[index + 1], &array->items[index],
            (array->count - 1 - index) * sizeof(*array->items));
    array->items[index] = (struct json_item){NULL, value};
}

void json_replace_at(struct json *value, size_t index, struct json *replacement)
{
    ASSERT(index < json_count(value));
    json_free(value->items[index].value);
    value->items[index].value = replacement;
}

void json_remove_at(struct json *value, size_t index)
{
    ASSERT(index < json_count(value));
    mem_free(value->items[index].key);
    json_free(value->items[index].value);
    memmove(&value->items[index], &value->items[index + 1],
            (value->count - index - 1) * sizeof(*value->items));
    value->count--;
}

void json_remove(struct json *object, const char *key)
{
    size_t index = find_key(object, key);
    if (index != SIZE_MAX) {
        json_remove_at(object, index);
    }
}

struct json *json_take(struct json *object, const char *key)
{
    size_t index = find_key(object, key);
    if (index == SIZE_MAX) {
        return NULL;
    }
    struct json *value = object->items[index].value;
    object->items[index].value = NULL;
    json_remove_at(object, index);
    return value;
}

void json_set_str(struct json *object, const char *key, const char *text)
{
    json_set(object, key, json_string(text));
}

void json_set_int(struct json *object, const char *key, int64_t value)
{
    json_set(object, key, json_int(value));
}

void json_set_bool(struct json *object, const char *key, bool value)
{
    json_set(object, key, json_bool(value));
}

static struct json *ensure(struct json *object, const char *key, enum json_type type)
{
    struct json *value = json_get(object, key);
    return json_is(value, type) ? value : json_set(object, key, json_new(type));
}

struct json *json_ensure_object(struct json *object, const char *key)
{
    return ensure(object, key, JSON_OBJECT);
}

struct json *json_ensure_array(struct json *object, const char *key)
{
    return ensure(object, key, JSON_ARRAY);
}

struct json *json_path(const struct json *root, const char *path)
{
    const struct json *value = root;
    while (value != NULL && *path != '\0') {
        const char *dot = strchr(path, '.');
        size_t size = dot == NULL ? strlen(path) : (size_t)(dot - path);
        if (json_is(value, JSON_ARRAY)) {
            char *end;
            unsigned long index = strtoul(path, &end, 10);
            value = end == path + size ? json_at(value, index) : NULL;
        } else {
            struct json *found = NULL;
            for (size_t i = 0; i < json_count(value) && found == NULL; i++) {
                const char *key = value->items[i].key;
                if (strncmp(key, path, size) == 0 && key[size] == '\0') {
                    found = value->items[i].value;
                }
            }
            value = found;
        }
        path += dot == NULL ? size : size + 1;
    }
    return (struct json *)(uintptr_t)value;
}

const char *json_path_str(const struct json *root, const char *path, const char *fallback)
{
    return json_str(json_path(root, path), fallback);
}

int64_t json_path_i64(const struct json *root, const char *path, int64_t fallback)
{
    return json_i64(json_path(root, path), fallback);
}

bool json_path_truth(const struct json *root, const char *path, bool fallback)
{
    return json_truth(json_path(root, path), fallback);
}

static bool scalars_equal(const struct json *a, const struct json *b)
{
    if ((a->type == JSON_INT || a->type == JSON_NUMBER) &&
        (b->type == JSON_INT || b->type == JSON_NUMBER)) {
        if (a->type == JSON_INT && b->type == JSON_INT) {
            return a->integer == b->integer;
        }
        double difference = json_f64(a, 0) - json_f64(b, 0);
        return !(difference < 0) && !(difference > 0);
    }
    if (a->type != b->type) {
        return false;
    }
    if (a->type == JSON_STRING) {
        return a->count == b->count && memcmp(a->text, b->text, a->count) == 0;
    }
    return a->integer == b->integer;
}

bool json_equal(const struct json *a, const struct json *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    if (!is_container(a) || !is_container(b)) {
        return is_container(a) == is_container(b) && scalars_equal(a, b);
    }
    if (a->type != b->type || a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        const struct json *other =
            a->type == JSON_ARRAY ? b->items[i].value : json_get(b, a->items[i].key);
        if (other == NULL || !json_equal(a->items[i].value, other)) {
            return false;
        }
    }
    return true;
}
