/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 on one loop in one thread: raw requests against the server, and our client against it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/net/http1.h"
#include "base/net/http1client.h"
#include "base/net/listen.h"

#define GIVE_UP_MS 20000u

struct bench {
    struct loop *loop;
    struct listener *listener;
    struct http1_server *server;
    struct loop_timer give_up;
    struct url url;
    uint64_t deadline_ms;

    char *log; /* what the server's callbacks saw */
    struct http1_request *held;
    struct loop_timer later;
    size_t uploaded;
    uint64_t upload_sum;
    bool pause_uploads;
    size_t ticks;
};

static void note(struct bench *bench, const char *before, const char *text, const char *after)
{
    char *all = str_printf("%s%s%s%s", bench->log == NULL ? "" : bench->log, before, text, after);
    mem_free(bench->log);
    bench->log = all;
}

static void on_upload(void *ctx, struct http1_request *request, struct bytes part, bool at_end)
{
    struct bench *bench = ctx;
    bench->uploaded += part.size;
    for (size_t i = 0; i < part.size; i++) {
        bench->upload_sum += part.data[i];
    }
    if (at_end) {
        char *text = str_printf("%zu", bench->uploaded);
        http1_respond(request, 200, NULL, bytes_of_str(text));
        mem_free(text);
    } else if (bench->pause_uploads) {
        bench->pause_uploads = false;
        http1_body_pause(request);
        bench->held = request;
        loop_timer_set(&bench->later, 20);
    }
}

static void on_later(void *ctx)
{
    struct bench *bench = ctx;
    struct http1_request *request = bench->held;
    if (request == NULL) {
        return;
    }
    if (strcmp(http1_path(request), "/upload") == 0) {
        bench->held = NULL;
        http1_body_resume(request);
    } else if (strcmp(http1_path(request), "/ticks") == 0) {
        char *text = str_printf("tick %zu\n", bench->ticks++);
        http1_respond_write(request, text, strlen(text));
        mem_free(text);
        loop_timer_set(&bench->later, 1);
    } else {
        bench->held = NULL;
        http1_respond(request, 200, "text/plain", bytes_of_str("at last"));
    }
}

static void on_head(void *ctx, struct http1_request *request)
{
    struct bench *bench = ctx;
    if (strcmp(http1_path(request), "/upload") == 0) {
        http1_stream_body(request, on_upload);
    } else if (strcmp(http1_path(request), "/early") == 0) {
        http1_respond_error(request, 412, "cluster ID mismatch");
    } else if (strcmp(http1_path(request), "/ticks") == 0) {
        http1_respond_start(request, 200, NULL);
        bench->held = request;
        loop_timer_set(&bench->later, 1);
    }
}

static void on_request(void *ctx, struct http1_request *request)
{
    struct bench *bench = ctx;
    const char *path = http1_path(request);
    note(bench, "[", path, "]");
    if (strcmp(path, "/later") == 0) {
        bench->held = request;
        loop_timer_set(&bench->later, 5);
    } else if (strcmp(path, "/big") == 0) {
        uint8_t *data = mem_alloc(5000000);
        memset(data, 'b', 5000000);
        http1_respond_start(request, 200, "application/octet-stream");
        http1_respond_write_take(request, data, 5000000);
        http1_respond_write(request, "end", 3);
        http1_respond_end(request);
    } else if (strcmp(path, "/none") == 0) {
        http1_respond(request, 204, NULL, bytes_of(NULL, 0));
    } else if (strcmp(path, "/only-get") == 0) {
        http1_respond_method_not_allowed(request, "GET");
    } else if (strcmp(path, "/query") == 0) {
        char value[64] = "";
        http1_query_value(request, "b", value, sizeof(value));
        http1_set_header(request, "X-Seen", http1_header(request, "x-test"));
        http1_respond(request, 200, NULL, bytes_of_str(value));
    } else {
        http1_respond(request, 200, NULL, http1_body(request));
    }
}

static void on_over(void *ctx, struct http1_request *request, bool completed)
{
    struct bench *bench = ctx;
    if (bench->held == request) {
        bench->held = NULL;
    }
    note(bench, "", completed ? "." : "!", "");
}

static void on_accept(void *ctx, int fd)
{
    struct bench *bench = ctx;
    static const struct stream_events NOTHING = {0};
    struct stream *stream = stream_adopt(bench->loop, fd, NULL, &NOTHING, NULL);
    http1_server_adopt(bench->server, stream, bytes_of(NULL, 0), NULL, NULL);
}

static void on_give_up(void *ctx)
{
    struct bench *bench = ctx;
    loop_stop(bench->loop);
}

static int setup(void **state)
{
    struct bench *bench = mem_zalloc(sizeof(*bench));
    struct err err = {""};
    assert_int_equal(loop_new(&bench->loop, &err), 0);
    assert_int_equal(url_parse("http://127.0.0.1:0", &bench->url, &err), 0);
    struct listener_config listen = {
        .loop = bench->loop, .url = &bench->url, .accept = on_accept, .ctx = bench};
    assert_int_equal(listener_open(&listen, &bench->listener, &err), 0);
    bench->url.port = listener_port(bench->listener);
    struct http1_server_config config = {.loop = bench->loop,
                                         .ctx = bench,
                                         .on_head = on_head,
                                         .on_request = on_request,
                                         .on_over = on_over,
                                         .head_deadline_ms = 300};
    bench->server = http1_server_new(&config);
    loop_timer_init(bench->loop, &bench->give_up, on_give_up, bench);
    loop_timer_init(bench->loop, &bench->later, on_later, bench);
    note(bench, "", "", "");
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    http1_server_free(bench->server);
    listener_free(bench->listener);
    loop_timer_cancel(&bench->give_up);
    loop_timer_cancel(&bench->later);
    loop_free(bench->loop);
    mem_free(bench->log);
    mem_free(bench);
    return 0;
}

/* A raw client on the same loop: sends text (whole, or byte by byte), collects all until the close.
 */
struct raw {
    struct bench *bench;
    struct stream *stream;
    const char *text;
    bool by_bytes;
    bool stops_reading; /* at the first bytes, which also stops the loop */
    size_t sent;
    struct loop_timer next;
    struct buf answer;
};

static void raw_send_next(void *ctx)
{
    struct raw *raw = ctx;
    if (raw->text[raw->sent] != '\0') {
        stream_write(raw->stream, raw->text + raw->sent++, 1);
        loop_timer_set(&raw->next, 0);
    }
}

static void raw_on_open(void *ctx)
{
    struct raw *raw = ctx;
    if (raw->by_bytes) {
        raw_send_next(raw);
    } else {
        stream_write(raw->stream, raw->text, strlen(raw->text));
    }
}

static void raw_on_data(void *ctx, struct bytes data)
{
    struct raw *raw = ctx;
    buf_append(&raw->answer, data.data, data.size);
    if (raw->stops_reading) {
        stream_pause(raw->stream);
        loop_stop(raw->bench->loop);
    }
}

static void raw_on_close(void *ctx, int code, const char *text)
{
    struct raw *raw = ctx;
    (void)code;
    (void)text;
    loop_timer_cancel(&raw->next);
    stream_free(raw->stream);
    raw->stream = NULL;
    loop_stop(raw->bench->loop);
}

static const struct stream_events RAW_EVENTS = {
    .on_open = raw_on_open,
    .on_data = raw_on_data,
    .on_close = raw_on_close,
};

static void run(struct bench *bench)
{
    loop_timer_set(&bench->give_up, GIVE_UP_MS);
    loop_run(bench->loop);
    assert_true(heap_contains(&bench->give_up.node)); /* else nothing happened for so long */
    loop_timer_cancel(&bench->give_up);
}

static void resolved(void *ctx, const struct resolve_result *result)
{
    struct raw *raw = ctx;
    assert_int_equal(result->code, 0);
    assert_int_equal(
        stream_connect(raw->bench->loop, (const struct sockaddr *)&result->addresses[0],
                       result->address_sizes[0], NULL, &RAW_EVENTS, raw, &raw->stream, NULL),
        0);
}

/* Gives all that the server said to text until it closed (mem_free). */
static char *ask_raw(struct bench *bench, const char *text, bool by_bytes)
{
    struct raw raw = {.bench = bench, .text = text, .by_bytes = by_bytes};
    buf_init(&raw.answer, BUF_NO_LIMIT);
    loop_timer_init(bench->loop, &raw.next, raw_send_next, &raw);
    resolve_start(NULL, bench->loop, &bench->url, resolved, &raw);
    run(bench);
    buf_cstr(&raw.answer);
    size_t size = 0;
    return (char *)buf_take(&raw.answer, &size);
}

static void assert_answers(struct bench *bench, const char *text, const char *expected)
{
    for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
        char *answer = ask_raw(bench, text, by_bytes == 1);
        assert_string_equal(answer, expected);
        mem_free(answer);
    }
}

static void requests_are_answered_whole_and_byte_by_byte(void **state)
{
    assert_answers(
        *state,
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    assert_answers(*state,
                   "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                   "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabcde");
    assert_answers(*state, "HEAD /big HTTP/1.0\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                   "Connection: close\r\n\r\n");
    assert_answers(*state, "GET /query?a=1&b=x%2Fy+z HTTP/1.0\r\nX-TEST: seen\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nX-Seen: seen\r\nContent-Length: 5\r\nConnection: close\r\n"
                   "\r\nx/y z");
    assert_answers(*state, "PUT /only-get HTTP/1.0\r\n\r\n",
                   "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n"
                   "X-Content-Type-Options: nosniff\r\nContent-Type: text/plain; charset=utf-8\r\n"
                   "Content-Length: 19\r\nConnection: close\r\n\r\nMethod Not Allowed\n");
}

static void pipelined_requests_are_answered_in_their_order(void **state)
{
    struct bench *bench = *state;

    char *answer = ask_raw(bench,
                           "GET /later HTTP/1.1\r\n\r\n"
                           "POST /two HTTP/1.1\r\nContent-Length: 1\r\n\r\n2"
                           "GET /none HTTP/1.1\r\n\r\n"
                           "POST /four HTTP/1.1\r\nContent-Length: 1\r\nConnection: close\r\n\r\n4"
                           "GET /never HTTP/1.1\r\n\r\n",
                           false);

    assert_string_equal(
        answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nat last"
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"
                "HTTP/1.1 204 No Content\r\n\r\n"
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n4");
    assert_string_equal(bench->log, "[/later].[/two].[/none].[/four].");
    mem_free(answer);
}

static void broken_requests_are_refused(void **state)
{
    static const struct {
        const char *request;
        const char *status;
    } CASES[] = {
        {"hello\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /%zz HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /a%00b HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/7.0\r\n\r\n", "HTTP/1.1 505 "},
        {"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n", "HTTP/1.1 413 "},
        {"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 400 "},
    };
    struct bench *bench = *state;

    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        char *answer = ask_raw(bench, CASES[i].request, false);
        if (!str_starts_with(answer, CASES[i].status)) {
            fail_msg("case %zu: %s", i, answer);
        }
        mem_free(answer);
    }
    assert_null(strchr(bench->log, '['));
}

static void heads_over_the_limit_get_431(void **state)
{
    struct bench *bench = *state;
    char *value = mem_zalloc(17001);
    memset(value, 'v', 17000);
    char *long_value = str_printf("GET / HTTP/1.1\r\nA: %s\r\n\r\n", value);
    char *long_path = str_printf("GET /%s HTTP/1.1\r\n\r\n", value);
    struct buf many;
    buf_init(&many, BUF_NO_LIMIT);
    buf_append_str(&many, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 101; i++) {
        buf_append_str(&many, "A: b\r\n");
    }
    buf_append_str(&many, "\r\n");
    const char *requests[] = {long_value, long_path, buf_cstr(&many)};

    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        char *answer = ask_raw(bench, requests[i], false);
        assert_true(str_starts_with(answer, "HTTP/1.1 431 "));
        mem_free(answer);
    }
    buf_free(&many);
    mem_free(long_path);
    mem_free(long_value);
    mem_free(value);
}

static void a_head_that_never_ends_meets_its_deadline(void **state)
{
    struct bench *bench = *state;

    char *answer = ask_raw(bench, "GET / HTTP/1.1\r\nHost:", false);

    assert_string_equal(answer, "");
    mem_free(answer);
}

static void a_client_that_asks_and_does_not_read_waits(void **state)
{
    struct bench *bench = *state;
    struct raw raw = {.bench = bench};
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (int i = 0; i < 50; i++) {
        buf_append_str(&text, "GET /big HTTP/1.1\r\n\r\n");
    }
    raw.text = buf_cstr(&text);
    buf_init(&raw.answer, BUF_NO_LIMIT);
    loop_timer_init(bench->loop, &raw.next, raw_send_next, &raw);
    resolve_start(NULL, bench->loop, &bench->url, resolved, &raw);
    raw.stops_reading = true;
    run(bench);
    loop_timer_set(&bench->give_up, 100);
    loop_run(bench->loop);

    size_t answered = 0;
    for (const char *c = bench->log; *c != '\0'; c++) {
        answered += *c == '.' ? 1 : 0;
    }

    assert_true(answered > 0 && answered <= 4);
    stream_free(raw.stream);
    buf_free(&raw.answer);
    buf_free(&text);
}

/* One exchange of our client. */
struct asked {
    struct bench *bench;
    struct http1_client *client;
    int status;
    struct buf body;
    uint64_t body_bytes;
    int code;
    size_t done;
    size_t to_upload;
    size_t uploaded;
    uint64_t queued_max;
    size_t stop_at_bytes; /* cancel after so many */
};

static void asked_on_answer(void *ctx, const struct http1_client_answer *answer)
{
    struct asked *asked = ctx;
    asked->status = answer->status;
}

static void asked_on_body(void *ctx, struct bytes part)
{
    struct asked *asked = ctx;
    asked->body_bytes += part.size;
    buf_append(&asked->body, part.data, part.size);
    if (asked->stop_at_bytes != 0 && asked->body_bytes >= asked->stop_at_bytes) {
        http1_client_cancel(asked->client);
        loop_stop(asked->bench->loop);
    }
}

static void asked_on_done(void *ctx, int code, const char *text)
{
    struct asked *asked = ctx;
    (void)text;
    asked->code = code;
    asked->done++;
    loop_stop(asked->bench->loop);
}

static void asked_on_room(void *ctx, struct http1_client *client)
{
    struct asked *asked = ctx;
    static const uint8_t ONES[10000] = {[0 ... 9999] = 1};
    bool has_room = true;
    while (has_room && asked->uploaded < asked->to_upload) {
        size_t part = BASE_MIN(sizeof(ONES), asked->to_upload - asked->uploaded);
        has_room = http1_client_write(client, ONES, part);
        asked->uploaded += part;
    }
    if (asked->uploaded == asked->to_upload) {
        http1_client_end_body(client);
    }
}

static void asked_init(struct asked *asked, struct bench *bench)
{
    *asked = (struct asked){.bench = bench};
    struct http1_client_config config = {.loop = bench->loop, .url = bench->url};
    asked->client = http1_client_new(&config);
    buf_init(&asked->body, BUF_NO_LIMIT);
}

static struct http1_client_exchange exchange_of(struct asked *asked, const char *method,
                                                const char *path)
{
    buf_clear(&asked->body);
    asked->body_bytes = 0;
    asked->status = 0;
    return (struct http1_client_exchange){.method = method,
                                          .path = path,
                                          .ctx = asked,
                                          .on_answer = asked_on_answer,
                                          .on_body = asked_on_body,
                                          .on_done = asked_on_done};
}

static void ask(struct asked *asked, const struct http1_client_exchange *exchange)
{
    assert_int_equal(http1_client_start(asked->client, exchange), 0);
    assert_int_equal(http1_client_start(asked->client, exchange), E_CONFLICT);
    run(asked->bench);
}

static void asked_free(struct asked *asked)
{
    http1_client_free(asked->client);
    buf_free(&asked->body);
}

static void the_client_keeps_its_connection(void **state)
{
    struct bench *bench = *state;
    struct asked asked;
    asked_init(&asked, bench);

    for (size_t i = 0; i < 5; i++) {
        struct http1_client_exchange post = exchange_of(&asked, "POST", "/raft");
        post.body = bytes_of_str("message");
        ask(&asked, &post);
        assert_int_equal(asked.code, 0);
        assert_int_equal(asked.status, 200);
        assert_string_equal(buf_cstr(&asked.body), "message");
        struct http1_client_exchange none = exchange_of(&asked, "GET", "/none");
        ask(&asked, &none);
        assert_int_equal(asked.status, 204);
        struct http1_client_exchange big = exchange_of(&asked, "GET", "/big");
        ask(&asked, &big);
        assert_int_equal(asked.body_bytes, 5000003);
        assert_int_equal(http1_server_connection_count(bench->server), 1);
    }
    asked_free(&asked);
}

static void a_large_upload_meets_back_pressure(void **state)
{
    struct bench *bench = *state;
    struct asked asked;
    asked_init(&asked, bench);
    asked.to_upload = 20 * 1024 * 1024;
    uint64_t sizes[2] = {asked.to_upload, HTTP1_CLIENT_CHUNKED};

    for (size_t i = 0; i < 2; i++) {
        bench->pause_uploads = true;
        bench->uploaded = 0;
        bench->upload_sum = 0;
        asked.uploaded = 0;
        struct http1_client_exchange post = exchange_of(&asked, "POST", "/upload");
        post.on_room = asked_on_room;
        post.body_size = sizes[i];
        ask(&asked, &post);
        assert_int_equal(asked.code, 0);
        assert_string_equal(buf_cstr(&asked.body), "20971520");
        assert_int_equal(bench->upload_sum, asked.to_upload);
    }
    assert_int_equal(http1_server_connection_count(bench->server), 1);
    asked_free(&asked);
}

static void an_upload_may_be_refused_before_its_end(void **state)
{
    struct bench *bench = *state;
    struct asked asked;
    asked_init(&asked, bench);
    asked.to_upload = 20 * 1024 * 1024;
    struct http1_client_exchange post = exchange_of(&asked, "POST", "/early");
    post.on_room = asked_on_room;
    post.body_size = asked.to_upload;

    ask(&asked, &post);

    assert_int_equal(asked.status, 412);
    assert_string_equal(buf_cstr(&asked.body), "cluster ID mismatch\n");
    assert_int_equal(asked.code, 0);
    asked_free(&asked);
}

static void an_endless_answer_arrives_piece_by_piece(void **state)
{
    struct bench *bench = *state;
    struct asked asked;
    asked_init(&asked, bench);
    asked.stop_at_bytes = 28;
    struct http1_client_exchange get = exchange_of(&asked, "GET", "/ticks");
    get.read_timeout_ms = 5000;

    ask(&asked, &get);

    assert_int_equal(asked.status, 200);
    assert_true(str_starts_with(buf_cstr(&asked.body), "tick 0\ntick 1\ntick 2\ntick 3\n"));
    assert_int_equal(asked.done, 0);
    assert_false(http1_client_is_busy(asked.client));
    asked_free(&asked);
    for (int i = 0; i < 100 && bench->held != NULL; i++) {
        loop_timer_set(&bench->give_up, 5);
        loop_run(bench->loop);
    }
    assert_null(bench->held); /* the server saw that its reader has gone */
}

static void silence_of_the_server_times_out(void **state)
{
    struct bench *bench = *state;
    struct asked asked;
    asked_init(&asked, bench);
    bench->pause_uploads = true;
    asked.to_upload = 1;
    struct http1_client_exchange post = exchange_of(&asked, "POST", "/upload");
    post.on_room = asked_on_room;
    post.body_size = 2; /* the second byte never comes, so no answer does */
    post.head_timeout_ms = 30;

    assert_int_equal(http1_client_start(asked.client, &post), 0);
    run(bench);

    assert_int_equal(asked.code, E_TIMEOUT);
    asked_free(&asked);
}

static void a_refused_connection_is_told(void **state)
{
    struct bench *bench = *state;
    struct asked asked;
    listener_free(bench->listener);
    bench->listener = NULL;
    asked_init(&asked, bench);
    struct http1_client_exchange get = exchange_of(&asked, "GET", "/");

    ask(&asked, &get);

    assert_int_equal(asked.code, E_REFUSED);
    asked_free(&asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(requests_are_answered_whole_and_byte_by_byte),
        T(pipelined_requests_are_answered_in_their_order),
        T(broken_requests_are_refused),
        T(heads_over_the_limit_get_431),
        T(a_head_that_never_ends_meets_its_deadline),
        T(a_client_that_asks_and_does_not_read_waits),
        T(the_client_keeps_its_connection),
        T(a_large_upload_meets_back_pressure),
        T(an_upload_may_be_refused_before_its_end),
        T(an_endless_answer_arrives_piece_by_piece),
        T(silence_of_the_server_times_out),
        T(a_refused_connection_is_told),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
