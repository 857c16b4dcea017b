/* SPDX-License-Identifier: Apache-2.0 */
/* One entry per cluster, by "namespace/name". */
#include "controller/secrets/secrets.h"

#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "controller/pki/secret.h"

struct entry {
    struct certs_facts facts;
    char *uid;
    int64_t generation;
    uint64_t read_ms;
    bool is_dirty;
    bool is_whole; /* all was read and is there */
    bool is_tls;
    bool is_manager_known;
    struct json *manager[CERTS_MANAGER_COUNT]; /* owned; NULL: absent */
    struct http_tls tls;                       /* its texts are owned */
};

struct secrets {
    const struct kube_seam *seam;
    const struct clock_seam *clock;
    struct map entries;
};

static const struct certs_facts NO_FACTS;

struct secrets *secrets_new(const struct kube_seam *seam, const struct clock_seam *clock)
{
    struct secrets *secrets = mem_zalloc(sizeof(*secrets));
    secrets->seam = seam;
    secrets->clock = clock;
    map_init(&secrets->entries);
    return secrets;
}

static void drop_tls(struct entry *entry)
{
    pki_text_free((char *)(uintptr_t)entry->tls.ca_pem);
    pki_text_free((char *)(uintptr_t)entry->tls.cert_pem);
    pki_text_free((char *)(uintptr_t)entry->tls.key_pem);
    memset(&entry->tls, 0, sizeof(entry->tls));
}

static void drop_manager(struct entry *entry)
{
    for (size_t i = 0; i < CERTS_MANAGER_COUNT; i++) {
        json_free(entry->manager[i]);
        entry->manager[i] = NULL;
    }
    entry->is_manager_known = false;
}

static void entry_free(struct entry *entry)
{
    if (entry != NULL) {
        drop_manager(entry);
        drop_tls(entry);
        mem_free(entry->uid);
        mem_free(entry);
    }
}

void secrets_free(struct secrets *secrets)
{
    if (secrets == NULL) {
        return;
    }
    size_t cursor = 0;
    struct bytes key;
    void *value = NULL;
    while (map_next(&secrets->entries, &cursor, &key, &value)) {
        entry_free(value);
    }
    map_free(&secrets->entries);
    mem_free(secrets);
}

static struct entry *find(struct secrets *secrets, const char *namespace_, const char *name)
{
    char *key = str_printf("%s/%s", namespace_, name);
    struct entry *entry = map_get(&secrets->entries, bytes_of_str(key));
    mem_free(key);
    return entry;
}

static struct entry *ensure(struct secrets *secrets, const struct cluster_spec *want)
{
    struct entry *entry = find(secrets, want->ns, want->name);
    if (entry == NULL) {
        char *key = str_printf("%s/%s", want->ns, want->name);
        entry = mem_zalloc(sizeof(*entry));
        entry->is_dirty = true;
        map_set(&secrets->entries, bytes_of_str(key), entry);
        mem_free(key);
    }
    if (!str_equal(entry->uid, want->uid) || entry->generation != want->generation) {
        mem_free(entry->uid);
        entry->uid = str_dup(want->uid);
        entry->generation = want->generation;
        entry->is_dirty = true;
    }
    return entry;
}

static void keep_tls(struct entry *entry, const struct json *secret)
{
    char *cert = pki_secret_text(secret, "tls.crt");
    char *key = pki_secret_text(secret, "tls.key");
    char *trust = pki_secret_text(secret, "ca.crt");
    if (trust == NULL || !pki_belongs(cert, key)) {
        pki_text_free(cert);
        pki_text_free(key);
        pki_text_free(trust);
        return; /* the last good one stays */
    }
    drop_tls(entry);
    entry->tls = (struct http_tls){.ca_pem = trust, .cert_pem = cert, .key_pem = key};
}

/* One Secret. False: it could not be asked for; what was known stays. */
static bool read_one(struct secrets *secrets, const struct cluster_spec *want, struct entry *entry,
                     enum certs_secret which)
{
    struct name name = certs_secret_name(want, which);
    if (name.text[0] == '\0') {
        return true;
    }
    struct json *object = NULL;
    struct err err = {{0}};
    int rc = kube_get(secrets->seam, KUBE_SECRET, want->ns, name.text, &object, &err);
    if (rc != 0 && rc != E_NOT_FOUND) {
        LOG_WARN("a Secret could not be read", LOG_STR("namespace", want->ns),
                 LOG_STR("cluster", want->name), LOG_STR("secret", name.text),
                 LOG_STR("error", err.text));
        return false;
    }
    struct certs_fact *fact = &entry->facts.of[which];
    pki_secret_read(rc == 0 ? object : NULL, want, which, fact);
    if (which == CERTS_OPERATOR && fact->presence == CERTS_PRESENT && !fact->is_foreign) {
        keep_tls(entry, object);
    }
    entry->is_whole = entry->is_whole && fact->presence == CERTS_PRESENT;
    json_free(object);
    return true;
}

/* The objects of cert-manager. False: one could not be asked for. */
static bool read_manager(struct secrets *secrets, const struct cluster_spec *want,
                         struct entry *entry)
{
    drop_manager(entry);
    for (size_t i = 0; i < CERTS_MANAGER_COUNT; i++) {
        struct name name = certs_manager_name(want, i);
        struct err err = {{0}};
        int rc =
            kube_get(secrets->seam, certs_manager_is_issuer(i) ? KUBE_ISSUER : KUBE_CERTIFICATE,
                     want->ns, name.text, &entry->manager[i], &err);
        if (rc != 0 && rc != E_NOT_FOUND) {
            LOG_WARN("an object of cert-manager could not be read", LOG_STR("namespace", want->ns),
                     LOG_STR("cluster", want->name), LOG_STR("name", name.text),
                     LOG_STR("error", err.text));
            return false;
        }
    }
    entry->is_manager_known = true;
    return true;
}

void secrets_refresh(struct secrets *secrets, const struct cluster_spec *want)
{
    struct entry *entry = ensure(secrets, want);
    entry->is_tls = certs_are_wanted(want);
    uint64_t now_ms = clock_monotonic_ms(secrets->clock);
    uint64_t fresh_ms = entry->is_whole ? SECRETS_FRESH_MS : SECRETS_RETRY_MS;
    if (!entry->is_tls || (!entry->is_dirty && now_ms - entry->read_ms < fresh_ms)) {
        return;
    }
    entry->read_ms = now_ms;
    entry->is_dirty = false;
    entry->is_whole = true;
    if (want->tls_mode == SPEC_TLS_CERT_MANAGER && !read_manager(secrets, want, entry)) {
        entry->is_whole = false;
    }
    for (int i = 0; i < CERTS_SECRET_COUNT; i++) {
        if (!read_one(secrets, want, entry, (enum certs_secret)i)) {
            entry->is_whole = false;
            return;
        }
    }
}

const struct certs_facts *secrets_facts(struct secrets *secrets, const char *namespace_,
                                        const char *name)
{
    struct entry *entry = find(secrets, namespace_, name);
    return entry == NULL || !entry->is_tls ? &NO_FACTS : &entry->facts;
}

void secrets_manager(struct secrets *secrets, const char *namespace_, const char *name,
                     struct observed_manager *out)
{
    memset(out, 0, sizeof(*out));
    struct entry *entry = find(secrets, namespace_, name);
    if (entry != NULL && entry->is_tls) {
        out->is_known = entry->is_manager_known;
        for (size_t i = 0; i < CERTS_MANAGER_COUNT; i++) {
            out->objects[i] = entry->manager[i];
        }
    }
}

const struct http_tls *secrets_tls(struct secrets *secrets, const char *namespace_,
                                   const char *name)
{
    static const struct http_tls TRUSTS_NOBODY = {.ca_pem = ""};
    struct entry *entry = find(secrets, namespace_, name);
    if (entry == NULL || !entry->is_tls) {
        return NULL;
    }
    return entry->tls.ca_pem == NULL ? &TRUSTS_NOBODY : &entry->tls;
}

void secrets_touch(struct secrets *secrets, const char *namespace_, const char *name)
{
    struct entry *entry = find(secrets, namespace_, name);
    if (entry != NULL) {
        entry->is_dirty = true;
    }
}

void secrets_forget(struct secrets *secrets, const char *namespace_, const char *name)
{
    char *key = str_printf("%s/%s", namespace_, name);
    entry_free(map_remove(&secrets->entries, bytes_of_str(key)));
    mem_free(key);
}
