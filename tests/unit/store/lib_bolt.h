/* SPDX-License-Identifier: Apache-2.0 */
/* Stores with contents, files written from them, and what a file must look like. */
#ifndef TESTS_UNIT_STORE_LIB_BOLT_H
#define TESTS_UNIT_STORE_LIB_BOLT_H

#include "base/rng.h"
#include "engine/store/bolt.h"
#include "engine/store/lmdb_store.h"

#define PLACE_MAP_BYTES (1ull << 30)

/* A real file of etcd 3.4.23: 600 keys, updates, deletes, a lease, a 60 KB value, a user, a role,
 * compacted at 10, defragmented; HashKV and position as that etcd told them. */
#define REAL_FILE       QUORATE_SOURCE_DIR "/tests/data/bolt/etcd-3.4-snapshot.db"
#define REAL_HASH       4085723334u
#define REAL_RECORDS    623u
#define REAL_REVISION   21
#define REAL_COMPACTED  10
#define REAL_INDEX      28u
#define REAL_TOTAL_KEYS 632u /* of all buckets, as etcdctl counts */
#define VECTORS_DIR     QUORATE_SOURCE_DIR "/../shared/vectors"

/* A folder of its own with a store in it. */
struct place {
    char dir[128];
    char store_dir[160];
    struct lmdb_store *store;
    const struct store_seam *seam;
};

void place_open(struct place *place);
void place_close(struct place *place);

/* Gives "<dir>/<name>", in a ring of a few buffers. */
const char *place_path(const struct place *place, const char *name);

/* Removes a folder with the files in it. */
void remove_tree(const char *dir);

/* Commits the batch with consistent index and starts it anew. */
void place_commit(struct place *place, struct store_batch *batch, uint64_t index);

/* Records 1 to count in table key, revision i + 1, values of 0 to max_value_bytes. */
void place_fill_keys(struct place *place, uint32_t count, size_t max_value_bytes, uint64_t seed);

/* A few items in each other table. */
void place_fill_others(struct place *place);

/* Writes the store's view as a file, without sha256; its size must be the one announced. */
void write_file(const struct store_seam *seam, const char *path);

/* Whole contents of a file; mem_free. */
uint8_t *read_all(const char *path, size_t *out_size);
void write_all(const char *path, const void *data, size_t size);

/* Appends the sha256 of the file to it. */
void seal_file(const char *path);

/* The file gives exactly the items of the store (storageVersion excepted), in order. */
void expect_same(const struct store_seam *seam, const char *path);

/* As bbolt's own check: metas whole, every page in use exactly once, keys ascending and between
 * the keys of the branches, no branch with a single child. Gives how many leaves and branches. */
struct shape {
    uint32_t branches, leaves, depth;
    uint64_t pages;
};
void expect_sound(const char *path, struct shape *out_shape);

#endif
