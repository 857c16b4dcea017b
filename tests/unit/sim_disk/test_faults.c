/* SPDX-License-Identifier: Apache-2.0 */
/* Each fault that the simulated disk knows, and that it comes only when asked for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib_disk_world.h"

#define ALWAYS 1000000u

static struct sim_disk_faults no_faults(void)
{
    return (struct sim_disk_faults){.free_bytes = UINT64_MAX};
}

/* A synced file of size bytes 'o'. */
static struct disk_file *old_file(const struct disk_world *world, size_t size)
{
    struct disk_file *file = file_make(world->seam, "a");
    assert_int_equal(file_fill(file, world->seam, 0, 'o', size), 0);
    assert_int_equal(world->seam->sync(file), 0);
    assert_int_equal(world->seam->sync_dir(world->seam->ctx, "/"), 0);
    return file;
}

static size_t count_sectors(const struct disk_world *world, uint8_t byte)
{
    struct disk_file *file;
    size_t count = 0;
    assert_int_equal(world->seam->open(world->seam->ctx, "a", DISK_READ, &file), 0);
    for (uint64_t at = 0;; at += SIM_SECTOR_BYTES) {
        uint8_t sector[SIM_SECTOR_BYTES];
        size_t got = 0;
        assert_int_equal(world->seam->read_at(file, at, sector, sizeof(sector), &got), 0);
        if (got == 0) {
            break;
        }
        for (size_t i = 1; i < got; i++) {
            assert_int_equal(sector[i], sector[0]);
        }
        count += sector[0] == byte ? 1 : 0;
    }
    world->seam->close(file);
    return count;
}

static void a_failed_sync_leaves_pages_that_only_look_clean(void **state)
{
    (void)state;
    size_t mixed = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct disk_world world;
        world_begin(&world, seed);
        struct disk_file *file = old_file(&world, 64 * SIM_SECTOR_BYTES);
        assert_int_equal(file_fill(file, world.seam, 0, 'n', 64 * SIM_SECTOR_BYTES), 0);
        struct sim_disk_faults faults = no_faults();
        faults.sync_error_ppm = ALWAYS;
        sim_disk_set_faults(world.disk, &faults);
        assert_int_equal(world.seam->sync(file), E_IO);
        assert_int_equal(sim_disk_dirty_count(world.disk), 0);
        assert_int_equal(count_sectors(&world, 'n'), 64); /* the cache shows the new bytes */
        assert_int_equal(sim_disk_damage_count(world.disk), 1);
        assert_int_equal(sim_disk_damage_at(world.disk, 0)->kind, SIM_DAMAGE_SYNC_LOST);
        faults.sync_error_ppm = 0;
        sim_disk_set_faults(world.disk, &faults);
        assert_int_equal(world.seam->sync(file), 0); /* says it is well, and writes nothing */
        struct sim_disk *image = sim_disk_clone(world.disk, &world.rng, &NO_HOOKS);
        struct disk_world other = {.disk = image, .seam = sim_disk_seam(image)};
        sim_disk_power_cut(image, SIM_CUT_KEEP_ALL);
        size_t reached = count_sectors(&other, 'n');
        assert_int_equal(reached + count_sectors(&other, 'o'), 64);
        assert_true(reached < 64);
        assert_int_equal(sim_disk_damage_at(world.disk, 0)->size,
                         (64 - reached) * SIM_SECTOR_BYTES);
        sim_disk_free(image);
        sim_disk_process_died(world.disk); /* file is closed by it */
        size_t shown = count_sectors(&world, 'n');
        assert_true(shown >= reached);
        mixed += shown > reached && shown < 64 ? 1 : 0;
        world_end(&world);
    }
    assert_true(mixed > 20);
}

static void a_write_after_a_failed_sync_counts_again(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 3);
    struct disk_file *file = old_file(&world, 8 * SIM_SECTOR_BYTES);
    assert_int_equal(file_fill(file, world.seam, 0, 'n', 8 * SIM_SECTOR_BYTES), 0);
    struct sim_disk_faults faults = no_faults();
    faults.sync_error_ppm = ALWAYS;
    sim_disk_set_faults(world.disk, &faults);
    assert_int_equal(world.seam->sync(file), E_IO);
    faults.sync_error_ppm = 0;
    sim_disk_set_faults(world.disk, &faults);
    assert_int_equal(file_fill(file, world.seam, 0, 'n', 8 * SIM_SECTOR_BYTES), 0);
    assert_int_equal(world.seam->sync(file), 0);
    world.seam->close(file);
    sim_disk_power_cut(world.disk, SIM_CUT_LOSE_ALL);
    assert_int_equal(count_sectors(&world, 'n'), 8);
    world_end(&world);
}

static void reads_and_writes_fail_when_told_to(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 3);
    struct disk_file *file = old_file(&world, 4096);
    struct sim_disk_faults faults = no_faults();
    faults.read_error_ppm = ALWAYS;
    sim_disk_set_faults(world.disk, &faults);
    uint8_t byte;
    size_t got;
    assert_int_equal(world.seam->read_at(file, 0, &byte, 1, &got), E_IO);
    faults = no_faults();
    faults.write_error_ppm = ALWAYS;
    sim_disk_set_faults(world.disk, &faults);
    assert_int_equal(file_fill(file, world.seam, 0, 'n', 4096), E_IO);
    assert_int_equal(world.seam->truncate(file, 1), E_IO);
    faults = no_faults();
    sim_disk_set_faults(world.disk, &faults);
    assert_int_equal(world.seam->read_at(file, 4095, &byte, 1, &got), 0);
    assert_int_equal(got, 1); /* some of it may have been done, the size is the old one */
    world.seam->close(file);
    world_end(&world);
}

static void a_full_disk_takes_what_fits_and_says_so(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 3);
    struct disk_file *file = old_file(&world, 4096);
    struct sim_disk_faults faults = no_faults();
    faults.free_bytes = 10000;
    sim_disk_set_faults(world.disk, &faults);
    uint64_t left = 0;
    assert_int_equal(world.seam->free_bytes(world.seam->ctx, "/", &left), 0);
    assert_int_equal(left, 10000);
    assert_int_equal(file_fill(file, world.seam, 0, 'o', 4096), 0); /* there already */
    assert_int_equal(file_fill(file, world.seam, 4096, 'o', 4096), 0);
    assert_int_equal(file_fill(file, world.seam, 8192, 'o', 8192), E_NO_SPACE);
    assert_int_equal(sim_disk_faults(world.disk)->free_bytes, 10000 - 2 * 4096);
    assert_true(file_is(world.seam, "a", 'o', 12288));
    assert_int_equal(file_fill(file, world.seam, 12288, 'o', 1), E_NO_SPACE);
    struct disk_file *other = file_make(world.seam, "b");
    assert_int_equal(file_fill(other, world.seam, 0, 'o', 1), E_NO_SPACE);
    world.seam->close(file);
    assert_int_equal(world.seam->remove(world.seam->ctx, "a"), 0);
    assert_int_equal(file_fill(other, world.seam, 0, 'o', 4096), E_NO_SPACE);
    assert_int_equal(world.seam->sync_dir(world.seam->ctx, "/"), 0); /* room comes back */
    assert_int_equal(file_fill(other, world.seam, 0, 'o', 12288), 0);
    world.seam->close(other);
    world_end(&world);
}

static void a_misdirected_write_is_missing_here_and_damage_there(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct disk_world world;
        world_begin(&world, seed);
        struct disk_file *file = old_file(&world, 32 * SIM_SECTOR_BYTES);
        struct sim_disk_faults faults = no_faults();
        faults.misdirected_ppm = ALWAYS;
        sim_disk_set_faults(world.disk, &faults);
        assert_int_equal(file_fill(file, world.seam, 4 * SIM_SECTOR_BYTES, 'n', 512), 0);
        assert_int_equal(count_sectors(&world, 'n'), 1);
        uint8_t byte = 0;
        size_t got;
        assert_int_equal(world.seam->read_at(file, 4 * SIM_SECTOR_BYTES, &byte, 1, &got), 0);
        if (sim_disk_damage_count(world.disk) == 0) { /* drew its own place */
            assert_int_equal(byte, 'n');
        } else {
            const struct sim_disk_damage *damage = sim_disk_damage_at(world.disk, 0);
            assert_int_equal(byte, 'o');
            assert_int_equal(damage->kind, SIM_DAMAGE_MISDIRECTED);
            assert_string_equal(damage->path, "a");
            assert_int_equal(damage->wanted_offset, 4 * SIM_SECTOR_BYTES);
            assert_int_equal(damage->size, 512);
            assert_int_equal(world.seam->read_at(file, damage->offset, &byte, 1, &got), 0);
            assert_int_equal(byte, 'n');
        }
        world.seam->close(file);
        world_end(&world);
    }
}

static void rot_changes_one_durable_sector_and_tells_where(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct disk_world world;
        world_begin(&world, seed);
        struct disk_file *file = old_file(&world, 40 * SIM_SECTOR_BYTES - 100);
        bool zeros = seed % 2 == 0;
        if (zeros) {
            assert_int_equal(file_fill(file, world.seam, 0, 0, 40 * SIM_SECTOR_BYTES - 100), 0);
            assert_int_equal(world.seam->sync(file), 0);
        }
        char path[64];
        uint64_t offset = 1;
        assert_false(sim_disk_rot(world.disk, "b", path, sizeof(path), &offset));
        assert_true(sim_disk_rot(world.disk, "a", path, sizeof(path), &offset));
        assert_string_equal(path, "/a");
        assert_int_equal(offset % SIM_SECTOR_BYTES, 0);
        uint8_t bytes[40 * SIM_SECTOR_BYTES];
        size_t got = 0;
        assert_int_equal(world.seam->read_at(file, 0, bytes, sizeof(bytes), &got), 0);
        assert_int_equal(got, 40 * SIM_SECTOR_BYTES - 100);
        unsigned changed = 0;
        for (size_t i = 0; i < got; i++) {
            if (bytes[i] != (zeros ? 0 : 'o')) {
                assert_in_range(i, offset, offset + SIM_SECTOR_BYTES - 1);
                changed++;
            }
        }
        assert_in_range(changed, 1, 8);
        world.seam->close(file);
        sim_disk_power_cut(world.disk, SIM_CUT_LOSE_ALL);
        assert_false(file_is(world.seam, "a", zeros ? 0 : 'o', got));
        world_end(&world);
    }
}

static void calls_take_their_time_and_spikes_take_more(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 3);
    struct disk_file *file = old_file(&world, 4096);
    assert_int_equal(world.spent_ns, 0);
    struct sim_disk_faults faults = no_faults();
    faults.write_ns = 1000000;
    sim_disk_set_faults(world.disk, &faults);
    for (unsigned i = 0; i < 4000; i++) {
        assert_int_equal(file_fill(file, world.seam, 0, 'o', 1), 0);
    }
    uint64_t mean = world.spent_ns / 4000;
    assert_in_range(mean, 900000, 1100000);
    faults = no_faults();
    faults.spike_ppm = 500000;
    faults.spike_ns = 5;
    sim_disk_set_faults(world.disk, &faults);
    world.spent_ns = 0;
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(world.seam->sync(file), 0);
    }
    assert_in_range(world.spent_ns, 2000, 3000);
    world.seam->close(file);
    world_end(&world);
}

static void each_call_that_changes_something_is_told_before_it(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 3);
    const struct disk_seam *seam = world.seam;
    struct disk_file *file = file_make(seam, "a");
    file_put(file, seam, 0, "x");
    assert_int_equal(seam->sync(file), 0);
    assert_int_equal(seam->truncate(file, 0), 0);
    assert_int_equal(seam->make_dir(seam->ctx, "d"), 0);
    assert_int_equal(seam->rename(seam->ctx, "a", "b"), 0);
    assert_int_equal(seam->sync_dir(seam->ctx, "/"), 0);
    assert_int_equal(seam->remove(seam->ctx, "b"), 0);
    assert_int_equal(world.calls, 8);
    assert_int_equal(sim_disk_calls(world.disk), 8);
    uint64_t size;
    size_t got;
    uint8_t byte;
    assert_int_equal(seam->size(file, &size), 0);
    assert_int_equal(seam->read_at(file, 0, &byte, 1, &got), 0);
    seam->close(file);
    assert_int_equal(world.calls, 8);
    world_end(&world);
}

/* ---- one call of a kind ---- */

struct chosen {
    enum sim_call_kind kind;
    unsigned left; /* until it fails */
    unsigned asked[SIM_CALL_COUNT];
};

static int fails_once(void *ctx, enum sim_call_kind kind)
{
    struct chosen *chosen = ctx;
    chosen->asked[kind]++;
    return kind == chosen->kind && --chosen->left == 0 ? E_IO : 0;
}

static void a_call_that_is_chosen_fails_alone_and_changes_nothing_else(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 3);
    const struct disk_seam *seam = world.seam;
    struct chosen chosen = {.kind = SIM_CALL_RENAME, .left = 2};
    sim_disk_set_fails(world.disk, fails_once, &chosen);
    struct disk_file *file = file_make(seam, "a");
    file_put(file, seam, 0, "x");
    assert_int_equal(seam->rename(seam->ctx, "a", "b"), 0);
    assert_int_equal(seam->rename(seam->ctx, "b", "c"), E_IO);
    assert_true(file_there(world.disk, "b"));
    assert_false(file_there(world.disk, "c"));
    chosen = (struct chosen){.kind = SIM_CALL_REMOVE, .left = 1};
    assert_int_equal(seam->remove(seam->ctx, "b"), E_IO);
    assert_true(file_there(world.disk, "b"));
    chosen = (struct chosen){.kind = SIM_CALL_OPEN, .left = 1};
    assert_int_equal(seam->make_dir(seam->ctx, "d"), E_IO);
    assert_int_equal(seam->make_dir(seam->ctx, "d"), 0);
    chosen = (struct chosen){.kind = SIM_CALL_READ, .left = 1};
    uint8_t byte;
    size_t got;
    assert_int_equal(seam->read_at(file, 0, &byte, 1, &got), E_IO);
    assert_int_equal(seam->read_at(file, 0, &byte, 1, &got), 0);
    assert_int_equal(chosen.asked[SIM_CALL_READ], 2);
    assert_int_equal(chosen.asked[SIM_CALL_WRITE], 0);
    seam->close(file);
    world_end(&world);
}

static void a_write_that_is_chosen_fails_after_any_part_of_it(void **state)
{
    (void)state;
    bool wrote_some = false;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct disk_world world;
        world_begin(&world, seed);
        struct disk_file *file = old_file(&world, 8 * SIM_SECTOR_BYTES);
        struct chosen chosen = {.kind = SIM_CALL_WRITE, .left = 1};
        sim_disk_set_fails(world.disk, fails_once, &chosen);
        assert_int_equal(file_fill(file, world.seam, 0, 'n', 8 * SIM_SECTOR_BYTES), E_IO);
        uint8_t first;
        uint8_t last;
        size_t got;
        assert_int_equal(world.seam->read_at(file, 0, &first, 1, &got), 0);
        assert_int_equal(world.seam->read_at(file, 8 * SIM_SECTOR_BYTES - 1, &last, 1, &got), 0);
        wrote_some = wrote_some || (first == 'n' && last == 'o');
        world.seam->close(file);
        world_end(&world);
    }
    assert_true(wrote_some);
}

static void a_sync_that_is_chosen_drops_what_it_was_asked_for(void **state)
{
    (void)state;
    struct disk_world world;
    world_begin(&world, 1);
    struct disk_file *file = old_file(&world, SIM_SECTOR_BYTES);
    struct chosen chosen = {.kind = SIM_CALL_SYNC, .left = 1};
    sim_disk_set_fails(world.disk, fails_once, &chosen);
    assert_int_equal(file_fill(file, world.seam, 0, 'n', SIM_SECTOR_BYTES), 0);
    assert_int_equal(world.seam->sync(file), E_IO);
    assert_int_equal(sim_disk_damage_count(world.disk), 1);
    assert_int_equal(sim_disk_damage_at(world.disk, 0)->kind, SIM_DAMAGE_SYNC_LOST);
    chosen.left = 1;
    assert_int_equal(world.seam->sync_dir(world.seam->ctx, "/"), E_IO);
    world.seam->close(file);
    world_end(&world);
}

static void die_of_a_name(void *ctx, const char *name)
{
    (void)name;
    longjmp(*(jmp_buf *)ctx, 1);
}

static void who_dies_while_it_reads_a_directory_leaves_nothing(void **state)
{
    (void)state;
    struct disk_world world;
    jmp_buf out;
    world_begin(&world, 1);
    struct disk_file *file = file_make(world.seam, "a");
    world.seam->close(file);
    if (setjmp(out) == 0) {
        (void)world.seam->list_dir(world.seam->ctx, "/", die_of_a_name, &out);
        fail();
    }
    sim_disk_process_died(world.disk);
    assert_int_equal(world.seam->remove(world.seam->ctx, "a"), 0);
    world_end(&world); /* asserts that no inode is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_sync_leaves_pages_that_only_look_clean),
        cmocka_unit_test(a_write_after_a_failed_sync_counts_again),
        cmocka_unit_test(reads_and_writes_fail_when_told_to),
        cmocka_unit_test(a_full_disk_takes_what_fits_and_says_so),
        cmocka_unit_test(a_misdirected_write_is_missing_here_and_damage_there),
        cmocka_unit_test(rot_changes_one_durable_sector_and_tells_where),
        cmocka_unit_test(calls_take_their_time_and_spikes_take_more),
        cmocka_unit_test(each_call_that_changes_something_is_told_before_it),
        cmocka_unit_test(a_call_that_is_chosen_fails_alone_and_changes_nothing_else),
        cmocka_unit_test(a_write_that_is_chosen_fails_after_any_part_of_it),
        cmocka_unit_test(a_sync_that_is_chosen_drops_what_it_was_asked_for),
        cmocka_unit_test(who_dies_while_it_reads_a_directory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
