/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns which field: the record of updates, and server-side apply with its conflicts. */
#include "managed.h"

#include <string.h>

#include "base/alloc.h"
#include "fields.h"
#include "meta.h"

static struct json *entries_of(struct json *object)
{
    return json_ensure_array(json_ensure_object(object, "metadata"), "managedFields");
}

static bool entry_is(const struct json *entry, const struct request *request, const char *operation)
{
    return strcmp(json_path_str(entry, "manager", ""), request->manager) == 0 &&
           strcmp(json_path_str(entry, "operation", ""), operation) == 0 &&
           strcmp(json_path_str(entry, "subresource", ""), request->subresource) == 0;
}

static struct json *entry_find(struct json *entries, const struct request *request,
                               const char *operation)
{
    for (size_t i = 0; i < json_count(entries); i++) {
        if (entry_is(json_at(entries, i), request, operation)) {
            return json_at(entries, i);
        }
    }
    return NULL;
}

/* Makes the entry of the request with set (taken); an unchanged one keeps its time. */
static void entry_put(struct json *entries, const struct request *request, const char *operation,
                      struct json *set)
{
    struct json *entry = entry_find(entries, request, operation);
    if (set == NULL) {
        for (size_t i = json_count(entries); i-- > 0;) {
            if (json_at(entries, i) == entry) {
                json_remove_at(entries, i);
            }
        }
        return;
    }
    if (entry == NULL) {
        entry = json_object();
        json_append(entries, entry);
    }
    if (json_equal(json_get(entry, "fieldsV1"), set)) {
        json_free(set);
        return;
    }
    char *api_version = kind_api_version(request->version);
    char now[META_TIME_SIZE];
    meta_now(now);
    json_set_str(entry, "manager", request->manager);
    json_set_str(entry, "operation", operation);
    json_set_str(entry, "apiVersion", api_version);
    json_set_str(entry, "time", now);
    json_set_str(entry, "fieldsType", "FieldsV1");
    json_set(entry, "fieldsV1", set);
    if (*request->subresource != '\0') {
        json_set_str(entry, "subresource", request->subresource);
    }
    mem_free(api_version);
}

/* Takes set away from every entry but skipped; entries that own nothing vanish. */
static void entries_subtract(struct json *entries, const struct json *set,
                             const struct json *skipped)
{
    for (size_t i = json_count(entries); set != NULL && i-- > 0;) {
        struct json *entry = json_at(entries, i);
        if (entry == skipped) {
            continue;
        }
        struct json *left = fields_combine(json_get(entry, "fieldsV1"), set, FIELDS_SUBTRACT);
        if (left == NULL) {
            json_remove_at(entries, i);
        } else {
            json_set(entry, "fieldsV1", left);
        }
    }
}

static void drop_empty(struct json *object)
{
    struct json *metadata = json_get(object, "metadata");
    if (json_count(json_get(metadata, "managedFields")) == 0) {
        json_remove(metadata, "managedFields");
    }
}

void managed_update(const struct json *old, struct json *object, const struct request *request)
{
    const struct json *schema = request->version->schema;
    struct json *entries = entries_of(object);
    struct json *changed = fields_strip(fields_changed(old, object, schema));
    struct json *removed = fields_strip(fields_removed(old, object, schema));
    if (changed != NULL || removed != NULL) {
        struct json *own = entry_find(entries, request, "Update");
        entries_subtract(entries, changed, own);
        entries_subtract(entries, removed, NULL);
        own = entry_find(entries, request, "Update");
        struct json *set = fields_combine(json_get(own, "fieldsV1"), changed, FIELDS_UNION);
        entry_put(entries, request, "Update", set);
    }
    json_free(changed);
    json_free(removed);
    drop_empty(object);
}

void managed_forget_times(struct json *object)
{
    struct json *entries = json_path(object, "metadata.managedFields");
    for (size_t i = 0; i < json_count(entries); i++) {
        json_remove(json_at(entries, i), "time");
    }
}

/* The user's part of an applied body: what this subresource may set, without system metadata. */
static struct json *applied_part(const struct request *request)
{
    struct json *applied = json_copy(request->body);
    bool has_status = (request->version->flags & KIND_STATUS) != 0;
    bool is_status = strcmp(request->subresource, "status") == 0;
    if (has_status && !is_status) {
        json_remove(applied, "status");
    }
    for (size_t i = json_count(applied); is_status && i-- > 0;) {
        if (strcmp(json_key_at(applied, i), "status") != 0) {
            json_remove_at(applied, i);
        }
    }
    struct json *metadata = json_get(applied, "metadata");
    static const char *const NOT_APPLIED[] = {"managedFields",     "resourceVersion", "uid",
                                              "creationTimestamp", "generation",      "selfLink"};
    for (size_t i = 0; i < ARRAY_COUNT(NOT_APPLIED); i++) {
        json_remove(metadata, NOT_APPLIED[i]);
    }
    return applied;
}

struct conflicts {
    struct json *causes;
    struct buf text;
    size_t count;
};

static void conflict_add(struct conflicts *conflicts, const struct json *entry,
                         const struct json *set)
{
    const char *subresource = json_path_str(entry, "subresource", "");
    char *who =
        str_printf("\"%s\"%s%s%s using %s", json_path_str(entry, "manager", ""),
                   *subresource != '\0' ? " with subresource \"" : "", subresource,
                   *subresource != '\0' ? "\"" : "", json_path_str(entry, "apiVersion", ""));
    struct json *paths = json_array();
    fields_paths(set, paths);
    size_t count = json_count(paths);
    buf_printf(&conflicts->text, "%sconflict%s with %s:", conflicts->count > 0 ? "\n" : "",
               count > 1 ? "s" : "", who);
    for (size_t i = 0; i < count; i++) {
        const char *path = json_str(json_at(paths, i), "");
        buf_printf(&conflicts->text, "%s%s", count > 1 ? "\n- " : " ", path);
        cause_add(conflicts->causes, "FieldManagerConflict", path, "conflict with %s", who);
    }
    conflicts->count += count;
    json_free(paths);
    mem_free(who);
}

/* Finds the fields of set that others own; takes them away when forced. False when answered. */
static bool settle_conflicts(const struct request *request, struct json *entries,
                             const struct json *own, const struct json *set, struct reply *reply)
{
    struct conflicts conflicts = {.causes = json_array()};
    buf_init(&conflicts.text, BUF_NO_LIMIT);
    for (size_t i = 0; i < json_count(entries); i++) {
        struct json *entry = json_at(entries, i);
        struct json *both =
            entry == own ? NULL
                         : fields_combine(json_get(entry, "fieldsV1"), set, FIELDS_INTERSECT);
        if (both != NULL) {
            conflict_add(&conflicts, entry, both);
        }
        json_free(both);
    }
    bool is_settled = conflicts.count == 0 || request->is_forced;
    if (!is_settled) {
        reply_fail(reply, 409, "Conflict", NULL, NULL, "Apply failed with %zu conflict%s: %s",
                   conflicts.count, conflicts.count > 1 ? "s" : "", buf_cstr(&conflicts.text));
        json_set(json_ensure_object(reply->value, "details"), "causes", conflicts.causes);
    } else {
        json_free(conflicts.causes);
        if (conflicts.count > 0) {
            entries_subtract(entries, set, own);
        }
    }
    buf_free(&conflicts.text);
    return is_settled;
}

/* Gives what the others (and the new set) hold together. */
static struct json *held_fields(struct json *entries, const struct json *own,
                                const struct json *new_set)
{
    struct json *held = new_set == NULL ? NULL : json_copy(new_set);
    for (size_t i = 0; i < json_count(entries); i++) {
        const struct json *entry = json_at(entries, i);
        if (entry != own) {
            struct json *more = fields_combine(held, json_get(entry, "fieldsV1"), FIELDS_UNION);
            json_free(held);
            held = more;
        }
    }
    return held;
}

/* Cuts what this manager applied before and no longer applies, unless another owns it too. */
static void cut_abandoned(struct json *merged, const struct json *own, const struct json *new_set,
                          const struct json *schema)
{
    struct json *abandoned = fields_combine(json_get(own, "fieldsV1"), new_set, FIELDS_SUBTRACT);
    if (abandoned != NULL) {
        struct json *held = held_fields(entries_of(merged), own, new_set);
        fields_cut(merged, abandoned, held, schema);
        json_free(held);
        json_free(abandoned);
    }
}

struct json *managed_apply(const struct json *live, const struct request *request,
                           struct reply *reply)
{
    const struct json *schema = request->version->schema;
    struct json *applied = applied_part(request);
    struct json *merged = live != NULL ? json_copy(live) : json_object();
    struct json *set = fields_strip(fields_of(applied, schema));
    fields_merge(merged, applied, schema);
    struct json *entries = entries_of(merged);
    struct json *own = entry_find(entries, request, "Apply");
    struct json *changed = fields_strip(fields_changed(live, merged, schema));
    struct json *contested = fields_combine(changed, set, FIELDS_INTERSECT);
    bool is_settled = settle_conflicts(request, entries, own, contested, reply);
    if (is_settled) {
        own = entry_find(entries, request, "Apply");
        cut_abandoned(merged, own, set, schema);
        entries = entries_of(merged);
        entry_put(entries, request, "Apply", set);
        set = NULL;
        drop_empty(merged);
    } else {
        json_free(merged);
        merged = NULL;
    }
    json_free(set);
    json_free(contested);
    json_free(changed);
    json_free(applied);
    return merged;
}
