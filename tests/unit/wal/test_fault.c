/* SPDX-License-Identifier: Apache-2.0 */
/* A failing disk: whichever call fails, nothing acknowledged is lost and the log stays poisoned. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "lib_log.h"

#define SEGMENT_BYTES 4096u
#define PAYLOAD_BYTES 60u
#define ENTRIES       120u

/* Appends one by one with marks and purges; gives the last index that was acknowledged. */
static uint64_t workload_run(struct wal *wal, int *out_rc)
{
    uint64_t acknowledged = 0;
    int rc = 0;
    for (uint32_t i = 1; rc == 0 && i <= ENTRIES; i++) {
        rc = log_append(wal, i, 1, 1, PAYLOAD_BYTES);
        if (rc == 0) {
            rc = wal_sync(wal);
        }
        if (rc == 0) {
            acknowledged = i;
        }
        if (rc == 0 && i % 20 == 0) {
            wal_write_durability_mark(wal);
        }
        if (rc == 0 && i == 70) {
            struct raft_snapshot_mark mark = {.index = 60, .term = 1};
            mark.conf_state.voters[0] = 7;
            mark.conf_state.voter_count = 1;
            rc = wal_save_mark(wal, &mark);
        }
        if (rc == 0 && i == 80) {
            rc = wal_purge(wal, 60, 1);
        }
    }
    *out_rc = rc;
    return acknowledged;
}

/* Opens at the newest mark that the log names and gives the last index. */
static uint64_t reopened_last(struct fault_disk *disk, uint64_t acknowledged)
{
    struct wal_options options = log_options(disk, SEGMENT_BYTES);
    struct raft_snapshot_mark *marks = NULL;
    uint32_t count = 0;
    assert_int_equal(wal_list_marks(&options, &marks, &count, NULL), 0);
    assert_true(count > 0);
    struct raft_snapshot_mark mark = marks[count - 1];
    mem_free(marks);
    struct wal *wal = NULL;
    struct wal_contents contents;
    struct err err = {""};
    int rc = wal_open(&options, &mark, &wal, &contents, &err);
    if (rc != 0) {
        print_error("acknowledged %lu: %s\n", (unsigned long)acknowledged, err.text);
    }
    assert_int_equal(rc, 0);
    assert_int_not_equal(contents.tail, WAL_TAIL_SUSPECT);
    uint64_t last = contents.mark.index + contents.entry_count;
    wal_contents_free(&contents);
    wal_close(wal);
    return last;
}

/* fail_at counts from after the log was made. Gives false when the workload ended before it. */
static bool trial(uint64_t fail_at, int code)
{
    struct fault_disk disk;
    fault_disk_init(&disk);
    struct wal *wal = log_create(&disk, SEGMENT_BYTES);
    uint64_t before = disk.changes;
    disk.fail_at = before + fail_at;
    disk.fail_code = code;

    int rc = 0;
    uint64_t acknowledged = workload_run(wal, &rc);
    bool reached = disk.changes >= disk.fail_at;
    if (rc != 0) {
        assert_int_equal(rc, code);
        assert_int_equal(log_append(wal, acknowledged + 1, 1, 1, PAYLOAD_BYTES), code);
        assert_int_equal(wal_sync(wal), code);
        assert_int_equal(wal_purge(wal, 1, 1), code);
        assert_int_equal(wal_clear_suspect(wal), code);
    } else {
        assert_int_equal(acknowledged, ENTRIES);
    }
    wal_close(wal);
    disk.fail_at = 0;
    fault_disk_crash(&disk);
    assert_true(reopened_last(&disk, acknowledged) >= acknowledged);
    fault_disk_free(&disk);
    return reached;
}

static void no_failing_call_loses_what_was_acknowledged(void **state)
{
    (void)state;
    static const int CODES[] = {E_IO, E_NO_SPACE};
    for (size_t i = 0; i < ARRAY_COUNT(CODES); i++) {
        uint64_t fail_at = 1;
        while (trial(fail_at, CODES[i])) {
            fail_at++;
        }
        assert_true(fail_at > ENTRIES * 2);
    }
}

/* The end of a log is cut while the disk fails at each call; the next start finishes the work. */
static void a_repair_that_fails_half_way_is_finished_on_the_next_start(void **state)
{
    (void)state;
    for (unsigned suspect = 0; suspect < 2; suspect++) {
        for (uint64_t fail_at = 1; fail_at < 40; fail_at++) {
            struct fault_disk disk;
            fault_disk_init(&disk);
            struct wal *wal = log_create(&disk, SEGMENT_BYTES);
            for (uint32_t i = 1; i <= 100; i++) {
                assert_int_equal(log_append(wal, i, 1, 1, PAYLOAD_BYTES), 0);
            }
            assert_int_equal(wal_sync(wal), 0);
            if (suspect != 0) {
                wal_write_durability_mark(wal);
            }
            wal_close(wal);
            const char *last = NULL;
            for (size_t i = 0; i < disk.live.count; i++) {
                const char *path = disk.live.items[i].path;
                if (strstr(path, ".wal") != NULL && (last == NULL || strcmp(path, last) > 0)) {
                    last = path;
                }
            }
            struct buf *bytes = fault_disk_bytes(&disk, last);
            size_t used = bytes->size;
            while (bytes->data[used - 1] == 0) {
                used--;
            }
            bytes->data[used - 1] ^= 1;
            fault_disk_put(&disk, last, bytes->data, bytes->size);

            struct wal_options options = log_options(&disk, SEGMENT_BYTES);
            struct raft_snapshot_mark none = {0};
            struct wal_contents contents;
            disk.fail_at = disk.changes + fail_at;
            if (wal_open(&options, &none, &wal, &contents, NULL) == 0) {
                wal_contents_free(&contents);
                wal_close(wal);
            }
            disk.fail_at = 0;
            fault_disk_crash(&disk);
            wal = log_open(&disk, SEGMENT_BYTES, &contents);
            assert_true(contents.entry_count >= 99);
            assert_true(log_is_prefix(&contents, PAYLOAD_BYTES));
            if (suspect != 0) {
                assert_int_equal(contents.tail, WAL_TAIL_SUSPECT);
            } else {
                assert_int_not_equal(contents.tail, WAL_TAIL_SUSPECT);
            }
            wal_contents_free(&contents);
            wal_close(wal);
            fault_disk_free(&disk);
        }
    }
}

static void a_log_whose_making_failed_can_be_made_again(void **state)
{
    (void)state;
    for (uint64_t fail_at = 1; fail_at < 30; fail_at++) {
        struct fault_disk disk;
        fault_disk_init(&disk);
        assert_int_equal(disk.seam.make_dir(&disk, "member"), 0);
        assert_int_equal(disk.seam.sync_dir(&disk, "."), 0);
        struct wal_options options = log_options(&disk, SEGMENT_BYTES);
        struct wal_metadata metadata = {3, 4};
        struct wal *wal = NULL;
        disk.fail_at = disk.changes + fail_at;
        if (wal_create(&options, &metadata, &wal, NULL) == 0) {
            wal_close(wal);
        }
        disk.fail_at = 0;
        fault_disk_crash(&disk);
        bool exists = false;
        assert_int_equal(wal_find(&disk.seam, LOG_DIR, &exists), 0);
        if (!exists) {
            assert_int_equal(wal_create(&options, &metadata, &wal, NULL), 0);
            wal_close(wal);
        }
        struct wal_contents contents;
        wal = log_open(&disk, SEGMENT_BYTES, &contents);
        assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
        wal_contents_free(&contents);
        wal_close(wal);
        fault_disk_free(&disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_failing_call_loses_what_was_acknowledged),
        cmocka_unit_test(a_repair_that_fails_half_way_is_finished_on_the_next_start),
        cmocka_unit_test(a_log_whose_making_failed_can_be_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
