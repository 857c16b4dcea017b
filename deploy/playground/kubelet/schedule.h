/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses the node of a Pod. PURE. */
#ifndef PLAYGROUND_KUBELET_SCHEDULE_H
#define PLAYGROUND_KUBELET_SCHEDULE_H

#include "base/err.h"
#include "base/json.h"

/* Borrows all. */
struct schedule_input {
    const struct json *pod;
    const struct json *const *nodes;
    size_t node_count;
    const struct json *const *pods; /* all Pods; those without a node or over are ignored */
    size_t pod_count;
    const char *volume_node; /* where a volume of the Pod is already; NULL: anywhere */
};

/*
 * Honours: readiness, cordons, taints and tolerations, nodeSelector, required node affinity,
 * required Pod (anti-)affinity, DoNotSchedule spread, the volume's node. Then prefers by weighted
 * (anti-)affinity and spread, then the node with the fewest Pods, then the first. Does not count
 * cpu and memory. Gives *out_node (borrowed), or E_REFUSED with a text in the scheduler's words.
 */
BASE_MUST_CHECK int schedule_pick(const struct schedule_input *input, const char **out_node,
                                  struct err *err);

#endif
