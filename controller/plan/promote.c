/* SPDX-License-Identifier: Apache-2.0 */
/* A learner becomes a voter when it holds what the leader holds, and the larger quorum is healthy.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/plan/pass.h"

static bool may_promote(const struct view *view, const struct member_view *learner)
{
    return learner->healthy && learner->caught_up &&
           view->healthy_voter_count + 1 >= spec_quorum(view->voter_count + 1);
}

/* A learner whose operation was lost with the status is taken up as a scale-up. */
static void step(struct pass *pass, const struct member_view *learner, enum operation_step to)
{
    if (pass->out->operation.type == OPERATION_NONE) {
        plan_begin(pass, OPERATION_SCALE_UP, learner->name.text, to, NULL);
    }
    plan_step(pass, to);
}

static void promote(struct pass *pass, const struct member_view *learner)
{
    const struct member_view *caller = view_caller(pass->view, NULL);
    ASSERT(caller != NULL);
    step(pass, learner, STEP_PROMOTE);
    struct action *action = plan_append(pass->out, ACTION_MEMBER_PROMOTE);
    action->cluster_id = pass->view->latched_id;
    action->member_id = learner->etcd->id;
    action->name = str_dup(learner->name.text);
    action->via = str_dup(caller->name.text);
    event_set(&action->event, EVENT_NORMAL, "PromotedMember", learner->name.text,
              "Promoted member %s to voter", learner->name.text);
    plan_say(pass->out, REASON_ScalingUp, "Promoting member %s", learner->name.text);
}

bool plan_promote(struct pass *pass)
{
    const struct view *view = pass->view;
    for (size_t i = 0; i < view->member_count; i++) {
        const struct member_view *learner = &view->members[i];
        if (learner->etcd == NULL || learner->is_voter || learner->ordinal == OBSERVED_NO_ORDINAL) {
            continue;
        }
        if (view->voter_count >= pass->want->replicas && !learner->must_go) {
            bool wanted = false; /* a place for it, while one that must go still votes */
            for (size_t k = 0; k < view->member_count; k++) {
                wanted = wanted || (view->members[k].is_voter && view->members[k].must_go);
            }
            if (!wanted) {
                return false; /* surplus: scale.c removes it */
            }
        }
        if (learner->must_go) {
            return false;
        }
        if (may_promote(view, learner)) {
            promote(pass, learner);
            return true;
        }
        step(pass, learner, learner->healthy ? STEP_CATCH_UP : STEP_START_MEMBER);
        plan_say(pass->out, REASON_ScalingUp, "Waiting until member %s has caught up",
                 learner->name.text);
        return true;
    }
    return false;
}
