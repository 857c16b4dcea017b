/* SPDX-License-Identifier: Apache-2.0 */
/* The work queue and its waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "controller/kube/backoff.h"
#include "controller/kube/queue.h"

static void a_key_added_twice_is_handed_out_once(void **state)
{
    (void)state;
    struct kube_queue queue;
    kube_queue_init(&queue, 1);

    kube_queue_add(&queue, "ns/a", 10);
    kube_queue_add(&queue, "ns/a", 5);

    assert_null(kube_queue_take(&queue, 4));
    const char *key = kube_queue_take(&queue, 5);
    assert_string_equal(key, "ns/a");
    assert_null(kube_queue_take(&queue, 1000));
    kube_queue_done(&queue, key, true, 6, 0);
    assert_int_equal(kube_queue_depth(&queue), 0);
    kube_queue_free(&queue);
}

static void a_key_added_during_its_work_comes_back_after_it(void **state)
{
    (void)state;
    struct kube_queue queue;
    kube_queue_init(&queue, 1);
    kube_queue_add(&queue, "ns/a", 0);
    const char *key = kube_queue_take(&queue, 0);

    kube_queue_add(&queue, "ns/a", 3);

    assert_null(kube_queue_take(&queue, 100));
    kube_queue_done(&queue, key, true, 100, 0);
    assert_string_equal(kube_queue_take(&queue, 100), "ns/a");
    kube_queue_free(&queue);
}

static void a_failing_key_waits_longer_each_time_and_events_do_not_make_it_spin(void **state)
{
    (void)state;
    struct kube_queue queue;
    kube_queue_init(&queue, 1);
    uint64_t now_ms = 0;
    uint64_t last_wait_ms = 0;
    kube_queue_add(&queue, "ns/a", 0);
    for (int i = 0; i < 12; i++) {
        const char *key = kube_queue_take(&queue, now_ms);
        assert_non_null(key);
        kube_queue_add(&queue, "ns/a", now_ms);
        kube_queue_done(&queue, key, false, now_ms, 1);
        kube_queue_add(&queue, "ns/a", now_ms);

        uint64_t wait_ms = kube_queue_next_ms(&queue) - now_ms;

        assert_true(wait_ms >= KUBE_QUEUE_BACKOFF_BASE_MS / 2);
        assert_true(wait_ms <= KUBE_QUEUE_BACKOFF_MAX_MS);
        assert_true(wait_ms * 4 > last_wait_ms);
        last_wait_ms = wait_ms;
        now_ms += wait_ms;
    }
    assert_true(last_wait_ms >= KUBE_QUEUE_BACKOFF_MAX_MS / 2);

    kube_queue_done(&queue, kube_queue_take(&queue, now_ms), true, now_ms, 700);

    assert_int_equal(kube_queue_next_ms(&queue), now_ms + 700);
    kube_queue_free(&queue);
}

static void keys_come_in_the_order_in_which_they_are_due(void **state)
{
    (void)state;
    struct kube_queue queue;
    kube_queue_init(&queue, 1);
    kube_queue_add(&queue, "ns/late", 30);
    kube_queue_add(&queue, "ns/early", 10);
    kube_queue_add(&queue, "ns/gone", 5);
    kube_queue_forget(&queue, "ns/gone");
    kube_queue_forget(&queue, "ns/never-there");

    assert_string_equal(kube_queue_take(&queue, 50), "ns/early");
    assert_string_equal(kube_queue_take(&queue, 50), "ns/late");
    assert_int_equal(kube_queue_next_ms(&queue), KUBE_QUEUE_NEVER);
    kube_queue_free(&queue);
}

static void waits_double_up_to_their_limit_with_jitter_of_at_most_half(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 3);
    for (uint32_t attempt = 1; attempt < 200; attempt++) {
        uint64_t whole_ms = attempt > 10 ? 1000 : BASE_MIN(1000, (uint64_t)10 << (attempt - 1));
        for (int i = 0; i < 50; i++) {
            uint64_t wait_ms = kube_backoff_ms(attempt, 10, 1000, &rng);
            assert_in_range(wait_ms, whole_ms - whole_ms / 2, whole_ms);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_added_twice_is_handed_out_once),
        cmocka_unit_test(a_key_added_during_its_work_comes_back_after_it),
        cmocka_unit_test(a_failing_key_waits_longer_each_time_and_events_do_not_make_it_spin),
        cmocka_unit_test(keys_come_in_the_order_in_which_they_are_due),
        cmocka_unit_test(waits_double_up_to_their_limit_with_jitter_of_at_most_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
