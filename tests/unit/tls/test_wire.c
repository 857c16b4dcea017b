/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes: cut, slow and wrong handshakes, records in halves, large transfers, the end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "lib_world.h"

#define BIG_BYTES    (24u * 1024u * 1024u)
#define RECORD_BYTES (64u * 1024u)

static void assert_serves(struct world *world)
{
    struct visit visitor = {0};
    assert_true(visit(world, &visitor));
}

/* Sends raw bytes and ends; true when the port has closed as well. */
static bool ends_after(struct world *world, const void *data, size_t size, bool shut)
{
    char answer[4096];
    int fd = world_connect(world);
    assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
    if (shut) {
        shutdown(fd, SHUT_WR);
    }
    ssize_t got = 0;
    do {
        got = recv(fd, answer, sizeof(answer), 0);
    } while (got > 0);
    close(fd);
    return got == 0 || errno == ECONNRESET;
}

/* The first flight of a real client. */
static size_t client_hello(uint8_t *out, size_t room)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *sent = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, sent);
    SSL_set_connect_state(ssl);
    (void)SSL_do_handshake(ssl);
    ERR_clear_error();
    int size = BIO_read(sent, out, (int)room);
    SSL_free(ssl);
    SSL_CTX_free(context);
    assert_true(size > 100);
    return (size_t)size;
}

static void garbage_is_closed(void **state)
{
    struct world *world = *state;
    static const char HTTP[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    uint8_t noise[2048];
    for (size_t i = 0; i < sizeof(noise); i++) {
        noise[i] = (uint8_t)(i * 7919 >> 4);
    }
    assert_true(ends_after(world, noise, sizeof(noise), true));
    assert_true(ends_after(world, HTTP, sizeof(HTTP) - 1, false));
    memset(noise, 0xff, sizeof(noise));
    noise[0] = 22; /* a handshake record of the largest size */
    assert_true(ends_after(world, noise, sizeof(noise), false));
    assert_serves(world);
}

static void a_handshake_that_is_cut_anywhere_is_closed(void **state)
{
    struct world *world = *state;
    uint8_t hello[4096];
    size_t size = client_hello(hello, sizeof(hello));
    for (size_t cut = 1; cut <= size; cut += 23) {
        assert_true(ends_after(world, hello, cut, true));
    }
    assert_serves(world);
}

static void every_changed_byte_of_a_handshake_is_survived(void **state)
{
    struct world *world = *state;
    uint8_t hello[4096];
    size_t size = client_hello(hello, sizeof(hello));
    for (size_t i = 0; i < size; i++) {
        hello[i] ^= 0x55;
        assert_true(ends_after(world, hello, size, true));
        hello[i] ^= 0x55;
    }
    assert_serves(world);
}

static void a_silent_handshake_is_closed_and_others_are_served_meanwhile(void **state)
{
    struct world *world = *state;
    uint8_t hello[4096];
    char answer[16];
    size_t size = client_hello(hello, sizeof(hello));
    int silent = world_connect(world);
    int slow = world_connect(world);
    assert_int_equal(send(slow, hello, size / 2, MSG_NOSIGNAL), (ssize_t)(size / 2));
    assert_serves(world);
    assert_true(recv(silent, answer, sizeof(answer), 0) <= 0);
    assert_true(errno != EAGAIN);
    assert_true(recv(slow, answer, sizeof(answer), 0) <= 0);
    assert_true(errno != EAGAIN);
    close(silent);
    close(slow);
    assert_serves(world);
}

static void a_crowd_of_silent_connections_does_not_shut_the_door(void **state)
{
    struct world *world = *state;
    static int fds[PORT_CROWD_MAX + 64];
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        fds[i] = world_connect(world);
    }
    assert_serves(world);
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        close(fds[i]);
    }
    assert_serves(world);
}

/* Takes what OpenSSL wants to send and sends it in pieces of one byte to some. */
struct piecemeal {
    int fd;
    size_t piece;
};

static int write_pieces(BIO *bio, const char *data, int size)
{
    const struct piecemeal *way = BIO_get_data(bio);
    for (int at = 0; at < size;) {
        size_t part = BASE_MIN(way->piece, (size_t)(size - at));
        assert_int_equal(send(way->fd, data + at, part, MSG_NOSIGNAL), (ssize_t)part);
        at += (int)part;
    }
    return size;
}

static int read_pieces(BIO *bio, char *out, int size)
{
    const struct piecemeal *way = BIO_get_data(bio);
    return (int)recv(way->fd, out, BASE_MIN((size_t)size, way->piece), 0);
}

static long control_pieces(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static void records_may_come_in_pieces_of_any_size(void **state)
{
    struct world *world = *state;
    static const char REQUEST[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "pieces");
    BIO_meth_set_write(method, write_pieces);
    BIO_meth_set_read(method, read_pieces);
    BIO_meth_set_ctrl(method, control_pieces);
    for (size_t piece = 1; piece < 40; piece += 6) {
        struct piecemeal way = {.fd = world_connect(world), .piece = piece};
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        SSL *ssl = SSL_new(context);
        BIO *bio = BIO_new(method);
        char answer[1024] = "";
        int at = 0;
        BIO_set_data(bio, &way);
        BIO_set_init(bio, 1);
        SSL_set_bio(ssl, bio, bio);
        assert_int_equal(SSL_connect(ssl), 1);
        assert_int_equal(SSL_write(ssl, REQUEST, sizeof(REQUEST) - 1), sizeof(REQUEST) - 1);
        for (int got = 1; got > 0; at += got > 0 ? got : 0) {
            got = SSL_read(ssl, answer + at, (int)sizeof(answer) - 1 - at);
        }
        answer[at] = '\0';
        assert_non_null(strstr(answer, "\r\n\r\nhello"));
        SSL_free(ssl);
        SSL_CTX_free(context);
        close(way.fd);
    }
    BIO_meth_free(method);
}

static void a_large_answer_arrives_whole_however_slowly_it_is_read(void **state)
{
    struct world *world = *state;
    struct visit visitor = {0};
    char request[128];
    SSL *ssl = visit_open(world, &visitor);
    assert_non_null(ssl);
    int size = snprintf(request, sizeof(request),
                        "GET /big?%u HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", BIG_BYTES);
    assert_int_equal(SSL_write(ssl, request, size), size);
    assert_serves(world); /* others come in while this one does not read */
    uint8_t *part = mem_alloc(RECORD_BYTES);
    size_t got_all = 0;
    size_t head = 0;
    for (;;) {
        int got = SSL_read(ssl, part, (int)RECORD_BYTES);
        if (got <= 0) {
            assert_int_equal(SSL_get_error(ssl, got), SSL_ERROR_ZERO_RETURN); /* close_notify */
            break;
        }
        size_t start = 0;
        if (head == 0) {
            const uint8_t *end = memmem(part, (size_t)got, "\r\n\r\n", 4);
            assert_non_null(end);
            head = (size_t)(end - part) + 4;
            start = head;
        }
        for (size_t i = start; i < (size_t)got; i++) {
            size_t at = got_all + i - head;
            if (part[i] != (uint8_t)(at * 31 >> 3)) {
                fail_msg("byte %zu is wrong", at);
            }
        }
        got_all += (size_t)got;
    }
    assert_int_equal(got_all - head, BIG_BYTES);
    mem_free(part);
    visit_close(ssl);
}

static void a_large_request_arrives_whole(void **state)
{
    struct world *world = *state;
    struct visit visitor = {0};
    char text[256];
    SSL *ssl = visit_open(world, &visitor);
    assert_non_null(ssl);
    int size = snprintf(text, sizeof(text),
                        "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n"
                        "Connection: close\r\n\r\n",
                        BIG_BYTES);
    assert_int_equal(SSL_write(ssl, text, size), size);
    uint8_t *part = mem_zalloc(RECORD_BYTES);
    for (size_t at = 0; at < BIG_BYTES; at += RECORD_BYTES) {
        assert_int_equal(SSL_write(ssl, part, (int)RECORD_BYTES), (int)RECORD_BYTES);
    }
    mem_free(part);
    int got = SSL_read(ssl, text, sizeof(text) - 1);
    assert_true(got > 0);
    text[got] = '\0';
    char wanted[32];
    snprintf(wanted, sizeof(wanted), "\r\n\r\n%u", BIG_BYTES);
    assert_non_null(strstr(text, wanted));
    visit_close(ssl);
}

static void a_body_that_nobody_reads_holds_its_sender(void **state)
{
    struct world *world = *state;
    struct visit visitor = {0};
    char text[256];
    SSL *ssl = visit_open(world, &visitor);
    assert_non_null(ssl);
    atomic_store(&world->body_paused, true);
    int size = snprintf(text, sizeof(text),
                        "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    assert_int_equal(SSL_write(ssl, text, size), size);
    const struct timeval limit = {.tv_sec = 1};
    setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    uint8_t *part = mem_zalloc(RECORD_BYTES);
    size_t sent = 0;
    while (sent < 900000000 && SSL_write(ssl, part, (int)RECORD_BYTES) > 0) {
        sent += RECORD_BYTES;
    }
    assert_true(sent < 64u << 20); /* only what the kernel's buffers hold */
    mem_free(part);
    visit_close(ssl);
    assert_serves(world);
}

static void an_end_without_a_word_is_no_end_of_a_body(void **state)
{
    struct world *world = *state;
    struct visit visitor = {0};
    SSL *ssl = visit_open(world, &visitor);
    assert_non_null(ssl);
    static const char HALF[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf";
    assert_int_equal(SSL_write(ssl, HALF, sizeof(HALF) - 1), sizeof(HALF) - 1);
    shutdown(SSL_get_fd(ssl), SHUT_WR);
    char answer[64];
    assert_true(SSL_read(ssl, answer, sizeof(answer)) <= 0);
    visit_close(ssl);
    assert_serves(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(garbage_is_closed, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_handshake_that_is_cut_anywhere_is_closed, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(every_changed_byte_of_a_handshake_is_survived, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(
            a_silent_handshake_is_closed_and_others_are_served_meanwhile, world_setup,
            world_teardown),
        cmocka_unit_test_setup_teardown(a_crowd_of_silent_connections_does_not_shut_the_door,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(records_may_come_in_pieces_of_any_size, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(a_large_answer_arrives_whole_however_slowly_it_is_read,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_large_request_arrives_whole, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_body_that_nobody_reads_holds_its_sender, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_end_without_a_word_is_no_end_of_a_body, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
