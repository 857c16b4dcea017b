/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual time and the queue of events: a four-way heap by time, and by order of making among those
 * of one moment. Events of a life that has ended are dropped when their time comes; those of a
 * node that is paused wait until it goes on.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_internal.h"

#define HEAP_WAYS 4u

struct event {
    uint64_t at_ns, sequence;
    sim_fn fn, drop;
    void *ctx;
    uint64_t life; /* 0: of no life */
    int node;
};

struct waiting {
    struct event *events;
    size_t count, capacity;
};

static struct {
    struct event *heap;
    size_t count, capacity;
    uint64_t now_ns, sequence, run_count;
    struct waiting waiting[SIM_NODES_MAX];
} queue;

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

static void push(struct event event)
{
    if (queue.count == queue.capacity) {
        sim_memory_world();
        queue.capacity = queue.capacity == 0 ? 1024 : queue.capacity * 2;
        queue.heap = mem_realloc(queue.heap, queue.capacity * sizeof(*queue.heap));
        sim_memory_back();
    }
    event.at_ns = BASE_MAX(event.at_ns, queue.now_ns);
    event.sequence = queue.sequence++;
    size_t at = queue.count++;
    while (at > 0) {
        size_t parent = (at - 1) / HEAP_WAYS;
        if (!is_before(&event, &queue.heap[parent])) {
            break;
        }
        queue.heap[at] = queue.heap[parent];
        at = parent;
    }
    queue.heap[at] = event;
}

static struct event pop(void)
{
    struct event top = queue.heap[0];
    struct event last = queue.heap[--queue.count];
    size_t at = 0;
    for (;;) {
        size_t first = at * HEAP_WAYS + 1;
        if (first >= queue.count) {
            break;
        }
        size_t best = first;
        size_t end = BASE_MIN(first + HEAP_WAYS, queue.count);
        for (size_t i = first + 1; i < end; i++) {
            if (is_before(&queue.heap[i], &queue.heap[best])) {
                best = i;
            }
        }
        if (!is_before(&queue.heap[best], &last)) {
            break;
        }
        queue.heap[at] = queue.heap[best];
        at = best;
    }
    queue.heap[at] = last;
    return top;
}

void events_begin(void)
{
    memset(&queue, 0, sizeof(queue));
}

static void drop(const struct event *event)
{
    if (event->drop != NULL) {
        event->drop(event->ctx);
    }
}

void events_end(void)
{
    while (queue.count > 0) {
        struct event event = pop();
        drop(&event);
    }
    mem_free(queue.heap);
    for (int node = 0; node < SIM_NODES_MAX; node++) {
        for (size_t i = 0; i < queue.waiting[node].count; i++) {
            drop(&queue.waiting[node].events[i]);
        }
        mem_free(queue.waiting[node].events);
    }
    memset(&queue, 0, sizeof(queue));
}

uint64_t sim_now_ns(void)
{
    return queue.now_ns;
}

uint64_t events_run_count(void)
{
    return queue.run_count;
}

void sim_at(uint64_t at_ns, sim_fn fn, void *ctx)
{
    push((struct event){.at_ns = at_ns, .fn = fn, .ctx = ctx, .node = SIM_NOBODY});
}

void sim_at_life(uint64_t at_ns, int node, sim_fn fn, void *ctx, sim_fn drop_fn)
{
    ASSERT(node >= 0 && node < SIM_NODES_MAX);
    push((struct event){.at_ns = at_ns,
                        .fn = fn,
                        .drop = drop_fn,
                        .ctx = ctx,
                        .life = sim_life(node),
                        .node = node});
}

static void wait_for_node(const struct event *event)
{
    struct waiting *waiting = &queue.waiting[event->node];
    if (waiting->count == waiting->capacity) {
        waiting->capacity = waiting->capacity == 0 ? 64 : waiting->capacity * 2;
        waiting->events =
            mem_realloc(waiting->events, waiting->capacity * sizeof(*waiting->events));
    }
    waiting->events[waiting->count++] = *event;
}

void events_pause(int node, bool on)
{
    struct waiting *waiting = &queue.waiting[node];
    if (!on) {
        for (size_t i = 0; i < waiting->count; i++) {
            push(waiting->events[i]); /* now, in the order in which their times came */
        }
        waiting->count = 0;
    }
}

static void run(const struct event *event)
{
    queue.run_count++;
    if (event->node == SIM_NOBODY) {
        event->fn(event->ctx);
        return;
    }
    struct sim_life *life = node_life(event->node);
    if (life == NULL || life->number != event->life) {
        drop(event);
    } else if (node_is_paused(event->node)) {
        wait_for_node(event);
    } else {
        (void)sim_enter(life, NULL, event->fn, event->ctx);
    }
}

void sim_run_until(uint64_t at_ns, bool (*stop)(void *ctx), void *ctx)
{
    ASSERT(sim_node() == SIM_NOBODY);
    while (queue.count > 0 && queue.heap[0].at_ns <= at_ns) {
        struct event event = pop();
        queue.now_ns = event.at_ns;
        run(&event);
        if (stop != NULL && stop(ctx)) {
            return;
        }
    }
    queue.now_ns = BASE_MAX(queue.now_ns, at_ns);
}

/* -ln(u) by the position of the first set bit and a straight line in between: no libm, so that all
 * machines agree. */
uint64_t sim_exponential_ns(struct rng *rng, uint64_t mean_ns)
{
    uint64_t u = rng_next(rng) | 1u;
    unsigned zeros = (unsigned)__builtin_clzll(u);
    uint64_t rest = zeros >= 63 ? 0 : (u << (zeros + 1)) >> 48; /* 16 bits behind the first */
    uint64_t parts = ((uint64_t)(zeros + 1) << 16) - rest;      /* of ln 2, in 1/65536 */
    return (uint64_t)((unsigned __int128)parts * mean_ns * 45426u >> 32); /* ln 2 = 45426/65536 */
}
