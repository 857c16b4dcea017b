/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated world: virtual time, one queue of events, one seed, and the nodes. Whole members
 * (engine/server as it is shipped) run in one thread; what they reach the world through is replaced
 * at link time: base/net/loop, base/alloc, engine/server/worker, the disk and clock seams,
 * engine/peer, engine/rpc, base/net/http1 and engine/store/lmdb_store.
 *
 * One world at a time in a process, so the functions take none. Equal seeds give equal traces:
 * nothing here or below reads a clock, a pointer's value, or the system's randomness.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "base/bytes.h"
#include "base/defs.h"
#include "base/rng.h"
#include "engine/proto/grpc_code.h"
#include "engine/server/config.h"
#include "tests/sim/calls.h"

#define SIM_NODES_MAX 12 /* slots; a slot is used by one member after another, never by two */
#define SIM_NOBODY    (-1)

/* ---- time and events ---- */

typedef void (*sim_fn)(void *ctx);

void sim_world_begin(uint64_t seed);
void sim_world_end(void); /* frees all nodes, events, disks */

uint64_t sim_now_ns(void); /* true time since the world began; nodes see their own clocks */

/* Runs fn(ctx) at that time (never earlier than now), outside of any node. Events of one moment run
 * in the order in which they were made. */
void sim_at(uint64_t at_ns, sim_fn fn, void *ctx);

/* As sim_at, in the name of a node's life: dropped when that life has ended by then. ctx lives in
 * the memory of the world (sim_memory_world) and is freed by drop(ctx) then (NULL: nothing). */
void sim_at_life(uint64_t at_ns, int node, sim_fn fn, void *ctx, sim_fn drop);

/*
 * Snapshots between threads come through the channels of engine/server/worker.h: what
 * peer_send_snapshot gets as fd is the reading end of one. Read it by channel_read, close it by
 * channel_close, watch it by loop_add: it is no descriptor of the system here.
 *
 * Code that runs by sim_at_life runs in the name of that node (sim_node() is it, what it allocates
 * is the node's, and it may die), but on none of its workers: it hands work to them by loop_post.
 */

/* Runs events until that time, or until stop (may be NULL) says true. */
void sim_run_until(uint64_t at_ns, bool (*stop)(void *ctx), void *ctx);

/* Independent streams, so that one more draw in one place changes no other. */
enum sim_rng_use {
    SIM_RNG_SCHEDULE,
    SIM_RNG_NET,
    SIM_RNG_DISK,
    SIM_RNG_CLIENT,
    SIM_RNG_NEMESIS,
    SIM_RNG_NODE, /* what nodes get as their own randomness */
    SIM_RNG_COUNT
};
struct rng *sim_rng(enum sim_rng_use use);

/* Exponential with that mean, by whole numbers: the same on every machine. */
uint64_t sim_exponential_ns(struct rng *rng, uint64_t mean_ns);

/* How the workers of the nodes are scheduled; may be changed at any time. */
struct sim_schedule {
    uint64_t turn_ns;    /* mean cost of a turn's fixed part, and of each piece of work in it */
    uint64_t wake_ns;    /* mean time until a sleeping worker runs */
    uint32_t hiccup_ppm; /* a turn that loses the processor */
    uint64_t hiccup_ns;  /* for so long (mean) */
};
void sim_schedule_set(const struct sim_schedule *schedule);

/* Called outside of all nodes after each turn of a worker ("quorate-state", ...); NULL: nobody. */
typedef void (*sim_turn_tap)(void *ctx, int node, const char *worker);
void sim_set_turn_tap(sim_turn_tap tap, void *ctx);

uint64_t sim_event_count(void); /* that ran since the world began */

/* Changes with everything that the node whose code runs leaves to the world: as long as it is the
 * same, the end of that node's life would leave the same world. */
uint64_t sim_world_signature(void);

/* ---- whose code runs ---- */

/* The node whose code runs, or SIM_NOBODY. */
int sim_node(void);
uint64_t sim_life(int node); /* counts its starts; 0: never started */

/* Memory: what a node's code allocates dies with its life. Code of the simulator that is called by
 * a node and keeps something for longer does so between these two; they nest. mem_free finds the
 * owner by itself. */
void sim_memory_world(void);
void sim_memory_back(void);

/* Fresh memory is filled with this byte; -1: as it comes. Two runs of a seed with different bytes
 * must give the same trace, or something is read before it was written. */
void sim_memory_fill(int byte);

/* The worker that runs is busy so much longer: what it posts comes out after that. */
void sim_spend_ns(uint64_t ns);

/* The node whose code runs ends here and now, as by SIGKILL (is_fatal: it chose to: server_fatal,
 * exit). Does not return. Its disk keeps what the system had been given. */
BASE_NORETURN void sim_die(bool is_fatal, const char *why);

/* ---- the story ---- */

/* One line of the story ("--show"); goes into the trace hash as well, with time and node. */
void sim_note(const char *format, ...) BASE_PRINTF(1, 2);
void sim_trace(uint64_t word); /* into the hash alone */
uint64_t sim_trace_hash(void);
bool sim_is_shown(void);
void sim_show(bool on);

/* A rule was broken: the run fails with this text. It goes on to its end so that the story is
 * whole, unless the world says otherwise. */
void sim_violation(const char *check, const char *format, ...) BASE_PRINTF(2, 3);
uint64_t sim_violations(void);
const char *sim_first_violation(void); /* the check that noticed first; "": none */

/* ---- members ---- */

enum sim_node_state { SIM_NODE_OFF, SIM_NODE_RUNNING, SIM_NODE_PAUSED, SIM_NODE_DEAD };

/* Starts slot node with a config (copied; listen and advertise URLs name it: sim_node_url).
 * Start-up runs as an event of its own; a failure to start is told by sim_node_state and
 * sim_node_why. */
void sim_node_start(int node, const struct server_config *config);
void sim_node_kill(int node);           /* SIGKILL: its disk keeps the page cache */
void sim_node_power_cut(int node);      /* kill, and what was not synced is lost or torn */
void sim_node_pause(int node, bool on); /* SIGSTOP, SIGCONT */
void sim_node_stop(int node);           /* SIGTERM */
void sim_node_kill_at_disk_call(int node, uint64_t k);  /* at its k-th call of the disk from now;
                                                            0: never */
void sim_node_fail_at_allocation(int node, uint64_t k); /* at its k-th from now; 0: never */

/* Asked at each such call of a node's code; not 0, and it fails: E_IO, E_NO_SPACE of a disk; an
 * allocation ends the process; SIM_CALL_SEND as in net.h (a word to a client: its connection
 * breaks). NULL: nobody; so a world begins. */
typedef int (*sim_call_tap)(void *ctx, int node, enum sim_call_kind kind);
void sim_set_call_tap(sim_call_tap tap, void *ctx);

enum sim_node_state sim_node_state(int node);
bool sim_node_failed_to_start(int node);       /* dead before it served anybody */
const char *sim_node_why(int node);            /* why it is dead; "" otherwise */
void sim_node_forget(int node);                /* a new, empty disk: only when it does not run */
const char *sim_node_url(int node, bool peer); /* "http://10.0.0.<n+1>:2380", ":2379" for clients */
int sim_node_of_url(const char *url);          /* SIM_NOBODY: none */

/* Its clock from now on: rate in parts per million more or less than true time, wall clock off by
 * that much. */
void sim_node_clock(int node, int64_t rate_ppm, int64_t wall_offset_ns);
uint64_t sim_node_monotonic_ns(int node);

struct server;
struct sim_disk;
struct server *sim_node_server(int node); /* NULL unless it runs: for invariants, read only */
struct sim_disk *sim_node_disk(int node);

/* ---- clients ---- */

/* What a call of a client comes to. code GRPC_UNAVAILABLE with text "sim: ..." when the node was
 * not there or died: the outcome is then unknown. body is borrowed for the call. */
struct sim_answer {
    enum grpc_code code;
    const char *text;
    struct bytes body;
    bool is_message; /* a message of a stream: more follows, code means nothing yet */
};
typedef void (*sim_answer_fn)(void *ctx, const struct sim_answer *answer);

/*
 * A call on a node as a gRPC client makes it: method is "/etcdserverpb.KV/Put", request its
 * protobuf. Requests and answers travel with the client network's delays and may be lost with the
 * node. timeout_ns 0: none. on_answer comes once for unary calls; for streams once per message and
 * once with the end. Gives a handle for streams.
 */
uint64_t sim_call(int node, const char *method, struct bytes request, uint64_t timeout_ns,
                  sim_answer_fn on_answer, void *ctx);
void sim_call_send(uint64_t call, struct bytes request); /* one more message of the client */
void sim_call_half_close(uint64_t call);
void sim_call_cancel(uint64_t call);         /* on_answer does not come any more */
void sim_call_require_leader(uint64_t call); /* metadata hasleader: right after sim_call */

/* A client that reads no faster than that from now on; 0: as fast as it comes. */
void sim_call_slow(uint64_t call, uint64_t bytes_per_s);

/* The network between clients and nodes; requests and answers of one call keep their order. */
struct sim_client_net {
    uint64_t delay_min_ns, delay_mean_ns; /* exponential above the minimum */
};
void sim_client_net_set(const struct sim_client_net *net);

#endif
