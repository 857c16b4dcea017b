/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches over HTTP. A watch is a cursor over the ring of events; it never holds the lock while it
 * writes. An object that stops matching the selectors is DELETED for this client, one that begins
 * to is ADDED.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apiserver.h"
#include "base/alloc.h"
#include "listing.h"
#include "table.h"

#define BATCH_MAX         256u
#define WAKE_MS           500
#define BOOKMARK_S        10
#define TIMEOUT_DEFAULT_S 1800

struct stream {
    struct call *call;
    struct selector *labels;
    struct selector *fields;
    uint64_t cursor;
    bool wants_bookmarks;
    bool sent_columns;
    time_t ends_at;
    time_t bookmark_at;
    enum table_include include;
};

static time_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* Takes object. */
static bool send_event(struct stream *stream, const char *type, struct json *object)
{
    struct buf line;
    buf_init(&line, BUF_NO_LIMIT);
    buf_printf(&line, "{\"type\":\"%s\",\"object\":", type);
    json_write(object, JSON_COMPACT, &line);
    buf_append_str(&line, "}\n");
    bool is_sent = http_chunk(stream->call->connection, buf_bytes(&line));
    buf_free(&line);
    json_free(object);
    return is_sent;
}

static struct json *render(struct stream *stream, const struct object *object)
{
    const struct kind_version *version = stream->call->request.version;
    if (stream->call->form != FORM_TABLE) {
        return call_render(stream->call, object->value);
    }
    char *revision = str_printf("%llu", (unsigned long long)object->revision);
    struct json *table = table_new(version, revision, !stream->sent_columns);
    stream->sent_columns = true;
    struct json *shown = present(version, object->value);
    json_append(json_get(table, "rows"), table_row(version, shown, stream->include));
    json_free(shown);
    mem_free(revision);
    return table;
}

static bool send_object(struct stream *stream, const char *type, const struct object *object)
{
    return send_event(stream, type, render(stream, object));
}

static bool send_bookmark(struct stream *stream, bool ends_initial)
{
    const struct kind_version *version = stream->call->request.version;
    struct json *object = json_object();
    if (stream->call->form == FORM_TABLE) {
        json_free(object);
        char *revision = str_printf("%llu", (unsigned long long)stream->cursor);
        object = table_new(version, revision, false);
        mem_free(revision);
    } else {
        char *api_version = kind_api_version(version);
        json_set_str(object, "kind", version->kind->name);
        json_set_str(object, "apiVersion", api_version);
        mem_free(api_version);
        struct json *metadata = json_ensure_object(object, "metadata");
        json_set(metadata, "resourceVersion",
                 json_stringf("%llu", (unsigned long long)stream->cursor));
        if (ends_initial) {
            json_set_str(json_ensure_object(metadata, "annotations"), "k8s.io/initial-events-end",
                         "true");
        }
    }
    return send_event(stream, "BOOKMARK", object);
}

static void send_gone(struct stream *stream, uint64_t oldest)
{
    struct reply reply;
    reply_init(&reply);
    reply_fail(&reply, 410, "Expired", NULL, NULL, "too old resource version: %llu (%llu)",
               (unsigned long long)stream->cursor, (unsigned long long)oldest);
    send_event(stream, "ERROR", reply.value);
    reply.value = NULL;
    reply_free(&reply);
}

static bool is_match(const struct stream *stream, const struct object *object)
{
    const char *ns = stream->call->request.ns;
    return object != NULL && (*ns == '\0' || strcmp(object->ns, ns) == 0) &&
           selector_matches(stream->labels, object->value) &&
           selector_matches(stream->fields, object->value);
}

/* What event is for this client; NULL when it does not concern it. */
static const char *event_name(const struct stream *stream, const struct event *event)
{
    bool matches = is_match(stream, event->object);
    bool matched = is_match(stream, event->previous);
    switch (event->type) {
    case EVENT_ADDED:
        return matches ? "ADDED" : NULL;
    case EVENT_MODIFIED:
        return matches && matched ? "MODIFIED" : matches ? "ADDED" : matched ? "DELETED" : NULL;
    case EVENT_DELETED:
        return matched ? "DELETED" : NULL;
    }
    return NULL;
}

struct batch {
    const char *types[BATCH_MAX];
    struct object *objects[BATCH_MAX];
    size_t count;
};

/* Collects what is new, waiting up to WAKE_MS. E_COMPACTED when the ring has moved on. */
static int collect(struct stream *stream, struct batch *batch, uint64_t *out_oldest)
{
    struct objects *objects = &stream->call->server->store.objects;
    const char *key = stream->call->request.version->kind->store_key;
    batch->count = 0;
    objects_lock(objects);
    if (stream->cursor >= objects->revision && !objects->is_closed) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WAKE_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&objects->changed, &objects->lock, &until);
    }
    int rc = objects->is_closed ? E_CLOSED : stream->cursor < objects->oldest ? E_COMPACTED : 0;
    *out_oldest = objects->oldest;
    while (rc == 0 && stream->cursor < objects->revision && batch->count < BATCH_MAX) {
        const struct event *event = objects_event(objects, ++stream->cursor);
        const char *type =
            event == NULL || strcmp(event->resource, key) != 0 ? NULL : event_name(stream, event);
        if (type != NULL) {
            batch->types[batch->count] = type;
            batch->objects[batch->count++] = object_ref(event->object);
        }
    }
    objects_unlock(objects);
    return rc;
}

static void pause_ms(int64_t ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* Sends one event with the faults that are on; false when the stream ends. */
static bool send_with_faults(struct stream *stream, const char *type, const struct object *object)
{
    struct faults *faults = &stream->call->server->faults;
    const char *agent = http_header(stream->call->http, "User-Agent", "");
    if (faults_hit(faults, FAULT_DELAY_EVENT, agent)) {
        pause_ms(faults_delay_ms(faults));
    }
    if (faults_hit(faults, FAULT_CUT_WATCH, agent)) {
        http_cut(stream->call->connection);
        return false;
    }
    bool is_sent = send_object(stream, type, object);
    if (is_sent && faults_hit(faults, FAULT_DUPLICATE_EVENT, agent)) {
        is_sent = send_object(stream, type, object);
    }
    return is_sent;
}

static bool send_batch(struct stream *stream, struct batch *batch)
{
    bool is_open = true;
    for (size_t i = 0; i < batch->count; i++) {
        is_open = is_open && send_with_faults(stream, batch->types[i], batch->objects[i]);
        object_unref(batch->objects[i]);
    }
    return is_open;
}

static void stream_run(struct stream *stream)
{
    struct batch *batch = mem_alloc(sizeof(*batch));
    for (;;) {
        uint64_t oldest;
        int rc = collect(stream, batch, &oldest);
        if (rc == E_COMPACTED) {
            send_gone(stream, oldest);
            break;
        }
        if (rc != 0 || !send_batch(stream, batch) || http_is_gone(stream->call->connection) ||
            now_s() >= stream->ends_at) {
            break;
        }
        if (stream->wants_bookmarks && now_s() >= stream->bookmark_at) {
            stream->bookmark_at = now_s() + BOOKMARK_S;
            if (!send_bookmark(stream, false)) {
                break;
            }
        }
    }
    mem_free(batch);
}

/* Sends the present state as ADDED events; the cursor goes to its revision. */
static bool send_initial(struct stream *stream)
{
    struct list_options options = {.ns = stream->call->request.ns,
                                   .labels = stream->labels,
                                   .fields = stream->fields,
                                   .continue_at = ""};
    struct listing listing;
    struct store *store = &stream->call->server->store;
    objects_lock(&store->objects);
    int rc = listing_make(store, stream->call->request.version->kind, &options, &listing);
    objects_unlock(&store->objects);
    if (rc != 0) {
        return false;
    }
    stream->cursor = listing.revision;
    bool is_open = true;
    for (size_t i = 0; i < listing.count && is_open; i++) {
        is_open = send_object(stream, "ADDED", listing.items[i]);
    }
    listing_free(&listing);
    return is_open;
}

/* Begins where the client wants to; false when the stream has ended already. */
static bool stream_begin(struct stream *stream)
{
    struct call *call = stream->call;
    char *revision = http_query(call->http, "resourceVersion");
    bool is_from_now = revision == NULL || *revision == '\0' || strcmp(revision, "0") == 0;
    stream->cursor = is_from_now ? 0 : strtoull(revision, NULL, 10);
    mem_free(revision);
    char *initial = http_query(call->http, "sendInitialEvents");
    bool wants_initial = initial == NULL ? is_from_now : strcmp(initial, "true") == 0;
    bool wants_end_mark = initial != NULL && wants_initial;
    mem_free(initial);
    if (!http_chunked_begin(call->connection, 200, "application/json")) {
        return false;
    }
    if (faults_hit(&call->server->faults, FAULT_GONE, http_header(call->http, "User-Agent", ""))) {
        objects_lock(&call->server->store.objects);
        uint64_t oldest = call->server->store.objects.oldest;
        objects_unlock(&call->server->store.objects);
        send_gone(stream, oldest);
        return false;
    }
    if (wants_initial) {
        return send_initial(stream) && (!wants_end_mark || send_bookmark(stream, true));
    }
    if (is_from_now) {
        objects_lock(&call->server->store.objects);
        stream->cursor = call->server->store.objects.revision;
        objects_unlock(&call->server->store.objects);
    }
    return true;
}

void watch_serve(struct call *call)
{
    struct stream stream = {.call = call};
    struct err err = {""};
    char *include = http_query(call->http, "includeObject");
    stream.include = str_equal(include, "Object") ? TABLE_OBJECT : TABLE_METADATA;
    mem_free(include);
    stream.wants_bookmarks = call_query_truth(call, "allowWatchBookmarks");
    stream.bookmark_at = now_s() + BOOKMARK_S;
    stream.ends_at = now_s() + call_query_i64(call, "timeoutSeconds", TIMEOUT_DEFAULT_S);
    if (selector_parse_labels(call->label_selector, &stream.labels, &err) != 0 ||
        selector_parse_fields(call->field_selector, &stream.fields, &err) != 0) {
        struct reply reply;
        reply_init(&reply);
        reply_bad_request(&reply, "unable to parse selector: %s", err.text);
        call_respond(call, &reply);
        reply_free(&reply);
    } else {
        if (stream_begin(&stream)) {
            stream_run(&stream);
        }
        http_chunked_end(call->connection);
    }
    selector_free(stream.labels);
    selector_free(stream.fields);
}
