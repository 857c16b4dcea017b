/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a removed member leaves behind: its Pod ends first, then its volume goes or is kept, then
 * its record. A member is removed when a fresh linearizable list does not hold it; nothing else
 * counts.
 */
#include <string.h>

#include "base/assert.h"
#include "controller/build/build.h"
#include "controller/plan/pass.h"

bool plan_pod_is_gone(const struct pass *pass, const struct member_view *member)
{
    if (member->pod == NULL) {
        return true;
    }
    if (!member->pod->deleting) {
        return false;
    }
    /* Nothing of it is ever used again, so a node that cannot answer need not be waited for. */
    bool node_lost = member->node == NODE_NOT_READY || member->node == NODE_GONE;
    bool overdue = pass->now_ms - member->pod->deletion_ms >= pass->want->repair.not_ready_grace_ms;
    return node_lost || overdue;
}

/* An object made after the list was read says nothing about a removal. */
static bool is_young(const struct pass *pass, const struct member_view *member)
{
    int64_t newest_ms = 0;
    if (member->object != NULL) {
        newest_ms = BASE_MAX(newest_ms, member->object->created_ms);
    }
    if (member->pvc != NULL) {
        newest_ms = BASE_MAX(newest_ms, member->pvc->created_ms);
    }
    if (member->pod != NULL) {
        newest_ms = BASE_MAX(newest_ms, member->pod->created_ms);
    }
    return pass->seen->etcd.read_ms - newest_ms < PLAN_ORPHAN_AGE_MS;
}

static void drop_volume(struct pass *pass, const struct member_view *member)
{
    const struct observed_pvc *pvc = member->pvc;
    if (pvc->deleting) {
        return;
    }
    if (pass->want->storage.reclaim == SPEC_RECLAIM_DELETE) {
        struct action *action =
            plan_delete_object(pass->out, OBJECT_PVC, pvc->name, pvc->uid, NULL);
        event_set(&action->event, EVENT_NORMAL, "DeletedVolume", pvc->name,
                  "Deleted volume %s of the removed member %s", pvc->name, member->name.text);
        return;
    }
    struct json *patch = json_object();
    struct json *meta = json_ensure_object(patch, "metadata");
    json_set_str(meta, "resourceVersion", pvc->resource_version);
    json_set_str(json_ensure_object(meta, "annotations"), ANNOTATION_RETIRED, "true");
    struct action *action = plan_patch(pass->out, OBJECT_PVC, pvc->name, patch);
    event_set(&action->event, EVENT_NORMAL, "RetiredVolume", pvc->name,
              "Kept volume %s of the removed member %s; it is never used again", pvc->name,
              member->name.text);
}

/* The finalizer is ours; without it a delete takes the record at once. */
static void drop_record(struct pass *pass, const struct observed_member_object *object)
{
    if (object->has_finalizer) {
        struct json *patch = json_object();
        struct json *meta = json_ensure_object(patch, "metadata");
        json_set_str(meta, "resourceVersion", object->resource_version);
        struct json *kept = json_ensure_array(meta, "finalizers");
        const struct json *given = json_path(object->raw, "metadata.finalizers");
        for (size_t i = 0; i < json_count(given); i++) {
            if (strcmp(json_str(json_at(given, i), ""), FINALIZER_MEMBER) != 0) {
                json_append(kept, json_copy(json_at(given, i)));
            }
        }
        plan_patch(pass->out, OBJECT_MEMBER, object->name, patch);
    }
    if (!object->deleting) {
        plan_delete_object(pass->out, OBJECT_MEMBER, object->name, object->uid, NULL);
    }
}

/* True while the successor has to wait for this one. */
static bool clean_one(struct pass *pass, const struct member_view *member)
{
    if (is_young(pass, member)) {
        return true;
    }
    if (member->pod != NULL && !member->pod->deleting) {
        struct action *action =
            plan_delete_object(pass->out, OBJECT_POD, member->pod->name, member->pod->uid, NULL);
        event_set(&action->event, EVENT_NORMAL, "DeletedPod", member->name.text,
                  "Deleted the Pod of the removed member %s", member->name.text);
    }
    if (!plan_pod_is_gone(pass, member)) {
        return true;
    }
    if (member->pvc != NULL) {
        drop_volume(pass, member);
    }
    if (member->object != NULL) {
        drop_record(pass, member->object);
    }
    return false;
}

bool plan_cleanup(struct pass *pass)
{
    ASSERT(pass->view->fresh);
    bool busy = false;
    for (size_t i = 0; i < pass->view->member_count; i++) {
        const struct member_view *member = &pass->view->members[i];
        if (member->etcd != NULL || member->ordinal == OBSERVED_NO_ORDINAL) {
            continue;
        }
        if (clean_one(pass, member)) {
            plan_step(pass, STEP_DELETE_POD);
            plan_say(pass->out, REASON_Converging, "Clearing away the removed member %s",
                     member->name.text);
            busy = true;
        }
    }
    return busy;
}
