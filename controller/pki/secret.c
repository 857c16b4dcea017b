/* SPDX-License-Identifier: Apache-2.0 */
/* From tasks to Secrets and back. */
#include "controller/pki/secret.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/base64.h"
#include "controller/build/build.h"
#include "controller/model/rfc3339.h"

#define SECRET_TEXT_MAX (1024u * 1024u)

char *pki_secret_text(const struct json *secret, const char *key)
{
    const char *encoded = json_str(json_get(json_get(secret, "data"), key), NULL);
    if (encoded == NULL) {
        return NULL;
    }
    struct buf out;
    buf_init(&out, SECRET_TEXT_MAX);
    char *text = NULL;
    if (base64_append_decoded(bytes_of_str(encoded), BASE64_PADDED, &out) && out.size > 0) {
        text = str_from(out.data, out.size);
        memset(out.data, 0, out.size);
    }
    buf_free(&out);
    return text;
}

static const char *annotation(const struct json *secret, const char *key)
{
    return json_str(json_get(json_path(secret, "metadata.annotations"), key), NULL);
}

/* Only what carries our label and belongs to this very cluster is ours. */
static bool is_ours(const struct json *secret, const struct cluster_spec *want)
{
    const char *cluster =
        json_str(json_get(json_path(secret, "metadata.labels"), LABEL_CLUSTER), NULL);
    const struct json *owners = json_path(secret, "metadata.ownerReferences");
    bool is_owned = false;
    for (size_t i = 0; i < json_count(owners); i++) {
        const char *uid = json_str(json_get(json_at(owners, i), "uid"), NULL);
        is_owned = is_owned || str_equal(uid, want->uid);
    }
    return is_owned && str_equal(cluster, want->name);
}

static void read_id(const struct json *secret, const char *key, char out[CERTS_ID_MAX])
{
    char *pem = pki_secret_text(secret, key);
    struct pki_facts facts;
    if (pem != NULL && pki_read(pem, &facts) == 0) {
        memcpy(out, facts.id, CERTS_ID_MAX);
    }
    pki_text_free(pem);
}

static void read_certificate(const struct json *secret, struct certs_fact *out)
{
    char *cert = pki_secret_text(secret, "tls.crt");
    char *key = pki_secret_text(secret, "tls.key");
    char *trust = pki_secret_text(secret, "ca.crt");
    struct pki_facts facts;
    if (pki_read(cert, &facts) == 0) {
        out->not_before_ms = facts.not_before_ms;
        out->not_after_ms = facts.not_after_ms;
        memcpy(out->id, facts.id, sizeof(out->id));
        memcpy(out->issuer, facts.issuer, sizeof(out->issuer));
    }
    size_t trusted = pki_read_ids(trust, out->trusted, CERTS_TRUSTED_MAX);
    out->trusted_count = BASE_MIN(trusted, (size_t)CERTS_TRUSTED_MAX);
    out->is_usable = trusted > 0 && pki_belongs(cert, key);
    pki_text_free(cert);
    pki_text_free(key);
    pki_text_free(trust);
}

void pki_secret_read(const struct json *secret, const struct cluster_spec *want,
                     enum certs_secret which, struct certs_fact *out)
{
    memset(out, 0, sizeof(*out));
    if (secret == NULL) {
        out->presence = CERTS_ABSENT;
        return;
    }
    /* One that is going is waited for, not written to. */
    bool is_going = json_path_str(secret, "metadata.deletionTimestamp", NULL) != NULL;
    out->presence = is_going ? CERTS_UNKNOWN : CERTS_PRESENT;
    out->is_foreign = want->tls_mode == SPEC_TLS_AUTO && !is_ours(secret, want);
    snprintf(out->version, sizeof(out->version), "%s",
             json_path_str(secret, "metadata.resourceVersion", ""));
    read_certificate(secret, out);
    if (which <= CERTS_CLIENT_CA) {
        read_id(secret, "next.crt", out->next);
        read_id(secret, "old.crt", out->old);
    }
    const char *made_for = annotation(secret, ANNOTATION_MADE_FOR);
    const char *generation = annotation(secret, ANNOTATION_CA_GENERATION);
    out->made_for = made_for == NULL ? 0 : strtoull(made_for, NULL, 16);
    out->generation = generation == NULL ? 0 : strtoll(generation, NULL, 10);
    out->since_ms = rfc3339_parse(annotation(secret, ANNOTATION_SINCE));
}

/* The write that is being put together. */
struct maker {
    const struct pki_job *job;
    struct json *data;
    struct json *annotations;
    struct err *err;
};

static void put(struct maker *maker, const char *key, const char *text)
{
    char *encoded = base64_text(bytes_of_str(text));
    json_set_str(maker->data, key, encoded);
    pki_text_free(encoded);
}

/* A merge patch removes by null; a new object has nothing to remove. */
static void drop(struct maker *maker, const char *key)
{
    if (maker->job->present != NULL) {
        json_set(maker->data, key, json_null());
    }
}

static void stamp(struct maker *maker)
{
    /* Rounded up: what is waited for must not end early. */
    json_set_str(maker->annotations, ANNOTATION_SINCE,
                 rfc3339_format(maker->job->now_ms + 999).text);
}

static void put_pair(struct maker *maker, const struct pki_pair *pair, const char *cert_key,
                     const char *key_key)
{
    put(maker, cert_key, pair->cert_pem);
    put(maker, key_key, pair->key_pem);
}

/* Whom to trust: both texts, one after the other. */
static void put_trust(struct maker *maker, const char *first, const char *second)
{
    char *both = str_printf("%s%s", first, second == NULL ? "" : second);
    put(maker, "ca.crt", both);
    mem_free(both);
}

static int make_authority(struct maker *maker, struct pki_pair *out)
{
    const struct pki_job *job = maker->job;
    char *name =
        str_printf("%s.%s %s", job->want->name, job->want->ns, certs_secret_text(job->secret));
    if (strlen(name) > 64) { /* what a common name may have */
        name[64] = '\0';
    }
    int rc = pki_make_authority(name, job->now_ms, job->want->tls.ca_lifetime_ms, out, maker->err);
    mem_free(name);
    return rc;
}

static int make_first(struct maker *maker)
{
    struct pki_pair made = {NULL, NULL};
    int rc = make_authority(maker, &made);
    if (rc != 0) {
        return rc;
    }
    put_pair(maker, &made, "tls.crt", "tls.key");
    put_trust(maker, made.cert_pem, NULL);
    json_set(maker->annotations, ANNOTATION_CA_GENERATION,
             json_stringf("%" PRId64, maker->job->want->tls.ca_generation));
    stamp(maker);
    pki_pair_free(&made);
    return 0;
}

static int make_next(struct maker *maker)
{
    struct pki_pair made = {NULL, NULL};
    char *present = pki_secret_text(maker->job->present, "tls.crt");
    int rc = present == NULL ? E_INVALID : make_authority(maker, &made);
    if (rc == 0) {
        put_pair(maker, &made, "next.crt", "next.key");
        put_trust(maker, present, made.cert_pem);
        stamp(maker);
    }
    pki_pair_free(&made);
    pki_text_free(present);
    return rc;
}

/* The old key goes at once: nothing is ever issued by it again. */
static int use_next(struct maker *maker)
{
    const struct pki_job *job = maker->job;
    char *old = pki_secret_text(job->present, "tls.crt");
    struct pki_pair next = {pki_secret_text(job->present, "next.crt"),
                            pki_secret_text(job->present, "next.key")};
    bool ok = old != NULL && next.cert_pem != NULL && pki_belongs(next.cert_pem, next.key_pem);
    if (ok) {
        put_pair(maker, &next, "tls.crt", "tls.key");
        put(maker, "old.crt", old);
        put_trust(maker, next.cert_pem, old);
        drop(maker, "next.crt");
        drop(maker, "next.key");
        const char *text = annotation(job->present, ANNOTATION_CA_GENERATION);
        int64_t generation = text == NULL ? 0 : strtoll(text, NULL, 10);
        generation = BASE_MAX(generation + 1, job->want->tls.ca_generation);
        json_set(maker->annotations, ANNOTATION_CA_GENERATION,
                 json_stringf("%" PRId64, generation));
        stamp(maker);
    }
    pki_pair_free(&next);
    pki_text_free(old);
    return ok ? 0 : err_set(maker->err, E_INVALID, "the next authority cannot be used");
}

static int drop_old(struct maker *maker)
{
    char *present = pki_secret_text(maker->job->present, "tls.crt");
    if (present == NULL) {
        return err_set(maker->err, E_INVALID, "the authority has no certificate");
    }
    put_trust(maker, present, NULL);
    drop(maker, "old.crt");
    stamp(maker);
    pki_text_free(present);
    return 0;
}

/* Whom the holder trusts; the stamp moves only when trust or issuer do. */
static int share_trust(struct maker *maker, const char *issuer)
{
    const struct pki_job *job = maker->job;
    char *trust = pki_secret_text(job->authority, "ca.crt");
    if (trust == NULL) {
        return err_set(maker->err, E_INVALID, "the authority's Secret has no ca.crt");
    }
    char *before = pki_secret_text(job->present, "ca.crt");
    char *cert = pki_secret_text(job->present, "tls.crt");
    struct pki_facts facts;
    bool same_issuer =
        issuer == NULL || (pki_read(cert, &facts) == 0 && strcmp(facts.issuer, issuer) == 0);
    if (!same_issuer || !str_equal(before, trust)) {
        put(maker, "ca.crt", trust);
        stamp(maker);
    }
    pki_text_free(before);
    pki_text_free(cert);
    pki_text_free(trust);
    return 0;
}

static int issue(struct maker *maker)
{
    const struct pki_job *job = maker->job;
    struct pki_pair authority = {pki_secret_text(job->authority, "tls.crt"),
                                 pki_secret_text(job->authority, "tls.key")};
    struct pki_pair made = {NULL, NULL};
    struct name common_name = certs_common_name(job->want, job->secret);
    char *names = certs_names(job->want, job->secret);
    const struct pki_request request = {.common_name = common_name.text,
                                        .names = names,
                                        .is_server = names[0] != '\0',
                                        .now_ms = job->now_ms,
                                        .lifetime_ms = job->want->tls.leaf_lifetime_ms};
    struct pki_facts facts;
    int rc = authority.cert_pem == NULL
                 ? err_set(maker->err, E_INVALID, "the authority's Secret has no certificate")
                 : pki_issue(&authority, &request, &made, maker->err);
    if (rc == 0) {
        rc = pki_read(made.cert_pem, &facts);
    }
    if (rc == 0) {
        put_pair(maker, &made, "tls.crt", "tls.key");
        rc = share_trust(maker, facts.issuer);
    }
    json_set(maker->annotations, ANNOTATION_MADE_FOR,
             json_stringf("%" PRIx64, certs_made_for(job->want, job->secret)));
    if (rc == 0 && job->secret == CERTS_USER) {
        char *endpoints = certs_user_endpoints(job->want);
        char *flags = certs_user_flags(job->want);
        put(maker, "endpoints", endpoints);
        put(maker, "flags", flags);
        mem_free(endpoints);
        mem_free(flags);
    }
    mem_free(names);
    pki_pair_free(&made);
    pki_pair_free(&authority);
    return rc;
}

static int make_data(struct maker *maker)
{
    switch (maker->job->what) {
    case CERTS_MAKE_CA:
        return make_first(maker);
    case CERTS_TRUST_NEXT:
        return make_next(maker);
    case CERTS_USE_NEXT:
        return use_next(maker);
    case CERTS_DROP_OLD:
        return drop_old(maker);
    case CERTS_ISSUE:
        return issue(maker);
    case CERTS_SHARE_TRUST:
    default:
        return share_trust(maker, NULL);
    }
}

/* The labels and the owner make it ours, and let it go with the cluster. */
static void set_identity(const struct cluster_spec *want, const char *name, struct json *body)
{
    json_set_str(body, "apiVersion", "v1");
    json_set_str(body, "kind", "Secret");
    json_set_str(body, "type", "kubernetes.io/tls");
    struct json *meta = json_get(body, "metadata");
    json_set_str(meta, "name", name);
    json_set_str(meta, "namespace", want->ns);
    json_set(meta, "labels", build_labels(want, NULL));
    json_set(meta, "ownerReferences", build_owner(want));
}

int pki_secret_make(const struct pki_job *job, struct json **out_body, struct err *err)
{
    struct name name = certs_secret_name(job->want, job->secret);
    struct json *body = json_object();
    struct json *meta = json_ensure_object(body, "metadata");
    struct maker maker = {.job = job, .err = err};
    maker.annotations = json_ensure_object(meta, "annotations");
    maker.data = json_ensure_object(body, "data");
    if (job->present == NULL) {
        set_identity(job->want, name.text, body);
    } else {
        json_set_str(meta, "resourceVersion",
                     json_path_str(job->present, "metadata.resourceVersion", ""));
    }
    int rc = make_data(&maker);
    if (rc != 0) {
        json_free(body);
        return err_wrap(err, rc, "Secret %s", name.text);
    }
    *out_body = body;
    return 0;
}
