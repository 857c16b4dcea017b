/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as JSON: refused with a reason, or a tree that is written, copied and read back as the
 * same tree, and whose paths lead nowhere else than into it. The first line of the input is the
 * path.
 *
 * fuzz-link: base
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool holds(const struct json *tree, const struct json *part)
{
    bool found = tree == part;
    for (size_t i = 0; i < json_count(tree) && !found; i++) {
        found = holds(json_at(tree, i), part);
    }
    return found;
}

/* Written, read back, and written again: the same tree and the same text. */
static void round_trip(const struct json *tree, enum json_style style)
{
    struct err err = {""};
    struct buf once;
    struct buf twice;
    buf_init(&once, BUF_NO_LIMIT);
    buf_init(&twice, BUF_NO_LIMIT);
    json_write(tree, style, &once);
    struct json *again = json_parse((const char *)once.data, once.size, &err);
    ASSERT(again != NULL && json_equal(tree, again));
    json_write(again, style, &twice);
    ASSERT(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    json_free(again);
    buf_free(&twice);
    buf_free(&once);
}

/* Any bytes, written as a string, are a string. */
static void any_bytes_make_a_string(const char *text, size_t size)
{
    struct err err = {""};
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    json_write_string(text, size, &out);
    struct json *value = json_parse((const char *)out.data, out.size, &err);
    ASSERT(json_is(value, JSON_STRING));
    json_free(value);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line_end = size == 0 ? NULL : memchr(data, '\n', size);
    if (line_end == NULL) {
        return 0;
    }
    size_t path_size = (size_t)(line_end - data);
    const char *text = (const char *)line_end + 1;
    size_t text_size = size - path_size - 1;
    char *path = str_from(data, path_size);
    struct err err = {""};

    any_bytes_make_a_string(path, path_size);
    struct json *tree = json_parse(text, text_size, &err);
    ASSERT(tree != NULL || err.text[0] != '\0');
    if (tree != NULL) {
        round_trip(tree, JSON_COMPACT);
        round_trip(tree, JSON_PRETTY);
        struct json *found = json_path(tree, path);
        ASSERT(found == NULL || holds(tree, found));
        struct json *copy = json_copy(tree);
        ASSERT(json_equal(tree, copy));
        json_free(tree);
        round_trip(copy, JSON_COMPACT); /* it stands alone */
        json_free(copy);
    }
    mem_free(path);
    return 0;
}
