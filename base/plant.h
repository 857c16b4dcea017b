/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planted bugs: each is a real bug of somebody's history (etcd, Raft implementations, file systems)
 * that the simulator must catch (tests/mutants). Only the simulator's build carries them, switched
 * on one at a time by number; in every other build PLANT is the constant false and nothing of it is
 * compiled. New ones go to the end: numbers do not change.
 */
#ifndef BASE_PLANT_H
#define BASE_PLANT_H

#include "base/defs.h"

/* X(number, name, what it does wrong, where it comes from) */
#define PLANTS(X)                                                                                  \
    X(1, ack_before_flush, "a follower acknowledges entries before its log is flushed",            \
      "etcd #14370; Raft figure 2")                                                                \
    X(2, vote_before_flush, "a vote is sent before it is durable", "Raft figure 2")                \
    X(3, vote_not_persisted, "the vote is left out of the hard state", "Raft classics")            \
    X(4, state_only_with_entries, "term and vote are written only together with entries",          \
      "Raft classics")                                                                             \
    X(5, leader_counts_unflushed, "a leader counts its own copy before its log is flushed",        \
      "dissertation 10.2.1")                                                                       \
    X(6, commit_old_term_by_count, "entries of older terms are committed by counting copies",      \
      "Raft figure 8")                                                                             \
    X(7, read_before_noop, "a new leader serves reads before it has committed in its term",        \
      "dissertation 6.4")                                                                          \
    X(8, truncate_on_match, "a delayed short append cuts entries that match", "Raft classics")     \
    X(9, append_without_check, "entries are taken without comparing the one before them",          \
      "Raft classics")                                                                             \
    X(10, overlapping_changes, "a membership change starts while another is under way",            \
      "dissertation 4.1; the 2015 correction")                                                     \
    X(11, learner_counts, "a learner's copy stands in for the slowest voter's", "etcd learners")   \
    X(12, read_without_quorum, "a leader answers reads without asking a quorum",                   \
      "etcd #20418; Jepsen etcd 2014")                                                             \
    X(13, two_votes_a_term, "a member votes twice in one term", "Raft classics")                   \
    X(14, vote_without_log_check, "a vote goes to whoever asks, whatever its log",                 \
      "Raft classics")                                                                             \
    X(15, heartbeat_commits_blindly, "a heartbeat commits what the follower happens to hold",      \
      "etcd-raft, commit of heartbeats")                                                           \
    X(16, flush_left_out, "the log is written but not flushed", "etcd #14140, #14143")             \
    X(17, segment_name_not_flushed, "a new log segment's directory entry is not flushed",          \
      "etcd #14890")                                                                               \
    X(18, flush_error_ignored, "a failed flush is taken for a good one", "fsyncgate")              \
    X(20, suspect_votes, "a member that lost durable entries votes and acknowledges",              \
      "protocol-aware recovery, FAST'18")                                                          \
    X(21, checksum_ignored, "records of the log are not checked", "etcd's WAL before crc chains")  \
    X(23, index_ahead_of_content, "the store's index is saved ahead of what was applied",          \
      "etcd 3.5.0, #13766")                                                                        \
    X(24, index_behind_content, "the store's index is saved a batch late: entries apply twice",    \
      "etcd #13514")                                                                               \
    X(25, snapshot_keeps_old_index, "installing a snapshot keeps the old applied index",           \
      "etcd #13922, #13937")                                                                       \
    X(26, install_not_recorded, "an installed snapshot is not recorded in the log",                \
      "etcd 3.4, save order of snapshots")                                                         \
    X(27, snapshot_without_tail, "a snapshot is named newer than what is in it",                   \
      "etcd #20650 family")                                                                        \
    X(28, apply_reads_clock, "whether a put is refused depends on the member's clock",             \
      "etcd #14571, #11651: apply depends on local state")                                         \
    X(29, proposal_twice, "a proposal is put into the log again after it was taken",               \
      "retries of etcd clients")                                                                   \
    X(30, read_before_applied, "a confirmed read is answered before its index is applied",         \
      "etcd #14143 family")                                                                        \
    X(31, promotion_not_stored, "a learner's promotion is not stored", "etcd #19563, #20387")      \
    X(32, lease_kept_after_demotion, "a deposed leader goes on revoking leases",                   \
      "etcd #15247, #12528")                                                                       \
    X(33, lease_by_wall_clock, "leases expire by the wall clock", "etcd lease TTL, clock jumps")   \
    X(34, lease_renewed_when_gone, "a renewal succeeds although the lease was revoked",            \
      "etcd PR 20615")                                                                             \
    X(35, lease_short_after_promotion, "a new leader takes leases for expired",                    \
      "etcd #13508, #14253")                                                                       \
    X(36, lease_takes_moved_key, "a key that left its lease is taken with it all the same",        \
      "etcd lessor attach and detach")                                                             \
    X(37, compaction_drops_newest, "compaction removes a key's newest version at the mark",        \
      "etcd compaction, keyIndex.keep")                                                            \
    X(39, compaction_drops_delete, "a delete at the compacted revision is removed",                \
      "etcd #18089, #19179")                                                                       \
    X(40, watch_progress_early, "progress is told ahead of events", "etcd #15220")                 \
    X(41, watch_skips_when_slow, "a watcher that fell behind skips what was dropped",              \
      "etcd #17529")                                                                               \
    X(42, watch_future_gets_old, "a watch on a future revision is told older events",              \
      "etcd #20221")                                                                               \
    X(43, watch_skips_snapshot, "watchers are not sent back when a snapshot is installed",         \
      "etcd #15271")                                                                               \
    X(44, txn_half_done, "a transaction that fails in the middle keeps its first half",            \
      "etcd #18667, PR 21432")

#ifdef QUORATE_PLANTS
/* The number of the bug that is switched on; 0: none. Defined by the simulator. */
extern int plant_on;
#define PLANT_NUMBER(number, name, what, origin) PLANT_##name = (number),
enum plant { PLANTS(PLANT_NUMBER) PLANT_COUNT };
#undef PLANT_NUMBER
#define PLANT(name) (plant_on == PLANT_##name)
#else
#define PLANT(name) false
#endif

#endif
