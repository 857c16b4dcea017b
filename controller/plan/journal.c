/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of the one operation in flight. It records; live state decides. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/plan/pass.h"

static void copy_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text == NULL ? "" : text);
}

bool plan_is_running(const struct pass *pass, enum operation_type type, const char *target)
{
    const struct operation *operation = &pass->out->operation;
    return operation->type == type && strcmp(operation->target, target) == 0;
}

void plan_finish(struct pass *pass, enum operation_result result, const char *message)
{
    struct plan *out = pass->out;
    if (out->operation.type == OPERATION_NONE) {
        return;
    }
    ASSERT(out->finished_count < ARRAY_COUNT(out->finished));
    struct operation *finished = &out->finished[out->finished_count++];
    *finished = out->operation;
    finished->result = result;
    finished->step = STEP_NONE;
    finished->finished_ms = pass->now_ms;
    if (message != NULL) {
        copy_text(finished->message, sizeof(finished->message), message);
    }
    memset(&out->operation, 0, sizeof(out->operation));
}

/* What counts of the running operation has happened, though a volume of it is still ending: the
 * next one need not wait for that, and this one did not fail. */
static bool is_as_good_as_done(const struct pass *pass)
{
    const struct operation *operation = &pass->out->operation;
    const struct member_view *target = view_member(pass->view, operation->target);
    const struct member_view *fresh = view_member(pass->view, operation->replacement);
    bool target_left = pass->view->fresh && (target == NULL || target->etcd == NULL);
    switch (operation->type) {
    case OPERATION_SCALE_DOWN:
        return target_left;
    case OPERATION_REPLACE:
        return target_left && fresh != NULL && fresh->is_voter;
    case OPERATION_NONE:
    case OPERATION_BOOTSTRAP:
    case OPERATION_SCALE_UP:
    case OPERATION_RECREATE:
    case OPERATION_UPDATE:
    case OPERATION_TYPE_COUNT:
    default:
        return false;
    }
}

void plan_begin(struct pass *pass, enum operation_type type, const char *target,
                enum operation_step step, const char *message)
{
    struct operation *operation = &pass->out->operation;
    if (!plan_is_running(pass, type, target)) {
        plan_finish(pass, is_as_good_as_done(pass) ? RESULT_SUCCEEDED : RESULT_SUPERSEDED, NULL);
        operation->type = type;
        operation->started_ms = pass->now_ms;
        operation->deadline_ms = pass->now_ms + pass->want->progress_deadline_ms;
        operation->attempt = 1;
        copy_text(operation->target, sizeof(operation->target), target);
        copy_text(operation->message, sizeof(operation->message), message);
    }
    operation->step = step;
}

void plan_step(struct pass *pass, enum operation_step step)
{
    if (pass->out->operation.type != OPERATION_NONE) {
        pass->out->operation.step = step;
    }
}

static bool is_gone(const struct member_view *member)
{
    return member == NULL ||
           (member->etcd == NULL && member->object == NULL && member->pvc == NULL);
}

static bool is_voting(const struct member_view *member)
{
    return member != NULL && member->is_voter;
}

/* A replacement is done when the old one left no trace and the fresh one votes. */
static bool is_replaced(const struct pass *pass, const struct operation *operation)
{
    if (!is_gone(view_member(pass->view, operation->target))) {
        return false;
    }
    const struct member_view *fresh = view_member(pass->view, operation->replacement);
    if (fresh != NULL && fresh->etcd != NULL) {
        return fresh->is_voter;
    }
    /* It was never added, and by now no more members are wanted than there are. */
    return pass->view->voter_count >= pass->want->replicas;
}

/* A Pod that could still found a cluster; its restart belongs to the bootstrap. */
static bool has_founding_pod(const struct view *view)
{
    for (size_t i = 0; i < view->member_count; i++) {
        if (view->members[i].pod != NULL && view->members[i].pod->state_new) {
            return true;
        }
    }
    return false;
}

/* The member that was being added is not there: somebody took it out, or it is not wanted any more.
 */
static bool is_gone_learner(const struct pass *pass, const struct operation *operation,
                            const struct member_view *target)
{
    return target == NULL &&
           (operation->step > STEP_ADD_MEMBER || pass->view->voter_count >= pass->want->replicas);
}

static bool is_updated(const struct pass *pass, const struct member_view *member)
{
    return member->healthy && member->pod != NULL && !member->pod->deleting &&
           str_equal(member->pod->template_hash, pass->out->template_hash);
}

void plan_settle(struct pass *pass)
{
    const struct operation *operation = &pass->out->operation;
    const struct member_view *target = view_member(pass->view, operation->target);
    bool done = false;
    enum operation_result result = RESULT_SUCCEEDED;
    switch (operation->type) {
    case OPERATION_NONE:
    case OPERATION_TYPE_COUNT:
        return;
    case OPERATION_BOOTSTRAP:
        done = pass->view->latched_in_status && pass->view->latched_on_volume &&
               pass->view->healthy_voter_count > 0 && !has_founding_pod(pass->view);
        break;
    case OPERATION_SCALE_UP:
        done = is_voting(target) || is_gone_learner(pass, operation, target);
        result = is_voting(target) ? RESULT_SUCCEEDED : RESULT_SUPERSEDED;
        break;
    case OPERATION_SCALE_DOWN:
        done = is_gone(target);
        break;
    case OPERATION_REPLACE:
        done = is_replaced(pass, operation);
        break;
    case OPERATION_RECREATE:
        done = target == NULL || target->healthy || target->etcd == NULL;
        break;
    case OPERATION_UPDATE:
        done = target == NULL || target->etcd == NULL || is_updated(pass, target);
        break;
    }
    if (done) {
        plan_finish(pass, result, NULL);
        if (pass->view->voter_count > 1) {
            pass->out->scale_failures = 0;
        }
    }
}
