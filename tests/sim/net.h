/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated network between members: Raft messages, snapshots and short HTTP requests.
 * engine/peer runs as it is shipped; what is replaced below it is base/net/http1.h (the server),
 * http1client.h and resolve.h. Raft messages that engine/peer writes to a stream leave it here and
 * travel one by one, as their wire bytes, so that they can be lost, doubled and overtaken and
 * nothing is shared between two lives; all other bytes behave as TCP: in order, whole or broken.
 */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "base/defs.h"
#include "tests/sim/world.h"

struct sim_net_faults {
    uint64_t delay_min_ns, delay_mean_ns; /* exponential above the minimum; each message draws its
                                             own, so that they overtake each other when is_ordered
                                             is false */
    bool is_ordered;                      /* per direction of a link, as one TCP stream would */
    uint32_t loss_ppm, duplicate_ppm;
    uint64_t duplicate_later_ns; /* a duplicate comes up to so much later */
    uint32_t clog_ppm;           /* the link stands still for a while */
    uint64_t clog_mean_ns;
    uint32_t queue_max;   /* messages in flight per link; beyond it they are dropped; 0: no limit */
    uint64_t bytes_per_s; /* how fast bodies travel; 0: SIM_NET_BYTES_PER_S */
    uint32_t snapshot_break_ppm; /* a snapshot's connection breaks somewhere on the way */
};

#define SIM_NET_BYTES_PER_S (100u * 1000u * 1000u)

void sim_net_begin(void);
void sim_net_end(void);
void sim_net_set_faults(const struct sim_net_faults *faults);
const struct sim_net_faults *sim_net_faults(void);

/* One direction; messages in flight are lost. Clients reach nodes all the same. */
void sim_net_cut(int from, int to, bool cut);
bool sim_net_is_cut(int from, int to);
void sim_net_heal(void); /* all cuts */

/* What is sent in this direction leaves at that time; 0: at once. For links that are clogged one by
 * one and come back in another order. */
void sim_net_clog(int from, int to, uint64_t until_ns);

/* All that it sends and gets takes longer, by that mean (exponential); 0: it is as the others. */
void sim_net_slow(int node, uint64_t mean_ns);

/* A life has begun or ended: its links go with it. By world.c. */
void sim_net_node_died(int node);

/* The shapes of a partition. Of n nodes ... */
enum sim_partition {
    SIM_PARTITION_ISOLATE, /* one hears nobody and nobody hears it */
    SIM_PARTITION_SPLIT,   /* two groups of any sizes */
    SIM_PARTITION_ONE_WAY, /* two groups, cut in one direction only */
    SIM_PARTITION_BRIDGE,  /* two groups, and one node that both still reach */
    SIM_PARTITION_RING,    /* each sees a majority, no two see the same (of three: a bridge) */
    SIM_PARTITION_COUNT
};

/* Heals what is cut between these nodes (at most SIM_NODES_MAX) and cuts them so. One alone: none.
 */
void sim_net_partition(enum sim_partition kind, const int *nodes, int count, struct rng *rng);

/*
 * By port_open as the simulator has it, for each URL: from now on requests to this port of the node
 * whose code runs go to server. sim_net_unlisten is port_stop_listening: who is connected stays.
 * http1_server_free and the end of the life do it as well.
 */
struct http1_server;
void sim_net_listen(struct http1_server *server, uint16_t port);
void sim_net_unlisten(struct http1_server *server);

/* Told of every Raft message that arrives, those with a snapshot included, before the node sees it
 * (invariants); NULL: nobody. */
struct raft_message;
typedef void (*sim_net_tap)(void *ctx, int from, int to, const struct raft_message *message);
void sim_net_set_tap(sim_net_tap tap, void *ctx);

/* Asked for each Raft message that a node gives to a stream and each piece of an HTTP exchange that
 * it sends: not 0, and a message alone is lost, or, with E_CLOSED and for all else, the connection
 * breaks there. NULL: nobody. */
typedef int (*sim_net_send_tap)(void *ctx);
void sim_net_set_send_tap(sim_net_send_tap tap, void *ctx);

/* snapshots and fetches (requests of engine/peer's peer_fetch) that were begun; late: messages that
 * reached another connection, or another life, than the one they were sent to. */
struct sim_net_counts {
    uint64_t sent, delivered, lost, duplicated, overtaken, cut, clogged, snapshots, fetches;
    uint64_t late, broken, refused;
};
void sim_net_counts(struct sim_net_counts *out);

#endif
