/* SPDX-License-Identifier: Apache-2.0 */
/* The disk of faultfs: what survives a power cut, and what does not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "tests/chaos/faultdisk.h"

static const char zero_text[512] = {0};

struct world {
    struct faultdisk disk;
    struct rng luck;
};

static struct world *world_new(void)
{
    struct world *w = mem_zalloc(sizeof(*w));
    faultdisk_init(&w->disk);
    rng_seed(&w->luck, 1);
    return w;
}

static void world_free(struct world *w)
{
    faultdisk_free(&w->disk);
    mem_free(w);
}

static struct faultnode *make_file(struct world *w, const char *name)
{
    struct faultnode *file = NULL;
    assert_int_equal(faultdisk_make(&w->disk, w->disk.root, name, S_IFREG | 0600, &file), 0);
    return file;
}

static void write_text(struct world *w, struct faultnode *file, uint64_t at, const char *text)
{
    assert_int_equal(faultdisk_write(&w->disk, file, at, text, strlen(text)), 0);
}

static void assert_reads(struct faultnode *file, uint64_t at, const char *text)
{
    char data[64] = {0};
    assert_int_equal(faultdisk_read(file, at, data, strlen(text)), strlen(text));
    assert_string_equal(data, text);
}

static void what_was_not_synced_is_gone_and_what_was_stays(void **state)
{
    struct world *w = world_new();
    struct faultnode *file = make_file(w, "a");
    (void)state;
    faultdisk_sync(&w->disk, w->disk.root);
    write_text(w, file, 0, "one");
    faultdisk_sync(&w->disk, file);
    write_text(w, file, 0, "two");
    write_text(w, file, 9000, "tail");
    assert_reads(file, 0, "two");
    assert_int_equal(faultdisk_unsynced_bytes(&w->disk), 2 * FAULTDISK_SECTOR);
    struct faultloss loss = faultdisk_power_cut(&w->disk, &w->luck, 0);
    assert_int_equal(loss.sectors_lost, 2);
    assert_reads(file, 0, "one");
    assert_int_equal(file->size, 3);
    assert_int_equal(faultdisk_unsynced_bytes(&w->disk), 0);
    write_text(w, file, 9000, "more");
    char between[4];
    assert_int_equal(faultdisk_read(file, 8996, between, 4), 4);
    assert_memory_equal(between, "\0\0\0\0", 4);
    world_free(w);
}

static void a_name_lasts_only_when_its_folder_was_synced(void **state)
{
    struct world *w = world_new();
    struct faultnode *file = make_file(w, "a");
    (void)state;
    write_text(w, file, 0, "x");
    faultdisk_sync(&w->disk, file);
    assert_int_equal(faultdisk_power_cut(&w->disk, &w->luck, 0).names_lost, 1);
    assert_null(faultdisk_find(w->disk.root, "a"));
    make_file(w, "b");
    faultdisk_sync(&w->disk, w->disk.root);
    assert_int_equal(faultdisk_rename(&w->disk, w->disk.root, "b", w->disk.root, "c"), 0);
    assert_null(faultdisk_find(w->disk.root, "b"));
    faultdisk_power_cut(&w->disk, &w->luck, 0);
    assert_non_null(faultdisk_find(w->disk.root, "b"));
    assert_null(faultdisk_find(w->disk.root, "c"));
    world_free(w);
}

static void a_removal_and_a_rename_over_a_file_are_taken_back(void **state)
{
    struct world *w = world_new();
    struct faultnode *old = make_file(w, "keep");
    (void)state;
    write_text(w, old, 0, "old");
    faultdisk_sync(&w->disk, old);
    faultdisk_sync(&w->disk, w->disk.root);
    struct faultnode *fresh = make_file(w, "keep.tmp");
    write_text(w, fresh, 0, "new");
    faultdisk_sync(&w->disk, fresh);
    assert_int_equal(faultdisk_rename(&w->disk, w->disk.root, "keep.tmp", w->disk.root, "keep"), 0);
    assert_reads(faultdisk_find(w->disk.root, "keep"), 0, "new");
    faultdisk_power_cut(&w->disk, &w->luck, 0);
    assert_reads(faultdisk_find(w->disk.root, "keep"), 0, "old");
    assert_int_equal(faultdisk_unlink(&w->disk, w->disk.root, "keep"), 0);
    faultdisk_power_cut(&w->disk, &w->luck, 0);
    assert_reads(faultdisk_find(w->disk.root, "keep"), 0, "old");
    assert_int_equal(faultdisk_unlink(&w->disk, w->disk.root, "keep"), 0);
    faultdisk_sync(&w->disk, w->disk.root);
    faultdisk_power_cut(&w->disk, &w->luck, 0);
    assert_null(faultdisk_walk(&w->disk, "/keep"));
    assert_int_equal(w->disk.used_pages, 0);
    world_free(w);
}

static void after_a_failed_sync_no_later_one_helps(void **state)
{
    struct world *w = world_new();
    struct faultnode *file = make_file(w, "a");
    (void)state;
    faultdisk_sync(&w->disk, w->disk.root);
    write_text(w, file, 0, "good");
    faultdisk_sync(&w->disk, file);
    write_text(w, file, 0, "lost");
    faultdisk_sync_fails(file);
    assert_reads(file, 0, "lost");
    faultdisk_sync(&w->disk, file);
    faultdisk_power_cut(&w->disk, &w->luck, 0);
    assert_reads(file, 0, "good");
    write_text(w, file, 0, "bad1");
    faultdisk_sync_fails(file);
    write_text(w, file, 0, "next");
    faultdisk_sync(&w->disk, file);
    faultdisk_power_cut(&w->disk, &w->luck, 0);
    assert_reads(file, 0, "next");
    world_free(w);
}

static void a_cut_may_keep_some_sectors_of_a_write(void **state)
{
    struct world *w = world_new();
    struct faultnode *file = make_file(w, "a");
    uint8_t zeros[16 * FAULTDISK_PAGE] = {0};
    uint8_t ones[sizeof(zeros)];
    (void)state;
    memset(ones, 1, sizeof(ones));
    faultdisk_sync(&w->disk, w->disk.root);
    assert_int_equal(faultdisk_write(&w->disk, file, 0, zeros, sizeof(zeros)), 0);
    faultdisk_sync(&w->disk, file);
    assert_int_equal(faultdisk_write(&w->disk, file, 0, ones, sizeof(ones)), 0);
    struct faultloss loss = faultdisk_power_cut(&w->disk, &w->luck, 50);
    assert_int_equal(loss.sectors_lost + loss.sectors_kept, sizeof(ones) / FAULTDISK_SECTOR);
    assert_true(loss.sectors_lost > 30 && loss.sectors_kept > 30);
    uint64_t kept = 0;
    for (size_t i = 0; i < sizeof(ones); i += FAULTDISK_SECTOR) {
        uint8_t sector[FAULTDISK_SECTOR];
        assert_int_equal(faultdisk_read(file, i, sector, sizeof(sector)), sizeof(sector));
        assert_true(memcmp(sector, ones, sizeof(sector)) == 0 ||
                    memcmp(sector, zeros, sizeof(sector)) == 0);
        kept += sector[0];
    }
    assert_int_equal(kept, loss.sectors_kept);
    world_free(w);
}

static void a_write_that_syncs_itself_says_nothing_of_others(void **state)
{
    struct world *w = world_new();
    struct faultnode *file = make_file(w, "a");
    (void)state;
    faultdisk_sync(&w->disk, w->disk.root);
    write_text(w, file, 0, "meta");
    write_text(w, file, 4096, "page");
    faultdisk_sync_range(file, 0, 4);
    faultdisk_power_cut(&w->disk, &w->luck, 0);
    assert_reads(file, 0, "meta");
    char page[4];
    assert_int_equal(faultdisk_read(file, 4096, page, 4), 4);
    assert_memory_equal(page, "\0\0\0\0", 4);
    world_free(w);
}

static void a_shorter_file_has_its_bytes_back_after_a_cut(void **state)
{
    struct world *w = world_new();
    struct faultnode *file = make_file(w, "a");
    (void)state;
    faultdisk_sync(&w->disk, w->disk.root);
    write_text(w, file, 0, "head");
    write_text(w, file, 10000, "tail");
    faultdisk_sync(&w->disk, file);
    assert_int_equal(faultdisk_truncate(&w->disk, file, 2), 0);
    assert_int_equal(faultdisk_truncate(&w->disk, file, 10004), 0);
    char tail[4];
    assert_int_equal(faultdisk_read(file, 10000, tail, 4), 4);
    assert_memory_equal(tail, "\0\0\0\0", 4);
    faultdisk_power_cut(&w->disk, &w->luck, 0);
    assert_reads(file, 0, "head");
    assert_reads(file, 10000, "tail");
    world_free(w);
}

static void a_full_disk_takes_what_was_reserved_and_nothing_new(void **state)
{
    struct world *w = world_new();
    struct faultnode *file = make_file(w, "a");
    struct faultnode *other;
    (void)state;
    assert_int_equal(faultdisk_reserve(&w->disk, file, 0, 8192), 0);
    w->disk.is_full = true;
    write_text(w, file, 5000, "room");
    assert_reads(file, 5000, "room");
    assert_int_equal(faultdisk_write(&w->disk, file, 8000, zero_text, 300), -ENOSPC);
    assert_int_equal(faultdisk_make(&w->disk, w->disk.root, "b", S_IFREG, &other), -ENOSPC);
    w->disk.is_full = false;
    assert_int_equal(faultdisk_write(&w->disk, file, 8000, zero_text, 300), 0);
    world_free(w);
}

static void rot_is_on_the_disk_itself(void **state)
{
    struct world *w = world_new();
    struct faultnode *file = make_file(w, "a");
    (void)state;
    faultdisk_sync(&w->disk, w->disk.root);
    write_text(w, file, 0, "abc");
    faultdisk_sync(&w->disk, file);
    assert_int_equal(faultdisk_rot(file, 1, 100), 2);
    assert_reads(file, 0, "ars");
    faultdisk_power_cut(&w->disk, &w->luck, 0);
    assert_reads(file, 0, "ars");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_synced_is_gone_and_what_was_stays),
        cmocka_unit_test(a_name_lasts_only_when_its_folder_was_synced),
        cmocka_unit_test(a_removal_and_a_rename_over_a_file_are_taken_back),
        cmocka_unit_test(after_a_failed_sync_no_later_one_helps),
        cmocka_unit_test(a_cut_may_keep_some_sectors_of_a_write),
        cmocka_unit_test(a_write_that_syncs_itself_says_nothing_of_others),
        cmocka_unit_test(a_shorter_file_has_its_bytes_back_after_a_cut),
        cmocka_unit_test(a_full_disk_takes_what_was_reserved_and_nothing_new),
        cmocka_unit_test(rot_is_on_the_disk_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
