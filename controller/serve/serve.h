/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operator serves over HTTP: /healthz (its loop turns), /readyz (its caches are filled)
 * and /metrics. It runs on a thread of its own, so that it answers while the loop waits for a
 * server.
 */
#ifndef CONTROLLER_SERVE_SERVE_H
#define CONTROLLER_SERVE_SERVE_H

#include <stdatomic.h>

#include "base/defs.h"
#include "base/err.h"

#define SERVE_STUCK_MS 60000 /* a loop that did not turn for so long is not healthy */

/* Written by the loop, read by the server. */
struct serve_state {
    _Atomic int64_t turned_ms; /* monotonic ms of the loop's last turn */
    _Atomic bool is_ready;
};

struct serve;

/*
 * Listens on address ("127.0.0.1:8080", ":8080", "[::1]:8080"); state is borrowed. Gives *out_serve
 * (serve_stop).
 */
BASE_MUST_CHECK int serve_start(const char *address, const struct serve_state *state,
                                struct serve **out_serve, struct err *err);

/* Closes everything and joins the thread. NULL is allowed. */
void serve_stop(struct serve *serve);

#endif
