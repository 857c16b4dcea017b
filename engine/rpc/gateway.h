/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON gateway: POST /v3/kv/range and its like as calls of the gRPC server, as grpc-gateway
 * does it for etcd. A request's memory is bounded by what a gRPC message may have; answers of
 * streams are made as fast as the client takes them. Any of its paths may be spoken over WebSocket:
 * one message per frame each way, so that a stream can be answered while it is written; a client
 * that closes has given up.
 */
#ifndef ENGINE_RPC_GATEWAY_H
#define ENGINE_RPC_GATEWAY_H

#include "base/net/http1.h"
#include "engine/rpc/grpc.h"

#define GATEWAY_PREFIX      "/v3/"
#define GATEWAY_PREFIX_BETA "/v3beta/"

struct gateway;

/* Borrows grpc. message_bytes_max as the gRPC server has it. */
struct gateway *gateway_new(struct grpc_server *grpc, size_t message_bytes_max);

/* All its requests must be over. */
void gateway_free(struct gateway *gateway);

/* Whether the path is one of the gateway's (also one that it answers with 404). */
bool gateway_is_path(const char *path);

/* In on_head: takes the request, its body and its user slot. */
void gateway_take(struct gateway *gateway, struct http1_request *request);

/* Whether gateway_take was given this request; the next two are for such. */
bool gateway_has(const struct http1_request *request);
void gateway_drained(struct http1_request *request);
void gateway_over(struct http1_request *request);

/* The HTTP status that stands for a gRPC code. */
int gateway_status(enum grpc_code code);

#endif
