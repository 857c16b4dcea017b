/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking gRPC client on nghttp2, for tests: it waits where the test says so, and reads no
 * faster. */
#ifndef TESTS_RPC_LIB_CLIENT_H
#define TESTS_RPC_LIB_CLIENT_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/net/http1.h"
#include "lib_world.h"

#define CLIENT_CALLS_MAX 4096u

struct client_call {
    int32_t id;
    struct buf to_send; /* framed messages that wait */
    bool send_ended;
    bool deferred;
    struct buf received; /* framed messages */
    bool keep_bytes;     /* false: only received_bytes counts */
    uint64_t received_bytes;
    char http_status[8];
    char grpc_status[8];
    char grpc_message[512];
    bool closed;
    uint32_t error;
};

struct client {
    int fd;
    nghttp2_session *ng;
    struct client_call *calls[CLIENT_CALLS_MAX];
    size_t call_count;
    size_t closed_count;
    bool got_goaway;
    uint32_t goaway_error;
    char goaway_text[64];
    uint64_t pongs;
    bool ended; /* the server closed */
    bool holds_window;
};

/* holds_window: the client gives no window back until client_release_window. */
struct client *client_open(const struct world *world, bool holds_window);
void client_close(struct client *client);

/* Starts a call; extra headers may be NULL. */
struct client_call *client_start(struct client *client, const char *path,
                                 const struct http1_header *extra, size_t extra_count);
void client_send(struct client *client, struct client_call *call, const void *message, size_t size,
                 bool end);
void client_end(struct client *client, struct client_call *call);
void client_cancel(struct client *client, struct client_call *call);

/* Sends what waits. */
void client_flush(struct client *client);
/* Reads once, blocking; false at the end of the connection. */
bool client_read(struct client *client);
/* Goes on until the call has ended (or the connection). */
void client_wait(struct client *client, const struct client_call *call);

/* One unary call from start to end. */
struct client_call *client_unary(struct client *client, const char *path, const char *message);

/* The first received message, as text (mem_free). */
char *call_text(const struct client_call *call);

#endif
