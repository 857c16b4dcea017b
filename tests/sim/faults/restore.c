/* SPDX-License-Identifier: Apache-2.0 */
/* See restore.h. */
#include "tests/sim/faults/restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/proto/rpc.pb-c.h"
#include "engine/server/restore.h"
#include "tests/chaos/record.h"
#include "tests/sim/disk.h"
#include "tests/sim/setup.h"

#define SECOND         UINT64_C(1000000000)
#define CALL_NS        (10 * SECOND)
#define FILE_PATH      "/saved.db"
#define LEADER_NS      (60 * SECOND)
#define SETTLE_NS      (3 * SECOND)
#define STOP_NS        (10 * SECOND)
#define BUMP           1000u
#define BACK           12u
#define PUTS           5
#define RESTORE_CLIENT 95u

/* One restored cluster, in the slots from 0 on. */
struct restored {
    const struct nemesis_saved *saved;
    struct history *history;
    char cluster[SETUP_TEXT_MAX];
    int count;
    uint64_t bump;
    int64_t revision; /* of the snapshot */
    uint32_t hash[SIM_NODES_MAX];
};

static bool wrong(const char *what, int slot)
{
    sim_violation("restore", "n%d: %s", slot, what);
    return false;
}

/* ---- calls ---- */

static bool ask(int slot, const char *method, const ProtobufCMessage *message,
                struct setup_answer *out)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = mem_alloc(size + 1);
    protobuf_c_message_pack(message, packed);
    setup_call(slot, method, bytes_of(packed, size), CALL_NS, out);
    mem_free(packed);
    return out->code == GRPC_OK;
}

static void want_everything(Etcdserverpb__RangeRequest *range)
{
    static uint8_t zero[1];
    etcdserverpb__range_request__init(range);
    range->key = range->range_end = (ProtobufCBinaryData){1, zero};
}

/* NULL: refused, with the code. */
static Etcdserverpb__RangeResponse *read_all(int slot, int64_t revision, enum grpc_code *out_code)
{
    Etcdserverpb__RangeRequest range;
    struct setup_answer answer;
    Etcdserverpb__RangeResponse *response = NULL;
    want_everything(&range);
    range.revision = revision;
    if (ask(slot, "/etcdserverpb.KV/Range", &range.base, &answer)) {
        response = etcdserverpb__range_response__unpack(NULL, answer.body_size, answer.body);
    }
    *out_code = answer.code;
    mem_free(answer.body);
    return response;
}

static bool read_hash(int slot, int64_t revision, Etcdserverpb__HashKVResponse **out)
{
    Etcdserverpb__HashKVRequest request = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    struct setup_answer answer;
    request.revision = revision;
    *out = ask(slot, "/etcdserverpb.Maintenance/HashKV", &request.base, &answer)
               ? etcdserverpb__hash_kvresponse__unpack(NULL, answer.body_size, answer.body)
               : NULL;
    mem_free(answer.body);
    return *out != NULL;
}

/* ---- the history ---- */

/* As a read of that past revision by whoever took the snapshot, from a member that may lag. */
static void write_down(const struct restored *restored, int64_t revision,
                       const Etcdserverpb__RangeResponse *response)
{
    Etcdserverpb__RangeRequest range;
    struct buf line;
    struct err err;
    want_everything(&range);
    range.revision = revision;
    range.serializable = 1;
    buf_init(&line, BUF_NO_LIMIT);
    buf_printf(&line, "op %u %" PRIu64 " %" PRIu64 " ok 0 0 0 ", RESTORE_CLIENT,
               restored->saved->invoke_ns, restored->saved->return_ns);
    record_range(&line, &range);
    buf_append_str(&line, " -> ");
    record_range_answer(&line, response);
    if (history_parse_line(restored->history, buf_bytes(&line), &err) != 0) {
        sim_violation("history", "a record cannot be read: %s", err.text);
    }
    buf_free(&line);
}

/* ---- restoring ---- */

static bool write_file(int slot, const struct buf *bytes)
{
    const struct disk_seam *seam = sim_disk_seam(sim_node_disk(slot));
    struct disk_file *file;
    int rc = seam->open(seam->ctx, FILE_PATH, DISK_CREATE, &file);
    if (rc != 0) {
        return wrong("the snapshot's file cannot be made", slot);
    }
    rc = seam->write_at(file, 0, bytes->data, bytes->size);
    seam->close(file);
    return rc == 0 || wrong("the snapshot's file cannot be written", slot);
}

static bool restore_one(struct restored *restored, int slot)
{
    struct restore_result result;
    struct err err = {{0}};
    char name[16];
    snprintf(name, sizeof(name), "n%d", slot);
    const struct restore_options options = {
        .snapshot_path = FILE_PATH,
        .name = name,
        .initial_cluster = restored->cluster,
        .initial_cluster_token = "restored",
        .advertise_peer_urls = sim_node_url(slot, true),
        .data_dir = "/data",
        .bump_revision = restored->bump,
    };
    sim_node_kill(slot);
    sim_node_forget(slot);
    if (!write_file(slot, &restored->saved->bytes)) {
        return false;
    }
    int rc = restore_run(sim_disk_seam(sim_node_disk(slot)), &options, &result, &err);
    if (rc != 0) {
        sim_violation("restore", "n%d: the snapshot is refused: %s", slot, err.text);
        return false;
    }
    restored->revision = result.revision - (int64_t)restored->bump;
    return true;
}

static bool start_all(const struct restored *restored, const char *what)
{
    for (int slot = 0; slot < restored->count; slot++) {
        setup_start(slot, restored->cluster, true, NULL, NULL);
    }
    if (setup_wait_leader(LEADER_NS) == SIM_NOBODY) {
        for (int slot = 0; slot < restored->count; slot++) {
            sim_note("n%d: %s", slot, sim_node_why(slot));
        }
        return wrong(what, 0);
    }
    sim_run_until(sim_now_ns() + SETTLE_NS, NULL, NULL);
    return true;
}

/* ---- what must be there ---- */

static bool is_listed(const Etcdserverpb__LeaseLeasesResponse *leases, int64_t id)
{
    for (size_t i = 0; i < leases->n_leases; i++) {
        if (leases->leases[i]->id == id) {
            return true;
        }
    }
    return false;
}

/* A key hangs on a lease that the restored cluster knows. The leases first: they only end. */
static bool check_leases(int slot)
{
    Etcdserverpb__LeaseLeasesRequest request = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    struct setup_answer answer;
    enum grpc_code code;
    Etcdserverpb__LeaseLeasesResponse *leases =
        ask(slot, "/etcdserverpb.Lease/LeaseLeases", &request.base, &answer)
            ? etcdserverpb__lease_leases_response__unpack(NULL, answer.body_size, answer.body)
            : NULL;
    mem_free(answer.body);
    Etcdserverpb__RangeResponse *now = read_all(slot, 0, &code);
    bool is_told = leases != NULL && now != NULL;
    bool is_good = is_told;
    for (size_t i = 0; is_good && i < now->n_kvs; i++) {
        is_good = now->kvs[i]->lease == 0 || is_listed(leases, now->kvs[i]->lease);
    }
    if (leases != NULL) {
        etcdserverpb__lease_leases_response__free_unpacked(leases, NULL);
    }
    if (now != NULL) {
        etcdserverpb__range_response__free_unpacked(now, NULL);
    }
    return is_good || wrong(is_told ? "a key hangs on a lease that is not there"
                                    : "leases and keys are not told",
                            slot);
}

static bool check_members(const struct restored *restored, int slot)
{
    Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    struct setup_answer answer;
    bool is_good = ask(slot, "/etcdserverpb.Cluster/MemberList", &request.base, &answer);
    Etcdserverpb__MemberListResponse *list =
        is_good ? etcdserverpb__member_list_response__unpack(NULL, answer.body_size, answer.body)
                : NULL;
    mem_free(answer.body);
    is_good = list != NULL && list->n_members == (size_t)restored->count;
    for (size_t i = 0; is_good && i < list->n_members; i++) {
        const Etcdserverpb__Member *member = list->members[i];
        int of = member->n_peerurls == 1 ? sim_node_of_url(member->peerurls[0]) : SIM_NOBODY;
        is_good = of >= 0 && of < restored->count && !member->islearner;
    }
    if (list != NULL) {
        etcdserverpb__member_list_response__free_unpacked(list, NULL);
    }
    return is_good || wrong("the members are not those of the new cluster", slot);
}

/* The state that the new cluster began with. Leases end in it meanwhile, so now may be later. */
static bool check_first(struct restored *restored, int slot)
{
    enum grpc_code code;
    int64_t first = restored->revision + (int64_t)restored->bump;
    Etcdserverpb__RangeResponse *then = read_all(slot, first, &code);
    if (then == NULL) {
        return wrong("the revision that the restore told cannot be read", slot);
    }
    bool is_good = then->header != NULL && then->header->revision >= first;
    write_down(restored, restored->revision, then);
    etcdserverpb__range_response__free_unpacked(then, NULL);
    return is_good || wrong("an earlier revision than the restore told", slot);
}

/* Compacted at the snapshot's time, or what it was. After a bump all of it is compacted. */
static bool check_past(struct restored *restored, int slot, int64_t revision)
{
    enum grpc_code code;
    if (revision < 1) {
        return true;
    }
    Etcdserverpb__RangeResponse *then = read_all(slot, revision, &code);
    if (then == NULL) {
        return code == GRPC_OUT_OF_RANGE || wrong("a read of the past is not answered", slot);
    }
    bool is_good = restored->bump == 0;
    if (is_good) {
        write_down(restored, revision, then);
    }
    etcdserverpb__range_response__free_unpacked(then, NULL);
    return is_good || wrong("the past is to be read although it was compacted", slot);
}

/* Without a bump the bytes are those of the old cluster, and so is their hash. */
static bool check_hash(struct restored *restored, int slot)
{
    Etcdserverpb__HashKVResponse *said;
    if (!read_hash(slot, restored->revision + (int64_t)restored->bump, &said)) {
        return wrong("the hash is not told", slot);
    }
    restored->hash[slot] = said->hash;
    if (restored->bump == 0) {
        const struct history_hash hash = {
            .time_ns = sim_now_ns(),
            .member = (uint64_t)slot + 1,
            .revision = said->hash_revision,
            .compact_revision = said->compact_revision,
            .hash = said->hash,
        };
        history_add_hash(restored->history, &hash);
    }
    etcdserverpb__hash_kvresponse__free_unpacked(said, NULL);
    return restored->hash[slot] == restored->hash[0] ||
           wrong("another hash than the first member's", slot);
}

static bool check_all(struct restored *restored, struct rng *rng)
{
    for (int slot = 0; slot < restored->count; slot++) {
        if (!check_members(restored, slot) || !check_first(restored, slot) || !check_leases(slot) ||
            !check_hash(restored, slot) ||
            !check_past(restored, slot, restored->revision - (int64_t)rng_below(rng, BACK)) ||
            !check_past(restored, slot, restored->revision / 2)) {
            return false;
        }
    }
    return true;
}

/* It takes writes, and keeps them and what it was begun with through a power cut of all. */
static bool live_on(struct restored *restored)
{
    int last = restored->count - 1;
    int64_t before = restored->revision + (int64_t)restored->bump;
    enum grpc_code code;
    bool is_put = false;
    for (int i = 0; i < PUTS && !is_put; i++) { /* messages get lost in this world as well */
        is_put = setup_put(last, "restored", "yes");
    }
    if (!is_put) {
        return wrong("a put is not answered", last);
    }
    for (int slot = 0; slot < restored->count; slot++) {
        sim_node_power_cut(slot);
    }
    if (!start_all(restored, "no leader after a power cut of the restored cluster")) {
        return false;
    }
    for (int slot = 0; slot < restored->count; slot++) {
        Etcdserverpb__RangeResponse *now = read_all(slot, 0, &code);
        bool is_good = now != NULL && now->header != NULL && now->header->revision > before &&
                       setup_has(slot, "restored", "yes");
        if (now != NULL) {
            etcdserverpb__range_response__free_unpacked(now, NULL);
        }
        if (!is_good) {
            return wrong("what was written after the restore is not there", slot);
        }
    }
    return true;
}

static void stop_all(const struct restored *restored)
{
    for (int slot = 0; slot < restored->count; slot++) {
        sim_node_stop(slot);
    }
    sim_run_until(sim_now_ns() + STOP_NS, NULL, NULL);
    for (int slot = 0; slot < restored->count; slot++) {
        if (sim_node_state(slot) != SIM_NODE_OFF) {
            (void)wrong("a restored member did not stop when it was asked to", slot);
        }
    }
}

void restore_world(const struct nemesis_saved *saved, struct history *history, struct rng *rng)
{
    struct restored *restored = mem_zalloc(sizeof(*restored));
    restored->saved = saved;
    restored->history = history;
    restored->count = rng_below(rng, 2) == 0 ? 1 : 3;
    restored->bump = rng_below(rng, 3) == 0 ? BUMP : 0;
    setup_initial_cluster(restored->count, restored->cluster, sizeof(restored->cluster));
    bool is_good = true;
    for (int slot = 0; slot < restored->count && is_good; slot++) {
        is_good = restore_one(restored, slot);
    }
    sim_note("a snapshot of revision %" PRId64 " is restored, %d members, bump %" PRIu64,
             restored->revision, restored->count, restored->bump);
    if (is_good && start_all(restored, "no leader in the restored cluster") &&
        check_all(restored, rng) && live_on(restored)) {
        stop_all(restored);
    }
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        sim_node_kill(slot);
    }
    mem_free(restored);
}
