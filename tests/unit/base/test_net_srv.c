/* SPDX-License-Identifier: Apache-2.0 */
/* Answers with SRV records: good ones, and all ways in which one can be cut or lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/net/srv.h"

#define MAX 4u

/* Header, the question "a", and two records: 5 1 2380 m1.x and 1 1 2381 "m2" + pointer to x. */
static const uint8_t ANSWER[] = {
    0,    1,   0x81, 0x80, 0,    1,    0, 2,   0,   0, 0,    0,  /* one question, two answers */
    1,    'a', 0,    0,    33,   0,    1,                        /* question */
    0xc0, 12,  0,    33,   0,    1,    0, 0,   0,   9, 0,    12, /* a SRV IN, 9 s, 12 bytes */
    0,    5,   0,    1,    0x09, 0x4c, 2, 'm', '1', 1, 'x',  0,    0xc0, 12,  0,   33,   0,  1,
    0,    0,   0,    9,    0,    11,   0, 1,   0,   1, 0x09, 0x4d, 2,    'm', '2', 0xc0, 40,
};

static void targets_come_sorted_by_priority(void **state)
{
    (void)state;
    struct srv_target targets[MAX];
    size_t count = 0;
    assert_int_equal(srv_parse_answer(ANSWER, sizeof(ANSWER), targets, MAX, &count), 0);
    assert_int_equal(count, 2);
    assert_string_equal(targets[0].host, "m2.x");
    assert_int_equal(targets[0].port, 2381);
    assert_string_equal(targets[1].host, "m1.x");
    assert_int_equal(targets[1].port, 2380);
    assert_int_equal(targets[1].priority, 5);
}

static void an_answer_that_is_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct srv_target targets[MAX];
    size_t count = 0;
    for (size_t size = 0; size < sizeof(ANSWER); size++) {
        uint8_t cut[sizeof(ANSWER)];
        memcpy(cut, ANSWER, size);
        assert_int_equal(srv_parse_answer(cut, size, targets, MAX, &count), E_CORRUPT);
    }
}

static void no_byte_of_an_answer_is_trusted(void **state)
{
    (void)state;
    struct srv_target targets[MAX];
    for (size_t at = 0; at < sizeof(ANSWER); at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t changed[sizeof(ANSWER)];
            size_t count = 0;
            memcpy(changed, ANSWER, sizeof(ANSWER));
            changed[at] = (uint8_t)value;
            int rc = srv_parse_answer(changed, sizeof(changed), targets, MAX, &count);
            assert_true(rc == 0 || rc == E_CORRUPT || rc == E_NOT_FOUND);
            assert_true(count <= MAX);
        }
    }
}

static void more_targets_than_there_is_room_for_are_left_out(void **state)
{
    (void)state;
    struct srv_target targets[1];
    size_t count = 0;
    assert_int_equal(srv_parse_answer(ANSWER, sizeof(ANSWER), targets, 1, &count), 0);
    assert_int_equal(count, 1);
}

static void a_target_of_one_dot_means_that_there_is_none(void **state)
{
    (void)state;
    static const uint8_t none[] = {0,  1, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0, 1, 'a', 0, 0,
                                   33, 0, 1,    0,    0, 0, 9, 0, 7, 0, 0, 0, 0, 0,   0, 0};
    struct srv_target targets[MAX];
    size_t count = 0;
    assert_int_equal(srv_parse_answer(none, sizeof(none), targets, MAX, &count), E_NOT_FOUND);
}

static void hosts_are_the_same_by_name_or_address(void **state)
{
    (void)state;
    assert_true(srv_same_host("127.0.0.1", "127.0.0.1"));
    assert_true(srv_same_host("localhost", "127.0.0.1"));
    assert_false(srv_same_host("127.0.0.1", "127.0.0.2"));
    assert_true(srv_same_host("::1", "0:0:0:0:0:0:0:1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_come_sorted_by_priority),
        cmocka_unit_test(an_answer_that_is_cut_anywhere_is_refused),
        cmocka_unit_test(no_byte_of_an_answer_is_trusted),
        cmocka_unit_test(more_targets_than_there_is_room_for_are_left_out),
        cmocka_unit_test(a_target_of_one_dot_means_that_there_is_none),
        cmocka_unit_test(hosts_are_the_same_by_name_or_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
