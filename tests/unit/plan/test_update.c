/* SPDX-License-Identifier: Apache-2.0 */
/* A changed spec reaches the Pods: one at a time, the leader last, and no further than it works. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "controller/build/build.h"
#include "lib_world.h"

#define TICK_MS 2000

static void change_template(struct world *world, const char *snapshot_count)
{
    world_set_spec(world, "options.snapshotCount", snapshot_count);
    world->updates = 0;
}

static void pass(struct world *world, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        world_operate(world, WORLD_NO_CRASH);
        world_tick(world, TICK_MS);
    }
}

static void assert_up_to_date(struct world *world)
{
    char hash[BUILD_HASH_MAX];
    build_template_hash(&world->want, hash);
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        const struct world_pod *pod = &world->kube.pods[i];
        if (pod->used) {
            assert_string_equal(pod->hash, hash);
        }
    }
    assert_string_equal(world_condition(world, "UpToDate", "status"), "True");
    assert_string_equal(world_condition(world, "Ready", "status"), "True");
}

static void followers_take_a_new_spec_first_and_the_leader_last(void **state)
{
    (void)state;
    for (int64_t size = 3; size <= 5; size++) {
        struct world world;
        world_start(&world, size);
        const uint64_t leader = world.leader_id;
        char first[WORLD_TEXT_MAX] = "";
        for (int i = 0; i < WORLD_ROWS_MAX; i++) {
            if (world.etcd[i].used && world.etcd[i].id == leader) {
                snprintf(first, sizeof(first), "%s", world.etcd[i].name);
            }
        }
        change_template(&world, "5000");

        while (world.updates + 1 < (size_t)size) {
            assert_int_equal(world.leader_id, leader);
            pass(&world, 1);
            assert_true(world_live_voters(&world) >= size - 1);
        }
        assert_true(world_settle(&world, WORLD_SETTLE_MAX));

        assert_int_equal(world.updates, size);
        assert_string_equal(world.last_updated, first);
        assert_int_equal(world.membership_changes, 1); /* the leadership moved, once */
        assert_true(world.leader_id != leader);
        assert_up_to_date(&world);
        world_free(&world);
    }
}

static void one_or_two_members_are_restarted_too_since_nothing_else_can_be_done(void **state)
{
    (void)state;
    for (int64_t size = 1; size <= 2; size++) {
        struct world world;
        world_start(&world, size);
        change_template(&world, "5000");
        assert_true(world_settle(&world, WORLD_SETTLE_MAX));
        assert_int_equal(world.updates, size);
        assert_up_to_date(&world);
        world_free(&world);
    }
}

static void nobody_is_restarted_while_a_member_is_down(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_lose_node(&world, world_pod(&world, "demo-1")->node);
    pass(&world, 2);
    change_template(&world, "5000");

    pass(&world, 4);
    assert_int_equal(world.updates, 0);
    assert_string_equal(world_condition(&world, "UpToDate", "reason"), "OutdatedPods");

    for (int node = 0; node < WORLD_NODES; node++) {
        world_return_node(&world, node);
    }
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_up_to_date(&world);
    world_free(&world);
}

static void a_member_that_does_not_serve_with_the_new_spec_halts_the_update(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    change_template(&world, "5000");
    build_template_hash(&world.want, world.broken_hash);

    pass(&world, 400);
    assert_int_equal(world.updates, 1);
    assert_int_equal(world_live_voters(&world), 2);
    assert_int_equal(world.membership_changes, 0); /* it is not replaced: the spec is to blame */
    assert_string_equal(world_condition(&world, "Stalled", "reason"), "UpdateHalted");

    world_set_spec(&world, "options.snapshotCount", "6000");
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_int_equal(world.membership_changes, 1); /* the leadership */
    assert_up_to_date(&world);
    world_free(&world);
}

static void a_wrong_spec_costs_no_member_though_the_journal_is_lost(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    change_template(&world, "5000");
    build_template_hash(&world.want, world.broken_hash);
    pass(&world, 20);
    json_remove(world.cluster, "status");

    pass(&world, 400);
    assert_int_equal(world.updates, 1);
    assert_int_equal(world.membership_changes, 0);
    assert_int_equal(world_live_voters(&world), 2);
    world_free(&world);
}

static void a_single_member_broken_by_its_spec_is_healed_by_the_earlier_one(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 1);
    change_template(&world, "5000");
    build_template_hash(&world.want, world.broken_hash);
    pass(&world, 60);
    assert_int_equal(world_live_voters(&world), 0);

    world_set_spec(&world, "options.snapshotCount", "6000");
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_int_equal(world.founded, 1);
    assert_up_to_date(&world);
    world_free(&world);
}

static void a_lost_member_is_replaced_before_the_others_take_the_new_spec(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_lose_volume(&world, "demo-1");
    change_template(&world, "5000");

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_int_equal(world.updates, 2);
    assert_null(world_member(&world, "demo-1"));
    assert_up_to_date(&world);
    world_free(&world);
}

static void an_operator_that_dies_at_any_write_of_an_update_restarts_each_member_once(void **state)
{
    (void)state;
    for (size_t crash_at = 0; crash_at < 6; crash_at++) {
        for (size_t before = 0; before < 30; before++) {
            struct world world;
            world_start(&world, 3);
            change_template(&world, "5000");
            pass(&world, before);
            world_operate(&world, crash_at);
            world_tick(&world, TICK_MS);

            assert_true(world_settle(&world, WORLD_SETTLE_MAX));
            assert_int_equal(world.updates, 3);
            assert_up_to_date(&world);
            world_free(&world);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(followers_take_a_new_spec_first_and_the_leader_last),
        cmocka_unit_test(one_or_two_members_are_restarted_too_since_nothing_else_can_be_done),
        cmocka_unit_test(nobody_is_restarted_while_a_member_is_down),
        cmocka_unit_test(a_member_that_does_not_serve_with_the_new_spec_halts_the_update),
        cmocka_unit_test(a_wrong_spec_costs_no_member_though_the_journal_is_lost),
        cmocka_unit_test(a_single_member_broken_by_its_spec_is_healed_by_the_earlier_one),
        cmocka_unit_test(a_lost_member_is_replaced_before_the_others_take_the_new_spec),
        cmocka_unit_test(an_operator_that_dies_at_any_write_of_an_update_restarts_each_member_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
