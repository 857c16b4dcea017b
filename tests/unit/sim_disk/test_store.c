/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator's store: the same batches go into it and into the one on LMDB, and every view of
 * both reads the same. Then what only the simulated disk can do: kills, power cuts, full disks,
 * failing ones.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "lib_disk_world.h"
#include "tests/sim/store_tree.h"

#define MAP_BYTES (256u << 20)
#define PINS      6u

/* ---- the tree by itself ---- */

static void put_number(uint8_t *key, uint64_t number)
{
    put_be64(key, number);
}

static void a_tree_stays_sound_and_what_was_shared_stays_as_it_was(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    struct store_tree tree = {NULL, 0};
    struct store_tree old = {NULL, 0};
    bool there[3000] = {false};
    bool old_there[3000] = {false};
    for (unsigned i = 0; i < 60000; i++) {
        uint64_t span = i / 10000 % 2 == 0 ? 3000 : 600; /* grows, shrinks */
        uint64_t number = rng_below(&rng, span);
        uint8_t key[8];
        size_t size = 0;
        put_number(key, number);
        if (rng_below(&rng, 10) < (i / 10000 % 2 == 0 ? 7u : 2u)) {
            assert_int_equal(tree_put(&tree, bytes_of(key, 8), bytes_of(key, number % 9), &size),
                             there[number]);
            there[number] = true;
        } else {
            assert_int_equal(tree_remove(&tree, bytes_of(key, 8), &size), there[number]);
            there[number] = false;
        }
        if (i % 500 == 0) {
            assert_true(tree_is_sound(&tree));
            assert_true(tree_is_sound(&old));
            struct bytes value;
            for (uint64_t at = 0; at < 3000; at++) {
                put_number(key, at);
                assert_int_equal(tree_get(&old, bytes_of(key, 8), &value), old_there[at]);
            }
            tree_drop(&old);
            old = tree_share(&tree);
            memcpy(old_there, there, sizeof(there));
        }
    }
    for (uint64_t at = 0; at < 3000; at++) {
        uint8_t key[8];
        size_t size;
        put_number(key, at);
        (void)tree_remove(&tree, bytes_of(key, 8), &size);
    }
    assert_true(tree_is_sound(&tree));
    assert_null(tree.root);
    tree_drop(&old);
}

/* ---- beside LMDB ---- */

struct side {
    struct lmdb_store *store;
    const struct store_seam *seam;
};

struct pair {
    struct disk_world world;
    struct rng rng;
    char dir[64];
    struct side real, sim;
    struct store_view *pins[PINS][2];
    uint64_t revision;
    uint64_t index;
};

static void pair_open(struct pair *pair)
{
    struct err err = {""};
    if (lmdb_store_open(pair->dir, MAP_BYTES, &pair->real.store, &err) != 0 ||
        sim_store_open("/d", MAP_BYTES, &pair->sim.store, &err) != 0) {
        fail_msg("%s", err.text);
    }
    pair->real.seam = lmdb_store_seam(pair->real.store);
    pair->sim.seam = sim_store_seam(pair->sim.store);
}

static void pins_drop(struct pair *pair)
{
    for (size_t i = 0; i < PINS; i++) {
        if (pair->pins[i][0] != NULL) {
            pair->real.seam->view_end(pair->pins[i][0]);
            pair->sim.seam->view_end(pair->pins[i][1]);
            pair->pins[i][0] = pair->pins[i][1] = NULL;
        }
    }
}

static void assert_same_item(int real_rc, const struct store_item *real, int sim_rc,
                             const struct store_item *sim)
{
    assert_int_equal(real_rc, sim_rc);
    if (real_rc == 0) {
        assert_true(bytes_equal(real->key, sim->key));
        assert_true(bytes_equal(real->value, sim->value));
    }
}

static void assert_same_table(const struct pair *pair, struct store_view *const *views,
                              enum store_table table, struct bytes from)
{
    struct store_item real;
    struct store_item sim;
    int real_rc = pair->real.seam->view_seek(views[0], table, from, &real);
    int sim_rc = pair->sim.seam->view_seek(views[1], table, from, &sim);
    assert_same_item(real_rc, &real, sim_rc, &sim);
    while (real_rc == 0) {
        real_rc = pair->real.seam->view_next(views[0], table, &real);
        sim_rc = pair->sim.seam->view_next(views[1], table, &sim);
        assert_same_item(real_rc, &real, sim_rc, &sim);
    }
}

static size_t random_key(struct pair *pair, enum store_table table, uint8_t *key)
{
    if (table == STORE_KEY) {
        put_be64(key, 1 + rng_below(&pair->rng, pair->revision + 2));
        key[8] = '_';
        put_be64(key + 9, 0);
        return 17;
    }
    size_t size = (size_t)rng_below(&pair->rng, 3) + 1;
    for (size_t i = 0; i < size; i++) {
        key[i] = (uint8_t)('a' + rng_below(&pair->rng, 6));
    }
    if (rng_below(&pair->rng, 10) == 0) {
        memset(key + size, 'z', STORE_KEY_BYTES_MAX - size);
        size = STORE_KEY_BYTES_MAX;
    }
    return size;
}

static void assert_same_views(struct pair *pair, struct store_view *const *views)
{
    for (unsigned table = 0; table < STORE_TABLE_COUNT; table++) {
        assert_same_table(pair, views, (enum store_table)table, (struct bytes){NULL, 0});
        for (unsigned i = 0; i < 4; i++) {
            uint8_t key[STORE_KEY_BYTES_MAX];
            struct bytes from = bytes_of(key, random_key(pair, (enum store_table)table, key));
            struct bytes real;
            struct bytes sim;
            assert_same_table(pair, views, (enum store_table)table, from);
            int rc = pair->real.seam->view_get(views[0], (enum store_table)table, from, &real);
            assert_int_equal(
                pair->sim.seam->view_get(views[1], (enum store_table)table, from, &sim), rc);
            assert_true(rc != 0 || bytes_equal(real, sim));
        }
    }
}

static void pin_step(struct pair *pair)
{
    struct store_view **pin = pair->pins[rng_below(&pair->rng, PINS)];
    if (pin[0] != NULL) {
        assert_same_views(pair, pin);
        pair->real.seam->view_end(pin[0]);
        pair->sim.seam->view_end(pin[1]);
        pin[0] = pin[1] = NULL;
    } else {
        assert_int_equal(pair->real.seam->view_begin(pair->real.seam->ctx, &pin[0]), 0);
        assert_int_equal(pair->sim.seam->view_begin(pair->sim.seam->ctx, &pin[1]), 0);
    }
}

static void batch_fill(struct pair *pair, struct store_batch *batch)
{
    static uint8_t value[9000];
    uint64_t ops = rng_below(&pair->rng, 30);
    memset(value, (int)rng_below(&pair->rng, 255), sizeof(value));
    for (uint64_t i = 0; i < ops; i++) {
        uint8_t key[STORE_KEY_BYTES_MAX];
        enum store_table table = (enum store_table)rng_below(&pair->rng, STORE_TABLE_COUNT);
        table = rng_below(&pair->rng, 2) == 0 ? STORE_KEY : table;
        size_t key_size = random_key(pair, table, key);
        uint64_t limit = rng_below(&pair->rng, 20) == 0 ? sizeof(value) : 300;
        struct bytes bytes = bytes_of(value, (size_t)rng_below(&pair->rng, limit));
        if (table == STORE_KEY && rng_below(&pair->rng, 3) != 0) {
            put_be64(key, ++pair->revision); /* as revisions come: ascending */
        }
        if (rng_below(&pair->rng, 4) == 0) {
            store_batch_remove(batch, table, bytes_of(key, key_size));
        } else {
            store_batch_put(batch, table, bytes_of(key, key_size), bytes);
        }
    }
    if (rng_below(&pair->rng, 5) != 0) {
        batch->consistent_index = ++pair->index;
        batch->term = 1 + pair->index / 50;
    }
}

static void commit_step(struct pair *pair)
{
    struct store_batch batch;
    struct err err = {""};
    store_batch_init(&batch);
    batch_fill(pair, &batch);
    assert_int_equal(pair->real.seam->commit(pair->real.seam->ctx, &batch, &err), 0);
    assert_int_equal(pair->sim.seam->commit(pair->sim.seam->ctx, &batch, &err), 0);
    store_batch_free(&batch);
    struct store_sizes sizes;
    assert_int_equal(pair->sim.seam->sizes(pair->sim.seam->ctx, &sizes), 0);
    assert_true(sizes.used_bytes <= sizes.file_bytes && sizes.file_bytes <= sizes.max_bytes);
}

static void big_step(struct pair *pair)
{
    struct err err = {""};
    uint64_t what = rng_below(&pair->rng, 3);
    if (what == 0) {
        struct store_sizes before;
        struct store_sizes after;
        assert_int_equal(lmdb_store_defragment(pair->real.store, &err), 0);
        assert_int_equal(pair->sim.seam->sizes(pair->sim.seam->ctx, &before), 0);
        assert_int_equal(sim_store_defragment(pair->sim.store, &err), 0);
        assert_int_equal(pair->sim.seam->sizes(pair->sim.seam->ctx, &after), 0);
        assert_true(after.file_bytes <= before.file_bytes);
        assert_int_equal(after.used_bytes, after.file_bytes);
        assert_false(file_there(pair->world.disk, "/d/" LMDB_STORE_FILE ".defrag"));
        return;
    }
    pins_drop(pair);
    lmdb_store_close(pair->real.store);
    if (what == 1) {
        sim_store_close(pair->sim.store);
    } else {
        sim_disk_power_cut(pair->world.disk, SIM_CUT_LOSE_ALL);
    }
    pair_open(pair);
}

static void pair_end(struct pair *pair)
{
    pins_drop(pair);
    lmdb_store_close(pair->real.store);
    sim_store_close(pair->sim.store);
    world_end(&pair->world);
    static const char *const FILES[] = {LMDB_STORE_FILE, LMDB_STORE_FILE "-lock"};
    for (size_t i = 0; i < ARRAY_COUNT(FILES); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%s", pair->dir, FILES[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(pair->dir), 0);
}

static void every_view_reads_as_on_lmdb(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct pair *pair = mem_zalloc(sizeof(*pair));
        world_begin(&pair->world, seed);
        rng_seed(&pair->rng, seed);
        sim_disk_mount(pair->world.disk, "/d");
        (void)snprintf(pair->dir, sizeof(pair->dir), "%s/sim-store-XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        assert_non_null(mkdtemp(pair->dir));
        pair_open(pair);
        for (unsigned i = 0; i < 600; i++) {
            uint64_t what = rng_below(&pair->rng, 40);
            if (what < 34) {
                commit_step(pair);
            } else if (what < 39) {
                pin_step(pair);
            } else {
                big_step(pair);
            }
        }
        pin_step(pair);
        pair_end(pair);
        mem_free(pair);
    }
}

/* ---- on a disk that fails ---- */

static struct lmdb_store *store_open(uint64_t map_bytes)
{
    struct lmdb_store *store = NULL;
    struct err err = {""};
    if (sim_store_open("/d", map_bytes, &store, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return store;
}

/* One batch of count puts of size bytes; the index says which it was. */
static int commit_puts(struct lmdb_store *store, uint64_t index, unsigned count, size_t size)
{
    const struct store_seam *seam = sim_store_seam(store);
    struct store_batch batch;
    struct err err = {""};
    store_batch_init(&batch);
    uint8_t *value = mem_zalloc(size + 1);
    for (unsigned i = 0; i < count; i++) {
        uint8_t key[17] = {0};
        put_be64(key, index);
        put_be64(key + 9, i);
        store_batch_put(&batch, STORE_KEY, bytes_of(key, sizeof(key)), bytes_of(value, size));
    }
    batch.consistent_index = index;
    batch.term = 1;
    int rc = seam->commit(seam->ctx, &batch, &err);
    store_batch_free(&batch);
    mem_free(value);
    return rc;
}

/* The index of the last commit; each commit must be there whole. */
static uint64_t position_of(struct lmdb_store *store, unsigned per_commit)
{
    const struct store_seam *seam = sim_store_seam(store);
    uint64_t index = 0;
    uint64_t term = 0;
    assert_int_equal(store_read_position(seam, &index, &term), 0);
    struct store_view *view;
    assert_int_equal(seam->view_begin(seam->ctx, &view), 0);
    uint64_t count = 0;
    struct store_item item;
    struct bytes none = {NULL, 0};
    for (int rc = seam->view_seek(view, STORE_KEY, none, &item); rc == 0;
         rc = seam->view_next(view, STORE_KEY, &item)) {
        count++;
    }
    seam->view_end(view);
    assert_int_equal(count, index * per_commit);
    return index;
}

struct images {
    struct disk_world *world;
    uint64_t acked;
    unsigned same, next, total;
};

static void image_of_store(void *ctx, const char *what, const char *path)
{
    (void)path;
    struct images *images = ctx;
    if (strcmp(what, "commit") != 0 && strcmp(what, "committed") != 0) {
        return;
    }
    struct sim_disk *image = sim_disk_clone(images->world->disk, &images->world->rng, &NO_HOOKS);
    sim_disk_power_cut(image, SIM_CUT_LOSE_ALL);
    world_use(image);
    struct lmdb_store *store = store_open(MAP_BYTES);
    uint64_t found = position_of(store, 3);
    sim_store_close(store);
    world_use(images->world->disk);
    sim_disk_free(image);
    assert_in_range(found, images->acked, images->acked + 1);
    images->same += found == images->acked ? 1 : 0;
    images->next += found != images->acked ? 1 : 0;
}

static void a_commit_that_a_cut_meets_is_there_whole_or_not(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    sim_disk_mount(world.disk, "/d");
    struct images images = {.world = &world};
    world.watch = image_of_store;
    world.watch_ctx = &images;
    struct lmdb_store *store = store_open(MAP_BYTES);
    for (uint64_t index = 1; index <= 30; index++) {
        assert_int_equal(commit_puts(store, index, 3, 100), 0);
        images.acked = index;
    }
    assert_int_equal(images.same, 30);
    assert_int_equal(images.next, 30);
    sim_store_close(store);
    world_end(&world);
}

static void a_store_without_a_durable_name_is_lost(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    assert_int_equal(world.seam->make_dir(world.seam->ctx, "/d"), 0);
    struct lmdb_store *store = store_open(MAP_BYTES);
    assert_int_equal(commit_puts(store, 1, 3, 100), 0);
    uint64_t size = 0;
    assert_int_equal(sim_disk_stat(world.disk, "/d/" LMDB_STORE_FILE, &size), 0);
    assert_in_range(size, 8192, 1u << 20);
    struct sim_disk *image = sim_disk_clone(world.disk, &world.rng, &NO_HOOKS);
    sim_disk_power_cut(image, SIM_CUT_LOSE_ALL); /* the name of /d was not synced */
    assert_false(file_there(image, "/d"));
    sim_disk_free(image);
    assert_int_equal(world.seam->sync_dir(world.seam->ctx, "/"), 0);
    sim_disk_power_cut(world.disk, SIM_CUT_LOSE_ALL);
    store = store_open(MAP_BYTES);
    assert_int_equal(position_of(store, 3), 1);
    sim_store_close(store);
    /* A directory is renamed with the store in it. */
    assert_int_equal(world.seam->rename(world.seam->ctx, "/d", "/e"), 0);
    assert_int_equal(sim_store_open("/e", MAP_BYTES, &store, NULL), 0);
    assert_int_equal(position_of(store, 3), 1);
    sim_store_close(store);
    assert_int_equal(sim_store_open("/d", MAP_BYTES, &store, NULL), E_NOT_FOUND);
    world_end(&world);
}

static int commit_fails(void *ctx, enum sim_call_kind kind)
{
    return kind == SIM_CALL_COMMIT ? *(int *)ctx : 0;
}

static void a_commit_that_is_chosen_fails_and_ends_the_store_by_name(void **state)
{
    (void)state;
    struct disk_world world;
    int code = 0;
    world_begin(&world, 1);
    sim_disk_mount(world.disk, "/d");
    struct lmdb_store *store = store_open(MAP_BYTES);
    sim_disk_set_fails(world.disk, commit_fails, &code);
    assert_int_equal(commit_puts(store, 1, 3, 100), 0);
    code = E_IO;
    assert_int_equal(commit_puts(store, 2, 3, 100), E_IO);
    code = 0;
    struct err err = {""};
    assert_int_equal(commit_puts(store, 3, 3, 100), E_CLOSED);
    assert_int_equal(sim_store_defragment(store, &err), E_CLOSED);
    assert_non_null(strstr(err.text, err_code_text(E_IO)));
    sim_store_close(store);
    world_end(&world);
}

static void a_commit_waits_while_less_than_the_reserve_is_left(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    sim_disk_mount(world.disk, "/d");
    struct lmdb_store *store = store_open(MAP_BYTES);
    struct sim_disk_faults faults = {.free_bytes = 4096, .reserve_bytes = 1u << 20};
    assert_int_equal(commit_puts(store, 1, 3, 100), 0);
    sim_disk_set_faults(world.disk, &faults);
    assert_int_equal(commit_puts(store, 2, 3, 100), E_AGAIN);
    assert_int_equal(position_of(store, 3), 1);
    faults.free_bytes = UINT64_MAX;
    sim_disk_set_faults(world.disk, &faults);
    assert_int_equal(commit_puts(store, 2, 3, 100), 0);
    assert_int_equal(position_of(store, 3), 2);
    sim_store_close(store);
    world_end(&world);
}

static void a_full_map_or_disk_changes_nothing_and_ends_the_store(void **state)
{
    (void)state;
    for (unsigned full_disk = 0; full_disk < 2; full_disk++) {
        struct disk_world world;
        world_begin(&world, 1);
        sim_disk_mount(world.disk, "/d");
        struct sim_disk_faults faults = {.free_bytes = full_disk != 0 ? 1u << 20 : UINT64_MAX};
        sim_disk_set_faults(world.disk, &faults);
        struct lmdb_store *store = store_open(full_disk != 0 ? MAP_BYTES : 1u << 20);
        uint64_t index = 0;
        int rc;
        while ((rc = commit_puts(store, index + 1, 3, 3000)) == 0) {
            index++;
        }
        assert_int_equal(rc, E_NO_SPACE);
        assert_in_range(index, 50, 120); /* a mebibyte of pages */
        assert_int_equal(position_of(store, 3), index);
        assert_int_equal(commit_puts(store, index + 1, 0, 0), E_CLOSED);
        struct err err = {""};
        assert_int_equal(sim_store_defragment(store, &err), E_CLOSED);
        sim_store_close(store);
        faults.free_bytes = UINT64_MAX;
        sim_disk_set_faults(world.disk, &faults);
        store = store_open(MAP_BYTES);
        assert_int_equal(position_of(store, 3), index);
        assert_int_equal(commit_puts(store, index + 1, 3, 3000), 0);
        sim_store_close(store);
        world_end(&world);
    }
}

static void whether_a_commit_with_a_failed_sync_is_there_shows_after_the_death(void **state)
{
    (void)state;
    unsigned there = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct disk_world world;
        world_begin(&world, seed);
        sim_disk_mount(world.disk, "/d");
        struct lmdb_store *store = store_open(MAP_BYTES);
        assert_int_equal(commit_puts(store, 1, 3, 100), 0);
        struct sim_disk_faults faults = {.sync_error_ppm = 1000000, .free_bytes = UINT64_MAX};
        sim_disk_set_faults(world.disk, &faults);
        assert_int_equal(commit_puts(store, 2, 3, 100), E_IO);
        assert_int_equal(commit_puts(store, 2, 3, 100), E_CLOSED);
        assert_int_equal(position_of(store, 3), 1);
        struct store_view *view; /* left open, as a process that dies leaves it */
        const struct store_seam *seam = sim_store_seam(store);
        assert_int_equal(seam->view_begin(seam->ctx, &view), 0);
        sim_disk_process_died(world.disk);
        faults.sync_error_ppm = 0;
        sim_disk_set_faults(world.disk, &faults);
        store = store_open(MAP_BYTES);
        uint64_t index = position_of(store, 3);
        there += index == 2 ? 1 : 0;
        sim_store_close(store);
        sim_disk_power_cut(world.disk, SIM_CUT_LOSE_ALL);
        store = store_open(MAP_BYTES);
        assert_int_equal(position_of(store, 3), index);
        sim_store_close(store);
        world_end(&world);
    }
    assert_in_range(there, 8, 32);
}

static void a_copy_opens_as_a_store_and_a_failed_one_leaves_nothing(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    sim_disk_mount(world.disk, "/d");
    sim_disk_mount(world.disk, "/e");
    struct lmdb_store *store = store_open(MAP_BYTES);
    struct err err = {""};
    assert_int_equal(commit_puts(store, 1, 3, 100), 0);
    assert_int_equal(sim_store_copy(store, "/e/" LMDB_STORE_FILE, &err), 0);
    assert_int_equal(commit_puts(store, 2, 3, 100), 0);
    assert_int_equal(sim_store_copy(store, "/e/" LMDB_STORE_FILE, &err), E_EXISTS);
    struct sim_disk_faults faults = {.sync_error_ppm = 1000000, .free_bytes = UINT64_MAX};
    sim_disk_set_faults(world.disk, &faults);
    assert_int_equal(sim_store_copy(store, "/e/other", &err), E_IO);
    assert_false(file_there(world.disk, "/e/other"));
    assert_int_equal(sim_store_defragment(store, &err), E_IO);
    faults.sync_error_ppm = 0;
    faults.free_bytes = 4096;
    sim_disk_set_faults(world.disk, &faults);
    assert_int_equal(sim_store_defragment(store, &err), E_NO_SPACE);
    assert_false(file_there(world.disk, "/d/" LMDB_STORE_FILE ".defrag"));
    faults.free_bytes = UINT64_MAX;
    sim_disk_set_faults(world.disk, &faults);
    assert_int_equal(commit_puts(store, 3, 3, 100), 0); /* the old file goes on */
    assert_int_equal(position_of(store, 3), 3);
    sim_store_close(store);
    assert_int_equal(sim_store_open("/e", MAP_BYTES, &store, &err), 0);
    assert_int_equal(position_of(store, 3), 1);
    sim_store_close(store);
    world_end(&world);
}

static void image_of_defragment(void *ctx, const char *what, const char *path)
{
    (void)what;
    (void)path;
    struct images *images = ctx;
    for (unsigned how = 0; how < 6; how++) {
        struct sim_disk *image =
            sim_disk_clone(images->world->disk, &images->world->rng, &NO_HOOKS);
        if (how == 0) {
            sim_disk_process_died(image);
        } else {
            sim_disk_power_cut(image, how == 1 ? SIM_CUT_LOSE_ALL : SIM_CUT_SUBSET);
        }
        world_use(image);
        struct lmdb_store *store = store_open(MAP_BYTES);
        assert_int_equal(position_of(store, 3), images->acked);
        assert_int_equal(sim_store_defragment(store, NULL), 0);
        sim_store_close(store);
        world_use(images->world->disk);
        sim_disk_free(image);
        images->total++;
    }
}

static void a_defragmentation_that_is_cut_leaves_a_store(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    sim_disk_mount(world.disk, "/d");
    struct lmdb_store *store = store_open(MAP_BYTES);
    for (uint64_t index = 1; index <= 9; index++) {
        assert_int_equal(commit_puts(store, index, 3, 100), 0);
    }
    struct images images = {.world = &world, .acked = 9};
    world.watch = image_of_defragment;
    world.watch_ctx = &images;
    assert_int_equal(sim_store_defragment(store, NULL), 0);
    world.watch = NULL;
    assert_true(images.total >= 6 * 6);
    sim_store_close(store);
    world_end(&world);
}

static void what_is_no_store_is_not_opened(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    sim_disk_mount(world.disk, "/d");
    struct disk_file *file = file_make(world.seam, "/d/" LMDB_STORE_FILE);
    struct lmdb_store *store;
    struct err err = {""};
    assert_int_equal(sim_store_open("/d", MAP_BYTES, &store, &err), 0); /* empty: a new one */
    sim_store_close(store);
    world.seam->close(file);
    assert_int_equal(world.seam->remove(world.seam->ctx, "/d/" LMDB_STORE_FILE), 0);
    file = file_make(world.seam, "/d/" LMDB_STORE_FILE);
    file_put(file, world.seam, 0, "something else");
    world.seam->close(file);
    assert_int_equal(sim_store_open("/d", MAP_BYTES, &store, &err), E_CORRUPT);
    world_end(&world);
}

static void a_million_puts_with_views_held_keep_their_sizes_right(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    sim_disk_mount(world.disk, "/d");
    struct lmdb_store *store = store_open(UINT64_C(4) << 30);
    const struct store_seam *seam = sim_store_seam(store);
    struct store_view *view = NULL;
    for (uint64_t index = 1; index <= 1000; index++) {
        assert_int_equal(commit_puts(store, index, 1000, 40), 0);
        if (index % 10 == 0) {
            if (view != NULL) {
                seam->view_end(view);
            }
            assert_int_equal(seam->view_begin(seam->ctx, &view), 0);
        }
    }
    seam->view_end(view);
    struct store_sizes sizes;
    assert_int_equal(seam->sizes(seam->ctx, &sizes), 0);
    assert_in_range(sizes.used_bytes, 60u << 20, 90u << 20); /* LMDB: 68 bytes for each */
    assert_int_equal(position_of(store, 1000), 1000);
    sim_store_close(store);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_stays_sound_and_what_was_shared_stays_as_it_was),
        cmocka_unit_test(every_view_reads_as_on_lmdb),
        cmocka_unit_test(a_commit_that_a_cut_meets_is_there_whole_or_not),
        cmocka_unit_test(a_store_without_a_durable_name_is_lost),
        cmocka_unit_test(a_commit_that_is_chosen_fails_and_ends_the_store_by_name),
        cmocka_unit_test(a_commit_waits_while_less_than_the_reserve_is_left),
        cmocka_unit_test(a_full_map_or_disk_changes_nothing_and_ends_the_store),
        cmocka_unit_test(whether_a_commit_with_a_failed_sync_is_there_shows_after_the_death),
        cmocka_unit_test(a_copy_opens_as_a_store_and_a_failed_one_leaves_nothing),
        cmocka_unit_test(a_defragmentation_that_is_cut_leaves_a_store),
        cmocka_unit_test(what_is_no_store_is_not_opened),
        cmocka_unit_test(a_million_puts_with_views_held_keep_their_sizes_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
