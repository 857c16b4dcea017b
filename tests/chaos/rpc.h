/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small gRPC client over nghttp2 for the chaos programs: one connection, many calls, no threads.
 * It never waits and never repeats anything; the caller polls, times and decides.
 */
#ifndef TESTS_CHAOS_RPC_H
#define TESTS_CHAOS_RPC_H

#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"
#include "base/defs.h"
#include "base/list.h"

/* Instead of a gRPC status: */
#define RPC_NO_ANSWER (-1) /* connection or stream lost */
#define RPC_NOT_SENT  (-2) /* there never was a connection: the member knows nothing of it */

/* Where a member listens: http://IPV4:PORT. */
struct rpc_endpoint {
    struct sockaddr_in address;
    char authority[32];
};

/* A connection, made by the first call; its calls end with it. */
struct rpc_link {
    int fd; /* -1: none */
    struct rpc_endpoint endpoint;
    bool has_sent; /* connected: some bytes have left */
    nghttp2_session *session;
    struct list calls;
};

struct rpc_call;

struct rpc_events {
    void (*on_message)(struct rpc_call *call, struct bytes message);
    /* The last one. Calls may be started from here. */
    void (*on_end)(struct rpc_call *call, int status, const char *text);
};

/* One call in flight at most; embed, zero, and rpc_call_init. */
struct rpc_call {
    struct list node;
    struct rpc_link *link; /* NULL: nothing runs */
    int32_t id;
    const struct rpc_events *events;
    void *ctx;
    const char *token; /* who asks; borrowed, NULL: nobody. Set between rpc_call_init and rpc_start */
    struct buf out, in;
    bool is_half_closed;
    int status;
    char text[128];
};

/* 0, or -1 when url is not of that form. */
int rpc_endpoint_parse(const char *url, struct rpc_endpoint *out_endpoint);

void rpc_link_init(struct rpc_link *link);
/* Ends all calls with RPC_NO_ANSWER or RPC_NOT_SENT and closes. Not from a callback. */
void rpc_link_drop(struct rpc_link *link, const char *reason);

void rpc_call_init(struct rpc_call *call, const struct rpc_events *events, void *ctx);
void rpc_call_free(struct rpc_call *call);

/*
 * Starts a call with its first message; a link without connection connects to endpoint first. Gives
 * -1 when nothing was sent (no connection).
 */
int rpc_start(struct rpc_link *link, const struct rpc_endpoint *endpoint, struct rpc_call *call,
              const char *path, const ProtobufCMessage *message, bool is_last);
/* One more message of a call that runs. */
void rpc_send(struct rpc_call *call, const ProtobufCMessage *message);
/* Ends the call without on_end. */
void rpc_cancel(struct rpc_call *call);

/* What to poll the link for; fd -1 when there is nothing. Sends what can be sent first. */
struct pollfd rpc_link_poll(struct rpc_link *link);
void rpc_link_ready(struct rpc_link *link, short revents);

uint64_t rpc_now_ns(void); /* CLOCK_MONOTONIC */

#endif
