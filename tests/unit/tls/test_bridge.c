/* SPDX-License-Identifier: Apache-2.0 */
/* Plain HTTP over HTTP/2, as curl and probes speak it to a port that offers h2. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "lib_world.h"

#define REQUESTS_MAX 64
#define BIG_BYTES    (3u * 1024u * 1024u)

/* A client's connection. */
struct session {
    SSL *ssl;
    nghttp2_session *ng;
};

struct reply {
    int32_t id;
    int status;
    struct buf body;
    const char *sends;
    size_t sends_left;
    bool is_over;
    uint32_t error;
};

static ssize_t on_send(nghttp2_session *ng, const uint8_t *data, size_t size, int flags, void *user)
{
    (void)ng;
    (void)flags;
    return SSL_write(((struct session *)user)->ssl, data, (int)size);
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    struct reply *reply = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    (void)flags;
    (void)user;
    if (reply != NULL && name_size == 7 && memcmp(name, ":status", 7) == 0) {
        char text[8];
        snprintf(text, sizeof(text), "%.*s", (int)value_size, (const char *)value);
        reply->status = (int)strtol(text, NULL, 10);
    }
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                   void *user)
{
    struct reply *reply = nghttp2_session_get_stream_user_data(ng, id);
    (void)flags;
    (void)user;
    buf_append(&reply->body, data, size);
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
    struct reply *reply = nghttp2_session_get_stream_user_data(ng, id);
    (void)user;
    reply->is_over = true;
    reply->error = error;
    return 0;
}

static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *out, size_t size, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct reply *reply = source->ptr;
    (void)ng;
    (void)id;
    (void)user;
    size = BASE_MIN(size, reply->sends_left);
    memset(out, 'x', size);
    if (reply->sends != NULL) {
        memcpy(out, reply->sends, size);
        reply->sends += size;
    }
    reply->sends_left -= size;
    *flags = reply->sends_left == 0 ? NGHTTP2_DATA_FLAG_EOF : 0;
    return (ssize_t)size;
}

static void session_open(struct session *session, struct world *world)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    struct visit visitor = {.protocols = "\x02h2"};
    session->ssl = visit_open(world, &visitor);
    assert_non_null(session->ssl);
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_client_new2(&session->ng, callbacks, session, option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, NULL, 0);
}

static void session_close(struct session *session)
{
    nghttp2_session_del(session->ng);
    visit_close(session->ssl);
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

/* extra: a header of its own, or NULL. */
static void ask(struct session *session, struct reply *reply, const char *method, const char *path,
                const char *extra, const char *extra_value)
{
    const nghttp2_nv headers[] = {
        field(":method", method), field(":scheme", "https"), field(":path", path),
        field(":authority", "127.0.0.1"),
        field(extra == NULL ? "accept" : extra, extra == NULL ? "*/*" : extra_value)};
    const nghttp2_data_provider body = {.source = {.ptr = reply}, .read_callback = on_read};
    buf_init(&reply->body, BUF_NO_LIMIT);
    reply->id = nghttp2_submit_request(session->ng, NULL, headers, ARRAY_COUNT(headers),
                                       reply->sends_left > 0 ? &body : NULL, reply);
    assert_true(reply->id > 0);
}

static void wait_for(struct session *session, const struct reply *replies, size_t count)
{
    uint8_t data[65536];
    for (;;) {
        size_t over = 0;
        for (size_t i = 0; i < count; i++) {
            over += replies[i].is_over ? 1 : 0;
        }
        assert_int_equal(nghttp2_session_send(session->ng), 0);
        if (over == count) {
            return;
        }
        int got = SSL_read(session->ssl, data, sizeof(data));
        assert_true(got > 0);
        assert_int_equal(nghttp2_session_mem_recv(session->ng, data, (size_t)got), got);
    }
}

/* One request on a connection of its own; the caller frees the body. */
static struct reply ask_once(struct world *world, const char *method, const char *path,
                             const char *extra, const char *extra_value, size_t sends)
{
    struct session session;
    struct reply reply = {.sends_left = sends};
    session_open(&session, world);
    ask(&session, &reply, method, path, extra, extra_value);
    wait_for(&session, &reply, 1);
    session_close(&session);
    return reply;
}

static void a_request_that_is_not_grpc_is_served_as_http(void **state)
{
    struct reply reply = ask_once(*state, "GET", "/name", NULL, NULL, 0);
    assert_int_equal(reply.status, 200);
    assert_string_equal(buf_cstr(&reply.body), "none");
    buf_free(&reply.body);
    reply = ask_once(*state, "HEAD", "/name", NULL, NULL, 0);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body.size, 0);
    buf_free(&reply.body);
}

static void bodies_go_both_ways(void **state)
{
    struct reply reply = ask_once(*state, "POST", "/echo", "content-type", "text/plain", 100000);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body.size, 100000);
    buf_free(&reply.body);
    char path[32];
    snprintf(path, sizeof(path), "/big?%u", BIG_BYTES);
    reply = ask_once(*state, "GET", path, NULL, NULL, 0);
    assert_int_equal(reply.body.size, BIG_BYTES);
    buf_free(&reply.body);
    reply = ask_once(*state, "POST", "/echo", NULL, NULL, BIG_BYTES);
    assert_int_equal(reply.status, 413);
    buf_free(&reply.body);
}

static void many_requests_share_a_connection(void **state)
{
    static struct reply replies[REQUESTS_MAX];
    struct session session;
    session_open(&session, *state);
    for (size_t i = 0; i < REQUESTS_MAX; i++) {
        ask(&session, &replies[i], "GET", i % 2 == 0 ? "/name" : "/big?70000", NULL, NULL);
    }
    wait_for(&session, replies, REQUESTS_MAX);
    for (size_t i = 0; i < REQUESTS_MAX; i++) {
        assert_int_equal(replies[i].status, 200);
        assert_int_equal(replies[i].body.size, i % 2 == 0 ? 4 : 70000);
        buf_free(&replies[i].body);
    }
    session_close(&session);
}

static void no_request_can_hide_another(void **state)
{
    static const struct {
        const char *method, *path, *name, *value;
    } TRICKS[] = {
        {"GET", "/name HTTP/1.1\r\nX: y\r\n\r\nGET /echo", "accept", "*/*"},
        {"GET", "/name", "x-a", "b\r\n\r\nGET /echo HTTP/1.1"},
        {"GET", "/name", "x-a\r\ny", "b"},
        {"GET", "/name", "x a:b", "b"},
        {"GET /name HTTP/1.1\r\n", "/name", "accept", "*/*"},
        {"GET", "name", "accept", "*/*"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(TRICKS); i++) {
        struct reply reply =
            ask_once(*state, TRICKS[i].method, TRICKS[i].path, TRICKS[i].name, TRICKS[i].value, 0);
        assert_int_equal(reply.status, 400);
        buf_free(&reply.body);
    }
    /* The frames say how long a message is: who says it otherwise sends no request (RFC 9113, 8.1).
     */
    static const char *const LIES[][2] = {{"transfer-encoding", "chunked"},
                                          {"content-length", "9"}};
    for (size_t i = 0; i < ARRAY_COUNT(LIES); i++) {
        struct reply reply = ask_once(*state, "POST", "/echo", LIES[i][0], LIES[i][1], 10);
        assert_int_equal(reply.status, 0);
        assert_int_equal(reply.error, NGHTTP2_PROTOCOL_ERROR);
        buf_free(&reply.body);
    }
}

static void a_client_that_goes_in_the_middle_leaves_nothing_behind(void **state)
{
    for (int i = 0; i < 20; i++) {
        struct session session;
        struct reply reply = {0};
        session_open(&session, *state);
        ask(&session, &reply, "GET", "/big?3000000", NULL, NULL);
        assert_int_equal(nghttp2_session_send(session.ng), 0);
        if (i % 2 == 0) {
            uint8_t data[1000];
            assert_true(SSL_read(session.ssl, data, sizeof(data)) > 0);
        }
        nghttp2_session_set_stream_user_data(session.ng, reply.id, NULL);
        nghttp2_session_del(session.ng);
        visit_close(session.ssl);
        buf_free(&reply.body);
    }
    struct reply reply = ask_once(*state, "GET", "/name", NULL, NULL, 0);
    assert_int_equal(reply.status, 200);
    buf_free(&reply.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_that_is_not_grpc_is_served_as_http, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(bodies_go_both_ways, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(many_requests_share_a_connection, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(no_request_can_hide_another, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_client_that_goes_in_the_middle_leaves_nothing_behind,
                                        world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
