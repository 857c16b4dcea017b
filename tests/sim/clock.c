/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks of the nodes: each runs at a rate of its own, and its wall clock is off by something.
 * A clock does not move within a turn. */
#include "base/seam/clock.h"

#include "base/assert.h"
#include "tests/sim/sim_internal.h"

#define PPM     1000000
#define BOOT_NS UINT64_C(1000000000000) /* at least so long before the world begins */
#define BOOT_SPAN_NS                                                                               \
    UINT64_C(1000000000) /* and up to so much more: their ticks do not fall together */
#define WALL_EPOCH_NS INT64_C(1767225600000000000) /* 2026-01-01 */

struct node_clock {
    uint64_t true_ns, monotonic_ns; /* a moment at which this rate began, and what it showed */
    int64_t rate_ppm, wall_offset_ns;
};

static struct node_clock clocks[SIM_NODES_MAX];
static uint64_t boots[SIM_NODES_MAX];

void clocks_begin(void)
{
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        uint64_t more = rng_below(sim_rng(SIM_RNG_SCHEDULE), BOOT_SPAN_NS);
        clocks[i] = (struct node_clock){.monotonic_ns = BOOT_NS + more};
        boots[i] = BOOT_NS + more;
    }
}

uint64_t sim_node_monotonic_ns(int node)
{
    const struct node_clock *clock = &clocks[node];
    uint64_t passed = sim_now_ns() - clock->true_ns;
    if (clock->rate_ppm == 0) {
        return clock->monotonic_ns + passed;
    }
    return clock->monotonic_ns +
           (uint64_t)((unsigned __int128)passed * (uint64_t)(PPM + clock->rate_ppm) / PPM);
}

uint64_t clock_true_of(int node, uint64_t monotonic_ns)
{
    const struct node_clock *clock = &clocks[node];
    if (monotonic_ns <= clock->monotonic_ns) {
        return clock->true_ns;
    }
    unsigned __int128 left = monotonic_ns - clock->monotonic_ns;
    uint64_t rate = (uint64_t)(PPM + clock->rate_ppm);
    unsigned __int128 passed = (left * PPM + rate - 1) / rate;
    return passed > UINT64_MAX / 2 ? UINT64_MAX / 2 : clock->true_ns + (uint64_t)passed;
}

void sim_node_clock(int node, int64_t rate_ppm, int64_t wall_offset_ns)
{
    ASSERT(node >= 0 && node < SIM_NODES_MAX && rate_ppm > -PPM);
    clocks[node] = (struct node_clock){.true_ns = sim_now_ns(),
                                       .monotonic_ns = sim_node_monotonic_ns(node),
                                       .rate_ppm = rate_ppm,
                                       .wall_offset_ns = wall_offset_ns};
    if (node_life(node) != NULL) {
        loops_clock_changed(node_life(node));
    }
}

/* ---- base/seam/clock.h ---- */

static uint64_t monotonic_ns(void *ctx)
{
    (void)ctx;
    return sim_node() == SIM_NOBODY ? sim_now_ns() + BOOT_NS : sim_node_monotonic_ns(sim_node());
}

static int64_t wall_ns(void *ctx)
{
    int node = sim_node();
    uint64_t passed = monotonic_ns(ctx) - (node == SIM_NOBODY ? BOOT_NS : boots[node]);
    int64_t offset = node == SIM_NOBODY ? 0 : clocks[node].wall_offset_ns;
    return WALL_EPOCH_NS + (int64_t)passed + offset;
}

const struct clock_seam *clock_posix(void)
{
    static const struct clock_seam clock = {NULL, monotonic_ns, wall_ns};
    return &clock;
}

uint64_t loop_clock_ns(void)
{
    return monotonic_ns(NULL);
}
