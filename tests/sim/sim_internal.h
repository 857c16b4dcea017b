/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the simulator's core: what world.c, events.c, memory.c, fiber.c, loop.c, worker.c,
 * process.c, node.c, clock.c and grpc*.c share. Nobody else includes it.
 *
 * A node's code always runs in the name of a life (one start of one node), entered by sim_enter.
 * What runs is an actor: a loop's turn, or a fiber (main, and what has a thread of its own). Posts
 * of an actor come out when what it spent has passed.
 */
#ifndef TESTS_SIM_SIM_INTERNAL_H
#define TESTS_SIM_SIM_INTERNAL_H

#include "base/list.h"
#include "base/net/loop.h"
#include "engine/server/worker.h"
#include "tests/sim/disk.h"
#include "tests/sim/net.h"
#include "tests/sim/world.h"

/* ---- memory.c ---- */

struct region; /* what one owner has allocated */

struct region *region_new(void);
void region_free(struct region *region); /* and all that is in it */
uint64_t region_live(const struct region *region);

/* Prints what is still there, at most so many lines. */
void region_tell(const struct region *region, unsigned lines_max);

/* What is allocated from now on belongs to it (NULL: the world). */
void memory_use(struct region *region);
void memory_begin(void);
void memory_end(void); /* the world's own; all other regions are gone */

/* The depth of sim_memory_world, for switches of what runs; memory_set_depth(0) at a death. */
int memory_depth(void);
void memory_set_depth(int depth);

/* Called for each allocation of a node's code; node.c. */
void node_allocates(void);

/* Counts what is allocated and freed of the world. */
uint64_t memory_world_calls(void);

/* ---- lives and actors ---- */

/* Posted without a loop, fn runs when the post comes out. */
struct sim_post {
    struct sim_post *next;
    struct loop *loop;
    loop_fn fn;
    void *ctx;
};

struct sim_actor {
    struct sim_post *posts, **posts_end; /* made in this turn */
    uint64_t spent_ns;
};

struct sim_life {
    int node;
    uint64_t number;
    struct region *region;
    struct list loops;  /* struct loop */
    struct list fibers; /* struct fiber */
    struct list channels;
    struct fiber *main;
    struct fiber *fiber; /* that runs; NULL: a loop's turn, or an event */
    bool ended;          /* nothing of it may run any more */
};

/* The life whose code runs, or NULL. */
struct sim_life *sim_life_now(void);
struct sim_actor *sim_actor_now(void);

/*
 * Runs fn(ctx) in the name of the life, as this actor (NULL: as none). False when the life ended in
 * it: then all of it has been taken down.
 */
bool sim_enter(struct sim_life *life, struct sim_actor *actor, sim_fn fn, void *ctx);

/* Hands out what the actor has posted, when spent_ns have passed; clears both. */
void actor_begin(struct sim_actor *actor);
void actor_end(struct sim_life *life, struct sim_actor *actor);
void actor_drop_posts(void *first_post);
void actor_post(struct loop *loop, sim_fn fn, void *ctx);
void sim_actor_set(struct sim_actor *actor);

/* Second half of sim_die, back on the stack of the events. */
BASE_NORETURN void sim_die_now(void);

/* ---- events.c ---- */

void events_begin(void);
void events_end(void);
void events_pause(int node, bool on);
uint64_t events_run_count(void);
uint64_t events_made_count(void);
uint64_t sim_exponential_ns(struct rng *rng, uint64_t mean_ns);

/* ---- fiber.c ---- */

struct fiber;

/* fn(ctx) on a stack of its own, at the time. */
struct fiber *fiber_start(struct sim_life *life, sim_fn fn, void *ctx, uint64_t at_ns);
void fiber_free_all(struct sim_life *life);

/* Of the fiber that runs: sleeps until the time, or until fiber_wake. */
bool fiber_is_running(void);
void fiber_sleep(uint64_t until_ns);
void fiber_park(void); /* until fiber_wake, or earlier: look again */
void fiber_wake(struct fiber *fiber, uint64_t at_ns);
struct fiber *fiber_now(void);

/* Lets pass what the fiber has spent so far; nothing outside of a fiber. */
void fiber_settle(void);

/* Leaves a fiber of a life that has ended, for good. */
BASE_NORETURN void fiber_abandon(void);

/* ---- loop.c ---- */

void loops_free_all(struct sim_life *life);
void loops_clock_changed(struct sim_life *life);
void loop_start(struct loop *loop, const char *name);
void loop_stop_and_wait(struct loop *loop);
void loop_deliver(struct sim_post *post);
void turn_tell_tap(int node, const char *name);

/* ---- worker.c ---- */

void channels_free_all(struct sim_life *life);
bool channel_is_readable(int read_fd);
void channel_watch(int read_fd, struct loop *loop); /* NULL: nobody */
void loop_fd_changed(struct loop *loop);

/* ---- clock.c ---- */

void clocks_begin(void);
/* The true time at which the node's monotonic clock shows so much. */
uint64_t clock_true_of(int node, uint64_t monotonic_ns);

/* ---- node.c ---- */

/* 0: the call of the node whose code runs works. */
int node_call_fails(enum sim_call_kind kind);

void nodes_begin(void);
void nodes_end(void);
struct sim_life *node_life(int node); /* NULL: it does not run */
bool node_is_paused(int node);
struct server;
void node_set_server(struct server *server);
void node_remember_why(const char *text);

/* A turn of this worker of the current node is over: the tap is told when the node is left. */
void node_turn_was(const char *worker);

/* Takes the life down; why NULL: it ended by itself (main returned). */
void node_ended(int node, bool is_fatal, const char *why);

/* 0: none has come. Takes it. */
int node_take_signal(void);

/* ---- client.c and grpc.c: the two ends of a call ---- */

enum call_kind { CALL_START, CALL_MESSAGE, CALL_HALF_CLOSE, CALL_RESET, CALL_DRAINED };

/* What travels from a client to a node; owned by its call until the node has taken it. */
struct call_item {
    struct list link;
    struct list kept; /* grpc.c, while its call is paused */
    bool in_node;     /* it goes with the node's life */
    uint64_t call;
    enum call_kind kind;
    uint8_t *data;
    size_t size;
};

void clients_begin(void);
void clients_end(void);
void clients_node_died(int node);

/* grpc.c, in the name of the node: the item is in the node's hands; posted to its I/O loop. */
void grpc_arrive(struct call_item *item);

/* client.c, by grpc.c: what the server says to the call. */
struct call_start {
    const char *method;
    uint64_t timeout_ms; /* 0: none */
    bool require_leader;
};
void call_started(uint64_t call, struct call_start *out_start);
void call_item_done(struct call_item *item); /* frees it */
void call_answer(uint64_t call, struct bytes message);
void call_finish(uint64_t call, enum grpc_code code, const char *text);
size_t call_unread_bytes(uint64_t call);
void call_set_server(uint64_t call, uint64_t server_handle); /* 0: no handler has it any more */
uint64_t call_server(uint64_t call);

/* node.c: the gRPC server behind the open client port; NULL: none. */
struct grpc_server;
void node_set_grpc(struct grpc_server *grpc);
struct grpc_server *node_grpc(int node);

/* ---- story.c ---- */

void story_begin(uint64_t seed);
void story_end(void);
void story_tell(const char *format, ...) BASE_PRINTF(1, 2); /* not part of the trace */
uint64_t story_seed(void);

#endif
