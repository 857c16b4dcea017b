/* SPDX-License-Identifier: Apache-2.0 */
/* A client port with a small gRPC service and HTTP/1.1 handlers, on a loop in a thread of its own.
 */
#ifndef TESTS_RPC_LIB_WORLD_H
#define TESTS_RPC_LIB_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/net/http1.h"
#include "engine/rpc/grpc.h"
#include "engine/rpc/port.h"

enum world_method {
    WORLD_UNARY,   /* echoes */
    WORLD_BIDI,    /* echoes each message, finishes at the half close */
    WORLD_COLLECT, /* client stream: answers the number of messages */
    WORLD_BIG,  /* server stream: as many bytes as the request says in decimal, in 256 KiB messages
                 */
    WORLD_HANG, /* never answers */
    WORLD_FAIL, /* NotFound with a message that needs escapes */
    WORLD_SLOW, /* bidi that pauses itself at the first message */
};

struct world {
    struct loop *loop;
    struct grpc_server *grpc;
    struct http1_server *http;
    struct port *port;
    uint16_t number;
    pthread_t thread;
    _Atomic uint64_t cancels[4]; /* by enum grpc_cancel */
    _Atomic uint64_t finished;
    _Atomic uint64_t pending_max; /* highest grpc_call_pending_bytes of a big answer */
    _Atomic uint64_t slow_handle; /* the call that paused itself */
    _Atomic uint64_t slow_messages;
    _Atomic uint64_t http_requests;
    _Atomic uint64_t http_over;
};

/* Starts with the limits of config (callbacks, methods and loop are the world's); NULL: defaults.
 */
struct world *world_start(const struct grpc_server_config *limits);
void world_stop(struct world *world);

/* Runs fn(world) on the loop's thread and waits for it. */
void world_run(struct world *world, void (*fn)(void *ctx), void *ctx);

/* Waits until *counter is at least value; fails the test after some seconds. */
void world_wait(_Atomic uint64_t *counter, uint64_t value);

/* Waits until so many calls have begun. */
void world_wait_started(struct world *world, uint64_t calls);

/* A blocking TCP connection to the port. */
int world_connect(const struct world *world);

/* Reads until the other side closes; gives the bytes (mem_free), *out_size. */
char *read_all(int fd, size_t *out_size);
void write_all(int fd, const void *data, size_t size);

#endif
