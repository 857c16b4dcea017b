/* SPDX-License-Identifier: Apache-2.0 */
/* Maintenance and health: what this member says of itself, alarms, hashes, moving the leader. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/corrupt.h"
#include "engine/server/metrics.h"
#include "engine/server/rpc.h"
#include "health.pb-c.h"

#define FIELD_ALARM       10u
#define STATUS_ERRORS_MAX 16u

static int64_t quota_of(const struct server *server)
{
    int64_t quota = server->config->quota_backend_bytes;
    return quota == 0 ? CONFIG_QUOTA_DEFAULT : quota < 0 ? 0 : quota;
}

void rpc_status(struct server *server, struct request *request)
{
    Etcdserverpb__StatusResponse response = ETCDSERVERPB__STATUS_RESPONSE__INIT;
    Etcdserverpb__DowngradeInfo downgrade = ETCDSERVERPB__DOWNGRADE_INFO__INIT;
    Etcdserverpb__ResponseHeader header;
    struct raft_status status;
    const char *decided = membership_version(server->membership);
    char texts[STATUS_ERRORS_MAX][96];
    char *errors[STATUS_ERRORS_MAX];
    raft_status(server->raft, &status);
    header_of(server, mvcc_revision(server->mvcc), &header);
    response.header = &header;
    response.version = (char *)(uintptr_t)SERVER_VERSION;
    response.dbsize = (int64_t)server->store_file_bytes;
    response.dbsizeinuse = (int64_t)server->store_used_bytes;
    response.leader = status.leader;
    response.raftindex = status.commit_index;
    response.raftterm = status.term;
    response.raftappliedindex = server->applied_index;
    response.islearner = atomic_load(&server->shared.is_learner);
    /* etcd's store follows the cluster version, and clients read it from here. */
    response.storageversion = (char *)(uintptr_t)(decided == NULL ? "" : decided);
    response.dbsizequota = quota_of(server);
    downgrade.enabled = membership_downgrade_is_enabled(server->membership);
    downgrade.targetversion = (char *)(uintptr_t)membership_downgrade_target(server->membership);
    response.downgradeinfo = &downgrade;
    response.errors = errors;
    if (status.leader == RAFT_NO_ID) {
        snprintf(texts[0], sizeof(texts[0]), "%s", etcd_error_text(ETCD_ERR_NO_LEADER));
        errors[response.n_errors++] = texts[0];
    }
    for (uint32_t i = 0; i < server->alarms.count && response.n_errors < STATUS_ERRORS_MAX; i++) {
        snprintf(texts[response.n_errors], sizeof(texts[0]), "memberID:%llu alarm:%s ",
                 (unsigned long long)server->alarms.items[i].member_id,
                 alarm_name(server->alarms.items[i].kind));
        errors[response.n_errors] = texts[response.n_errors];
        response.n_errors++;
    }
    request_reply_message(server, request, &response.base);
}

void rpc_alarm(struct server *server, struct request *request)
{
    propose_field(server, request, FIELD_ALARM, request->wire);
}

/* ---- HashKV, in slices between other work ---- */

struct hash_job {
    struct server *server;
    struct request *request;
    struct mvcc_hash hash;
    uint64_t generation; /* of the store that it began in */
    uint64_t start_ns;
};

/* As Go writes the message; /members/hashkv is how members look for corruption. */
static void hash_reply_peer(struct server *server, struct request *request,
                            const struct key_hash *hash)
{
    Etcdserverpb__ResponseHeader header;
    struct buf body;
    header_of(server, mvcc_revision(server->mvcc), &header);
    buf_init(&body, BUF_NO_LIMIT);
    buf_printf(&body,
               "{\"header\":{\"cluster_id\":%" PRIu64 ",\"member_id\":%" PRIu64
               ",\"revision\":%" PRId64 ",\"raft_term\":%" PRIu64 "},\"hash\":%" PRIu32
               ",\"compact_revision\":%" PRId64 ",\"hash_revision\":%" PRId64 "}",
               header.cluster_id, header.member_id, header.revision, header.raft_term, hash->hash,
               hash->compact_revision, hash->revision);
    request_reply_plain(server, request, &body);
}

static void hash_reply(struct server *server, struct request *request, const struct key_hash *hash)
{
    if (request->origin == REQUEST_PEER_HTTP) {
        hash_reply_peer(server, request, hash);
        return;
    }
    Etcdserverpb__HashKVResponse response = ETCDSERVERPB__HASH_KVRESPONSE__INIT;
    Etcdserverpb__ResponseHeader header;
    header_of(server, mvcc_revision(server->mvcc), &header);
    response.header = &header;
    response.hash = hash->hash;
    response.compact_revision = hash->compact_revision;
    response.hash_revision = hash->revision;
    request_reply_message(server, request, &response.base);
}

static void hash_answer(struct hash_job *job)
{
    const struct key_hash hash = {job->hash.hash, job->hash.hash_revision,
                                  job->hash.compact_revision};
    mvcc_hash_end(job->server->mvcc, &job->hash);
    metric_observe(&METRIC_HASH_REV_SECONDS,
                   job->server->clock->monotonic_ns(job->server->clock->ctx) - job->start_ns);
    hash_reply(job->server, job->request, &hash);
    mem_free(job);
}

/* What a compaction has trimmed cannot be hashed again: its hash was kept. */
static bool hash_answer_kept(struct server *server, struct request *request, int64_t revision)
{
    const struct key_hash *kept = corruption_kept(server, revision);
    if (kept != NULL) {
        hash_reply(server, request, kept);
    }
    return kept != NULL;
}

static void hash_slice(void *ctx)
{
    struct hash_job *job = ctx;
    struct server *server = job->server;
    if (server->ended) {
        if (job->generation == server->store_generation) {
            mvcc_hash_end(server->mvcc, &job->hash);
        }
        request_fail(server, job->request, ETCD_ERR_STOPPED);
        mem_free(job);
        return;
    }
    if (job->generation != server->store_generation) {
        /* A snapshot took the key space's place, and the pin with it: begin again there. */
        struct request *request = job->request;
        mem_free(job);
        rpc_hash_kv(server, request);
        return;
    }
    int rc = mvcc_hash_slice(server->mvcc, &job->hash, HASH_RECORDS_PER_SLICE);
    mvcc_release(server->mvcc);
    if (rc != 0) {
        server_fatal(server, "failed to read the key space", err_code_text(rc));
    }
    if (job->hash.done) {
        hash_answer(job);
    } else {
        loop_post(server->state.loop, hash_slice, job);
    }
}

void rpc_hash_kv(struct server *server, struct request *request)
{
    int64_t revision = ((const Etcdserverpb__HashKVRequest *)request->message)->revision;
    struct mvcc_hash hash;
    if (hash_answer_kept(server, request, revision)) {
        return;
    }
    int rc = mvcc_hash_begin(server->mvcc, revision, &hash);
    if (rc != 0) {
        request_fail(server, request, rc == E_FUTURE ? ETCD_ERR_FUTURE_REV : ETCD_ERR_COMPACTED);
        return;
    }
    struct hash_job *job = mem_zalloc(sizeof(*job));
    job->server = server;
    job->request = request;
    job->hash = hash;
    job->generation = server->store_generation;
    job->start_ns = server->clock->monotonic_ns(server->clock->ctx);
    hash_slice(job);
}

/* ---- defragmentation: a copy without free pages takes the place of the file ---- */

struct defragment_job {
    struct server *server;
    struct request *request;
    int code;
    uint64_t start_ns;
    struct err err;
};

static void defragment_done(void *ctx)
{
    struct defragment_job *job = ctx;
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    metric_set(&METRIC_DEFRAG_INFLIGHT, 0);
    job->server->defragmenting--;
    metric_observe(&METRIC_DEFRAG_SECONDS,
                   job->server->clock->monotonic_ns(job->server->clock->ctx) - job->start_ns);
    if (job->code != 0) {
        LOG_WARN("failed to defragment", LOG_STR("error", job->err.text));
        request_fail_text(job->server, job->request, GRPC_UNKNOWN, job->err.text);
    } else {
        LOG_INFO("finished defragmenting directory");
        request_reply_plain(job->server, job->request, &body); /* etcd gives no header here */
    }
    mem_free(job);
}

/* Store thread: no commit runs meanwhile; reads and applying go on. */
static void store_defragment(void *ctx)
{
    struct defragment_job *job = ctx;
    job->code = lmdb_store_defragment(job->server->lmdb, &job->err);
    loop_post(job->server->state.loop, defragment_done, job);
}

void rpc_defragment(struct server *server, struct request *request)
{
    if (server->installing) {
        /* The store is about to be replaced; its file must not be in other hands then. */
        request_fail_text(server, request, GRPC_UNAVAILABLE,
                          "etcdserver: a snapshot is being installed, try again later");
        return;
    }
    struct defragment_job *job = mem_zalloc(sizeof(*job));
    job->server = server;
    job->request = request;
    job->start_ns = server->clock->monotonic_ns(server->clock->ctx);
    metric_set(&METRIC_DEFRAG_INFLIGHT, 1);
    server->defragmenting++;
    loop_post(server->store_worker.loop, store_defragment, job);
}

/* ---- moving the leader ---- */

void rpc_move_leader(struct server *server, struct request *request)
{
    uint64_t target = ((const Etcdserverpb__MoveLeaderRequest *)request->message)->targetid;
    const struct member *member = membership_find(server->membership, target);
    if (!atomic_load(&server->shared.is_leader)) {
        request_fail(server, request, ETCD_ERR_NOT_LEADER);
    } else if (member == NULL || member->is_learner) {
        request_fail(server, request, ETCD_ERR_BAD_LEADER_TRANSFEREE);
    } else {
        LOG_INFO("leadership transfer starting", LOG_HEX("transferee-member-id", target));
        request->number = target;
        request_arm_deadline(server, request);
        list_append(&server->transfer_waiters, &request->link);
        raft_transfer_leader(server->raft, target);
        transfer_check(server);
    }
}

void transfer_check(struct server *server)
{
    LIST_EACH_SAFE(it, &server->transfer_waiters)
    {
        struct request *request = LIST_ENTRY(it, struct request, link);
        if (atomic_load(&server->shared.leader) == request->number) {
            struct buf body;
            buf_init(&body, BUF_NO_LIMIT);
            request_reply_plain(server, request, &body); /* nil header, as etcd */
        }
    }
}

/* ---- grpc.health.v1 ---- */

/* Calls are served while the store is defragmented; a gate lets clients go elsewhere even so. */
static Grpc__Health__V1__HealthCheckResponse__ServingStatus
health_status(const struct server *server)
{
    return server->defragmenting > 0 && server->config->features[FEATURE_STOP_GRPC_ON_DEFRAG]
               ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
               : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
}

void rpc_health_check(struct server *server, struct request *request)
{
    const Grpc__Health__V1__HealthCheckRequest *asked =
        (const Grpc__Health__V1__HealthCheckRequest *)request->message;
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    if (asked->service != NULL && asked->service[0] != '\0') {
        request_fail_text(server, request, GRPC_NOT_FOUND, "unknown service");
        return;
    }
    response.status = health_status(server);
    request_reply_message(server, request, &response.base);
}

void rpc_health_list(struct server *server, struct request *request)
{
    Grpc__Health__V1__HealthListResponse response = GRPC__HEALTH__V1__HEALTH_LIST_RESPONSE__INIT;
    Grpc__Health__V1__HealthListResponse__StatusesEntry entry =
        GRPC__HEALTH__V1__HEALTH_LIST_RESPONSE__STATUSES_ENTRY__INIT;
    Grpc__Health__V1__HealthListResponse__StatusesEntry *entries[] = {&entry};
    Grpc__Health__V1__HealthCheckResponse serving = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    serving.status = health_status(server);
    entry.value = &serving; /* of the server as a whole, whose name is "" */
    response.statuses = entries;
    response.n_statuses = 1;
    request_reply_message(server, request, &response.base);
}
