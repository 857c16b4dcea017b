/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps that locks and elections are made of. Each step is a question to the key space with the
 * function that takes its answer; a client that goes away is noticed at once while the contest
 * waits for others' keys, and after the answer while a question runs.
 */
#include "engine/server/contest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/server/authz.h"

#define CONTEST_LEASE_TTL_S                                                                        \
    60 /* of a session that brings no lease, as in etcd's client library                           \
        */

/* ---- life ---- */

struct contest *contest_new(struct server *server, struct request *request, struct bytes name)
{
    struct contest *contest = mem_zalloc(sizeof(*contest));
    contest->server = server;
    contest->request = request;
    arena_init(&contest->arena, BUF_NO_LIMIT); /* a few copies of what the client sent */
    buf_init(&contest->observed_key, BUF_NO_LIMIT);
    uint8_t *prefix = arena_zalloc(&contest->arena, name.size + 1);
    uint8_t *end = arena_zalloc(&contest->arena, name.size + 1);
    if (name.size > 0) {
        memcpy(prefix, name.data, name.size);
        memcpy(end, name.data, name.size);
    }
    prefix[name.size] = '/';
    end[name.size] = '/' + 1; /* what follows all keys with this prefix */
    contest->name = bytes_of(prefix, name.size + 1);
    contest->name_end = bytes_of(end, name.size + 1);
    (void)map_set_u64(&server->contests, request->handle, contest);
    return contest;
}

void contest_watch_end(struct contest *contest)
{
    if (contest->watch != NULL) {
        stream_watch_end(contest->server, contest->watch);
        contest->watch = NULL;
    }
}

void contest_end(struct contest *contest)
{
    ASSERT(contest->question == NULL);
    contest_watch_end(contest);
    if (contest->request != NULL) {
        (void)map_remove_u64(&contest->server->contests, contest->request->handle);
        request_free(contest->request);
    }
    arena_free(&contest->arena);
    buf_free(&contest->observed_key);
    mem_free(contest);
}

/* The request leaves the contest, to be answered. */
static struct request *take_request(struct contest *contest)
{
    struct request *request = contest->request;
    (void)map_remove_u64(&contest->server->contests, request->handle);
    contest->request = NULL;
    return request;
}

void contest_reply(struct contest *contest, const ProtobufCMessage *message)
{
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    (void)proto_pack_append(message, &body); /* no limit: cannot fail */
    request_reply_plain(contest->server, take_request(contest), &body);
    contest_end(contest);
}

/* etcd's client library stands between, and leaves the text but no code. */
void contest_fail_text(struct contest *contest, const char *text)
{
    request_fail_text(contest->server, take_request(contest), GRPC_UNKNOWN, text);
    contest_end(contest);
}

void contest_fail(struct contest *contest, enum etcd_error error)
{
    contest_fail_text(contest, etcd_error_text(error));
}

void contest_take_header(struct contest *contest, const Etcdserverpb__ResponseHeader *header)
{
    if (header != NULL) {
        contest->header = *header;
    } else {
        header_of(contest->server, mvcc_revision(contest->server->mvcc), &contest->header);
    }
}

/* ---- questions ---- */

/* The client has gone: nobody is answered, and what it stood for is taken back. */
static void give_up(struct contest *contest)
{
    if (contest->owns_key) {
        contest_release_key(contest);
    }
    contest_end(contest);
}

/* Gives up once it is known whether the question left a key behind. */
static void give_up_with(struct contest *contest, const ProtobufCMessage *answer)
{
    const Etcdserverpb__TxnResponse *txn = (const Etcdserverpb__TxnResponse *)answer;
    if (contest->creates_key && txn != NULL && txn->succeeded) {
        contest->owns_key = true;
        contest->revision = txn->header->revision;
    }
    give_up(contest);
}

static void on_answer(struct server *server, struct request *question, enum etcd_error error)
{
    struct contest *contest = question->user;
    struct arena arena;
    ProtobufCMessage *answer = NULL;
    (void)server;
    contest->question = NULL;
    arena_init(&arena, BUF_NO_LIMIT); /* our own answer: as large as the key space made it */
    if (error == ETCD_OK &&
        (question->answer == NULL ||
         proto_unpack(contest->expected, buf_bytes(question->answer), &arena, &answer) != 0)) {
        error = ETCD_ERR_STOPPED;
    }
    if (contest->canceled) {
        give_up_with(contest, answer);
    } else {
        contest->creates_key = false;
        contest->next(contest, error, answer);
    }
    arena_free(&arena);
}

/* A request of the server's own with a copy of message. */
static struct request *question_new(struct contest *contest, const ProtobufCMessage *message,
                                    void (*on_done)(struct server *server, struct request *request,
                                                    enum etcd_error error))
{
    size_t size = protobuf_c_message_get_packed_size(message);
    struct request *question = request_internal(on_done);
    arena_free(&question->arena);
    arena_init(&question->arena, proto_arena_limit(size) + size);
    question->server = contest->server;
    question->wire = proto_pack_arena(message, &question->arena);
    int rc =
        proto_unpack(message->descriptor, question->wire, &question->arena, &question->message);
    ASSERT(rc == 0); /* it was packed here */
    authz_on_behalf(question, contest->request);
    return question;
}

void contest_ask(struct contest *contest, request_fn run, const ProtobufCMessage *message,
                 const ProtobufCMessageDescriptor *expected, contest_fn next)
{
    struct request *question = question_new(contest, message, on_answer);
    question->user = contest;
    contest->question = question;
    contest->expected = expected;
    contest->next = next;
    run(contest->server, question); /* it may be answered at once, and the contest be over */
}

void contest_put_op(const struct contest *contest, Etcdserverpb__PutRequest *put,
                    Etcdserverpb__RequestOp *op)
{
    etcdserverpb__put_request__init(put);
    etcdserverpb__request_op__init(op);
    put->key = proto_binary(contest->key);
    put->value = proto_binary(contest->value);
    put->lease = contest->lease;
    op->request_put = put;
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
}

void contest_get_op(const struct contest *contest, Etcdserverpb__RangeRequest *get,
                    Etcdserverpb__RequestOp *op)
{
    etcdserverpb__range_request__init(get);
    etcdserverpb__request_op__init(op);
    get->key = proto_binary(contest->key);
    op->request_range = get;
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
}

void contest_delete_op(const struct contest *contest, Etcdserverpb__DeleteRangeRequest *gone,
                       Etcdserverpb__RequestOp *op)
{
    etcdserverpb__delete_range_request__init(gone);
    etcdserverpb__request_op__init(op);
    gone->key = proto_binary(contest->key);
    op->request_delete_range = gone;
    op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
}

/* Txn: if key was created at revision (0: it is not there) then op, else otherwise. */
static struct request *txn_question(struct contest *contest, int64_t revision,
                                    Etcdserverpb__RequestOp *op, Etcdserverpb__RequestOp *otherwise,
                                    void (*on_done)(struct server *server, struct request *request,
                                                    enum etcd_error error))
{
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    Etcdserverpb__Compare *compares[] = {&compare};
    compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
    compare.key = proto_binary(contest->key);
    compare.create_revision = revision;
    compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
    txn.compare = compares;
    txn.n_compare = 1;
    txn.success = &op;
    txn.n_success = 1;
    txn.failure = &otherwise;
    txn.n_failure = otherwise == NULL ? 0 : 1;
    return question_new(contest, &txn.base, on_done);
}

void contest_ask_if(struct contest *contest, int64_t revision, Etcdserverpb__RequestOp *op,
                    Etcdserverpb__RequestOp *otherwise, contest_fn next)
{
    contest->question = txn_question(contest, revision, op, otherwise, on_answer);
    contest->question->user = contest;
    contest->expected = &etcdserverpb__txn_response__descriptor;
    contest->next = next;
    rpc_txn(contest->server, contest->question);
}

static void ask_first(struct contest *contest, bool newest, int64_t max_create_revision,
                      contest_fn next)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = proto_binary(contest->name);
    range.range_end = proto_binary(contest->name_end);
    range.limit = 1;
    range.sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE;
    range.sort_order = newest ? ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND
                              : ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__ASCEND;
    range.max_create_revision = max_create_revision;
    contest_ask(contest, rpc_range, &range.base, &etcdserverpb__range_response__descriptor, next);
}

void contest_ask_owner(struct contest *contest, contest_fn next)
{
    ask_first(contest, false, 0, next);
}

/* ---- the lease and the key that carries its number ---- */

void contest_set_key(struct contest *contest)
{
    char hex[24];
    bool negative = contest->lease < 0; /* as Go writes it */
    uint64_t number = negative ? 0 - (uint64_t)contest->lease : (uint64_t)contest->lease;
    int size = snprintf(hex, sizeof(hex), "%s%" PRIx64, negative ? "-" : "", number);
    uint8_t *key = arena_zalloc(&contest->arena, contest->name.size + (size_t)size);
    memcpy(key, contest->name.data, contest->name.size);
    memcpy(key + contest->name.size, hex, (size_t)size);
    contest->key = bytes_of(key, contest->name.size + (size_t)size);
}

static void on_granted(struct contest *contest, enum etcd_error error,
                       const ProtobufCMessage *answer)
{
    if (error != ETCD_OK) {
        contest_fail(contest, error);
        return;
    }
    contest->lease = ((const Etcdserverpb__LeaseGrantResponse *)answer)->id;
    contest->after(contest, ETCD_OK, NULL);
}

void contest_take_lease(struct contest *contest, int64_t lease, contest_fn next)
{
    if (lease != LEASE_NONE) {
        contest->lease = lease;
        next(contest, ETCD_OK, NULL);
        return;
    }
    Etcdserverpb__LeaseGrantRequest grant = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    grant.ttl = CONTEST_LEASE_TTL_S;
    contest->after = next;
    contest_ask(contest, rpc_lease_grant, &grant.base,
                &etcdserverpb__lease_grant_response__descriptor, on_granted);
}

/* ---- watching ---- */

static void on_watched(void *ctx, struct bytes framed)
{
    struct contest *contest = ctx;
    struct server *server = contest->server;
    uint64_t handle = contest->request->handle;
    struct stream_state *watch = contest->watch;
    while (framed.size >= GRPC_PREFIX_BYTES) {
        struct arena arena;
        Etcdserverpb__WatchResponse *response;
        size_t size = get_be32(framed.data + 1);
        arena_init(&arena, BUF_NO_LIMIT);
        int rc = PROTO_UNPACK(etcdserverpb__watch_response,
                              bytes_of(framed.data + GRPC_PREFIX_BYTES, size), &arena, &response);
        ASSERT(rc == 0); /* it was packed here */
        for (size_t i = 0; i < response->n_events; i++) {
            contest->on_event(contest, ETCD_OK, &response->events[i]->base);
            if (map_get_u64(&server->contests, handle) != contest || contest->watch != watch) {
                arena_free(&arena);
                return; /* it has seen enough */
            }
        }
        bool ended = response->canceled;
        arena_free(&arena);
        if (ended) {
            contest_watch_end(contest);
            contest->on_event(contest, ETCD_ERR_COMPACTED, NULL);
            return;
        }
        framed = bytes_of(framed.data + GRPC_PREFIX_BYTES + size,
                          framed.size - GRPC_PREFIX_BYTES - size);
    }
}

void contest_watch(struct contest *contest, struct bytes key, struct bytes range_end,
                   int64_t start_revision, contest_fn on_event)
{
    contest_watch_end(contest);
    contest->on_event = on_event;
    contest->watch =
        stream_watch(contest->server, key, range_end, start_revision, on_watched, contest);
    stream_watch_set_unsent(contest->server, contest->watch, contest->unsent_bytes);
}

/* ---- waiting for those who came before ---- */

static void ask_older(struct contest *contest);

static void on_older_event(struct contest *contest, enum etcd_error error,
                           const ProtobufCMessage *answer)
{
    if (error != ETCD_OK) {
        contest->after(contest, error, NULL);
    } else if (((const Mvccpb__Event *)answer)->type == MVCCPB__EVENT__EVENT_TYPE__DELETE) {
        contest_watch_end(contest);
        ask_older(contest);
    }
}

static void on_older(struct contest *contest, enum etcd_error error, const ProtobufCMessage *answer)
{
    const Etcdserverpb__RangeResponse *range = (const Etcdserverpb__RangeResponse *)answer;
    if (error != ETCD_OK || range->n_kvs == 0) {
        contest->after(contest, error, NULL);
        return;
    }
    contest_watch(contest, proto_bytes(range->kvs[0]->key), (struct bytes){NULL, 0},
                  range->header->revision, on_older_event);
}

static void ask_older(struct contest *contest)
{
    ask_first(contest, true, contest->revision - 1, on_older);
}

void contest_wait_for_older(struct contest *contest, contest_fn next)
{
    contest->after = next;
    ask_older(contest);
}

/* ---- the client goes ---- */

void contest_release_key(struct contest *contest)
{
    Etcdserverpb__DeleteRangeRequest gone;
    Etcdserverpb__RequestOp op;
    if (contest->server->ended) {
        return; /* its lease ends it */
    }
    contest_delete_op(contest, &gone, &op);
    rpc_txn(contest->server, txn_question(contest, contest->revision, &op, NULL, NULL));
}

void contest_canceled(struct server *server, uint64_t handle)
{
    struct contest *contest = map_get_u64(&server->contests, handle);
    if (contest != NULL && contest->question != NULL) {
        contest->canceled = true; /* what the question did is known with its answer */
    } else if (contest != NULL) {
        give_up(contest);
    }
}

void contest_drained(struct server *server, uint64_t handle, size_t bytes)
{
    struct contest *contest = map_get_u64(&server->contests, handle);
    if (contest != NULL) {
        ASSERT(bytes <= contest->unsent_bytes);
        contest->unsent_bytes -= bytes;
        if (contest->watch != NULL) {
            stream_watch_set_unsent(server, contest->watch, contest->unsent_bytes);
        }
    }
}

/* ---- the beginning ---- */

static void enter_with_lease(struct contest *contest, enum etcd_error error,
                             const ProtobufCMessage *answer)
{
    Etcdserverpb__PutRequest put;
    Etcdserverpb__RangeRequest get;
    Etcdserverpb__RequestOp ops[2];
    (void)error;
    (void)answer;
    contest_set_key(contest);
    contest_put_op(contest, &put, &ops[0]);
    contest_get_op(contest, &get, &ops[1]);
    contest->creates_key = true;
    contest_ask_if(contest, 0, &ops[0], &ops[1], contest->entered);
}

void contest_enter(struct contest *contest, int64_t lease, contest_fn next)
{
    contest->entered = next;
    contest_take_lease(contest, lease, enter_with_lease);
}
