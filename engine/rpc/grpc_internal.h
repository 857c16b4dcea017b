/* SPDX-License-Identifier: Apache-2.0 */
/* What grpc.c and grpc_local.c share. Nobody else includes it. */
#ifndef ENGINE_RPC_GRPC_INTERNAL_H
#define ENGINE_RPC_GRPC_INTERNAL_H

#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "base/net/handle.h"
#include "engine/rpc/grpc.h"
#include "engine/rpc/grpc_local.h"
#include "engine/rpc/http2.h"

#define GRPC_HEADERS_MAX 8u

struct grpc_conn {
    struct list node;
    struct grpc_server *server;
    struct http2_session *session;
    struct held *held;
    size_t receive_bytes; /* of unfinished requests */
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

struct grpc_counters {
    _Atomic uint64_t received_bytes;
    _Atomic uint64_t sent_bytes;
    _Atomic uint64_t received_messages;
    _Atomic uint64_t sent_messages;
    _Atomic uint64_t started_calls;
    _Atomic uint64_t open_calls;
    _Atomic uint64_t open_connections;
};

struct grpc_server {
    struct grpc_server_config config;
    struct http2_config http2;
    struct map methods;  /* path to const struct grpc_method */
    struct map services; /* names of services, for the texts of errors */
    struct list conns;
    struct handle_table handles;
    size_t receive_bytes; /* of unfinished requests */
    size_t stream_count;
    uint64_t abuse_second; /* which second abuses_logged is of */
    uint32_t abuses_logged;
    bool draining;
    size_t ending_calls; /* open ones of methods that are not endless */
    void (*take_other)(void *ctx, struct http2_stream *stream, bool ends_here);
    void *take_other_ctx;
    struct held *local_held; /* of all calls that come another way together */
    struct grpc_counters counters;
};

struct grpc_call {
    struct grpc_server *server;
    struct http2_stream *stream;
    const struct grpc_local *local; /* instead of stream */
    void *local_ctx;
    const struct grpc_method *method;
    void *user;
    uint64_t handle;
    uint64_t started_ns;
    uint64_t deadline_ms;
    struct loop_timer deadline;
    struct buf received; /* an unfinished message, or what a paused call holds back */
    size_t unconsumed;   /* window that a paused call keeps */
    uint64_t message_count;
    bool is_paused;
    bool is_parsing;
    bool is_half_closed; /* the client has sent its last byte */
    bool told_half_close;
    bool has_sent_headers;
    size_t header_count;
    char *header_names[GRPC_HEADERS_MAX];
    char *header_values[GRPC_HEADERS_MAX];
};

/* A call without a way to its client yet; counted as started. */
struct grpc_call *grpc_call_new(struct grpc_server *server, const struct grpc_method *method,
                                uint64_t timeout_ms);

/* The call cannot go on: sends the status (why permitting), tells the user, and it is gone. */
void grpc_call_cancel(struct grpc_call *call, enum grpc_cancel why, enum grpc_code code,
                      const char *message);
void grpc_call_release(struct grpc_call *call);

#endif
