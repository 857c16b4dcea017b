/* SPDX-License-Identifier: Apache-2.0 */
/* Right histories made wrong in one place: every one is caught. Prints the table. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/check/check.h"
#include "tests/unit/check/lib_etcd.h"
#include "tests/unit/check/lib_mutations.h"

#define WORLDS         60u
#define TIMES_AT_LEAST 10u

struct tally {
    unsigned made, caught, by_name;
};

static void mutate(uint64_t seed, size_t index, struct tally *tally)
{
    const struct mutation *mutation = &MUTATIONS[index];
    const struct world_options options = {.operations = 250,
                                          .clients = 5,
                                          .keys = 8,
                                          .unknown_percent = (uint32_t)(seed % 3) * 10,
                                          .full_watch = true};
    struct history history;
    struct check_config config;
    struct rng rng;
    static struct check_verdict verdict;
    history_init(&history);
    world_run(seed, &options, &history);
    rng_seed(&rng, seed * 1000 + index);
    check_config_init(&config);
    config.clock_drift_ppm = 0;

    if (mutation->apply(&history, &rng)) {
        check_run(&history, &config, &verdict);
        tally->made++;
        tally->caught += verdict.violation_count > 0;
        tally->by_name += verdict.by_name[mutation->rule] > 0;
        if (verdict.violation_count == 0) {
            print_message("not caught: %s, seed %llu (undecided %llu)\n", mutation->name,
                          (unsigned long long)seed, (unsigned long long)verdict.undecided);
        }
    }
    history_free(&history);
}

static void every_mutation_is_caught(void **state)
{
    (void)state;
    bool all = true;
    print_message("%-42s %5s %7s  %-20s %5s\n", "mutation", "made", "caught", "by name", "");

    for (size_t i = 0; i < MUTATION_COUNT; i++) {
        struct tally tally = {0};
        for (uint64_t seed = 1; seed <= WORLDS; seed++) {
            mutate(seed, i, &tally);
        }
        print_message("%-42s %5u %7u  %-20s %5u\n", MUTATIONS[i].name, tally.made, tally.caught,
                      check_name_text(MUTATIONS[i].rule), tally.by_name);
        all =
            all && tally.caught == tally.made && tally.made >= TIMES_AT_LEAST && tally.by_name > 0;
    }

    assert_true(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mutation_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
