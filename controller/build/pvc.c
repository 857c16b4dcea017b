/* SPDX-License-Identifier: Apache-2.0 */
/* The volume claim of a member. It carries the latch, because a status can be lost and a volume
 * not. */
#include <inttypes.h>

#include "controller/build/build.h"
#include "controller/build/object.h"

struct json *build_pvc(const struct cluster_spec *want, const char *member, const char *cluster_id,
                       int64_t next_ordinal)
{
    struct json *pvc =
        object_new(want, "v1", "PersistentVolumeClaim", names_pvc(member).text, member);
    struct json *meta = json_get(pvc, "metadata");
    if (want->storage.reclaim == SPEC_RECLAIM_RETAIN) {
        json_remove(meta, "ownerReferences"); /* it outlives the cluster */
    }
    struct json *annotations = json_ensure_object(meta, "annotations");
    if (cluster_id != NULL && cluster_id[0] != '\0') {
        json_set_str(annotations, ANNOTATION_CLUSTER_ID, cluster_id);
    }
    json_set(annotations, ANNOTATION_NEXT_ORDINAL, json_stringf("%" PRId64, next_ordinal));
    struct json *spec = json_ensure_object(pvc, "spec");
    json_append(json_ensure_array(spec, "accessModes"), json_string("ReadWriteOnce"));
    struct json *requests = json_ensure_object(json_ensure_object(spec, "resources"), "requests");
    json_set_str(requests, "storage", want->storage.size);
    if (want->storage.storage_class != NULL) {
        json_set_str(spec, "storageClassName", want->storage.storage_class);
    }
    return pvc;
}
