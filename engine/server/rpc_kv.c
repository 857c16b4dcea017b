/* SPDX-License-Identifier: Apache-2.0 */
/* KV on the state thread: checks, then the log for writes or a confirmed index for reads. */
#include "base/alloc.h"
#include "engine/server/authz.h"
#include "engine/server/metrics.h"
#include "engine/server/rpc.h"

/* Field numbers of InternalRaftRequest. */
#define FIELD_PUT          4u
#define FIELD_DELETE_RANGE 5u
#define FIELD_TXN          6u
#define FIELD_COMPACTION   7u

/* What a put costs in the quota besides its bytes, as etcd counts it. */
#define PUT_OVERHEAD_BYTES 256u

void kv_env_fill(struct server *server, struct kv_env *out_env)
{
    *out_env = (struct kv_env){
        .mvcc = server->mvcc, .lease_exists = lessor_exists, .lease_ctx = server->lessor};
}

/* Answers a read or a refused request: rc as kv.h returns it. Takes body. */
static void finish_kv(struct server *server, struct request *request, int rc, struct buf *body,
                      int64_t revision)
{
    if (rc < 0) {
        server_fatal(server, "failed to read the key space", err_code_text(rc));
    }
    if (rc > 0) {
        buf_free(body);
        request_fail(server, request, (enum etcd_error)rc);
    } else if (body->overflowed) {
        buf_free(body);
        request_fail_text(server, request, GRPC_RESOURCE_EXHAUSTED, ANSWER_TOO_LARGE);
    } else {
        request_reply(server, request, body, revision);
    }
    mvcc_release(server->mvcc);
}

void rpc_range(struct server *server, struct request *request)
{
    const Etcdserverpb__RangeRequest *range = (const Etcdserverpb__RangeRequest *)request->message;
    int rc = kv_check_range(range);
    if (rc != 0) {
        request_fail(server, request, (enum etcd_error)rc);
        return;
    }
    request->run = ranges_answer;
    if (range->serializable) {
        ranges_answer(server, request);
    } else {
        read_linearizable(server, request);
    }
}

static uint64_t put_cost(const Etcdserverpb__PutRequest *put)
{
    return PUT_OVERHEAD_BYTES + put->key.len + put->value.len;
}

static uint64_t txn_cost(const Etcdserverpb__TxnRequest *txn)
{
    uint64_t sides[2] = {0, 0};
    for (size_t side = 0; side < 2; side++) {
        size_t count = side == 0 ? txn->n_success : txn->n_failure;
        Etcdserverpb__RequestOp **ops = side == 0 ? txn->success : txn->failure;
        for (size_t i = 0; i < count; i++) {
            if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT) {
                sides[side] += put_cost(ops[i]->request_put);
            } else if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN) {
                sides[side] += txn_cost(ops[i]->request_txn);
            }
        }
    }
    return BASE_MAX(sides[0], sides[1]);
}

void rpc_put(struct server *server, struct request *request)
{
    const Etcdserverpb__PutRequest *put = (const Etcdserverpb__PutRequest *)request->message;
    int rc = kv_check_put(put);
    if (rc != 0) {
        request_fail(server, request, (enum etcd_error)rc);
    } else if (!quota_has_room(server, put_cost(put))) {
        quota_raise_alarm(server);
        request_fail(server, request, ETCD_ERR_NO_SPACE);
    } else {
        propose_field(server, request, FIELD_PUT, request->wire);
    }
}

void rpc_delete_range(struct server *server, struct request *request)
{
    int rc = kv_check_delete_range((const Etcdserverpb__DeleteRangeRequest *)request->message);
    if (rc != 0) {
        request_fail(server, request, (enum etcd_error)rc);
    } else if (!answers_have_room(server, request->held)) {
        request->run = rpc_delete_range;
        ranges_hold(server, request);
    } else {
        propose_field(server, request, FIELD_DELETE_RANGE, request->wire);
    }
}

/* A transaction that only reads needs no log entry. */
static void txn_read_now(struct server *server, struct request *request)
{
    struct kv_env env;
    struct buf body;
    int64_t revision = 0;
    if (!answers_have_room(server, request->held)) {
        ranges_hold(server, request);
        return;
    }
    if (!authz_answer(server, request)) {
        return;
    }
    buf_init(&body, ANSWER_BYTES_MAX);
    kv_env_fill(server, &env);
    int rc =
        kv_txn(&env, NULL, (const Etcdserverpb__TxnRequest *)request->message, &body, &revision);
    finish_kv(server, request, rc, &body, revision);
}

void rpc_txn(struct server *server, struct request *request)
{
    const Etcdserverpb__TxnRequest *txn = (const Etcdserverpb__TxnRequest *)request->message;
    int rc = kv_check_txn(txn, (size_t)server->config->max_txn_ops);
    if (rc != 0) {
        request_fail(server, request, (enum etcd_error)rc);
        return;
    }
    if (kv_txn_is_read_only(txn)) {
        request->run = txn_read_now;
        if (kv_txn_is_serializable(txn)) {
            txn_read_now(server, request);
        } else {
            read_linearizable(server, request);
        }
        return;
    }
    if (!answers_have_room(server, request->held)) {
        request->run = rpc_txn;
        ranges_hold(server, request);
        return;
    }
    uint64_t cost = txn_cost(txn);
    if (cost > 0 && !quota_has_room(server, cost)) {
        quota_raise_alarm(server);
        request_fail(server, request, ETCD_ERR_NO_SPACE);
        return;
    }
    propose_field(server, request, FIELD_TXN, request->wire);
}

void rpc_compact(struct server *server, struct request *request)
{
    propose_field(server, request, FIELD_COMPACTION, request->wire);
}
