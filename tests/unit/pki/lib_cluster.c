/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster of the tests. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/alloc.h"
#include "lib_cluster.h"

void cluster_init(struct cluster *cluster, const char *extra)
{
    memset(cluster, 0, sizeof(*cluster));
    cluster->now_ms = START_MS;
    char *text = str_printf(
        "{\"metadata\":{\"name\":\"demo\",\"namespace\":\"ns\",\"uid\":\"u-1\",\"generation\":1},"
        "\"spec\":{\"tls\":{\"mode\":\"Auto\"%s}}}",
        extra);
    cluster->object = json_parse(text, strlen(text), NULL);
    assert_non_null(cluster->object);
    mem_free(text);
    if (spec_parse(cluster->object, &cluster->want) != 0) {
        fail_msg("%s %s", cluster->want.problems[0].field, cluster->want.problems[0].message);
    }
}

void cluster_free(struct cluster *cluster)
{
    for (size_t i = 0; i < CERTS_SECRET_COUNT; i++) {
        json_free(cluster->secrets[i]);
    }
    spec_free(&cluster->want);
    json_free(cluster->object);
}

void cluster_decide(struct cluster *cluster, struct certs_due *out)
{
    struct certs_facts facts;
    for (int i = 0; i < CERTS_SECRET_COUNT; i++) {
        pki_secret_read(cluster->secrets[i], &cluster->want, (enum certs_secret)i, &facts.of[i]);
    }
    certs_decide(&cluster->want, &facts, cluster->now_ms, out);
}

/* As an API server merges. */
static void merge(struct json *into, const struct json *patch)
{
    for (size_t i = 0; i < json_count(patch); i++) {
        const char *key = json_key_at(patch, i);
        const struct json *value = json_at(patch, i);
        if (json_is(value, JSON_NULL)) {
            json_remove(into, key);
        } else if (json_is(value, JSON_OBJECT)) {
            merge(json_ensure_object(into, key), value);
        } else {
            json_set(into, key, json_copy(value));
        }
    }
}

void cluster_run(struct cluster *cluster, const struct certs_task *task)
{
    const struct json *authority =
        task->secret <= CERTS_CLIENT_CA ? NULL : cluster->secrets[certs_authority_of(task->secret)];
    const struct pki_job job = {&cluster->want, task->secret,
                                task->what,     cluster->secrets[task->secret],
                                authority,      cluster->now_ms};
    struct json *body = NULL;
    struct err err = {{0}};
    if (pki_secret_make(&job, &body, &err) != 0) {
        fail_msg("%s", err.text);
    }
    char version[24];
    snprintf(version, sizeof(version), "%d", ++cluster->version);
    struct json **secret = &cluster->secrets[task->secret];
    if (*secret == NULL) {
        *secret = body;
    } else {
        assert_string_equal(json_path_str(body, "metadata.resourceVersion", ""),
                            json_path_str(*secret, "metadata.resourceVersion", "?"));
        merge(*secret, body);
        json_free(body);
    }
    json_set_str(json_get(*secret, "metadata"), "resourceVersion", version);
    cluster->changed_ms[task->secret] = cluster->now_ms;
}

size_t cluster_settle(struct cluster *cluster)
{
    for (size_t writes = 0; writes < 40; writes++) {
        struct certs_due due;
        cluster_decide(cluster, &due);
        if (due.task_count == 0) {
            return writes;
        }
        cluster_run(cluster, &due.tasks[0]);
    }
    fail_msg("there is always something due");
    return 0;
}

void copy_free(struct copy *copy)
{
    pki_text_free(copy->cert);
    pki_text_free(copy->key);
    pki_text_free(copy->trust);
    memset(copy, 0, sizeof(*copy));
}

void copy_take(struct copy *copy, const struct json *secret)
{
    copy_free(copy);
    copy->cert = pki_secret_text(secret, "tls.crt");
    copy->key = pki_secret_text(secret, "tls.key");
    copy->trust = pki_secret_text(secret, "ca.crt");
    assert_true(pki_belongs(copy->cert, copy->key));
}

static X509_STORE *store_of(const char *pem)
{
    X509_STORE *store = X509_STORE_new();
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = NULL;
    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        assert_int_equal(X509_STORE_add_cert(store, cert), 1);
        X509_free(cert);
    }
    BIO_free(bio);
    return store;
}

bool copy_verifies(const struct copy *verifier, const struct copy *shown, const char *host,
                   int64_t now_ms)
{
    X509_STORE *store = store_of(verifier->trust);
    BIO *bio = BIO_new_mem_buf(shown->cert, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    assert_non_null(cert);
    assert_int_equal(X509_STORE_CTX_init(context, store, cert, NULL), 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_time(param, (time_t)(now_ms / 1000));
    X509_STORE_CTX_set_purpose(context,
                               host != NULL ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
    if (host != NULL) {
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                                   X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        assert_int_equal(X509_VERIFY_PARAM_set1_host(param, host, 0), 1);
    }
    bool ok = X509_verify_cert(context) == 1;
    X509_STORE_CTX_free(context);
    X509_free(cert);
    BIO_free(bio);
    X509_STORE_free(store);
    return ok;
}
