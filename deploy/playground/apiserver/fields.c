/* SPDX-License-Identifier: Apache-2.0 */
/* Field sets and the walks of server-side apply. */
#include "fields.h"

#include <string.h>

#include "base/alloc.h"
#include "schema.h"

#define SELF "."

static const char *const UNOWNED[] = {"f:apiVersion", "f:kind"};
static const char *const UNOWNED_METADATA[] = {"f:name",
                                               "f:namespace",
                                               "f:uid",
                                               "f:resourceVersion",
                                               "f:creationTimestamp",
                                               "f:generation",
                                               "f:selfLink",
                                               "f:managedFields",
                                               "f:deletionTimestamp",
                                               "f:deletionGracePeriodSeconds"};

/* The default of a key field that the element does not name. */
static const struct json *key_value(const struct json *element, const char *key,
                                    const struct json *items)
{
    const struct json *value = json_get(element, key);
    return value != NULL ? value : json_get(schema_field(items, key), "default");
}

/* Gives "k:{...}" with the keys sorted by name. */
static char *element_key(const struct json *element, const struct json *schema)
{
    const struct json *keys = schema_list_keys(schema);
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    buf_append_str(&text, "k:{");
    const char *before = "";
    for (size_t round = 0; round < json_count(keys); round++) {
        const char *next = NULL;
        for (size_t i = 0; i < json_count(keys); i++) {
            const char *name = json_str(json_at(keys, i), "");
            if (strcmp(name, before) > 0 && (next == NULL || strcmp(name, next) < 0)) {
                next = name;
            }
        }
        if (next == NULL) {
            break;
        }
        before = next;
        const struct json *value = key_value(element, next, schema_items(schema));
        if (value != NULL) {
            buf_printf(&text, "%s\"%s\":", text.size > 3 ? "," : "", next);
            json_write(value, JSON_COMPACT, &text);
        }
    }
    buf_append_str(&text, "}");
    char *key = str_dup(buf_cstr(&text));
    buf_free(&text);
    return key;
}

static char *set_key(const struct json *element)
{
    char *text = json_text(element, JSON_COMPACT);
    char *key = str_printf("v:%s", text);
    mem_free(text);
    return key;
}

/* Gives the member name of an element of a map or set list. */
static char *member_key(const struct json *element, const struct json *schema)
{
    return schema_list_type(schema) == SCHEMA_MAP ? element_key(element, schema) : set_key(element);
}

static struct json *find_member(const struct json *list, const char *key, const struct json *schema,
                                size_t *out_index)
{
    for (size_t i = 0; i < json_count(list); i++) {
        char *other = member_key(json_at(list, i), schema);
        bool is_same = strcmp(other, key) == 0;
        mem_free(other);
        if (is_same) {
            if (out_index != NULL) {
                *out_index = i;
            }
            return json_at(list, i);
        }
    }
    return NULL;
}

static bool is_granular_object(const struct json *value, const struct json *schema)
{
    return json_is(value, JSON_OBJECT) && json_count(value) > 0 && !schema_is_atomic_map(schema);
}

static bool is_granular_list(const struct json *value, const struct json *schema)
{
    return json_is(value, JSON_ARRAY) && json_count(value) > 0 &&
           schema_list_type(schema) != SCHEMA_ATOMIC;
}

static void set_child(struct json *set, const char *prefix, const char *name, struct json *child)
{
    if (child == NULL) {
        return;
    }
    char *key = str_printf("%s%s", prefix, name);
    json_set(set, key, child);
    mem_free(key);
}

struct json *fields_of(const struct json *value, const struct json *schema)
{
    struct json *set = json_object();
    if (is_granular_object(value, schema)) {
        for (size_t i = 0; i < json_count(value); i++) {
            const char *name = json_key_at(value, i);
            set_child(set, "f:", name, fields_of(json_at(value, i), schema_field(schema, name)));
        }
    } else if (is_granular_list(value, schema)) {
        for (size_t i = 0; i < json_count(value); i++) {
            const struct json *element = json_at(value, i);
            char *key = member_key(element, schema);
            struct json *child = json_object();
            if (schema_list_type(schema) == SCHEMA_MAP) {
                json_free(child);
                child = fields_of(element, schema_items(schema));
                json_set(child, SELF, json_object());
            }
            json_set(set, key, child);
            mem_free(key);
        }
    }
    return set;
}

static struct json *null_when_empty(struct json *set)
{
    if (json_count(set) > 0) {
        return set;
    }
    json_free(set);
    return NULL;
}

static struct json *changed_in_list(const struct json *before, const struct json *after,
                                    const struct json *schema)
{
    struct json *set = json_object();
    for (size_t i = 0; i < json_count(after); i++) {
        const struct json *element = json_at(after, i);
        char *key = member_key(element, schema);
        const struct json *old = find_member(before, key, schema, NULL);
        struct json *child = NULL;
        if (schema_list_type(schema) == SCHEMA_SET) {
            child = old == NULL ? json_object() : NULL;
        } else if (old == NULL) {
            child = fields_of(element, schema_items(schema));
            json_set(child, SELF, json_object());
        } else {
            child = fields_changed(old, element, schema_items(schema));
        }
        set_child(set, "", key, child);
        mem_free(key);
    }
    return null_when_empty(set);
}

struct json *fields_changed(const struct json *before, const struct json *after,
                            const struct json *schema)
{
    if (before == NULL) {
        return fields_of(after, schema);
    }
    if (json_equal(before, after)) {
        return NULL;
    }
    if (is_granular_object(after, schema) && json_is(before, JSON_OBJECT)) {
        struct json *set = json_object();
        for (size_t i = 0; i < json_count(after); i++) {
            const char *name = json_key_at(after, i);
            set_child(set, "f:", name,
                      fields_changed(json_get(before, name), json_at(after, i),
                                     schema_field(schema, name)));
        }
        return null_when_empty(set);
    }
    if (is_granular_list(after, schema) && json_is(before, JSON_ARRAY)) {
        return changed_in_list(before, after, schema);
    }
    return fields_of(after, schema);
}

static struct json *removed_from_list(const struct json *before, const struct json *after,
                                      const struct json *schema)
{
    struct json *set = json_object();
    for (size_t i = 0; i < json_count(before); i++) {
        const struct json *element = json_at(before, i);
        char *key = member_key(element, schema);
        const struct json *kept = find_member(after, key, schema, NULL);
        struct json *child = NULL;
        if (schema_list_type(schema) == SCHEMA_SET) {
            child = kept == NULL ? json_object() : NULL;
        } else if (kept == NULL) {
            child = fields_of(element, schema_items(schema));
            json_set(child, SELF, json_object());
        } else {
            child = fields_removed(element, kept, schema_items(schema));
        }
        set_child(set, "", key, child);
        mem_free(key);
    }
    return null_when_empty(set);
}

struct json *fields_removed(const struct json *before, const struct json *after,
                            const struct json *schema)
{
    if (before == NULL) {
        return NULL;
    }
    if (after == NULL) {
        return fields_of(before, schema);
    }
    if (is_granular_object(before, schema)) {
        struct json *set = json_object();
        for (size_t i = 0; i < json_count(before); i++) {
            const char *name = json_key_at(before, i);
            set_child(set, "f:", name,
                      fields_removed(json_at(before, i), json_get(after, name),
                                     schema_field(schema, name)));
        }
        return null_when_empty(set);
    }
    if (is_granular_list(before, schema)) {
        return removed_from_list(before, after, schema);
    }
    return NULL;
}

static bool is_member(const struct json *node)
{
    return node != NULL && (json_count(node) == 0 || json_get(node, SELF) != NULL);
}

static bool op_holds(bool in_a, bool in_b, enum fields_op op)
{
    switch (op) {
    case FIELDS_UNION:
        return in_a || in_b;
    case FIELDS_SUBTRACT:
        return in_a && !in_b;
    case FIELDS_INTERSECT:
        return in_a && in_b;
    }
    return false;
}

static void combine_children(struct json *out, const struct json *a, const struct json *b,
                             enum fields_op op, const struct json *walked)
{
    for (size_t i = 0; i < json_count(walked); i++) {
        const char *key = json_key_at(walked, i);
        bool is_done = strcmp(key, SELF) == 0 || json_get(out, key) != NULL;
        if (!is_done) {
            set_child(out, "", key, fields_combine(json_get(a, key), json_get(b, key), op));
        }
    }
}

struct json *fields_combine(const struct json *a, const struct json *b, enum fields_op op)
{
    if (a == NULL && (b == NULL || op != FIELDS_UNION)) {
        return NULL;
    }
    struct json *out = json_object();
    combine_children(out, a, b, op, a);
    if (op == FIELDS_UNION) {
        combine_children(out, a, b, op, b);
    }
    bool is_in = op_holds(is_member(a), is_member(b), op);
    if (json_count(out) > 0) {
        if (is_in) {
            json_set(out, SELF, json_object());
        }
        return out;
    }
    if (is_in) {
        return out;
    }
    json_free(out);
    return NULL;
}

struct json *fields_strip(struct json *set)
{
    if (set == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(UNOWNED); i++) {
        json_remove(set, UNOWNED[i]);
    }
    struct json *metadata = json_get(set, "f:metadata");
    if (metadata != NULL) {
        for (size_t i = 0; i < ARRAY_COUNT(UNOWNED_METADATA); i++) {
            json_remove(metadata, UNOWNED_METADATA[i]);
        }
        if (json_count(metadata) == 0) {
            json_remove(set, "f:metadata");
        }
    }
    return null_when_empty(set);
}

static void merge_list(struct json *live, const struct json *applied, const struct json *schema)
{
    for (size_t i = 0; i < json_count(applied); i++) {
        const struct json *element = json_at(applied, i);
        char *key = member_key(element, schema);
        struct json *there = find_member(live, key, schema, NULL);
        if (there == NULL) {
            json_append(live, json_copy(element));
        } else if (schema_list_type(schema) == SCHEMA_MAP) {
            fields_merge(there, element, schema_items(schema));
        }
        mem_free(key);
    }
}

void fields_merge(struct json *live, const struct json *applied, const struct json *schema)
{
    for (size_t i = 0; i < json_count(applied); i++) {
        const char *name = json_key_at(applied, i);
        const struct json *value = json_at(applied, i);
        const struct json *field = schema_field(schema, name);
        struct json *there = json_get(live, name);
        if (json_is(value, JSON_NULL)) {
            continue;
        }
        if (is_granular_object(value, field) && json_is(there, JSON_OBJECT)) {
            fields_merge(there, value, field);
        } else if (is_granular_list(value, field) && json_is(there, JSON_ARRAY)) {
            merge_list(there, value, field);
        } else if (!(json_is(value, JSON_OBJECT) && json_count(value) == 0 &&
                     json_is(there, JSON_OBJECT) && !schema_is_atomic_map(field))) {
            json_set(live, name, json_copy(value));
        }
    }
}

static void cut_field(struct json *value, const char *name, const struct json *set,
                      const struct json *keep, const struct json *schema)
{
    struct json *child = json_get(value, name);
    const struct json *field = schema_field(schema, name);
    if (child == NULL) {
        return;
    }
    if (keep == NULL && json_count(set) == 0) {
        json_remove(value, name);
        return;
    }
    size_t count_before = json_count(child);
    fields_cut(child, set, keep, field);
    if (keep == NULL && count_before > 0 && json_count(child) == 0) {
        json_remove(value, name);
    }
}

static void cut_element(struct json *list, const char *key, const struct json *set,
                        const struct json *keep, const struct json *schema)
{
    size_t index;
    struct json *element = find_member(list, key, schema, &index);
    if (element == NULL) {
        return;
    }
    if (keep == NULL && is_member(set)) {
        json_remove_at(list, index);
        return;
    }
    fields_cut(element, set, keep, schema_items(schema));
}

void fields_cut(struct json *value, const struct json *set, const struct json *keep,
                const struct json *schema)
{
    for (size_t i = 0; i < json_count(set); i++) {
        const char *key = json_key_at(set, i);
        if (strncmp(key, "f:", 2) == 0) {
            cut_field(value, key + 2, json_at(set, i), json_get(keep, key), schema);
        } else if (strcmp(key, SELF) != 0) {
            cut_element(value, key, json_at(set, i), json_get(keep, key), schema);
        }
    }
}

static void append_step(struct buf *path, const char *key)
{
    if (strncmp(key, "f:", 2) == 0) {
        buf_printf(path, ".%s", key + 2);
        return;
    }
    if (strncmp(key, "v:", 2) == 0) {
        buf_printf(path, "[=%s]", key + 2);
        return;
    }
    struct json *keys = json_parse(key + 2, strlen(key + 2), NULL);
    buf_append_str(path, "[");
    for (size_t i = 0; i < json_count(keys); i++) {
        buf_printf(path, "%s%s=", i > 0 ? "," : "", json_key_at(keys, i));
        json_write(json_at(keys, i), JSON_COMPACT, path);
    }
    buf_append_str(path, "]");
    json_free(keys);
}

static void collect_paths(const struct json *set, struct buf *path, struct json *paths)
{
    if (is_member(set)) {
        json_append(paths, json_string(buf_cstr(path)));
    }
    for (size_t i = 0; i < json_count(set); i++) {
        const char *key = json_key_at(set, i);
        if (strcmp(key, SELF) == 0) {
            continue;
        }
        size_t size = path->size;
        append_step(path, key);
        collect_paths(json_at(set, i), path, paths);
        path->size = size;
    }
}

void fields_paths(const struct json *set, struct json *paths)
{
    if (set == NULL) {
        return;
    }
    struct buf path;
    buf_init(&path, BUF_NO_LIMIT);
    collect_paths(set, &path, paths);
    buf_free(&path);
}
