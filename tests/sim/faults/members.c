/* SPDX-License-Identifier: Apache-2.0 */
/* See members.h. Everything here is decided by looking: at processes, and at the member list. */
#include "tests/sim/faults/members.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/proto/rpc.pb-c.h"
#include "engine/server/internal.h"
#include "tests/sim/disk.h"

#define LOOK_NS          UINT64_C(300000000)
#define CALL_NS          UINT64_C(3000000000)
#define START_FAILS_MAX  3
#define SLOTS_FOR_VOTERS 7
#define COMPACT_HASH_MS  4000

/* What a slot is on its way to; one slot at a time. */
enum goal {
    GOAL_NONE,
    GOAL_REPLACE, /* its member goes, and all it had */
    GOAL_ADD,     /* a member with this slot's URL comes */
    GOAL_REMOVE,
};

struct member_slot {
    bool is_wanted, is_voter, is_damaged, is_abandoned, was_formed;
    bool is_listed; /* it may be: asked for once, no list without it since */
    int holds, start_fails;
    uint64_t id;           /* 0: not known yet */
    uint64_t counted_life; /* whose failed start was looked at */
    bool was_sick;         /* the disk, when that life began */
    enum goal goal;
    char cluster[SETUP_TEXT_MAX];
};

static struct {
    struct members_options options;
    struct member_slot slots[SIM_NODES_MAX];
    struct rng *rng;
    int changing; /* slot; SIM_NOBODY: none */
    bool is_asking;
    struct members_counts counts;
} all;

/* ---- processes ---- */

static void adjust(void *ctx, struct server_config *config)
{
    const struct members_options *options = ctx;
    config->snapshot_count = options->snapshot_count;
    config->snapshot_catchup_entries = options->catchup_entries;
    config->wal_segment_bytes = options->segment_bytes;
    config->raft_message_bytes = options->message_bytes;
    config->compact_keys_per_turn = options->compact_keys;
    config->watch_pull_bytes = options->pull_bytes;
    config->watch_cache_bytes = options->cache_bytes;
    config->heartbeat_ms = options->heartbeat_ms;
    config->election_ms = options->election_ms;
    config->backend_batch_interval_ms = options->batch_ms;
    config->corrupt_check_ms = options->corrupt_check_ms;
    config->compact_hash_check = options->compact_hash_check;
    config->compact_hash_check_ms = COMPACT_HASH_MS;
}

static bool disk_is_sick(int slot)
{
    const struct sim_disk_faults *faults = sim_disk_faults(sim_node_disk(slot));
    return faults->sync_error_ppm + faults->write_error_ppm + faults->read_error_ppm > 0 ||
           faults->free_bytes != UINT64_MAX;
}

static void slot_start(int slot)
{
    struct member_slot *member = &all.slots[slot];
    member->was_sick = disk_is_sick(slot);
    setup_start(slot, member->cluster, member->was_formed, adjust, &all.options);
}

static void slot_wipe(int slot)
{
    sim_node_kill(slot);
    sim_node_forget(slot);
}

/* A member that is not there yet waits: what is broken is mended first, or the cluster may take
 * neither ("unhealthy cluster"). */
static void give_up_addition(void)
{
    int slot = all.changing;
    if (slot != SIM_NOBODY && all.slots[slot].goal == GOAL_ADD && !all.slots[slot].is_listed) {
        sim_note("the hand gives up to add n%d", slot);
        all.slots[slot].goal = GOAL_NONE;
        all.changing = SIM_NOBODY;
    }
}

/* One that cannot start although nobody touched its data is a bug; one that was damaged refuses
 * rightly, and is replaced. Who joins needs the others for it, and a disk that works is needed
 * anyway. */
static void start_failed(int slot)
{
    struct member_slot *member = &all.slots[slot];
    if (member->counted_life == sim_life(slot)) {
        return;
    }
    member->counted_life = sim_life(slot);
    bool is_joining = !member->was_formed && all.changing == slot;
    if (member->was_sick || disk_is_sick(slot) || (is_joining && !member->is_damaged)) {
        return;
    }
    member->start_fails++;
    if (member->start_fails < START_FAILS_MAX) {
        return;
    }
    if (is_joining) {
        sim_note("the hand takes n%d out again, which was damaged while it joined", slot);
        member->goal = GOAL_REPLACE;
        return;
    }
    if (!member->is_damaged) {
        sim_violation("start", "n%d does not start although its data was left alone: %s", slot,
                      sim_node_why(slot));
        member->is_abandoned = true;
    } else {
        give_up_addition();
        if (members_replace(slot) == 0) {
            member->start_fails = 0;
        }
    }
}

static void slot_look(int slot)
{
    struct member_slot *member = &all.slots[slot];
    enum sim_node_state state = sim_node_state(slot);
    if (!member->is_wanted || member->is_abandoned || member->holds > 0 ||
        state == SIM_NODE_RUNNING || state == SIM_NODE_PAUSED) {
        if (state == SIM_NODE_RUNNING && sim_node_server(slot) != NULL) {
            member->start_fails = 0;
        }
        return;
    }
    if (sim_node_failed_to_start(slot)) {
        start_failed(slot);
    }
    if (member->goal == GOAL_REPLACE || member->is_abandoned || rng_below(all.rng, 3) != 0) {
        return; /* restarts come after a random while */
    }
    all.counts.restarts++;
    slot_start(slot);
}

/* ---- what the member list says ---- */

static const Etcdserverpb__Member *listed_by_url(const Etcdserverpb__MemberListResponse *list,
                                                 const char *url)
{
    for (size_t i = 0; i < list->n_members; i++) {
        const Etcdserverpb__Member *member = list->members[i];
        if (member->n_peerurls > 0 && str_equal(member->peerurls[0], url)) {
            return member;
        }
    }
    return NULL;
}

static const Etcdserverpb__Member *listed_by_id(const Etcdserverpb__MemberListResponse *list,
                                                uint64_t id)
{
    for (size_t i = 0; i < list->n_members; i++) {
        if (list->members[i]->id == id) {
            return list->members[i];
        }
    }
    return NULL;
}

static void learn_ids(const Etcdserverpb__MemberListResponse *list)
{
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        struct member_slot *member = &all.slots[slot];
        const Etcdserverpb__Member *listed = listed_by_url(list, sim_node_url(slot, true));
        if (member->is_wanted && member->goal == GOAL_NONE && listed != NULL) {
            member->id = listed->id;
            member->is_voter = !listed->islearner;
        }
    }
}

/* ---- steps of a change ---- */

static void on_ignored(void *ctx, const struct sim_answer *answer)
{
    (void)ctx;
    (void)answer; /* the list tells the next time */
}

static void ask(const char *method, const ProtobufCMessage *message, sim_answer_fn fn)
{
    int node = members_pick_running(all.rng);
    if (node == SIM_NOBODY) {
        return;
    }
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = mem_alloc(size + 1);
    protobuf_c_message_pack(message, packed);
    (void)sim_call(node, method, bytes_of(packed, size), CALL_NS, fn, NULL);
    mem_free(packed);
}

static void ask_remove(uint64_t id)
{
    Etcdserverpb__MemberRemoveRequest request = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
    request.id = id;
    ask("/etcdserverpb.Cluster/MemberRemove", &request.base, on_ignored);
}

static void ask_add(int slot)
{
    Etcdserverpb__MemberAddRequest request = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
    char *url = (char *)(uintptr_t)sim_node_url(slot, true);
    request.n_peerurls = 1;
    request.peerurls = &url;
    request.islearner = 1;
    ask("/etcdserverpb.Cluster/MemberAdd", &request.base, on_ignored);
}

static void ask_promote(uint64_t id)
{
    Etcdserverpb__MemberPromoteRequest request = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;
    request.id = id;
    ask("/etcdserverpb.Cluster/MemberPromote", &request.base, on_ignored);
}

/* "--initial-cluster" of the one that joins: all that are listed, itself by its new name. */
static void write_cluster(int slot, const Etcdserverpb__MemberListResponse *list)
{
    struct member_slot *member = &all.slots[slot];
    size_t size = 0;
    for (size_t i = 0; i < list->n_members; i++) {
        const Etcdserverpb__Member *other = list->members[i];
        int other_slot = other->n_peerurls > 0 ? sim_node_of_url(other->peerurls[0]) : SIM_NOBODY;
        if (other_slot != SIM_NOBODY) {
            size +=
                (size_t)snprintf(member->cluster + size, sizeof(member->cluster) - size, "%sn%d=%s",
                                 size == 0 ? "" : ",", other_slot, sim_node_url(other_slot, true));
            ASSERT(size < sizeof(member->cluster));
        }
    }
}

static void change_is_over(int slot, const char *what)
{
    sim_note("the change of n%d is done: %s", slot, what);
    all.slots[slot].goal = GOAL_NONE;
    all.changing = SIM_NOBODY;
}

static void step_add(int slot, const Etcdserverpb__MemberListResponse *list)
{
    struct member_slot *member = &all.slots[slot];
    const Etcdserverpb__Member *listed = listed_by_url(list, sim_node_url(slot, true));
    member->is_listed = listed != NULL;
    if (listed == NULL) {
        ask_add(slot);
    } else if (sim_node_failed_to_start(slot) && member->is_wanted) {
        write_cluster(slot, list); /* the others may have changed since */
    } else if (!member->is_wanted) {
        member->id = listed->id;
        member->is_wanted = true;
        member->is_voter = member->was_formed = member->is_damaged = false;
        write_cluster(slot, list);
        sim_note("n%d joins as %" PRIx64, slot, member->id);
        slot_start(slot);
    } else if (listed->islearner) {
        ask_promote(listed->id);
    } else {
        member->is_voter = true;
        all.counts.promoted++;
        change_is_over(slot, "it votes");
    }
}

static bool somebody_is_abandoned(void)
{
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (all.slots[slot].is_abandoned) {
            return true;
        }
    }
    return false;
}

static void step_out(int slot, const Etcdserverpb__MemberListResponse *list)
{
    struct member_slot *member = &all.slots[slot];
    if (listed_by_id(list, member->id) != NULL) {
        ask_remove(member->id);
        return;
    }
    bool comes_back = member->goal == GOAL_REPLACE;
    slot_wipe(slot);
    int holds = member->holds;
    *member = (struct member_slot){.holds = holds, .goal = comes_back ? GOAL_ADD : GOAL_NONE};
    if (comes_back) {
        all.counts.replaced++;
        if (somebody_is_abandoned()) {
            give_up_addition(); /* refused as long as that one is listed: "unhealthy cluster" */
        }
    } else {
        all.counts.removed++;
        change_is_over(slot, "it is no member any more");
    }
}

static void on_list(void *ctx, const struct sim_answer *answer)
{
    (void)ctx;
    all.is_asking = false;
    if (answer->code != GRPC_OK) {
        return;
    }
    Etcdserverpb__MemberListResponse *list =
        etcdserverpb__member_list_response__unpack(NULL, answer->body.size, answer->body.data);
    if (list == NULL) {
        sim_violation("members", "a member list cannot be read");
        return;
    }
    learn_ids(list);
    int slot = all.changing;
    if (slot != SIM_NOBODY && all.slots[slot].goal == GOAL_ADD) {
        step_add(slot, list);
    } else if (slot != SIM_NOBODY && all.slots[slot].id != 0) {
        step_out(slot, list);
    }
    etcdserverpb__member_list_response__free_unpacked(list, NULL);
}

static void look(void *ctx)
{
    (void)ctx;
    Etcdserverpb__MemberListRequest list = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    list.linearizable = 1;
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        slot_look(slot);
    }
    if (!all.is_asking && members_pick_running(all.rng) != SIM_NOBODY) {
        all.is_asking = true;
        ask("/etcdserverpb.Cluster/MemberList", &list.base, on_list);
    }
    sim_at(sim_now_ns() + LOOK_NS, look, NULL);
}

/* ---- from outside ---- */

void members_begin(const struct members_options *options)
{
    memset(&all, 0, sizeof(all));
    all.options = *options;
    all.rng = sim_rng(SIM_RNG_NEMESIS);
    all.changing = SIM_NOBODY;
    for (int slot = 0; slot < options->voters; slot++) {
        struct member_slot *member = &all.slots[slot];
        member->is_wanted = member->is_voter = member->was_formed = true;
        setup_initial_cluster(options->voters, member->cluster, sizeof(member->cluster));
        slot_start(slot);
    }
    sim_at(sim_now_ns() + LOOK_NS, look, NULL);
}

void members_end(void)
{
    memset(&all, 0, sizeof(all));
}

bool member_is_wanted(int slot)
{
    return all.slots[slot].is_wanted;
}

bool member_is_voter(int slot)
{
    return all.slots[slot].is_wanted && all.slots[slot].is_voter;
}

static int count_where(bool (*holds)(int slot))
{
    int count = 0;
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        count += holds(slot) ? 1 : 0;
    }
    return count;
}

int members_count(void)
{
    return count_where(member_is_wanted);
}

int members_voters(void)
{
    return count_where(member_is_voter);
}

static int pick_where(struct rng *rng, bool (*holds)(int slot))
{
    int count = count_where(holds);
    if (count == 0) {
        return SIM_NOBODY;
    }
    int left = (int)rng_below(rng, (uint64_t)count);
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (holds(slot) && left-- == 0) {
            return slot;
        }
    }
    return SIM_NOBODY;
}

int members_pick(struct rng *rng)
{
    return pick_where(rng, member_is_wanted);
}

static bool runs(int slot)
{
    return member_is_wanted(slot) && sim_node_state(slot) == SIM_NODE_RUNNING &&
           sim_node_server(slot) != NULL;
}

int members_pick_running(struct rng *rng)
{
    return pick_where(rng, runs);
}

static bool leads(int slot)
{
    return runs(slot) && atomic_load(&sim_node_server(slot)->shared.is_leader);
}

int members_leader(void)
{
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (leads(slot)) {
            return slot;
        }
    }
    return SIM_NOBODY;
}

void member_hold(int slot)
{
    all.slots[slot].holds++;
}

void member_let_go(int slot)
{
    ASSERT(all.slots[slot].holds > 0);
    all.slots[slot].holds--;
}

void member_abandon(int slot)
{
    all.slots[slot].is_abandoned = true;
    sim_node_kill(slot);
}

bool member_is_abandoned(int slot)
{
    return all.slots[slot].is_abandoned;
}

/* ---- the atlas ---- */

static bool is_unsound(int slot)
{
    const struct member_slot *member = &all.slots[slot];
    return member->is_damaged || member->goal != GOAL_NONE || member->is_abandoned;
}

bool atlas_allows(int slot)
{
    int unsound = is_unsound(slot) ? 0 : 1;
    for (int other = 0; other < SIM_NODES_MAX; other++) {
        unsound += is_unsound(other) ? 1 : 0;
    }
    return unsound <= (members_voters() - 1) / 2;
}

void atlas_damage(int slot)
{
    all.slots[slot].is_damaged = true;
}

bool atlas_is_damaged(int slot)
{
    return all.slots[slot].is_damaged;
}

/* ---- changes ---- */

static int change_begin(int slot, enum goal goal, const char *what)
{
    if (all.changing != SIM_NOBODY) {
        return E_AGAIN;
    }
    sim_note("the hand begins: n%d is to be %s", slot, what);
    all.changing = slot;
    all.slots[slot].goal = goal;
    return 0;
}

int members_replace(int slot)
{
    if (!atlas_allows(slot) || all.slots[slot].id == 0) {
        return E_AGAIN;
    }
    return change_begin(slot, GOAL_REPLACE, "replaced");
}

int members_add(void)
{
    for (int slot = 0; slot < SLOTS_FOR_VOTERS; slot++) {
        if (!all.slots[slot].is_wanted && all.slots[slot].goal == GOAL_NONE &&
            all.slots[slot].holds == 0) {
            int rc = change_begin(slot, GOAL_ADD, "added");
            all.counts.added += rc == 0 ? 1 : 0;
            return rc;
        }
    }
    return E_AGAIN;
}

/* The smaller cluster must still have a majority that is sound. */
int members_remove(int slot)
{
    int unsound = count_where(is_unsound);
    if (members_voters() <= 3 || unsound > 0 || all.slots[slot].id == 0 || !member_is_voter(slot)) {
        return E_AGAIN;
    }
    return change_begin(slot, GOAL_REMOVE, "removed");
}

bool members_are_changing(void)
{
    return all.changing != SIM_NOBODY;
}

static uint64_t greatest_commit(void)
{
    uint64_t commit = 0;
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (runs(slot)) {
            commit = BASE_MAX(commit, atomic_load(&sim_node_server(slot)->shared.commit_index));
        }
    }
    return commit;
}

static bool is_healthy(int slot, uint64_t commit)
{
    const struct server *server = sim_node_server(slot);
    return runs(slot) && atomic_load(&server->shared.ready) && !server->suspect &&
           server->applied_index >= commit && !server->installing;
}

bool members_are_healthy(void)
{
    uint64_t commit = greatest_commit();
    if (members_leader() == SIM_NOBODY || all.changing != SIM_NOBODY) {
        return false;
    }
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (member_is_wanted(slot) && !member_is_abandoned(slot) && !is_healthy(slot, commit)) {
            return false;
        }
    }
    return true;
}

void members_explain(void)
{
    static const char *const goals[] = {"", ", to be replaced", ", to be added", ", to be removed"};
    static const char *const states[] = {"off", "running", "paused", "dead"};
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        const struct member_slot *member = &all.slots[slot];
        const struct server *server = sim_node_server(slot);
        if (!member->is_wanted && member->goal == GOAL_NONE) {
            continue;
        }
        sim_note("n%d %" PRIx64 ": %s%s%s%s%s, held %d: %s", slot, member->id,
                 states[sim_node_state(slot)], goals[member->goal],
                 member->is_damaged ? ", damaged" : "", member->is_abandoned ? ", abandoned" : "",
                 member->is_voter ? "" : ", learner", member->holds, sim_node_why(slot));
        if (server != NULL) {
            sim_note("n%d leader %" PRIx64 ", term %" PRIu64 ", commit %" PRIu64
                     ", applied %" PRIu64 "%s%s%s",
                     slot, atomic_load(&server->shared.leader), atomic_load(&server->shared.term),
                     atomic_load(&server->shared.commit_index), server->applied_index,
                     server->suspect ? ", suspect" : "", server->installing ? ", installing" : "",
                     atomic_load(&server->shared.ready) ? "" : ", not ready");
        }
    }
}

void members_counts(struct members_counts *out)
{
    *out = all.counts;
}
