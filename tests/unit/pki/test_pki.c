/* SPDX-License-Identifier: Apache-2.0 */
/* What is issued, what is read back, and what each step of a new authority writes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "lib_cluster.h"

static void a_new_cluster_gets_two_authorities_and_four_certificates(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster, "");

    size_t writes = cluster_settle(&cluster);

    struct certs_due due;
    cluster_decide(&cluster, &due);
    assert_int_equal(writes, 6);
    assert_true(due.is_ready);
    assert_int_equal(due.problem, CERTS_NO_PROBLEM);
    assert_int_equal(due.next_ms, START_MS - HOUR_MS + (90 * DAY_MS + HOUR_MS) / 3 * 2);
    cluster_free(&cluster);
}

static void every_key_is_ecdsa_p256(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster, "");
    cluster_settle(&cluster);

    for (int i = 0; i < CERTS_SECRET_COUNT; i++) {
        char *pem = pki_secret_text(cluster.secrets[i], "tls.key");
        BIO *bio = BIO_new_mem_buf(pem, -1);
        EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        char group[32] = "";
        assert_non_null(key);
        assert_int_equal(EVP_PKEY_get_group_name(key, group, sizeof(group), NULL), 1);
        assert_string_equal(group, "prime256v1");
        EVP_PKEY_free(key);
        BIO_free(bio);
        pki_text_free(pem);
    }
    cluster_free(&cluster);
}

static void servers_are_taken_for_their_names_and_for_no_other(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster, ",\"serverNames\":[\"etcd.example.org\",\"*.lb.example.org\"]");
    cluster_settle(&cluster);
    struct copy server = {0};
    struct copy user = {0};
    copy_take(&server, cluster.secrets[CERTS_SERVER]);
    copy_take(&user, cluster.secrets[CERTS_USER]);

    static const char *const GOOD[] = {"demo-0.demo-peers.ns.svc",
                                       "demo-12.demo-peers.ns.svc.cluster.local",
                                       "demo-client.ns.svc",
                                       "demo-client",
                                       "localhost",
                                       "etcd.example.org",
                                       "a.lb.example.org"};
    static const char *const BAD[] = {"demo-0.demo-peers.other.svc", "other-client.ns.svc",
                                      "a.b.demo-peers.ns.svc", "example.org"};
    for (size_t i = 0; i < ARRAY_COUNT(GOOD); i++) {
        if (!copy_verifies(&user, &server, GOOD[i], START_MS)) {
            fail_msg("%s is refused", GOOD[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(BAD); i++) {
        if (copy_verifies(&user, &server, BAD[i], START_MS)) {
            fail_msg("%s is taken", BAD[i]);
        }
    }
    copy_free(&server);
    copy_free(&user);
    cluster_free(&cluster);
}

static void peers_and_clients_do_not_take_each_other(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster, "");
    cluster_settle(&cluster);
    struct copy peer = {0};
    struct copy server = {0};
    struct copy user = {0};
    copy_take(&peer, cluster.secrets[CERTS_PEER]);
    copy_take(&server, cluster.secrets[CERTS_SERVER]);
    copy_take(&user, cluster.secrets[CERTS_USER]);

    assert_true(copy_verifies(&server, &user, NULL, START_MS));
    assert_true(copy_verifies(&peer, &peer, NULL, START_MS));
    assert_false(copy_verifies(&peer, &user, NULL, START_MS));
    assert_false(copy_verifies(&peer, &server, NULL, START_MS));
    assert_false(copy_verifies(&server, &peer, NULL, START_MS));
    /* A user's certificate is no server's. */
    assert_false(copy_verifies(&user, &user, "demo-client.ns.svc", START_MS));

    copy_free(&peer);
    copy_free(&server);
    copy_free(&user);
    cluster_free(&cluster);
}

static void another_cluster_of_the_same_name_is_not_trusted(void **state)
{
    (void)state;
    struct cluster one;
    struct cluster two;
    cluster_init(&one, "");
    cluster_init(&two, "");
    cluster_settle(&one);
    cluster_settle(&two);
    struct copy server = {0};
    struct copy user = {0};
    copy_take(&server, one.secrets[CERTS_SERVER]);
    copy_take(&user, two.secrets[CERTS_USER]);

    assert_false(copy_verifies(&server, &user, NULL, START_MS));
    assert_false(copy_verifies(&user, &server, "demo-client.ns.svc", START_MS));

    copy_free(&server);
    copy_free(&user);
    cluster_free(&one);
    cluster_free(&two);
}

static void the_secret_for_users_has_all_that_a_kube_apiserver_needs(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster, "");
    cluster_settle(&cluster);

    char *endpoints = pki_secret_text(cluster.secrets[CERTS_USER], "endpoints");
    char *flags = pki_secret_text(cluster.secrets[CERTS_USER], "flags");

    assert_string_equal(endpoints, "https://demo-client.ns.svc:2379");
    assert_string_equal(flags, "--etcd-servers=https://demo-client.ns.svc:2379\n"
                               "--etcd-cafile=/etc/quorate/client/ca.crt\n"
                               "--etcd-certfile=/etc/quorate/client/tls.crt\n"
                               "--etcd-keyfile=/etc/quorate/client/tls.key\n");
    pki_text_free(endpoints);
    pki_text_free(flags);
    cluster_free(&cluster);
}

static void a_leaf_ends_no_later_than_its_authority(void **state)
{
    (void)state;
    struct pki_pair authority = {NULL, NULL};
    struct pki_pair leaf = {NULL, NULL};
    struct pki_facts facts;
    struct err err = {{0}};
    const struct pki_request request = {"x", "", false, START_MS, 90 * DAY_MS};
    assert_int_equal(pki_make_authority("ca", START_MS, DAY_MS, &authority, &err), 0);

    assert_int_equal(pki_issue(&authority, &request, &leaf, &err), 0);

    assert_int_equal(pki_read(leaf.cert_pem, &facts), 0);
    assert_int_equal(facts.not_after_ms, START_MS + DAY_MS);
    assert_int_equal(facts.not_before_ms, START_MS - HOUR_MS);
    pki_pair_free(&leaf);
    pki_pair_free(&authority);
}

static void an_authority_without_its_key_issues_nothing(void **state)
{
    (void)state;
    struct pki_pair authority = {NULL, NULL};
    struct pki_pair other = {NULL, NULL};
    struct pki_pair leaf = {NULL, NULL};
    struct err err = {{0}};
    const struct pki_request request = {"x", "", false, START_MS, DAY_MS};
    assert_int_equal(pki_make_authority("ca", START_MS, DAY_MS, &authority, &err), 0);
    assert_int_equal(pki_make_authority("ca", START_MS, DAY_MS, &other, &err), 0);
    const struct pki_pair mixed = {authority.cert_pem, other.key_pem};
    const struct pki_pair keyless = {authority.cert_pem, NULL};

    assert_int_equal(pki_issue(&mixed, &request, &leaf, &err), E_INVALID);
    assert_int_equal(pki_issue(&keyless, &request, &leaf, &err), E_INVALID);
    assert_null(strstr(err.text, "PRIVATE"));
    assert_null(leaf.key_pem);

    pki_pair_free(&authority);
    pki_pair_free(&other);
}

/* Sets one key of a Secret's data to a text. */
static void spoil(struct json *secret, const char *key, const char *text)
{
    char *encoded = base64_text(bytes_of_str(text));
    json_set_str(json_get(secret, "data"), key, encoded);
    mem_free(encoded);
}

static void a_certificate_that_cannot_be_used_is_issued_anew(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster, "");
    cluster_settle(&cluster);
    spoil(cluster.secrets[CERTS_SERVER], "tls.key", "no key");

    struct certs_due due;
    cluster_decide(&cluster, &due);

    assert_int_equal(due.task_count, 1);
    assert_int_equal(due.tasks[0].secret, CERTS_SERVER);
    assert_int_equal(due.tasks[0].what, CERTS_ISSUE);
    assert_false(due.is_ready);
    assert_int_equal(cluster_settle(&cluster), 1);
    cluster_free(&cluster);
}

static void an_authority_that_is_gone_or_spoiled_is_not_replaced_by_itself(void **state)
{
    (void)state;
    struct cluster cluster;
    struct certs_due due;
    cluster_init(&cluster, "");
    cluster_settle(&cluster);

    spoil(cluster.secrets[CERTS_CLIENT_CA], "tls.crt", "no certificate");
    cluster_decide(&cluster, &due);
    assert_int_equal(due.task_count, 0);
    assert_int_equal(due.problem, CERTS_NOT_USABLE);
    assert_int_equal(due.problem_secret, CERTS_CLIENT_CA);
    assert_true(due.is_ready);

    json_free(cluster.secrets[CERTS_CLIENT_CA]);
    cluster.secrets[CERTS_CLIENT_CA] = NULL;
    cluster_decide(&cluster, &due);
    assert_int_equal(due.task_count, 0);
    assert_int_equal(due.problem, CERTS_CA_NOT_THERE);
    cluster_free(&cluster);
}

static void a_secret_of_somebody_else_is_not_touched(void **state)
{
    (void)state;
    struct cluster cluster;
    struct certs_due due;
    cluster_init(&cluster, "");
    static const char FOREIGN[] =
        "{\"metadata\":{\"name\":\"demo-client\",\"resourceVersion\":\"5\"},"
        "\"data\":{\"password\":\"eA==\"}}";
    cluster.secrets[CERTS_USER] = json_parse(FOREIGN, sizeof(FOREIGN) - 1, NULL);

    cluster_settle(&cluster);

    cluster_decide(&cluster, &due);
    assert_int_equal(due.problem, CERTS_NOT_OURS);
    assert_int_equal(due.problem_secret, CERTS_USER);
    assert_null(json_path(cluster.secrets[CERTS_USER], "data.tls.crt"));
    assert_non_null(cluster.secrets[CERTS_PEER]);
    cluster_free(&cluster);
}

static void a_new_name_of_the_server_issues_that_certificate_alone(void **state)
{
    (void)state;
    struct cluster cluster;
    struct certs_due due;
    cluster_init(&cluster, "");
    cluster_settle(&cluster);
    struct cluster wider;
    cluster_init(&wider, ",\"serverNames\":[\"etcd.example.org\"]");
    memcpy(wider.secrets, cluster.secrets, sizeof(wider.secrets));
    memset(cluster.secrets, 0, sizeof(cluster.secrets));

    cluster_decide(&wider, &due);

    assert_int_equal(due.task_count, 1);
    assert_int_equal(due.tasks[0].secret, CERTS_SERVER);
    assert_string_equal(due.tasks[0].why, "its names have changed");
    wider.version = 100;
    assert_int_equal(cluster_settle(&wider), 1);
    cluster_free(&cluster);
    cluster_free(&wider);
}

static void an_authority_is_replaced_in_three_steps(void **state)
{
    (void)state;
    struct cluster cluster;
    struct certs_due due;
    cluster_init(&cluster, "");
    cluster_settle(&cluster);
    cluster.want.tls.ca_generation = 2;

    /* First: both are trusted, the old one issues. */
    size_t writes = cluster_settle(&cluster);
    cluster_decide(&cluster, &due);
    assert_int_equal(writes, 2 + 4);
    assert_int_equal(due.steps[CERTS_PEER_CA], CERTS_TRUSTING);
    assert_int_equal(due.steps[CERTS_CLIENT_CA], CERTS_TRUSTING);
    cluster.now_ms += DAY_MS - 1000;
    assert_int_equal(cluster_settle(&cluster), 0);

    /* Second: the new one issues, both are trusted, the old key is gone. */
    cluster.now_ms += 3000;
    assert_int_equal(cluster_settle(&cluster), 2 + 4);
    cluster_decide(&cluster, &due);
    assert_int_equal(due.steps[CERTS_PEER_CA], CERTS_REISSUING);
    assert_non_null(json_get(json_get(cluster.secrets[CERTS_PEER_CA], "data"), "old.crt"));
    assert_null(json_get(json_get(cluster.secrets[CERTS_PEER_CA], "data"), "next.key"));

    /* Third: the old one is trusted no more. */
    cluster.now_ms += DAY_MS + 3000;
    assert_int_equal(cluster_settle(&cluster), 2 + 4);
    cluster_decide(&cluster, &due);
    assert_int_equal(due.steps[CERTS_PEER_CA], CERTS_STABLE);
    assert_null(json_get(json_get(cluster.secrets[CERTS_PEER_CA], "data"), "old.crt"));
    struct certs_fact fact;
    pki_secret_read(cluster.secrets[CERTS_PEER_CA], &cluster.want, CERTS_PEER_CA, &fact);
    assert_int_equal(fact.generation, 2);
    assert_int_equal(cluster_settle(&cluster), 0);
    cluster_free(&cluster);
}

static void a_renewal_does_not_put_off_the_next_step(void **state)
{
    (void)state;
    struct cluster cluster;
    cluster_init(&cluster, "");
    cluster_settle(&cluster);
    struct certs_fact before;
    struct certs_fact after;
    pki_secret_read(cluster.secrets[CERTS_PEER], &cluster.want, CERTS_PEER, &before);

    cluster.now_ms += 61 * DAY_MS;
    assert_int_equal(cluster_settle(&cluster), 4);

    pki_secret_read(cluster.secrets[CERTS_PEER], &cluster.want, CERTS_PEER, &after);
    assert_string_not_equal(before.id, after.id);
    assert_int_equal(before.since_ms, after.since_ms);
    cluster_free(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_cluster_gets_two_authorities_and_four_certificates),
        cmocka_unit_test(every_key_is_ecdsa_p256),
        cmocka_unit_test(servers_are_taken_for_their_names_and_for_no_other),
        cmocka_unit_test(peers_and_clients_do_not_take_each_other),
        cmocka_unit_test(another_cluster_of_the_same_name_is_not_trusted),
        cmocka_unit_test(the_secret_for_users_has_all_that_a_kube_apiserver_needs),
        cmocka_unit_test(a_leaf_ends_no_later_than_its_authority),
        cmocka_unit_test(an_authority_without_its_key_issues_nothing),
        cmocka_unit_test(a_certificate_that_cannot_be_used_is_issued_anew),
        cmocka_unit_test(an_authority_that_is_gone_or_spoiled_is_not_replaced_by_itself),
        cmocka_unit_test(a_secret_of_somebody_else_is_not_touched),
        cmocka_unit_test(a_new_name_of_the_server_issues_that_certificate_alone),
        cmocka_unit_test(an_authority_is_replaced_in_three_steps),
        cmocka_unit_test(a_renewal_does_not_put_off_the_next_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
