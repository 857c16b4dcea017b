/* SPDX-License-Identifier: Apache-2.0 */
/* The key space: opening, its figures, the view of the store, where a revision's bytes are. */
#include "engine/mvcc/mvcc.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/mvcc/mvcc_state.h"

int mvcc_view_open(struct mvcc *mvcc)
{
    if (mvcc->view != NULL) {
        return 0;
    }
    return mvcc->seam->view_begin(mvcc->seam->ctx, &mvcc->view);
}

void mvcc_release(struct mvcc *mvcc)
{
    if (mvcc->view != NULL) {
        mvcc->seam->view_end(mvcc->view);
        mvcc->view = NULL;
    }
}

void mvcc_entry_push(struct mvcc *mvcc, struct key_entry *entry, struct revision revision,
                     const struct mvcc_meta *meta)
{
    size_t before = key_entry_bytes(entry);
    key_entry_push(entry, revision, meta);
    mvcc->entry_bytes += key_entry_bytes(entry) - before;
}

/* Takes one stored record into the index. An empty record is what tools leave that raise the
 * revision: it reads as the key "", which no request can name, as in etcd, so that HashKV agrees.
 */
static int load_record(struct mvcc *mvcc, const struct store_item *item, struct err *err)
{
    struct revision revision;
    struct keyvalue kv;
    if (revision_decode(item->key, &revision) != 0) {
        return err_set(err, E_CORRUPT, "table key holds a key of %zu bytes that is no revision",
                       item->key.size);
    }
    if (keyvalue_decode(item->value, &kv) != 0) {
        return err_set(err, E_CORRUPT, "the record of revision %lld is not a KeyValue",
                       (long long)revision.main);
    }
    struct key_entry *entry = btree_find(&mvcc->index, kv.key);
    bool was_live = entry != NULL && key_entry_live(entry);
    struct mvcc_meta meta = {kv.create_revision, revision.main, kv.version, kv.lease};
    if (entry == NULL) {
        entry = key_entry_new(kv.key);
        mvcc->entry_bytes += key_entry_bytes(entry);
        mvcc_entry_push(mvcc, entry, revision, &meta);
        btree_insert(&mvcc->index, entry, !revision.tombstone);
    } else {
        mvcc_entry_push(mvcc, entry, revision, &meta);
        if (was_live == revision.tombstone) {
            btree_set_live(&mvcc->index, entry, !revision.tombstone);
        }
    }
    mvcc->revision = BASE_MAX(mvcc->revision, revision.main);
    return 0;
}

static int load_index(struct mvcc *mvcc, struct err *err)
{
    struct store_item item;
    int rc = mvcc->seam->view_seek(mvcc->view, STORE_KEY, (struct bytes){NULL, 0}, &item);
    while (rc == 0) {
        rc = load_record(mvcc, &item, err);
        if (rc != 0) {
            return rc;
        }
        rc = mvcc->seam->view_next(mvcc->view, STORE_KEY, &item);
    }
    return rc == E_NOT_FOUND ? 0 : err_set(err, rc, "read table key: %s", err_code_text(rc));
}

static int load_compact_mark(struct mvcc *mvcc, const char *name, int64_t *out_revision,
                             struct err *err)
{
    struct bytes value;
    int rc = mvcc->seam->view_get(mvcc->view, STORE_META, bytes_of_str(name), &value);
    if (rc == E_NOT_FOUND) {
        return 0;
    }
    struct revision revision;
    if (rc == 0) {
        rc = revision_decode(value, &revision);
    }
    if (rc != 0) {
        return err_set(err, rc, "read %s: %s", name, err_code_text(rc));
    }
    *out_revision = revision.main;
    return 0;
}

static int load_all(struct mvcc *mvcc, struct err *err)
{
    int64_t finished = MVCC_NEVER_COMPACTED;
    int64_t scheduled = MVCC_NEVER_COMPACTED;
    int rc = mvcc_view_open(mvcc);
    if (rc != 0) {
        return err_set(err, rc, "open a view of the store: %s", err_code_text(rc));
    }
    rc = load_compact_mark(mvcc, MVCC_META_FINISHED_COMPACT, &finished, err);
    if (rc == 0) {
        rc = load_compact_mark(mvcc, MVCC_META_SCHEDULED_COMPACT, &scheduled, err);
    }
    if (rc == 0) {
        rc = load_index(mvcc, err);
    }
    if (rc != 0) {
        return rc;
    }
    /* The newest records may all be compacted away: the revision never goes back below the mark. */
    mvcc->compact_revision = BASE_MAX(finished, scheduled);
    mvcc->revision = BASE_MAX(mvcc->revision, mvcc->compact_revision);
    mvcc->compact_target = scheduled > finished ? scheduled : 0;
    mvcc->persisted = mvcc->revision;
    return 0;
}

static void attach_leases(struct mvcc *mvcc)
{
    struct btree_cursor cursor;
    btree_seek(&mvcc->index, (struct bytes){NULL, 0}, &cursor);
    for (struct key_entry *entry; (entry = btree_next_live(&cursor)) != NULL;) {
        if (entry->meta.lease != 0) {
            mvcc->hook->attach(mvcc->hook->ctx, key_entry_key(entry), entry->meta.lease);
        }
    }
}

int mvcc_open(const struct store_seam *seam, const struct mvcc_lease_hook *hook,
              struct mvcc **out_mvcc, struct err *err)
{
    struct mvcc *mvcc = mem_zalloc(sizeof(*mvcc));
    mvcc->seam = seam;
    mvcc->hook = hook;
    mvcc->revision = 1;
    btree_init(&mvcc->index);
    tail_init(&mvcc->tail);
    buf_init(&mvcc->compact_next, BUF_NO_LIMIT);
    int rc = load_all(mvcc, err);
    mvcc_release(mvcc);
    if (rc != 0) {
        mvcc_close(mvcc);
        return rc;
    }
    if (hook != NULL) {
        attach_leases(mvcc);
    }
    *out_mvcc = mvcc;
    return 0;
}

void mvcc_close(struct mvcc *mvcc)
{
    struct btree_cursor cursor;
    mvcc_release(mvcc);
    btree_seek(&mvcc->index, (struct bytes){NULL, 0}, &cursor);
    for (struct key_entry *entry; (entry = btree_next(&cursor)) != NULL;) {
        key_entry_free(entry);
    }
    btree_free(&mvcc->index);
    tail_free(&mvcc->tail);
    buf_free(&mvcc->compact_next);
    mem_free(mvcc->pins);
    mem_free(mvcc);
}

int64_t mvcc_revision(const struct mvcc *mvcc)
{
    return mvcc->revision;
}

int64_t mvcc_compact_revision(const struct mvcc *mvcc)
{
    return mvcc->compact_revision;
}

void mvcc_persisted(struct mvcc *mvcc, int64_t revision)
{
    if (revision <= mvcc->persisted) {
        return;
    }
    ASSERT(revision <= mvcc->revision);
    /* A view from before the commit does not hold what leaves the tail now. */
    mvcc_release(mvcc);
    mvcc->persisted = revision;
    tail_drop(&mvcc->tail, revision);
}

size_t mvcc_tail_bytes(const struct mvcc *mvcc)
{
    return mvcc->tail.bytes;
}

size_t mvcc_tail_count(const struct mvcc *mvcc)
{
    return mvcc->tail.count;
}

void mvcc_stats_read(const struct mvcc *mvcc, struct mvcc_stats *out_stats)
{
    *out_stats = (struct mvcc_stats){
        .key_count = mvcc->index.count,
        .live_count = mvcc->index.live,
        .index_bytes = mvcc->entry_bytes + mvcc->index.node_bytes,
        .tail_bytes = mvcc->tail.bytes,
        .put_bytes = mvcc->put_bytes,
        .compacted_count = mvcc->compacted_count,
    };
}

int mvcc_record(struct mvcc *mvcc, struct revision revision, struct bytes *out_record)
{
    if (revision.main > mvcc->persisted) {
        size_t position = tail_seek(&mvcc->tail, revision);
        if (position == mvcc->tail.count) {
            return E_CORRUPT;
        }
        const struct tail_record *record = tail_at(&mvcc->tail, position);
        if (revision_compare(record->revision, revision) != 0) {
            return E_CORRUPT;
        }
        *out_record = record->data;
        return 0;
    }
    int rc = mvcc_view_open(mvcc);
    if (rc != 0) {
        return rc;
    }
    uint8_t key[REVISION_KEY_BYTES_MAX];
    size_t key_size = revision_encode(revision, key);
    rc = mvcc->seam->view_get(mvcc->view, STORE_KEY, bytes_of(key, key_size), out_record);
    return rc == E_NOT_FOUND ? E_CORRUPT : rc;
}

static int history_stored(struct mvcc *mvcc, struct revision from, int64_t to,
                          mvcc_history_fn visit, void *ctx, bool *out_stopped)
{
    uint8_t key[REVISION_KEY_BYTES_MAX];
    struct store_item item;
    *out_stopped = false;
    int rc = mvcc_view_open(mvcc);
    if (rc != 0) {
        return rc;
    }
    size_t key_size = revision_encode((struct revision){from.main, from.sub, false}, key);
    rc = mvcc->seam->view_seek(mvcc->view, STORE_KEY, bytes_of(key, key_size), &item);
    while (rc == 0) {
        struct revision revision;
        if (revision_decode(item.key, &revision) != 0) {
            return E_CORRUPT;
        }
        if (revision.main > to) {
            return 0;
        }
        if (!visit(ctx, revision, item.value)) {
            *out_stopped = true;
            return 0;
        }
        rc = mvcc->seam->view_next(mvcc->view, STORE_KEY, &item);
    }
    return rc == E_NOT_FOUND ? 0 : rc;
}

int mvcc_history(struct mvcc *mvcc, struct revision from, int64_t to, mvcc_history_fn visit,
                 void *ctx)
{
    if (from.main <= mvcc->persisted) {
        bool stopped;
        int rc = history_stored(mvcc, from, BASE_MIN(to, mvcc->persisted), visit, ctx, &stopped);
        if (rc != 0 || stopped) {
            return rc;
        }
    }
    for (size_t i = tail_seek(&mvcc->tail, from); i < mvcc->tail.count; i++) {
        const struct tail_record *record = tail_at(&mvcc->tail, i);
        if (record->revision.main > to || !visit(ctx, record->revision, record->data)) {
            return 0;
        }
    }
    return 0;
}
