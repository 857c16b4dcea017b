/* SPDX-License-Identifier: Apache-2.0 */
/* --auto-tls: a certificate of our own, made once and kept. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/tls/internal.h"

#define SERIAL_BITS      127
#define SECONDS_PER_YEAR (365l * 24 * 3600)
#define VALID_YEARS_MAX  1000u

static int make_folder(const char *dir, struct err *err)
{
    char *path = str_dup(dir);
    int rc = 0;
    for (char *at = path + 1; rc == 0; at++) {
        char was = *at;
        if (was != '/' && was != '\0') {
            continue;
        }
        *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            int errnum = errno;
            rc = err_set(err, err_from_errno(errnum), "make folder %s: %s", path,
                         strerrordesc_np(errnum));
        }
        *at = was;
        if (was == '\0') {
            break;
        }
    }
    mem_free(path);
    return rc;
}

static bool is_usable(const char *cert_path, const char *key_path)
{
    struct stat info;
    if (stat(cert_path, &info) != 0 || stat(key_path, &info) != 0) {
        return false;
    }
    uint8_t *data = NULL;
    size_t size = 0;
    if (tls_file_read(cert_path, &data, &size, NULL) != 0) {
        return false;
    }
    BIO *bio = BIO_new_mem_buf(data, (int)size);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    bool expired = cert != NULL && X509_cmp_current_time(X509_get0_notAfter(cert)) < 0;
    X509_free(cert);
    BIO_free(bio);
    mem_free(data);
    ERR_clear_error();
    return !expired; /* one that cannot be read is told by whoever loads it */
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool added = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool add_hosts(X509 *cert, const struct tls_self_signed *request)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    bool added = names != NULL;
    for (size_t i = 0; i < request->host_count && added; i++) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        const char *host = request->hosts[i];
        ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);
        if (address != NULL) {
            GENERAL_NAME_set0_value(name, GEN_IPADD, address);
        } else {
            ASN1_IA5STRING *text = ASN1_IA5STRING_new();
            added = ASN1_STRING_set(text, host, -1) == 1;
            GENERAL_NAME_set0_value(name, GEN_DNS, text);
        }
        sk_GENERAL_NAME_push(names, name);
    }
    added = added && (request->host_count == 0 ||
                      X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1);
    GENERAL_NAMES_free(names);
    ERR_clear_error(); /* of names that are no addresses */
    return added;
}

static bool fill(X509 *cert, EVP_PKEY *key, const struct tls_self_signed *request)
{
    BIGNUM *serial = BN_new();
    X509_NAME *name = X509_get_subject_name(cert);
    long seconds = (long)request->valid_years * SECONDS_PER_YEAR;
    bool filled = serial != NULL &&
                  BN_rand(serial, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
                  BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL &&
                  X509_set_version(cert, X509_VERSION_3) == 1 &&
                  X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"etcd",
                                             -1, -1, 0) == 1 &&
                  X509_set_issuer_name(cert, name) == 1 &&
                  X509_gmtime_adj(X509_getm_notBefore(cert), 0) != NULL &&
                  X509_gmtime_adj(X509_getm_notAfter(cert), seconds) != NULL &&
                  X509_set_pubkey(cert, key) == 1 &&
                  add_extension(cert, NID_key_usage,
                                "critical,digitalSignature,keyEncipherment,keyCertSign,cRLSign") &&
                  add_extension(cert, NID_ext_key_usage, "serverAuth,clientAuth") &&
                  add_extension(cert, NID_basic_constraints, "critical,CA:TRUE") &&
                  add_hosts(cert, request) && X509_sign(cert, key, EVP_sha256()) > 0;
    BN_free(serial);
    return filled;
}

/* Whole or not at all: written beside, synced, renamed. */
static int write_file(const char *path, const void *data, size_t size, struct err *err)
{
    char *beside = str_printf("%s.tmp", path);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool done = fd >= 0 && fchmod(fd, 0600) == 0;
    size_t at = 0;
    while (done && at < size) {
        ssize_t written = write(fd, (const uint8_t *)data + at, size - at);
        done = written > 0;
        at += written > 0 ? (size_t)written : 0;
    }
    done = done && fsync(fd) == 0;
    int errnum = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (done && rename(beside, path) != 0) {
        errnum = errno;
        done = false;
    }
    mem_free(beside);
    return done ? 0
                : err_set(err, err_from_errno(errnum), "write %s: %s", path,
                          strerrordesc_np(errnum));
}

static int write_pair(X509 *cert, EVP_PKEY *key, const char *cert_path, const char *key_path,
                      struct err *err)
{
    BIO *cert_text = BIO_new(BIO_s_mem());
    BIO *key_text = BIO_new(BIO_s_secmem());
    char *data = NULL;
    int rc = E_IO;
    if (cert_text != NULL && key_text != NULL && PEM_write_bio_X509(cert_text, cert) == 1 &&
        PEM_write_bio_PrivateKey(key_text, key, NULL, NULL, 0, NULL, NULL) == 1) {
        long size = BIO_get_mem_data(key_text, &data);
        rc = write_file(key_path, data, (size_t)size, err);
        OPENSSL_cleanse(data, (size_t)size);
        size = BIO_get_mem_data(cert_text, &data);
        if (rc == 0) {
            rc = write_file(cert_path, data, (size_t)size, err);
        }
    } else {
        rc = tls_error(err, E_IO, "certificate", cert_path);
    }
    BIO_free(cert_text);
    BIO_free(key_text);
    return rc;
}

static int make_pair(const struct tls_self_signed *request, const char *cert_path,
                     const char *key_path, struct err *err)
{
    int rc = make_folder(request->dir, err);
    if (rc != 0) {
        return rc;
    }
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    if (key == NULL || cert == NULL || !fill(cert, key, request)) {
        rc = tls_error(err, E_INVALID, "make certificate", cert_path);
    } else {
        rc = write_pair(cert, key, cert_path, key_path, err);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return rc;
}

int tls_self_signed_make(const struct tls_self_signed *request, struct err *err)
{
    if (request->valid_years == 0 || request->valid_years > VALID_YEARS_MAX) {
        return err_set(err, E_INVALID,
                       "selfSignedCertValidity is invalid,it should be greater than 0");
    }
    char *cert_path = str_printf("%s/cert.pem", request->dir);
    char *key_path = str_printf("%s/key.pem", request->dir);
    int rc = 0;
    if (!is_usable(cert_path, key_path)) {
        LOG_WARN("automatically generate certificates", LOG_STR("path", cert_path),
                 LOG_U64("valid-years", request->valid_years));
        rc = make_pair(request, cert_path, key_path, err);
    }
    mem_free(cert_path);
    mem_free(key_path);
    return rc;
}
