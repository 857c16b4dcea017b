/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members as objects: each member of etcd has its record, its volume and its Pod. A Pod that is
 * gone is made again on the same volume: the same member comes back and membership is not touched.
 * Here is also the one function that adds a member and the one that removes one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "controller/build/build.h"
#include "controller/plan/pass.h"

/* Gives "a=url,b=url" of all members of etcd, or, without a list, of all volumes, and of member. */
static char *initial_cluster(const struct pass *pass, const struct member_view *member)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (size_t i = 0; i < pass->view->member_count; i++) {
        const struct member_view *other = &pass->view->members[i];
        bool listed = pass->view->fresh ? other->etcd != NULL : other->pvc != NULL;
        if (!listed && other != member) {
            continue;
        }
        const char *comma = text.size == 0 ? "" : ",";
        if (other->etcd != NULL && other->etcd->peer_url_count > 0) {
            for (size_t u = 0; u < other->etcd->peer_url_count; u++) {
                buf_printf(&text, "%s%s=%s", u == 0 ? comma : ",", other->name.text,
                           other->etcd->peer_urls[u]);
            }
            continue;
        }
        buf_printf(&text, "%s%s=%s", comma, other->name.text,
                   names_peer_url(spec_scheme(pass->want), other->name.text, pass->want->name,
                                  pass->want->ns)
                       .text);
    }
    char *out = str_from(text.data, text.size);
    buf_free(&text);
    return out;
}

void plan_start_member(struct pass *pass, const struct member_view *member)
{
    ASSERT(pass->view->latched_id != 0);
    if (member->pvc == NULL) {
        /* Only a learner that never ran may get an empty volume: a voter on one would vote as if it
         * remembered nothing, and acknowledge what it does not hold. */
        ASSERT(member->never_started && !member->is_voter);
        char id[NAMES_MAX];
        snprintf(id, sizeof(id), "%" PRIx64, pass->view->latched_id);
        plan_apply(pass->out, OBJECT_PVC,
                   build_pvc(pass->want, member->name.text, id, pass->out->next_ordinal));
    }
    if (member->pod != NULL) {
        return;
    }
    char *peers = initial_cluster(pass, member);
    struct name token = build_cluster_token(pass->want);
    bool votes = pass->view->fresh ? member->is_voter : true;
    const struct build_pod pod = {member->name.text, votes, "existing", peers, token.text};
    struct action *action = plan_apply(pass->out, OBJECT_POD, build_pod(pass->want, &pod));
    event_set(&action->event, EVENT_NORMAL, "StartedMember", member->name.text, "Started member %s",
              member->name.text);
    mem_free(peers);
}

/* The record, and its status; both only when they differ. */
static void converge_record(struct pass *pass, const struct member_view *member)
{
    const struct observed_member_object *object = member->object;
    bool ending = object != NULL && object->deleting;
    bool seed = object != NULL && json_path_truth(object->raw, "spec.bootstrap", false);
    const struct build_member record = {member->name.text, member->ordinal, member->is_voter, seed};
    struct json *wanted = build_member(pass->want, &record);
    if (!ending && (object == NULL || !build_covers(object->raw, wanted))) {
        plan_apply(pass->out, OBJECT_MEMBER, wanted);
    } else {
        json_free(wanted);
    }
    if (object == NULL) {
        return;
    }
    const char *phase = member->etcd->is_learner ? (member->healthy ? "Learner" : "Joining")
                        : member->healthy        ? "Ready"
                                                 : "NotReady";
    const char *evidence =
        member->evidence == EVIDENCE_None ? NULL : evidence_text(member->evidence);
    const struct build_member_status status = {member->name.text,
                                               phase,
                                               member->etcd->id,
                                               member->pod == NULL ? NULL : member->pod->node,
                                               evidence,
                                               member->is_voter,
                                               member->pod != NULL,
                                               member->pvc != NULL};
    struct json *body = build_member_status(pass->want, &status);
    if (build_covers(json_get(object->raw, "status"), json_get(body, "status"))) {
        json_free(body);
        return;
    }
    struct action *action = plan_apply(pass->out, OBJECT_MEMBER, body);
    action->kind = ACTION_APPLY_STATUS;
}

/* The role label feeds the disruption budget. */
static void converge_role(struct pass *pass, const struct member_view *member)
{
    const char *role = member->is_voter ? "voter" : "learner";
    if (member->pod == NULL || member->pod->deleting || str_equal(member->pod->role, role)) {
        return;
    }
    struct json *patch = json_object();
    struct json *meta = json_ensure_object(patch, "metadata");
    json_set_str(meta, "resourceVersion", member->pod->resource_version);
    json_set_str(json_ensure_object(meta, "labels"), LABEL_ROLE, role);
    plan_patch(pass->out, OBJECT_POD, member->pod->name, patch);
}

/* Ends a Pod so that the next pass makes it again on the same volume. */
static void recreate_pod(struct pass *pass, const struct member_view *member, const char *why)
{
    struct action *action =
        plan_delete_object(pass->out, OBJECT_POD, member->pod->name, member->pod->uid, NULL);
    event_set(&action->event, EVENT_WARNING, "RecreatingPod", member->name.text,
              "Member %s: %s; its Pod is made again on the same volume", member->name.text, why);
}

static bool has_quorum(const struct view *view)
{
    return view->fresh && view->healthy_voter_count >= spec_quorum(view->voter_count);
}

static void recreate_once(struct pass *pass, const struct member_view *member)
{
    /* Without a quorum, waiting is all that helps; with Manual, a person decides. */
    if (!has_quorum(pass->view) || pass->want->repair.policy == SPEC_REPAIR_MANUAL) {
        return;
    }
    enum operation_type running = pass->out->operation.type;
    bool free_to_start = running == OPERATION_NONE || running == OPERATION_RECREATE ||
                         plan_is_running(pass, OPERATION_SCALE_DOWN, member->name.text);
    if (!free_to_start || pass->out->finished_count > 0 || plan_spec_is_suspect(pass, member)) {
        return;
    }
    plan_begin(pass, OPERATION_RECREATE, member->name.text, STEP_DELETE_POD,
               evidence_cause(member->evidence));
    plan_finish(pass, RESULT_SUCCEEDED, NULL); /* one deletion; what follows is the usual restart */
    plan_say(pass->out, REASON_Recreating, "Recreating the Pod of member %s: %s", member->name.text,
             evidence_cause(member->evidence));
    recreate_pod(pass, member, evidence_cause(member->evidence));
}

/* The Pod of one member that is in the list, or, without a list, has a volume of this cluster. */
static void converge_pod(struct pass *pass, const struct member_view *member)
{
    if (member->pod == NULL) {
        bool first_start = member->never_started && !member->is_voter &&
                           (member->pvc == NULL || plan_volume_is_usable(pass, member));
        bool proof = evidence_is_proof(member->evidence) && has_quorum(pass->view);
        if (!proof && (first_start || plan_volume_is_usable(pass, member))) {
            plan_say(pass->out, REASON_Converging, "Starting member %s", member->name.text);
            plan_start_member(pass, member);
        }
        return;
    }
    if (member->pod->deleting) {
        return;
    }
    if (member->pod->phase == POD_FAILED || member->pod->phase == POD_SUCCEEDED) {
        recreate_pod(pass, member, "its Pod has ended");
    } else if (member->pod->state_new && pass->view->latched_in_status &&
               plan_volume_is_usable(pass, member)) {
        plan_say(pass->out, REASON_Bootstrapping,
                 "Restarting the first member %s as an existing one", member->name.text);
        struct action *action =
            plan_delete_object(pass->out, OBJECT_POD, member->pod->name, member->pod->uid, NULL);
        event_set(&action->event, EVENT_NORMAL, "SeedLatched", member->name.text,
                  "Member %s restarts without the right to found a cluster", member->name.text);
    } else if (member->evidence == EVIDENCE_CrashLoopFirst ||
               member->evidence == EVIDENCE_NotReadyFirst) {
        recreate_once(pass, member);
    }
}

void plan_members(struct pass *pass)
{
    for (size_t i = 0; i < pass->view->member_count; i++) {
        const struct member_view *member = &pass->view->members[i];
        if (member->ordinal == OBSERVED_NO_ORDINAL) {
            continue;
        }
        if (member->etcd != NULL) {
            converge_record(pass, member);
            converge_role(pass, member);
            converge_pod(pass, member);
        } else if (!pass->view->fresh && plan_volume_is_usable(pass, member)) {
            converge_pod(pass, member);
        }
    }
}

bool plan_move_leader_away(struct pass *pass, const struct member_view *leaver,
                           enum operation_type type, const char *message)
{
    const struct member_view *heir = view_caller(pass->view, leaver);
    if (!leaver->is_leader || leaver->endpoint == NULL || heir == NULL) {
        return false;
    }
    const struct operation *running = &pass->out->operation;
    if (plan_is_running(pass, type, leaver->name.text) && running->step == STEP_MOVE_LEADER &&
        pass->now_ms - running->started_ms > PLAN_MOVE_LEADER_MAX_MS) {
        return false;
    }
    plan_begin(pass, type, leaver->name.text, STEP_MOVE_LEADER, message);
    struct action *action = plan_append(pass->out, ACTION_MOVE_LEADER);
    action->cluster_id = pass->view->latched_id;
    action->member_id = heir->etcd->id;
    action->name = str_dup(heir->name.text);
    action->via = str_dup(leaver->name.text);
    event_set(&action->event, EVENT_NORMAL, "MovedLeader", heir->name.text,
              "Leadership moved from %s to %s before %s stops", leaver->name.text, heir->name.text,
              leaver->name.text);
    return true;
}

bool plan_remove_member(struct pass *pass, const struct member_view *victim,
                        enum operation_type type, const char *message)
{
    ASSERT(victim->etcd != NULL);
    const struct member_view *caller = view_caller(pass->view, victim);
    if (!view_quorum_without(pass->view, victim) || caller == NULL) {
        plan_say(pass->out, REASON_QuorumAtRisk,
                 "Member %s should leave (%s), but without it there would be no healthy quorum",
                 victim->name.text, message);
        pass->out->block = REASON_QuorumAtRisk;
        return false;
    }
    if (plan_move_leader_away(pass, victim, type, message)) {
        return true;
    }
    plan_begin(pass, type, victim->name.text, STEP_REMOVE_MEMBER, message);
    struct action *action = plan_append(pass->out, ACTION_MEMBER_REMOVE);
    action->cluster_id = pass->view->latched_id;
    action->member_id = victim->etcd->id;
    action->name = str_dup(victim->name.text);
    action->via = str_dup(caller->name.text);
    event_set(&action->event, EVENT_WARNING, "RemovedMember", victim->name.text,
              "Removed member %s (id %" PRIx64 "): %s", victim->name.text, victim->etcd->id,
              message);
    return true;
}

/* The name that was journaled for an add that did not happen yet; it may be used, nothing bears it.
 */
static bool journaled_name(const struct pass *pass, const char *name, struct name *out)
{
    const struct operation *operation = &pass->out->operation;
    if (name[0] == '\0' || operation->step != STEP_ADD_MEMBER ||
        view_member(pass->view, name) != NULL) {
        return false;
    }
    snprintf(out->text, sizeof(out->text), "%s", name);
    return true;
}

void plan_add_member(struct pass *pass, enum operation_type type, const char *target)
{
    const struct member_view *caller = view_caller(pass->view, NULL);
    ASSERT(caller != NULL);
    struct operation *operation = &pass->out->operation;
    const char *journaled = type == OPERATION_REPLACE ? operation->replacement : operation->target;
    bool same = operation->type == type && (target == NULL || plan_is_running(pass, type, target));
    struct name name;
    if (!same || !journaled_name(pass, journaled, &name)) {
        name = names_member(pass->want->name, pass->out->next_ordinal);
        pass->out->next_ordinal++;
    }
    plan_begin(pass, type, target == NULL ? name.text : target, STEP_ADD_MEMBER, NULL);
    if (type == OPERATION_REPLACE) {
        snprintf(operation->replacement, sizeof(operation->replacement), "%.*s",
                 (int)sizeof(operation->replacement) - 1, name.text);
    }
    struct action *action = plan_append(pass->out, ACTION_MEMBER_ADD);
    action->cluster_id = pass->view->latched_id;
    action->name = str_dup(name.text);
    action->peer_url = str_dup(
        names_peer_url(spec_scheme(pass->want), name.text, pass->want->name, pass->want->ns).text);
    action->via = str_dup(caller->name.text);
    event_set(&action->event, EVENT_NORMAL, "AddedMember", name.text,
              "Added member %s as a learner", name.text);
}
