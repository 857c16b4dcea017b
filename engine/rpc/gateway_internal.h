/* SPDX-License-Identifier: Apache-2.0 */
/* What gateway.c (requests, messages) and gateway_socket.c (WebSocket) share. Nobody else includes
 * it. */
#ifndef ENGINE_RPC_GATEWAY_INTERNAL_H
#define ENGINE_RPC_GATEWAY_INTERNAL_H

#include "engine/rpc/gateway.h"
#include "engine/rpc/grpc_local.h"
#include "engine/rpc/pbjson.h"
#include "engine/rpc/websocket.h"

struct gateway {
    struct grpc_server *grpc;
    size_t text_bytes_max;
};

/* One HTTP request; dies with it (gateway_over). */
struct gateway_call {
    struct gateway *gateway;
    struct http1_request *http;
    const ProtobufCMethodDescriptor *types;
    const struct grpc_method *method;
    uint64_t handle; /* of the gRPC call */
    bool is_open;    /* the gRPC call lives */
    bool was_open;
    bool is_answered;
    bool body_ended, told_end;
    bool body_paused;
    bool in_parts;   /* the answer's JSON has begun */
    bool in_list;    /* and in it a list that is open */
    struct buf body; /* what has not been fed yet */
    struct pbjson_scan scan;
    struct buf answer; /* of a method that gives one message: its JSON */
    bool *gone;        /* set when the call is freed while a function below uses it */
    bool is_socket;    /* what follows is of a WebSocket */
    bool in_frame;     /* a message of ours has begun and goes on */
    struct websocket_reader frames;
    char *token; /* owned; NULL: none */
};

/* ---- gateway.c ---- */

/* One more message of the client. May answer and end the call's request. */
void gateway_call_take(struct gateway_call *call, struct bytes message);

/* The client has given up: the gRPC call ends. */
void gateway_call_drop(struct gateway_call *call);

/* ---- gateway_socket.c ---- */

/* In on_head: shakes hands. False: it was refused, and is answered. */
bool gateway_socket_open(struct gateway_call *call);

/* A message to the client, or what there is of it. */
void gateway_socket_write(struct gateway_call *call, struct bytes text, bool is_last);

/* Says why, and ends the request. The call may be gone when this returns. */
void gateway_socket_close(struct gateway_call *call, enum websocket_reason reason);

#endif
