/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 6902: add, remove, replace, move, copy, test. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "patch.h"

#define POINTER_DEPTH_MAX 128u

/* What all copies of one patch may be as text, and how many operations it may have: a copy of the
 * whole into itself doubles it. */
#define COPIED_BYTES_MAX (3u * 1024u * 1024u)
#define OPERATIONS_MAX   10000u

/* A parsed RFC 6901 pointer. */
struct pointer {
    char *parts[POINTER_DEPTH_MAX];
    size_t count;
};

static void pointer_free(struct pointer *pointer)
{
    for (size_t i = 0; i < pointer->count; i++) {
        mem_free(pointer->parts[i]);
    }
    pointer->count = 0;
}

static char *part_decode(const char *text, size_t size)
{
    char *out = str_from(text, size);
    char *to = out;
    for (const char *from = out; *from != '\0'; from++) {
        if (from[0] == '~' && (from[1] == '0' || from[1] == '1')) {
            *to++ = from[1] == '0' ? '~' : '/';
            from++;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return out;
}

static int pointer_parse(const char *text, struct pointer *pointer, struct err *err)
{
    pointer->count = 0;
    if (text == NULL || (*text != '\0' && *text != '/')) {
        return err_set(err, E_INVALID, "invalid path \"%s\"", text == NULL ? "" : text);
    }
    while (*text == '/') {
        if (pointer->count == POINTER_DEPTH_MAX) {
            pointer_free(pointer);
            return err_set(err, E_INVALID, "path is too deep");
        }
        text++;
        size_t size = strcspn(text, "/");
        pointer->parts[pointer->count++] = part_decode(text, size);
        text += size;
    }
    return 0;
}

/* Reads an index of at most limit; false when it is none. */
static bool index_parse(const char *part, size_t limit, size_t *out_index)
{
    if (*part == '\0' || strspn(part, "0123456789") != strlen(part) || strlen(part) > 9) {
        return false;
    }
    size_t index = (size_t)strtoul(part, NULL, 10);
    if (index > limit && !FUZZ_PLANT(patch_index)) {
        return false;
    }
    *out_index = index;
    return true;
}

static struct json *child_of(struct json *parent, const char *part)
{
    if (json_is(parent, JSON_OBJECT)) {
        return json_get(parent, part);
    }
    size_t index;
    if (json_is(parent, JSON_ARRAY) && index_parse(part, json_count(parent), &index)) {
        return json_at(parent, index);
    }
    return NULL;
}

/* The value at the first count parts, or NULL. */
static struct json *walk(struct json *root, const struct pointer *pointer, size_t count)
{
    for (size_t i = 0; i < count && root != NULL; i++) {
        root = child_of(root, pointer->parts[i]);
    }
    return root;
}

/* Takes value. */
static int pointer_add(struct json **root, const struct pointer *pointer, struct json *value)
{
    if (pointer->count == 0) {
        json_free(*root);
        *root = value;
        return 0;
    }
    struct json *parent = walk(*root, pointer, pointer->count - 1);
    const char *last = pointer->parts[pointer->count - 1];
    size_t index = json_count(parent);
    if (json_is(parent, JSON_OBJECT)) {
        json_set(parent, last, value);
        return 0;
    }
    if (json_is(parent, JSON_ARRAY) &&
        (strcmp(last, "-") == 0 || index_parse(last, json_count(parent), &index))) {
        json_insert(parent, index, value);
        return 0;
    }
    json_free(value);
    return E_INVALID;
}

static int pointer_remove(struct json *root, const struct pointer *pointer)
{
    if (pointer->count == 0 || walk(root, pointer, pointer->count) == NULL) {
        return E_INVALID;
    }
    struct json *parent = walk(root, pointer, pointer->count - 1);
    const char *last = pointer->parts[pointer->count - 1];
    if (json_is(parent, JSON_OBJECT)) {
        json_remove(parent, last);
    } else {
        json_remove_at(parent, (size_t)strtoul(last, NULL, 10));
    }
    return 0;
}

static int pointer_replace(struct json **root, const struct pointer *pointer,
                           const struct json *value)
{
    if (walk(*root, pointer, pointer->count) == NULL) {
        return E_INVALID;
    }
    if (pointer->count > 0) {
        struct json *parent = walk(*root, pointer, pointer->count - 1);
        if (json_is(parent, JSON_ARRAY)) {
            size_t index = (size_t)strtoul(pointer->parts[pointer->count - 1], NULL, 10);
            json_replace_at(parent, index, json_copy(value));
            return 0;
        }
    }
    return pointer_add(root, pointer, json_copy(value));
}

/* Counts value as copied; E_TOO_BIG past the limit. */
static int count_copied(struct buf *copied, const struct json *value, struct err *err)
{
    json_write(value, JSON_COMPACT, copied);
    if (copied->overflowed) {
        return err_set(err, E_INVALID, "the patch copies more than %u bytes", COPIED_BYTES_MAX);
    }
    return 0;
}

/* Moves with copied NULL. */
static int copy_or_move(struct json **root, const struct pointer *to, const char *from_text,
                        struct buf *copied, struct err *err)
{
    struct pointer from;
    int rc = pointer_parse(from_text, &from, err);
    if (rc != 0) {
        return rc;
    }
    struct json *value = walk(*root, &from, from.count);
    rc = value == NULL ? E_INVALID : 0;
    if (rc == 0 && copied != NULL) {
        rc = count_copied(copied, value, err);
    }
    if (rc == 0) {
        value = json_copy(value);
        rc = copied == NULL ? pointer_remove(*root, &from) : 0;
        if (rc == 0) {
            rc = pointer_add(root, to, value);
        } else {
            json_free(value);
        }
    }
    pointer_free(&from);
    return rc;
}

static int operation_apply(struct json **target, const struct json *operation,
                           const struct pointer *pointer, struct buf *copied, struct err *err)
{
    const char *op = json_path_str(operation, "op", "");
    const struct json *value = json_get(operation, "value");
    bool wants_value =
        strcmp(op, "add") == 0 || strcmp(op, "replace") == 0 || strcmp(op, "test") == 0;
    if (wants_value && value == NULL) {
        return err_set(err, E_INVALID, "%s operation lacks a value", op);
    }
    if (strcmp(op, "add") == 0) {
        return pointer_add(target, pointer, json_copy(value));
    }
    if (strcmp(op, "replace") == 0) {
        return pointer_replace(target, pointer, value);
    }
    if (strcmp(op, "remove") == 0) {
        return pointer_remove(*target, pointer);
    }
    if (strcmp(op, "test") == 0) {
        const struct json *there = walk(*target, pointer, pointer->count);
        bool is_equal = there == NULL ? json_is(value, JSON_NULL) : json_equal(there, value);
        return is_equal ? 0 : E_INVALID;
    }
    if (strcmp(op, "copy") == 0 || strcmp(op, "move") == 0) {
        return copy_or_move(target, pointer, json_path_str(operation, "from", NULL),
                            strcmp(op, "copy") == 0 ? copied : NULL, err);
    }
    return err_set(err, E_INVALID, "unexpected kind of operation: \"%s\"", op);
}

static int operations_apply(struct json **target, const struct json *patch, struct buf *copied,
                            struct err *err)
{
    for (size_t i = 0; i < json_count(patch); i++) {
        const struct json *operation = json_at(patch, i);
        struct pointer pointer;
        const char *path = json_path_str(operation, "path", NULL);
        int rc = pointer_parse(path, &pointer, err);
        if (rc != 0) {
            return rc;
        }
        err_set(err, E_INVALID, "%s operation does not apply: doc is missing path or differs: %s",
                json_path_str(operation, "op", ""), path);
        rc = operation_apply(target, operation, &pointer, copied, err);
        pointer_free(&pointer);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int patch_json(struct json **target, const struct json *patch, struct err *err)
{
    if (!json_is(patch, JSON_ARRAY)) {
        return err_set(err, E_INVALID, "a JSON patch is an array of operations");
    }
    if (json_count(patch) > OPERATIONS_MAX) {
        return err_set(err, E_INVALID, "the patch has more than %u operations", OPERATIONS_MAX);
    }
    struct buf copied;
    buf_init(&copied, COPIED_BYTES_MAX);
    int rc = operations_apply(target, patch, &copied, err);
    buf_free(&copied);
    return rc;
}
