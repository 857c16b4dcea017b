/* SPDX-License-Identifier: Apache-2.0 */
/* The way of every write: prune, default, admit, validate, count, own, store. */
#include <string.h>

#include "api.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "managed.h"
#include "meta.h"
#include "schema.h"

#define GENERATE_TRIES 8

static const char *const SYSTEM_FIELDS[] = {
    "uid",        "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "generation", "selfLink",          "resourceVersion"};

/* Reports unknown fields as the request wishes; false when it was answered. */
static bool report_unknown(const struct request *request, const struct json *unknown,
                           struct reply *reply)
{
    if (json_count(unknown) == 0 || request->validation == VALIDATION_IGNORE) {
        return true;
    }
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (size_t i = 0; i < json_count(unknown); i++) {
        const char *path = json_str(json_at(unknown, i), "");
        if (request->validation == VALIDATION_WARN) {
            char *warning = str_printf("unknown field \"%s\"", path);
            reply_warn(reply, warning);
            mem_free(warning);
        }
        buf_printf(&text, "%sunknown field \"%s\"", i > 0 ? ", " : "", path);
    }
    bool is_strict = request->validation == VALIDATION_STRICT;
    if (is_strict) {
        const struct kind *kind = request->version->kind;
        reply_bad_request(
            reply, "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
            kind->name, request->version->name, kind->name, buf_cstr(&text));
    }
    buf_free(&text);
    return !is_strict;
}

/* Prunes and defaults; false when the request was answered. */
static bool shape(const struct request *request, struct json *object, struct reply *reply)
{
    const struct json *schema = request->version->schema;
    if (schema == NULL) {
        return true;
    }
    struct json *unknown = json_array();
    schema_prune(schema, object, unknown);
    bool goes_on = report_unknown(request, unknown, reply);
    json_free(unknown);
    if (goes_on) {
        schema_default(schema, object);
    }
    return goes_on;
}

static void stamp_type(const struct kind_version *version, struct json *object)
{
    char *api_version = kind_api_version(version);
    json_set_str(object, "apiVersion", api_version);
    json_set_str(object, "kind", version->kind->name);
    mem_free(api_version);
}

/* Takes causes; true when there are none. */
static bool all_valid(const struct request *request, const struct json *object, struct json *causes,
                      struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    if (request->version->schema != NULL) {
        schema_validate(request->version->schema, object, causes);
    }
    meta_validate(object, strcmp(kind->group, "rbac.authorization.k8s.io") == 0, causes);
    if (json_count(causes) > 0) {
        reply_invalid(reply, kind, meta_name(object), causes);
        return false;
    }
    json_free(causes);
    return true;
}

static bool counts_generation(const struct kind *kind)
{
    return (kind->flags & (KIND_GENERATION | KIND_CUSTOM)) != 0;
}

/* True when everything but metadata and status is equal. */
static bool same_wish(const struct json *a, const struct json *b)
{
    struct json *left = json_copy(a);
    struct json *right = json_copy(b);
    static const char *const PARTS[] = {"metadata", "status"};
    for (size_t i = 0; i < ARRAY_COUNT(PARTS); i++) {
        json_remove(left, PARTS[i]);
        json_remove(right, PARTS[i]);
    }
    bool is_same = json_equal(left, right);
    json_free(left);
    json_free(right);
    return is_same;
}

static bool namespace_ready(struct store *store, const struct request *request, struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    if ((kind->flags & KIND_NAMESPACED) == 0) {
        return true;
    }
    struct object *ns = objects_find(&store->objects, "namespaces", "", request->ns);
    if (ns == NULL) {
        const struct kind_version *version = kinds_find(&store->kinds, "", NULL, "namespaces");
        reply_not_found(reply, version->kind, request->ns);
        return false;
    }
    if (meta_is_deleting(ns->value) && !request->is_in_process) {
        char *resource = kind_qualified(kind);
        const char *name = meta_name(request->body);
        reply_fail(reply, 403, "Forbidden", kind, name,
                   "%s \"%s\" is forbidden: unable to create new content in namespace %s because "
                   "it is being terminated",
                   resource, name, request->ns);
        mem_free(resource);
        return false;
    }
    return true;
}

static void fill_metadata(const struct request *request, struct json *object)
{
    struct json *metadata = json_ensure_object(object, "metadata");
    for (size_t i = 0; i < ARRAY_COUNT(SYSTEM_FIELDS); i++) {
        json_remove(metadata, SYSTEM_FIELDS[i]);
    }
    char text[META_UID_SIZE];
    meta_uid(text);
    json_set_str(metadata, "uid", text);
    char now[META_TIME_SIZE];
    meta_now(now);
    json_set_str(metadata, "creationTimestamp", now);
    if ((request->version->kind->flags & KIND_NAMESPACED) != 0) {
        json_set_str(metadata, "namespace", request->ns);
    } else {
        json_remove(metadata, "namespace");
    }
    if (counts_generation(request->version->kind)) {
        json_set_int(metadata, "generation", 1);
    }
}

/* Gives the object a name when it asks for one; false when the request was answered. */
static bool settle_name(struct store *store, const struct request *request, struct json *object,
                        struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    struct json *metadata = json_ensure_object(object, "metadata");
    const char *prefix = json_path_str(metadata, "generateName", "");
    for (int i = 0; i < GENERATE_TRIES && *meta_name(object) == '\0' && *prefix != '\0'; i++) {
        char *name = meta_generate_name(prefix);
        if (objects_find(&store->objects, kind->store_key, request->ns, name) == NULL) {
            json_set_str(metadata, "name", name);
        }
        mem_free(name);
        prefix = json_path_str(metadata, "generateName", "");
    }
    if (*meta_name(object) == '\0') {
        struct json *causes = json_array();
        cause_add(causes, "FieldValueRequired", "metadata.name",
                  "Required value: name or generateName is required");
        reply_invalid(reply, kind, "", causes);
        return false;
    }
    if (objects_find(&store->objects, kind->store_key, request->ns, meta_name(object)) != NULL) {
        reply_exists(reply, kind, meta_name(object));
        return false;
    }
    return true;
}

static void answer(const struct request *request, int code, struct object *object,
                   struct reply *reply)
{
    reply_set(reply, code, NULL);
    if (present_is_identity(request->version)) {
        reply->object = object_ref(object);
    } else {
        reply->value = present(request->version, object->value);
    }
}

/* After the store took it: what other objects are made or unmade by it. */
static void after_commit(struct store *store, const struct kind *kind, const struct json *object)
{
    if (strcmp(kind->store_key, "customresourcedefinitions.apiextensions.k8s.io") == 0) {
        crd_register(store, object);
    }
}

void write_create(struct store *store, const struct request *request, struct json *candidate,
                  struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    if (!namespace_ready(store, request, reply) || !shape(request, candidate, reply)) {
        json_free(candidate);
        return;
    }
    stamp_type(request->version, candidate);
    fill_metadata(request, candidate);
    if (!settle_name(store, request, candidate, reply)) {
        json_free(candidate);
        return;
    }
    if ((request->version->flags & KIND_STATUS) != 0 && !request->is_in_process) {
        json_remove(candidate, "status");
    }
    struct json *causes = json_array();
    admit_create(store, kind, candidate, causes);
    if (!all_valid(request, candidate, causes, reply)) {
        json_free(candidate);
        return;
    }
    if (request->patch != PATCH_APPLY) {
        managed_update(NULL, candidate, request);
    }
    if (strcmp(request->version->kind->group, "events.k8s.io") == 0) {
        events_to_core(candidate);
    }
    if (request->is_dry_run) {
        reply_set(reply, 201, present(request->version, candidate));
        json_free(candidate);
        return;
    }
    struct object *object = objects_put(&store->objects, kind->store_key, candidate);
    answer(request, 201, object, reply);
    after_commit(store, kind, object->value);
}

/* Copies what only the system sets from old to object. */
static void keep_system_fields(const struct json *old, struct json *object)
{
    const struct json *from = json_get(old, "metadata");
    struct json *to = json_ensure_object(object, "metadata");
    for (size_t i = 0; i < ARRAY_COUNT(SYSTEM_FIELDS); i++) {
        const struct json *value = json_get(from, SYSTEM_FIELDS[i]);
        if (value != NULL) {
            json_set(to, SYSTEM_FIELDS[i], json_copy(value));
        } else {
            json_remove(to, SYSTEM_FIELDS[i]);
        }
    }
    json_set_str(to, "name", meta_name(old));
    if (*meta_namespace(old) != '\0') {
        json_set_str(to, "namespace", meta_namespace(old));
    } else {
        json_remove(to, "namespace");
    }
    const struct json *generate_name = json_get(from, "generateName");
    if (generate_name != NULL) {
        json_set(to, "generateName", json_copy(generate_name));
    }
}

/* Checks name, uid and resourceVersion of what the client sent; false when answered. */
static bool preconditions_hold(const struct request *request, const struct object *old,
                               const struct json *candidate, struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    const char *revision = json_path_str(candidate, "metadata.resourceVersion", "");
    const char *uid = meta_uid_of(candidate);
    if (*uid != '\0' && strcmp(uid, old->uid) != 0) {
        char *resource = kind_qualified(kind);
        reply_fail(reply, 409, "Conflict", kind, old->name,
                   "Operation cannot be fulfilled on %s \"%s\": Precondition failed: UID in "
                   "precondition: %s, UID in object meta: %s",
                   resource, old->name, uid, old->uid);
        mem_free(resource);
        return false;
    }
    if (*revision == '\0' || strcmp(revision, "0") == 0) {
        bool is_allowed = request->is_in_process || (kind->flags & KIND_CUSTOM) == 0 ||
                          request->patch != PATCH_NONE;
        if (!is_allowed) {
            struct json *causes = json_array();
            cause_add(causes, "FieldValueInvalid", "metadata.resourceVersion",
                      "Invalid value: 0x0: must be specified for an update");
            reply_invalid(reply, kind, old->name, causes);
        }
        return is_allowed;
    }
    if (strcmp(revision, json_path_str(old->value, "metadata.resourceVersion", "")) != 0) {
        reply_conflict(reply, kind, old->name);
        return false;
    }
    return true;
}

/* Leaves of candidate only what the subresource may change. Takes candidate. */
static struct json *narrow(const struct request *request, const struct json *old,
                           struct json *candidate)
{
    bool has_status = (request->version->flags & KIND_STATUS) != 0;
    if (strcmp(request->subresource, "status") == 0) {
        struct json *narrowed = json_copy(old);
        struct json *status = json_take(candidate, "status");
        if (status != NULL) {
            json_set(narrowed, "status", status);
        } else {
            json_remove(narrowed, "status");
        }
        struct json *managed = json_path(candidate, "metadata.managedFields");
        if (managed != NULL) {
            json_set(json_get(narrowed, "metadata"), "managedFields", json_copy(managed));
        }
        json_free(candidate);
        return narrowed;
    }
    if (has_status) {
        const struct json *status = json_get(old, "status");
        if (status != NULL) {
            json_set(candidate, "status", json_copy(status));
        } else {
            json_remove(candidate, "status");
        }
    }
    return candidate;
}

/* Equal but for who owns what since when. */
static bool same_object(const struct json *a, const struct json *b)
{
    struct json *left = json_copy(a);
    struct json *right = json_copy(b);
    managed_forget_times(left);
    managed_forget_times(right);
    bool is_same = json_equal(left, right);
    json_free(left);
    json_free(right);
    return is_same;
}

static bool is_held(const struct json *object)
{
    int64_t grace = json_path_i64(object, "metadata.deletionGracePeriodSeconds", 0);
    bool is_full_room = strcmp(json_path_str(object, "kind", ""), "Namespace") == 0 &&
                        json_count(json_path(object, "spec.finalizers")) > 0;
    return !meta_is_deleting(object) || meta_has_finalizer(object, NULL) || grace > 0 ||
           is_full_room;
}

struct object *write_commit(struct store *store, const struct kind *kind, struct object *old,
                            struct json *value)
{
    bool is_deleted = !is_held(value);
    if (!is_deleted) {
        struct object *object = objects_put(&store->objects, kind->store_key, value);
        after_commit(store, kind, object->value);
        return object;
    }
    if (strcmp(kind->store_key, "customresourcedefinitions.apiextensions.k8s.io") == 0) {
        crd_unregister(store, value);
    }
    objects_delete(&store->objects, kind->store_key, old, value);
    return objects_event(&store->objects, store->objects.revision)->object;
}

static void restore_managed(const struct json *old, struct json *candidate)
{
    struct json *metadata = json_ensure_object(candidate, "metadata");
    const struct json *sent = json_get(metadata, "managedFields");
    const struct json *kept = json_path(old, "metadata.managedFields");
    if (sent == NULL && kept != NULL) {
        json_set(metadata, "managedFields", json_copy(kept));
    }
}

void write_update(struct store *store, const struct request *request, struct object *old,
                  struct json *candidate, struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    if (strcmp(meta_name(candidate), old->name) != 0) {
        reply_bad_request(reply,
                          "the name of the object (%s) does not match the name on the URL (%s)",
                          meta_name(candidate), old->name);
        json_free(candidate);
        return;
    }
    if (!preconditions_hold(request, old, candidate, reply) || !shape(request, candidate, reply)) {
        json_free(candidate);
        return;
    }
    struct json *shown = present(request->version, old->value);
    stamp_type(request->version, candidate);
    keep_system_fields(shown, candidate);
    restore_managed(shown, candidate);
    candidate = narrow(request, shown, candidate);
    struct json *causes = json_array();
    admit_update(store, kind, shown, candidate, causes);
    if (!all_valid(request, candidate, causes, reply)) {
        json_free(candidate);
        json_free(shown);
        return;
    }
    if (counts_generation(kind) && !same_wish(shown, candidate)) {
        json_set_int(json_get(candidate, "metadata"), "generation",
                     json_path_i64(shown, "metadata.generation", 0) + 1);
    }
    if (request->patch != PATCH_APPLY) {
        managed_update(shown, candidate, request);
    }
    bool is_same = same_object(shown, candidate);
    json_free(shown);
    if (strcmp(kind->group, "events.k8s.io") == 0) {
        events_to_core(candidate);
    }
    if (is_same || request->is_dry_run) {
        reply_set(reply, 200,
                  present(request->version, request->is_dry_run ? candidate : old->value));
        json_free(candidate);
        return;
    }
    answer(request, 200, write_commit(store, kind, old, candidate), reply);
}
