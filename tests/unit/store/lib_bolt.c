/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers for the tests of bbolt files. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <openssl/sha.h>

#include "tests/unit/store/lib_bolt.h"

#include "base/alloc.h"
#include "engine/store/bolt_format.h"

void place_open(struct place *place)
{
    struct err err = {{0}};
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(place->dir, sizeof(place->dir), "%s/bolt-test-XXXXXX", base);
    assert_non_null(mkdtemp(place->dir));
    snprintf(place->store_dir, sizeof(place->store_dir), "%s/store", place->dir);
    assert_int_equal(mkdir(place->store_dir, 0700), 0);
    if (lmdb_store_open(place->store_dir, PLACE_MAP_BYTES, &place->store, &err) != 0) {
        fail_msg("%s", err.text);
    }
    place->seam = lmdb_store_seam(place->store);
}

void remove_tree(const char *dir)
{
    DIR *stream = opendir(dir);
    if (stream == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (unlink(path) != 0) {
            remove_tree(path);
        }
    }
    closedir(stream);
    assert_int_equal(rmdir(dir), 0);
}

void place_close(struct place *place)
{
    lmdb_store_close(place->store);
    remove_tree(place->dir);
}

const char *place_path(const struct place *place, const char *name)
{
    static char ring[4][256];
    static unsigned next;
    char *path = ring[next++ % ARRAY_COUNT(ring)];
    snprintf(path, sizeof(ring[0]), "%s/%s", place->dir, name);
    return path;
}

void place_commit(struct place *place, struct store_batch *batch, uint64_t index)
{
    struct err err = {{0}};
    batch->consistent_index = index;
    batch->term = index == 0 ? 0 : 3;
    if (place->seam->commit(place->seam->ctx, batch, &err) != 0) {
        fail_msg("%s", err.text);
    }
    store_batch_free(batch);
}

void place_fill_keys(struct place *place, uint32_t count, size_t max_value_bytes, uint64_t seed)
{
    struct rng rng;
    struct store_batch batch;
    uint8_t *value = mem_alloc(max_value_bytes + 1);
    rng_seed(&rng, seed);
    store_batch_init(&batch);
    for (uint32_t i = 1; i <= count; i++) {
        uint8_t key[18];
        put_be64(key, i + 1);
        key[8] = '_';
        put_be64(key + 9, rng_below(&rng, 3));
        key[17] = 't';
        size_t size = (size_t)rng_below(&rng, max_value_bytes + 1);
        size = rng_below(&rng, 16) == 0 ? 0 : size;
        memset(value, (int)(i & 0xff), size);
        store_batch_put(&batch, STORE_KEY, bytes_of(key, rng_below(&rng, 8) == 0 ? 18 : 17),
                        bytes_of(value, size));
        if (batch.bytes > (32u << 20)) {
            place_commit(place, &batch, i);
        }
    }
    place_commit(place, &batch, count);
    mem_free(value);
}

void place_fill_others(struct place *place)
{
    struct store_batch batch;
    store_batch_init(&batch);
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        for (unsigned j = 0; j < 3 + i && i != STORE_KEY; j++) {
            char key[64];
            char value[64];
            snprintf(key, sizeof(key), "%s-%u", store_table_name((enum store_table)i), j);
            snprintf(value, sizeof(value), "{\"value\":%u}", j * i);
            store_batch_put(&batch, (enum store_table)i, bytes_of_str(key), bytes_of_str(value));
        }
    }
    place_commit(place, &batch, 0);
}

static int file_sink(void *ctx, const void *data, size_t size)
{
    return fwrite(data, 1, size, ctx) == size ? 0 : E_IO;
}

void write_file(const struct store_seam *seam, const char *path)
{
    struct err err = {{0}};
    struct store_view *view = NULL;
    struct bolt_writer *writer = NULL;
    uint64_t size = 0;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(seam->view_begin(seam->ctx, &view), 0);
    if (bolt_writer_new(seam, view, &writer, &size, &err) != 0 ||
        bolt_writer_write(writer, file_sink, file, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_true((uint64_t)ftell(file) == size);
    assert_int_equal(fclose(file), 0);
    bolt_writer_free(writer);
    seam->view_end(view);
}

uint8_t *read_all(const char *path, size_t *out_size)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = mem_alloc(size);
    assert_true(fread(data, 1, size, file) == size);
    fclose(file);
    *out_size = size;
    return data;
}

void write_all(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fwrite(data, 1, size, file) == size);
    assert_int_equal(fclose(file), 0);
}

void seal_file(const char *path)
{
    size_t size;
    uint8_t *data = read_all(path, &size);
    uint8_t sha[SHA256_DIGEST_LENGTH];
    SHA256(data, size, sha);
    mem_free(data);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_true(fwrite(sha, 1, sizeof(sha), file) == sizeof(sha));
    assert_int_equal(fclose(file), 0);
}

/* ---- the same items ---- */

struct comparison {
    const struct store_seam *seam;
    struct store_view *view;
    bool begun[STORE_TABLE_COUNT];
    const char *last_name;
    uint64_t items;
};

static int step(struct comparison *comparison, enum store_table table, struct store_item *out_item)
{
    int rc = comparison->begun[table]
                 ? comparison->seam->view_next(comparison->view, table, out_item)
                 : comparison->seam->view_seek(comparison->view, table, bytes_of("", 0), out_item);
    comparison->begun[table] = true;
    bool skip = rc == 0 && table == STORE_META &&
                bytes_equal(out_item->key, bytes_of_str("storageVersion"));
    return skip ? step(comparison, table, out_item) : rc;
}

static int compare_item(void *ctx, enum store_table table, struct bytes key, struct bytes value)
{
    struct comparison *comparison = ctx;
    struct store_item want;
    const char *name = store_table_name(table);
    assert_true(comparison->last_name == NULL || strcmp(comparison->last_name, name) <= 0);
    comparison->last_name = name;
    assert_int_equal(step(comparison, table, &want), 0);
    assert_true(bytes_equal(key, want.key) && bytes_equal(value, want.value));
    comparison->items++;
    return 0;
}

void expect_same(const struct store_seam *seam, const char *path)
{
    struct err err = {{0}};
    struct comparison comparison = {.seam = seam};
    struct store_item item;
    assert_int_equal(seam->view_begin(seam->ctx, &comparison.view), 0);
    if (bolt_read(disk_posix(), path, compare_item, &comparison, &err) != 0) {
        fail_msg("%s", err.text);
    }
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        assert_int_equal(step(&comparison, (enum store_table)i, &item), E_NOT_FOUND);
    }
    seam->view_end(comparison.view);
}

/* ---- a sound file ---- */

struct checker {
    const uint8_t *data;
    uint64_t page_count;
    uint8_t *used;
    struct shape shape;
};

static void use(struct checker *checker, uint64_t page)
{
    assert_true(page < checker->page_count);
    assert_int_equal(checker->used[page]++, 0);
}

/* Keys of the tree are in [low, high); low NULL: no bound. */
static void check_tree(struct checker *checker, uint64_t id, struct bytes low, struct bytes high,
                       uint32_t depth, bool is_root)
{
    const uint8_t *page = checker->data + id * BOLT_PAGE_BYTES;
    uint16_t flags = get_le16(page + 8);
    uint16_t count = get_le16(page + 10);
    uint32_t overflow = get_le32(page + 12);
    size_t used_bytes = 16;
    struct bytes last = {NULL, 0};
    assert_true(get_le64(page) == id && (flags == 1 || flags == 2) && count > 0);
    for (uint64_t i = 0; i <= overflow; i++) {
        use(checker, id + i);
    }
    assert_true(flags == 2 || (count > 1 && overflow == 0));
    for (uint16_t i = 0; i < count; i++) {
        const uint8_t *element = page + 16 + (size_t)i * 16;
        bool leaf = flags == 2;
        const uint8_t *at = element + get_le32(element + (leaf ? 4 : 0));
        struct bytes key = bytes_of(at, get_le32(element + (leaf ? 8 : 4)));
        size_t value_bytes = leaf ? get_le32(element + 12) : 0;
        used_bytes += 16 + key.size + value_bytes;
        assert_true(key.size > 0 && (last.size == 0 || bytes_compare(last, key) < 0));
        assert_true(low.size == 0 || bytes_compare(low, key) <= 0);
        assert_true(high.size == 0 || bytes_compare(key, high) < 0);
        last = key;
        if (!leaf) {
            const uint8_t *next = element + 16;
            struct bytes next_key =
                i + 1 < count ? bytes_of(next + get_le32(next), get_le32(next + 4)) : high;
            check_tree(checker, get_le64(element + 8), key, next_key, depth + 1, is_root);
        } else if (is_root) {
            assert_int_equal(get_le32(element), 1);
            uint64_t root = get_le64(key.data + key.size);
            assert_true(root != 0 || value_bytes <= 16 + 1024);
            if (root != 0) {
                check_tree(checker, root, bytes_of(NULL, 0), bytes_of(NULL, 0), 1, false);
            }
        } else {
            assert_int_equal(get_le32(element), 0);
        }
    }
    assert_true(used_bytes <= ((size_t)overflow + 1) * BOLT_PAGE_BYTES);
    assert_true(overflow == 0 || used_bytes > (size_t)overflow * BOLT_PAGE_BYTES);
    checker->shape.branches += flags == 1;
    checker->shape.leaves += flags == 2;
    checker->shape.depth = BASE_MAX(checker->shape.depth, depth);
}

void expect_sound(const char *path, struct shape *out_shape)
{
    size_t size;
    uint8_t *data = read_all(path, &size);
    struct checker checker = {.data = data, .page_count = size / BOLT_PAGE_BYTES};
    assert_int_equal(size % BOLT_PAGE_BYTES, 0);
    checker.used = mem_zalloc((size_t)checker.page_count);
    for (uint64_t i = 0; i < 2; i++) {
        const uint8_t *page = data + i * BOLT_PAGE_BYTES;
        const uint8_t *meta = page + 16;
        use(&checker, i);
        assert_true(get_le64(page) == i && get_le16(page + 8) == 4);
        assert_true(get_le32(meta) == 0xED0CDAED && get_le32(meta + 4) == 2);
        assert_true(get_le32(meta + 8) == BOLT_PAGE_BYTES);
        assert_true(get_le64(meta + 40) == checker.page_count);
        assert_true(get_le64(meta + 48) == 2 - i);
        assert_true(get_le64(meta + 56) == bolt_meta_checksum(meta));
    }
    const uint8_t *meta = data + 16;
    assert_memory_equal(meta, data + BOLT_PAGE_BYTES + 16, 48);
    uint64_t freelist = get_le64(meta + 32);
    use(&checker, freelist);
    assert_int_equal(get_le16(data + freelist * BOLT_PAGE_BYTES + 8), 16);
    assert_int_equal(get_le16(data + freelist * BOLT_PAGE_BYTES + 10), 0);
    check_tree(&checker, get_le64(meta + 16), bytes_of(NULL, 0), bytes_of(NULL, 0), 1, true);
    for (uint64_t i = 0; i < checker.page_count; i++) {
        assert_int_equal(checker.used[i], 1);
    }
    checker.shape.pages = checker.page_count;
    *out_shape = checker.shape;
    mem_free(checker.used);
    mem_free(data);
}
