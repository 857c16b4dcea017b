/* SPDX-License-Identifier: Apache-2.0 */
/* Every sequence of the planner, played in the small world from its cause to rest. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "controller/model/names.h"
#include "controller/model/spec.h"
#include "lib_world.h"

static void a_cluster_of_three_is_founded_once_and_grown_by_learners(void **state)
{
    (void)state;
    struct world world;

    world_start(&world, 3);

    assert_int_equal(world.founded, 1);
    assert_string_equal(world_condition(&world, "Ready", "status"), "True");
    assert_string_equal(world_condition(&world, "Available", "status"), "True");
    assert_int_equal(json_i64(json_get(world_status(&world), "nextOrdinal"), 0), 3);
    assert_string_equal(world_pvc(&world, "data-demo-2")->cluster_id, "c0ffee01");
    assert_false(world_pod(&world, "demo-0")->state_new);
    assert_string_equal(world_pod(&world, "demo-2")->role, "voter");
    world_free(&world);
}

static void a_world_at_rest_gets_no_writes(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    size_t writes = world.writes;
    size_t status_writes = world.status_writes;

    for (int i = 0; i < 20; i++) {
        assert_int_equal(world_operate(&world, WORLD_NO_CRASH), 0);
        assert_int_equal(world.plan.action_count, 0);
    }

    assert_int_equal(world.writes, writes);
    assert_int_equal(world.status_writes, status_writes);
    world_free(&world);
}

static void a_paused_cluster_is_left_alone(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_set_spec(&world, "paused", "true");
    world_lose_volume(&world, "demo-1");

    for (int i = 0; i < 60; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        assert_int_equal(world.plan.action_count, 0);
        world_tick(&world, 2000);
    }

    assert_string_equal(world_condition(&world, "Paused", "status"), "True");
    assert_string_equal(world_condition(&world, "Degraded", "status"), "True");
    world_set_spec(&world, "paused", "false");
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

static void a_lost_pod_comes_back_on_its_volume_with_the_same_identity(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    uint64_t id = world_member(&world, "demo-1")->id;
    world_delete_pod(&world, "demo-1");

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));

    assert_int_equal(world_member(&world, "demo-1")->id, id);
    assert_int_equal(world.membership_changes, 0);
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

static void a_lost_volume_is_replaced_at_once_remove_before_add(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_lose_volume(&world, "demo-1");

    world_operate(&world, WORLD_NO_CRASH);
    assert_null(world_member(&world, "demo-1"));
    assert_int_equal(world_voters(&world), 2);
    assert_int_equal(world_learners(&world), 0);
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));

    assert_true(world_is_healthy(&world));
    assert_non_null(world_member(&world, "demo-3"));
    assert_int_equal(world.membership_changes, 3);
    assert_int_equal(json_i64(json_get(world_status(&world), "nextOrdinal"), 0), 4);
    assert_string_equal(json_path_str(world_status(&world), "lastOperations.0.type", ""),
                        "Replace");
    world_free(&world);
}

static void the_leader_with_a_lost_volume_is_replaced_too(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 5);
    const char *leader = json_path_str(world_status(&world), "leader", NULL);
    assert_non_null(leader);
    char name[64];
    snprintf(name, sizeof(name), "%s", leader);
    world_lose_volume(&world, name);
    world_tick(&world, 1000);

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));

    assert_null(world_member(&world, name));
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

static void a_member_with_a_data_error_is_replaced(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    struct world_pod *pod = world_pod(&world, "demo-2");
    pod->broken = true;
    world_crash_process(&world, "demo-2", EXIT_DATA_CORRUPT);
    pod->waiting = "CrashLoopBackOff";

    world_operate(&world, WORLD_NO_CRASH);

    assert_null(world_member(&world, "demo-2"));
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

static void a_crash_loop_gets_a_new_pod_first_and_a_new_member_second(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    uint64_t id = world_member(&world, "demo-2")->id;
    size_t recreated = 0;
    for (int i = 0; i < 120 && world_member(&world, "demo-2") != NULL; i++) {
        struct world_pod *pod = world_pod(&world, "demo-2");
        if (pod != NULL && !pod->broken) {
            pod->broken = true;
            pod->up = false;
            recreated++;
        }
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_int_equal(recreated, 2);
    assert_int_equal(world.last_removed, id);
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

static void a_hung_member_waits_out_its_grace_then_restarts_then_goes(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    char uid[24];
    snprintf(uid, sizeof(uid), "%s", world_pod(&world, "demo-1")->uid);
    world_pod(&world, "demo-1")->hung = true;
    for (int i = 0; i < 8; i++) { /* 16 s of the 20 s grace */
        world_operate(&world, WORLD_NO_CRASH);
        assert_string_equal(world_pod(&world, "demo-1")->uid, uid);
        world_tick(&world, 2000);
    }
    bool was_recreated = false;
    for (int i = 0; i < 120 && world_member(&world, "demo-1") != NULL; i++) {
        struct world_pod *pod = world_pod(&world, "demo-1");
        if (pod != NULL && strcmp(pod->uid, uid) != 0) {
            was_recreated = true;
            pod->hung = true;
        }
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_true(was_recreated);
    assert_null(world_member(&world, "demo-1"));
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

static void a_member_on_a_lost_node_is_replaced_after_the_grace(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    int node = world_pod(&world, "demo-1")->node;
    world_lose_node(&world, node);
    for (int i = 0; i < 9; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        assert_non_null(world_member(&world, "demo-1"));
        world_tick(&world, 2000);
    }

    for (int i = 0; i < 120 && !world_is_healthy(&world); i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_null(world_member(&world, "demo-1"));
    assert_true(world_is_healthy(&world));
    world_return_node(&world, node);
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_null(world_pod(&world, "demo-1"));
    assert_null(world_pvc(&world, "data-demo-1"));
    world_free(&world);
}

static void a_node_that_cannot_be_read_leaves_only_the_evidence_of_the_pod(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world.nodes_readable = false;
    world_lose_node(&world, world_pod(&world, "demo-1")->node);

    for (int i = 0; i < 200 && !world_is_healthy(&world); i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_null(world_member(&world, "demo-1"));
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

static void the_only_member_lost_removes_nothing_and_says_so(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 1);
    world_lose_volume(&world, "demo-0");

    for (int i = 0; i < 100; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_int_equal(world.membership_changes, 0);
    assert_int_equal(world.founded, 1);
    assert_string_equal(world_condition(&world, "Available", "status"), "False");
    assert_string_equal(world_condition(&world, "Available", "reason"), "AllMembersLost");
    assert_string_equal(world_condition(&world, "Stalled", "status"), "True");
    world_free(&world);
}

static void a_lost_majority_removes_nobody_and_is_reported_once(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_lose_volume(&world, "demo-1");
    world_lose_volume(&world, "demo-2");
    size_t events = 0;

    for (int i = 0; i < 100; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        for (size_t e = 0; e < world.plan.event_count; e++) {
            events += strcmp(world.plan.events[e].reason, "QuorumLost") == 0 ? 1 : 0;
        }
        world_tick(&world, 2000);
    }

    assert_int_equal(world.membership_changes, 0);
    assert_int_equal(world_voters(&world), 3);
    assert_non_null(world_pvc(&world, "data-demo-0"));
    assert_string_equal(world_condition(&world, "Available", "status"), "False");
    assert_string_equal(world_condition(&world, "Available", "reason"), "QuorumLost");
    assert_int_equal(events, 1);
    world_free(&world);
}

static void a_majority_that_is_silent_for_an_election_is_not_reported_as_lost(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_pod(&world, "demo-1")->hung = true;
    world_pod(&world, "demo-2")->hung = true;
    size_t events = 0;

    for (int i = 0; i < 6; i++) { /* 12 s */
        world_operate(&world, WORLD_NO_CRASH);
        for (size_t e = 0; e < world.plan.event_count; e++) {
            events += strcmp(world.plan.events[e].reason, "QuorumLost") == 0 ? 1 : 0;
        }
        assert_string_equal(world_condition(&world, "Available", "status"), "False");
        assert_string_equal(world_condition(&world, "Available", "reason"), "NotServing");
        world_tick(&world, 2000);
    }
    world_pod(&world, "demo-1")->hung = false;
    world_pod(&world, "demo-2")->hung = false;
    for (int i = 0; i < 4; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_int_equal(events, 0);
    assert_int_equal(world.membership_changes, 0);
    assert_string_equal(world_condition(&world, "Available", "status"), "True");
    world_free(&world);
}

static void a_volume_lost_with_its_process_makes_the_member_leave_before_another_joins(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    uint64_t id = world_member(&world, "demo-1")->id;
    world_pvc(&world, "data-demo-1")->phase = PVC_LOST;
    size_t before = world.membership_changes;

    world_operate(&world, WORLD_NO_CRASH); /* the probe still found the process alive */
    assert_int_equal(world.membership_changes, before);
    assert_string_equal(world.plan.operation.target, "demo-1");
    world_pod(&world, "demo-1")->broken = true;
    world_crash_process(&world, "demo-1", 137);
    for (int i = 0; i < 10 && world.membership_changes == before; i++) {
        world_tick(&world, 1000);
        world_operate(&world, WORLD_NO_CRASH);
    }

    assert_int_equal(world.membership_changes, before + 1);
    assert_int_equal(world.last_removed, id);
    assert_true(world_settle(&world, 400));
    assert_int_equal(world_voters(&world), 3);
    assert_null(world_member(&world, "demo-1"));
    world_free(&world);
}

static void members_that_left_count_as_done_while_their_volumes_still_end(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 5);
    world_set_spec(&world, "replicas", "3");

    assert_true(world_settle(&world, 400));

    const struct json *last = json_get(world_status(&world), "lastOperations");
    size_t shrunk = 0;
    for (size_t i = 0; i < json_count(last); i++) {
        const struct json *row = json_at(last, i);
        if (strcmp(json_str(json_get(row, "type"), ""), "ScaleDown") == 0) {
            assert_string_equal(json_str(json_get(row, "result"), ""), "Succeeded");
            shrunk++;
        }
    }
    assert_int_equal(shrunk, 2);
    world_free(&world);
}

static void all_pods_lost_at_once_come_back_on_their_volumes(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_delete_pod(&world, "demo-0");
    world_delete_pod(&world, "demo-1");
    world_delete_pod(&world, "demo-2");

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));

    assert_int_equal(world.membership_changes, 0);
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

static void a_lost_status_founds_no_second_cluster(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_lose_volume(&world, "demo-2");
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    json_remove(world.cluster, "status");
    world_delete_pod(&world, "demo-0");
    world_delete_pod(&world, "demo-1");
    world_delete_pod(&world, "demo-3");

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));

    assert_int_equal(world.founded, 1);
    assert_int_equal(json_i64(json_get(world_status(&world), "nextOrdinal"), 0), 4);
    assert_string_equal(json_path_str(world_status(&world), "clusterID", ""), "c0ffee01");
    world_free(&world);
}

static void the_client_service_opens_only_when_the_id_is_latched(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 1);
    bool open = false;

    for (int i = 0; i < 40 && !open; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        for (int s = 0; s < 4; s++) {
            const struct world_object *service = &world.kube.services[s];
            if (service->used && strcmp(service->name, "demo-client") == 0) {
                open = json_get(json_path(service->raw, "spec.selector"), LABEL_NOT_YET) == NULL;
            }
        }
        if (open) {
            assert_string_equal(json_path_str(world_status(&world), "clusterID", ""), "c0ffee01");
            assert_string_equal(world_pvc(&world, "data-demo-0")->cluster_id, "c0ffee01");
            const struct world_pod *pod = world_pod(&world, "demo-0");
            assert_true(pod == NULL || !pod->state_new);
        }
        world_tick(&world, 1000);
    }

    assert_true(open);
    world_free(&world);
}

static void scaling_up_adds_one_learner_at_a_time(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 1);
    world_set_spec(&world, "replicas", "5");
    int64_t most_learners = 0;

    for (int i = 0; i < 200 && !world_is_healthy(&world); i++) {
        world_operate(&world, WORLD_NO_CRASH);
        most_learners = BASE_MAX(most_learners, world_learners(&world));
        world_tick(&world, 2000);
    }

    assert_int_equal(most_learners, 1);
    assert_true(world_is_healthy(&world));
    assert_int_equal(world.membership_changes, 8);
    world_free(&world);
}

static void scaling_down_takes_the_unhealthy_then_the_newest_and_never_the_leader(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 5);
    char leader[64];
    snprintf(leader, sizeof(leader), "%s", json_path_str(world_status(&world), "leader", ""));
    world_pod(&world, "demo-1")->hung = true;
    world_set_spec(&world, "replicas", "3");

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));

    assert_null(world_member(&world, "demo-1"));
    assert_null(world_member(&world, "demo-4"));
    assert_non_null(world_member(&world, leader));
    assert_true(world_is_healthy(&world));
    world_set_spec(&world, "replicas", "1");
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_int_equal(world_voters(&world), 1);
    assert_non_null(world_member(&world, leader));
    world_free(&world);
}

static void a_name_is_never_used_twice(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_set_spec(&world, "replicas", "1");
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    json_remove(world.cluster, "status");
    world_set_spec(&world, "replicas", "3");

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));

    assert_null(world_member(&world, "demo-1"));
    assert_null(world_member(&world, "demo-2"));
    assert_non_null(world_member(&world, "demo-4"));
    world_free(&world);
}

static void a_healthy_member_whose_record_is_deleted_gets_its_successor_first(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_delete_record(&world, "demo-0"); /* the leader */
    int64_t fewest = 3;

    for (int i = 0; i < 200 && world_member(&world, "demo-0") != NULL; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        fewest = BASE_MIN(fewest, world_live_voters(&world));
        world_tick(&world, 2000);
    }

    assert_int_equal(fewest, 3);
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_true(world_is_healthy(&world));
    assert_null(world_record(&world, "demo-0"));
    assert_int_equal(world.leader_removals, 0);
    world_free(&world);
}

static void a_learner_that_never_comes_up_is_taken_out_again(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_set_spec(&world, "replicas", "5");
    for (int i = 0; i < 60; i++) {
        struct world_pod *pod = world_pod(&world, "demo-3");
        if (pod != NULL) {
            pod->hung = true;
        }
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_null(world_member(&world, "demo-3"));
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

/* 3.4 and 3.5 do not tell; then etcd itself refuses at the start of the new member. */
static void nobody_is_added_who_is_older_than_what_is_decided(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world.cluster_version = "3.7.0";
    world_set_spec(&world, "replicas", "5");
    for (int i = 0; i < 50; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
        assert_int_equal(world_voters(&world) + world_learners(&world), 3);
    }
    assert_string_equal(world_condition(&world, "Stalled", "reason"), "ClusterVersionTooHigh");
    assert_non_null(strstr(world_condition(&world, "Stalled", "message"), "decided version 3.7.0"));
    world.cluster_version = "3.6.0";
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_int_equal(world_voters(&world), 5);
    world_free(&world);
}

static void
growing_from_one_gives_up_after_three_failures_and_tries_again_on_a_new_spec(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 1);
    world_set_spec(&world, "replicas", "3");
    for (int i = 0; i < 200; i++) {
        for (int p = 0; p < WORLD_ROWS_MAX; p++) {
            struct world_pod *pod = &world.kube.pods[p];
            if (pod->used && pod->ordinal > 0) {
                pod->hung = true;
            }
        }
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_int_equal(world_voters(&world), 1);
    assert_int_equal(world_learners(&world), 0);
    assert_string_equal(world_condition(&world, "Stalled", "reason"), "ScaleUpFailed");
    world_set_spec(&world, "options.snapshotCount", "5000");
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_int_equal(world_voters(&world), 3);
    world_free(&world);
}

static void the_storm_brake_holds_replacements(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_set_spec(&world, "repair.maxReplacementsPerHour", "2");
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < WORLD_ROWS_MAX; i++) {
            if (world.kube.pods[i].used && world.kube.pods[i].ordinal > 0) {
                world_lose_volume(&world, world.kube.pods[i].name);
                break;
            }
        }
        assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    }
    world.membership_changes = 0;
    world_lose_volume(&world, "demo-0");

    for (int i = 0; i < 30; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_int_equal(world.membership_changes, 0);
    assert_string_equal(world_condition(&world, "Stalled", "reason"), "ReplacementThrottled");
    world.now_ms += 3700000;
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

static void the_policy_manual_replaces_only_what_a_person_asks_for(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_set_spec(&world, "repair.policy", "\"Manual\"");
    world_lose_volume(&world, "demo-1");
    for (int i = 0; i < 60; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }
    assert_int_equal(world.membership_changes, 0);
    assert_string_equal(world_condition(&world, "Stalled", "reason"), "ManualRepairNeeded");

    world_delete_record(&world, "demo-1");

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

static void an_operator_that_cannot_dial_changes_nothing_and_says_unknown(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world.operator_cut_off = true;
    world_pod(&world, "demo-1")->hung = true;

    for (int i = 0; i < 100; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        assert_int_equal(world.plan.action_count, 0);
        world_tick(&world, 2000);
    }

    assert_string_equal(world_condition(&world, "Available", "status"), "Unknown");
    assert_string_equal(world_condition(&world, "Ready", "status"), "Unknown");
    world_free(&world);
}

static void an_old_view_of_etcd_proves_nothing(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world.view_age_ms = OBSERVED_FRESH_MAX_MS + 1;
    world_lose_volume(&world, "demo-1");

    for (int i = 0; i < 30; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_int_equal(world.membership_changes, 0);
    world_free(&world);
}

static void an_image_that_cannot_be_pulled_is_never_a_reason_to_replace(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world.force_image_fail = true;
    world_delete_pod(&world, "demo-1");

    for (int i = 0; i < 100; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_int_equal(world.membership_changes, 0);
    assert_string_equal(world_condition(&world, "Degraded", "reason"), "ImagePullFailed");
    world_free(&world);
}

static void memory_kills_are_never_a_reason_to_replace(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    struct world_pod *pod = world_pod(&world, "demo-1");
    pod->broken = true;
    pod->up = false;
    pod->exit_reason = "OOMKilled";

    for (int i = 0; i < 100; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_int_equal(world.membership_changes, 0);
    assert_string_equal(world_condition(&world, "Degraded", "reason"), "OutOfMemory");
    world_free(&world);
}

static void a_retained_volume_is_marked_and_never_used_again(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_set_spec(&world, "storage.reclaimPolicy", "\"RetainOnReplace\"");
    struct world_pod *pod = world_pod(&world, "demo-2");
    pod->broken = true;
    world_crash_process(&world, "demo-2", EXIT_DATA_CORRUPT);
    pod->waiting = "CrashLoopBackOff";

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));

    assert_true(world_is_healthy(&world));
    assert_true(world_pvc(&world, "data-demo-2")->retired);
    assert_null(world_pod(&world, "demo-2"));
    world_free(&world);
}

static void a_deleted_cluster_ends_its_pods_before_its_records(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    json_set_str(json_get(world.cluster, "metadata"), "deletionTimestamp", "2026-10-10T00:00:00Z");
    world.want.deleting = true;

    for (int i = 0; i < 60 && !world.cluster_gone; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_true(world.cluster_gone);
    assert_int_equal(world.membership_changes, 0);
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        assert_false(world.kube.pods[i].used);
    }
    world_free(&world);
}

static void retained_volumes_of_a_deleted_cluster_serve_the_next_one_of_the_name(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_set_spec(&world, "storage.reclaimPolicy", "\"Retain\"");
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    json_set_str(json_get(world.cluster, "metadata"), "deletionTimestamp", "2026-10-10T00:00:00Z");
    world.want.deleting = true;
    for (int i = 0; i < 60 && !world.cluster_gone; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }
    assert_true(world.cluster_gone);

    world.cluster_gone = false;
    json_remove(world.cluster, "status");
    struct json *meta = json_get(world.cluster, "metadata");
    json_remove(meta, "deletionTimestamp");
    json_set_str(meta, "uid", "u-2");
    world_set_spec(&world, "storage.reclaimPolicy", "\"Retain\"");

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_int_equal(world.founded, 1);
    assert_true(world_is_healthy(&world));
    world_free(&world);
}

static void a_new_cluster_waits_for_the_volumes_of_the_old_one_of_its_name(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    json_remove(world.cluster, "status");
    json_set_str(json_get(world.cluster, "metadata"), "uid", "u-2");
    memset(world.kube.pods, 0, sizeof(world.kube.pods));
    memset(world.kube.members, 0, sizeof(world.kube.members));
    world_set_spec(&world, "replicas", "3");

    for (int i = 0; i < 20; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }
    assert_int_equal(world.founded, 1);
    assert_string_equal(world_condition(&world, "Stalled", "reason"), "WaitingForOldVolumes");
    memset(world.kube.pvcs, 0, sizeof(world.kube.pvcs));

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    assert_int_equal(world.founded, 2);
    world_free(&world);
}

static void a_refused_spec_changes_nothing_and_names_the_way_out(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_set_spec(&world, "engine", "\"Etcd\"");
    world_lose_volume(&world, "demo-1");

    for (int i = 0; i < 20; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        assert_int_equal(world.plan.action_count, 0);
        world_tick(&world, 2000);
    }

    assert_string_equal(world_condition(&world, "Stalled", "reason"), "EngineNotSupported");
    assert_non_null(strstr(world_condition(&world, "Ready", "message"), "spec.engine: Quorate"));
    world_free(&world);
}

static void a_foreign_member_freezes_the_size(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    struct world_member *foreign = &world.etcd[WORLD_ROWS_MAX - 1];
    memset(foreign, 0, sizeof(*foreign));
    foreign->used = true;
    foreign->id = 0xf0;
    foreign->ordinal = OBSERVED_NO_ORDINAL;
    foreign->started = true;
    snprintf(foreign->name, sizeof(foreign->name), "old-etcd");
    snprintf(foreign->peer_url, sizeof(foreign->peer_url), "http://10.0.0.1:2380");

    for (int i = 0; i < 60; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 2000);
    }

    assert_int_equal(world.membership_changes, 0);
    assert_string_equal(world_condition(&world, "ClusterIDConsistent", "reason"), "ForeignMember");
    world_free(&world);
}

/* Kills the operator at each write of a whole story; the end must be the same. */
static void play_with_crashes(int64_t from, int64_t to, const char *lose)
{
    for (size_t crash_at = 0; crash_at < 6; crash_at++) {
        for (size_t pass = 0; pass < 40; pass++) {
            struct world world;
            world_start(&world, from);
            char replicas[8];
            snprintf(replicas, sizeof(replicas), "%d", (int)to);
            world_set_spec(&world, "replicas", replicas);
            if (lose != NULL) {
                world_lose_volume(&world, lose);
            }
            for (size_t i = 0; i < pass; i++) {
                world_operate(&world, WORLD_NO_CRASH);
                world_tick(&world, 2000);
            }
            world_operate(&world, crash_at);
            world_tick(&world, 2000);

            assert_true(world_settle(&world, WORLD_SETTLE_MAX));
            assert_true(world_is_healthy(&world));
            assert_int_equal(world.founded, 1);
            world_free(&world);
        }
    }
}

static void an_operator_that_dies_at_any_write_of_a_replacement_loses_nothing(void **state)
{
    (void)state;
    play_with_crashes(3, 3, "demo-1");
}

static void an_operator_that_dies_at_any_write_of_scaling_loses_nothing(void **state)
{
    (void)state;
    play_with_crashes(1, 3, NULL);
    play_with_crashes(5, 3, NULL);
}

static void an_operator_that_dies_at_any_write_of_the_first_start_founds_one_cluster(void **state)
{
    (void)state;
    for (size_t crash_at = 0; crash_at < 8; crash_at++) {
        for (size_t pass = 0; pass < 12; pass++) {
            struct world world;
            world_init(&world, 1, 3);
            for (size_t i = 0; i < pass; i++) {
                world_operate(&world, WORLD_NO_CRASH);
                world_tick(&world, 1000);
            }
            world_operate(&world, crash_at);
            world_tick(&world, 1000);

            assert_true(world_settle(&world, WORLD_SETTLE_MAX));
            assert_true(world_is_healthy(&world));
            assert_int_equal(world.founded, 1);
            world_free(&world);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_of_three_is_founded_once_and_grown_by_learners),
        cmocka_unit_test(a_world_at_rest_gets_no_writes),
        cmocka_unit_test(a_paused_cluster_is_left_alone),
        cmocka_unit_test(a_lost_pod_comes_back_on_its_volume_with_the_same_identity),
        cmocka_unit_test(a_lost_volume_is_replaced_at_once_remove_before_add),
        cmocka_unit_test(the_leader_with_a_lost_volume_is_replaced_too),
        cmocka_unit_test(a_member_with_a_data_error_is_replaced),
        cmocka_unit_test(a_crash_loop_gets_a_new_pod_first_and_a_new_member_second),
        cmocka_unit_test(a_hung_member_waits_out_its_grace_then_restarts_then_goes),
        cmocka_unit_test(a_member_on_a_lost_node_is_replaced_after_the_grace),
        cmocka_unit_test(a_node_that_cannot_be_read_leaves_only_the_evidence_of_the_pod),
        cmocka_unit_test(the_only_member_lost_removes_nothing_and_says_so),
        cmocka_unit_test(a_lost_majority_removes_nobody_and_is_reported_once),
        cmocka_unit_test(a_majority_that_is_silent_for_an_election_is_not_reported_as_lost),
        cmocka_unit_test(
            a_volume_lost_with_its_process_makes_the_member_leave_before_another_joins),
        cmocka_unit_test(members_that_left_count_as_done_while_their_volumes_still_end),
        cmocka_unit_test(all_pods_lost_at_once_come_back_on_their_volumes),
        cmocka_unit_test(a_lost_status_founds_no_second_cluster),
        cmocka_unit_test(the_client_service_opens_only_when_the_id_is_latched),
        cmocka_unit_test(scaling_up_adds_one_learner_at_a_time),
        cmocka_unit_test(scaling_down_takes_the_unhealthy_then_the_newest_and_never_the_leader),
        cmocka_unit_test(a_name_is_never_used_twice),
        cmocka_unit_test(a_healthy_member_whose_record_is_deleted_gets_its_successor_first),
        cmocka_unit_test(a_learner_that_never_comes_up_is_taken_out_again),
        cmocka_unit_test(nobody_is_added_who_is_older_than_what_is_decided),
        cmocka_unit_test(
            growing_from_one_gives_up_after_three_failures_and_tries_again_on_a_new_spec),
        cmocka_unit_test(the_storm_brake_holds_replacements),
        cmocka_unit_test(the_policy_manual_replaces_only_what_a_person_asks_for),
        cmocka_unit_test(an_operator_that_cannot_dial_changes_nothing_and_says_unknown),
        cmocka_unit_test(an_old_view_of_etcd_proves_nothing),
        cmocka_unit_test(an_image_that_cannot_be_pulled_is_never_a_reason_to_replace),
        cmocka_unit_test(memory_kills_are_never_a_reason_to_replace),
        cmocka_unit_test(a_retained_volume_is_marked_and_never_used_again),
        cmocka_unit_test(a_deleted_cluster_ends_its_pods_before_its_records),
        cmocka_unit_test(retained_volumes_of_a_deleted_cluster_serve_the_next_one_of_the_name),
        cmocka_unit_test(a_new_cluster_waits_for_the_volumes_of_the_old_one_of_its_name),
        cmocka_unit_test(a_refused_spec_changes_nothing_and_names_the_way_out),
        cmocka_unit_test(a_foreign_member_freezes_the_size),
        cmocka_unit_test(an_operator_that_dies_at_any_write_of_a_replacement_loses_nothing),
        cmocka_unit_test(an_operator_that_dies_at_any_write_of_scaling_loses_nothing),
        cmocka_unit_test(an_operator_that_dies_at_any_write_of_the_first_start_founds_one_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
