/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The count of members. Up: one learner at a time. Down: learners first, then the unhealthy, then
 * who must go, then the newest that does not lead. A healthy member that must go (its volume ends,
 * or a person deleted its record) gets its successor before it leaves: tolerance is not lowered for
 * it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "controller/plan/pass.h"

static const struct member_view *find_must_go(const struct view *view)
{
    for (size_t i = 0; i < view->member_count; i++) {
        const struct member_view *member = &view->members[i];
        if (member->etcd != NULL && member->is_voter && member->must_go &&
            member->ordinal != OBSERVED_NO_ORDINAL) {
            return member;
        }
    }
    return NULL;
}

static size_t count_foreign(const struct view *view)
{
    size_t count = 0;
    for (size_t i = 0; i < view->member_count; i++) {
        const struct member_view *member = &view->members[i];
        count += member->etcd != NULL && member->ordinal == OBSERVED_NO_ORDINAL ? 1 : 0;
    }
    return count;
}

/* How much we want to lose this one; the largest goes. */
static int rank(const struct member_view *member)
{
    return (member->is_voter ? 0 : 8) + (member->healthy ? 0 : 4) + (member->must_go ? 2 : 0) +
           (member->is_leader ? 0 : 1);
}

/* Rows ascend by ordinal, so among equals the newest is taken. */
static const struct member_view *pick_surplus(const struct view *view)
{
    const struct member_view *victim = NULL;
    for (size_t i = 0; i < view->member_count; i++) {
        const struct member_view *member = &view->members[i];
        if (member->etcd == NULL) {
            continue;
        }
        if (victim == NULL || rank(member) >= rank(victim)) {
            victim = member;
        }
    }
    return victim;
}

/* "3.6.14" gives 3006; 0 when it is no version. */
static int version_number(const char *text)
{
    int major = 0;
    int minor = 0;
    return text != NULL && sscanf(text, "%4d.%3d", &major, &minor) == 2 ? major * 1000 + minor : 0;
}

/*
 * A member older than what the cluster has decided would stop at its start: it is not added, since
 * one that never comes up costs tolerance. Members up to etcd 3.5 do not tell what is decided; one
 * that is too old for them refuses by itself.
 */
static bool refuse_older(struct pass *pass)
{
    const char *decided = NULL;
    for (size_t i = 0; i < pass->view->member_count; i++) {
        const struct member_view *member = &pass->view->members[i];
        if (member->etcd != NULL && member->endpoint != NULL && member->endpoint->reachable &&
            version_number(member->endpoint->cluster_version) > version_number(decided)) {
            decided = member->endpoint->cluster_version;
        }
    }
    if (version_number(decided) <= version_number(pass->want->version)) {
        return false;
    }
    plan_say(pass->out, REASON_ClusterVersionTooHigh,
             "No member is added: the cluster has decided version %.*s, and a member of "
             "spec.version \"%s\" could not join it; raise spec.version",
             (int)strcspn(decided, " \n"), decided, pass->want->version);
    pass->out->block = REASON_ClusterVersionTooHigh;
    return true;
}

static bool grow(struct pass *pass, const struct member_view *must_go)
{
    const struct operation *running = &pass->out->operation;
    const struct view *view = pass->view;
    if (refuse_older(pass)) {
        return true;
    }
    if (pass->out->scale_failures >= PLAN_SCALE_FAILURES_MAX && view->voter_count == 1) {
        plan_say(pass->out, REASON_ScaleUpFailed,
                 "The second member failed to join %d times: no further attempt until the spec is "
                 "changed; see status.lastOperations",
                 PLAN_SCALE_FAILURES_MAX);
        pass->out->block = REASON_ScaleUpFailed;
        return true;
    }
    if (running->type == OPERATION_REPLACE) {
        plan_add_member(pass, OPERATION_REPLACE, running->target);
    } else if (must_go != NULL && view->voter_count >= pass->want->replicas) {
        /* Journal, and look again: its volume may be lost together with its process, and the probe
         * be older than that. Then it leaves first. */
        plan_begin(pass, OPERATION_REPLACE, must_go->name.text, STEP_ADD_MEMBER,
                   "its successor joins before it leaves");
        plan_say(pass->out, REASON_Replacing, "Replacing member %s: its successor joins first",
                 must_go->name.text);
        return true;
    } else {
        plan_add_member(pass, OPERATION_SCALE_UP, NULL);
    }
    plan_say(pass->out, REASON_ScalingUp, "Adding a member: %" PRId64 " of %" PRId64 " are there",
             view->voter_count, pass->want->replicas);
    return true;
}

static bool shrink(struct pass *pass)
{
    const struct member_view *victim = pick_surplus(pass->view);
    ASSERT(victim != NULL);
    bool replaces = victim->is_voter && victim->must_go &&
                    plan_is_running(pass, OPERATION_REPLACE, victim->name.text);
    enum operation_type type = replaces ? OPERATION_REPLACE : OPERATION_SCALE_DOWN;
    const char *why = replaces ? "its successor votes" : "fewer members are wanted";
    if (plan_remove_member(pass, victim, type, why)) {
        plan_say(pass->out, replaces ? REASON_Replacing : REASON_ScalingDown,
                 "Removing member %s: %s", victim->name.text, why);
    }
    return true;
}

/* May a replacement of a healthy member start (or go on) now? */
static bool may_surge(struct pass *pass, const struct member_view *must_go)
{
    if (must_go == NULL || pass->view->healthy_voter_count < pass->view->voter_count) {
        return false;
    }
    if (plan_is_running(pass, OPERATION_REPLACE, must_go->name.text)) {
        return true;
    }
    int64_t count = operation_replacements_since(pass->seen->status, pass->now_ms - PLAN_HOUR_MS);
    if (count >= pass->want->repair.max_replacements_per_hour) {
        pass->out->block = REASON_ReplacementThrottled;
        return false;
    }
    return true;
}

bool plan_scale(struct pass *pass)
{
    const struct view *view = pass->view;
    if (count_foreign(view) > 0) {
        plan_say(
            pass->out, REASON_ForeignMember,
            "A member that is not the operator's is in the cluster: its size is left as it is");
        pass->out->block = REASON_ForeignMember;
        return false;
    }
    int64_t total = view->voter_count + view->learner_count;
    const struct member_view *must_go = find_must_go(view);
    int64_t target = pass->want->replicas + (may_surge(pass, must_go) ? 1 : 0);
    if (total < target) {
        return grow(pass, must_go);
    }
    if (total > pass->want->replicas) {
        return shrink(pass);
    }
    return false;
}
