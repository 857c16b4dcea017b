/* SPDX-License-Identifier: Apache-2.0 */
/* The names of versions and cipher suites as Go, and so etcd's flags, write them. */
#include <stdio.h>
#include <string.h>

#include "base/tls/tls.h"

/* openssl NULL: of TLS 1.3, always there, cannot be chosen. */
static const struct {
    const char *name;
    const char *openssl;
} SUITES[] = {
    {"TLS_AES_128_GCM_SHA256", NULL},
    {"TLS_AES_256_GCM_SHA384", NULL},
    {"TLS_CHACHA20_POLY1305_SHA256", NULL},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA"},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256"},
    {"TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"},
    {"TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA"},
    {"TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256"},
    {"TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256"},
    {"TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384"},
    {"TLS_RSA_WITH_RC4_128_SHA", "RC4-SHA"},
    {"TLS_RSA_WITH_3DES_EDE_CBC_SHA", "DES-CBC3-SHA"},
    {"TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", "ECDHE-ECDSA-RC4-SHA"},
    {"TLS_ECDHE_RSA_WITH_RC4_128_SHA", "ECDHE-RSA-RC4-SHA"},
    {"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "ECDHE-RSA-DES-CBC3-SHA"},
};

int tls_version_parse(const char *text, enum tls_version *out_version, struct err *err)
{
    if (*text == '\0') {
        *out_version = TLS_VERSION_ANY;
    } else if (strcmp(text, "TLS1.2") == 0) {
        *out_version = TLS_VERSION_1_2;
    } else if (strcmp(text, "TLS1.3") == 0) {
        *out_version = TLS_VERSION_1_3;
    } else {
        return err_set(err, E_INVALID,
                       "unexpected TLS version \"%s\" (must be one of: TLS1.2, TLS1.3)", text);
    }
    return 0;
}

int tls_suites_parse(const char *text, char *out, size_t out_size, struct err *err)
{
    size_t used = 0;
    const char *at = text;
    out[0] = '\0';
    while (*at != '\0') {
        size_t size = strcspn(at, ",");
        size_t i = 0;
        while (i < ARRAY_COUNT(SUITES) &&
               (strlen(SUITES[i].name) != size || memcmp(SUITES[i].name, at, size) != 0)) {
            i++;
        }
        if (i == ARRAY_COUNT(SUITES)) {
            return err_set(err, E_INVALID, "unexpected TLS cipher suite \"%.*s\"", (int)size, at);
        }
        if (SUITES[i].openssl != NULL) {
            int added = snprintf(out + used, out_size - used, "%s%s", used == 0 ? "" : ":",
                                 SUITES[i].openssl);
            if (added < 0 || (size_t)added >= out_size - used) {
                return err_set(err, E_TOO_BIG, "too many TLS cipher suites");
            }
            used += (size_t)added;
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return 0;
}
