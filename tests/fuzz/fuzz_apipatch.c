/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three client-side patches on any JSON. The first byte tells the kind, then come, a line each,
 * the object, the patch and the schema. A refusal has a reason; what was patched is a tree that can
 * be written; a merge patch done twice is one done once.
 *
 * fuzz-link: playground_apiserver
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "deploy/playground/apiserver/patch.h"

enum { PART_OBJECT, PART_PATCH, PART_SCHEMA, PART_COUNT };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void writes_out(const struct json *tree)
{
    char *text = json_text(tree, JSON_COMPACT);
    ASSERT(text[0] != '\0');
    mem_free(text);
}

static void json_patched(struct json **target, const struct json *patch)
{
    struct err err = {""};
    int rc = patch_json(target, patch, &err);
    ASSERT(rc == 0 || err.text[0] != '\0');
    ASSERT(*target != NULL);
}

static void merge_patched(struct json *target, const struct json *patch)
{
    patch_merge(target, patch);
    struct json *again = json_copy(target);
    patch_merge(again, patch);
    ASSERT(json_equal(again, target));
    json_free(again);
}

static void strategic_patched(struct json *target, const struct json *patch,
                              const struct json *schema)
{
    struct err err = {""};
    int rc = patch_strategic(target, patch, schema, &err);
    ASSERT(rc == 0 || err.text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *parts[PART_COUNT] = {NULL};
    size_t at = 1;
    for (size_t i = 0; i < PART_COUNT && at < size; i++) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t length = end == NULL ? size - at : (size_t)(end - (data + at));
        parts[i] = json_parse((const char *)data + at, length, NULL);
        at += length + 1;
    }
    /* The server applies no other patch than an array or an object, and to objects alone. */
    if (json_is(parts[PART_OBJECT], JSON_OBJECT) && parts[PART_PATCH] != NULL) {
        if (data[0] == 'j') {
            json_patched(&parts[PART_OBJECT], parts[PART_PATCH]);
        } else if (data[0] == 's') {
            strategic_patched(parts[PART_OBJECT], parts[PART_PATCH], parts[PART_SCHEMA]);
        } else if (json_is(parts[PART_PATCH], JSON_OBJECT)) {
            merge_patched(parts[PART_OBJECT], parts[PART_PATCH]);
        }
        writes_out(parts[PART_OBJECT]);
    }
    for (size_t i = 0; i < PART_COUNT; i++) {
        json_free(parts[i]);
    }
    return 0;
}
