/* SPDX-License-Identifier: Apache-2.0 */
/* The log on the real file system. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/seam/clock.h"
#include "engine/wal/wal.h"

static void a_log_on_the_real_disk_is_cut_purged_locked_and_reopened(void **state)
{
    (void)state;
    char root[] = "/tmp/quorate-wal-XXXXXX";
    assert_non_null(mkdtemp(root));
    char *dir = str_printf("%s/wal", root);
    struct wal_options options = {.disk = disk_posix(), .dir = dir, .segment_bytes = 65536};
    struct wal_metadata metadata = {1, 2};
    struct wal *wal = NULL;
    struct err err = {""};
    assert_int_equal(wal_create(&options, &metadata, &wal, &err), 0);
    struct raft_entry entry = {.term = 1, .payload = raft_payload_new(bytes_of_str("payload"))};
    for (uint64_t index = 1; index <= 5000; index++) {
        entry.index = index;
        struct raft_hard_state hard_state = {1, 1, index};
        assert_int_equal(wal_append(wal, &entry, 1, &hard_state), 0);
        if (index % 500 == 0) {
            assert_int_equal(wal_sync(wal), 0);
        }
    }
    raft_payload_unref(entry.payload);
    struct raft_snapshot_mark mark = {.index = 4000, .term = 1};
    mark.conf_state.voters[0] = 1;
    mark.conf_state.voter_count = 1;
    assert_int_equal(wal_save_mark(wal, &mark), 0);
    assert_int_equal(wal_purge(wal, 4000, 1), 0);
    wal_write_durability_mark(wal);

    struct wal *second = NULL;
    struct wal_contents contents;
    assert_int_equal(wal_open(&options, &mark, &second, &contents, &err), E_IN_USE);
    wal_close(wal);
    assert_int_equal(wal_open(&options, &mark, &second, &contents, &err), 0);
    assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
    assert_int_equal(contents.entry_count, 1000);
    assert_int_equal(contents.hard_state.commit, 5000);
    wal_contents_free(&contents);
    wal_close(second);

    struct stat info;
    assert_int_equal(stat(dir, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    char *command = str_printf("rm -r '%s'", root);
    assert_int_equal(system(command), 0);
    mem_free(command);
    mem_free(dir);
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    (void)state;
    const struct clock_seam *clock = clock_posix();
    uint64_t before = clock->monotonic_ns(clock->ctx);
    assert_true(clock->monotonic_ns(clock->ctx) >= before);
    assert_true(clock->wall_ns(clock->ctx) > INT64_C(1700000000) * 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_on_the_real_disk_is_cut_purged_locked_and_reopened),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
