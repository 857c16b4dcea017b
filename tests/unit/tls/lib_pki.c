/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for tests. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib_pki.h"

static char folder[64];
static long next_serial = 1000;

const char *pki_dir(void)
{
    if (folder[0] == '\0') {
        snprintf(folder, sizeof(folder), "/tmp/quorate-tls-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    return folder;
}

void pki_path(char out[PKI_PATH_MAX], const char *name)
{
    snprintf(out, PKI_PATH_MAX, "%s/%s", pki_dir(), name);
}

void pki_end(void)
{
    DIR *dir = opendir(pki_dir());
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[PKI_PATH_MAX + 256];
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.') {
            unlink(path);
        }
    }
    closedir(dir);
    rmdir(folder);
    folder[0] = '\0';
}

static void extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static EVP_PKEY *make_key(enum pki_key kind)
{
    EVP_PKEY *key =
        kind == PKI_P256 ? EVP_EC_gen("P-256") : EVP_RSA_gen(kind == PKI_RSA_1024 ? 1024u : 2048u);
    assert_non_null(key);
    return key;
}

void pki_write(const char *name, const void *data, size_t size)
{
    char path[PKI_PATH_MAX];
    char beside[PKI_PATH_MAX + 8];
    pki_path(path, name);
    snprintf(beside, sizeof(beside), "%s.new", path);
    FILE *file = fopen(beside, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(beside, path), 0);
}

static void write_bio(const char *name, BIO *bio)
{
    char *data = NULL;
    long size = BIO_get_mem_data(bio, &data);
    pki_write(name, data, (size_t)size);
    BIO_free(bio);
}

static void write_pair(struct pki_cert *cert, const char *name)
{
    char file[64];
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, cert->cert), 1);
    snprintf(file, sizeof(file), "%s.crt", name);
    pki_path(cert->cert_path, file);
    write_bio(file, bio);
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, cert->key, NULL, NULL, 0, NULL, NULL), 1);
    snprintf(file, sizeof(file), "%s.key", name);
    pki_path(cert->key_path, file);
    write_bio(file, bio);
}

void pki_make(struct pki_cert *out, const struct pki_request *request)
{
    bool is_default = request->starts_s == 0 && request->ends_s == 0;
    out->key = make_key(request->key);
    out->cert = X509_new();
    X509_NAME *name = X509_get_subject_name(out->cert);
    assert_int_equal(X509_set_version(out->cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(out->cert), next_serial++), 1);
    X509_gmtime_adj(X509_getm_notBefore(out->cert), is_default ? -3600 : request->starts_s);
    X509_gmtime_adj(X509_getm_notAfter(out->cert), is_default ? DAY_S : request->ends_s);
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)request->name, -1,
                               -1, 0);
    if (request->common_name != NULL) {
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                   (const unsigned char *)request->common_name, -1, -1, 0);
    }
    X509 *issuer = request->issuer == NULL ? out->cert : request->issuer->cert;
    assert_int_equal(X509_set_issuer_name(out->cert, X509_get_subject_name(issuer)), 1);
    assert_int_equal(X509_set_pubkey(out->cert, out->key), 1);
    extend(out->cert, NID_basic_constraints,
           request->is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extend(out->cert, NID_key_usage,
           request->is_authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    if (request->usage != NULL) {
        extend(out->cert, NID_ext_key_usage, request->usage);
    }
    if (request->hosts != NULL) {
        extend(out->cert, NID_subject_alt_name, request->hosts);
    }
    EVP_PKEY *signer = request->issuer == NULL ? out->key : request->issuer->key;
    assert_true(X509_sign(out->cert, signer, EVP_sha256()) > 0);
    write_pair(out, request->name);
}

void pki_free(struct pki_cert *cert)
{
    X509_free(cert->cert);
    EVP_PKEY_free(cert->key);
    memset(cert, 0, sizeof(*cert));
}

long pki_serial(const struct pki_cert *cert)
{
    return ASN1_INTEGER_get(X509_get0_serialNumber(cert->cert));
}

void pki_revoke(const char *name, const struct pki_cert *issuer, struct pki_cert *const *revoked,
                size_t count, bool is_der)
{
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
    X509_CRL_set_version(list, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->cert));
    X509_CRL_set1_lastUpdate(list, now);
    X509_CRL_set1_nextUpdate(list, now);
    for (size_t i = 0; i < count; i++) {
        X509_REVOKED *entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked[i]->cert));
        X509_REVOKED_set_revocationDate(entry, now);
        X509_CRL_add0_revoked(list, entry);
    }
    X509_CRL_sort(list);
    assert_true(X509_CRL_sign(list, issuer->key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(is_der ? i2d_X509_CRL_bio(bio, list) : PEM_write_bio_X509_CRL(bio, list), 1);
    write_bio(name, bio);
    ASN1_TIME_free(now);
    X509_CRL_free(list);
}
