/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a leader knows of one member, and how fast it may send to it. match < next always.
 * PROBE: one append, then wait. REPLICATE: optimistic, bounded by inflights. SNAPSHOT: nothing but
 * wait.
 */
#ifndef ENGINE_RAFT_PROGRESS_H
#define ENGINE_RAFT_PROGRESS_H

#include "engine/raft/raft.h"

enum raft_vote_cast { RAFT_CAST_NONE, RAFT_CAST_GRANTED, RAFT_CAST_REJECTED };

/* What is to be sent when effects are taken: nothing, entries if there are any, or an append in any
 * case. */
enum raft_send_want { RAFT_WANT_NOTHING, RAFT_WANT_ENTRIES, RAFT_WANT_APPEND };

/* The last indexes of appends that were not answered yet, oldest first. */
struct raft_inflights {
    uint64_t *indexes; /* ring of capacity */
    uint32_t capacity;
    uint32_t limit;
    uint32_t start;
    uint32_t count;
};

struct raft_progress {
    uint64_t id;
    uint64_t match_index;
    uint64_t next_index;
    uint64_t pending_snapshot; /* index of the snapshot on its way, in state SNAPSHOT */
    uint64_t sent_commit;      /* greatest commit index told */
    uint64_t read_ack;         /* newest read round answered (readindex.c) */
    uint64_t told_round; /* the first round that told it of the leader's own removal; 0: none */
    struct raft_inflights inflights;
    enum raft_progress_state state;
    enum raft_vote_cast cast; /* in the running election */
    enum raft_send_want want;
    bool is_learner;
    bool recent_active; /* heard of since the last quorum check */
    bool flow_paused;
    bool want_snapshot;
};

/* Makes progress for id that has to be probed from next_index. */
void raft_progress_init(struct raft_progress *progress, uint64_t id, uint64_t next_index,
                        uint32_t inflight_limit);
void raft_progress_free(struct raft_progress *progress);

/* Back to the start, as at the beginning of a term; keeps id and is_learner. */
void raft_progress_reset(struct raft_progress *progress, uint64_t match_index, uint64_t next_index);

void raft_progress_become_probe(struct raft_progress *progress);
void raft_progress_become_replicate(struct raft_progress *progress);
void raft_progress_become_snapshot(struct raft_progress *progress, uint64_t snapshot_index);

bool raft_progress_is_paused(const struct raft_progress *progress);

/* An append with count entries from next_index on was sent. */
void raft_progress_sent(struct raft_progress *progress, uint32_t entry_count);

/* index is durable there; false when that is no news. */
bool raft_progress_update(struct raft_progress *progress, uint64_t index);

/* An append after rejected was refused, the member may match at hint; false: the answer is stale.
 */
bool raft_progress_decrease(struct raft_progress *progress, uint64_t rejected, uint64_t hint);

/* True when a newer commit index would tell the member something. */
bool raft_progress_can_bump_commit(const struct raft_progress *progress, uint64_t commit);

bool raft_inflights_full(const struct raft_inflights *inflights);
void raft_inflights_add(struct raft_inflights *inflights, uint64_t index);
void raft_inflights_free_to(struct raft_inflights *inflights, uint64_t index);

#endif
