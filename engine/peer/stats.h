/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted of each link, under etcd's names: `etcd_network_*`, as its dashboards ask for. */
#ifndef ENGINE_PEER_STATS_H
#define ENGINE_PEER_STATS_H

#include "base/metrics.h"
#include "engine/raft/types.h"

#define PEER_STAT_LABELS_MAX 64u

enum peer_stat {
    PEER_ACTIVE,
    PEER_DISCONNECTED,
    PEER_SENT_BYTES,
    PEER_RECEIVED_BYTES,
    PEER_SENT_FAILURES,
    PEER_RECEIVED_FAILURES,
    PEER_ROUND_TRIP_SECONDS,
    PEER_SNAPSHOT_SENT,
    PEER_SNAPSHOT_SEND_FAILURES,
    PEER_SNAPSHOT_SENDING,
    PEER_SNAPSHOT_SEND_SECONDS,
    PEER_SNAPSHOT_RECEIVED,
    PEER_SNAPSHOT_RECEIVE_FAILURES,
    PEER_SNAPSHOT_RECEIVING,
    PEER_SNAPSHOT_RECEIVE_SECONDS,
    PEER_STATS
};

/* Of one peer, for as long as there is a link to it. */
struct peer_stats {
    struct metric metrics[PEER_STATS];
    char both[PEER_STAT_LABELS_MAX], to[PEER_STAT_LABELS_MAX], from[PEER_STAT_LABELS_MAX];
    uint64_t asked_ns; /* when the heartbeat left whose answer is to come; 0: none did */
};

/* Of snapshots that come in, whoever sends them: the whole, and their flush. */
void peer_snapshot_stats_start(struct metric *saved_seconds, struct metric *synced_seconds);

void peer_stats_start(struct peer_stats *stats, uint64_t local, uint64_t remote);
void peer_stats_stop(struct peer_stats *stats);
void peer_stat_add(struct peer_stats *stats, enum peer_stat stat, int64_t delta);
void peer_stat_observe(struct peer_stats *stats, enum peer_stat stat, uint64_t ns);

/* A heartbeat and its answer are the round trip that is measured: nothing is sent for it. */
void peer_stats_sent(struct peer_stats *stats, enum raft_message_type type);
void peer_stats_received(struct peer_stats *stats, enum raft_message_type type);

#endif
