/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots between members (Raft paper 7). The core speaks of a mark only (index, term,
 * configuration); the shell adds and installs the data.
 */
#include "engine/raft/raft_internal.h"

#include "base/alloc.h"
#include "base/assert.h"

/*
 * The mark is that of the applied state at the moment the effects are taken, when the shell's state
 * machine stands at exactly log.applied. While a change is applied but raft_applied has not
 * followed, the configuration is ahead of the index: then the snapshot waits.
 */
void raft_flush_snapshots(struct raft *raft)
{
    uint64_t index = raft->log.applied;
    if (raft->role != RAFT_LEADER || raft->conf_ahead || index == 0) {
        return;
    }
    for (uint32_t i = 0; i < raft->member_count; i++) {
        struct raft_progress *member = &raft->members[i];
        if (!member->want_snapshot) {
            continue;
        }
        member->want_snapshot = false;
        ASSERT(member->state != RAFT_PROGRESS_SNAPSHOT);
        if (!member->recent_active) {
            continue; /* its next heartbeat answer asks again */
        }
        struct raft_message message = {.type = RAFT_MSG_SNAP, .to = member->id};
        message.snapshot = mem_zalloc(sizeof(*message.snapshot));
        message.snapshot->index = index;
        bool known = raft_log_term(&raft->log, index, &message.snapshot->term);
        ASSERT(known);
        raft_conf_state(raft, &message.snapshot->conf_state);
        raft_progress_become_snapshot(member, index);
        raft_send(raft, &message);
    }
}

static void snapshot_answer(struct raft *raft, uint64_t to, uint64_t index)
{
    struct raft_message answer = {.type = RAFT_MSG_APP_RESP, .to = to, .index = index};
    raft_send_promise(raft, &answer);
}

/* Raft 7, InstallSnapshot receiver: "retain log entries following it" when it is in the log
 * already. */
void raft_handle_snapshot(struct raft *raft, const struct raft_message *message)
{
    const struct raft_snapshot_mark *mark = message->snapshot;
    if (raft->install_state != RAFT_INSTALL_NONE) {
        return; /* one at a time; the leader finds out by its next append */
    }
    bool wanted =
        mark->index > raft->log.commit && raft_conf_state_has(&mark->conf_state, raft->id);
    if (wanted && !raft->suspicion.active &&
        raft_log_matches(&raft->log, mark->index, mark->term)) {
        raft_log_commit_to(&raft->log, mark->index);
        wanted = false;
    }
    if (!wanted) {
        snapshot_answer(raft, message->from, raft->log.commit);
        return;
    }
    raft_log_restore(&raft->log, mark->index, mark->term);
    raft_clamp_tickets(raft, 0);
    raft->install_mark = *mark;
    raft->install_state = RAFT_INSTALL_WANTED;
    raft->conf_ahead = false;
    raft_conf_set(raft, &mark->conf_state, mark->index + 1);
    snapshot_answer(raft, message->from, mark->index);
}

void raft_snapshot_installed(struct raft *raft)
{
    ASSERT(raft->install_state == RAFT_INSTALL_GIVEN);
    raft->install_state = RAFT_INSTALL_NONE;
    /* Even when this is back: a suspect member's state may have been ahead of its damaged log. */
    raft->log.applied = raft->install_mark.index;
    raft->log.handed = raft->install_mark.index;
    raft_suspect_maybe_clear(raft);
}

void raft_report_snapshot(struct raft *raft, uint64_t id, bool delivered)
{
    struct raft_progress *member = raft_member(raft, id);
    if (raft->role != RAFT_LEADER || member == NULL || member->state != RAFT_PROGRESS_SNAPSHOT) {
        return;
    }
    if (!delivered) {
        member->pending_snapshot = 0;
    }
    raft_progress_become_probe(member);
    /* Delivered: its answer comes next. Not delivered: wait a heartbeat before trying again. */
    member->flow_paused = true;
}
