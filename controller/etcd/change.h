/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of etcd's membership and leadership, one blocking call each, and what is read beside
 * them. A change that is there already is a success. E_TIMEOUT means that the outcome is not known.
 */
#ifndef CONTROLLER_ETCD_CHANGE_H
#define CONTROLLER_ETCD_CHANGE_H

#include "base/defs.h"
#include "base/err.h"
#include "controller/etcd/call.h"

#define ETCD_CHANGE_MS 2000u
#define ETCD_CHECK_MS  1000u

/* E_CONFLICT when the member at endpoint serves another cluster than cluster_id. */
BASE_MUST_CHECK int etcd_check_cluster(struct http *http, const struct etcd_endpoint *endpoint,
                                       uint64_t cluster_id, struct err *err);

/* Adds a learner with that peer address. 0 too when a member with it exists already. */
BASE_MUST_CHECK int etcd_add_learner(struct http *http, const struct etcd_endpoint *endpoint,
                                     const char *peer_url, struct err *err);

/* Promotes a learner. 0 too when it is a voter already; E_AGAIN when it has not caught up yet. */
BASE_MUST_CHECK int etcd_promote(struct http *http, const struct etcd_endpoint *endpoint,
                                 uint64_t member_id, struct err *err);

/* Removes a member. 0 too when it is gone already. */
BASE_MUST_CHECK int etcd_remove(struct http *http, const struct etcd_endpoint *endpoint,
                                uint64_t member_id, struct err *err);

/* Hands leadership to target_id; endpoint must be the leader, else E_CONFLICT. */
BASE_MUST_CHECK int etcd_move_leader(struct http *http, const struct etcd_endpoint *endpoint,
                                     uint64_t target_id, struct err *err);

/* A hash over all keys up to revision (0: the newest), comparable between members. */
struct etcd_hash {
    uint32_t hash;
    int64_t revision;         /* of the member now */
    int64_t compact_revision; /* hashes of different compactions differ */
};
BASE_MUST_CHECK int etcd_hash_kv(struct http *http, const struct etcd_endpoint *endpoint,
                                 int64_t revision, struct etcd_hash *out_hash, struct err *err);

#endif
