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

/* metrics_work.c */
extern struct metric METRIC_LEASE_TTL;
extern struct metric METRIC_COMPACTION_LAST;
extern struct metric METRIC_COMPACTION_MS;
extern struct metric METRIC_COMPACTION_INDEX_PAUSE_MS;
extern struct metric METRIC_COMPACTION_PAUSE_MS;
extern struct metric METRIC_EVENTS_TOTAL;
extern struct metric METRIC_PENDING_EVENTS; /* handed out and not taken by their clients */
extern struct metric METRIC_DEFRAG_SECONDS;
extern struct metric METRIC_DEFRAG_INFLIGHT;
extern struct metric METRIC_SNAPSHOT_SECONDS;
extern struct metric METRIC_WAL_WRITE_SECONDS;
extern struct metric METRIC_WAL_WRITE_BYTES;
extern struct metric METRIC_HASH_SECONDS;
extern struct metric METRIC_HASH_REV_SECONDS;
extern struct metric METRIC_HEARTBEAT_FAILURES;
extern struct metric METRIC_PROMOTE_SUCCESSES;
extern struct metric METRIC_READ_INDEXES_FAILED;
extern struct metric METRIC_READ_INDEXES_SLOW;
extern struct metric METRIC_SNAPSHOT_INSTALLING;
extern struct metric METRIC_SNAP_SAVE_SECONDS;
extern struct metric METRIC_OPEN_READS;

struct server;
struct server_config;

/* State thread: one entry applied, one range read; op must be a literal. */
void metrics_observe_apply(const char *op, bool success, uint64_t ns);
void metrics_observe_range(bool success, uint64_t ns);

/* State thread: one check of "livez" or "readyz". */
void metrics_count_check(const char *type, const char *name, bool success);

/* I/O thread: a call has begun; version is what the client says of itself, or NULL. */
void metrics_count_client(const char *version, bool is_stream);

void metrics_work_start(const struct server_config *config);
void metrics_work_stop(void);
void metrics_work_refresh(const struct server *server);

#endif
