/* SPDX-License-Identifier: Apache-2.0 */
/* What cert-manager is asked for: authorities of the cluster's own, and leaves that they sign. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "controller/build/build.h"

static struct json *make_want(struct cluster_spec *out)
{
    static const char TEXT[] =
        "{\"metadata\":{\"name\":\"demo\",\"namespace\":\"ns\",\"uid\":\"u\"},\"spec\":{\"tls\":{"
        "\"mode\":\"CertManager\",\"leafLifetime\":\"36h\",\"serverNames\":[\"a.example.org\","
        "\"10.0.0.7\"]}}}";
    struct json *object = json_parse(TEXT, sizeof(TEXT) - 1, NULL);
    assert_non_null(object);
    assert_int_equal(spec_parse(object, out), 0);
    return object;
}

static bool has_text(const struct json *list, const char *text)
{
    for (size_t i = 0; i < json_count(list); i++) {
        if (strcmp(json_str(json_at(list, i), ""), text) == 0) {
            return true;
        }
    }
    return false;
}

static void every_certificate_comes_from_an_issuer_of_the_cluster_itself(void **state)
{
    (void)state;
    struct cluster_spec want;
    struct json *object = make_want(&want);
    static const char *const ISSUERS[CERTS_SECRET_COUNT] = {"demo-self-signed", "demo-self-signed",
                                                            "demo-peer-ca",     "demo-client-ca",
                                                            "demo-client-ca",   "demo-client-ca"};

    for (size_t i = 0; i < CERTS_SECRET_COUNT; i++) {
        struct json *made = build_manager(&want, CERTS_MANAGER_FIRST + i);
        assert_string_equal(json_path_str(made, "kind", ""), "Certificate");
        assert_string_equal(json_path_str(made, "spec.issuerRef.kind", ""), "Issuer");
        assert_string_equal(json_path_str(made, "spec.issuerRef.name", ""), ISSUERS[i]);
        assert_string_equal(json_path_str(made, "spec.secretName", ""),
                            certs_secret_name(&want, (enum certs_secret)i).text);
        assert_int_equal(json_path_truth(made, "spec.isCA", false), i <= CERTS_CLIENT_CA);
        assert_string_equal(json_path_str(made, "spec.privateKey.rotationPolicy", ""),
                            i <= CERTS_CLIENT_CA ? "Never" : "Always");
        assert_string_equal(json_path_str(made, "metadata.ownerReferences.0.uid", ""), "u");
        json_free(made);
    }
    spec_free(&want);
    json_free(object);
}

static void issuers_are_the_two_authorities_and_one_that_lets_them_sign_themselves(void **state)
{
    (void)state;
    struct cluster_spec want;
    struct json *object = make_want(&want);

    struct json *self = build_manager(&want, CERTS_MANAGER_SELF);
    struct json *peer = build_manager(&want, 1);
    struct json *client = build_manager(&want, 2);

    assert_non_null(json_path(self, "spec.selfSigned"));
    assert_string_equal(json_path_str(peer, "spec.ca.secretName", ""), "demo-peer-ca");
    assert_string_equal(json_path_str(client, "metadata.name", ""), "demo-client-ca");
    assert_string_equal(json_path_str(client, "spec.ca.secretName", ""), "demo-client-ca");
    json_free(self);
    json_free(peer);
    json_free(client);
    spec_free(&want);
    json_free(object);
}

static void a_server_has_its_names_and_life_as_cert_manager_writes_them(void **state)
{
    (void)state;
    struct cluster_spec want;
    struct json *object = make_want(&want);

    struct json *server = build_manager(&want, CERTS_MANAGER_FIRST + CERTS_SERVER);
    struct json *user = build_manager(&want, CERTS_MANAGER_FIRST + CERTS_USER);

    assert_true(has_text(json_path(server, "spec.dnsNames"), "*.demo-peers.ns.svc"));
    assert_true(has_text(json_path(server, "spec.dnsNames"), "a.example.org"));
    assert_true(has_text(json_path(server, "spec.ipAddresses"), "10.0.0.7"));
    assert_true(has_text(json_path(server, "spec.ipAddresses"), "::1"));
    assert_true(has_text(json_path(server, "spec.usages"), "server auth"));
    assert_string_equal(json_path_str(server, "spec.duration", ""), "36h0m0s");
    assert_string_equal(json_path_str(server, "spec.renewBefore", ""), "12h0m0s");
    assert_null(json_path(user, "spec.dnsNames"));
    assert_false(has_text(json_path(user, "spec.usages"), "server auth"));
    json_free(server);
    json_free(user);
    spec_free(&want);
    json_free(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_certificate_comes_from_an_issuer_of_the_cluster_itself),
        cmocka_unit_test(issuers_are_the_two_authorities_and_one_that_lets_them_sign_themselves),
        cmocka_unit_test(a_server_has_its_names_and_life_as_cert_manager_writes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
