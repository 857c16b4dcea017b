/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A correct etcd of one copy, written apart from the checker: a plain store, and a world around it
 * of clients that overlap, lose answers or crash, of watches, leases and compactions. From a seed
 * it gives a history that breaks nothing.
 */
#ifndef TESTS_UNIT_CHECK_LIB_ETCD_H
#define TESTS_UNIT_CHECK_LIB_ETCD_H

#include "base/rng.h"
#include "tests/check/history.h"

#define ETCD_KEYS_MAX   16
#define ETCD_LEASES_MAX 64
#define ETCD_KVS_MAX    64

struct etcd_version {
    int64_t revision, create_revision, version, lease;
    uint32_t value;
    uint32_t order; /* of all changes ever */
    bool is_delete;
};

struct etcd_key {
    uint32_t text;
    struct etcd_version *versions;
    size_t count, capacity;
};

struct etcd_lease {
    int64_t id, ttl;
    uint64_t deadline_ns;
    bool lives;
};

struct etcd {
    struct history *history; /* for texts */
    struct arena *arena;     /* for answers */
    struct etcd_key keys[ETCD_KEYS_MAX];
    int key_count;
    struct etcd_lease leases[ETCD_LEASES_MAX];
    int lease_count;
    int64_t revision, compacted;
    uint32_t changes;
};

void etcd_init(struct etcd *etcd, struct history *history, struct arena *arena, int key_count);
void etcd_free(struct etcd *etcd);

/* Does it now, or reads as of at_revision (serializable; 0: now). Gives how it ended. */
enum history_error etcd_do(struct etcd *etcd, const struct history_request *request,
                           uint64_t now_ns, int64_t at_revision, struct history_response *out);
/* Ends one lease whose time has come; false: there is none. */
bool etcd_expire(struct etcd *etcd, uint64_t now_ns);

/* The version of a key after a revision, or NULL. */
const struct etcd_version *etcd_at(const struct etcd_key *key, int64_t revision);

/* Is the key of that number in the range? */
bool etcd_in_range(const struct etcd *etcd, int key, uint32_t from, uint32_t range_end);

struct world_options {
    uint32_t operations, clients, keys;
    uint32_t unknown_percent;
    bool full_watch; /* one watch over everything from revision 1, never broken */
};

/* Runs a world and records it. */
void world_run(uint64_t seed, const struct world_options *options, struct history *out);

#endif
