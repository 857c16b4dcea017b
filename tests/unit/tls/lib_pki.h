/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities, certificates and revocation lists, made as they are needed, in a folder of their
 * own. */
#ifndef TESTS_TLS_LIB_PKI_H
#define TESTS_TLS_LIB_PKI_H

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>

#define PKI_PATH_MAX 256
#define DAY_S        86400l

enum pki_key { PKI_P256, PKI_RSA_2048, PKI_RSA_1024 };

struct pki_cert {
    X509 *cert;
    EVP_PKEY *key;
    char cert_path[PKI_PATH_MAX], key_path[PKI_PATH_MAX];
};

struct pki_request {
    const char *name;              /* of the files */
    const char *common_name;       /* NULL: none */
    const char *hosts;             /* "DNS:a,IP:127.0.0.1"; NULL: none */
    const char *usage;             /* "serverAuth,clientAuth"; NULL: no such extension */
    const struct pki_cert *issuer; /* NULL: signs itself */
    bool is_authority;
    enum pki_key key;
    long starts_s, ends_s; /* from now; 0, 0: from an hour ago to tomorrow */
};

/* The folder of this test program; removed by pki_end. */
const char *pki_dir(void);
void pki_path(char out[PKI_PATH_MAX], const char *name);
void pki_end(void);

/* Makes and writes both files; replaces those of the same name. */
void pki_make(struct pki_cert *out, const struct pki_request *request);
void pki_free(struct pki_cert *cert);
long pki_serial(const struct pki_cert *cert);

/* Writes a list of revoked certificates, PEM or DER. */
void pki_revoke(const char *name, const struct pki_cert *issuer, struct pki_cert *const *revoked,
                size_t count, bool is_der);
void pki_write(const char *name, const void *data, size_t size);

#endif
