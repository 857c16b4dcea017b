/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated network between members: Raft messages, snapshots and short HTTP requests. It
 * implements engine/peer/peer.h and the server half of base/net/http1.h; messages travel as their
 * wire bytes (engine/peer/codec.h), so that nothing is shared between two lives.
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
    uint32_t queue_max; /* messages in flight per link; beyond it they are dropped */
};

void sim_net_begin(void);
void sim_net_end(void);
void sim_net_set_faults(const struct sim_net_faults *faults);
const struct sim_net_faults *sim_net_faults(void);

/* One direction; messages in flight are lost. Clients reach nodes all the same. */
void sim_net_cut(int from, int to, bool cut);
bool sim_net_is_cut(int from, int to);
void sim_net_heal(void); /* all cuts */

/* A life has begun or ended: its links go with it. By world.c. */
void sim_net_node_died(int node);

/* Told of every Raft message that arrives, before the node sees it (invariants); NULL: nobody. */
struct raft_message;
typedef void (*sim_net_tap)(void *ctx, int from, int to, const struct raft_message *message);
void sim_net_set_tap(sim_net_tap tap, void *ctx);

struct sim_net_counts {
    uint64_t sent, delivered, lost, duplicated, overtaken, cut, clogged, snapshots, fetches;
};
void sim_net_counts(struct sim_net_counts *out);

#endif
