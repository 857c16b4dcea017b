/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conditions of an EtcdCluster: a closed list, one pure function each, in one table. A
 * condition whose evidence was not freshly probed is Unknown. lastTransitionTime moves only when
 * status moves.
 */
#ifndef CONTROLLER_MODEL_CONDITION_H
#define CONTROLLER_MODEL_CONDITION_H

#include "controller/model/action.h"
#include "controller/model/observed.h"
#include "controller/model/spec.h"
#include "controller/model/view.h"

#define CONDITION_MESSAGE_MAX 512u

/* So long no majority must have answered fresh probes before the quorum counts as lost: an election
 * takes seconds, and one that was won again is no news. */
#define CONDITION_QUORUM_LOST_MS 15000

enum condition_status { CONDITION_FALSE, CONDITION_TRUE, CONDITION_UNKNOWN };

struct condition {
    enum condition_status status;
    enum condition_reason reason;
    char message[CONDITION_MESSAGE_MAX];
};

struct condition_input {
    const struct cluster_spec *want;
    const struct observed *seen;
    const struct plan *plan;
    const struct view *view;
    int64_t now_ms;
};

/* One row of the table. */
struct condition_rule {
    const char *type;
    void (*judge)(const struct condition_input *in, struct condition *out);
};

/* The table, in the order in which status.conditions lists them; *out_count rows. */
const struct condition_rule *condition_rules(size_t *out_count);

/* Gives the conditions array (json_free); previous is the old array or NULL. */
struct json *conditions_build(const struct condition_input *in, const struct json *previous);

/* True when, by the conditions as last written (may be NULL), no majority has answered fresh probes
 * for CONDITION_QUORUM_LOST_MS, or the quorum was called lost before. */
bool condition_quorum_is_lost(const struct json *conditions, int64_t now_ms);

const char *condition_status_text(enum condition_status status);

#endif
