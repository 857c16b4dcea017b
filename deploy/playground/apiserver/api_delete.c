/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes: preconditions, grace periods, finalizers, propagation. */
#include <string.h>

#include "api.h"
#include "base/alloc.h"
#include "meta.h"

static bool is_kind(const struct kind *kind, const char *store_key)
{
    return strcmp(kind->store_key, store_key) == 0;
}

/* How long the object may take to stop. */
static int64_t grace_of(const struct kind *kind, const struct object *object, int64_t wished_s)
{
    if (!is_kind(kind, "pods")) {
        return 0;
    }
    const char *phase = json_path_str(object->value, "status.phase", "");
    bool is_over = strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
    if (is_over || *json_path_str(object->value, "spec.nodeName", "") == '\0') {
        return 0;
    }
    if (wished_s >= 0) {
        return wished_s;
    }
    return json_path_i64(object->value, "spec.terminationGracePeriodSeconds", 30);
}

static void add_finalizers(const struct kind *kind, struct json *value,
                           enum propagation propagation)
{
    if (propagation == PROPAGATE_FOREGROUND) {
        meta_remove_finalizer(value, FINALIZER_ORPHAN);
        meta_add_finalizer(value, FINALIZER_FOREGROUND);
    } else if (propagation == PROPAGATE_ORPHAN) {
        meta_remove_finalizer(value, FINALIZER_FOREGROUND);
        meta_add_finalizer(value, FINALIZER_ORPHAN);
    }
    if (is_kind(kind, "customresourcedefinitions.apiextensions.k8s.io")) {
        meta_add_finalizer(value, FINALIZER_CRD);
    }
}

/* Gives the object as it is while it goes away; NULL when it is on its way already. */
static struct json *mark_deleted(const struct kind *kind, const struct object *object,
                                 int64_t grace_s, enum propagation propagation)
{
    bool was_deleting = meta_is_deleting(object->value);
    int64_t before = json_path_i64(object->value, "metadata.deletionGracePeriodSeconds", 0);
    struct json *value = json_copy(object->value);
    if (!was_deleting) {
        add_finalizers(kind, value, propagation);
    } else if (grace_s >= before) {
        json_free(value);
        return NULL;
    }
    char when[META_TIME_SIZE];
    meta_now(when);
    meta_time(meta_time_parse(when) + grace_s, when);
    struct json *metadata = json_ensure_object(value, "metadata");
    json_set_str(metadata, "deletionTimestamp", when);
    json_set_int(metadata, "deletionGracePeriodSeconds", grace_s);
    if (json_get(metadata, "generation") != NULL && !was_deleting) {
        json_set_int(metadata, "generation", json_path_i64(metadata, "generation", 0) + 1);
    }
    if (is_kind(kind, "namespaces")) {
        json_set_str(json_ensure_object(value, "status"), "phase", "Terminating");
    }
    return value;
}

static struct json *success(const struct kind *kind, const struct object *object)
{
    struct json *status = json_object();
    json_set_str(status, "kind", "Status");
    json_set_str(status, "apiVersion", "v1");
    json_set(status, "metadata", json_object());
    json_set_str(status, "status", "Success");
    struct json *details = json_ensure_object(status, "details");
    json_set_str(details, "name", object->name);
    if (*kind->group != '\0') {
        json_set_str(details, "group", kind->group);
    }
    json_set_str(details, "kind", kind->plural);
    json_set_str(details, "uid", object->uid);
    return status;
}

static bool preconditions_hold(const struct request *request, const struct object *object,
                               struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    const char *revision = json_path_str(object->value, "metadata.resourceVersion", "");
    const char *what = NULL;
    const char *wanted = NULL;
    const char *found = NULL;
    if (request->want_uid != NULL && strcmp(request->want_uid, object->uid) != 0) {
        what = "UID";
        wanted = request->want_uid;
        found = object->uid;
    } else if (request->want_revision != NULL && strcmp(request->want_revision, revision) != 0) {
        what = "ResourceVersion";
        wanted = request->want_revision;
        found = revision;
    }
    if (what == NULL) {
        return true;
    }
    char *resource = kind_qualified(kind);
    reply_fail(reply, 409, "Conflict", kind, object->name,
               "Operation cannot be fulfilled on %s \"%s\": Precondition failed: %s in "
               "precondition: %s, %s in object meta: %s",
               resource, object->name, what, wanted, what, found);
    mem_free(resource);
    return false;
}

static void delete_object(struct store *store, const struct request *request, struct object *object,
                          struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    int64_t grace_s = grace_of(kind, object, request->grace_s);
    struct json *status = success(kind, object);
    struct json *value = mark_deleted(kind, object, grace_s, request->propagation);
    if (request->is_dry_run || value == NULL) {
        json_free(status);
        reply_set(reply, 200, present(request->version, value != NULL ? value : object->value));
        json_free(value);
        return;
    }
    struct object *kept = object_ref(object);
    struct object *after = write_commit(store, kind, object, value);
    bool is_gone = objects_find(&store->objects, kind->store_key, kept->ns, kept->name) == NULL;
    if (is_gone && !is_kind(kind, "pods")) {
        reply_set(reply, 200, status);
    } else {
        json_free(status);
        reply_set(reply, 200, present(request->version, after->value));
    }
    object_unref(kept);
}

void api_delete(struct store *store, const struct request *request, struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    struct object *object =
        objects_find(&store->objects, kind->store_key, request->ns, request->name);
    if (object == NULL) {
        reply_not_found(reply, kind, request->name);
        return;
    }
    if (is_kind(kind, "namespaces") && strcmp(request->name, "default") == 0) {
        reply_fail(reply, 403, "Forbidden", kind, request->name,
                   "namespaces \"%s\" is forbidden: this namespace may not be deleted",
                   request->name);
        return;
    }
    if (preconditions_hold(request, object, reply)) {
        delete_object(store, request, object, reply);
    }
}

void api_remove(struct store *store, const struct kind *kind, struct object *object,
                enum propagation propagation)
{
    struct request request;
    request_init(&request);
    request.version = kind_storage(kind);
    request.ns = object->ns;
    request.name = object->name;
    request.propagation = propagation;
    request.is_in_process = true;
    struct reply reply;
    reply_init(&reply);
    delete_object(store, &request, object, &reply);
    reply_free(&reply);
}

/* Gives references to the objects that the selectors choose. */
static size_t choose(struct store *store, const struct request *request,
                     const struct selector *labels, const struct selector *fields,
                     struct object ***out_chosen)
{
    struct table *table = objects_table(&store->objects, request->version->kind->store_key);
    struct object **chosen = mem_array(table->count + 1, sizeof(struct object *));
    size_t count = 0;
    for (size_t row = table_seek(table, request->ns, ""); row < table->count; row++) {
        struct object *object = table->rows[row];
        if (*request->ns != '\0' && strcmp(object->ns, request->ns) != 0) {
            break;
        }
        if (selector_matches(labels, object->value) && selector_matches(fields, object->value)) {
            chosen[count++] = object_ref(object);
        }
    }
    *out_chosen = chosen;
    return count;
}

void api_delete_collection(struct store *store, const struct request *request, struct reply *reply)
{
    struct selector *labels = NULL;
    struct selector *fields = NULL;
    struct err err = {""};
    if (selector_parse_labels(request->label_selector, &labels, &err) != 0 ||
        selector_parse_fields(request->field_selector, &fields, &err) != 0) {
        selector_free(labels);
        reply_bad_request(reply, "%s", err.text);
        return;
    }
    struct object **chosen;
    size_t count = choose(store, request, labels, fields, &chosen);
    for (size_t i = 0; i < count; i++) {
        struct object *now = objects_find(&store->objects, request->version->kind->store_key,
                                          chosen[i]->ns, chosen[i]->name);
        if (now != NULL) {
            struct reply one;
            reply_init(&one);
            delete_object(store, request, now, &one);
            reply_free(&one);
        }
        object_unref(chosen[i]);
    }
    mem_free(chosen);
    selector_free(labels);
    selector_free(fields);
    struct json *status = json_object();
    json_set_str(status, "kind", "Status");
    json_set_str(status, "apiVersion", "v1");
    json_set_str(status, "status", "Success");
    reply_set(reply, 200, status);
}
