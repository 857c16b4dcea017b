/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one client does: puts of values that are never written twice, reads of all kinds, removals,
 * transactions, leases, compactions. What it does not know it records as unknown.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "tests/chaos/client.h"

#define FAILURE_PAUSE_NS    20000000u
#define LEASE_SECONDS_LEAST 2
#define COMPACT_LAG         2000
#define LAST_TIMEOUT_NS     5000000000u
#define GRPC_OUT_OF_RANGE   11

static const char *const paths[] = {
    [OP_PUT] = "/etcdserverpb.KV/Put",
    [OP_RANGE] = "/etcdserverpb.KV/Range",
    [OP_DELETE] = "/etcdserverpb.KV/DeleteRange",
    [OP_TXN] = "/etcdserverpb.KV/Txn",
    [OP_COMPACT] = "/etcdserverpb.KV/Compact",
    [OP_GRANT] = "/etcdserverpb.Lease/LeaseGrant",
    [OP_REVOKE] = "/etcdserverpb.Lease/LeaseRevoke",
    [OP_KEEPALIVE] = "/etcdserverpb.Lease/LeaseKeepAlive",
    [OP_TIME_TO_LIVE] = "/etcdserverpb.Lease/LeaseTimeToLive",
};

static ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)text, .len = strlen(text)};
}

/* From the key "\0" to "\0": every key. */
static ProtobufCBinaryData everything(void)
{
    static uint8_t zero[1];
    return (ProtobufCBinaryData){.data = zero, .len = 1};
}

/* ---- answers ---- */

static void take_header(struct worker *worker, const Etcdserverpb__ResponseHeader *header)
{
    if (header == NULL) {
        return;
    }
    worker->member = header->member_id;
    worker->term = header->raft_term;
    worker->revision = header->revision;
    if (header->revision > worker->run->newest_revision) {
        worker->run->newest_revision = header->revision;
    }
}

static void remember(struct worker *worker, const Mvccpb__KeyValue *kv)
{
    char name[16];
    if (kv->key.len < 3 || kv->key.len >= sizeof(name)) {
        return;
    }
    memcpy(name, kv->key.data, kv->key.len);
    name[kv->key.len] = '\0';
    unsigned long key = strtoul(name + 2, NULL, 10);
    if (key < KEYS_MAX && kv->value.len < sizeof(worker->seen_value[0])) {
        worker->seen_mod[key] = kv->mod_revision;
        memcpy(worker->seen_value[key], kv->value.data, kv->value.len);
        worker->seen_value[key][kv->value.len] = '\0';
    }
}

static void take_range(struct worker *worker, const Etcdserverpb__RangeResponse *answer)
{
    take_header(worker, answer->header);
    record_range_answer(&worker->answer, answer);
    for (size_t i = 0; i < answer->n_kvs; i++) {
        remember(worker, answer->kvs[i]);
    }
}

static void take_grant(struct worker *worker, const Etcdserverpb__LeaseGrantResponse *answer)
{
    take_header(worker, answer->header);
    buf_printf(&worker->answer, "grant %" PRId64 " %" PRId64, answer->id, answer->ttl);
    worker->leases[worker->lease_count++ % LEASES_MAX] = answer->id;
}

/* Unpacks message as what the operation answers with and takes it. */
static void take_answer(struct worker *worker, struct bytes message)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        [OP_PUT] = &etcdserverpb__put_response__descriptor,
        [OP_RANGE] = &etcdserverpb__range_response__descriptor,
        [OP_DELETE] = &etcdserverpb__delete_range_response__descriptor,
        [OP_TXN] = &etcdserverpb__txn_response__descriptor,
        [OP_COMPACT] = &etcdserverpb__compaction_response__descriptor,
        [OP_GRANT] = &etcdserverpb__lease_grant_response__descriptor,
        [OP_REVOKE] = &etcdserverpb__lease_revoke_response__descriptor,
        [OP_KEEPALIVE] = &etcdserverpb__lease_keep_alive_response__descriptor,
        [OP_TIME_TO_LIVE] = &etcdserverpb__lease_time_to_live_response__descriptor,
    };
    ProtobufCMessage *any =
        protobuf_c_message_unpack(types[worker->kind], NULL, message.size, message.data);
    if (any == NULL) {
        return; /* stays without an answer: unknown */
    }
    void *typed = any;
    buf_clear(&worker->answer);
    switch (worker->kind) {
    case OP_PUT:
        take_header(worker, ((Etcdserverpb__PutResponse *)typed)->header);
        record_put_answer(&worker->answer, typed);
        break;
    case OP_RANGE:
        take_range(worker, typed);
        break;
    case OP_DELETE:
        take_header(worker, ((Etcdserverpb__DeleteRangeResponse *)typed)->header);
        record_delete_answer(&worker->answer, typed);
        break;
    case OP_TXN:
        take_header(worker, ((Etcdserverpb__TxnResponse *)typed)->header);
        record_txn_answer(&worker->answer, typed);
        break;
    case OP_COMPACT:
        take_header(worker, ((Etcdserverpb__CompactionResponse *)typed)->header);
        buf_append_str(&worker->answer, "compact");
        break;
    case OP_GRANT:
        take_grant(worker, typed);
        break;
    case OP_REVOKE:
        take_header(worker, ((Etcdserverpb__LeaseRevokeResponse *)typed)->header);
        buf_append_str(&worker->answer, "revoke");
        break;
    case OP_KEEPALIVE: {
        const Etcdserverpb__LeaseKeepAliveResponse *alive = typed;
        take_header(worker, alive->header);
        buf_printf(&worker->answer, "keepalive %" PRId64, alive->ttl);
        break;
    }
    case OP_TIME_TO_LIVE: {
        const Etcdserverpb__LeaseTimeToLiveResponse *left = typed;
        take_header(worker, left->header);
        buf_printf(&worker->answer, "ttl %" PRId64 " %" PRId64, left->ttl, left->grantedttl);
        break;
    }
    }
    protobuf_c_message_free_unpacked(any, NULL);
}

static void on_message(struct rpc_call *call, struct bytes message)
{
    take_answer(call->ctx, message);
}

/* The outcome in the words of a history; what is not on the list may still take effect. */
static const char *outcome_of(int status, const char *text)
{
    switch (status) {
    case 3:  /* InvalidArgument */
    case 7:  /* PermissionDenied */
    case 8:  /* ResourceExhausted: too many requests, no space: refused before or while applied */
    case 12: /* Unimplemented */
        return "failed";
    case 5: /* NotFound */
        return strstr(text, "lease") != NULL ? "no-lease" : "failed";
    case 9: /* FailedPrecondition */
        return strstr(text, "lease already exists") != NULL ? "lease-exists" : "failed";
    case GRPC_OUT_OF_RANGE:
        return strstr(text, "compacted") != NULL ? "compacted" : "future";
    default:
        return "unknown";
    }
}

static void count_outcome(struct worker *worker, enum outcome outcome, uint64_t now_ns)
{
    struct run *run = worker->run;
    run->counts[outcome]++;
    if (outcome == OUTCOME_OK && worker->is_write) {
        uint64_t gap = now_ns - run->last_write_ns;
        run->longest_gap_ns = gap > run->longest_gap_ns ? gap : run->longest_gap_ns;
        run->last_write_ns = now_ns;
    }
}

/* Writes the operation down and goes on with the next. */
static void op_over(struct worker *worker, int status, const char *text)
{
    struct run *run = worker->run;
    uint64_t now = rpc_now_ns();
    bool is_ok = status == 0 && worker->answer.size > 0;
    const char *outcome = is_ok ? "ok" : outcome_of(status, text);
    if (status == RPC_NOT_SENT) {
        run->not_sent++;
    } else {
        bool is_unknown = str_equal(outcome, "unknown");
        buf_clear(&run->line);
        buf_printf(&run->line, "op %u %" PRIu64 " %" PRIu64 " %s ", worker->number,
                   worker->invoke_ns, now, outcome);
        buf_printf(&run->line, "%" PRIx64 " %" PRIu64 " %" PRId64 " ", is_ok ? worker->member : 0,
                   is_ok ? worker->term : 0, is_ok ? worker->revision : 0);
        buf_append(&run->line, worker->request.data, worker->request.size);
        if (is_ok) {
            buf_append_str(&run->line, " -> ");
            buf_append(&run->line, worker->answer.data, worker->answer.size);
        }
        run_record(run, &run->line);
        count_outcome(worker,
                      is_ok        ? OUTCOME_OK
                      : is_unknown ? OUTCOME_UNKNOWN
                                   : OUTCOME_REFUSED,
                      now);
    }
    if (status != 0 && status != GRPC_OUT_OF_RANGE) {
        worker->endpoint = (worker->endpoint + 1) % run->options.endpoint_count;
        worker->must_drop = true;
        worker->not_before_ns = now + FAILURE_PAUSE_NS;
    }
    if (is_ok && worker->phase == WORKER_LAST_PUT) {
        worker->phase = WORKER_LAST_READ;
    } else if (is_ok && worker->phase == WORKER_LAST_READ) {
        worker->phase = WORKER_DONE;
        worker->final_revision = worker->revision;
    }
}

static void on_end(struct rpc_call *call, int status, const char *text)
{
    op_over(call->ctx, status, text);
}

static const struct rpc_events worker_events = {.on_message = on_message, .on_end = on_end};

/* ---- requests ---- */

static uint64_t below(struct worker *worker, uint64_t bound)
{
    return rng_below(&worker->rng, bound);
}

static void start(struct worker *worker, enum op_kind kind, const ProtobufCMessage *request)
{
    const struct options *options = &worker->run->options;
    uint64_t limit = worker->phase == WORKER_MIXED ? options->timeout_ns : LAST_TIMEOUT_NS;
    worker->kind = kind;
    worker->is_write = kind == OP_PUT || kind == OP_DELETE || kind == OP_TXN;
    buf_clear(&worker->answer);
    worker->invoke_ns = rpc_now_ns();
    worker->due_ns = worker->invoke_ns + limit;
    if (rpc_start(&worker->link, &options->endpoints[worker->endpoint], &worker->call, paths[kind],
                  request, true) != 0) {
        worker->not_before_ns = worker->invoke_ns + FAILURE_PAUSE_NS;
        worker->must_drop = true;
    }
}

static unsigned pick_key(struct worker *worker, char *out, size_t size)
{
    unsigned key = (unsigned)below(worker, (uint64_t)worker->run->options.keys);
    snprintf(out, size, "k/%03u", key);
    return key;
}

static void fresh_value(struct worker *worker, char *out, size_t size)
{
    snprintf(out, size, "v%u-%" PRIu64, worker->number, worker->counter++);
}

static int64_t pick_lease(struct worker *worker)
{
    unsigned known = worker->lease_count < LEASES_MAX ? worker->lease_count : LEASES_MAX;
    return known == 0 ? 0 : worker->leases[below(worker, known)];
}

static void do_put(struct worker *worker)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    char key[16];
    char value[32];
    pick_key(worker, key, sizeof(key));
    fresh_value(worker, value, sizeof(value));
    put.key = data_of(key);
    put.value = data_of(value);
    put.prev_kv = below(worker, 5) == 0;
    put.lease = below(worker, 8) == 0 ? pick_lease(worker) : 0;
    record_put(&worker->request, &put);
    start(worker, OP_PUT, &put.base);
}

static void do_range(struct worker *worker, bool is_serializable)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    char key[16];
    uint64_t chance = below(worker, 20);
    pick_key(worker, key, sizeof(key));
    range.key = data_of(key);
    range.serializable = is_serializable;
    if (chance < 2) {
        range.key = range.range_end = everything();
        range.limit = chance == 0 ? (int64_t)below(worker, 10) + 1 : 0;
    } else if (chance == 2) {
        range.key = range.range_end = everything();
        range.count_only = true;
    } else if (chance == 3 && worker->run->newest_revision > 1) {
        uint64_t back = below(worker, 200) + 1;
        int64_t revision = worker->run->newest_revision - (int64_t)back;
        range.revision = revision > 0 ? revision : 1;
    }
    record_range(&worker->request, &range);
    start(worker, OP_RANGE, &range.base);
}

static void do_delete(struct worker *worker)
{
    Etcdserverpb__DeleteRangeRequest removal = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    char key[16];
    char end[16];
    unsigned first = pick_key(worker, key, sizeof(key));
    removal.key = data_of(key);
    removal.prev_kv = below(worker, 2) == 0;
    if (below(worker, 6) == 0) {
        snprintf(end, sizeof(end), "k/%03u", first + 3);
        removal.range_end = data_of(end);
    }
    record_delete(&worker->request, &removal);
    start(worker, OP_DELETE, &removal.base);
}

/* Compare and swap: by revision, by value, or "is not there". */
static void do_txn(struct worker *worker)
{
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__DeleteRangeRequest removal = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__RequestOp ops[3] = {ETCDSERVERPB__REQUEST_OP__INIT,
                                      ETCDSERVERPB__REQUEST_OP__INIT,
                                      ETCDSERVERPB__REQUEST_OP__INIT};
    Etcdserverpb__Compare *compares[] = {&compare};
    Etcdserverpb__RequestOp *success[] = {&ops[0], &ops[1]};
    Etcdserverpb__RequestOp *failure[] = {&ops[2]};
    char key[16];
    char other[16];
    char value[32];
    unsigned number = pick_key(worker, key, sizeof(key));
    pick_key(worker, other, sizeof(other));
    fresh_value(worker, value, sizeof(value));
    compare.key = put.key = range.key = data_of(key);
    put.value = data_of(value);
    removal.key = data_of(other);
    if (below(worker, 2) == 0) {
        compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
        compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
        compare.mod_revision = worker->seen_mod[number];
    } else {
        compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
        compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
        compare.value = data_of(worker->seen_value[number]);
    }
    ops[0].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    ops[0].request_put = &put;
    ops[1].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    ops[1].request_delete_range = &removal;
    ops[2].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    ops[2].request_range = &range;
    txn.n_compare = 1;
    txn.compare = compares;
    txn.n_success = strcmp(key, other) != 0 && below(worker, 3) == 0 ? 2 : 1;
    txn.success = success;
    txn.n_failure = 1;
    txn.failure = failure;
    record_txn(&worker->request, &txn);
    start(worker, OP_TXN, &txn.base);
}

static void do_lease(struct worker *worker)
{
    int64_t known = pick_lease(worker);
    uint64_t chance = known == 0 ? 0 : below(worker, 4);
    if (chance == 0) {
        Etcdserverpb__LeaseGrantRequest grant = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
        grant.id = (int64_t)(worker->number + 1) * 1000000 + (int64_t)worker->counter++;
        grant.ttl = LEASE_SECONDS_LEAST + (int64_t)below(worker, 10);
        buf_printf(&worker->request, "grant %" PRId64 " %" PRId64, grant.id, grant.ttl);
        start(worker, OP_GRANT, &grant.base);
    } else if (chance == 1) {
        Etcdserverpb__LeaseRevokeRequest revoke = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
        revoke.id = known;
        buf_printf(&worker->request, "revoke %" PRId64, known);
        start(worker, OP_REVOKE, &revoke.base);
    } else if (chance == 2) {
        Etcdserverpb__LeaseKeepAliveRequest alive = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
        alive.id = known;
        buf_printf(&worker->request, "keepalive %" PRId64, known);
        start(worker, OP_KEEPALIVE, &alive.base);
    } else {
        Etcdserverpb__LeaseTimeToLiveRequest left = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
        left.id = known;
        buf_printf(&worker->request, "ttl %" PRId64, known);
        start(worker, OP_TIME_TO_LIVE, &left.base);
    }
}

static void do_compact(struct worker *worker)
{
    struct run *run = worker->run;
    Etcdserverpb__CompactionRequest compaction = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    compaction.revision = run->newest_revision - COMPACT_LAG;
    run->compacted = compaction.revision;
    buf_printf(&worker->request, "compact %" PRId64, compaction.revision);
    start(worker, OP_COMPACT, &compaction.base);
}

static void do_last_read(struct worker *worker)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = range.range_end = everything();
    record_range(&worker->request, &range);
    start(worker, OP_RANGE, &range.base);
}

static void do_something(struct worker *worker)
{
    struct run *run = worker->run;
    bool may_compact = run->options.compacts && worker->number == 0 &&
                       run->newest_revision > run->compacted + COMPACT_LAG + COMPACT_LAG / 2;
    uint64_t chance = below(worker, 100);
    buf_clear(&worker->request);
    if (worker->phase == WORKER_LAST_READ) {
        do_last_read(worker);
    } else if (worker->phase == WORKER_LAST_PUT || chance < 38) {
        do_put(worker);
    } else if (chance < 40 && may_compact) {
        do_compact(worker);
    } else if (chance < 58) {
        do_range(worker, false);
    } else if (chance < 68) {
        do_range(worker, true);
    } else if (chance < 76) {
        do_delete(worker);
    } else if (chance < 94) {
        do_txn(worker);
    } else {
        do_lease(worker);
    }
}

/* ---- one client ---- */

void worker_init(struct worker *worker, struct run *run, unsigned number)
{
    *worker = (struct worker){.run = run, .number = number};
    worker->endpoint = (int)number % run->options.endpoint_count;
    rng_seed(&worker->rng, run->options.seed * 1000 + number);
    rpc_link_init(&worker->link);
    rpc_call_init(&worker->call, &worker_events, worker);
    buf_init(&worker->request, BUF_NO_LIMIT);
    buf_init(&worker->answer, BUF_NO_LIMIT);
}

void worker_free(struct worker *worker)
{
    rpc_call_free(&worker->call);
    rpc_link_drop(&worker->link, "over");
    buf_free(&worker->request);
    buf_free(&worker->answer);
}

void worker_move(struct worker *worker, uint64_t now_ns)
{
    const struct options *options = &worker->run->options;
    if (worker->call.link != NULL && now_ns > worker->due_ns) {
        rpc_cancel(&worker->call);
        op_over(worker, worker->link.has_sent ? RPC_NO_ANSWER : RPC_NOT_SENT, "timed out");
    }
    if (worker->must_drop && worker->call.link == NULL) {
        worker->must_drop = false;
        rpc_link_drop(&worker->link, "left");
    }
    if (worker->call.link != NULL || now_ns < worker->not_before_ns ||
        worker->phase == WORKER_DONE) {
        return;
    }
    if (worker->run->is_draining && worker->phase == WORKER_MIXED) {
        worker->phase = WORKER_LAST_PUT;
    }
    if (worker->phase == WORKER_MIXED) { /* evenly spread, with some chance */
        uint64_t pace = (uint64_t)(1e9 * options->workers / options->per_second);
        worker->not_before_ns = now_ns + pace / 2 + below(worker, pace + 1);
    }
    do_something(worker);
}
