/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics that the server updates as it works, under etcd's names. */
#ifndef ENGINE_SERVER_METRICS_H
#define ENGINE_SERVER_METRICS_H

#include "base/metrics.h"

extern struct metric METRIC_WAL_FSYNC_SECONDS;
extern struct metric METRIC_BACKEND_COMMIT_SECONDS;
extern struct metric METRIC_PROPOSALS_FAILED;
extern struct metric METRIC_LEADER_CHANGES;
extern struct metric METRIC_SLOW_APPLY;
extern struct metric METRIC_PUT_TOTAL;
extern struct metric METRIC_DELETE_TOTAL;
extern struct metric METRIC_RANGE_TOTAL;
extern struct metric METRIC_TXN_TOTAL;
extern struct metric METRIC_LEASE_GRANTED;
extern struct metric METRIC_LEASE_REVOKED;
extern struct metric METRIC_LEASE_RENEWED;
extern struct metric METRIC_LEASE_EXPIRED;
extern struct metric METRIC_HEALTH_SUCCESS;
extern struct metric METRIC_HEALTH_FAILURE;

#endif
