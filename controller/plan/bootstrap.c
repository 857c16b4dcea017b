/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first start, once in the life of a cluster: one seed with --initial-cluster-state=new, its id
 * latched on its volume and in status, then its Pod made anew without `new`; only then may clients
 * come.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "controller/build/build.h"
#include "controller/plan/pass.h"

/* The one row that can be the seed: what exists already, NULL when nothing does. More than one
 * volume and no id: somebody removed the latch; a guess could start a second cluster over data. */
static const struct member_view *find_seed(const struct pass *pass, size_t *out_count)
{
    const struct member_view *seed = NULL;
    *out_count = 0;
    for (size_t i = 0; i < pass->view->member_count; i++) {
        const struct member_view *member = &pass->view->members[i];
        if (member->ordinal == OBSERVED_NO_ORDINAL) {
            continue;
        }
        (*out_count)++;
        seed = seed == NULL ? member : seed;
    }
    return seed;
}

static void refuse(struct pass *pass, enum condition_reason reason, const char *text)
{
    plan_say(pass->out, reason, "%s", text);
    pass->out->block = reason;
}

/* True when something forbids the first start. */
static bool is_forbidden(struct pass *pass, size_t row_count)
{
    if (pass->view->old_volume_count > 0) {
        refuse(pass, REASON_WaitingForOldVolumes,
               "Waiting until the volumes of the earlier cluster of this name are gone");
        return true;
    }
    if (pass->view->latched_on_retired) {
        refuse(pass, REASON_BootstrapFailed,
               "A retired volume of this name carries data of an earlier cluster: delete the "
               "volume, or "
               "create the cluster under another name");
        return true;
    }
    for (size_t i = 0; i < pass->seen->member_object_count; i++) {
        if (pass->seen->member_objects[i].was_member) {
            refuse(pass, REASON_AllMembersLost,
                   "The cluster was founded before, and its volumes and its id are lost: restore "
                   "from a "
                   "backup, or delete the cluster and create it again empty");
            return true;
        }
    }
    if (row_count > 1) {
        refuse(pass, REASON_BootstrapFailed,
               "Several members exist and none carries a cluster id: put the "
               "annotation " ANNOTATION_CLUSTER_ID " back on their volumes, or delete them");
        return true;
    }
    return false;
}

/* Makes what is not there yet of: record, volume, Pod. */
static void start_seed(struct pass *pass, const struct member_view *seed, const char *name,
                       int64_t ordinal)
{
    struct plan *out = pass->out;
    if (seed == NULL || seed->object == NULL) {
        const struct build_member member = {name, ordinal, true, true};
        plan_apply(out, OBJECT_MEMBER, build_member(pass->want, &member));
    }
    if (seed == NULL || seed->pvc == NULL) {
        plan_apply(out, OBJECT_PVC, build_pvc(pass->want, name, NULL, out->next_ordinal));
    }
    if (seed != NULL && seed->pod != NULL) {
        return;
    }
    char initial_cluster[2 * NAMES_MAX];
    snprintf(initial_cluster, sizeof(initial_cluster), "%s=%s", name,
             names_peer_url(spec_scheme(pass->want), name, pass->want->name, pass->want->ns).text);
    struct name token = build_cluster_token(pass->want);
    const struct build_pod pod = {name, true, "new", initial_cluster, token.text};
    struct action *action = plan_apply(out, OBJECT_POD, build_pod(pass->want, &pod));
    event_set(&action->event, EVENT_NORMAL, "StartingSeed", name,
              "Started the first member %s, which founds the cluster", name);
}

/* Writes the id on the volume; the status of this pass carries it too. */
static void latch(struct pass *pass, const struct member_view *seed)
{
    ASSERT(seed->pvc != NULL);
    pass->out->cluster_id = pass->view->seed_id;
    struct json *patch = json_object();
    struct json *meta = json_ensure_object(patch, "metadata");
    json_set_str(meta, "resourceVersion", seed->pvc->resource_version);
    struct json *annotations = json_ensure_object(meta, "annotations");
    json_set(annotations, ANNOTATION_CLUSTER_ID, json_stringf("%" PRIx64, pass->view->seed_id));
    json_set(annotations, ANNOTATION_NEXT_ORDINAL,
             json_stringf("%" PRId64, pass->out->next_ordinal));
    struct action *action = plan_patch(pass->out, OBJECT_PVC, seed->pvc->name, patch);
    event_set(&action->event, EVENT_NORMAL, "ClusterFounded", seed->name.text,
              "Member %s founded cluster %" PRIx64, seed->name.text, pass->view->seed_id);
}

/* A seed that ended, or whose volume goes, ends first; then it is made anew: nothing was served. */
static bool is_seed_ending(struct pass *pass, const struct member_view *seed)
{
    if (seed == NULL) {
        return false;
    }
    const struct observed_pod *pod = seed->pod;
    bool volume_goes = seed->pvc != NULL && seed->pvc->deleting;
    if (pod == NULL || pod->deleting) {
        return pod != NULL || volume_goes;
    }
    if (volume_goes || pod->phase == POD_FAILED || pod->phase == POD_SUCCEEDED) {
        plan_delete_object(pass->out, OBJECT_POD, pod->name, pod->uid, NULL);
        return true;
    }
    return false;
}

/* The seed that the journal names, though an old view may not show it yet: a second one must not be
 * started. The next ordinal when the journal names none. */
static int64_t journaled_seed(const struct pass *pass)
{
    const struct operation *operation = &pass->out->operation;
    int64_t ordinal = operation->type == OPERATION_BOOTSTRAP
                          ? observed_ordinal(operation->target, "", pass->want->name)
                          : OBSERVED_NO_ORDINAL;
    return ordinal == OBSERVED_NO_ORDINAL ? pass->view->next_ordinal : ordinal;
}

bool plan_bootstrap(struct pass *pass)
{
    if (pass->view->latched_id != 0 || pass->view->latch_conflict) {
        return false;
    }
    size_t row_count = 0;
    const struct member_view *seed = find_seed(pass, &row_count);
    if (is_forbidden(pass, row_count)) {
        return true;
    }
    plan_objects(pass);
    int64_t ordinal = seed == NULL ? journaled_seed(pass) : seed->ordinal;
    pass->out->next_ordinal = BASE_MAX(pass->out->next_ordinal, ordinal + 1);
    struct name name = names_member(pass->want->name, ordinal);
    plan_begin(pass, OPERATION_BOOTSTRAP, name.text, STEP_START_SEED, "first start");
    plan_say(pass->out, REASON_Bootstrapping, "Starting the first member %s", name.text);
    if (seed != NULL && seed->pvc != NULL && !seed->pvc->deleting && pass->view->seed_id != 0) {
        plan_step(pass, STEP_LATCH);
        latch(pass, seed);
        return true;
    }
    if (is_seed_ending(pass, seed)) {
        return true;
    }
    start_seed(pass, seed, name.text, ordinal);
    return true;
}
