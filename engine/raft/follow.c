/* SPDX-License-Identifier: Apache-2.0 */
/* The follower's side of log replication: Raft paper 5.3 (AppendEntries, receiver) and 5.5. */
#include "engine/raft/raft_internal.h"

#include "base/assert.h"
#include "base/plant.h"

static void follow_accept(struct raft *raft, uint64_t to, uint64_t index)
{
    struct raft_message answer = {.type = RAFT_MSG_APP_RESP, .to = to, .index = index};
    raft_send_promise(raft, &answer); /* an acknowledgement before the disk has it is a lie */
}

/* Raft 5.3, end: the hint skips all entries of ours that the leader cannot have. */
static void follow_reject(struct raft *raft, const struct raft_message *message)
{
    struct raft_message answer = {
        .type = RAFT_MSG_APP_RESP,
        .to = message->from,
        .index = message->index,
        .reject = true,
    };
    answer.reject_hint = raft_log_find_conflict_by_term(&raft->log, message->index,
                                                        message->log_term, &answer.log_term);
    raft_send_promise(raft, &answer);
}

/*
 * Takes over entries that follow a matching place: the log is cut only at a real conflict, because
 * an old, short append may arrive after a longer one (Raft 5.3).
 */
static void follow_take_entries(struct raft *raft, const struct raft_message *message)
{
    uint32_t i = 0;
    while (i < message->entry_count &&
           !(PLANT(truncate_on_match) && message->entries[i].index > raft->log.commit) &&
           raft_log_matches(&raft->log, message->entries[i].index, message->entries[i].term)) {
        i++;
    }
    if (i == message->entry_count) {
        return;
    }
    uint64_t conflict = message->entries[i].index;
    ASSERT(conflict > raft->log.commit); /* all entries are, or the append was answered before */
    if (conflict <= raft->log.last_index) {
        raft_log_truncate(&raft->log, conflict);
        raft_clamp_tickets(raft, conflict - 1);
    }
    for (; i < message->entry_count; i++) {
        raft_log_append(&raft->log, &message->entries[i]);
    }
}

void raft_handle_append(struct raft *raft, const struct raft_message *message)
{
    struct raft_log *log = &raft->log;
    if (message->index < log->commit) {
        follow_accept(raft, message->from, log->commit); /* what is committed matches anyway */
        return;
    }
    if (!raft_log_matches(log, message->index, message->log_term) &&
        !(PLANT(append_without_check) && message->index <= log->last_index)) {
        follow_reject(raft, message);
        return;
    }
    follow_take_entries(raft, message);
    uint64_t last_new = message->index + message->entry_count;
    raft_log_commit_to(log, BASE_MIN(message->commit, last_new));
    raft_suspect_append_accepted(raft, message);
    follow_accept(raft, message->from, raft_suspect_cap_ack(raft, last_new, message->commit));
}

void raft_handle_heartbeat(struct raft *raft, const struct raft_message *message)
{
    struct raft_message answer = {.type = RAFT_MSG_HEARTBEAT_RESP, .to = message->from};
    if (!raft->suspicion.active) {
        /* A leader tells only what it knows us to hold; more than that means we lost something, and
         * then the entries that we have in that place may not be the committed ones. */
        if (message->commit <= raft->log.last_index || PLANT(heartbeat_commits_blindly)) {
            raft_log_commit_to(&raft->log, BASE_MIN(message->commit, raft->log.last_index));
        }
        answer.context_size = message->context_size;
        memcpy(answer.context, message->context, message->context_size);
    }
    raft_send(raft, &answer);
}
