/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster under everything at once. First phase, safety: clients work while faults come; whatever
 * happens, no rule may be broken. Second phase, liveness: the faults end and a core is healed (a
 * minority may stay dead for ever); then everything must come to its end: members catch up, clients
 * are served, watches arrive, hashes agree. At last the history is judged.
 */
#include "tests/sim/faults/scenario_faults.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/server/internal.h"
#include "tests/check/check.h"
#include "tests/sim/disk.h"
#include "tests/sim/faults/members.h"
#include "tests/sim/faults/restore.h"
#include "tests/sim/faults/workload.h"
#include "tests/sim/net.h"
#include "tests/sim/raft_invariants.h"

#define SECOND         UINT64_C(1000000000)
#define MS             UINT64_C(1000000)
#define HEAL_NS        (240 * SECOND)
#define STORY_CHECKS   8u
#define HASH_TRIES     10
#define CONF_INDEX_MAX 8192u

/* One run; there is one world at a time. */
static struct run {
    struct faults_result *result;
    struct history history;
    struct workload *workload;
    struct raft_invariants *invariants;
    uint64_t seen_life[SIM_NODES_MAX], seen_id[SIM_NODES_MAX];
    struct raft_hard_state written[SIM_NODES_MAX];
    uint64_t conf_at[CONF_INDEX_MAX]; /* hash of the configuration; 0: not seen */
    bool invariant_told, conf_told;
} run;

/* ---- invariants, around each step of the core (the linker's --wrap) ---- */

static void life_ended(int node)
{
    if (run.seen_id[node] != 0) {
        raft_invariants_stopped(run.invariants, run.seen_id[node]);
        run.seen_id[node] = 0;
    }
}

/* Whoever has applied an index has the same configuration there, also after a restart. */
static void look_at_configuration(const struct raft *raft)
{
    struct raft_status status;
    struct raft_conf_state conf;
    raft_status(raft, &status);
    if (status.first_index - 1 > status.applied_index || status.applied_index >= CONF_INDEX_MAX ||
        status.applied_index == 0) {
        return; /* a snapshot is being installed, or nothing is known yet */
    }
    raft_conf_state(raft, &conf);
    uint64_t hash = 1;
    for (uint32_t i = 0; i < conf.voter_count; i++) {
        hash = (hash ^ conf.voters[i]) * UINT64_C(0x9e3779b97f4a7c15);
    }
    for (uint32_t i = 0; i < conf.learner_count; i++) {
        hash = (hash ^ ~conf.learners[i]) * UINT64_C(0x9e3779b97f4a7c15);
    }
    uint64_t *known = &run.conf_at[status.applied_index];
    if (*known != 0 && *known != hash && !run.conf_told) {
        run.conf_told = true;
        sim_violation("configuration",
                      "%" PRIx64 " has other members at index %" PRIu64
                      " than somebody had who applied it before",
                      status.id, status.applied_index);
    }
    *known = hash;
}

static void look_at(const struct raft *raft)
{
    if (run.invariants == NULL) {
        return;
    }
    int node = sim_node();
    sim_memory_world();
    if (run.seen_life[node] != sim_life(node)) {
        life_ended(node);
        run.seen_life[node] = sim_life(node);
        struct raft_status status;
        raft_status(raft, &status);
        run.seen_id[node] = status.id;
        struct history_restart restart = {sim_now_ns(), status.id};
        history_add_restart(&run.history, &restart);
    }
    raft_invariants_watch(run.invariants, raft);
    look_at_configuration(raft);
    const char *failure = raft_invariants_failure(run.invariants);
    if (failure != NULL && !run.invariant_told) {
        run.invariant_told = true;
        sim_violation("raft", "%s", failure);
    }
    sim_memory_back();
}

bool __real_raft_take_effects(struct raft *raft, struct raft_effects *out);
bool __wrap_raft_take_effects(struct raft *raft, struct raft_effects *out);
bool __wrap_raft_take_effects(struct raft *raft, struct raft_effects *out)
{
    look_at(raft);
    bool has_effects = __real_raft_take_effects(raft, out);
    look_at(raft);
    return has_effects;
}

void __real_raft_step(struct raft *raft, struct raft_message *message);
void __wrap_raft_step(struct raft *raft, struct raft_message *message);
void __wrap_raft_step(struct raft *raft, struct raft_message *message)
{
    __real_raft_step(raft, message);
    look_at(raft);
}

void __real_raft_persisted(struct raft *raft, uint64_t ticket);
void __wrap_raft_persisted(struct raft *raft, uint64_t ticket);
void __wrap_raft_persisted(struct raft *raft, uint64_t ticket)
{
    __real_raft_persisted(raft, ticket);
    look_at(raft);
}

/* What the log holds of term and vote: written last, and flushed. */
int __real_wal_append(struct wal *wal, const struct raft_entry *entries, uint32_t entry_count,
                      const struct raft_hard_state *hard_state);
int __wrap_wal_append(struct wal *wal, const struct raft_entry *entries, uint32_t entry_count,
                      const struct raft_hard_state *hard_state);
int __wrap_wal_append(struct wal *wal, const struct raft_entry *entries, uint32_t entry_count,
                      const struct raft_hard_state *hard_state)
{
    int rc = __real_wal_append(wal, entries, entry_count, hard_state);
    if (rc == 0 && hard_state != NULL) {
        run.written[sim_node()] = *hard_state;
    }
    return rc;
}

int __real_wal_sync(struct wal *wal);
int __wrap_wal_sync(struct wal *wal);
int __wrap_wal_sync(struct wal *wal)
{
    int rc = __real_wal_sync(wal);
    int node = sim_node();
    if (rc == 0 && run.invariants != NULL && run.seen_id[node] != 0 &&
        run.seen_life[node] == sim_life(node)) {
        sim_memory_world();
        raft_invariants_durable(run.invariants, run.seen_id[node], &run.written[node]);
        sim_memory_back();
    }
    return rc;
}

static void on_message(void *ctx, int from, int to, const struct raft_message *message)
{
    (void)ctx;
    (void)from;
    (void)to;
    raft_invariants_sent(run.invariants, message);
}

/* ---- the shape of a run, from its seed ---- */

static uint64_t one_of(struct rng *rng, const uint64_t *values, size_t count)
{
    return values[rng_below(rng, count)];
}
#define ONE_OF(rng, ...)                                                                           \
    one_of(rng, (const uint64_t[]){__VA_ARGS__},                                                   \
           sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void draw_members(struct rng *rng, struct members_options *out)
{
    *out = (struct members_options){
        .voters = (int)ONE_OF(rng, 3, 3, 3, 5, 1, 4),
        .snapshot_count = ONE_OF(rng, 20, 50, 200, 1000, 10000),
        .catchup_entries = ONE_OF(rng, 5, 20, 100, 5000),
        .segment_bytes = ONE_OF(rng, 16, 16, 64, 256) * 1024,
        .message_bytes = ONE_OF(rng, 0, 0, 100, 400, 2000),
        .compact_keys = ONE_OF(rng, 0, 1, 3, 10),
        .pull_bytes = ONE_OF(rng, 0, 1, 300, 3000),
        .cache_bytes = ONE_OF(rng, 0, 200, 2000),
        .heartbeat_ms = 100,
        .election_ms = (int64_t)ONE_OF(rng, 1000, 1000, 500),
        .batch_ms = (int64_t)ONE_OF(rng, 10, 100, 100, 1000, 3000),
    };
}

/* Drawn apart. */
static void draw_more(struct rng *rng, struct members_options *out)
{
    out->corrupt_check_ms = (int64_t)ONE_OF(rng, 0, 2000, 5000, 20000);
    out->compact_hash_check = rng_below(rng, 2) == 0;
}

static void draw_workload(struct rng *rng, uint64_t operations, struct workload_options *out)
{
    *out = (struct workload_options){
        .clients = (uint32_t)ONE_OF(rng, 2, 3, 4, 6),
        .watchers = (uint32_t)ONE_OF(rng, 2, 3, 5),
        .keys = (uint32_t)ONE_OF(rng, 3, 8, 20, 50),
        .think_ns = ONE_OF(rng, 5, 20, 50, 100) * MS,
        .timeout_ns = ONE_OF(rng, 500, 2000, 7000) * MS,
        .operations = operations,
        .leases = rng_below(rng, 4) != 0,
        .compactions = rng_below(rng, 3) != 0,
        .big_values = rng_below(rng, 4) == 0,
        .pick = members_pick,
    };
}

static void draw_net(struct rng *rng)
{
    struct sim_net_faults net = {
        .delay_min_ns = ONE_OF(rng, 0, 1, 5) * MS / 4,
        .delay_mean_ns = ONE_OF(rng, 1, 2, 20) * MS / 2,
        .is_ordered = rng_below(rng, 4) != 0,
        .loss_ppm = (uint32_t)ONE_OF(rng, 0, 0, 1000, 10000),
        .duplicate_ppm = (uint32_t)ONE_OF(rng, 0, 0, 1000, 20000),
        .duplicate_later_ns = 500 * MS,
        .queue_max = (uint32_t)ONE_OF(rng, 0, 8, 64),
        .bytes_per_s = ONE_OF(rng, 0, 200000, 5000000),
        .snapshot_break_ppm = (uint32_t)ONE_OF(rng, 0, 0, 200000),
    };
    const struct sim_client_net client = {MS / 5, ONE_OF(rng, 1, 5) * MS / 2};
    sim_net_set_faults(&net);
    sim_client_net_set(&client);
}

/* ---- phases ---- */

static bool is_drained(void *ctx)
{
    (void)ctx;
    return workload_is_done(run.workload);
}

static bool all_healthy(void *ctx)
{
    (void)ctx;
    return members_are_healthy();
}

static bool all_finished(void *ctx)
{
    (void)ctx;
    return workload_is_finished(run.workload) && members_are_healthy();
}

static bool all_hashed(void *ctx)
{
    (void)ctx;
    return nemesis_has_hashes();
}

static bool wait_for(bool (*stop)(void *ctx), const char *what)
{
    uint64_t begin = sim_now_ns();
    sim_run_until(begin + HEAL_NS, stop, NULL);
    if (stop(NULL)) {
        return true;
    }
    sim_violation("liveness", "%s: not within %" PRIu64 " s after the faults ended", what,
                  HEAL_NS / SECOND);
    members_explain();
    workload_explain(run.workload);
    return false;
}

/* A minority may stay dead for ever. */
static void leave_some_dead(struct rng *rng)
{
    int slot = members_pick(rng);
    if (rng_below(rng, 3) == 0 && slot != SIM_NOBODY && member_is_voter(slot) &&
        !members_are_changing() && atlas_allows(slot)) {
        sim_note("n%d stays dead for ever", slot);
        member_abandon(slot);
    }
}

/* Again when one was asked while a lease ended, or its answer was lost, or reading all that it
 * holds ended a member whose store has rotted: the hand replaces that one first. */
static void ask_hashes(void)
{
    for (int i = 0; i < HASH_TRIES; i++) {
        nemesis_ask_hashes();
        sim_run_until(sim_now_ns() + 6 * SECOND, all_hashed, NULL);
        if (nemesis_has_hashes()) {
            if (!nemesis_store_is_sound()) {
                sim_violation("store_rot", "a member serves although its store has rotted");
            }
            return;
        }
        if (!wait_for(all_healthy, "all members run and know everything")) {
            return;
        }
    }
    sim_violation("liveness", "the members do not all say their hash");
    members_explain();
}

static void heal(struct rng *rng)
{
    sim_note("the faults end");
    nemesis_end();
    leave_some_dead(rng);
    if (wait_for(all_healthy, "all members run and know everything")) {
        workload_finish(run.workload);
        if (wait_for(all_finished, "all clients and watches have seen the end")) {
            ask_hashes();
        }
    }
}

static void keep_history(const char *path)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    history_print(&run.history, &text);
    FILE *file = fopen(path, "we");
    bool is_good = file != NULL && fwrite(text.data, 1, text.size, file) == text.size;
    if ((file != NULL && fclose(file) != 0) || !is_good) {
        sim_violation("history", "cannot be written to %s", path);
    }
    buf_free(&text);
}

static void judge(uint64_t healthy_ns)
{
    struct check_config config;
    struct check_verdict verdict;
    check_config_init(&config);
    config.clock_drift_ppm = 110000;
    config.healthy_since_ns = healthy_ns;
    check_run(&run.history, &config, &verdict);
    for (uint32_t i = 0; i < BASE_MIN(verdict.violation_count, (uint64_t)STORY_CHECKS); i++) {
        const struct check_violation *violation = &verdict.violations[i];
        sim_violation(check_name_text(violation->name), "%s", violation->story);
    }
    run.result->operations = verdict.operations;
    run.result->unknown = verdict.unknown;
    run.result->watch_events = verdict.watch_events;
    run.result->hashes = verdict.hashes;
    run.result->undecided = verdict.undecided;
}

static void count_members(void)
{
    struct members_counts members;
    struct sim_net_counts net;
    struct raft_invariants_counts raft;
    members_counts(&members);
    sim_net_counts(&net);
    raft_invariants_counts(run.invariants, &raft);
    run.result->promotions = members.promoted;
    run.result->restarts = members.restarts;
    run.result->snapshots = net.snapshots;
    run.result->messages = net.sent;
    run.result->messages_lost = net.lost + net.cut;
    run.result->elections = raft.elections;
    run.result->views = raft.views;
}

static void stop_all(void)
{
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (member_is_wanted(slot) && !member_is_abandoned(slot)) {
            member_hold(slot);
            sim_node_stop(slot);
        }
    }
    sim_run_until(sim_now_ns() + 15 * SECOND, NULL, NULL);
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (member_is_wanted(slot) && !member_is_abandoned(slot) &&
            sim_node_state(slot) != SIM_NODE_OFF) {
            sim_violation("stop", "n%d did not stop when it was asked to: %s", slot,
                          sim_node_why(slot));
        }
    }
}

/* In one world of two that have a snapshot. */
static void restore_some(struct rng *rng)
{
    struct nemesis_saved saved;
    if (rng_below(rng, 2) == 0 && nemesis_take_saved(&saved)) {
        sim_note("fault: %s", fault_name(FAULT_RESTORE));
        nemesis_count(FAULT_RESTORE);
        /* What clients of the old cluster have on the way must not reach the new one. */
        sim_run_until(sim_now_ns() + 2 * SECOND, NULL, NULL);
        restore_world(&saved, &run.history, rng);
        buf_free(&saved.bytes);
    }
}

void faults_run(const struct faults_plan *plan, struct faults_result *result)
{
    struct members_options members;
    struct workload_options workload;
    struct rng *rng = sim_rng(SIM_RNG_NEMESIS);
    memset(&run, 0, sizeof(run));
    memset(result, 0, sizeof(*result));
    run.result = result;
    history_init(&run.history);
    run.invariants = raft_invariants_new();
    struct rng more;
    rng_seed(&more, plan->more_seed);
    draw_members(rng, &members);
    draw_more(&more, &members);
    draw_workload(rng, plan->operations, &workload);
    draw_net(rng);
    sim_net_set_tap(on_message, NULL);
    members_begin(&members);
    run.workload = workload_new(&workload, &run.history);
    sim_note("%d members, %u clients, %u watchers, %u keys", members.voters, workload.clients,
             workload.watchers, workload.keys);
    workload_start(run.workload);
    nemesis_begin(plan->faults, plan->fault_count, &run.history, run.workload);
    sim_run_until(plan->options.end_ns, NULL, NULL);
    sim_run_until(plan->options.end_ns + 20 * SECOND, is_drained, NULL);
    uint64_t healthy_ns = sim_now_ns();
    heal(rng);
    count_members();
    stop_all();
    sim_net_set_tap(NULL, NULL);
    members_end();
    raft_invariants_free(run.invariants);
    run.invariants = NULL;
    restore_some(&more);
    nemesis_counts(run.result->faults);
    if (plan->history != NULL) {
        keep_history(plan->history);
    }
    judge(healthy_ns);
    nemesis_free();
    workload_free(run.workload);
    history_free(&run.history);
}
