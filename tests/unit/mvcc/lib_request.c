/* SPDX-License-Identifier: Apache-2.0 */
/* See lib_request.h. */
#include "lib_request.h"

#include "base/alloc.h"

void requests_init(struct requests *requests)
{
    arena_init(&requests->arena, BUF_NO_LIMIT);
}

void requests_free(struct requests *requests)
{
    arena_free(&requests->arena);
}

ProtobufCBinaryData data_of(struct requests *requests, const char *text)
{
    if (str_equal(text, FROM_KEY)) {
        return (ProtobufCBinaryData){1, arena_zalloc(&requests->arena, 1)};
    }
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)arena_str(&requests->arena, text)};
}

#define NEW(requests, type, initial)                                                               \
    type *message = arena_zalloc(&(requests)->arena, sizeof(*message));                            \
    const type fresh = initial;                                                                    \
    *message = fresh

Etcdserverpb__RangeRequest *range_of(struct requests *requests, const char *key, const char *end)
{
    NEW(requests, Etcdserverpb__RangeRequest, ETCDSERVERPB__RANGE_REQUEST__INIT);
    message->key = data_of(requests, key);
    message->range_end = data_of(requests, end);
    return message;
}

Etcdserverpb__PutRequest *put_of(struct requests *requests, const char *key, const char *value)
{
    NEW(requests, Etcdserverpb__PutRequest, ETCDSERVERPB__PUT_REQUEST__INIT);
    message->key = data_of(requests, key);
    message->value = data_of(requests, value);
    return message;
}

Etcdserverpb__DeleteRangeRequest *delete_of(struct requests *requests, const char *key,
                                            const char *end)
{
    NEW(requests, Etcdserverpb__DeleteRangeRequest, ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT);
    message->key = data_of(requests, key);
    message->range_end = data_of(requests, end);
    return message;
}

static Etcdserverpb__RequestOp *op_of(struct requests *requests,
                                      Etcdserverpb__RequestOp__RequestCase request_case)
{
    NEW(requests, Etcdserverpb__RequestOp, ETCDSERVERPB__REQUEST_OP__INIT);
    message->request_case = request_case;
    return message;
}

Etcdserverpb__RequestOp *op_range(struct requests *requests, Etcdserverpb__RangeRequest *range)
{
    Etcdserverpb__RequestOp *op = op_of(requests, ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE);
    op->request_range = range;
    return op;
}

Etcdserverpb__RequestOp *op_put(struct requests *requests, const char *key, const char *value)
{
    Etcdserverpb__RequestOp *op = op_of(requests, ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT);
    op->request_put = put_of(requests, key, value);
    return op;
}

Etcdserverpb__RequestOp *op_delete(struct requests *requests, const char *key, const char *end)
{
    Etcdserverpb__RequestOp *op =
        op_of(requests, ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE);
    op->request_delete_range = delete_of(requests, key, end);
    return op;
}

Etcdserverpb__RequestOp *op_txn(struct requests *requests, Etcdserverpb__TxnRequest *txn)
{
    Etcdserverpb__RequestOp *op = op_of(requests, ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN);
    op->request_txn = txn;
    return op;
}

Etcdserverpb__TxnRequest *txn_of(struct requests *requests)
{
    NEW(requests, Etcdserverpb__TxnRequest, ETCDSERVERPB__TXN_REQUEST__INIT);
    return message;
}

static void append(struct requests *requests, void *list, size_t *count, void *element)
{
    void **items = arena_zalloc(&requests->arena, (*count + 1) * sizeof(void *));
    void **before = *(void ***)list;
    for (size_t i = 0; i < *count; i++) {
        items[i] = before[i];
    }
    items[(*count)++] = element;
    *(void ***)list = items;
}

void txn_then(struct requests *requests, Etcdserverpb__TxnRequest *txn, Etcdserverpb__RequestOp *op)
{
    append(requests, &txn->success, &txn->n_success, op);
}

void txn_else(struct requests *requests, Etcdserverpb__TxnRequest *txn, Etcdserverpb__RequestOp *op)
{
    append(requests, &txn->failure, &txn->n_failure, op);
}

Etcdserverpb__Compare *txn_if(struct requests *requests, Etcdserverpb__TxnRequest *txn,
                              const char *key, int result, int64_t number)
{
    NEW(requests, Etcdserverpb__Compare, ETCDSERVERPB__COMPARE__INIT);
    message->result = (Etcdserverpb__Compare__CompareResult)result;
    message->key = data_of(requests, key);
    message->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION;
    message->version = number;
    append(requests, &txn->compare, &txn->n_compare, message);
    return message;
}
