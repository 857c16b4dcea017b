/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds of probes, and the waits between lives. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "deploy/playground/kubelet/backoff.h"
#include "deploy/playground/kubelet/probe.h"

static struct json *parse(const char *text)
{
    struct json *value = json_parse(text, strlen(text), NULL);
    assert_non_null(value);
    return value;
}

static void a_container_without_the_probe_is_never_asked(void **state)
{
    (void)state;
    struct probe probe;

    probe_init(&probe, NULL, 100);

    assert_false(probe_is_due(&probe, UINT64_MAX));
}

static void the_first_question_waits_for_the_initial_delay(void **state)
{
    (void)state;
    struct json *spec = parse("{\"initialDelaySeconds\":3,\"periodSeconds\":2}");
    struct probe probe;

    probe_init(&probe, spec, 1000);

    assert_false(probe_is_due(&probe, 3999));
    assert_true(probe_is_due(&probe, 4000));
    probe_note(&probe, true, 4000);
    assert_false(probe_is_due(&probe, 5999));
    assert_true(probe_is_due(&probe, 6000));
    json_free(spec);
}

static void it_fails_after_the_threshold_in_a_row_only(void **state)
{
    (void)state;
    struct json *spec = parse("{\"failureThreshold\":3,\"periodSeconds\":1}");
    struct probe probe;
    probe_init(&probe, spec, 0);

    assert_int_equal(probe_note(&probe, true, 0), PROBE_SUCCESS);
    assert_int_equal(probe_note(&probe, false, 1), PROBE_SUCCESS);
    assert_int_equal(probe_note(&probe, false, 2), PROBE_SUCCESS);
    assert_int_equal(probe_note(&probe, true, 3), PROBE_SUCCESS);
    assert_int_equal(probe_note(&probe, false, 4), PROBE_SUCCESS);
    assert_int_equal(probe_note(&probe, false, 5), PROBE_SUCCESS);
    assert_int_equal(probe_note(&probe, false, 6), PROBE_FAILURE);
    assert_int_equal(probe_note(&probe, true, 7), PROBE_SUCCESS);
    json_free(spec);
}

static void it_succeeds_after_the_threshold_in_a_row_only(void **state)
{
    (void)state;
    struct json *spec = parse("{\"successThreshold\":2}");
    struct probe probe;
    probe_init(&probe, spec, 0);

    assert_int_equal(probe_note(&probe, true, 0), PROBE_UNKNOWN);
    assert_int_equal(probe_note(&probe, false, 0), PROBE_UNKNOWN);
    assert_int_equal(probe_note(&probe, true, 0), PROBE_UNKNOWN);
    assert_int_equal(probe_note(&probe, true, 0), PROBE_SUCCESS);
    json_free(spec);
}

static void the_defaults_are_those_of_kubernetes(void **state)
{
    (void)state;
    struct json *spec = parse("{}");
    struct probe probe;

    probe_init(&probe, spec, 0);

    assert_int_equal(probe.period_ms, 10000);
    assert_int_equal(probe.timeout_ms, 1000);
    assert_int_equal(probe.success_threshold, 1);
    assert_int_equal(probe.failure_threshold, 3);
    json_free(spec);
}

static void the_wait_doubles_up_to_its_cap(void **state)
{
    (void)state;
    static const uint64_t WAITS_MS[] = {1000, 2000, 4000, 8000, 10000, 10000};

    for (uint32_t i = 0; i < ARRAY_COUNT(WAITS_MS); i++) {
        assert_int_equal(backoff_ms(i + 1), WAITS_MS[i]);
    }
    assert_int_equal(backoff_ms(UINT32_MAX), BACKOFF_MAX_MS);
}

static void a_long_life_ends_the_series(void **state)
{
    (void)state;

    assert_int_equal(backoff_next(0, 5), 1);
    assert_int_equal(backoff_next(4, BACKOFF_RESET_MS - 1), 5);
    assert_int_equal(backoff_next(4, BACKOFF_RESET_MS), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_container_without_the_probe_is_never_asked),
        cmocka_unit_test(the_first_question_waits_for_the_initial_delay),
        cmocka_unit_test(it_fails_after_the_threshold_in_a_row_only),
        cmocka_unit_test(it_succeeds_after_the_threshold_in_a_row_only),
        cmocka_unit_test(the_defaults_are_those_of_kubernetes),
        cmocka_unit_test(the_wait_doubles_up_to_its_cap),
        cmocka_unit_test(a_long_life_ends_the_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
