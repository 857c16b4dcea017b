/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC frames and trailers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "controller/etcd/frame.h"

static void a_message_comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, BUF_NO_LIMIT);
    etcd_frame_head(3, &buf);
    buf_append_str(&buf, "abc");
    struct bytes message;

    assert_int_equal(etcd_frame_parse(buf_bytes(&buf), &message, NULL), 0);

    assert_true(bytes_equal(message, bytes_of_str("abc")));
    buf_free(&buf);
}

static void an_empty_message_is_a_message(void **state)
{
    (void)state;
    static const uint8_t BODY[5] = {0};
    struct bytes message;

    assert_int_equal(etcd_frame_parse(bytes_of(BODY, 5), &message, NULL), 0);
    assert_int_equal(message.size, 0);
}

static void wrong_frames_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        size_t size;
        int code;
    } CASES[] = {
        {"", 0, E_TRUNCATED},
        {"\0\0\0\0", 4, E_TRUNCATED},
        {"\0\0\0\0\2a", 6, E_TRUNCATED},
        {"\0\377\377\377\377a", 6, E_TRUNCATED},
        {"\0\0\0\0\1ab", 7, E_CORRUPT},
        {"\1\0\0\0\1a", 6, E_UNSUPPORTED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct bytes message;
        struct err err = {{0}};
        int rc = etcd_frame_parse(bytes_of(CASES[i].body, CASES[i].size), &message, &err);
        assert_int_equal(rc, CASES[i].code);
        assert_string_not_equal(err.text, "");
    }
}

static void trailers_become_codes_and_texts(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        const char *message;
        int code;
        const char *text;
    } CASES[] = {
        {"0", NULL, 0, ""},
        {NULL, NULL, E_CORRUPT, "no grpc-status"},
        {"", NULL, E_CORRUPT, "no grpc-status"},
        {"x", NULL, E_CORRUPT, "no grpc-status"},
        {"14", "etcdserver: no leader", E_UNAVAILABLE, "Unavailable: etcdserver: no leader"},
        {"5", "etcdserver: member not found", E_NOT_FOUND, "member not found"},
        {"9", "etcdserver: Peer URLs already exists", E_EXISTS, "Peer URLs"},
        {"9", "etcdserver: can only promote a learner member", E_EXISTS, "promote"},
        {"9", "etcdserver: can only promote a learner member which is in sync with leader", E_AGAIN,
         "in sync"},
        {"2", "etcdserver: re-configuration failed due to not enough started members", E_AGAIN,
         "not enough"},
        {"14", "etcdserver: unhealthy cluster", E_AGAIN, "unhealthy"},
        {"9", "etcdserver: not leader", E_CONFLICT, "not leader"},
        {"15", "etcdserver: corrupt cluster", E_CORRUPT, "corrupt"},
        {"4", "late", E_TIMEOUT, "late"},
        {"7", "x", E_PERMISSION, "x"},
        {"3", "50%25 of %zz%4", E_INVALID, "50% of %zz%4"},
        {"99", "odd", E_REFUSED, "Unknown: odd"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        enum grpc_code code;
        struct err err = {{0}};

        int rc = etcd_trailers_parse(CASES[i].status, CASES[i].message, &code, &err);

        assert_int_equal(rc, CASES[i].code);
        if (strstr(err.text, CASES[i].text) == NULL) {
            fail_msg("\"%s\" lacks \"%s\"", err.text, CASES[i].text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_out_as_it_went_in),
        cmocka_unit_test(an_empty_message_is_a_message),
        cmocka_unit_test(wrong_frames_are_refused),
        cmocka_unit_test(trailers_become_codes_and_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
