/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of the network: windows in which it is worse than usual, and cuts, one at a time. */
#include <string.h>

#include "base/assert.h"
#include "tests/sim/faults/nemesis_internal.h"

#define MS UINT64_C(1000000)

static void apply_windows(void)
{
    struct sim_net_faults faults = nemesis.net;
    if (nemesis.net_windows[FAULT_DELAY] > 0) {
        faults.delay_min_ns = 20 * MS;
        faults.delay_mean_ns = 80 * MS;
    }
    if (nemesis.net_windows[FAULT_LOSS] > 0) {
        faults.loss_ppm = 200000;
    }
    if (nemesis.net_windows[FAULT_DUPLICATE] > 0) {
        faults.duplicate_ppm = 300000;
        faults.duplicate_later_ns = 3000 * MS;
    }
    if (nemesis.net_windows[FAULT_REORDER] > 0) {
        faults.is_ordered = false;
        faults.delay_mean_ns += 15 * MS;
    }
    if (nemesis.net_windows[FAULT_CLOG] > 0) {
        faults.clog_ppm = 20000;
        faults.clog_mean_ns = 500 * MS;
    }
    sim_net_set_faults(&faults);
}

static void window_over(void *ctx)
{
    const struct lasting *lasting = ctx;
    nemesis.net_windows[lasting->fault->kind]--;
    apply_windows();
}

static void cut_over(void *ctx)
{
    (void)ctx;
    nemesis.is_cut = false;
    sim_net_heal();
}

static int list_members(int out[SIM_NODES_MAX])
{
    int count = 0;
    for (int slot = 0; slot < SIM_NODES_MAX; slot++) {
        if (member_is_wanted(slot)) {
            out[count++] = slot;
        }
    }
    return count;
}

static void cut_leader(const int *nodes, int count)
{
    int leader = members_leader();
    for (int i = 0; i < count; i++) {
        if (leader != SIM_NOBODY && nodes[i] != leader) {
            sim_net_cut(leader, nodes[i], true);
            sim_net_cut(nodes[i], leader, true);
        }
    }
}

static bool cut(const struct fault *fault, struct rng *rng)
{
    int nodes[SIM_NODES_MAX];
    int count = list_members(nodes);
    struct lasting *lasting;
    if (nemesis.is_cut || count < 2 ||
        (lasting = nemesis_lasts(fault, SIM_NOBODY, cut_over)) == NULL) {
        return false;
    }
    static const enum sim_partition kinds[FAULT_COUNT] = {
        [FAULT_CUT_ISOLATE] = SIM_PARTITION_ISOLATE, [FAULT_CUT_SPLIT] = SIM_PARTITION_SPLIT,
        [FAULT_CUT_ONE_WAY] = SIM_PARTITION_ONE_WAY, [FAULT_CUT_BRIDGE] = SIM_PARTITION_BRIDGE,
        [FAULT_CUT_RING] = SIM_PARTITION_RING,
    };
    nemesis.is_cut = true;
    if (fault->kind == FAULT_CUT_LEADER) {
        cut_leader(nodes, count);
    } else {
        sim_net_partition(kinds[fault->kind], nodes, count, rng);
    }
    nemesis_ends_at(lasting, 2 * fault->length_ns);
    return true;
}

bool nemesis_net(const struct fault *fault, struct rng *rng)
{
    switch (fault->kind) {
    case FAULT_DELAY:
    case FAULT_LOSS:
    case FAULT_DUPLICATE:
    case FAULT_REORDER:
    case FAULT_CLOG: {
        struct lasting *lasting = nemesis_lasts(fault, SIM_NOBODY, window_over);
        if (lasting == NULL) {
            return false;
        }
        nemesis.net_windows[fault->kind]++;
        apply_windows();
        nemesis_ends_at(lasting, fault->length_ns);
        return true;
    }
    default:
        return cut(fault, rng);
    }
}
