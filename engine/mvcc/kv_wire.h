/* SPDX-License-Identifier: Apache-2.0 */
/* Writing response fields by hand, for kv_*.c alone: stored KeyValue bytes are copied, not
 * re-encoded. */
#ifndef ENGINE_MVCC_KV_WIRE_H
#define ENGINE_MVCC_KV_WIRE_H

#include "base/buf.h"
#include "engine/mvcc/kv.h"
#include "engine/proto/codec.h"

enum { KV_WIRE_VARINT = 0, KV_WIRE_BYTES = 2 };

/* Field numbers of the responses. */
enum {
    KV_RESPONSE_HEADER = 1,
    KV_RANGE_KVS = 2,
    KV_RANGE_MORE = 3,
    KV_RANGE_COUNT = 4,
    KV_PUT_PREV_KV = 2,
    KV_DELETE_DELETED = 2,
    KV_DELETE_PREV_KVS = 3,
    KV_TXN_SUCCEEDED = 2,
    KV_TXN_RESPONSES = 3,
    KV_HEADER_REVISION = 3
};

/* A number field; zero is left out, as proto3 does. Overflow of out is sticky in it. */
static inline void kv_wire_number(struct buf *out, unsigned field, int64_t number)
{
    if (number != 0) {
        (void)proto_varint_append(out, field << 3 | KV_WIRE_VARINT);
        (void)proto_varint_append(out, (uint64_t)number);
    }
}

/* A message field (written also when empty). */
static inline void kv_wire_message(struct buf *out, unsigned field, struct bytes message)
{
    (void)proto_varint_append(out, field << 3 | KV_WIRE_BYTES);
    (void)proto_varint_append(out, message.size);
    (void)buf_append(out, message.data, message.size);
}

/* A KeyValue field, encoded from its parts. */
static inline void kv_wire_keyvalue(struct buf *out, unsigned field, const struct keyvalue *kv)
{
    size_t size = keyvalue_size(kv);
    (void)proto_varint_append(out, field << 3 | KV_WIRE_BYTES);
    (void)proto_varint_append(out, size);
    uint8_t *place = buf_reserve(out, size);
    if (place != NULL) {
        out->size += keyvalue_encode(kv, place);
    }
}

/* What a client is told of a revision that cannot be read; other codes stay (the member stops). */
static inline int kv_error_of(int rc)
{
    if (rc == E_COMPACTED) {
        return ETCD_ERR_COMPACTED;
    }
    return rc == E_FUTURE ? ETCD_ERR_FUTURE_REV : rc;
}

/* One write inside a running transaction; body as kv_put and kv_delete_range. */
int kv_put_within(const struct kv_env *env, const Etcdserverpb__PutRequest *request,
                  struct buf *out);
int kv_delete_within(const struct kv_env *env, const Etcdserverpb__DeleteRangeRequest *request,
                     struct buf *out);

/* True when the lease may be named: 0, or known. */
bool kv_lease_known(const struct kv_env *env, int64_t lease);

#endif
