/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/net/loop.h over virtual time. A loop is a worker of a node: it sleeps until something is
 * posted, a timer is due or a channel has bytes; then it takes a turn, which costs time, and it is
 * busy until that has passed. What a turn posts comes out at its end.
 */
#include "base/net/loop.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_internal.h"

#define SCRATCH_BYTES (64u * 1024u)
#define PPM           1000000u
#define MS            UINT64_C(1000000)
#define FDS_MAX       64u

struct loop {
    struct list link;
    struct sim_life *life;
    struct sim_actor actor;
    char name[16];
    unsigned number; /* of this life, for the trace */
    bool is_running, is_stopping, is_dead, in_turn;
    struct sim_post *posts, **posts_end;
    struct sim_post *taken; /* that this turn runs */
    struct heap timers;
    struct list tasks;
    loop_fn turn_end;
    void *turn_end_ctx;
    uint64_t now_ms;
    uint64_t busy_until_ns, wake_at_ns;
    uint8_t *scratch;
    struct loop_fd *fds[FDS_MAX];
    unsigned fd_count;
};

static struct {
    struct sim_schedule schedule;
    sim_turn_tap tap;
    void *tap_ctx;
} turns = {.schedule = {1500, 4000, 300, 2000000}};

void sim_schedule_set(const struct sim_schedule *schedule)
{
    turns.schedule = *schedule;
}

void sim_set_turn_tap(sim_turn_tap tap, void *ctx)
{
    turns.tap = tap;
    turns.tap_ctx = ctx;
}

/* ---- when it runs ---- */

static void turn_event(void *ctx);

static void wake_at(struct loop *loop, uint64_t at_ns)
{
    at_ns = BASE_MAX(at_ns, loop->busy_until_ns);
    if (loop->is_running && !loop->in_turn && at_ns < loop->wake_at_ns) {
        loop->wake_at_ns = at_ns;
        sim_at_life(at_ns, loop->life->node, turn_event, loop, NULL);
    }
}

static void wake_soon(struct loop *loop)
{
    if (loop->is_running && !loop->in_turn && loop->wake_at_ns > sim_now_ns()) {
        uint64_t latency = sim_exponential_ns(sim_rng(SIM_RNG_SCHEDULE), turns.schedule.wake_ns);
        wake_at(loop, sim_now_ns() + latency);
    }
}

static void wake_for_timers(struct loop *loop)
{
    struct heap_node *top = heap_top(&loop->timers);
    if (top != NULL && top->key < UINT64_MAX / MS) {
        wake_at(loop, clock_true_of(loop->life->node, top->key * MS));
    }
}

static bool has_readable(const struct loop *loop)
{
    for (unsigned i = 0; i < loop->fd_count; i++) {
        if ((loop->fds[i]->events & LOOP_READABLE) != 0 && channel_is_readable(loop->fds[i]->fd)) {
            return true;
        }
    }
    return false;
}

void loop_fd_changed(struct loop *loop)
{
    if (has_readable(loop)) {
        wake_soon(loop);
    }
}

void loops_clock_changed(struct sim_life *life)
{
    LIST_EACH(it, &life->loops)
    {
        struct loop *loop = LIST_ENTRY(it, struct loop, link);
        if (!loop->is_dead) {
            wake_for_timers(loop);
        }
    }
}

/* ---- a turn ---- */

static uint64_t node_now_ms(const struct loop *loop)
{
    return sim_node_monotonic_ns(loop->life->node) / MS;
}

static void run_fds(struct loop *loop)
{
    struct loop_fd *ready[FDS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < loop->fd_count; i++) {
        struct loop_fd *watched = loop->fds[i];
        if ((watched->events & LOOP_READABLE) != 0 && channel_is_readable(watched->fd)) {
            ready[count++] = watched;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        bool is_there = false; /* one before it may have removed it */
        for (unsigned j = 0; j < loop->fd_count; j++) {
            is_there = is_there || loop->fds[j] == ready[i];
        }
        if (is_there) {
            ready[i]->fn(ready[i]->ctx, LOOP_READABLE);
        }
    }
}

static unsigned run_posts(struct loop *loop)
{
    unsigned count = 0;
    loop->taken = loop->posts;
    loop->posts = NULL;
    loop->posts_end = &loop->posts;
    while (loop->taken != NULL) {
        struct sim_post *post = loop->taken;
        loop_fn fn = post->fn;
        void *ctx = post->ctx;
        loop->taken = post->next;
        mem_free(post);
        fn(ctx);
        count++;
    }
    return count;
}

static unsigned run_timers(struct loop *loop)
{
    unsigned count = 0;
    for (size_t left = loop->timers.count; left > 0; left--) {
        struct heap_node *top = heap_top(&loop->timers);
        if (top == NULL || top->key > loop->now_ms) {
            break;
        }
        struct loop_timer *timer = CONTAINER_OF(top, struct loop_timer, node);
        heap_remove(&loop->timers, top);
        timer->fn(timer->ctx);
        count++;
    }
    return count;
}

static void run_tasks(struct loop *loop)
{
    while (!list_empty(&loop->tasks)) {
        struct loop_task *task = LIST_ENTRY(loop->tasks.next, struct loop_task, node);
        list_remove(&task->node);
        task->fn(task->ctx);
    }
}

static void spend_turn(unsigned work)
{
    struct rng *rng = sim_rng(SIM_RNG_SCHEDULE);
    const struct sim_schedule *schedule = &turns.schedule;
    uint64_t base = schedule->turn_ns * (1u + work);
    uint64_t draw = rng_next(rng);
    sim_spend_ns(base / 2 + (uint64_t)((unsigned __int128)base * (draw >> 32) >> 32));
    if ((draw & UINT32_MAX) * PPM >> 32 < schedule->hiccup_ppm) {
        sim_spend_ns(sim_exponential_ns(rng, schedule->hiccup_ns));
    }
}

static void take_turn(struct loop *loop)
{
    unsigned work = 0;
    loop->now_ms = node_now_ms(loop);
    run_fds(loop);
    work += run_posts(loop);
    work += run_timers(loop);
    if (loop->turn_end != NULL) {
        loop->turn_end(loop->turn_end_ctx);
    }
    run_tasks(loop);
    spend_turn(work);
    sim_trace(sim_now_ns());
    sim_trace((uint64_t)loop->life->node << 48 | (uint64_t)loop->number << 32 | work);
}

/* Event, in the name of the life. */
static void turn_event(void *ctx)
{
    struct loop *loop = ctx;
    uint64_t now = sim_now_ns();
    if (loop->is_dead || !loop->is_running || loop->wake_at_ns > now) {
        return; /* an event that an earlier one has replaced */
    }
    loop->wake_at_ns = UINT64_MAX;
    if (loop->busy_until_ns > now) {
        wake_at(loop, loop->busy_until_ns);
        return;
    }
    loop->in_turn = true;
    actor_begin(&loop->actor);
    take_turn(loop);
    loop->in_turn = false;
    loop->busy_until_ns = now + loop->actor.spent_ns;
    actor_end(loop->life, &loop->actor);
    if (loop->is_stopping) {
        loop->is_running = false;
        fiber_wake(loop->life->main, loop->busy_until_ns); /* behind what it has posted */
    }
    if (loop->posts != NULL || has_readable(loop)) {
        wake_at(loop, loop->busy_until_ns);
    }
    wake_for_timers(loop);
    node_turn_was(loop->name);
}

void turn_tell_tap(int node, const char *name)
{
    if (turns.tap != NULL) {
        turns.tap(turns.tap_ctx, node, name);
    }
}

/* ---- base/net/loop.h ---- */

int loop_new(struct loop **out_loop, struct err *err)
{
    (void)err;
    struct sim_life *life = sim_life_now();
    ASSERT(life != NULL);
    sim_memory_world();
    struct loop *loop = mem_zalloc(sizeof(*loop));
    sim_memory_back();
    loop->life = life;
    loop->posts_end = &loop->posts;
    loop->actor.posts_end = &loop->actor.posts;
    loop->wake_at_ns = UINT64_MAX;
    heap_init(&loop->timers);
    list_init(&loop->tasks);
    LIST_EACH(it, &life->loops)
    {
        loop->number++;
    }
    list_append(&life->loops, &loop->link);
    loop->now_ms = node_now_ms(loop);
    *out_loop = loop;
    return 0;
}

static void drop_posts(struct loop *loop)
{
    actor_drop_posts(loop->posts);
    loop->posts = NULL;
    loop->posts_end = &loop->posts;
}

/* The struct stays until the life ends, because events name it. */
void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    ASSERT(!loop->is_dead && !loop->in_turn);
    loop->is_dead = true;
    loop->is_running = false;
    drop_posts(loop);
    heap_free(&loop->timers);
    mem_free(loop->scratch);
    loop->scratch = NULL;
}

void loops_free_all(struct sim_life *life)
{
    while (!list_empty(&life->loops)) {
        struct loop *loop = LIST_ENTRY(life->loops.next, struct loop, link);
        list_remove(&loop->link);
        drop_posts(loop);
        actor_drop_posts(loop->taken);
        actor_drop_posts(loop->actor.posts);
        mem_free(loop);
    }
}

uint8_t *loop_scratch(struct loop *loop, size_t *out_size)
{
    if (loop->scratch == NULL) {
        loop->scratch = mem_alloc(SCRATCH_BYTES);
    }
    *out_size = SCRATCH_BYTES;
    return loop->scratch;
}

void loop_start(struct loop *loop, const char *name)
{
    snprintf(loop->name, sizeof(loop->name), "%s", name);
    loop->is_running = true;
    loop->is_stopping = false;
    wake_soon(loop);
}

void loop_run(struct loop *loop)
{
    (void)loop;
    base_assert_fail(__FILE__, __LINE__, "loops of the simulator are run by worker_start");
}

void loop_stop(struct loop *loop)
{
    loop->is_stopping = true;
    wake_soon(loop);
}

void loop_stop_and_wait(struct loop *loop)
{
    while (loop->is_running) {
        fiber_park();
    }
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->in_turn ? loop->now_ms : node_now_ms(loop);
}

int loop_add(struct loop *loop, struct loop_fd *watched, int fd, uint32_t events, loop_fd_fn fn,
             void *ctx)
{
    *watched = (struct loop_fd){loop, fd, events, fn, ctx};
    ASSERT(loop->fd_count < FDS_MAX && (events & ~LOOP_READABLE) == 0);
    loop->fds[loop->fd_count++] = watched;
    channel_watch(fd, loop);
    loop_fd_changed(loop);
    return 0;
}

void loop_set_events(struct loop_fd *watched, uint32_t events)
{
    watched->events = events;
    loop_fd_changed(watched->loop);
}

void loop_remove(struct loop_fd *watched)
{
    struct loop *loop = watched->loop;
    if (loop == NULL) {
        return;
    }
    watched->loop = NULL;
    channel_watch(watched->fd, NULL);
    unsigned kept = 0;
    for (unsigned i = 0; i < loop->fd_count; i++) {
        if (loop->fds[i] != watched) {
            loop->fds[kept++] = loop->fds[i];
        }
    }
    loop->fd_count = kept;
}

void loop_timer_init(struct loop *loop, struct loop_timer *timer, loop_fn fn, void *ctx)
{
    heap_node_init(&timer->node);
    timer->loop = loop;
    timer->fn = fn;
    timer->ctx = ctx;
}

void loop_timer_set(struct loop_timer *timer, uint64_t delay_ms)
{
    uint64_t now_ms = loop_now_ms(timer->loop);
    uint64_t due_ms = delay_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + delay_ms;
    heap_set(&timer->loop->timers, &timer->node, due_ms);
    wake_for_timers(timer->loop);
}

void loop_timer_cancel(struct loop_timer *timer)
{
    heap_remove(&timer->loop->timers, &timer->node);
}

void loop_deliver(struct sim_post *post)
{
    struct loop *loop = post->loop;
    if (loop->is_dead) {
        mem_free(post);
        return;
    }
    post->next = NULL;
    *loop->posts_end = post;
    loop->posts_end = &post->next;
    wake_soon(loop);
}

void loop_post(struct loop *loop, loop_fn fn, void *ctx)
{
    ASSERT(loop != NULL);
    actor_post(loop, fn, ctx);
}

void loop_set_turn_end(struct loop *loop, loop_fn fn, void *ctx)
{
    loop->turn_end = fn;
    loop->turn_end_ctx = ctx;
}

void loop_task_init(struct loop *loop, struct loop_task *task, loop_fn fn, void *ctx)
{
    list_init(&task->node);
    task->loop = loop;
    task->fn = fn;
    task->ctx = ctx;
}

void loop_task_schedule(struct loop_task *task)
{
    if (list_empty(&task->node)) {
        list_append(&task->loop->tasks, &task->node);
        wake_soon(task->loop);
    }
}

void loop_task_cancel(struct loop_task *task)
{
    list_remove(&task->node);
}
