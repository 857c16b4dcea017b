/* SPDX-License-Identifier: Apache-2.0 */
/* Leader election against a Lease kept in memory: two candidates, clocks of their own, failing
 * calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "controller/kube/lease.h"
#include "controller/kube/timestamp.h"

/* An API server that knows one object. */
struct world {
    struct json *lease;
    int64_t version;
    uint64_t now_ms;
    int fail_with;    /* every call fails so */
    uint64_t slow_ms; /* every call takes so long */
    int calls;
    struct kube_seam seam;
    struct clock_seam clock;
};

static int world_call(void *ctx, const struct kube_call *call, struct json **out_object,
                      struct err *err)
{
    struct world *world = ctx;
    world->calls++;
    world->now_ms += world->slow_ms;
    if (world->fail_with != 0) {
        return err_set(err, world->fail_with, "no answer");
    }
    if (call->verb == KUBE_CREATE || call->verb == KUBE_REPLACE) {
        if (call->verb == KUBE_CREATE && world->lease != NULL) {
            return err_set(err, E_EXISTS, "there already");
        }
        char version[24];
        snprintf(version, sizeof(version), "%lld", (long long)world->version);
        const char *given = json_path_str(call->body, "metadata.resourceVersion", "");
        if (call->verb == KUBE_REPLACE && strcmp(given, version) != 0) {
            return err_set(err, E_CONFLICT, "the object has been modified");
        }
        json_free(world->lease);
        world->lease = json_copy(call->body);
        snprintf(version, sizeof(version), "%lld", (long long)++world->version);
        json_set_str(json_ensure_object(world->lease, "metadata"), "resourceVersion", version);
    }
    if (world->lease == NULL) {
        return err_set(err, E_NOT_FOUND, "no lease");
    }
    if (out_object != NULL) {
        *out_object = json_copy(world->lease);
    }
    return 0;
}

static uint64_t world_monotonic(void *ctx)
{
    return ((struct world *)ctx)->now_ms * 1000000u;
}

static int64_t world_wall(void *ctx)
{
    return (int64_t)((struct world *)ctx)->now_ms * 1000000 + 1700000000000000000;
}

static void world_init(struct world *world)
{
    *world = (struct world){.now_ms = 100000};
    world->seam = (struct kube_seam){world, world_call};
    world->clock = (struct clock_seam){world, world_monotonic, world_wall};
}

static void candidate_init(struct kube_lease *lease, struct world *world, const char *identity)
{
    kube_lease_init(lease, &world->seam, &world->clock, "ns", "quorate-operator", identity, 1);
}

static void the_first_creates_the_lease_and_the_second_waits_its_whole_duration(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct kube_lease first;
    struct kube_lease second;
    candidate_init(&first, &world, "first");
    candidate_init(&second, &world, "second");

    kube_lease_turn(&first, NULL);
    kube_lease_turn(&second, NULL);
    assert_true(first.is_held);
    assert_false(second.is_held);
    assert_string_equal(kube_lease_holder(&second), "first");

    /* The first is gone. The second may take the lease only after all of its duration. */
    uint64_t started_ms = world.now_ms;
    while (!second.is_held) {
        world.now_ms += 100;
        kube_lease_turn(&second, NULL);
        assert_true(world.now_ms < started_ms + 60000);
    }
    assert_true(world.now_ms - started_ms >= KUBE_LEASE_DURATION_S * 1000);
    assert_int_equal(json_path_i64(world.lease, "spec.leaseTransitions", 0), 1);

    /* The first comes back to life: it must not act. */
    struct err err = {{0}};
    assert_int_equal(kube_lease_verify(&first, &err), E_CLOSED);
    assert_false(first.is_held);
    assert_int_equal(kube_lease_verify(&second, NULL), 0);
    kube_lease_free(&first);
    kube_lease_free(&second);
    json_free(world.lease);
}

static void a_holder_keeps_the_lease_by_renewing(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct kube_lease first;
    struct kube_lease second;
    candidate_init(&first, &world, "first");
    candidate_init(&second, &world, "second");
    for (int i = 0; i < 600; i++) {
        kube_lease_turn(&first, NULL);
        kube_lease_turn(&second, NULL);
        assert_true(first.is_held);
        assert_false(second.is_held);
        world.now_ms += 250;
    }
    kube_lease_free(&first);
    kube_lease_free(&second);
    json_free(world.lease);
}

static void a_holder_that_cannot_renew_in_time_has_lost_it_for_good(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct kube_lease first;
    candidate_init(&first, &world, "first");
    kube_lease_turn(&first, NULL);
    world.fail_with = E_UNAVAILABLE;
    uint64_t started_ms = world.now_ms;
    while (first.is_held) {
        world.now_ms += 100;
        kube_lease_turn(&first, NULL);
        assert_true(world.now_ms <= started_ms + KUBE_LEASE_DEADLINE_MS + KUBE_LEASE_RETRY_MS);
    }
    assert_true(world.now_ms < started_ms + KUBE_LEASE_DURATION_S * 1000);

    world.fail_with = 0;
    for (int i = 0; i < 600; i++) {
        world.now_ms += 100;
        kube_lease_turn(&first, NULL);
    }
    assert_false(first.is_held);
    assert_int_equal(kube_lease_verify(&first, NULL), E_CLOSED);
    kube_lease_free(&first);
    json_free(world.lease);
}

static void verify_asks_the_server_each_time_and_believes_only_it(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct kube_lease first;
    candidate_init(&first, &world, "first");
    assert_int_equal(kube_lease_verify(&first, NULL), E_CLOSED);
    kube_lease_turn(&first, NULL);

    int calls = world.calls;
    assert_int_equal(kube_lease_verify(&first, NULL), 0);
    assert_int_equal(world.calls, calls + 1);

    world.fail_with = E_TIMEOUT;
    assert_int_equal(kube_lease_verify(&first, NULL), E_TIMEOUT);
    assert_true(first.is_held);

    world.fail_with = 0;
    json_set_str(json_get(world.lease, "spec"), "holderIdentity", "usurper");
    json_set_str(json_get(world.lease, "metadata"), "resourceVersion", "99");
    world.version = 99;
    assert_int_equal(kube_lease_verify(&first, NULL), E_CLOSED);
    assert_false(first.is_held);
    kube_lease_free(&first);
    json_free(world.lease);
}

static void an_answer_that_came_too_late_allows_nothing(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct kube_lease first;
    candidate_init(&first, &world, "first");
    kube_lease_turn(&first, NULL);
    world.now_ms += KUBE_LEASE_RENEW_MS - 1;
    assert_int_equal(kube_lease_verify(&first, NULL), 0);

    world.slow_ms = KUBE_LEASE_DEADLINE_MS;
    assert_int_equal(kube_lease_verify(&first, NULL), E_CLOSED);

    assert_false(first.is_held);
    kube_lease_free(&first);
    json_free(world.lease);
}

static void a_released_lease_is_taken_at_once(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct kube_lease first;
    struct kube_lease second;
    candidate_init(&first, &world, "first");
    candidate_init(&second, &world, "second");
    kube_lease_turn(&first, NULL);

    assert_int_equal(kube_lease_release(&first, NULL), 0);
    kube_lease_turn(&second, NULL);

    assert_false(first.is_held);
    assert_true(second.is_held);
    kube_lease_free(&first);
    kube_lease_free(&second);
    json_free(world.lease);
}

static void a_lease_written_by_another_hand_is_renewed_when_it_is_still_ours(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct kube_lease first;
    candidate_init(&first, &world, "first");
    kube_lease_turn(&first, NULL);
    json_set_str(json_get(world.lease, "metadata"), "resourceVersion", "50");
    world.version = 50;
    world.now_ms += KUBE_LEASE_RENEW_MS;

    assert_int_equal(kube_lease_turn(&first, NULL), 0);

    assert_true(first.is_held);
    assert_int_equal(world.version, 51);
    kube_lease_free(&first);
    json_free(world.lease);
}

static void times_are_written_as_kubernetes_reads_them(void **state)
{
    (void)state;
    struct {
        int64_t seconds;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000007Z"},          {951782399, "2000-02-28T23:59:59.000007Z"},
        {951782400, "2000-02-29T00:00:00.000007Z"},  {1709251199, "2024-02-29T23:59:59.000007Z"},
        {4102444800, "2100-01-01T00:00:00.000007Z"}, {4107542400, "2100-03-01T00:00:00.000007Z"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct kube_timestamp got = kube_timestamp_micro(cases[i].seconds * 1000000000 + 7000);
        assert_string_equal(got.text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_creates_the_lease_and_the_second_waits_its_whole_duration),
        cmocka_unit_test(a_holder_keeps_the_lease_by_renewing),
        cmocka_unit_test(a_holder_that_cannot_renew_in_time_has_lost_it_for_good),
        cmocka_unit_test(verify_asks_the_server_each_time_and_believes_only_it),
        cmocka_unit_test(an_answer_that_came_too_late_allows_nothing),
        cmocka_unit_test(a_released_lease_is_taken_at_once),
        cmocka_unit_test(a_lease_written_by_another_hand_is_renewed_when_it_is_still_ours),
        cmocka_unit_test(times_are_written_as_kubernetes_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
