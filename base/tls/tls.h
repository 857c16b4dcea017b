/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS for streams, over OpenSSL: what a listener or a client shows, whom it trusts and what it asks
 * of the other side, read from files.
 *
 * Guarantees: files that changed are read again at the next handshake, connections that stand keep
 * what they have; a certificate, key or CA file that cannot be used leaves the last good one in
 * place (a warning says so), a revocation list that cannot be used refuses all who show a
 * certificate; no renegotiation, no compression, no tickets where certificates are asked for; keys
 * leave no copy in memory of ours. One maker belongs to one loop's thread.
 */
#ifndef BASE_TLS_TLS_H
#define BASE_TLS_TLS_H

#include "base/net/stream.h"

#define TLS_FILE_BYTES_MAX  (4u * 1024u * 1024u)
#define TLS_SUITE_TEXT_MAX  1024u
#define TLS_RECORD_BYTES    16384u
#define TLS_SECURITY_LEVEL  2 /* keys of at least 112 bits: RSA from 2048, no SHA-1 */
#define TLS_CHAIN_DEPTH_MAX 10

enum tls_version { TLS_VERSION_ANY, TLS_VERSION_1_2, TLS_VERSION_1_3 };

/* What ALPN may agree on, as a server. Clients of ours offer nothing: they speak HTTP/1.1. */
enum tls_protocols { TLS_PROTOCOLS_HTTP1, TLS_PROTOCOLS_HTTP2, TLS_PROTOCOLS_BOTH };

/* Texts may be NULL or "" for "none"; copied by tls_maker_new. */
struct tls_config {
    const char *cert_file;        /* PEM: the certificate, then those that lead to its CA */
    const char *key_file;         /* PEM, not encrypted */
    const char *client_cert_file; /* shown when dialling; none: cert_file */
    const char *client_key_file;
    const char *ca_file; /* whom to trust; none: the system's, when a certificate must be checked */
    const char *crl_file;      /* PEM or DER: serial numbers of certificates that are refused */
    bool require_client_cert;  /* also without ca_file; with ca_file it is always required */
    bool insecure_skip_verify; /* as a client: any certificate will do */
    /* A verified certificate, of either side, must have one of these common names, */
    const char *const *allowed_names;
    size_t allowed_name_count;
    /* or be for one of these hosts. Not both. */
    const char *const *allowed_hosts;
    size_t allowed_host_count;
    const char *cipher_suites;    /* OpenSSL's names, by tls_suites_parse; none: ECDHE with AEAD */
    enum tls_version min_version; /* TLS_VERSION_ANY: 1.2 */
    enum tls_version max_version;
    enum tls_protocols protocols;
    bool without_tickets;
};

struct tls_maker;

/*
 * Reads all files once. The error names the file and what is wrong with it. Without cert_file it
 * can only dial.
 */
BASE_MUST_CHECK int tls_maker_new(const struct tls_config *config, struct tls_maker **out_maker,
                                  struct err *err);

/* After the last of its streams. NULL is allowed. */
void tls_maker_free(struct tls_maker *maker);

/* For ports and clients; borrowed, lives as long as the maker. */
const struct stream_transport_maker *tls_maker_seam(const struct tls_maker *maker);

/* How often files were read again, for tests and metrics. */
uint64_t tls_maker_reload_count(const struct tls_maker *maker);

/* "TLS1.2", "TLS1.3" or "" in the words of --tls-min-version; else E_INVALID. */
BASE_MUST_CHECK int tls_version_parse(const char *text, enum tls_version *out_version,
                                      struct err *err);

/*
 * Comma-separated names as Go writes them ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") to a text for
 * tls_config.cipher_suites, at least TLS_SUITE_TEXT_MAX bytes. Those of TLS 1.3 are known and
 * change nothing, as in Go.
 */
BASE_MUST_CHECK int tls_suites_parse(const char *text, char *out, size_t out_size, struct err *err);

struct tls_self_signed {
    const char *dir; /* <dir>/cert.pem and <dir>/key.pem; the folder is made */
    const char *const *hosts;
    size_t host_count;
    uint64_t valid_years;
};

/*
 * Makes a certificate (ECDSA P-256, mode 0600) that signs itself, for both sides of a connection;
 * one that is there and has not expired stays.
 */
BASE_MUST_CHECK int tls_self_signed_make(const struct tls_self_signed *request, struct err *err);

#endif
