/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What mode CertManager asks of cert-manager: two authorities that sign themselves, for this
 * cluster alone, an Issuer of each, and the leaves. Nobody else's issuer signs for clients: it
 * would let in all whose certificate it ever signed.
 */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "controller/build/build.h"
#include "controller/build/object.h"

#define MANAGER_VERSION "cert-manager.io/v1"

static void set_duration(struct json *spec, const char *key, int64_t duration_ms)
{
    int64_t seconds = duration_ms / 1000;
    /* As Go prints it: what comes back must equal what was sent. */
    json_set(spec, key,
             json_stringf("%" PRId64 "h%" PRId64 "m%" PRId64 "s", seconds / 3600, seconds / 60 % 60,
                          seconds % 60));
}

/* "DNS:a,IP:b" into two lists. */
static void set_names(const struct cluster_spec *want, enum certs_secret secret, struct json *spec)
{
    char *names = certs_names(want, secret);
    for (char *at = names; *at != '\0';) {
        size_t size = strcspn(at, ",");
        bool is_address = str_starts_with(at, "IP:");
        size_t skip = is_address ? strlen("IP:") : strlen("DNS:");
        json_append(json_ensure_array(spec, is_address ? "ipAddresses" : "dnsNames"),
                    json_string_n(at + skip, size - skip));
        at += size + (at[size] == ',' ? 1 : 0);
    }
    mem_free(names);
}

static void set_usages(enum certs_secret secret, struct json *spec)
{
    struct json *usages = json_ensure_array(spec, "usages");
    if (secret <= CERTS_CLIENT_CA) {
        json_append(usages, json_string("cert sign"));
        json_append(usages, json_string("crl sign"));
        return;
    }
    json_append(usages, json_string("digital signature"));
    if (secret == CERTS_PEER || secret == CERTS_SERVER) {
        json_append(usages, json_string("server auth"));
    }
    json_append(usages, json_string("client auth"));
}

static struct json *build_certificate(const struct cluster_spec *want, enum certs_secret secret)
{
    bool is_authority = secret <= CERTS_CLIENT_CA;
    struct name name = certs_secret_name(want, secret);
    struct json *object = object_new(want, MANAGER_VERSION, "Certificate", name.text, NULL);
    struct json *spec = json_ensure_object(object, "spec");
    int64_t life_ms = is_authority ? want->tls.ca_lifetime_ms : want->tls.leaf_lifetime_ms;
    json_set_str(spec, "secretName", name.text);
    json_set_str(spec, "commonName", certs_common_name(want, secret).text);
    set_duration(spec, "duration", life_ms);
    set_duration(spec, "renewBefore", life_ms / 3);
    if (is_authority) {
        json_set_bool(spec, "isCA", true);
    } else {
        set_names(want, secret, spec);
    }
    set_usages(secret, spec);
    struct json *key = json_ensure_object(spec, "privateKey");
    json_set_str(key, "algorithm", "ECDSA");
    json_set_int(key, "size", 256);
    /* A renewed authority keeps its key: what it signed before stays good. */
    json_set_str(key, "rotationPolicy", is_authority ? "Never" : "Always");
    struct json *issuer = json_ensure_object(spec, "issuerRef");
    json_set_str(issuer, "group", "cert-manager.io");
    json_set_str(issuer, "kind", "Issuer");
    json_set_str(issuer, "name",
                 is_authority ? certs_manager_name(want, CERTS_MANAGER_SELF).text
                              : certs_secret_name(want, certs_authority_of(secret)).text);
    return object;
}

struct json *build_manager(const struct cluster_spec *want, size_t index)
{
    struct name name = certs_manager_name(want, index);
    if (!certs_manager_is_issuer(index)) {
        return build_certificate(want, (enum certs_secret)(index - CERTS_MANAGER_FIRST));
    }
    struct json *object = object_new(want, MANAGER_VERSION, "Issuer", name.text, NULL);
    struct json *spec = json_ensure_object(object, "spec");
    if (index == CERTS_MANAGER_SELF) {
        json_ensure_object(spec, "selfSigned");
    } else {
        json_set_str(json_ensure_object(spec, "ca"), "secretName", name.text);
    }
    return object;
}
