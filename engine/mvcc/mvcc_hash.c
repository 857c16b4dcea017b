/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HashKV: crc32c over "key" and then key and value of every record up to a revision, as a compacted
 * store has them: of what lies at or below the compact revision only what is still visible counts,
 * however far the trimming is, so that members with different progress agree with each other and
 * etcd.
 */
#include "base/assert.h"
#include "base/crc32c.h"
#include "engine/mvcc/mvcc_state.h"

#define HASH_SLICE_RECORDS 4096u

static bool stop_at_first(void *ctx, const struct mvcc_item *item)
{
    (void)item;
    *(bool *)ctx = true;
    return false;
}

int mvcc_hash_begin(struct mvcc *mvcc, int64_t revision, struct mvcc_hash *out_hash)
{
    int rc = mvcc_check_revision(mvcc, revision);
    if (rc != 0) {
        return rc;
    }
    const char *table = store_table_name(STORE_KEY);
    *out_hash = (struct mvcc_hash){
        .hash = crc32c(0, table, strlen(table)),
        .hash_revision = revision == 0 ? mvcc->revision : revision,
        .compact_revision = mvcc->compact_revision,
    };
    struct key_span all = {.kind = SPAN_FROM};
    if (revision >= 0) { /* before all of history there is nothing */
        mvcc_walk(mvcc, &all, out_hash->hash_revision, stop_at_first, &out_hash->any_live);
    }
    mvcc_pin(mvcc, BASE_MAX(out_hash->compact_revision, 0));
    return 0;
}

/* True when a record at or below the compact revision counts. With no key visible at all, what the
 * compaction itself keeps does. */
static bool counts(const struct mvcc *mvcc, const struct mvcc_hash *hash, struct revision revision,
                   struct bytes key)
{
    const struct key_entry *entry = btree_find(&mvcc->index, key);
    int64_t at = hash->any_live ? hash->hash_revision : hash->compact_revision;
    struct revision visible;
    return entry != NULL && key_entry_at(entry, at, &visible) &&
           revision_compare(visible, revision) == 0;
}

struct hash_walk {
    struct mvcc *mvcc;
    struct mvcc_hash *hash;
    size_t records_left;
    int rc;
    bool stopped;
};

static bool hash_record(void *ctx, struct revision revision, struct bytes record)
{
    struct hash_walk *walk = ctx;
    struct mvcc_hash *hash = walk->hash;
    if (walk->records_left == 0) {
        hash->next_main = revision.main;
        hash->next_sub = revision.sub;
        walk->stopped = true;
        return false;
    }
    walk->records_left--;
    if (revision.main <= hash->compact_revision) {
        struct keyvalue kv;
        if (keyvalue_decode(record, &kv) != 0) {
            walk->rc = E_CORRUPT;
            return false;
        }
        /* No tombstone counts here: one at the compact revision is on some members and not on
         * others (etcd before 3.5.16 dropped it). */
        if (revision.tombstone || !counts(walk->mvcc, hash, revision, kv.key)) {
            return true;
        }
    }
    uint8_t key[REVISION_KEY_BYTES_MAX];
    size_t key_size = revision_encode(revision, key);
    hash->hash = crc32c(hash->hash, key, key_size);
    hash->hash = crc32c(hash->hash, record.data, record.size);
    return true;
}

int mvcc_hash_slice(struct mvcc *mvcc, struct mvcc_hash *hash, size_t record_budget)
{
    ASSERT(record_budget > 0 && !hash->done);
    struct hash_walk walk = {mvcc, hash, record_budget, 0, false};
    struct revision from = {hash->next_main, hash->next_sub, false};
    int rc = mvcc_history(mvcc, from, hash->hash_revision, hash_record, &walk);
    if (rc != 0 || walk.rc != 0) {
        return rc != 0 ? rc : walk.rc;
    }
    hash->done = !walk.stopped;
    return 0;
}

void mvcc_hash_end(struct mvcc *mvcc, struct mvcc_hash *hash)
{
    mvcc_unpin(mvcc, BASE_MAX(hash->compact_revision, 0));
}

int mvcc_hash_kv(struct mvcc *mvcc, int64_t revision, struct mvcc_hash *out_hash)
{
    int rc = mvcc_hash_begin(mvcc, revision, out_hash);
    if (rc != 0) {
        return rc;
    }
    while (rc == 0 && !out_hash->done) {
        rc = mvcc_hash_slice(mvcc, out_hash, HASH_SLICE_RECORDS);
    }
    mvcc_hash_end(mvcc, out_hash);
    return rc;
}
