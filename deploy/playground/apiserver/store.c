/* SPDX-License-Identifier: Apache-2.0 */
/* store.h on top of the verbs. */
#include "store.h"

#include <string.h>
#include <time.h>

#include "api.h"
#include "base/alloc.h"
#include "listing.h"
#include "meta.h"

#define IN_PROCESS_MANAGER "quorate-playground"

static int code_of(const struct reply *reply, struct err *err)
{
    if (reply->code < 300) {
        return 0;
    }
    const char *reason = json_path_str(reply->value, "reason", "");
    int rc = reply->code == 404 ? E_NOT_FOUND : reply->code == 409 ? E_CONFLICT : E_INVALID;
    if (strcmp(reason, "AlreadyExists") == 0) {
        rc = E_EXISTS;
    }
    return err_set(err, rc, "%s", json_path_str(reply->value, "message", "refused"));
}

static void give(struct reply *reply, struct json **out_object)
{
    if (out_object == NULL) {
        return;
    }
    if (reply->object != NULL) {
        *out_object = json_copy(reply->object->value);
    } else {
        *out_object = reply->value;
        reply->value = NULL;
    }
}

typedef void (*verb_fn)(struct store *store, const struct request *request, struct reply *reply);

static int request_fill(struct store *store, const char *resource, const char *ns,
                        struct request *request, struct err *err)
{
    request_init(request);
    request->version = kinds_find_resource(&store->kinds, resource);
    if (request->version == NULL) {
        return err_set(err, E_NOT_FOUND, "no resource \"%s\"", resource);
    }
    bool is_namespaced = (request->version->kind->flags & KIND_NAMESPACED) != 0;
    request->ns = ns != NULL && is_namespaced ? ns : "";
    request->manager = IN_PROCESS_MANAGER;
    request->is_in_process = true;
    return 0;
}

static int run(struct store *store, verb_fn verb, const struct request *request,
               struct json **out_object, struct err *err)
{
    struct reply reply;
    reply_init(&reply);
    verb(store, request, &reply);
    int rc = code_of(&reply, err);
    if (rc == 0) {
        give(&reply, out_object);
    }
    reply_free(&reply);
    return rc;
}

int store_get(struct store *store, const char *resource, const char *ns, const char *name,
              struct json **out_object, struct err *err)
{
    struct request request;
    objects_lock(&store->objects);
    int rc = request_fill(store, resource, ns, &request, err);
    if (rc == 0) {
        request.name = name;
        rc = run(store, api_get, &request, out_object, err);
    }
    objects_unlock(&store->objects);
    return rc;
}

int store_list(struct store *store, const char *resource, const char *ns,
               const char *label_selector, struct json **out_items, struct err *err)
{
    struct selector *labels = NULL;
    int rc = selector_parse_labels(label_selector, &labels, err);
    if (rc != 0) {
        return rc;
    }
    struct request request;
    struct listing listing;
    objects_lock(&store->objects);
    rc = request_fill(store, resource, ns, &request, err);
    if (rc == 0) {
        struct list_options options = {.ns = request.ns, .labels = labels, .continue_at = ""};
        rc = listing_make(store, request.version->kind, &options, &listing);
    }
    objects_unlock(&store->objects);
    selector_free(labels);
    if (rc != 0) {
        return rc;
    }
    struct json *items = json_array();
    for (size_t i = 0; i < listing.count; i++) {
        json_append(items, json_copy(listing.items[i]->value));
    }
    listing_free(&listing);
    *out_items = items;
    return 0;
}

/* Gives a copy of object with its type and namespace filled in. */
static struct json *completed(const struct request *request, const struct json *object)
{
    struct json *copy = json_copy(object);
    char *api_version = kind_api_version(request->version);
    json_set_str(copy, "apiVersion", api_version);
    json_set_str(copy, "kind", request->version->kind->name);
    if (*request->ns != '\0') {
        json_set_str(json_ensure_object(copy, "metadata"), "namespace", request->ns);
    }
    mem_free(api_version);
    return copy;
}

static int write_with_body(struct store *store, const char *resource, const char *ns,
                           const struct json *object, verb_fn verb, const char *subresource,
                           struct json **out_object, struct err *err)
{
    struct request request;
    objects_lock(&store->objects);
    int rc = request_fill(store, resource, ns, &request, err);
    if (rc == 0) {
        struct json *body = completed(&request, object);
        request.body = body;
        request.name = meta_name(body);
        request.subresource = subresource;
        rc = run(store, verb, &request, out_object, err);
        json_free(body);
    }
    objects_unlock(&store->objects);
    return rc;
}

int store_create(struct store *store, const char *resource, const char *ns,
                 const struct json *object, struct json **out_object, struct err *err)
{
    return write_with_body(store, resource, ns, object, api_create, "", out_object, err);
}

int store_update(struct store *store, const char *resource, const char *ns,
                 const struct json *object, struct json **out_object, struct err *err)
{
    return write_with_body(store, resource, ns, object, api_update, "", out_object, err);
}

int store_update_status(struct store *store, const char *resource, const char *ns,
                        const struct json *object, struct json **out_object, struct err *err)
{
    return write_with_body(store, resource, ns, object, api_update, "status", out_object, err);
}

int store_patch(struct store *store, const char *resource, const char *ns, const char *name,
                const char *subresource, const struct json *merge_patch, struct json **out_object,
                struct err *err)
{
    struct request request;
    objects_lock(&store->objects);
    int rc = request_fill(store, resource, ns, &request, err);
    if (rc == 0) {
        request.name = name;
        request.subresource = subresource == NULL ? "" : subresource;
        request.body = merge_patch;
        request.patch = PATCH_MERGE;
        rc = run(store, api_patch, &request, out_object, err);
    }
    objects_unlock(&store->objects);
    return rc;
}

int store_delete(struct store *store, const char *resource, const char *ns, const char *name,
                 const char *uid, int64_t grace_s, struct err *err)
{
    struct request request;
    objects_lock(&store->objects);
    int rc = request_fill(store, resource, ns, &request, err);
    if (rc == 0) {
        request.name = name;
        request.want_uid = uid;
        request.grace_s = grace_s;
        rc = run(store, api_delete, &request, NULL, err);
    }
    objects_unlock(&store->objects);
    return rc;
}

struct store_watch {
    struct store *store;
    char *key;
    char *ns;
    uint64_t cursor;
    struct listing initial;
    size_t initial_next;
    bool is_synced;
    bool is_cancelled; /* guarded by the objects' lock */
};

int store_watch_open(struct store *store, const char *resource, const char *ns,
                     struct store_watch **out_watch, struct err *err)
{
    struct request request;
    objects_lock(&store->objects);
    int rc = request_fill(store, resource, ns, &request, err);
    if (rc == 0) {
        struct store_watch *watch = mem_zalloc(sizeof(*watch));
        watch->store = store;
        watch->key = str_dup(request.version->kind->store_key);
        watch->ns = str_dup(request.ns);
        struct list_options options = {.ns = request.ns, .continue_at = ""};
        rc = listing_make(store, request.version->kind, &options, &watch->initial);
        watch->cursor = watch->initial.revision;
        *out_watch = watch;
    }
    objects_unlock(&store->objects);
    return rc;
}

/* Finds the next event in the ring; E_AGAIN when there is none yet. Lock held. */
static int watch_step(struct store_watch *watch, struct store_event *out_event)
{
    struct objects *objects = &watch->store->objects;
    if (watch->is_cancelled || objects->is_closed) {
        return E_CLOSED;
    }
    if (watch->cursor < objects->oldest) {
        return E_COMPACTED;
    }
    while (watch->cursor < objects->revision) {
        const struct event *event = objects_event(objects, ++watch->cursor);
        bool is_ours = event != NULL && strcmp(event->resource, watch->key) == 0 &&
                       (*watch->ns == '\0' || strcmp(event->object->ns, watch->ns) == 0);
        if (is_ours) {
            out_event->type = event->type == EVENT_ADDED      ? STORE_ADDED
                              : event->type == EVENT_MODIFIED ? STORE_MODIFIED
                                                              : STORE_DELETED;
            out_event->object = json_copy(event->object->value);
            return 0;
        }
    }
    return E_AGAIN;
}

int store_watch_next(struct store_watch *watch, uint32_t timeout_ms, struct store_event *out_event)
{
    if (watch->initial_next < watch->initial.count) {
        out_event->type = STORE_ADDED;
        out_event->object = json_copy(watch->initial.items[watch->initial_next++]->value);
        return 0;
    }
    if (!watch->is_synced) {
        watch->is_synced = true;
        out_event->type = STORE_SYNCED;
        out_event->object = NULL;
        return 0;
    }
    struct objects *objects = &watch->store->objects;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    objects_lock(objects);
    int rc = watch_step(watch, out_event);
    while (rc == E_AGAIN) {
        if (pthread_cond_timedwait(&objects->changed, &objects->lock, &until) != 0) {
            rc = watch_step(watch, out_event);
            rc = rc == E_AGAIN ? E_TIMEOUT : rc;
            break;
        }
        rc = watch_step(watch, out_event);
    }
    objects_unlock(objects);
    return rc;
}

void store_watch_cancel(struct store_watch *watch)
{
    struct objects *objects = &watch->store->objects;
    objects_lock(objects);
    watch->is_cancelled = true;
    pthread_cond_broadcast(&objects->changed);
    objects_unlock(objects);
}

void store_watch_close(struct store_watch *watch)
{
    listing_free(&watch->initial);
    mem_free(watch->key);
    mem_free(watch->ns);
    mem_free(watch);
}

/* Names an Event after its object, reason and message, so that a repeated one is found again. */
static char *event_name(const struct json *object, const char *reason, const char *message)
{
    uint64_t hash = 1469598103934665603u;
    const char *const parts[] = {meta_uid_of(object), reason, message};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        for (const char *at = parts[i]; *at != '\0'; at++) {
            hash = (hash ^ (uint8_t)*at) * 1099511628211u;
        }
    }
    return str_printf("%s.%016llx", meta_name(object), (unsigned long long)hash);
}

static struct json *event_new(const struct json *object, const char *type, const char *reason,
                              const char *message, const char *now)
{
    struct json *event = json_object();
    struct json *about = json_ensure_object(event, "involvedObject");
    json_set_str(about, "apiVersion", json_path_str(object, "apiVersion", ""));
    json_set_str(about, "kind", json_path_str(object, "kind", ""));
    json_set_str(about, "name", meta_name(object));
    json_set_str(about, "uid", meta_uid_of(object));
    if (*meta_namespace(object) != '\0') {
        json_set_str(about, "namespace", meta_namespace(object));
    }
    json_set_str(event, "type", type);
    json_set_str(event, "reason", reason);
    json_set_str(event, "message", message);
    json_set_str(event, "firstTimestamp", now);
    return event;
}

void store_record_event(struct store *store, const struct json *object, const char *type,
                        const char *reason, const char *message, const char *component,
                        const char *host)
{
    const char *ns = *meta_namespace(object) == '\0' ? "default" : meta_namespace(object);
    char *name = event_name(object, reason, message);
    char now[STORE_TIME_SIZE];
    store_time_now(now);
    struct json *event = NULL;
    bool is_known = store_get(store, "events", ns, name, &event, NULL) == 0;
    if (!is_known) {
        event = event_new(object, type, reason, message, now);
        json_set_str(json_ensure_object(event, "metadata"), "name", name);
        struct json *source = json_ensure_object(event, "source");
        json_set_str(source, "component", component);
        if (host != NULL) {
            json_set_str(source, "host", host);
        }
        json_set_str(event, "reportingComponent", component);
        json_set_str(event, "reportingInstance", host == NULL ? "" : host);
    }
    json_set_int(event, "count", json_path_i64(event, "count", 0) + 1);
    json_set_str(event, "lastTimestamp", now);
    /* An Event that cannot be kept (its namespace is gone) is no reason to fail. */
    int rc = is_known ? store_update(store, "events", ns, event, NULL, NULL)
                      : store_create(store, "events", ns, event, NULL, NULL);
    (void)rc;
    json_free(event);
    mem_free(name);
}

void store_time_now(char out[STORE_TIME_SIZE])
{
    meta_now(out);
}
