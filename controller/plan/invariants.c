/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The safety rules, asserted on every plan that comes out: a planner that broke one stops the
 * operator before the change is made. Written from the rules, not from the planner.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/plan/pass.h"

static const struct member_view *member_by_id(const struct view *view, uint64_t id)
{
    for (size_t i = 0; i < view->member_count; i++) {
        const struct member_view *member = &view->members[i];
        if (member->etcd != NULL && member->etcd->id == id) {
            return member;
        }
    }
    return NULL;
}

static bool has_state_new(const struct json *pod)
{
    const struct json *args = json_path(pod, "spec.containers.0.args");
    for (size_t i = 0; i < json_count(args); i++) {
        if (strcmp(json_str(json_at(args, i), ""), "--initial-cluster-state=new") == 0) {
            return true;
        }
    }
    return false;
}

static void check_membership(const struct pass *pass, const struct action *action)
{
    const struct view *view = pass->view;
    ASSERT(view->fresh && !view->latch_conflict && view->latched_id != 0);
    ASSERT(action->cluster_id == view->latched_id && action->via != NULL);
    ASSERT(pass->out->operation.type != OPERATION_NONE);
    if (action->kind == ACTION_MEMBER_ADD) {
        ASSERT(view->learner_count == 0);
        ASSERT(view->voter_count <= pass->want->replicas);
        return;
    }
    const struct member_view *member = member_by_id(view, action->member_id);
    ASSERT(member != NULL);
    if (action->kind == ACTION_MEMBER_REMOVE) {
        int64_t voters = view->voter_count - (member->is_voter ? 1 : 0);
        int64_t healthy = view->healthy_voter_count - (member->is_voter && member->healthy ? 1 : 0);
        ASSERT(voters >= 1 && healthy >= spec_quorum(voters));
        ASSERT(view->healthy_voter_count >= spec_quorum(view->voter_count));
    } else if (action->kind == ACTION_MEMBER_PROMOTE) {
        ASSERT(member->healthy && !member->is_voter);
    } else {
        ASSERT(member->healthy && member->is_voter);
    }
}

/* A volume goes only when a fresh list does not hold its member. */
static void check_volume_delete(const struct pass *pass, const struct action *action)
{
    ASSERT(pass->view->fresh && action->uid != NULL);
    for (size_t i = 0; i < pass->view->member_count; i++) {
        const struct member_view *member = &pass->view->members[i];
        bool same = strcmp(names_pvc(member->name.text).text, action->name) == 0;
        ASSERT(!same || member->etcd == NULL);
    }
}

static void check_first_start(const struct pass *pass)
{
    ASSERT(pass->view->latched_id == 0);
    for (size_t i = 0; i < pass->seen->pvc_count; i++) {
        ASSERT(pass->seen->pvcs[i].cluster_id == NULL);
    }
}

/* A healthy voter's Pod may end to take a new spec when every voter serves; else only when nobody
 * is served yet. */
static void check_pod_delete(const struct pass *pass, const struct action *action)
{
    const struct member_view *member = view_member(pass->view, action->name);
    if (pass->want->deleting || member == NULL || !member->healthy || !member->is_voter) {
        return;
    }
    ASSERT(member->pod != NULL);
    const struct operation *running = &pass->out->operation;
    if (running->type == OPERATION_UPDATE && strcmp(running->target, action->name) == 0) {
        ASSERT(pass->view->fresh);
        ASSERT(pass->view->healthy_voter_count == pass->view->voter_count);
        ASSERT(!str_equal(member->pod->template_hash, pass->out->template_hash));
        return;
    }
    ASSERT(member->pod->state_new || member->pod->phase == POD_FAILED ||
           member->pod->phase == POD_SUCCEEDED);
}

void plan_check(const struct pass *pass)
{
    const struct plan *out = pass->out;
    size_t membership = 0;
    for (size_t i = 0; i < out->action_count; i++) {
        const struct action *action = &out->actions[i];
        if (action_is_membership(action->kind)) {
            membership++;
            check_membership(pass, action);
        } else if (action->kind == ACTION_DELETE && action->object == OBJECT_PVC) {
            check_volume_delete(pass, action);
        } else if (action->kind == ACTION_DELETE && action->object == OBJECT_POD) {
            check_pod_delete(pass, action);
        } else if (action->kind == ACTION_APPLY && action->object == OBJECT_POD &&
                   has_state_new(action->body)) {
            check_first_start(pass);
        }
    }
    ASSERT(membership <= 1);
    ASSERT(!pass->want->paused || out->action_count == 0);
    ASSERT(out->next_ordinal >= pass->view->next_ordinal);
    ASSERT(out->progress != NULL);
}
