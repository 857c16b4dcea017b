/* SPDX-License-Identifier: Apache-2.0 */
/* Calls without HTTP/2 under them. */
#include "engine/rpc/grpc_local.h"

#include <stdio.h>

#include "base/assert.h"
#include "engine/rpc/grpc_internal.h"

const struct grpc_method *grpc_server_method(const struct grpc_server *server, const char *path)
{
    return map_get(&server->methods, bytes_of_str(path));
}

uint64_t grpc_local_open(struct grpc_server *server, const struct grpc_method *method,
                         const struct grpc_local *local, void *ctx)
{
    struct grpc_call *call = grpc_call_new(server, method, UINT64_MAX);
    uint64_t handle = call->handle;
    call->local = local;
    call->local_ctx = ctx;
    if (server->config.on_start != NULL) {
        server->config.on_start(server->config.ctx, call);
    }
    return handle;
}

void grpc_local_feed(struct grpc_call *call, struct bytes message)
{
    struct grpc_server *server = call->server;
    uint64_t handle = call->handle;
    ASSERT(!call->is_paused && !call->is_parsing);
    if (message.size > server->config.message_bytes_max) {
        char text[128];
        snprintf(text, sizeof(text), "grpc: received message larger than max (%zu vs. %zu)",
                 message.size, server->config.message_bytes_max);
        grpc_call_cancel(call, GRPC_CANCEL_PROTOCOL, GRPC_RESOURCE_EXHAUSTED, text);
        return;
    }
    call->message_count++;
    atomic_fetch_add_explicit(&server->counters.received_messages, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&server->counters.received_bytes, message.size, memory_order_relaxed);
    call->is_parsing = true;
    server->config.on_message(server->config.ctx, call, message);
    if (handle_get(&server->handles, handle) == call) {
        call->is_parsing = false;
    }
}

bool grpc_local_is_paused(const struct grpc_call *call)
{
    return call->is_paused;
}

void grpc_local_half_close(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    bool takes_one = call->method->kind == GRPC_UNARY || call->method->kind == GRPC_SERVER_STREAM;
    ASSERT(!call->is_paused && !call->told_half_close);
    call->is_half_closed = true;
    call->told_half_close = true;
    if (!takes_one && server->config.on_half_close != NULL) {
        server->config.on_half_close(server->config.ctx, call);
    }
}

void grpc_local_drained(struct grpc_call *call)
{
    struct grpc_server *server = call->server;
    if (server->config.on_drained != NULL) {
        server->config.on_drained(server->config.ctx, call);
    }
}

void grpc_local_abort(struct grpc_call *call)
{
    grpc_call_cancel(call, GRPC_CANCEL_LOST, GRPC_CANCELED, NULL);
}
