/* SPDX-License-Identifier: Apache-2.0 */
/* JSONPath by recursive descent over path and value together. */
#include "jsonpath.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static int find(const struct json *value, const char *path, struct json *out);

static int find_each(const struct json *value, const char *rest, struct json *out)
{
    int rc = 0;
    for (size_t i = 0; i < json_count(value) && rc == 0; i++) {
        rc = find(json_at(value, i), rest, out);
    }
    return rc;
}

/* The text of an operand: 'a', "a", or bare up to size. Gives it (mem_free). */
static struct json *operand(const char *text, size_t size)
{
    while (size > 0 && *text == ' ') {
        text++;
        size--;
    }
    while (size > 0 && text[size - 1] == ' ') {
        size--;
    }
    if (size >= 2 && (*text == '\'' || *text == '"')) {
        return json_string_n(text + 1, size - 2);
    }
    struct json *value = json_parse(text, size, NULL);
    return value != NULL ? value : json_string_n(text, size);
}

static bool compare(const struct json *left, const char *op, const struct json *right)
{
    bool is_equal = left != NULL && json_equal(left, right);
    if (strncmp(op, "==", 2) == 0) {
        return is_equal;
    }
    if (strncmp(op, "!=", 2) == 0) {
        return !is_equal;
    }
    double a = json_f64(left, 0);
    double b = json_f64(right, 0);
    bool or_equal = op[1] == '=';
    return *op == '<' ? (or_equal ? a <= b : a < b) : (or_equal ? a >= b : a > b);
}

/* filter is what stands between "?(" and ")". */
static int find_filtered(const struct json *value, const char *filter, size_t size,
                         const char *rest, struct json *out)
{
    char *text = str_from(filter, size);
    char *op = strpbrk(text, "=!<>");
    char *at = strchr(text, '@');
    int rc = at == NULL ? E_INVALID : 0;
    size_t op_size = op == NULL ? 0 : op[1] == '=' ? 2 : 1;
    char *path =
        at == NULL ? NULL : str_from(at + 1, op == NULL ? strlen(at + 1) : (size_t)(op - at - 1));
    for (char *end = path == NULL ? NULL : path + strlen(path);
         end != NULL && end > path && end[-1] == ' '; end--) {
        end[-1] = '\0';
    }
    struct json *right = op == NULL ? NULL : operand(op + op_size, strlen(op + op_size));
    for (size_t i = 0; i < json_count(value) && rc == 0; i++) {
        struct json *found = json_array();
        rc = find(json_at(value, i), path, found);
        bool is_met = op == NULL ? json_count(found) > 0 : compare(json_at(found, 0), op, right);
        if (rc == 0 && is_met) {
            rc = find(json_at(value, i), rest, out);
        }
        json_free(found);
    }
    json_free(right);
    mem_free(path);
    mem_free(text);
    return rc;
}

static int find_in_brackets(const struct json *value, const char *path, struct json *out)
{
    if (strncmp(path, "[?(", 3) == 0) {
        const char *end = strstr(path, ")]");
        return end == NULL ? E_INVALID
                           : find_filtered(value, path + 3, (size_t)(end - path - 3), end + 2, out);
    }
    const char *end = strchr(path, ']');
    if (end == NULL) {
        return E_INVALID;
    }
    if (path[1] == '*') {
        return find_each(value, end + 1, out);
    }
    if (path[1] == '\'' || path[1] == '"') {
        char *name = str_from(path + 2, (size_t)(end - path - 3));
        const struct json *child = json_get(value, name);
        mem_free(name);
        return child == NULL ? 0 : find(child, end + 1, out);
    }
    long index = strtol(path + 1, NULL, 10);
    if (index < 0) {
        index += (long)json_count(value);
    }
    if (!json_is(value, JSON_ARRAY) || index < 0 || (size_t)index >= json_count(value)) {
        return 0;
    }
    return find(json_at(value, (size_t)index), end + 1, out);
}

static int find(const struct json *value, const char *path, struct json *out)
{
    if (*path == '\0') {
        json_append(out, json_copy(value));
        return 0;
    }
    if (*path == '[') {
        return find_in_brackets(value, path, out);
    }
    if (*path == '.') {
        path++;
    }
    if (*path == '[') {
        return find_in_brackets(value, path, out);
    }
    /* A dot inside a name is written "\.". */
    struct buf name;
    buf_init(&name, BUF_NO_LIMIT);
    while (*path != '\0' && *path != '.' && *path != '[') {
        if (path[0] == '\\' && path[1] != '\0') {
            path++;
        }
        buf_append_byte(&name, (uint8_t)*path++);
    }
    int rc = 0;
    if (name.size == 1 && name.data[0] == '*') {
        rc = find_each(value, path, out);
    } else if (name.size == 0) {
        rc = *path == '\0' ? find(value, path, out) : E_INVALID;
    } else {
        const struct json *child = json_get(value, buf_cstr(&name));
        rc = child == NULL ? 0 : find(child, path, out);
    }
    buf_free(&name);
    return rc;
}

int jsonpath_find(const struct json *root, const char *path, struct json *out_values)
{
    size_t size = strlen(path);
    if (size >= 2 && path[0] == '{' && path[size - 1] == '}') {
        char *inner = str_from(path + 1, size - 2);
        int rc = find(root, inner, out_values);
        mem_free(inner);
        return rc;
    }
    if (*path == '$') {
        path++;
    }
    return find(root, path, out_values);
}
