/* SPDX-License-Identifier: Apache-2.0 */
/* The disruption budget counts voters only: a learner's eviction costs no quorum. */
#include "controller/build/build.h"
#include "controller/build/object.h"

struct json *build_pdb(const struct cluster_spec *want, int64_t min_available)
{
    struct json *pdb =
        object_new(want, "policy/v1", "PodDisruptionBudget", names_pdb(want->name).text, NULL);
    struct json *spec = json_ensure_object(pdb, "spec");
    json_set_int(spec, "minAvailable", min_available);
    struct json *labels = object_selector(want);
    json_set_str(labels, LABEL_ROLE, "voter");
    json_set(json_ensure_object(spec, "selector"), "matchLabels", labels);
    return pdb;
}
