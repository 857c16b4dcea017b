/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC calls: heads checked, messages cut out of the body, deadlines, status. A call that is
 * finished leaves its HTTP/2 stream behind, which sends what is queued and goes on its own.
 */
#include "engine/rpc/grpc.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/net/handle.h"
#include "engine/rpc/grpc_head.h"
#include "engine/rpc/grpc_internal.h"
#include "engine/rpc/http2.h"

#define GRPC_REQUEST_KEEP_BYTES 65536u

static void count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

static void uncount(_Atomic uint64_t *counter)
{
    atomic_fetch_sub_explicit(counter, 1, memory_order_relaxed);
}

/* Counts bytes of an unfinished request, or takes them away. */
static void count_received(struct grpc_call *call, size_t more, size_t less)
{
    call->server->receive_bytes += more - less;
    if (call->stream != NULL) {
        struct grpc_conn *conn = http2_session_ctx(http2_stream_session(call->stream));
        conn->receive_bytes += more - less;
    }
}

void grpc_call_release(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    loop_timer_cancel(&call->deadline);
    count_received(call, 0, call->received.size);
    handle_remove(&server->handles, call->handle);
    if (call->stream != NULL) { /* local calls have none */
        if (call->unconsumed > 0) {
            http2_stream_consume(call->stream, call->unconsumed);
        }
        http2_stream_set_user(call->stream, NULL);
    }
    for (size_t i = 0; i < call->header_count; i++) {
        mem_free(call->header_names[i]);
        mem_free(call->header_values[i]);
    }
    buf_free(&call->received);
    uncount(&server->counters.open_calls);
    server->ending_calls -= call->method->is_endless ? 0 : 1;
    mem_free(call);
}

static void call_send_headers(struct grpc_call *call)
{
    struct http2_header headers[2 + GRPC_HEADERS_MAX];
    headers[0] = grpc_header(":status", "200");
    headers[1] = grpc_header("content-type", GRPC_CONTENT_TYPE);
    for (size_t i = 0; i < call->header_count; i++) {
        headers[2 + i] = grpc_header(call->header_names[i], call->header_values[i]);
    }
    http2_stream_respond(call->stream, headers, 2 + call->header_count, false);
    call->has_sent_headers = true;
}

static void call_send_status(struct grpc_call *call, enum grpc_code code, const char *message)
{
    if (call->local != NULL) {
        call->local->on_status(call->local_ctx, code, message);
        return;
    }
    char text[GRPC_STATUS_MESSAGE_MAX];
    struct http2_header headers[4 + GRPC_HEADERS_MAX];
    if (call->has_sent_headers) {
        size_t count_of = grpc_status_headers(code, message, headers, text, sizeof(text));
        http2_stream_end(call->stream, headers, count_of);
        return;
    }
    headers[0] = grpc_header(":status", "200");
    headers[1] = grpc_header("content-type", GRPC_CONTENT_TYPE);
    for (size_t i = 0; i < call->header_count; i++) {
        headers[2 + i] = grpc_header(call->header_names[i], call->header_values[i]);
    }
    size_t used = 2 + call->header_count;
    used += grpc_status_headers(code, message, headers + used, text, sizeof(text));
    http2_stream_respond(call->stream, headers, used, true);
}

void grpc_call_finish(struct grpc_call *call, enum grpc_code code, const char *message)
{
    struct grpc_server *server = call->server;
    if (server->config.on_finished != NULL) {
        server->config.on_finished(server->config.ctx, call, code); /* its way is still there */
    }
    call_send_status(call, code, message);
    grpc_call_release(call);
}

/* The call cannot go on: sends the status (why permitting) and tells the user. */
void grpc_call_cancel(struct grpc_call *call, enum grpc_cancel why, enum grpc_code code,
                      const char *message)
{
    struct grpc_server *server = call->server;
    if (why == GRPC_CANCEL_DEADLINE || why == GRPC_CANCEL_PROTOCOL) {
        call_send_status(call, code, message);
    }
    server->config.on_cancel(server->config.ctx, call, why);
    grpc_call_release(call);
}

static void call_on_deadline(void *ctx)
{
    grpc_call_cancel(ctx, GRPC_CANCEL_DEADLINE, GRPC_DEADLINE_EXCEEDED,
                     "context deadline exceeded");
}

/* Checks the prefix of the message at data; false when the call was ended by it. */
static bool call_check_prefix(struct grpc_call *call, struct bytes data)
{
    char text[160];
    uint32_t size = get_be32(data.data + 1);
    size_t max = call->server->config.message_bytes_max;
    if (data.data[0] > 1) {
        snprintf(text, sizeof(text), "grpc: received unexpected payload format %u",
                 (unsigned)data.data[0]);
        grpc_call_cancel(call, GRPC_CANCEL_PROTOCOL, GRPC_INTERNAL, text);
        return false;
    }
    if (data.data[0] == 1) {
        grpc_call_cancel(call, GRPC_CANCEL_PROTOCOL, GRPC_INTERNAL,
                         "grpc: compressed flag set with identity or empty encoding");
        return false;
    }
    if (size > max) {
        snprintf(text, sizeof(text), "grpc: received message larger than max (%" PRIu32 " vs. %zu)",
                 size, max);
        grpc_call_cancel(call, GRPC_CANCEL_PROTOCOL, GRPC_RESOURCE_EXHAUSTED, text);
        return false;
    }
    bool is_single = call->method->kind == GRPC_UNARY || call->method->kind == GRPC_SERVER_STREAM;
    if (is_single && call->message_count > 0) {
        grpc_call_cancel(call, GRPC_CANCEL_PROTOCOL, GRPC_INTERNAL,
                         "grpc: more than one request message for a method that takes one");
        return false;
    }
    return true;
}

/*
 * Gives the whole messages at the front of data to the user; *out_used is how far it came. False
 * when the call is gone.
 */
static bool call_deliver(struct grpc_call *call, struct bytes data, size_t *out_used)
{
    struct grpc_server *server = call->server;
    uint64_t handle = call->handle;
    size_t used = 0;
    while (!call->is_paused && data.size - used >= GRPC_PREFIX_BYTES) {
        struct bytes rest = bytes_of(data.data + used, data.size - used);
        if (!call_check_prefix(call, rest)) {
            return false;
        }
        uint32_t size = get_be32(rest.data + 1);
        if (rest.size < GRPC_PREFIX_BYTES + (size_t)size && !FUZZ_PLANT(grpc_length)) {
            break;
        }
        used += GRPC_PREFIX_BYTES + size;
        call->message_count++;
        count(&server->counters.received_messages, 1);
        count(&server->counters.received_bytes, size);
        server->config.on_message(server->config.ctx, call,
                                  bytes_of(rest.data + GRPC_PREFIX_BYTES, size));
        if (handle_get(&server->handles, handle) == NULL) {
            return false;
        }
    }
    *out_used = used;
    return true;
}

/* Tells about the end of the client's half, once, when all before it was delivered. */
static void call_settle_half_close(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    if (!call->is_half_closed || call->told_half_close || call->is_paused) {
        return;
    }
    call->told_half_close = true;
    bool takes_one = call->method->kind == GRPC_UNARY || call->method->kind == GRPC_SERVER_STREAM;
    if (call->received.size > 0 || (takes_one && call->message_count == 0)) {
        grpc_call_cancel(call, GRPC_CANCEL_PROTOCOL, GRPC_INTERNAL, "unexpected EOF");
        return;
    }
    if (!takes_one && server->config.on_half_close != NULL) {
        server->config.on_half_close(server->config.ctx, call);
    }
}

/* Works through what was received and kept; false when the call is gone. */
static bool call_deliver_kept(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    uint64_t handle = call->handle;
    struct buf kept = call->received;
    size_t used = 0;
    buf_init(&call->received, BUF_NO_LIMIT); /* the user may pause and more may come meanwhile */
    count_received(call, 0, kept.size);
    call->is_parsing = true;
    bool alive = call_deliver(call, buf_bytes(&kept), &used);
    if (alive) {
        ASSERT(handle_get(&server->handles, handle) == call && call->received.size == 0);
        call->is_parsing = false;
        buf_consume(&kept, used);
        buf_free(&call->received);
        call->received = kept;
        count_received(call, kept.size, 0);
        if (kept.size == 0 && kept.capacity > GRPC_REQUEST_KEEP_BYTES) {
            buf_free(&call->received);
            buf_init(&call->received, BUF_NO_LIMIT);
        }
    } else {
        buf_free(&kept);
    }
    return alive;
}

static void call_keep(struct grpc_call *call, struct bytes data)
{
    buf_append(&call->received, data.data, data.size);
    count_received(call, data.size, 0);
}

/* Who broke which rule; not more of it than a log can bear. */
static void log_abuse(struct grpc_server *server, const char *address, const char *reason)
{
    uint64_t second = loop_now_ms(server->config.loop) / 1000;
    if (second != server->abuse_second) {
        server->abuse_second = second;
        server->abuses_logged = 0;
    }
    if (server->abuses_logged++ < GRPC_ABUSES_LOGGED) {
        LOG_WARN("cut off a client that goes beyond the limits", LOG_STR("remote-addr", address),
                 LOG_STR("reason", reason));
    }
}

static void grpc_on_abuse(void *ctx, struct http2_session *session, const char *reason)
{
    if (strstr(reason, "GOAWAY: invalid last_stream_id") != NULL) {
        return; /* so grpc-go's clients say good-bye */
    }
    log_abuse(ctx, stream_peer_address(http2_session_stream(session)), reason);
}

static bool grpc_may_read(void *ctx, const struct http2_session *session)
{
    const struct grpc_server *server = ctx;
    const struct grpc_conn *conn = http2_session_ctx(session);
    return server->config.may_read == NULL || conn->held == NULL ||
           server->config.may_read(server->config.ctx, conn->held);
}

static void grpc_on_data(void *ctx, struct http2_stream *stream, struct bytes data)
{
    struct grpc_server *server = ctx;
    struct grpc_call *call = http2_stream_user(stream);
    if (call == NULL) {
        http2_stream_consume(stream, data.size);
        return;
    }
    if (call->is_paused) {
        call->unconsumed += data.size;
    } else {
        http2_stream_consume(stream, data.size);
    }
    if (call->received.size > 0 || call->is_paused) {
        call_keep(call, data);
        if (!call->is_paused && !call_deliver_kept(call)) {
            return;
        }
    } else {
        size_t used = 0;
        call->is_parsing = true;
        if (!call_deliver(call, data, &used)) {
            return;
        }
        call->is_parsing = false;
        call_keep(call, bytes_of(data.data + used, data.size - used));
    }
    const struct grpc_conn *conn = http2_session_ctx(http2_stream_session(stream));
    if (server->receive_bytes > server->config.receive_bytes_max && call->received.size > 0 &&
        conn->receive_bytes >
            BASE_MIN(GRPC_RECEIVE_BYTES_SHARE, server->config.receive_bytes_max / 2)) {
        log_abuse(server, stream_peer_address(http2_session_stream(conn->session)),
                  "too much memory in unfinished requests");
        grpc_call_cancel(call, GRPC_CANCEL_PROTOCOL, GRPC_RESOURCE_EXHAUSTED,
                         "grpc: too much memory in unfinished requests");
    }
}

static void grpc_on_end(void *ctx, struct http2_stream *stream)
{
    (void)ctx;
    struct grpc_call *call = http2_stream_user(stream);
    if (call != NULL) {
        call->is_half_closed = true;
        call_settle_half_close(call);
    }
}

static void grpc_on_close(void *ctx, struct http2_stream *stream, uint32_t error)
{
    (void)ctx;
    struct grpc_call *call = http2_stream_user(stream);
    if (call != NULL) {
        call->unconsumed = 0;
        grpc_call_cancel(call,
                         error == HTTP2_CONNECTION_LOST ? GRPC_CANCEL_LOST : GRPC_CANCEL_RESET,
                         GRPC_CANCELED, NULL);
    }
}

static void grpc_on_drained(void *ctx, struct http2_stream *stream)
{
    struct grpc_server *server = ctx;
    struct grpc_call *call = http2_stream_user(stream);
    if (call != NULL && server->config.on_drained != NULL) {
        server->config.on_drained(server->config.ctx, call);
    }
}

struct grpc_call *grpc_call_new(struct grpc_server *server, const struct grpc_method *method,
                                uint64_t timeout_ms)
{
    struct grpc_call *call = mem_zalloc(sizeof(*call));
    call->server = server;
    call->method = method;
    call->handle = handle_add(&server->handles, call);
    call->started_ns = loop_clock_ns();
    call->deadline_ms = UINT64_MAX;
    buf_init(&call->received, BUF_NO_LIMIT);
    loop_timer_init(server->config.loop, &call->deadline, call_on_deadline, call);
    if (timeout_ms != UINT64_MAX) {
        call->deadline_ms = loop_now_ms(server->config.loop) + timeout_ms;
        loop_timer_set(&call->deadline, timeout_ms);
    }
    count(&server->counters.started_calls, 1);
    count(&server->counters.open_calls, 1);
    server->ending_calls += method->is_endless ? 0 : 1;
    return call;
}

static void grpc_on_request(void *ctx, struct http2_stream *stream, bool ends_here)
{
    struct grpc_server *server = ctx;
    uint64_t timeout_ms = UINT64_MAX;
    if (server->take_other != NULL && !grpc_head_is_grpc(stream) &&
        stream_identity(http2_session_stream(http2_stream_session(stream))) != NULL) {
        server->take_other(server->take_other_ctx, stream, ends_here);
        return;
    }
    if (!grpc_head_check(stream, &timeout_ms)) {
        return;
    }
    const struct grpc_method *method = map_get(&server->methods, http2_stream_path(stream));
    if (method == NULL) {
        grpc_reject_unknown(&server->services, stream);
        return;
    }
    struct grpc_call *call = grpc_call_new(server, method, timeout_ms);
    call->stream = stream;
    http2_stream_set_user(stream, call);
    uint64_t handle = call->handle;
    if (server->config.on_start != NULL) {
        server->config.on_start(server->config.ctx, call);
    }
    if (ends_here && handle_get(&server->handles, handle) != NULL) {
        call->is_half_closed = true;
        call_settle_half_close(call);
    }
}

static void conn_end(struct grpc_conn *conn)
{
    list_remove(&conn->node);
    uncount(&conn->server->counters.open_connections);
    if (conn->on_closed != NULL) {
        conn->on_closed(conn->closed_ctx);
    }
    held_unref(conn->held);
    mem_free(conn);
}

static void grpc_on_session_close(void *ctx, struct http2_session *session, void *session_ctx)
{
    (void)ctx;
    (void)session;
    conn_end(session_ctx);
}

static void server_index_methods(struct grpc_server *server)
{
    map_init(&server->methods);
    map_init(&server->services);
    for (size_t i = 0; i < server->config.method_count; i++) {
        const struct grpc_method *method = &server->config.methods[i];
        const char *slash = strrchr(method->path, '/');
        ASSERT(method->path[0] == '/' && slash > method->path);
        void *value = (void *)(uintptr_t)method;
        map_set(&server->methods, bytes_of_str(method->path), value);
        const char *service = method->path + 1;
        map_set(&server->services, bytes_of(service, (size_t)(slash - service)), value);
    }
}

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value == 0 ? fallback : value;
}

struct grpc_server *grpc_server_new(const struct grpc_server_config *config)
{
    ASSERT(config->on_message != NULL && config->on_cancel != NULL);
    struct grpc_server *server = mem_zalloc(sizeof(*server));
    server->config = *config;
    struct grpc_server_config *own = &server->config;
    own->message_bytes_max = or_default(own->message_bytes_max, GRPC_MESSAGE_BYTES_DEFAULT);
    own->receive_bytes_max = or_default(own->receive_bytes_max, GRPC_RECEIVE_BYTES_DEFAULT);
    if (own->max_concurrent_streams == 0) {
        own->max_concurrent_streams = GRPC_CONCURRENT_STREAMS_DEFAULT;
    }
    server->http2 = (struct http2_config){
        .loop = own->loop,
        .ctx = server,
        .max_concurrent_streams = own->max_concurrent_streams,
        .ping_min_interval_ms = or_default(own->ping_min_interval_ms, GRPC_PING_MIN_INTERVAL_MS),
        .ping_without_stream = own->ping_without_stream,
        .keepalive_interval_ms = or_default(own->keepalive_interval_ms, GRPC_KEEPALIVE_INTERVAL_MS),
        .keepalive_timeout_ms = or_default(own->keepalive_timeout_ms, GRPC_KEEPALIVE_TIMEOUT_MS),
        .on_request = grpc_on_request,
        .on_data = grpc_on_data,
        .on_end = grpc_on_end,
        .on_drained = grpc_on_drained,
        .on_close = grpc_on_close,
        .on_session_close = grpc_on_session_close,
        .on_abuse = grpc_on_abuse,
        .may_read = grpc_may_read,
        .all_streams = &server->stream_count,
        .all_streams_max = GRPC_STREAMS_MAX,
    };
    server->local_held = own->held == NULL ? NULL : held_new(own->held);
    list_init(&server->conns);
    handle_table_init(&server->handles);
    server_index_methods(server);
    return server;
}

void grpc_server_set_other(struct grpc_server *server,
                           void (*take)(void *ctx, struct http2_stream *stream, bool ends_here),
                           void *ctx)
{
    server->take_other = take;
    server->take_other_ctx = ctx;
}

void grpc_server_free(struct grpc_server *server)
{
    if (server == NULL) {
        return;
    }
    while (!list_empty(&server->conns)) {
        struct grpc_conn *conn = LIST_ENTRY(server->conns.next, struct grpc_conn, node);
        http2_session_free(conn->session);
        conn_end(conn);
    }
    held_unref(server->local_held);
    handle_table_free(&server->handles);
    map_free(&server->methods);
    map_free(&server->services);
    mem_free(server);
}

void grpc_server_adopt(struct grpc_server *server, struct stream *stream, struct bytes first,
                       void (*on_closed)(void *ctx), void *closed_ctx)
{
    struct grpc_conn *conn = mem_zalloc(sizeof(*conn));
    conn->server = server;
    conn->held = server->config.held == NULL ? NULL : held_new(server->config.held);
    conn->on_closed = on_closed;
    conn->closed_ctx = closed_ctx;
    list_append(&server->conns, &conn->node);
    count(&server->counters.open_connections, 1);
    conn->session = http2_session_adopt(&server->http2, stream, conn);
    if (server->draining) {
        http2_session_drain(conn->session);
    }
    if (first.size > 0) {
        http2_session_feed(conn->session, first);
    }
}

void grpc_server_drain(struct grpc_server *server)
{
    server->draining = true;
    LIST_EACH(node, &server->conns)
    {
        http2_session_drain(LIST_ENTRY(node, struct grpc_conn, node)->session);
    }
}

bool grpc_server_is_drained(const struct grpc_server *server)
{
    LIST_EACH(node, &server->conns)
    {
        if (!http2_session_is_drained(LIST_ENTRY(node, struct grpc_conn, node)->session)) {
            return false;
        }
    }
    return true;
}

size_t grpc_server_ending_calls(const struct grpc_server *server)
{
    return server->ending_calls;
}

size_t grpc_server_connection_count(const struct grpc_server *server)
{
    return (size_t)atomic_load_explicit(
        &((struct grpc_server *)(uintptr_t)server)->counters.open_connections,
        memory_order_relaxed);
}

void grpc_server_stats(const struct grpc_server *server, struct grpc_stats *out_stats)
{
    struct grpc_counters *from = &((struct grpc_server *)(uintptr_t)server)->counters;
    *out_stats = (struct grpc_stats){
        .received_bytes = atomic_load(&from->received_bytes),
        .sent_bytes = atomic_load(&from->sent_bytes),
        .received_messages = atomic_load(&from->received_messages),
        .sent_messages = atomic_load(&from->sent_messages),
        .started_calls = atomic_load(&from->started_calls),
        .open_calls = atomic_load(&from->open_calls),
        .open_connections = atomic_load(&from->open_connections),
    };
}

uint64_t grpc_call_handle(const struct grpc_call *call)
{
    return call->handle;
}

struct grpc_call *grpc_call_from_handle(const struct grpc_server *server, uint64_t handle)
{
    return handle_get(&server->handles, handle);
}

struct grpc_server *grpc_call_server(const struct grpc_call *call)
{
    return call->server;
}

const struct grpc_method *grpc_call_method(const struct grpc_call *call)
{
    return call->method;
}

void grpc_call_set_user(struct grpc_call *call, void *user)
{
    call->user = user;
}

void *grpc_call_user(const struct grpc_call *call)
{
    return call->user;
}

struct held *grpc_call_held(const struct grpc_call *call)
{
    if (call->local != NULL) {
        return call->server->local_held;
    }
    const struct grpc_conn *conn = http2_session_ctx(http2_stream_session(call->stream));
    return conn->held;
}

bool grpc_call_is_local(const struct grpc_call *call)
{
    return call->local != NULL;
}

const char *grpc_call_metadata(const struct grpc_call *call, const char *name)
{
    if (call->local != NULL) {
        return call->local->metadata(call->local_ctx, name);
    }
    return http2_stream_header(call->stream, name);
}

const char *grpc_call_peer_address(const struct grpc_call *call)
{
    if (call->local != NULL) {
        return call->local->peer_address(call->local_ctx);
    }
    return stream_peer_address(http2_session_stream(http2_stream_session(call->stream)));
}

const char *grpc_call_peer_name(const struct grpc_call *call)
{
    if (call->local != NULL) {
        return NULL; /* a certificate speaks for its connection's own calls alone, as in etcd */
    }
    return stream_peer_name(http2_session_stream(http2_stream_session(call->stream)));
}

uint64_t grpc_call_deadline_ms(const struct grpc_call *call)
{
    return call->deadline_ms;
}

uint64_t grpc_call_started_ns(const struct grpc_call *call)
{
    return call->started_ns;
}

bool grpc_call_half_closed(const struct grpc_call *call)
{
    return call->is_half_closed;
}

static void count_sent(struct grpc_call *call, uint64_t messages, size_t bytes)
{
    count(&call->server->counters.sent_messages, messages);
    count(&call->server->counters.sent_bytes, bytes);
}

static void call_send(struct grpc_call *call, struct bytes message, stream_release_fn release,
                      void *ctx)
{
    uint8_t prefix[GRPC_PREFIX_BYTES] = {0};
    ASSERT(message.size <= INT32_MAX);
    count_sent(call, 1, message.size);
    if (call->local != NULL) {
        call->local->on_message(call->local_ctx, message);
        if (release != NULL) {
            release(ctx);
        }
        return;
    }
    put_be32(prefix + 1, (uint32_t)message.size);
    if (!call->has_sent_headers) {
        call_send_headers(call);
    }
    http2_stream_write(call->stream, bytes_of(prefix, sizeof(prefix)), message, release, ctx);
}

/* Bytes on their way to the socket, counted until they are there. */
struct counted {
    uint8_t *data;
    size_t size;
    struct held *held;
};

static void counted_release(void *ctx)
{
    struct counted *counted = ctx;
    held_sub(counted->held, HELD_ANSWERS, counted->size);
    held_unref(counted->held);
    mem_free(counted->data);
    mem_free(counted);
}

static struct counted *counted_new(struct buf *from, struct held *held)
{
    struct counted *counted = mem_alloc(sizeof(*counted));
    counted->held = held;
    counted->data = buf_take(from, &counted->size);
    return counted;
}

void grpc_call_send_held(struct grpc_call *call, struct buf *message, struct held *held)
{
    struct counted *counted = counted_new(message, held);
    call_send(call, bytes_of(counted->data, counted->size), counted_release, counted);
}

static void send_framed_locally(struct grpc_call *call, struct bytes framed)
{
    while (framed.size >= GRPC_PREFIX_BYTES) {
        size_t size = get_be32(framed.data + 1);
        size_t whole = GRPC_PREFIX_BYTES + size;
        ASSERT(whole <= framed.size);
        call_send(call, bytes_of(framed.data + GRPC_PREFIX_BYTES, size), NULL, NULL);
        framed = bytes_of(framed.data + whole, framed.size - whole);
    }
}

static uint64_t count_framed(struct bytes framed)
{
    uint64_t messages = 0;
    for (size_t at = 0; at < framed.size; messages++) {
        ASSERT(framed.size - at >= GRPC_PREFIX_BYTES);
        at += GRPC_PREFIX_BYTES + get_be32(framed.data + at + 1);
        ASSERT(at <= framed.size);
    }
    return messages;
}

/* Writes what needs no prefix. */
static void send_raw(struct grpc_call *call, struct buf *bytes, struct held *held)
{
    struct counted *counted = counted_new(bytes, held);
    if (!call->has_sent_headers) {
        call_send_headers(call);
    }
    http2_stream_write(call->stream, bytes_of_str(""), bytes_of(counted->data, counted->size),
                       counted_release, counted);
}

uint64_t grpc_call_send_framed(struct grpc_call *call, struct buf *messages, struct held *held)
{
    uint64_t message_count = count_framed(buf_bytes(messages));
    if (call->local != NULL) {
        struct counted *counted = counted_new(messages, held);
        send_framed_locally(call, bytes_of(counted->data, counted->size));
        counted_release(counted);
        return message_count;
    }
    count_sent(call, message_count, messages->size);
    send_raw(call, messages, held);
    return message_count;
}

void grpc_call_send_size(struct grpc_call *call, uint32_t message_size)
{
    uint8_t prefix[GRPC_PREFIX_BYTES] = {0};
    ASSERT(call->local == NULL);
    put_be32(prefix + 1, message_size);
    if (!call->has_sent_headers) {
        call_send_headers(call);
    }
    count_sent(call, 1, message_size);
    http2_stream_write(call->stream, bytes_of(prefix, sizeof(prefix)), bytes_of(NULL, 0), NULL,
                       NULL);
}

void grpc_call_send_part(struct grpc_call *call, struct buf *part, struct held *held)
{
    if (call->local != NULL) {
        struct counted *counted = counted_new(part, held);
        call->local->on_part(call->local_ctx, bytes_of(counted->data, counted->size));
        counted_release(counted);
        return;
    }
    send_raw(call, part, held);
}

void grpc_call_abort(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    if (call->local != NULL) {
        call->local->on_abort(call->local_ctx);
    } else {
        http2_stream_reset(call->stream, HTTP2_CANCEL);
    }
    if (server->config.on_finished != NULL) {
        server->config.on_finished(server->config.ctx, call, GRPC_UNAVAILABLE);
    }
    grpc_call_release(call);
}

void grpc_call_send(struct grpc_call *call, struct bytes message)
{
    call_send(call, message, NULL, NULL);
}

void grpc_call_send_buf(struct grpc_call *call, struct buf *message)
{
    size_t size = 0;
    uint8_t *data = buf_take(message, &size);
    call_send(call, bytes_of(data, size), mem_free, data);
}

void grpc_call_send_ref(struct grpc_call *call, struct bytes message, stream_release_fn release,
                        void *ctx)
{
    call_send(call, message, release, ctx);
}

void grpc_call_set_header(struct grpc_call *call, const char *name, const char *value)
{
    ASSERT(!call->has_sent_headers && call->header_count < GRPC_HEADERS_MAX);
    call->header_names[call->header_count] = str_dup(name);
    call->header_values[call->header_count] = str_dup(value);
    call->header_count++;
}

size_t grpc_call_pending_bytes(const struct grpc_call *call)
{
    return call->local != NULL ? call->local->pending_bytes(call->local_ctx)
                               : http2_stream_queued_bytes(call->stream);
}

void grpc_call_pause(struct grpc_call *call)
{
    call->is_paused = true;
}

void grpc_call_resume(struct grpc_call *call)
{
    if (!call->is_paused) {
        return;
    }
    call->is_paused = false;
    if (call->local != NULL) {
        if (!call->is_parsing) {
            call->local->on_resume(call->local_ctx);
        }
        return;
    }
    if (call->unconsumed > 0) {
        http2_stream_consume(call->stream, call->unconsumed);
        call->unconsumed = 0;
    }
    if (call->is_parsing) {
        return; /* the loop on the stack goes on */
    }
    if (call->received.size > 0 && !call_deliver_kept(call)) {
        return;
    }
    call_settle_half_close(call);
}
