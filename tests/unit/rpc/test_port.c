/* SPDX-License-Identifier: Apache-2.0 */
/* The port and its defences: sniffing, garbage, floods, limits of heads, idle connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "lib_client.h"

#define PREFACE        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define EMPTY_SETTINGS "\0\0\0\4\0\0\0\0\0"
#define FRAME_HEAD     9u

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

/* The port must still serve others after whatever was done to it. */
static void assert_serves(struct world *world)
{
    struct client *client = client_open(world, false);
    struct client_call *call = client_unary(client, "/test.Echo/Unary", "alive");
    assert_string_equal(call->grpc_status, "0");
    client_close(client);
}

/* Writes raw HTTP/2 (preface and settings first), reads all until the server closes. */
static char *speak_raw(struct world *world, const void *frames, size_t size, size_t *out_size)
{
    int fd = world_connect(world);
    write_all(fd, PREFACE, sizeof(PREFACE) - 1);
    write_all(fd, EMPTY_SETTINGS, FRAME_HEAD);
    write_all(fd, frames, size);
    char *answer = read_all(fd, out_size);
    close(fd);
    return answer;
}

static void append_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream,
                         const void *payload, size_t size)
{
    uint8_t head[FRAME_HEAD] = {(uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, type,
                                flags};
    put_be32(head + 5, stream);
    buf_append(out, head, sizeof(head));
    buf_append(out, payload, size);
}

/* Last GOAWAY's error in the raw answer, or UINT32_MAX. */
static uint32_t goaway_in(const char *answer, size_t size)
{
    uint32_t error = UINT32_MAX;
    const uint8_t *at = (const uint8_t *)answer;
    while (size >= FRAME_HEAD) {
        size_t payload = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
        if (FRAME_HEAD + payload > size) {
            break;
        }
        if (at[3] == NGHTTP2_GOAWAY && payload >= 8) {
            error = get_be32(at + FRAME_HEAD + 4);
        }
        at += FRAME_HEAD + payload;
        size -= FRAME_HEAD + payload;
    }
    return error;
}

static void one_port_speaks_both_protocols(void **state)
{
    struct world *world = *state;
    static const char REQUEST[] = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    int fd = world_connect(world);
    size_t size = 0;

    write_all(fd, REQUEST, sizeof(REQUEST) - 1);
    char *answer = read_all(fd, &size);

    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\n{\"health\":\"true\"}"));
    mem_free(answer);
    close(fd);
    assert_serves(world);
}

static void a_preface_split_byte_by_byte_is_still_http2(void **state)
{
    struct world *world = *state;
    int fd = world_connect(world);
    static const char BYTES[] = PREFACE "\0\0\0\4\0\0\0\0\0";
    uint8_t first[FRAME_HEAD];

    for (size_t i = 0; i < sizeof(BYTES) - 1; i++) {
        write_all(fd, BYTES + i, 1);
        usleep(200);
    }

    assert_int_equal(recv(fd, first, sizeof(first), MSG_WAITALL), FRAME_HEAD);
    assert_int_equal(first[3], NGHTTP2_SETTINGS);
    close(fd);
}

static void a_request_that_starts_like_the_preface_is_http1(void **state)
{
    struct world *world = *state;
    int fd = world_connect(world);
    size_t size = 0;

    write_all(fd, "P", 1);
    usleep(2000);
    static const char REST[] =
        "OST /echo HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    write_all(fd, REST, sizeof(REST) - 1);
    char *answer = read_all(fd, &size);

    assert_non_null(strstr(answer, "\r\n\r\nhello"));
    mem_free(answer);
    close(fd);
}

static void garbage_closes_its_connection_and_nothing_else(void **state)
{
    static const char *const GARBAGE[] = {
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", /* a TLS hello */
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "hello?\n\n\n",
        "GET / HTTP/7.0\r\n\r\n",
    };
    struct world *world = *state;

    for (size_t i = 0; i < ARRAY_COUNT(GARBAGE); i++) {
        int fd = world_connect(world);
        write_all(fd, GARBAGE[i], strlen(GARBAGE[i]));
        shutdown(fd, SHUT_WR);
        size_t size = 0;
        char *answer = read_all(fd, &size);
        assert_null(strstr(answer, "200 OK"));
        mem_free(answer);
        close(fd);
    }
    assert_serves(world);
    assert_int_equal(atomic_load(&world->http_requests), 0);
}

static void garbage_after_the_preface_closes_the_connection(void **state)
{
    struct world *world = *state;
    size_t size = 0;
    char noise[4096];
    for (size_t i = 0; i < sizeof(noise); i++) {
        noise[i] = (char)(i * 131 + 7);
    }

    char *answer = speak_raw(world, noise, sizeof(noise), &size);

    mem_free(answer);
    assert_serves(world);
}

static void pings_are_answered_and_too_many_end_the_connection(void **state)
{
    struct world *world = *state;
    struct client *client = client_open(world, false);
    struct client_call *call = client_start(client, "/test.Echo/Hang", NULL, 0);
    client_send(client, call, "x", 1, true);

    nghttp2_submit_ping(client->ng, NGHTTP2_FLAG_NONE, NULL);
    while (client->pongs < 1 && client_read(client)) {
    }
    assert_int_equal(client->pongs, 1);
    assert_false(client->got_goaway);
    for (int i = 0; i < 4; i++) {
        nghttp2_submit_ping(client->ng, NGHTTP2_FLAG_NONE, NULL);
    }
    while (client_read(client)) {
    }

    assert_true(client->got_goaway);
    assert_int_equal(client->goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_string_equal(client->goaway_text, "too_many_pings");
    world_wait(&world->cancels[GRPC_CANCEL_LOST], 1);
    client_close(client);
}

static void pings_between_answers_are_no_offence(void **state)
{
    struct client *client = client_open(*state, false);

    for (int i = 0; i < 20; i++) {
        nghttp2_submit_ping(client->ng, NGHTTP2_FLAG_NONE, NULL);
        struct client_call *call = client_unary(client, "/test.Echo/Unary", "x");
        assert_string_equal(call->grpc_status, "0");
    }

    assert_false(client->got_goaway);
    client_close(client);
}

/* Floods of one frame, each of which must end the connection. */
static void floods_of_empty_frames_are_closed(void **state)
{
    static const struct {
        uint8_t type;
        uint8_t flags;
        uint8_t size;
    } FLOODS[] = {
        {NGHTTP2_SETTINGS, 0, 0},
        {NGHTTP2_PING, 0, 8},
        {NGHTTP2_PRIORITY, 0, 5},
    };
    struct world *world = *state;
    static const uint8_t PAYLOAD[8] = {0, 0, 0, 1, 7, 0, 0, 0};

    for (size_t i = 0; i < ARRAY_COUNT(FLOODS); i++) {
        struct buf frames;
        buf_init(&frames, BUF_NO_LIMIT);
        uint32_t stream = FLOODS[i].type == NGHTTP2_PRIORITY ? 3 : 0;
        for (int n = 0; n < 20000; n++) {
            append_frame(&frames, FLOODS[i].type, FLOODS[i].flags, stream, PAYLOAD, FLOODS[i].size);
        }
        size_t size = 0;
        char *answer = speak_raw(world, frames.data, frames.size, &size);
        mem_free(answer);
        buf_free(&frames);
        assert_serves(world);
    }
}

/* An HPACK block for a call to /test.Echo/Hang, literals without indexing. */
static void append_request_block(struct buf *out)
{
    static const struct http1_header HEADERS[] = {
        {":method", "POST"},
        {":scheme", "http"},
        {":path", "/test.Echo/Hang"},
        {":authority", "a"},
        {"content-type", "application/grpc"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(HEADERS); i++) {
        buf_append_byte(out, 0);
        buf_append_byte(out, (uint8_t)strlen(HEADERS[i].name));
        buf_append_str(out, HEADERS[i].name);
        buf_append_byte(out, (uint8_t)strlen(HEADERS[i].value));
        buf_append_str(out, HEADERS[i].value);
    }
}

static void rapid_resets_end_the_connection(void **state)
{
    struct world *world = *state;
    struct buf frames;
    struct buf block;
    buf_init(&frames, BUF_NO_LIMIT);
    buf_init(&block, BUF_NO_LIMIT);
    append_request_block(&block);
    static const uint8_t CANCEL[4] = {0, 0, 0, NGHTTP2_CANCEL};
    for (uint32_t i = 0; i < 20000; i++) {
        append_frame(&frames, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 2 * i + 1, block.data,
                     block.size);
        append_frame(&frames, NGHTTP2_RST_STREAM, 0, 2 * i + 1, CANCEL, sizeof(CANCEL));
    }

    size_t size = 0;
    char *answer = speak_raw(world, frames.data, frames.size, &size);

    uint64_t resets = atomic_load(&world->cancels[GRPC_CANCEL_RESET]);
    assert_true(resets > 0 && resets < 3000);
    mem_free(answer);
    buf_free(&block);
    buf_free(&frames);
    assert_serves(world);
}

static void endless_continuations_end_the_connection(void **state)
{
    struct world *world = *state;
    struct buf frames;
    buf_init(&frames, BUF_NO_LIMIT);
    append_frame(&frames, NGHTTP2_HEADERS, 0, 1, "", 0);
    for (int i = 0; i < 10000; i++) {
        append_frame(&frames, NGHTTP2_CONTINUATION, 0, 1, "", 0);
    }

    size_t size = 0;
    char *answer = speak_raw(world, frames.data, frames.size, &size);

    mem_free(answer);
    buf_free(&frames);
    assert_serves(world);
}

static void a_header_list_over_the_limit_ends_the_call(void **state)
{
    struct client *client = client_open(*state, false);
    char *value = mem_zalloc(9000);
    memset(value, 'v', 8999);
    struct http1_header headers[2] = {{"a", value}, {"b", value}};

    struct client_call *call = client_start(client, "/test.Echo/Unary", headers, 2);
    client_send(client, call, "x", 1, true);
    client_wait(client, call);

    assert_string_equal(call->grpc_status, "");
    assert_int_not_equal(call->error, 0);
    struct client_call *next = client_unary(client, "/test.Echo/Unary", "x");
    assert_string_equal(next->grpc_status, "0");
    mem_free(value);
    client_close(client);
}

static void streams_over_the_limit_are_refused(void **state)
{
    (void)state;
    struct grpc_server_config limits = {.max_concurrent_streams = 10};
    struct world *world = world_start(&limits);
    struct buf frames;
    struct buf block;
    buf_init(&frames, BUF_NO_LIMIT);
    buf_init(&block, BUF_NO_LIMIT);
    append_request_block(&block);
    for (uint32_t i = 0; i < 30; i++) {
        append_frame(&frames, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 2 * i + 1, block.data,
                     block.size);
    }
    int fd = world_connect(world);
    write_all(fd, PREFACE, sizeof(PREFACE) - 1);
    write_all(fd, EMPTY_SETTINGS, FRAME_HEAD);
    write_all(fd, frames.data, frames.size);

    world_wait_started(world, 10);
    struct client *other = client_open(world, false);
    client_unary(other, "/test.Echo/Unary", "one turn of the loop later");
    struct grpc_stats stats;
    grpc_server_stats(world->grpc, &stats);

    assert_int_equal(stats.started_calls, 10 + 1);
    assert_int_equal(stats.open_calls, 10);
    client_close(other);
    close(fd);
    world_wait(&world->cancels[GRPC_CANCEL_LOST], 10);
    buf_free(&block);
    buf_free(&frames);
    world_stop(world);
}

static void a_client_that_does_not_answer_our_ping_is_cut(void **state)
{
    (void)state;
    struct grpc_server_config limits = {.keepalive_interval_ms = 20, .keepalive_timeout_ms = 20};
    struct world *world = world_start(&limits);
    size_t size = 0;

    char *answer = speak_raw(world, "", 0, &size);

    assert_int_equal(answer[size - 17 + 3], NGHTTP2_PING);
    mem_free(answer);
    world_stop(world);
}

static void a_protocol_error_is_answered_by_goaway(void **state)
{
    struct world *world = *state;
    struct buf frames;
    buf_init(&frames, BUF_NO_LIMIT);
    append_frame(&frames, NGHTTP2_DATA, 0, 1, "x", 1); /* of a stream that was never opened */

    size_t size = 0;
    char *answer = speak_raw(world, frames.data, frames.size, &size);

    assert_int_equal(goaway_in(answer, size), NGHTTP2_PROTOCOL_ERROR);
    mem_free(answer);
    buf_free(&frames);
}

static void an_address_in_use_is_said_as_etcd_says_it(void **state)
{
    struct world *world = *state;
    struct url url;
    struct err err = {""};
    char *text = str_printf("http://127.0.0.1:%u", (unsigned)world->number);
    char *expected = str_printf("listen tcp 127.0.0.1:%u: bind: address already in use",
                                (unsigned)world->number);
    struct port *port = NULL;
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(url_parse(text, &url, &err), 0);
    struct port_config config = {.loop = loop, .urls = &url, .url_count = 1};

    int rc = port_open(&config, &port, &err);

    assert_int_equal(rc, E_IN_USE);
    assert_string_equal(err.text, expected);
    loop_free(loop);
    mem_free(expected);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(one_port_speaks_both_protocols),
        T(a_preface_split_byte_by_byte_is_still_http2),
        T(a_request_that_starts_like_the_preface_is_http1),
        T(garbage_closes_its_connection_and_nothing_else),
        T(garbage_after_the_preface_closes_the_connection),
        T(pings_are_answered_and_too_many_end_the_connection),
        T(pings_between_answers_are_no_offence),
        T(floods_of_empty_frames_are_closed),
        T(rapid_resets_end_the_connection),
        T(endless_continuations_end_the_connection),
        T(a_header_list_over_the_limit_ends_the_call),
        T(a_protocol_error_is_answered_by_goaway),
        T(an_address_in_use_is_said_as_etcd_says_it),
#undef T
        cmocka_unit_test(streams_over_the_limit_are_refused),
        cmocka_unit_test(a_client_that_does_not_answer_our_ping_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
