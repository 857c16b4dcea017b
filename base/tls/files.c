/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates, keys and lists from files, with errors that name the file and the reason. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/tls/internal.h"

#define SETTLED_NS     2000000000ll /* coarser than any file system's clock */
#define NS_PER_SECOND  1000000000ll
#define MODE_OF_OTHERS 0077u

static int file_error(struct err *err, const char *path, int errnum)
{
    return err_set(err, err_from_errno(errnum), "open %s: %s", path, strerrordesc_np(errnum));
}

int tls_file_read(const char *path, uint8_t **out_data, size_t *out_size, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return file_error(err, path, errno);
    }
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > TLS_FILE_BYTES_MAX) {
        close(fd);
        return err_set(err, E_INVALID, "open %s: not a file of at most %u bytes", path,
                       TLS_FILE_BYTES_MAX);
    }
    size_t room = (size_t)info.st_size;
    uint8_t *data = mem_alloc(room + 1);
    size_t size = 0;
    while (size < room) {
        ssize_t got = read(fd, data + size, room - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            int errnum = errno;
            close(fd);
            OPENSSL_cleanse(data, room);
            mem_free(data);
            return file_error(err, path, errnum);
        }
        if (got == 0) {
            break; /* it was cut meanwhile */
        }
        size += (size_t)got;
    }
    close(fd);
    data[size] = '\0';
    *out_data = data;
    *out_size = size;
    return 0;
}

void tls_file_stamp(const char *path, struct tls_stamp *out_stamp)
{
    struct stat info;
    struct timespec now;
    *out_stamp = (struct tls_stamp){0};
    if (path == NULL || stat(path, &info) != 0) {
        out_stamp->is_settled = true;
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ns = (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
    *out_stamp = (struct tls_stamp){
        .changed_ns = (int64_t)info.st_ctim.tv_sec * NS_PER_SECOND + info.st_ctim.tv_nsec,
        .size = info.st_size,
        .inode = info.st_ino,
        .device = info.st_dev,
        .is_there = true,
    };
    out_stamp->is_settled = now_ns - out_stamp->changed_ns > SETTLED_NS;
}

bool tls_file_changed(const char *path, const struct tls_stamp *stamp)
{
    if (path == NULL) {
        return false;
    }
    struct tls_stamp now;
    tls_file_stamp(path, &now);
    return !stamp->is_settled || now.is_there != stamp->is_there ||
           now.changed_ns != stamp->changed_ns || now.size != stamp->size ||
           now.inode != stamp->inode || now.device != stamp->device;
}

int tls_error(struct err *err, int code, const char *what, const char *path)
{
    char reason[160] = "";
    unsigned long number = ERR_peek_last_error();
    const char *text = number == 0 ? NULL : ERR_reason_error_string(number);
    snprintf(reason, sizeof(reason), "%s", text == NULL ? "not usable" : text);
    ERR_clear_error();
    return err_set(err, code, "%s %s: %s", what, path, reason);
}

void tls_warn_of_open_key(const char *path)
{
    struct stat info;
    if (path != NULL && stat(path, &info) == 0 && (info.st_mode & MODE_OF_OTHERS) != 0) {
        LOG_WARN("a private key can be read by others: chmod 600 it", LOG_STR("path", path));
    }
}

/* Keys with a password are refused, never asked for. */
static int no_password(char *out, int size, int rwflag, void *ctx)
{
    (void)out;
    (void)size;
    (void)rwflag;
    *(bool *)ctx = true;
    return -1;
}

static int load_key(const char *path, EVP_PKEY **out_key, struct err *err)
{
    uint8_t *data = NULL;
    size_t size = 0;
    int rc = tls_file_read(path, &data, &size, err);
    if (rc != 0) {
        return rc;
    }
    bool is_encrypted = false;
    BIO *bio = BIO_new_mem_buf(data, (int)size);
    EVP_PKEY *key =
        bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, &is_encrypted);
    BIO_free(bio);
    OPENSSL_cleanse(data, size);
    mem_free(data);
    if (key == NULL && is_encrypted) {
        ERR_clear_error();
        return err_set(err, E_UNSUPPORTED, "private key %s: it has a password", path);
    }
    if (key == NULL) {
        return tls_error(err, E_INVALID, "private key", path);
    }
    *out_key = key;
    return 0;
}

/* All certificates of a PEM file in their order; at least one. */
static int load_certs(const char *path, STACK_OF(X509) * *out_certs, struct err *err)
{
    uint8_t *data = NULL;
    size_t size = 0;
    int rc = tls_file_read(path, &data, &size, err);
    if (rc != 0) {
        return rc;
    }
    STACK_OF(X509) *certs = sk_X509_new_null();
    BIO *bio = BIO_new_mem_buf(data, (int)size);
    X509 *cert = NULL;
    ERR_clear_error();
    while (bio != NULL && certs != NULL &&
           (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        sk_X509_push(certs, cert);
    }
    BIO_free(bio);
    mem_free(data);
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (sk_X509_num(certs) <= 0 || !at_end) {
        rc = sk_X509_num(certs) <= 0 && at_end
                 ? err_set(err, E_INVALID, "certificate %s: no PEM certificate in it", path)
                 : tls_error(err, E_INVALID, "certificate", path);
        sk_X509_pop_free(certs, X509_free);
        ERR_clear_error();
        return rc;
    }
    ERR_clear_error();
    *out_certs = certs;
    return 0;
}

int tls_load_pair(SSL_CTX *context, const char *cert_path, const char *key_path, struct err *err)
{
    STACK_OF(X509) *certs = NULL;
    EVP_PKEY *key = NULL;
    int rc = load_certs(cert_path, &certs, err);
    if (rc != 0) {
        return rc;
    }
    rc = load_key(key_path, &key, err);
    if (rc == 0) {
        X509 *leaf = sk_X509_shift(certs);
        if (X509_check_private_key(leaf, key) != 1) {
            ERR_clear_error();
            rc = err_set(err, E_INVALID, "private key %s does not match the public key of %s",
                         key_path, cert_path);
        } else if (SSL_CTX_use_cert_and_key(context, leaf, key, certs, 1) != 1) {
            rc = tls_error(err, E_INVALID, "certificate", cert_path);
        }
        X509_free(leaf);
        EVP_PKEY_free(key);
    }
    sk_X509_pop_free(certs, X509_free);
    return rc;
}

int tls_load_ca(const char *path, SSL_CTX *context, bool is_server, struct err *err)
{
    STACK_OF(X509) *certs = NULL;
    int rc = load_certs(path, &certs, err);
    if (rc != 0) {
        return rc;
    }
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    for (int i = 0; i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);
        if (X509_STORE_add_cert(store, cert) != 1 ||
            (is_server && SSL_CTX_add_client_CA(context, cert) != 1)) {
            rc = tls_error(err, E_INVALID, "CA certificate", path);
            break;
        }
    }
    sk_X509_pop_free(certs, X509_free);
    return rc;
}

int tls_load_revoked(const char *path, STACK_OF(X509_CRL) * *out_list, struct err *err)
{
    uint8_t *data = NULL;
    size_t size = 0;
    int rc = tls_file_read(path, &data, &size, err);
    if (rc != 0) {
        return rc;
    }
    STACK_OF(X509_CRL) *list = sk_X509_CRL_new_null();
    X509_CRL *one = NULL;
    BIO *bio = BIO_new_mem_buf(data, (int)size);
    bool is_clean = true;
    if (memmem(data, size, "-----BEGIN", 10) == NULL) {
        const uint8_t *at = data;
        one = d2i_X509_CRL(NULL, &at, (long)size);
        is_clean = one != NULL && at == data + size;
        if (one != NULL) {
            sk_X509_CRL_push(list, one);
        }
    } else {
        while ((one = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
            sk_X509_CRL_push(list, one);
        }
        is_clean = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    }
    BIO_free(bio);
    mem_free(data);
    if (sk_X509_CRL_num(list) <= 0 || !is_clean) {
        sk_X509_CRL_pop_free(list, X509_CRL_free);
        return tls_error(err, E_INVALID, "revocation list", path);
    }
    ERR_clear_error();
    *out_list = list;
    return 0;
}
