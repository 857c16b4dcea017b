/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one planning pass shares between its concerns. Internal to the planner. Each plan_<concern>
 * appends to the plan and returns true when the concerns after it must wait.
 */
#ifndef CONTROLLER_PLAN_PASS_H
#define CONTROLLER_PLAN_PASS_H

#include "controller/model/action.h"
#include "controller/model/observed.h"
#include "controller/model/spec.h"
#include "controller/model/view.h"
#include "controller/plan/plan.h"

#define PLAN_HOUR_MS 3600000
#define PLAN_ORPHAN_AGE_MS                                                                         \
    2000 /* an object younger than this may be newer than the member list                          \
          */
#define PLAN_MOVE_LEADER_MAX_MS                                                                    \
    30000 /* after so long the leader is removed without moving away                               \
           */
#define PLAN_SCALE_FAILURES_MAX 3

/* Borrows all but out. */
struct pass {
    const struct cluster_spec *want;
    const struct observed *seen;
    const struct view *view;
    int64_t now_ms;
    struct plan *out;
};

/* Gives false while the first start has to wait for certificates. */
bool plan_certs(struct pass *pass);
void plan_manager(struct pass *pass);

/* Concerns, in the order in which plan_make asks them. */
bool plan_delete(struct pass *pass);
bool plan_bootstrap(struct pass *pass);
void plan_objects(struct pass *pass);
void plan_volumes(struct pass *pass);
void plan_members(struct pass *pass);
bool plan_cleanup(struct pass *pass);
bool plan_repair(struct pass *pass);
bool plan_promote(struct pass *pass);
bool plan_scale(struct pass *pass);
bool plan_update(struct pass *pass);

/* The part of an update that may happen without a quorum: a Pod whose process does not run, made
 * from an earlier spec, is made again from this one. */
bool plan_update_idle(struct pass *pass);

/* True when member runs the spec as it is now and does not serve, while others serve with an
 * earlier one: the spec is more likely to blame than the member. */
bool plan_spec_is_suspect(const struct pass *pass, const struct member_view *member);

/* Stops the process when the plan breaks a safety rule. */
void plan_check(const struct pass *pass);

/* The journal. Begin keeps the running operation when type and target are the same; another one
 * that runs is ended as Superseded. */
void plan_begin(struct pass *pass, enum operation_type type, const char *target,
                enum operation_step step, const char *message);
void plan_step(struct pass *pass, enum operation_step step);
void plan_finish(struct pass *pass, enum operation_result result, const char *message);
bool plan_is_running(const struct pass *pass, enum operation_type type, const char *target);

/* Ends the running operation when live state shows that it is done. */
void plan_settle(struct pass *pass);

/* The only place that removes a member of etcd: moves leadership away first. Returns false (and
 * says why) when the quorum rule forbids it. type is Replace, ScaleDown, or ScaleUp (a failed
 * learner). */
bool plan_remove_member(struct pass *pass, const struct member_view *victim,
                        enum operation_type type, const char *message);

/* Leadership goes first, so that what follows costs no election. True when that is under way. */
bool plan_move_leader_away(struct pass *pass, const struct member_view *leaver,
                           enum operation_type type, const char *message);

/* The only place that adds a member: a learner under the next ordinal. */
void plan_add_member(struct pass *pass, enum operation_type type, const char *target);

/* Makes the Pod of a member, and what it needs, in order. */
void plan_start_member(struct pass *pass, const struct member_view *member);

/* True when its Pod is gone, or will never tell because its node is lost or its end overdue. */
bool plan_pod_is_gone(const struct pass *pass, const struct member_view *member);

/* True when a volume could serve member: there, not ending, of this cluster. */
bool plan_volume_is_usable(const struct pass *pass, const struct member_view *member);

#endif
