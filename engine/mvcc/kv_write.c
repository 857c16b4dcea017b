/* SPDX-License-Identifier: Apache-2.0 */
/* Put, DeleteRange and Compact. */
#include "base/assert.h"
#include "engine/mvcc/kv_wire.h"

bool kv_lease_known(const struct kv_env *env, int64_t lease)
{
    return lease == 0 || (env->lease_exists != NULL && env->lease_exists(env->lease_ctx, lease));
}

int kv_put_within(const struct kv_env *env, const Etcdserverpb__PutRequest *request,
                  struct buf *out)
{
    struct mvcc *mvcc = env->mvcc;
    struct bytes key = proto_bytes(request->key);
    struct bytes value = proto_bytes(request->value);
    int64_t lease = request->lease;
    if (request->ignore_value || request->ignore_lease || request->prev_kv) {
        struct bytes record;
        struct keyvalue before = {0};
        int rc = mvcc_get_at(mvcc, key, 0, &record);
        if (rc == 0 && keyvalue_decode(record, &before) != 0) {
            return E_CORRUPT;
        }
        if (rc != 0 && rc != E_NOT_FOUND) {
            return rc;
        }
        if (rc == E_NOT_FOUND && (request->ignore_value || request->ignore_lease)) {
            return ETCD_ERR_KEY_NOT_FOUND;
        }
        value = request->ignore_value ? before.value : value;
        lease = request->ignore_lease ? before.lease : lease;
        if (rc == 0 && request->prev_kv) {
            kv_wire_message(out, KV_PUT_PREV_KV, record);
        }
    }
    mvcc_txn_put(mvcc, key, value, lease);
    return 0;
}

int kv_put(const struct kv_env *env, struct store_batch *batch,
           const Etcdserverpb__PutRequest *request, struct buf *out, int64_t *out_revision)
{
    if (!kv_lease_known(env, request->lease)) {
        return ETCD_ERR_LEASE_NOT_FOUND;
    }
    mvcc_txn_begin(env->mvcc, batch);
    int rc = kv_put_within(env, request, out);
    int64_t revision = mvcc_txn_end(env->mvcc);
    if (rc == 0) {
        *out_revision = revision;
    }
    return rc;
}

struct prev_walk {
    struct mvcc *mvcc;
    struct buf *out;
    int rc;
};

static bool append_prev(void *ctx, const struct mvcc_item *item)
{
    struct prev_walk *walk = ctx;
    struct bytes record;
    walk->rc = mvcc_item_record(walk->mvcc, item, &record);
    if (walk->rc != 0) {
        return false;
    }
    kv_wire_message(walk->out, KV_DELETE_PREV_KVS, record);
    return true;
}

int kv_delete_within(const struct kv_env *env, const Etcdserverpb__DeleteRangeRequest *request,
                     struct buf *out)
{
    struct key_span span = key_span_of(proto_bytes(request->key), proto_bytes(request->range_end));
    uint64_t count = mvcc_count(env->mvcc, &span, 0);
    kv_wire_number(out, KV_DELETE_DELETED, (int64_t)count);
    if (request->prev_kv) {
        struct prev_walk walk = {env->mvcc, out, 0};
        mvcc_walk(env->mvcc, &span, 0, append_prev, &walk);
        if (walk.rc != 0) {
            return walk.rc;
        }
    }
    uint64_t deleted = mvcc_txn_delete(env->mvcc, &span);
    ASSERT(deleted == count);
    return 0;
}

int kv_delete_range(const struct kv_env *env, struct store_batch *batch,
                    const Etcdserverpb__DeleteRangeRequest *request, struct buf *out,
                    int64_t *out_revision)
{
    mvcc_txn_begin(env->mvcc, batch);
    int rc = kv_delete_within(env, request, out);
    int64_t revision = mvcc_txn_end(env->mvcc);
    if (rc == 0) {
        *out_revision = revision;
    }
    return rc;
}

int kv_compact(const struct kv_env *env, struct store_batch *batch, int64_t revision,
               int64_t *out_revision)
{
    int rc = mvcc_compact(env->mvcc, batch, revision);
    if (rc != 0) {
        return kv_error_of(rc);
    }
    *out_revision = mvcc_revision(env->mvcc);
    return 0;
}
