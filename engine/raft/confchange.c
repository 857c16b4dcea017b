/* SPDX-License-Identifier: Apache-2.0 */
/* Who is a member: changes of one server at a time (dissertation 4.1 to 4.3), learners (4.2.1). */
#include "engine/raft/raft_internal.h"

#include "base/assert.h"

struct raft_progress *raft_member(struct raft *raft, uint64_t id)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (raft->members[i].id == id) {
            return &raft->members[i];
        }
    }
    return NULL;
}

const struct raft_progress *raft_member_const(const struct raft *raft, uint64_t id)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (raft->members[i].id == id) {
            return &raft->members[i];
        }
    }
    return NULL;
}

uint32_t raft_voter_count(const struct raft *raft)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        count += raft->members[i].is_learner ? 0u : 1u;
    }
    return count;
}

bool raft_is_voter(const struct raft *raft, uint64_t id)
{
    const struct raft_progress *member = raft_member_const(raft, id);
    return member != NULL && !member->is_learner;
}

bool raft_conf_state_has(const struct raft_conf_state *state, uint64_t id)
{
    for (uint32_t i = 0; i < state->voter_count; i++) {
        if (state->voters[i] == id) {
            return true;
        }
    }
    for (uint32_t i = 0; i < state->learner_count; i++) {
        if (state->learners[i] == id) {
            return true;
        }
    }
    return false;
}

static bool conf_ids_ascend(const uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] <= (i == 0 ? RAFT_NO_ID : ids[i - 1])) {
            return false;
        }
    }
    return true;
}

bool raft_conf_state_is_valid(const struct raft_conf_state *state)
{
    if (state->voter_count > RAFT_MEMBERS_MAX || state->learner_count > RAFT_MEMBERS_MAX ||
        state->voter_count + state->learner_count > RAFT_MEMBERS_MAX ||
        !conf_ids_ascend(state->voters, state->voter_count) ||
        !conf_ids_ascend(state->learners, state->learner_count)) {
        return false;
    }
    for (uint32_t i = 0; i < state->learner_count; i++) {
        for (uint32_t k = 0; k < state->voter_count; k++) {
            if (state->voters[k] == state->learners[i]) {
                return false;
            }
        }
    }
    return true;
}

/* Gives the member with id, made at its place in the order when it is new; NULL when there is no
 * room. */
static struct raft_progress *conf_ensure(struct raft *raft, uint64_t id, uint64_t next_index)
{
    struct raft_progress *known = raft_member(raft, id);
    if (known != NULL || raft->member_count == RAFT_MEMBERS_MAX) {
        return known;
    }
    uint32_t place = raft->member_count;
    while (place > 0 && raft->members[place - 1].id > id) {
        raft->members[place] = raft->members[place - 1];
        place--;
    }
    raft->member_count++;
    raft_progress_init(&raft->members[place], id, next_index, raft->max_inflight);
    /* New: give it an election timeout to be heard of before it counts as silent. */
    raft->members[place].recent_active = true;
    return &raft->members[place];
}

static void conf_remove(struct raft *raft, uint64_t id)
{
    struct raft_progress *member = raft_member(raft, id);
    if (member == NULL) {
        return;
    }
    raft_progress_free(member);
    uint32_t place = (uint32_t)(member - raft->members);
    raft->member_count--;
    for (uint32_t i = place; i < raft->member_count; i++) {
        raft->members[i] = raft->members[i + 1];
    }
    raft->members[raft->member_count] = (struct raft_progress){0};
}

void raft_conf_set(struct raft *raft, const struct raft_conf_state *state, uint64_t next_index)
{
    ASSERT(raft_conf_state_is_valid(state));
    while (raft->member_count > 0) {
        conf_remove(raft, raft->members[0].id);
    }
    for (uint32_t i = 0; i < state->voter_count; i++) {
        (void)conf_ensure(raft, state->voters[i], next_index);
    }
    for (uint32_t i = 0; i < state->learner_count; i++) {
        conf_ensure(raft, state->learners[i], next_index)->is_learner = true;
    }
}

void raft_conf_state(const struct raft *raft, struct raft_conf_state *out)
{
    *out = (struct raft_conf_state){0};
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const struct raft_progress *member = &raft->members[i];
        if (member->is_learner) {
            out->learners[out->learner_count++] = member->id;
        } else {
            out->voters[out->voter_count++] = member->id;
        }
    }
}

/* Every member applies the same changes to the same configuration: what is ignored is ignored by
 * all. */
static void conf_apply(struct raft *raft, const struct raft_conf_change *change)
{
    if (change->node_id == RAFT_NO_ID) {
        return;
    }
    bool last_voter = raft_is_voter(raft, change->node_id) && raft_voter_count(raft) == 1;
    bool adds = change->type == RAFT_CONF_ADD_NODE || change->type == RAFT_CONF_ADD_LEARNER;
    if (last_voter) {
        return; /* a cluster without voters could never change again */
    }
    if (change->type == RAFT_CONF_REMOVE_NODE) {
        conf_remove(raft, change->node_id);
    } else if (adds) {
        uint64_t next = BASE_MAX(raft->log.last_index, 1u);
        struct raft_progress *member = conf_ensure(raft, change->node_id, next);
        if (member != NULL) {
            member->is_learner = change->type == RAFT_CONF_ADD_LEARNER;
        }
    }
}

/*
 * Dissertation 4.2.2: a leader leads up to the end of its own removal, without counting itself.
 * Members act on a change when they learn that it is committed; if it stepped down before they did,
 * the rest of a cluster of two would ask the removed one for its vote for ever. So it goes on,
 * taking no proposals, until a quorum of those who stay has answered a heartbeat that told them.
 */
void raft_leaving_beat(struct raft *raft)
{
    ASSERT(raft->leaving_index != 0);
    raft->reads.round_sent++;
    raft_send_heartbeats(raft, raft->reads.round_sent);
}

void raft_leaving_progressed(struct raft *raft)
{
    if (raft->leaving_index == 0) {
        return;
    }
    uint32_t informed = 0;
    uint64_t successor = RAFT_NO_ID;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const struct raft_progress *member = &raft->members[i];
        if (member->is_learner || member->told_round == 0 ||
            member->read_ack < member->told_round) {
            continue;
        }
        informed++;
        if (member->match_index == raft->log.last_index) {
            successor = member->id;
        }
    }
    if (informed < raft_quorum_size(raft_voter_count(raft))) {
        return;
    }
    if (successor != RAFT_NO_ID) { /* spares the others an election timeout */
        struct raft_message now = {.type = RAFT_MSG_TIMEOUT_NOW, .to = successor};
        raft_send(raft, &now);
    }
    raft_become_follower(raft, raft->term, RAFT_NO_ID);
}

/* What a leader has to look at again when the set of voters has changed. */
static void conf_changed_at_leader(struct raft *raft)
{
    if (!raft_is_voter(raft, raft->id) && raft->leaving_index == 0) {
        raft->leaving_index = raft->log.commit;
        raft_leaving_beat(raft);
    }
    if (!raft_is_voter(raft, raft->transfer_target)) {
        raft->transfer_target = RAFT_NO_ID;
    }
    if (raft_maybe_commit(raft)) { /* a smaller quorum may hold what the larger did not */
        raft_after_commit(raft);
    } else {
        raft_want_append_all(raft, RAFT_WANT_ENTRIES);
    }
    raft_confirm_reads(raft);
}

void raft_apply_conf_change(struct raft *raft, const struct raft_conf_change *change,
                            struct raft_conf_state *out)
{
    if (change != NULL) {
        conf_apply(raft, change);
        raft->conf_ahead = true;
        /* A member that forgot in a power cut that this is committed would ask the former voters
         * for votes, of whom one may be gone for good by then. */
        raft->conf_unflushed = true;
        if (raft->role == RAFT_LEADER) {
            conf_changed_at_leader(raft);
        }
    }
    raft_conf_state(raft, out);
}
