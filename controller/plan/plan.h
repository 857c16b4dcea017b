/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner: one pass over the world. Pure: same inputs, same plan. It emits at most one change
 * of membership or leadership per pass, and none without a fresh linearizable view of the members.
 * Who may remove a member: plan_remove_member in members.c, nobody else.
 */
#ifndef CONTROLLER_PLAN_PLAN_H
#define CONTROLLER_PLAN_PLAN_H

#include "controller/model/action.h"
#include "controller/model/observed.h"
#include "controller/model/spec.h"

#define PLAN_REQUEUE_BUSY_MS 1000  /* an operation is in flight */
#define PLAN_REQUEUE_IDLE_MS 10000 /* nothing to do: probe again, so that conditions stay fresh */

/* Borrows all. want may carry problems (an invalid spec): then nothing but deletion is planned. */
struct plan_input {
    const struct cluster_spec *want;
    const struct observed *seen;
    int64_t now_ms;
};

/* Fills out (which plan_init made). Free with plan_free. */
void plan_make(const struct plan_input *in, struct plan *out);

#endif
