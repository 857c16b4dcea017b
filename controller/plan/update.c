/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods follow the spec, one at a time: a Pod that was made from an earlier spec ends, and the same
 * member comes back in a new one on its volume. Followers first, the leader last and after its
 * leadership has moved; the next one only when all serve again. A member that does not come up with
 * the new spec halts the update; the old spec, put back, heals it first.
 */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/plan/pass.h"

/* A voter, or, without a list, who has a volume of this cluster. */
static bool is_ours(const struct pass *pass, const struct member_view *member)
{
    bool listed = member->etcd != NULL ? member->is_voter
                                       : !pass->view->fresh && plan_volume_is_usable(pass, member);
    return listed && member->ordinal != OBSERVED_NO_ORDINAL;
}

static bool has_outdated_pod(const struct pass *pass, const struct member_view *member)
{
    return is_ours(pass, member) && member->pod != NULL &&
           !str_equal(member->pod->template_hash, pass->out->template_hash);
}

bool plan_spec_is_suspect(const struct pass *pass, const struct member_view *member)
{
    if (member->pod == NULL || has_outdated_pod(pass, member)) {
        return false;
    }
    for (size_t i = 0; i < pass->view->member_count; i++) {
        const struct member_view *other = &pass->view->members[i];
        if (other->healthy && has_outdated_pod(pass, other)) {
            return true;
        }
    }
    return false;
}

/* Its process does not run, as its node says: ending its Pod takes nothing from anybody. */
static bool does_not_run(const struct member_view *member)
{
    if (member->endpoint != NULL && member->endpoint->reachable) {
        return false;
    }
    switch (member->evidence) {
    case EVIDENCE_OutOfMemory:
    case EVIDENCE_ImagePullFailed:
    case EVIDENCE_Unschedulable:
    case EVIDENCE_CrashLoopFirst:
    case EVIDENCE_CrashLoop:
        return !member->pod->ready;
    default:
        return false;
    }
}

/* The next to take the spec: who does not run, then followers, the leader last; the newest of
 * equals (rows ascend). */
static const struct member_view *find_next(const struct pass *pass)
{
    const struct member_view *next = NULL;
    int best = -1;
    for (size_t i = 0; i < pass->view->member_count; i++) {
        const struct member_view *member = &pass->view->members[i];
        if (!has_outdated_pod(pass, member) || member->pod->deleting) {
            continue;
        }
        int rank = (does_not_run(member) ? 2 : 0) + (member->is_leader ? 0 : 1);
        if (rank >= best) {
            best = rank;
            next = member;
        }
    }
    return next;
}

static int64_t count_outdated(const struct pass *pass)
{
    int64_t count = 0;
    for (size_t i = 0; i < pass->view->member_count; i++) {
        count += has_outdated_pod(pass, &pass->view->members[i]) ? 1 : 0;
    }
    return count;
}

static void end_pod(struct pass *pass, const struct member_view *member)
{
    plan_begin(pass, OPERATION_UPDATE, member->name.text, STEP_DELETE_POD,
               "its Pod was made from an earlier spec");
    /* What the node said may be old: when the Pod has moved on since, it is looked at once more. */
    const char *version = does_not_run(member) ? member->pod->resource_version : NULL;
    struct action *action =
        plan_delete_object(pass->out, OBJECT_POD, member->pod->name, member->pod->uid, version);
    bool outage = pass->view->voter_count <= 2 && member->healthy;
    event_set(&action->event, EVENT_NORMAL, "UpdatingMember", member->name.text,
              "Member %s restarts with the new spec, on the same volume%s", member->name.text,
              outage ? "; with so few members the cluster does not serve meanwhile" : "");
    plan_say(pass->out, REASON_Updating, "Updating member %s: %" PRId64 " of %" PRId64 " to go",
             member->name.text, count_outdated(pass), pass->view->voter_count);
}

/* Who was restarted last has to serve before the next one may end. */
static bool wait_for_running(struct pass *pass)
{
    const struct operation *running = &pass->out->operation;
    if (running->type != OPERATION_UPDATE || running->step == STEP_MOVE_LEADER) {
        return false;
    }
    const struct member_view *target = view_member(pass->view, running->target);
    if (target != NULL && has_outdated_pod(pass, target)) {
        return false; /* the spec has changed once more: it is the first to take that too */
    }
    plan_step(pass, STEP_START_MEMBER);
    if (pass->now_ms > running->deadline_ms) {
        plan_say(pass->out, REASON_UpdateHalted,
                 "The update is halted: member %s does not serve with the new spec (%s); correct "
                 "the spec, or put the earlier one back",
                 running->target, target == NULL ? "" : evidence_cause(target->evidence));
        pass->out->block = REASON_UpdateHalted;
    } else {
        plan_say(pass->out, REASON_Updating, "Waiting until member %s serves with the new spec",
                 running->target);
    }
    return true;
}

/* One operation at a time. */
static bool may_update(const struct pass *pass)
{
    enum operation_type running = pass->out->operation.type;
    return running == OPERATION_NONE || running == OPERATION_UPDATE;
}

bool plan_update_idle(struct pass *pass)
{
    const struct member_view *next = find_next(pass);
    if (!may_update(pass) || next == NULL || !does_not_run(next)) {
        return false;
    }
    end_pod(pass, next);
    return true;
}

bool plan_update(struct pass *pass)
{
    const struct view *view = pass->view;
    if (!may_update(pass)) {
        return false;
    }
    if (plan_update_idle(pass) || wait_for_running(pass)) {
        return true;
    }
    const struct member_view *next = find_next(pass);
    if (next == NULL) {
        return false;
    }
    if (!view->fresh || view->healthy_voter_count < view->voter_count) {
        plan_say(pass->out, REASON_Updating, "Member %s takes the new spec when all members serve",
                 next->name.text);
        return true;
    }
    if (!plan_move_leader_away(pass, next, OPERATION_UPDATE, "its Pod is made again")) {
        end_pod(pass, next);
    }
    return true;
}
