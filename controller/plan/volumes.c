/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The latch on the volumes: every volume of a member carries the cluster id and the next ordinal,
 * so that neither is lost with a status. Owner references follow the reclaim policy; sizes only
 * grow.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/build/build.h"
#include "controller/plan/pass.h"

bool plan_volume_is_usable(const struct pass *pass, const struct member_view *member)
{
    char id[NAMES_MAX];
    snprintf(id, sizeof(id), "%" PRIx64, pass->view->latched_id);
    return member->pvc != NULL && !member->pvc->deleting && member->pvc->phase != PVC_LOST &&
           str_equal(member->pvc->cluster_id, id);
}

/* The merge patch of what differs, or NULL. */
static struct json *volume_patch(const struct pass *pass, const struct observed_pvc *pvc)
{
    struct json *patch = json_object();
    struct json *meta = json_ensure_object(patch, "metadata");
    char id[NAMES_MAX];
    snprintf(id, sizeof(id), "%" PRIx64, pass->view->latched_id);
    if (!str_equal(pvc->cluster_id, id)) {
        json_set_str(json_ensure_object(meta, "annotations"), ANNOTATION_CLUSTER_ID, id);
    }
    if (pvc->next_ordinal < pass->out->next_ordinal) {
        json_set(json_ensure_object(meta, "annotations"), ANNOTATION_NEXT_ORDINAL,
                 json_stringf("%" PRId64, pass->out->next_ordinal));
    }
    bool owned = pass->want->storage.reclaim != SPEC_RECLAIM_RETAIN;
    if (owned && pvc->owner_uid == NULL) {
        json_set(meta, "ownerReferences", build_owner(pass->want));
    } else if (!owned && pvc->owner_uid != NULL) {
        json_set(meta, "ownerReferences", json_null());
    }
    if (pvc->phase == PVC_BOUND && pvc->request_bytes > 0 &&
        pvc->request_bytes < pass->want->storage.size_bytes) {
        struct json *spec = json_ensure_object(patch, "spec");
        json_set_str(json_ensure_object(json_ensure_object(spec, "resources"), "requests"),
                     "storage", pass->want->storage.size);
    }
    if (json_count(meta) == 0 && json_count(patch) == 1) {
        json_free(patch);
        return NULL;
    }
    json_set_str(meta, "resourceVersion", pvc->resource_version);
    return patch;
}

void plan_volumes(struct pass *pass)
{
    for (size_t i = 0; i < pass->view->member_count; i++) {
        const struct member_view *member = &pass->view->members[i];
        const struct observed_pvc *pvc = member->pvc;
        /* The id in status came from the seed that the journal names. */
        bool is_seed = plan_is_running(pass, OPERATION_BOOTSTRAP, member->name.text);
        bool proven = member->etcd != NULL || is_seed || (pvc != NULL && pvc->cluster_id != NULL);
        /* A volume without an id, of no known member, gets none from us: it may be anybody's. */
        if (pvc == NULL || pvc->deleting || !proven || pass->view->latch_conflict) {
            continue;
        }
        struct json *patch = volume_patch(pass, pvc);
        if (patch != NULL) {
            plan_patch(pass->out, OBJECT_PVC, pvc->name, patch);
        }
    }
}
