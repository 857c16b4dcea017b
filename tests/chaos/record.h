/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers of etcd's API in the words of a history (tests/check/README.md). Each
 * appends. */
#ifndef TESTS_CHAOS_RECORD_H
#define TESTS_CHAOS_RECORD_H

#include "base/buf.h"
#include "engine/proto/rpc.pb-c.h"

void record_put(struct buf *out, const Etcdserverpb__PutRequest *put);
void record_range(struct buf *out, const Etcdserverpb__RangeRequest *range);
void record_delete(struct buf *out, const Etcdserverpb__DeleteRangeRequest *removal);
void record_txn(struct buf *out, const Etcdserverpb__TxnRequest *txn);

void record_put_answer(struct buf *out, const Etcdserverpb__PutResponse *answer);
void record_range_answer(struct buf *out, const Etcdserverpb__RangeResponse *answer);
void record_delete_answer(struct buf *out, const Etcdserverpb__DeleteRangeResponse *answer);
void record_txn_answer(struct buf *out, const Etcdserverpb__TxnResponse *answer);

/* " put ..." or " del ..." of a watch. */
void record_event(struct buf *out, const Mvccpb__Event *event);
void record_bytes(struct buf *out, ProtobufCBinaryData data);

#endif
