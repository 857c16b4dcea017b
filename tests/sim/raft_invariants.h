/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The safety of Raft, checked from outside while a cluster runs: for the simulator, the random
 * clusters of tests/unit/raft and the scripts of tests/raftscript. It is told of each member's
 * state after each step, of what reached its disk, what it applied and what it sent, and remembers
 * what the whole cluster has ever agreed on.
 *
 *   Election Safety        at most one leader in a term, ever
 *   Leader Append-Only     a leader only appends to its log
 *   Log Matching           logs that agree on index and term of an entry agree on all before it
 *   Leader Completeness    what was committed before an election is in the log of who wins it
 *   State Machine Safety   what is committed or applied at an index is the same everywhere, ever
 *   Monotone               term and commit index never fall in a life; over restarts the term, the
 *                          commit index and the log never fall behind what was durable
 *   Durable                what is committed is on the disks of a quorum of the configuration in
 *                          force; nothing is acknowledged or applied before the own disk has it
 *   One Vote               one vote per member and term, ever
 *   Commit Rule            a leader commits by counting only entries of its own term
 *   One Change             a leader has one change of the members under way at most
 *
 * Each entry has a chain hash over everything up to it, so that equal hashes at one index mean
 * equal logs: a step costs O(1) plus what is new in a log. A log that was cut is read again from
 * the member's commit index on (nothing is ever cut below it). Pure: no I/O, no clock.
 */
#ifndef TESTS_SIM_RAFT_INVARIANTS_H
#define TESTS_SIM_RAFT_INVARIANTS_H

#include "engine/raft/raft.h"

struct raft_invariants; /* one per cluster */

/* One member as it is at this moment. */
struct raft_view {
    struct raft_status status;
    uint64_t mark_term;    /* of the entry before status.first_index */
    uint64_t log_rewrites; /* raft_log_rewrites */
    struct raft_conf_state conf;
    /* The entry at an index in [first_index, last_index]. */
    const struct raft_entry *(*entry_at)(const void *ctx, uint64_t index);
    const void *ctx;
};

struct raft_invariants *raft_invariants_new(void);
void raft_invariants_free(struct raft_invariants *inv);

/* The first rule that was broken, in words; NULL: none. What comes later is not looked at. */
const char *raft_invariants_failure(const struct raft_invariants *inv);

/*
 * To be called after every input and every raft_take_effects of the member, before anything of its
 * effects is carried out. The first call, and the first one after raft_invariants_stopped, begins a
 * life: the view must then be that of raft_new. A life that begins suspect may have lost anything
 * (rot); no other may.
 */
void raft_invariants_watch(struct raft_invariants *inv, const struct raft *raft);
/* The same for a view made by hand. */
void raft_invariants_observe(struct raft_invariants *inv, const struct raft_view *view);

/* The member's life has ended. What its last view called persisted has to be there in the next. */
void raft_invariants_stopped(struct raft_invariants *inv, uint64_t id);

/* Its disk holds this hard state now (told when the flush ended). Optional: without it, term, vote
 * and commit index may fall over a restart, and only votes that were sent are compared. */
void raft_invariants_durable(struct raft_invariants *inv, uint64_t id,
                             const struct raft_hard_state *hard_state);

/* The member applied the entry. conf: the configuration from here on; NULL: not known. Optional. */
void raft_invariants_applied(struct raft_invariants *inv, uint64_t id,
                             const struct raft_entry *entry, const struct raft_conf_state *conf);

/* The message has left its sender, or arrives somewhere, at any later time and any number of times.
 * Optional: without it promises and snapshot marks are not compared. */
void raft_invariants_sent(struct raft_invariants *inv, const struct raft_message *message);

/* The greatest index that any member has committed; and the term of a committed entry (0: none). */
uint64_t raft_invariants_committed(const struct raft_invariants *inv);
uint64_t raft_invariants_committed_term(const struct raft_invariants *inv, uint64_t index);

/* What was seen, so that a run can say that it saw something. */
struct raft_invariants_counts {
    uint64_t views, elections, commits, applied, votes, acknowledgements, entries;
};
void raft_invariants_counts(const struct raft_invariants *inv, struct raft_invariants_counts *out);

#endif
