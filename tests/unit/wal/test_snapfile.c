/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshot files: saved whole or not at all, loaded only when the log speaks of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/wal/snapfile.h"
#include "lib_fault_disk.h"

#define DIR "snap"

static void disk_make(struct fault_disk *disk)
{
    fault_disk_init(disk);
    assert_int_equal(disk->seam.make_dir(disk, DIR), 0);
    assert_int_equal(disk->seam.sync_dir(disk, "."), 0);
}

static struct raft_snapshot_mark mark_of(uint64_t index)
{
    struct raft_snapshot_mark mark = {.index = index, .term = 3};
    mark.conf_state.voters[0] = 11;
    mark.conf_state.learners[0] = 12;
    mark.conf_state.voter_count = 1;
    mark.conf_state.learner_count = 1;
    return mark;
}

static void the_newest_snapshot_of_the_log_is_loaded(void **state)
{
    (void)state;
    struct fault_disk disk;
    disk_make(&disk);
    struct raft_snapshot_mark marks[] = {mark_of(10), mark_of(20), mark_of(30)};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(
            snapfile_save(&disk.seam, DIR, &marks[i], bytes_of_str(i == 1 ? "two" : "other"), NULL),
            0);
    }
    fault_disk_crash(&disk);
    struct raft_snapshot_mark mark;
    struct buf data;
    buf_init(&data, BUF_NO_LIMIT);
    assert_int_equal(snapfile_load_newest(&disk.seam, DIR, marks, 2, &mark, &data, NULL), 0);
    assert_int_equal(mark.index, 20);
    assert_int_equal(mark.conf_state.learners[0], 12);
    assert_string_equal(buf_cstr(&data), "two");
    assert_int_equal(snapfile_load_newest(&disk.seam, DIR, marks, 0, &mark, &data, NULL),
                     E_NOT_FOUND);
    assert_int_equal(snapfile_purge(&disk.seam, DIR, 1), 0);
    assert_int_equal(fault_disk_count(&disk, ".snap"), 1);
    assert_int_equal(snapfile_load_newest(&disk.seam, DIR, marks, 3, &mark, &data, NULL), 0);
    assert_int_equal(mark.index, 30);
    buf_free(&data);
    fault_disk_free(&disk);
}

static void a_flipped_bit_anywhere_puts_the_file_aside(void **state)
{
    (void)state;
    struct fault_disk disk;
    disk_make(&disk);
    struct raft_snapshot_mark marks[] = {mark_of(10), mark_of(20)};
    assert_int_equal(snapfile_save(&disk.seam, DIR, &marks[0], bytes_of_str("old"), NULL), 0);
    assert_int_equal(snapfile_save(&disk.seam, DIR, &marks[1], bytes_of_str("new"), NULL), 0);
    const char *path = DIR "/0000000000000003-0000000000000014.snap";
    struct buf *file = fault_disk_bytes(&disk, path);
    struct buf whole;
    buf_init(&whole, BUF_NO_LIMIT);
    (void)buf_append(&whole, file->data, file->size);
    struct buf data;
    buf_init(&data, BUF_NO_LIMIT);
    for (size_t bit = 0; bit < whole.size * 8; bit++) {
        whole.data[bit / 8] = (uint8_t)(whole.data[bit / 8] ^ (1u << bit % 8));
        fault_disk_put(&disk, path, whole.data, whole.size);
        whole.data[bit / 8] = (uint8_t)(whole.data[bit / 8] ^ (1u << bit % 8));
        struct raft_snapshot_mark mark;
        assert_int_equal(snapfile_load_newest(&disk.seam, DIR, marks, 2, &mark, &data, NULL), 0);
        assert_int_equal(mark.index, 10);
        assert_string_equal(buf_cstr(&data), "old");
        assert_null(fault_disk_bytes(&disk, path));
    }
    buf_free(&data);
    buf_free(&whole);
    fault_disk_free(&disk);
}

static void a_failed_save_leaves_no_half_file(void **state)
{
    (void)state;
    for (uint64_t fail_at = 1; fail_at < 7; fail_at++) {
        struct fault_disk disk;
        disk_make(&disk);
        struct raft_snapshot_mark marks[] = {mark_of(10), mark_of(20)};
        assert_int_equal(snapfile_save(&disk.seam, DIR, &marks[0], bytes_of_str("old"), NULL), 0);
        disk.fail_at = disk.changes + fail_at;
        int rc = snapfile_save(&disk.seam, DIR, &marks[1], bytes_of_str("new"), NULL);
        assert_int_equal(rc, fail_at <= 5 ? E_IO : 0);
        disk.fail_at = 0;
        fault_disk_crash(&disk);
        struct raft_snapshot_mark mark;
        struct buf data;
        buf_init(&data, BUF_NO_LIMIT);
        assert_int_equal(snapfile_load_newest(&disk.seam, DIR, marks, 2, &mark, &data, NULL), 0);
        assert_int_equal(mark.index, rc == 0 ? 20 : 10);
        assert_int_equal(snapfile_purge(&disk.seam, DIR, 5), 0);
        assert_int_equal(fault_disk_count(&disk, ".tmp"), 0);
        assert_int_equal(fault_disk_count(&disk, ".broken"), 0);
        buf_free(&data);
        fault_disk_free(&disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_snapshot_of_the_log_is_loaded),
        cmocka_unit_test(a_flipped_bit_anywhere_puts_the_file_aside),
        cmocka_unit_test(a_failed_save_leaves_no_half_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
