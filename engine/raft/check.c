/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What no honest member can have sent is dropped at the door, so that the handlers behind it may
 * rely on dense entries, falling terms never, and numbers far from overflow.
 */
#include "engine/raft/raft_internal.h"

/* No real cluster holds so many elections while a message or a member is away. */
#define TERM_JUMP_MAX (UINT64_C(1) << 40)

static bool check_entries(const struct raft_message *message)
{
    uint64_t term = message->log_term;
    if (message->index > RAFT_INDEX_MAX - message->entry_count) {
        return false;
    }
    for (uint32_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        if (entry->index != message->index + 1 + i || entry->term < term || entry->term == 0 ||
            entry->term > message->term || entry->type > RAFT_ENTRY_CONF_CHANGE_V2) {
            return false;
        }
        term = entry->term;
    }
    return true;
}

static bool check_proposal(const struct raft_message *message)
{
    for (uint32_t i = 0; i < message->entry_count; i++) {
        if (message->entries[i].type > RAFT_ENTRY_CONF_CHANGE) {
            return false; /* changes of the second form are not proposed by any release */
        }
    }
    return message->entry_count > 0;
}

static bool check_snapshot(const struct raft_message *message)
{
    const struct raft_snapshot_mark *mark = message->snapshot;
    return mark != NULL && mark->index > 0 && mark->index <= RAFT_INDEX_MAX && mark->term > 0 &&
           mark->term <= message->term && raft_conf_state_is_valid(&mark->conf_state);
}

static bool check_numbers(const struct raft *raft, const struct raft_message *message)
{
    return message->index <= RAFT_INDEX_MAX && message->log_term <= RAFT_TERM_MAX &&
           message->term <= RAFT_TERM_MAX &&
           (message->term <= raft->term || message->term - raft->term <= TERM_JUMP_MAX) &&
           message->context_size <= RAFT_CONTEXT_BYTES_MAX &&
           (message->entry_count == 0 || message->entries != NULL);
}

bool raft_message_is_sane(const struct raft *raft, const struct raft_message *message)
{
    if (message->from == RAFT_NO_ID || message->from == raft->id || message->to != raft->id ||
        !check_numbers(raft, message)) {
        return false;
    }
    switch (message->type) {
    case RAFT_MSG_PROP:
        return check_proposal(message);
    case RAFT_MSG_READ_INDEX:
        return true;
    case RAFT_MSG_APP:
        return message->term > 0 && message->log_term <= message->term && check_entries(message);
    case RAFT_MSG_VOTE:
    case RAFT_MSG_PRE_VOTE:
        return message->term > 0 && message->log_term <= message->term;
    case RAFT_MSG_SNAP:
        return message->term > 0 && check_snapshot(message);
    case RAFT_MSG_APP_RESP:
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_HEARTBEAT:
    case RAFT_MSG_HEARTBEAT_RESP:
    case RAFT_MSG_TRANSFER_LEADER:
    case RAFT_MSG_TIMEOUT_NOW:
    case RAFT_MSG_READ_INDEX_RESP:
    case RAFT_MSG_PRE_VOTE_RESP:
        return message->term > 0;
    case RAFT_MSG_HUP:
    case RAFT_MSG_BEAT:
    case RAFT_MSG_UNREACHABLE:
    case RAFT_MSG_SNAP_STATUS:
    case RAFT_MSG_CHECK_QUORUM:
        break; /* local ones: never from the wire */
    }
    return false;
}
