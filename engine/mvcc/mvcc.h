/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The multi-version key space over a store seam. Pure: no I/O of its own, no clock, no threads; all
 * functions are for the state thread.
 * What it guarantees: revisions are stored once, as final KeyValue bytes; the newest live in a tail
 * in memory and, through the batches that write transactions fill, in the store; a key's history is
 * readable at every revision >= the compact revision; the same log applied gives the same bytes on
 * every member. Reads take bytes from the tail or from one view of the store that is opened when
 * first needed: call mvcc_release at the end of each slice of work. Any negative return that is not
 * named in a contract means that the store could not be read or does not hold what the index says:
 * the member must stop.
 */
#ifndef ENGINE_MVCC_MVCC_H
#define ENGINE_MVCC_MVCC_H

#include "engine/mvcc/keyvalue.h"
#include "engine/mvcc/store.h"

struct mvcc; /* opaque */

/* Keys and leases, told as they change and, at open, for every live key that has a lease. */
struct mvcc_lease_hook {
    void *ctx;
    void (*attach)(void *ctx, struct bytes key, int64_t lease);
    void (*detach)(void *ctx, struct bytes key, int64_t lease);
};

/* The compact revision of a key space that was never compacted (as etcd reports it). */
#define MVCC_NEVER_COMPACTED (-1)

/* Builds the index by one scan of the store and marks an unfinished compaction for
 * mvcc_compact_slice. hook may be NULL; it and the seam are borrowed for the life of the mvcc.
 * Gives *out_mvcc. */
int mvcc_open(const struct store_seam *seam, const struct mvcc_lease_hook *hook,
              struct mvcc **out_mvcc, struct err *err);
void mvcc_close(struct mvcc *mvcc);

/* The newest finished revision; 1 in an empty key space. */
int64_t mvcc_revision(const struct mvcc *mvcc);

/* Revisions below this one are gone; MVCC_NEVER_COMPACTED at first. */
int64_t mvcc_compact_revision(const struct mvcc *mvcc);

/* Ends the view of the store; bytes given by reads are dead afterwards. Call it after each slice.
 */
void mvcc_release(struct mvcc *mvcc);

/* The batch that reached this revision is committed: its entries leave the tail (and reads made
 * before are dead). Call for batches in order; 0 is ignored. */
void mvcc_persisted(struct mvcc *mvcc, int64_t revision);

/* Memory held by revisions that are not yet in the store, for back-pressure. */
size_t mvcc_tail_bytes(const struct mvcc *mvcc);
size_t mvcc_tail_count(const struct mvcc *mvcc);

/* Keys in the index (tombstones that are not compacted yet included), live keys, bytes of the
 * index. */
struct mvcc_stats {
    uint64_t key_count;
    uint64_t live_count;
    size_t index_bytes;
    size_t tail_bytes;
    uint64_t put_bytes;       /* of keys and values, since mvcc_open */
    uint64_t compacted_count; /* revisions that compactions removed, since mvcc_open */
};
void mvcc_stats_read(const struct mvcc *mvcc, struct mvcc_stats *out_stats);

/* ---- write transactions ---- */

/* Starts the one write transaction; all changes get one main revision and subs from 0. The batch
 * takes the records (it borrows values from the tail: commit or drop it before mvcc_close). */
void mvcc_txn_begin(struct mvcc *mvcc, struct store_batch *batch);

/* Puts key with create revision and version as its history says; lease 0: none. Bytes are copied.
 */
void mvcc_txn_put(struct mvcc *mvcc, struct bytes key, struct bytes value, int64_t lease);

/* A run of keys as requests name it: range_end empty: the one key; "\0": all keys >= key. */
struct key_span {
    struct bytes begin;
    struct bytes end;
    enum { SPAN_ONE, SPAN_RANGE, SPAN_FROM } kind;
};
struct key_span key_span_of(struct bytes key, struct bytes range_end);

/* True when key lies inside. */
bool key_span_contains(const struct key_span *span, struct bytes key);

/* Deletes all live keys of the span; gives how many. */
uint64_t mvcc_txn_delete(struct mvcc *mvcc, const struct key_span *span);

/* The revision that reads inside the transaction see: mvcc_revision, plus 1 after a change. */
int64_t mvcc_txn_revision(const struct mvcc *mvcc);

/* Ends it: the revision moves if and only if something changed (then batch->revision says so).
 * Gives the revision afterwards. */
int64_t mvcc_txn_end(struct mvcc *mvcc);

/* ---- reads ---- */

/* What the index knows of a live key without reading its record. */
struct mvcc_meta {
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease;
};

/* The newest state of a key (inside a transaction: with its changes). True and *out_meta when live.
 */
bool mvcc_stat(const struct mvcc *mvcc, struct bytes key, struct mvcc_meta *out_meta);

/* One key of a walk. key is borrowed from the index: dead after the next change. */
struct mvcc_item {
    struct bytes key;
    struct revision revision;
    const struct mvcc_meta *meta; /* NULL when revision is not the newest of the key */
};

/* Gives the KeyValue bytes of a walked item; live until mvcc_release, mvcc_persisted or a write. */
int mvcc_item_record(struct mvcc *mvcc, const struct mvcc_item *item, struct bytes *out_record);

/* Return false to stop the walk. No writes from inside. */
typedef bool (*mvcc_visit_fn)(void *ctx, const struct mvcc_item *item);

/* Visits the keys of the span that are live at revision (<= 0: newest, changes of the running
 * transaction included), in key order. The caller has checked the revision (mvcc_check_revision) or
 * holds a pin. */
void mvcc_walk(struct mvcc *mvcc, const struct key_span *span, int64_t revision,
               mvcc_visit_fn visit, void *ctx);

/* Counts as mvcc_walk would visit: O(log n) at the newest revision, a walk at older ones. */
uint64_t mvcc_count(struct mvcc *mvcc, const struct key_span *span, int64_t revision);

/* As mvcc_count when that is cheap (newest revision, or few changes since): false when it needs a
 * walk. */
bool mvcc_count_fast(struct mvcc *mvcc, const struct key_span *span, int64_t revision,
                     uint64_t *out_count);

/* 0, E_FUTURE (above the newest, a running transaction's included) or E_COMPACTED; <= 0 is fine. */
int mvcc_check_revision(const struct mvcc *mvcc, int64_t revision);

/* The KeyValue bytes of key as of revision (<= 0: newest): 0, E_NOT_FOUND when it was not live,
 * E_COMPACTED, E_FUTURE. Bytes live as with mvcc_item_record. For prev_kv: at revision - 1. */
int mvcc_get_at(struct mvcc *mvcc, struct bytes key, int64_t revision, struct bytes *out_record);

/* History that somebody still walks in slices: compaction trims nothing that is visible at a pinned
 * revision. Each pin needs its unpin with the same revision. */
void mvcc_pin(struct mvcc *mvcc, int64_t revision);
void mvcc_unpin(struct mvcc *mvcc, int64_t revision);

/* ---- history in revision order (watch) ---- */

/* One change. record is the stored KeyValue: for a delete it holds the key alone. */
struct mvcc_event {
    struct revision revision;
    bool is_delete;
    bool is_create; /* a put that made the key */
    struct bytes key;
    struct bytes record;
};

/* Return false to stop. No writes from inside; reads (mvcc_get_at for prev_kv) are fine, but not
 * another mvcc_each_event or mvcc_hash_slice: they share one cursor of the store. */
typedef bool (*mvcc_event_fn)(void *ctx, const struct mvcc_event *event);

/* Visits the changes with from <= main <= to, in order, from the store and the tail. from must be
 * >= the compact revision, else E_COMPACTED; to may be above mvcc_revision. */
int mvcc_each_event(struct mvcc *mvcc, int64_t from_revision, int64_t to_revision,
                    mvcc_event_fn visit, void *ctx);

/* ---- compaction ---- */

#define MVCC_META_SCHEDULED_COMPACT "scheduledCompactRev"
#define MVCC_META_FINISHED_COMPACT  "finishedCompactRev"

/* Moves the compact revision at once and records the mark in batch: 0, E_COMPACTED (<= compact
 * revision) or E_FUTURE. The work is left to mvcc_compact_slice. */
int mvcc_compact(struct mvcc *mvcc, struct store_batch *batch, int64_t revision);

/* True while a compaction has work left. */
bool mvcc_compacting(const struct mvcc *mvcc);

/* Looks at up to key_budget keys and records removals in batch. True when nothing is left (the
 * finished mark goes into the same batch); false also while a pin holds it back. Keeps what etcd
 * keeps: per key the newest revision <= compact revision unless it is a tombstone below the compact
 * revision. */
bool mvcc_compact_slice(struct mvcc *mvcc, struct store_batch *batch, size_t key_budget);

/* ---- HashKV ---- */

/* One computation, in slices; writes and compactions may happen in between. */
struct mvcc_hash {
    uint32_t hash;
    int64_t hash_revision;
    int64_t compact_revision;
    int64_t next_main; /* private from here */
    uint32_t next_sub;
    bool any_live;
    bool done;
};

/* Starts at revision (0: newest; below: of no record): 0, E_COMPACTED, E_FUTURE. Holds a pin until
 * mvcc_hash_end. */
int mvcc_hash_begin(struct mvcc *mvcc, int64_t revision, struct mvcc_hash *out_hash);

/* Hashes up to record_budget records; hash->done when complete. */
int mvcc_hash_slice(struct mvcc *mvcc, struct mvcc_hash *hash, size_t record_budget);
void mvcc_hash_end(struct mvcc *mvcc, struct mvcc_hash *hash);

/* All of it at once: begin, slices, end. */
int mvcc_hash_kv(struct mvcc *mvcc, int64_t revision, struct mvcc_hash *out_hash);

#endif
