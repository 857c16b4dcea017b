/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state machine: one committed entry after the other changes the key space, leases, alarms and
 * membership, the same way on every member. Nothing here may depend on clocks, on chance or on what
 * only this member knows; time is used for when a lease will end on a leader, never for what is
 * stored.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/plant.h"
#include "engine/server/authz.h"
#include "engine/server/corrupt.h"
#include "engine/server/metrics.h"
#include "engine/server/rpc.h"

/* What applying gave: an error, or a response body that the header is appended to. */
struct apply_result {
    enum etcd_error error;
    struct buf body;
    int64_t revision;
    bool wait_compaction;
};

/* The store cannot be read, or does not hold what the index says: going on would spread the damage.
 */
static void check_store(struct server *server, int rc)
{
    if (rc < 0) {
        server_fatal(server, "failed to read the key space", err_code_text(rc));
    }
}

static void pack_body(const ProtobufCMessage *message, struct apply_result *out)
{
    (void)proto_pack_append(message, &out->body); /* no limit: cannot fail */
}

/* Puts cost space: with the alarm raised they are refused until somebody compacts and disarms. */
static bool txn_has_puts(const Etcdserverpb__TxnRequest *txn)
{
    for (size_t side = 0; side < 2; side++) {
        size_t count = side == 0 ? txn->n_success : txn->n_failure;
        Etcdserverpb__RequestOp **ops = side == 0 ? txn->success : txn->failure;
        for (size_t i = 0; i < count; i++) {
            if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT ||
                (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN &&
                 txn_has_puts(ops[i]->request_txn))) {
                return true;
            }
        }
    }
    return false;
}

/* The alarms are part of the replicated state, so every member refuses the same entries. */
static enum etcd_error refused_by_alarm(const struct server *server,
                                        const Etcdserverpb__InternalRaftRequest *entry)
{
    if (alarms_any(&server->alarms, ETCDSERVERPB__ALARM_TYPE__CORRUPT) &&
        (entry->put || entry->delete_range || entry->txn || entry->compaction ||
         entry->lease_grant || entry->lease_revoke)) {
        return ETCD_ERR_CORRUPT;
    }
    if (alarms_any(&server->alarms, ETCDSERVERPB__ALARM_TYPE__NOSPACE) &&
        (entry->put || (entry->txn && txn_has_puts(entry->txn)) || entry->lease_grant)) {
        return ETCD_ERR_NO_SPACE;
    }
    return ETCD_OK;
}

/* Again, and in the order of the log: users may have changed since the entry was proposed. */
static enum etcd_error refused_by_rights(const struct server *server,
                                         const Etcdserverpb__InternalRaftRequest *entry)
{
    struct authz authz = {.auth = server->auth, .lessor = server->lessor, .who = {.name = ""}};
    if (entry->header != NULL) {
        authz.who = (struct auth_who){entry->header->username, entry->header->auth_revision};
    }
    return authz_entry(&authz, entry);
}

static int apply_kv(struct server *server, const Etcdserverpb__InternalRaftRequest *entry,
                    struct apply_result *out)
{
    struct kv_env env;
    kv_env_fill(server, &env);
    if (PLANT(apply_reads_clock) && server_now_ms(server) % 64 == 0) {
        return ETCD_ERR_NO_SPACE;
    }
    if (entry->put) {
        metric_add(&METRIC_PUT_TOTAL, 1);
        return kv_put(&env, server->batch, entry->put, &out->body, &out->revision);
    }
    if (entry->delete_range) {
        metric_add(&METRIC_DELETE_TOTAL, 1);
        return kv_delete_range(&env, server->batch, entry->delete_range, &out->body,
                               &out->revision);
    }
    metric_add(&METRIC_TXN_TOTAL, 1);
    return kv_txn(&env, server->batch, entry->txn, &out->body, &out->revision);
}

static void apply_compaction(struct server *server, const Etcdserverpb__CompactionRequest *request,
                             struct apply_result *out)
{
    struct kv_env env;
    kv_env_fill(server, &env);
    corruption_before_compaction(server, request->revision);
    int rc = kv_compact(&env, server->batch, request->revision, &out->revision);
    check_store(server, rc);
    corruption_after_compaction(server, rc == 0);
    server->compaction_began_ms = server_now_ms(server);
    out->error = (enum etcd_error)rc;
    /* Revision 0 is compacted as soon as it is said: there is no work to wait for. */
    out->wait_compaction = rc == 0 && request->physical && mvcc_compacting(server->mvcc);
}

static void apply_lease_grant(struct server *server, const Etcdserverpb__LeaseGrantRequest *request,
                              struct apply_result *out)
{
    Etcdserverpb__LeaseGrantResponse response = ETCDSERVERPB__LEASE_GRANT_RESPONSE__INIT;
    out->error = lessor_grant(server->lessor, request->id, request->ttl,
                              server_lease_now_ms(server), server->batch, &response.ttl);
    if (out->error == ETCD_OK) {
        metric_add(&METRIC_LEASE_GRANTED, 1);
        metric_observe(&METRIC_LEASE_TTL, (uint64_t)response.ttl * 1000000000u);
        response.id = request->id;
        pack_body(&response.base, out);
    }
}

/* The keys go in one transaction, in their order, so that every member gives them the same
 * revisions. */
static void apply_lease_revoke(struct server *server, int64_t id, struct apply_result *out)
{
    struct arena arena;
    struct bytes *keys;
    size_t count;
    arena_init(&arena, BUF_NO_LIMIT);
    out->error = lessor_keys(server->lessor, id, &arena, &keys, &count);
    if (out->error == ETCD_OK) {
        mvcc_txn_begin(server->mvcc, server->batch);
        for (size_t i = 0; i < count; i++) {
            struct key_span span = key_span_of(keys[i], (struct bytes){NULL, 0});
            (void)mvcc_txn_delete(server->mvcc, &span);
        }
        (void)mvcc_txn_end(server->mvcc);
        out->error = lessor_revoke(server->lessor, id, server->batch);
        metric_add(&METRIC_LEASE_REVOKED, 1);
        streams_on_revoked(server, id);
    }
    arena_free(&arena);
}

static void apply_lease_checkpoint(struct server *server,
                                   const Etcdserverpb__LeaseCheckpointRequest *request)
{
    for (size_t i = 0; i < request->n_checkpoints; i++) {
        lessor_checkpoint(server->lessor, request->checkpoints[i]->id,
                          request->checkpoints[i]->remaining_ttl, server_lease_now_ms(server),
                          server->batch);
    }
}

static void apply_alarm(struct server *server, const Etcdserverpb__AlarmRequest *request,
                        struct apply_result *out)
{
    Etcdserverpb__AlarmResponse response = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    Etcdserverpb__AlarmMember members[ALARMS_MAX];
    Etcdserverpb__AlarmMember *pointers[ALARMS_MAX];
    struct alarm named = {request->memberid, (int)request->alarm};
    response.alarms = pointers;
    if (request->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET) {
        for (uint32_t i = 0; i < server->alarms.count; i++) {
            struct alarm alarm = server->alarms.items[i];
            if (named.kind == ETCDSERVERPB__ALARM_TYPE__NONE || named.kind == alarm.kind) {
                etcdserverpb__alarm_member__init(&members[response.n_alarms]);
                members[response.n_alarms].memberid = alarm.member_id;
                members[response.n_alarms].alarm = (Etcdserverpb__AlarmType)alarm.kind;
                pointers[response.n_alarms] = &members[response.n_alarms];
                response.n_alarms++;
            }
        }
    } else if (named.kind != ETCDSERVERPB__ALARM_TYPE__NONE) {
        bool activate = request->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
        bool changed = activate ? alarms_activate(&server->alarms, named, server->batch)
                                : alarms_deactivate(&server->alarms, named, server->batch);
        if (changed || (activate && alarms_has(&server->alarms, named))) {
            etcdserverpb__alarm_member__init(&members[0]);
            members[0].memberid = named.member_id;
            members[0].alarm = (Etcdserverpb__AlarmType)named.kind;
            pointers[response.n_alarms++] = &members[0];
        }
        if (changed) {
            LOG_WARN(activate ? "alarm raised" : "alarm disarmed",
                     LOG_STR("alarm", alarm_name(named.kind)), LOG_HEX("from", named.member_id));
        }
    }
    pack_body(&response.base, out);
}

static void apply_request(struct server *server, const Etcdserverpb__InternalRaftRequest *entry,
                          struct apply_result *out)
{
    out->error = refused_by_alarm(server, entry);
    if (out->error == ETCD_OK) {
        out->error = refused_by_rights(server, entry);
    }
    if (out->error != ETCD_OK || apply_auth(server, entry, &out->error, &out->body)) {
        return;
    }
    if (entry->put || entry->delete_range || entry->txn) {
        int rc = apply_kv(server, entry, out);
        check_store(server, rc);
        out->error = (enum etcd_error)rc;
    } else if (entry->compaction) {
        apply_compaction(server, entry->compaction, out);
    } else if (entry->lease_grant) {
        apply_lease_grant(server, entry->lease_grant, out);
    } else if (entry->lease_revoke) {
        apply_lease_revoke(server, entry->lease_revoke->id, out);
    } else if (entry->lease_checkpoint) {
        apply_lease_checkpoint(server, entry->lease_checkpoint);
    } else if (entry->alarm) {
        apply_alarm(server, entry->alarm, out);
    } else if (entry->cluster_version_set) {
        apply_cluster_version(server, entry->cluster_version_set->ver);
    } else if (entry->cluster_member_attr_set) {
        apply_member_attributes(server, entry->cluster_member_attr_set);
    } else if (entry->v2) {
        apply_v2_request(server, entry->v2);
    } else if (entry->downgrade_info_set) {
        apply_downgrade(server, entry->downgrade_info_set);
    } else if (entry->downgrade_version_test || entry->range) {
        LOG_DEBUG("applied an entry that changes nothing here",
                  LOG_U64("index", server->applied_index + 1));
    } else {
        server_fatal(
            server, "the log holds a request that this version cannot apply",
            "it was written by a newer member; going on would make this member differ from the "
            "others");
    }
}

/* A client that has not taken earlier answers does not get another large one on top; it was told
 * nothing false: the change is made, as after any error whose outcome is unknown. */
static bool answer_fits(const struct server *server, const struct request *request,
                        const struct buf *body)
{
    return body->size <= ANSWERS_BYTES_SHARE || answers_have_room(server, request->held);
}

static void answer(struct server *server, uint64_t id, struct apply_result *result)
{
    struct request *request = waiter_take(server, id);
    if (request == NULL) {
        buf_free(&result->body);
        return;
    }
    request->authorized = true; /* by the row of its entry */
    if (result->error == ETCD_OK && rpc_auth_is_stale(server, request)) {
        buf_free(&result->body);
        rpc_authenticate(server, request);
    } else if (result->error != ETCD_OK) {
        buf_free(&result->body);
        request_fail(server, request, result->error);
    } else if (result->body.overflowed || !answer_fits(server, request, &result->body)) {
        const char *text = result->body.overflowed ? ANSWER_TOO_LARGE : ANSWERS_NOT_TAKEN;
        buf_free(&result->body);
        request_fail_text(server, request, GRPC_RESOURCE_EXHAUSTED, text);
    } else if (result->wait_compaction) {
        buf_free(&result->body);
        request_arm_deadline(server, request);
        list_append(&server->compaction_waiters, &request->link);
    } else {
        int64_t revision = result->revision != 0 ? result->revision : mvcc_revision(server->mvcc);
        request_reply(server, request, &result->body, revision);
    }
}

/* Members up to etcd 3.5 publish themselves and the cluster version by a v2 request with nothing
 * around it. It never parses as the other form: its method is text where a message would be. */
static void apply_bare_v2(struct server *server, struct bytes data)
{
    struct arena arena;
    Etcdserverpb__Request *request;
    arena_init(&arena, proto_arena_limit(data.size));
    int rc = PROTO_UNPACK(etcdserverpb__request, data, &arena, &request);
    if (rc != 0) {
        server_fatal(server, "the log holds an entry that is no request", err_code_text(rc));
    }
    apply_v2_request(server, request);
    arena_free(&arena);
}

/* What etcd calls it in its metrics; NULL: it is not counted there. */
static const char *op_name(const Etcdserverpb__InternalRaftRequest *entry)
{
    return entry->put                       ? "Put"
           : entry->txn                     ? "Txn"
           : entry->delete_range            ? "DeleteRange"
           : entry->compaction              ? "Compaction"
           : entry->lease_grant             ? "LeaseGrant"
           : entry->lease_revoke            ? "LeaseRevoke"
           : entry->lease_checkpoint        ? "LeaseCheckpoint"
           : entry->alarm                   ? "Alarm"
           : entry->cluster_version_set     ? "ClusterVersionSet"
           : entry->cluster_member_attr_set ? "ClusterMemberAttrSet"
           : entry->downgrade_info_set      ? "DowngradeInfoSet"
                                            : NULL;
}

static void warn_of_slow_apply(const struct server *server, const char *op, size_t bytes,
                               uint64_t took_ns)
{
    const uint64_t limit_ns = (uint64_t)server->config->warning_apply_ms * NS_PER_MS;
    if (server->config->warning_apply_ms > 0 && took_ns > limit_ns) {
        LOG_WARN("apply request took too long", LOG_DURATION("took", took_ns),
                 LOG_DURATION("expected-duration", limit_ns),
                 LOG_STR("request", op == NULL ? "other" : op), LOG_U64("request-size", bytes));
    }
}

static void apply_normal(struct server *server, struct bytes data)
{
    struct arena arena;
    Etcdserverpb__InternalRaftRequest *entry;
    arena_init(&arena, proto_arena_limit(data.size));
    int rc = PROTO_UNPACK(etcdserverpb__internal_raft_request, data, &arena, &entry);
    if (rc != 0) {
        arena_free(&arena);
        apply_bare_v2(server, data);
        return;
    }
    struct apply_result result = {.error = ETCD_OK};
    buf_init(&result.body, ANSWER_BYTES_MAX);
    uint64_t start = server->clock->monotonic_ns(server->clock->ctx);
    apply_request(server, entry, &result);
    const char *op = op_name(entry);
    uint64_t took_ns = server->clock->monotonic_ns(server->clock->ctx) - start;
    if (op != NULL) {
        metrics_observe_apply(op, result.error == ETCD_OK, took_ns);
    }
    warn_of_slow_apply(server, op, data.size, took_ns);
    uint64_t id = entry->header != NULL ? entry->header->id : entry->id;
    answer(server, id, &result);
    arena_free(&arena);
}

void apply_entry(struct server *server, const struct raft_entry *entry)
{
    ASSERT(entry->index == server->applied_index + 1);
    auth_save_first(server->auth, server->batch);
    struct bytes data = raft_entry_bytes(entry);
    if (entry->type == RAFT_ENTRY_CONF_CHANGE) {
        apply_conf_change(server, entry->index, data);
    } else if (entry->type == RAFT_ENTRY_CONF_CHANGE_V2) {
        server_fatal(server, "the log holds a joint configuration change",
                     "etcd never writes one; this member cannot go on with this log");
    } else if (data.size > 0) {
        apply_normal(server, data);
    }
    server->applied_index = entry->index;
    server->applied_term = entry->term;
}
