/* SPDX-License-Identifier: Apache-2.0 */
/* See normalize.h. */
#include "tests/differential/normalize.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "engine/proto/rpc.pb-c.h"

/* Go sorts up to so many by insertion, which is stable. */
#define STABLE_COUNT_MAX 12

static struct bytes view(ProtobufCBinaryData data)
{
    return bytes_of(data.data, data.len);
}

static int order_of_numbers(int64_t a, int64_t b)
{
    return a < b ? -1 : (a > b ? 1 : 0);
}

static int compare_by(int target, const Mvccpb__KeyValue *a, const Mvccpb__KeyValue *b)
{
    switch (target) {
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VERSION:
        return order_of_numbers(a->version, b->version);
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE:
        return order_of_numbers(a->create_revision, b->create_revision);
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__MOD:
        return order_of_numbers(a->mod_revision, b->mod_revision);
    default:
        return bytes_compare(view(a->value), view(b->value));
    }
}

static int compare_keys(const void *a, const void *b)
{
    return bytes_compare(view((*(Mvccpb__KeyValue *const *)a)->key),
                         view((*(Mvccpb__KeyValue *const *)b)->key));
}

/* Each run of equals in the order of keys; of a last run that was cut nobody knows who is in it.
 * (Sorted by values that are not shown, all look equal.) */
static void normalize_range(const Etcdserverpb__RangeRequest *request,
                            Etcdserverpb__RangeResponse *response)
{
    if (request->sort_target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY ||
        response->count <= STABLE_COUNT_MAX) {
        return;
    }
    bool is_by_value = request->sort_target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE;
    for (size_t from = 0; from < response->n_kvs;) {
        size_t to = from + 1;
        while (to < response->n_kvs &&
               compare_by((int)request->sort_target, response->kvs[from], response->kvs[to]) == 0) {
            to++;
        }
        qsort(&response->kvs[from], to - from, sizeof(*response->kvs), compare_keys);
        for (size_t i = from; to == response->n_kvs && response->more && i < to; i++) {
            Mvccpb__KeyValue *kv = response->kvs[i];
            kv->key.len = 0;
            kv->value.len = is_by_value ? kv->value.len : 0;
            if (request->sort_target != ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VERSION) {
                kv->version = 0;
            }
            if (request->sort_target != ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE) {
                kv->create_revision = 0;
            }
            if (request->sort_target != ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__MOD) {
                kv->mod_revision = 0;
            }
            kv->lease = 0;
        }
        from = to;
    }
}

static void normalize_txn(const Etcdserverpb__TxnRequest *request,
                          Etcdserverpb__TxnResponse *response)
{
    size_t count = response->succeeded ? request->n_success : request->n_failure;
    Etcdserverpb__RequestOp *const *ops = response->succeeded ? request->success : request->failure;
    for (size_t i = 0; i < count && i < response->n_responses; i++) {
        const Etcdserverpb__ResponseOp *answer = response->responses[i];
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE &&
            answer->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE &&
            answer->response_range != NULL) {
            normalize_range(ops[i]->request_range, answer->response_range);
        } else if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN &&
                   answer->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN &&
                   answer->response_txn != NULL) {
            normalize_txn(ops[i]->request_txn, answer->response_txn);
        }
    }
}

static int compare_data(const void *a, const void *b)
{
    return bytes_compare(view(*(const ProtobufCBinaryData *)a),
                         view(*(const ProtobufCBinaryData *)b));
}

static int compare_leases(const void *a, const void *b)
{
    return order_of_numbers((*(Etcdserverpb__LeaseStatus *const *)a)->id,
                            (*(Etcdserverpb__LeaseStatus *const *)b)->id);
}

void normalize_answer(enum op_kind kind, const ProtobufCMessage *request,
                      ProtobufCMessage *response)
{
    if (kind == OP_RANGE) {
        normalize_range((const Etcdserverpb__RangeRequest *)request,
                        (Etcdserverpb__RangeResponse *)response);
    } else if (kind == OP_TXN) {
        normalize_txn((const Etcdserverpb__TxnRequest *)request,
                      (Etcdserverpb__TxnResponse *)response);
    } else if (kind == OP_TIME_TO_LIVE) {
        Etcdserverpb__LeaseTimeToLiveResponse *found =
            (Etcdserverpb__LeaseTimeToLiveResponse *)response;
        if (found->n_keys > 0) {
            qsort(found->keys, found->n_keys, sizeof(*found->keys), compare_data);
        }
    } else if (kind == OP_LEASES) {
        Etcdserverpb__LeaseLeasesResponse *found = (Etcdserverpb__LeaseLeasesResponse *)response;
        if (found->n_leases > 0) {
            qsort(found->leases, found->n_leases, sizeof(*found->leases), compare_leases);
        }
    }
}
