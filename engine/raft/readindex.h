/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of linearizable reads at a leader (dissertation 6.4). Reads that arrive between two
 * calls of raft_take_effects share one heartbeat round; a round that a quorum has answered confirms
 * all before it.
 */
#ifndef ENGINE_RAFT_READINDEX_H
#define ENGINE_RAFT_READINDEX_H

#include "engine/raft/raft.h"

#define RAFT_READS_WAITING_MAX 65536u
/* Round 0: the leader has not committed in its term yet, so its commit index may be old. */
#define RAFT_ROUND_PARKED 0u

struct raft_read {
    uint64_t from; /* who asked: own id or a peer */
    uint64_t index;
    uint64_t round;
    struct raft_read_state state;
};

struct raft_reads {
    struct raft_read *items; /* oldest first, rounds never fall */
    uint32_t count;
    uint32_t capacity;
    uint64_t round_sent; /* newest round that went out with a heartbeat; never reset */
    bool unsent;         /* some items wait for round_sent + 1 */
};

void raft_reads_free(struct raft_reads *reads);

/* Forgets all (the term is over; who asked will ask again). Round numbers go on. */
void raft_reads_clear(struct raft_reads *reads);

/* Queues a read; round RAFT_ROUND_PARKED or the next one. False when the queue is full. */
bool raft_reads_add(struct raft_reads *reads, uint64_t from, struct bytes context, uint64_t index,
                    uint64_t round);

/* Gives the parked ones commit as their index and puts them into the next round. */
void raft_reads_unpark(struct raft_reads *reads, uint64_t commit);

/* How many, from the oldest, are confirmed once a quorum has answered round. */
uint32_t raft_reads_confirmed(const struct raft_reads *reads, uint64_t round);

/* Drops the oldest count. */
void raft_reads_drop(struct raft_reads *reads, uint32_t count);

#endif
