/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL behind pki.h. */
#include "controller/pki/pki.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"

#define SERIAL_BITS 127
#define ID_BYTES    8u

/* No key material is in OpenSSL's error texts; its queue is emptied. */
static int pki_error(struct err *err, int code, const char *what)
{
    char text[160] = "";
    unsigned long number = ERR_get_error();
    if (number != 0) {
        ERR_error_string_n(number, text, sizeof(text));
    }
    ERR_clear_error();
    return err_set(err, code, "%s%s%s", what, text[0] == '\0' ? "" : ": ", text);
}

void pki_text_free(char *text)
{
    if (text != NULL) {
        OPENSSL_cleanse(text, strlen(text));
    }
    mem_free(text);
}

void pki_pair_free(struct pki_pair *pair)
{
    mem_free(pair->cert_pem);
    pki_text_free(pair->key_pem);
    pair->cert_pem = pair->key_pem = NULL;
}

static char *bio_text(BIO *bio)
{
    char *data = NULL;
    long size = BIO_get_mem_data(bio, &data);
    return str_from(size == 0 ? "" : data, (size_t)size);
}

static char *cert_text(X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    ASSERT(bio != NULL && PEM_write_bio_X509(bio, cert) == 1);
    char *text = bio_text(bio);
    BIO_free(bio);
    return text;
}

static char *key_text(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    ASSERT(bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    char *text = bio_text(bio);
    BIO_free(bio);
    return text;
}

static X509 *cert_of(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return cert;
}

/* No passphrase is ever asked for: a key that has one cannot be used. */
static int no_passphrase(char *buf, int size, int for_writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)for_writing;
    (void)ctx;
    return -1;
}

static EVP_PKEY *key_of(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

static bool extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool set_time(ASN1_TIME *field, int64_t time_ms)
{
    return ASN1_TIME_set(field, (time_t)(time_ms / 1000)) != NULL;
}

static bool set_serial(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool ok = number != NULL &&
              BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

/* A certificate without its purpose: who, for how long, with which key. */
static X509 *blank(const char *common_name, EVP_PKEY *key, int64_t from_ms, int64_t to_ms)
{
    X509 *cert = X509_new();
    bool ok = cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
              set_time(X509_getm_notBefore(cert), from_ms) &&
              set_time(X509_getm_notAfter(cert), to_ms) &&
              X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                         (const unsigned char *)common_name, -1, -1, 0) == 1 &&
              X509_set_pubkey(cert, key) == 1;
    if (!ok) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

/* Certificates count from a little earlier, for clocks that are behind; short lives from less. */
static int64_t start_ms(int64_t now_ms, int64_t lifetime_ms)
{
    return now_ms - BASE_MIN(PKI_BACKDATE_MAX_MS, lifetime_ms / 10);
}

int pki_make_authority(const char *common_name, int64_t now_ms, int64_t lifetime_ms,
                       struct pki_pair *out, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key == NULL
                     ? NULL
                     : blank(common_name, key, start_ms(now_ms, lifetime_ms), now_ms + lifetime_ms);
    bool ok = cert != NULL && X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
              extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              extend(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              extend(cert, cert, NID_subject_key_identifier, "hash") &&
              extend(cert, cert, NID_authority_key_identifier, "keyid:always") &&
              X509_sign(cert, key, EVP_sha256()) > 0;
    if (ok) {
        *out = (struct pki_pair){cert_text(cert), key_text(key)};
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok ? 0 : pki_error(err, E_IO, "an authority could not be made");
}

static int64_t asn1_ms(const ASN1_TIME *time)
{
    struct tm parts;
    memset(&parts, 0, sizeof(parts));
    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) * 1000 : 0;
}

static bool add_purpose(X509 *cert, X509 *issuer, const struct pki_request *request)
{
    return extend(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           extend(cert, issuer, NID_key_usage, "critical,digitalSignature") &&
           extend(cert, issuer, NID_ext_key_usage,
                  request->is_server ? "serverAuth,clientAuth" : "clientAuth") &&
           extend(cert, issuer, NID_subject_key_identifier, "hash") &&
           extend(cert, issuer, NID_authority_key_identifier, "keyid:always") &&
           (request->names[0] == '\0' ||
            extend(cert, issuer, NID_subject_alt_name, request->names));
}

int pki_issue(const struct pki_pair *authority, const struct pki_request *request,
              struct pki_pair *out, struct err *err)
{
    X509 *issuer = cert_of(authority->cert_pem);
    EVP_PKEY *signer = authority->key_pem == NULL ? NULL : key_of(authority->key_pem);
    if (issuer == NULL || signer == NULL || X509_check_private_key(issuer, signer) != 1) {
        X509_free(issuer);
        EVP_PKEY_free(signer);
        return pki_error(err, E_INVALID, "the authority's certificate and key cannot be used");
    }
    int64_t to_ms =
        BASE_MIN(request->now_ms + request->lifetime_ms, asn1_ms(X509_get0_notAfter(issuer)));
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key == NULL ? NULL
                             : blank(request->common_name, key,
                                     start_ms(request->now_ms, request->lifetime_ms), to_ms);
    bool ok = cert != NULL && X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
              add_purpose(cert, issuer, request) && X509_sign(cert, signer, EVP_sha256()) > 0;
    if (ok) {
        *out = (struct pki_pair){cert_text(cert), key_text(key)};
    }
    X509_free(cert);
    X509_free(issuer);
    EVP_PKEY_free(key);
    EVP_PKEY_free(signer);
    return ok ? 0 : pki_error(err, E_INVALID, "a certificate could not be issued");
}

static void id_text(const unsigned char *data, size_t size, char out[CERTS_ID_MAX])
{
    for (size_t i = 0; i < ID_BYTES; i++) {
        snprintf(out + 2 * i, 3, "%02x", i < size ? data[i] : 0);
    }
}

/* The key's identifier as the certificate states it, else a hash of the key. */
static void read_id(X509 *cert, char out[CERTS_ID_MAX])
{
    const ASN1_OCTET_STRING *stated = X509_get0_subject_key_id(cert);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (stated != NULL) {
        id_text(ASN1_STRING_get0_data(stated), (size_t)ASN1_STRING_length(stated), out);
    } else if (X509_pubkey_digest(cert, EVP_sha256(), digest, &size) == 1) {
        id_text(digest, size, out);
    }
}

int pki_read(const char *cert_pem, struct pki_facts *out)
{
    X509 *cert = cert_pem == NULL ? NULL : cert_of(cert_pem);
    if (cert == NULL) {
        return E_INVALID;
    }
    memset(out, 0, sizeof(*out));
    out->not_before_ms = asn1_ms(X509_get0_notBefore(cert));
    out->not_after_ms = asn1_ms(X509_get0_notAfter(cert));
    read_id(cert, out->id);
    const ASN1_OCTET_STRING *issuer = X509_get0_authority_key_id(cert);
    if (issuer != NULL) {
        id_text(ASN1_STRING_get0_data(issuer), (size_t)ASN1_STRING_length(issuer), out->issuer);
    }
    X509_free(cert);
    return 0;
}

size_t pki_read_ids(const char *pem, char (*ids)[CERTS_ID_MAX], size_t max)
{
    BIO *bio = pem == NULL ? NULL : BIO_new_mem_buf(pem, -1);
    size_t count = 0;
    X509 *cert = NULL;
    while (bio != NULL && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (count < max) {
            ids[count][0] = '\0';
            read_id(cert, ids[count]);
        }
        count++;
        X509_free(cert);
    }
    BIO_free(bio);
    ERR_clear_error();
    return count;
}

bool pki_belongs(const char *cert_pem, const char *key_pem)
{
    X509 *cert = cert_pem == NULL ? NULL : cert_of(cert_pem);
    EVP_PKEY *key = key_pem == NULL ? NULL : key_of(key_pem);
    bool belongs = cert != NULL && key != NULL && X509_check_private_key(cert, key) == 1;
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return belongs;
}
