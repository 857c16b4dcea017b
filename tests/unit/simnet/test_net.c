/* SPDX-License-Identifier: Apache-2.0 */
/* Raft messages over the simulated network: each kind of fault does what it says, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib_world.h"

#define MANY 2000u

static int begin(void **state)
{
    (void)state;
    world_begin(7);
    return 0;
}

static int end(void **state)
{
    (void)state;
    world_end();
    return 0;
}

static void set_faults(struct sim_net_faults faults)
{
    faults.delay_min_ns = faults.delay_min_ns == 0 ? MS / 10 : faults.delay_min_ns;
    sim_net_set_faults(&faults);
}

static struct sim_net_counts counts(void)
{
    struct sim_net_counts now;
    sim_net_counts(&now);
    return now;
}

/* One message per tenth of a millisecond, heartbeats and appends in turn, counted by index. */
static void send_many(int from, uint64_t to, size_t count)
{
    for (size_t i = 1; i <= count; i++) {
        node_send(from, to, i % 2 == 0 ? RAFT_MSG_HEARTBEAT : RAFT_MSG_APP, i, i % 2 * 100);
        if (i % 10 == 0) {
            world_run_ms(1);
        }
    }
}

static size_t count_of_index(const struct test_node *node, uint64_t index)
{
    size_t count = 0;
    for (size_t i = 0; i < node->message_count; i++) {
        count += node->messages[i].index == index ? 1 : 0;
    }
    return count;
}

static size_t count_out_of_order(const struct test_node *node)
{
    size_t count = 0;
    for (size_t i = 1; i < node->message_count; i++) {
        count += node->messages[i].index < node->messages[i - 1].index ? 1 : 0;
    }
    return count;
}

static void messages_arrive_whole_and_in_order(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.delay_mean_ns = 5 * MS, .is_ordered = true});
    send_many(0, 102, MANY);
    world_run_ms(1000);
    assert_int_equal(nodes[1].message_count, MANY);
    assert_int_equal(count_out_of_order(&nodes[1]), 0);
    for (size_t i = 0; i < MANY; i++) {
        const struct told *told = &nodes[1].messages[i];
        assert_int_equal(told->index, i + 1);
        assert_int_equal(told->from_id, 101);
        assert_int_equal(told->to_id, 102);
        assert_int_equal(told->entry_bytes, (i + 1) % 2 * 100);
    }
    assert_int_equal(counts().sent, MANY);
    assert_int_equal(counts().delivered, MANY);
    assert_int_equal(counts().lost + counts().overtaken + counts().duplicated, 0);
    assert_int_equal(nodes[0].unreachable, 0);
}

static void entries_that_follow_in_a_stream_stay_whole_when_one_is_lost(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.loss_ppm = 200000, .is_ordered = true});
    for (uint64_t i = 1; i <= 400; i++) {
        node_send(0, 102, RAFT_MSG_APP, i, (size_t)i); /* all but the first are bare entries */
        world_run_ms(10);
    }
    world_run_ms(2000);
    assert_true(nodes[1].message_count > 200 && nodes[1].message_count < 400);
    for (uint64_t i = 1; i <= 400; i++) {
        assert_true(count_of_index(&nodes[1], i) <= 1);
    }
    for (size_t i = 0; i < nodes[1].message_count; i++) {
        assert_int_equal(nodes[1].messages[i].entry_bytes, nodes[1].messages[i].index);
    }
    assert_int_equal(count_out_of_order(&nodes[1]), 0);
}

static void messages_overtake_each_other_when_not_ordered(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.delay_mean_ns = 5 * MS});
    send_many(0, 102, MANY);
    world_run_ms(1000);
    assert_int_equal(nodes[1].message_count, MANY);
    assert_true(count_out_of_order(&nodes[1]) > MANY / 10);
    assert_true(counts().overtaken > MANY / 10);
}

static void delays_are_at_least_the_minimum_and_their_mean_is_as_set(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.delay_min_ns = 3 * MS, .delay_mean_ns = 10 * MS});
    uint64_t sum = 0;
    for (size_t i = 0; i < 1000; i++) {
        uint64_t sent_ns = sim_now_ns();
        nodes[1].message_count = 0;
        node_send(0, 102, RAFT_MSG_HEARTBEAT, 0, 0);
        world_run_ms(250);
        assert_int_equal(nodes[1].message_count, 1);
        uint64_t delay = nodes[1].messages[0].at_ns - sent_ns;
        assert_true(delay >= 3 * MS);
        sum += delay;
    }
    assert_true(sum > 1000 * 12 * MS && sum < 1000 * 14 * MS);
}

static void messages_are_lost_at_the_rate_set(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.loss_ppm = 100000});
    for (uint64_t i = 1; i <= 10 * MANY; i++) {
        node_send(0, 102, RAFT_MSG_HEARTBEAT, i, 0);
        world_run_ms(5);
    }
    world_run_ms(10000);
    assert_in_range(counts().lost, counts().sent / 12, counts().sent / 8);
    assert_in_range(nodes[1].message_count, counts().sent * 7 / 8, counts().sent);
    assert_int_equal(nodes[1].message_count, counts().delivered);
    assert_true(peer_active_since_ms(nodes[0].transport, 102) > 0); /* broken streams come back */
}

static void duplicates_come_and_come_later(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){
        .duplicate_ppm = 300000, .duplicate_later_ns = 500 * MS, .is_ordered = true});
    send_many(0, 102, MANY);
    world_run_ms(2000);
    size_t doubles = 0;
    for (uint64_t i = 1; i <= MANY; i++) {
        size_t count = count_of_index(&nodes[1], i);
        assert_in_range(count, 1, 2);
        doubles += count - 1;
    }
    assert_in_range(doubles, MANY / 5, MANY * 2 / 5);
    assert_int_equal(doubles, counts().duplicated);
    assert_true(count_out_of_order(&nodes[1]) > 0);
}

static void a_duplicate_reaches_the_next_life_of_its_member(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.duplicate_ppm = 1000000, .duplicate_later_ns = 5000 * MS});
    send_many(0, 102, 200);
    world_run_ms(100);
    node_kill(1);
    world_run_ms(200);
    nodes[1].message_count = 0;
    node_start(1, 102);
    node_knows(1, 0, 101);
    world_run_ms(10000);
    assert_true(nodes[1].message_count > 50);
    assert_int_equal(nodes[1].messages[0].life, 2);
    assert_true(counts().late > 50);
}

static void a_clogged_link_stands_still_and_then_gives_all(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults(
        (struct sim_net_faults){.clog_ppm = 1000000, .clog_mean_ns = 500 * MS, .is_ordered = true});
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 1, 0);
    set_faults((struct sim_net_faults){.is_ordered = true});
    uint64_t sent_ns = sim_now_ns();
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 2, 0);
    node_send(1, 101, RAFT_MSG_HEARTBEAT, 3, 0);
    world_run_ms(60000);
    assert_int_equal(nodes[1].message_count, 2);
    assert_true(nodes[1].messages[1].at_ns - sent_ns > 20 * MS);
    assert_true(nodes[0].messages[0].at_ns - sent_ns < 5 * MS); /* the other way is free */
    assert_int_equal(counts().clogged, 1);
}

static void a_link_that_stands_still_for_too_long_is_given_up(void **state)
{
    (void)state;
    nodes_start(2);
    sim_net_clog(0, 1, sim_now_ns() + 20000 * MS);
    world_run_ms(10000);
    assert_int_equal(peer_active_since_ms(nodes[1].transport, 101), 0);
    world_run_ms(30000);
    assert_true(peer_active_since_ms(nodes[1].transport, 101) > 0);
}

static void a_full_queue_drops_and_reports(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.delay_min_ns = 100 * MS, .queue_max = 10});
    for (uint64_t i = 1; i <= 50; i++) {
        node_send(0, 102, RAFT_MSG_HEARTBEAT, i, 0);
    }
    world_run_ms(1000);
    assert_int_equal(nodes[1].message_count, 10);
    assert_int_equal(nodes[0].unreachable, 40);
    assert_int_equal(counts().lost, 40);
    assert_int_equal(counts().sent, 50);
}

static void copies_do_not_fill_the_queue(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){
        .duplicate_ppm = 1000000, .duplicate_later_ns = 60000 * MS, .queue_max = 10});
    send_many(0, 102, 200);
    world_run_ms(10);
    assert_int_equal(nodes[0].unreachable, 0);
    assert_int_equal(counts().lost, 0);
}

static void links_are_clogged_until_a_time_each(void **state)
{
    (void)state;
    nodes_start(3);
    set_faults((struct sim_net_faults){.is_ordered = true});
    uint64_t begun_ns = sim_now_ns();
    sim_net_clog(0, 1, begun_ns + 300 * MS);
    sim_net_clog(0, 2, begun_ns + 100 * MS);
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 1, 0);
    node_send(0, 103, RAFT_MSG_HEARTBEAT, 2, 0);
    world_run_ms(299);
    assert_int_equal(nodes[1].message_count, 0);
    assert_int_equal(nodes[2].message_count, 1);
    assert_true(nodes[2].messages[0].at_ns - begun_ns >= 100 * MS);
    world_run_ms(10);
    assert_int_equal(nodes[1].message_count, 1);
    sim_net_clog(0, 1, sim_now_ns() + 300 * MS);
    sim_net_clog(0, 1, 0);
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 3, 0);
    world_run_ms(10);
    assert_int_equal(nodes[1].message_count, 2);
}

static void a_slow_member_is_slow_both_ways_and_alone(void **state)
{
    (void)state;
    nodes_start(3);
    set_faults((struct sim_net_faults){.is_ordered = true});
    sim_net_slow(1, 100 * MS);
    for (int i = 0; i < 20; i++) {
        node_send(0, 102, RAFT_MSG_HEARTBEAT, 1, 0);
        node_send(1, 101, RAFT_MSG_HEARTBEAT, 1, 0);
        node_send(0, 103, RAFT_MSG_HEARTBEAT, 1, 0);
    }
    world_run_ms(2);
    assert_int_equal(nodes[2].message_count, 20);
    assert_true(nodes[0].message_count < 10);
    assert_true(nodes[1].message_count < 10);
    world_run_ms(3000);
    assert_int_equal(nodes[0].message_count, 20);
    assert_int_equal(nodes[1].message_count, 20);
}

static void nothing_comes_over_a_cut_and_the_other_way_is_free(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.delay_min_ns = 10 * MS, .is_ordered = true});
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 1, 0);
    sim_net_cut(0, 1, true);
    sim_net_cut(0, 1, false); /* what was on its way is lost all the same */
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 2, 0);
    world_run_ms(100);
    assert_int_equal(nodes[1].message_count, 1);
    assert_int_equal(nodes[1].messages[0].index, 2);
    assert_int_equal(counts().cut, 1);

    sim_net_cut(0, 1, true);
    for (uint64_t i = 3; i < 20; i++) {
        node_send(0, 102, RAFT_MSG_HEARTBEAT, i, 0);
        node_send(1, 101, RAFT_MSG_HEARTBEAT, i, 0);
        world_run_ms(100);
    }
    assert_int_equal(nodes[1].message_count, 1);
    assert_int_equal(nodes[0].message_count, 17);
    world_run_ms(10000); /* the readers give the link up and dial in vain */
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 20, 0);
    world_run_ms(10000);
    assert_int_equal(nodes[1].message_count, 1);
    assert_true(nodes[0].unreachable > 0);
    assert_int_equal(peer_active_since_ms(nodes[0].transport, 102), 0);
    sim_net_heal();
    world_run_ms(20000);
    assert_true(peer_active_since_ms(nodes[0].transport, 102) > 0);
    nodes[1].message_count = 0;
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 21, 0);
    world_run_ms(100);
    assert_int_equal(nodes[1].message_count, 1);
}

static void a_dead_node_is_reported_and_comes_back(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.is_ordered = true});
    node_kill(1);
    world_run_ms(10000);
    size_t before = nodes[0].unreachable;
    assert_true(before > 0);
    for (uint64_t i = 0; i < 100; i++) {
        node_send(0, 102, RAFT_MSG_HEARTBEAT, i, 0);
        world_run_ms(500);
    }
    assert_true(nodes[0].unreachable > before);
    node_start(1, 102);
    node_knows(1, 0, 101);
    nodes[1].message_count = 0;
    world_run_ms(10000);
    assert_true(peer_active_since_ms(nodes[0].transport, 102) > 0);
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 100, 0);
    world_run_ms(10);
    assert_int_equal(count_of_index(&nodes[1], 100), 1);
}

/* Both fates must be seen: over many seeds. */
static void messages_to_a_life_that_ended_are_lost_or_reach_the_next(void **state)
{
    (void)state;
    size_t arrived = 0;
    size_t lost = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        world_end();
        world_begin(seed);
        nodes_start(2);
        set_faults((struct sim_net_faults){.delay_min_ns = 20 * MS, .is_ordered = true});
        for (uint64_t i = 1; i <= 20; i++) {
            node_send(0, 102, RAFT_MSG_HEARTBEAT, i, 0);
        }
        world_run_ms(5);
        node_kill(1);
        node_start(1, 102);
        node_knows(1, 0, 101);
        world_run_ms(20000);
        arrived += nodes[1].message_count;
        lost += counts().lost;
    }
    assert_int_equal(arrived + lost, 400);
    assert_in_range(arrived, 50, 200);
}

static void a_new_member_at_the_same_address_gets_nothing_of_the_old_one(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){
        .delay_min_ns = 20 * MS, .duplicate_ppm = 1000000, .duplicate_later_ns = 5000 * MS});
    for (uint64_t i = 1; i <= 200; i++) {
        node_send(0, 102, RAFT_MSG_HEARTBEAT, i, 0);
    }
    world_run_ms(5);
    node_kill(1);
    nodes[1].message_count = 0;
    node_start(1, 999);
    node_knows(1, 0, 101);
    world_run_ms(20000);
    assert_true(counts().late > 50); /* they came */
    assert_int_equal(nodes[1].message_count, 0);
}

static void another_cluster_at_the_same_address_gets_nothing(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.duplicate_ppm = 1000000, .duplicate_later_ns = 2000 * MS});
    send_many(0, 102, 200);
    node_kill(1);
    nodes[1].message_count = 0;
    nodes[1].cluster_id = CLUSTER + 1;
    node_start(1, 102);
    node_knows(1, 0, 101);
    for (uint64_t i = 0; i < 20; i++) {
        node_send(0, 102, RAFT_MSG_HEARTBEAT, i, 0);
        world_run_ms(500);
    }
    assert_int_equal(nodes[1].message_count, 0);
    assert_int_equal(peer_active_since_ms(nodes[0].transport, 102), 0);
}

static void a_removed_member_is_told_so(void **state)
{
    (void)state;
    nodes_start(2);
    nodes[1].removed_id = 101;
    node_forgets(1, 101); /* as engine/server does with both */
    world_run_ms(5000);
    size_t by_dial = nodes[0].removed;
    assert_true(by_dial > 0);
    nodes[1].message_count = 0;
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 1, 0);
    world_run_ms(50); /* less than from one dial to the next */
    assert_int_equal(nodes[0].removed, by_dial + 1);
    assert_int_equal(nodes[1].message_count, 0);
}

static void a_paused_node_hears_later_what_came_meanwhile(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.is_ordered = true});
    node_pause(1, true);
    uint64_t paused_ns = sim_now_ns();
    send_many(0, 102, 100);
    world_run_ms(2000);
    assert_int_equal(nodes[1].message_count, 0);
    node_pause(1, false);
    world_run_ms(100);
    assert_int_equal(nodes[1].message_count, 100);
    assert_true(nodes[1].messages[0].at_ns >= paused_ns + 2000 * MS);
}

static size_t tapped;

static void on_tap(void *ctx, int from, int to, const struct raft_message *message)
{
    struct test_node *receiver = ctx;
    assert_int_equal(from, 0);
    assert_int_equal(to, 1);
    assert_int_equal(message->from, 101);
    assert_int_equal(receiver->message_count, tapped); /* before the node sees it */
    tapped++;
}

static void the_tap_sees_each_message_before_the_node_does(void **state)
{
    (void)state;
    nodes_start(2);
    tapped = 0;
    sim_net_set_tap(on_tap, &nodes[1]);
    send_many(0, 102, 100);
    world_run_ms(100);
    sim_net_set_tap(NULL, NULL);
    assert_int_equal(tapped, 100);
}

static uint64_t run_storm(uint64_t seed)
{
    world_end();
    world_begin(seed);
    nodes_start(3);
    set_faults((struct sim_net_faults){.delay_mean_ns = 5 * MS,
                                       .loss_ppm = 50000,
                                       .duplicate_ppm = 50000,
                                       .duplicate_later_ns = 300 * MS,
                                       .clog_ppm = 5000,
                                       .clog_mean_ns = 100 * MS,
                                       .queue_max = 100});
    for (int round = 0; round < 10; round++) {
        const int all[] = {0, 1, 2};
        sim_net_partition((enum sim_partition)(round % SIM_PARTITION_COUNT), all, 3,
                          sim_rng(SIM_RNG_NEMESIS));
        for (int i = 0; i < 3; i++) {
            send_many(i, 101 + (uint64_t)((i + 1) % 3), 50);
        }
        node_kill(round % 3);
        world_run_ms(700);
        node_start(round % 3, 101 + (uint64_t)(round % 3));
        node_knows(round % 3, (round + 1) % 3, 101 + (uint64_t)((round + 1) % 3));
        node_knows(round % 3, (round + 2) % 3, 101 + (uint64_t)((round + 2) % 3));
        sim_net_heal();
        world_run_ms(3000);
    }
    return world_hash();
}

static void equal_seeds_give_equal_traces(void **state)
{
    (void)state;
    uint64_t one = run_storm(11);
    assert_int_equal(run_storm(11), one);
    assert_int_not_equal(run_storm(12), one);
}

static void all_that_was_sent_is_accounted_for(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        (void)run_storm(seed);
        set_faults((struct sim_net_faults){.is_ordered = true});
        world_run_ms(60000);
        struct sim_net_counts now = counts();
        /* Messages of the pipeline may end with their connection, uncounted. */
        assert_true(now.delivered + now.lost + now.cut <= now.sent + now.duplicated);
        assert_true(now.delivered + now.lost + now.cut + 400 > now.sent + now.duplicated);
        assert_true(now.delivered > 100 && now.lost > 10);
    }
}

/* ---- one call of send ---- */

struct chosen {
    unsigned left; /* until it fails; 0: never */
    int code;
    unsigned asked;
};

static int send_fails(void *ctx)
{
    struct chosen *chosen = ctx;
    chosen->asked++;
    return chosen->left > 0 && --chosen->left == 0 ? chosen->code : 0;
}

static void a_message_that_is_chosen_is_lost_alone(void **state)
{
    (void)state;
    struct chosen chosen = {.left = 3, .code = E_IO};
    nodes_start(2);
    uint64_t broken = counts().broken;
    sim_net_set_send_tap(send_fails, &chosen);
    for (uint64_t i = 1; i <= 5; i++) {
        node_send(0, 102, RAFT_MSG_HEARTBEAT, i, 0);
        world_run_ms(5);
    }
    assert_int_equal(chosen.asked, 5);
    sim_net_set_send_tap(NULL, NULL);
    world_run_ms(100);
    for (uint64_t i = 1; i <= 5; i++) {
        assert_int_equal(count_of_index(&nodes[1], i), i == 3 ? 0 : 1);
    }
    assert_int_equal(counts().broken, broken);
}

static void a_connection_that_is_chosen_breaks_and_comes_back(void **state)
{
    (void)state;
    struct chosen chosen = {.left = 1, .code = E_CLOSED};
    nodes_start(2);
    uint64_t broken = counts().broken;
    sim_net_set_send_tap(send_fails, &chosen);
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 1, 0);
    world_run_ms(2000);
    assert_int_equal(counts().broken, broken + 1);
    assert_int_equal(count_of_index(&nodes[1], 1), 0);
    node_send(0, 102, RAFT_MSG_HEARTBEAT, 2, 0);
    world_run_ms(500);
    assert_int_equal(count_of_index(&nodes[1], 2), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(messages_arrive_whole_and_in_order),
        T(entries_that_follow_in_a_stream_stay_whole_when_one_is_lost),
        T(messages_overtake_each_other_when_not_ordered),
        T(delays_are_at_least_the_minimum_and_their_mean_is_as_set),
        T(messages_are_lost_at_the_rate_set),
        T(duplicates_come_and_come_later),
        T(a_duplicate_reaches_the_next_life_of_its_member),
        T(a_clogged_link_stands_still_and_then_gives_all),
        T(a_link_that_stands_still_for_too_long_is_given_up),
        T(a_full_queue_drops_and_reports),
        T(copies_do_not_fill_the_queue),
        T(links_are_clogged_until_a_time_each),
        T(a_slow_member_is_slow_both_ways_and_alone),
        T(nothing_comes_over_a_cut_and_the_other_way_is_free),
        T(a_dead_node_is_reported_and_comes_back),
        T(messages_to_a_life_that_ended_are_lost_or_reach_the_next),
        T(a_new_member_at_the_same_address_gets_nothing_of_the_old_one),
        T(another_cluster_at_the_same_address_gets_nothing),
        T(a_removed_member_is_told_so),
        T(a_paused_node_hears_later_what_came_meanwhile),
        T(the_tap_sees_each_message_before_the_node_does),
        T(equal_seeds_give_equal_traces),
        T(all_that_was_sent_is_accounted_for),
        T(a_message_that_is_chosen_is_lost_alone),
        T(a_connection_that_is_chosen_breaks_and_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
