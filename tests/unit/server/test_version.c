/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster version: when it goes up, when it stays, when it comes down, and who may not join. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/server/version.h"

static void versions_are_read_as_numbers(void **state)
{
    (void)state;
    assert_int_equal(version_number("3.6.14"), 3006);
    assert_int_equal(version_number("3.10"), 3010);
    assert_int_equal(version_number("not_decided"), 0);
    assert_int_equal(version_number(""), 0);
    assert_int_equal(version_number(NULL), 0);
}

static void only_three_versions_can_be_held(void **state)
{
    (void)state;
    struct err err;
    int number = -1;
    assert_int_equal(version_parse_hold("", &number, &err), 0);
    assert_int_equal(number, 0);
    assert_int_equal(version_parse_hold("3.4", &number, &err), 0);
    assert_int_equal(number, 3004);
    assert_int_equal(version_parse_hold("3.6", &number, &err), 0);
    assert_int_equal(number, 3006);
    static const char *const wrong[] = {"3.3", "3.7", "3.5.0", "4.4", "latest", " 3.5"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        assert_int_equal(version_parse_hold(wrong[i], &number, &err), E_INVALID);
        assert_non_null(strstr(err.text, wrong[i]));
    }
}

static void the_first_decision_is_the_lowest_member(void **state)
{
    (void)state;
    struct version_votes votes = {.lowest = 3004};
    assert_int_equal(version_next(&votes), 3004);
    votes.any_unknown = true;
    assert_int_equal(version_next(&votes), 3000); /* something must be decided to begin at all */
}

static void it_rises_only_when_every_member_is_known_to_be_higher(void **state)
{
    (void)state;
    struct version_votes votes = {.current = 3004, .lowest = 3006};
    assert_int_equal(version_next(&votes), 3006);
    votes.any_unknown = true;
    assert_int_equal(version_next(&votes), 0);
    votes = (struct version_votes){.current = 3005, .lowest = 3005};
    assert_int_equal(version_next(&votes), 0);
}

static void it_never_falls_by_itself(void **state)
{
    (void)state;
    struct version_votes votes = {.current = 3006, .lowest = 3004};
    assert_int_equal(version_next(&votes), 0);
}

static void a_downgrade_goes_one_minor_down_and_keeps_it_from_rising(void **state)
{
    (void)state;
    struct version_votes votes = {
        .current = 3006, .lowest = 3006, .downgrading = true, .target = 3005};
    assert_int_equal(version_next(&votes), 3005);
    votes.any_unknown = true;
    assert_int_equal(version_next(&votes), 0);
    votes.any_unknown = false;
    votes.current = 3005;
    assert_int_equal(version_next(&votes), 0); /* reached: it does not rise again meanwhile */
    votes.current = 3006;
    votes.target = 3004;
    assert_int_equal(version_next(&votes), 0);
}

static void nothing_is_proposed_that_an_older_member_lacks(void **state)
{
    (void)state;
    static const uint32_t of_3_4[] = {2, 4, 5, 6, 7, 8, 9, 10, 11, 1000, 1011, 1012, 1100, 1206};
    for (size_t i = 0; i < ARRAY_COUNT(of_3_4); i++) {
        assert_true(version_knows_entry(3004, of_3_4[i]));
        assert_true(version_knows_entry(0, of_3_4[i]));
    }
    assert_false(version_knows_entry(3004, 1013)); /* auth status: 3.4 answers it by itself */
    assert_true(version_knows_entry(3005, 1013));
    assert_false(version_knows_entry(3004, 1302));
    assert_true(version_knows_entry(3005, 1302));
    assert_false(version_knows_entry(3005, 1301));
    assert_false(version_knows_entry(0, 1301));
    assert_true(version_knows_entry(3006, 1301));
    assert_false(version_knows_entry(3006, 1303)); /* nobody knows it yet */
}

static void who_is_too_old_for_what_is_decided_may_not_join(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(version_may_join(3007, 3006, 0, &err), E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "decided as 3.7"));
    assert_int_equal(version_may_join(3006, 3006, 3005, &err), E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "--hold-cluster-version is 3.5"));
    assert_non_null(strstr(err.text, "decided as 3.6"));
}

static void who_is_new_enough_joins(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(version_may_join(0, 3006, 3004, &err), 0);
    assert_int_equal(version_may_join(3006, 3006, 0, &err), 0);
    assert_int_equal(version_may_join(3006, 3006, 3006, &err), 0);
    assert_int_equal(version_may_join(3004, 3006, 3005, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_read_as_numbers),
        cmocka_unit_test(only_three_versions_can_be_held),
        cmocka_unit_test(the_first_decision_is_the_lowest_member),
        cmocka_unit_test(it_rises_only_when_every_member_is_known_to_be_higher),
        cmocka_unit_test(it_never_falls_by_itself),
        cmocka_unit_test(a_downgrade_goes_one_minor_down_and_keeps_it_from_rising),
        cmocka_unit_test(nothing_is_proposed_that_an_older_member_lacks),
        cmocka_unit_test(who_is_too_old_for_what_is_decided_may_not_join),
        cmocka_unit_test(who_is_new_enough_joins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
