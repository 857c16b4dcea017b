/* SPDX-License-Identifier: Apache-2.0 */
/* What administrators ask for, each with its answer waited for unless said. */
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "engine/proto/rpc.pb-c.h"
#include "engine/server/internal.h"
#include "tests/chaos/record.h"
#include "tests/sim/callk/run.h"
#include "tests/sim/faults/workload.h"

#define CALL_NS      UINT64_C(1500000000)
#define SNAPSHOT_NS  UINT64_C(6000000000)
#define ADMIN_CLIENT 90u
#define COMPACT_LAG  6
#define BOLT_PAGE    4096u

static struct {
    uint64_t hashes_asked, hashes_answered;
} admin;

void admin_begin(void)
{
    admin.hashes_asked = admin.hashes_answered = 0;
}

static uint8_t *pack(const ProtobufCMessage *message, size_t *out_size)
{
    *out_size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = mem_alloc(*out_size + 1);
    protobuf_c_message_pack(message, packed);
    return packed;
}

/* The body must be freed. */
static void ask(int node, const char *method, const ProtobufCMessage *message,
                struct setup_answer *out_answer)
{
    size_t size;
    uint8_t *packed = pack(message, &size);
    setup_call(node, method, bytes_of(packed, size), CALL_NS, out_answer);
    mem_free(packed);
}

static void ask_and_forget(int node, const char *method, const ProtobufCMessage *message)
{
    struct setup_answer answer;
    ask(node, method, message, &answer);
    sim_note("%s at n%d: code %d %s", method, node, (int)answer.code, answer.text);
    mem_free(answer.body);
}

static void begin(int node, const char *method, const ProtobufCMessage *message,
                  uint64_t timeout_ns, sim_answer_fn fn, void *ctx)
{
    size_t size;
    uint8_t *packed = pack(message, &size);
    (void)sim_call(node, method, bytes_of(packed, size), timeout_ns, fn, ctx);
    mem_free(packed);
}

/* ---- what goes into the history ---- */

void admin_compact(int node)
{
    Etcdserverpb__CompactionRequest request = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    struct history_request asked = {.kind = HISTORY_COMPACT};
    struct history_response response = {0};
    struct setup_answer answer;
    int64_t revision = workload_revision(run_workload()) - COMPACT_LAG;
    if (node == SIM_NOBODY || revision < 1) {
        return;
    }
    asked.revision = request.revision = revision;
    request.physical = true;
    struct history_op op = {.invoke_ns = sim_now_ns(),
                            .client = ADMIN_CLIENT,
                            .outcome = HISTORY_UNKNOWN,
                            .request = &asked};
    ask(node, "/etcdserverpb.KV/Compact", &request.base, &answer);
    op.return_ns = sim_now_ns();
    if (answer.code == GRPC_OK) {
        Etcdserverpb__CompactionResponse *said =
            etcdserverpb__compaction_response__unpack(NULL, answer.body_size, answer.body);
        op.outcome = HISTORY_OK;
        op.response = &response;
        if (said != NULL && said->header != NULL) {
            op.member = said->header->member_id;
            op.term = said->header->raft_term;
            op.revision = said->header->revision;
        }
        etcdserverpb__compaction_response__free_unpacked(said, NULL);
    } else if (answer.code == GRPC_OUT_OF_RANGE) {
        op.outcome = HISTORY_FAILED;
        op.error = strstr(answer.text, "compacted") != NULL ? HISTORY_ERROR_COMPACTED
                                                            : HISTORY_ERROR_FUTURE;
    }
    history_add_op(run_history(), &op);
    mem_free(answer.body);
}

static void record_read(const struct buf *words, uint64_t invoke_ns,
                        const Etcdserverpb__RangeResponse *said)
{
    struct err err = {{0}};
    struct buf line;
    buf_init(&line, BUF_NO_LIMIT);
    buf_printf(
        &line, "op %u %" PRIu64 " %" PRIu64 " ok %" PRIx64 " %" PRIu64 " %" PRId64 " %.*s -> ",
        ADMIN_CLIENT, invoke_ns, sim_now_ns(), said->header->member_id, said->header->raft_term,
        said->header->revision, (int)words->size, (const char *)words->data);
    record_range_answer(&line, said);
    if (history_parse_line(run_history(), buf_bytes(&line), &err) != 0) {
        sim_violation("history", "a record cannot be read: %s", err.text);
    }
    buf_free(&line);
}

bool admin_read_all(int node, bool is_serializable)
{
    static uint8_t zero[1];
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    struct setup_answer answer;
    struct buf words;
    bool is_answered = false;
    uint64_t invoke_ns = sim_now_ns();
    range.key = range.range_end = (ProtobufCBinaryData){1, zero};
    range.serializable = is_serializable;
    buf_init(&words, BUF_NO_LIMIT);
    record_range(&words, &range);
    ask(node, "/etcdserverpb.KV/Range", &range.base, &answer);
    if (answer.code == GRPC_OK) {
        Etcdserverpb__RangeResponse *said =
            etcdserverpb__range_response__unpack(NULL, answer.body_size, answer.body);
        is_answered = said != NULL && said->header != NULL;
        if (is_answered) {
            record_read(&words, invoke_ns, said);
        }
        if (said != NULL) {
            etcdserverpb__range_response__free_unpacked(said, NULL);
        }
    }
    buf_free(&words);
    mem_free(answer.body);
    return is_answered;
}

static void on_hash(void *ctx, const struct sim_answer *answer)
{
    (void)ctx;
    if (answer->code != GRPC_OK) {
        return;
    }
    Etcdserverpb__HashKVResponse *said =
        etcdserverpb__hash_kvresponse__unpack(NULL, answer->body.size, answer->body.data);
    if (said != NULL && said->header != NULL) {
        const struct history_hash hash = {
            .time_ns = sim_now_ns(),
            .member = said->header->member_id,
            .revision = said->hash_revision,
            .compact_revision = said->compact_revision,
            .hash = said->hash,
        };
        history_add_hash(run_history(), &hash);
        admin.hashes_answered++;
    }
    etcdserverpb__hash_kvresponse__free_unpacked(said, NULL);
}

void admin_ask_hashes(void)
{
    Etcdserverpb__HashKVRequest request = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    request.revision = workload_revision(run_workload());
    admin.hashes_asked = admin.hashes_answered = 0;
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (member_is_wanted(slot) && member_is_ready(slot)) {
            admin.hashes_asked++;
            begin(slot, "/etcdserverpb.Maintenance/HashKV", &request.base, CALL_NS, on_hash, NULL);
        }
    }
}

bool admin_has_hashes(void)
{
    return admin.hashes_asked > 0 && admin.hashes_answered == admin.hashes_asked;
}

/* ---- snapshots ---- */

/* Pages of the file, then its SHA-256. One that ended well must be whole. */
static void check_snapshot(const struct buf *bytes)
{
    uint8_t sum[SHA256_DIGEST_LENGTH];
    if (bytes->size < 2 * BOLT_PAGE + sizeof(sum) || (bytes->size - sizeof(sum)) % BOLT_PAGE != 0) {
        sim_violation("snapshot", "a snapshot of %zu bytes is no file of pages", bytes->size);
        return;
    }
    SHA256(bytes->data, bytes->size - sizeof(sum), sum);
    if (memcmp(sum, bytes->data + bytes->size - sizeof(sum), sizeof(sum)) != 0) {
        sim_violation("snapshot", "a snapshot's checksum is not that of its pages");
    }
}

static void on_snapshot(void *ctx, const struct sim_answer *answer)
{
    struct buf *bytes = ctx;
    if (answer->is_message) {
        Etcdserverpb__SnapshotResponse *part =
            etcdserverpb__snapshot_response__unpack(NULL, answer->body.size, answer->body.data);
        if (part != NULL) {
            buf_append(bytes, part->blob.data, part->blob.len);
            etcdserverpb__snapshot_response__free_unpacked(part, NULL);
        }
        return;
    }
    sim_note("a snapshot of %zu bytes: code %d %s", bytes->size, (int)answer->code, answer->text);
    if (answer->code == GRPC_OK) {
        check_snapshot(bytes);
    } else if (run_is_undisturbed()) {
        sim_violation("scenario", "a snapshot failed: %s", answer->text);
    }
    buf_free(bytes);
    mem_free(bytes);
}

void admin_snapshot(int node)
{
    Etcdserverpb__SnapshotRequest request = ETCDSERVERPB__SNAPSHOT_REQUEST__INIT;
    struct buf *bytes = mem_zalloc(sizeof(*bytes));
    buf_init(bytes, BUF_NO_LIMIT);
    begin(node, "/etcdserverpb.Maintenance/Snapshot", &request.base, SNAPSHOT_NS, on_snapshot,
          bytes);
}

static void on_ignored(void *ctx, const struct sim_answer *answer)
{
    (void)ctx;
    sim_note("defragment: code %d %s", (int)answer->code, answer->text);
    if (run_is_undisturbed() && answer->code != GRPC_OK) {
        sim_violation("scenario", "a defragmentation failed: %s", answer->text);
    }
}

void admin_defragment(int node)
{
    Etcdserverpb__DefragmentRequest request = ETCDSERVERPB__DEFRAGMENT_REQUEST__INIT;
    begin(node, "/etcdserverpb.Maintenance/Defragment", &request.base, CALL_NS, on_ignored, NULL);
}

/* ---- leaders and members ---- */

void admin_lead(int slot)
{
    Etcdserverpb__MoveLeaderRequest request = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
    for (int i = 0; i < 3 && leader_now() != slot; i++) {
        int leader = leader_now();
        if (leader == SIM_NOBODY || !member_is_ready(slot)) {
            wait_ms(500);
            continue;
        }
        request.targetid = sim_node_server(slot)->member_id;
        ask_and_forget(leader, "/etcdserverpb.Maintenance/MoveLeader", &request.base);
    }
    if (run_is_undisturbed() && leader_now() != slot) {
        sim_violation("scenario", "n%d does not lead", slot);
    }
}

void admin_member_add(int node, int slot)
{
    Etcdserverpb__MemberAddRequest request = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
    char *url = (char *)(uintptr_t)sim_node_url(slot, true);
    request.n_peerurls = 1;
    request.peerurls = &url;
    request.islearner = 1;
    ask_and_forget(node, "/etcdserverpb.Cluster/MemberAdd", &request.base);
}

void admin_member_promote(int node, uint64_t id)
{
    Etcdserverpb__MemberPromoteRequest request = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;
    request.id = id;
    ask_and_forget(node, "/etcdserverpb.Cluster/MemberPromote", &request.base);
}

void admin_member_remove(int node, uint64_t id)
{
    Etcdserverpb__MemberRemoveRequest request = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
    request.id = id;
    ask_and_forget(node, "/etcdserverpb.Cluster/MemberRemove", &request.base);
}

static void look(const Etcdserverpb__MemberListResponse *list, int slot, struct admin_member *out,
                 char *out_cluster)
{
    size_t size = 0;
    *out = (struct admin_member){0};
    for (size_t i = 0; i < list->n_members; i++) {
        const Etcdserverpb__Member *member = list->members[i];
        int other = member->n_peerurls > 0 ? sim_node_of_url(member->peerurls[0]) : SIM_NOBODY;
        if (other == slot) {
            *out = (struct admin_member){member->id, member->islearner};
        }
        if (out_cluster != NULL && other != SIM_NOBODY) {
            size += (size_t)snprintf(out_cluster + size, SETUP_TEXT_MAX - size, "%sn%d=%s",
                                     size == 0 ? "" : ",", other, member->peerurls[0]);
        }
    }
}

bool admin_member_look(int slot, struct admin_member *out, char out_cluster[SETUP_TEXT_MAX])
{
    Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    struct setup_answer answer;
    int node = pick_running();
    request.linearizable = 1;
    if (node == SIM_NOBODY) {
        return false;
    }
    ask(node, "/etcdserverpb.Cluster/MemberList", &request.base, &answer);
    Etcdserverpb__MemberListResponse *list = NULL;
    if (answer.code == GRPC_OK) {
        list = etcdserverpb__member_list_response__unpack(NULL, answer.body_size, answer.body);
    }
    if (list != NULL) {
        look(list, slot, out, out_cluster);
        etcdserverpb__member_list_response__free_unpacked(list, NULL);
    }
    mem_free(answer.body);
    return list != NULL;
}
