/* SPDX-License-Identifier: Apache-2.0 */
/* Pruning, defaulting and the questions that merges ask about a schema. */
#include "schema.h"

#include <string.h>

#include "base/alloc.h"
#include "reply.h"

static bool schema_flag(const struct json *schema, const char *name)
{
    return json_truth(json_get(schema, name), false);
}

const struct json *schema_field(const struct json *schema, const char *name)
{
    const struct json *field = json_get(json_get(schema, "properties"), name);
    if (field != NULL) {
        return field;
    }
    const struct json *more = json_get(schema, "additionalProperties");
    return json_is(more, JSON_OBJECT) ? more : NULL;
}

const struct json *schema_items(const struct json *schema)
{
    return json_get(schema, "items");
}

enum schema_list schema_list_type(const struct json *schema)
{
    const char *type = json_path_str(schema, "x-kubernetes-list-type", "atomic");
    if (strcmp(type, "map") == 0) {
        return SCHEMA_MAP;
    }
    return strcmp(type, "set") == 0 ? SCHEMA_SET : SCHEMA_ATOMIC;
}

const struct json *schema_list_keys(const struct json *schema)
{
    return json_get(schema, "x-kubernetes-list-map-keys");
}

bool schema_is_atomic_map(const struct json *schema)
{
    return strcmp(json_path_str(schema, "x-kubernetes-map-type", "granular"), "atomic") == 0;
}

struct pruner {
    struct buf path;
    struct json *unknown;
};

static void path_push(struct buf *path, const char *name)
{
    if (path->size > 0) {
        buf_append_str(path, ".");
    }
    buf_append_str(path, name);
}

static void path_cut(struct buf *path, size_t size)
{
    path->size = size;
}

static void prune_value(struct pruner *pruner, const struct json *schema, struct json *value,
                        bool is_resource);

static bool is_resource_field(const char *name)
{
    return strcmp(name, "apiVersion") == 0 || strcmp(name, "kind") == 0 ||
           strcmp(name, "metadata") == 0;
}

static bool keeps_all(const struct json *schema)
{
    const struct json *more = json_get(schema, "additionalProperties");
    return schema_flag(schema, "x-kubernetes-preserve-unknown-fields") ||
           (json_is(more, JSON_BOOL) && json_truth(more, false));
}

static void prune_object(struct pruner *pruner, const struct json *schema, struct json *value,
                         bool is_resource)
{
    is_resource = is_resource || schema_flag(schema, "x-kubernetes-embedded-resource");
    for (size_t i = json_count(value); i-- > 0;) {
        const char *name = json_key_at(value, i);
        const struct json *field = schema_field(schema, name);
        size_t path_size = pruner->path.size;
        path_push(&pruner->path, name);
        if (field == NULL) {
            bool is_kept = keeps_all(schema) || (is_resource && is_resource_field(name));
            if (!is_kept) {
                if (pruner->unknown != NULL) {
                    json_append(pruner->unknown, json_string(buf_cstr(&pruner->path)));
                }
                json_remove_at(value, i);
            }
        } else if (json_is(json_at(value, i), JSON_NULL) && !schema_flag(field, "nullable") &&
                   !keeps_all(field)) {
            json_remove_at(value, i);
        } else {
            prune_value(pruner, field, json_at(value, i), false);
        }
        path_cut(&pruner->path, path_size);
    }
}

static void prune_value(struct pruner *pruner, const struct json *schema, struct json *value,
                        bool is_resource)
{
    if (json_is(value, JSON_OBJECT)) {
        prune_object(pruner, schema, value, is_resource);
    } else if (json_is(value, JSON_ARRAY) && schema_items(schema) != NULL) {
        for (size_t i = 0; i < json_count(value); i++) {
            size_t path_size = pruner->path.size;
            buf_printf(&pruner->path, "[%zu]", i);
            prune_value(pruner, schema_items(schema), json_at(value, i), false);
            path_cut(&pruner->path, path_size);
        }
    }
}

void schema_prune(const struct json *schema, struct json *value, struct json *unknown)
{
    struct pruner pruner = {.unknown = unknown};
    buf_init(&pruner.path, BUF_NO_LIMIT);
    prune_value(&pruner, schema, value, true);
    buf_free(&pruner.path);
}

void schema_default(const struct json *schema, struct json *value)
{
    if (json_is(value, JSON_ARRAY)) {
        for (size_t i = 0; i < json_count(value); i++) {
            schema_default(schema_items(schema), json_at(value, i));
        }
        return;
    }
    if (!json_is(value, JSON_OBJECT) || schema == NULL) {
        return;
    }
    const struct json *fields = json_get(schema, "properties");
    for (size_t i = 0; i < json_count(fields); i++) {
        const char *name = json_key_at(fields, i);
        const struct json *fallback = json_get(json_at(fields, i), "default");
        const struct json *present = json_get(value, name);
        bool is_absent = present == NULL || (json_is(present, JSON_NULL) &&
                                             !schema_flag(json_at(fields, i), "nullable"));
        if (fallback != NULL && is_absent) {
            json_set(value, name, json_copy(fallback));
        }
    }
    for (size_t i = 0; i < json_count(value); i++) {
        const struct json *field = schema_field(schema, json_key_at(value, i));
        if (field != NULL) {
            schema_default(field, json_at(value, i));
        }
    }
}

static void check_children(const struct json *schema, const char *name, const char *path,
                           struct json *causes)
{
    const struct json *children = json_get(schema, name);
    for (size_t i = 0; json_is(children, JSON_OBJECT) && i < json_count(children); i++) {
        char *child_path = str_printf("%s.%s[%s]", path, name, json_key_at(children, i));
        schema_check_structural(json_at(children, i), child_path, causes);
        mem_free(child_path);
    }
}

void schema_check_structural(const struct json *schema, const char *path, struct json *causes)
{
    bool has_type = json_get(schema, "type") != NULL;
    bool is_free = schema_flag(schema, "x-kubernetes-int-or-string") ||
                   schema_flag(schema, "x-kubernetes-preserve-unknown-fields");
    if (!has_type && !is_free) {
        char *field = str_printf("%s.type", path);
        cause_add(causes, "FieldValueRequired", field,
                  "Required value: must not be empty for specified object fields");
        mem_free(field);
    }
    const char *type = json_path_str(schema, "type", "");
    if (strcmp(type, "array") == 0 && schema_items(schema) == NULL) {
        char *field = str_printf("%s.items", path);
        cause_add(causes, "FieldValueRequired", field,
                  "Required value: must be specified for an array");
        mem_free(field);
    }
    if (schema_list_type(schema) == SCHEMA_MAP && json_count(schema_list_keys(schema)) == 0) {
        char *field = str_printf("%s.x-kubernetes-list-map-keys", path);
        cause_add(causes, "FieldValueRequired", field,
                  "Required value: must not be empty if x-kubernetes-list-type is map");
        mem_free(field);
    }
    check_children(schema, "properties", path, causes);
    if (json_is(schema_items(schema), JSON_OBJECT)) {
        char *field = str_printf("%s.items", path);
        schema_check_structural(schema_items(schema), field, causes);
        mem_free(field);
    }
    if (json_is(json_get(schema, "additionalProperties"), JSON_OBJECT)) {
        char *field = str_printf("%s.additionalProperties", path);
        schema_check_structural(json_get(schema, "additionalProperties"), field, causes);
        mem_free(field);
    }
}
