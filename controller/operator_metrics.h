/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's own metrics, all of them, in one table. */
#ifndef CONTROLLER_OPERATOR_METRICS_H
#define CONTROLLER_OPERATOR_METRICS_H

#include "base/defs.h"
#include "base/metrics.h"

/* Registers all; call once. */
void operator_metrics_register(void);

void operator_metrics_pass(bool succeeded, uint64_t duration_ns, int64_t wall_seconds);

/* One change of the world: what is a verb of controller/kube or a membership call. */
void operator_metrics_change(const char *what, bool succeeded);

void operator_metrics_leader(bool is_leader);
void operator_metrics_queue(size_t depth, size_t looks);
void operator_metrics_clusters(size_t count);

#endif
