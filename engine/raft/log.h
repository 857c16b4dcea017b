/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log in memory: a ring of entries after a compaction mark, and the cursors that say how far it
 * is committed, persisted and applied. It holds one payload reference per entry. mark_index <
 * first_index = mark_index + 1 <= ... <= last_index persisted <= emitted <= last_index; commit <=
 * last_index; handed <= commit (but see raft_log_init)
 */
#ifndef ENGINE_RAFT_LOG_H
#define ENGINE_RAFT_LOG_H

#include "engine/raft/types.h"

/* Greater indexes and terms are garbage: far from overflow, and out of reach of any real cluster.
 */
#define RAFT_INDEX_MAX (UINT64_MAX / 4)
#define RAFT_TERM_MAX  (UINT64_MAX / 4)

struct raft_log {
    struct raft_entry *ring; /* entry i is at i & (capacity - 1); capacity is a power of two */
    uint64_t capacity;
    uint64_t mark_index; /* the entry before first_index, with its term */
    uint64_t mark_term;
    uint64_t last_index;
    uint64_t commit;    /* committed as far as this member knows */
    uint64_t emitted;   /* given out for persisting */
    uint64_t persisted; /* known to be durable */
    uint64_t handed;    /* given out for applying */
    uint64_t applied;   /* applied, says the shell */
    uint64_t rewrites;  /* how often entries were taken off the end */
};

/* Makes an empty log after the mark; every cursor stands on it. */
void raft_log_init(struct raft_log *log, uint64_t mark_index, uint64_t mark_term);
void raft_log_free(struct raft_log *log);

/* The term of index, when the log knows it (entries and the mark). */
bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *out_term);
bool raft_log_matches(const struct raft_log *log, uint64_t index, uint64_t term);
uint64_t raft_log_last_term(const struct raft_log *log);

/* The entry at index, which must be in the log. Borrowed until the log changes. */
const struct raft_entry *raft_log_at(const struct raft_log *log, uint64_t index);

/* True when (index, term) is at least as up to date as this log (Raft 5.4.1). */
bool raft_log_is_up_to_date(const struct raft_log *log, uint64_t index, uint64_t term);

/* Appends at last_index + 1 (asserted) and takes a reference of its own. */
void raft_log_append(struct raft_log *log, const struct raft_entry *entry);

/* Drops index and all after it; never a committed entry (asserted). Cursors step back. */
void raft_log_truncate(struct raft_log *log, uint64_t index);

/* Forgets entries up to index (mark_index < index <= last_index). */
void raft_log_compact(struct raft_log *log, uint64_t index);

/* Replaces everything by a mark: a snapshot was accepted. commit, emitted and persisted move to it.
 */
void raft_log_restore(struct raft_log *log, uint64_t index, uint64_t term);

/* Moves commit forward; never beyond last_index (asserted), never back (ignored). */
void raft_log_commit_to(struct raft_log *log, uint64_t index);

/*
 * The greatest index <= index whose term is <= term, and its term; below the mark *out_term is 0.
 * Skips a whole term of conflicting entries per round trip (Raft 5.3, end).
 */
uint64_t raft_log_find_conflict_by_term(const struct raft_log *log, uint64_t index, uint64_t term,
                                        uint64_t *out_term);

/* How many entries from index on fit max_bytes; at least one when there is one. */
uint32_t raft_log_count_within(const struct raft_log *log, uint64_t index, uint64_t last,
                               uint64_t max_bytes);

/* True when there is a configuration change in (after, up_to]. */
bool raft_log_has_conf_change(const struct raft_log *log, uint64_t after, uint64_t up_to);

#endif
