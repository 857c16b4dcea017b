/* SPDX-License-Identifier: Apache-2.0 */
/*
 * v3electionpb.Election: the oldest key under the name is the leader's, its value what the leader
 * says of itself.
 */
#include "base/alloc.h"
#include "engine/server/contest.h"

/* ---- Campaign ---- */

static void on_elected(struct contest *contest, enum etcd_error error,
                       const ProtobufCMessage *answer)
{
    const V3electionpb__CampaignRequest *asked =
        (const V3electionpb__CampaignRequest *)contest->request->message;
    V3electionpb__CampaignResponse response = V3ELECTIONPB__CAMPAIGN_RESPONSE__INIT;
    V3electionpb__LeaderKey leader = V3ELECTIONPB__LEADER_KEY__INIT;
    (void)answer;
    if (error != ETCD_OK) {
        contest_fail(contest, error);
        return;
    }
    leader.name = asked->name;
    leader.key = proto_binary(contest->key);
    leader.rev = contest->revision;
    leader.lease = contest->lease;
    response.header = &contest->header;
    response.leader = &leader;
    contest_reply(contest, &response.base);
}

/* A candidate that comes back with another value says it before it waits. */
static void on_said(struct contest *contest, enum etcd_error error, const ProtobufCMessage *answer)
{
    const Etcdserverpb__TxnResponse *txn = (const Etcdserverpb__TxnResponse *)answer;
    if (error == ETCD_OK && !txn->succeeded) {
        error = ETCD_ERR_ELECTION_NOT_LEADER;
    }
    if (error != ETCD_OK) {
        contest_release_key(contest);
        contest_fail(contest, error);
        return;
    }
    contest_wait_for_older(contest, on_elected);
}

static void say_value(struct contest *contest, contest_fn next)
{
    Etcdserverpb__PutRequest put;
    Etcdserverpb__RequestOp op;
    contest_put_op(contest, &put, &op);
    contest_ask_if(contest, contest->revision, &op, NULL, next);
}

static void on_entered(struct contest *contest, enum etcd_error error,
                       const ProtobufCMessage *answer)
{
    const Etcdserverpb__TxnResponse *txn = (const Etcdserverpb__TxnResponse *)answer;
    if (error != ETCD_OK) {
        contest_fail(contest, error);
        return;
    }
    contest_take_header(contest, txn->header);
    contest->owns_key = true;
    contest->revision = txn->header->revision;
    if (!txn->succeeded) {
        const Mvccpb__KeyValue *kv = txn->responses[0]->response_range->kvs[0];
        contest->revision = kv->create_revision;
        if (!bytes_equal(proto_bytes(kv->value), contest->value)) {
            say_value(contest, on_said);
            return;
        }
    }
    contest_wait_for_older(contest, on_elected);
}

void rpc_campaign(struct server *server, struct request *request)
{
    const V3electionpb__CampaignRequest *asked =
        (const V3electionpb__CampaignRequest *)request->message;
    struct contest *contest = contest_new(server, request, proto_bytes(asked->name));
    contest->value = proto_bytes(asked->value);
    contest_enter(contest, asked->lease, on_entered);
}

/* ---- Proclaim and Resign: for those who were elected ---- */

/* The contest that the leader key names; NULL: refused for want of it. */
static struct contest *resume(struct server *server, struct request *request,
                              const V3electionpb__LeaderKey *leader)
{
    if (leader == NULL) {
        request_fail(server, request, ETCD_ERR_ELECTION_NO_LEADER_KEY);
        return NULL;
    }
    struct contest *contest = contest_new(server, request, proto_bytes(leader->name));
    contest->key = proto_bytes(leader->key);
    contest->revision = leader->rev;
    contest->lease = leader->lease;
    return contest;
}

static void on_proclaimed(struct contest *contest, enum etcd_error error,
                          const ProtobufCMessage *answer)
{
    const Etcdserverpb__TxnResponse *txn = (const Etcdserverpb__TxnResponse *)answer;
    V3electionpb__ProclaimResponse response = V3ELECTIONPB__PROCLAIM_RESPONSE__INIT;
    if (error != ETCD_OK || !txn->succeeded) {
        contest_fail(contest, error != ETCD_OK ? error : ETCD_ERR_ELECTION_NOT_LEADER);
        return;
    }
    contest_take_header(contest, txn->header);
    response.header = &contest->header;
    contest_reply(contest, &response.base);
}

static void on_proclaim_lease(struct contest *contest, enum etcd_error error,
                              const ProtobufCMessage *answer)
{
    (void)error;
    (void)answer;
    say_value(contest, on_proclaimed);
}

void rpc_proclaim(struct server *server, struct request *request)
{
    const V3electionpb__ProclaimRequest *asked =
        (const V3electionpb__ProclaimRequest *)request->message;
    struct contest *contest = resume(server, request, asked->leader);
    if (contest != NULL) {
        contest->value = proto_bytes(asked->value);
        contest_take_lease(contest, asked->leader->lease, on_proclaim_lease);
    }
}

static void on_resigned(struct contest *contest, enum etcd_error error,
                        const ProtobufCMessage *answer)
{
    V3electionpb__ResignResponse response = V3ELECTIONPB__RESIGN_RESPONSE__INIT;
    if (error != ETCD_OK) {
        contest_fail(contest, error);
        return;
    }
    contest_take_header(contest, ((const Etcdserverpb__TxnResponse *)answer)->header);
    response.header = &contest->header;
    contest_reply(contest, &response.base);
}

void rpc_resign(struct server *server, struct request *request)
{
    const V3electionpb__ResignRequest *asked =
        (const V3electionpb__ResignRequest *)request->message;
    struct contest *contest = resume(server, request, asked->leader);
    if (contest != NULL) {
        Etcdserverpb__DeleteRangeRequest gone;
        Etcdserverpb__RequestOp op;
        contest_delete_op(contest, &gone, &op);
        contest_ask_if(contest, contest->revision, &op, NULL, on_resigned);
    }
}

/* ---- Leader ---- */

static void on_leader(struct contest *contest, enum etcd_error error,
                      const ProtobufCMessage *answer)
{
    const Etcdserverpb__RangeResponse *range = (const Etcdserverpb__RangeResponse *)answer;
    V3electionpb__LeaderResponse response = V3ELECTIONPB__LEADER_RESPONSE__INIT;
    if (error != ETCD_OK || range->n_kvs == 0) {
        contest_fail(contest, error != ETCD_OK ? error : ETCD_ERR_ELECTION_NO_LEADER);
        return;
    }
    contest_take_header(contest, range->header);
    response.header = &contest->header;
    response.kv = range->kvs[0];
    contest_reply(contest, &response.base);
}

void rpc_leader(struct server *server, struct request *request)
{
    const V3electionpb__LeaderRequest *asked =
        (const V3electionpb__LeaderRequest *)request->message;
    contest_ask_owner(contest_new(server, request, proto_bytes(asked->name)), on_leader);
}

/* ---- Observe: each leader and each word of it, as long as the client listens ---- */

static void observe(struct contest *contest);

static void tell(struct contest *contest, int64_t revision, Mvccpb__KeyValue *kv)
{
    V3electionpb__LeaderResponse response = V3ELECTIONPB__LEADER_RESPONSE__INIT;
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    header_of(contest->server, revision, &contest->header);
    response.header = &contest->header;
    response.kv = kv;
    (void)proto_pack_append(&response.base, &body); /* no limit: cannot fail */
    contest->unsent_bytes += body.size;
    stream_reply(contest->server, contest->request->handle, contest->request->held, &body, true);
    if (contest->watch != NULL) {
        stream_watch_set_unsent(contest->server, contest->watch, contest->unsent_bytes);
    }
}

static void observe_failed(struct contest *contest)
{
    contest_fail_text(contest, "election: observe closed early");
}

static void on_leader_event(struct contest *contest, enum etcd_error error,
                            const ProtobufCMessage *answer)
{
    const Mvccpb__Event *event = (const Mvccpb__Event *)answer;
    if (error != ETCD_OK) {
        observe_failed(contest);
    } else if (event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE) {
        contest_watch_end(contest);
        observe(contest);
    } else {
        tell(contest, event->kv->mod_revision, event->kv);
    }
}

/* Tells of kv as the leader's and follows its key from the next revision on. */
static void follow(struct contest *contest, int64_t revision, Mvccpb__KeyValue *kv)
{
    buf_clear(&contest->observed_key);
    buf_append(&contest->observed_key, kv->key.data, kv->key.len);
    contest_watch_end(contest);
    tell(contest, revision, kv);
    contest_watch(contest, buf_bytes(&contest->observed_key), (struct bytes){NULL, 0}, revision + 1,
                  on_leader_event);
}

/* Nobody leads: the first key that appears is the leader's. */
static void on_candidate_event(struct contest *contest, enum etcd_error error,
                               const ProtobufCMessage *answer)
{
    const Mvccpb__Event *event = (const Mvccpb__Event *)answer;
    if (error != ETCD_OK) {
        observe_failed(contest);
    } else if (event->type == MVCCPB__EVENT__EVENT_TYPE__PUT) {
        follow(contest, event->kv->mod_revision, event->kv);
    }
}

static void on_observed(struct contest *contest, enum etcd_error error,
                        const ProtobufCMessage *answer)
{
    const Etcdserverpb__RangeResponse *range = (const Etcdserverpb__RangeResponse *)answer;
    if (error != ETCD_OK) {
        observe_failed(contest);
    } else if (range->n_kvs > 0) {
        follow(contest, range->header->revision, range->kvs[0]);
    } else {
        contest_watch(contest, contest->name, contest->name_end, range->header->revision,
                      on_candidate_event);
    }
}

static void observe(struct contest *contest)
{
    contest_ask_owner(contest, on_observed);
}

void rpc_observe(struct server *server, struct request *request)
{
    const V3electionpb__LeaderRequest *asked =
        (const V3electionpb__LeaderRequest *)request->message;
    observe(contest_new(server, request, proto_bytes(asked->name)));
}
