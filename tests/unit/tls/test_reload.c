/* SPDX-License-Identifier: Apache-2.0 */
/* Files that change under a running port: new connections see the new ones, old ones live on. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib_world.h"

struct reload {
    struct pki_cert ca, other_ca, server, client, other_client;
    char crl[PKI_PATH_MAX];
    struct world *world;
};

static void make_server(struct reload *reload, const struct pki_cert *issuer)
{
    pki_make(&reload->server, &(struct pki_request){.name = "server",
                                                    .issuer = issuer,
                                                    .hosts = "IP:127.0.0.1",
                                                    .usage = "serverAuth"});
}

static int setup(void **state)
{
    static struct reload reload;
    pki_make(&reload.ca, &(struct pki_request){.name = "ca", .is_authority = true});
    pki_make(&reload.other_ca, &(struct pki_request){.name = "other", .is_authority = true});
    make_server(&reload, &reload.ca);
    pki_make(&reload.client, &(struct pki_request){.name = "client",
                                                   .common_name = "alice",
                                                   .issuer = &reload.ca,
                                                   .usage = "clientAuth"});
    pki_make(&reload.other_client, &(struct pki_request){.name = "otherclient",
                                                         .common_name = "carol",
                                                         .issuer = &reload.other_ca,
                                                         .usage = "clientAuth"});
    pki_revoke("list.crl", &reload.ca, NULL, 0, false);
    pki_path(reload.crl, "list.crl");
    const struct world_options options = {.tls = {.cert_file = reload.server.cert_path,
                                                  .key_file = reload.server.key_path,
                                                  .ca_file = reload.ca.cert_path,
                                                  .crl_file = reload.crl,
                                                  .require_client_cert = true,
                                                  .protocols = TLS_PROTOCOLS_BOTH}};
    reload.world = world_start(&options);
    *state = &reload;
    return 0;
}

static int teardown(void **state)
{
    struct reload *reload = *state;
    world_stop(reload->world);
    pki_free(&reload->ca);
    pki_free(&reload->other_ca);
    pki_free(&reload->server);
    pki_free(&reload->client);
    pki_free(&reload->other_client);
    pki_end();
    return 0;
}

static SSL *open_standing(struct reload *reload)
{
    struct visit visitor = {.shows = &reload->client};
    SSL *ssl = visit_open(reload->world, &visitor);
    assert_non_null(ssl);
    return ssl;
}

static void assert_lives(SSL *ssl)
{
    static const char REQUEST[] = "GET /name HTTP/1.1\r\nHost: a\r\n\r\n";
    char answer[512];
    assert_int_equal(SSL_write(ssl, REQUEST, sizeof(REQUEST) - 1), sizeof(REQUEST) - 1);
    int got = SSL_read(ssl, answer, sizeof(answer) - 1);
    assert_true(got > 0);
    answer[got] = '\0';
    assert_non_null(strstr(answer, "200 OK"));
}

/* One visit; the serial number of the server's certificate, -1 when refused. */
static long visit_as(struct reload *reload, const struct pki_cert *shows)
{
    struct visit visitor = {.shows = shows};
    return visit(reload->world, &visitor) ? visitor.serial : -1;
}

static void a_new_certificate_is_shown_to_new_connections(void **state)
{
    struct reload *reload = *state;
    SSL *standing = open_standing(reload);
    long before = pki_serial(&reload->server);
    assert_int_equal(visit_as(reload, &reload->client), before);
    pki_free(&reload->server);
    make_server(reload, &reload->ca);
    assert_int_equal(visit_as(reload, &reload->client), pki_serial(&reload->server));
    assert_true(pki_serial(&reload->server) != before);
    assert_lives(standing);
    visit_close(standing);
}

static void a_new_authority_is_trusted_and_the_old_one_no_longer(void **state)
{
    struct reload *reload = *state;
    SSL *standing = open_standing(reload);
    assert_int_equal(visit_as(reload, &reload->other_client), -1);
    char pem[16384];
    FILE *file = fopen(reload->other_ca.cert_path, "rb");
    assert_non_null(file);
    size_t size = fread(pem, 1, sizeof(pem), file);
    fclose(file);
    pki_write("ca.crt", pem, size);
    assert_true(visit_as(reload, &reload->other_client) > 0);
    assert_int_equal(visit_as(reload, &reload->client), -1);
    assert_lives(standing);
    visit_close(standing);
}

static void a_new_revocation_counts_at_once(void **state)
{
    struct reload *reload = *state;
    struct pki_cert *revoked[] = {&reload->client};
    SSL *standing = open_standing(reload);
    assert_true(visit_as(reload, &reload->client) > 0);
    pki_revoke("list.crl", &reload->ca, revoked, 1, true);
    assert_int_equal(visit_as(reload, &reload->client), -1);
    pki_revoke("list.crl", &reload->ca, NULL, 0, true);
    assert_true(visit_as(reload, &reload->client) > 0);
    assert_lives(standing);
    visit_close(standing);
}

static void a_revocation_list_that_is_gone_lets_nobody_in(void **state)
{
    struct reload *reload = *state;
    SSL *standing = open_standing(reload);
    unlink(reload->crl);
    assert_int_equal(visit_as(reload, &reload->client), -1);
    pki_write("list.crl", "half a li", 9);
    assert_int_equal(visit_as(reload, &reload->client), -1);
    pki_revoke("list.crl", &reload->ca, NULL, 0, false);
    assert_true(visit_as(reload, &reload->client) > 0);
    assert_lives(standing);
    visit_close(standing);
}

static void a_half_changed_pair_leaves_the_old_one_in_place(void **state)
{
    struct reload *reload = *state;
    long before = pki_serial(&reload->server);
    char key[8192];
    FILE *file = fopen(reload->server.key_path, "rb");
    assert_non_null(file);
    size_t size = fread(key, 1, sizeof(key), file);
    fclose(file);
    pki_free(&reload->server);
    make_server(reload, &reload->ca);
    char new_key[8192];
    file = fopen(reload->server.key_path, "rb");
    size_t new_size = fread(new_key, 1, sizeof(new_key), file);
    fclose(file);
    pki_write("server.key", key, size); /* the certificate is new, its key is not there yet */
    assert_int_equal(visit_as(reload, &reload->client), before);
    unlink(reload->server.key_path);
    assert_int_equal(visit_as(reload, &reload->client), before);
    pki_write("server.key", new_key, new_size);
    assert_int_equal(visit_as(reload, &reload->client), pki_serial(&reload->server));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_certificate_is_shown_to_new_connections, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_new_authority_is_trusted_and_the_old_one_no_longer, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_new_revocation_counts_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_revocation_list_that_is_gone_lets_nobody_in, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_half_changed_pair_leaves_the_old_one_in_place, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
