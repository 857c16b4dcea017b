/* SPDX-License-Identifier: Apache-2.0 */
/* Short HTTP requests from the state thread to other members' peer URLs; the answer comes back to
 * it. */
#ifndef ENGINE_SERVER_FETCH_H
#define ENGINE_SERVER_FETCH_H

#include "engine/server/internal.h"

/* code 0: status and body are valid; else E_* and text says why. Borrowed for the call. */
struct fetch_answer {
    int code;
    const char *text;
    int status;
    struct bytes body;
};

typedef void (*fetch_fn)(struct server *server, void *ctx, const struct fetch_answer *answer);

struct fetch {
    const char *url;
    const char *method;
    const char *path;
    struct bytes body; /* protobuf */
    uint64_t timeout_ms;
    fetch_fn on_done; /* state thread */
    void *ctx;
};

/* Starts; what fetch points to is copied. on_done comes once. */
void fetch_start(struct server *server, const struct fetch *fetch);

/* I/O thread: all that run end with E_CLOSED. */
void io_fetches_cancel(struct server *server);

#endif
