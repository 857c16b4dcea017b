/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a client of ours talks to: one row for each kind of server; and what configurations are
 * refused before anything is sent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib_world.h"

static struct pki_cert ca, other_ca, client;

static int setup(void **state)
{
    (void)state;
    pki_make(&ca, &(struct pki_request){.name = "ca", .is_authority = true});
    pki_make(&other_ca, &(struct pki_request){.name = "other", .is_authority = true});
    pki_make(&client, &(struct pki_request){.name = "client",
                                            .common_name = "peer-1",
                                            .issuer = &ca,
                                            .hosts = "IP:127.0.0.1",
                                            .usage = "serverAuth,clientAuth"});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_free(&ca);
    pki_free(&other_ca);
    pki_free(&client);
    pki_end();
    return 0;
}

static struct tls_config trusting(void)
{
    return (struct tls_config){
        .cert_file = client.cert_path, .key_file = client.key_path, .ca_file = ca.cert_path};
}

/* Dials host where a server with that certificate listens. */
static void dial_server(const struct pki_request *request, const struct tls_config *config,
                        const char *host, struct dialled *out)
{
    struct pki_cert cert;
    pki_make(&cert, request);
    struct world_options options = {.tls = {.cert_file = cert.cert_path,
                                            .key_file = cert.key_path,
                                            .ca_file = ca.cert_path,
                                            .protocols = TLS_PROTOCOLS_HTTP1}};
    struct world *world = world_start(&options);
    dial(world, config, host, out);
    world_stop(world);
    pki_free(&cert);
}

static void assert_refused(const struct dialled *out, const char *part)
{
    assert_int_not_equal(out->code, 0);
    assert_int_equal(out->status, 0);
    if (strstr(out->text, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", out->text, part);
    }
}

/* The good server, changed by what a test needs. */
static struct pki_request good(void)
{
    return (struct pki_request){.name = "server",
                                .common_name = "server-1",
                                .issuer = &ca,
                                .hosts = "IP:127.0.0.1,DNS:localhost",
                                .usage = "serverAuth"};
}

static void a_good_server_is_talked_to_and_sees_our_certificate(void **state)
{
    (void)state;
    const struct tls_config config = trusting();
    const struct pki_request request = good();
    struct dialled out;
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_int_equal(out.code, 0);
    assert_string_equal(out.body, "peer-1");
    dial_server(&request, &config, "localhost", &out);
    assert_int_equal(out.code, 0);
}

static void the_client_certificate_goes_before_the_other(void **state)
{
    (void)state;
    struct tls_config config = trusting();
    struct pki_cert special;
    pki_make(&special, &(struct pki_request){.name = "special",
                                             .common_name = "for-dialling",
                                             .issuer = &ca,
                                             .usage = "clientAuth"});
    config.client_cert_file = special.cert_path;
    config.client_key_file = special.key_path;
    const struct pki_request request = good();
    struct dialled out;
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_string_equal(out.body, "for-dialling");
    pki_free(&special);
}

static void an_expired_server_is_refused(void **state)
{
    (void)state;
    const struct tls_config config = trusting();
    struct pki_request request = good();
    struct dialled out;
    request.starts_s = -2 * DAY_S;
    request.ends_s = -DAY_S;
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_refused(&out, "certificate has expired");
    request.starts_s = DAY_S;
    request.ends_s = 2 * DAY_S;
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_refused(&out, "certificate is not yet valid");
}

static void a_server_of_another_authority_is_refused(void **state)
{
    (void)state;
    const struct tls_config config = trusting();
    struct pki_request request = good();
    struct dialled out;
    request.issuer = &other_ca;
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_refused(&out, "unable to get local issuer certificate");
    request.issuer = NULL;
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_refused(&out, "self-signed certificate");
}

static void a_server_of_another_address_is_refused(void **state)
{
    (void)state;
    const struct tls_config config = trusting();
    struct pki_request request = good();
    struct dialled out;
    request.hosts = "IP:127.0.0.2,DNS:localhost";
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_refused(&out, "IP address mismatch");
}

static void a_server_of_another_name_is_refused(void **state)
{
    (void)state;
    const struct tls_config config = trusting();
    struct pki_request request = good();
    struct dialled out;
    request.hosts = "DNS:elsewhere.example,IP:127.0.0.1";
    dial_server(&request, &config, "localhost", &out);
    assert_refused(&out, "hostname mismatch");
    request.hosts = NULL;
    request.common_name = "localhost"; /* the subject is not asked */
    dial_server(&request, &config, "localhost", &out);
    assert_refused(&out, "hostname mismatch");
}

static void a_server_with_a_certificate_for_clients_is_refused(void **state)
{
    (void)state;
    const struct tls_config config = trusting();
    struct pki_request request = good();
    struct dialled out;
    request.usage = "clientAuth";
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_refused(&out, "certificate purpose");
}

static void a_server_with_a_certificate_for_any_use_is_talked_to(void **state)
{
    (void)state;
    const struct tls_config config = trusting();
    struct pki_request request = good();
    struct dialled out;
    request.usage = "anyExtendedKeyUsage";
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_int_equal(out.code, 0);
}

static void a_server_outside_of_the_allowed_names_is_refused(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"somebody"};
    struct tls_config config = trusting();
    const struct pki_request request = good();
    struct dialled out;
    config.allowed_names = NAMES;
    config.allowed_name_count = 1;
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_refused(&out, "certificate authentication failed");
}

static void a_revoked_server_is_refused(void **state)
{
    (void)state;
    struct tls_config config = trusting();
    char path[PKI_PATH_MAX];
    struct pki_cert cert;
    struct pki_cert *revoked[] = {&cert};
    const struct pki_request request = good();
    pki_make(&cert, &request);
    pki_revoke("peer.crl", &ca, revoked, 1, false);
    pki_path(path, "peer.crl");
    config.crl_file = path;
    const struct world_options options = {
        .tls = {.cert_file = cert.cert_path, .key_file = cert.key_path}};
    struct world *world = world_start(&options);
    struct dialled out;
    dial(world, &config, "127.0.0.1", &out);
    world_stop(world);
    assert_refused(&out, "revoked");
    pki_free(&cert);
}

static void any_server_will_do_when_asked_to_skip(void **state)
{
    (void)state;
    const struct tls_config config = {
        .cert_file = client.cert_path, .key_file = client.key_path, .insecure_skip_verify = true};
    struct pki_request request = good();
    struct dialled out;
    request.issuer = NULL;
    request.hosts = "DNS:elsewhere.example";
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_int_equal(out.code, 0);
}

static void a_refused_client_hears_why(void **state)
{
    (void)state;
    const struct tls_config config = {.ca_file = ca.cert_path}; /* shows nothing */
    const struct pki_request request = good();
    struct dialled out;
    dial_server(&request, &config, "127.0.0.1", &out);
    assert_refused(&out, "remote error: tls: ");
}

/* A server that answers one request with a body up to the end of the connection. */
struct cutter {
    struct pki_cert cert;
    int listening;
    bool says_goodbye;
};

static void *cut_one(void *ctx)
{
    static const char ANSWER[] = "HTTP/1.1 200 OK\r\n\r\nhalf";
    const struct cutter *cutter = ctx;
    char request[1024];
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(context, cutter->cert.cert);
    SSL_CTX_use_PrivateKey(context, cutter->cert.key);
    SSL *ssl = SSL_new(context);
    int fd = accept(cutter->listening, NULL, NULL);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1 && SSL_read(ssl, request, sizeof(request)) > 0) {
        SSL_write(ssl, ANSWER, sizeof(ANSWER) - 1);
        if (cutter->says_goodbye) {
            SSL_shutdown(ssl);
        }
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    return NULL;
}

/* Dials such a server; gives the code of the exchange. */
static int dial_cutter(struct world *world, struct cutter *cutter, bool says_goodbye)
{
    const struct tls_config config = trusting();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    pthread_t thread;
    struct dialled out;
    uint16_t number = world->number;
    cutter->says_goodbye = says_goodbye;
    cutter->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(cutter->listening, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(cutter->listening, 1), 0);
    assert_int_equal(getsockname(cutter->listening, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pthread_create(&thread, NULL, cut_one, cutter), 0);
    world->number = ntohs(address.sin_port);
    dial(world, &config, "127.0.0.1", &out);
    world->number = number;
    pthread_join(thread, NULL);
    close(cutter->listening);
    assert_string_equal(out.body, "half");
    return out.code;
}

static void a_connection_that_is_cut_is_no_end_of_an_answer(void **state)
{
    (void)state;
    const struct pki_request request = good();
    struct cutter cutter = {0};
    pki_make(&cutter.cert, &request);
    const struct world_options options = {
        .tls = {.cert_file = client.cert_path, .key_file = client.key_path}};
    struct world *world = world_start(&options);
    assert_int_equal(dial_cutter(world, &cutter, true), 0);
    assert_int_equal(dial_cutter(world, &cutter, false), E_TRUNCATED);
    world_stop(world);
    pki_free(&cutter.cert);
}

/* ---- configurations ---- */

static void assert_unusable(const struct tls_config *config, const char *part)
{
    struct tls_maker *maker = NULL;
    struct err err = {""};
    assert_int_not_equal(tls_maker_new(config, &maker, &err), 0);
    if (strstr(err.text, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
    }
}

static void files_that_cannot_be_used_are_named(void **state)
{
    (void)state;
    struct tls_config config = trusting();
    char path[PKI_PATH_MAX];
    pki_path(path, "not-there.crt");
    config.cert_file = path;
    assert_unusable(&config, "not-there.crt: No such file");
    pki_write("junk.pem", "hello", 5);
    pki_path(path, "junk.pem");
    assert_unusable(&config, "junk.pem: no PEM certificate in it");
    config = trusting();
    config.key_file = path;
    assert_unusable(&config, "private key ");
    config = trusting();
    config.ca_file = path;
    assert_unusable(&config, "junk.pem");
    config = trusting();
    config.crl_file = path;
    assert_unusable(&config, "revocation list ");
    config = trusting();
    config.key_file = ca.key_path;
    assert_unusable(&config, "does not match the public key");
    config = trusting();
    config.key_file = NULL;
    assert_unusable(&config, "KeyFile and CertFile must both be present[key: , cert: ");
    config = trusting();
    config.client_cert_file = client.cert_path;
    assert_unusable(&config, "ClientKeyFile and ClientCertFile must both be present");
    config = trusting();
    config.cipher_suites = "RC4-SHA";
    assert_unusable(&config, "none of the TLS cipher suites can be used");
}

static void keys_with_a_password_are_refused_without_asking(void **state)
{
    (void)state;
    struct tls_config config = trusting();
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    char path[PKI_PATH_MAX];
    assert_int_equal(
        PEM_write_bio_PKCS8PrivateKey(bio, client.key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL),
        1);
    long size = BIO_get_mem_data(bio, &data);
    pki_write("locked.key", data, (size_t)size);
    BIO_free(bio);
    pki_path(path, "locked.key");
    config.key_file = path;
    assert_unusable(&config, "it has a password");
}

static void a_weak_key_of_our_own_is_refused(void **state)
{
    (void)state;
    struct pki_cert weak;
    pki_make(&weak, &(struct pki_request){.name = "weak", .issuer = &ca, .key = PKI_RSA_1024});
    const struct tls_config config = {.cert_file = weak.cert_path, .key_file = weak.key_path};
    assert_unusable(&config, "key too small");
    pki_free(&weak);
}

static void a_made_certificate_is_kept_private_and_used_again(void **state)
{
    (void)state;
    static const char *const HOSTS[] = {"127.0.0.1", "localhost", "::1"};
    char dir[PKI_PATH_MAX];
    char cert[PKI_PATH_MAX + 16];
    char key[PKI_PATH_MAX + 16];
    struct stat first;
    struct stat second;
    struct err err = {""};
    pki_path(dir, "fixtures");
    snprintf(cert, sizeof(cert), "%s/peer/cert.pem", dir);
    snprintf(key, sizeof(key), "%s/peer/key.pem", dir);
    char deep[PKI_PATH_MAX + 16];
    snprintf(deep, sizeof(deep), "%s/peer", dir);
    struct tls_self_signed request = {
        .dir = deep, .hosts = HOSTS, .host_count = 3, .valid_years = 1};
    assert_int_equal(tls_self_signed_make(&request, &err), 0);
    assert_int_equal(stat(key, &first), 0);
    assert_int_equal(first.st_mode & 0777u, 0600);
    assert_int_equal(tls_self_signed_make(&request, &err), 0);
    assert_int_equal(stat(key, &second), 0);
    assert_true(first.st_ino == second.st_ino);
    const struct world_options options = {.tls = {.cert_file = cert, .key_file = key}};
    struct world *world = world_start(&options);
    const struct tls_config config = {.ca_file = cert};
    struct dialled out;
    dial(world, &config, "127.0.0.1", &out);
    assert_int_equal(out.code, 0);
    dial(world, &config, "localhost", &out);
    assert_int_equal(out.code, 0);
    world_stop(world);
    request.valid_years = 0;
    assert_int_equal(tls_self_signed_make(&request, &err), E_INVALID);
    unlink(cert);
    unlink(key);
    rmdir(deep);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_server_is_talked_to_and_sees_our_certificate),
        cmocka_unit_test(the_client_certificate_goes_before_the_other),
        cmocka_unit_test(an_expired_server_is_refused),
        cmocka_unit_test(a_server_of_another_authority_is_refused),
        cmocka_unit_test(a_server_of_another_address_is_refused),
        cmocka_unit_test(a_server_of_another_name_is_refused),
        cmocka_unit_test(a_server_with_a_certificate_for_clients_is_refused),
        cmocka_unit_test(a_server_with_a_certificate_for_any_use_is_talked_to),
        cmocka_unit_test(a_server_outside_of_the_allowed_names_is_refused),
        cmocka_unit_test(a_revoked_server_is_refused),
        cmocka_unit_test(any_server_will_do_when_asked_to_skip),
        cmocka_unit_test(a_refused_client_hears_why),
        cmocka_unit_test(a_connection_that_is_cut_is_no_end_of_an_answer),
        cmocka_unit_test(files_that_cannot_be_used_are_named),
        cmocka_unit_test(keys_with_a_password_are_refused_without_asking),
        cmocka_unit_test(a_weak_key_of_our_own_is_refused),
        cmocka_unit_test(a_made_certificate_is_kept_private_and_used_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
