/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One epoll loop: file descriptors, timers, and work posted from other threads. All functions but
 * loop_post and loop_stop are for the loop's own thread (or before it runs).
 */
#ifndef BASE_NET_LOOP_H
#define BASE_NET_LOOP_H

#include "base/defs.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"

#define LOOP_READABLE 1u
#define LOOP_WRITABLE 2u

struct loop;

/* events is a set of LOOP_*; an error or hang-up is reported as both, the next read or write tells.
 */
typedef void (*loop_fd_fn)(void *ctx, uint32_t events);
typedef void (*loop_fn)(void *ctx);

/* One watched descriptor: embed, fill by loop_add. The descriptor stays the caller's. */
struct loop_fd {
    struct loop *loop;
    int fd;
    uint32_t events;
    loop_fd_fn fn;
    void *ctx;
};

/* One-shot timer: embed, init by loop_timer_init. */
struct loop_timer {
    struct heap_node node;
    struct loop *loop;
    loop_fn fn;
    void *ctx;
};

/* Work for the end of the current turn: embed, init by loop_task_init. */
struct loop_task {
    struct list node;
    struct loop *loop;
    loop_fn fn;
    void *ctx;
};

BASE_MUST_CHECK int loop_new(struct loop **out_loop, struct err *err);

/* Frees; posts that did not run are dropped. All that uses the loop must be gone before. */
void loop_free(struct loop *loop);

/*
 * Memory of the loop's own to read into, the same for all users of the loop: what is put there
 * holds until the current callback returns.
 */
uint8_t *loop_scratch(struct loop *loop, size_t *out_size);

/* Runs until loop_stop. */
void loop_run(struct loop *loop);

/* Makes loop_run return after the current turn. Any thread. */
void loop_stop(struct loop *loop);

/* Monotonic milliseconds, refreshed once a turn. */
uint64_t loop_now_ms(const struct loop *loop);

/* Monotonic nanoseconds, read from the clock at each call. Any thread. */
uint64_t loop_clock_ns(void);

/* Level-triggered. After loop_remove the callback is not called again, also not in this turn. */
BASE_MUST_CHECK int loop_add(struct loop *loop, struct loop_fd *watched, int fd, uint32_t events,
                             loop_fd_fn fn, void *ctx);
void loop_set_events(struct loop_fd *watched, uint32_t events);
void loop_remove(struct loop_fd *watched);

void loop_timer_init(struct loop *loop, struct loop_timer *timer, loop_fn fn, void *ctx);
void loop_timer_set(struct loop_timer *timer, uint64_t delay_ms); /* replaces what was set */
void loop_timer_cancel(struct loop_timer *timer);
static inline bool loop_timer_is_set(const struct loop_timer *timer)
{
    return heap_contains(&timer->node);
}

/*
 * Runs fn(ctx) once on the loop's thread, in the order of posts. Any thread. The eventfd is written
 * only when the loop sleeps. Producers bound what they post (a reply per request, a batch per
 * flush).
 */
void loop_post(struct loop *loop, loop_fn fn, void *ctx);

/*
 * Called at the end of each turn, after all events and posts and before the scheduled tasks: what
 * it writes to streams leaves in the same turn. One slot.
 */
void loop_set_turn_end(struct loop *loop, loop_fn fn, void *ctx);

/*
 * Runs the task once at the end of this turn (streams flush so: one writev for all that a turn
 * wrote). Scheduling again before it ran changes nothing; a task scheduled by a task runs in the
 * same turn.
 */
void loop_task_init(struct loop *loop, struct loop_task *task, loop_fn fn, void *ctx);
void loop_task_schedule(struct loop_task *task);
void loop_task_cancel(struct loop_task *task);

#endif
