/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain HTTP over HTTP/2: what browsers, curl and probes speak to a TLS port as soon as it offers
 * h2. Each request is given to a server of HTTP/1.1 through a pair of sockets, so that there is one
 * set of handlers.
 *
 * Guarantees: nothing of a request can become a second one (names and values with control
 * characters are refused); bodies of requests are bounded, answers flow with back-pressure.
 */
#ifndef ENGINE_RPC_HTTP2_BRIDGE_H
#define ENGINE_RPC_HTTP2_BRIDGE_H

#include "base/net/http1.h"
#include "engine/rpc/grpc.h"

#define BRIDGE_REQUESTS_MAX       256u /* at a time; more are answered 503 */
#define BRIDGE_BODY_BYTES_MAX     HTTP1_BODY_BYTES_DEFAULT
#define BRIDGE_ANSWER_QUEUE_BYTES (256u * 1024u)

struct http2_bridge;

/* Takes what grpc gets and does not understand to http; both borrowed. */
struct http2_bridge *http2_bridge_new(struct loop *loop, struct grpc_server *grpc,
                                      struct http1_server *http);

/* After the gRPC server, whose streams it serves. NULL is allowed. */
void http2_bridge_free(struct http2_bridge *bridge);

#endif
