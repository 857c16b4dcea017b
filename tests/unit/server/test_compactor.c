/* SPDX-License-Identifier: Apache-2.0 */
/* When automatic compaction compacts, and to what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/server/compactor.h"

#define MINUTE_MS 60000u

/* One revision a minute, asked every ten seconds as the server does; gives the first due after
 * from_minute. */
static int64_t run(struct compactor *compactor, const struct server_config *config, uint64_t from,
                   uint64_t to, bool may_act, uint64_t *out_minute)
{
    for (uint64_t now = from * MINUTE_MS; now < to * MINUTE_MS; now += 10000) {
        int64_t revision = (int64_t)(now / MINUTE_MS) + 1;
        int64_t due = compactor_due(compactor, config, now, revision, may_act);
        if (due != 0) {
            *out_minute = now / MINUTE_MS;
            return due;
        }
    }
    return 0;
}

static void a_period_must_pass_before_the_first_compaction(void **state)
{
    (void)state;
    struct server_config config = {.auto_compaction_mode = COMPACTION_PERIODIC,
                                   .auto_compaction_retention = 60 * MINUTE_MS};
    struct compactor *compactor = compactor_new();
    uint64_t minute = 0;
    int64_t due = run(compactor, &config, 1, 300, true, &minute);
    assert_int_equal(minute, 61);
    assert_in_range(due, 1, 8); /* as it was about an hour ago */
    compactor_succeeded(compactor, due, minute * MINUTE_MS);
    int64_t next = run(compactor, &config, minute, 300, true, &minute);
    assert_in_range(minute, 121, 127);
    assert_in_range(next, due + 54, due + 66);
    compactor_free(compactor);
}

static void a_long_period_is_looked_at_every_hour_once_it_has_passed(void **state)
{
    (void)state;
    struct server_config config = {.auto_compaction_mode = COMPACTION_PERIODIC,
                                   .auto_compaction_retention = 24 * 60 * MINUTE_MS};
    struct compactor *compactor = compactor_new();
    uint64_t minute = 0;
    int64_t due = run(compactor, &config, 1, 5000, true, &minute);
    assert_in_range(minute, 1441, 1448);
    compactor_succeeded(compactor, due, minute * MINUTE_MS);
    uint64_t first = minute;
    int64_t next = run(compactor, &config, minute, 5000, true, &minute);
    assert_in_range(minute - first, 60, 67);
    assert_in_range(next, (int64_t)minute - 1440 - 7, (int64_t)minute - 1440 + 7);
    compactor_free(compactor);
}

static void a_compaction_that_failed_is_tried_again(void **state)
{
    (void)state;
    struct server_config config = {.auto_compaction_mode = COMPACTION_PERIODIC,
                                   .auto_compaction_retention = 10 * MINUTE_MS};
    struct compactor *compactor = compactor_new();
    uint64_t minute = 0;
    assert_true(run(compactor, &config, 1, 100, true, &minute) > 0);
    uint64_t first = minute;
    assert_true(run(compactor, &config, minute + 1, 100, true, &minute) > 0);
    assert_in_range(minute - first, 1, 2);
    compactor_free(compactor);
}

static void a_follower_notes_and_does_not_act(void **state)
{
    (void)state;
    struct server_config config = {.auto_compaction_mode = COMPACTION_PERIODIC,
                                   .auto_compaction_retention = 10 * MINUTE_MS};
    struct compactor *compactor = compactor_new();
    uint64_t minute = 0;
    assert_int_equal(run(compactor, &config, 1, 100, false, &minute), 0);
    int64_t due = run(compactor, &config, 100, 200, true, &minute);
    assert_in_range(minute, 100, 102);
    assert_in_range(due, 88, 92);
    compactor_free(compactor);
}

static void by_revisions_the_newest_stay(void **state)
{
    (void)state;
    struct server_config config = {.auto_compaction_mode = COMPACTION_REVISION,
                                   .auto_compaction_retention = 30};
    struct compactor *compactor = compactor_new();
    uint64_t minute = 0;
    int64_t due = run(compactor, &config, 1, 500, true, &minute);
    assert_in_range(minute, 30, 36);
    assert_int_equal(due, (int64_t)minute + 1 - 30);
    compactor_succeeded(compactor, due, minute * MINUTE_MS);
    assert_int_equal(compactor_due(compactor, &config, (minute + 6) * MINUTE_MS, due + 30, true),
                     0);
    compactor_free(compactor);
}

static void nothing_is_compacted_without_a_retention(void **state)
{
    (void)state;
    struct server_config config = {.auto_compaction_mode = COMPACTION_PERIODIC};
    struct compactor *compactor = compactor_new();
    uint64_t minute = 0;
    assert_int_equal(run(compactor, &config, 1, 500, true, &minute), 0);
    compactor_free(compactor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_period_must_pass_before_the_first_compaction),
        cmocka_unit_test(a_long_period_is_looked_at_every_hour_once_it_has_passed),
        cmocka_unit_test(a_compaction_that_failed_is_tried_again),
        cmocka_unit_test(a_follower_notes_and_does_not_act),
        cmocka_unit_test(by_revisions_the_newest_stay),
        cmocka_unit_test(nothing_is_compacted_without_a_retention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
