/* SPDX-License-Identifier: Apache-2.0 */
/* A key space on a store in a folder of its own, with batches, for the tests of this folder. */
#ifndef TESTS_UNIT_MVCC_LIB_WORLD_H
#define TESTS_UNIT_MVCC_LIB_WORLD_H

#include "engine/mvcc/mvcc.h"
#include "engine/store/lmdb_store.h"

struct world {
    char dir[128];
    struct lmdb_store *store;
    const struct store_seam *seam;
    struct mvcc *mvcc;
    struct store_batch batch;
};

/* Opens everything, in memory-backed files where the machine has them. hook may be NULL. */
void world_open(struct world *world, const struct mvcc_lease_hook *hook);

/* Commits the batch with this index, tells the mvcc, starts a new batch. */
void world_commit(struct world *world, uint64_t index);

/* Closes mvcc and store and opens both again; the batch is dropped. */
void world_reopen(struct world *world, const struct mvcc_lease_hook *hook);

/* Closes everything and removes the folder. */
void world_close(struct world *world);

/* One put or delete of a single key in a transaction of its own; gives the revision. */
int64_t world_put(struct world *world, const char *key, const char *value);
int64_t world_delete(struct world *world, const char *key);

/* Runs a started compaction to its end. */
void world_compact_all(struct world *world);

#endif
