/* SPDX-License-Identifier: Apache-2.0 */
/* See lib_world.h. */
#include "lib_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define MAP_BYTES (UINT64_C(4) << 30)

static void open_both(struct world *world, const struct mvcc_lease_hook *hook)
{
    struct err err = {{0}};
    if (lmdb_store_open(world->dir, MAP_BYTES, &world->store, &err) != 0) {
        fail_msg("%s", err.text);
    }
    world->seam = lmdb_store_seam(world->store);
    if (mvcc_open(world->seam, hook, &world->mvcc, &err) != 0) {
        fail_msg("%s", err.text);
    }
    store_batch_init(&world->batch);
}

static void close_both(struct world *world)
{
    mvcc_close(world->mvcc);
    store_batch_free(&world->batch);
    lmdb_store_close(world->store);
}

void world_open(struct world *world, const struct mvcc_lease_hook *hook)
{
    const char *base = getenv("MVCC_TEST_DIR"); /* a real disk, for figures */
    if (base == NULL) {
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    }
    snprintf(world->dir, sizeof(world->dir), "%s/mvcc-test-XXXXXX", base);
    assert_non_null(mkdtemp(world->dir));
    open_both(world, hook);
}

void world_commit(struct world *world, uint64_t index)
{
    struct err err = {{0}};
    world->batch.consistent_index = index;
    world->batch.term = 1;
    if (world->seam->commit(world->seam->ctx, &world->batch, &err) != 0) {
        fail_msg("%s", err.text);
    }
    mvcc_persisted(world->mvcc, world->batch.revision);
    store_batch_free(&world->batch);
}

void world_reopen(struct world *world, const struct mvcc_lease_hook *hook)
{
    close_both(world);
    open_both(world, hook);
}

void world_close(struct world *world)
{
    static const char *const FILES[] = {"quorate.lmdb", "quorate.lmdb-lock"};
    close_both(world);
    for (size_t i = 0; i < ARRAY_COUNT(FILES); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", world->dir, FILES[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(world->dir), 0);
}

int64_t world_put(struct world *world, const char *key, const char *value)
{
    mvcc_txn_begin(world->mvcc, &world->batch);
    mvcc_txn_put(world->mvcc, bytes_of_str(key), bytes_of_str(value), 0);
    return mvcc_txn_end(world->mvcc);
}

int64_t world_delete(struct world *world, const char *key)
{
    struct key_span span = key_span_of(bytes_of_str(key), (struct bytes){NULL, 0});
    mvcc_txn_begin(world->mvcc, &world->batch);
    (void)mvcc_txn_delete(world->mvcc, &span);
    return mvcc_txn_end(world->mvcc);
}

void world_compact_all(struct world *world)
{
    while (!mvcc_compact_slice(world->mvcc, &world->batch, 100)) {
    }
}
