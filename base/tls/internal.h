/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of base/tls: loaded files, contexts, and the rules for certificates. */
#ifndef BASE_TLS_INTERNAL_H
#define BASE_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "base/tls/tls.h"

#define TLS_FAILURE_TEXT_MAX 256u

/* By what a changed file is known. */
struct tls_stamp {
    int64_t changed_ns;
    int64_t size;
    uint64_t inode, device;
    bool is_there;
    bool is_settled; /* changed long enough before it was read: a later change shows */
};

enum tls_file {
    TLS_FILE_CERT,
    TLS_FILE_KEY,
    TLS_FILE_CLIENT_CERT,
    TLS_FILE_CLIENT_KEY,
    TLS_FILE_CA,
    TLS_FILE_CRL,
    TLS_FILE_COUNT
};

struct tls_maker {
    struct stream_transport_maker seam;
    struct tls_config config;    /* its texts are copies */
    char *paths[TLS_FILE_COUNT]; /* NULL: none */
    char *cipher_suites;
    struct tls_stamp stamps[TLS_FILE_COUNT];
    SSL_CTX *server; /* NULL: it cannot listen */
    SSL_CTX *client;
    BIO_METHOD *socket_method;
    STACK_OF(X509_CRL) * revoked; /* NULL: no list, or revoked_error says why not */
    char revoked_error[TLS_FAILURE_TEXT_MAX];
    uint64_t reload_count;
    uint8_t *gather; /* small writes on their way into one record */
};

/* One connection. */
struct tls_transport {
    struct stream_transport base;
    struct tls_maker *maker;
    SSL *ssl;
    int fd;
    bool wants_write;
    int pending_error; /* met after bytes that were given: told by the next read */
    char failure[TLS_FAILURE_TEXT_MAX];
    struct stream_identity identity;
    char *protocol, *common_name;
    char **hosts;
    size_t host_count;
};

/* ---- files.c ---- */

/* Reads a small file whole into *out (mem_free; wipe it when it holds a key). */
BASE_MUST_CHECK int tls_file_read(const char *path, uint8_t **out_data, size_t *out_size,
                                  struct err *err);
void tls_file_stamp(const char *path, struct tls_stamp *out_stamp);

/* True when the file is not what stamp was taken of, or may have changed since. */
bool tls_file_changed(const char *path, const struct tls_stamp *stamp);

/* etcd does not refuse such a key, so neither do we. NULL is allowed. */
void tls_warn_of_open_key(const char *path);

/* Appends why OpenSSL failed to what err says, and empties its queue. */
int tls_error(struct err *err, int code, const char *what, const char *path);

BASE_MUST_CHECK int tls_load_pair(SSL_CTX *context, const char *cert_path, const char *key_path,
                                  struct err *err);
BASE_MUST_CHECK int tls_load_ca(const char *path, SSL_CTX *context, bool is_server,
                                struct err *err);
BASE_MUST_CHECK int tls_load_revoked(const char *path, STACK_OF(X509_CRL) * *out_list,
                                     struct err *err);

/* ---- verify.c ---- */

/* SSL_CTX_set_cert_verify_callback: the chain, then the rules of the maker. */
int tls_verify(X509_STORE_CTX *store, void *arg);

/* Fills the identity from the finished handshake. */
void tls_identify(struct tls_transport *transport);

/* The other side must be for this name or address. */
void tls_expect_host(SSL *ssl, const char *host);

/* ---- transport.c ---- */

struct stream_transport *tls_transport_new(struct tls_maker *maker, SSL_CTX *context,
                                           bool is_server);
void tls_transport_expect(struct stream_transport *transport, const char *host);

/* The way to the socket for SSL objects; NULL when OpenSSL has no memory. */
BIO_METHOD *tls_socket_method(void);

#endif
