/* SPDX-License-Identifier: Apache-2.0 */
/* A thread with a loop of its own; work is posted to it (base/net/loop.h). */
#ifndef ENGINE_SERVER_WORKER_H
#define ENGINE_SERVER_WORKER_H

#include <pthread.h>

#include "base/err.h"
#include "base/net/loop.h"

struct worker {
    struct loop *loop;
    pthread_t thread;
    bool running;
    char name[16];
};

/* Makes the loop; posts are kept until worker_start. name is at most 15 characters. */
BASE_MUST_CHECK int worker_init(struct worker *worker, const char *name, struct err *err);

/* Starts the thread, with all signals blocked: main alone hears them. */
BASE_MUST_CHECK int worker_start(struct worker *worker, struct err *err);

/* Stops after what is posted already has run once, waits, frees the loop. Safe on a zeroed worker.
 */
void worker_stop(struct worker *worker);
void worker_free(struct worker *worker);

#endif
