/* SPDX-License-Identifier: Apache-2.0 */
/* What a client asks for, and what it takes from the answers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/chaos/record.h"
#include "tests/sim/faults/workload_internal.h"

#define TTL_LEAST_S    2
#define COMPACT_LAG    40
#define BIG_BYTES      20000u
#define HISTORY_BACK   60u
#define UNKNOWN_LEASE  INT64_C(77)
#define KEY_TEXT_BYTES 16u

static ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

/* From the key "\0" to "\0": every key. */
static ProtobufCBinaryData everything(void)
{
    static uint8_t zero[1];
    return (ProtobufCBinaryData){1, zero};
}

static uint64_t below(const struct client *client, uint64_t bound)
{
    return rng_below(client->workload->rng, bound);
}

/* ---- answers ---- */

static void take_header(struct client *client, const Etcdserverpb__ResponseHeader *header)
{
    if (header == NULL) {
        return;
    }
    client->member = header->member_id;
    client->term = header->raft_term;
    client->revision = header->revision;
    client->workload->newest_revision =
        BASE_MAX(client->workload->newest_revision, header->revision);
}

static void remember(struct client *client, const Mvccpb__KeyValue *kv)
{
    char name[KEY_TEXT_BYTES];
    if (kv->key.len < 3 || kv->key.len >= sizeof(name)) {
        return;
    }
    memcpy(name, kv->key.data, kv->key.len);
    name[kv->key.len] = '\0';
    unsigned long key = strtoul(name + 2, NULL, 10);
    if (key < KEYS_MAX && kv->value.len < VALUE_MAX) {
        client->seen_mod[key] = kv->mod_revision;
        memcpy(client->seen_value[key], kv->value.data, kv->value.len);
        client->seen_value[key][kv->value.len] = '\0';
    }
}

static void take_range(struct client *client, const Etcdserverpb__RangeResponse *response)
{
    take_header(client, response->header);
    record_range_answer(&client->answer, response);
    for (size_t i = 0; i < response->n_kvs; i++) {
        remember(client, response->kvs[i]);
    }
}

static void take_typed(struct client *client, void *typed)
{
    switch (client->operation) {
    case OPERATION_PUT:
        take_header(client, ((Etcdserverpb__PutResponse *)typed)->header);
        record_put_answer(&client->answer, typed);
        break;
    case OPERATION_RANGE:
        take_range(client, typed);
        break;
    case OPERATION_DELETE:
        take_header(client, ((Etcdserverpb__DeleteRangeResponse *)typed)->header);
        record_delete_answer(&client->answer, typed);
        break;
    case OPERATION_TXN:
        take_header(client, ((Etcdserverpb__TxnResponse *)typed)->header);
        record_txn_answer(&client->answer, typed);
        break;
    case OPERATION_COMPACT:
        take_header(client, ((Etcdserverpb__CompactionResponse *)typed)->header);
        buf_append_str(&client->answer, "compact");
        break;
    case OPERATION_GRANT: {
        const Etcdserverpb__LeaseGrantResponse *grant = typed;
        take_header(client, grant->header);
        buf_printf(&client->answer, "grant %" PRId64 " %" PRId64, grant->id, grant->ttl);
        client->leases[client->lease_count++ % LEASES_MAX] = grant->id;
        break;
    }
    case OPERATION_REVOKE:
        take_header(client, ((Etcdserverpb__LeaseRevokeResponse *)typed)->header);
        buf_append_str(&client->answer, "revoke");
        break;
    case OPERATION_KEEP_ALIVE: {
        const Etcdserverpb__LeaseKeepAliveResponse *alive = typed;
        take_header(client, alive->header);
        buf_printf(&client->answer, "keepalive %" PRId64, alive->ttl);
        break;
    }
    case OPERATION_TIME_TO_LIVE: {
        const Etcdserverpb__LeaseTimeToLiveResponse *left = typed;
        take_header(client, left->header);
        buf_printf(&client->answer, "ttl %" PRId64 " %" PRId64, left->ttl, left->grantedttl);
        break;
    }
    }
}

bool operation_take(struct client *client, struct bytes message)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        [OPERATION_PUT] = &etcdserverpb__put_response__descriptor,
        [OPERATION_RANGE] = &etcdserverpb__range_response__descriptor,
        [OPERATION_DELETE] = &etcdserverpb__delete_range_response__descriptor,
        [OPERATION_TXN] = &etcdserverpb__txn_response__descriptor,
        [OPERATION_COMPACT] = &etcdserverpb__compaction_response__descriptor,
        [OPERATION_GRANT] = &etcdserverpb__lease_grant_response__descriptor,
        [OPERATION_REVOKE] = &etcdserverpb__lease_revoke_response__descriptor,
        [OPERATION_KEEP_ALIVE] = &etcdserverpb__lease_keep_alive_response__descriptor,
        [OPERATION_TIME_TO_LIVE] = &etcdserverpb__lease_time_to_live_response__descriptor,
    };
    ProtobufCMessage *typed =
        protobuf_c_message_unpack(types[client->operation], NULL, message.size, message.data);
    if (typed == NULL) {
        return false;
    }
    take_typed(client, typed);
    protobuf_c_message_free_unpacked(typed, NULL);
    return true;
}

/* ---- requests ---- */

static uint32_t pick_key(const struct client *client, char out[KEY_TEXT_BYTES])
{
    uint32_t key = (uint32_t)below(client, client->workload->options.keys);
    snprintf(out, KEY_TEXT_BYTES, "k/%03u", key);
    return key;
}

static void fresh_value(struct client *client, struct buf *out)
{
    buf_printf(out, "v%u-%" PRIu64, client->number, client->values++);
    if (client->workload->options.big_values && below(client, 20) == 0) {
        for (size_t size = below(client, BIG_BYTES); size > 0; size--) {
            buf_append_byte(out, 'x');
        }
    }
}

static ProtobufCBinaryData binary(const struct buf *buf)
{
    return (ProtobufCBinaryData){buf->size, buf->data};
}

static int64_t pick_lease(const struct client *client)
{
    uint32_t known = BASE_MIN(client->lease_count, LEASES_MAX);
    return known == 0 ? 0 : client->leases[below(client, known)];
}

static void do_put(struct client *client)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    char key[KEY_TEXT_BYTES];
    struct buf value;
    buf_init(&value, BUF_NO_LIMIT);
    pick_key(client, key);
    fresh_value(client, &value);
    put.key = data_of(key);
    put.value = binary(&value);
    put.prev_kv = below(client, 5) == 0;
    put.lease = below(client, 6) == 0 ? pick_lease(client) : 0;
    if (below(client, 40) == 0) {
        put.lease = UNKNOWN_LEASE;
    }
    if (below(client, 30) == 0) {
        put.ignore_lease = true;
        put.lease = 0;
    }
    record_put(&client->request, &put);
    client_send(client, OPERATION_PUT, &put.base);
    buf_free(&value);
}

static void do_range(struct client *client, bool is_serializable)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    char key[KEY_TEXT_BYTES];
    uint64_t chance = below(client, 20);
    pick_key(client, key);
    range.key = data_of(key);
    range.serializable = is_serializable;
    if (chance < 3) {
        range.key = range.range_end = everything();
        range.limit = chance == 0 ? (int64_t)below(client, 10) + 1 : 0;
        range.keys_only = chance == 1;
    } else if (chance == 3) {
        range.key = range.range_end = everything();
        range.count_only = true;
    } else if (chance < 6) {
        int64_t revision = client->workload->newest_revision - (int64_t)below(client, HISTORY_BACK);
        range.revision = BASE_MAX(revision, 1);
        if (chance == 4) {
            range.key = range.range_end = everything();
        }
    }
    record_range(&client->request, &range);
    client_send(client, OPERATION_RANGE, &range.base);
}

static void do_delete(struct client *client)
{
    Etcdserverpb__DeleteRangeRequest removal = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    char key[KEY_TEXT_BYTES];
    char end[KEY_TEXT_BYTES];
    uint32_t first = pick_key(client, key);
    removal.key = data_of(key);
    removal.prev_kv = below(client, 2) == 0;
    if (below(client, 5) == 0) {
        snprintf(end, sizeof(end), "k/%03u", first + 4);
        removal.range_end = data_of(end);
    }
    record_delete(&client->request, &removal);
    client_send(client, OPERATION_DELETE, &removal.base);
}

static void set_compare(struct client *client, Etcdserverpb__Compare *compare, uint32_t key)
{
    uint64_t chance = below(client, 8);
    if (chance < 3) {
        compare->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
        compare->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
        compare->mod_revision = client->seen_mod[key];
    } else if (chance < 6) {
        compare->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
        compare->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
        compare->value = data_of(client->seen_value[key]);
    } else {
        compare->target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION;
        compare->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION;
        compare->result = chance == 6 ? ETCDSERVERPB__COMPARE__COMPARE_RESULT__GREATER
                                      : ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL;
        compare->version = 0;
    }
}

/*
 * Compare and swap, then a second key: removed, or written with a lease that is not there, so that
 * the whole must have no effect; a read of both in the branch.
 */
static void do_txn(struct client *client)
{
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    Etcdserverpb__PutRequest puts[2] = {ETCDSERVERPB__PUT_REQUEST__INIT,
                                        ETCDSERVERPB__PUT_REQUEST__INIT};
    Etcdserverpb__DeleteRangeRequest removal = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__RequestOp ops[4] = {
        ETCDSERVERPB__REQUEST_OP__INIT, ETCDSERVERPB__REQUEST_OP__INIT,
        ETCDSERVERPB__REQUEST_OP__INIT, ETCDSERVERPB__REQUEST_OP__INIT};
    Etcdserverpb__RequestOp *success[3] = {&ops[0]};
    Etcdserverpb__RequestOp *failure[2] = {&ops[3]};
    Etcdserverpb__Compare *compares[] = {&compare};
    char key[KEY_TEXT_BYTES];
    char other[KEY_TEXT_BYTES];
    struct buf values[2];
    uint32_t number = pick_key(client, key);
    pick_key(client, other);
    for (int i = 0; i < 2; i++) {
        buf_init(&values[i], BUF_NO_LIMIT);
        fresh_value(client, &values[i]);
        puts[i].value = binary(&values[i]);
    }
    compare.key = puts[0].key = data_of(key);
    set_compare(client, &compare, number);
    removal.key = puts[1].key = data_of(other);
    range.key = range.range_end = everything();
    ops[0].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    ops[0].request_put = &puts[0];
    ops[2].request_case = ops[3].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    ops[2].request_range = ops[3].request_range = &range;
    txn.n_success = 1;
    if (strcmp(key, other) != 0 && below(client, 2) == 0) {
        bool removes = below(client, 2) == 0;
        ops[1].request_case = removes ? ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE
                                      : ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        if (removes) {
            ops[1].request_delete_range = &removal;
        } else {
            puts[1].lease = below(client, 3) == 0 ? UNKNOWN_LEASE : pick_lease(client);
            ops[1].request_put = &puts[1];
        }
        success[txn.n_success++] = &ops[1];
    }
    if (below(client, 3) == 0) {
        success[txn.n_success++] = &ops[2];
    }
    txn.n_compare = below(client, 10) == 0 ? 0 : 1;
    txn.compare = compares;
    txn.success = success;
    txn.n_failure = 1;
    txn.failure = failure;
    record_txn(&client->request, &txn);
    client_send(client, OPERATION_TXN, &txn.base);
    buf_free(&values[0]);
    buf_free(&values[1]);
}

static void do_lease(struct client *client)
{
    int64_t known = pick_lease(client);
    uint64_t chance = known == 0 ? 0 : below(client, 8);
    if (chance < 3) {
        Etcdserverpb__LeaseGrantRequest grant = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
        grant.id = (int64_t)(client->number + 1) * 1000000 + (int64_t)client->values++;
        grant.ttl = TTL_LEAST_S + (int64_t)below(client, 6);
        buf_printf(&client->request, "grant %" PRId64 " %" PRId64, grant.id, grant.ttl);
        client_send(client, OPERATION_GRANT, &grant.base);
    } else if (chance == 3) {
        Etcdserverpb__LeaseRevokeRequest revoke = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
        revoke.id = known;
        buf_printf(&client->request, "revoke %" PRId64, known);
        client_send(client, OPERATION_REVOKE, &revoke.base);
    } else if (chance < 7) {
        Etcdserverpb__LeaseKeepAliveRequest alive = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
        alive.id = known;
        buf_printf(&client->request, "keepalive %" PRId64, known);
        client_send(client, OPERATION_KEEP_ALIVE, &alive.base);
    } else {
        Etcdserverpb__LeaseTimeToLiveRequest left = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
        left.id = known;
        buf_printf(&client->request, "ttl %" PRId64, known);
        client_send(client, OPERATION_TIME_TO_LIVE, &left.base);
    }
}

/* Mostly well behind, so that reads and watches of the past go on; at times up to the newest. */
static void do_compact(struct client *client)
{
    struct workload *workload = client->workload;
    Etcdserverpb__CompactionRequest compaction = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    int64_t lag = below(client, 4) == 0 ? 0 : (int64_t)below(client, COMPACT_LAG);
    compaction.revision = workload->newest_revision - lag;
    workload->compacted = compaction.revision;
    buf_printf(&client->request, "compact %" PRId64, compaction.revision);
    client_send(client, OPERATION_COMPACT, &compaction.base);
}

static void do_last_read(struct client *client)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = range.range_end = everything();
    record_range(&client->request, &range);
    client_send(client, OPERATION_RANGE, &range.base);
}

void operation_begin(struct client *client)
{
    const struct workload_options *options = &client->workload->options;
    uint64_t chance = below(client, 100);
    buf_clear(&client->request);
    buf_clear(&client->answer);
    if (client->phase == CLIENT_LAST_READ) {
        do_last_read(client);
    } else if (client->phase == CLIENT_LAST_PUT || chance < 34) {
        do_put(client);
    } else if (chance < 36 && options->compactions &&
               client->workload->newest_revision > client->workload->compacted + COMPACT_LAG) {
        do_compact(client);
    } else if (chance < 52) {
        do_range(client, false);
    } else if (chance < 62) {
        do_range(client, true);
    } else if (chance < 71) {
        do_delete(client);
    } else if (chance < 90 || !options->leases) {
        do_txn(client);
    } else {
        do_lease(client);
    }
}
