/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a whole cluster: no member is removed from etcd, all Pods end, then the records lose
 * their finalizers and the cluster its own; owner references take the rest. Retained volumes lose
 * their owner.
 */
#include <string.h>

#include "controller/build/build.h"
#include "controller/plan/pass.h"

/* The merge patch that takes one finalizer out of an object. */
static struct json *without_finalizer(const struct json *object, const char *resource_version,
                                      const char *finalizer)
{
    struct json *patch = json_object();
    struct json *meta = json_ensure_object(patch, "metadata");
    json_set_str(meta, "resourceVersion", resource_version);
    struct json *kept = json_ensure_array(meta, "finalizers");
    const struct json *given = json_path(object, "metadata.finalizers");
    for (size_t i = 0; i < json_count(given); i++) {
        if (strcmp(json_str(json_at(given, i), ""), finalizer) != 0) {
            json_append(kept, json_copy(json_at(given, i)));
        }
    }
    return patch;
}

/* Volumes that stay must not be taken by the owner's end. True while one was still to be freed. */
static bool free_retained(struct pass *pass)
{
    bool busy = false;
    for (size_t i = 0; i < pass->seen->pvc_count; i++) {
        const struct observed_pvc *pvc = &pass->seen->pvcs[i];
        if (pass->want->storage.reclaim == SPEC_RECLAIM_RETAIN && pvc->owner_uid != NULL &&
            !pvc->deleting) {
            struct json *patch = json_object();
            struct json *meta = json_ensure_object(patch, "metadata");
            json_set_str(meta, "resourceVersion", pvc->resource_version);
            json_set(meta, "ownerReferences", json_null());
            plan_patch(pass->out, OBJECT_PVC, pvc->name, patch);
            busy = true;
        }
    }
    return busy;
}

static bool end_pods(struct pass *pass)
{
    bool busy = false;
    for (size_t i = 0; i < pass->seen->pod_count; i++) {
        const struct observed_pod *pod = &pass->seen->pods[i];
        if (!pod->deleting) {
            plan_delete_object(pass->out, OBJECT_POD, pod->name, pod->uid, NULL);
        }
        const struct member_view *member = view_member(pass->view, pod->name);
        busy = busy || member == NULL || !plan_pod_is_gone(pass, member);
    }
    return busy;
}

bool plan_delete(struct pass *pass)
{
    plan_say(pass->out, REASON_Deleting, "Deleting the cluster");
    if (!pass->seen->has_finalizer) {
        return true;
    }
    if (free_retained(pass) || end_pods(pass)) {
        return true;
    }
    for (size_t i = 0; i < pass->seen->member_object_count; i++) {
        const struct observed_member_object *object = &pass->seen->member_objects[i];
        if (object->has_finalizer) {
            plan_patch(pass->out, OBJECT_MEMBER, object->name,
                       without_finalizer(object->raw, object->resource_version, FINALIZER_MEMBER));
        }
    }
    if (pass->out->action_count == 0) {
        plan_patch(pass->out, OBJECT_CLUSTER, pass->want->name,
                   without_finalizer(pass->seen->cluster, pass->seen->resource_version,
                                     FINALIZER_CLUSTER));
    }
    return true;
}
