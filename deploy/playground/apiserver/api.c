/* SPDX-License-Identifier: Apache-2.0 */
/* get, create, update and the forms in which objects are shown. */
#include "api.h"

#include <string.h>

#include "base/alloc.h"
#include "meta.h"
#include "schema.h"

void request_init(struct request *request)
{
    memset(request, 0, sizeof(*request));
    request->ns = "";
    request->name = "";
    request->subresource = "";
    request->manager = "unknown";
    request->grace_s = -1;
}

struct renaming {
    const char *core;
    const char *modern;
};

static const struct renaming EVENT_NAMES[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
    {"reportingComponent", "reportingController"},
};

static void rename_key(struct json *object, const char *from, const char *to)
{
    struct json *value = json_take(object, from);
    if (value != NULL) {
        json_set(object, to, value);
    }
}

void events_to_core(struct json *event)
{
    for (size_t i = 0; i < ARRAY_COUNT(EVENT_NAMES); i++) {
        rename_key(event, EVENT_NAMES[i].modern, EVENT_NAMES[i].core);
    }
    json_set_str(event, "apiVersion", "v1");
}

void events_from_core(struct json *event)
{
    for (size_t i = 0; i < ARRAY_COUNT(EVENT_NAMES); i++) {
        rename_key(event, EVENT_NAMES[i].core, EVENT_NAMES[i].modern);
    }
    json_set_str(event, "apiVersion", "events.k8s.io/v1");
}

bool present_is_identity(const struct kind_version *version)
{
    const struct kind *kind = version->kind;
    return (kind->flags & KIND_CUSTOM) == 0 && strcmp(kind->group, "events.k8s.io") != 0;
}

struct json *present(const struct kind_version *version, const struct json *value)
{
    struct json *copy = json_copy(value);
    const struct kind *kind = version->kind;
    if (strcmp(kind->group, "events.k8s.io") == 0) {
        if (json_get(copy, "involvedObject") != NULL) {
            events_from_core(copy);
        }
        return copy;
    }
    if ((kind->flags & KIND_CUSTOM) != 0) {
        char *api_version = kind_api_version(version);
        json_set_str(copy, "apiVersion", api_version);
        mem_free(api_version);
        if (version->schema != NULL) {
            schema_default(version->schema, copy);
        }
    }
    return copy;
}

/* The object a request names, or NULL with the reply filled. */
static struct object *find(struct store *store, const struct request *request, struct reply *reply)
{
    const struct kind *kind = request->version->kind;
    struct object *object =
        objects_find(&store->objects, kind->store_key, request->ns, request->name);
    if (object == NULL) {
        reply_not_found(reply, kind, request->name);
    }
    return object;
}

void api_get(struct store *store, const struct request *request, struct reply *reply)
{
    if (strcmp(request->subresource, "scale") == 0) {
        scale_get(store, request, reply);
        return;
    }
    struct object *object = find(store, request, reply);
    if (object == NULL) {
        return;
    }
    reply->code = 200;
    if (present_is_identity(request->version)) {
        reply->object = object_ref(object);
    } else {
        reply->value = present(request->version, object->value);
    }
}

/* Says what is wrong with the type of a body; false when answered. */
static bool body_fits(const struct request *request, struct reply *reply)
{
    const struct json *body = request->body;
    if (!json_is(body, JSON_OBJECT)) {
        reply_bad_request(reply, "the body of the request is not an object");
        return false;
    }
    const struct kind_version *version = request->version;
    char *api_version = kind_api_version(version);
    const char *sent_version = json_path_str(body, "apiVersion", api_version);
    const char *sent_kind = json_path_str(body, "kind", version->kind->name);
    bool fits =
        strcmp(sent_version, api_version) == 0 && strcmp(sent_kind, version->kind->name) == 0;
    if (!fits) {
        reply_bad_request(reply,
                          "the API version in the data (%s, %s) does not match the expected API "
                          "version (%s, %s)",
                          sent_version, sent_kind, api_version, version->kind->name);
    }
    mem_free(api_version);
    const char *ns = meta_namespace(body);
    if (fits && *ns != '\0' && strcmp(ns, request->ns) != 0 &&
        (version->kind->flags & KIND_NAMESPACED) != 0) {
        reply_bad_request(reply,
                          "the namespace of the provided object does not match the namespace sent "
                          "on the request");
        fits = false;
    }
    return fits;
}

static void bind_pod(struct store *store, const struct request *request, struct reply *reply)
{
    struct object *pod = find(store, request, reply);
    if (pod == NULL) {
        return;
    }
    const char *node = json_path_str(request->body, "target.name", "");
    if (*json_path_str(pod->value, "spec.nodeName", "") != '\0') {
        reply_conflict(reply, request->version->kind, request->name);
        return;
    }
    struct json *changed = json_copy(pod->value);
    json_set_str(json_ensure_object(changed, "spec"), "nodeName", node);
    meta_set_condition(changed, "PodScheduled", "True", "Scheduled", "");
    objects_put(&store->objects, "pods", changed);
    struct json *status = json_object();
    json_set_str(status, "kind", "Status");
    json_set_str(status, "apiVersion", "v1");
    json_set_str(status, "status", "Success");
    json_set_int(status, "code", 201);
    reply_set(reply, 201, status);
}

/* An eviction is a delete; disruption budgets are asked first. */
static void evict_pod(struct store *store, const struct request *request, struct reply *reply)
{
    struct object *pod = find(store, request, reply);
    if (pod == NULL) {
        return;
    }
    struct table *budgets = objects_table(&store->objects, "poddisruptionbudgets.policy");
    for (size_t i = 0; i < budgets->count; i++) {
        const struct object *budget = budgets->rows[i];
        if (strcmp(budget->ns, pod->ns) != 0 ||
            !select_label_selector(json_path(budget->value, "spec.selector"),
                                   json_path(pod->value, "metadata.labels")) ||
            json_path_i64(budget->value, "status.disruptionsAllowed", 0) > 0) {
            continue;
        }
        reply_fail(reply, 429, "TooManyRequests", NULL, NULL,
                   "Cannot evict pod as it would violate the pod's disruption budget.");
        return;
    }
    struct request deletion = *request;
    deletion.subresource = "";
    deletion.grace_s = json_path_i64(request->body, "deleteOptions.gracePeriodSeconds", -1);
    api_delete(store, &deletion, reply);
    if (reply->code == 200) {
        reply->code = 201;
    }
}

void api_create(struct store *store, const struct request *request, struct reply *reply)
{
    if (strcmp(request->subresource, "binding") == 0) {
        bind_pod(store, request, reply);
        return;
    }
    if (strcmp(request->subresource, "eviction") == 0) {
        evict_pod(store, request, reply);
        return;
    }
    if (!body_fits(request, reply)) {
        return;
    }
    if ((request->version->kind->flags & KIND_REVIEW) != 0) {
        review_create(request, reply);
        return;
    }
    if (*json_path_str(request->body, "metadata.resourceVersion", "") != '\0') {
        reply_bad_request(reply, "resourceVersion should not be set on objects to be created");
        return;
    }
    write_create(store, request, json_copy(request->body), reply);
}

void api_update(struct store *store, const struct request *request, struct reply *reply)
{
    if (strcmp(request->subresource, "scale") == 0) {
        scale_write(store, request, reply);
        return;
    }
    if (!body_fits(request, reply)) {
        return;
    }
    struct object *old = find(store, request, reply);
    if (old != NULL) {
        write_update(store, request, old, json_copy(request->body), reply);
    }
}
