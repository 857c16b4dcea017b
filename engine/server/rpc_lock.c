/* SPDX-License-Identifier: Apache-2.0 */
/*
 * v3lockpb.Lock: who has the oldest key under the name has the lock. A key belongs to the lease
 * that its holder brought, so that a dead holder's lock becomes free with it.
 */
#include "engine/server/contest.h"

static void reply_locked(struct contest *contest)
{
    V3lockpb__LockResponse response = V3LOCKPB__LOCK_RESPONSE__INIT;
    response.header = &contest->header;
    response.key = proto_binary(contest->key);
    contest_reply(contest, &response.base);
}

/* All that came before have gone; our own key may have gone as well, with its lease. */
static void on_own_key(struct contest *contest, enum etcd_error error,
                       const ProtobufCMessage *answer)
{
    const Etcdserverpb__RangeResponse *range = (const Etcdserverpb__RangeResponse *)answer;
    if (error != ETCD_OK) {
        contest_release_key(contest);
        contest_fail(contest, error);
    } else if (range->n_kvs == 0) {
        contest_fail_text(contest, "mutex: session is expired");
    } else {
        contest_take_header(contest, range->header);
        reply_locked(contest);
    }
}

static void on_turn(struct contest *contest, enum etcd_error error, const ProtobufCMessage *answer)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    (void)answer;
    if (error != ETCD_OK) {
        contest_release_key(contest);
        contest_fail(contest, error);
        return;
    }
    range.key = proto_binary(contest->key);
    contest_ask(contest, rpc_range, &range.base, &etcdserverpb__range_response__descriptor,
                on_own_key);
}

static void on_owner(struct contest *contest, enum etcd_error error, const ProtobufCMessage *answer)
{
    const Etcdserverpb__RangeResponse *range = (const Etcdserverpb__RangeResponse *)answer;
    if (error != ETCD_OK) {
        contest_release_key(contest);
        contest_fail(contest, error);
    } else if (range->n_kvs == 0 || range->kvs[0]->create_revision == contest->revision) {
        reply_locked(contest);
    } else {
        contest_wait_for_older(contest, on_turn);
    }
}

static void on_entered(struct contest *contest, enum etcd_error error,
                       const ProtobufCMessage *answer)
{
    const Etcdserverpb__TxnResponse *txn = (const Etcdserverpb__TxnResponse *)answer;
    if (error != ETCD_OK) {
        contest_fail(contest, error);
        return;
    }
    contest->revision = txn->succeeded ? txn->header->revision
                                       : txn->responses[0]->response_range->kvs[0]->create_revision;
    contest->owns_key = true;
    contest_take_header(contest, txn->header);
    contest_ask_owner(contest, on_owner);
}

void rpc_lock(struct server *server, struct request *request)
{
    const V3lockpb__LockRequest *asked = (const V3lockpb__LockRequest *)request->message;
    struct contest *contest = contest_new(server, request, proto_bytes(asked->name));
    contest_enter(contest, asked->lease, on_entered);
}

static void on_unlocked(struct contest *contest, enum etcd_error error,
                        const ProtobufCMessage *answer)
{
    V3lockpb__UnlockResponse response = V3LOCKPB__UNLOCK_RESPONSE__INIT;
    if (error != ETCD_OK) {
        contest_fail(contest, error);
        return;
    }
    contest_take_header(contest, ((const Etcdserverpb__DeleteRangeResponse *)answer)->header);
    response.header = &contest->header;
    contest_reply(contest, &response.base);
}

void rpc_unlock(struct server *server, struct request *request)
{
    const V3lockpb__UnlockRequest *asked = (const V3lockpb__UnlockRequest *)request->message;
    struct contest *contest = contest_new(server, request, (struct bytes){NULL, 0});
    Etcdserverpb__DeleteRangeRequest gone = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    gone.key = asked->key;
    contest_ask(contest, rpc_delete_range, &gone.base,
                &etcdserverpb__delete_range_response__descriptor, on_unlocked);
}
