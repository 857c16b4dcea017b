/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small JSON value tree over yajl, for everybody. Objects keep the order of insertion; lookup is
 * linear, meant for objects of up to some hundred keys.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"

enum json_type {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

#define JSON_DEPTH_MAX 128u

/* A value owns its children. A tree is owned by whoever holds its root. */
struct json;

/* Makes. Each gives a new value (json_free). */
struct json *json_null(void);
struct json *json_bool(bool value);
struct json *json_int(int64_t value);
struct json *json_number(double value);
struct json *json_string(const char *text);
struct json *json_string_n(const char *data, size_t size);
struct json *json_stringf(const char *format, ...) BASE_PRINTF(1, 2);
struct json *json_array(void);
struct json *json_object(void);
struct json *json_copy(const struct json *value);
void json_free(struct json *value);

/*
 * Parses one whole JSON text of size bytes (UTF-8 checked, depth at most JSON_DEPTH_MAX, nothing
 * but space after it). Gives the tree, or NULL with the place and reason in err. A number without
 * fraction that fits int64 is JSON_INT; one that no double holds is refused. A surrogate that
 * stands alone becomes U+FFFD. A repeated key: the last wins; one with a NUL is refused.
 */
struct json *json_parse(const char *text, size_t size, struct err *err);

/* Reads; NULL or the default for NULL input or another type. */
enum json_type json_type_of(const struct json *value); /* NULL gives JSON_NULL */
bool json_is(const struct json *value, enum json_type type);
const char *json_str(const struct json *value, const char *fallback); /* borrowed, NUL-terminated */
size_t json_str_size(const struct json *value);
int64_t json_i64(const struct json *value, int64_t fallback);
double json_f64(const struct json *value, double fallback);
bool json_truth(const struct json *value, bool fallback);

/* Arrays and objects. json_at gives element i, of an object the value of its i-th key. */
size_t json_count(const struct json *value);
struct json *json_at(const struct json *value, size_t index);
const char *json_key_at(const struct json *object, size_t index);
struct json *json_get(const struct json *object, const char *key);

/* Changes. Each takes value. json_set replaces in place; json_append returns value for chaining. */
struct json *json_set(struct json *object, const char *key, struct json *value);
struct json *json_append(struct json *array, struct json *value);
void json_insert(struct json *array, size_t index, struct json *value);
void json_replace_at(struct json *value, size_t index, struct json *replacement);
void json_remove(struct json *object, const char *key);
void json_remove_at(struct json *value, size_t index);

/* Gives the child to the caller and removes the key; NULL when absent. */
struct json *json_take(struct json *object, const char *key);

/* Shorthands. */
void json_set_str(struct json *object, const char *key, const char *text);
void json_set_int(struct json *object, const char *key, int64_t value);
void json_set_bool(struct json *object, const char *key, bool value);

/* Gets the object at key, made empty when absent or not an object. */
struct json *json_ensure_object(struct json *object, const char *key);
struct json *json_ensure_array(struct json *object, const char *key);

/* Follows a path of keys and array indices separated by dots ("spec.containers.0.name"). */
struct json *json_path(const struct json *root, const char *path);
const char *json_path_str(const struct json *root, const char *path, const char *fallback);
int64_t json_path_i64(const struct json *root, const char *path, int64_t fallback);
bool json_path_truth(const struct json *root, const char *path, bool fallback);

/* Deep equality; object key order does not matter; 1 and 1.0 are equal. */
bool json_equal(const struct json *a, const struct json *b);

enum json_style { JSON_COMPACT, JSON_PRETTY };

/* Appends the text of value. */
void json_write(const struct json *value, enum json_style style, struct buf *out);

/* True when data is UTF-8: what a JSON string may hold. A surrogate is none. */
bool json_is_utf8(const void *data, size_t size);

/* Appends text as a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. */
void json_write_string(const char *data, size_t size, struct buf *out);

/* Gives the text (mem_free). */
char *json_text(const struct json *value, enum json_style style);

#endif
