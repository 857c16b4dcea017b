/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leader election: Raft paper 5.2 and 5.4.1; PreVote: dissertation 9.6; CheckQuorum and the lease
 * that keeps a removed or cut-off member from disturbing: dissertation 6.2 and 4.2.3.
 */
#include "engine/raft/raft_internal.h"

#include "base/assert.h"
#include "base/plant.h"

/* Each term starts with a new random timeout in [election_ticks, 2 * election_ticks) (Raft 5.2). */
static void election_reset(struct raft *raft, uint64_t term)
{
    ASSERT(term >= raft->term);
    if (raft->term != term) {
        raft->term = term;
        raft->vote = RAFT_NO_ID;
    }
    raft->leader = RAFT_NO_ID;
    raft->election_elapsed = 0;
    raft->heartbeat_elapsed = 0;
    raft->randomized_timeout =
        raft->election_ticks + (uint32_t)rng_below(&raft->rng, raft->election_ticks);
    raft->early_campaign_ticks = 0;
    raft->transfer_target = RAFT_NO_ID;
    raft->pending_conf_index = 0;
    raft->leaving_index = 0;
    raft->uncommitted_bytes = 0;
    raft_reads_clear(&raft->reads);
    for (uint32_t i = 0; i < raft->member_count; i++) {
        struct raft_progress *member = &raft->members[i];
        /* The own match counts what is durable here, not what is in memory. */
        uint64_t match = member->id == raft->id ? raft->log.persisted : 0;
        raft_progress_reset(member, match, raft->log.last_index + 1);
    }
}

void raft_become_follower(struct raft *raft, uint64_t term, uint64_t leader)
{
    election_reset(raft, term);
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
}

static void election_clear_votes(struct raft *raft)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        raft->members[i].cast = RAFT_CAST_NONE;
    }
}

/* Raft 5.2, and 8: the no-op lets the new leader learn the commit index of its predecessors. */
static void election_become_leader(struct raft *raft)
{
    ASSERT(raft->role == RAFT_CANDIDATE);
    ASSERT(raft->vote == raft->id && raft->emitted_hard_state.term == raft->term);
    election_reset(raft, raft->term);
    raft->role = RAFT_LEADER;
    raft->leader = raft->id;
    struct raft_progress *self = raft_member(raft, raft->id);
    ASSERT(self != NULL && !self->is_learner);
    self->state = RAFT_PROGRESS_REPLICATE;
    self->recent_active = true;
    /* A change of a predecessor may be in the log, unapplied: no other one until that is known. */
    raft->pending_conf_index = raft->log.last_index;
    struct raft_entry noop = {.type = RAFT_ENTRY_NORMAL};
    bool appended = raft_append_own(raft, &noop, 1);
    ASSERT(appended);
    raft_want_append_all(raft, RAFT_WANT_APPEND);
}

bool raft_is_promotable(const struct raft *raft)
{
    return raft_is_voter(raft, raft->id) && raft->install_state == RAFT_INSTALL_NONE &&
           !raft->suspicion.active && raft->term < RAFT_TERM_MAX;
}

static void election_ask(struct raft *raft, enum raft_campaign_type type, uint64_t to)
{
    bool pre = type == RAFT_CAMPAIGN_PRE;
    struct raft_message ask = {
        .type = pre ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE,
        .to = to,
        .term = pre ? raft->term + 1 : raft->term,
        .index = raft->log.last_index,
        .log_term = raft_log_last_term(&raft->log),
    };
    if (to == raft->id) {
        ask = (struct raft_message){
            .type = pre ? RAFT_MSG_PRE_VOTE_RESP : RAFT_MSG_VOTE_RESP, .to = to, .term = ask.term};
    } else if (type == RAFT_CAMPAIGN_BY_TRANSFER) {
        ask.context_size = sizeof(RAFT_CAMPAIGN_TRANSFER) - 1;
        memcpy(ask.context, RAFT_CAMPAIGN_TRANSFER, ask.context_size);
    }
    /* Asking for votes is a promise too: a candidate that forgot its term could win the same term
     * twice and write two different entries to one place. */
    raft_send_promise(raft, &ask);
}

static void election_campaign(struct raft *raft, enum raft_campaign_type type)
{
    ASSERT(raft->role != RAFT_LEADER);
    if (type == RAFT_CAMPAIGN_PRE) {
        /* Nothing that others could see changes: neither term nor vote (dissertation 9.6). */
        election_clear_votes(raft);
        raft->role = RAFT_PRE_CANDIDATE;
        raft->leader = RAFT_NO_ID;
    } else {
        election_reset(raft, raft->term + 1);
        raft->role = RAFT_CANDIDATE;
        raft->vote = raft->id;
    }
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (!raft->members[i].is_learner) {
            election_ask(raft, type, raft->members[i].id);
        }
    }
}

void raft_hup(struct raft *raft, enum raft_campaign_type type)
{
    if (raft->role == RAFT_LEADER || !raft_is_promotable(raft)) {
        return;
    }
    /* With a committed change unapplied, the own idea of who votes is old (dissertation 4.1). */
    if (raft_log_has_conf_change(&raft->log, raft->log.applied, raft->log.commit)) {
        return;
    }
    if (type == RAFT_CAMPAIGN_ELECTION && raft->pre_vote) {
        type = RAFT_CAMPAIGN_PRE;
    }
    election_campaign(raft, type);
}

/* Which of those who miss gone comes when, from 1: the voters by id, so that no two ask at once. */
static uint32_t election_turn(const struct raft *raft, uint64_t gone)
{
    uint32_t turn = 1;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const struct raft_progress *member = &raft->members[i];
        turn += !member->is_learner && member->id < raft->id && member->id != gone ? 1u : 0u;
    }
    return turn;
}

/*
 * Without PreVote a mistaken report would raise the term of a healthy cluster. All who miss the
 * same leader are told at nearly the same time: whoever comes next asks a tick later, if it must.
 */
void raft_report_gone(struct raft *raft, uint64_t id)
{
    ASSERT(id != RAFT_NO_ID);
    if (raft->role == RAFT_FOLLOWER && raft->leader == id && raft->pre_vote) {
        raft->leader = RAFT_NO_ID;
        raft->early_campaign_ticks = election_turn(raft, id);
    }
}

bool raft_in_lease(const struct raft *raft)
{
    return raft->check_quorum && raft->leader != RAFT_NO_ID &&
           raft->election_elapsed < raft->election_ticks;
}

/* Raft 5.2, 5.4.1. A suspect log may lack what it acknowledged: it never grants. */
void raft_handle_vote(struct raft *raft, const struct raft_message *message)
{
    bool pre = message->type == RAFT_MSG_PRE_VOTE;
    bool can_vote = raft->vote == message->from || PLANT(two_votes_a_term) ||
                    (raft->vote == RAFT_NO_ID && raft->leader == RAFT_NO_ID) ||
                    (pre && message->term > raft->term);
    bool granted = can_vote && !raft->suspicion.active &&
                   (raft_log_is_up_to_date(&raft->log, message->index, message->log_term) ||
                    PLANT(vote_without_log_check));
    struct raft_message answer = {
        .type = pre ? RAFT_MSG_PRE_VOTE_RESP : RAFT_MSG_VOTE_RESP,
        .to = message->from,
        /* A granted pre-vote speaks of the term that was asked for, a refusal of the own one. */
        .term = granted ? message->term : raft->term,
        .reject = !granted,
    };
    if (granted && !pre) {
        raft->election_elapsed = 0;
        raft->vote = message->from;
    }
    raft_send_promise(raft, &answer); /* after the vote is noted: it waits for that very ticket */
}

static enum raft_vote_result election_tally(const struct raft *raft)
{
    uint32_t granted = 0;
    uint32_t rejected = 0;
    uint32_t voters = 0;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const struct raft_progress *member = &raft->members[i];
        if (member->is_learner) {
            continue;
        }
        voters++;
        granted += member->cast == RAFT_CAST_GRANTED ? 1u : 0u;
        rejected += member->cast == RAFT_CAST_REJECTED ? 1u : 0u;
    }
    return raft_quorum_vote(granted, rejected, voters);
}

/* Only once the own vote is durable; before that nobody honest can have answered either. */
static bool election_voted_for_itself(const struct raft *raft)
{
    const struct raft_progress *self = raft_member_const(raft, raft->id);
    ASSERT(self != NULL); /* it is promotable */
    return self->cast == RAFT_CAST_GRANTED;
}

void raft_handle_vote_resp(struct raft *raft, const struct raft_message *message)
{
    bool pre = message->type == RAFT_MSG_PRE_VOTE_RESP;
    if (raft->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE)) {
        return;
    }
    if (pre && !message->reject && message->term != raft->term + 1) {
        return; /* the answer to an older question */
    }
    struct raft_progress *voter = raft_member(raft, message->from);
    if (voter == NULL || voter->is_learner) {
        return;
    }
    if (voter->cast == RAFT_CAST_NONE) {
        voter->cast = message->reject ? RAFT_CAST_REJECTED : RAFT_CAST_GRANTED;
    }
    enum raft_vote_result result = election_tally(raft);
    if (result == RAFT_VOTE_LOST) {
        raft_become_follower(raft, raft->term, RAFT_NO_ID);
    } else if (result == RAFT_VOTE_WON && raft_is_promotable(raft)) {
        if (pre) {
            election_campaign(raft, RAFT_CAMPAIGN_ELECTION);
        } else if (election_voted_for_itself(raft)) {
            election_become_leader(raft);
        }
    }
}

/* Dissertation 6.2: a leader that hears of no quorum for an election timeout steps down. */
void raft_check_quorum(struct raft *raft)
{
    ASSERT(raft->role == RAFT_LEADER);
    uint32_t active = 0;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        struct raft_progress *member = &raft->members[i];
        bool is_self = member->id == raft->id;
        active += !member->is_learner && (is_self || member->recent_active) ? 1u : 0u;
        member->recent_active = is_self;
    }
    if (active < raft_quorum_size(raft_voter_count(raft))) {
        raft_become_follower(raft, raft->term, RAFT_NO_ID);
    }
}
