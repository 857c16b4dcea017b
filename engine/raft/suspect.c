/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A member whose log lost something that it may have acknowledged (rot below the durable mark). It
 * may also have forgotten a term that it voted in. Until it is whole again it must not count:
 *   - it grants no vote, does not campaign, and answers heartbeats without the read context, so
 * that it confirms no leader's reads;
 *   - it takes entries and stores them, but acknowledges at most the leader's own commit index:
 * such an answer keeps the flow going at any leader and can never commit anything new;
 *   - it believes no commit index from heartbeats, which speak of what it once acknowledged.
 * It is whole when, some election timeouts after its start (nothing of its past is on the wire any
 * more),
 *   1. the leader has answered a question with a fresh nonce: MsgReadIndex gives a commit index R
 * that a quorum without this member confirmed, so that nobody led by its forgotten vote before;
 *   2. an append of the same leader and term with a commit index above R fitted: it was sent after
 * the question, so it starts behind all that the leader believes this member to hold;
 *   3. everything up to that leader's commit index, and that append itself, is durable.
 * Point 2 needs one write after the question; an idle cluster leaves the member suspect until then.
 */
#include "engine/raft/raft_internal.h"

#include "base/assert.h"

static const uint8_t SUSPECT_TAG[8] = {'s', 'u', 's', 'p', 'e', 'c', 't', ':'};

static bool suspect_is_settled(const struct raft *raft)
{
    return raft->suspicion.ticks >= RAFT_SUSPECT_ELECTION_TIMEOUTS * raft->election_ticks;
}

void raft_suspect_tick(struct raft *raft)
{
    struct raft_suspicion *s = &raft->suspicion;
    if (!s->active) {
        return;
    }
    s->ticks++;
    bool knows = s->has_read && s->read_term == raft->term;
    bool asked_lately = s->asked_tick != 0 && s->ticks - s->asked_tick < raft->election_ticks;
    if (knows || asked_lately || !suspect_is_settled(raft) || raft->leader == RAFT_NO_ID) {
        return;
    }
    s->asked_tick = s->ticks;
    s->nonce = rng_next(&raft->rng);
    struct raft_message ask = {
        .type = RAFT_MSG_READ_INDEX,
        .to = raft->leader,
        .context_size = sizeof(SUSPECT_TAG) + sizeof(s->nonce),
    };
    memcpy(ask.context, SUSPECT_TAG, sizeof(SUSPECT_TAG));
    put_be64(ask.context + sizeof(SUSPECT_TAG), s->nonce);
    raft_send(raft, &ask);
}

bool raft_suspect_take_answer(struct raft *raft, const struct raft_message *message)
{
    struct raft_suspicion *s = &raft->suspicion;
    if (message->context_size != sizeof(SUSPECT_TAG) + sizeof(s->nonce) ||
        memcmp(message->context, SUSPECT_TAG, sizeof(SUSPECT_TAG)) != 0) {
        return false;
    }
    if (s->active && s->asked_tick != 0 &&
        get_be64(message->context + sizeof(SUSPECT_TAG)) == s->nonce) {
        s->has_read = true;
        s->caught_up = false;
        s->read_term = raft->term;
        s->read_index = message->index;
    }
    return true;
}

uint64_t raft_suspect_cap_ack(const struct raft *raft, uint64_t index, uint64_t leader_commit)
{
    return raft->suspicion.active ? BASE_MIN(index, leader_commit) : index;
}

void raft_suspect_append_accepted(struct raft *raft, const struct raft_message *message)
{
    struct raft_suspicion *s = &raft->suspicion;
    uint64_t last_new = message->index + message->entry_count;
    if (s->active && s->has_read && !s->caught_up && s->read_term == raft->term &&
        message->commit > s->read_index && last_new >= message->commit) {
        s->caught_up = true;
        s->caught_up_index = last_new;
    }
}

void raft_suspect_maybe_clear(struct raft *raft)
{
    struct raft_suspicion *s = &raft->suspicion;
    if (s->active && s->caught_up && s->read_term == raft->term &&
        raft->install_state == RAFT_INSTALL_NONE && raft->log.persisted >= s->caught_up_index) {
        ASSERT(raft->role == RAFT_FOLLOWER);
        s->active = false;
    }
}
