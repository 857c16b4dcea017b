/* SPDX-License-Identifier: Apache-2.0 */
/* The world's frame: beginning and end, random streams, and whose code runs. */
#include "tests/sim/world.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"
#include "tests/sim/sim_internal.h"

int plant_on; /* base/plant.h */

static struct {
    bool is_there;
    struct rng rngs[SIM_RNG_COUNT];
    struct sim_life *life;
    struct sim_actor *actor;
    const char *turn; /* the worker whose turn is over; NULL: none is */
    jmp_buf guard;
    bool is_fatal;
    char why[512];
} world;

void sim_world_begin(uint64_t seed)
{
    ASSERT(!world.is_there);
    memset(&world, 0, sizeof(world));
    world.is_there = true;
    memory_begin();
    for (int i = 0; i < SIM_RNG_COUNT; i++) {
        rng_seed(&world.rngs[i], seed * SIM_RNG_COUNT + (uint64_t)i);
    }
    story_begin(seed);
    events_begin();
    clocks_begin();
    nodes_begin();
    sim_net_begin();
    clients_begin();
}

void sim_world_end(void)
{
    ASSERT(world.is_there && world.life == NULL);
    nodes_end();
    clients_end();
    sim_net_end();
    events_end();
    story_end();
    memory_end();
    world.is_there = false;
}

struct rng *sim_rng(enum sim_rng_use use)
{
    return &world.rngs[use];
}

/* ---- whose code runs ---- */

struct sim_life *sim_life_now(void)
{
    return world.life;
}

struct sim_actor *sim_actor_now(void)
{
    return world.actor;
}

int sim_node(void)
{
    return world.life == NULL ? SIM_NOBODY : world.life->node;
}

bool sim_enter(struct sim_life *life, struct sim_actor *actor, sim_fn fn, void *ctx)
{
    ASSERT(world.life == NULL); /* nodes call each other by messages alone */
    bool lives = true;
    world.life = life;
    world.actor = actor;
    world.turn = NULL;
    memory_use(life->region);
    if (_setjmp(world.guard) == 0) {
        fn(ctx);
    } else {
        lives = false;
    }
    struct sim_life *entered = world.life; /* not life: a register that longjmp may have lost */
    world.life = NULL;
    world.actor = NULL;
    memory_use(NULL);
    if (!lives) {
        memory_set_depth(0);
        entered->fiber = NULL;
        node_ended(entered->node, world.is_fatal, world.why);
        return false;
    }
    if (entered->ended) {
        node_ended(entered->node, false, NULL);
        return false;
    }
    if (world.turn != NULL) {
        turn_tell_tap(entered->node, world.turn);
    }
    return true;
}

void node_turn_was(const char *worker)
{
    world.turn = worker;
}

void sim_actor_set(struct sim_actor *actor)
{
    world.actor = actor;
}

void sim_die(bool is_fatal, const char *why)
{
    struct sim_life *life = world.life;
    ASSERT(life != NULL);
    world.is_fatal = is_fatal;
    snprintf(world.why, sizeof(world.why), "%s", why);
    if (life->fiber != NULL) {
        memory_set_depth(0);
        fiber_abandon();
    }
    _longjmp(world.guard, 1);
}

void sim_die_now(void)
{
    _longjmp(world.guard, 1);
}

void sim_spend_ns(uint64_t ns)
{
    if (world.actor != NULL) {
        world.actor->spent_ns += ns;
    }
}

/* ---- actors ---- */

static void deliver_one(struct sim_post *post)
{
    if (post->loop != NULL) {
        loop_deliver(post);
        return;
    }
    sim_fn fn = post->fn;
    void *ctx = post->ctx;
    mem_free(post);
    fn(ctx);
}

static void deliver(void *ctx)
{
    struct sim_post *post = ctx;
    while (post != NULL) {
        struct sim_post *next = post->next;
        deliver_one(post);
        post = next;
    }
}

void actor_post(struct loop *loop, sim_fn fn, void *ctx)
{
    struct sim_actor *actor = world.actor;
    sim_memory_world();
    struct sim_post *post = mem_alloc(sizeof(*post));
    sim_memory_back();
    *post = (struct sim_post){NULL, loop, fn, ctx};
    if (actor == NULL) {
        deliver_one(post);
    } else {
        *actor->posts_end = post;
        actor->posts_end = &post->next;
    }
}

void actor_drop_posts(void *ctx)
{
    struct sim_post *post = ctx;
    while (post != NULL) {
        struct sim_post *next = post->next;
        mem_free(post);
        post = next;
    }
}

void actor_begin(struct sim_actor *actor)
{
    actor->posts = NULL;
    actor->posts_end = &actor->posts;
    actor->spent_ns = 0;
    world.actor = actor;
}

void actor_end(struct sim_life *life, struct sim_actor *actor)
{
    struct sim_post *posts = actor->posts;
    world.actor = NULL;
    actor->posts = NULL;
    actor->posts_end = &actor->posts;
    if (posts == NULL) {
        return;
    }
    if (actor->spent_ns == 0) {
        deliver(posts);
    } else {
        sim_at_life(sim_now_ns() + actor->spent_ns, life->node, deliver, posts, actor_drop_posts);
    }
}

uint64_t sim_event_count(void)
{
    return events_run_count();
}

static uint64_t mixed(uint64_t hash, uint64_t word)
{
    return (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 31);
}

uint64_t sim_world_signature(void)
{
    uint64_t hash = mixed(sim_trace_hash(), memory_world_calls());
    hash = mixed(mixed(hash, events_made_count()), events_run_count());
    for (int i = 0; i < SIM_RNG_COUNT; i++) {
        struct rng copy = world.rngs[i];
        hash = mixed(hash, rng_next(&copy));
    }
    return mixed(hash, sim_disk_calls(sim_node_disk(sim_node())));
}

/* What a library holds for a life that was ended is lost, as it is with a process. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
