/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as YAML: refused with a reason, or a tree within the limits of depth and keys.
 *
 * fuzz-link: base
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const struct json *value, unsigned depth)
{
    ASSERT(depth <= YAML_DEPTH_MAX);
    ASSERT(!json_is(value, JSON_OBJECT) || json_count(value) <= YAML_KEYS_MAX);
    for (size_t i = 0; i < json_count(value); i++) {
        look(json_at(value, i), depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {""};
    struct json *tree = json_parse_yaml((const char *)data, size, &err);
    ASSERT(tree != NULL || err.text[0] != '\0');
    if (tree != NULL) {
        look(tree, 0);
        json_free(tree);
    }
    return 0;
}
