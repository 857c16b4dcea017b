/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makers: two contexts of OpenSSL, one to listen and one to dial, made anew as a whole when a file
 * has changed. Connections hold the context that they began with.
 */
#include <openssl/err.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/tls/internal.h"

#define READ_BUFFER_BYTES (32u * 1024u)
#define SUITES_DEFAULT                                                                             \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

static const uint8_t HTTP2[] = {2, 'h', '2'};
static const uint8_t HTTP1[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

static bool alpn_offers(const uint8_t *offered, size_t size, const uint8_t *wanted)
{
    for (size_t at = 0; at < size; at += 1u + offered[at]) {
        if (offered[at] == wanted[0] && size - at > wanted[0] &&
            memcmp(offered + at, wanted, 1u + wanted[0]) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * HTTP/2 first, as etcd. Who offers only the one that is not spoken here goes on without an
 * agreement, as with etcd; who offers neither is at the wrong door.
 */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                   const unsigned char *offered, unsigned offered_size, void *arg)
{
    const struct tls_maker *maker = arg;
    (void)ssl;
    bool http2 = alpn_offers(offered, offered_size, HTTP2);
    bool http1 = alpn_offers(offered, offered_size, HTTP1);
    const uint8_t *agreed = NULL;
    if (http2 && maker->config.protocols != TLS_PROTOCOLS_HTTP1) {
        agreed = HTTP2;
    } else if (http1 && maker->config.protocols != TLS_PROTOCOLS_HTTP2) {
        agreed = HTTP1;
    }
    if (agreed == NULL) {
        return http1 || http2 ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = agreed + 1;
    *out_size = agreed[0];
    return SSL_TLSEXT_ERR_OK;
}

static int version_number(enum tls_version version, int any)
{
    return version == TLS_VERSION_ANY   ? any
           : version == TLS_VERSION_1_2 ? TLS1_2_VERSION
                                        : TLS1_3_VERSION;
}

static bool asks_for_certificate(const struct tls_maker *maker)
{
    return maker->config.require_client_cert || maker->paths[TLS_FILE_CA] != NULL;
}

static int context_settings(const struct tls_maker *maker, SSL_CTX *context, struct err *err)
{
    const struct tls_config *config = &maker->config;
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_security_level(context, TLS_SECURITY_LEVEL);
    SSL_CTX_set_verify_depth(context, TLS_CHAIN_DEPTH_MAX);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_BUFFER_BYTES);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (config->without_tickets || asks_for_certificate(maker)) {
        /* A ticket would outlive a revocation. */
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(context, 0);
    }
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
    const char *suites = maker->cipher_suites != NULL ? maker->cipher_suites : SUITES_DEFAULT;
    if (SSL_CTX_set_cipher_list(context, suites) != 1) {
        ERR_clear_error();
        return err_set(err, E_INVALID, "none of the TLS cipher suites can be used: %s", suites);
    }
    if (SSL_CTX_set_min_proto_version(context,
                                      version_number(config->min_version, TLS1_2_VERSION)) != 1 ||
        SSL_CTX_set_max_proto_version(context, version_number(config->max_version, 0)) != 1) {
        return tls_error(err, E_INVALID, "TLS", "versions");
    }
    return 0;
}

/* The authorities that the other side is measured by. */
static int context_trust(const struct tls_maker *maker, SSL_CTX *context, bool is_server,
                         struct err *err)
{
    bool checks = is_server ? asks_for_certificate(maker) : !maker->config.insecure_skip_verify;
    SSL_CTX_set_verify(context,
                       checks ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE,
                       NULL);
    SSL_CTX_set_cert_verify_callback(context, tls_verify, NULL);
    if (!checks) {
        return 0;
    }
    if (maker->paths[TLS_FILE_CA] != NULL) {
        return tls_load_ca(maker->paths[TLS_FILE_CA], context, is_server, err);
    }
    if (SSL_CTX_set_default_verify_paths(context) != 1) {
        return tls_error(err, E_INVALID, "the system's", "CA certificates");
    }
    return 0;
}

/* Any name is ours: without a word here OpenSSL forgets it, and the log wants to tell it. */
static int on_server_name(SSL *ssl, int *alert, void *ctx)
{
    (void)ssl;
    (void)alert;
    (void)ctx;
    return SSL_TLSEXT_ERR_OK;
}

static int context_new(struct tls_maker *maker, bool is_server, SSL_CTX **out_context,
                       struct err *err)
{
    SSL_CTX *context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    if (context == NULL) {
        return tls_error(err, E_UNAVAILABLE, "TLS", "context");
    }
    const char *cert = maker->paths[TLS_FILE_CERT];
    const char *key = maker->paths[TLS_FILE_KEY];
    if (!is_server && maker->paths[TLS_FILE_CLIENT_CERT] != NULL) {
        cert = maker->paths[TLS_FILE_CLIENT_CERT];
        key = maker->paths[TLS_FILE_CLIENT_KEY];
    }
    int rc = context_settings(maker, context, err);
    if (rc == 0 && cert != NULL) {
        rc = tls_load_pair(context, cert, key, err);
    }
    if (rc == 0) {
        rc = context_trust(maker, context, is_server, err);
    }
    if (rc != 0) {
        SSL_CTX_free(context);
        return rc;
    }
    if (is_server) {
        SSL_CTX_set_alpn_select_cb(context, on_alpn, maker);
        SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
    }
    *out_context = context;
    return 0;
}

static void load_revoked(struct tls_maker *maker)
{
    struct err err = {""};
    STACK_OF(X509_CRL) *list = NULL;
    const char *path = maker->paths[TLS_FILE_CRL];
    if (path == NULL) {
        return;
    }
    sk_X509_CRL_pop_free(maker->revoked, X509_CRL_free);
    maker->revoked = NULL;
    maker->revoked_error[0] = '\0';
    if (tls_load_revoked(path, &list, &err) != 0) {
        snprintf(maker->revoked_error, sizeof(maker->revoked_error), "%.250s", err.text);
        LOG_WARN("failed to read the revocation list: whoever shows a certificate is refused",
                 LOG_STR("error", err.text));
        return;
    }
    maker->revoked = list;
}

/* Both contexts, or the old ones stay. */
static int load(struct tls_maker *maker, struct err *err)
{
    SSL_CTX *server = NULL;
    SSL_CTX *client = NULL;
    for (int i = 0; i < TLS_FILE_COUNT; i++) {
        tls_file_stamp(maker->paths[i], &maker->stamps[i]); /* before reading: later shows */
    }
    load_revoked(maker);
    int rc = 0;
    if (maker->paths[TLS_FILE_CERT] != NULL) {
        rc = context_new(maker, true, &server, err);
    }
    if (rc == 0) {
        rc = context_new(maker, false, &client, err);
    }
    if (rc != 0) {
        SSL_CTX_free(server);
        return rc;
    }
    SSL_CTX_free(maker->server);
    SSL_CTX_free(maker->client);
    maker->server = server;
    maker->client = client;
    return 0;
}

static void reload_if_changed(struct tls_maker *maker)
{
    bool changed = false;
    for (int i = 0; i < TLS_FILE_COUNT; i++) {
        changed = changed || tls_file_changed(maker->paths[i], &maker->stamps[i]);
    }
    if (!changed) {
        return;
    }
    struct err err = {""};
    maker->reload_count++;
    if (load(maker, &err) != 0) {
        LOG_WARN("failed to read changed TLS files, going on with what was read before",
                 LOG_STR("error", err.text));
    }
}

static struct stream_transport *make_server(void *ctx)
{
    struct tls_maker *maker = ctx;
    ASSERT(maker->server != NULL);
    reload_if_changed(maker);
    return tls_transport_new(maker, maker->server, true);
}

static struct stream_transport *make_client(void *ctx, const char *server_name)
{
    struct tls_maker *maker = ctx;
    reload_if_changed(maker);
    struct stream_transport *transport = tls_transport_new(maker, maker->client, false);
    tls_transport_expect(transport, server_name);
    return transport;
}

static char *copy_text(const char *text)
{
    return text == NULL || *text == '\0' ? NULL : str_dup(text);
}

static const char *const *copy_list(const char *const *list, size_t count)
{
    char **copy = mem_array(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        copy[i] = str_dup(list[i]);
    }
    return (const char *const *)copy;
}

static void free_list(const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mem_free((void *)(uintptr_t)list[i]);
    }
    mem_free((void *)(uintptr_t)list);
}

static int check_config(const struct tls_maker *maker, struct err *err)
{
    const char *const *paths = (const char *const *)maker->paths;
    const struct tls_config *config = &maker->config;
    if ((paths[TLS_FILE_CERT] == NULL) != (paths[TLS_FILE_KEY] == NULL)) {
        return err_set(err, E_INVALID,
                       "KeyFile and CertFile must both be present[key: %s, cert: %s]",
                       paths[TLS_FILE_KEY] == NULL ? "" : paths[TLS_FILE_KEY],
                       paths[TLS_FILE_CERT] == NULL ? "" : paths[TLS_FILE_CERT]);
    }
    if ((paths[TLS_FILE_CLIENT_CERT] == NULL) != (paths[TLS_FILE_CLIENT_KEY] == NULL)) {
        return err_set(err, E_INVALID,
                       "ClientKeyFile and ClientCertFile must both be present or both absent: key: "
                       "%s, cert: %s]",
                       paths[TLS_FILE_CLIENT_KEY] == NULL ? "" : paths[TLS_FILE_CLIENT_KEY],
                       paths[TLS_FILE_CLIENT_CERT] == NULL ? "" : paths[TLS_FILE_CLIENT_CERT]);
    }
    if (config->allowed_name_count > 0 && config->allowed_host_count > 0) {
        return err_set(err, E_INVALID, "AllowedCNs and AllowedHostnames are mutually exclusive");
    }
    return 0;
}

int tls_maker_new(const struct tls_config *config, struct tls_maker **out_maker, struct err *err)
{
    struct tls_maker *maker = mem_zalloc(sizeof(*maker));
    maker->config = *config;
    maker->config.allowed_names = copy_list(config->allowed_names, config->allowed_name_count);
    maker->config.allowed_hosts = copy_list(config->allowed_hosts, config->allowed_host_count);
    maker->paths[TLS_FILE_CERT] = copy_text(config->cert_file);
    maker->paths[TLS_FILE_KEY] = copy_text(config->key_file);
    maker->paths[TLS_FILE_CLIENT_CERT] = copy_text(config->client_cert_file);
    maker->paths[TLS_FILE_CLIENT_KEY] = copy_text(config->client_key_file);
    maker->paths[TLS_FILE_CA] = copy_text(config->ca_file);
    maker->paths[TLS_FILE_CRL] = copy_text(config->crl_file);
    maker->cipher_suites = copy_text(config->cipher_suites);
    maker->gather = mem_alloc(TLS_RECORD_BYTES);
    maker->socket_method = tls_socket_method();
    maker->seam = (struct stream_transport_maker){
        .ctx = maker, .make_server = make_server, .make_client = make_client};
    int rc = check_config(maker, err);
    if (rc == 0) {
        tls_warn_of_open_key(maker->paths[TLS_FILE_KEY]);
        tls_warn_of_open_key(maker->paths[TLS_FILE_CLIENT_KEY]);
        rc = load(maker, err);
    }
    if (rc == 0 && maker->revoked_error[0] != '\0') {
        rc = err_set(err, E_INVALID, "%s", maker->revoked_error);
    }
    if (rc != 0) {
        tls_maker_free(maker);
        return rc;
    }
    *out_maker = maker;
    return 0;
}

void tls_maker_free(struct tls_maker *maker)
{
    if (maker == NULL) {
        return;
    }
    SSL_CTX_free(maker->server);
    SSL_CTX_free(maker->client);
    sk_X509_CRL_pop_free(maker->revoked, X509_CRL_free);
    BIO_meth_free(maker->socket_method);
    for (int i = 0; i < TLS_FILE_COUNT; i++) {
        mem_free(maker->paths[i]);
    }
    free_list(maker->config.allowed_names, maker->config.allowed_name_count);
    free_list(maker->config.allowed_hosts, maker->config.allowed_host_count);
    mem_free(maker->cipher_suites);
    mem_free(maker->gather);
    mem_free(maker);
}

const struct stream_transport_maker *tls_maker_seam(const struct tls_maker *maker)
{
    return &maker->seam;
}

uint64_t tls_maker_reload_count(const struct tls_maker *maker)
{
    return maker->reload_count;
}
