/* SPDX-License-Identifier: Apache-2.0 */
/* Short requests and snapshots over the simulated network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "lib_world.h"

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

/* ---- fetches ---- */

struct asked {
    int slot, other;
    const char *url, *method, *path;
    struct bytes body;
    uint64_t timeout_ms;
    struct peer_fetch_run *run;
    /* the answer */
    size_t done;
    int code, status;
    char text[200], answer[200], cluster_id[32];
    uint64_t at_ns;
};

static void on_done(void *ctx, const struct peer_fetch_answer *answer)
{
    struct asked *asked = ctx;
    asked->done++;
    asked->code = answer->code;
    asked->status = answer->status;
    asked->at_ns = sim_now_ns();
    snprintf(asked->text, sizeof(asked->text), "%s", answer->text);
    snprintf(asked->answer, sizeof(asked->answer), "%.*s", (int)answer->body.size,
             (const char *)answer->body.data);
    snprintf(asked->cluster_id, sizeof(asked->cluster_id), "%s",
             answer->cluster_id_header == NULL ? "" : answer->cluster_id_header);
}

static void ask_now(void *ctx)
{
    struct asked *asked = ctx;
    const struct peer_fetch fetch = {.loop = nodes[asked->slot].loop,
                                     .url = asked->url,
                                     .method = asked->method,
                                     .path = asked->path,
                                     .content_type = "application/protobuf",
                                     .body = asked->body,
                                     .timeout_ms = asked->timeout_ms,
                                     .on_done = on_done,
                                     .ctx = asked};
    asked->run = peer_fetch_start(&fetch);
    assert_int_equal(asked->done, 0); /* never before it returns */
}

static void cancel_now(void *ctx)
{
    peer_fetch_cancel(((struct asked *)ctx)->run);
}

static void ask(struct asked *asked, const char *path, uint64_t timeout_ms)
{
    *asked = (struct asked){
        .url = "http://10.0.0.2:2380", .method = "GET", .path = path, .timeout_ms = timeout_ms};
    world_in(0, ask_now, asked);
}

static void a_request_is_answered(void **state)
{
    (void)state;
    struct asked asked;
    nodes_start(2);
    ask(&asked, "/members", 5000);
    world_run_ms(100);
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.code, 0);
    assert_int_equal(asked.status, 200);
    assert_string_equal(asked.answer, "[]");
    assert_string_equal(asked.cluster_id, "abcdef");
    assert_int_equal(nodes[1].http_requests, 1);
    assert_int_equal(nodes[1].http_over, 1);
    assert_int_equal(nodes[1].http_incomplete, 0);
    ask(&asked, "/nothing", 5000);
    world_run_ms(100);
    assert_int_equal(asked.status, 404);
    assert_string_equal(asked.answer, "404 page not found\n");
    struct sim_net_counts counts;
    sim_net_counts(&counts);
    assert_int_equal(counts.fetches, 2);
}

static void method_path_query_headers_and_body_travel(void **state)
{
    (void)state;
    struct asked asked = {.url = "http://10.0.0.2:2380",
                          .method = "POST",
                          .path = "/echo%20a?p=0&q=1+2%2F3",
                          .body = bytes_of_str("the body"),
                          .timeout_ms = 5000};
    nodes_start(2);
    world_in(0, ask_now, &asked);
    world_run_ms(100);
    assert_int_equal(asked.status, 200);
    assert_string_equal(asked.answer, "the body");
}

static void a_silent_member_costs_the_time_limit(void **state)
{
    (void)state;
    struct asked asked;
    nodes_start(2);
    uint64_t begun_ns = sim_now_ns();
    ask(&asked, "/slow", 700);
    world_run_ms(2000);
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.code, E_TIMEOUT);
    assert_string_equal(asked.text, "timed out waiting for the answer");
    assert_in_range(asked.at_ns - begun_ns, 699 * MS, 710 * MS);
    assert_int_equal(nodes[1].http_requests, 1);
    assert_int_equal(nodes[1].mute_handle, 0); /* the server has heard that the client left */
    assert_int_equal(nodes[1].http_incomplete, 1);
}

static void answer_slow_now(void *ctx)
{
    struct test_node *node = ctx;
    struct http1_request *request = http1_request_from_handle(node->http, node->mute_handle);
    http1_respond(request, 200, NULL, bytes_of_str("late"));
}

static void an_answer_may_come_later(void **state)
{
    (void)state;
    struct asked asked;
    nodes_start(2);
    ask(&asked, "/slow", 0);
    world_run_ms(3000);
    assert_int_equal(asked.done, 0);
    size_t over = nodes[1].http_over;
    world_in(1, answer_slow_now, &nodes[1]);
    assert_int_equal(nodes[1].http_over, over + 1);
    world_run_ms(100);
    assert_int_equal(asked.done, 1);
    assert_string_equal(asked.answer, "late");
}

static void a_cancelled_request_says_nothing_more(void **state)
{
    (void)state;
    struct asked asked;
    nodes_start(2);
    ask(&asked, "/slow", 500);
    world_run_ms(100);
    world_in(0, cancel_now, &asked);
    world_run_ms(2000);
    assert_int_equal(asked.done, 0);
    assert_int_equal(nodes[1].mute_handle, 0);
}

static void a_cut_in_either_direction_is_a_time_out_while_connecting(void **state)
{
    (void)state;
    struct asked asked;
    nodes_start(2);
    for (int way = 0; way < 2; way++) {
        sim_net_heal();
        sim_net_cut(way, 1 - way, true);
        ask(&asked, "/members", 60000);
        world_run_ms(4900);
        assert_int_equal(asked.done, 0);
        world_run_ms(200);
        assert_int_equal(asked.done, 1);
        assert_int_equal(asked.code, E_TIMEOUT);
        assert_string_equal(asked.text, "timed out while connecting");
        assert_int_equal(nodes[1].http_requests, 0);
    }
}

static void a_cut_that_heals_in_time_costs_only_time(void **state)
{
    (void)state;
    struct asked asked;
    nodes_start(2);
    sim_net_cut(0, 1, true);
    ask(&asked, "/members", 5000);
    world_run_ms(2000);
    sim_net_heal();
    world_run_ms(3000);
    assert_int_equal(asked.done, 1);
    assert_int_equal(asked.status, 200);
}

/* A machine that is there refuses; one that is gone with its process says nothing. */
static void a_dead_node_refuses_or_says_nothing(void **state)
{
    (void)state;
    size_t refused = 0;
    size_t silent = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct asked asked;
        world_end();
        world_begin(seed);
        nodes_start(2);
        node_kill(1);
        ask(&asked, "/members", 3000);
        world_run_ms(5000);
        assert_int_equal(asked.done, 1);
        if (asked.code == E_REFUSED) {
            assert_string_equal(asked.text, "connect 10.0.0.2:2380: Connection refused");
            refused++;
        } else {
            assert_int_equal(asked.code, E_TIMEOUT);
            silent++;
        }
    }
    assert_true(refused > 20 && silent > 3);
}

static void a_node_that_dies_with_a_request_ends_it(void **state)
{
    (void)state;
    struct asked asked;
    nodes_start(2);
    ask(&asked, "/slow", 3000);
    world_run_ms(100);
    node_kill(1);
    world_run_ms(5000);
    assert_int_equal(asked.done, 1);
    assert_true(asked.code == E_CLOSED || asked.code == E_TIMEOUT);
    ask(&asked, "/slow", 3000);
    node_kill(0); /* the other way round: nobody is told */
    world_run_ms(5000);
    assert_int_equal(asked.done, 0);
}

static void a_name_that_is_no_node_is_not_found(void **state)
{
    (void)state;
    struct asked asked = {
        .url = "http://nowhere:2380", .method = "GET", .path = "/members", .timeout_ms = 3000};
    nodes_start(1);
    world_in(0, ask_now, &asked);
    world_run_ms(100);
    assert_int_equal(asked.code, E_NOT_FOUND);
    assert_string_equal(asked.text, "lookup nowhere: no such host");
}

static void a_port_that_nobody_listens_on_refuses(void **state)
{
    (void)state;
    struct asked asked = {
        .url = "http://10.0.0.2:9", .method = "GET", .path = "/members", .timeout_ms = 3000};
    nodes_start(2);
    world_in(0, ask_now, &asked);
    world_run_ms(100);
    assert_int_equal(asked.code, E_REFUSED);
}

/* ---- snapshots ---- */

static bool snapshot_is_whole(int slot, size_t size)
{
    const struct buf *bytes = &nodes[slot].snapshot_bytes;
    bool is_whole = bytes->size == size;
    for (size_t i = 0; i < bytes->size && is_whole; i++) {
        is_whole = bytes->data[i] == (uint8_t)(i * 7 + i / 251);
    }
    return is_whole;
}

static void a_snapshot_arrives_and_takes_its_time(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.bytes_per_s = 1000000});
    node_send_snapshot(0, 102, 0x2a, 3000000);
    world_run_ms(2900);
    assert_int_equal(nodes[0].delivered, 0);
    assert_int_equal(nodes[1].snapshot_index, 0);
    world_run_ms(400);
    assert_int_equal(nodes[0].delivered, 1);
    assert_int_equal(nodes[0].undelivered, 0);
    assert_int_equal(nodes[1].snapshot_index, 0x2a);
    assert_string_equal(nodes[1].snapshot_path, "snap/000000000000002a.snap.db");
    assert_true(snapshot_is_whole(1, 3000000));
    /* Opened, written, synced, renamed, the folder synced, closed: in this order. */
    const char *calls = buf_cstr(&nodes[1].disk_calls);
    assert_int_equal(calls[0], 'o');
    assert_int_equal(strspn(calls + 1, "w"), strlen(calls) - 5);
    assert_string_equal(calls + strlen(calls) - 4, "srdc");
}

static size_t snapshots_tapped;

static void on_tap(void *ctx, int from, int to, const struct raft_message *message)
{
    assert_int_equal(from, 0);
    assert_int_equal(to, 1);
    assert_int_equal(message->type, RAFT_MSG_SNAP);
    assert_int_equal(message->snapshot->index, 0x2a);
    assert_int_equal(((struct test_node *)ctx)->snapshot_index, 0); /* it has not seen it yet */
    snapshots_tapped++;
}

static void the_tap_sees_a_snapshot_before_the_node_does(void **state)
{
    (void)state;
    nodes_start(2);
    snapshots_tapped = 0;
    sim_net_set_tap(on_tap, &nodes[1]);
    node_send_snapshot(0, 102, 0x2a, 300000);
    world_run_ms(1000);
    assert_int_equal(nodes[1].snapshot_index, 0x2a);
    assert_int_equal(snapshots_tapped, 1);
}

static void a_snapshot_that_breaks_off_is_reported_once_and_leaves_nothing(void **state)
{
    (void)state;
    size_t written = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        world_end();
        world_begin(seed);
        nodes_start(2);
        set_faults((struct sim_net_faults){.bytes_per_s = 1000000, .snapshot_break_ppm = 1000000});
        node_send_snapshot(0, 102, 0x2a, 1000000);
        world_run_ms(70000);
        assert_int_equal(nodes[0].delivered, 0);
        assert_int_equal(nodes[0].undelivered, 1);
        assert_int_equal(nodes[1].snapshot_index, 0);
        const char *calls = buf_cstr(&nodes[1].disk_calls);
        assert_null(strchr(calls, 'r'));
        if (*calls != '\0') {
            assert_string_equal(calls + strlen(calls) - 2, "cx");
        }
        written += nodes[1].snapshot_bytes.size > 0 ? 1 : 0;
        struct sim_net_counts counts;
        sim_net_counts(&counts);
        assert_int_equal(counts.snapshots, 1);
        assert_int_equal(counts.broken, 1);
    }
    assert_true(written > 5); /* in the middle, not before the beginning */
}

static void a_snapshot_over_a_link_that_is_cut_is_given_up(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.bytes_per_s = 1000000});
    node_send_snapshot(0, 102, 0x2a, 3000000);
    world_run_ms(1000);
    sim_net_cut(0, 1, true);
    world_run_ms(100000);
    assert_int_equal(nodes[0].delivered + nodes[0].undelivered, 1);
    assert_int_equal(nodes[0].undelivered, 1);
    const char *calls = buf_cstr(&nodes[1].disk_calls);
    assert_string_equal(calls + strlen(calls) - 2, "cx");
}

static void a_snapshot_ends_with_either_life(void **state)
{
    (void)state;
    nodes_start(2);
    set_faults((struct sim_net_faults){.bytes_per_s = 1000000});
    node_send_snapshot(0, 102, 0x2a, 1000000);
    world_run_ms(500);
    node_kill(1);
    world_run_ms(70000);
    assert_int_equal(nodes[0].undelivered, 1);
    node_start(1, 102);
    node_knows(1, 0, 101);
    world_run_ms(5000);
    node_send_snapshot(0, 102, 0x2b, 1000000);
    world_run_ms(500);
    node_kill(0);
    world_run_ms(100000);
    assert_int_equal(nodes[1].snapshot_index, 0);
    const char *calls = buf_cstr(&nodes[1].disk_calls);
    assert_string_equal(calls + strlen(calls) - 2, "cx");
}

/* At each call of the disk: its life ends inside of it, and nothing is left of the transfer. */
static void a_receiver_may_die_at_any_call_of_its_disk(void **state)
{
    (void)state;
    for (uint64_t call = 1; call <= 8; call++) {
        world_end();
        world_begin(call);
        nodes_start(2);
        nodes[1].die_at_disk_call = call;
        node_send_snapshot(0, 102, 0x2a, 150000);
        world_run_ms(90000);
        assert_int_equal(nodes[0].delivered + nodes[0].undelivered, 1);
        assert_int_equal(nodes[0].undelivered, nodes[1].is_running ? 0 : 1);
        assert_int_equal(buf_bytes(&nodes[1].disk_calls).size, BASE_MIN(call, 8));
    }
}

static void a_snapshot_for_somebody_else_is_refused(void **state)
{
    (void)state;
    nodes_start(2);
    node_kill(1);
    node_start(1, 999);
    node_knows(1, 0, 101);
    node_send_snapshot(0, 102, 0x2a, 100000);
    world_run_ms(70000);
    assert_int_equal(nodes[0].undelivered, 1);
    assert_int_equal(nodes[1].snapshot_index, 0);
    assert_int_equal(nodes[1].disk_calls.size, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(a_request_is_answered),
        T(method_path_query_headers_and_body_travel),
        T(a_silent_member_costs_the_time_limit),
        T(an_answer_may_come_later),
        T(a_cancelled_request_says_nothing_more),
        T(a_cut_in_either_direction_is_a_time_out_while_connecting),
        T(a_cut_that_heals_in_time_costs_only_time),
        T(a_dead_node_refuses_or_says_nothing),
        T(a_node_that_dies_with_a_request_ends_it),
        T(a_name_that_is_no_node_is_not_found),
        T(a_port_that_nobody_listens_on_refuses),
        T(a_snapshot_arrives_and_takes_its_time),
        T(the_tap_sees_a_snapshot_before_the_node_does),
        T(a_snapshot_that_breaks_off_is_reported_once_and_leaves_nothing),
        T(a_snapshot_over_a_link_that_is_cut_is_given_up),
        T(a_snapshot_ends_with_either_life),
        T(a_receiver_may_die_at_any_call_of_its_disk),
        T(a_snapshot_for_somebody_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
