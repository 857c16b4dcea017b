/* SPDX-License-Identifier: Apache-2.0 */
/* See record.h. */
#include "tests/chaos/record.h"

#include <inttypes.h>

void record_bytes(struct buf *out, ProtobufCBinaryData data)
{
    if (data.len == 0) {
        buf_append_byte(out, '%');
    }
    for (size_t i = 0; i < data.len; i++) {
        if (data.data[i] > ' ' && data.data[i] < 0x7f && data.data[i] != '%') {
            buf_append_byte(out, data.data[i]);
        } else {
            buf_printf(out, "%%%02x", data.data[i]);
        }
    }
}

/* Words of a key or a range: " KEY END". */
static void append_range(struct buf *out, ProtobufCBinaryData key, ProtobufCBinaryData end)
{
    buf_append_byte(out, ' ');
    record_bytes(out, key);
    buf_append_byte(out, ' ');
    record_bytes(out, end);
}

static void append_number(struct buf *out, const char *name, int64_t number)
{
    if (number != 0) {
        buf_printf(out, " %s=%" PRId64, name, number);
    }
}

static void append_word(struct buf *out, const char *word, bool is_set)
{
    if (is_set) {
        buf_printf(out, " %s", word);
    }
}

/* ---- requests ---- */

void record_put(struct buf *out, const Etcdserverpb__PutRequest *put)
{
    buf_append_str(out, "put ");
    record_bytes(out, put->key);
    buf_append_byte(out, ' ');
    record_bytes(out, put->value);
    append_number(out, "lease", put->lease);
    append_word(out, "prev", put->prev_kv);
    append_word(out, "ignore-value", put->ignore_value);
    append_word(out, "ignore-lease", put->ignore_lease);
}

void record_range(struct buf *out, const Etcdserverpb__RangeRequest *range)
{
    buf_append_str(out, "get");
    append_range(out, range->key, range->range_end);
    append_number(out, "rev", range->revision);
    append_number(out, "limit", range->limit);
    append_word(out, "serial", range->serializable);
    append_word(out, "keys", range->keys_only);
    append_word(out, "count", range->count_only);
}

void record_delete(struct buf *out, const Etcdserverpb__DeleteRangeRequest *removal)
{
    buf_append_str(out, "del");
    append_range(out, removal->key, removal->range_end);
    append_word(out, "prev", removal->prev_kv);
}

static void append_compare(struct buf *out, const Etcdserverpb__Compare *compare)
{
    static const char *const targets[] = {"version", "create", "mod", "value", "lease"};
    static const char *const results[] = {"=", ">", "<", "!="};
    buf_printf(out, " %s %s", targets[compare->target], results[compare->result]);
    append_range(out, compare->key, compare->range_end);
    buf_append_byte(out, ' ');
    if (compare->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE) {
        record_bytes(out, compare->value);
    } else {
        buf_printf(out, "%" PRId64, compare->version); /* one union of numbers */
    }
}

static void append_branch(struct buf *out, size_t count, Etcdserverpb__RequestOp *const *ops)
{
    buf_append_str(out, " (");
    for (size_t i = 0; i < count; i++) {
        buf_append_byte(out, ' ');
        switch (ops[i]->request_case) {
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
            record_put(out, ops[i]->request_put);
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
            record_delete(out, ops[i]->request_delete_range);
            break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
            record_txn(out, ops[i]->request_txn);
            break;
        default:
            record_range(out, ops[i]->request_range);
            break;
        }
    }
    buf_append_str(out, " )");
}

void record_txn(struct buf *out, const Etcdserverpb__TxnRequest *txn)
{
    buf_append_str(out, "txn [");
    for (size_t i = 0; i < txn->n_compare; i++) {
        append_compare(out, txn->compare[i]);
    }
    buf_append_str(out, " ]");
    append_branch(out, txn->n_success, txn->success);
    append_branch(out, txn->n_failure, txn->failure);
}

/* ---- answers ---- */

static void append_numbers(struct buf *out, const Mvccpb__KeyValue *kv)
{
    buf_printf(out, " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, kv->create_revision,
               kv->mod_revision, kv->version, kv->lease);
}

static void append_kv(struct buf *out, const Mvccpb__KeyValue *kv)
{
    buf_append_str(out, " kv");
    append_range(out, kv->key, kv->value);
    append_numbers(out, kv);
}

void record_put_answer(struct buf *out, const Etcdserverpb__PutResponse *answer)
{
    buf_append_str(out, "put");
    if (answer->prev_kv != NULL) {
        append_kv(out, answer->prev_kv);
    }
}

void record_range_answer(struct buf *out, const Etcdserverpb__RangeResponse *answer)
{
    buf_printf(out, "get %" PRId64, answer->count);
    append_word(out, "more", answer->more);
    for (size_t i = 0; i < answer->n_kvs; i++) {
        append_kv(out, answer->kvs[i]);
    }
}

void record_delete_answer(struct buf *out, const Etcdserverpb__DeleteRangeResponse *answer)
{
    buf_printf(out, "del %" PRId64, answer->deleted);
    for (size_t i = 0; i < answer->n_prev_kvs; i++) {
        append_kv(out, answer->prev_kvs[i]);
    }
}

void record_txn_answer(struct buf *out, const Etcdserverpb__TxnResponse *answer)
{
    buf_printf(out, "txn %s (", answer->succeeded ? "yes" : "no");
    for (size_t i = 0; i < answer->n_responses; i++) {
        const Etcdserverpb__ResponseOp *op = answer->responses[i];
        buf_append_byte(out, ' ');
        switch (op->response_case) {
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT:
            record_put_answer(out, op->response_put);
            break;
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
            record_delete_answer(out, op->response_delete_range);
            break;
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN:
            record_txn_answer(out, op->response_txn);
            break;
        default:
            record_range_answer(out, op->response_range);
            break;
        }
    }
    buf_append_str(out, " )");
}

void record_event(struct buf *out, const Mvccpb__Event *event)
{
    bool is_delete = event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE;
    buf_append_str(out, is_delete ? " del " : " put ");
    record_bytes(out, event->kv->key);
    if (is_delete) {
        buf_printf(out, " %" PRId64, event->kv->mod_revision);
    } else {
        buf_append_byte(out, ' ');
        record_bytes(out, event->kv->value);
        append_numbers(out, event->kv);
    }
    if (event->prev_kv != NULL) {
        buf_append_str(out, " prev ");
        record_bytes(out, event->prev_kv->value);
        append_numbers(out, event->prev_kv);
    }
}
