/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of links. */
#include "engine/peer/stats.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/defs.h"
#include "base/net/loop.h"

#define PREFIX         "etcd_network_"
#define ASKED_MAX_NS   5000000000u /* an answer that has not come by then was lost */
#define TRIP_BOUNDS    16u
#define SECONDS_BOUNDS 10u

enum labels { OF_BOTH, OF_TO, OF_FROM };

static const double BOUNDS_TRIP[TRIP_BOUNDS] = {0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032,
                                                0.0064, 0.0128, 0.0256, 0.0512, 0.1024, 0.2048,
                                                0.4096, 0.8192, 1.6384, 3.2768};
static const double BOUNDS_SECONDS[SECONDS_BOUNDS] = {0.1, 0.2, 0.4,  0.8,  1.6,
                                                      3.2, 6.4, 12.8, 25.6, 51.2};

static const struct {
    const char *name;
    const char *help;
    enum metric_type type;
    enum labels labels;
    const double *bounds;
    size_t bound_count;
} STATS[PEER_STATS] = {
    [PEER_ACTIVE] = {PREFIX "active_peers", "The current number of active peer connections.",
                     METRIC_GAUGE, OF_BOTH, NULL, 0},
    [PEER_DISCONNECTED] = {PREFIX "disconnected_peers_total",
                           "The total number of disconnected peers.", METRIC_COUNTER, OF_BOTH, NULL,
                           0},
    [PEER_SENT_BYTES] = {PREFIX "peer_sent_bytes_total", "The total number of bytes sent to peers.",
                         METRIC_COUNTER, OF_TO, NULL, 0},
    [PEER_RECEIVED_BYTES] = {PREFIX "peer_received_bytes_total",
                             "The total number of bytes received from peers.", METRIC_COUNTER,
                             OF_FROM, NULL, 0},
    [PEER_SENT_FAILURES] = {PREFIX "peer_sent_failures_total",
                            "The total number of send failures from peers.", METRIC_COUNTER, OF_TO,
                            NULL, 0},
    [PEER_RECEIVED_FAILURES] = {PREFIX "peer_received_failures_total",
                                "The total number of receive failures from peers.", METRIC_COUNTER,
                                OF_FROM, NULL, 0},
    [PEER_ROUND_TRIP_SECONDS] = {PREFIX "peer_round_trip_time_seconds",
                                 "Round-Trip-Time histogram between peers", METRIC_HISTOGRAM, OF_TO,
                                 BOUNDS_TRIP, TRIP_BOUNDS},
    [PEER_SNAPSHOT_SENT] = {PREFIX "snapshot_send_success",
                            "Total number of successful snapshot sends", METRIC_COUNTER, OF_TO,
                            NULL, 0},
    [PEER_SNAPSHOT_SEND_FAILURES] = {PREFIX "snapshot_send_failures",
                                     "Total number of snapshot send failures", METRIC_COUNTER,
                                     OF_TO, NULL, 0},
    [PEER_SNAPSHOT_SENDING] = {PREFIX "snapshot_send_inflights_total",
                               "Total number of inflight snapshot sends", METRIC_GAUGE, OF_TO, NULL,
                               0},
    [PEER_SNAPSHOT_SEND_SECONDS] = {PREFIX "snapshot_send_total_duration_seconds",
                                    "Total latency distributions of v3 snapshot sends",
                                    METRIC_HISTOGRAM, OF_TO, BOUNDS_SECONDS, SECONDS_BOUNDS},
    [PEER_SNAPSHOT_RECEIVED] = {PREFIX "snapshot_receive_success",
                                "Total number of successful snapshot receives", METRIC_COUNTER,
                                OF_FROM, NULL, 0},
    [PEER_SNAPSHOT_RECEIVE_FAILURES] = {PREFIX "snapshot_receive_failures",
                                        "Total number of snapshot receive failures", METRIC_COUNTER,
                                        OF_FROM, NULL, 0},
    [PEER_SNAPSHOT_RECEIVING] = {PREFIX "snapshot_receive_inflights_total",
                                 "Total number of inflight snapshot receives", METRIC_GAUGE,
                                 OF_FROM, NULL, 0},
    [PEER_SNAPSHOT_RECEIVE_SECONDS] = {PREFIX "snapshot_receive_total_duration_seconds",
                                       "Total latency distributions of v3 snapshot receives",
                                       METRIC_HISTOGRAM, OF_FROM, BOUNDS_SECONDS, SECONDS_BOUNDS},
};

void peer_snapshot_stats_start(struct metric *saved_seconds, struct metric *synced_seconds)
{
    *saved_seconds = (struct metric){.name = "etcd_snap_db_save_total_duration_seconds",
                                     .help = "The total latency distributions of v3 snapshot save",
                                     .type = METRIC_HISTOGRAM,
                                     .bounds = BOUNDS_SECONDS,
                                     .bound_count = SECONDS_BOUNDS};
    *synced_seconds = (struct metric){.name = "etcd_snap_db_fsync_duration_seconds",
                                      .help = "The latency distributions of fsyncing .snap.db file",
                                      .type = METRIC_HISTOGRAM,
                                      .bounds = METRIC_BOUNDS_DISK,
                                      .bound_count = ARRAY_COUNT(METRIC_BOUNDS_DISK)};
    metric_register(saved_seconds);
    metric_register(synced_seconds);
}

void peer_stats_start(struct peer_stats *stats, uint64_t local, uint64_t remote)
{
    *stats = (struct peer_stats){0};
    snprintf(stats->both, sizeof(stats->both), "Local=\"%" PRIx64 "\",Remote=\"%" PRIx64 "\"",
             local, remote);
    snprintf(stats->to, sizeof(stats->to), "To=\"%" PRIx64 "\"", remote);
    snprintf(stats->from, sizeof(stats->from), "From=\"%" PRIx64 "\"", remote);
    const char *const texts[] = {
        [OF_BOTH] = stats->both, [OF_TO] = stats->to, [OF_FROM] = stats->from};
    for (size_t i = 0; i < PEER_STATS; i++) {
        struct metric *metric = &stats->metrics[i];
        metric->name = STATS[i].name;
        metric->help = STATS[i].help;
        metric->type = STATS[i].type;
        metric->bounds = STATS[i].bounds;
        metric->bound_count = STATS[i].bound_count;
        metric->labels = texts[STATS[i].labels];
        metric_register(metric);
    }
}

void peer_stats_stop(struct peer_stats *stats)
{
    for (size_t i = 0; i < PEER_STATS; i++) {
        metric_unregister(&stats->metrics[i]);
    }
}

void peer_stat_add(struct peer_stats *stats, enum peer_stat stat, int64_t delta)
{
    metric_add(&stats->metrics[stat], delta);
}

void peer_stat_observe(struct peer_stats *stats, enum peer_stat stat, uint64_t ns)
{
    metric_observe(&stats->metrics[stat], ns);
}

void peer_stats_sent(struct peer_stats *stats, enum raft_message_type type)
{
    if (type != RAFT_MSG_HEARTBEAT) {
        return;
    }
    uint64_t now_ns = loop_clock_ns();
    if (stats->asked_ns == 0 || now_ns - stats->asked_ns > ASKED_MAX_NS) {
        stats->asked_ns = now_ns;
    }
}

void peer_stats_received(struct peer_stats *stats, enum raft_message_type type)
{
    if (type == RAFT_MSG_HEARTBEAT_RESP && stats->asked_ns != 0) {
        peer_stat_observe(stats, PEER_ROUND_TRIP_SECONDS, loop_clock_ns() - stats->asked_ns);
        stats->asked_ns = 0;
    }
}
