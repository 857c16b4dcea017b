/* SPDX-License-Identifier: Apache-2.0 */
/* Strategic merge patch, driven by the patch keys of the schema. */
#include <string.h>

#include "base/alloc.h"
#include "patch.h"
#include "schema.h"

#define DIRECTIVE     "$patch"
#define RETAIN_KEYS   "$retainKeys"
#define DELETE_PREFIX "$deleteFromPrimitiveList/"
#define ORDER_PREFIX  "$setElementOrder/"

static const char *merge_key(const struct json *schema)
{
    return json_path_str(schema, "x-kubernetes-patch-merge-key", NULL);
}

static bool merges(const struct json *schema)
{
    const char *strategy = json_path_str(schema, "x-kubernetes-patch-strategy", "");
    return strncmp(strategy, "merge", 5) == 0;
}

static size_t find_by_key(const struct json *list, const char *key, const struct json *wanted)
{
    for (size_t i = 0; i < json_count(list); i++) {
        if (wanted != NULL && json_equal(json_get(json_at(list, i), key), wanted)) {
            return i;
        }
    }
    return SIZE_MAX;
}

static size_t find_value(const struct json *list, const struct json *wanted)
{
    for (size_t i = 0; i < json_count(list); i++) {
        if (json_equal(json_at(list, i), wanted)) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* A copy without the directives, for parts that are new. */
static struct json *without_directives(const struct json *value)
{
    struct json *copy = json_copy(value);
    for (size_t i = json_count(copy); i-- > 0;) {
        if (json_is(copy, JSON_OBJECT) && *json_key_at(copy, i) == '$') {
            json_remove_at(copy, i);
        } else if (json_is(json_at(copy, i), JSON_NULL)) {
            json_remove_at(copy, i);
        } else if (json_is(json_at(copy, i), JSON_OBJECT) ||
                   json_is(json_at(copy, i), JSON_ARRAY)) {
            json_replace_at(copy, i, without_directives(json_at(copy, i)));
        }
    }
    return copy;
}

static int merge_object(struct json *target, const struct json *patch, const struct json *schema,
                        struct err *err);

static int merge_element(struct json *list, const struct json *element, const struct json *schema,
                         struct err *err)
{
    const char *key = merge_key(schema);
    const char *directive = json_path_str(element, DIRECTIVE, "");
    if (strcmp(directive, "replace") == 0) {
        return 0;
    }
    const struct json *wanted = json_get(element, key);
    if (wanted == NULL) {
        return err_set(err, E_INVALID, "map: %s does not contain declared merge key: %s", "element",
                       key);
    }
    size_t at = find_by_key(list, key, wanted);
    if (strcmp(directive, "delete") == 0) {
        if (at != SIZE_MAX) {
            json_remove_at(list, at);
        }
        return 0;
    }
    if (at == SIZE_MAX) {
        json_append(list, without_directives(element));
        return 0;
    }
    return merge_object(json_at(list, at), element, schema_items(schema), err);
}

static bool replaces_list(const struct json *patch)
{
    for (size_t i = 0; i < json_count(patch); i++) {
        if (strcmp(json_path_str(json_at(patch, i), DIRECTIVE, ""), "replace") == 0) {
            return true;
        }
    }
    return false;
}

static int merge_list(struct json *target, const char *name, const struct json *patch,
                      const struct json *schema, struct err *err)
{
    bool is_replaced = replaces_list(patch);
    if (!merges(schema) || is_replaced) {
        struct json *fresh = json_array();
        for (size_t i = 0; i < json_count(patch); i++) {
            if (json_get(json_at(patch, i), DIRECTIVE) == NULL) {
                json_append(fresh, without_directives(json_at(patch, i)));
            }
        }
        json_set(target, name, fresh);
        return 0;
    }
    struct json *list = json_ensure_array(target, name);
    int rc = 0;
    for (size_t i = 0; i < json_count(patch) && rc == 0; i++) {
        const struct json *element = json_at(patch, i);
        if (merge_key(schema) != NULL) {
            rc = merge_element(list, element, schema, err);
        } else if (find_value(list, element) == SIZE_MAX) {
            json_append(list, json_copy(element));
        }
    }
    return rc;
}

static void delete_from_list(struct json *target, const char *name, const struct json *values)
{
    struct json *list = json_get(target, name);
    for (size_t i = 0; i < json_count(values); i++) {
        size_t at = find_value(list, json_at(values, i));
        if (at != SIZE_MAX) {
            json_remove_at(list, at);
        }
    }
}

/* The elements that order names come first, in that order; the others keep theirs behind. */
static void set_order(struct json *target, const char *name, const struct json *order,
                      const struct json *schema)
{
    struct json *list = json_get(target, name);
    if (!json_is(list, JSON_ARRAY)) {
        return;
    }
    const char *key = merge_key(schema);
    struct json *sorted = json_array();
    for (size_t i = 0; i < json_count(order); i++) {
        const struct json *wanted = json_at(order, i);
        size_t at =
            key == NULL ? find_value(list, wanted) : find_by_key(list, key, json_get(wanted, key));
        if (at != SIZE_MAX) {
            json_append(sorted, json_copy(json_at(list, at)));
            json_remove_at(list, at);
        }
    }
    for (size_t i = 0; i < json_count(list); i++) {
        json_append(sorted, json_copy(json_at(list, i)));
    }
    json_set(target, name, sorted);
}

static void retain_keys(struct json *target, const struct json *keys)
{
    for (size_t i = json_count(target); i-- > 0;) {
        struct json *name = json_string(json_key_at(target, i));
        if (find_value(keys, name) == SIZE_MAX) {
            json_remove_at(target, i);
        }
        json_free(name);
    }
}

static int merge_field(struct json *target, const char *name, const struct json *value,
                       const struct json *schema, struct err *err)
{
    const struct json *field = schema_field(schema, name);
    if (json_is(value, JSON_NULL)) {
        json_remove(target, name);
        return 0;
    }
    if (json_is(value, JSON_ARRAY)) {
        return merge_list(target, name, value, field, err);
    }
    if (!json_is(value, JSON_OBJECT)) {
        json_set(target, name, json_copy(value));
        return 0;
    }
    const char *directive = json_path_str(value, DIRECTIVE, "");
    if (strcmp(directive, "delete") == 0) {
        json_remove(target, name);
        return 0;
    }
    if (strcmp(directive, "replace") == 0 || json_get(target, name) == NULL) {
        json_set(target, name, without_directives(value));
        return 0;
    }
    return merge_object(json_ensure_object(target, name), value, field, err);
}

static int merge_object(struct json *target, const struct json *patch, const struct json *schema,
                        struct err *err)
{
    int rc = 0;
    if (json_get(patch, RETAIN_KEYS) != NULL) {
        retain_keys(target, json_get(patch, RETAIN_KEYS));
    }
    for (size_t i = 0; i < json_count(patch) && rc == 0; i++) {
        const char *name = json_key_at(patch, i);
        if (str_starts_with(name, DELETE_PREFIX)) {
            delete_from_list(target, name + strlen(DELETE_PREFIX), json_at(patch, i));
        } else if (*name != '$') {
            rc = merge_field(target, name, json_at(patch, i), schema, err);
        }
    }
    for (size_t i = 0; i < json_count(patch) && rc == 0; i++) {
        const char *name = json_key_at(patch, i);
        if (str_starts_with(name, ORDER_PREFIX)) {
            const char *list = name + strlen(ORDER_PREFIX);
            set_order(target, list, json_at(patch, i), schema_field(schema, list));
        }
    }
    return rc;
}

int patch_strategic(struct json *target, const struct json *patch, const struct json *schema,
                    struct err *err)
{
    if (!json_is(patch, JSON_OBJECT)) {
        return err_set(err, E_INVALID, "a strategic merge patch is an object");
    }
    return merge_object(target, patch, schema, err);
}
