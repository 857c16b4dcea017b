/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of struct mvcc, for mvcc*.c alone. */
#ifndef ENGINE_MVCC_MVCC_STATE_H
#define ENGINE_MVCC_MVCC_STATE_H

#include "base/buf.h"
#include "engine/mvcc/btree.h"
#include "engine/mvcc/mvcc.h"
#include "engine/mvcc/tail.h"

struct mvcc_pinned {
    int64_t revision;
    uint32_t count;
};

struct mvcc {
    const struct store_seam *seam;
    const struct mvcc_lease_hook *hook;
    struct store_view *view; /* opened when first needed, NULL after mvcc_release */
    struct btree index;
    struct tail tail;
    size_t entry_bytes;
    int64_t revision;
    int64_t compact_revision;
    int64_t persisted; /* revisions up to this one are read from the store */
    /* the running write transaction */
    struct store_batch *batch; /* NULL: none */
    uint32_t changes;
    /* the running compaction */
    int64_t compact_target;  /* 0: none */
    struct buf compact_next; /* where the next slice starts */
    uint64_t compacted_count, put_bytes;
    struct mvcc_pinned *pins;
    size_t pin_count;
    size_t pin_capacity;
};

/* Opens the view when there is none. */
int mvcc_view_open(struct mvcc *mvcc);

/* The stored bytes of a revision, from the tail or the store; E_CORRUPT when it is in neither. */
int mvcc_record(struct mvcc *mvcc, struct revision revision, struct bytes *out_record);

/* Return false to stop. */
typedef bool (*mvcc_history_fn)(void *ctx, struct revision revision, struct bytes record);

/* Visits all stored revisions from `from` up to main `to`, in order, whatever compaction thinks. */
int mvcc_history(struct mvcc *mvcc, struct revision from, int64_t to, mvcc_history_fn visit,
                 void *ctx);

/* Adds a revision to an entry with the bytes accounted. */
void mvcc_entry_push(struct mvcc *mvcc, struct key_entry *entry, struct revision revision,
                     const struct mvcc_meta *meta);

/* True when a pin needs history below this revision. */
bool mvcc_pinned_below(const struct mvcc *mvcc, int64_t revision);

#endif
