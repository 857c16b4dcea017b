/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the Raft core, shared by the files of this folder only. One rule ties them
 * together: a message that promises something (votes asked or given, append answers) goes through
 * raft_send_promise and leaves when all that the core held at that moment is durable. Since all
 * promises wait in one queue in the order of the state changes, a crash can only undo steps that
 * nobody was told of: the member behaves as one that writes before it speaks.
 */
#ifndef ENGINE_RAFT_INTERNAL_H
#define ENGINE_RAFT_INTERNAL_H

#include "base/rng.h"
#include "engine/raft/log.h"
#include "engine/raft/progress.h"
#include "engine/raft/quorum.h"
#include "engine/raft/raft.h"
#include "engine/raft/readindex.h"

/* Handed out for applying per call of raft_take_effects. */
#define RAFT_APPLY_ENTRIES_MAX 4096u
#define RAFT_APPLY_BYTES_MAX   (16u * 1024u * 1024u)

#define RAFT_CAMPAIGN_TRANSFER "CampaignTransfer"

/* A suspect member clears itself no earlier than this many election timeouts after its start. */
#define RAFT_SUSPECT_ELECTION_TIMEOUTS 3u

enum raft_campaign_type { RAFT_CAMPAIGN_PRE, RAFT_CAMPAIGN_ELECTION, RAFT_CAMPAIGN_BY_TRANSFER };

enum raft_install_state { RAFT_INSTALL_NONE, RAFT_INSTALL_WANTED, RAFT_INSTALL_GIVEN };

/* Owns the messages. */
struct raft_outbox {
    struct raft_message *messages;
    uint32_t count;
    uint32_t capacity;
};

/* A promise and the ticket that covers it. to == own id: the member's own vote. */
struct raft_waiting {
    uint64_t after_ticket;
    struct raft_message message;
};

/* One flush on its way: up to which entry the log is durable when it ends. Truncation lowers it. */
struct raft_ticket {
    uint64_t ticket;
    uint64_t last_index;
};

/* An array that is lent to the shell: it keeps references, so that later truncation cannot free
 * them. */
struct raft_lent_entries {
    struct raft_entry *entries;
    uint32_t count;
    uint32_t capacity;
};

/* How a suspect member finds out that it holds everything again (suspect.c). */
struct raft_suspicion {
    bool active;
    bool has_read;       /* a quorum-confirmed commit index was learned in read_term */
    bool caught_up;      /* an append proved it; final once persisted up to caught_up_index */
    uint64_t ticks;      /* since start */
    uint64_t asked_tick; /* when the last question went out */
    uint64_t nonce;
    uint64_t read_term;
    uint64_t read_index;
    uint64_t caught_up_index;
};

struct raft {
    uint64_t id;
    uint32_t election_ticks;
    uint32_t heartbeat_ticks;
    bool pre_vote;
    bool check_quorum;
    uint64_t max_message_bytes;
    uint32_t max_inflight;
    struct rng rng;

    enum raft_role role;
    uint64_t term;
    uint64_t vote;
    uint64_t leader;
    uint32_t election_elapsed;
    uint32_t heartbeat_elapsed;
    uint32_t randomized_timeout;
    uint32_t early_campaign_ticks; /* until a campaign before the timeout; 0: none is due */

    struct raft_log log;
    struct raft_progress members[RAFT_MEMBERS_MAX]; /* the configuration, ascending by id */
    uint32_t member_count;
    bool conf_ahead;     /* the configuration is newer than log.applied says */
    bool conf_unflushed; /* the commit index that made it is not yet on its way to the disk */

    uint64_t transfer_target;
    uint64_t pending_conf_index;
    uint64_t
        leaving_index; /* a leader that is no voter any more: where that was committed; 0: no */
    uint64_t uncommitted_bytes;
    struct raft_reads reads;
    struct raft_suspicion suspicion;

    struct raft_outbox outbox; /* for the next effects */
    struct raft_outbox given;  /* array lent with the last effects */
    struct raft_waiting *waiting;
    uint32_t waiting_start, waiting_count, waiting_capacity;

    struct raft_ticket *tickets; /* in flight, oldest first */
    uint32_t ticket_count, ticket_capacity;
    uint64_t next_ticket;
    uint64_t last_sync_ticket; /* newest one that carries promises' state */
    uint64_t persisted_ticket;
    struct raft_hard_state emitted_hard_state;

    enum raft_install_state install_state;
    struct raft_snapshot_mark install_mark;

    struct raft_lent_entries lent_persist;
    struct raft_lent_entries lent_apply;
    struct raft_read_state *read_states; /* for the next effects */
    uint32_t read_state_count, read_state_capacity;
    struct raft_read_state *given_reads;
    uint32_t given_read_capacity;

    enum raft_role shown_role; /* in the last effects */
    uint64_t shown_term;
    uint64_t shown_leader;
};

/* Grows an array (element size bytes) so that it holds at least needed elements. */
void *raft_array_grow(void *array, uint32_t *capacity, uint32_t needed, size_t size);

/* send.c: what leaves the core, and what waits for the disk. Each takes message; it gets from (when
 * 0) and, when 0 and the type carries one, the term. */
void raft_send(struct raft *raft, struct raft_message *message);
void raft_send_promise(struct raft *raft, struct raft_message *message);
void raft_release_promises(struct raft *raft);
bool raft_must_persist(const struct raft *raft);

/* effects.c: what is in flight to the disk covers the log only up to last_index any more. */
void raft_clamp_tickets(struct raft *raft, uint64_t last_index);
void raft_push_read_state(struct raft *raft, const struct raft_read_state *state);
void raft_effects_free(struct raft *raft);

/* raft.c */
struct raft_progress *raft_member(struct raft *raft, uint64_t id); /* NULL: unknown */
const struct raft_progress *raft_member_const(const struct raft *raft, uint64_t id);
uint32_t raft_voter_count(const struct raft *raft);
bool raft_is_voter(const struct raft *raft, uint64_t id);
bool raft_committed_in_term(const struct raft *raft);
/* Steps a message that has passed the checks; contents may be moved out of it. */
void raft_step_checked(struct raft *raft, struct raft_message *message);

/* check.c: false for what no honest member can have sent. */
bool raft_message_is_sane(const struct raft *raft, const struct raft_message *message);

/* election.c */
void raft_become_follower(struct raft *raft, uint64_t term, uint64_t leader);
bool raft_is_promotable(const struct raft *raft);
void raft_hup(struct raft *raft, enum raft_campaign_type type);
void raft_handle_vote(struct raft *raft, const struct raft_message *message);
void raft_handle_vote_resp(struct raft *raft, const struct raft_message *message);
bool raft_in_lease(const struct raft *raft);
void raft_check_quorum(struct raft *raft);

/* replicate.c: leader side */
void raft_want_append(struct raft_progress *progress, enum raft_send_want want);
void raft_want_append_all(struct raft *raft, enum raft_send_want want);
void raft_flush_appends(struct raft *raft);
bool raft_maybe_commit(struct raft *raft);
void raft_after_commit(struct raft *raft);
bool raft_append_own(struct raft *raft, struct raft_entry *entries, uint32_t count);
void raft_self_persisted(struct raft *raft);
void raft_send_heartbeats(struct raft *raft, uint64_t round);
void raft_handle_append_resp(struct raft *raft, const struct raft_message *message);
void raft_handle_heartbeat_resp(struct raft *raft, const struct raft_message *message);

/* follow.c: follower side */
void raft_handle_append(struct raft *raft, const struct raft_message *message);
void raft_handle_heartbeat(struct raft *raft, const struct raft_message *message);

/* propose.c */
void raft_handle_proposal(struct raft *raft, struct raft_message *message);

/* readindex.c */
void raft_handle_read_index(struct raft *raft, const struct raft_message *message);
void raft_handle_read_index_resp(struct raft *raft, const struct raft_message *message);
void raft_release_parked_reads(struct raft *raft);
void raft_flush_reads(struct raft *raft);
void raft_confirm_reads(struct raft *raft);

/* transfer.c */
void raft_handle_transfer(struct raft *raft, const struct raft_message *message);
void raft_handle_timeout_now(struct raft *raft, const struct raft_message *message);
void raft_transfer_progressed(struct raft *raft, const struct raft_progress *progress);

/* snapshot.c */
void raft_handle_snapshot(struct raft *raft, const struct raft_message *message);
void raft_flush_snapshots(struct raft *raft);

/* confchange.c */
void raft_conf_set(struct raft *raft, const struct raft_conf_state *state, uint64_t next_index);
bool raft_conf_state_is_valid(const struct raft_conf_state *state);
bool raft_conf_state_has(const struct raft_conf_state *state, uint64_t id);

void raft_leaving_beat(struct raft *raft);
void raft_leaving_progressed(struct raft *raft);

/* suspect.c */
void raft_suspect_tick(struct raft *raft);
uint64_t raft_suspect_cap_ack(const struct raft *raft, uint64_t index, uint64_t leader_commit);
void raft_suspect_append_accepted(struct raft *raft, const struct raft_message *message);
bool raft_suspect_take_answer(struct raft *raft, const struct raft_message *message);
void raft_suspect_maybe_clear(struct raft *raft);

#endif
