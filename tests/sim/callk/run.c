/* SPDX-License-Identifier: Apache-2.0 */
/* See run.h. */
#include "tests/sim/callk/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/server/internal.h"
#include "tests/check/check.h"
#include "tests/sim/disk.h"
#include "tests/sim/faults/workload.h"
#include "tests/sim/net.h"
#include "tests/sim/raft_invariants.h"

#define MS             UINT64_C(1000000)
#define SECOND         (1000 * MS)
#define LOOK_NS        (50 * MS)
#define RESTART_NS     (300 * MS) /* of a supervisor */
#define RESTART_SICK   (1500 * MS)
#define READY_NS       (4 * SECOND)
#define DRIVE_NS       (4 * SECOND)
#define STOP_NS        (20 * SECOND)
#define HEAL_NS        (60 * SECOND)
#define FULL_NS        SECOND
#define STORY_CHECKS   4u
#define SNAPSHOT_COUNT 8
#define CATCHUP        4
#define SEGMENT_BYTES  4096u
#define BATCH_MS       20
#define RESERVE_BYTES  (16u * 1024u * 1024u) /* as the store that is shipped has it */

#define X(name, text, kind, code, what) {text, SIM_CALL_##kind, code, what},
const struct failure_kind FAILURE_KINDS[FAILURE_COUNT] = {FAILURES(X)};
#undef X

struct slot {
    bool is_wanted, is_new, is_leaving;
    uint64_t judged_life, restart_ns;
    uint64_t stopped_life; /* that was asked to stop; asked twice, it ends at once */
    char cluster[SETUP_TEXT_MAX];
};

/* One run; there is one world at a time. */
static struct {
    const struct callk_options *options;
    const struct callk_scenario *scenario;
    struct callk_outcome *out;
    struct slot slots[SIM_NODES_MAX];
    struct history history;
    struct workload *workload;
    struct raft_invariants *invariants;
    uint64_t seen_life[SIM_NODES_MAX], seen_id[SIM_NODES_MAX];
    bool invariant_told;
    bool is_counting, is_repaired, is_hit, for_ever, is_full_now;
    enum failure failure;
    uint64_t hit_life;
    uint64_t full_life; /* that ran when the disk became full, or had room again */
    uint64_t drive_end_ns;
} run;

struct history *run_history(void)
{
    return &run.history;
}

struct workload *run_workload(void)
{
    return run.workload;
}

bool run_is_repaired(void)
{
    return run.is_repaired;
}

bool run_is_undisturbed(void)
{
    return !run.is_hit;
}

bool run_is_without_room(void)
{
    return run.is_full_now && run.for_ever;
}

/* ---- what may fail ---- */

static void set_room(bool is_full)
{
    run.full_life = sim_life(run.scenario->faulty);
    struct sim_disk *disk = sim_node_disk(run.scenario->faulty);
    struct sim_disk_faults faults = *sim_disk_faults(disk);
    faults.free_bytes = is_full ? 0 : UINT64_MAX;
    faults.reserve_bytes = is_full ? RESERVE_BYTES : 0;
    sim_disk_set_faults(disk, &faults);
    run.is_full_now = is_full;
}

/* Event: "once" is one call, or a while in which nobody dared to make one. */
static void room_comes_back(void *ctx)
{
    (void)ctx;
    if (run.is_full_now && !run.for_ever) {
        set_room(false);
    }
}

static int on_call(void *ctx, int node, enum sim_call_kind kind)
{
    (void)ctx;
    if (node != run.scenario->faulty || !run.is_counting) {
        return 0;
    }
    if (run.is_full_now && !run.for_ever && kind == SIM_CALL_WRITE) {
        set_room(false);
    }
    return run.options->decide == NULL ? 0 : run.options->decide(run.options->ctx, kind);
}

void callk_hit(enum failure failure, bool for_ever)
{
    if (!run.is_hit) {
        sim_note("from here on: %s fails, %s", FAILURE_KINDS[failure].text,
                 for_ever ? "again and again" : "once");
        run.is_hit = run.out->was_hit = true;
        run.failure = failure;
        run.for_ever = for_ever;
        run.hit_life = sim_life(run.scenario->faulty);
        if (failure == FAILURE_ROOM) {
            set_room(true);
            sim_memory_world();
            sim_at(sim_now_ns() + FULL_NS, room_comes_back, NULL);
            sim_memory_back();
        }
    }
}

void calls_count_from_here(void)
{
    run.is_counting = true;
}

/* ---- the hand ---- */

static void adjust(void *ctx, struct server_config *config)
{
    (void)ctx;
    config->snapshot_count = SNAPSHOT_COUNT;
    config->snapshot_catchup_entries = CATCHUP;
    config->wal_segment_bytes = SEGMENT_BYTES;
    config->backend_batch_interval_ms = BATCH_MS;
    config->max_wals = config->max_snapshots = 1;
    config->strict_reconfig_check = false; /* it asks for five seconds of peace first */
}

static bool runs(int slot)
{
    return sim_node_state(slot) == SIM_NODE_RUNNING;
}

static void judge_end(int slot);

static void slot_start(int slot)
{
    struct slot *member = &run.slots[slot];
    judge_end(slot);
    member->restart_ns = 0;
    setup_start(slot, member->cluster, member->is_new, adjust, NULL);
}

/* Who joins asks any member who else is there, and that one may not know of him yet: he ends, and
 * is started again. */
static bool came_too_early(int slot)
{
    return !run.slots[slot].is_new && sim_node_failed_to_start(slot) &&
           strstr(sim_node_why(slot), "error validating peerURLs") != NULL;
}

/* True when what failed may end this life. */
static bool may_end(int slot)
{
    if (run.failure == FAILURE_ROOM && run.is_hit && !run.is_full_now && !run.for_ever) {
        return sim_life(slot) <= run.full_life && slot == run.scenario->faulty;
    }
    if (!run.is_hit || slot != run.scenario->faulty) {
        return false;
    }
    return run.for_ever || run.is_full_now ? sim_life(slot) >= run.hit_life
                                           : sim_life(slot) == run.hit_life;
}

/* What a person reads who looks for the reason. */
static bool names_it(const char *why)
{
    enum sim_call_kind kind = FAILURE_KINDS[run.failure].kind;
    if (kind == SIM_CALL_ALLOCATE) {
        return strstr(why, "out of memory") != NULL;
    }
    if (kind == SIM_CALL_SEND) {
        return why[0] != '\0' && strstr(why, "exit code") == NULL;
    }
    return strstr(why, err_code_text(FAILURE_KINDS[run.failure].code)) != NULL;
}

/* A life has ended, and nobody asked for it. */
static void judge_end(int slot)
{
    struct slot *member = &run.slots[slot];
    const char *why = sim_node_why(slot);
    if (member->judged_life == sim_life(slot)) {
        return;
    }
    member->judged_life = sim_life(slot);
    if (came_too_early(slot)) {
        return;
    }
    if (sim_node_state(slot) == SIM_NODE_OFF) {
        if (!member->is_leaving) {
            sim_violation("silent", "n%d ended without a word", slot);
        }
    } else if (!may_end(slot)) {
        sim_violation(sim_node_failed_to_start(slot) ? "start" : "died",
                      "n%d ended although nothing failed that explains it: %s", slot, why);
    } else if (!names_it(why)) {
        sim_violation("message", "n%d ended itself of a failed %s and says only: %s", slot,
                      FAILURE_KINDS[run.failure].text, why);
    } else {
        run.out->has_ended = true;
        run.out->failed_to_start |= sim_node_failed_to_start(slot);
        /* A full disk ends nobody who runs already; to start there must be some room. */
        if (run.failure == FAILURE_ROOM && !sim_node_failed_to_start(slot)) {
            sim_violation("full", "n%d ended itself because its disk is full: %s", slot, why);
        }
    }
}

static void slot_look(int slot)
{
    struct slot *member = &run.slots[slot];
    bool is_sick = slot == run.scenario->faulty && run.is_hit && run.for_ever && !run.is_repaired;
    if (!member->is_wanted || runs(slot)) {
        if (member->is_leaving && !runs(slot)) {
            judge_end(slot);
        }
        return;
    }
    judge_end(slot);
    if (member->restart_ns == 0) {
        member->restart_ns = sim_now_ns() + (is_sick ? RESTART_SICK : RESTART_NS);
    } else if (sim_now_ns() >= member->restart_ns || run.is_repaired) {
        slot_start(slot);
    }
}

static void look(void *ctx)
{
    (void)ctx;
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        slot_look(slot);
    }
    sim_at(sim_now_ns() + LOOK_NS, look, NULL);
}

/* ---- for scripts ---- */

void wait_ms(uint64_t ms)
{
    sim_run_until(sim_now_ns() + ms * MS, NULL, NULL);
}

void member_start(int slot)
{
    run.slots[slot].is_wanted = true;
    if (!runs(slot)) {
        slot_start(slot);
    }
}

void member_joins(int slot, const char *initial_cluster)
{
    struct slot *member = &run.slots[slot];
    if (!member->is_wanted || sim_node_failed_to_start(slot)) {
        snprintf(member->cluster, sizeof(member->cluster), "%s", initial_cluster);
    }
    if (!member->is_wanted) {
        member_start(slot);
    }
}

void member_leaves(int slot)
{
    run.slots[slot].is_wanted = false;
    run.slots[slot].is_leaving = true;
}

static bool has_ended(void *ctx)
{
    return !runs((int)(intptr_t)ctx);
}

static void ask_to_stop(int slot)
{
    run.slots[slot].is_wanted = false;
    if (runs(slot) && run.slots[slot].stopped_life != sim_life(slot)) {
        run.slots[slot].stopped_life = sim_life(slot);
        sim_node_stop(slot);
    }
}

void member_stop(int slot)
{
    ask_to_stop(slot);
    if (!runs(slot)) {
        return;
    }
    sim_run_until(sim_now_ns() + STOP_NS, has_ended, (void *)(intptr_t)slot);
    if (runs(slot)) {
        sim_violation("stop", "n%d did not stop when it was asked to", slot);
        sim_node_kill(slot);
    } else if (sim_node_state(slot) == SIM_NODE_DEAD) {
        judge_end(slot);
    } else {
        run.slots[slot].judged_life = sim_life(slot);
    }
}

void member_power_cut(int slot)
{
    run.slots[slot].is_wanted = false;
    sim_node_power_cut(slot);
    run.slots[slot].judged_life = sim_life(slot);
}

bool member_is_wanted(int slot)
{
    return run.slots[slot].is_wanted;
}

bool member_is_ready(int slot)
{
    const struct server *server = runs(slot) ? sim_node_server(slot) : NULL;
    return server != NULL && atomic_load(&server->shared.ready);
}

static bool is_ready(void *ctx)
{
    return member_is_ready((int)(intptr_t)ctx);
}

void wait_ready(int slot)
{
    sim_run_until(sim_now_ns() + READY_NS, is_ready, (void *)(intptr_t)slot);
}

static uint64_t greatest_commit(void)
{
    uint64_t commit = 0;
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        const struct server *server = run.slots[slot].is_wanted ? sim_node_server(slot) : NULL;
        if (server != NULL) {
            commit = BASE_MAX(commit, atomic_load(&server->shared.commit_index));
        }
    }
    return commit;
}

static bool is_caught_up(void *ctx)
{
    int slot = (int)(intptr_t)ctx;
    const struct server *server = sim_node_server(slot);
    return member_is_ready(slot) && !server->suspect && !server->installing &&
           server->applied_index >= greatest_commit();
}

void wait_caught_up(int slot)
{
    sim_run_until(sim_now_ns() + READY_NS, is_caught_up, (void *)(intptr_t)slot);
}

int leader_now(void)
{
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (run.slots[slot].is_wanted && member_is_ready(slot) &&
            atomic_load(&sim_node_server(slot)->shared.is_leader)) {
            return slot;
        }
    }
    return SIM_NOBODY;
}

int pick_running(void)
{
    int found = SIM_NOBODY;
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) { /* a newcomer, who may be a learner, last */
        bool is_better = found == SIM_NOBODY || found == run.scenario->faulty;
        if (run.slots[slot].is_wanted && member_is_ready(slot) && is_better) {
            found = slot;
        }
    }
    return found;
}

/* Clients go where a member should be, whether it is there or not. */
static int pick_for_client(struct rng *rng)
{
    int count = 0;
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        count += run.slots[slot].is_wanted ? 1 : 0;
    }
    if (count == 0) {
        return SIM_NOBODY;
    }
    int left = (int)rng_below(rng, (uint64_t)count);
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (run.slots[slot].is_wanted && left-- == 0) {
            return slot;
        }
    }
    return SIM_NOBODY;
}

static bool is_driven(void *ctx)
{
    (void)ctx;
    return workload_is_done(run.workload);
}

void drive_begin(uint64_t operations)
{
    workload_allow(run.workload, operations);
    run.drive_end_ns = sim_now_ns() + DRIVE_NS;
}

void drive_wait(void)
{
    sim_run_until(run.drive_end_ns, is_driven, NULL);
}

void drive(uint64_t operations)
{
    drive_begin(operations);
    drive_wait();
}

/* ---- invariants, at each step of a state thread ---- */

static void on_turn(void *ctx, int node, const char *worker)
{
    (void)ctx;
    const struct server *server = sim_node_server(node);
    if (server == NULL || server->raft == NULL || strcmp(worker, "quorate-state") != 0) {
        return;
    }
    if (run.seen_life[node] != sim_life(node)) {
        if (run.seen_id[node] != 0) {
            raft_invariants_stopped(run.invariants, run.seen_id[node]);
        }
        run.seen_life[node] = sim_life(node);
        const struct history_restart restart = {sim_now_ns(), server->member_id};
        history_add_restart(&run.history, &restart);
    }
    run.seen_id[node] = server->member_id;
    raft_invariants_watch(run.invariants, server->raft);
    const char *failure = raft_invariants_failure(run.invariants);
    if (failure != NULL && !run.invariant_told) {
        run.invariant_told = true;
        sim_violation("raft", "%s", failure);
    }
}

static void on_message(void *ctx, int from, int to, const struct raft_message *message)
{
    (void)ctx;
    (void)from;
    (void)to;
    raft_invariants_sent(run.invariants, message);
}

/* ---- the end ---- */

static bool all_healthy(void *ctx)
{
    (void)ctx;
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (run.slots[slot].is_wanted && !is_caught_up((void *)(intptr_t)slot)) {
            return false;
        }
    }
    return leader_now() != SIM_NOBODY;
}

static bool all_finished(void *ctx)
{
    return workload_is_finished(run.workload) && all_healthy(ctx);
}

static bool all_hashed(void *ctx)
{
    (void)ctx;
    return admin_has_hashes();
}

static void explain(void)
{
    static const char *const states[] = {"off", "running", "paused", "dead"};
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        const struct server *server = sim_node_server(slot);
        if (!run.slots[slot].is_wanted) {
            continue;
        }
        sim_note("n%d: %s: %s", slot, states[sim_node_state(slot)], sim_node_why(slot));
        if (server != NULL) {
            sim_note("n%d leader %" PRIx64 ", term %" PRIu64 ", commit %" PRIu64
                     ", applied %" PRIu64 "%s%s%s",
                     slot, atomic_load(&server->shared.leader), atomic_load(&server->shared.term),
                     atomic_load(&server->shared.commit_index), server->applied_index,
                     server->suspect ? ", suspect" : "", server->installing ? ", installing" : "",
                     atomic_load(&server->shared.ready) ? "" : ", not ready");
        }
    }
    workload_explain(run.workload);
}

static bool wait_for(bool (*stop)(void *ctx), const char *what)
{
    sim_run_until(sim_now_ns() + HEAL_NS, stop, NULL);
    if (stop(NULL)) {
        return true;
    }
    explain();
    sim_violation("liveness", "%s: not within %" PRIu64 " s after the repair", what,
                  HEAL_NS / SECOND);
    return false;
}

static bool agree(void)
{
    admin_ask_hashes();
    return wait_for(all_hashed, "all members say their hash");
}

/* One that went on has on its disk what it says: it comes back with it. */
static bool comes_back(int slot)
{
    if (!run.slots[slot].is_wanted || !run.is_hit || sim_life(slot) != run.hit_life) {
        return true;
    }
    member_stop(slot);
    member_start(slot);
    return wait_for(all_healthy, "who went on starts again") && agree();
}

static void read_all(void)
{
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (run.slots[slot].is_wanted && !admin_read_all(slot, false)) {
            sim_violation("liveness", "n%d does not answer a read of everything", slot);
        }
    }
}

static void repair_and_look(void)
{
    if (run.scenario->faulty < SIM_NODES_MAX && run.is_full_now) {
        set_room(false);
    }
    run.is_counting = false;
    run.is_repaired = true;
    sim_note("the disk and the network are healthy again");
    if (!wait_for(all_healthy, "all members run and know everything")) {
        return;
    }
    if (run.scenario->settle != NULL && !run.scenario->settle()) {
        sim_violation("liveness", "what the script began cannot be brought to its end");
        return;
    }
    workload_finish(run.workload);
    if (wait_for(all_finished, "all clients and watches have seen the end") && agree() &&
        comes_back(run.scenario->faulty)) {
        read_all();
    }
}

static void judge(void)
{
    struct check_config config;
    struct check_verdict verdict;
    check_config_init(&config);
    check_run(&run.history, &config, &verdict);
    for (uint32_t i = 0; i < BASE_MIN(verdict.violation_count, (uint64_t)STORY_CHECKS); i++) {
        const struct check_violation *violation = &verdict.violations[i];
        sim_violation(check_name_text(violation->name), "%s", violation->story);
    }
    run.out->operations = verdict.operations;
    run.out->unknown = verdict.unknown;
    run.out->undecided = verdict.undecided;
}

static void stop_all(void)
{
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        ask_to_stop(slot);
    }
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        member_stop(slot);
    }
}

/* ---- one world ---- */

static void run_begin(const struct callk_options *options, struct callk_outcome *out)
{
    const struct workload_options workload = {
        .clients = 2,
        .watchers = 1,
        .keys = 6,
        .think_ns = 8 * MS,
        .timeout_ns = 700 * MS,
        .leases = true,
        .pick = pick_for_client,
    };
    memset(&run, 0, sizeof(run));
    run.options = options;
    run.scenario = options->scenario;
    run.out = out;
    history_init(&run.history);
    run.invariants = raft_invariants_new();
    run.workload = workload_new(&workload, &run.history);
    admin_begin();
    sim_set_turn_tap(on_turn, NULL);
    sim_net_set_tap(on_message, NULL);
    sim_set_call_tap(on_call, NULL);
    run.is_counting = !run.scenario->counts_late;
    for (int slot = 0; slot < run.scenario->members; slot++) {
        struct slot *member = &run.slots[slot];
        member->is_new = true;
        setup_initial_cluster(run.scenario->members, member->cluster, sizeof(member->cluster));
        member_start(slot);
    }
    sim_at(LOOK_NS, look, NULL);
    workload_start(run.workload);
}

static void run_end(void)
{
    sim_set_call_tap(NULL, NULL);
    sim_set_turn_tap(NULL, NULL);
    sim_net_set_tap(NULL, NULL);
    workload_free(run.workload);
    raft_invariants_free(run.invariants);
    history_free(&run.history);
}

static void check_script(void)
{
    struct sim_net_counts net;
    sim_net_counts(&net);
    if (!run.is_hit && net.snapshots < run.scenario->snapshots_min) {
        sim_violation("scenario", "only %" PRIu64 " snapshots were sent", net.snapshots);
    }
}

void callk_run(const struct callk_options *options, struct callk_outcome *out)
{
    *out = (struct callk_outcome){0};
    sim_world_begin(options->seed);
    sim_show(options->show);
    run_begin(options, out);
    run.scenario->script();
    check_script();
    repair_and_look();
    judge();
    stop_all();
    out->hash = sim_trace_hash();
    out->violations = sim_violations();
    out->events = sim_event_count();
    snprintf(out->first_check, sizeof(out->first_check), "%.31s", sim_first_violation());
    if (options->leave != NULL) {
        options->leave(options->ctx, out);
    }
    run_end();
    sim_world_end();
}
