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

/* What moves in the heap. */
struct place {
    uint64_t at_ns, sequence;
    uint32_t slot;
};

struct event {
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
    struct place *heap;
    struct event *slots;
    uint32_t *free_slots;
    size_t count, capacity;
    uint64_t now_ns, sequence, run_count;
    struct waiting waiting[SIM_NODES_MAX];
} queue;

static bool is_before(const struct place *a, const struct place *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

static void grow(void)
{
    size_t before = queue.capacity;
    sim_memory_world();
    queue.capacity = before == 0 ? 1024 : before * 2;
    queue.heap = mem_realloc(queue.heap, queue.capacity * sizeof(*queue.heap));
    queue.slots = mem_realloc(queue.slots, queue.capacity * sizeof(*queue.slots));
    queue.free_slots = mem_realloc(queue.free_slots, queue.capacity * sizeof(*queue.free_slots));
    sim_memory_back();
    for (size_t i = before; i < queue.capacity; i++) {
        queue.free_slots[i] = (uint32_t)i;
    }
}

/* free_slots[count..] are those that no event in the heap has. */
static void push(uint64_t at_ns, const struct event *event)
{
    if (queue.count == queue.capacity) {
        grow();
    }
    uint32_t slot = queue.free_slots[queue.count];
    const struct place place = {BASE_MAX(at_ns, queue.now_ns), queue.sequence++, slot};
    queue.slots[slot] = *event;
    size_t at = queue.count++;
    while (at > 0) {
        size_t parent = (at - 1) / HEAP_WAYS;
        if (!is_before(&place, &queue.heap[parent])) {
            break;
        }
        queue.heap[at] = queue.heap[parent];
        at = parent;
    }
    queue.heap[at] = place;
}

static struct event pop(void)
{
    uint32_t slot = queue.heap[0].slot;
    struct place last = queue.heap[--queue.count];
    size_t at = 0;
    queue.free_slots[queue.count] = slot;
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
    return queue.slots[slot];
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
    mem_free(queue.slots);
    mem_free(queue.free_slots);
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

uint64_t events_made_count(void)
{
    return queue.sequence;
}

uint64_t events_run_count(void)
{
    return queue.run_count;
}

void sim_at(uint64_t at_ns, sim_fn fn, void *ctx)
{
    const struct event event = {.fn = fn, .ctx = ctx, .node = SIM_NOBODY};
    push(at_ns, &event);
}

void sim_at_life(uint64_t at_ns, int node, sim_fn fn, void *ctx, sim_fn drop_fn)
{
    ASSERT(node >= 0 && node < SIM_NODES_MAX);
    const struct event event = {
        .fn = fn, .drop = drop_fn, .ctx = ctx, .life = sim_life(node), .node = node};
    push(at_ns, &event);
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
            push(queue.now_ns,
                 &waiting->events[i]); /* now, in the order in which their times came */
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
        queue.now_ns = queue.heap[0].at_ns;
        struct event event = pop();
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
