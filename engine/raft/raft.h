/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Raft core of one member: pure. No I/O, no clock (ticks come in), no threads; it cannot fail.
 * Semantics follow etcd's raft library: PreVote, CheckQuorum, ReadIndex (ReadOnlySafe), learners,
 * leadership transfer, probe / replicate / snapshot flow control, configuration change v1.
 *
 * Use: give inputs (raft_tick, raft_step, raft_propose ...), then take the effects with
 * raft_take_effects and carry them out IN THIS ORDER (written once, in engine/server/effects.c):
 *   1. send messages_now                (a leader's appends may travel while its own disk works)
 *   2. persist hard_state and entries, one flush, then raft_persisted(...)
 *   3. raft_persisted releases messages_after_persist (votes, append responses): persist before you
 * promise
 *   4. apply committed entries, then raft_applied(...)
 * A single member commits through step 2 too: nothing is committed that is not durable on a quorum.
 */
#ifndef ENGINE_RAFT_RAFT_H
#define ENGINE_RAFT_RAFT_H

#include "engine/raft/types.h"

#define RAFT_MAX_MESSAGE_BYTES_DEFAULT (1024u * 1024u)
#define RAFT_MAX_INFLIGHT_DEFAULT      512u
#define RAFT_UNCOMMITTED_BYTES_MAX     (1024u * 1024u * 256u)

struct raft; /* opaque, owned by the shell's state thread */

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

struct raft_config {
    uint64_t id;
    uint32_t election_ticks;
    uint32_t heartbeat_ticks;
    bool pre_vote;
    bool check_quorum;
    uint64_t max_message_bytes; /* of entries in one append */
    uint32_t max_inflight;      /* appends in flight to one follower */
    uint64_t random_seed;       /* election timeout jitter */
    /* Suspect log (design.md, WAL): no vote, no campaign, no quorum acknowledgement until the
     * leader has brought the log to its commit index; then the flag clears itself and raft_status
     * says so. */
    bool suspect;
    /* What the disk holds at start. Entries follow mark.index without gap. */
    struct raft_hard_state hard_state;
    struct raft_snapshot_mark mark;
    const struct raft_entry *entries; /* borrowed; the core takes its own references */
    uint32_t entry_count;
    uint64_t applied_index; /* state machine is already there (consistent index), >= mark.index */
    /* The configuration at applied_index. NULL: that of the mark, when no change lies in between.
     */
    const struct raft_conf_state *applied_conf_state;
};

/* One answered read: everything acknowledged before the request is applied once applied >= index.
 */
struct raft_read_state {
    uint64_t index;
    uint8_t context_size;
    uint8_t context[RAFT_CONTEXT_BYTES_MAX];
};

/*
 * What is to be done. Arrays are owned by the core and valid until the next call of
 * raft_take_effects; messages are moved to the caller: raft_message_clear each after encoding.
 */
struct raft_effects {
    struct raft_message *messages_now;
    uint32_t message_now_count;
    /* To persist together in one flush, then call raft_persisted. has_persist false: nothing. */
    bool has_persist;
    bool hard_state_changed; /* term, vote or commit */
    bool must_sync; /* entries, term, vote or the configuration changed; commit alone needs none */
    struct raft_hard_state hard_state;
    const struct raft_entry *entries; /* replace everything from entries[0].index on */
    uint32_t entry_count;
    uint64_t persist_ticket; /* pass to raft_persisted when durable */
    /* A snapshot that a leader sent was accepted: install it before anything else, then
     * raft_snapshot_installed. */
    const struct raft_snapshot_mark *install; /* NULL: none */
    /* Committed, not yet handed out entries, in order; call raft_applied as they are applied. */
    const struct raft_entry *committed;
    uint32_t committed_count;
    const struct raft_read_state *reads;
    uint32_t read_count;
    bool role_changed; /* role, leader or term differ from the last effects */
};

struct raft_status {
    uint64_t id, term, vote, leader;
    enum raft_role role;
    uint64_t commit_index, applied_index, last_index, first_index, persisted_index;
    uint64_t transfer_target; /* RAFT_NO_ID: none */
    bool suspect;
    uint64_t uncommitted_bytes;
};

enum raft_progress_state { RAFT_PROGRESS_PROBE, RAFT_PROGRESS_REPLICATE, RAFT_PROGRESS_SNAPSHOT };

struct raft_progress_status {
    uint64_t id, match_index, next_index;
    uint64_t pending_snapshot; /* in state SNAPSHOT: the index on its way */
    enum raft_progress_state state;
    uint32_t inflight_count; /* appends that were not answered yet */
    bool is_learner, recent_active, is_paused;
};

/* Makes the core from what the disk holds. Gives *out. Entries must be dense (asserted). */
struct raft *raft_new(const struct raft_config *config);
void raft_free(struct raft *raft);

/* One heartbeat-unit of time. */
void raft_tick(struct raft *raft);

/* A message of a peer (takes message: its contents are moved out or cleared). Garbage of any kind
 * is dropped. */
void raft_step(struct raft *raft, struct raft_message *message);

/*
 * Proposes entries' payloads (takes the references). On a follower they are forwarded to the
 * leader. E_UNAVAILABLE: no leader, or a transfer is running; E_AGAIN: uncommitted bytes at their
 * limit; the references are dropped then.
 */
BASE_MUST_CHECK int raft_propose(struct raft *raft, struct raft_payload **payloads, uint32_t count);

/*
 * Proposes one encoded ConfChange. A leader with an unapplied change in its log replaces it by an
 * empty entry (etcd's rule; the caller sees its request time out), so refuse earlier where you can:
 * raft_has_pending_conf_change.
 */
BASE_MUST_CHECK int raft_propose_conf_change(struct raft *raft, struct raft_payload *payload);
bool raft_has_pending_conf_change(const struct raft *raft);

/* To be called when a committed configuration change is applied; type and node decide, an invalid
 * one is ignored by giving NULL (a change that the membership refused). *out gets the new
 * configuration. */
void raft_apply_conf_change(struct raft *raft, const struct raft_conf_change *change,
                            struct raft_conf_state *out);

/* Asks for a linearizable read; the answer comes as a read state with the same context (<= 32
 * bytes). E_UNAVAILABLE without a leader. A leader that has not committed in its term answers once
 * it has. */
BASE_MUST_CHECK int raft_read_index(struct raft *raft, struct bytes context);

/* Asks to move leadership to target; the caller watches raft_status. */
void raft_transfer_leader(struct raft *raft, uint64_t target);

/* A leader becomes a follower of nobody: it falls silent and the others elect. For one whose disk
 * does not answer. No effect in other roles. */
void raft_step_down(struct raft *raft);

/* Starts an election now (tests, and a single member at start). */
void raft_campaign(struct raft *raft);

/* The network says so: a message to id was lost; a snapshot to id was delivered or not. */
void raft_report_unreachable(struct raft *raft, uint64_t id);
void raft_report_snapshot(struct raft *raft, uint64_t id, bool delivered);

/*
 * The network says that the process of id has ended: its host refuses connections that it had
 * before. A follower of id has no leader any more and asks for pre-votes within a few ticks,
 * instead of an election timeout. It may be wrong: a leader that is alive is followed again at its
 * next word, and others keep their lease until they know by themselves. No effect without PreVote.
 */
void raft_report_gone(struct raft *raft, uint64_t id);

/* Fills *out; true when there is anything in it. */
bool raft_take_effects(struct raft *raft, struct raft_effects *out);

/* What had this ticket (and all before it) is durable. */
void raft_persisted(struct raft *raft, uint64_t ticket);

/* The state machine has applied all up to index. */
void raft_applied(struct raft *raft, uint64_t index);

/* The snapshot of effects.install is in place and durable. */
void raft_snapshot_installed(struct raft *raft);

/* Forgets entries up to index (<= applied); mark must describe exactly index. */
void raft_compact(struct raft *raft, uint64_t index);

void raft_status(const struct raft *raft, struct raft_status *out);
void raft_conf_state(const struct raft *raft, struct raft_conf_state *out);

/* Leader's view of a member; E_NOT_FOUND when not leader or unknown. */
BASE_MUST_CHECK int raft_progress_of(const struct raft *raft, uint64_t id,
                                     struct raft_progress_status *out);

/* The term of an entry that is still in the log or the mark; 0 otherwise. */
uint64_t raft_term_of(const struct raft *raft, uint64_t index);

/* For observers: the entry at index, borrowed until the next input; NULL when the log lacks it. */
const struct raft_entry *raft_entry_of(const struct raft *raft, uint64_t index);

/* For observers: how often entries were taken off the end of the log (conflicts, snapshots). While
 * it stays the same, an entry that was there is there unchanged, or compacted. */
uint64_t raft_log_rewrites(const struct raft *raft);

const char *raft_role_name(enum raft_role role);
const char *raft_message_name(enum raft_message_type type);

#endif
