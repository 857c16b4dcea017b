/* SPDX-License-Identifier: Apache-2.0 */
/* A file as another one: the same items, with changes; and what looks at all of a file. */
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
#include "base/crc32c.h"
#include "engine/store/bolt_format.h"
#include "engine/store/bolt_rewrite.h"
#include "tests/unit/store/lib_bolt.h"

static const struct bolt_changes NO_CHANGES;

static uint64_t rewrite(const char *from, const char *to, const struct bolt_changes *changes,
                        enum bolt_seal seal)
{
    uint64_t bytes = 0;
    struct err err = {{0}};
    if (bolt_rewrite(disk_posix(), from, to, changes, seal, &bytes, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return bytes;
}

static void a_file_rewritten_holds_the_same_in_sound_pages(void **state)
{
    (void)state;
    struct place place;
    struct shape shape;
    place_open(&place);
    place_fill_keys(&place, 5000, 3000, 7);
    place_fill_others(&place);
    const char *from = place_path(&place, "from");
    const char *to = place_path(&place, "to");
    write_file(place.seam, from);
    rewrite(from, to, &NO_CHANGES, BOLT_PLAIN);
    expect_same(place.seam, to);
    expect_sound(to, &shape);
    assert_true(shape.leaves > 1000 && shape.branches > 1);
    /* What the writer makes of a store and of a file with the same items is the same file. */
    size_t a_size;
    size_t b_size;
    uint8_t *a = read_all(from, &a_size);
    uint8_t *b = read_all(to, &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    mem_free(a);
    mem_free(b);
    place_close(&place);
}

static void a_sealed_file_carries_the_hash_of_the_rest(void **state)
{
    (void)state;
    struct place place;
    struct err err = {{0}};
    place_open(&place);
    const char *to = place_path(&place, "to");
    uint64_t bytes = rewrite(REAL_FILE, to, &NO_CHANGES, BOLT_SEALED);
    size_t size;
    mem_free(read_all(to, &size));
    assert_int_equal(size, bytes + BOLT_SHA_BYTES);
    assert_int_equal(bolt_verify_sha256(disk_posix(), to, &err), 0);
    place_close(&place);
}

/* ---- changes ---- */

static bool drop_members_and_term(enum store_table table, struct bytes key)
{
    return table == STORE_MEMBERS || (table == STORE_META && bytes_equal(key, bytes_of_str("b")));
}

struct listing {
    char text[512];
};

static int list_item(void *ctx, enum store_table table, struct bytes key, struct bytes value)
{
    struct listing *listing = ctx;
    size_t at = strlen(listing->text);
    snprintf(listing->text + at, sizeof(listing->text) - at, "%s/%.*s=%.*s ",
             store_table_name(table), (int)key.size, (const char *)key.data, (int)value.size,
             (const char *)value.data);
    return 0;
}

static void put(struct store_batch *batch, enum store_table table, const char *key,
                const char *value)
{
    store_batch_put(batch, table, bytes_of_str(key), bytes_of_str(value));
}

static void expect_items(const char *path, const char *want)
{
    struct listing listing = {{0}};
    struct err err = {{0}};
    assert_int_equal(bolt_read(disk_posix(), path, list_item, &listing, &err), 0);
    assert_string_equal(listing.text, want);
}

static void changes_are_merged_where_they_belong(void **state)
{
    (void)state;
    struct place place;
    struct store_batch batch;
    place_open(&place);
    store_batch_init(&batch);
    put(&batch, STORE_META, "b", "1");
    put(&batch, STORE_META, "d", "1");
    put(&batch, STORE_MEMBERS, "m", "1");
    put(&batch, STORE_LEASE, "l", "1");
    assert_int_equal(place.seam->commit(place.seam->ctx, &batch, NULL), 0);
    store_batch_free(&batch);
    const char *from = place_path(&place, "from");
    const char *to = place_path(&place, "to");
    write_file(place.seam, from);
    put(&batch, STORE_META, "e", "new"); /* behind the last, given first */
    put(&batch, STORE_META, "a", "new");
    put(&batch, STORE_META, "d", "replaced");
    put(&batch, STORE_MEMBERS, "m", "kept although its table is dropped");
    put(&batch, STORE_ALARM, "x", "in an empty table");
    struct bolt_changes changes = {drop_members_and_term, &batch};
    rewrite(from, to, &changes, BOLT_PLAIN);
    expect_items(to, "alarm/x=in an empty table lease/l=1 "
                     "members/m=kept although its table is dropped "
                     "meta/a=new meta/d=replaced meta/e=new ");
    store_batch_free(&batch);
    place_close(&place);
}

static void newer_versions_are_refused_and_nothing_is_left(void **state)
{
    (void)state;
    static const struct {
        enum store_table table;
        const char *key, *value;
        int rc;
    } CASES[] = {
        {STORE_META, "storageVersion", "3.6.0", 0},
        {STORE_META, "storageVersion", "3.7.0", 0},
        {STORE_META, "storageVersion", "3.8.0", E_UNSUPPORTED},
        {STORE_CLUSTER, "clusterVersion", "3.4.0", 0},
        {STORE_CLUSTER, "clusterVersion", "3.10.0", E_UNSUPPORTED},
        {STORE_CLUSTER, "clusterVersion", "4.0.0", E_UNSUPPORTED},
        {STORE_CLUSTER, "clusterVersion", "", E_UNSUPPORTED},
        {STORE_CLUSTER, "downgrade", "9.9.9", 0},
        {STORE_KEY, "storageVersion", "9.9.9", 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct err err = {{0}};
        assert_int_equal(bolt_check_version(CASES[i].table, bytes_of_str(CASES[i].key),
                                            bytes_of_str(CASES[i].value), &err),
                         CASES[i].rc);
        assert_true(CASES[i].rc == 0 || strstr(err.text, "up to 3.7") != NULL);
    }
    struct place place;
    struct store_batch batch;
    struct err err = {{0}};
    uint64_t bytes;
    place_open(&place);
    store_batch_init(&batch);
    put(&batch, STORE_CLUSTER, "clusterVersion", "3.9.0");
    assert_int_equal(place.seam->commit(place.seam->ctx, &batch, NULL), 0);
    store_batch_free(&batch);
    const char *from = place_path(&place, "from");
    const char *to = place_path(&place, "to");
    write_file(place.seam, from);
    assert_int_equal(bolt_rewrite(disk_posix(), from, to, &NO_CHANGES, BOLT_PLAIN, &bytes, &err),
                     E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "3.9.0"));
    assert_int_not_equal(access(to, F_OK), 0);
    place_close(&place);
}

/* ---- a source that is not what it was ---- */

struct moody {
    unsigned asked;
    int rc_of_second;
};

static int moody_items(void *ctx, bolt_each_fn each, void *each_ctx, struct err *err)
{
    struct moody *moody = ctx;
    static const uint8_t VALUE[9000];
    size_t size = ++moody->asked == 1 ? sizeof(VALUE) : 10;
    if (moody->asked == 2 && moody->rc_of_second != 0) {
        return err_set(err, moody->rc_of_second, "the disk is gone");
    }
    return each(each_ctx, STORE_META, bytes_of_str("k"), bytes_of(VALUE, size));
}

static void expect_second_pass(int rc_of_second, int want, const char *part)
{
    struct place place;
    struct bolt_writer *writer;
    struct err err = {{0}};
    uint64_t bytes;
    struct moody moody = {.rc_of_second = rc_of_second};
    struct bolt_source source = {moody_items, &moody};
    place_open(&place);
    const char *path = place_path(&place, "to");
    assert_int_equal(bolt_writer_from(&source, &writer, &bytes, &err), 0);
    assert_int_equal(bolt_write_file(disk_posix(), writer, bytes, path, BOLT_SEALED, &err), want);
    assert_non_null(strstr(err.text, part));
    assert_int_not_equal(access(path, F_OK), 0);
    bolt_writer_free(writer);
    place_close(&place);
}

static void a_source_that_changes_between_the_passes_is_told(void **state)
{
    (void)state;
    expect_second_pass(0, E_CONFLICT, "changed while it was read");
    expect_second_pass(E_IO, E_IO, "the disk is gone");
}

/* ---- all of a file ---- */

struct walk {
    uint32_t hash, buckets;
    char names[256];
};

static int walk_bucket(void *ctx, struct bytes name)
{
    struct walk *walk = ctx;
    size_t at = strlen(walk->names);
    snprintf(walk->names + at, sizeof(walk->names) - at, "%.*s ", (int)name.size,
             (const char *)name.data);
    walk->buckets++;
    return 0;
}

static int walk_item(void *ctx, struct bytes bucket, struct bytes key, struct bytes value)
{
    struct walk *walk = ctx;
    assert_true(bucket.size > 0);
    walk->hash = crc32c(walk->hash, key.data, key.size);
    walk->hash = value.size == 0 ? walk->hash : crc32c(walk->hash, value.data, value.size);
    return 0;
}

static int walk_file(const char *path, struct walk *walk, struct bolt_info *info, struct err *err)
{
    struct bolt_visitor visitor = {walk_bucket, walk_item, walk};
    return bolt_walk(disk_posix(), path, &visitor, info, err);
}

static void a_walk_meets_each_bucket_in_order(void **state)
{
    (void)state;
    struct walk walk = {0};
    struct bolt_info info;
    struct err err = {{0}};
    assert_int_equal(walk_file(REAL_FILE, &walk, &info, &err), 0);
    assert_string_equal(walk.names, "alarm auth authRoles authUsers cluster key lease members "
                                    "members_removed meta ");
    assert_true(info.has_sha);
    assert_int_equal(info.page_bytes, 4096);
    assert_true(info.used_bytes <= info.file_bytes);
}

/* A small file whose freelist page is changed by the caller. */
static uint8_t *with_freelist(const struct place *place, size_t *out_size)
{
    const char *path = place_path(place, "small");
    write_file(place->seam, path);
    return read_all(path, out_size);
}

static void expect_walk(const struct place *place, const uint8_t *data, size_t size, int rc,
                        const char *part)
{
    struct walk walk = {0};
    struct bolt_info info;
    struct err err = {{0}};
    const char *path = place_path(place, "changed");
    write_all(path, data, size);
    assert_int_equal(walk_file(path, &walk, &info, &err), rc);
    if (rc != 0 && strstr(err.text, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, err.text);
    }
}

static void free_pages_are_free_and_others_in_use(void **state)
{
    (void)state;
    struct place place;
    size_t size;
    place_open(&place);
    place_fill_keys(&place, 200, 300, 1);
    uint8_t *data = with_freelist(&place, &size);
    uint8_t *list = data + 2 * (size_t)BOLT_PAGE_BYTES;
    uint8_t *count = list + 10;
    uint8_t *first = list + BOLT_HEADER_BYTES;
    expect_walk(&place, data, size, 0, "");
    put_le16(count, 1);
    put_le64(first, 3);
    expect_walk(&place, data, size, E_CORRUPT, "page 3: used twice");
    put_le64(first, 1);
    expect_walk(&place, data, size, E_CORRUPT, "free and outside");
    put_le64(first, UINT64_MAX);
    expect_walk(&place, data, size, E_CORRUPT, "free and outside");
    put_le16(count, 0x7fff);
    expect_walk(&place, data, size, E_CORRUPT, "more free pages than");
    put_le16(count, 0xffff); /* the count is the first number */
    put_le64(first, 0);
    expect_walk(&place, data, size, 0, "");
    put_le64(first, UINT64_MAX);
    expect_walk(&place, data, size, E_CORRUPT, "more free pages than");
    put_le16(count, 0);
    put_le16(list + 8, BOLT_FLAG_LEAF);
    expect_walk(&place, data, size, E_CORRUPT, "not the list of free pages");
    put_le16(list + 8, BOLT_FLAG_FREELIST);
    put_le32(list + 12, 0xffffff);
    expect_walk(&place, data, size, E_CORRUPT, "overflows the file");
    mem_free(data);
    place_close(&place);
}

static void a_page_that_nobody_uses_is_told(void **state)
{
    (void)state;
    struct place place;
    size_t size;
    place_open(&place);
    place_fill_keys(&place, 50, 300, 1);
    uint8_t *data = with_freelist(&place, &size);
    data = mem_realloc(data, size + BOLT_PAGE_BYTES);
    memset(data + size, 0, BOLT_PAGE_BYTES);
    uint64_t pages = size / BOLT_PAGE_BYTES;
    for (size_t i = 0; i < 2; i++) {
        uint8_t *meta = data + i * (size_t)BOLT_PAGE_BYTES + BOLT_HEADER_BYTES;
        put_le64(meta + BOLT_META_PAGES, pages + 1);
        put_le64(meta + BOLT_META_CHECKSUM, bolt_meta_checksum(meta));
    }
    expect_walk(&place, data, size + BOLT_PAGE_BYTES, E_CORRUPT, "neither in use nor free");
    for (size_t i = 0; i < 2; i++) { /* with no list at all, what no tree uses is free */
        uint8_t *meta = data + i * (size_t)BOLT_PAGE_BYTES + BOLT_HEADER_BYTES;
        put_le64(meta + BOLT_META_FREELIST, BOLT_NO_FREELIST);
        put_le64(meta + BOLT_META_CHECKSUM, bolt_meta_checksum(meta));
    }
    expect_walk(&place, data, size + BOLT_PAGE_BYTES, 0, "");
    mem_free(data);
    place_close(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_rewritten_holds_the_same_in_sound_pages),
        cmocka_unit_test(a_sealed_file_carries_the_hash_of_the_rest),
        cmocka_unit_test(changes_are_merged_where_they_belong),
        cmocka_unit_test(newer_versions_are_refused_and_nothing_is_left),
        cmocka_unit_test(a_source_that_changes_between_the_passes_is_told),
        cmocka_unit_test(a_walk_meets_each_bucket_in_order),
        cmocka_unit_test(free_pages_are_free_and_others_in_use),
        cmocka_unit_test(a_page_that_nobody_uses_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
