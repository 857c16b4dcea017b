/* SPDX-License-Identifier: Apache-2.0 */
/* Leadership transfer (dissertation 3.10): bring the target up to date, then tell it to campaign
 * now. */
#include "engine/raft/raft_internal.h"

static void transfer_finish(struct raft *raft, uint64_t target)
{
    struct raft_message now = {.type = RAFT_MSG_TIMEOUT_NOW, .to = target};
    raft_send(raft, &now);
}

static void transfer_start(struct raft *raft, uint64_t target)
{
    struct raft_progress *member = raft_member(raft, target);
    if (member == NULL || member->is_learner || raft->transfer_target == target) {
        return;
    }
    raft->transfer_target = RAFT_NO_ID; /* an earlier one is given up */
    if (target == raft->id) {
        return;
    }
    raft->transfer_target = target;
    raft->election_elapsed = 0;     /* it has to end within an election timeout from now */
    if (member->match_index == raft->log.last_index) {
        transfer_finish(raft, target);
    } else {
        raft_want_append(member, RAFT_WANT_APPEND);
    }
}

static void transfer_ask(struct raft *raft, uint64_t target)
{
    if (raft->role == RAFT_LEADER) {
        transfer_start(raft, target);
    } else if (raft->leader != RAFT_NO_ID) {
        /* etcd's form: the message comes "from" the one that is to lead. */
        struct raft_message ask = {
            .type = RAFT_MSG_TRANSFER_LEADER, .to = raft->leader, .from = target};
        raft_send(raft, &ask);
    }
}

void raft_transfer_leader(struct raft *raft, uint64_t target)
{
    if (target != RAFT_NO_ID) {
        transfer_ask(raft, target);
    }
}

void raft_step_down(struct raft *raft)
{
    if (raft->role == RAFT_LEADER) {
        raft_become_follower(raft, raft->term, RAFT_NO_ID);
    }
}

void raft_handle_transfer(struct raft *raft, const struct raft_message *message)
{
    transfer_ask(raft, message->from);
}

void raft_transfer_progressed(struct raft *raft, const struct raft_progress *progress)
{
    if (progress->id == raft->transfer_target && progress->match_index == raft->log.last_index) {
        transfer_finish(raft, progress->id);
    }
}

/* No pre-vote, and the lease of the others does not hold it up: the leader itself wants it. */
void raft_handle_timeout_now(struct raft *raft, const struct raft_message *message)
{
    if (raft->role == RAFT_FOLLOWER && raft->leader == message->from) {
        raft_hup(raft, RAFT_CAMPAIGN_BY_TRANSFER);
    }
}
