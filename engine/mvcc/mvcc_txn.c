/* SPDX-License-Identifier: Apache-2.0 */
/* Write transactions: the only place where the key space gets a new revision. */
#include "base/alloc.h"
#include "base/assert.h"
#include "engine/mvcc/mvcc_state.h"

void mvcc_txn_begin(struct mvcc *mvcc, struct store_batch *batch)
{
    ASSERT(mvcc->batch == NULL && batch != NULL);
    mvcc->batch = batch;
    mvcc->changes = 0;
}

int64_t mvcc_txn_revision(const struct mvcc *mvcc)
{
    return mvcc->revision + (mvcc->batch != NULL && mvcc->changes > 0 ? 1 : 0);
}

int64_t mvcc_txn_end(struct mvcc *mvcc)
{
    ASSERT(mvcc->batch != NULL);
    if (mvcc->changes > 0) {
        mvcc->revision++;
        mvcc->batch->revision = mvcc->revision;
    }
    mvcc->batch = NULL;
    mvcc->changes = 0;
    return mvcc->revision;
}

/* Writes the record where it will be read from: into the tail, and (borrowed) into the batch. */
static struct revision append_record(struct mvcc *mvcc, const struct keyvalue *kv, bool tombstone)
{
    struct revision revision = {mvcc->revision + 1, mvcc->changes, tombstone};
    size_t size = keyvalue_size(kv);
    uint8_t *place = tail_append(&mvcc->tail, revision, size);
    size_t written = keyvalue_encode(kv, place);
    ASSERT(written == size);
    uint8_t key[REVISION_KEY_BYTES_MAX];
    size_t key_size = revision_encode(revision, key);
    store_batch_put_borrowed(mvcc->batch, STORE_KEY, bytes_of(key, key_size),
                             bytes_of(place, size));
    mvcc->changes++;
    return revision;
}

static void move_lease(struct mvcc *mvcc, const struct key_entry *entry, int64_t from, int64_t to)
{
    if (mvcc->hook == NULL || from == to) {
        return;
    }
    if (from != 0) {
        mvcc->hook->detach(mvcc->hook->ctx, key_entry_key(entry), from);
    }
    if (to != 0) {
        mvcc->hook->attach(mvcc->hook->ctx, key_entry_key(entry), to);
    }
}

void mvcc_txn_put(struct mvcc *mvcc, struct bytes key, struct bytes value, int64_t lease)
{
    ASSERT(mvcc->batch != NULL && key.size > 0);
    struct key_entry *entry = btree_find(&mvcc->index, key);
    bool was_live = entry != NULL && key_entry_live(entry);
    int64_t main = mvcc->revision + 1;
    mvcc->put_bytes += key.size + value.size;
    struct keyvalue kv = {
        .key = key,
        .create_revision = was_live ? entry->meta.create_revision : main,
        .mod_revision = main,
        .version = was_live ? entry->meta.version + 1 : 1,
        .value = value,
        .lease = lease,
    };
    int64_t lease_before = was_live ? entry->meta.lease : 0;
    struct revision revision = append_record(mvcc, &kv, false);
    struct mvcc_meta meta = {kv.create_revision, main, kv.version, lease};
    if (entry == NULL) {
        entry = key_entry_new(key);
        mvcc->entry_bytes += key_entry_bytes(entry);
        btree_insert(&mvcc->index, entry, true);
    } else if (!was_live) {
        btree_set_live(&mvcc->index, entry, true);
    }
    mvcc_entry_push(mvcc, entry, revision, &meta);
    move_lease(mvcc, entry, lease_before, lease);
}

static void delete_entry(struct mvcc *mvcc, struct key_entry *entry)
{
    struct keyvalue kv = {.key = key_entry_key(entry)};
    int64_t lease_before = entry->meta.lease;
    struct revision revision = append_record(mvcc, &kv, true);
    btree_set_live(&mvcc->index, entry, false);
    mvcc_entry_push(mvcc, entry, revision, NULL);
    move_lease(mvcc, entry, lease_before, 0);
}

static uint64_t delete_range(struct mvcc *mvcc, const struct key_span *span)
{
    struct btree_cursor cursor;
    uint64_t deleted = 0;
    /* Deleting leaves the shape of the tree as it is, so the cursor stays good. */
    btree_seek(&mvcc->index, span->begin, &cursor);
    for (struct key_entry *entry; (entry = btree_next_live(&cursor)) != NULL; deleted++) {
        if (!key_span_contains(span, key_entry_key(entry))) {
            break;
        }
        delete_entry(mvcc, entry);
    }
    return deleted;
}

uint64_t mvcc_txn_delete(struct mvcc *mvcc, const struct key_span *span)
{
    ASSERT(mvcc->batch != NULL);
    if (span->kind != SPAN_ONE) {
        return delete_range(mvcc, span);
    }
    struct key_entry *entry = btree_find(&mvcc->index, span->begin);
    if (entry == NULL || !key_entry_live(entry)) {
        return 0;
    }
    delete_entry(mvcc, entry);
    return 1;
}
