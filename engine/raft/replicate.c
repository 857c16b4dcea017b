/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leader's side of log replication: Raft paper 5.3 and 5.4.2, flow control after
 * dissertation 10.2.1. Events only note that a member wants an append; raft_flush_appends sends
 * when effects are taken, so that a batch of inputs makes one append per member.
 */
#include "engine/raft/raft_internal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"

void raft_want_append(struct raft_progress *progress, enum raft_send_want want)
{
    progress->want = BASE_MAX(progress->want, want);
}

void raft_want_append_all(struct raft *raft, enum raft_send_want want)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        raft_want_append(&raft->members[i], want);
    }
}

/* Moves count entries from first_index on into the message, each with a reference of its own. */
static void replicate_fill(const struct raft *raft, struct raft_message *message,
                           uint64_t first_index, uint32_t count)
{
    if (count == 0) {
        return;
    }
    message->entries = mem_array(count, sizeof(*message->entries));
    for (uint32_t i = 0; i < count; i++) {
        message->entries[i] = *raft_log_at(&raft->log, first_index + i);
        raft_payload_ref(message->entries[i].payload);
    }
    message->entry_count = count;
}

/* One append to one member (Raft 5.3). False when nothing was sent. */
static bool replicate_send(struct raft *raft, struct raft_progress *member,
                           enum raft_send_want want)
{
    if (raft_progress_is_paused(member)) {
        return false;
    }
    struct raft_log *log = &raft->log;
    uint64_t prev_term = 0;
    if (!raft_log_term(log, member->next_index - 1, &prev_term)) {
        member->want_snapshot = true; /* compacted away: Raft 7 */
        return false;
    }
    bool throttled =
        member->state == RAFT_PROGRESS_REPLICATE && raft_inflights_full(&member->inflights);
    uint32_t count = throttled ? 0
                               : raft_log_count_within(log, member->next_index, log->last_index,
                                                       raft->max_message_bytes);
    if (count == 0 && want != RAFT_WANT_APPEND) {
        return false;
    }
    struct raft_message append = {
        .type = RAFT_MSG_APP,
        .to = member->id,
        .index = member->next_index - 1,
        .log_term = prev_term,
        .commit = log->commit,
    };
    replicate_fill(raft, &append, member->next_index, count);
    raft_progress_sent(member, count);
    member->sent_commit = log->commit;
    raft_send(raft, &append);
    return true;
}

void raft_flush_appends(struct raft *raft)
{
    if (raft->role != RAFT_LEADER) {
        return;
    }
    for (uint32_t i = 0; i < raft->member_count; i++) {
        struct raft_progress *member = &raft->members[i];
        enum raft_send_want want = member->want;
        member->want = RAFT_WANT_NOTHING;
        if (member->id == raft->id || want == RAFT_WANT_NOTHING) {
            continue;
        }
        while (replicate_send(raft, member, want)) {
            want = RAFT_WANT_ENTRIES;
        }
    }
}

/*
 * Raft 5.4.2: only an entry of the leader's own term is committed by counting copies; the older
 * ones are committed with it. Learners do not count.
 */
bool raft_maybe_commit(struct raft *raft)
{
    ASSERT(raft->role == RAFT_LEADER);
    uint64_t matches[RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (!raft->members[i].is_learner) {
            matches[count++] = raft->members[i].match_index;
        }
    }
    for (uint32_t i = 0; PLANT(learner_counts) && i < raft->member_count; i++) {
        (void)raft_quorum_value(matches, count); /* sorts: the slowest is the last */
        if (raft->members[i].is_learner) {
            matches[count - 1] = BASE_MAX(matches[count - 1], raft->members[i].match_index);
        }
    }
    uint64_t index = raft_quorum_value(matches, count);
    if (index <= raft->log.commit ||
        (!PLANT(commit_old_term_by_count) && !raft_log_matches(&raft->log, index, raft->term))) {
        return false;
    }
    raft_log_commit_to(&raft->log, index);
    return true;
}

void raft_after_commit(struct raft *raft)
{
    raft_release_parked_reads(raft);
    raft_want_append_all(raft, RAFT_WANT_APPEND);
}

/* Appends at the leader (Raft 5.3). False when too much waits for commit already. */
bool raft_append_own(struct raft *raft, struct raft_entry *entries, uint32_t count)
{
    ASSERT(raft->role == RAFT_LEADER);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += entries[i].payload == NULL ? 0 : entries[i].payload->size;
    }
    if (raft->uncommitted_bytes > 0 && bytes > 0 &&
        raft->uncommitted_bytes + bytes > RAFT_UNCOMMITTED_BYTES_MAX) {
        return false;
    }
    raft->uncommitted_bytes += bytes;
    for (uint32_t i = 0; i < count; i++) {
        entries[i].term = raft->term;
        entries[i].index = raft->log.last_index + 1;
        raft_log_append(&raft->log, &entries[i]);
    }
    if (PLANT(leader_counts_unflushed)) {
        struct raft_progress *own = raft_member(raft, raft->id);
        if (own != NULL && raft_progress_update(own, raft->log.last_index) &&
            raft_maybe_commit(raft)) {
            raft_after_commit(raft);
        }
    }
    return true;
}

/* The leader counts itself only with what its own disk holds. */
void raft_self_persisted(struct raft *raft)
{
    struct raft_progress *self = raft_member(raft, raft->id);
    if (raft->role != RAFT_LEADER || self == NULL) {
        return;
    }
    if (raft_progress_update(self, raft->log.persisted) && raft_maybe_commit(raft)) {
        raft_after_commit(raft);
    }
}

/* Raft 5.2; the context asks for a confirmation of leadership (dissertation 6.4). */
void raft_send_heartbeats(struct raft *raft, uint64_t round)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        struct raft_progress *member = &raft->members[i];
        if (member->id == raft->id) {
            continue;
        }
        struct raft_message beat = {
            .type = RAFT_MSG_HEARTBEAT,
            .to = member->id,
            /* Never more than the member is known to hold: its log beyond may differ. */
            .commit = PLANT(heartbeat_commits_blindly)
                          ? raft->log.commit
                          : BASE_MIN(member->match_index, raft->log.commit),
        };
        if (round != 0) {
            beat.context_size = sizeof(round);
            put_be64(beat.context, round);
            if (raft->leaving_index != 0 && member->told_round == 0 &&
                beat.commit >= raft->leaving_index) {
                member->told_round = round;
            }
        }
        member->sent_commit = beat.commit;
        raft_send(raft, &beat);
    }
}

/*
 * A refused append: go back to where the logs may agree (Raft 5.3, end). A refusal that reports
 * less than the member acknowledged before is either old (a probe costs nothing) or its log was
 * repaired after damage; then the leader must stop counting what is gone, so match steps back.
 */
static void replicate_rejected(struct raft *raft, struct raft_progress *member,
                               const struct raft_message *message)
{
    uint64_t hint = BASE_MIN(message->reject_hint, raft->log.last_index);
    if (message->log_term > 0) {
        uint64_t unused = 0;
        hint = raft_log_find_conflict_by_term(&raft->log, hint, message->log_term, &unused);
    }
    if (member->state != RAFT_PROGRESS_SNAPSHOT && message->index <= member->match_index &&
        message->index + 1 == member->next_index && message->reject_hint < member->match_index) {
        member->match_index = hint;
        raft_progress_become_probe(member);
        raft_want_append(member, RAFT_WANT_APPEND);
        return;
    }
    if (raft_progress_decrease(member, message->index, hint)) {
        if (member->state == RAFT_PROGRESS_REPLICATE) {
            raft_progress_become_probe(member);
        }
        raft_want_append(member, RAFT_WANT_APPEND);
    }
}

static void replicate_accepted(struct raft *raft, struct raft_progress *member,
                               const struct raft_message *message)
{
    if (message->index > raft->log.last_index) {
        return; /* nobody can hold what was never written */
    }
    bool probe_answered =
        member->state == RAFT_PROGRESS_PROBE && member->match_index == message->index;
    if (!raft_progress_update(member, message->index) && !probe_answered) {
        return;
    }
    if (member->state == RAFT_PROGRESS_PROBE) {
        raft_progress_become_replicate(member);
    } else if (member->state == RAFT_PROGRESS_REPLICATE) {
        raft_inflights_free_to(&member->inflights, message->index);
    } else if (member->match_index >= raft->log.mark_index) {
        raft_progress_become_replicate(member); /* the log is enough again */
    }
    if (raft_maybe_commit(raft)) {
        raft_after_commit(raft);
    } else if (raft_progress_can_bump_commit(member, raft->log.commit)) {
        raft_want_append(member, RAFT_WANT_APPEND);
    }
    raft_want_append(member, RAFT_WANT_ENTRIES);
    raft_transfer_progressed(raft, member);
}

void raft_handle_append_resp(struct raft *raft, const struct raft_message *message)
{
    struct raft_progress *member = raft_member(raft, message->from);
    if (raft->role != RAFT_LEADER || member == NULL) {
        return;
    }
    member->recent_active = true;
    if (message->reject) {
        replicate_rejected(raft, member, message);
    } else {
        replicate_accepted(raft, member, message);
    }
}

void raft_handle_heartbeat_resp(struct raft *raft, const struct raft_message *message)
{
    struct raft_progress *member = raft_member(raft, message->from);
    if (raft->role != RAFT_LEADER || member == NULL) {
        return;
    }
    member->recent_active = true;
    member->flow_paused = false;
    if (member->match_index < raft->log.last_index || member->state == RAFT_PROGRESS_PROBE) {
        raft_want_append(member, RAFT_WANT_APPEND);
    }
    if (message->context_size == sizeof(uint64_t)) {
        uint64_t round = get_be64(message->context);
        if (round > member->read_ack && round <= raft->reads.round_sent) {
            member->read_ack = round;
            raft_confirm_reads(raft);
            raft_leaving_progressed(raft);
        }
    }
}
