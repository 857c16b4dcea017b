/* SPDX-License-Identifier: Apache-2.0 */
/* A member whose threads are turned by hand. */
#include "tests/crash/member_rig.h"

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/bootstrap.h"
#include "engine/server/rpc.h"
#include "tests/crash/image.h"

#define SEGMENT_BYTES  16384u
#define TURNS_MAX      40
#define SNAPSHOT_COUNT "--snapshot-count=12"
#define CATCHUP        "--snapshot-catchup-entries=4"

static void configure(struct rig *rig, const char *dir)
{
    char program[] = "quorate";
    char quota[] = "--quota-backend-bytes=16777216";
    char count[] = SNAPSHOT_COUNT;
    char catchup[] = CATCHUP;
    char wals[] = "--max-wals=2";
    char snapshots[] = "--max-snapshots=2";
    char level[] = "--log-level=fatal";
    char *data_dir = str_printf("--data-dir=%s/m1", dir);
    char *argv[] = {program, data_dir, quota, count, catchup, wals, snapshots, level};
    struct err err;
    int exit_code;
    ASSERT(config_read((int)ARRAY_COUNT(argv), argv, &rig->config, &exit_code, &err) == CONFIG_RUN);
    mem_free(data_dir);
}

static void timers_stop(struct server *server)
{
    struct loop_timer *timers[] = {&server->tick_timer, &server->batch_timer,
                                   &server->housekeeping_timer, &server->version_timer};
    for (size_t i = 0; i < ARRAY_COUNT(timers); i++) {
        loop_timer_cancel(timers[i]);
    }
}

static int workers_make(struct server *server, struct err *err)
{
    int rc = worker_init(&server->io, "io", err);
    if (rc == 0) {
        rc = worker_init(&server->state, "state", err);
    }
    if (rc == 0) {
        rc = worker_init(&server->wal_worker, "wal", err);
    }
    return rc == 0 ? worker_init(&server->store_worker, "store", err) : rc;
}

static int64_t wall_ns(void *ctx)
{
    (void)ctx;
    return 1700000000000000000; /* request ids come from it: each run writes the same bytes */
}

int rig_open(struct rig *rig, const char *dir, struct err *err)
{
    *rig = (struct rig){.answered = 0};
    configure(rig, dir);
    struct server *server = rig->server = server_new(&rig->config);
    server->io_closed = true; /* there are no ports: what is said to the outside is dropped */
    rig->config.wal_segment_bytes = SEGMENT_BYTES;
    rng_seed(&server->rng, 1);
    rig->clock = *server->clock;
    rig->clock.wall_ns = wall_ns;
    server->clock = &rig->clock;
    int rc = workers_make(server, err);
    if (rc == 0) {
        rc = bootstrap(server, err);
    }
    if (rc != 0) {
        return rc;
    }
    const struct watch_config watch = {.cluster_id = server->cluster_id,
                                       .member_id = server->member_id,
                                       .fragment_bytes = 1024 * 1024,
                                       .seed = 1};
    server->watch_hub = watch_hub_new(&watch, server->mvcc);
    loop_set_turn_end(server->wal_worker.loop, wal_flush_turn, server);
    store_commits_start(server);
    state_start(server);
    timers_stop(server);
    cluster_sync_peers(server);
    effects_run(server);
    if (server->conf_state.voter_count == 1 && server->conf_state.voters[0] == server->member_id) {
        raft_campaign(server->raft);
    }
    rig_run(rig, 6);
    return 0;
}

static void stop_now(void *ctx)
{
    loop_stop(ctx);
}

static void turn(struct worker *worker)
{
    loop_post(worker->loop, stop_now, worker->loop);
    loop_run(worker->loop);
}

void rig_run(struct rig *rig, int turns)
{
    for (int i = 0; i < turns; i++) {
        turn(&rig->server->state);
        turn(&rig->server->wal_worker);
        turn(&rig->server->store_worker);
        turn(&rig->server->io);
    }
}

void rig_close(struct rig *rig)
{
    struct server *server = rig->server;
    if (server != NULL) {
        if (server->raft != NULL) {
            state_end(server);
            rig_run(rig, 3);
        }
        server_free(server);
    }
    config_free(&rig->config);
    *rig = (struct rig){.answered = 0};
}

/* ---- requests ---- */

static void on_done(struct server *server, struct request *request, enum etcd_error error)
{
    struct rig *rig = request->user;
    (void)server;
    rig->answered++;
    rig->succeeded += error == ETCD_OK ? 1 : 0;
}

/* A copy of message as a client would have sent it; then turns until it is answered. */
static bool request_run(struct rig *rig, const ProtobufCMessage *message, request_fn rpc)
{
    struct request *request = request_internal(on_done);
    struct buf packed;
    uint32_t answered = rig->answered;
    uint32_t succeeded = rig->succeeded;
    arena_free(&request->arena);
    arena_init(&request->arena, BUF_NO_LIMIT);
    buf_init(&packed, BUF_NO_LIMIT);
    ASSERT(proto_pack_append(message, &packed) == 0);
    request->wire = arena_copy(&request->arena, buf_bytes(&packed));
    ASSERT(proto_unpack(message->descriptor, request->wire, &request->arena, &request->message) ==
           0);
    buf_free(&packed);
    request->user = rig;
    rpc(rig->server, request);
    for (int i = 0; i < TURNS_MAX && rig->answered == answered; i++) {
        rig_run(rig, 1);
    }
    return rig->succeeded == succeeded + 1;
}

bool rig_put(struct rig *rig, const char *key, size_t value_bytes, int64_t lease)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    uint8_t *value = mem_alloc(value_bytes + 1);
    memset(value, 'v', value_bytes);
    put.key = proto_binary(bytes_of_str(key));
    put.value = proto_binary(bytes_of(value, value_bytes));
    put.lease = lease;
    bool done = request_run(rig, &put.base, rpc_put);
    mem_free(value);
    return done;
}

bool rig_delete(struct rig *rig, const char *key)
{
    Etcdserverpb__DeleteRangeRequest range = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    range.key = proto_binary(bytes_of_str(key));
    return request_run(rig, &range.base, rpc_delete_range);
}

bool rig_txn(struct rig *rig, const char *put_key, const char *delete_key)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__DeleteRangeRequest range = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    Etcdserverpb__RequestOp first = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__RequestOp second = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__RequestOp *ops[] = {&first, &second};
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    put.key = proto_binary(bytes_of_str(put_key));
    put.value = proto_binary(bytes_of_str("of a transaction"));
    range.key = proto_binary(bytes_of_str(delete_key));
    first.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    first.request_put = &put;
    second.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    second.request_delete_range = &range;
    txn.success = ops;
    txn.n_success = ARRAY_COUNT(ops);
    return request_run(rig, &txn.base, rpc_txn);
}

bool rig_grant(struct rig *rig, int64_t id)
{
    Etcdserverpb__LeaseGrantRequest grant = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    grant.id = id;
    grant.ttl = 100000;
    return request_run(rig, &grant.base, rpc_lease_grant);
}

bool rig_revoke(struct rig *rig, int64_t id)
{
    Etcdserverpb__LeaseRevokeRequest revoke = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    revoke.id = id;
    return request_run(rig, &revoke.base, rpc_lease_revoke);
}

bool rig_compact(struct rig *rig, int64_t revision)
{
    Etcdserverpb__CompactionRequest compact = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    compact.revision = revision;
    return request_run(rig, &compact.base, rpc_compact);
}

bool rig_add_learner(struct rig *rig, const char *peer_url)
{
    Etcdserverpb__MemberAddRequest add = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
    char *url = str_dup(peer_url);
    add.peerurls = &url;
    add.n_peerurls = 1;
    add.islearner = true;
    bool done = request_run(rig, &add.base, rpc_member_add);
    mem_free(url);
    return done;
}

void rig_commit(struct rig *rig)
{
    batch_maybe_cut(rig->server, true);
    rig_run(rig, 4);
}

uint64_t rig_digest(struct rig *rig)
{
    struct server *server = rig->server;
    struct mvcc_hash hash;
    struct arena arena;
    struct buf all;
    int64_t *leases;
    size_t count;
    buf_init(&all, BUF_NO_LIMIT);
    arena_init(&arena, BUF_NO_LIMIT);
    ASSERT(mvcc_hash_kv(server->mvcc, 0, &hash) == 0);
    mvcc_release(server->mvcc);
    lessor_list(server->lessor, &arena, &leases, &count);
    uint64_t sum = 0; /* in any order: who ends first depends on the time */
    for (size_t i = 0; i < count; i++) {
        sum += bytes_hash(7, &leases[i], sizeof(leases[i]));
    }
    buf_printf(&all, "%x %lld %lld %llx %zu|", hash.hash, (long long)mvcc_revision(server->mvcc),
               (long long)mvcc_compact_revision(server->mvcc), (unsigned long long)sum,
               membership_count(server->membership));
    for (size_t i = 0; i < membership_count(server->membership); i++) {
        buf_printf(&all, " %llx", (unsigned long long)membership_at(server->membership, i)->id);
    }
    uint64_t digest = bytes_hash(server->cluster_id, all.data, all.size);
    buf_free(&all);
    arena_free(&arena);
    return digest;
}
