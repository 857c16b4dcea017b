/* SPDX-License-Identifier: Apache-2.0 */
/* Files of etcd as stores: the same hash as etcd told, whole or not there at all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "engine/mvcc/mvcc.h"
#include "tests/unit/store/lib_bolt.h"

static struct lmdb_store *open_imported(const char *dir)
{
    struct lmdb_store *store = NULL;
    struct err err = {{0}};
    if (lmdb_store_open(dir, PLACE_MAP_BYTES, &store, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return store;
}

/* The whole key space's hash as an endpoint would tell it. */
static struct mvcc_hash hash_of(const struct store_seam *seam)
{
    struct mvcc *mvcc = NULL;
    struct mvcc_hash hash;
    struct err err = {{0}};
    if (mvcc_open(seam, NULL, &mvcc, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(mvcc_hash_kv(mvcc, 0, &hash), 0);
    mvcc_close(mvcc);
    return hash;
}

static struct bolt_import import(const char *path, const char *dir)
{
    struct bolt_import found = {0};
    struct err err = {{0}};
    if (bolt_import(disk_posix(), path, dir, PLACE_MAP_BYTES, &found, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return found;
}

/* Neither the directory nor a piece of it. */
static void expect_nothing(const struct place *place, const char *name)
{
    char *whole = str_printf("%s/%s", place->dir, name);
    char *part = str_printf("%s.part", whole);
    assert_int_not_equal(access(whole, F_OK), 0);
    assert_int_not_equal(access(part, F_OK), 0);
    mem_free(whole);
    mem_free(part);
}

static void a_real_file_becomes_a_store_with_the_same_hash(void **state)
{
    (void)state;
    struct place place;
    place_open(&place);
    const char *dir = place_path(&place, "imported");
    struct bolt_import found = import(REAL_FILE, dir);
    assert_int_equal(found.key_records, REAL_RECORDS);
    assert_int_equal(found.revision, REAL_REVISION);
    assert_int_equal(found.consistent_index, REAL_INDEX);
    assert_int_equal(found.term, 0); /* etcd 3.4 keeps none */
    struct lmdb_store *store = open_imported(dir);
    struct mvcc_hash hash = hash_of(lmdb_store_seam(store));
    assert_true(hash.hash == REAL_HASH);
    assert_int_equal(hash.hash_revision, REAL_REVISION);
    assert_int_equal(hash.compact_revision, REAL_COMPACTED);
    expect_same(lmdb_store_seam(store), REAL_FILE);
    lmdb_store_close(store);
    place_close(&place);
}

static void a_store_goes_through_a_file_into_the_same_store(void **state)
{
    (void)state;
    struct place place;
    struct shape shape;
    place_open(&place);
    const char *first = place_path(&place, "first");
    const char *path = place_path(&place, "db");
    import(REAL_FILE, first);
    struct lmdb_store *store = open_imported(first);
    write_file(lmdb_store_seam(store), path);
    lmdb_store_close(store);
    expect_sound(path, &shape);
    const char *second = place_path(&place, "second");
    assert_int_equal(import(path, second).consistent_index, REAL_INDEX);
    store = open_imported(second);
    assert_true(hash_of(lmdb_store_seam(store)).hash == REAL_HASH);
    expect_same(lmdb_store_seam(store), REAL_FILE);
    lmdb_store_close(store);
    place_close(&place);
}

static void many_batches_hold_all_that_the_file_holds(void **state)
{
    (void)state;
    struct place place;
    place_open(&place);
    place_fill_keys(&place, 150000, 50, 3); /* more operations than one batch takes */
    place_fill_others(&place);
    const char *path = place_path(&place, "db");
    const char *dir = place_path(&place, "imported");
    write_file(place.seam, path);
    struct bolt_import found = import(path, dir);
    assert_int_equal(found.key_records, 150000);
    assert_int_equal(found.revision, 150001);
    assert_int_equal(found.consistent_index, 150000);
    assert_int_equal(found.term, 3);
    struct lmdb_store *store = open_imported(dir);
    expect_same(lmdb_store_seam(store), path);
    lmdb_store_close(store);
    place_close(&place);
}

static void a_batch_without_operations_moves_the_position_of_the_import(void **state)
{
    (void)state;
    struct place place;
    struct store_batch batch;
    uint64_t index;
    uint64_t term;
    place_open(&place);
    const char *dir = place_path(&place, "imported");
    import(REAL_FILE, dir);
    for (uint64_t want = 5; want < 1000; want += 500) { /* back, then forth */
        struct lmdb_store *store = open_imported(dir);
        const struct store_seam *seam = lmdb_store_seam(store);
        store_batch_init(&batch);
        batch.consistent_index = want;
        batch.term = want + 1;
        assert_int_equal(seam->commit(seam->ctx, &batch, NULL), 0);
        store_batch_free(&batch);
        lmdb_store_close(store);
        store = open_imported(dir);
        assert_int_equal(store_read_position(lmdb_store_seam(store), &index, &term), 0);
        assert_true(index == want && term == want + 1);
        assert_true(hash_of(lmdb_store_seam(store)).hash == REAL_HASH);
        lmdb_store_close(store);
    }
    place_close(&place);
}

static void a_directory_that_exists_is_left_alone(void **state)
{
    (void)state;
    struct place place;
    struct bolt_import found;
    struct err err = {{0}};
    place_open(&place);
    place_fill_others(&place);
    assert_int_equal(
        bolt_import(disk_posix(), REAL_FILE, place.store_dir, PLACE_MAP_BYTES, &found, &err),
        E_EXISTS);
    assert_non_null(strstr(err.text, "already there"));
    struct mvcc_hash hash = hash_of(place.seam);
    assert_int_equal(hash.hash_revision, 1);
    place_close(&place);
}

static void what_fails_leaves_nothing_behind(void **state)
{
    (void)state;
    struct place place;
    struct bolt_import found = {.revision = -7};
    struct err err = {{0}};
    size_t size;
    place_open(&place);
    const char *path = place_path(&place, "db");
    const char *dir = place_path(&place, "imported");
    assert_int_equal(
        bolt_import(disk_posix(), "/nonexistent/db", dir, PLACE_MAP_BYTES, &found, &err),
        E_NOT_FOUND);
    expect_nothing(&place, "imported");

    uint8_t *data = read_all(REAL_FILE, &size);
    write_all(path, data, size / 2);
    assert_int_equal(bolt_import(disk_posix(), path, dir, PLACE_MAP_BYTES, &found, &err),
                     E_CORRUPT);
    assert_non_null(strstr(err.text, path));
    expect_nothing(&place, "imported");
    mem_free(data);

    assert_int_equal(bolt_import(disk_posix(), REAL_FILE, dir, 128u << 10, &found, &err),
                     E_NO_SPACE);
    expect_nothing(&place, "imported");

    char *deep = str_printf("%s/no/such", place.dir);
    assert_int_equal(bolt_import(disk_posix(), REAL_FILE, deep, PLACE_MAP_BYTES, &found, &err),
                     E_NOT_FOUND);
    mem_free(deep);
    assert_int_equal(found.revision, -7);
    place_close(&place);
}

/* One item of a table, as a file. */
static void write_one(struct place *place, enum store_table table, struct bytes key,
                      struct bytes value, const char *path)
{
    struct store_batch batch;
    store_batch_init(&batch);
    store_batch_put(&batch, table, key, value);
    place_commit(place, &batch, 0);
    write_file(place->seam, path);
    store_batch_init(&batch);
    store_batch_remove(&batch, table, key);
    place_commit(place, &batch, 0);
}

static void items_that_no_etcd_writes_are_refused(void **state)
{
    (void)state;
    static const char GOOD[] = "\0\0\0\0\0\0\0\3_\0\0\0\0\0\0\0\0t";
    static const struct {
        enum store_table table;
        const char *key;
        size_t key_size;
        const char *value;
        int want;
    } ITEMS[] = {
        {STORE_KEY, GOOD, 17, "", 0},
        {STORE_KEY, GOOD, 18, "", 0},
        {STORE_KEY, GOOD, 16, "", E_CORRUPT},
        {STORE_KEY, "\0\0\0\0\0\0\0\3_\0\0\0\0\0\0\0\0x", 18, "", E_CORRUPT},
        {STORE_KEY, "\0\0\0\0\0\0\0\3-\0\0\0\0\0\0\0\0", 17, "", E_CORRUPT},
        {STORE_KEY, "\x80\0\0\0\0\0\0\3_\0\0\0\0\0\0\0\0", 17, "", E_CORRUPT},
        {STORE_META, "consistent_index", 16, "12345678", 0},
        {STORE_META, "consistent_index", 16, "1234567", E_CORRUPT},
        {STORE_META, "term", 4, "123456789", E_CORRUPT},
        {STORE_META, "terms", 5, "123456789", 0},
    };
    struct place place;
    place_open(&place);
    const char *path = place_path(&place, "db");
    const char *dir = place_path(&place, "imported");
    for (size_t i = 0; i < ARRAY_COUNT(ITEMS); i++) {
        struct bolt_import found;
        struct err err = {{0}};
        write_one(&place, ITEMS[i].table, bytes_of(ITEMS[i].key, ITEMS[i].key_size),
                  bytes_of_str(ITEMS[i].value), path);
        int rc = bolt_import(disk_posix(), path, dir, PLACE_MAP_BYTES, &found, &err);
        if (rc != ITEMS[i].want) {
            fail_msg("item %zu: %d %s", i, rc, err.text);
        }
        remove_tree(dir);
        expect_nothing(&place, "imported");
    }
    place_close(&place);
}

/* A view of one long name, as no store of ours can hold it. */
static uint8_t long_name[600];

static int long_seek(struct store_view *view, enum store_table table, struct bytes from,
                     struct store_item *out_item)
{
    (void)view;
    (void)from;
    *out_item = (struct store_item){bytes_of(long_name, sizeof(long_name)), bytes_of_str("user")};
    return table == STORE_AUTH_USERS ? 0 : E_NOT_FOUND;
}

static int long_next(struct store_view *view, enum store_table table, struct store_item *out_item)
{
    (void)view;
    (void)table;
    (void)out_item;
    return E_NOT_FOUND;
}

static int no_view(void *ctx, struct store_view **out_view)
{
    (void)ctx;
    *out_view = NULL;
    return 0;
}

static void no_end(struct store_view *view)
{
    (void)view;
}

static void a_name_that_the_store_cannot_hold_is_told(void **state)
{
    (void)state;
    struct place place;
    struct bolt_import found;
    struct err err = {{0}};
    struct store_seam seam = {
        .view_begin = no_view, .view_end = no_end, .view_seek = long_seek, .view_next = long_next};
    memset(long_name, 'n', sizeof(long_name));
    place_open(&place);
    const char *path = place_path(&place, "db");
    write_file(&seam, path);
    assert_int_equal(bolt_import(disk_posix(), path, place_path(&place, "imported"),
                                 PLACE_MAP_BYTES, &found, &err),
                     E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "authUsers"));
    expect_nothing(&place, "imported");
    place_close(&place);
}

static void the_storage_version_of_a_file_is_not_taken_over(void **state)
{
    (void)state;
    struct place place;
    struct bytes value;
    struct store_view *view;
    place_open(&place);
    const char *path = place_path(&place, "db");
    const char *dir = place_path(&place, "imported");
    write_one(&place, STORE_META, bytes_of_str("storageVersioo"), bytes_of_str("3.6.0"), path);
    size_t size;
    uint8_t *data = read_all(path, &size);
    uint8_t *name = memmem(data, size, "storageVersioo", 14);
    assert_non_null(name);
    name[13] = 'n';
    write_all(path, data, size);
    mem_free(data);
    import(path, dir);
    struct lmdb_store *store = open_imported(dir);
    const struct store_seam *seam = lmdb_store_seam(store);
    assert_int_equal(seam->view_begin(seam->ctx, &view), 0);
    assert_int_equal(seam->view_get(view, STORE_META, bytes_of_str("storageVersion"), &value),
                     E_NOT_FOUND);
    seam->view_end(view);
    lmdb_store_close(store);
    place_close(&place);
}

/* Killed anywhere: the directory is not there, or whole; and the next import succeeds. */
static void a_killed_import_leaves_all_or_nothing(void **state)
{
    (void)state;
    struct place place;
    struct timespec begin;
    struct timespec end;
    unsigned finished = 0;
    place_open(&place);
    place_fill_keys(&place, 100000, 400, 9);
    const char *path = place_path(&place, "db");
    const char *dir = place_path(&place, "imported");
    write_file(place.seam, path);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    import(path, dir);
    clock_gettime(CLOCK_MONOTONIC, &end);
    remove_tree(dir);
    /* Kills spread over the time that an import takes, and a little more. */
    long micros = (end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000;
    for (unsigned round = 0; round < 12; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct bolt_import found;
            _exit(bolt_import(disk_posix(), path, dir, PLACE_MAP_BYTES, &found, NULL) == 0 ? 0 : 1);
        }
        usleep((useconds_t)(micros * round / 5));
        kill(child, SIGKILL);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        if (access(dir, F_OK) == 0) {
            struct lmdb_store *store = open_imported(dir);
            expect_same(lmdb_store_seam(store), path);
            lmdb_store_close(store);
            remove_tree(dir);
            finished++;
        }
    }
    print_message("%u of 12 imports were done before they were killed\n", finished);
    assert_int_equal(import(path, dir).key_records, 100000);
    place_close(&place);
}

/* ---- the whole vectors, where they are at hand ---- */

/* The number behind name in a JSON text. */
static uint64_t number_of(const char *path, const char *name)
{
    size_t size;
    uint8_t *data = read_all(path, &size);
    char *text = str_from(data, size);
    char *quoted = str_printf("\"%s\":", name);
    const char *at = strstr(text, quoted);
    assert_non_null(at);
    uint64_t number = strtoull(at + strlen(quoted), NULL, 10);
    mem_free(quoted);
    mem_free(text);
    mem_free(data);
    return number;
}

static void the_vectors_of_each_version_hash_as_their_etcd_told(void **state)
{
    (void)state;
    static const char *const VERSIONS[] = {"etcd-3.4", "etcd-3.6"};
    static const char *const FILES[] = {"snapshot.db", "copied-db", "snapshot-auth.db"};
    if (access(VECTORS_DIR, R_OK) != 0) {
        print_message("skipped: no vectors beside the source (the small file was read instead)\n");
        skip();
    }
    for (size_t i = 0; i < ARRAY_COUNT(VERSIONS) * ARRAY_COUNT(FILES); i++) {
        struct place place;
        struct shape shape;
        const char *version = VERSIONS[i / ARRAY_COUNT(FILES)];
        const char *name = FILES[i % ARRAY_COUNT(FILES)];
        char *path = str_printf(VECTORS_DIR "/%s/%s", version, name);
        char *told = str_printf(VECTORS_DIR "/%s/hashkv.json", version);
        place_open(&place);
        const char *dir = place_path(&place, "imported");
        const char *written = place_path(&place, "db");
        assert_int_equal(bolt_verify_sha256(disk_posix(), path, NULL),
                         strcmp(name, "copied-db") == 0 ? E_NOT_FOUND : 0);
        struct bolt_import found = import(path, dir);
        assert_true((uint64_t)found.revision == number_of(told, "revision"));
        struct lmdb_store *store = open_imported(dir);
        struct mvcc_hash hash = hash_of(lmdb_store_seam(store));
        assert_true(hash.hash == number_of(told, "hash"));
        assert_true((uint64_t)hash.compact_revision == number_of(told, "compact_revision"));
        write_file(lmdb_store_seam(store), written);
        expect_sound(written, &shape);
        expect_same(lmdb_store_seam(store), written);
        lmdb_store_close(store);
        place_close(&place);
        mem_free(path);
        mem_free(told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_real_file_becomes_a_store_with_the_same_hash),
        cmocka_unit_test(a_store_goes_through_a_file_into_the_same_store),
        cmocka_unit_test(many_batches_hold_all_that_the_file_holds),
        cmocka_unit_test(a_batch_without_operations_moves_the_position_of_the_import),
        cmocka_unit_test(a_directory_that_exists_is_left_alone),
        cmocka_unit_test(what_fails_leaves_nothing_behind),
        cmocka_unit_test(items_that_no_etcd_writes_are_refused),
        cmocka_unit_test(a_name_that_the_store_cannot_hold_is_told),
        cmocka_unit_test(the_storage_version_of_a_file_is_not_taken_over),
        cmocka_unit_test(a_killed_import_leaves_all_or_nothing),
        cmocka_unit_test(the_vectors_of_each_version_hash_as_their_etcd_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
