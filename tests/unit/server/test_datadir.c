/* SPDX-License-Identifier: Apache-2.0 */
/* The swap of a store by an installed snapshot, cut at each step, and what the next start makes of
 * it. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/server/datadir.h"

#define INDEX 0x99u

/* The real disk, until so many changes were made: then every further one fails. */
struct cut {
    struct disk_seam seam;
    int left;
};

static int cut_rename(void *ctx, const char *from, const char *to)
{
    struct cut *cut = ctx;
    return cut->left-- <= 0 ? E_IO : disk_posix()->rename(disk_posix()->ctx, from, to);
}

static int cut_remove(void *ctx, const char *path)
{
    struct cut *cut = ctx;
    return cut->left-- <= 0 ? E_IO : disk_posix()->remove(disk_posix()->ctx, path);
}

static int cut_sync_dir(void *ctx, const char *path)
{
    struct cut *cut = ctx;
    return cut->left-- <= 0 ? E_IO : disk_posix()->sync_dir(disk_posix()->ctx, path);
}

static int cut_list_dir(void *ctx, const char *path, disk_list_fn each, void *each_ctx)
{
    (void)ctx;
    return disk_posix()->list_dir(disk_posix()->ctx, path, each, each_ctx);
}

static void cut_init(struct cut *cut, int left)
{
    cut->seam = *disk_posix();
    cut->seam.ctx = cut;
    cut->seam.rename = cut_rename;
    cut->seam.remove = cut_remove;
    cut->seam.sync_dir = cut_sync_dir;
    cut->seam.list_dir = cut_list_dir;
    cut->left = left;
}

/* A folder with one file that says whose it is. */
static void put_store(const char *dir, const char *name, const char *text)
{
    char *path = str_printf("%s/%s", dir, name);
    char *file_path = str_printf("%s/data", path);
    assert_int_equal(mkdir(path, 0700), 0);
    FILE *file = fopen(file_path, "w");
    fputs(text, file);
    fclose(file);
    mem_free(file_path);
    mem_free(path);
}

/* What member/store says; "" when it is not there. */
static void get_store(const char *dir, char out[16])
{
    char *path = str_printf("%s/store/data", dir);
    FILE *file = fopen(path, "r");
    out[0] = '\0';
    if (file != NULL) {
        assert_non_null(fgets(out, 16, file));
        fclose(file);
    }
    mem_free(path);
}

static void count_name(void *ctx, const char *name)
{
    (void)name;
    (*(size_t *)ctx)++;
}

static size_t count_names(const char *dir)
{
    size_t count = 0;
    assert_int_equal(disk_posix()->list_dir(disk_posix()->ctx, dir, count_name, &count), 0);
    return count;
}

static char *folder(void)
{
    char name[] = "/tmp/quorate-datadir-XXXXXX";
    assert_non_null(mkdtemp(name));
    return str_dup(name);
}

static void folder_drop(char *dir)
{
    char *command = str_printf("rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
    mem_free(command);
    mem_free(dir);
}

static char *fresh_name(void)
{
    return str_printf("store.%016x.new", INDEX);
}

static void a_recorded_snapshot_wins_whatever_step_was_cut(void **state)
{
    (void)state;
    bool finished = false;
    for (int left = 0; !finished; left++) {
        char *dir = folder();
        char *fresh = fresh_name();
        char text[16];
        struct cut cut;
        struct err err;
        put_store(dir, "store", "old");
        put_store(dir, fresh, "new");
        cut_init(&cut, left);
        finished = store_dir_swap(&cut.seam, dir, INDEX, &err) == 0 && cut.left >= 0;
        /* The next start is cut at each step too, and the one after it is not. */
        for (int again = 0; again < 8; again++) {
            cut_init(&cut, again);
            int rc = store_dir_settle(&cut.seam, dir, INDEX, &err);
            assert_true(rc == 0 || rc == E_IO);
        }
        assert_int_equal(store_dir_settle(disk_posix(), dir, INDEX, &err), 0);
        get_store(dir, text);
        assert_string_equal(text, "new");
        assert_int_equal(count_names(dir), 1);
        mem_free(fresh);
        folder_drop(dir);
        assert_true(left < 20);
    }
}

static void a_snapshot_that_the_log_does_not_speak_of_is_dropped(void **state)
{
    (void)state;
    for (uint64_t mark = 0; mark < 3; mark++) {
        char *dir = folder();
        char *fresh = fresh_name();
        char text[16];
        struct err err;
        put_store(dir, "store", "old");
        put_store(dir, fresh, "new");
        assert_int_equal(store_dir_settle(disk_posix(), dir, mark * (INDEX - 1), &err), 0);
        get_store(dir, text);
        assert_string_equal(text, "old");
        assert_int_equal(count_names(dir), 1);
        mem_free(fresh);
        folder_drop(dir);
    }
}

static void a_first_start_has_nothing_to_settle(void **state)
{
    (void)state;
    char *dir = folder();
    struct err err;
    assert_int_equal(store_dir_settle(disk_posix(), dir, 0, &err), 0);
    assert_int_equal(count_names(dir), 0);
    folder_drop(dir);
}

static void put_file(const char *dir, const char *name)
{
    char *path = str_printf("%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    mem_free(path);
}

static void half_received_snapshots_go_and_snap_files_stay(void **state)
{
    (void)state;
    char *dir = folder();
    struct err err;
    put_file(dir, "recv-0000000000000009-1.tmp");
    put_file(dir, "0000000000000009.snap.db");
    put_file(dir, "0000000000000001-0000000000000009.snap");
    assert_int_equal(snap_dir_settle(disk_posix(), dir, &err), 0);
    assert_int_equal(count_names(dir), 1);
    char *kept = str_printf("%s/0000000000000001-0000000000000009.snap", dir);
    assert_int_equal(access(kept, F_OK), 0);
    mem_free(kept);
    folder_drop(dir);
}

static void folders_are_made_with_their_parents(void **state)
{
    (void)state;
    char *dir = folder();
    char *deep = str_printf("%s/a/b/c", dir);
    struct err err;
    struct stat about;
    assert_int_equal(datadir_make(disk_posix(), deep, &err), 0);
    assert_int_equal(datadir_make(disk_posix(), deep, &err), 0);
    assert_int_equal(stat(deep, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    put_file(dir, "plain");
    char *below = str_printf("%s/plain/x", dir);
    assert_true(datadir_make(disk_posix(), below, &err) < 0);
    assert_non_null(strstr(err.text, below));
    mem_free(below);
    mem_free(deep);
    folder_drop(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recorded_snapshot_wins_whatever_step_was_cut),
        cmocka_unit_test(a_snapshot_that_the_log_does_not_speak_of_is_dropped),
        cmocka_unit_test(a_first_start_has_nothing_to_settle),
        cmocka_unit_test(half_received_snapshots_go_and_snap_files_stay),
        cmocka_unit_test(folders_are_made_with_their_parents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
