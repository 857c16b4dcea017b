/* SPDX-License-Identifier: Apache-2.0 */
/* Reads: spans, walks at a revision, counts, single keys, events, pins. */
#include "base/alloc.h"
#include "base/assert.h"
#include "engine/mvcc/mvcc_state.h"

/* A count at an older revision is corrected from the newest one when fewer changes than 1 in this
 * many keys lie in between; else it is a walk. */
#define COUNT_DELTA_SHARE 8u
/* And fewer than this: the correction is made at once, a walk is made in slices. */
#define COUNT_DELTA_MAX 8192u

struct key_span key_span_of(struct bytes key, struct bytes range_end)
{
    struct key_span span = {key, range_end, SPAN_RANGE};
    if (range_end.size == 0) {
        span.kind = SPAN_ONE;
    } else if (range_end.size == 1 && range_end.data[0] == 0) {
        span.kind = SPAN_FROM;
    }
    return span;
}

bool key_span_contains(const struct key_span *span, struct bytes key)
{
    switch (span->kind) {
    case SPAN_ONE:
        return bytes_equal(span->begin, key);
    case SPAN_FROM:
        return bytes_compare(key, span->begin) >= 0;
    case SPAN_RANGE:
    default:
        return bytes_compare(key, span->begin) >= 0 && bytes_compare(key, span->end) < 0;
    }
}

int mvcc_check_revision(const struct mvcc *mvcc, int64_t revision)
{
    if (revision <= 0) {
        return 0;
    }
    if (revision > mvcc_txn_revision(mvcc)) {
        return E_FUTURE;
    }
    return revision < mvcc->compact_revision ? E_COMPACTED : 0;
}

static bool reads_newest(const struct mvcc *mvcc, int64_t revision)
{
    return revision <= 0 || revision >= mvcc_txn_revision(mvcc);
}

bool mvcc_stat(const struct mvcc *mvcc, struct bytes key, struct mvcc_meta *out_meta)
{
    const struct key_entry *entry = btree_find(&mvcc->index, key);
    if (entry == NULL || !key_entry_live(entry)) {
        return false;
    }
    *out_meta = entry->meta;
    return true;
}

int mvcc_item_record(struct mvcc *mvcc, const struct mvcc_item *item, struct bytes *out_record)
{
    return mvcc_record(mvcc, item->revision, out_record);
}

/* The item of an entry at a revision; false when the key is not live there. */
static bool item_at(const struct key_entry *entry, int64_t revision, struct mvcc_item *out_item)
{
    struct revision found;
    if (!key_entry_at(entry, revision, &found) || found.tombstone) {
        return false;
    }
    bool newest = revision_compare(found, key_entry_newest(entry)) == 0;
    *out_item = (struct mvcc_item){key_entry_key(entry), found, newest ? &entry->meta : NULL};
    return true;
}

void mvcc_walk(struct mvcc *mvcc, const struct key_span *span, int64_t revision,
               mvcc_visit_fn visit, void *ctx)
{
    struct mvcc_item item;
    bool newest = reads_newest(mvcc, revision);
    int64_t at = newest ? INT64_MAX : revision;
    if (span->kind == SPAN_ONE) {
        const struct key_entry *entry = btree_find(&mvcc->index, span->begin);
        if (entry != NULL && item_at(entry, at, &item)) {
            (void)visit(ctx, &item);
        }
        return;
    }
    struct btree_cursor cursor;
    btree_seek(&mvcc->index, span->begin, &cursor);
    for (;;) {
        const struct key_entry *entry = newest ? btree_next_live(&cursor) : btree_next(&cursor);
        if (entry == NULL || !key_span_contains(span, key_entry_key(entry))) {
            return;
        }
        if (item_at(entry, at, &item) && !visit(ctx, &item)) {
            return;
        }
    }
}

static uint64_t count_newest(const struct mvcc *mvcc, const struct key_span *span)
{
    if (span->kind == SPAN_ONE) {
        struct mvcc_meta meta;
        return mvcc_stat(mvcc, span->begin, &meta) ? 1 : 0;
    }
    uint64_t below = btree_rank(&mvcc->index, span->begin);
    uint64_t end = span->kind == SPAN_FROM ? mvcc->index.live : btree_rank(&mvcc->index, span->end);
    return end > below ? end - below : 0;
}

struct delta {
    const struct mvcc *mvcc;
    const struct key_span *span;
    int64_t revision;
    uint64_t records_left;
    uint64_t count;
    bool failed;
};

/* A change above the revision: its key counts once, at its newest change, as then instead of as
 * now. */
static bool apply_delta(void *ctx, struct revision revision, struct bytes record)
{
    struct delta *delta = ctx;
    struct keyvalue kv;
    if (delta->records_left-- == 0 || keyvalue_decode(record, &kv) != 0) {
        delta->failed = true;
        return false;
    }
    const struct key_entry *entry = btree_find(&delta->mvcc->index, kv.key);
    if (entry == NULL || revision_compare(key_entry_newest(entry), revision) != 0 ||
        !key_span_contains(delta->span, kv.key)) {
        return true;
    }
    struct mvcc_item item;
    delta->count -= key_entry_live(entry) ? 1 : 0;
    delta->count += item_at(entry, delta->revision, &item) ? 1 : 0;
    return true;
}

bool mvcc_count_fast(struct mvcc *mvcc, const struct key_span *span, int64_t revision,
                     uint64_t *out_count)
{
    uint64_t newest = count_newest(mvcc, span);
    if (reads_newest(mvcc, revision)) {
        *out_count = newest;
        return true;
    }
    int64_t distance = mvcc_txn_revision(mvcc) - revision;
    uint64_t changes_max = BASE_MIN(newest / COUNT_DELTA_SHARE, COUNT_DELTA_MAX);
    if ((uint64_t)distance > changes_max) {
        return false;
    }
    struct delta delta = {mvcc, span, revision, changes_max, newest, false};
    int rc = mvcc_history(mvcc, (struct revision){revision + 1, 0, false}, INT64_MAX, apply_delta,
                          &delta);
    if (rc != 0 || delta.failed) {
        return false;
    }
    *out_count = delta.count;
    return true;
}

static bool count_one(void *ctx, const struct mvcc_item *item)
{
    (void)item;
    (*(uint64_t *)ctx)++;
    return true;
}

uint64_t mvcc_count(struct mvcc *mvcc, const struct key_span *span, int64_t revision)
{
    uint64_t count = 0;
    if (!mvcc_count_fast(mvcc, span, revision, &count)) {
        mvcc_walk(mvcc, span, revision, count_one, &count);
    }
    return count;
}

int mvcc_get_at(struct mvcc *mvcc, struct bytes key, int64_t revision, struct bytes *out_record)
{
    int rc = mvcc_check_revision(mvcc, revision);
    if (rc != 0) {
        return rc;
    }
    struct mvcc_item item;
    const struct key_entry *entry = btree_find(&mvcc->index, key);
    if (entry == NULL || !item_at(entry, revision <= 0 ? INT64_MAX : revision, &item)) {
        return E_NOT_FOUND;
    }
    return mvcc_record(mvcc, item.revision, out_record);
}

struct event_walk {
    mvcc_event_fn visit;
    void *ctx;
    int rc;
};

static bool visit_event(void *ctx, struct revision revision, struct bytes record)
{
    struct event_walk *walk = ctx;
    struct keyvalue kv;
    if (keyvalue_decode(record, &kv) != 0) {
        walk->rc = E_CORRUPT;
        return false;
    }
    if (kv.key.size == 0) {
        return true; /* a raised revision (load_record): nothing changed for anyone */
    }
    struct mvcc_event event = {
        .revision = revision,
        .is_delete = revision.tombstone,
        .is_create = !revision.tombstone && kv.create_revision == revision.main,
        .key = kv.key,
        .record = record,
    };
    return walk->visit(walk->ctx, &event);
}

int mvcc_each_event(struct mvcc *mvcc, int64_t from_revision, int64_t to_revision,
                    mvcc_event_fn visit, void *ctx)
{
    if (from_revision < mvcc->compact_revision) {
        return E_COMPACTED;
    }
    struct event_walk walk = {visit, ctx, 0};
    struct revision from = {BASE_MAX(from_revision, 0), 0, false};
    int rc = mvcc_history(mvcc, from, to_revision, visit_event, &walk);
    return rc != 0 ? rc : walk.rc;
}

void mvcc_pin(struct mvcc *mvcc, int64_t revision)
{
    for (size_t i = 0; i < mvcc->pin_count; i++) {
        if (mvcc->pins[i].revision == revision) {
            mvcc->pins[i].count++;
            return;
        }
    }
    if (mvcc->pin_count == mvcc->pin_capacity) {
        mvcc->pin_capacity = mvcc->pin_capacity == 0 ? 4 : mvcc->pin_capacity * 2;
        mvcc->pins = mem_realloc(mvcc->pins, mvcc->pin_capacity * sizeof(*mvcc->pins));
    }
    mvcc->pins[mvcc->pin_count++] = (struct mvcc_pinned){revision, 1};
}

void mvcc_unpin(struct mvcc *mvcc, int64_t revision)
{
    size_t i = 0;
    while (i < mvcc->pin_count && mvcc->pins[i].revision != revision) {
        i++;
    }
    ASSERT(i < mvcc->pin_count);
    if (--mvcc->pins[i].count == 0) {
        mvcc->pins[i] = mvcc->pins[--mvcc->pin_count];
    }
}

bool mvcc_pinned_below(const struct mvcc *mvcc, int64_t revision)
{
    for (size_t i = 0; i < mvcc->pin_count; i++) {
        if (mvcc->pins[i].revision < revision) {
            return true;
        }
    }
    return false;
}
