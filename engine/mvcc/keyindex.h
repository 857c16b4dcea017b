/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One key in the index: its newest revision with what a put needs to know of it, and its older
 * revisions that are not compacted yet. One allocation per key with the key bytes inline; a second
 * one only for keys that have history.
 */
#ifndef ENGINE_MVCC_KEYINDEX_H
#define ENGINE_MVCC_KEYINDEX_H

#include "engine/mvcc/mvcc.h"

/* Older revisions in order, all below the newest. */
struct key_past {
    uint32_t count;
    uint32_t capacity;
    struct revision revisions[];
};

/* meta.mod_revision is the main of the newest revision, also of a tombstone; 0: none yet. */
struct key_entry {
    struct mvcc_meta meta;
    struct key_past *past;
    uint32_t newest_sub;
    uint32_t key_size;
    bool tombstone;
    uint8_t key[];
};

static inline struct bytes key_entry_key(const struct key_entry *entry)
{
    return bytes_of(entry->key, entry->key_size);
}

/* The newest revision. */
static inline struct revision key_entry_newest(const struct key_entry *entry)
{
    return (struct revision){entry->meta.mod_revision, entry->newest_sub, entry->tombstone};
}

static inline bool key_entry_live(const struct key_entry *entry)
{
    return !entry->tombstone && entry->meta.mod_revision != 0;
}

/* Gives an entry without revisions. */
struct key_entry *key_entry_new(struct bytes key);
void key_entry_free(struct key_entry *entry);

/* Adds a newer revision; meta is taken over for a put, ignored for a tombstone. */
void key_entry_push(struct key_entry *entry, struct revision revision,
                    const struct mvcc_meta *meta);

/* The newest revision with main <= at, when there is one: true and *out_revision (may be a
 * tombstone). */
bool key_entry_at(const struct key_entry *entry, int64_t at, struct revision *out_revision);

/* Called with each revision that compaction removes. */
typedef void (*key_removed_fn)(void *ctx, struct revision revision);

/* Drops what compaction at this revision drops. True when nothing is left: the caller frees the
 * entry. */
bool key_entry_compact(struct key_entry *entry, int64_t at, key_removed_fn removed, void *ctx);

/* Bytes held by the entry and its past. */
size_t key_entry_bytes(const struct key_entry *entry);

#endif
