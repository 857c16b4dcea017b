/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of bbolt files: real files, damaged ones, hostile ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "engine/store/bolt_format.h"
#include "tests/unit/store/lib_bolt.h"

/* What came out: how many, and a sum over all bytes, so that all of them are touched. */
struct tally {
    uint64_t items[STORE_TABLE_COUNT];
    uint64_t total, sum;
    uint64_t stop_after;
};

static int tally_item(void *ctx, enum store_table table, struct bytes key, struct bytes value)
{
    struct tally *tally = ctx;
    tally->items[table]++;
    for (size_t i = 0; i < key.size; i++) {
        tally->sum = tally->sum * 31 + key.data[i];
    }
    for (size_t i = 0; i < value.size; i++) {
        tally->sum = tally->sum * 31 + value.data[i];
    }
    return ++tally->total == tally->stop_after ? E_CLOSED : 0;
}

static int tally_file(const char *path, struct tally *out_tally, struct err *err)
{
    *out_tally = (struct tally){0};
    err->text[0] = '\0';
    return bolt_read(disk_posix(), path, tally_item, out_tally, err);
}

/* A damaged file is read or refused with a reason; anything else is a fault. */
static int expect_read_or_refused(const char *path)
{
    struct tally tally;
    struct err err;
    int rc = tally_file(path, &tally, &err);
    if (rc != 0 && (rc != E_CORRUPT || strstr(err.text, "page ") == NULL) &&
        strstr(err.text, "ends at") == NULL) {
        fail_msg("%d %s", rc, err.text);
    }
    return rc;
}

static void expect_refused(const char *path, const char *reason)
{
    struct tally tally;
    struct err err;
    int rc = tally_file(path, &tally, &err);
    if (rc != E_CORRUPT || strstr(err.text, reason) == NULL) {
        fail_msg("want \"%s\", got %d %s", reason, rc, err.text);
    }
}

/* A file of its own kind: place, path, contents. */
struct sample {
    struct place place;
    const char *path;
    uint8_t *data;
    size_t size;
};

static void sample_open(struct sample *sample, uint32_t keys, size_t max_value_bytes)
{
    place_open(&sample->place);
    place_fill_keys(&sample->place, keys, max_value_bytes, 5);
    place_fill_others(&sample->place);
    sample->path = str_dup(place_path(&sample->place, "db"));
    write_file(sample->place.seam, sample->path);
    sample->data = read_all(sample->path, &sample->size);
}

static void sample_close(struct sample *sample)
{
    mem_free((void *)(uintptr_t)sample->path);
    mem_free(sample->data);
    place_close(&sample->place);
}

static uint8_t *page_of(struct sample *sample, uint64_t id)
{
    assert_true((id + 1) * BOLT_PAGE_BYTES <= sample->size);
    return sample->data + id * BOLT_PAGE_BYTES;
}

static uint64_t root_page(const struct sample *sample)
{
    return get_le64(sample->data + BOLT_HEADER_BYTES + BOLT_META_ROOT);
}

/* The element of a named bucket in the root's leaf. */
static uint8_t *bucket_element(struct sample *sample, enum store_table table)
{
    uint8_t *page = page_of(sample, root_page(sample));
    struct bytes name = bytes_of_str(store_table_name(table));
    for (unsigned i = 0; i < get_le16(page + 10); i++) {
        uint8_t *element = page + 16 + i * 16;
        if (bytes_equal(name, bytes_of(element + get_le32(element + 4), get_le32(element + 8)))) {
            return element;
        }
    }
    fail_msg("no bucket");
    return NULL;
}

static uint8_t *bucket_value(struct sample *sample, enum store_table table)
{
    uint8_t *element = bucket_element(sample, table);
    return element + get_le32(element + 4) + get_le32(element + 8);
}

static void save(const struct sample *sample)
{
    write_all(sample->path, sample->data, sample->size);
}

static void seal_metas(uint8_t *data, size_t page_bytes)
{
    for (size_t i = 0; i < 2; i++) {
        uint8_t *meta = data + i * page_bytes + BOLT_HEADER_BYTES;
        put_le64(meta + BOLT_META_CHECKSUM, bolt_meta_checksum(meta));
    }
}

/* ---- good files ---- */

static void a_real_file_reads_as_etcd_counts_it(void **state)
{
    (void)state;
    struct tally tally;
    struct err err;
    assert_int_equal(tally_file(REAL_FILE, &tally, &err), 0);
    assert_int_equal(tally.total, REAL_TOTAL_KEYS);
    assert_int_equal(tally.items[STORE_KEY], REAL_RECORDS);
    assert_int_equal(tally.items[STORE_LEASE], 1);
    assert_int_equal(tally.items[STORE_AUTH_USERS], 1);
    assert_int_equal(tally.items[STORE_AUTH_ROLES], 1);
    assert_int_equal(tally.items[STORE_MEMBERS], 1);
    assert_int_equal(bolt_verify_sha256(disk_posix(), REAL_FILE, &err), 0);
}

static void the_callback_can_stop_the_reading(void **state)
{
    (void)state;
    struct tally tally = {.stop_after = 100};
    assert_int_equal(bolt_read(disk_posix(), REAL_FILE, tally_item, &tally, NULL), E_CLOSED);
    assert_int_equal(tally.total, 100);
}

static void unknown_buckets_are_skipped(void **state)
{
    (void)state;
    struct sample sample;
    struct tally tally;
    struct err err;
    sample_open(&sample, 100, 100);
    uint8_t *element = bucket_element(&sample, STORE_LEASE);
    element[get_le32(element + 4)] = 'k'; /* "kease" */
    element[get_le32(element + 4) + 2] = 'z';
    save(&sample);
    assert_int_equal(tally_file(sample.path, &tally, &err), 0);
    assert_int_equal(tally.items[STORE_LEASE], 0);
    assert_int_equal(tally.items[STORE_KEY], 100);
    sample_close(&sample);
}

static void a_bucket_nested_in_a_known_one_is_skipped(void **state)
{
    (void)state;
    struct sample sample;
    struct tally tally;
    struct err err;
    sample_open(&sample, 1, 1);
    uint8_t *inner = bucket_value(&sample, STORE_LEASE) + BOLT_BUCKET_BYTES + BOLT_HEADER_BYTES;
    assert_int_equal(tally_file(sample.path, &tally, &err), 0);
    uint64_t before = tally.items[STORE_LEASE];
    put_le32(inner, BOLT_ELEMENT_BUCKET);
    save(&sample);
    assert_int_equal(tally_file(sample.path, &tally, &err), 0);
    assert_int_equal(tally.items[STORE_LEASE], before - 1);
    sample_close(&sample);
}

/* The pages of a nearly empty store hold so little that they fit pages of other sizes. */
static uint8_t *with_page_size(const uint8_t *from, size_t page_bytes, size_t *out_size)
{
    uint8_t *data = mem_zalloc(4 * page_bytes);
    for (size_t i = 0; i < 4; i++) {
        memcpy(data + i * page_bytes, from + i * BOLT_PAGE_BYTES,
               BASE_MIN(page_bytes, BOLT_PAGE_BYTES));
    }
    for (size_t i = 0; i < 2; i++) {
        put_le32(data + i * page_bytes + BOLT_HEADER_BYTES + BOLT_META_PAGE_SIZE,
                 (uint32_t)page_bytes);
    }
    seal_metas(data, page_bytes);
    *out_size = 4 * page_bytes;
    return data;
}

static void pages_of_other_sizes_are_read_with_either_meta(void **state)
{
    (void)state;
    struct place place;
    struct store_batch batch;
    size_t have;
    place_open(&place);
    store_batch_init(&batch);
    place_commit(&place, &batch, 9);
    const char *path = place_path(&place, "db");
    write_file(place.seam, path);
    uint8_t *from = read_all(path, &have);
    assert_int_equal(have, 4 * BOLT_PAGE_BYTES);
    for (size_t page_bytes = 1024; page_bytes <= 65536; page_bytes *= 2) {
        size_t size;
        uint8_t *data = with_page_size(from, page_bytes, &size);
        for (int broken = -1; broken < 2; broken++) {
            struct tally tally;
            struct err err;
            size_t at = broken < 0 ? 0 : (size_t)broken * page_bytes + BOLT_HEADER_BYTES + 50;
            data[at] ^= broken < 0 ? 0 : 1;
            write_all(path, data, size);
            if (tally_file(path, &tally, &err) != 0) {
                fail_msg("page size %zu, meta %d: %s", page_bytes, broken, err.text);
            }
            assert_int_equal(tally.total, 2); /* index and term */
            data[at] ^= broken < 0 ? 0 : 1;
        }
        mem_free(data);
    }
    mem_free(from);
    place_close(&place);
}

static void the_newest_whole_meta_wins(void **state)
{
    (void)state;
    struct sample sample;
    struct tally tally;
    struct err err;
    sample_open(&sample, 50, 10);
    uint8_t *older = page_of(&sample, 1) + BOLT_HEADER_BYTES;
    put_le64(older + BOLT_META_ROOT, 99999);
    seal_metas(sample.data, BOLT_PAGE_BYTES);
    save(&sample);
    assert_int_equal(tally_file(sample.path, &tally, &err), 0);
    put_le64(older + BOLT_META_TXID, 77); /* now it is the newer */
    seal_metas(sample.data, BOLT_PAGE_BYTES);
    save(&sample);
    expect_refused(sample.path, "page 99999: outside of the file");
    older[BOLT_META_TXID]++; /* torn: the other one again */
    save(&sample);
    assert_int_equal(tally_file(sample.path, &tally, &err), 0);
    assert_int_equal(tally.items[STORE_KEY], 50);
    sample_close(&sample);
}

/* ---- damage ---- */

static void no_flipped_byte_harms_the_reader(void **state)
{
    (void)state;
    static const uint8_t FLIPS[] = {0xff, 0x01, 0x80};
    struct sample sample;
    struct tally whole;
    struct err err;
    sample_open(&sample, 90, 60);
    assert_int_equal(tally_file(sample.path, &whole, &err), 0);
    assert_true(sample.size <= 10 * (size_t)BOLT_PAGE_BYTES);
    int fd = open(sample.path, O_RDWR);
    unsigned refused = 0;
    for (size_t at = 0; at < sample.size; at++) {
        for (size_t i = 0; i < ARRAY_COUNT(FLIPS); i++) {
            uint8_t flipped = sample.data[at] ^ FLIPS[i];
            assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
            int rc = expect_read_or_refused(sample.path);
            refused += rc != 0;
            if (at < 2 * (size_t)BOLT_PAGE_BYTES) {
                assert_int_equal(rc, 0); /* the other meta stands */
            }
        }
        assert_int_equal(pwrite(fd, sample.data + at, 1, (off_t)at), 1);
    }
    close(fd);
    assert_true(refused > 300);
    sample_close(&sample);
}

static void random_damage_never_harms_the_reader(void **state)
{
    (void)state;
    struct sample sample;
    struct rng rng;
    rng_seed(&rng, 11);
    sample_open(&sample, 2000, 300);
    uint8_t *good = mem_dup(sample.data, sample.size);
    for (unsigned round = 0; round < 400; round++) {
        memcpy(sample.data, good, sample.size);
        for (uint64_t i = rng_below(&rng, 20) + 1; i > 0; i--) {
            uint8_t *page = page_of(&sample, rng_below(&rng, sample.size / BOLT_PAGE_BYTES));
            /* mostly where headers and elements are */
            uint8_t *at = page + rng_below(&rng, rng_below(&rng, 2) == 0 ? 64 : BOLT_PAGE_BYTES);
            *at = (uint8_t)rng_next(&rng);
        }
        seal_metas(sample.data, BOLT_PAGE_BYTES);
        save(&sample);
        (void)expect_read_or_refused(sample.path);
    }
    mem_free(good);
    sample_close(&sample);
}

static void a_file_that_is_cut_short_is_refused(void **state)
{
    (void)state;
    struct sample sample;
    struct err err;
    struct tally tally;
    sample_open(&sample, 300, 200);
    for (size_t size = 0; size < sample.size; size += size < 9000 ? 101 : 1111) {
        write_all(sample.path, sample.data, size);
        assert_int_equal(tally_file(sample.path, &tally, &err), E_CORRUPT);
        assert_true(err.text[0] != '\0');
    }
    assert_int_equal(tally_file("/nonexistent/db", &tally, &err), E_NOT_FOUND);
    assert_int_equal(tally_file("/", &tally, &err), E_INVALID);
    sample_close(&sample);
}

/* ---- hostile files ---- */

enum { KEY_ROOT = 1 << 16, FIRST_LEAF, ROOT_LEAF, LEASE_VALUE, KEY_VALUE, NEW_META };

static void put_sized(uint8_t *at, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Where each lie is told: a place, an offset there, the size of the number and the number. */
static void each_lie_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct lie {
        int where;
        unsigned offset, size;
        uint64_t value;
        const char *reason;
    } LIES[] = {
        {NEW_META, BOLT_META_PAGE_SIZE, 4, 3000, "impossible page size"},
        {NEW_META, BOLT_META_PAGE_SIZE, 4, 0, "impossible page size"},
        {NEW_META, BOLT_META_PAGE_SIZE, 4, 1u << 31, "impossible page size"},
        {NEW_META, BOLT_META_PAGES, 8, 1u << 30, "cut short"},
        {NEW_META, BOLT_META_PAGES, 8, UINT64_MAX, "cut short"},
        {NEW_META, BOLT_META_PAGES, 8, 0, "outside of the file"},
        {NEW_META, BOLT_META_ROOT, 8, 0, "page 0: outside of the file"},
        {NEW_META, BOLT_META_ROOT, 8, 1, "page 1: outside of the file"},
        {NEW_META, BOLT_META_ROOT, 8, 2, "page 2: neither branch nor leaf"},
        {NEW_META, BOLT_META_ROOT, 8, UINT64_MAX, "outside of the file"},
        {KEY_VALUE, 0, 8, UINT64_MAX / 4096, "outside of the file"},
        {KEY_VALUE, 0, 8, 0, "inline bucket is cut short"},
        {KEY_ROOT, 0, 8, 7, "another page's number"},
        {KEY_ROOT, 8, 2, 4, "neither branch nor leaf"},
        {KEY_ROOT, 8, 2, 3, "neither branch nor leaf"},
        {KEY_ROOT, 10, 2, 0, "a branch without children"},
        {KEY_ROOT, 10, 2, 256, "more elements"},
        {KEY_ROOT, 12, 4, UINT32_MAX, "overflows the file"},
        {KEY_ROOT, 12, 4, 1, "used twice"},
        {KEY_ROOT, 16, 4, 0, "outside of its place"},
        {KEY_ROOT, 16, 4, UINT32_MAX, "outside of its place"},
        {KEY_ROOT, 20, 4, 5000, "outside of its place"},
        {KEY_ROOT, 24, 8, 1, "page 1: outside of the file"},
        {KEY_ROOT, 24, 8, 4, "page 4: used twice"},
        {FIRST_LEAF, 10, 2, 65535, "more elements"},
        {FIRST_LEAF, 12, 4, 1, "used twice"},
        {FIRST_LEAF, 16, 4, 2, "an element of an unknown kind"},
        {FIRST_LEAF, 20, 4, 16, "outside of its place"},
        {FIRST_LEAF, 20, 4, UINT32_MAX - 3, "outside of its place"},
        {FIRST_LEAF, 24, 4, UINT32_MAX, "outside of its place"},
        {FIRST_LEAF, 28, 4, UINT32_MAX, "outside of its place"},
        {FIRST_LEAF, 28, 4, 4000, "outside of its place"},
        {FIRST_LEAF, 24, 4, 0, "keys do not ascend"},
        {ROOT_LEAF, 16, 4, 0, "a plain key in the root bucket"},
        {ROOT_LEAF, 28, 4, 7, "a bucket without its header"},
        {ROOT_LEAF, 28, 4, 20, "an inline bucket is cut short"},
        {LEASE_VALUE, 16 + 8, 2, 1, "an inline bucket that is no leaf"},
        {LEASE_VALUE, 16 + 10, 2, 999, "more elements"},
        {LEASE_VALUE, 32 + 12, 4, 999, "outside of its place"},
    };
    struct sample sample;
    sample_open(&sample, 300, 100);
    uint8_t *good = mem_dup(sample.data, sample.size);
    uint64_t key_root = get_le64(bucket_value(&sample, STORE_KEY));
    uint8_t *key_page = page_of(&sample, key_root);
    assert_int_equal(get_le16(key_page + 8), BOLT_FLAG_BRANCH);
    for (size_t i = 0; i < ARRAY_COUNT(LIES); i++) {
        const struct lie *lie = &LIES[i];
        memcpy(sample.data, good, sample.size);
        uint8_t *at = lie->where == NEW_META      ? sample.data + BOLT_HEADER_BYTES
                      : lie->where == KEY_ROOT    ? key_page
                      : lie->where == FIRST_LEAF  ? page_of(&sample, get_le64(key_page + 24))
                      : lie->where == ROOT_LEAF   ? page_of(&sample, root_page(&sample))
                      : lie->where == LEASE_VALUE ? bucket_value(&sample, STORE_LEASE)
                                                  : bucket_value(&sample, STORE_KEY);
        put_sized(at + lie->offset, lie->size, lie->value);
        seal_metas(sample.data, BOLT_PAGE_BYTES);
        save(&sample);
        expect_refused(sample.path, lie->reason);
    }
    mem_free(good);
    sample_close(&sample);
}

static void the_last_byte_of_a_page_may_be_used_and_no_more(void **state)
{
    (void)state;
    struct sample sample;
    struct tally tally;
    struct err err;
    sample_open(&sample, 300, 100);
    uint64_t key_root = get_le64(bucket_value(&sample, STORE_KEY));
    uint8_t *leaf = page_of(&sample, get_le64(page_of(&sample, key_root) + 24));
    uint8_t *last = leaf + get_le16(leaf + 10) * 16;
    size_t value_at = (size_t)(last - leaf) + get_le32(last + 4) + get_le32(last + 8);
    put_le32(last + 12, (uint32_t)(BOLT_PAGE_BYTES - value_at));
    save(&sample);
    assert_int_equal(tally_file(sample.path, &tally, &err), 0);
    put_le32(last + 12, (uint32_t)(BOLT_PAGE_BYTES - value_at) + 1);
    save(&sample);
    expect_refused(sample.path, "outside of its place");
    sample_close(&sample);
}

static void the_last_page_may_be_used_and_no_more(void **state)
{
    (void)state;
    struct sample sample;
    sample_open(&sample, 300, 100);
    uint64_t pages = sample.size / BOLT_PAGE_BYTES;
    uint8_t *meta = sample.data + BOLT_HEADER_BYTES;
    assert_true(root_page(&sample) == pages - 1);
    put_le32(page_of(&sample, pages - 1) + 12, 1);
    save(&sample);
    expect_refused(sample.path, "overflows the file");
    put_le32(page_of(&sample, pages - 1) + 12, 0);
    put_le64(meta + BOLT_META_PAGES, pages - 1);
    seal_metas(sample.data, BOLT_PAGE_BYTES);
    save(&sample);
    expect_refused(sample.path, "outside of the file");
    sample_close(&sample);
}

static void a_key_that_comes_twice_is_refused(void **state)
{
    (void)state;
    struct sample sample;
    sample_open(&sample, 300, 100);
    uint64_t key_root = get_le64(bucket_value(&sample, STORE_KEY));
    uint8_t *first = page_of(&sample, get_le64(page_of(&sample, key_root) + 24)) + 16;
    uint8_t *second = first + 16;
    uint32_t size = BASE_MIN(get_le32(first + 8), get_le32(second + 8));
    memcpy(second + get_le32(second + 4), first + get_le32(first + 4), size);
    put_le32(first + 8, size);
    put_le32(second + 8, size);
    save(&sample);
    expect_refused(sample.path, "keys do not ascend");
    sample_close(&sample);
}

static void a_branch_that_is_its_own_child_is_refused(void **state)
{
    (void)state;
    struct sample sample;
    sample_open(&sample, 300, 100);
    uint64_t key_root = get_le64(bucket_value(&sample, STORE_KEY));
    put_le64(page_of(&sample, key_root) + 24, key_root);
    save(&sample);
    expect_refused(sample.path, "used twice");
    sample_close(&sample);
}

static void two_buckets_on_one_tree_are_refused(void **state)
{
    (void)state;
    struct sample sample;
    sample_open(&sample, 300, 100);
    uint64_t key_root = get_le64(bucket_value(&sample, STORE_KEY));
    put_le64(bucket_value(&sample, STORE_META), key_root);
    save(&sample);
    expect_refused(sample.path, "used twice");
    sample_close(&sample);
}

/* A chain of branches, each with one child. */
static void a_tree_without_end_is_refused(void **state)
{
    (void)state;
    struct sample sample;
    sample_open(&sample, 3000, 100);
    uint64_t pages = sample.size / BOLT_PAGE_BYTES;
    assert_true(pages > 50);
    uint64_t root = root_page(&sample);
    for (uint64_t id = 3; id + 1 < pages; id++) {
        uint8_t *page = page_of(&sample, id);
        if (id == root || id + 1 == root) {
            continue;
        }
        put_le16(page + 8, BOLT_FLAG_BRANCH);
        put_le16(page + 10, 1);
        put_le32(page + 16, 16);
        put_le32(page + 20, 1);
        put_le64(page + 24, id + 1);
    }
    put_le64(bucket_value(&sample, STORE_KEY), 3);
    save(&sample);
    expect_refused(sample.path, "too deep");
    sample_close(&sample);
}

/* A leaf whose elements all claim the same bytes would read as more than the file holds. */
static void elements_that_share_bytes_are_refused(void **state)
{
    (void)state;
    struct sample sample;
    sample_open(&sample, 300, 100);
    uint64_t key_root = get_le64(bucket_value(&sample, STORE_KEY));
    uint8_t *leaf = page_of(&sample, get_le64(page_of(&sample, key_root) + 24));
    uint32_t pos = get_le32(leaf + 20);
    for (uint32_t i = 0; i < get_le16(leaf + 10); i++) {
        put_le32(leaf + 16 + i * 16 + 4, pos - i * 16);
        put_le32(leaf + 16 + i * 16 + 8, 1 + i);
        put_le32(leaf + 16 + i * 16 + 12, 500);
    }
    save(&sample);
    expect_refused(sample.path, "outside of its place");
    sample_close(&sample);
}

static void keys_out_of_order_across_leaves_are_refused(void **state)
{
    (void)state;
    struct sample sample;
    sample_open(&sample, 300, 100);
    uint8_t *branch = page_of(&sample, get_le64(bucket_value(&sample, STORE_KEY)));
    uint64_t first = get_le64(branch + 24);
    put_le64(branch + 24, get_le64(branch + 40));
    put_le64(branch + 40, first);
    save(&sample);
    expect_refused(sample.path, "keys do not ascend");
    sample_close(&sample);
}

static void a_file_of_something_else_is_refused(void **state)
{
    (void)state;
    static const enum store_table NEEDED[] = {STORE_KEY, STORE_META};
    for (size_t i = 0; i < ARRAY_COUNT(NEEDED); i++) {
        struct sample sample;
        sample_open(&sample, 10, 10);
        uint8_t *element = bucket_element(&sample, NEEDED[i]);
        element[get_le32(element + 4) + 1] = 'f'; /* "kfy", "mfta" */
        save(&sample);
        expect_refused(sample.path, "not a file of etcd");
        memset(sample.data, 'x', sample.size);
        save(&sample);
        expect_refused(sample.path, "not a bbolt file");
        sample_close(&sample);
    }
}

static void the_trailing_sha256_is_compared(void **state)
{
    (void)state;
    struct sample sample;
    struct tally tally;
    struct err err = {{0}};
    sample_open(&sample, 300, 100);
    assert_int_equal(bolt_verify_sha256(disk_posix(), sample.path, &err), E_NOT_FOUND);
    seal_file(sample.path);
    assert_int_equal(bolt_verify_sha256(disk_posix(), sample.path, &err), 0);
    assert_int_equal(tally_file(sample.path, &tally, &err), 0);
    int fd = open(sample.path, O_RDWR);
    for (size_t at = 3; at < sample.size + BOLT_SHA_BYTES; at += 4093) {
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
        uint8_t flipped = byte ^ 4;
        assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
        assert_int_equal(bolt_verify_sha256(disk_posix(), sample.path, &err), E_CORRUPT);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    }
    close(fd);
    assert_int_equal(bolt_verify_sha256(disk_posix(), "/nonexistent/db", &err), E_NOT_FOUND);
    sample_close(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_real_file_reads_as_etcd_counts_it),
        cmocka_unit_test(the_callback_can_stop_the_reading),
        cmocka_unit_test(unknown_buckets_are_skipped),
        cmocka_unit_test(a_bucket_nested_in_a_known_one_is_skipped),
        cmocka_unit_test(pages_of_other_sizes_are_read_with_either_meta),
        cmocka_unit_test(the_newest_whole_meta_wins),
        cmocka_unit_test(no_flipped_byte_harms_the_reader),
        cmocka_unit_test(random_damage_never_harms_the_reader),
        cmocka_unit_test(a_file_that_is_cut_short_is_refused),
        cmocka_unit_test(each_lie_is_refused_with_its_reason),
        cmocka_unit_test(the_last_byte_of_a_page_may_be_used_and_no_more),
        cmocka_unit_test(the_last_page_may_be_used_and_no_more),
        cmocka_unit_test(a_key_that_comes_twice_is_refused),
        cmocka_unit_test(a_branch_that_is_its_own_child_is_refused),
        cmocka_unit_test(two_buckets_on_one_tree_are_refused),
        cmocka_unit_test(a_tree_without_end_is_refused),
        cmocka_unit_test(elements_that_share_bytes_are_refused),
        cmocka_unit_test(keys_out_of_order_across_leaves_are_refused),
        cmocka_unit_test(a_file_of_something_else_is_refused),
        cmocka_unit_test(the_trailing_sha256_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
