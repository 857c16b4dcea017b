/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC calls over real sockets: kinds of calls, statuses, limits, deadlines, back-pressure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "lib_client.h"

#define BIG_BYTES (100u * 1024u * 1024u)

static int setup(void **state)
{
    *state = world_start(NULL);
    return 0;
}

static int teardown(void **state)
{
    world_stop(*state);
    return 0;
}

static void a_unary_call_is_answered(void **state)
{
    struct world *world = *state;
    struct client *client = client_open(world, false);

    struct client_call *call = client_unary(client, "/test.Echo/Unary", "hello");

    char *text = call_text(call);
    assert_string_equal(text, "hello");
    assert_string_equal(call->http_status, "200");
    assert_string_equal(call->grpc_status, "0");
    assert_int_equal(call->error, 0);
    struct grpc_stats stats;
    grpc_server_stats(world->grpc, &stats);
    assert_int_equal(stats.received_bytes, 5);
    assert_int_equal(stats.sent_bytes, 5);
    assert_int_equal(stats.open_calls, 0);
    assert_int_equal(stats.open_connections, 1);
    mem_free(text);
    client_close(client);
}

static void an_empty_message_is_a_message(void **state)
{
    struct client *client = client_open(*state, false);

    struct client_call *call = client_unary(client, "/test.Echo/Unary", "");

    assert_int_equal(call->received.size, GRPC_PREFIX_BYTES);
    assert_string_equal(call->grpc_status, "0");
    client_close(client);
}

static void a_hundred_streams_at_once_each_get_their_own_answer(void **state)
{
    struct client *client = client_open(*state, false);
    struct client_call *calls[100];

    for (size_t i = 0; i < 100; i++) {
        char *text = str_printf("message %zu", i);
        calls[i] = client_start(client, "/test.Echo/Unary", NULL, 0);
        client_send(client, calls[i], text, strlen(text), true);
        mem_free(text);
    }
    while (client->closed_count < 100 && client_read(client)) {
    }

    for (size_t i = 0; i < 100; i++) {
        char *text = call_text(calls[i]);
        char *expected = str_printf("message %zu", i);
        assert_string_equal(text, expected);
        mem_free(expected);
        mem_free(text);
    }
    client_close(client);
}

static void a_bidi_call_echoes_until_the_half_close(void **state)
{
    struct client *client = client_open(*state, false);
    struct client_call *call = client_start(client, "/test.Echo/Bidi", NULL, 0);

    for (size_t i = 1; i <= 5; i++) {
        client_send(client, call, "ping", 4, false);
        while (call->received.size < i * 9 && client_read(client)) {
        }
        assert_int_equal(call->received.size, i * 9);
    }
    assert_false(call->closed);
    client_end(client, call);
    client_wait(client, call);

    assert_string_equal(call->grpc_status, "0");
    client_close(client);
}

static void a_client_stream_is_counted_at_the_half_close(void **state)
{
    struct client *client = client_open(*state, false);
    struct client_call *call = client_start(client, "/test.Echo/Collect", NULL, 0);

    for (size_t i = 0; i < 1000; i++) {
        client_send(client, call, "0123456789", 10, i == 999);
    }
    client_wait(client, call);

    char *text = call_text(call);
    assert_string_equal(text, "1000");
    mem_free(text);
    client_close(client);
}

static void a_message_split_over_many_frames_is_put_together(void **state)
{
    struct client *client = client_open(*state, false);
    struct client_call *call = client_start(client, "/test.Echo/Unary", NULL, 0);
    size_t size = 1500000;
    uint8_t *message = mem_alloc(size);
    for (size_t i = 0; i < size; i++) {
        message[i] = (uint8_t)(i * 7);
    }

    client_send(client, call, message, size, true);
    client_wait(client, call);

    assert_int_equal(call->received.size, size + GRPC_PREFIX_BYTES);
    assert_memory_equal(call->received.data + GRPC_PREFIX_BYTES, message, size);
    mem_free(message);
    client_close(client);
}

static void a_status_message_is_percent_encoded(void **state)
{
    struct client *client = client_open(*state, false);

    struct client_call *call = client_unary(client, "/test.Echo/Fail", "x");

    assert_string_equal(call->grpc_status, "5");
    assert_string_equal(call->grpc_message, "50%25 of %C3%A4 key%0A");
    assert_int_equal(call->received.size, 0);
    client_close(client);
}

static void unknown_names_are_unimplemented_in_the_words_of_grpc_go(void **state)
{
    static const struct {
        const char *path;
        const char *message;
    } CASES[] = {
        {"/test.Echo/Nothing", "unknown method Nothing for service test.Echo"},
        {"/no.Such/Thing", "unknown service no.Such"},
        {"/nothing", "malformed method name: \"/nothing\""},
    };
    struct client *client = client_open(*state, false);

    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct client_call *call = client_unary(client, CASES[i].path, "x");
        assert_string_equal(call->grpc_status, "12");
        assert_string_equal(call->grpc_message, CASES[i].message);
    }
    client_close(client);
}

static void what_is_no_grpc_call_gets_a_http_status(void **state)
{
    static const struct {
        struct http1_header header;
        const char *http_status;
    } CASES[] = {
        {{"content-type", "text/plain"}, "415"},
        {{"content-type", "application/grpcx"}, "415"},
        {{":method", "GET"}, "405"},
        {{"grpc-timeout", "soon"}, "400"},
    };
    struct client *client = client_open(*state, false);

    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct client_call *call = client_start(client, "/test.Echo/Unary", &CASES[i].header, 1);
        client_send(client, call, "x", 1, true);
        client_wait(client, call);
        assert_string_equal(call->http_status, CASES[i].http_status);
    }
    struct client_call *good = client_unary(client, "/test.Echo/Unary", "x");
    assert_string_equal(good->grpc_status, "0");
    client_close(client);
}

static void a_message_over_the_limit_is_refused_by_its_length_alone(void **state)
{
    struct client *client = client_open(*state, false);
    struct client_call *call = client_start(client, "/test.Echo/Unary", NULL, 0);
    uint8_t prefix[GRPC_PREFIX_BYTES] = {0};
    put_be32(prefix + 1, 2097153);

    buf_append(&call->to_send, prefix, sizeof(prefix));
    client_wait(client, call);

    assert_string_equal(call->grpc_status, "8");
    assert_string_equal(call->grpc_message,
                        "grpc: received message larger than max (2097153 vs. 2097152)");
    client_close(client);
}

static void compression_is_refused(void **state)
{
    struct world *world = *state;
    struct client *client = client_open(world, false);
    struct http1_header gzip = {"grpc-encoding", "gzip"};

    struct client_call *named = client_start(client, "/test.Echo/Unary", &gzip, 1);
    client_send(client, named, "x", 1, true);
    client_wait(client, named);
    struct client_call *flagged = client_start(client, "/test.Echo/Unary", NULL, 0);
    buf_append(&flagged->to_send, "\1\0\0\0\1x", 6);
    client_wait(client, flagged);

    assert_string_equal(named->grpc_status, "12");
    assert_string_equal(flagged->grpc_status, "13");
    world_wait(&world->cancels[GRPC_CANCEL_PROTOCOL], 1);
    client_close(client);
}

static void a_request_that_ends_inside_a_message_is_an_error(void **state)
{
    struct client *client = client_open(*state, false);
    struct client_call *call = client_start(client, "/test.Echo/Unary", NULL, 0);

    buf_append(&call->to_send, "\0\0\0\0\5he", 7);
    client_end(client, call);
    client_wait(client, call);

    assert_string_equal(call->grpc_status, "13");
    client_close(client);
}

static void a_deadline_ends_the_call(void **state)
{
    struct world *world = *state;
    struct client *client = client_open(world, false);
    struct http1_header timeout = {"grpc-timeout", "20m"};

    struct client_call *call = client_start(client, "/test.Echo/Hang", &timeout, 1);
    client_send(client, call, "x", 1, true);
    client_wait(client, call);

    assert_string_equal(call->grpc_status, "4");
    assert_string_equal(call->grpc_message, "context deadline exceeded");
    assert_int_equal(atomic_load(&world->cancels[GRPC_CANCEL_DEADLINE]), 1);
    client_close(client);
}

static void a_reset_cancels_the_call(void **state)
{
    struct world *world = *state;
    struct client *client = client_open(world, false);
    struct client_call *call = client_start(client, "/test.Echo/Hang", NULL, 0);
    client_send(client, call, "x", 1, true);
    client_flush(client);

    client_cancel(client, call);
    client_flush(client);

    world_wait(&world->cancels[GRPC_CANCEL_RESET], 1);
    struct client_call *next = client_unary(client, "/test.Echo/Unary", "still here");
    assert_string_equal(next->grpc_status, "0");
    client_close(client);
}

static void a_lost_connection_cancels_its_calls(void **state)
{
    struct world *world = *state;
    struct client *client = client_open(world, false);
    for (int i = 0; i < 3; i++) {
        struct client_call *call = client_start(client, "/test.Echo/Hang", NULL, 0);
        client_send(client, call, "x", 1, true);
    }
    client_flush(client);
    world_wait_started(world, 3);

    client_close(client);

    world_wait(&world->cancels[GRPC_CANCEL_LOST], 3);
}

static void a_slow_reader_costs_a_bounded_queue(void **state)
{
    struct world *world = *state;
    struct client *client = client_open(world, false);
    nghttp2_session_set_local_window_size(client->ng, NGHTTP2_FLAG_NONE, 0, 8 * 1024 * 1024);
    struct client_call *call = client_start(client, "/test.Echo/Big", NULL, 0);
    call->keep_bytes = false;
    char *size = str_printf("%u", BIG_BYTES);

    client_send(client, call, size, strlen(size), true);
    client_wait(client, call);

    uint64_t messages = BIG_BYTES / (256 * 1024);
    assert_string_equal(call->grpc_status, "0");
    assert_int_equal(call->received_bytes, BIG_BYTES + messages * GRPC_PREFIX_BYTES);
    assert_true(atomic_load(&world->pending_max) <= 1536 * 1024);
    mem_free(size);
    client_close(client);
}

static void a_window_that_stays_shut_stops_one_stream_and_no_other(void **state)
{
    struct world *world = *state;
    struct client *client = client_open(world, true);
    nghttp2_session_set_local_window_size(client->ng, NGHTTP2_FLAG_NONE, 0, 8 * 1024 * 1024);
    struct client_call *big = client_start(client, "/test.Echo/Big", NULL, 0);
    client_send(client, big, "10000000", 8, true);
    while (big->received_bytes < 65535 && client_read(client)) {
    }

    struct client_call *call = client_unary(client, "/test.Echo/Unary", "me too");

    assert_string_equal(call->grpc_status, "0");
    assert_int_equal(big->received_bytes, 65535);
    assert_false(big->closed);
    client_close(client);
    world_wait(&world->cancels[GRPC_CANCEL_LOST], 1);
}

static void resume_slow(void *ctx)
{
    struct world *world = ctx;
    uint64_t handle = atomic_load(&world->slow_handle);
    struct grpc_call *call = grpc_call_from_handle(world->grpc, handle);
    assert_non_null(call);
    grpc_call_resume(call);
}

static void a_paused_call_holds_the_client_by_its_window(void **state)
{
    struct world *world = *state;
    struct client *client = client_open(world, false);
    client_unary(client, "/test.Echo/Unary", "now the server's windows are known");
    struct client_call *call = client_start(client, "/test.Echo/Slow", NULL, 0);
    uint8_t *message = mem_zalloc(100000);
    for (int i = 0; i < 20; i++) {
        client_send(client, call, message, 100000, i == 19);
    }
    client_flush(client);
    world_wait(&world->slow_messages, 1);
    struct client_call *other = client_unary(client, "/test.Echo/Unary", "x");
    assert_string_equal(other->grpc_status, "0");
    assert_int_equal(atomic_load(&world->slow_messages), 1);

    world_run(world, resume_slow, world);
    client_wait(client, call);

    assert_int_equal(atomic_load(&world->slow_messages), 20);
    assert_string_equal(call->grpc_status, "0");
    mem_free(message);
    client_close(client);
}

static void find_slow(void *ctx)
{
    struct world *world = ctx;
    assert_null(grpc_call_from_handle(world->grpc, atomic_load(&world->slow_handle)));
}

static void the_handle_of_a_dead_call_gives_nothing(void **state)
{
    struct world *world = *state;
    struct client *client = client_open(world, false);
    struct client_call *call = client_start(client, "/test.Echo/Slow", NULL, 0);
    client_send(client, call, "x", 1, false);
    client_flush(client);
    world_wait(&world->slow_messages, 1);
    client_cancel(client, call);
    client_flush(client);
    world_wait(&world->cancels[GRPC_CANCEL_RESET], 1);

    world_run(world, find_slow, world);

    client_close(client);
}

static void drain_server(void *ctx)
{
    struct world *world = ctx;
    grpc_server_drain(world->grpc);
}

static void draining_lets_open_calls_finish(void **state)
{
    struct world *world = *state;
    struct client *client = client_open(world, false);
    struct client_call *call = client_start(client, "/test.Echo/Bidi", NULL, 0);
    client_send(client, call, "one", 3, false);
    while (call->received.size < 8 && client_read(client)) {
    }

    world_run(world, drain_server, world);
    client_send(client, call, "two", 3, true);
    client_wait(client, call);
    while (client_read(client)) {
    }

    assert_string_equal(call->grpc_status, "0");
    assert_int_equal(call->received.size, 16);
    assert_true(client->got_goaway);
    assert_int_equal(client->goaway_error, 0);
    client_close(client);
}

static void unfinished_requests_have_a_limit_together(void **state)
{
    (void)state;
    struct grpc_server_config limits = {.receive_bytes_max = 300000};
    struct world *world = world_start(&limits);
    struct client *client = client_open(world, false);
    uint8_t *part = mem_zalloc(100000);
    put_be32(part + 1, 2000000);

    for (int i = 0; i < 4; i++) {
        struct client_call *call = client_start(client, "/test.Echo/Unary", NULL, 0);
        buf_append(&call->to_send, part, 100000);
    }
    while (client->closed_count == 0 && client_read(client)) {
    }

    size_t refused = 0;
    for (size_t i = 0; i < 4; i++) {
        refused += strcmp(client->calls[i]->grpc_status, "8") == 0 ? 1 : 0;
    }
    assert_int_equal(refused, 1);
    mem_free(part);
    client_close(client);
    world_stop(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(a_unary_call_is_answered),
        T(an_empty_message_is_a_message),
        T(a_hundred_streams_at_once_each_get_their_own_answer),
        T(a_bidi_call_echoes_until_the_half_close),
        T(a_client_stream_is_counted_at_the_half_close),
        T(a_message_split_over_many_frames_is_put_together),
        T(a_status_message_is_percent_encoded),
        T(unknown_names_are_unimplemented_in_the_words_of_grpc_go),
        T(what_is_no_grpc_call_gets_a_http_status),
        T(a_message_over_the_limit_is_refused_by_its_length_alone),
        T(compression_is_refused),
        T(a_request_that_ends_inside_a_message_is_an_error),
        T(a_deadline_ends_the_call),
        T(a_reset_cancels_the_call),
        T(a_lost_connection_cancels_its_calls),
        T(a_slow_reader_costs_a_bounded_queue),
        T(a_window_that_stays_shut_stops_one_stream_and_no_other),
        T(a_paused_call_holds_the_client_by_its_window),
        T(the_handle_of_a_dead_call_gives_nothing),
        T(draining_lets_open_calls_finish),
#undef T
        cmocka_unit_test(unfinished_requests_have_a_limit_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
