/* SPDX-License-Identifier: Apache-2.0 */
/* The store on LMDB: whole batches, views beside commits, limits, copies, and kill -9 at any
 * moment. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "engine/store/lmdb_store.h"

#define MAP_BYTES (64u << 20)

struct place {
    char dir[128];
    struct lmdb_store *store;
    const struct store_seam *seam;
};

static void open_store(struct place *place, uint64_t map_bytes)
{
    struct err err = {{0}};
    if (lmdb_store_open(place->dir, map_bytes, &place->store, &err) != 0) {
        fail_msg("%s", err.text);
    }
    place->seam = lmdb_store_seam(place->store);
}

static void make_place(struct place *place)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(place->dir, sizeof(place->dir), "%s/store-test-XXXXXX", base);
    assert_non_null(mkdtemp(place->dir));
}

static void remove_place(struct place *place)
{
    static const char *const FILES[] = {"quorate.lmdb", "quorate.lmdb-lock", "copy",
                                        "quorate.lmdb.defrag", "quorate.lmdb.defrag-lock"};
    for (size_t i = 0; i < ARRAY_COUNT(FILES); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", place->dir, FILES[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(place->dir), 0);
}

static void set_up(struct place *place)
{
    make_place(place);
    open_store(place, MAP_BYTES);
}

static void tear_down(struct place *place)
{
    lmdb_store_close(place->store);
    remove_place(place);
}

static struct bytes number_key(uint64_t number, uint8_t out[8])
{
    put_be64(out, number);
    return bytes_of(out, 8);
}

static int commit(struct place *place, struct store_batch *batch, uint64_t index, struct err *err)
{
    batch->consistent_index = index;
    batch->term = index + 1000;
    int rc = place->seam->commit(place->seam->ctx, batch, err);
    store_batch_free(batch);
    return rc;
}

static void put_text(struct place *place, enum store_table table, const char *key,
                     const char *value, uint64_t index)
{
    struct store_batch batch;
    store_batch_init(&batch);
    store_batch_put(&batch, table, bytes_of_str(key), bytes_of_str(value));
    assert_int_equal(commit(place, &batch, index, NULL), 0);
}

static struct store_view *begin(struct place *place)
{
    struct store_view *view = NULL;
    assert_int_equal(place->seam->view_begin(place->seam->ctx, &view), 0);
    return view;
}

static void expect_text(struct place *place, struct store_view *view, enum store_table table,
                        const char *key, const char *want)
{
    struct bytes value;
    int rc = place->seam->view_get(view, table, bytes_of_str(key), &value);
    assert_int_equal(rc, want == NULL ? E_NOT_FOUND : 0);
    assert_true(want == NULL || bytes_equal(value, bytes_of_str(want)));
}

static void the_tables_are_separate_and_named_as_etcds_buckets(void **state)
{
    (void)state;
    static const char *const NAMES[] = {
        "key",       "meta",      "lease",   "alarm",           "auth",
        "authUsers", "authRoles", "members", "members_removed", "cluster"};
    struct place place;
    set_up(&place);
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        assert_string_equal(store_table_name((enum store_table)i), NAMES[i]);
        put_text(&place, (enum store_table)i, "k", NAMES[i], i + 1);
    }
    struct store_view *view = begin(&place);
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        expect_text(&place, view, (enum store_table)i, "k", NAMES[i]);
    }
    place.seam->view_end(view);
    tear_down(&place);
}

static void a_batch_is_carried_out_in_order_with_its_index_and_term(void **state)
{
    (void)state;
    struct place place;
    struct store_batch batch;
    uint64_t index;
    uint64_t term;
    set_up(&place);
    assert_int_equal(store_read_position(place.seam, &index, &term), 0);
    assert_true(index == 0 && term == 0);
    store_batch_init(&batch);
    store_batch_put(&batch, STORE_LEASE, bytes_of_str("a"), bytes_of_str("1"));
    store_batch_remove(&batch, STORE_LEASE, bytes_of_str("a"));
    store_batch_remove(&batch, STORE_LEASE, bytes_of_str("never there"));
    store_batch_put(&batch, STORE_LEASE, bytes_of_str("b"), bytes_of_str("1"));
    store_batch_put(&batch, STORE_LEASE, bytes_of_str("b"), bytes_of_str("2"));
    store_batch_put(&batch, STORE_ALARM, bytes_of_str("c"), (struct bytes){NULL, 0});
    assert_int_equal(commit(&place, &batch, 42, NULL), 0);

    lmdb_store_close(place.store);
    open_store(&place, MAP_BYTES);

    struct store_view *view = begin(&place);
    expect_text(&place, view, STORE_LEASE, "a", NULL);
    expect_text(&place, view, STORE_LEASE, "b", "2");
    expect_text(&place, view, STORE_ALARM, "c", "");
    place.seam->view_end(view);
    assert_int_equal(store_read_position(place.seam, &index, &term), 0);
    assert_true(index == 42 && term == 1042);
    tear_down(&place);
}

static void a_batch_without_index_leaves_the_position_alone(void **state)
{
    (void)state;
    struct place place;
    uint64_t index;
    uint64_t term;
    set_up(&place);
    put_text(&place, STORE_META, "confState", "{}", 9);
    put_text(&place, STORE_META, "confState", "{1}", 0);
    assert_int_equal(store_read_position(place.seam, &index, &term), 0);
    assert_true(index == 9 && term == 1009);
    tear_down(&place);
}

static void keys_that_do_not_ascend_are_stored_like_others(void **state)
{
    (void)state;
    static const uint64_t ORDER[] = {5, 6, 2, 9, 5, 1, 10};
    static const uint64_t SORTED[] = {1, 2, 5, 6, 9, 10};
    struct place place;
    struct store_batch batch;
    struct store_item item;
    uint8_t space[8];
    set_up(&place);
    store_batch_init(&batch);
    for (size_t i = 0; i < ARRAY_COUNT(ORDER); i++) {
        store_batch_put(&batch, STORE_KEY, number_key(ORDER[i], space), bytes_of_str("v"));
    }
    assert_int_equal(commit(&place, &batch, 1, NULL), 0);

    struct store_view *view = begin(&place);
    int rc = place.seam->view_seek(view, STORE_KEY, (struct bytes){NULL, 0}, &item);
    for (size_t i = 0; i < ARRAY_COUNT(SORTED); i++) {
        assert_int_equal(rc, 0);
        assert_int_equal(get_be64(item.key.data), SORTED[i]);
        rc = place.seam->view_next(view, STORE_KEY, &item);
    }
    assert_int_equal(rc, E_NOT_FOUND);
    assert_int_equal(place.seam->view_seek(view, STORE_KEY, number_key(3, space), &item), 0);
    assert_int_equal(get_be64(item.key.data), 5);
    assert_int_equal(place.seam->view_seek(view, STORE_KEY, number_key(11, space), &item),
                     E_NOT_FOUND);
    place.seam->view_end(view);
    tear_down(&place);
}

static void a_view_does_not_move_when_others_commit_and_a_later_one_does(void **state)
{
    (void)state;
    struct place place;
    set_up(&place);
    put_text(&place, STORE_CLUSTER, "k", "old", 1);
    struct store_view *before = begin(&place);
    expect_text(&place, before, STORE_CLUSTER, "k", "old");
    put_text(&place, STORE_CLUSTER, "k", "new", 2);
    expect_text(&place, before, STORE_CLUSTER, "k", "old");
    struct store_view *after = begin(&place);
    expect_text(&place, after, STORE_CLUSTER, "k", "new");
    place.seam->view_end(before);
    place.seam->view_end(after);
    /* Views are renewed from spares: a used one must show the newest commit too, cursors included.
     */
    struct store_item item;
    for (uint64_t i = 3; i < 20; i++) {
        char text[24];
        snprintf(text, sizeof(text), "%d", (int)i);
        put_text(&place, STORE_CLUSTER, "k", text, i);
        struct store_view *view = begin(&place);
        expect_text(&place, view, STORE_CLUSTER, "k", text);
        assert_int_equal(place.seam->view_seek(view, STORE_CLUSTER, (struct bytes){NULL, 0}, &item),
                         0);
        assert_true(bytes_equal(item.value, bytes_of_str(text)));
        place.seam->view_end(view);
    }
    tear_down(&place);
}

static int fill(struct place *place, uint64_t first, unsigned count, struct err *err)
{
    struct store_batch batch;
    uint8_t space[8];
    uint8_t value[1000] = {0};
    store_batch_init(&batch);
    for (unsigned i = 0; i < count; i++) {
        store_batch_put(&batch, STORE_KEY, number_key(first + i, space), bytes_of(value, 1000));
    }
    return commit(place, &batch, first, err);
}

static void a_full_map_is_said_and_changes_nothing_and_ends_commits(void **state)
{
    (void)state;
    struct place place;
    struct err err = {{0}};
    uint64_t index;
    uint64_t term;
    make_place(&place);
    open_store(&place, 4u << 20);
    assert_int_equal(fill(&place, 1, 1000, &err), 0);

    assert_int_equal(fill(&place, 5000, 5000, &err), E_NO_SPACE);

    assert_non_null(strstr(err.text, "4194304 bytes"));
    assert_int_equal(store_read_position(place.seam, &index, &term), 0);
    assert_int_equal(index, 1);
    assert_int_equal(fill(&place, 9000, 1, &err), E_CLOSED);
    lmdb_store_close(place.store);
    open_store(&place, 64u << 20); /* more room, as an operator gives it */
    assert_int_equal(fill(&place, 5000, 5000, &err), 0);
    tear_down(&place);
}

static void a_folder_that_is_missing_is_said(void **state)
{
    (void)state;
    struct lmdb_store *store = NULL;
    struct err err = {{0}};
    assert_int_equal(lmdb_store_open("/nonexistent-folder", MAP_BYTES, &store, &err), E_NOT_FOUND);
    assert_null(store);
    assert_non_null(strstr(err.text, "/nonexistent-folder/quorate.lmdb"));
}

static void a_file_of_something_else_is_not_opened(void **state)
{
    (void)state;
    struct place place;
    struct lmdb_store *store = NULL;
    struct err err = {{0}};
    char path[256];
    make_place(&place);
    snprintf(path, sizeof(path), "%s/%s", place.dir, LMDB_STORE_FILE);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 20000; i++) {
        fputs("not a store ", file);
    }
    fclose(file);
    assert_int_equal(lmdb_store_open(place.dir, MAP_BYTES, &store, &err), E_CORRUPT);
    remove_place(&place);
}

static struct store_sizes sizes_of(struct place *place)
{
    struct store_sizes sizes;
    assert_int_equal(place->seam->sizes(place->seam->ctx, &sizes), 0);
    return sizes;
}

static void remove_numbers(struct place *place, uint64_t first, unsigned count)
{
    struct store_batch batch;
    uint8_t space[8];
    store_batch_init(&batch);
    for (unsigned i = 0; i < count; i++) {
        store_batch_remove(&batch, STORE_KEY, number_key(first + i, space));
    }
    assert_int_equal(commit(place, &batch, first + 1, NULL), 0);
}

static uint64_t count_numbers(struct place *place, struct store_view *view)
{
    struct store_item item;
    uint64_t count = 0;
    int rc = place->seam->view_seek(view, STORE_KEY, (struct bytes){NULL, 0}, &item);
    for (; rc == 0; rc = place->seam->view_next(view, STORE_KEY, &item)) {
        count++;
    }
    assert_int_equal(rc, E_NOT_FOUND);
    return count;
}

static void defragment_shrinks_the_file_while_a_view_keeps_reading_the_old_one(void **state)
{
    (void)state;
    struct place place;
    struct err err = {{0}};
    set_up(&place);
    assert_int_equal(fill(&place, 1, 5000, &err), 0);
    struct store_view *old = begin(&place);
    remove_numbers(&place, 1, 4000);
    struct store_sizes before = sizes_of(&place);
    assert_true(before.used_bytes < before.file_bytes / 2);

    assert_int_equal(lmdb_store_defragment(place.store, &err), 0);

    struct store_sizes after = sizes_of(&place);
    assert_true(after.file_bytes < before.file_bytes / 2);
    assert_int_equal(after.max_bytes, MAP_BYTES);
    assert_int_equal(count_numbers(&place, old), 5000);
    place.seam->view_end(old);
    assert_int_equal(fill(&place, 9000, 10, &err), 0);
    lmdb_store_close(place.store);
    open_store(&place, MAP_BYTES);
    struct store_view *view = begin(&place);
    assert_int_equal(count_numbers(&place, view), 1010);
    place.seam->view_end(view);
    tear_down(&place);
}

static void a_copy_is_a_whole_store_and_never_overwrites(void **state)
{
    (void)state;
    struct place place;
    struct place other;
    struct err err = {{0}};
    char path[256];
    char moved[256];
    set_up(&place);
    make_place(&other);
    assert_int_equal(fill(&place, 1, 100, &err), 0);
    snprintf(path, sizeof(path), "%s/copy", place.dir);
    snprintf(moved, sizeof(moved), "%s/%s", other.dir, LMDB_STORE_FILE);

    assert_int_equal(lmdb_store_copy(place.store, path, &err), 0);

    assert_int_not_equal(lmdb_store_copy(place.store, path, &err), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(rename(path, moved), 0);
    open_store(&other, MAP_BYTES);
    struct store_view *view = begin(&other);
    assert_int_equal(count_numbers(&other, view), 100);
    other.seam->view_end(view);
    tear_down(&other);
    tear_down(&place);
}

struct reader {
    struct place *place;
    atomic_bool stop;
    uint64_t seen;
    bool torn;
};

/* Each batch writes the same number under three keys: a view that sees two numbers is torn. */
static void *read_until_stopped(void *ctx)
{
    struct reader *reader = ctx;
    const struct store_seam *seam = reader->place->seam;
    while (!atomic_load(&reader->stop)) {
        struct store_view *view;
        struct bytes values[3];
        static const char *const KEYS[] = {"a", "b", "c"};
        if (seam->view_begin(seam->ctx, &view) != 0) {
            reader->torn = true;
            return NULL;
        }
        for (size_t i = 0; i < 3; i++) {
            if (seam->view_get(view, STORE_AUTH, bytes_of_str(KEYS[i]), &values[i]) != 0) {
                reader->torn = true;
            }
        }
        if (reader->torn || !bytes_equal(values[0], values[1]) ||
            !bytes_equal(values[1], values[2])) {
            reader->torn = true;
            seam->view_end(view);
            return NULL;
        }
        reader->seen = get_be64(values[0].data);
        seam->view_end(view);
    }
    return NULL;
}

static int commit_triple(struct place *place, uint64_t number)
{
    struct store_batch batch;
    uint8_t space[8];
    store_batch_init(&batch);
    store_batch_put(&batch, STORE_AUTH, bytes_of_str("a"), number_key(number, space));
    store_batch_put(&batch, STORE_AUTH, bytes_of_str("b"), number_key(number, space));
    store_batch_put(&batch, STORE_AUTH, bytes_of_str("c"), number_key(number, space));
    return commit(place, &batch, number, NULL);
}

static void views_of_another_thread_are_whole_during_commits_and_defragments(void **state)
{
    (void)state;
    struct place place;
    pthread_t thread;
    set_up(&place);
    assert_int_equal(commit_triple(&place, 1), 0);
    struct reader reader = {.place = &place};
    assert_int_equal(pthread_create(&thread, NULL, read_until_stopped, &reader), 0);

    for (uint64_t number = 2; number < 600; number++) {
        assert_int_equal(commit_triple(&place, number), 0);
        if (number % 100 == 0) {
            assert_int_equal(lmdb_store_defragment(place.store, NULL), 0);
        }
    }

    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    assert_false(reader.torn);
    assert_true(reader.seen > 0);
    tear_down(&place);
}

/* Commits without end, telling each finished one through the pipe; killed from outside. */
static void commit_until_killed(struct place *place, int out)
{
    open_store(place, MAP_BYTES);
    uint64_t number = 0;
    uint64_t term;
    if (store_read_position(place->seam, &number, &term) != 0) {
        _exit(1);
    }
    for (;;) {
        number++;
        if (commit_triple(place, number) != 0 || write(out, &number, sizeof(number)) != 8) {
            _exit(1);
        }
        if (number % 50 == 0 && lmdb_store_defragment(place->store, NULL) != 0) {
            _exit(1);
        }
    }
}

static uint64_t run_and_kill(struct place *place, unsigned acknowledged)
{
    int pipe_ends[2];
    uint64_t last = 0;
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pipe_ends[0]);
        commit_until_killed(place, pipe_ends[1]);
    }
    close(pipe_ends[1]);
    for (unsigned i = 0; i < acknowledged; i++) {
        assert_int_equal(read(pipe_ends[0], &last, sizeof(last)), sizeof(last));
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    uint64_t more;
    while (read(pipe_ends[0], &more, sizeof(more)) == sizeof(more)) {
        last = more;
    }
    close(pipe_ends[0]);
    return last;
}

static void a_killed_process_leaves_every_acknowledged_batch_whole(void **state)
{
    (void)state;
    struct place place;
    make_place(&place);
    for (unsigned round = 0; round < 20; round++) {
        uint64_t acknowledged = run_and_kill(&place, 10 + round * 7);
        uint64_t index;
        uint64_t term;
        struct bytes value;
        open_store(&place, MAP_BYTES);
        assert_int_equal(store_read_position(place.seam, &index, &term), 0);
        assert_true(index == acknowledged || index == acknowledged + 1);
        assert_int_equal(term, index + 1000);
        struct store_view *view = begin(&place);
        for (const char *key = "abc"; *key != 0; key++) {
            assert_int_equal(place.seam->view_get(view, STORE_AUTH, bytes_of(key, 1), &value), 0);
            assert_int_equal(get_be64(value.data), index);
        }
        place.seam->view_end(view);
        lmdb_store_close(place.store);
    }
    remove_place(&place);
}

/* ---- rot ---- */

#define ROT_RECORDS 3000u
#define ROT_ROUNDS  200u
#define ROT_SECONDS 20u
#define WRONG       3

static void rot_value(uint64_t number, char out[64])
{
    snprintf(out, 64, "value-%llu-%llx", (unsigned long long)number,
             (unsigned long long)number * UINT64_C(0x9e3779b97f4a7c15));
}

static void fill_for_rot(struct place *place)
{
    struct store_batch batch;
    store_batch_init(&batch);
    for (uint64_t i = 0; i < ROT_RECORDS; i++) {
        uint8_t key[8];
        char value[64];
        rot_value(i, value);
        store_batch_put(&batch, i % 3 == 0 ? STORE_LEASE : STORE_KEY, number_key(i, key),
                        bytes_of_str(value));
    }
    assert_int_equal(commit(place, &batch, 1, NULL), 0);
}

static char *read_file(const struct place *place, size_t *out_size)
{
    char path[256];
    struct stat info;
    snprintf(path, sizeof(path), "%s/" LMDB_STORE_FILE, place->dir);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &info), 0);
    *out_size = (size_t)info.st_size;
    char *data = mem_alloc(*out_size);
    assert_int_equal(fread(data, 1, *out_size, file), *out_size);
    fclose(file);
    return data;
}

static void write_file(const struct place *place, const char *data, size_t size)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/" LMDB_STORE_FILE, place->dir);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void a_record_that_rotted_is_an_error_and_the_others_are_not(void **state)
{
    (void)state;
    struct place place;
    struct store_item item;
    struct bytes value;
    uint8_t key[8];
    char text[64];
    size_t size;
    uint32_t good = 0;
    set_up(&place);
    fill_for_rot(&place);
    lmdb_store_close(place.store);
    char *data = read_file(&place, &size);
    rot_value(1000, text);
    char *hit = memmem(data, size, text, strlen(text));
    assert_non_null(hit);
    hit[7] ^= 4;
    write_file(&place, data, size);
    mem_free(data);

    open_store(&place, MAP_BYTES);
    struct store_view *view = begin(&place);
    assert_int_equal(place.seam->view_get(view, STORE_KEY, number_key(1000, key), &value),
                     E_CORRUPT);
    rot_value(1001, text);
    assert_int_equal(place.seam->view_get(view, STORE_KEY, number_key(1001, key), &value), 0);
    assert_true(bytes_equal(value, bytes_of_str(text)));
    int rc = place.seam->view_seek(view, STORE_KEY, bytes_of(NULL, 0), &item);
    while (rc == 0) {
        good++;
        rc = place.seam->view_next(view, STORE_KEY, &item);
    }
    assert_int_equal(rc, E_CORRUPT);
    assert_int_equal(good, 666); /* two of three up to 999 */
    place.seam->view_end(view);
    tear_down(&place);
}

/* The number of records that a reader is given; ends the process with WRONG for one that nobody
 * wrote. What LMDB makes of a broken page may end it too: that is a member that stops. */
static void read_all_or_die(struct place *place)
{
    struct err err;
    if (lmdb_store_open(place->dir, MAP_BYTES, &place->store, &err) != 0) {
        _exit(0);
    }
    place->seam = lmdb_store_seam(place->store);
    struct store_view *view;
    if (place->seam->view_begin(place->seam->ctx, &view) != 0) {
        _exit(0);
    }
    const enum store_table tables[] = {STORE_KEY, STORE_LEASE};
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
        struct store_item item;
        int rc = place->seam->view_seek(view, tables[i], bytes_of(NULL, 0), &item);
        while (rc == 0) {
            char text[64];
            uint64_t number = item.key.size == 8 ? get_be64(item.key.data) : UINT64_MAX;
            rot_value(number, text);
            if (number >= ROT_RECORDS || !bytes_equal(item.value, bytes_of_str(text)) ||
                (number % 3 == 0) != (tables[i] == STORE_LEASE)) {
                _exit(WRONG);
            }
            rc = place->seam->view_next(view, tables[i], &item);
        }
    }
    _exit(0);
}

static void wherever_a_file_rots_no_record_is_given_that_was_not_written(void **state)
{
    (void)state;
    struct place place;
    size_t size;
    uint64_t random = 1;
    set_up(&place);
    fill_for_rot(&place);
    lmdb_store_close(place.store);
    char *data = read_file(&place, &size);
    for (uint32_t round = 0; round < ROT_ROUNDS; round++) {
        int status = 0;
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        size_t at = (size_t)(random >> 20) % size;
        char bit = (char)(1 << (random >> 60 & 7));
        data[at] ^= bit;
        write_file(&place, data, size);
        data[at] ^= bit;
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGILL};
            for (size_t i = 0; i < ARRAY_COUNT(signals); i++) {
                (void)signal(signals[i], SIG_DFL);
            }
            (void)alarm(ROT_SECONDS);
            (void)close(STDERR_FILENO);
            read_all_or_die(&place);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == WRONG) {
            fail_msg("bit %d of byte %zu was not noticed", bit, at);
        }
    }
    write_file(&place, data, size);
    mem_free(data);
    open_store(&place, MAP_BYTES);
    tear_down(&place);
}

/* As files were made at first. */
static void make_without_sums(const struct place *place)
{
    char path[256];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    snprintf(path, sizeof(path), "%s/" LMDB_STORE_FILE, place->dir);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, MAP_BYTES), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, STORE_TABLE_COUNT), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        MDB_val key = {1, (void *)(uintptr_t) "k"};
        MDB_val value = {3, (void *)(uintptr_t) "old"};
        assert_int_equal(
            mdb_dbi_open(txn, store_table_name((enum store_table)i), MDB_CREATE, &table), 0);
        assert_int_equal(mdb_put(txn, table, &key, &value, 0), 0);
    }
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void a_file_from_before_there_were_checksums_goes_on(void **state)
{
    (void)state;
    struct place place;
    make_place(&place);
    make_without_sums(&place);
    for (int round = 0; round < 3; round++) {
        open_store(&place, MAP_BYTES);
        struct store_view *view = begin(&place);
        expect_text(&place, view, STORE_LEASE, "k", "old");
        expect_text(&place, view, STORE_KEY, "l", round == 0 ? NULL : "new");
        place.seam->view_end(view);
        put_text(&place, STORE_KEY, "l", "new", 7);
        assert_int_equal(lmdb_store_defragment(place.store, NULL), 0);
        lmdb_store_close(place.store);
    }
    remove_place(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tables_are_separate_and_named_as_etcds_buckets),
        cmocka_unit_test(a_batch_is_carried_out_in_order_with_its_index_and_term),
        cmocka_unit_test(a_batch_without_index_leaves_the_position_alone),
        cmocka_unit_test(keys_that_do_not_ascend_are_stored_like_others),
        cmocka_unit_test(a_view_does_not_move_when_others_commit_and_a_later_one_does),
        cmocka_unit_test(a_full_map_is_said_and_changes_nothing_and_ends_commits),
        cmocka_unit_test(a_folder_that_is_missing_is_said),
        cmocka_unit_test(a_file_of_something_else_is_not_opened),
        cmocka_unit_test(defragment_shrinks_the_file_while_a_view_keeps_reading_the_old_one),
        cmocka_unit_test(a_copy_is_a_whole_store_and_never_overwrites),
        cmocka_unit_test(views_of_another_thread_are_whole_during_commits_and_defragments),
        cmocka_unit_test(a_killed_process_leaves_every_acknowledged_batch_whole),
        cmocka_unit_test(a_record_that_rotted_is_an_error_and_the_others_are_not),
        cmocka_unit_test(wherever_a_file_rots_no_record_is_given_that_was_not_written),
        cmocka_unit_test(a_file_from_before_there_were_checksums_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
