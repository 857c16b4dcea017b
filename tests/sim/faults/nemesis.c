/* SPDX-License-Identifier: Apache-2.0 */
/* See nemesis.h. Faults of members and clocks, and the schedule; those of disks and networks are in
 * nemesis_disk.c and nemesis_net.c. */
#include "tests/sim/faults/nemesis.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/faults/nemesis_internal.h"

#define SECOND          UINT64_C(1000000000)
#define HELD_MEAN_NS    UINT64_C(600000000)
#define DRIFT_PPM       100000
#define JUMP_NS         INT64_C(3600000000000)
#define CALLS_MAX       150u
#define ALLOCATIONS_MAX 40000u
#define HICCUP_PPM      20000u
#define HICCUP_NS       UINT64_C(60000000)
#define PAUSE_LONG_NS   UINT64_C(30000000000)

struct nemesis nemesis;

const char *fault_name(enum fault_kind kind)
{
    static const char *const names[] = {
#define X(name, text, weight) text,
        NEMESIS_FAULTS(X)
#undef X
    };
    return names[kind];
}

/* ---- drawing ---- */

static enum fault_kind draw_kind(struct rng *rng)
{
    static const uint32_t weights[] = {
#define X(name, text, weight) weight,
        NEMESIS_FAULTS(X)
#undef X
    };
    uint32_t sum = 0;
    for (size_t i = 0; i < ARRAY_COUNT(weights); i++) {
        sum += weights[i];
    }
    uint64_t left = rng_below(rng, sum);
    for (size_t i = 0; i < ARRAY_COUNT(weights); i++) {
        if (left < weights[i]) {
            return (enum fault_kind)i;
        }
        left -= weights[i];
    }
    return FAULT_KILL;
}

static void draw_fault(enum fault_kind kind, const struct nemesis_options *options, struct rng *rng,
                       struct fault *out)
{
    out->kind = kind;
    out->at_ns = options->begin_ns + rng_below(rng, options->end_ns - options->begin_ns);
    out->length_ns = SECOND / 10 + sim_exponential_ns(rng, 2 * SECOND);
    out->seed = rng_next(rng);
}

struct fault *nemesis_draw(const struct nemesis_options *options, struct rng *rng)
{
    struct fault *faults = mem_array(options->count + NEMESIS_MORE_MAX, sizeof(*faults));
    for (uint32_t i = 0; i < options->count; i++) {
        draw_fault(draw_kind(rng), options, rng, &faults[i]);
    }
    return faults;
}

uint32_t nemesis_draw_more(const struct nemesis_options *options, struct rng *rng,
                           struct fault *faults)
{
    if (options->count == 0 || rng_below(rng, 3) != 0) {
        return 0;
    }
    draw_fault(FAULT_STORE_ROT, options, rng, &faults[options->count]);
    return 1;
}

/* ---- what lasts ---- */

struct lasting *nemesis_lasts(const struct fault *fault, int slot, sim_fn over)
{
    for (size_t i = 0; i < ARRAY_COUNT(nemesis.lasting); i++) {
        struct lasting *lasting = &nemesis.lasting[i];
        if (lasting->over == NULL) {
            *lasting = (struct lasting){.fault = fault, .slot = slot, .over = over};
            return lasting;
        }
    }
    return NULL;
}

static void lasting_is_over(void *ctx)
{
    struct lasting *lasting = ctx;
    sim_fn over = lasting->over;
    if (over != NULL) {
        over(lasting);
        lasting->over = NULL;
    }
}

void nemesis_ends_at(struct lasting *lasting, uint64_t length_ns)
{
    sim_at(sim_now_ns() + length_ns, lasting_is_over, lasting);
}

/* Begins what ends by itself; false: too much lasts already. */
static bool lasts(const struct fault *fault, int slot, sim_fn over, uint64_t length_ns)
{
    struct lasting *lasting = nemesis_lasts(fault, slot, over);
    if (lasting != NULL) {
        nemesis_ends_at(lasting, length_ns);
    }
    return lasting != NULL;
}

/* ---- processes ---- */

bool nemesis_is_protected(int slot)
{
    return slot != SIM_NOBODY && nemesis.protected_until[slot] > sim_now_ns();
}

static void hold_over(void *ctx)
{
    member_let_go(((struct lasting *)ctx)->slot);
}

/* It stays down for a while; the hand restarts it then. */
static void stay_down(const struct fault *fault, struct rng *rng, int slot)
{
    if (lasts(fault, slot, hold_over, sim_exponential_ns(rng, HELD_MEAN_NS))) {
        member_hold(slot);
    }
}

static bool fault_kill(const struct fault *fault, struct rng *rng, int slot)
{
    if (slot == SIM_NOBODY || nemesis_is_protected(slot)) {
        return false;
    }
    stay_down(fault, rng, slot);
    sim_node_kill(slot);
    return true;
}

static bool fault_power(const struct fault *fault, struct rng *rng, int slot,
                        enum sim_power_cut how)
{
    if (!fault_kill(fault, rng, slot)) {
        return false;
    }
    sim_disk_power_cut(sim_node_disk(slot), how);
    return true;
}

static bool fault_power_all(const struct fault *fault, struct rng *rng)
{
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (member_is_wanted(slot) && !member_is_abandoned(slot)) {
            (void)fault_power(fault, rng, slot, SIM_CUT_SUBSET);
        }
    }
    return true;
}

static void pause_over(void *ctx)
{
    sim_node_pause(((struct lasting *)ctx)->slot, false);
}

static bool fault_pause(const struct fault *fault, struct rng *rng, int slot)
{
    if (slot == SIM_NOBODY || sim_node_state(slot) != SIM_NODE_RUNNING) {
        return false;
    }
    uint64_t length = rng_below(rng, 8) == 0 ? rng_below(rng, PAUSE_LONG_NS) : fault->length_ns;
    if (!lasts(fault, slot, pause_over, length)) {
        return false;
    }
    sim_node_pause(slot, true);
    return true;
}

static bool fault_stop(const struct fault *fault, struct rng *rng, int slot)
{
    if (slot == SIM_NOBODY || nemesis_is_protected(slot)) {
        return false;
    }
    stay_down(fault, rng, slot);
    sim_node_stop(slot);
    return true;
}

static bool fault_kill_at(struct rng *rng, int slot, bool is_disk)
{
    if (slot == SIM_NOBODY || nemesis_is_protected(slot)) {
        return false;
    }
    if (is_disk) {
        sim_node_kill_at_disk_call(slot, 1 + rng_below(rng, CALLS_MAX));
    } else {
        sim_node_fail_at_allocation(slot, 1 + rng_below(rng, ALLOCATIONS_MAX));
    }
    return true;
}

/* ---- clocks and the processor ---- */

static void clock_over(void *ctx)
{
    struct lasting *lasting = ctx;
    nemesis.clock_rate[lasting->slot] = 0;
    sim_node_clock(lasting->slot, 0, nemesis.wall_offset[lasting->slot]);
}

static bool fault_clock(const struct fault *fault, struct rng *rng, bool is_jump)
{
    int slot = (int)rng_below(rng, SIM_NODES_MAX);
    if (!member_is_wanted(slot)) {
        slot = members_pick(rng);
    }
    if (slot == SIM_NOBODY) {
        return false;
    }
    if (is_jump) {
        nemesis.wall_offset[slot] = (int64_t)rng_below(rng, 2 * (uint64_t)JUMP_NS) - JUMP_NS;
    } else {
        if (!lasts(fault, slot, clock_over, 5 * fault->length_ns)) {
            return false;
        }
        nemesis.clock_rate[slot] = (int64_t)rng_below(rng, 2 * DRIFT_PPM) - DRIFT_PPM;
    }
    sim_node_clock(slot, nemesis.clock_rate[slot], nemesis.wall_offset[slot]);
    return true;
}

static void hiccup_over(void *ctx)
{
    (void)ctx;
    struct sim_schedule schedule = nemesis.schedule;
    sim_schedule_set(&schedule);
}

static bool fault_hiccup(const struct fault *fault)
{
    struct sim_schedule schedule = nemesis.schedule;
    schedule.hiccup_ppm = HICCUP_PPM;
    schedule.hiccup_ns = HICCUP_NS;
    if (!lasts(fault, SIM_NOBODY, hiccup_over, fault->length_ns)) {
        return false;
    }
    sim_schedule_set(&schedule);
    return true;
}

/* ---- membership ---- */

static bool fault_member(struct rng *rng, enum fault_kind kind)
{
    int slot = members_pick(rng);
    if (slot == SIM_NOBODY) {
        return false;
    }
    switch (kind) {
    case FAULT_MEMBER_ADD:
        return members_voters() < 5 && members_add() == 0;
    case FAULT_MEMBER_REMOVE:
        return members_remove(slot) == 0;
    default:
        return members_replace(slot) == 0;
    }
}

/* ---- the schedule ---- */

static bool fault_process(const struct fault *fault, struct rng *rng)
{
    switch (fault->kind) {
    case FAULT_KILL:
        return fault_kill(fault, rng, members_pick_running(rng));
    case FAULT_KILL_LEADER:
        return fault_kill(fault, rng, members_leader());
    case FAULT_KILL_AT_DISK_CALL:
        return fault_kill_at(rng, members_pick_running(rng), true);
    case FAULT_KILL_AT_ALLOCATION:
        return fault_kill_at(rng, members_pick_running(rng), false);
    case FAULT_STOP:
        return fault_stop(fault, rng, members_pick_running(rng));
    case FAULT_PAUSE:
        return fault_pause(fault, rng, members_pick_running(rng));
    case FAULT_PAUSE_LEADER:
        return fault_pause(fault, rng, members_leader());
    case FAULT_POWER_LOST_UNSYNCED:
        return fault_power(fault, rng, members_pick_running(rng), SIM_CUT_LOSE_ALL);
    case FAULT_POWER_TORN:
        return fault_power(fault, rng, members_pick_running(rng), SIM_CUT_SUBSET);
    default:
        return fault_power_all(fault, rng);
    }
}

static bool fault_run(const struct fault *fault, struct rng *rng)
{
    switch (fault->kind) {
    case FAULT_ROT:
    case FAULT_MISDIRECTED:
    case FAULT_SYNC_ERROR:
    case FAULT_WRITE_ERROR:
    case FAULT_READ_ERROR:
    case FAULT_NO_SPACE:
    case FAULT_SLOW_DISK:
    case FAULT_STORE_ROT:
        return nemesis_disk(fault, rng);
    case FAULT_DELAY:
    case FAULT_LOSS:
    case FAULT_DUPLICATE:
    case FAULT_REORDER:
    case FAULT_CLOG:
    case FAULT_CUT_ISOLATE:
    case FAULT_CUT_LEADER:
    case FAULT_CUT_SPLIT:
    case FAULT_CUT_ONE_WAY:
    case FAULT_CUT_BRIDGE:
    case FAULT_CUT_RING:
        return nemesis_net(fault, rng);
    case FAULT_CLOCK_DRIFT:
    case FAULT_CLOCK_JUMP:
        return fault_clock(fault, rng, fault->kind == FAULT_CLOCK_JUMP);
    case FAULT_HICCUP:
        return fault_hiccup(fault);
    case FAULT_MEMBER_REPLACE:
    case FAULT_MEMBER_ADD:
    case FAULT_MEMBER_REMOVE:
        return fault_member(rng, fault->kind);
    case FAULT_MOVE_LEADER:
    case FAULT_COMPACT:
    case FAULT_DEFRAGMENT:
    case FAULT_SNAPSHOT:
    case FAULT_HASH:
        return nemesis_admin(fault, rng);
    default:
        return fault_process(fault, rng);
    }
}

static void fault_begins(void *ctx)
{
    const struct fault *fault = ctx;
    struct rng rng;
    rng_seed(&rng, fault->seed);
    if (nemesis.is_over || fault->is_skipped) {
        return;
    }
    sim_note("fault: %s", fault_name(fault->kind));
    if (fault_run(fault, &rng)) {
        nemesis.counts[fault->kind]++;
    }
}

void nemesis_begin(const struct fault *faults, uint32_t count, struct history *history,
                   const struct workload *workload)
{
    memset(&nemesis, 0, sizeof(nemesis));
    buf_init(&nemesis.saved.bytes, BUF_NO_LIMIT);
    nemesis.history = history;
    nemesis.workload = workload;
    nemesis.net = *sim_net_faults();
    nemesis.schedule = (struct sim_schedule){.turn_ns = 2000, .wake_ns = 20000};
    nemesis.disk = *sim_disk_faults(sim_node_disk(0));
    sim_schedule_set(&nemesis.schedule);
    for (uint32_t i = 0; i < count; i++) {
        sim_at(faults[i].at_ns, fault_begins, (void *)(uintptr_t)&faults[i]);
    }
}

void nemesis_end(void)
{
    nemesis.is_over = true;
    for (size_t i = 0; i < ARRAY_COUNT(nemesis.lasting); i++) {
        lasting_is_over(&nemesis.lasting[i]);
    }
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        sim_node_kill_at_disk_call(slot, 0);
        sim_node_fail_at_allocation(slot, 0);
        sim_disk_set_faults(sim_node_disk(slot), &nemesis.disk);
        sim_node_clock(slot, 0, nemesis.wall_offset[slot]);
    }
    sim_net_heal();
    sim_net_set_faults(&nemesis.net);
    sim_schedule_set(&nemesis.schedule);
}

void nemesis_free(void)
{
    buf_free(&nemesis.saved.bytes);
}

void nemesis_count(enum fault_kind kind)
{
    nemesis.counts[kind]++;
}

void nemesis_counts(uint64_t out[FAULT_COUNT])
{
    memcpy(out, nemesis.counts, sizeof(nemesis.counts));
}
