/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated disk as a process sees it, and what a power cut leaves of that. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <malloc.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "lib_disk_world.h"

#define MIB (UINT64_C(1) << 20)

static void bytes_written_are_read_back_before_any_sync(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    const struct disk_seam *seam = world.seam;
    struct disk_file *file = file_make(seam, "a");
    file_put(file, seam, 4090, "across a chunk");
    char text[32] = "";
    size_t got = 0;
    assert_int_equal(seam->read_at(file, 4090, text, sizeof(text), &got), 0);
    assert_int_equal(got, 14);
    assert_memory_equal(text, "across a chunk", 14);
    assert_int_equal(seam->read_at(file, 4104, text, sizeof(text), &got), 0);
    assert_int_equal(got, 0);
    uint8_t byte = 1;
    assert_int_equal(seam->read_at(file, 7, &byte, 1, &got), 0);
    assert_int_equal(byte, 0);
    seam->close(file);
    struct disk_file *reader;
    assert_int_equal(seam->open(seam->ctx, "/a", DISK_READ, &reader), 0);
    assert_int_equal(seam->write_at(reader, 0, "x", 1), E_IO);
    seam->close(reader);
    assert_int_equal(seam->open(seam->ctx, "b", DISK_READ_WRITE, &reader), E_NOT_FOUND);
    assert_int_equal(seam->open(seam->ctx, "none/b", DISK_CREATE, &reader), E_NOT_FOUND);
    world_end(&world);
}

static void a_file_cut_short_reads_zeros_where_it_grows_again(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    const struct disk_seam *seam = world.seam;
    struct disk_file *file = file_make(seam, "a");
    assert_int_equal(file_fill(file, seam, 0, 'x', 9000), 0);
    assert_int_equal(seam->sync(file), 0);
    assert_int_equal(seam->truncate(file, 100), 0);
    assert_int_equal(seam->truncate(file, 9000), 0);
    uint8_t bytes[9000];
    size_t got = 0;
    assert_int_equal(seam->read_at(file, 0, bytes, sizeof(bytes), &got), 0);
    assert_int_equal(got, 9000);
    for (size_t i = 0; i < got; i++) {
        assert_int_equal(bytes[i], i < 100 ? 'x' : 0);
    }
    assert_int_equal(seam->sync(file), 0);
    seam->close(file);
    assert_int_equal(seam->sync_dir(seam->ctx, "."), 0);
    sim_disk_power_cut(world.disk, SIM_CUT_LOSE_ALL);
    struct disk_file *again;
    assert_int_equal(seam->open(seam->ctx, "a", DISK_READ, &again), 0);
    assert_int_equal(seam->read_at(again, 0, bytes, sizeof(bytes), &got), 0);
    assert_int_equal(got, 9000);
    assert_int_equal(bytes[99], 'x');
    assert_int_equal(bytes[100], 0);
    assert_int_equal(bytes[8999], 0);
    seam->close(again);
    world_end(&world);
}

static void note_name(void *ctx, const char *name)
{
    char *text = ctx;
    strcat(text, name);
    strcat(text, " ");
}

static void names_do_what_posix_says(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    const struct disk_seam *seam = world.seam;
    void *ctx = seam->ctx;
    assert_int_equal(seam->make_dir(ctx, "/d"), 0);
    assert_int_equal(seam->make_dir(ctx, "/d/"), 0);
    assert_int_equal(seam->make_dir(ctx, "/no/d"), E_NOT_FOUND);
    struct disk_file *file = file_make(seam, "d/b");
    struct disk_file *other = file_make(seam, "d/a");
    file_put(file, seam, 0, "b");
    assert_int_equal(seam->make_dir(ctx, "d/a"), E_EXISTS);
    assert_int_equal(seam->remove(ctx, "d"), E_IO);
    char names[64] = "";
    assert_int_equal(seam->list_dir(ctx, "d", note_name, names), 0);
    assert_string_equal(names, "a b ");
    assert_int_equal(seam->rename(ctx, "d/b", "d/a"), 0); /* over another */
    assert_true(file_is(seam, "d/a", 'b', 1));
    assert_false(file_there(world.disk, "d/b"));
    assert_int_equal(seam->write_at(other, 0, "still", 5), 0); /* a file without a name */
    assert_true(file_is(seam, "d/a", 'b', 1));
    assert_int_equal(seam->rename(ctx, "d", "e"), 0); /* a whole directory */
    assert_true(file_is(seam, "e/a", 'b', 1));
    assert_int_equal(seam->rename(ctx, "d", "f"), E_NOT_FOUND);
    assert_int_equal(seam->rename(ctx, "e/a", "e"), E_IO);
    assert_int_equal(seam->remove(ctx, "e/a"), 0);
    assert_int_equal(seam->remove(ctx, "e"), 0);
    assert_int_equal(seam->list_dir(ctx, "e", note_name, names), E_NOT_FOUND);
    seam->close(file);
    seam->close(other);
    world_end(&world);
}

static void a_lock_keeps_others_out_until_its_file_is_closed(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    const struct disk_seam *seam = world.seam;
    struct disk_file *first = file_make(seam, "a");
    struct disk_file *second;
    assert_int_equal(seam->open(seam->ctx, "a", DISK_READ_WRITE, &second), 0);
    assert_int_equal(seam->lock(first), 0);
    assert_int_equal(seam->lock(first), 0);
    assert_int_equal(seam->lock(second), E_IN_USE);
    seam->close(first);
    assert_int_equal(seam->lock(second), 0);
    sim_disk_process_died(world.disk); /* closes it */
    assert_int_equal(seam->open(seam->ctx, "a", DISK_READ_WRITE, &first), 0);
    assert_int_equal(seam->lock(first), 0);
    seam->close(first);
    world_end(&world);
}

static void a_killed_process_leaves_all_that_it_wrote(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    const struct disk_seam *seam = world.seam;
    assert_int_equal(file_fill(file_make(seam, "a"), seam, 0, 'x', 5000), 0);
    sim_disk_process_died(world.disk);
    assert_true(file_is(seam, "a", 'x', 5000));
    world_end(&world);
}

static void a_power_cut_keeps_what_was_synced_and_nothing_else(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    const struct disk_seam *seam = world.seam;
    void *ctx = seam->ctx;
    sim_disk_mount(world.disk, "/var/d");
    struct disk_file *file = file_make(seam, "/var/d/a");
    assert_int_equal(file_fill(file, seam, 0, 'x', 5000), 0);
    assert_int_equal(seam->sync(file), 0);
    struct sim_disk *nameless = sim_disk_clone(world.disk, &world.rng, &NO_HOOKS);
    sim_disk_power_cut(nameless, SIM_CUT_LOSE_ALL);
    assert_true(file_there(nameless, "/var/d"));
    assert_false(file_there(nameless, "/var/d/a")); /* the file was synced, its name was not */
    sim_disk_free(nameless);
    assert_int_equal(seam->sync_dir(ctx, "/var/d"), 0);
    assert_int_equal(file_fill(file, seam, 0, 'y', 6000), 0);
    assert_int_equal(seam->rename(ctx, "/var/d/a", "/var/d/b"), 0);
    struct sim_disk *kept = sim_disk_clone(world.disk, &world.rng, &NO_HOOKS);
    sim_disk_power_cut(kept, SIM_CUT_KEEP_ALL);
    assert_true(file_is(sim_disk_seam(kept), "/var/d/b", 'y', 6000));
    assert_false(file_there(kept, "/var/d/a"));
    sim_disk_free(kept);
    sim_disk_power_cut(world.disk, SIM_CUT_LOSE_ALL);
    assert_true(file_is(seam, "/var/d/a", 'x', 5000));
    assert_false(file_there(world.disk, "/var/d/b"));
    world_end(&world);
}

static void a_directory_that_was_not_synced_takes_its_files_with_it(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    const struct disk_seam *seam = world.seam;
    assert_int_equal(seam->make_dir(seam->ctx, "d"), 0);
    struct disk_file *file = file_make(seam, "d/a");
    assert_int_equal(seam->sync(file), 0);
    assert_int_equal(seam->sync_dir(seam->ctx, "d"), 0);
    seam->close(file);
    sim_disk_power_cut(world.disk, SIM_CUT_LOSE_ALL);
    assert_false(file_there(world.disk, "d"));
    world_end(&world);
}

/* Each sector of a file of four, two of them new, with every choice. */
static void each_subset_of_unsynced_sectors_can_be_chosen(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    const struct disk_seam *seam = world.seam;
    struct disk_file *file = file_make(seam, "a");
    assert_int_equal(file_fill(file, seam, 0, 'o', 1024), 0);
    assert_int_equal(seam->sync(file), 0);
    assert_int_equal(seam->sync_dir(seam->ctx, "/"), 0);
    assert_int_equal(file_fill(file, seam, 512, 'n', 1500), 0);
    assert_int_equal(sim_disk_dirty_count(world.disk), 3);
    for (uint8_t keep = 0; keep < 8; keep++) {
        struct sim_disk *image = sim_disk_clone(world.disk, &world.rng, &NO_HOOKS);
        const struct disk_seam *there = sim_disk_seam(image);
        sim_disk_cut_keeping(image, &keep, 0);
        uint8_t bytes[4096];
        size_t got = 0;
        struct disk_file *reader;
        assert_int_equal(there->open(there->ctx, "a", DISK_READ, &reader), 0);
        assert_int_equal(there->read_at(reader, 0, bytes, sizeof(bytes), &got), 0);
        assert_int_equal(got, (keep & 4) != 0 ? 2012 : (keep & 2) != 0 ? 1536 : 1024);
        assert_int_equal(bytes[0], 'o');
        assert_int_equal(bytes[512], (keep & 1) != 0 ? 'n' : 'o');
        if (got > 1024) {
            assert_int_equal(bytes[1024], (keep & 2) != 0 ? 'n' : 0);
        }
        there->close(reader);
        assert_int_equal(sim_disk_dirty_count(image), 0);
        sim_disk_free(image);
    }
    seam->close(file);
    world_end(&world);
}

static void changes_of_names_come_back_as_a_prefix(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    const struct disk_seam *seam = world.seam;
    void *ctx = seam->ctx;
    seam->close(file_make(seam, "a"));
    assert_int_equal(seam->rename(ctx, "a", "b"), 0);
    seam->close(file_make(seam, "a"));
    assert_int_equal(seam->remove(ctx, "b"), 0);
    assert_int_equal(sim_disk_pending_names(world.disk), 4);
    static const char *const AFTER[] = {"", "a ", "b ", "a b ", "a "};
    for (size_t keep = 0; keep <= 4; keep++) {
        struct sim_disk *image = sim_disk_clone(world.disk, &world.rng, &NO_HOOKS);
        sim_disk_cut_keeping(image, NULL, keep);
        char names[64] = "";
        const struct disk_seam *there = sim_disk_seam(image);
        assert_int_equal(there->list_dir(there->ctx, "/", note_name, names), 0);
        assert_string_equal(names, AFTER[keep]);
        sim_disk_free(image);
    }
    world_end(&world);
}

/* What a rename across directories may come to: neither, both, or one of the names. */
static void a_rename_across_directories_needs_both_synced(void **state)
{
    (void)state;
    unsigned seen[4] = {0};
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct disk_world world;
        world_begin(&world, seed);
        const struct disk_seam *seam = world.seam;
        sim_disk_mount(world.disk, "d");
        sim_disk_mount(world.disk, "e");
        seam->close(file_make(seam, "d/a"));
        assert_int_equal(seam->sync_dir(seam->ctx, "d"), 0);
        assert_int_equal(seam->rename(seam->ctx, "d/a", "e/a"), 0);
        sim_disk_power_cut(world.disk, SIM_CUT_SUBSET);
        seen[(file_there(world.disk, "d/a") ? 1 : 0) + (file_there(world.disk, "e/a") ? 2 : 0)]++;
        world_end(&world);
    }
    for (size_t i = 0; i < ARRAY_COUNT(seen); i++) {
        assert_true(seen[i] > 3);
    }
}

static void preallocated_zeros_take_no_memory(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    const struct disk_seam *seam = world.seam;
    struct disk_file *file = file_make(seam, "a");
    struct mallinfo2 before = mallinfo2();
    for (uint64_t at = 0; at < 1024 * MIB; at += MIB) {
        assert_int_equal(file_fill(file, seam, at, 0, MIB), 0);
        assert_int_equal(seam->sync(file), 0);
    }
    struct mallinfo2 after = mallinfo2();
    assert_true(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + 65536);
    assert_int_equal(sim_disk_dirty_count(world.disk), 0);
    file_put(file, seam, 700 * MIB + 5, "here");
    assert_int_equal(sim_disk_dirty_count(world.disk), 1);
    assert_int_equal(seam->sync(file), 0);
    assert_int_equal(file_fill(file, seam, 700 * MIB, 0, 4096), 0); /* zeros over bytes */
    assert_int_equal(sim_disk_dirty_count(world.disk), 1);
    seam->close(file);
    uint64_t size = 0;
    assert_int_equal(sim_disk_stat(world.disk, "a", &size), 0);
    assert_int_equal(size, 1024 * MIB);
    world_end(&world);
}

/* ---- a random run against a model ---- */

#define FILE_BYTES 6000u
#define STEPS      400u

/* Of one file: what each byte may be after a power cut. */
struct model {
    uint8_t now[FILE_BYTES];
    uint8_t synced[FILE_BYTES];
    size_t now_size;
    size_t synced_size;
};

static void model_step(struct model *model, struct disk_file *file, const struct disk_seam *seam,
                       struct rng *rng)
{
    uint64_t what = rng_below(rng, 10);
    size_t at = (size_t)rng_below(rng, FILE_BYTES);
    if (what < 7) {
        size_t size = (size_t)rng_below(rng, BASE_MIN(FILE_BYTES - at, (size_t)1500)) + 1;
        uint8_t byte = (uint8_t)rng_below(rng, 4);
        assert_int_equal(file_fill(file, seam, at, byte, size), 0);
        memset(model->now + at, byte, size);
        model->now_size = BASE_MAX(model->now_size, at + size);
    } else if (what == 7) {
        assert_int_equal(seam->truncate(file, at), 0);
        memset(model->now + at, 0, FILE_BYTES - at);
        model->now_size = at;
    } else {
        assert_int_equal(seam->sync(file), 0);
        memcpy(model->synced, model->now, FILE_BYTES);
        model->synced_size = model->now_size;
    }
}

static size_t read_all(const struct disk_seam *seam, uint8_t *bytes)
{
    struct disk_file *file;
    size_t got = 0;
    memset(bytes, 0, FILE_BYTES);
    assert_int_equal(seam->open(seam->ctx, "a", DISK_READ, &file), 0);
    assert_int_equal(seam->read_at(file, 0, bytes, FILE_BYTES, &got), 0);
    seam->close(file);
    return got;
}

/* Each sector is the old or the new one, up to the size. */
static void check_cut(const struct model *model, const uint8_t *bytes, size_t size)
{
    size_t low = BASE_MIN(model->now_size, model->synced_size);
    size_t high = BASE_MAX(model->now_size, model->synced_size);
    assert_in_range(size, low, high);
    for (size_t at = 0; at < size; at += SIM_SECTOR_BYTES) {
        size_t piece = BASE_MIN((size_t)SIM_SECTOR_BYTES, size - at);
        assert_true(memcmp(bytes + at, model->now + at, piece) == 0 ||
                    memcmp(bytes + at, model->synced + at, piece) == 0);
    }
}

static uint64_t random_run(uint64_t seed, bool write_back)
{
    struct disk_world world;
    struct model model = {.now_size = 0};
    world_begin(&world, seed);
    struct sim_disk_faults faults = {.writeback_ppm = write_back ? 200000 : 0,
                                     .free_bytes = UINT64_MAX};
    sim_disk_set_faults(world.disk, &faults);
    struct disk_file *file = file_make(world.seam, "a");
    assert_int_equal(world.seam->sync_dir(world.seam->ctx, "/"), 0);
    struct rng rng;
    rng_seed(&rng, seed + 1000);
    uint8_t bytes[FILE_BYTES];
    uint64_t hash = 0;
    for (unsigned i = 0; i < STEPS; i++) {
        model_step(&model, file, world.seam, &rng);
        assert_int_equal(read_all(world.seam, bytes), model.now_size);
        assert_memory_equal(bytes, model.now, FILE_BYTES);
        struct sim_disk *image = sim_disk_clone(world.disk, &world.rng, &NO_HOOKS);
        sim_disk_power_cut(image, SIM_CUT_SUBSET);
        size_t size = read_all(sim_disk_seam(image), bytes);
        if (!write_back) { /* else a sector may also be one that was written in between */
            check_cut(&model, bytes, size);
        }
        hash = hash * 31 + sim_disk_hash(image);
        sim_disk_power_cut(image, SIM_CUT_SUBSET); /* what is there now is durable */
        uint8_t again[FILE_BYTES];
        assert_int_equal(read_all(sim_disk_seam(image), again), size);
        assert_memory_equal(bytes, again, FILE_BYTES);
        sim_disk_free(image);
    }
    world.seam->close(file);
    sim_disk_power_cut(world.disk, SIM_CUT_LOSE_ALL);
    if (!write_back) {
        assert_int_equal(read_all(world.seam, bytes), model.synced_size);
        assert_memory_equal(bytes, model.synced, FILE_BYTES);
    }
    world_end(&world);
    return hash;
}

static void a_random_run_agrees_with_its_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        (void)random_run(seed, seed % 4 == 0);
    }
}

static void equal_seeds_give_equal_disks(void **state)
{
    (void)state;
    uint64_t hash = random_run(7, true);
    assert_int_equal(hash, random_run(7, true));
    assert_int_not_equal(hash, random_run(8, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_written_are_read_back_before_any_sync),
        cmocka_unit_test(a_file_cut_short_reads_zeros_where_it_grows_again),
        cmocka_unit_test(names_do_what_posix_says),
        cmocka_unit_test(a_lock_keeps_others_out_until_its_file_is_closed),
        cmocka_unit_test(a_killed_process_leaves_all_that_it_wrote),
        cmocka_unit_test(a_power_cut_keeps_what_was_synced_and_nothing_else),
        cmocka_unit_test(a_directory_that_was_not_synced_takes_its_files_with_it),
        cmocka_unit_test(each_subset_of_unsynced_sectors_can_be_chosen),
        cmocka_unit_test(changes_of_names_come_back_as_a_prefix),
        cmocka_unit_test(a_rename_across_directories_needs_both_synced),
        cmocka_unit_test(preallocated_zeros_take_no_memory),
        cmocka_unit_test(a_random_run_agrees_with_its_model),
        cmocka_unit_test(equal_seeds_give_equal_disks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
