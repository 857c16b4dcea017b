/* SPDX-License-Identifier: Apache-2.0 */
/* Tables, and what they would weigh as pages of LMDB. */
#include "tests/sim/store_version.h"

#include "base/alloc.h"
#include "base/crc32c.h"

#define PAGE_USE_BYTES    4080u /* without its head */
#define NODE_EXTRA_BYTES  10u   /* head of an item and its place in the page's table */
#define NODE_BYTES_MAX    2038u /* a value that makes an item longer has pages of its own */
#define PAGE_HEAD_BYTES   16u
#define SUM_BYTES         4u   /* of each value */
#define PAGES_OF_BRANCHES 100u /* leaves under one page above them, about */
#define PAGES_FIXED       3u   /* two meta pages, the table of tables */

struct version *version_new(void)
{
    struct version *version = mem_zalloc(sizeof(*version));
    version->refs = 1;
    return version;
}

struct version *version_ref(struct version *version)
{
    version->refs++;
    return version;
}

void version_unref(struct version *version)
{
    if (version == NULL || --version->refs != 0) {
        return;
    }
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        tree_drop(&version->tables[i]);
    }
    mem_free(version);
}

struct version *version_branch(const struct version *version)
{
    struct version *branch = mem_dup(version, sizeof(*version));
    branch->refs = 1;
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        branch->tables[i] = tree_share(&version->tables[i]);
    }
    return branch;
}

uint64_t version_overflow(size_t key_size, size_t value_size)
{
    if (NODE_EXTRA_BYTES + key_size + value_size <= NODE_BYTES_MAX) {
        return 0;
    }
    return (PAGE_HEAD_BYTES + value_size + STORE_PAGE_BYTES - 1) / STORE_PAGE_BYTES;
}

static uint64_t leaf_bytes_of(size_t key_size, size_t value_size)
{
    size_t inside = version_overflow(key_size, value_size) == 0 ? value_size : sizeof(uint64_t);
    return (NODE_EXTRA_BYTES + key_size + inside + 1) & ~UINT64_C(1);
}

static void size_add(struct version *version, unsigned table, size_t key_size, size_t value_size)
{
    value_size += SUM_BYTES;
    version->leaf_bytes[table] += leaf_bytes_of(key_size, value_size);
    version->overflow_pages += version_overflow(key_size, value_size);
}

static void size_take(struct version *version, unsigned table, size_t key_size, size_t value_size)
{
    value_size += SUM_BYTES;
    version->leaf_bytes[table] -= leaf_bytes_of(key_size, value_size);
    version->overflow_pages -= version_overflow(key_size, value_size);
}

/* Revisions arrive in order and fill their pages; pages of other tables are three quarters full. */
uint64_t version_pages(const struct version *version)
{
    uint64_t pages = PAGES_FIXED + version->overflow_pages;
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        uint64_t use = i == STORE_KEY ? PAGE_USE_BYTES : PAGE_USE_BYTES / 4 * 3;
        uint64_t leaves = (version->leaf_bytes[i] + use - 1) / use;
        pages += leaves + (leaves > 1 ? leaves / PAGES_OF_BRANCHES + 1 : 0);
    }
    return pages;
}

static void version_put(struct version *version, enum store_table table, struct bytes key,
                        struct bytes value)
{
    size_t old;
    if (tree_put(&version->tables[table], key, value, &old)) {
        size_take(version, table, key.size, old);
    }
    size_add(version, table, key.size, value.size);
}

static void version_put_number(struct version *version, const char *key, uint64_t number)
{
    uint8_t bytes[sizeof(number)];
    put_be64(bytes, number);
    version_put(version, STORE_META, bytes_of_str(key), bytes_of(bytes, sizeof(bytes)));
}

void version_apply(struct version *version, const struct store_batch *batch)
{
    for (size_t i = 0; i < batch->op_count; i++) {
        const struct store_op *op = &batch->ops[i];
        size_t old;
        if (op->kind == STORE_PUT) {
            version_put(version, op->table, op->key, op->value);
        } else if (tree_remove(&version->tables[op->table], op->key, &old)) {
            size_take(version, op->table, op->key.size, old);
        }
    }
    if (batch->consistent_index != 0) {
        version_put_number(version, STORE_META_CONSISTENT_INDEX, batch->consistent_index);
        version_put_number(version, STORE_META_TERM, batch->term);
    }
}

uint64_t version_hash(const struct version *version)
{
    uint64_t hash = 0;
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        struct tree_cursor cursor;
        struct bytes key;
        struct bytes value;
        struct bytes none = {NULL, 0};
        uint32_t crc = i;
        for (bool there = tree_seek(&version->tables[i], none, &cursor, &key, &value); there;
             there = tree_next(&cursor, &key, &value)) {
            crc = crc32c(crc32c(crc, key.data, key.size), value.data, value.size);
        }
        hash =
            (hash ^ crc ^ (uint64_t)version->tables[i].count << 32) * UINT64_C(0x9e3779b97f4a7c15);
    }
    return hash;
}
