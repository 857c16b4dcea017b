/* SPDX-License-Identifier: Apache-2.0 */
/* What administrators do at the worst moment: move the leader, compact, defragment, take snapshots,
 * ask for hashes. */
#include <inttypes.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "engine/proto/rpc.pb-c.h"
#include "engine/server/internal.h"
#include "tests/sim/faults/nemesis_internal.h"

#define CALL_NS      UINT64_C(5000000000)
#define SNAPSHOT_NS  UINT64_C(30000000000)
#define ADMIN_CLIENT 90u
#define COMPACT_LAG  30u
#define HASH_BACK    4u
#define BOLT_PAGE    4096u

static void ignore(void *ctx, const struct sim_answer *answer)
{
    (void)ctx;
    sim_trace((uint64_t)answer->code);
}

static void call(int node, const char *method, const ProtobufCMessage *message, uint64_t timeout_ns,
                 sim_answer_fn fn, void *ctx)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = mem_alloc(size + 1);
    protobuf_c_message_pack(message, packed);
    (void)sim_call(node, method, bytes_of(packed, size), timeout_ns, fn, ctx);
    mem_free(packed);
}

/* ---- the leader ---- */

static bool move_leader(struct rng *rng)
{
    Etcdserverpb__MoveLeaderRequest request = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
    int leader = members_leader();
    int target = members_pick_running(rng);
    if (leader == SIM_NOBODY || target == leader) {
        return false;
    }
    request.targetid = sim_node_server(target)->member_id;
    call(leader, "/etcdserverpb.Maintenance/MoveLeader", &request.base, CALL_NS, ignore, NULL);
    return true;
}

/* ---- compaction: part of the history, since reads of the past depend on it ---- */

struct compaction {
    int64_t revision;
    uint64_t invoke_ns;
};

static void on_compacted(void *ctx, const struct sim_answer *answer)
{
    struct compaction *compaction = ctx;
    struct history_request request = {.kind = HISTORY_COMPACT, .revision = compaction->revision};
    struct history_response response = {0};
    struct history_op op = {
        .invoke_ns = compaction->invoke_ns,
        .return_ns = sim_now_ns(),
        .client = ADMIN_CLIENT,
        .outcome = HISTORY_UNKNOWN,
        .request = &request,
    };
    if (answer->code == GRPC_OK) {
        Etcdserverpb__CompactionResponse *said =
            etcdserverpb__compaction_response__unpack(NULL, answer->body.size, answer->body.data);
        op.outcome = HISTORY_OK;
        op.response = &response;
        if (said != NULL && said->header != NULL) {
            op.member = said->header->member_id;
            op.term = said->header->raft_term;
            op.revision = said->header->revision;
        }
        etcdserverpb__compaction_response__free_unpacked(said, NULL);
    } else if (answer->code == GRPC_OUT_OF_RANGE) {
        op.outcome = HISTORY_FAILED;
        op.error = strstr(answer->text, "compacted") != NULL ? HISTORY_ERROR_COMPACTED
                                                             : HISTORY_ERROR_FUTURE;
    }
    history_add_op(nemesis.history, &op);
    mem_free(compaction);
}

static bool compact(struct rng *rng)
{
    Etcdserverpb__CompactionRequest request = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    int node = members_pick_running(rng);
    int64_t revision = workload_revision(nemesis.workload) - (int64_t)rng_below(rng, COMPACT_LAG);
    if (node == SIM_NOBODY || revision < 1) {
        return false;
    }
    struct compaction *compaction = mem_zalloc(sizeof(*compaction));
    compaction->revision = request.revision = revision;
    compaction->invoke_ns = sim_now_ns();
    request.physical = rng_below(rng, 2) == 0;
    call(node, "/etcdserverpb.KV/Compact", &request.base, CALL_NS, on_compacted, compaction);
    return true;
}

/* ---- snapshots ---- */

/* One that a client is saving. */
struct saving {
    struct buf bytes;
    uint64_t invoke_ns;
};

/* Pages of the file, then its SHA-256. One that ended well must be whole. */
static bool check_snapshot(const struct buf *bytes)
{
    uint8_t sum[SHA256_DIGEST_LENGTH];
    if (bytes->size < 2 * BOLT_PAGE + sizeof(sum) || (bytes->size - sizeof(sum)) % BOLT_PAGE != 0) {
        sim_violation("snapshot", "a snapshot of %zu bytes is no file of pages", bytes->size);
        return false;
    }
    SHA256(bytes->data, bytes->size - sizeof(sum), sum);
    if (memcmp(sum, bytes->data + bytes->size - sizeof(sum), sizeof(sum)) != 0) {
        sim_violation("snapshot", "a snapshot's checksum is not that of its pages");
        return false;
    }
    return true;
}

static void keep(struct saving *saving)
{
    buf_free(&nemesis.saved.bytes);
    nemesis.saved = (struct nemesis_saved){
        .invoke_ns = saving->invoke_ns,
        .return_ns = sim_now_ns(),
    };
    nemesis.saved.bytes = saving->bytes;
    buf_init(&saving->bytes, BUF_NO_LIMIT);
}

bool nemesis_take_saved(struct nemesis_saved *out)
{
    if (nemesis.saved.bytes.size == 0) {
        return false;
    }
    *out = (struct nemesis_saved){
        .invoke_ns = nemesis.saved.invoke_ns,
        .return_ns = nemesis.saved.return_ns,
    };
    out->bytes = nemesis.saved.bytes;
    buf_init(&nemesis.saved.bytes, BUF_NO_LIMIT);
    return true;
}

static void on_snapshot(void *ctx, const struct sim_answer *answer)
{
    struct saving *saving = ctx;
    if (answer->is_message) {
        Etcdserverpb__SnapshotResponse *part =
            etcdserverpb__snapshot_response__unpack(NULL, answer->body.size, answer->body.data);
        if (part != NULL) {
            buf_append(&saving->bytes, part->blob.data, part->blob.len);
            etcdserverpb__snapshot_response__free_unpacked(part, NULL);
        }
        return;
    }
    if (answer->code == GRPC_OK && check_snapshot(&saving->bytes)) {
        keep(saving);
    }
    buf_free(&saving->bytes);
    mem_free(saving);
}

static bool snapshot(struct rng *rng)
{
    Etcdserverpb__SnapshotRequest request = ETCDSERVERPB__SNAPSHOT_REQUEST__INIT;
    int node = members_pick_running(rng);
    if (node == SIM_NOBODY) {
        return false;
    }
    struct saving *saving = mem_zalloc(sizeof(*saving));
    buf_init(&saving->bytes, BUF_NO_LIMIT);
    saving->invoke_ns = sim_now_ns();
    call(node, "/etcdserverpb.Maintenance/Snapshot", &request.base, SNAPSHOT_NS, on_snapshot,
         saving);
    return true;
}

/* ---- hashes ---- */

static void on_hash(void *ctx, const struct sim_answer *answer)
{
    bool is_last = ctx != NULL;
    if (answer->code == GRPC_OK) {
        Etcdserverpb__HashKVResponse *said =
            etcdserverpb__hash_kvresponse__unpack(NULL, answer->body.size, answer->body.data);
        if (said != NULL && said->header != NULL) {
            struct history_hash hash = {
                .time_ns = sim_now_ns(),
                .member = said->header->member_id,
                .revision = said->hash_revision,
                .compact_revision = said->compact_revision,
                .hash = said->hash,
            };
            history_add_hash(nemesis.history, &hash);
        }
        etcdserverpb__hash_kvresponse__free_unpacked(said, NULL);
    }
    nemesis.hashes_answered += is_last && answer->code == GRPC_OK ? 1 : 0;
}

static bool ask_hashes(int64_t revision, bool is_last)
{
    Etcdserverpb__HashKVRequest request = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    request.revision = revision;
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (member_is_wanted(slot) && sim_node_state(slot) == SIM_NODE_RUNNING) {
            call(slot, "/etcdserverpb.Maintenance/HashKV", &request.base, CALL_NS, on_hash,
                 is_last ? &nemesis : NULL);
            nemesis.hashes_asked += is_last ? 1 : 0;
        }
    }
    return true;
}

void nemesis_ask_hashes(void)
{
    nemesis.hashes_asked = nemesis.hashes_answered = 0;
    (void)ask_hashes(workload_revision(nemesis.workload), true);
}

bool nemesis_has_hashes(void)
{
    return nemesis.hashes_asked > 0 && nemesis.hashes_answered == nemesis.hashes_asked;
}

bool nemesis_admin(const struct fault *fault, struct rng *rng)
{
    Etcdserverpb__DefragmentRequest defragment = ETCDSERVERPB__DEFRAGMENT_REQUEST__INIT;
    int node = members_pick_running(rng);
    switch (fault->kind) {
    case FAULT_MOVE_LEADER:
        return move_leader(rng);
    case FAULT_COMPACT:
        return compact(rng);
    case FAULT_SNAPSHOT:
        return snapshot(rng);
    case FAULT_HASH: {
        int64_t revision = workload_revision(nemesis.workload) - (int64_t)rng_below(rng, HASH_BACK);
        return revision > 1 && ask_hashes(revision, false);
    }
    default:
        if (node != SIM_NOBODY) {
            call(node, "/etcdserverpb.Maintenance/Defragment", &defragment.base, CALL_NS, ignore,
                 NULL);
        }
        return node != SIM_NOBODY;
    }
}
