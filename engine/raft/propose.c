/* SPDX-License-Identifier: Apache-2.0 */
/* Client requests on their way into the log (Raft paper 5.3; one change at a time:
 * dissertation 4.1). */
#include "engine/raft/raft_internal.h"

#include "base/alloc.h"
#include "base/err.h"
#include "base/plant.h"

/* Borrows entries. A change while one may be unapplied becomes an empty entry, as etcd does it. */
static int propose_as_leader(struct raft *raft, struct raft_entry *entries, uint32_t count)
{
    if (raft->transfer_target != RAFT_NO_ID || raft->leaving_index != 0) {
        return E_UNAVAILABLE;
    }
    uint64_t pending = raft->pending_conf_index;
    struct raft_entry *own = mem_dup(entries, count * sizeof(*entries));
    for (uint32_t i = 0; i < count; i++) {
        if (own[i].type == RAFT_ENTRY_NORMAL) {
            continue;
        }
        if (pending > raft->log.applied && !PLANT(overlapping_changes)) {
            own[i].type = RAFT_ENTRY_NORMAL;
            own[i].payload = NULL;
        } else {
            pending = raft->log.last_index + i + 1;
        }
    }
    bool appended = raft_append_own(raft, own, count);
    mem_free(own);
    if (!appended) {
        return E_AGAIN;
    }
    raft->pending_conf_index = pending;
    raft_want_append_all(raft, RAFT_WANT_APPEND);
    return E_OK;
}

void raft_handle_proposal(struct raft *raft, struct raft_message *message)
{
    if (raft->role == RAFT_LEADER) {
        if (propose_as_leader(raft, message->entries, message->entry_count) != E_OK) {
            return; /* its proposer waits for a reply that does not come, and times out */
        }
    } else if (raft->leader != RAFT_NO_ID && raft->leader != message->from) {
        struct raft_message forward = *message;
        *message = (struct raft_message){0};
        forward.to = raft->leader;
        raft_send(raft, &forward);
    }
}

/* Takes the entries' payload references. */
static int propose(struct raft *raft, struct raft_entry *entries, uint32_t count)
{
    struct raft_message message = {.type = RAFT_MSG_PROP, .entries = entries, .entry_count = count};
    int rc = E_UNAVAILABLE;
    if (raft->role == RAFT_LEADER) {
        rc = propose_as_leader(raft, entries, count);
    } else if (raft->leader != RAFT_NO_ID) {
        message.to = raft->leader;
        raft_send(raft, &message);
        rc = E_OK;
    }
    raft_message_clear(&message);
    return rc;
}

int raft_propose(struct raft *raft, struct raft_payload **payloads, uint32_t count)
{
    if (count == 0) {
        return E_OK;
    }
    struct raft_entry *entries = mem_array(count, sizeof(*entries));
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct raft_entry){.type = RAFT_ENTRY_NORMAL, .payload = payloads[i]};
    }
    return propose(raft, entries, count);
}

int raft_propose_conf_change(struct raft *raft, struct raft_payload *payload)
{
    struct raft_entry *entries = mem_array(1, sizeof(*entries));
    entries[0] = (struct raft_entry){.type = RAFT_ENTRY_CONF_CHANGE, .payload = payload};
    return propose(raft, entries, 1);
}

bool raft_has_pending_conf_change(const struct raft *raft)
{
    if (raft->role == RAFT_LEADER) {
        return raft->pending_conf_index > raft->log.applied;
    }
    return raft_log_has_conf_change(&raft->log, raft->log.applied, raft->log.last_index);
}
