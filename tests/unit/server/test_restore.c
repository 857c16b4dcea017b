/* SPDX-License-Identifier: Apache-2.0 */
/* Restores: what comes out, what is refused, and that nothing is left when any call fails. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "engine/mvcc/mvcc.h"
#include "engine/server/internal.h"
#include "engine/server/restore.h"
#include "engine/store/bolt.h"
#include "engine/wal/snapfile.h"

#define SNAPSHOT      QUORATE_SOURCE_DIR "/tests/data/bolt/etcd-3.4-snapshot.db"
#define RECORDS       623u
#define REVISION      21
#define SEGMENT_BYTES (64u * 1024u)
#define CALLS_MAX     100000u
#define THREE         "a=http://h1:1,b=http://h2:1,c=http://h3:1"

struct place {
    char dir[64];
    char data_dir[80];
    char wal_dir[80];
};

static void place_make(struct place *place)
{
    snprintf(place->dir, sizeof(place->dir), "/tmp/quorate-restore-XXXXXX");
    assert_non_null(mkdtemp(place->dir));
    snprintf(place->data_dir, sizeof(place->data_dir), "%s/data", place->dir);
    snprintf(place->wal_dir, sizeof(place->wal_dir), "%s/log/wal", place->dir);
}

static void place_remove(const struct place *place)
{
    char *command = str_printf("rm -rf '%s'", place->dir);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_int_equal(pclose(pipe), 0);
    mem_free(command);
}

static struct restore_options options_of(const struct place *place)
{
    return (struct restore_options){.snapshot_path = SNAPSHOT,
                                    .name = "b",
                                    .initial_cluster = THREE,
                                    .initial_cluster_token = "token",
                                    .advertise_peer_urls = "http://h2:1",
                                    .data_dir = place->data_dir,
                                    .wal_segment_bytes = SEGMENT_BYTES};
}

static struct restore_result restore(const struct restore_options *options)
{
    struct restore_result result;
    struct err err = {{0}};
    if (restore_run(disk_posix(), options, &result, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return result;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void expect_only(const struct place *place)
{
    char *log = str_printf("%s.part", place->wal_dir);
    assert_false(exists(place->data_dir));
    assert_false(exists(place->wal_dir));
    assert_false(exists(log));
    mem_free(log);
}

/* ---- what comes out ---- */

struct seen {
    uint64_t counts[STORE_TABLE_COUNT];
    uint64_t consistent_index, term;
    int64_t revision, scheduled;
    bool has_version, last_is_empty;
    char conf[200];
};

static int see(void *ctx, enum store_table table, struct bytes key, struct bytes value)
{
    struct seen *seen = ctx;
    struct revision revision;
    seen->counts[table]++;
    if (table == STORE_KEY) {
        assert_int_equal(revision_decode(key, &revision), 0);
        seen->revision = revision.main;
        seen->last_is_empty = value.size == 0;
    }
    if (table == STORE_META && bytes_equal(key, bytes_of_str("consistent_index"))) {
        seen->consistent_index = get_be64(value.data);
    } else if (table == STORE_META && bytes_equal(key, bytes_of_str("term"))) {
        seen->term = get_be64(value.data);
    } else if (table == STORE_META && bytes_equal(key, bytes_of_str("confState"))) {
        snprintf(seen->conf, sizeof(seen->conf), "%.*s", (int)value.size, (const char *)value.data);
    } else if (table == STORE_META && bytes_equal(key, bytes_of_str("scheduledCompactRev"))) {
        assert_int_equal(revision_decode(value, &revision), 0);
        seen->scheduled = revision.main;
    }
    seen->has_version = seen->has_version || table == STORE_CLUSTER;
    return 0;
}

static struct seen look(const struct place *place)
{
    struct seen seen = {0};
    struct err err = {{0}};
    char *path = str_printf("%s/member/snap/db", place->data_dir);
    if (bolt_read(disk_posix(), path, see, &seen, &err) != 0) {
        fail_msg("%s", err.text);
    }
    mem_free(path);
    return seen;
}

static void expect_log(const char *wal_dir, const char *snap_dir,
                       const struct restore_result *result)
{
    struct wal_options options = {
        .disk = disk_posix(), .dir = wal_dir, .segment_bytes = SEGMENT_BYTES};
    struct raft_snapshot_mark *marks;
    struct raft_snapshot_mark mark;
    struct wal_contents contents;
    struct wal *wal;
    struct buf json;
    uint32_t count;
    buf_init(&json, BUF_NO_LIMIT);
    assert_int_equal(wal_list_marks(&options, &marks, &count, NULL), 0);
    assert_int_equal(snapfile_load_newest(disk_posix(), snap_dir, marks, count, &mark, &json, NULL),
                     0);
    assert_int_equal(mark.index, 3);
    assert_int_equal(mark.conf_state.voter_count, 3);
    struct membership *members = membership_new(MEMBERSHIP_LEARNERS_DEFAULT);
    assert_int_equal(membership_v2_decode(members, buf_bytes(&json), NULL), 0);
    assert_int_equal(membership_count(members), 3);
    assert_null(membership_version(members));
    assert_int_equal(wal_open(&options, &mark, &wal, &contents, NULL), 0);
    assert_true(contents.metadata.node_id == result->member_id);
    assert_true(contents.metadata.cluster_id == result->cluster_id);
    assert_int_equal(contents.hard_state.commit, 3);
    assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
    wal_contents_free(&contents);
    wal_close(wal);
    membership_free(members);
    buf_free(&json);
    mem_free(marks);
}

static void a_directory_holds_the_snapshot_and_the_new_cluster(void **state)
{
    (void)state;
    struct place place;
    place_make(&place);
    struct restore_options options = options_of(&place);
    struct restore_result result = restore(&options);
    struct seen seen = look(&place);
    assert_int_equal(result.member_count, 3);
    assert_int_equal(result.revision, REVISION);
    assert_int_equal(result.key_records, RECORDS);
    assert_int_equal(seen.counts[STORE_KEY], RECORDS);
    assert_int_equal(seen.revision, REVISION);
    assert_int_equal(seen.counts[STORE_MEMBERS], 3);
    assert_int_equal(seen.counts[STORE_LEASE], 1);
    assert_int_equal(seen.counts[STORE_AUTH_USERS], 1);
    assert_int_equal(seen.consistent_index, 3);
    assert_int_equal(seen.term, 1);
    assert_false(seen.has_version);
    assert_non_null(strstr(seen.conf, "\"voters\":["));
    char *wal_dir = str_printf("%s/member/wal", place.data_dir);
    char *snap_dir = str_printf("%s/member/snap", place.data_dir);
    expect_log(wal_dir, snap_dir, &result);
    mem_free(wal_dir);
    mem_free(snap_dir);
    place_remove(&place);
}

static void all_members_of_one_restore_agree_on_the_cluster(void **state)
{
    (void)state;
    struct place one;
    struct place two;
    place_make(&one);
    place_make(&two);
    struct restore_options options = options_of(&one);
    struct restore_result first = restore(&options);
    options = options_of(&two);
    options.name = "c";
    options.advertise_peer_urls = "http://h3:1";
    struct restore_result second = restore(&options);
    assert_true(first.cluster_id == second.cluster_id);
    assert_true(first.member_id != second.member_id);
    options.initial_cluster_token = "another";
    options.data_dir = two.wal_dir;
    assert_true(restore(&options).cluster_id != first.cluster_id);
    place_remove(&one);
    place_remove(&two);
}

static void a_log_may_lie_apart(void **state)
{
    (void)state;
    struct place place;
    place_make(&place);
    struct restore_options options = options_of(&place);
    options.wal_dir = place.wal_dir;
    struct restore_result result = restore(&options);
    char *inner = str_printf("%s/member/wal", place.data_dir);
    char *snap_dir = str_printf("%s/member/snap", place.data_dir);
    char *mark = str_printf("%s/log/quorate-durable.mark", place.dir);
    assert_false(exists(inner));
    assert_false(exists(mark));
    expect_log(place.wal_dir, snap_dir, &result);
    mem_free(inner);
    mem_free(snap_dir);
    mem_free(mark);
    place_remove(&place);
}

static void a_bumped_revision_is_compacted_at_once(void **state)
{
    (void)state;
    struct place place;
    place_make(&place);
    struct restore_options options = options_of(&place);
    options.bump_revision = 1000;
    struct restore_result result = restore(&options);
    struct seen seen = look(&place);
    assert_int_equal(result.revision, REVISION + 1000);
    assert_int_equal(seen.revision, REVISION + 1000);
    assert_int_equal(seen.scheduled, REVISION + 1000);
    assert_int_equal(seen.counts[STORE_KEY], RECORDS + 1);
    assert_true(seen.last_is_empty);
    place_remove(&place);
}

/* ---- what is refused ---- */

static void expect_refused(const struct place *place, const struct restore_options *options, int rc,
                           const char *part)
{
    struct restore_result result;
    struct err err = {{0}};
    assert_int_equal(restore_run(disk_posix(), options, &result, &err), rc);
    if (strstr(err.text, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, err.text);
    }
    expect_only(place);
}

static void who_is_who_must_be_clear(void **state)
{
    (void)state;
    struct place place;
    place_make(&place);
    struct restore_options options = options_of(&place);
    options.name = "d";
    expect_refused(&place, &options, E_INVALID, "couldn't find local name \"d\"");
    options = options_of(&place);
    options.advertise_peer_urls = "http://h1:1";
    expect_refused(&place, &options, E_INVALID, "different URLs");
    options.advertise_peer_urls = "h2:1";
    expect_refused(&place, &options, E_INVALID, "--initial-advertise-peer-urls");
    options = options_of(&place);
    options.initial_cluster = "b=";
    expect_refused(&place, &options, E_INVALID, "--initial-cluster");
    options = options_of(&place);
    options.bump_revision = UINT64_MAX - 5;
    expect_refused(&place, &options, E_INVALID, "--bump-revision");
    place_remove(&place);
}

static void a_place_that_is_taken_stays_as_it_is(void **state)
{
    (void)state;
    struct place place;
    struct restore_result result;
    struct err err = {{0}};
    place_make(&place);
    struct restore_options options = options_of(&place);
    (void)restore(&options);
    assert_int_equal(restore_run(disk_posix(), &options, &result, &err), E_EXISTS);
    assert_non_null(strstr(err.text, "not empty"));
    assert_int_equal(look(&place).counts[STORE_KEY], RECORDS);
    place_remove(&place);
}

static void a_file_without_its_hash_needs_a_word(void **state)
{
    (void)state;
    struct place place;
    place_make(&place);
    char *copy = str_printf("%s/copied", place.dir);
    char *command = str_printf("head -c -32 '%s' >'%s'", SNAPSHOT, copy);
    FILE *pipe = popen(command, "r");
    assert_int_equal(pclose(pipe), 0);
    struct restore_options options = options_of(&place);
    options.snapshot_path = copy;
    expect_refused(&place, &options, E_CORRUPT, "--skip-hash-check");
    options.skip_hash_check = true;
    assert_int_equal(restore(&options).key_records, RECORDS);
    mem_free(copy);
    mem_free(command);
    place_remove(&place);
}

/* ---- any call fails ---- */

static struct {
    unsigned left; /* calls until one fails; 0: none will */
    int rc;
    bool has_failed;
    uint64_t free_bytes; /* 0: as it is */
} fault;

static bool fails(void)
{
    if (fault.left > 0 && --fault.left == 0) {
        fault.has_failed = true;
        return true;
    }
    return false;
}

static int f_open(void *ctx, const char *path, enum disk_open_mode mode, struct disk_file **out)
{
    return fails() ? fault.rc : disk_posix()->open(ctx, path, mode, out);
}

static int f_read_at(struct disk_file *file, uint64_t offset, void *data, size_t size, size_t *out)
{
    return fails() ? E_IO : disk_posix()->read_at(file, offset, data, size, out);
}

static int f_write_at(struct disk_file *file, uint64_t offset, const void *data, size_t size)
{
    return fails() ? fault.rc : disk_posix()->write_at(file, offset, data, size);
}

static int f_sync(struct disk_file *file)
{
    return fails() ? fault.rc : disk_posix()->sync(file);
}

static int f_truncate(struct disk_file *file, uint64_t size)
{
    return fails() ? fault.rc : disk_posix()->truncate(file, size);
}

static int f_size(struct disk_file *file, uint64_t *out_size)
{
    return fails() ? E_IO : disk_posix()->size(file, out_size);
}

static int f_rename(void *ctx, const char *from, const char *to)
{
    return fails() ? fault.rc : disk_posix()->rename(ctx, from, to);
}

static int f_make_dir(void *ctx, const char *path)
{
    return fails() ? fault.rc : disk_posix()->make_dir(ctx, path);
}

static int f_sync_dir(void *ctx, const char *path)
{
    return fails() ? fault.rc : disk_posix()->sync_dir(ctx, path);
}

static int f_free_bytes(void *ctx, const char *path, uint64_t *out_bytes)
{
    int rc = fails() ? E_IO : disk_posix()->free_bytes(ctx, path, out_bytes);
    if (rc == 0 && fault.free_bytes > 0) {
        *out_bytes = fault.free_bytes;
    }
    return rc;
}

/* Listing and removing work: what cleans up needs them. */
static struct disk_seam faulty_disk(void)
{
    struct disk_seam disk = *disk_posix();
    disk.open = f_open;
    disk.read_at = f_read_at;
    disk.write_at = f_write_at;
    disk.sync = f_sync;
    disk.truncate = f_truncate;
    disk.size = f_size;
    disk.rename = f_rename;
    disk.make_dir = f_make_dir;
    disk.sync_dir = f_sync_dir;
    disk.free_bytes = f_free_bytes;
    return disk;
}

/* Each call in turn fails: an error with a text and nothing left, or (a removal that was not
 * needed, a hint that was not flushed) a whole result. */
static void expect_all_or_nothing(int rc_of_fault, bool log_is_apart)
{
    struct disk_seam disk = faulty_disk();
    struct place place;
    unsigned failed = 0;
    place_make(&place);
    struct restore_options options = options_of(&place);
    options.wal_dir = log_is_apart ? place.wal_dir : NULL;
    for (unsigned at = 1; at < CALLS_MAX; at++) {
        struct restore_result result;
        struct err err = {{0}};
        fault.left = at;
        fault.rc = rc_of_fault;
        fault.has_failed = false;
        int rc = restore_run(&disk, &options, &result, &err);
        bool has_failed = fault.has_failed;
        fault.left = 0;
        if (rc == 0) {
            assert_int_equal(look(&place).counts[STORE_KEY], RECORDS);
            place_remove(&place);
            if (!has_failed) {
                break;
            }
            place_make(&place);
        } else {
            failed++;
            assert_true(err.text[0] != '\0');
            expect_only(&place);
        }
    }
    assert_true(failed > 50);
}

static void a_call_that_fails_leaves_nothing(void **state)
{
    (void)state;
    expect_all_or_nothing(E_IO, false);
}

static void a_full_disk_leaves_nothing(void **state)
{
    (void)state;
    expect_all_or_nothing(E_NO_SPACE, true);
}

static void too_little_room_is_told_before_anything_is_written(void **state)
{
    (void)state;
    struct disk_seam disk = faulty_disk();
    struct place place;
    struct restore_result result;
    struct err err = {{0}};
    place_make(&place);
    struct restore_options options = options_of(&place);
    fault.left = 0;
    for (fault.free_bytes = 1024; fault.free_bytes <= 2u * SEGMENT_BYTES; fault.free_bytes *= 2) {
        assert_int_equal(restore_run(&disk, &options, &result, &err), E_NO_SPACE);
        assert_non_null(strstr(err.text, "free in"));
        expect_only(&place);
    }
    fault.free_bytes = 0;
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_holds_the_snapshot_and_the_new_cluster),
        cmocka_unit_test(all_members_of_one_restore_agree_on_the_cluster),
        cmocka_unit_test(a_log_may_lie_apart),
        cmocka_unit_test(a_bumped_revision_is_compacted_at_once),
        cmocka_unit_test(who_is_who_must_be_clear),
        cmocka_unit_test(a_place_that_is_taken_stays_as_it_is),
        cmocka_unit_test(a_file_without_its_hash_needs_a_word),
        cmocka_unit_test(a_call_that_fails_leaves_nothing),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(too_little_room_is_told_before_anything_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
