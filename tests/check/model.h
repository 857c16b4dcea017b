/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replay's key space: every version of every key, the log of changes, and the keys that live
 * now. It grows by revisions and can be taken back to any earlier one. Keys are numbered in their
 * byte order (ranks), all known beforehand, so a range of keys is a range of ranks.
 */
#ifndef TESTS_CHECK_MODEL_H
#define TESTS_CHECK_MODEL_H

#include "base/map.h"
#include "tests/check/history.h"

#define MODEL_NO_KEY UINT32_MAX

/* One change of a key. */
struct model_version {
    int64_t revision, create_revision, version, lease;
    uint32_t value;
    bool is_delete;
};

struct model_key {
    struct model_version *versions; /* by revision */
    uint32_t count, capacity;
    uint32_t text;
};

/* One line of the log: which key changed; versions[version] of it tells how. */
struct model_change {
    int64_t revision;
    uint32_t key, version;
};

struct model_lease {
    int64_t id;
    uint32_t *keys; /* that were ever attached, possibly repeated */
    uint32_t key_count, key_capacity;
    uint32_t alive; /* keys attached now */
};

/* Ranks from lo to below hi. */
struct model_range {
    uint32_t lo, hi;
};

struct model {
    const struct history *history;
    struct model_key *keys;
    uint32_t *rank_of; /* by text */
    uint32_t *tree;    /* Fenwick tree over the living keys */
    struct model_change *log;
    struct model_lease *leases;
    struct map lease_index;
    uint32_t key_count, lease_count, alive;
    size_t log_count, log_capacity;
};

/* Collects all keys and leases of the history. */
void model_init(struct model *model, const struct history *history);
void model_free(struct model *model);

uint32_t model_rank(const struct model *model, uint32_t text);
struct model_range model_range_of(const struct model *model, uint32_t key, uint32_t range_end);
struct model_lease *model_lease(const struct model *model, int64_t id); /* NULL: never named */

/* The version of a key that is its state after that revision; NULL: none yet. */
const struct model_version *model_at(const struct model *model, uint32_t key, int64_t revision);
/* Its state now, or NULL when it does not live. */
const struct model_version *model_now(const struct model *model, uint32_t key);

/* Revisions must not decrease. A delete of what does not live is an error of the caller. */
void model_put(struct model *model, int64_t revision, uint32_t key, uint32_t value, int64_t lease);
void model_delete(struct model *model, int64_t revision, uint32_t key);
/* A change as somebody told it, whatever was there before. */
void model_force(struct model *model, uint32_t key, const struct model_version *version);
/* Undoes everything after that revision. */
void model_rewind(struct model *model, int64_t revision);

/* How many keys of the range live now. */
uint32_t model_count(const struct model *model, struct model_range range);
/* The first living key at or after from, MODEL_NO_KEY: none. */
uint32_t model_next(const struct model *model, uint32_t from);

/* Deletes what hangs on a lease, in key order; gives how many. */
uint32_t model_end_lease(struct model *model, int64_t revision, struct model_lease *lease);

#endif
