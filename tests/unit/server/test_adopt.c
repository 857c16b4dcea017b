/* SPDX-License-Identifier: Apache-2.0 */
/* A data directory of etcd: when it is read, what a failure leaves, and that each step can be the
 * last one before a crash. */
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
#include "engine/server/adopt.h"
#include "engine/server/datadir.h"
#include "engine/server/internal.h"
#include "engine/store/lmdb_store.h"
#include "engine/wal/snapfile.h"

#define DB_OF_ETCD "tests/data/bolt/etcd-3.4-snapshot.db"
#define MAP_BYTES  (64u << 20)
#define DB_INDEX   28u /* of that file */
#define LOG_TERM   5u

/* What the log says: cut behind a snapshot, and whole. */
static const struct wal_contents AT_MARK = {.mark = {.index = 1, .term = 1}};
static const struct wal_contents AT_START;

struct fixture {
    char dir[64], db[128], done[128], store[128];
    struct disk_seam disk;
    uint64_t free_bytes;
};

static int little_free(void *ctx, const char *path, uint64_t *out_bytes)
{
    (void)path;
    *out_bytes = ((struct fixture *)ctx)->free_bytes;
    return 0;
}

static void copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb");
    FILE *out = fopen(to, "wb");
    char part[4096];
    assert_non_null(in);
    assert_non_null(out);
    for (size_t size; (size = fread(part, 1, sizeof(part), in)) > 0;) {
        assert_int_equal(fwrite(part, 1, size, out), size);
    }
    fclose(in);
    fclose(out);
}

/* An empty member directory; with_db: and etcd's file in it. */
static void fixture_init(struct fixture *fixture, bool with_db)
{
    snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/quorate-adopt-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    char snap[128];
    snprintf(snap, sizeof(snap), "%s/snap", fixture->dir);
    assert_int_equal(mkdir(snap, 0700), 0);
    snprintf(fixture->db, sizeof(fixture->db), "%s/snap/" ADOPT_DB_NAME, fixture->dir);
    snprintf(fixture->done, sizeof(fixture->done), "%s/snap/" ADOPT_DONE_NAME, fixture->dir);
    snprintf(fixture->store, sizeof(fixture->store), "%s/store", fixture->dir);
    fixture->disk = *disk_posix();
    if (with_db) {
        copy_file(QUORATE_SOURCE_DIR "/" DB_OF_ETCD, fixture->db);
    }
}

static void fixture_free(struct fixture *fixture)
{
    char *command = str_printf("rm -rf '%s'", fixture->dir);
    assert_int_equal(system(command), 0);
    mem_free(command);
}

static void a_directory_of_ours_is_left_alone(void **state)
{
    (void)state;
    struct fixture fixture;
    struct err err = {{0}};
    fixture_init(&fixture, false);

    assert_int_equal(adopt_begin(&fixture.disk, fixture.dir, &AT_MARK, MAP_BYTES, &err), 0);
    assert_int_equal(adopt_finish(&fixture.disk, fixture.dir, &err), 0);

    assert_int_not_equal(access(fixture.store, F_OK), 0);
    assert_int_not_equal(access(fixture.done, F_OK), 0);
    fixture_free(&fixture);
}

static void the_file_of_etcd_becomes_a_store_and_loses_its_name(void **state)
{
    (void)state;
    struct fixture fixture;
    struct err err = {{0}};
    fixture_init(&fixture, true);

    assert_int_equal(adopt_begin(&fixture.disk, fixture.dir, &AT_MARK, MAP_BYTES, &err), 0);
    assert_int_equal(access(fixture.store, F_OK), 0);
    assert_int_equal(access(fixture.db, F_OK), 0); /* until the store was found to fit */
    assert_int_equal(adopt_finish(&fixture.disk, fixture.dir, &err), 0);

    assert_int_not_equal(access(fixture.db, F_OK), 0);
    assert_int_equal(access(fixture.done, F_OK), 0);
    fixture_free(&fixture);
}

static void one_that_was_not_finished_begins_again(void **state)
{
    (void)state;
    struct fixture fixture;
    struct err err = {{0}};
    fixture_init(&fixture, true);

    assert_int_equal(adopt_begin(&fixture.disk, fixture.dir, &AT_MARK, MAP_BYTES, &err), 0);
    assert_int_equal(adopt_begin(&fixture.disk, fixture.dir, &AT_MARK, MAP_BYTES, &err), 0);
    assert_int_equal(adopt_finish(&fixture.disk, fixture.dir, &err), 0);

    assert_int_equal(access(fixture.store, F_OK), 0);
    assert_int_equal(access(fixture.done, F_OK), 0);
    fixture_free(&fixture);
}

static void a_file_that_names_no_members_gives_way_to_a_whole_log(void **state)
{
    (void)state;
    struct fixture fixture;
    struct err err = {{0}};
    fixture_init(&fixture, true); /* etcd 3.4 wrote it */

    assert_int_equal(adopt_begin(&fixture.disk, fixture.dir, &AT_START, MAP_BYTES, &err), 0);

    assert_int_not_equal(access(fixture.store, F_OK), 0);
    fixture_free(&fixture);
}

static struct raft_conf_state conf_after(const struct wal_contents *log, uint64_t *out_term)
{
    struct membership *nobody = membership_new(1);
    struct buf json;
    char snap_dir[128];
    struct fixture fixture;
    struct lmdb_store *store;
    struct store_view *view;
    struct raft_conf_state conf;
    struct err err = {{0}};
    uint64_t index;
    fixture_init(&fixture, true);
    snprintf(snap_dir, sizeof(snap_dir), "%s/snap", fixture.dir);
    buf_init(&json, BUF_NO_LIMIT);
    membership_v2_encode(nobody, &json);
    assert_int_equal(snapfile_save(&fixture.disk, snap_dir, &log->mark, buf_bytes(&json), &err), 0);
    buf_free(&json);
    membership_free(nobody);
    assert_int_equal(adopt_begin(&fixture.disk, fixture.dir, log, MAP_BYTES, &err), 0);
    assert_int_equal(lmdb_store_open(fixture.store, MAP_BYTES, &store, &err), 0);
    const struct store_seam *seam = lmdb_store_seam(store);
    assert_int_equal(store_read_position(seam, &index, out_term), 0);
    assert_int_equal(index, DB_INDEX);
    assert_int_equal(seam->view_begin(seam->ctx, &view), 0);
    (void)cluster_load_conf_state(seam, view, &conf);
    seam->view_end(view);
    lmdb_store_close(store);
    fixture_free(&fixture);
    return conf;
}

static struct raft_entry founder(uint64_t index, uint64_t id, struct raft_payload **out_payload)
{
    char json[128];
    struct buf data;
    snprintf(json, sizeof(json), "{\"id\":%llu,\"peerURLs\":[\"http://h%llu:1\"]}",
             (unsigned long long)id, (unsigned long long)id);
    struct raftpb_conf_change change = {
        .type = RAFT_CONF_ADD_NODE, .node_id = id, .context = bytes_of_str(json)};
    buf_init(&data, BUF_NO_LIMIT);
    raftpb_conf_change_encode(&change, &data);
    *out_payload = raft_payload_new(buf_bytes(&data));
    buf_free(&data);
    return (struct raft_entry){
        .index = index, .term = LOG_TERM, .type = RAFT_ENTRY_CONF_CHANGE, .payload = *out_payload};
}

/* The file is at DB_INDEX and names another member. Its log: a snapshot with nobody, then two
 * members are added, the second one behind the file's index. */
static void who_votes_is_what_the_log_says_at_the_index_of_the_file(void **state)
{
    (void)state;
    uint64_t term;
    struct raft_payload *payloads[2];
    struct raft_entry entries[] = {founder(DB_INDEX, 7, &payloads[0]),
                                   founder(DB_INDEX + 1, 8, &payloads[1])};
    struct wal_contents log = {.mark = {.index = DB_INDEX - 1, .term = 3},
                               .entries = entries,
                               .entry_count = ARRAY_COUNT(entries)};
    struct raft_conf_state conf = conf_after(&log, &term);
    assert_int_equal(conf.voter_count, 1);
    assert_int_equal(conf.voters[0], 7);
    assert_int_equal(term, LOG_TERM);
    raft_payload_unref(payloads[0]);
    raft_payload_unref(payloads[1]);
}

static void a_log_that_does_not_reach_the_file_is_for_others_to_judge(void **state)
{
    (void)state;
    uint64_t term;
    struct wal_contents log = {.mark = {.index = DB_INDEX - 5, .term = 3}};
    assert_int_equal(conf_after(&log, &term).voter_count, 0);
}

static void a_disk_without_room_is_told_before_anything_is_written(void **state)
{
    (void)state;
    struct fixture fixture;
    struct err err = {{0}};
    fixture_init(&fixture, true);
    fixture.disk.ctx = &fixture;
    fixture.disk.free_bytes = little_free;
    fixture.free_bytes = 1000;

    assert_int_equal(adopt_begin(&fixture.disk, fixture.dir, &AT_MARK, MAP_BYTES, &err),
                     E_NO_SPACE);

    assert_non_null(strstr(err.text, "1000"));
    assert_int_not_equal(access(fixture.store, F_OK), 0);
    assert_int_equal(access(fixture.db, F_OK), 0);
    fixture_free(&fixture);
}

static void a_damaged_file_leaves_no_store(void **state)
{
    (void)state;
    struct fixture fixture;
    struct err err = {{0}};
    fixture_init(&fixture, true);
    assert_int_equal(truncate(fixture.db, 4096), 0);

    assert_int_equal(adopt_begin(&fixture.disk, fixture.dir, &AT_MARK, MAP_BYTES, &err), E_CORRUPT);

    assert_int_not_equal(access(fixture.store, F_OK), 0);
    assert_int_equal(access(fixture.db, F_OK), 0);
    fixture_free(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_of_ours_is_left_alone),
        cmocka_unit_test(the_file_of_etcd_becomes_a_store_and_loses_its_name),
        cmocka_unit_test(one_that_was_not_finished_begins_again),
        cmocka_unit_test(a_file_that_names_no_members_gives_way_to_a_whole_log),
        cmocka_unit_test(who_votes_is_what_the_log_says_at_the_index_of_the_file),
        cmocka_unit_test(a_log_that_does_not_reach_the_file_is_for_others_to_judge),
        cmocka_unit_test(a_disk_without_room_is_told_before_anything_is_written),
        cmocka_unit_test(a_damaged_file_leaves_no_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
