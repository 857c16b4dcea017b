/* SPDX-License-Identifier: Apache-2.0 */
/* Compaction: the mark moves at once, history is trimmed key by key in slices. */
#include "base/alloc.h"
#include "base/assert.h"
#include "engine/mvcc/mvcc_state.h"

static void put_mark(struct store_batch *batch, const char *name, int64_t revision)
{
    uint8_t value[REVISION_KEY_BYTES_MAX];
    size_t size = revision_encode((struct revision){revision, 0, false}, value);
    store_batch_put(batch, STORE_META, bytes_of_str(name), bytes_of(value, size));
}

int mvcc_compact(struct mvcc *mvcc, struct store_batch *batch, int64_t revision)
{
    ASSERT(mvcc->batch == NULL);
    if (revision <= mvcc->compact_revision) {
        return E_COMPACTED;
    }
    if (revision > mvcc->revision) {
        return E_FUTURE;
    }
    put_mark(batch, MVCC_META_SCHEDULED_COMPACT, revision);
    mvcc->compact_revision = revision;
    mvcc->compact_target = revision;
    buf_clear(&mvcc->compact_next); /* one that still runs starts over with the higher revision */
    return 0;
}

bool mvcc_compacting(const struct mvcc *mvcc)
{
    return mvcc->compact_target != 0;
}

struct removal {
    struct store_batch *batch;
    uint64_t count;
};

static void remove_revision(void *ctx, struct revision revision)
{
    struct removal *removal = ctx;
    uint8_t key[REVISION_KEY_BYTES_MAX];
    size_t size = revision_encode(revision, key);
    removal->count++;
    store_batch_remove(removal->batch, STORE_KEY, bytes_of(key, size));
}

static void finish(struct mvcc *mvcc, struct store_batch *batch)
{
    put_mark(batch, MVCC_META_FINISHED_COMPACT, mvcc->compact_target);
    mvcc->compact_target = 0;
    buf_clear(&mvcc->compact_next);
}

/* Entries that came to nothing; taken out of the tree after the walk. */
struct gone {
    struct key_entry **entries;
    size_t count;
    size_t capacity;
};

static void gone_add(struct gone *gone, struct key_entry *entry)
{
    if (gone->count == gone->capacity) {
        gone->capacity = gone->capacity == 0 ? 64 : gone->capacity * 2;
        gone->entries = mem_realloc(gone->entries, gone->capacity * sizeof(*gone->entries));
    }
    gone->entries[gone->count++] = entry;
}

static void gone_carry_out(struct mvcc *mvcc, struct gone *gone)
{
    for (size_t i = 0; i < gone->count; i++) {
        mvcc->entry_bytes -= key_entry_bytes(gone->entries[i]);
        btree_remove(&mvcc->index, gone->entries[i]);
        key_entry_free(gone->entries[i]);
    }
    mem_free(gone->entries);
}

bool mvcc_compact_slice(struct mvcc *mvcc, struct store_batch *batch, size_t key_budget)
{
    ASSERT(mvcc->batch == NULL && key_budget > 0);
    if (mvcc->compact_target == 0) {
        return true;
    }
    if (mvcc_pinned_below(mvcc, mvcc->compact_target)) {
        return false;
    }
    struct gone gone = {0};
    struct removal removal = {batch, 0};
    struct btree_cursor cursor;
    btree_seek(&mvcc->index, buf_bytes(&mvcc->compact_next), &cursor);
    struct key_entry *entry = btree_next(&cursor);
    for (; entry != NULL && key_budget > 0; entry = btree_next(&cursor), key_budget--) {
        if (entry->past == NULL && !entry->tombstone) {
            continue;
        }
        size_t before = key_entry_bytes(entry);
        if (key_entry_compact(entry, mvcc->compact_target, remove_revision, &removal)) {
            gone_add(&gone, entry);
        }
        mvcc->entry_bytes -= before - key_entry_bytes(entry);
    }
    buf_clear(&mvcc->compact_next);
    if (entry != NULL) {
        (void)buf_append(&mvcc->compact_next, entry->key, entry->key_size);
    }
    gone_carry_out(mvcc, &gone);
    mvcc->compacted_count += removal.count;
    if (entry != NULL) {
        return false;
    }
    finish(mvcc, batch);
    return true;
}
