/* SPDX-License-Identifier: Apache-2.0 */
/* The Raft core: birth, time, and where each message goes (Raft paper 5.1: terms). */
#include "engine/raft/raft_internal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/plant.h"

static void new_load_log(struct raft *raft, const struct raft_config *config)
{
    struct raft_log *log = &raft->log;
    raft_log_init(log, config->mark.index, config->mark.term);
    for (uint32_t i = 0; i < config->entry_count; i++) {
        raft_log_append(log, &config->entries[i]);
    }
    log->emitted = log->last_index;
    log->persisted = log->last_index;
    ASSERT(config->applied_index >= config->mark.index);
    log->applied = config->applied_index;
    log->handed = config->applied_index;
    /* What is applied was committed, whatever the last note of the commit index says. */
    uint64_t commit = BASE_MAX(config->hard_state.commit, config->applied_index);
    raft->suspicion.active = config->suspect || commit > log->last_index;
    raft_log_commit_to(log, BASE_MIN(commit, log->last_index));
}

struct raft *raft_new(const struct raft_config *config)
{
    ASSERT(config->id != RAFT_NO_ID && config->election_ticks > 0 && config->heartbeat_ticks > 0);
    ASSERT(config->max_inflight > 0);
    struct raft *raft = mem_zalloc(sizeof(*raft));
    raft->id = config->id;
    raft->election_ticks = config->election_ticks;
    raft->heartbeat_ticks = config->heartbeat_ticks;
    raft->pre_vote = config->pre_vote;
    raft->check_quorum = config->check_quorum;
    raft->max_message_bytes = config->max_message_bytes;
    raft->max_inflight = config->max_inflight;
    raft->next_ticket = 1;
    rng_seed(&raft->rng, config->random_seed);
    new_load_log(raft, config);
    const struct raft_conf_state *conf =
        config->applied_conf_state != NULL ? config->applied_conf_state : &config->mark.conf_state;
    raft_conf_set(raft, conf, raft->log.last_index + 1);
    raft->term = config->hard_state.term;
    raft->vote = config->hard_state.vote;
    uint64_t last_term = raft_log_last_term(&raft->log);
    if (last_term > raft->term) {
        /* The entries of a flush were kept, its hard state was torn off: nothing of it was
         * promised. */
        raft->term = last_term;
        raft->vote = RAFT_NO_ID;
    }
    raft->emitted_hard_state = config->hard_state;
    raft_become_follower(raft, raft->term, RAFT_NO_ID);
    raft->shown_role = RAFT_FOLLOWER;
    raft->shown_term = raft->term;
    return raft;
}

void raft_free(struct raft *raft)
{
    if (raft == NULL) {
        return;
    }
    for (uint32_t i = 0; i < raft->member_count; i++) {
        raft_progress_free(&raft->members[i]);
    }
    raft_effects_free(raft);
    raft_reads_free(&raft->reads);
    raft_log_free(&raft->log);
    mem_free(raft);
}

bool raft_committed_in_term(const struct raft *raft)
{
    return raft_log_matches(&raft->log, raft->log.commit, raft->term) || PLANT(read_before_noop);
}

static void tick_leader(struct raft *raft)
{
    raft->heartbeat_elapsed++;
    raft->election_elapsed++;
    if (raft->election_elapsed >= raft->election_ticks) {
        raft->election_elapsed = 0;
        raft->transfer_target = RAFT_NO_ID; /* dissertation 3.10: it took too long */
        if (raft->check_quorum) {
            raft_check_quorum(raft);
        }
    }
    if (raft->role == RAFT_LEADER && raft->heartbeat_elapsed >= raft->heartbeat_ticks) {
        raft->heartbeat_elapsed = 0;
        if (raft->leaving_index != 0) {
            raft_leaving_beat(raft);
            return;
        }
        raft_send_heartbeats(raft, raft->reads.count > 0 ? raft->reads.round_sent : 0);
    }
}

/* One try, beside the timeout, which goes on as if nothing had been reported. */
static void tick_early_campaign(struct raft *raft)
{
    if (raft->early_campaign_ticks == 0) {
        return;
    }
    raft->early_campaign_ticks--;
    if (raft->early_campaign_ticks == 0) {
        raft_hup(raft, RAFT_CAMPAIGN_ELECTION);
    }
}

void raft_tick(struct raft *raft)
{
    if (raft->role == RAFT_LEADER) {
        tick_leader(raft);
        return;
    }
    raft_suspect_tick(raft);
    /* No further than anybody looks: a learner counts for years. */
    raft->election_elapsed = BASE_MIN(raft->election_elapsed + 1, 2 * raft->election_ticks);
    tick_early_campaign(raft);
    if (raft->election_elapsed >= raft->randomized_timeout && raft_is_promotable(raft)) {
        raft->election_elapsed = 0;
        raft_hup(raft, RAFT_CAMPAIGN_ELECTION);
    }
}

void raft_campaign(struct raft *raft)
{
    raft_hup(raft, RAFT_CAMPAIGN_ELECTION);
}

/* A message from the past. An old leader is told the new term by an empty answer, because with
 * PreVote or CheckQuorum no election of ours would tell it (dissertation 9.6, 6.2). */
static void step_older_term(struct raft *raft, const struct raft_message *message)
{
    bool from_leader = message->type == RAFT_MSG_APP || message->type == RAFT_MSG_HEARTBEAT;
    struct raft_message answer = {.to = message->from};
    if (from_leader && (raft->check_quorum || raft->pre_vote)) {
        answer.type = RAFT_MSG_APP_RESP;
        raft_send_promise(raft, &answer);
    } else if (message->type == RAFT_MSG_PRE_VOTE) {
        answer.type = RAFT_MSG_PRE_VOTE_RESP;
        answer.reject = true;
        raft_send_promise(raft, &answer);
    }
}

/* Raft 5.1: a greater term makes a follower. False: the message is to be ignored. */
static bool step_newer_term(struct raft *raft, const struct raft_message *message)
{
    bool is_vote = message->type == RAFT_MSG_VOTE || message->type == RAFT_MSG_PRE_VOTE;
    if (is_vote) {
        bool forced = bytes_equal(bytes_of(message->context, message->context_size),
                                  bytes_of_str(RAFT_CAMPAIGN_TRANSFER));
        if (!forced && raft_in_lease(raft)) {
            return false;
        }
    }
    bool is_future_talk = message->type == RAFT_MSG_PRE_VOTE ||
                          (message->type == RAFT_MSG_PRE_VOTE_RESP && !message->reject);
    if (!is_future_talk) {
        bool from_leader = message->type == RAFT_MSG_APP || message->type == RAFT_MSG_HEARTBEAT ||
                           message->type == RAFT_MSG_SNAP;
        raft_become_follower(raft, message->term, from_leader ? message->from : RAFT_NO_ID);
    }
    return true;
}

/* What only the leader of this term sends. False: there is another leader in this term. */
static bool step_follow_leader(struct raft *raft, uint64_t leader)
{
    if (raft->role == RAFT_LEADER || (raft->leader != RAFT_NO_ID && raft->leader != leader)) {
        return false;
    }
    if (raft->role != RAFT_FOLLOWER) {
        raft_become_follower(raft, raft->term, leader);
    }
    raft->election_elapsed = 0;
    raft->early_campaign_ticks = 0;
    raft->leader = leader;
    return true;
}

static void step_append(struct raft *raft, const struct raft_message *message)
{
    if (step_follow_leader(raft, message->from)) {
        raft_handle_append(raft, message);
    }
}

static void step_heartbeat(struct raft *raft, const struct raft_message *message)
{
    if (step_follow_leader(raft, message->from)) {
        raft_handle_heartbeat(raft, message);
    }
}

static void step_snapshot(struct raft *raft, const struct raft_message *message)
{
    if (step_follow_leader(raft, message->from)) {
        raft_handle_snapshot(raft, message);
    }
}

/* Those that carry a term; others do not pass check.c. */
static void (*const HANDLERS[])(struct raft *raft, const struct raft_message *message) = {
    [RAFT_MSG_APP] = step_append,
    [RAFT_MSG_APP_RESP] = raft_handle_append_resp,
    [RAFT_MSG_VOTE] = raft_handle_vote,
    [RAFT_MSG_VOTE_RESP] = raft_handle_vote_resp,
    [RAFT_MSG_SNAP] = step_snapshot,
    [RAFT_MSG_HEARTBEAT] = step_heartbeat,
    [RAFT_MSG_HEARTBEAT_RESP] = raft_handle_heartbeat_resp,
    [RAFT_MSG_TRANSFER_LEADER] = raft_handle_transfer,
    [RAFT_MSG_TIMEOUT_NOW] = raft_handle_timeout_now,
    [RAFT_MSG_READ_INDEX_RESP] = raft_handle_read_index_resp,
    [RAFT_MSG_PRE_VOTE] = raft_handle_vote,
    [RAFT_MSG_PRE_VOTE_RESP] = raft_handle_vote_resp,
};

void raft_step_checked(struct raft *raft, struct raft_message *message)
{
    if (message->type == RAFT_MSG_PROP) {
        raft_handle_proposal(raft, message);
        return;
    }
    if (message->type == RAFT_MSG_READ_INDEX) {
        raft_handle_read_index(raft, message);
        return;
    }
    if (message->term < raft->term) {
        step_older_term(raft, message);
        return;
    }
    if (message->term > raft->term && !step_newer_term(raft, message)) {
        return;
    }
    ASSERT((size_t)message->type < ARRAY_COUNT(HANDLERS) && HANDLERS[message->type] != NULL);
    HANDLERS[message->type](raft, message);
}

void raft_step(struct raft *raft, struct raft_message *message)
{
    if (raft_message_is_sane(raft, message)) {
        raft_step_checked(raft, message);
    }
    raft_message_clear(message);
}

void raft_report_unreachable(struct raft *raft, uint64_t id)
{
    struct raft_progress *member = raft_member(raft, id);
    if (raft->role == RAFT_LEADER && member != NULL && id != raft->id &&
        member->state == RAFT_PROGRESS_REPLICATE) {
        raft_progress_become_probe(member); /* what was sent optimistically may be lost */
    }
}

void raft_applied(struct raft *raft, uint64_t index)
{
    struct raft_log *log = &raft->log;
    ASSERT(index <= log->handed);
    raft->conf_ahead = false;
    for (uint64_t i = BASE_MAX(log->applied, log->mark_index) + 1; i <= index; i++) {
        const struct raft_payload *payload = raft_log_at(log, i)->payload;
        uint64_t bytes = payload == NULL ? 0 : payload->size;
        raft->uncommitted_bytes -= BASE_MIN(bytes, raft->uncommitted_bytes);
    }
    log->applied = BASE_MAX(log->applied, index);
}

void raft_compact(struct raft *raft, uint64_t index)
{
    ASSERT(index <= raft->log.applied);
    index = BASE_MIN(index, raft->log.last_index);
    if (index > raft->log.mark_index) {
        raft_log_compact(&raft->log, index);
    }
}

void raft_status(const struct raft *raft, struct raft_status *out)
{
    *out = (struct raft_status){
        .id = raft->id,
        .term = raft->term,
        .vote = raft->vote,
        .leader = raft->leader,
        .role = raft->role,
        .commit_index = raft->log.commit,
        .applied_index = raft->log.applied,
        .last_index = raft->log.last_index,
        .first_index = raft->log.mark_index + 1,
        .persisted_index = raft->log.persisted,
        .transfer_target = raft->transfer_target,
        .suspect = raft->suspicion.active,
        .uncommitted_bytes = raft->uncommitted_bytes,
    };
}

int raft_progress_of(const struct raft *raft, uint64_t id, struct raft_progress_status *out)
{
    const struct raft_progress *member = raft_member_const(raft, id);
    if (raft->role != RAFT_LEADER || member == NULL) {
        return E_NOT_FOUND;
    }
    *out = (struct raft_progress_status){
        .id = id,
        .match_index = member->match_index,
        .next_index = member->next_index,
        .state = member->state,
        .is_learner = member->is_learner,
        .recent_active = member->recent_active,
        .pending_snapshot = member->pending_snapshot,
        .inflight_count = member->inflights.count,
        .is_paused = raft_progress_is_paused(member),
    };
    return E_OK;
}

uint64_t raft_term_of(const struct raft *raft, uint64_t index)
{
    uint64_t term = 0;
    return raft_log_term(&raft->log, index, &term) ? term : 0;
}

const struct raft_entry *raft_entry_of(const struct raft *raft, uint64_t index)
{
    bool has = index > raft->log.mark_index && index <= raft->log.last_index;
    return has ? raft_log_at(&raft->log, index) : NULL;
}

uint64_t raft_log_rewrites(const struct raft *raft)
{
    return raft->log.rewrites;
}

const char *raft_role_name(enum raft_role role)
{
    static const char *const NAMES[] = {"follower", "pre-candidate", "candidate", "leader"};
    return (size_t)role < ARRAY_COUNT(NAMES) ? NAMES[role] : "unknown";
}

const char *raft_message_name(enum raft_message_type type)
{
    static const char *const NAMES[] = {
        "MsgHup",           "MsgBeat",           "MsgProp",        "MsgApp",
        "MsgAppResp",       "MsgVote",           "MsgVoteResp",    "MsgSnap",
        "MsgHeartbeat",     "MsgHeartbeatResp",  "MsgUnreachable", "MsgSnapStatus",
        "MsgCheckQuorum",   "MsgTransferLeader", "MsgTimeoutNow",  "MsgReadIndex",
        "MsgReadIndexResp", "MsgPreVote",        "MsgPreVoteResp",
    };
    return (size_t)type < ARRAY_COUNT(NAMES) ? NAMES[type] : "unknown";
}
