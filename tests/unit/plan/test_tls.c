/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters that speak TLS: the first start, renewals in bad times, what is refused, what is told.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib_world.h"

static void a_cluster_with_tls_is_founded_after_its_certificates(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 7, 3);
    world_use_tls(&world);

    assert_true(world_settle(&world, WORLD_SETTLE_MAX));

    assert_true(world_is_healthy(&world));
    assert_string_equal(world_condition(&world, "CertificatesValid", "status"), "True");
    assert_string_equal(json_path_str(world_status(&world), "tls.mode", ""), "Auto");
    assert_int_equal(json_count(json_path(world_status(&world), "tls.certificates")), 6);
    assert_string_equal(json_path_str(world_status(&world), "clientSecretName", ""), "demo-client");
    struct world_member *member = world_member(&world, "demo-1");
    assert_string_equal(member->peer_url, "https://demo-1.demo-peers.ns.svc:2380");
    world_free(&world);
}

static void certificates_and_authorities_are_renewed_while_a_member_is_down(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 8, 3);
    world_use_tls(&world);
    world_set_spec(&world, "repair.policy", "\"Manual\"");
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    world_lose_volume(&world, "demo-1");

    for (int i = 0; i < 26 * 60; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 60000);
        const struct certs_fact *server = &world.certs.of[CERTS_SERVER];
        assert_true(world.now_ms < certs_worry_ms(server));
    }

    assert_true(world.authorities >= 6); /* three of each in twenty-six hours */
    world_free(&world);
}

static void a_changed_tls_mode_is_refused_and_the_cluster_goes_on(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 3);
    world_set_spec(&world, "tls.mode", "\"Auto\"");

    world_operate(&world, WORLD_NO_CRASH);

    assert_int_equal(world.plan.action_count, 0);
    assert_string_equal(world_condition(&world, "Stalled", "reason"), "TLSModeChanged");
    assert_string_equal(world_condition(&world, "Available", "status"), "True");
    assert_string_equal(json_path_str(world_status(&world), "tls.mode", ""), "Disabled");
    world_set_spec(&world, "tls.mode", "\"Disabled\"");
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    world_free(&world);
}

static void plain_text_is_a_warning(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, 1);

    assert_string_equal(world_condition(&world, "CertificatesValid", "status"), "False");
    assert_string_equal(world_condition(&world, "CertificatesValid", "reason"), "TLSDisabled");
    assert_string_equal(world_condition(&world, "Ready", "status"), "True");
    world_free(&world);
}

static void a_lost_authority_is_told_and_nothing_is_issued(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 9, 1);
    world_use_tls(&world);
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));
    memset(&world.certs.of[CERTS_CLIENT_CA], 0, sizeof(world.certs.of[0]));
    world.certs.of[CERTS_CLIENT_CA].presence = CERTS_ABSENT;

    world_operate(&world, WORLD_NO_CRASH);

    assert_int_equal(world.plan.action_count, 0);
    assert_string_equal(world_condition(&world, "CertificatesValid", "reason"),
                        "AuthorityNotFound");
    assert_non_null(
        strstr(world_condition(&world, "CertificatesValid", "message"), "demo-client-ca"));
    world_free(&world);
}

static void a_secret_of_somebody_else_stays_and_is_told(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 11, 1);
    world_use_tls(&world);
    world.certs.of[CERTS_SERVER].presence = CERTS_PRESENT;
    world.certs.of[CERTS_SERVER].is_foreign = true;

    for (int i = 0; i < 10; i++) {
        world_operate(&world, WORLD_NO_CRASH);
        world_tick(&world, 1000);
    }

    assert_string_equal(world_condition(&world, "CertificatesValid", "reason"), "SecretNotOurs");
    assert_non_null(
        strstr(world_condition(&world, "CertificatesValid", "message"), "demo-server-tls"));
    assert_int_equal(world.founded, 0);
    world_free(&world);
}

static void an_operator_that_cannot_write_secrets_says_when_certificates_end(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 10, 1);
    world_use_tls(&world);
    assert_true(world_settle(&world, WORLD_SETTLE_MAX));

    world_tick(&world, 105 * 60000);
    world_operate(&world, 0);
    world_operate(&world, 1);
    assert_string_equal(world_condition(&world, "CertificatesValid", "reason"),
                        "CertificateExpiring");
    world_tick(&world, 20 * 60000);
    world_operate(&world, 1);
    assert_string_equal(world_condition(&world, "CertificatesValid", "reason"),
                        "CertificateExpired");
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_with_tls_is_founded_after_its_certificates),
        cmocka_unit_test(certificates_and_authorities_are_renewed_while_a_member_is_down),
        cmocka_unit_test(a_changed_tls_mode_is_refused_and_the_cluster_goes_on),
        cmocka_unit_test(plain_text_is_a_warning),
        cmocka_unit_test(a_lost_authority_is_told_and_nothing_is_issued),
        cmocka_unit_test(a_secret_of_somebody_else_stays_and_is_told),
        cmocka_unit_test(an_operator_that_cannot_write_secrets_says_when_certificates_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
