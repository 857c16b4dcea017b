/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a log at a snapshot: entries after its index that were overwritten, or that a leader's
 * snapshot replaced, do not come back. And names that a killed process left half durable.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "lib_log.h"

#define SEGMENT_BYTES 16384u
#define PAYLOAD_BYTES 100u

static struct wal *open_at(struct fault_disk *disk, uint64_t index, uint64_t term,
                           struct wal_contents *out_contents)
{
    struct wal_options options = log_options(disk, SEGMENT_BYTES);
    struct raft_snapshot_mark mark = {.index = index, .term = term};
    struct wal *wal = NULL;
    struct err err = {""};
    if (wal_open(&options, &mark, &wal, out_contents, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return wal;
}

static void save(struct wal *wal, uint64_t index, uint64_t term)
{
    struct raft_snapshot_mark mark = {.index = index, .term = term};
    struct raft_hard_state state = {.term = term, .vote = 7, .commit = index};
    assert_int_equal(wal_append(wal, NULL, 0, &state), 0);
    assert_int_equal(wal_save_mark(wal, &mark), 0);
}

/* Entries of the log as opened at the mark: count of them, the first at index + 1, all of term. */
static void assert_opens(struct fault_disk *disk, uint64_t index, uint64_t mark_term,
                         uint32_t count, uint64_t term)
{
    struct wal_contents contents;
    struct wal *wal = open_at(disk, index, mark_term, &contents);
    assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
    assert_int_equal(contents.entry_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(contents.entries[i].index, index + 1 + i);
        assert_int_equal(contents.entries[i].term, term);
    }
    wal_contents_free(&contents);
    wal_close(wal);
}

static void entries_overwritten_before_a_snapshot_do_not_come_back(void **state)
{
    (void)state;
    struct fault_disk disk;
    fault_disk_init(&disk);
    struct wal *wal = log_create(&disk, SEGMENT_BYTES);
    assert_int_equal(log_append(wal, 1, 6, 1, PAYLOAD_BYTES), 0);
    assert_int_equal(log_append(wal, 4, 1, 2, PAYLOAD_BYTES), 0); /* 5 and 6 are gone */
    save(wal, 4, 2);
    wal_close(wal);
    assert_opens(&disk, 4, 2, 0, 0);
    fault_disk_free(&disk);
}

static void entries_that_a_leaders_snapshot_replaced_do_not_come_back(void **state)
{
    (void)state;
    static const uint64_t TERMS[] = {1, 3, 9}; /* below, as and above that of the snapshot */
    for (size_t i = 0; i < ARRAY_COUNT(TERMS); i++) {
        struct fault_disk disk;
        fault_disk_init(&disk);
        struct wal *wal = log_create(&disk, SEGMENT_BYTES);
        assert_int_equal(log_append(wal, 1, 5, 1, PAYLOAD_BYTES), 0);
        assert_int_equal(log_append(wal, 6, 3, TERMS[i], PAYLOAD_BYTES), 0);
        struct raft_snapshot_mark mark = {.index = 5, .term = 3};
        assert_int_equal(wal_save_mark(wal, &mark), 0);
        assert_int_equal(log_append(wal, 6, 1, 10, PAYLOAD_BYTES), 0);
        assert_int_equal(wal_sync(wal), 0);
        wal_close(wal);
        assert_opens(&disk, 5, 3, 1, 10);
        fault_disk_free(&disk);
    }
}

static void entries_after_a_snapshot_of_our_own_stay(void **state)
{
    (void)state;
    struct fault_disk disk;
    fault_disk_init(&disk);
    struct wal *wal = log_create(&disk, SEGMENT_BYTES);
    assert_int_equal(log_append(wal, 1, 8, 3, PAYLOAD_BYTES), 0);
    save(wal, 5, 3);
    wal_close(wal);
    assert_opens(&disk, 5, 3, 3, 3);
    fault_disk_free(&disk);
}

/* The process ends at each call; it starts again on the same system and is told to keep an entry;
 * then the power goes. Returns false when the call was not reached. */
static bool killed_at(uint64_t fail_at)
{
    struct fault_disk disk;
    fault_disk_init(&disk);
    disk.fail_code = E_IO;
    assert_int_equal(disk.seam.make_dir(&disk, "member"), 0);
    assert_int_equal(disk.seam.sync_dir(&disk, "."), 0);
    struct wal_options options = log_options(&disk, SEGMENT_BYTES);
    struct wal_metadata metadata = {.node_id = 1, .cluster_id = 2};
    struct wal *wal = NULL;
    fail_at += disk.changes;
    disk.fail_at = fail_at;
    int rc = wal_create(&options, &metadata, &wal, NULL);
    for (uint64_t index = 1; rc == 0 && index < 300; index++) {
        rc = log_append(wal, index, 1, 1, PAYLOAD_BYTES);
        rc = rc == 0 ? wal_sync(wal) : rc;
    }
    wal_close(wal);
    bool reached = disk.changes >= fail_at;
    disk.fail_at = 0;
    bool exists = false;
    assert_int_equal(wal_find(&disk.seam, LOG_DIR, &exists), 0);
    if (exists) {
        struct wal_contents contents;
        wal = log_open(&disk, SEGMENT_BYTES, &contents);
        uint32_t count = contents.entry_count;
        wal_contents_free(&contents);
        assert_int_equal(log_append(wal, count + 1, 1, 1, PAYLOAD_BYTES), 0);
        assert_int_equal(wal_sync(wal), 0);
        wal_close(wal);
        fault_disk_crash(&disk);
        wal = log_open(&disk, SEGMENT_BYTES, &contents);
        assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
        assert_int_equal(contents.entry_count, count + 1);
        wal_contents_free(&contents);
        wal_close(wal);
    }
    fault_disk_free(&disk);
    return reached;
}

static void a_name_that_a_killed_process_left_is_durable_before_it_is_used(void **state)
{
    (void)state;
    uint64_t fail_at = 1;
    log_set_level(LOG_LEVEL_FATAL);
    while (killed_at(fail_at)) {
        fail_at++;
    }
    assert_true(fail_at > 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_overwritten_before_a_snapshot_do_not_come_back),
        cmocka_unit_test(entries_that_a_leaders_snapshot_replaced_do_not_come_back),
        cmocka_unit_test(entries_after_a_snapshot_of_our_own_stay),
        cmocka_unit_test(a_name_that_a_killed_process_left_is_durable_before_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
