/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KV requests carried out on the key space: checks before a request is proposed, and execution when
 * it is applied (writes) or read. Responses are appended in wire form without field 1: the server
 * writes the header itself, with the revision given here. Every function returns 0, an enum
 * etcd_error (> 0: the answer to the client, nothing was changed), or a negative E_*: the store
 * failed and the member must stop.
 */
#ifndef ENGINE_MVCC_KV_H
#define ENGINE_MVCC_KV_H

#include "base/buf.h"
#include "engine/mvcc/mvcc.h"
#include "engine/proto/etcd_error.h"
#include "rpc.pb-c.h"

/* --max-txn-ops as it is by default. */
#define KV_TXN_OPS_DEFAULT 128u

/* What execution needs. lease_exists may be NULL when no lease exists. */
struct kv_env {
    struct mvcc *mvcc;
    bool (*lease_exists)(void *ctx, int64_t lease);
    void *lease_ctx;
};

/* ---- before proposing: form only, the key space is not looked at ---- */

int kv_check_range(const Etcdserverpb__RangeRequest *request);
int kv_check_put(const Etcdserverpb__PutRequest *request);
int kv_check_delete_range(const Etcdserverpb__DeleteRangeRequest *request);

/* Counts (max_ops, less for nested levels), keys, each operation, and keys written twice. */
int kv_check_txn(const Etcdserverpb__TxnRequest *request, size_t max_ops);

/* True when both branches hold ranges alone: it may be answered without a log entry. A nested
 * transaction counts as a write, whatever it holds (as in etcd). */
bool kv_txn_is_read_only(const Etcdserverpb__TxnRequest *request);

/* True when all its ranges (of a read-only one) are serializable: no ReadIndex needed. */
bool kv_txn_is_serializable(const Etcdserverpb__TxnRequest *request);

/* ---- execution ---- */

/* Body of a RangeResponse: kvs=2, more=3, count=4. */
int kv_range(const struct kv_env *env, const Etcdserverpb__RangeRequest *request, struct buf *out,
             int64_t *out_revision);

/* Body of a PutResponse: prev_kv=2. One transaction of its own. */
int kv_put(const struct kv_env *env, struct store_batch *batch,
           const Etcdserverpb__PutRequest *request, struct buf *out, int64_t *out_revision);

/* Body of a DeleteRangeResponse: deleted=2, prev_kvs=3. One transaction of its own. */
int kv_delete_range(const struct kv_env *env, struct store_batch *batch,
                    const Etcdserverpb__DeleteRangeRequest *request, struct buf *out,
                    int64_t *out_revision);

/* Body of a TxnResponse: succeeded=2, responses=3. batch may be NULL for a read-only one. */
int kv_txn(const struct kv_env *env, struct store_batch *batch,
           const Etcdserverpb__TxnRequest *request, struct buf *out, int64_t *out_revision);

/* Marks; mvcc_compact_slice does the work (physical=true waits for it, in the server). */
int kv_compact(const struct kv_env *env, struct store_batch *batch, int64_t revision,
               int64_t *out_revision);

/* ---- a large range in slices (also RangeStream) ---- */

/* One range in progress; holds a pin on its revision until kv_range_unpin. Borrows request until
 * kv_range_end. */
struct kv_range_job {
    const Etcdserverpb__RangeRequest *request;
    int64_t revision;        /* that it reads at */
    int64_t header_revision; /* for the header */
    uint64_t count;
    uint64_t emitted;
    bool more;
    bool counted; /* count is known: stop at the limit */
    bool done;
    bool pinned;
    struct buf next_key;        /* where the next slice starts */
    struct kv_range_rows *rows; /* sorted or filtered: where the keys of the answer are */
};

/* True for requests with an order or a filter of their own: all keys are looked at before the first
 * one is emitted, and 24 bytes for each that passes are held until the end. */
bool kv_range_is_sorted(const Etcdserverpb__RangeRequest *request);

/* Starts. The first slices of a sorted one give nothing. */
int kv_range_begin(const struct kv_env *env, const Etcdserverpb__RangeRequest *request,
                   struct kv_range_job *out_job);

/* For a job that may take long: compactions no longer wait for it, and the next slice after one
 * that passed its revision gives ETCD_ERR_COMPACTED. env may hold another key space from then on.
 */
void kv_range_unpin(const struct kv_env *env, struct kv_range_job *job);

/* Appends kvs of up to key_budget keys (and stops after byte_budget bytes). When job->done, more
 * and count are final; kv_range_append_tail writes them. */
int kv_range_slice(const struct kv_env *env, struct kv_range_job *job, size_t key_budget,
                   size_t byte_budget, struct buf *out);

/* Appends fields more=3 and count=4 of a finished job. */
void kv_range_append_tail(const struct kv_range_job *job, struct buf *out);

/* A finished job gives the same once more: the first time told how large it is. */
void kv_range_restart(struct kv_range_job *job);

/* Ends the job, finished or not. */
void kv_range_end(const struct kv_env *env, struct kv_range_job *job);

/* The same when its key space, and the pin with it, is gone. */
void kv_range_forget(struct kv_range_job *job);

#endif
