/* SPDX-License-Identifier: Apache-2.0 */
/* The shapes of a partition, as cuts between pairs of nodes. */
#include "base/assert.h"
#include "tests/sim/net.h"

static void shuffle(int *nodes, int count, struct rng *rng)
{
    for (int i = count - 1; i > 0; i--) {
        int j = (int)rng_below(rng, (uint64_t)i + 1);
        int kept = nodes[i];
        nodes[i] = nodes[j];
        nodes[j] = kept;
    }
}

/* Between the nodes [0, split) and [split, count), but for those at bridge (count: none). */
static void cut_groups(const int *nodes, int count, int split, int bridge, bool both_ways)
{
    for (int i = 0; i < split; i++) {
        for (int j = split; j < count; j++) {
            if (i != bridge && j != bridge) {
                sim_net_cut(nodes[i], nodes[j], true);
                sim_net_cut(nodes[j], nodes[i], both_ways);
            }
        }
    }
}

/* In a circle, each sees itself and as many on both sides as a majority needs. */
static void cut_ring(const int *nodes, int count)
{
    int reach = count / 2 / 2 + count / 2 % 2; /* half of the others in a majority, rounded up */
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            int apart = i < j ? j - i : i - j;
            apart = apart > count - apart ? count - apart : apart;
            if (apart > reach) {
                sim_net_cut(nodes[i], nodes[j], true);
            }
        }
    }
}

void sim_net_partition(enum sim_partition kind, const int *nodes, int count, struct rng *rng)
{
    int order[SIM_NODES_MAX];
    ASSERT(count >= 0 && count <= SIM_NODES_MAX);
    for (int i = 0; i < count; i++) {
        order[i] = nodes[i];
        for (int j = 0; j < count; j++) {
            sim_net_cut(nodes[i], nodes[j], false);
        }
    }
    if (count < 2) {
        return;
    }
    shuffle(order, count, rng);
    int split = 1 + (int)rng_below(rng, (uint64_t)count - 1);
    switch (kind) {
    case SIM_PARTITION_ISOLATE:
        cut_groups(order, count, 1, count, true);
        break;
    case SIM_PARTITION_SPLIT:
        cut_groups(order, count, split, count, true);
        break;
    case SIM_PARTITION_ONE_WAY:
        cut_groups(order, count, split, count, false);
        break;
    case SIM_PARTITION_BRIDGE:
        cut_groups(order, count, count / 2, count / 2, true);
        break;
    case SIM_PARTITION_RING:
        if (count <= 3) {
            cut_groups(order, count, count / 2, count / 2, true);
        } else {
            cut_ring(order, count);
        }
        break;
    case SIM_PARTITION_COUNT:
        ASSERT(false);
    }
}
