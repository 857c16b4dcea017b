/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members that are proved lost (evidence.c) leave, one at a time, and only when the others are a
 * healthy quorum. The successor is added by scale.c, after the lost one has left: with one of three
 * dead, adding first would ask for three of four with two alive.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "controller/plan/pass.h"

/* Lost learners first: they hold no vote and stand in the way. Then lost voters by ordinal. */
static const struct member_view *find_lost(const struct view *view)
{
    const struct member_view *found = NULL;
    for (size_t i = 0; i < view->member_count; i++) {
        const struct member_view *member = &view->members[i];
        bool lost = member->etcd != NULL && member->ordinal != OBSERVED_NO_ORDINAL &&
                    (evidence_is_proof(member->evidence) || (!member->is_voter && member->must_go));
        if (lost && (found == NULL || (found->is_voter && !member->is_voter))) {
            found = member;
        }
    }
    return found;
}

/* A learner that will not become a voter. The operation that added it has failed. */
static bool drop_learner(struct pass *pass, const struct member_view *learner)
{
    const char *why = evidence_cause(learner->must_go ? EVIDENCE_AskedByUser : learner->evidence);
    bool growing = pass->view->voter_count == 1;
    struct operation before = pass->out->operation;
    bool ours =
        (before.type == OPERATION_SCALE_UP && strcmp(before.target, learner->name.text) == 0) ||
        (before.type == OPERATION_REPLACE && strcmp(before.replacement, learner->name.text) == 0);
    if (ours && view_quorum_without(pass->view, learner)) {
        plan_finish(pass, RESULT_FAILED, why);
        pass->out->scale_failures += growing ? 1 : 0;
    }
    if (!plan_remove_member(pass, learner, OPERATION_SCALE_DOWN, why)) {
        return true;
    }
    plan_say(pass->out, REASON_Replacing, "Removing learner %s, which does not come up: %s",
             learner->name.text, why);
    return true;
}

static bool brake(struct pass *pass, const struct member_view *victim)
{
    int64_t count = operation_replacements_since(pass->seen->status, pass->now_ms - PLAN_HOUR_MS);
    if (count < pass->want->repair.max_replacements_per_hour) {
        return false;
    }
    plan_say(pass->out, REASON_ReplacementThrottled,
             "Member %s is lost (%s), but %" PRId64
             " were replaced within the last hour: waiting; look "
             "for the cause, or raise spec.repair.maxReplacementsPerHour",
             victim->name.text, evidence_cause(victim->evidence), count);
    pass->out->block = REASON_ReplacementThrottled;
    return true;
}

bool plan_repair(struct pass *pass)
{
    const struct member_view *victim = find_lost(pass->view);
    if (victim == NULL) {
        return false;
    }
    if (!victim->is_voter) {
        return drop_learner(pass, victim);
    }
    const struct operation *running = &pass->out->operation;
    bool continues = plan_is_running(pass, OPERATION_REPLACE, victim->name.text);
    const struct member_view *other = view_member(pass->view, running->target);
    bool other_has_left = other == NULL || other->etcd == NULL;
    if (!continues && running->type == OPERATION_REPLACE && other_has_left) {
        return false; /* one replacement at a time: that one goes on first */
    }
    if (!continues && pass->want->repair.policy != SPEC_REPAIR_REPLACE &&
        victim->evidence != EVIDENCE_AskedByUser) {
        plan_say(pass->out, REASON_ManualRepairNeeded,
                 "Member %s is lost (%s) and spec.repair.policy forbids its replacement: delete "
                 "EtcdMember %s to replace it",
                 victim->name.text, evidence_cause(victim->evidence), victim->name.text);
        pass->out->block = REASON_ManualRepairNeeded;
        return false;
    }
    if (!continues && brake(pass, victim)) {
        return false;
    }
    if (plan_remove_member(pass, victim, OPERATION_REPLACE, evidence_cause(victim->evidence))) {
        plan_say(pass->out, REASON_Replacing, "Replacing member %s: %s", victim->name.text,
                 evidence_cause(victim->evidence));
    }
    return true;
}
