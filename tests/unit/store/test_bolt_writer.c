/* SPDX-License-Identifier: Apache-2.0 */
/* A view as a bbolt file: sound in shape, the same items back, one view, errors told. */
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
#include "tests/unit/store/lib_bolt.h"

#define ETCDCTL "/usr/bin/etcdctl"

static void all_ten_buckets_exist_in_the_file_of_an_empty_store(void **state)
{
    (void)state;
    struct place place;
    struct shape shape;
    size_t size;
    place_open(&place);
    const char *path = place_path(&place, "db");
    write_file(place.seam, path);
    expect_sound(path, &shape);
    expect_same(place.seam, path);
    assert_int_equal(shape.pages, 4); /* metas, freelist, the root's leaf */
    uint8_t *data = read_all(path, &size);
    const uint8_t *root = data + 3 * (size_t)BOLT_PAGE_BYTES;
    assert_int_equal(get_le16(root + 10), STORE_TABLE_COUNT);
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        const char *name = store_table_name((enum store_table)i);
        assert_non_null(memmem(root, BOLT_PAGE_BYTES, name, strlen(name)));
    }
    mem_free(data);
    place_close(&place);
}

static void round_trip(uint32_t count, size_t max_value_bytes, struct shape *out_shape)
{
    struct place place;
    place_open(&place);
    place_fill_keys(&place, count, max_value_bytes, count + max_value_bytes);
    place_fill_others(&place);
    const char *path = place_path(&place, "db");
    write_file(place.seam, path);
    expect_sound(path, out_shape);
    expect_same(place.seam, path);
    place_close(&place);
}

static void stores_of_all_sizes_come_back_the_same(void **state)
{
    (void)state;
    struct shape shape;
    for (uint32_t count = 0; count < 130; count++) {
        round_trip(count, 40, &shape); /* inline, one leaf, then a branch */
    }
    assert_int_equal(shape.branches, 1);
    round_trip(1, 0, &shape);
    round_trip(3000, 900, &shape);
    assert_int_equal(shape.depth, 3);
    round_trip(2000, 4200, &shape); /* around one page */
}

static void a_hundred_thousand_keys_make_three_levels(void **state)
{
    (void)state;
    struct shape shape;
    round_trip(100000, 100, &shape);
    assert_int_equal(shape.depth, 3);
    assert_true(shape.branches > 10);
}

static void large_values_overflow_their_pages(void **state)
{
    (void)state;
    struct shape shape;
    round_trip(60, 1500000, &shape);
    assert_true(shape.pages > 60u * 1500000u / 4u / BOLT_PAGE_BYTES);
}

static void a_value_of_any_size_around_the_limits_fits(void **state)
{
    (void)state;
    static const size_t EDGES[] = {990, 1024, 4096, 8192, 65536};
    for (size_t i = 0; i < ARRAY_COUNT(EDGES); i++) {
        for (size_t size = EDGES[i] - 70; size < EDGES[i] + 4; size++) {
            struct place place;
            struct store_batch batch;
            struct shape shape;
            uint8_t *value = mem_zalloc(size);
            place_open(&place);
            store_batch_init(&batch);
            store_batch_put(&batch, STORE_AUTH_ROLES, bytes_of_str("first"), bytes_of(value, size));
            store_batch_put(&batch, STORE_AUTH_ROLES, bytes_of_str("second"), bytes_of_str(""));
            place_commit(&place, &batch, 1);
            const char *path = place_path(&place, "db");
            write_file(place.seam, path);
            expect_sound(path, &shape);
            expect_same(place.seam, path);
            mem_free(value);
            place_close(&place);
        }
    }
}

static void the_longest_keys_make_deep_trees(void **state)
{
    (void)state;
    struct place place;
    struct shape shape;
    struct store_batch batch;
    char key[STORE_KEY_BYTES_MAX + 1];
    place_open(&place);
    store_batch_init(&batch);
    memset(key, 'k', sizeof(key));
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(key, 9, "%08u", i);
        key[8] = 'k';
        store_batch_put(&batch, STORE_AUTH_USERS, bytes_of(key, STORE_KEY_BYTES_MAX - i % 3),
                        bytes_of_str("user"));
    }
    place_commit(&place, &batch, 1);
    const char *path = place_path(&place, "db");
    write_file(place.seam, path);
    expect_sound(path, &shape);
    expect_same(place.seam, path);
    assert_true(shape.depth >= 5);
    place_close(&place);
}

/* One key a leaf, so that the branches hold as many keys of that size as we like. */
static uint32_t branches_of(unsigned count, size_t key_bytes)
{
    static const uint8_t VALUE[2100];
    struct place place;
    struct shape shape;
    struct store_batch batch;
    char key[81];
    place_open(&place);
    store_batch_init(&batch);
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "%0*u", (int)key_bytes, i);
        store_batch_put(&batch, STORE_AUTH_USERS, bytes_of(key, key_bytes),
                        bytes_of(VALUE, sizeof(VALUE)));
    }
    place_commit(&place, &batch, 1);
    const char *path = place_path(&place, "db");
    write_file(place.seam, path);
    expect_sound(path, &shape);
    expect_same(place.seam, path);
    place_close(&place);
    return shape.branches;
}

static void branches_are_filled_to_the_last_byte_and_no_more(void **state)
{
    (void)state;
    for (size_t key_bytes = 10; key_bytes < 80; key_bytes++) {
        unsigned fit = (unsigned)((BOLT_PAGE_BYTES - 16) / (16 + key_bytes));
        assert_int_equal(branches_of(fit, key_bytes), 1);
        assert_int_equal(branches_of(fit + 1, key_bytes), 3); /* two, and one above them */
    }
}

static void the_storage_version_is_never_carried(void **state)
{
    (void)state;
    struct place place;
    struct store_batch batch;
    struct shape shape;
    size_t size;
    place_open(&place);
    store_batch_init(&batch);
    store_batch_put(&batch, STORE_META, bytes_of_str("storageVersion"), bytes_of_str("3.6.0"));
    place_commit(&place, &batch, 1);
    const char *path = place_path(&place, "db");
    write_file(place.seam, path);
    expect_sound(path, &shape);
    expect_same(place.seam, path);
    uint8_t *data = read_all(path, &size);
    assert_null(memmem(data, size, "storageVersion", strlen("storageVersion")));
    mem_free(data);
    place_close(&place);
}

struct count_sink {
    uint64_t bytes, limit;
};

static int count_sink(void *ctx, const void *data, size_t size)
{
    struct count_sink *sink = ctx;
    (void)data;
    sink->bytes += size;
    return sink->bytes > sink->limit ? E_CLOSED : 0;
}

static void writes_after_the_view_began_are_not_in_the_file(void **state)
{
    (void)state;
    struct place place;
    struct err err = {{0}};
    struct store_view *view;
    struct bolt_writer *writer;
    struct count_sink sink = {0, UINT64_MAX};
    uint64_t size;
    place_open(&place);
    place_fill_keys(&place, 500, 300, 1);
    assert_int_equal(place.seam->view_begin(place.seam->ctx, &view), 0);
    assert_int_equal(bolt_writer_new(place.seam, view, &writer, &size, &err), 0);
    place_fill_others(&place);
    place_fill_keys(&place, 2000, 10, 1);
    assert_int_equal(bolt_writer_write(writer, count_sink, &sink, &err), 0);
    assert_true(sink.bytes == size);
    bolt_writer_free(writer);
    place.seam->view_end(view);
    place_close(&place);
}

static void a_sink_that_wants_no_more_ends_the_writing(void **state)
{
    (void)state;
    struct place place;
    struct store_view *view;
    uint64_t size;
    place_open(&place);
    place_fill_keys(&place, 5000, 300, 1);
    assert_int_equal(place.seam->view_begin(place.seam->ctx, &view), 0);
    for (uint64_t limit = 0; limit < 600000; limit += 65536) {
        struct err err = {{0}};
        struct bolt_writer *writer;
        struct count_sink sink = {0, limit};
        assert_int_equal(bolt_writer_new(place.seam, view, &writer, &size, &err), 0);
        assert_int_equal(bolt_writer_write(writer, count_sink, &sink, &err), E_CLOSED);
        assert_true(sink.bytes <= limit + 65536 && err.text[0] != '\0');
        bolt_writer_free(writer);
    }
    place.seam->view_end(view);
    place_close(&place);
}

/* A view that fails at the n-th step. */
static unsigned steps_left;

static int failing_step(struct store_view *view, enum store_table table,
                        struct store_item *out_item)
{
    (void)view;
    static uint8_t key[17];
    if (table != STORE_KEY) {
        return E_NOT_FOUND;
    }
    if (steps_left == 0) {
        return E_IO;
    }
    put_be64(key, 1000 - steps_left--);
    *out_item = (struct store_item){bytes_of(key, sizeof(key)), bytes_of_str("value")};
    return 0;
}

static int failing_seek(struct store_view *view, enum store_table table, struct bytes from,
                        struct store_item *out_item)
{
    (void)from;
    return failing_step(view, table, out_item);
}

static void a_view_that_cannot_be_read_is_told_with_its_table(void **state)
{
    (void)state;
    struct store_seam seam = {.view_seek = failing_seek, .view_next = failing_step};
    for (unsigned good = 0; good < 300; good += 50) {
        struct err err = {{0}};
        struct bolt_writer *writer = NULL;
        uint64_t size = 0;
        steps_left = good;
        assert_int_equal(bolt_writer_new(&seam, NULL, &writer, &size, &err), E_IO);
        assert_null(writer);
        assert_non_null(strstr(err.text, "table key"));
    }
}

static void etcdctl_accepts_the_file(void **state)
{
    (void)state;
    if (access(ETCDCTL, X_OK) != 0) {
        print_message("skipped: %s is not installed\n", ETCDCTL);
        skip();
    }
    static const struct {
        uint32_t count;
        size_t max_value_bytes;
    } STORES[] = {{0, 0}, {1, 10}, {20, 20}, {3000, 1000}, {40000, 20}, {8, 1500000}};
    for (size_t i = 0; i < ARRAY_COUNT(STORES); i++) {
        struct place place;
        char command[512];
        char line[512] = "";
        char want[64];
        place_open(&place);
        place_fill_keys(&place, STORES[i].count, STORES[i].max_value_bytes, i);
        const char *path = place_path(&place, "db");
        write_file(place.seam, path);
        seal_file(path);
        snprintf(command, sizeof(command),
                 "ETCDCTL_API=3 " ETCDCTL " snapshot status %s -w json 2>&1", path);
        FILE *pipe = popen(command, "r");
        assert_non_null(pipe);
        assert_non_null(fgets(line, sizeof(line), pipe));
        assert_int_equal(pclose(pipe), 0);
        snprintf(want, sizeof(want), "\"revision\":%u,\"totalKey\":%u,",
                 STORES[i].count == 0 ? 0 : STORES[i].count + 1,
                 STORES[i].count == 0 ? 0 : STORES[i].count + 2);
        if (strstr(line, want) == NULL) {
            fail_msg("want %s, got %s", want, line);
        }
        place_close(&place);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ten_buckets_exist_in_the_file_of_an_empty_store),
        cmocka_unit_test(stores_of_all_sizes_come_back_the_same),
        cmocka_unit_test(a_hundred_thousand_keys_make_three_levels),
        cmocka_unit_test(large_values_overflow_their_pages),
        cmocka_unit_test(a_value_of_any_size_around_the_limits_fits),
        cmocka_unit_test(the_longest_keys_make_deep_trees),
        cmocka_unit_test(branches_are_filled_to_the_last_byte_and_no_more),
        cmocka_unit_test(the_storage_version_is_never_carried),
        cmocka_unit_test(writes_after_the_view_began_are_not_in_the_file),
        cmocka_unit_test(a_sink_that_wants_no_more_ends_the_writing),
        cmocka_unit_test(a_view_that_cannot_be_read_is_told_with_its_table),
        cmocka_unit_test(etcdctl_accepts_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
