/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that clients keep open: watches, ranges in parts and lease keep-alives. A watch stream or
 * a range is pulled only while its client takes what it was sent, so that a slow client costs its
 * cursors and nothing more.
 */
#include "base/alloc.h"
#include "engine/server/authz.h"
#include "engine/server/metrics.h"
#include "engine/server/range_stream.h"
#include "engine/server/rpc.h"
#include "health.pb-c.h"

#define PULL_BYTES (256u * 1024u)
#define NO_LEADER_TIMEOUTS                                                                         \
    3u /* etcd cancels streams that require a leader after three election timeouts */

/* Owned by server->streams until the client or the server ends it. */
struct stream_state {
    uint64_t handle;
    struct held *held; /* of its connection */
    int method;
    bool require_leader;
    bool half_closed;
    size_t unsent_events; /* of a watch, among them */
    size_t unsent_bytes;  /* handed to the I/O thread, not yet taken by the client */
    bool more;            /* the hub has more for it */
    bool paused;          /* its client's next requests wait */
    struct list pull_link;
    struct watch_stream *watch;
    struct range_stream *range;
    struct list waiting;    /* keep-alives whose lease is being revoked: struct request */
    stream_watch_fn on_own; /* a watch of the server's own, in no table */
    void *on_own_ctx;
};

static struct stream_state *stream_find(struct server *server, uint64_t handle)
{
    return map_get_u64(&server->streams, handle);
}

static struct stream_state *stream_open(struct server *server, const struct request *request)
{
    struct stream_state *stream = stream_find(server, request->handle);
    if (stream == NULL) {
        stream = mem_zalloc(sizeof(*stream));
        stream->handle = request->handle;
        stream->held = held_ref(request->held);
        stream->method = request->method;
        stream->require_leader = request->require_leader;
        list_init(&stream->waiting);
        list_init(&stream->pull_link);
        (void)map_set_u64(&server->streams, stream->handle, stream);
    }
    return stream;
}

/* The client has them, or will never. */
static void events_are_taken(struct stream_state *stream)
{
    metric_add(&METRIC_PENDING_EVENTS, -(int64_t)stream->unsent_events);
    stream->unsent_events = 0;
}

static void stream_drop(struct server *server, struct stream_state *stream)
{
    while (!list_empty(&stream->waiting)) {
        struct request *request = LIST_ENTRY(stream->waiting.next, struct request, link);
        request_disarm(server, request);
        request_free(request);
    }
    if (stream->watch != NULL) {
        watch_stream_free(stream->watch);
    }
    range_stream_free(server, stream->range);
    list_remove(&stream->pull_link);
    held_unref(stream->held);
    events_are_taken(stream);
    if (stream->on_own == NULL) {
        (void)map_remove_u64(&server->streams, stream->handle);
    }
    mem_free(stream);
}

static void stream_end(struct server *server, struct stream_state *stream, enum etcd_error error)
{
    stream_finish(server, stream->handle, etcd_error_code(error),
                  error == ETCD_OK ? NULL : etcd_error_text(error));
    stream_drop(server, stream);
}

/* ---- watch ---- */

static bool stream_has_room(const struct stream_state *stream)
{
    return stream->unsent_bytes < STREAM_UNSENT_BYTES_MAX;
}

static void stream_queue_pull(struct server *server, struct stream_state *stream)
{
    stream->more = true;
    if (stream_has_room(stream) && list_empty(&stream->pull_link)) {
        list_append(&server->pulls, &stream->pull_link);
    }
}

/* Moves one part of a range to the I/O thread. */
static void range_pull(struct server *server, struct stream_state *stream)
{
    struct buf out;
    bool done = false;
    buf_init(&out, BUF_NO_LIMIT);
    enum etcd_error error = range_stream_pull(server, stream->range, &out, &done);
    if (out.size > 0) {
        stream->unsent_bytes += out.size;
        stream_reply(server, stream->handle, stream->held, &out, !done);
    } else {
        buf_free(&out);
    }
    if (error != ETCD_OK || done) {
        stream_end(server, stream, error);
    } else {
        stream_queue_pull(server, stream);
    }
}

/* Moves one slice of encoded answers to the I/O thread. Nothing may come out though there is more:
 * history was read that did not match. */
static void stream_pull(struct server *server, struct stream_state *stream)
{
    struct buf out;
    size_t pull_bytes = server->config->watch_pull_bytes == 0
                            ? PULL_BYTES
                            : (size_t)server->config->watch_pull_bytes;
    if (answers_are_many(server)) {
        pull_bytes = BASE_MIN(pull_bytes, ANSWERS_BYTES_SHARE / 2);
    }
    buf_init(&out, BUF_NO_LIMIT);
    uint64_t events = watch_hub_events(server->watch_hub);
    int rc = watch_stream_pull(stream->watch, pull_bytes, &out, &stream->more);
    events = watch_hub_events(server->watch_hub) - events;
    if (rc != 0) {
        server_fatal(server, "failed to read the history of the key space", err_code_text(rc));
    }
    if (stream->on_own != NULL) {
        if (stream->more) {
            stream_queue_pull(server, stream);
        }
        if (out.size > 0) {
            stream->on_own(stream->on_own_ctx, buf_bytes(&out)); /* may end it */
        }
        buf_free(&out);
        return;
    }
    if (out.size > 0) {
        stream->unsent_bytes += out.size;
        metric_add(&METRIC_EVENTS_TOTAL, (int64_t)events);
        metric_add(&METRIC_PENDING_EVENTS, (int64_t)events);
        stream->unsent_events += (size_t)events;
        stream_reply(server, stream->handle, stream->held, &out, true);
    } else {
        buf_free(&out);
    }
    if (stream->paused && !watch_stream_is_full(stream->watch)) {
        stream->paused = false;
        stream_hold(server, stream->handle, false);
    }
    if (stream->more) {
        stream_queue_pull(server, stream);
    }
}

/* What was held back has its turn again; the timer of ranges.c brings the next one. */
static void pulls_go_on(struct server *server)
{
    for (uint32_t i = 0; i < STREAM_PULLS_PER_TURN && !list_empty(&server->pulls_held); i++) {
        struct list *first = server->pulls_held.next;
        list_remove(first);
        list_append(&server->pulls, first);
    }
}

/* Each stream in turn, so that one that reads a long history does not hold up the others, nor the
 * heartbeats. */
void streams_pull(struct server *server)
{
    struct watch_stream *ready;
    while ((ready = watch_hub_ready(server->watch_hub)) != NULL) {
        stream_queue_pull(server, watch_stream_user(ready));
    }
    pulls_go_on(server);
    for (uint32_t i = 0; i < STREAM_PULLS_PER_TURN && !list_empty(&server->pulls); i++) {
        struct stream_state *stream =
            LIST_ENTRY(server->pulls.next, struct stream_state, pull_link);
        list_remove(&stream->pull_link);
        if (!answers_have_room(server, stream->held)) {
            list_append(&server->pulls_held, &stream->pull_link); /* its client has to read first */
        } else if (stream->range != NULL) {
            range_pull(server, stream);
        } else {
            stream_pull(server, stream);
        }
    }
    mvcc_release(server->mvcc);
    if (!list_empty(&server->pulls)) {
        loop_timer_set(&server->compact_timer, 0); /* another turn, at once */
    }
}

/* The text of the gRPC error, as clients of etcd look for it. */
static const char *watch_denied(enum etcd_error error)
{
    switch ((int)error) {
    case ETCD_OK:
        return NULL;
    case ETCD_ERR_INVALID_AUTH_TOKEN:
        return "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
    case ETCD_ERR_AUTH_OLD_REVISION:
        return "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old";
    case ETCD_ERR_USER_EMPTY:
        return "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
    default:
        return "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    }
}

void rpc_watch(struct server *server, struct request *request)
{
    struct stream_state *stream = stream_open(server, request);
    if (stream->watch == NULL) {
        int64_t interval = server->config->watch_progress_interval_ms;
        int64_t jitter = (int64_t)rng_below(&server->rng, (uint64_t)(interval / 10 + 1));
        stream->watch = watch_stream_new(server->watch_hub, stream, (int64_t)server_now_ms(server),
                                         interval + jitter);
    }
    watch_stream_request(stream->watch, (const Etcdserverpb__WatchRequest *)request->message,
                         watch_denied(authz_check(server, request, request->message)));
    if (!stream->paused && watch_stream_is_full(stream->watch)) {
        stream->paused = true; /* it asks and does not read */
        stream_hold(server, stream->handle, true);
    }
    request_free(request);
}

struct stream_state *stream_watch(struct server *server, struct bytes key, struct bytes range_end,
                                  int64_t start_revision, stream_watch_fn fn, void *ctx)
{
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    struct stream_state *stream = mem_zalloc(sizeof(*stream));
    list_init(&stream->waiting);
    list_init(&stream->pull_link);
    stream->on_own = fn;
    stream->on_own_ctx = ctx;
    stream->watch = watch_stream_new(server->watch_hub, stream, (int64_t)server_now_ms(server),
                                     server->config->watch_progress_interval_ms);
    create.key = proto_binary(key);
    create.range_end = proto_binary(range_end);
    create.start_revision = start_revision;
    request.create_request = &create;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    watch_stream_request(stream->watch, &request, NULL);
    return stream;
}

void stream_watch_end(struct server *server, struct stream_state *stream)
{
    stream_drop(server, stream);
}

void stream_watch_set_unsent(struct server *server, struct stream_state *stream, size_t bytes)
{
    stream->unsent_bytes = bytes;
    if (stream->more) {
        stream_queue_pull(server, stream);
    }
}

void streams_after_apply(struct server *server)
{
    int rc = watch_hub_notify(server->watch_hub);
    if (rc != 0) {
        server_fatal(server, "failed to read the newest revisions for watches", err_code_text(rc));
    }
}

/* ---- a range in parts ---- */

/* What was written before it began is applied. */
static void range_stream_now(struct server *server, struct request *request)
{
    struct stream_state *stream = stream_find(server, request->handle);
    if (stream == NULL) {
        request_free(request); /* its client has gone meanwhile */
        return;
    }
    if (!authz_answer(server, request)) {
        stream_drop(server, stream);
        return;
    }
    enum etcd_error error = range_stream_new(server, request, &stream->range);
    if (error != ETCD_OK) {
        stream_end(server, stream, error);
        return;
    }
    stream_queue_pull(server, stream);
}

void rpc_range_stream(struct server *server, struct request *request)
{
    const Etcdserverpb__RangeRequest *range = (const Etcdserverpb__RangeRequest *)request->message;
    const char *unsupported = range_stream_unsupported(range);
    int rc = kv_check_range(range);
    if (rc != 0) {
        request_fail(server, request, (enum etcd_error)rc);
        return;
    }
    if (unsupported != NULL) {
        request_fail_text(server, request, GRPC_UNIMPLEMENTED, unsupported);
        return;
    }
    (void)stream_open(server, request); /* from now on its end is noticed */
    request->run = range_stream_now;
    if (range->serializable) {
        range_stream_now(server, request);
    } else {
        read_linearizable(server, request);
    }
}

/* ---- health ---- */

/* One answer when it begins; the stream stays open, as clients expect. */
void rpc_health_watch(struct server *server, struct request *request)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    const char *service = ((const Grpc__Health__V1__HealthCheckRequest *)request->message)->service;
    response.status =
        service == NULL || *service == '\0'
            ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
            : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
    (void)stream_open(server, request);
    (void)proto_pack_append(&response.base, &body);
    stream_reply(server, request->handle, request->held, &body, false);
    request_free(request);
}

/* ---- keep-alive ---- */

static void keep_alive_answer(struct server *server, const struct request *request, int64_t id,
                              int64_t ttl_s)
{
    Etcdserverpb__LeaseKeepAliveResponse response = ETCDSERVERPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header;
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    header_of(server, mvcc_revision(server->mvcc), &header);
    response.header = &header;
    response.id = id;
    response.ttl = ttl_s;
    (void)proto_pack_append(&response.base, &body);
    stream_reply(server, request->handle, request->held, &body, false);
}

void keep_alive_forwarded(struct server *server, struct request *request, bool reached,
                          int64_t ttl_s)
{
    struct stream_state *stream = stream_find(server, request->handle);
    if (stream == NULL) {
        request_free(request);
        return;
    }
    if (reached) {
        keep_alive_answer(server, request, request->number_signed, ttl_s);
        request_free(request);
    } else if (server_now_ms(server) < request->deadline_ms) {
        lease_forward_later(server, request);
    } else {
        request_free(request);
        stream_end(server, stream,
                   state_has_leader(server) ? ETCD_ERR_TIMEOUT : ETCD_ERR_NO_LEADER);
    }
}

void rpc_lease_keep_alive(struct server *server, struct request *request)
{
    /* One that comes back with its proof may find its client gone. */
    struct stream_state *stream = request->after_proof == NULL
                                      ? stream_open(server, request)
                                      : stream_find(server, request->handle);
    if (stream == NULL) {
        request_free(request);
        return;
    }
    if (!lease_leadership_is_sure(server, request, rpc_lease_keep_alive) ||
        !authz_answer(server, request)) {
        return;
    }
    int64_t id = ((const Etcdserverpb__LeaseKeepAliveRequest *)request->message)->id;
    int64_t ttl_s = 0;
    request->number_signed = id;
    switch (lessor_renew(server->lessor, id, server_lease_now_ms(server), &ttl_s)) {
    case LEASE_RENEWED:
        metric_add(&METRIC_LEASE_RENEWED, 1);
        break;
    case LEASE_RENEW_NOT_FOUND:
        ttl_s = 0;
        break;
    case LEASE_RENEW_EXPIRED:
        /* Its revoke is on the way: the answer waits for it, so that no client believes it lives.
         */
        list_append(&stream->waiting, &request->link);
        return;
    case LEASE_RENEW_NOT_PRIMARY:
        lease_forward(server, request);
        return;
    case LEASE_RENEW_CHECKPOINT:
        lease_forget_rest(server, id);
        lease_forward(server, request); /* comes back here once that is applied */
        return;
    }
    keep_alive_answer(server, request, id, ttl_s);
    request_free(request);
}

void streams_on_revoked(struct server *server, int64_t lease)
{
    size_t cursor = 0;
    void *value;
    while (map_next(&server->streams, &cursor, NULL, &value)) {
        struct stream_state *stream = value;
        LIST_EACH_SAFE(it, &stream->waiting)
        {
            struct request *request = LIST_ENTRY(it, struct request, link);
            if (request->number_signed == lease) {
                list_remove(&request->link);
                keep_alive_answer(server, request, lease, 0);
                request_free(request);
            }
        }
    }
}

void streams_on_demotion(struct server *server)
{
    size_t cursor = 0;
    void *value;
    while (map_next(&server->streams, &cursor, NULL, &value)) {
        struct stream_state *stream = value;
        while (!list_empty(&stream->waiting)) {
            struct request *request = LIST_ENTRY(stream->waiting.next, struct request, link);
            list_remove(&request->link);
            lease_forward_later(server, request);
        }
    }
}

/* ---- all streams ---- */

bool stream_is_served(struct server *server, uint64_t handle)
{
    return stream_find(server, handle) != NULL;
}

void stream_half_closed(struct server *server, uint64_t handle)
{
    struct stream_state *stream = stream_find(server, handle);
    if (stream != NULL && stream->watch != NULL) {
        return; /* as etcd: it is told what it watches until it goes */
    }
    if (stream != NULL) {
        stream_end(server, stream, ETCD_OK);
    } else {
        stream_finish(server, handle, GRPC_OK, NULL);
    }
}

void stream_canceled(struct server *server, uint64_t handle)
{
    struct stream_state *stream = stream_find(server, handle);
    contest_canceled(server, handle);
    ranges_canceled(server, handle);
    authz_call_gone(server, handle);
    if (stream != NULL) {
        stream_drop(server, stream);
    }
}

void stream_drained(struct server *server, uint64_t handle, size_t bytes)
{
    struct stream_state *stream = stream_find(server, handle);
    contest_drained(server, handle, bytes);
    ranges_drained(server, handle, bytes);
    if (stream != NULL) {
        ASSERT(bytes <= stream->unsent_bytes);
        stream->unsent_bytes -= bytes;
        if (stream->unsent_bytes == 0) {
            events_are_taken(stream);
        }
        if (stream->more) {
            stream_queue_pull(server, stream);
        }
    }
}

void streams_check_leader(struct server *server)
{
    if (state_has_leader(server)) {
        server->leader_lost_ms = 0;
        return;
    }
    uint64_t now = server_now_ms(server);
    if (server->leader_lost_ms == 0) {
        server->leader_lost_ms = now;
    }
    if (now - server->leader_lost_ms < NO_LEADER_TIMEOUTS * (uint64_t)server->config->election_ms) {
        return;
    }
    size_t cursor = 0;
    void *value;
    while (map_next(&server->streams, &cursor, NULL, &value)) {
        struct stream_state *stream = value;
        if (stream->require_leader) {
            stream_end(server, stream, ETCD_ERR_NO_LEADER);
        }
    }
}
