/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine/rpc/grpc.h and port.h without sockets: the server's end of the calls that client.c makes.
 * All of it is the node's memory and runs on the node's I/O loop.
 */
#include "engine/rpc/grpc.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/net/handle.h"
#include "base/net/loop.h"
#include "engine/rpc/gateway.h"
#include "engine/rpc/port.h"
#include "tests/sim/sim_internal.h"

struct grpc_server {
    struct grpc_server_config config;
    struct handle_table handles;
    struct list calls;
    struct grpc_stats stats;
};

struct grpc_call {
    struct list link;
    struct buf parts; /* of an answer that is not whole yet */
    size_t parts_size;
    struct grpc_server *server;
    const struct grpc_method *method;
    uint64_t handle;
    uint64_t client; /* client.c's name for it */
    void *user;
    struct loop_timer deadline;
    uint64_t deadline_ms, started_ns;
    uint64_t message_count;
    bool require_leader, is_half_closed, told_half_close, is_paused, is_delivering;
    struct list kept; /* struct call_item that came while it was paused */
};

/* ---- the server ---- */

struct grpc_server *grpc_server_new(const struct grpc_server_config *config)
{
    ASSERT(config->on_message != NULL && config->on_cancel != NULL);
    struct grpc_server *server = mem_zalloc(sizeof(*server));
    server->config = *config;
    if (server->config.message_bytes_max == 0) {
        server->config.message_bytes_max = GRPC_MESSAGE_BYTES_DEFAULT;
    }
    handle_table_init(&server->handles);
    list_init(&server->calls);
    return server;
}

static void drop_kept(struct grpc_call *call)
{
    while (!list_empty(&call->kept)) {
        struct call_item *item = LIST_ENTRY(call->kept.next, struct call_item, kept);
        list_remove(&item->kept);
        call_item_done(item);
    }
}

static void call_free(struct grpc_call *call)
{
    uint64_t client = call->client;
    loop_timer_cancel(&call->deadline);
    handle_remove(&call->server->handles, call->handle);
    list_remove(&call->link);
    call->server->stats.open_calls--;
    drop_kept(call);
    buf_free(&call->parts);
    mem_free(call);
    call_set_server(client, 0);
}

static void call_cancel(struct grpc_call *call, enum grpc_cancel why)
{
    struct grpc_server *server = call->server;
    server->config.on_cancel(server->config.ctx, call, why);
    call_free(call);
}

void grpc_server_free(struct grpc_server *server)
{
    if (server == NULL) {
        return;
    }
    if (node_grpc(sim_node()) == server) {
        node_set_grpc(NULL);
    }
    while (!list_empty(&server->calls)) {
        struct grpc_call *call = LIST_ENTRY(server->calls.next, struct grpc_call, link);
        call_finish(call->client, GRPC_UNAVAILABLE, "sim: the node closed the connection");
        call_cancel(call, GRPC_CANCEL_LOST);
    }
    handle_table_free(&server->handles);
    mem_free(server);
}

void grpc_server_adopt(struct grpc_server *server, struct stream *stream, struct bytes first,
                       void (*on_closed)(void *ctx), void *closed_ctx)
{
    (void)server;
    (void)stream;
    (void)first;
    (void)on_closed;
    (void)closed_ctx;
    base_assert_fail(__FILE__, __LINE__, "the simulator has no streams");
}

void grpc_server_drain(struct grpc_server *server)
{
    (void)server; /* each call has a connection of its own, which ends with it */
}

bool grpc_server_is_drained(const struct grpc_server *server)
{
    (void)server;
    return true;
}

size_t grpc_server_ending_calls(const struct grpc_server *server)
{
    size_t count = 0;
    LIST_EACH(node, &server->calls)
    {
        count += LIST_ENTRY(node, struct grpc_call, link)->method->is_endless ? 0 : 1;
    }
    return count;
}

size_t grpc_server_connection_count(const struct grpc_server *server)
{
    return (size_t)server->stats.open_calls;
}

void grpc_server_stats(const struct grpc_server *server, struct grpc_stats *out_stats)
{
    *out_stats = server->stats;
    out_stats->open_connections = server->stats.open_calls;
}

/* ---- what comes from clients ---- */

static void on_deadline(void *ctx)
{
    struct grpc_call *call = ctx;
    call_finish(call->client, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
    call_cancel(call, GRPC_CANCEL_DEADLINE);
}

static const struct grpc_method *method_of(const struct grpc_server *server, const char *path)
{
    for (size_t i = 0; i < server->config.method_count; i++) {
        if (strcmp(server->config.methods[i].path, path) == 0) {
            return &server->config.methods[i];
        }
    }
    return NULL;
}

static void start(struct grpc_server *server, uint64_t client)
{
    struct call_start begin;
    call_started(client, &begin);
    const struct grpc_method *method = method_of(server, begin.method);
    if (method == NULL) {
        call_finish(client, GRPC_UNIMPLEMENTED, "unknown method");
        return;
    }
    struct grpc_call *call = mem_zalloc(sizeof(*call));
    call->server = server;
    call->method = method;
    call->client = client;
    call->require_leader = begin.require_leader;
    call->handle = handle_add(&server->handles, call);
    call->started_ns = loop_clock_ns();
    call->deadline_ms = UINT64_MAX;
    list_init(&call->kept);
    buf_init(&call->parts, BUF_NO_LIMIT);
    list_append(&server->calls, &call->link);
    server->stats.open_calls++;
    server->stats.started_calls++;
    loop_timer_init(server->config.loop, &call->deadline, on_deadline, call);
    if (begin.timeout_ms > 0) {
        call->deadline_ms = loop_now_ms(server->config.loop) + begin.timeout_ms;
        loop_timer_set(&call->deadline, begin.timeout_ms);
    }
    call_set_server(client, call->handle);
    if (server->config.on_start != NULL) {
        server->config.on_start(server->config.ctx, call);
    }
}

static void deliver_message(struct grpc_call *call, struct call_item *item)
{
    struct grpc_server *server = call->server;
    if (item->size > server->config.message_bytes_max) {
        call_finish(call->client, GRPC_RESOURCE_EXHAUSTED,
                    "grpc: received message larger than max");
        call_cancel(call, GRPC_CANCEL_PROTOCOL);
        return;
    }
    call->message_count++;
    server->stats.received_messages++;
    server->stats.received_bytes += item->size;
    server->config.on_message(server->config.ctx, call, bytes_of(item->data, item->size));
}

/* Gives what was kept as long as nobody pauses it. */
static void deliver_kept(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    uint64_t handle = call->handle;
    call->is_delivering = true;
    while (handle_get(&server->handles, handle) != NULL && !call->is_paused &&
           !list_empty(&call->kept)) {
        struct call_item *item = LIST_ENTRY(call->kept.next, struct call_item, kept);
        list_remove(&item->kept);
        deliver_message(call, item);
        call_item_done(item);
    }
    if (handle_get(&server->handles, handle) == NULL) {
        return;
    }
    call->is_delivering = false;
    if (call->is_half_closed && !call->told_half_close && !call->is_paused) {
        call->told_half_close = true;
        bool takes_one =
            call->method->kind == GRPC_UNARY || call->method->kind == GRPC_SERVER_STREAM;
        if (!takes_one && server->config.on_half_close != NULL) {
            server->config.on_half_close(server->config.ctx, call);
        }
    }
}

/* On the I/O loop. */
static void take_item(void *ctx)
{
    struct call_item *item = ctx;
    struct grpc_server *server = node_grpc(sim_node());
    if (item->kind == CALL_START && server == NULL) {
        call_finish(item->call, GRPC_UNAVAILABLE, "sim: the node closed the connection");
    } else if (item->kind == CALL_START) {
        start(server, item->call);
    }
    struct grpc_call *call =
        server == NULL ? NULL : handle_get(&server->handles, call_server(item->call));
    if (call != NULL && (item->kind == CALL_MESSAGE || item->kind == CALL_START)) {
        list_append(&call->kept, &item->kept);
        if (!call->is_delivering) {
            deliver_kept(call);
        }
        return;
    }
    if (call != NULL && item->kind == CALL_HALF_CLOSE) {
        call->is_half_closed = true;
        deliver_kept(call);
    } else if (call != NULL && item->kind == CALL_RESET) {
        call_cancel(call, GRPC_CANCEL_RESET);
    } else if (call != NULL && item->kind == CALL_DRAINED && server->config.on_drained != NULL) {
        server->config.on_drained(server->config.ctx, call);
    }
    call_item_done(item);
}

void grpc_arrive(struct call_item *item)
{
    struct grpc_server *server = node_grpc(sim_node());
    if (server == NULL) {
        take_item(item); /* it is shutting down */
    } else {
        loop_post(server->config.loop, take_item, item);
    }
}

/* ---- calls ---- */

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

const char *grpc_call_metadata(const struct grpc_call *call, const char *name)
{
    return call->require_leader && strcmp(name, "hasleader") == 0 ? "true" : NULL;
}

const char *grpc_call_peer_address(const struct grpc_call *call)
{
    (void)call;
    return "10.0.1.1:40000";
}

const char *grpc_call_peer_name(const struct grpc_call *call)
{
    (void)call;
    return NULL;
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

void grpc_call_send(struct grpc_call *call, struct bytes message)
{
    call->server->stats.sent_messages++;
    call->server->stats.sent_bytes += message.size;
    call_answer(call->client, message);
}

void grpc_call_send_buf(struct grpc_call *call, struct buf *message)
{
    grpc_call_send(call, buf_bytes(message));
    buf_free(message);
}

void grpc_call_send_ref(struct grpc_call *call, struct bytes message, stream_release_fn release,
                        void *ctx)
{
    grpc_call_send(call, message);
    release(ctx);
}

struct held *grpc_call_held(const struct grpc_call *call)
{
    (void)call; /* what clients have not taken is in their own memory */
    return NULL;
}

bool grpc_call_is_local(const struct grpc_call *call)
{
    (void)call;
    return false;
}

void grpc_call_send_held(struct grpc_call *call, struct buf *message, struct held *held)
{
    ASSERT(held == NULL);
    grpc_call_send_buf(call, message);
}

uint64_t grpc_call_send_framed(struct grpc_call *call, struct buf *messages, struct held *held)
{
    uint64_t count = 0;
    ASSERT(held == NULL);
    for (size_t at = 0; at < messages->size; count++) {
        size_t size = get_be32(messages->data + at + 1);
        grpc_call_send(call, bytes_of(messages->data + at + GRPC_PREFIX_BYTES, size));
        at += GRPC_PREFIX_BYTES + size;
    }
    buf_free(messages);
    return count;
}

void grpc_call_send_size(struct grpc_call *call, uint32_t message_size)
{
    ASSERT(call->parts_size == 0);
    call->parts_size = message_size;
}

void grpc_call_send_part(struct grpc_call *call, struct buf *part, struct held *held)
{
    ASSERT(held == NULL && call->parts.size + part->size <= call->parts_size);
    (void)buf_append(&call->parts, part->data, part->size);
    buf_free(part);
    if (call->parts.size == call->parts_size) {
        grpc_call_send(call, buf_bytes(&call->parts));
    }
}

void grpc_call_abort(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    call_finish(call->client, GRPC_UNAVAILABLE, "sim: the stream was reset");
    if (server->config.on_finished != NULL) {
        server->config.on_finished(server->config.ctx, call, GRPC_UNAVAILABLE);
    }
    call_free(call);
}

void grpc_call_finish(struct grpc_call *call, enum grpc_code code, const char *message)
{
    struct grpc_server *server = call->server;
    call_finish(call->client, code, message);
    if (server->config.on_finished != NULL) {
        server->config.on_finished(server->config.ctx, call, code);
    }
    call_free(call);
}

void grpc_call_set_header(struct grpc_call *call, const char *name, const char *value)
{
    (void)call; /* clients of the simulator do not look at headers */
    (void)name;
    (void)value;
}

size_t grpc_call_pending_bytes(const struct grpc_call *call)
{
    return call_unread_bytes(call->client);
}

void grpc_call_pause(struct grpc_call *call)
{
    call->is_paused = true;
}

void grpc_call_resume(struct grpc_call *call)
{
    if (call->is_paused) {
        call->is_paused = false;
        if (!call->is_delivering) {
            deliver_kept(call);
        }
    }
}

/* ---- engine/rpc/gateway.h: clients of the simulator speak gRPC alone ---- */

struct gateway *gateway_new(struct grpc_server *grpc, size_t message_bytes_max)
{
    (void)grpc;
    (void)message_bytes_max;
    return NULL;
}

void gateway_free(struct gateway *gateway)
{
    (void)gateway;
}

bool gateway_is_path(const char *path)
{
    (void)path;
    return false;
}

void gateway_take(struct gateway *gateway, struct http1_request *request)
{
    (void)gateway;
    (void)request;
    base_assert_fail(__FILE__, __LINE__, "the simulator has no gateway");
}

bool gateway_has(const struct http1_request *request)
{
    (void)request;
    return false;
}

void gateway_drained(struct http1_request *request)
{
    (void)request;
}

void gateway_over(struct http1_request *request)
{
    (void)request;
}

/* ---- engine/rpc/port.h ---- */

struct port {
    struct port_config config;
    uint16_t numbers[PORT_URLS_MAX];
};

int port_open(const struct port_config *config, struct port **out_port, struct err *err)
{
    (void)err;
    struct port *port = mem_zalloc(sizeof(*port));
    port->config = *config;
    port->config.urls = NULL;
    for (size_t i = 0; i < config->url_count; i++) {
        port->numbers[i] = config->urls[i].port;
        if (config->http != NULL) {
            sim_net_listen(config->http, config->urls[i].port);
        }
    }
    if (config->grpc != NULL) {
        node_set_grpc(config->grpc);
    }
    *out_port = port;
    return 0;
}

void port_stop_listening(struct port *port)
{
    if (port->config.http != NULL) {
        sim_net_unlisten(port->config.http);
        port->config.http = NULL;
    }
}

void port_free(struct port *port)
{
    mem_free(port);
}

uint16_t port_number(const struct port *port, size_t index)
{
    return port->numbers[index];
}
