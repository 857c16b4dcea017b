/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of the engine, and what they wait on: a worker (a thread with a loop of its own; work is
 * posted to it, base/net/loop.h), a job (a function on a thread of its own), a completion (one
 * tells another that something is done) and a channel (bytes from one thread to another). Nothing
 * else of the server knows threads, so that a simulator can run all of it in one.
 */
#ifndef ENGINE_SERVER_WORKER_H
#define ENGINE_SERVER_WORKER_H

#include <pthread.h>
#include <sys/types.h>

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

/* ---- a function on a thread of its own ---- */

struct worker_job {
    pthread_t thread;
    loop_fn fn;
    void *ctx;
};

/* Runs fn(ctx), with all signals blocked; job stays where it is until worker_job_join. */
BASE_MUST_CHECK int worker_job_start(struct worker_job *job, loop_fn fn, void *ctx);

/* Waits for its end, which must be near: fn has said that it is done. */
void worker_job_join(struct worker_job *job);

/* ---- one thread tells another, once ---- */

struct completion {
    int fd;
};

BASE_MUST_CHECK int completion_init(struct completion *done, struct err *err);
void completion_signal(struct completion *done); /* any thread */
void completion_wait(struct completion *done);
void completion_free(struct completion *done); /* safe when it was never made: fd -1 */

/* ---- bytes from one thread to another: a bounded queue ---- */

/* The reading end is for loop_add. */
BASE_MUST_CHECK int channel_open(int *out_read_fd, int *out_write_fd);

/* As write(2) and read(2) without blocking: a count, E_AGAIN, or E_CLOSED (the other end has gone;
 * when reading, 0 says so). */
ssize_t channel_write(int write_fd, const void *data, size_t size);
ssize_t channel_read(int read_fd, void *data, size_t size);

/* Sleeps until there may be room, at most so long. Never on a thread that has a loop. */
void channel_wait_room(int write_fd, int timeout_ms);
void channel_close(int fd);

#endif
