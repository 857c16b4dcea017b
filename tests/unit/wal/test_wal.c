/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a log and reading it back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/wal/marker.h"
#include "lib_log.h"

#define SEGMENT_BYTES 16384u
#define PAYLOAD_BYTES 100u

static void every_record_count_reads_back_after_a_reopen(void **state)
{
    (void)state;
    struct fault_disk disk;
    fault_disk_init(&disk);
    wal_close(log_create(&disk, SEGMENT_BYTES));

    for (uint32_t count = 0; count < 400; count++) {
        struct wal_contents contents;
        struct wal *wal = log_open(&disk, SEGMENT_BYTES, &contents);
        assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
        assert_int_equal(contents.entry_count, count);
        assert_true(log_is_prefix(&contents, PAYLOAD_BYTES));
        assert_int_equal(contents.hard_state.commit, count);
        assert_true(contents.metadata.node_id == 0x8e9e05c52164694d);
        assert_int_equal(log_append(wal, count + 1, 1, 3, PAYLOAD_BYTES), 0);
        assert_int_equal(wal_sync(wal), 0);
        wal_contents_free(&contents);
        wal_close(wal);
        fault_disk_crash(&disk);
    }
    assert_true(fault_disk_count(&disk, ".wal") > 2);
    fault_disk_free(&disk);
}

static void a_batch_is_one_write_and_one_flush(void **state)
{
    (void)state;
    struct fault_disk disk;
    fault_disk_init(&disk);
    struct wal *wal = log_create(&disk, 1u << 20);
    uint64_t writes = disk.writes;
    uint64_t syncs = disk.syncs;

    assert_int_equal(log_append(wal, 1, 500, 1, PAYLOAD_BYTES), 0);
    assert_int_equal(log_append(wal, 501, 500, 1, PAYLOAD_BYTES), 0);
    assert_int_equal(wal_sync(wal), 0);

    assert_int_equal(disk.writes - writes, 1);
    assert_int_equal(disk.syncs - syncs, 1);
    assert_int_equal(wal_sync(wal), 0);
    assert_int_equal(disk.syncs - syncs, 1);
    wal_close(wal);
    fault_disk_free(&disk);
}

static void what_was_not_flushed_is_gone_and_what_was_is_there(void **state)
{
    (void)state;
    struct fault_disk disk;
    fault_disk_init(&disk);
    struct wal *wal = log_create(&disk, SEGMENT_BYTES);
    assert_int_equal(log_append(wal, 1, 5, 1, PAYLOAD_BYTES), 0);
    assert_int_equal(wal_sync(wal), 0);
    assert_int_equal(log_append(wal, 6, 5, 1, PAYLOAD_BYTES), 0);
    wal_close(wal);
    fault_disk_crash(&disk);

    struct wal_contents contents;
    wal = log_open(&disk, SEGMENT_BYTES, &contents);
    assert_int_equal(contents.entry_count, 5);
    wal_contents_free(&contents);
    wal_close(wal);
    fault_disk_free(&disk);
}

static void a_later_entry_of_the_same_index_drops_those_after_it(void **state)
{
    (void)state;
    struct fault_disk disk;
    fault_disk_init(&disk);
    struct wal *wal = log_create(&disk, SEGMENT_BYTES);
    assert_int_equal(log_append(wal, 1, 10, 1, PAYLOAD_BYTES), 0);
    assert_int_equal(log_append(wal, 4, 2, 2, PAYLOAD_BYTES), 0);
    assert_int_equal(wal_sync(wal), 0);
    wal_close(wal);

    struct wal_contents contents;
    wal = log_open(&disk, SEGMENT_BYTES, &contents);
    assert_int_equal(contents.entry_count, 5);
    assert_int_equal(contents.entries[2].term, 1);
    assert_int_equal(contents.entries[3].term, 2);
    assert_int_equal(contents.hard_state.commit, 5);
    assert_int_equal(log_append(wal, 6, 1, 2, PAYLOAD_BYTES), 0);
    wal_contents_free(&contents);
    wal_close(wal);
    fault_disk_free(&disk);
}

/* A log with a mark at index 100 of 200 entries. */
static struct wal *marked_log(struct fault_disk *disk)
{
    fault_disk_init(disk);
    struct wal *wal = log_create(disk, 4096);
    for (uint32_t i = 1; i <= 200; i++) {
        assert_int_equal(log_append(wal, i, 1, 2, PAYLOAD_BYTES), 0);
        if (i % 10 == 0) {
            assert_int_equal(wal_sync(wal), 0);
        }
    }
    struct raft_snapshot_mark mark = {.index = 100, .term = 2};
    mark.conf_state.voters[0] = 5;
    mark.conf_state.voters[1] = 9;
    mark.conf_state.voter_count = 2;
    assert_int_equal(wal_save_mark(wal, &mark), 0);
    return wal;
}

static void a_purged_log_opens_at_its_mark_and_not_before(void **state)
{
    (void)state;
    struct fault_disk disk;
    struct wal *wal = marked_log(&disk);
    size_t segments = fault_disk_count(&disk, ".wal");
    assert_int_equal(wal_purge(wal, 100, 1), 0);
    assert_true(fault_disk_count(&disk, ".wal") < segments);
    assert_true(fault_disk_count(&disk, ".wal") > 2);
    wal_close(wal);
    fault_disk_crash(&disk);

    struct wal_options options = log_options(&disk, 4096);
    struct raft_snapshot_mark *marks = NULL;
    uint32_t mark_count = 0;
    assert_int_equal(wal_list_marks(&options, &marks, &mark_count, NULL), 0);
    assert_int_equal(mark_count, 1);
    assert_int_equal(marks[0].index, 100);

    struct wal_contents contents;
    struct err err;
    struct raft_snapshot_mark mark = {.index = marks[0].index, .term = marks[0].term};
    assert_int_equal(wal_open(&options, &mark, &wal, &contents, &err), 0);
    assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
    assert_int_equal(contents.entry_count, 100);
    assert_int_equal(contents.entries[0].index, 101);
    assert_int_equal(contents.mark.conf_state.voter_count, 2);
    assert_int_equal(contents.mark.conf_state.voters[1], 9);
    wal_contents_free(&contents);
    wal_close(wal);

    struct raft_snapshot_mark none = {0};
    assert_int_equal(wal_open(&options, &none, &wal, &contents, &err), E_NOT_FOUND);
    struct raft_snapshot_mark unknown = {.index = 120, .term = 2};
    assert_int_equal(wal_open(&options, &unknown, &wal, &contents, &err), E_CORRUPT);
    struct raft_snapshot_mark other_term = {.index = 100, .term = 1};
    assert_int_equal(wal_open(&options, &other_term, &wal, &contents, &err), E_CORRUPT);
    assert_non_null(strstr(err.text, "term"));
    mem_free(marks);
    fault_disk_free(&disk);
}

static void purging_keeps_as_many_segments_as_asked(void **state)
{
    (void)state;
    struct fault_disk disk;
    struct wal *wal = marked_log(&disk);
    assert_int_equal(wal_purge(wal, 200, 4), 0);
    assert_int_equal(fault_disk_count(&disk, ".wal"), 4);
    assert_int_equal(wal_purge(wal, 200, 0), 0);
    assert_true(fault_disk_count(&disk, ".wal") >= 1);
    wal_close(wal);
    fault_disk_free(&disk);
}

static void a_recycled_segment_holds_nothing_of_its_past(void **state)
{
    (void)state;
    struct fault_disk disk;
    struct wal *wal = marked_log(&disk);
    assert_int_equal(wal_purge(wal, 200, 1), 0);
    assert_non_null(fault_disk_bytes(&disk, LOG_DIR "/quorate-next.tmp"));
    while (wal_prepare_next(wal)) {
    }
    const struct buf *next = fault_disk_bytes(&disk, LOG_DIR "/quorate-next.tmp");
    assert_int_equal(next->size, 4096);
    for (size_t i = 0; i < next->size; i++) {
        assert_int_equal(next->data[i], 0);
    }
    wal_close(wal);
    fault_disk_free(&disk);
}

static void a_second_open_is_refused(void **state)
{
    (void)state;
    struct fault_disk disk;
    fault_disk_init(&disk);
    struct wal *wal = log_create(&disk, SEGMENT_BYTES);
    struct wal_options options = log_options(&disk, SEGMENT_BYTES);
    struct raft_snapshot_mark none = {0};
    struct wal_contents contents;
    struct wal *second = NULL;
    struct err err;

    assert_int_equal(wal_open(&options, &none, &second, &contents, &err), E_IN_USE);
    assert_non_null(strstr(err.text, LOG_FIRST));
    assert_int_equal(wal_create(&options, &(struct wal_metadata){0}, &second, &err), E_EXISTS);
    wal_close(wal);
    fault_disk_free(&disk);
}

static void a_missing_segment_is_named(void **state)
{
    (void)state;
    struct fault_disk disk;
    struct wal *wal = marked_log(&disk);
    wal_close(wal);
    for (size_t i = 0; i < disk.live.count; i++) {
        if (strstr(disk.live.items[i].path, "/0000000000000002-") != NULL) {
            char *path = str_dup(disk.live.items[i].path);
            assert_int_equal(disk.seam.remove(&disk, path), 0);
            mem_free(path);
            break;
        }
    }
    struct wal_options options = log_options(&disk, 4096);
    struct raft_snapshot_mark none = {0};
    struct wal_contents contents;
    struct err err;
    assert_int_equal(wal_open(&options, &none, &wal, &contents, &err), E_CORRUPT);
    assert_non_null(strstr(err.text, "0000000000000002 is missing"));
    fault_disk_free(&disk);
}

static void the_mark_of_another_member_is_passed_over(void **state)
{
    (void)state;
    struct fault_disk disk;
    fault_disk_init(&disk);
    struct wal *wal = log_create(&disk, SEGMENT_BYTES);
    assert_int_equal(log_append(wal, 1, 5, 1, PAYLOAD_BYTES), 0);
    assert_int_equal(wal_sync(wal), 0);
    wal_close(wal);
    struct wal_marker marker;
    bool valid = false;
    assert_int_equal(wal_marker_open(&disk.seam, LOG_DIR, &marker, &valid), 0);
    assert_true(valid);
    struct wal_metadata other = {1, 2};
    struct wal_position far = {.sequence = 9, .offset = 9, .crc = 9};
    assert_int_equal(wal_marker_write(&marker, &other, &far, true), 0);
    wal_marker_close(&marker);

    struct wal_contents contents;
    wal = log_open(&disk, SEGMENT_BYTES, &contents);
    assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
    assert_int_equal(contents.entry_count, 5);
    wal_contents_free(&contents);
    wal_close(wal);
    fault_disk_free(&disk);
}

static void an_entry_beyond_the_record_limit_is_refused_without_harm(void **state)
{
    (void)state;
    struct fault_disk disk;
    fault_disk_init(&disk);
    struct wal *wal = log_create(&disk, SEGMENT_BYTES);
    assert_int_equal(log_append(wal, 1, 1, 1, WAL_RECORD_BYTES_MAX), E_TOO_BIG);
    assert_int_equal(log_append(wal, 1, 1, 1, PAYLOAD_BYTES), 0);
    assert_int_equal(wal_sync(wal), 0);
    wal_close(wal);
    fault_disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_count_reads_back_after_a_reopen),
        cmocka_unit_test(a_batch_is_one_write_and_one_flush),
        cmocka_unit_test(what_was_not_flushed_is_gone_and_what_was_is_there),
        cmocka_unit_test(a_later_entry_of_the_same_index_drops_those_after_it),
        cmocka_unit_test(a_purged_log_opens_at_its_mark_and_not_before),
        cmocka_unit_test(purging_keeps_as_many_segments_as_asked),
        cmocka_unit_test(a_recycled_segment_holds_nothing_of_its_past),
        cmocka_unit_test(a_second_open_is_refused),
        cmocka_unit_test(a_missing_segment_is_named),
        cmocka_unit_test(the_mark_of_another_member_is_passed_over),
        cmocka_unit_test(an_entry_beyond_the_record_limit_is_refused_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
