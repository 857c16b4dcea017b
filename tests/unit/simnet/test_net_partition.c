/* SPDX-License-Identifier: Apache-2.0 */
/* The shapes of a partition: who still reaches whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib_world.h"

static struct rng rng;

static int begin(void **state)
{
    (void)state;
    world_begin(1);
    rng_seed(&rng, 5);
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_end();
    return 0;
}

static const int NODES[] = {3, 5, 0, 8, 1, 2, 11};

/* Nodes whose messages arrive at it and that hear it, itself among them. */
static int seen_by(int node, int count)
{
    int seen = 0;
    for (int i = 0; i < count; i++) {
        bool both = !sim_net_is_cut(node, NODES[i]) && !sim_net_is_cut(NODES[i], node);
        seen += both || NODES[i] == node ? 1 : 0;
    }
    return seen;
}

static unsigned set_of(int node, int count)
{
    unsigned set = 0;
    for (int i = 0; i < count; i++) {
        set |= NODES[i] == node || !sim_net_is_cut(node, NODES[i]) ? 1u << i : 0;
    }
    return set;
}

static int cut_count(int count)
{
    int cuts = 0;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            cuts += sim_net_is_cut(NODES[i], NODES[j]) ? 1 : 0;
        }
    }
    return cuts;
}

static void one_is_isolated(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        int alone = 0;
        sim_net_partition(SIM_PARTITION_ISOLATE, NODES, 5, &rng);
        for (int i = 0; i < 5; i++) {
            int seen = seen_by(NODES[i], 5);
            assert_true(seen == 1 || seen == 4);
            alone += seen == 1 ? 1 : 0;
        }
        assert_int_equal(alone, 1);
    }
}

static void two_groups_see_only_themselves(void **state)
{
    (void)state;
    unsigned sizes = 0;
    for (int round = 0; round < 100; round++) {
        sim_net_partition(SIM_PARTITION_SPLIT, NODES, 5, &rng);
        unsigned first = set_of(NODES[0], 5);
        int size = __builtin_popcount(first);
        assert_in_range(size, 1, 4);
        sizes |= 1u << size;
        for (int i = 0; i < 5; i++) {
            unsigned set = set_of(NODES[i], 5);
            assert_true(set == first || set == (~first & 0x1fu));
        }
    }
    assert_int_equal(sizes, 0x1e); /* of all sizes */
}

static void one_way_cuts_are_of_one_way(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        sim_net_partition(SIM_PARTITION_ONE_WAY, NODES, 5, &rng);
        assert_true(cut_count(5) >= 4);
        for (int i = 0; i < 5; i++) {
            for (int j = 0; j < 5; j++) {
                assert_false(sim_net_is_cut(NODES[i], NODES[j]) &&
                             sim_net_is_cut(NODES[j], NODES[i]));
            }
        }
    }
}

static void a_bridge_sees_all(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        int bridges = 0;
        sim_net_partition(SIM_PARTITION_BRIDGE, NODES, 5, &rng);
        for (int i = 0; i < 5; i++) {
            int seen = seen_by(NODES[i], 5);
            assert_true(seen == 5 || seen == 3);
            bridges += seen == 5 ? 1 : 0;
        }
        assert_int_equal(bridges, 1);
    }
}

static void in_a_ring_each_sees_another_majority(void **state)
{
    (void)state;
    for (int count = 3; count <= 7; count++) {
        sim_net_partition(SIM_PARTITION_RING, NODES, count, &rng);
        assert_true(cut_count(count) > 0);
        for (int i = 0; i < count; i++) {
            assert_true(seen_by(NODES[i], count) > count / 2);
            for (int j = 0; j < i; j++) {
                assert_int_not_equal(set_of(NODES[i], count), set_of(NODES[j], count));
            }
        }
    }
}

static void a_new_shape_replaces_the_old_one_and_heal_ends_all(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        sim_net_partition((enum sim_partition)(round % SIM_PARTITION_COUNT), NODES, 7, &rng);
    }
    sim_net_partition(SIM_PARTITION_ISOLATE, NODES, 7, &rng);
    assert_int_equal(cut_count(7), 12);
    sim_net_partition(SIM_PARTITION_SPLIT, NODES, 1, &rng);
    assert_int_equal(sim_net_is_cut(NODES[0], NODES[0]), 0);
    sim_net_heal();
    assert_int_equal(cut_count(7), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(one_is_isolated),
        T(two_groups_see_only_themselves),
        T(one_way_cuts_are_of_one_way),
        T(a_bridge_sees_all),
        T(in_a_ring_each_sees_another_majority),
        T(a_new_shape_replaces_the_old_one_and_heal_ends_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
