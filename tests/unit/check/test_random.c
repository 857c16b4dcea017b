/* SPDX-License-Identifier: Apache-2.0 */
/* Histories of a correct etcd, from seeds, pass: no false alarm. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/check/check.h"
#include "tests/unit/check/lib_etcd.h"

/* QUORATE_CHECK_SEEDS asks for another number of them. */
static uint64_t seeds(uint64_t usual)
{
    const char *text = getenv("QUORATE_CHECK_SEEDS");
    return text == NULL ? usual : strtoull(text, NULL, 10);
}

struct totals {
    uint64_t operations, unknown, placed, ends, choices, steps, undecided, events, values;
};

static void must_pass(uint64_t seed, const struct world_options *options, struct totals *totals)
{
    uint64_t steps_max = options->unknown_percent > 20 ? 20000 : 2000000;
    struct history history;
    struct check_config config;
    static struct check_verdict verdict;
    history_init(&history);
    world_run(seed, options, &history);
    check_config_init(&config);
    config.clock_drift_ppm = 0;
    config.search_steps_max = steps_max;

    check_run(&history, &config, &verdict);

    if (verdict.violation_count > 0) {
        if (getenv("QUORATE_CHECK_DUMP") != NULL) {
            struct buf text;
            buf_init(&text, BUF_NO_LIMIT);
            history_print(&history, &text);
            (void)fputs(buf_cstr(&text), stderr);
        }
        fail_msg("seed %llu: %s: %s", (unsigned long long)seed,
                 check_name_text(verdict.violations[0].name), verdict.violations[0].story);
    }
    totals->operations += verdict.operations;
    totals->unknown += verdict.unknown;
    totals->placed += verdict.unknown_placed;
    totals->ends += verdict.lease_ends;
    totals->choices += verdict.choices;
    totals->steps += verdict.search_steps;
    totals->undecided += verdict.undecided;
    totals->events += verdict.watch_events;
    totals->values += verdict.values_compared;
    history_free(&history);
}

static void print_totals(const char *what, const struct totals *totals)
{
    print_message("%s: operations %llu, unknown %llu (placed %llu), lease ends %llu, events %llu, "
                  "values %llu, choices %llu, search steps %llu, undecided %llu\n",
                  what, (unsigned long long)totals->operations, (unsigned long long)totals->unknown,
                  (unsigned long long)totals->placed, (unsigned long long)totals->ends,
                  (unsigned long long)totals->events, (unsigned long long)totals->values,
                  (unsigned long long)totals->choices, (unsigned long long)totals->steps,
                  (unsigned long long)totals->undecided);
}

static void a_correct_store_that_is_watched_whole_is_never_accused(void **state)
{
    (void)state;
    struct totals totals = {0};
    for (uint64_t seed = 1; seed <= seeds(1500); seed++) {
        struct world_options options = {.operations = 200,
                                        .clients = 2 + (uint32_t)(seed % 7),
                                        .keys = 6 + (uint32_t)(seed % 9),
                                        .unknown_percent = (uint32_t)(seed % 4) * 10,
                                        .full_watch = true};
        must_pass(seed, &options, &totals);
    }
    print_totals("watched whole", &totals);
    assert_int_equal(totals.undecided, 0);
    assert_true(totals.placed > 0 && totals.ends > 0 && totals.events > totals.operations);
}

static void a_correct_store_that_is_watched_in_part_is_never_accused(void **state)
{
    (void)state;
    struct totals totals = {0};
    for (uint64_t seed = 1; seed <= seeds(1500); seed++) {
        struct world_options options = {.operations = 120,
                                        .clients = 2 + (uint32_t)(seed % 5),
                                        .keys = 6,
                                        .unknown_percent = (uint32_t)(seed % 4) * 4};
        must_pass(100000 + seed, &options, &totals);
    }
    print_totals("watched in part", &totals);
    assert_true(totals.choices > 0 && totals.steps > 0);
}

static void a_store_that_loses_every_fourth_answer_is_never_accused(void **state)
{
    (void)state;
    struct totals totals = {0};
    for (uint64_t seed = 1; seed <= seeds(500); seed++) {
        struct world_options options = {
            .operations = 150, .clients = 8, .keys = 6, .unknown_percent = 25};
        must_pass(200000 + seed, &options, &totals);
    }
    print_totals("many unknown", &totals);
    assert_true(totals.steps > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_correct_store_that_is_watched_whole_is_never_accused),
        cmocka_unit_test(a_correct_store_that_is_watched_in_part_is_never_accused),
        cmocka_unit_test(a_store_that_loses_every_fourth_answer_is_never_accused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
