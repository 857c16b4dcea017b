/* SPDX-License-Identifier: Apache-2.0 */
/* The ladder: what is asked first, and what has to wait for it. */
#include "controller/plan/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/build/build.h"
#include "controller/model/condition.h"
#include "controller/plan/pass.h"

/* The reason of a condition as last written; "" when it is not there. */
static const char *previous_reason(const struct observed *seen, const char *type)
{
    const struct json *conditions = json_get(seen->status, "conditions");
    for (size_t i = 0; i < json_count(conditions); i++) {
        const struct json *condition = json_at(conditions, i);
        if (strcmp(json_str(json_get(condition, "type"), ""), type) == 0) {
            return json_str(json_get(condition, "reason"), "");
        }
    }
    return "";
}

/* An event for a state, once, when the condition did not yet say so. */
static void say_once(struct pass *pass, const char *type, enum condition_reason reason)
{
    if (strcmp(previous_reason(pass->seen, type), reason_text(reason)) != 0) {
        plan_event(pass->out, EVENT_WARNING, reason_text(reason), NULL, "%s", pass->out->progress);
    }
}

/* The phase is short, because it is a column of kubectl get; conditions and event tell all. */
static void refuse_spec(struct pass *pass)
{
    const struct spec_problem *problem = &pass->want->problems[0];
    plan_say(pass->out, problem->why, "Waiting for a valid spec: see %s", problem->field);
    const char *told = previous_reason(pass->seen, "Stalled");
    if (strcmp(told, reason_text(problem->why)) != 0) {
        plan_event(pass->out, EVENT_WARNING, reason_text(problem->why), NULL, "%s %s",
                   problem->field, problem->message);
    }
}

/* No leader that a majority follows. Nothing is removed: a member that is only away comes back. */
static void report_lost_quorum(struct pass *pass)
{
    struct plan *out = pass->out;
    if (out->operation.type == OPERATION_BOOTSTRAP) {
        plan_say(out, REASON_Bootstrapping, "Restarting the first member as an existing one");
        return;
    }
    size_t probed = 0;
    size_t volumes = 0;
    size_t pods = 0;
    for (size_t i = 0; i < pass->view->member_count; i++) {
        const struct member_view *member = &pass->view->members[i];
        probed += member->probed ? 1 : 0;
        volumes += plan_volume_is_usable(pass, member) ? 1 : 0;
        pods += member->pod != NULL ? 1 : 0;
    }
    if (volumes == 0) {
        plan_say(out, REASON_AllMembersLost,
                 "All members and their volumes are lost: restore from a backup");
    } else if (probed == 0 && pods > 0) {
        plan_say(out, REASON_NotProbed, "Waiting for an answer of any member");
        return;
    } else if (!condition_quorum_is_lost(json_get(pass->seen->status, "conditions"),
                                         pass->now_ms)) {
        plan_say(out, REASON_NotServing, "Waiting for a majority of the members to answer");
        return;
    } else {
        plan_say(out, REASON_QuorumLost,
                 "Quorum is lost: no member is removed; members restart on their volumes as they "
                 "come back");
    }
    out->block = out->reason;
    say_once(pass, "Available", out->reason);
}

static void report_conflict(struct pass *pass)
{
    plan_say(pass->out, REASON_ClusterIDMismatch,
             "Members or volumes carry different cluster ids: nothing is changed until a person "
             "removes the foreign one");
    pass->out->block = REASON_ClusterIDMismatch;
    say_once(pass, "ClusterIDConsistent", REASON_ClusterIDMismatch);
}

/* The finalizer makes deletion orderly: Pods end first, then the records of members. */
static void ensure_finalizer(struct pass *pass)
{
    if (pass->seen->has_finalizer) {
        return;
    }
    struct json *patch = json_object();
    struct json *meta = json_ensure_object(patch, "metadata");
    json_set_str(meta, "resourceVersion", pass->seen->resource_version);
    struct json *finalizers = json_ensure_array(meta, "finalizers");
    const struct json *given = json_path(pass->seen->cluster, "metadata.finalizers");
    for (size_t i = 0; i < json_count(given); i++) {
        json_append(finalizers, json_copy(json_at(given, i)));
    }
    json_append(finalizers, json_string(FINALIZER_CLUSTER));
    plan_patch(pass->out, OBJECT_CLUSTER, pass->want->name, patch);
}

static void say_rest(struct pass *pass)
{
    const struct view *view = pass->view;
    if (pass->out->progress != NULL) {
        return;
    }
    for (size_t i = 0; i < view->member_count; i++) {
        const struct member_view *member = &view->members[i];
        if (member->etcd != NULL && !member->healthy) {
            plan_say(pass->out, REASON_MembersUnhealthy, "Watching member %s: %s",
                     member->name.text, evidence_cause(member->evidence));
            return;
        }
    }
    plan_say(pass->out, REASON_AsExpected, "Healthy: %" PRId64 " of %" PRId64 " members serve",
             view->healthy_voter_count, pass->want->replicas);
}

/* The part of the ladder that needs a latched cluster. */
static void plan_running(struct pass *pass)
{
    const struct view *view = pass->view;
    plan_objects(pass);
    plan_volumes(pass);
    if (view->latch_conflict) {
        report_conflict(pass);
        return;
    }
    plan_members(pass);
    if (!view->fresh || view->healthy_voter_count < spec_quorum(view->voter_count)) {
        plan_update_idle(pass);
        report_lost_quorum(pass);
        return;
    }
    plan_settle(pass);
    if (pass->out->operation.type == OPERATION_BOOTSTRAP) {
        return; /* the first member restarts as an existing one; nobody joins it before */
    }
    if (plan_cleanup(pass) || plan_repair(pass) || plan_promote(pass) || plan_scale(pass)) {
        return;
    }
    plan_settle(pass);
    plan_update(pass);
}

static void note_even_count(struct pass *pass)
{
    int64_t known = json_i64(json_get(pass->seen->status, "observedGeneration"), 0);
    if (known != pass->want->generation && pass->want->replicas % 2 == 0) {
        plan_event(pass->out, EVENT_WARNING, reason_text(REASON_EvenMemberCount), NULL,
                   "%" PRId64 " members tolerate no more failures than %" PRId64
                   "; set spec.replicas to an odd number",
                   pass->want->replicas, pass->want->replicas - 1);
    }
}

static void plan_ladder(struct pass *pass)
{
    const struct cluster_spec *want = pass->want;
    if (want->paused) {
        plan_say(pass->out, REASON_Paused,
                 "Paused: nothing is changed until spec.paused is false%s",
                 want->deleting ? "; the deletion waits too" : "");
        return;
    }
    if (want->deleting) {
        plan_delete(pass);
        return;
    }
    if (want->problem_count > 0) {
        refuse_spec(pass);
        return;
    }
    note_even_count(pass);
    ensure_finalizer(pass);
    if (!plan_certs(pass)) {
        plan_objects(pass);
        return;
    }
    if (!plan_bootstrap(pass)) {
        plan_running(pass);
    }
}

void plan_make(const struct plan_input *in, struct plan *out)
{
    struct view *view = mem_alloc(sizeof(*view));
    view_make(in->want, in->seen, in->now_ms, view);
    struct pass pass = {in->want, in->seen, view, in->now_ms, out};
    out->next_ordinal = view->next_ordinal;
    out->cluster_id = view->latched_id;
    out->operation = view->operation;
    out->block = REASON_AsExpected;
    out->scale_failures = json_i64(json_get(in->seen->status, "scaleFailures"), 0);
    if (json_i64(json_get(in->seen->status, "observedGeneration"), 0) != in->want->generation) {
        out->scale_failures = 0; /* a person changed the spec: try again */
    }
    build_template_hash(in->want, out->template_hash);
    plan_ladder(&pass);
    say_rest(&pass);
    bool busy = out->action_count > 0 || out->operation.type != OPERATION_NONE ||
                out->reason != REASON_AsExpected;
    out->requeue_ms = busy && !in->want->paused ? PLAN_REQUEUE_BUSY_MS : PLAN_REQUEUE_IDLE_MS;
    plan_check(&pass);
    mem_free(view);
}
