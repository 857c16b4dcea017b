/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store seam: what the engine keeps on disk, as ten ordered tables of bytes. The real one is
 * LMDB (engine/store/lmdb_store.h), tests and the simulator have one in memory. A batch is filled
 * on the state thread, handed over whole, and committed on the store thread: all of it with its
 * consistent_index and term in one synced transaction, or nothing. Views are pinned consistent
 * snapshots; they must be short (design.md: no read transaction outlives a slice).
 */
#ifndef ENGINE_MVCC_STORE_H
#define ENGINE_MVCC_STORE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"

/* The names on disk are those of etcd's buckets: store_table_name. */
enum store_table {
    STORE_KEY,
    STORE_META,
    STORE_LEASE,
    STORE_ALARM,
    STORE_AUTH,
    STORE_AUTH_USERS,
    STORE_AUTH_ROLES,
    STORE_MEMBERS,
    STORE_MEMBERS_REMOVED,
    STORE_CLUSTER,
    STORE_TABLE_COUNT
};

/* Keys of table meta that the store itself writes at each commit, 8 bytes big-endian each. */
#define STORE_META_CONSISTENT_INDEX "consistent_index"
#define STORE_META_TERM             "term"

/* Keys are at most this long (LMDB's limit); only table key grows with use, and its keys are 17
 * or 18. */
#define STORE_KEY_BYTES_MAX 511u

/* "key", "meta", "lease", "alarm", "auth", "authUsers", "authRoles", "members", "members_removed",
 * "cluster". */
const char *store_table_name(enum store_table table);

enum store_op_kind { STORE_PUT, STORE_REMOVE };

struct store_op {
    enum store_op_kind kind;
    enum store_table table;
    struct bytes key;
    struct bytes value;
};

/*
 * One batch: owned list of operations, carried out in order. Ends at an applied index. Fill it, set
 * consistent_index and term, commit it, give its revision to mvcc_persisted, free or clear it.
 */
struct store_batch {
    struct arena arena; /* owns copied keys and values */
    struct store_op *ops;
    size_t op_count;
    size_t op_capacity;
    size_t bytes; /* of keys and values, for limits on batch size */
    uint64_t
        consistent_index; /* 0: neither index nor term are written (only before the first entry) */
    uint64_t term;
    int64_t revision; /* the mvcc revision that is complete with this batch; 0 when it holds none */
};

void store_batch_init(struct store_batch *batch);

/* Frees all; the batch may be used again as after store_batch_init. */
void store_batch_free(struct store_batch *batch);

/* Records a put; key and value are copied. Key 1 to STORE_KEY_BYTES_MAX bytes. */
void store_batch_put(struct store_batch *batch, enum store_table table, struct bytes key,
                     struct bytes value);

/* As store_batch_put, but value is borrowed until the batch is committed (the mvcc tail owns it).
 */
void store_batch_put_borrowed(struct store_batch *batch, enum store_table table, struct bytes key,
                              struct bytes value);

/* Records a removal; removing what is not there is allowed. The key is copied. */
void store_batch_remove(struct store_batch *batch, enum store_table table, struct bytes key);

/* True when committing it would change nothing, not even the consistent index. */
bool store_batch_empty(const struct store_batch *batch);

/* One pinned snapshot; opaque, of the implementation. */
struct store_view;

struct store_item {
    struct bytes key;
    struct bytes value;
};

struct store_sizes {
    uint64_t file_bytes; /* of the file on disk */
    uint64_t used_bytes; /* of it in use */
    uint64_t max_bytes;  /* where puts start to fail */
};

/*
 * The functions. Bytes that a view gives live until view_end. commit runs on the store thread, all
 * else on the state thread (or on any one thread per view); both at the same time is allowed.
 */
struct store_seam {
    void *ctx;
    /* Applies all operations plus meta consistent_index and term, synced. E_AGAIN: the disk has no
     * room, nothing was begun, the same batch may come again. Any other error changes nothing on
     * disk and is fatal for the member: the caller stops, it never retries as if nothing had
     * been. */
    int (*commit)(void *ctx, const struct store_batch *batch, struct err *err);
    int (*view_begin)(void *ctx, struct store_view **out_view);
    void (*view_end)(struct store_view *view);
    /* 0, E_NOT_FOUND, or another error. */
    int (*view_get)(struct store_view *view, enum store_table table, struct bytes key,
                    struct bytes *out_value);
    /* Puts the view's cursor of that table on the first key >= from; E_NOT_FOUND past the last. */
    int (*view_seek)(struct store_view *view, enum store_table table, struct bytes from,
                     struct store_item *out_item);
    /* Moves that cursor to the next key; E_NOT_FOUND past the last. */
    int (*view_next)(struct store_view *view, enum store_table table, struct store_item *out_item);
    int (*sizes)(void *ctx, struct store_sizes *out_sizes);
};

/* Reads an 8-byte big-endian number; E_NOT_FOUND when absent, E_CORRUPT when of another size. */
int store_view_get_u64(const struct store_seam *seam, struct store_view *view,
                       enum store_table table, struct bytes key, uint64_t *out_value);

/* What the disk holds: consistent index and term of the last commit; both 0 in a new store. */
int store_read_position(const struct store_seam *seam, uint64_t *out_index, uint64_t *out_term);

#endif
