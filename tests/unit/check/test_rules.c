/* SPDX-License-Identifier: Apache-2.0 */
/* Each rule: a history that breaks it is caught by name, its innocent sibling passes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/alloc.h"
#include "tests/unit/check/lib_rules.h"

static void read_lines(struct history *history, const char *text)
{
    while (*text != '\0') {
        const char *end = strchr(text, '\n');
        struct err err;
        int rc = history_parse_line(history, bytes_of(text, (size_t)(end - text)), &err);
        if (rc != 0) {
            fail_msg("%.*s: %s", (int)(end - text), text, err.text);
        }
        text = end + 1;
    }
}

static void judge_lines(const char *common, const char *more, struct check_verdict *out)
{
    struct history history;
    struct check_config config;
    history_init(&history);
    read_lines(&history, common);
    read_lines(&history, more);
    check_config_init(&config);
    config.lease_overdue_ns = 1000000000;
    check_run(&history, &config, out);
    history_free(&history);
}

static void the_violation_is_caught_and_its_sibling_passes(void **state)
{
    const struct rule_case *row = *state;
    static struct check_verdict verdict;

    judge_lines(row->common, row->good, &verdict);
    if (verdict.violation_count > 0) {
        fail_msg("a good history is said to break %s: %s",
                 check_name_text(verdict.violations[0].name), verdict.violations[0].story);
    }
    assert_int_equal(verdict.undecided, 0);

    judge_lines(row->common, row->bad, &verdict);
    if (verdict.by_name[row->rule] == 0) {
        fail_msg("%s was not said; but %s: %s", check_name_text(row->rule),
                 check_name_text(verdict.violations[0].name), verdict.violations[0].story);
    }
    assert_true(strlen(verdict.violations[0].story) > 20);
}

static void every_rule_has_a_case(void **state)
{
    (void)state;
    bool has_case[CHECK_COUNT] = {false};

    for (size_t i = 0; i < RULE_CASE_COUNT; i++) {
        has_case[RULE_CASES[i].rule] = true;
    }

    for (int i = 0; i < CHECK_COUNT; i++) {
        if (!has_case[i]) {
            fail_msg("no case for %s", check_name_text((enum check_name)i));
        }
    }
}

int main(void)
{
    struct CMUnitTest *tests = mem_array(RULE_CASE_COUNT + 1, sizeof(*tests));
    for (size_t i = 0; i < RULE_CASE_COUNT; i++) {
        tests[i] = (struct CMUnitTest){.name = RULE_CASES[i].sentence,
                                       .test_func = the_violation_is_caught_and_its_sibling_passes,
                                       .initial_state = (void *)(uintptr_t)&RULE_CASES[i]};
    }
    tests[RULE_CASE_COUNT] = (struct CMUnitTest)cmocka_unit_test(every_rule_has_a_case);
    int failed = _cmocka_run_group_tests("rules", tests, RULE_CASE_COUNT + 1, NULL, NULL);
    mem_free(tests);
    return failed;
}
