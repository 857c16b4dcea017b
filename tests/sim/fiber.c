/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has a thread of its own in a real member (main, and the writers of snapshots) runs on a
 * stack of its own here, because it waits. It goes on in events; in between it sleeps.
 */
#include <stdlib.h>
#include <ucontext.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/sim_internal.h"

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#ifndef FIBER_ASAN
#define FIBER_ASAN 0
#endif
#if FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_BYTES (FIBER_ASAN ? 2048u * 1024u : 512u * 1024u)
#define STACKS_MAX  64u

struct fiber {
    struct list link; /* in the life; kept until its end, because events may name it */
    struct sim_life *life;
    sim_fn fn;
    void *ctx;
    struct sim_actor actor;
    ucontext_t context;
    void *stack;
    bool ended;
    void *fake_stack;
};

static struct {
    void *stacks[STACKS_MAX]; /* kept from world to world */
    size_t stack_count;
    ucontext_t events; /* the stack of the events */
    void *fake_stack;
    const void *events_bottom;
    size_t events_size;
    bool is_abandoned;
} fibers;

/* ---- switching ---- */

static void switch_to_fiber(struct fiber *fiber)
{
#if FIBER_ASAN
    __sanitizer_start_switch_fiber(&fibers.fake_stack, fiber->stack, STACK_BYTES);
#endif
    ASSERT(swapcontext(&fibers.events, &fiber->context) == 0);
#if FIBER_ASAN
    __sanitizer_finish_switch_fiber(fibers.fake_stack, NULL, NULL);
#endif
}

static void switch_to_events(struct fiber *fiber, bool for_good)
{
    (void)for_good;
#if FIBER_ASAN
    __sanitizer_start_switch_fiber(for_good ? NULL : &fiber->fake_stack, fibers.events_bottom,
                                   fibers.events_size);
#endif
    ASSERT(swapcontext(&fiber->context, &fibers.events) == 0);
#if FIBER_ASAN
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &fibers.events_bottom, &fibers.events_size);
#endif
}

static void fiber_main(unsigned high, unsigned low)
{
    struct fiber *fiber = (struct fiber *)(uintptr_t)((uint64_t)high << 32 | low);
#if FIBER_ASAN
    __sanitizer_finish_switch_fiber(NULL, &fibers.events_bottom, &fibers.events_size);
#endif
    fiber->fn(fiber->ctx);
    fiber->ended = true;
    switch_to_events(fiber, true);
}

static void *take_stack(void)
{
    return fibers.stack_count > 0 ? fibers.stacks[--fibers.stack_count] : malloc(STACK_BYTES);
}

static void give_stack(void *stack)
{
    if (fibers.stack_count < STACKS_MAX) {
        fibers.stacks[fibers.stack_count++] = stack;
    } else {
        free(stack);
    }
}

/* Event, in the name of its life. */
static void go_on(void *ctx)
{
    struct fiber *fiber = ctx;
    struct sim_life *life = fiber->life;
    if (fiber->ended) {
        return;
    }
    actor_begin(&fiber->actor);
    life->fiber = fiber;
    fibers.is_abandoned = false;
    switch_to_fiber(fiber);
    if (fibers.is_abandoned) {
        sim_die_now();
    }
    ASSERT(memory_depth() == 0);
    life->fiber = NULL;
    actor_end(life, &fiber->actor);
    if (fiber->ended) {
        give_stack(fiber->stack);
        fiber->stack = NULL;
        life->ended = life->ended || fiber == life->main;
    }
}

struct fiber *fiber_start(struct sim_life *life, sim_fn fn, void *ctx, uint64_t at_ns)
{
    sim_memory_world();
    struct fiber *fiber = mem_zalloc(sizeof(*fiber));
    sim_memory_back();
    fiber->life = life;
    fiber->fn = fn;
    fiber->ctx = ctx;
    fiber->stack = take_stack();
    ASSERT(fiber->stack != NULL && getcontext(&fiber->context) == 0);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    fiber->context.uc_link = NULL;
    uint64_t address = (uint64_t)(uintptr_t)fiber;
    makecontext(&fiber->context, (void (*)(void))(void *)fiber_main, 2, (unsigned)(address >> 32),
                (unsigned)address);
    list_append(&life->fibers, &fiber->link);
    sim_at_life(at_ns, life->node, go_on, fiber, NULL);
    return fiber;
}

void fiber_free_all(struct sim_life *life)
{
    while (!list_empty(&life->fibers)) {
        struct fiber *fiber = LIST_ENTRY(life->fibers.next, struct fiber, link);
        list_remove(&fiber->link);
        actor_drop_posts(fiber->actor.posts);
        if (fiber->stack != NULL) {
            give_stack(fiber->stack);
        }
        mem_free(fiber);
    }
}

/* ---- from inside ---- */

bool fiber_is_running(void)
{
    return fiber_now() != NULL;
}

struct fiber *fiber_now(void)
{
    struct sim_life *life = sim_life_now();
    return life == NULL ? NULL : life->fiber;
}

void fiber_wake(struct fiber *fiber, uint64_t at_ns)
{
    sim_at_life(at_ns, fiber->life->node, go_on, fiber, NULL);
}

void fiber_park(void)
{
    struct fiber *fiber = fiber_now();
    ASSERT(fiber != NULL && memory_depth() == 0);
    switch_to_events(fiber, false);
}

void fiber_sleep(uint64_t until_ns)
{
    struct fiber *fiber = fiber_now();
    ASSERT(fiber != NULL);
    while (sim_now_ns() < until_ns) {
        sim_at_life(until_ns, fiber->life->node, go_on, fiber, NULL);
        fiber_park();
    }
}

void fiber_settle(void)
{
    struct fiber *fiber = fiber_now();
    if (fiber != NULL && fiber->actor.spent_ns > 0 && memory_depth() == 0) {
        fiber_sleep(sim_now_ns() + fiber->actor.spent_ns);
    }
}

void fiber_abandon(void)
{
    fibers.is_abandoned = true;
    switch_to_events(fiber_now(), true);
    __builtin_unreachable();
}
