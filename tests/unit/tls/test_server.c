/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let in: one row for each kind of client, asked by clients of OpenSSL itself. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <string.h>

#include "lib_world.h"

static struct pki_cert ca, other_ca, server, good, named, signed_by_itself;

static int setup(void **state)
{
    (void)state;
    pki_make(&ca, &(struct pki_request){.name = "ca", .is_authority = true});
    pki_make(&other_ca, &(struct pki_request){.name = "other", .is_authority = true});
    pki_make(&server, &(struct pki_request){.name = "server",
                                            .issuer = &ca,
                                            .hosts = "IP:127.0.0.1",
                                            .usage = "serverAuth,clientAuth"});
    pki_make(&good,
             &(struct pki_request){
                 .name = "good", .common_name = "alice", .issuer = &ca, .usage = "clientAuth"});
    pki_make(&named, &(struct pki_request){.name = "named",
                                           .common_name = "bob",
                                           .issuer = &ca,
                                           .hosts = "DNS:node.example,IP:10.9.8.7",
                                           .usage = "clientAuth"});
    pki_make(&signed_by_itself,
             &(struct pki_request){.name = "itself", .common_name = "me", .usage = "clientAuth"});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct pki_cert *all[] = {&ca, &other_ca, &server, &good, &named, &signed_by_itself};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        pki_free(all[i]);
    }
    pki_end();
    return 0;
}

static struct tls_config mutual(void)
{
    return (struct tls_config){.cert_file = server.cert_path,
                               .key_file = server.key_path,
                               .ca_file = ca.cert_path,
                               .require_client_cert = true,
                               .protocols = TLS_PROTOCOLS_BOTH};
}

/* One visit; gives what the client was told: "" when it was let in. */
static const char *told(const struct world_options *options, struct visit *visitor)
{
    struct world *world = world_start(options);
    bool served = visit(world, visitor);
    world_stop(world);
    assert_true(served == (visitor->reason[0] == '\0'));
    return visitor->reason;
}

static void assert_told(const char *told_text, const char *part)
{
    if (strstr(told_text, part) == NULL) {
        fail_msg("told \"%s\", not \"%s\"", told_text, part);
    }
}

static const char *told_mutual(const struct pki_cert *shows)
{
    static struct visit visitor;
    const struct world_options options = {.tls = mutual()};
    visitor = (struct visit){.shows = shows, .trusts = &ca};
    return told(&options, &visitor);
}

/* What a client is told that shows a certificate made for this one visit. */
static const char *told_once(struct pki_request request)
{
    struct pki_cert cert;
    pki_make(&cert, &request);
    const char *text = told_mutual(&cert);
    pki_free(&cert);
    return text;
}

static void a_good_client_is_served_and_known_by_its_common_name(void **state)
{
    (void)state;
    const struct world_options options = {.tls = mutual()};
    struct visit visitor = {.shows = &good, .trusts = &ca};
    assert_string_equal(told(&options, &visitor), "");
    assert_non_null(strstr(visitor.answer, "\r\n\r\nalice"));
    assert_int_equal(visitor.version_spoken, TLS1_3_VERSION);
}

static void without_authorities_nobody_is_asked_for_a_certificate(void **state)
{
    (void)state;
    struct world_options options = {.tls = mutual()};
    options.tls.ca_file = NULL;
    options.tls.require_client_cert = false;
    struct visit visitor = {.shows = &good, .trusts = &ca};
    assert_string_equal(told(&options, &visitor), "");
    assert_non_null(strstr(visitor.answer, "\r\n\r\nnone"));
}

static void authorities_alone_make_a_certificate_needed(void **state)
{
    (void)state;
    struct world_options options = {.tls = mutual()};
    options.tls.require_client_cert = false;
    struct visit visitor = {.trusts = &ca};
    assert_told(told(&options, &visitor), "certificate required");
}

static void a_client_without_a_certificate_is_refused(void **state)
{
    (void)state;
    assert_told(told_mutual(NULL), "certificate required");
}

static void an_expired_certificate_is_refused(void **state)
{
    (void)state;
    assert_told(told_once((struct pki_request){.name = "expired",
                                               .issuer = &ca,
                                               .usage = "clientAuth",
                                               .starts_s = -2 * DAY_S,
                                               .ends_s = -DAY_S}),
                "certificate expired");
}

static void a_certificate_of_tomorrow_is_refused(void **state)
{
    (void)state;
    assert_told(told_once((struct pki_request){.name = "tomorrow",
                                               .issuer = &ca,
                                               .usage = "clientAuth",
                                               .starts_s = DAY_S,
                                               .ends_s = 2 * DAY_S}),
                "bad certificate");
}

static void a_certificate_of_another_authority_is_refused(void **state)
{
    (void)state;
    assert_told(
        told_once((struct pki_request){
            .name = "foreign", .common_name = "alice", .issuer = &other_ca, .usage = "clientAuth"}),
        "unknown ca");
}

static void a_certificate_that_signs_itself_is_refused(void **state)
{
    (void)state;
    assert_told(told_mutual(&signed_by_itself), "unknown ca");
}

static void a_certificate_signed_by_a_client_is_refused(void **state)
{
    (void)state;
    assert_told(
        told_once((struct pki_request){
            .name = "grandchild", .common_name = "root", .issuer = &good, .usage = "clientAuth"}),
        "unknown ca");
}

static void a_certificate_for_servers_only_is_refused(void **state)
{
    (void)state;
    assert_told(
        told_once((struct pki_request){
            .name = "serveronly", .common_name = "alice", .issuer = &ca, .usage = "serverAuth"}),
        "certificate");
}

static void a_certificate_that_tells_no_purpose_is_served(void **state)
{
    (void)state;
    assert_string_equal(told_once((struct pki_request){.name = "nopurpose", .issuer = &ca}), "");
}

static void a_certificate_for_any_use_is_one_for_clients_too(void **state)
{
    (void)state;
    struct pki_cert cert, foreign;
    pki_make(&cert, &(struct pki_request){
                        .name = "anyuse", .issuer = &ca, .usage = "anyExtendedKeyUsage"});
    assert_string_equal(told_mutual(&cert), "");
    pki_make(&foreign, &(struct pki_request){.name = "anyforeign",
                                             .issuer = &other_ca,
                                             .usage = "anyExtendedKeyUsage"});
    assert_told(told_mutual(&foreign), "unknown ca");
    pki_free(&foreign);
    pki_free(&cert);
}

static void a_weak_key_is_refused(void **state)
{
    (void)state;
    assert_told(told_once((struct pki_request){
                    .name = "weak", .issuer = &ca, .usage = "clientAuth", .key = PKI_RSA_1024}),
                "bad certificate");
}

static void an_rsa_key_of_2048_bits_is_served(void **state)
{
    (void)state;
    assert_string_equal(
        told_once((struct pki_request){
            .name = "rsa", .issuer = &ca, .usage = "clientAuth", .key = PKI_RSA_2048}),
        "");
}

static void revoke_and_visit(const struct pki_cert *shows, bool is_der, const char *expected)
{
    char path[PKI_PATH_MAX];
    struct world_options options = {.tls = mutual()};
    struct pki_cert *revoked[] = {&good};
    pki_revoke("list.crl", &ca, revoked, 1, is_der);
    pki_path(path, "list.crl");
    options.tls.crl_file = path;
    struct visit visitor = {.shows = shows, .trusts = &ca};
    const char *text = told(&options, &visitor);
    if (expected[0] == '\0') {
        assert_string_equal(text, "");
    } else {
        assert_told(text, expected);
    }
}

static void a_revoked_certificate_is_refused(void **state)
{
    (void)state;
    revoke_and_visit(&good, false, "certificate revoked");
    revoke_and_visit(&good, true, "certificate revoked");
}

static void a_list_of_revoked_certificates_leaves_the_others_alone(void **state)
{
    (void)state;
    revoke_and_visit(&named, false, "");
    revoke_and_visit(&named, true, "");
}

static void only_allowed_common_names_are_served(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"carol", "alice"};
    struct world_options options = {.tls = mutual()};
    options.tls.allowed_names = NAMES;
    options.tls.allowed_name_count = 2;
    struct visit visitor = {.shows = &good, .trusts = &ca};
    assert_string_equal(told(&options, &visitor), "");
    visitor.shows = &named;
    assert_told(told(&options, &visitor), "alert");
}

static void only_allowed_hosts_are_served(void **state)
{
    (void)state;
    static const char *const NAME[] = {"node.example"};
    static const char *const ADDRESS[] = {"10.9.8.7"};
    static const char *const OTHER[] = {"other.example"};
    struct world_options options = {.tls = mutual()};
    options.tls.allowed_hosts = NAME;
    options.tls.allowed_host_count = 1;
    struct visit visitor = {.shows = &named, .trusts = &ca};
    assert_string_equal(told(&options, &visitor), "");
    options.tls.allowed_hosts = ADDRESS;
    assert_string_equal(told(&options, &visitor), "");
    options.tls.allowed_hosts = OTHER;
    assert_told(told(&options, &visitor), "alert");
    options.tls.allowed_hosts = NAME;
    visitor.shows = &good;
    assert_told(told(&options, &visitor), "alert");
}

/* Gives whether a client with these hosts is served by a port that asks whose address it is. */
static bool served_from_here(const char *hosts)
{
    const struct world_options options = {.tls = mutual(), .check_client_hosts = true};
    struct pki_cert cert;
    pki_make(&cert, &(struct pki_request){
                        .name = "hosts", .issuer = &ca, .usage = "clientAuth", .hosts = hosts});
    struct visit visitor = {.shows = &cert, .trusts = &ca};
    struct world *world = world_start(&options);
    bool served = visit(world, &visitor);
    world_stop(world);
    pki_free(&cert);
    return served;
}

static void a_certificate_counts_only_from_its_own_hosts(void **state)
{
    (void)state;
    assert_true(served_from_here(NULL));
    assert_true(served_from_here("IP:127.0.0.1"));
    assert_true(served_from_here("DNS:localhost"));
    assert_true(served_from_here("IP:10.1.1.1,DNS:localhost"));
    assert_false(served_from_here("IP:10.1.1.1"));
    assert_false(served_from_here("DNS:nowhere.invalid"));
    assert_false(served_from_here("IP:10.1.1.1,DNS:nowhere.invalid,DNS:*.nowhere.invalid"));
}

static void versions_below_1_2_are_refused(void **state)
{
    (void)state;
    const struct world_options options = {.tls = mutual()};
    struct visit visitor = {.shows = &good, .trusts = &ca, .version = TLS1_1_VERSION};
    assert_told(told(&options, &visitor), "protocol version");
    visitor.version = TLS1_VERSION;
    assert_told(told(&options, &visitor), "protocol version");
}

static void the_versions_between_minimum_and_maximum_are_spoken(void **state)
{
    (void)state;
    struct world_options options = {.tls = mutual()};
    struct visit visitor = {.shows = &good, .trusts = &ca, .version = TLS1_2_VERSION};
    assert_string_equal(told(&options, &visitor), "");
    options.tls.min_version = TLS_VERSION_1_3;
    assert_told(told(&options, &visitor), "protocol version");
    options.tls.min_version = TLS_VERSION_1_2;
    options.tls.max_version = TLS_VERSION_1_2;
    visitor.version = 0;
    assert_string_equal(told(&options, &visitor), "");
    assert_int_equal(visitor.version_spoken, TLS1_2_VERSION);
}

static void ciphers_outside_of_the_list_are_refused(void **state)
{
    (void)state;
    char suites[TLS_SUITE_TEXT_MAX];
    struct world_options options = {.tls = mutual()};
    assert_int_equal(tls_suites_parse("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,"
                                      "TLS_AES_128_GCM_SHA256",
                                      suites, sizeof(suites), NULL),
                     0);
    options.tls.cipher_suites = suites;
    struct visit visitor = {.shows = &good,
                            .trusts = &ca,
                            .version = TLS1_2_VERSION,
                            .suites = "ECDHE-ECDSA-AES256-GCM-SHA384"};
    assert_string_equal(told(&options, &visitor), "");
    visitor.suites = "ECDHE-ECDSA-AES128-GCM-SHA256";
    assert_told(told(&options, &visitor), "handshake failure");
    options.tls.cipher_suites = NULL;
    visitor.suites = "ECDHE-ECDSA-AES256-SHA"; /* no AEAD: not in the default list */
    assert_told(told(&options, &visitor), "handshake failure");
}

static void names_of_suites_are_those_of_go(void **state)
{
    (void)state;
    char out[TLS_SUITE_TEXT_MAX];
    struct err err = {""};
    enum tls_version version;
    assert_int_equal(tls_suites_parse("", out, sizeof(out), &err), 0);
    assert_string_equal(out, "");
    assert_int_equal(tls_suites_parse("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305,"
                                      "TLS_RSA_WITH_AES_128_CBC_SHA",
                                      out, sizeof(out), &err),
                     0);
    assert_string_equal(out, "ECDHE-RSA-CHACHA20-POLY1305:AES128-SHA");
    assert_int_equal(tls_suites_parse("TLS_WHATEVER", out, sizeof(out), &err), E_INVALID);
    assert_string_equal(err.text, "unexpected TLS cipher suite \"TLS_WHATEVER\"");
    assert_int_equal(tls_version_parse("TLS1.1", &version, &err), E_INVALID);
    assert_string_equal(err.text,
                        "unexpected TLS version \"TLS1.1\" (must be one of: TLS1.2, TLS1.3)");
}

static void http2_is_agreed_first(void **state)
{
    (void)state;
    const struct world_options options = {.tls = mutual()};
    struct world *world = world_start(&options);
    struct visit visitor = {.shows = &good, .trusts = &ca, .protocols = "\x02h2\x08http/1.1"};
    SSL *ssl = visit_open(world, &visitor);
    assert_non_null(ssl);
    assert_string_equal(visitor.protocol, "h2");
    visit_close(ssl);
    visitor.protocols = "\x08http/1.1";
    assert_true(visit(world, &visitor));
    assert_string_equal(visitor.protocol, "http/1.1");
    visitor.protocols = "\x03"
                        "ftp";
    assert_false(visit(world, &visitor));
    assert_told(visitor.reason, "no application protocol");
    world_stop(world);
}

/* Says the preface of HTTP/2; gives how many bytes come back. */
static int preface(struct world *world, const char *protocols)
{
    static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    char answer[256];
    struct visit visitor = {.shows = &good, .trusts = &ca, .protocols = protocols};
    SSL *ssl = visit_open(world, &visitor);
    assert_non_null(ssl);
    assert_int_equal(SSL_write(ssl, PREFACE, sizeof(PREFACE) - 1), sizeof(PREFACE) - 1);
    int got = SSL_read(ssl, answer, sizeof(answer));
    visit_close(ssl);
    return got;
}

static void grpc_needs_what_alpn_agreed(void **state)
{
    (void)state;
    const struct world_options options = {.tls = mutual()};
    struct world *world = world_start(&options);
    assert_true(preface(world, "\x02h2") > 9);
    assert_true(preface(world, NULL) <= 0);
    assert_true(preface(world, "\x08http/1.1") <= 0);
    struct visit visitor = {.shows = &good, .trusts = &ca};
    assert_true(visit(world, &visitor)); /* HTTP/1.1 needs none */
    world_stop(world);
}

static void nobody_gets_a_ticket_past_a_revocation(void **state)
{
    (void)state;
    const struct world_options options = {.tls = mutual()};
    struct world *world = world_start(&options);
    struct visit visitor = {.shows = &good, .trusts = &ca, .version = TLS1_2_VERSION};
    SSL *ssl = visit_open(world, &visitor);
    assert_non_null(ssl);
    assert_int_equal(SSL_SESSION_has_ticket(SSL_get0_session(ssl)), 0);
    visit_close(ssl);
    world_stop(world);
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    const struct world_options options = {.tls = mutual()};
    struct world *world = world_start(&options);
    struct visit visitor = {.shows = &good, .trusts = &ca, .version = TLS1_2_VERSION};
    SSL *ssl = visit_open(world, &visitor);
    assert_non_null(ssl);
    assert_int_equal(SSL_renegotiate(ssl), 1);
    assert_int_not_equal(SSL_do_handshake(ssl), 1);
    assert_told(ERR_reason_error_string(ERR_get_error()), "no renegotiation");
    visit_close(ssl);
    world_stop(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_client_is_served_and_known_by_its_common_name),
        cmocka_unit_test(without_authorities_nobody_is_asked_for_a_certificate),
        cmocka_unit_test(authorities_alone_make_a_certificate_needed),
        cmocka_unit_test(a_client_without_a_certificate_is_refused),
        cmocka_unit_test(an_expired_certificate_is_refused),
        cmocka_unit_test(a_certificate_of_tomorrow_is_refused),
        cmocka_unit_test(a_certificate_of_another_authority_is_refused),
        cmocka_unit_test(a_certificate_that_signs_itself_is_refused),
        cmocka_unit_test(a_certificate_signed_by_a_client_is_refused),
        cmocka_unit_test(a_certificate_for_servers_only_is_refused),
        cmocka_unit_test(a_certificate_that_tells_no_purpose_is_served),
        cmocka_unit_test(a_certificate_for_any_use_is_one_for_clients_too),
        cmocka_unit_test(a_weak_key_is_refused),
        cmocka_unit_test(an_rsa_key_of_2048_bits_is_served),
        cmocka_unit_test(a_revoked_certificate_is_refused),
        cmocka_unit_test(a_list_of_revoked_certificates_leaves_the_others_alone),
        cmocka_unit_test(only_allowed_common_names_are_served),
        cmocka_unit_test(only_allowed_hosts_are_served),
        cmocka_unit_test(a_certificate_counts_only_from_its_own_hosts),
        cmocka_unit_test(versions_below_1_2_are_refused),
        cmocka_unit_test(the_versions_between_minimum_and_maximum_are_spoken),
        cmocka_unit_test(ciphers_outside_of_the_list_are_refused),
        cmocka_unit_test(names_of_suites_are_those_of_go),
        cmocka_unit_test(http2_is_agreed_first),
        cmocka_unit_test(grpc_needs_what_alpn_agreed),
        cmocka_unit_test(nobody_gets_a_ticket_past_a_revocation),
        cmocka_unit_test(renegotiation_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
