/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of single pieces of work, under etcd's names: how long, how often, with which outcome.
 * Series with labels appear with their first observation, as Prometheus' client libraries do it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/server/internal.h"
#include "engine/server/metrics.h"
#include "engine/server/metrics_define.h"

#define LABELS_MAX         96u
#define APPLY_OPS_MAX      24u
#define CLIENT_SERIES_MAX  16u /* versions are the clients' own words: no more of them are kept */
#define CLIENT_VERSION_MAX 16u
#define HEALTH_SERIES_MAX  8u
#define KNOWN_PEERS_MAX    128u /* members over the life of the process; more of them are not shown \
                                 */

/* Doubling, as etcd lays its buckets out. */
static const double BOUNDS_100US[] = {0.0001, 0.0002, 0.0004, 0.0008,  0.0016,  0.0032, 0.0064,
                                      0.0128, 0.0256, 0.0512, 0.1024,  0.2048,  0.4096, 0.8192,
                                      1.6384, 3.2768, 6.5536, 13.1072, 26.2144, 52.4288};
static const double BOUNDS_10MS[] = {0.01, 0.02,  0.04,  0.08,  0.16,  0.32,   0.64,   1.28,  2.56,
                                     5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36};
static const double BOUNDS_100MS[] = {0.1,  0.2,  0.4,  0.8,   1.6,   3.2,  6.4,
                                      12.8, 25.6, 51.2, 102.4, 204.8, 409.6};
static const double BOUNDS_100[] = {100,   200,   400,   800,    1600,   3200,   6400,
                                    12800, 25600, 51200, 102400, 204800, 409600, 819200};
static const double BOUNDS_HALF[] = {0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
static const double BOUNDS_1[] = {
    1,    2,    4,     8,     16,    32,     64,     128,    256,     512,     1024,    2048,
    4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576, 2097152, 4194304, 8388608};

struct metric METRIC_LEASE_TTL =
    HISTOGRAM("etcd_debugging_lease_ttl_total", "Bucketed histogram of lease TTLs.", BOUNDS_1, 24);
struct metric METRIC_COMPACTION_LAST =
    GAUGE("etcd_debugging_mvcc_db_compaction_last",
          "The unix time of the last db compaction. Resets to 0 on start.");
struct metric METRIC_COMPACTION_MS =
    HISTOGRAM("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
              "Bucketed histogram of db compaction total duration.", BOUNDS_100, 14);
/* One walk over the index trims both, so its slices are the pauses of both. */
struct metric METRIC_COMPACTION_INDEX_PAUSE_MS =
    HISTOGRAM("etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
              "Bucketed histogram of index compaction pause duration.", BOUNDS_HALF, 14);
struct metric METRIC_COMPACTION_PAUSE_MS =
    HISTOGRAM("etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
              "Bucketed histogram of db compaction pause duration.", BOUNDS_1, 13);
struct metric METRIC_EVENTS_TOTAL =
    COUNTER("etcd_debugging_mvcc_events_total", "Total number of events sent by this member.");
struct metric METRIC_PENDING_EVENTS =
    GAUGE("etcd_debugging_mvcc_pending_events_total", "Total number of pending events to be sent.");
struct metric METRIC_DEFRAG_SECONDS =
    HISTOGRAM("etcd_disk_backend_defrag_duration_seconds",
              "The latency distribution of backend defragmentation.", BOUNDS_100MS, 13);
struct metric METRIC_DEFRAG_INFLIGHT =
    GAUGE("etcd_disk_defrag_inflight",
          "Whether or not defrag is active on the member. 1 means active, 0 means not.");
struct metric METRIC_SNAPSHOT_SECONDS =
    HISTOGRAM("etcd_disk_backend_snapshot_duration_seconds",
              "The latency distribution of backend snapshots.", BOUNDS_10MS, 17);
struct metric METRIC_WAL_WRITE_SECONDS = DISK_HISTOGRAM(
    "etcd_disk_wal_write_duration_seconds", "The latency distributions of write called by WAL.");
struct metric METRIC_WAL_WRITE_BYTES =
    GAUGE("etcd_disk_wal_write_bytes_total", "Total number of bytes written in WAL.");
struct metric METRIC_HASH_SECONDS =
    HISTOGRAM("etcd_mvcc_hash_duration_seconds",
              "The latency distribution of storage hash operation.", BOUNDS_10MS, 15);
struct metric METRIC_HASH_REV_SECONDS =
    HISTOGRAM("etcd_mvcc_hash_rev_duration_seconds",
              "The latency distribution of storage hash by revision operation.", BOUNDS_10MS, 15);
struct metric METRIC_HEARTBEAT_FAILURES =
    COUNTER("etcd_server_heartbeat_send_failures_total",
            "The total number of leader heartbeat send failures (likely overloaded from slow "
            "disk).");
struct metric METRIC_PROMOTE_SUCCESSES =
    COUNTER("etcd_server_learner_promote_successes",
            "The total number of successful learner promotions while this member is leader.");
struct metric METRIC_READ_INDEXES_FAILED = COUNTER("etcd_server_read_indexes_failed_total",
                                                   "The total number of failed read indexes seen.");
struct metric METRIC_READ_INDEXES_SLOW =
    COUNTER("etcd_server_slow_read_indexes_total",
            "The total number of pending read indexes not in sync with leader's or timed out read "
            "index requests.");
struct metric METRIC_SNAPSHOT_INSTALLING =
    GAUGE("etcd_server_snapshot_apply_in_progress_total",
          "1 if the server is applying the incoming snapshot. 0 if none.");
struct metric METRIC_SNAP_SAVE_SECONDS =
    DISK_HISTOGRAM("etcd_debugging_snap_save_total_duration_seconds",
                   "The total latency distributions of save called by snapshot.");
struct metric METRIC_OPEN_READS =
    GAUGE("etcd_mvcc_db_open_read_transactions", "The number of currently open read transactions");

static struct metric *const ALL[] = {
    &METRIC_LEASE_TTL,           &METRIC_COMPACTION_LAST,    &METRIC_COMPACTION_MS,
    &METRIC_DEFRAG_SECONDS,      &METRIC_DEFRAG_INFLIGHT,    &METRIC_SNAPSHOT_SECONDS,
    &METRIC_WAL_WRITE_SECONDS,   &METRIC_WAL_WRITE_BYTES,    &METRIC_HASH_SECONDS,
    &METRIC_HASH_REV_SECONDS,    &METRIC_HEARTBEAT_FAILURES, &METRIC_PROMOTE_SUCCESSES,
    &METRIC_READ_INDEXES_FAILED, &METRIC_READ_INDEXES_SLOW,  &METRIC_SNAPSHOT_INSTALLING,
    &METRIC_SNAP_SAVE_SECONDS,   &METRIC_OPEN_READS,         &METRIC_COMPACTION_INDEX_PAUSE_MS,
    &METRIC_COMPACTION_PAUSE_MS, &METRIC_EVENTS_TOTAL,       &METRIC_PENDING_EVENTS,
};

/* ---- series with labels ---- */

struct series {
    struct metric metric;
    char labels[LABELS_MAX];
};

/* Each array belongs to one thread. */
static struct series apply_series[2 * APPLY_OPS_MAX];
static struct series range_series[2];
static struct series client_series[CLIENT_SERIES_MAX];
static struct series health_now[HEALTH_SERIES_MAX], health_total[2 * HEALTH_SERIES_MAX];
static struct series features[FEATURE_COUNT];
static struct series known_peers[KNOWN_PEERS_MAX];

/* The series with these labels, new if there is room; NULL: there is none. */
static struct metric *series_of(struct series *array, size_t count, const struct metric *model,
                                const char *labels)
{
    for (size_t i = 0; i < count; i++) {
        struct series *series = &array[i];
        if (series->labels[0] == '\0') {
            snprintf(series->labels, LABELS_MAX, "%s", labels);
            series->metric.name = model->name;
            series->metric.help = model->help;
            series->metric.type = model->type;
            series->metric.bounds = model->bounds;
            series->metric.bound_count = model->bound_count;
            series->metric.labels = series->labels;
            metric_register(&series->metric);
        }
        if (strcmp(series->labels, labels) == 0) {
            return &series->metric;
        }
    }
    return NULL;
}

void metrics_observe_apply(const char *op, bool success, uint64_t ns)
{
    static const struct metric model =
        HISTOGRAM("etcd_server_apply_duration_seconds",
                  "The latency distributions of v2 apply called by backend.", BOUNDS_100US, 20);
    static struct {
        const char *op;
        struct metric *by_success[2];
    } known[APPLY_OPS_MAX]; /* texts are compared once per literal */
    char labels[LABELS_MAX];
    size_t at = 0;
    while (at < APPLY_OPS_MAX && known[at].op != NULL && known[at].op != op) {
        at++;
    }
    if (at == APPLY_OPS_MAX) {
        return;
    }
    known[at].op = op;
    struct metric **metric = &known[at].by_success[success ? 1 : 0];
    if (*metric == NULL) {
        snprintf(labels, sizeof(labels), "op=\"%s\",success=\"%s\",version=\"v3\"", op,
                 success ? "true" : "false");
        *metric = series_of(apply_series, ARRAY_COUNT(apply_series), &model, labels);
    }
    if (*metric != NULL) {
        metric_observe(*metric, ns);
    }
}

void metrics_observe_range(bool success, uint64_t ns)
{
    static const struct metric model =
        HISTOGRAM("etcd_server_range_duration_seconds", "The latency distributions of txn.Range",
                  BOUNDS_100US, 20);
    metric_observe(series_of(range_series, ARRAY_COUNT(range_series), &model,
                             success ? "success=\"true\"" : "success=\"false\""),
                   ns);
}

/* What would break the text, or is too long, counts as unknown. */
static bool is_plain_version(const char *version)
{
    size_t size = strlen(version);
    return size > 0 && size <= CLIENT_VERSION_MAX &&
           strspn(version, "0123456789abcdefghijklmnopqrstuvwxyz.-+") == size;
}

void metrics_count_client(const char *version, bool is_stream)
{
    static const struct metric model =
        COUNTER("etcd_server_client_requests_total",
                "The total number of client requests per client version.");
    char labels[LABELS_MAX];
    const char *name = version != NULL && is_plain_version(version) ? version : "unknown";
    snprintf(labels, sizeof(labels), "client_api_version=\"%s\",type=\"%s\"", name,
             is_stream ? "stream" : "unary");
    struct metric *metric = series_of(client_series, CLIENT_SERIES_MAX, &model, labels);
    if (metric != NULL) {
        metric_add(metric, 1);
    }
}

void metrics_count_check(const char *type, const char *name, bool success)
{
    static const struct metric now =
        GAUGE("etcd_server_healthcheck", "The result of each kind of healthcheck.");
    static const struct metric total =
        COUNTER("etcd_server_healthchecks_total", "The total number of each kind of healthcheck.");
    char labels[LABELS_MAX];
    snprintf(labels, sizeof(labels), "name=\"%s\",type=\"%s\"", name, type);
    struct metric *metric = series_of(health_now, HEALTH_SERIES_MAX, &now, labels);
    metric_set(metric, success ? 1 : 0);
    snprintf(labels, sizeof(labels), "name=\"%s\",status=\"%s\",type=\"%s\"", name,
             success ? "success" : "error", type);
    metric = series_of(health_total, 2 * HEALTH_SERIES_MAX, &total, labels);
    metric_add(metric, 1);
}

static void show_features(const struct server_config *config)
{
    static const struct metric model =
        GAUGE("etcd_server_feature_enabled",
              "Whether or not a feature is enabled. 1 is enabled, 0 is not.");
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        const struct feature_spec *spec = &FEATURE_SPECS[i];
        char labels[LABELS_MAX];
        snprintf(labels, sizeof(labels), "name=\"%s\",stage=\"%s\"", spec->name,
                 spec->stage == FEATURE_ALPHA ? "ALPHA" : "BETA");
        metric_set(series_of(features, FEATURE_COUNT, &model, labels), config->features[i]);
    }
}

void metrics_work_start(const struct server_config *config)
{
    for (size_t i = 0; i < ARRAY_COUNT(ALL); i++) {
        metric_register(ALL[i]);
    }
    show_features(config);
}

void metrics_work_stop(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(ALL); i++) {
        metric_unregister(ALL[i]);
    }
}

/* 1 for each member, this one too, and 0 for those that were. */
static void show_known_peers(const struct server *server)
{
    static const struct metric model =
        GAUGE("etcd_network_known_peers", "The current number of known peers.");
    char labels[LABELS_MAX];
    for (size_t i = 0; i < KNOWN_PEERS_MAX; i++) {
        metric_set(&known_peers[i].metric, 0);
    }
    for (size_t i = 0; i < membership_count(server->membership); i++) {
        snprintf(labels, sizeof(labels), "Local=\"%" PRIx64 "\",Remote=\"%" PRIx64 "\"",
                 server->member_id, membership_at(server->membership, i)->id);
        struct metric *metric = series_of(known_peers, KNOWN_PEERS_MAX, &model, labels);
        if (metric != NULL) {
            metric_set(metric, 1);
        }
    }
}

void metrics_work_refresh(const struct server *server)
{
    show_known_peers(server);
    metric_set(&METRIC_SNAPSHOT_INSTALLING, server->installing);
    metric_set(&METRIC_OPEN_READS, (int64_t)server->snapshot_jobs_count);
}
