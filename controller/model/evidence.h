/* SPDX-License-Identifier: Apache-2.0 */
/* The judgement on one member: the evidence table. Pure; in the model so that status and plan
 * agree. */
#ifndef CONTROLLER_MODEL_EVIDENCE_H
#define CONTROLLER_MODEL_EVIDENCE_H

#include "controller/model/view.h"

#define EVIDENCE_EXIT_RECENT_MS                                                                    \
    120000 /* a data error exit older than this, of a running process, is history */

/* Fills healthy, caught_up, must_go, evidence and the times of member, which is joined already. */
void evidence_judge(const struct cluster_spec *want, const struct observed *seen,
                    const struct view *view, struct member_view *member, int64_t now_ms);

#endif
