/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics under etcd's names: counters as things happen, gauges refreshed by the state thread. */
#include "engine/server/metrics.h"
#include "engine/server/metrics_define.h"

#include <stdio.h>

#include "engine/server/internal.h"
#include "engine/server/process.h"

struct metric METRIC_WAL_FSYNC_SECONDS = DISK_HISTOGRAM(
    "etcd_disk_wal_fsync_duration_seconds", "The latency distributions of fsync called by WAL.");
struct metric METRIC_BACKEND_COMMIT_SECONDS =
    DISK_HISTOGRAM("etcd_disk_backend_commit_duration_seconds",
                   "The latency distributions of commit called by backend.");
struct metric METRIC_PROPOSALS_FAILED =
    COUNTER("etcd_server_proposals_failed_total", "The total number of failed proposals seen.");
struct metric METRIC_LEADER_CHANGES =
    COUNTER("etcd_server_leader_changes_seen_total", "The number of leader changes seen.");
struct metric METRIC_SLOW_APPLY =
    COUNTER("etcd_server_slow_apply_total", "The total number of slow apply requests.");
struct metric METRIC_PUT_TOTAL =
    COUNTER("etcd_mvcc_put_total", "Total number of puts seen by this member.");
struct metric METRIC_DELETE_TOTAL =
    COUNTER("etcd_mvcc_delete_total", "Total number of deletes seen by this member.");
struct metric METRIC_RANGE_TOTAL =
    COUNTER("etcd_mvcc_range_total", "Total number of ranges seen by this member.");
struct metric METRIC_TXN_TOTAL =
    COUNTER("etcd_mvcc_txn_total", "Total number of txns seen by this member.");
struct metric METRIC_LEASE_GRANTED =
    COUNTER("etcd_debugging_lease_granted_total", "The total number of granted leases.");
struct metric METRIC_LEASE_REVOKED =
    COUNTER("etcd_debugging_lease_revoked_total", "The total number of revoked leases.");
struct metric METRIC_LEASE_RENEWED = COUNTER("etcd_debugging_lease_renewed_total",
                                             "The number of renewed leases seen by the leader.");
struct metric METRIC_LEASE_EXPIRED =
    COUNTER("etcd_debugging_server_lease_expired_total", "The total number of expired leases.");
struct metric METRIC_HEALTH_SUCCESS =
    COUNTER("etcd_server_health_success", "The total number of successful health checks");
struct metric METRIC_HEALTH_FAILURE =
    COUNTER("etcd_server_health_failures", "The total number of failed health checks");

static struct metric has_leader =
    GAUGE("etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.");
static struct metric is_leader =
    GAUGE("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.");
static struct metric is_learner = GAUGE(
    "etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.");
static struct metric committed = GAUGE("etcd_server_proposals_committed_total",
                                       "The total number of consensus proposals committed.");
static struct metric applied = GAUGE("etcd_server_proposals_applied_total",
                                     "The total number of consensus proposals applied.");
static struct metric pending =
    GAUGE("etcd_server_proposals_pending", "The current number of pending proposals to commit.");
static struct metric quota =
    GAUGE("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.");
static struct metric db_total =
    GAUGE("etcd_mvcc_db_total_size_in_bytes",
          "Total size of the underlying database physically allocated in bytes.");
static struct metric db_in_use =
    GAUGE("etcd_mvcc_db_total_size_in_use_in_bytes",
          "Total size of the underlying database logically in use in bytes.");
static struct metric revision_auth =
    GAUGE("etcd_debugging_auth_revision", "The current revision of auth store.");
static struct metric revision_now =
    GAUGE("etcd_debugging_mvcc_current_revision", "The current revision of store.");
static struct metric revision_compact =
    GAUGE("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.");
static struct metric keys_compacted =
    COUNTER("etcd_debugging_mvcc_db_compaction_keys_total", "Total number of db keys compacted.");
static struct metric put_bytes = GAUGE("etcd_debugging_mvcc_total_put_size_in_bytes",
                                       "The total size of put kv pairs seen by this member.");
static struct metric keys_total = GAUGE("etcd_debugging_mvcc_keys_total", "Total number of keys.");
static struct metric watchers =
    GAUGE("etcd_debugging_mvcc_watcher_total", "Total number of watchers.");
static struct metric watch_streams =
    GAUGE("etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams.");
static struct metric slow_watchers =
    GAUGE("etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers.");
static struct metric tail_bytes =
    GAUGE("quorate_mvcc_tail_bytes", "Bytes of applied changes that are not in the store yet.");
static struct metric fd_used = GAUGE("os_fd_used", "The number of used file descriptors.");
static struct metric fd_limit = GAUGE("os_fd_limit", "The file descriptor limit.");
static struct metric open_fds = GAUGE("process_open_fds", "Number of open file descriptors.");
static struct metric max_fds = GAUGE("process_max_fds", "Maximum number of open file descriptors.");
static struct metric virtual_bytes =
    GAUGE("process_virtual_memory_bytes", "Virtual memory size in bytes.");
static struct metric cpu_seconds =
    COUNTER("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
static struct metric start_seconds =
    GAUGE("process_start_time_seconds", "Start time of the process since unix epoch in seconds.");
static struct metric resident =
    GAUGE("process_resident_memory_bytes", "Resident memory size in bytes.");
static struct metric client_received =
    COUNTER("etcd_network_client_grpc_received_bytes_total",
            "The total number of bytes received from grpc clients.");
static struct metric client_sent = COUNTER("etcd_network_client_grpc_sent_bytes_total",
                                           "The total number of bytes sent to grpc clients.");
static struct metric version = {
    .name = "etcd_server_version",
    .help = "Which version is running. 1 for 'server_version' label with current version.",
    .type = METRIC_GAUGE,
    .labels = "server_version=\"" SERVER_VERSION "\""};
static struct metric own_version = {.name = "quorate_build_info",
                                    .help = "The engine and its version.",
                                    .type = METRIC_GAUGE,
                                    .labels = "version=\"" QUORATE_VERSION "\""};
static char server_id_label[48];
static struct metric server_id = {
    .name = "etcd_server_id",
    .help = "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.",
    .type = METRIC_GAUGE,
    .labels = server_id_label};
/* Shown once the cluster has agreed on it; not registered while its label changes. */
static char cluster_version_label[48];
static struct metric cluster_version = {
    .name = "etcd_cluster_version",
    .help = "Which version is running. 1 for 'cluster_version' label with current cluster version",
    .type = METRIC_GAUGE,
    .labels = cluster_version_label};
static int cluster_version_shown;

static struct metric *const ALL[] = {
    &METRIC_WAL_FSYNC_SECONDS,
    &METRIC_BACKEND_COMMIT_SECONDS,
    &METRIC_PROPOSALS_FAILED,
    &METRIC_LEADER_CHANGES,
    &METRIC_SLOW_APPLY,
    &METRIC_PUT_TOTAL,
    &METRIC_DELETE_TOTAL,
    &METRIC_RANGE_TOTAL,
    &METRIC_TXN_TOTAL,
    &METRIC_LEASE_GRANTED,
    &METRIC_LEASE_REVOKED,
    &METRIC_LEASE_RENEWED,
    &METRIC_LEASE_EXPIRED,
    &METRIC_HEALTH_SUCCESS,
    &METRIC_HEALTH_FAILURE,
    &has_leader,
    &is_leader,
    &is_learner,
    &committed,
    &applied,
    &pending,
    &quota,
    &db_total,
    &db_in_use,
    &revision_auth,
    &revision_now,
    &revision_compact,
    &keys_compacted,
    &put_bytes,
    &keys_total,
    &watchers,
    &watch_streams,
    &slow_watchers,
    &tail_bytes,
    &fd_used,
    &fd_limit,
    &resident,
    &open_fds,
    &max_fds,
    &virtual_bytes,
    &cpu_seconds,
    &start_seconds,
    &client_received,
    &client_sent,
    &version,
    &own_version,
    &server_id,
};

void metrics_start(struct server *server)
{
    snprintf(server_id_label, sizeof(server_id_label), "server_id=\"%llx\"",
             (unsigned long long)server->member_id);
    for (size_t i = 0; i < ARRAY_COUNT(ALL); i++) {
        metric_register(ALL[i]);
    }
    metrics_work_start(server->config);
    metric_set(&version, 1);
    metric_set(&own_version, 1);
    metric_set(&server_id, 1);
    int64_t bytes = server->config->quota_backend_bytes;
    metric_set(&quota, bytes == 0 ? CONFIG_QUOTA_DEFAULT : bytes);
}

void metrics_stop(void)
{
    metrics_work_stop();
    for (size_t i = 0; i < ARRAY_COUNT(ALL); i++) {
        metric_unregister(ALL[i]);
    }
    if (cluster_version_shown != 0) {
        metric_unregister(&cluster_version);
        cluster_version_shown = 0;
    }
}

static void refresh_cluster_version(struct server *server)
{
    int number = atomic_load(&server->shared.cluster_version);
    if (number == cluster_version_shown) {
        return;
    }
    if (cluster_version_shown != 0) {
        metric_unregister(&cluster_version);
    }
    cluster_version_shown = number;
    if (number != 0) {
        snprintf(cluster_version_label, sizeof(cluster_version_label), "cluster_version=\"%d.%d\"",
                 number / 1000, number % 1000);
        metric_set(&cluster_version, 1);
        metric_register(&cluster_version);
    }
}

static void refresh_process(void)
{
    struct process_usage usage;
    process_usage(&usage);
    struct {
        struct metric *metric;
        int64_t value;
    } known[] = {{&fd_used, usage.open_files},          {&fd_limit, usage.open_files_max},
                 {&open_fds, usage.open_files},         {&max_fds, usage.open_files_max},
                 {&virtual_bytes, usage.virtual_bytes}, {&cpu_seconds, usage.cpu_seconds},
                 {&start_seconds, usage.start_unix_s},  {&resident, usage.resident_bytes}};
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if (known[i].value >= 0) {
            metric_set(known[i].metric, known[i].value);
        }
    }
}

void metrics_refresh(struct server *server)
{
    struct raft_status status;
    struct mvcc_stats stats;
    struct watch_stats watch;
    raft_status(server->raft, &status);
    mvcc_stats_read(server->mvcc, &stats);
    watch_hub_stats(server->watch_hub, &watch);
    metric_set(&has_leader, status.leader != RAFT_NO_ID);
    metric_set(&is_leader, status.role == RAFT_LEADER);
    metric_set(&is_learner, atomic_load(&server->shared.is_learner));
    metric_set(&committed, (int64_t)status.commit_index);
    metric_set(&applied, (int64_t)server->applied_index);
    metric_set(&pending, (int64_t)server->waiters.count);
    metric_set(&db_total, (int64_t)server->store_file_bytes);
    metric_set(&db_in_use, (int64_t)server->store_used_bytes);
    metric_set(&revision_auth, (int64_t)auth_revision(server->auth));
    metric_set(&revision_now, mvcc_revision(server->mvcc));
    metric_set(&revision_compact, mvcc_compact_revision(server->mvcc));
    metric_set(&keys_compacted, (int64_t)stats.compacted_count);
    metric_set(&put_bytes, (int64_t)stats.put_bytes);
    metric_set(&keys_total, (int64_t)stats.live_count);
    metric_set(&tail_bytes, (int64_t)stats.tail_bytes);
    metric_set(&watchers, (int64_t)watch.watcher_count);
    metric_set(&watch_streams, (int64_t)watch.stream_count);
    metric_set(&slow_watchers, (int64_t)watch.slow_count);
    metrics_work_refresh(server);
    refresh_cluster_version(server);
    refresh_process();
}

void io_metrics_refresh(const struct server *server)
{
    struct grpc_stats rpc;
    grpc_server_stats(server->grpc, &rpc);
    metric_set(&client_received, (int64_t)rpc.received_bytes);
    metric_set(&client_sent, (int64_t)rpc.sent_bytes);
}
