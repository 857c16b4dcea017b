/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a request of a client or an entry of the log, of the type that the first byte tells:
 * refused, or read within the arena's limit and written back to bytes that read the same. KV
 * requests are then checked as before they are proposed.
 *
 * fuzz-link: mvcc proto
 */
#include "base/assert.h"
#include "base/err.h"
#include "engine/mvcc/kv.h"
#include "engine/proto/codec.h"
#include "raft_internal.pb-c.h"
#include "rpc.pb-c.h"

#define OP(name) &etcdserverpb__##name##_request__descriptor

/* The KV requests stand first, in the order of enum kv. */
enum kv { KV_RANGE, KV_PUT, KV_DELETE_RANGE, KV_TXN };

static const ProtobufCMessageDescriptor *const TYPES[] = {
    OP(range),
    OP(put),
    OP(delete_range),
    OP(txn),
    OP(compaction),
    OP(watch),
    OP(lease_grant),
    OP(lease_revoke),
    OP(lease_checkpoint),
    OP(lease_keep_alive),
    OP(lease_time_to_live),
    OP(lease_leases),
    OP(member_add),
    OP(member_remove),
    OP(member_update),
    OP(member_list),
    OP(member_promote),
    OP(hash),
    &etcdserverpb__hash_kvrequest__descriptor,
    OP(snapshot),
    OP(defragment),
    OP(move_leader),
    OP(alarm),
    OP(downgrade),
    OP(status),
    &etcdserverpb__internal_raft_request__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An enum etcd_error or 0; never a failure of the store, which is not looked at. */
static void check_kv(size_t type, const ProtobufCMessage *message)
{
    int rc = 0;
    if (type == KV_RANGE) {
        rc = kv_check_range((const Etcdserverpb__RangeRequest *)message);
    } else if (type == KV_PUT) {
        rc = kv_check_put((const Etcdserverpb__PutRequest *)message);
    } else if (type == KV_DELETE_RANGE) {
        rc = kv_check_delete_range((const Etcdserverpb__DeleteRangeRequest *)message);
    } else if (type == KV_TXN) {
        const Etcdserverpb__TxnRequest *txn = (const Etcdserverpb__TxnRequest *)message;
        rc = kv_check_txn(txn, KV_TXN_OPS_DEFAULT);
        ASSERT(!kv_txn_is_serializable(txn) || kv_txn_is_read_only(txn));
        ASSERT(rc != 0 || txn->n_success <= KV_TXN_OPS_DEFAULT);
    }
    ASSERT(rc >= 0);
}

/* Written, read and written again: the same bytes. */
static void round_trip(const ProtobufCMessage *message)
{
    struct arena arena;
    struct buf once;
    struct buf twice;
    ProtobufCMessage *again;
    arena_init(&arena, BUF_NO_LIMIT);
    buf_init(&once, BUF_NO_LIMIT);
    buf_init(&twice, BUF_NO_LIMIT);
    ASSERT(proto_pack_append(message, &once) == 0);
    ASSERT(proto_unpack(message->descriptor, buf_bytes(&once), &arena, &again) == 0);
    ASSERT(proto_pack_append(again, &twice) == 0);
    ASSERT(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    buf_free(&twice);
    buf_free(&once);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t type = data[0] % ARRAY_COUNT(TYPES);
    struct bytes wire = bytes_of(data + 1, size - 1);
    struct arena arena;
    ProtobufCMessage *message;
    arena_init(&arena, proto_arena_limit(wire.size));
    int rc = proto_unpack(TYPES[type], wire, &arena, &message);
    ASSERT(rc == 0 || rc == E_INVALID || rc == E_TOO_BIG);
    if (rc == 0) {
        check_kv(type, message);
        round_trip(message);
    }
    arena_free(&arena);
    return 0;
}
