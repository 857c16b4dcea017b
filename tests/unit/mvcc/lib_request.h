/* SPDX-License-Identifier: Apache-2.0 */
/* Short ways to write requests in tests. All memory is of one arena, freed with requests_free. */
#ifndef TESTS_UNIT_MVCC_LIB_REQUEST_H
#define TESTS_UNIT_MVCC_LIB_REQUEST_H

#include "base/arena.h"
#include "engine/proto/codec.h"
#include "rpc.pb-c.h"

#define FROM_KEY "\x01" /* stands for the range end "\0" */

struct requests {
    struct arena arena;
};

void requests_init(struct requests *requests);
void requests_free(struct requests *requests);

/* A NUL-terminated text as bytes; FROM_KEY as one zero byte. */
ProtobufCBinaryData data_of(struct requests *requests, const char *text);

Etcdserverpb__RangeRequest *range_of(struct requests *requests, const char *key, const char *end);
Etcdserverpb__PutRequest *put_of(struct requests *requests, const char *key, const char *value);
Etcdserverpb__DeleteRangeRequest *delete_of(struct requests *requests, const char *key,
                                            const char *end);

Etcdserverpb__RequestOp *op_range(struct requests *requests, Etcdserverpb__RangeRequest *range);
Etcdserverpb__RequestOp *op_put(struct requests *requests, const char *key, const char *value);
Etcdserverpb__RequestOp *op_delete(struct requests *requests, const char *key, const char *end);
Etcdserverpb__RequestOp *op_txn(struct requests *requests, Etcdserverpb__TxnRequest *txn);

/* An empty transaction, and what is added to it. */
Etcdserverpb__TxnRequest *txn_of(struct requests *requests);
void txn_then(struct requests *requests, Etcdserverpb__TxnRequest *txn,
              Etcdserverpb__RequestOp *op);
void txn_else(struct requests *requests, Etcdserverpb__TxnRequest *txn,
              Etcdserverpb__RequestOp *op);

/* Adds "key's version RESULT number" and gives it for changes. */
Etcdserverpb__Compare *txn_if(struct requests *requests, Etcdserverpb__TxnRequest *txn,
                              const char *key, int result, int64_t number);

#endif
