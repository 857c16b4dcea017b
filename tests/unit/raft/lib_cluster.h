/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole clusters of Raft cores in one process: a network that delays, drops, doubles, reorders and
 * splits, and disks that take time and lose at a crash what they had not finished. Everything
 * follows from a seed. After each step the rules of tests/sim/raft_invariants.h are checked; the
 * first one that breaks is kept in failure.
 */
#ifndef TESTS_RAFT_LIB_CLUSTER_H
#define TESTS_RAFT_LIB_CLUSTER_H

#include "base/rng.h"
#include "engine/raft/raft_internal.h"
#include "tests/sim/raft_invariants.h"

#define CLUSTER_NODES_MAX   7u
#define CLUSTER_ENTRIES_MAX 8192u
#define CLUSTER_TERMS_MAX   4096u
#define CLUSTER_TICK_UNITS  5u  /* one raft tick in units of simulated time */
#define CLUSTER_DELAY_MAX   60u /* of a message; shorter than a suspect member's waiting time */

enum disk_op_type { DISK_PERSIST, DISK_INSTALL };

struct disk_op {
    enum disk_op_type type;
    uint64_t done_at;
    uint64_t ticket;
    bool has_hard_state;
    struct raft_hard_state hard_state;
    struct raft_entry *entries;
    uint32_t entry_count;
    struct raft_snapshot_mark mark;
};

/* What survives a crash. */
struct disk {
    struct raft_hard_state hard_state;
    struct raft_hard_state older_hard_state; /* what a rotten log falls back to */
    struct raft_snapshot_mark mark;
    struct raft_entry entries[CLUSTER_ENTRIES_MAX]; /* [0] is mark.index + 1 */
    uint32_t entry_count;
    uint64_t checkpoint_index; /* the state machine's own durable state */
    struct raft_conf_state checkpoint_conf;
    bool suspect;
};

struct node {
    uint64_t id;
    struct raft *raft; /* NULL: down */
    struct disk disk;
    struct disk_op ops[256];
    uint32_t op_count;
    uint64_t applied; /* of the state machine in memory */
    uint64_t told_applied;
    struct raft_conf_state conf;
};

struct flying {
    uint64_t due;
    struct raft_message message;
};

struct read_request {
    uint64_t number;
    uint64_t needed; /* the answer must not be older than this index */
};

struct cluster_options {
    uint64_t seed;
    uint32_t voters;
    uint32_t spares; /* members that changes may add */
    bool pre_vote;
    bool check_quorum;
    bool faults;
    bool conf_changes;
    bool compaction;
    bool rot; /* restarts that find a damaged log */
    uint32_t steps;
};

struct cluster_counts {
    uint64_t messages, drops, crashes, rots, elections, commits, reads, conf_changes, snapshots,
        suspects_cleared;
};

struct cluster {
    struct cluster_options options;
    struct rng rng;
    uint64_t now;
    struct node nodes[CLUSTER_NODES_MAX];
    uint32_t node_count;
    struct flying *air;
    uint32_t air_count, air_capacity;
    bool cut[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
    uint32_t drop_permille;
    uint32_t disk_delay;
    uint64_t next_value;
    struct raft_invariants *invariants;
    struct read_request reads[64];
    uint64_t next_read;
    struct cluster_counts counts;
    char failure[256];
};

/* Gives a cluster with all voters started. */
struct cluster *cluster_new(const struct cluster_options *options);
void cluster_free(struct cluster *cluster);

/* One unit of simulated time: deliveries, ticks, disks, clients and, when on, faults. */
void cluster_advance(struct cluster *cluster);

/* Runs options.steps units with faults, then heals all and demands that the cluster works again. */
void cluster_run(struct cluster *cluster);

/* Ends all faults, starts everybody. */
void cluster_heal(struct cluster *cluster);

void cluster_crash(struct cluster *cluster, struct node *node);
void cluster_start(struct cluster *cluster, struct node *node);
/* Cuts off the end of the log and takes an older hard state: rot below the durable mark. */
void cluster_rot(struct cluster *cluster, struct node *node);

/* Carries out the effects of a node until there are none. */
void cluster_pump(struct cluster *cluster, struct node *node);

struct node *cluster_leader(struct cluster *cluster); /* of the greatest term; NULL */
struct node *cluster_node(struct cluster *cluster, uint64_t id);
void cluster_propose(struct cluster *cluster, struct node *node);
void cluster_propose_change(struct cluster *cluster, struct node *node,
                            enum raft_conf_change_type type, uint64_t id);
void cluster_read(struct cluster *cluster, struct node *node);

/* faults.c */
void cluster_random_fault(struct cluster *cluster);
void cluster_random_client(struct cluster *cluster);

/* lib_check.c */
void check_failed(struct cluster *cluster, const char *format, ...) BASE_PRINTF(2, 3);
void check_node(struct cluster *cluster, struct node *node);
void check_promise(struct cluster *cluster, struct node *node, const struct raft_message *message);
void check_applied(struct cluster *cluster, struct node *node, const struct raft_entry *entry);
void check_read(struct cluster *cluster, struct node *node, const struct raft_read_state *read);

#endif
