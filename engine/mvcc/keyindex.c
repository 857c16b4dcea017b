/* SPDX-License-Identifier: Apache-2.0 */
/* History of one key: pushing, looking up at a revision, compaction. */
#include "engine/mvcc/keyindex.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"

#define PAST_CAPACITY_FIRST 2u

struct key_entry *key_entry_new(struct bytes key)
{
    ASSERT(key.size <= UINT32_MAX);
    struct key_entry *entry = mem_alloc(sizeof(*entry) + key.size);
    memset(entry, 0, sizeof(*entry));
    entry->key_size = (uint32_t)key.size;
    if (key.size > 0) {
        memcpy(entry->key, key.data, key.size);
    }
    return entry;
}

void key_entry_free(struct key_entry *entry)
{
    mem_free(entry->past);
    mem_free(entry);
}

static size_t past_bytes(uint32_t capacity)
{
    return sizeof(struct key_past) + capacity * sizeof(struct revision);
}

static void past_push(struct key_entry *entry, struct revision revision)
{
    struct key_past *past = entry->past;
    if (past == NULL || past->count == past->capacity) {
        uint32_t count = past == NULL ? 0 : past->count;
        uint32_t capacity = count == 0 ? PAST_CAPACITY_FIRST : count * 2;
        past = mem_realloc(past, past_bytes(capacity));
        past->count = count;
        past->capacity = capacity;
        entry->past = past;
    }
    past->revisions[past->count++] = revision;
}

void key_entry_push(struct key_entry *entry, struct revision revision, const struct mvcc_meta *meta)
{
    if (entry->meta.mod_revision != 0) {
        ASSERT(revision_compare(key_entry_newest(entry), revision) < 0);
        past_push(entry, key_entry_newest(entry));
    }
    if (revision.tombstone) {
        entry->meta = (struct mvcc_meta){.mod_revision = revision.main};
    } else {
        ASSERT(meta != NULL);
        entry->meta = *meta;
        entry->meta.mod_revision = revision.main;
    }
    entry->newest_sub = revision.sub;
    entry->tombstone = revision.tombstone;
}

/* The count of past revisions with main <= at. */
static uint32_t past_count_at(const struct key_past *past, int64_t at)
{
    uint32_t low = 0;
    uint32_t high = past == NULL ? 0 : past->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (past->revisions[middle].main <= at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool key_entry_at(const struct key_entry *entry, int64_t at, struct revision *out_revision)
{
    if (entry->meta.mod_revision != 0 && entry->meta.mod_revision <= at) {
        *out_revision = key_entry_newest(entry);
        return true;
    }
    uint32_t count = past_count_at(entry->past, at);
    if (count == 0) {
        return false;
    }
    *out_revision = entry->past->revisions[count - 1];
    return true;
}

static void past_drop_front(struct key_entry *entry, uint32_t drop)
{
    struct key_past *past = entry->past;
    if (drop == 0) {
        return;
    }
    past->count -= drop;
    if (past->count == 0) {
        mem_free(past);
        entry->past = NULL;
        return;
    }
    memmove(past->revisions, past->revisions + drop, past->count * sizeof(struct revision));
    if (past->count <= past->capacity / 4) {
        past->capacity = past->count;
        entry->past = mem_realloc(past, past_bytes(past->count));
    }
}

/* A tombstone below the compact revision says nothing any more; the one at it is kept, as etcd
 * keeps it. */
static bool kept_by_compaction(struct revision newest, int64_t at)
{
    return !newest.tombstone || (newest.main == at && !PLANT(compaction_drops_delete));
}

bool key_entry_compact(struct key_entry *entry, int64_t at, key_removed_fn removed, void *ctx)
{
    uint32_t below = past_count_at(entry->past, at);
    bool newest_below = entry->meta.mod_revision <= at;
    uint32_t drop = below;
    if (!PLANT(compaction_drops_newest) && !newest_below && below > 0 &&
        kept_by_compaction(entry->past->revisions[below - 1], at)) {
        drop = below - 1;
    }
    for (uint32_t i = 0; i < drop; i++) {
        removed(ctx, entry->past->revisions[i]);
    }
    past_drop_front(entry, drop);
    if (newest_below && !kept_by_compaction(key_entry_newest(entry), at)) {
        removed(ctx, key_entry_newest(entry));
        return true;
    }
    return false;
}

size_t key_entry_bytes(const struct key_entry *entry)
{
    return sizeof(*entry) + entry->key_size +
           (entry->past == NULL ? 0 : past_bytes(entry->past->capacity));
}
