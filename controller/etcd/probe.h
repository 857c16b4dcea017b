/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at all members of a cluster at once: Status, alarms, a linearizable read and the member
 * list, of each member in parallel, with one deadline. A slow or dead member costs the deadline, no
 * more.
 */
#ifndef CONTROLLER_ETCD_PROBE_H
#define CONTROLLER_ETCD_PROBE_H

#include "base/defs.h"
#include "controller/etcd/call.h"

#define ETCD_PROBE_MS 2000u

#define ETCD_ALARM_NOSPACE 1u
#define ETCD_ALARM_CORRUPT 2u

/* One entry of a member list. Borrows the probe. */
struct etcd_member {
    uint64_t id;
    const char *name; /* "": never started */
    const char *const *peer_urls;
    size_t peer_url_count;
    const char *const *client_urls;
    size_t client_url_count;
    bool is_learner;
};

/* An alarm that one member reports for some member. */
struct etcd_alarm {
    uint64_t member_id;
    uint32_t alarm; /* ETCD_ALARM_* */
};

/* What one member said. Borrows the probe. */
struct etcd_probed {
    bool reachable; /* Status was answered */
    bool healthy;   /* a linearizable read was answered */
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t leader_id;
    uint64_t term;
    uint64_t raft_index;
    uint64_t applied_index;
    int64_t revision;
    int64_t db_size_bytes;
    int64_t db_in_use_bytes;
    bool is_learner;
    const char *version; /* "" when not reachable */
    const char
        *cluster_version; /* what the cluster has decided, "3.6.0"; "": not told (up to 3.5) */
    const struct etcd_alarm *alarms;
    size_t alarm_count;
    /* The member list, when a quorum stood behind this member while it gave it. */
    bool has_members;
    const struct etcd_member *members;
    size_t member_count;
    const char *error; /* why it is not reachable; NULL: it is */
};

struct etcd_probe;

/* Starts. The endpoints are copied, their tls is borrowed. Gives the probe (etcd_probe_free). */
struct etcd_probe *etcd_probe_start(struct http *http, const struct etcd_endpoint *endpoints,
                                    size_t count, uint64_t timeout_ms);

/* True when every call has ended (the deadline ends those that hang). */
bool etcd_probe_done(const struct etcd_probe *probe);

/* Reads the answers of a done probe; gives count results in the order of the endpoints. Borrowed.
 */
const struct etcd_probed *etcd_probe_results(struct etcd_probe *probe, size_t *out_count);

void etcd_probe_free(struct etcd_probe *probe);

#endif
