/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 7386: a null removes, an object merges, anything else replaces. */
#include "patch.h"

void patch_merge(struct json *target, const struct json *patch)
{
    for (size_t i = 0; i < json_count(patch); i++) {
        const char *key = json_key_at(patch, i);
        const struct json *value = json_at(patch, i);
        if (json_is(value, JSON_NULL)) {
            json_remove(target, key);
        } else if (json_is(value, JSON_OBJECT)) {
            patch_merge(json_ensure_object(target, key), value);
        } else {
            json_set(target, key, json_copy(value));
        }
    }
}
