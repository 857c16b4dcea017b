/* SPDX-License-Identifier: Apache-2.0 */
/* Making and loading of the server certificate. */
#include "tls.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "base/alloc.h"

#define VALID_SECONDS (10L * 365 * 24 * 3600)
#define SERIAL_BITS   127

static int tls_fail(struct err *err, const char *what)
{
    char text[160];
    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    return err_set(err, E_IO, "%s: %s", what, text);
}

static bool add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool is_added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_added;
}

static bool set_serial(X509 *certificate)
{
    BIGNUM *number = BN_new();
    bool is_set = number != NULL && BN_rand(number, SERIAL_BITS, 0, 0) == 1 &&
                  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return is_set;
}

/* Gives a self-signed certificate of key, or NULL. */
static X509 *certificate_new(EVP_PKEY *key)
{
    X509 *certificate = X509_new();
    X509_NAME *name = X509_NAME_new();
    bool is_made =
        certificate != NULL && name != NULL && X509_set_version(certificate, X509_VERSION_3) == 1 &&
        set_serial(certificate) &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_SECONDS) != NULL &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                   (const unsigned char *)"quorate-playground", -1, -1, 0) == 1 &&
        X509_set_subject_name(certificate, name) == 1 &&
        X509_set_issuer_name(certificate, name) == 1 && X509_set_pubkey(certificate, key) == 1 &&
        add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE") &&
        add_extension(certificate, NID_key_usage, "critical,digitalSignature,keyCertSign") &&
        add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
        add_extension(certificate, NID_subject_key_identifier, "hash") &&
        add_extension(certificate, NID_subject_alt_name,
                      "IP:127.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,"
                      "DNS:kubernetes.default.svc") &&
        X509_sign(certificate, key, EVP_sha256()) > 0;
    X509_NAME_free(name);
    if (!is_made) {
        X509_free(certificate);
        return NULL;
    }
    return certificate;
}

static bool write_pem(const char *path, X509 *certificate, EVP_PKEY *key)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    bool is_written = certificate != NULL
                          ? PEM_write_X509(file, certificate) == 1
                          : PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;
    return fclose(file) == 0 && is_written;
}

static int make_files(const char *certificate_path, const char *key_path, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key == NULL ? NULL : certificate_new(key);
    bool is_made = certificate != NULL && write_pem(key_path, NULL, key) &&
                   write_pem(certificate_path, certificate, NULL);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return is_made ? 0 : tls_fail(err, "make the server certificate");
}

int tls_open(const char *dir, SSL_CTX **out_context, struct err *err)
{
    char *certificate_path = str_printf("%s/tls.crt", dir);
    char *key_path = str_printf("%s/tls.key", dir);
    int rc = 0;
    if (access(certificate_path, R_OK) != 0 || access(key_path, R_OK) != 0) {
        rc = make_files(certificate_path, key_path, err);
    }
    SSL_CTX *context = rc == 0 ? SSL_CTX_new(TLS_server_method()) : NULL;
    bool is_loaded =
        context != NULL && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
        SSL_CTX_use_certificate_file(context, certificate_path, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, key_path, SSL_FILETYPE_PEM) == 1;
    if (rc == 0 && !is_loaded) {
        rc = tls_fail(err, "load the server certificate");
        SSL_CTX_free(context);
    }
    mem_free(certificate_path);
    mem_free(key_path);
    if (rc == 0) {
        *out_context = context;
    }
    return rc;
}

int tls_certificate_pem(SSL_CTX *context, char **out_pem, struct err *err)
{
    BIO *memory = BIO_new(BIO_s_mem());
    char *data = NULL;
    if (memory == NULL || PEM_write_bio_X509(memory, SSL_CTX_get0_certificate(context)) != 1) {
        BIO_free(memory);
        return tls_fail(err, "write the server certificate");
    }
    long size = BIO_get_mem_data(memory, &data);
    *out_pem = str_from(data, (size_t)size);
    BIO_free(memory);
    return 0;
}
