/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated network: its state, its draws, links and cuts. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/net_internal.h"

#define LOG2_BITS 24u
#define LN2_24    UINT64_C(11629080) /* ln 2 in 24 bits after the point */

static struct net the_net;

struct net *net_state(void)
{
    return &the_net;
}

uint64_t net_id_new(void)
{
    return ++the_net.last_id;
}

void sim_net_begin(void)
{
    ASSERT(!the_net.is_begun);
    the_net = (struct net){.is_begun = true};
    the_net.faults = (struct sim_net_faults){
        .delay_min_ns = NET_MS / 10, .delay_mean_ns = NET_MS / 5, .is_ordered = true};
    list_init(&the_net.exchanges);
    list_init(&the_net.packets);
    list_init(&the_net.ports);
    map_init(&the_net.exchanges_by_id);
    map_init(&the_net.packets_by_id);
}

void sim_net_end(void)
{
    ASSERT(the_net.is_begun);
    for (int node = 0; node < SIM_NODES_MAX; node++) {
        net_server_died(node);
    }
    net_raft_free_all();
    net_exchange_free_all();
    map_free(&the_net.exchanges_by_id);
    map_free(&the_net.packets_by_id);
    the_net = (struct net){0};
}

void sim_net_set_faults(const struct sim_net_faults *faults)
{
    the_net.faults = *faults;
}

const struct sim_net_faults *sim_net_faults(void)
{
    return &the_net.faults;
}

void sim_net_counts(struct sim_net_counts *out)
{
    *out = the_net.counts;
}

void sim_net_set_tap(sim_net_tap tap, void *ctx)
{
    the_net.tap = tap;
    the_net.tap_ctx = ctx;
}

void sim_net_set_send_tap(sim_net_send_tap tap, void *ctx)
{
    the_net.send_tap = tap;
    the_net.send_tap_ctx = ctx;
}

int net_send_fails(void)
{
    bool asked = the_net.send_tap != NULL && sim_node() != SIM_NOBODY;
    return asked ? the_net.send_tap(the_net.send_tap_ctx) : 0;
}

/* ---- draws ---- */

bool net_chance(uint32_t ppm)
{
    return ppm > 0 && rng_below(sim_rng(SIM_RNG_NET), NET_PPM) < ppm;
}

/*
 * -ln(u) * mean in whole numbers, so that a seed means the same on every machine: the logarithm to
 * base 2 comes from leading zeros and repeated squaring.
 */
uint64_t net_exponential(uint64_t mean_ns)
{
    uint64_t draw = rng_next(sim_rng(SIM_RNG_NET)) | 1u;
    unsigned zeros = (unsigned)__builtin_clzll(draw);
    uint64_t mantissa = draw << zeros;
    uint64_t fraction = 0;
    for (unsigned i = 0; i < LOG2_BITS; i++) {
        unsigned __int128 square = (unsigned __int128)mantissa * mantissa >> 63;
        bool carries = square >> 64 != 0;
        mantissa = (uint64_t)(carries ? square >> 1 : square);
        fraction = fraction << 1 | (carries ? 1u : 0u);
    }
    uint64_t minus_log2 = ((uint64_t)(zeros + 1) << LOG2_BITS) - fraction;
    unsigned __int128 minus_ln = (unsigned __int128)minus_log2 * LN2_24 >> LOG2_BITS;
    return (uint64_t)(minus_ln * mean_ns >> LOG2_BITS);
}

static uint64_t slow_ns(int node)
{
    bool is_slow = node >= 0 && node < SIM_NODES_MAX && the_net.slow_mean_ns[node] > 0;
    return is_slow ? net_exponential(the_net.slow_mean_ns[node]) : 0;
}

uint64_t net_arrival_ns(int from, int to)
{
    const struct net_link *link = net_link_of(from, to);
    uint64_t leaves_ns = sim_now_ns();
    leaves_ns = link == NULL ? leaves_ns : BASE_MAX(leaves_ns, link->clogged_until_ns);
    return leaves_ns + the_net.faults.delay_min_ns + net_exponential(the_net.faults.delay_mean_ns) +
           slow_ns(from) + slow_ns(to);
}

uint64_t net_transfer_ns(size_t bytes)
{
    uint64_t rate = the_net.faults.bytes_per_s;
    rate = rate == 0 ? SIM_NET_BYTES_PER_S : rate;
    return (uint64_t)((unsigned __int128)bytes * 1000000000u / rate);
}

/* ---- links ---- */

struct net_link *net_link_of(int from, int to)
{
    bool is_link = from >= 0 && from < SIM_NODES_MAX && to >= 0 && to < SIM_NODES_MAX;
    return is_link ? &the_net.links[from][to] : NULL;
}

bool net_is_cut(int from, int to)
{
    const struct net_link *link = net_link_of(from, to);
    return link != NULL && link->is_cut;
}

bool sim_net_is_cut(int from, int to)
{
    return net_is_cut(from, to);
}

void sim_net_cut(int from, int to, bool cut)
{
    struct net_link *link = net_link_of(from, to);
    ASSERT(link != NULL);
    if (cut && !link->is_cut) {
        link->cut_count++;
    }
    link->is_cut = cut;
}

void sim_net_clog(int from, int to, uint64_t until_ns)
{
    struct net_link *link = net_link_of(from, to);
    ASSERT(link != NULL);
    link->clogged_until_ns = until_ns;
}

void sim_net_slow(int node, uint64_t mean_ns)
{
    ASSERT(node >= 0 && node < SIM_NODES_MAX);
    the_net.slow_mean_ns[node] = mean_ns;
}

void sim_net_heal(void)
{
    for (int from = 0; from < SIM_NODES_MAX; from++) {
        for (int to = 0; to < SIM_NODES_MAX; to++) {
            the_net.links[from][to].is_cut = false;
        }
    }
}

void sim_net_node_died(int node)
{
    ASSERT(node >= 0 && node < SIM_NODES_MAX);
    sim_memory_world();
    the_net.is_host_gone[node] = net_chance(NET_HOST_GONE_PPM);
    net_server_died(node);
    net_raft_died(node);
    net_exchange_died(node);
    sim_memory_back();
}
