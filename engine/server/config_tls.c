/* SPDX-License-Identifier: Apache-2.0 */
/* The flags of TLS. */
#include "engine/server/config_tls.h"

#include <string.h>

#include "base/assert.h"
#include "base/net/url.h"
#include "base/tls/tls.h"

void config_tls_defaults(struct server_config *config)
{
    static const struct config_tls none = {"", "", "", "", "", "", "", "", false, false, false};
    config->client_tls = none;
    config->peer_tls = none;
    config->cipher_suites = "";
    config->tls_min_version = "TLS1.2";
    config->tls_max_version = "";
    config->self_signed_cert_validity = 1;
}

static struct flag text(const char *name, const char **target, const char *help)
{
    return (struct flag){.name = name, .type = FLAG_STRING, .target = target, .help = help};
}

static struct flag yes_no(const char *name, bool *target, const char *help)
{
    return (struct flag){.name = name, .type = FLAG_BOOL, .target = target, .help = help};
}

static size_t client_flags(struct config_tls *tls, struct flag *out)
{
    size_t n = 0;
    out[n++] = text("cert-file", &tls->cert_file, "Certificate of the client ports.");
    out[n++] = text("key-file", &tls->key_file, "Private key of --cert-file.");
    out[n++] = text("client-cert-file", &tls->client_cert_file,
                    "Certificate to show to own client ports; none: --cert-file.");
    out[n++] = text("client-key-file", &tls->client_key_file, "Private key of --client-cert-file.");
    out[n++] = yes_no("client-cert-auth", &tls->client_cert_auth,
                      "Demand certificates of clients; their common name can be a user.");
    out[n++] = text("client-crl-file", &tls->crl_file, "Revoked certificates of clients.");
    out[n++] = text("client-cert-allowed-hostname", &tls->allowed_hosts,
                    "Hosts, comma-separated, that certificates of clients must be for.");
    out[n++] = text("trusted-ca-file", &tls->trusted_ca_file,
                    "Authorities of clients; given, clients must show a certificate.");
    out[n++] = yes_no("auto-tls", &tls->auto_tls,
                      "Client ports with a certificate that is made and kept in the data dir.");
    return n;
}

static size_t peer_flags(struct config_tls *tls, struct flag *out)
{
    size_t n = 0;
    out[n++] = text("peer-cert-file", &tls->cert_file, "Certificate of this member for peers.");
    out[n++] = text("peer-key-file", &tls->key_file, "Private key of --peer-cert-file.");
    out[n++] = text("peer-client-cert-file", &tls->client_cert_file,
                    "Certificate to dial peers with; none: --peer-cert-file.");
    out[n++] = text("peer-client-key-file", &tls->client_key_file,
                    "Private key of --peer-client-cert-file.");
    out[n++] =
        yes_no("peer-client-cert-auth", &tls->client_cert_auth, "Demand certificates of peers.");
    out[n++] = text("peer-trusted-ca-file", &tls->trusted_ca_file, "Authorities of peers.");
    out[n++] = yes_no("peer-auto-tls", &tls->auto_tls,
                      "Peer ports with a certificate that is made and kept in the data dir.");
    out[n++] = text("peer-crl-file", &tls->crl_file, "Revoked certificates of peers.");
    out[n++] = text("peer-cert-allowed-cn", &tls->allowed_names,
                    "Common names, comma-separated, one of which certificates of peers must have.");
    out[n++] = text("peer-cert-allowed-hostname", &tls->allowed_hosts,
                    "Hosts, comma-separated, that certificates of peers must be for.");
    out[n++] = yes_no("peer-skip-client-san-verification", &tls->skip_client_san,
                      "Do not ask whether a peer calls from a host of its certificate.");
    out[n++] =
        yes_no("experimental-peer-skip-client-san-verification", &tls->skip_client_san, NULL);
    return n;
}

void config_tls_flags(struct server_config *config, struct flag out[CONFIG_TLS_FLAGS])
{
    size_t n = client_flags(&config->client_tls, out);
    out[0].group = "Security";
    n += peer_flags(&config->peer_tls, out + n);
    out[n++] =
        (struct flag){.name = "self-signed-cert-validity",
                      .type = FLAG_UINT,
                      .target = &config->self_signed_cert_validity,
                      .help = "Years that --auto-tls and --peer-auto-tls certificates hold."};
    out[n++] = text("cipher-suites", &config->cipher_suites,
                    "TLS 1.2 cipher suites by Go's names, comma-separated.");
    out[n++] = text("tls-min-version", &config->tls_min_version, "TLS1.2 or TLS1.3.");
    out[n++] = text("tls-max-version", &config->tls_max_version, "TLS1.2, TLS1.3 or nothing.");
    ASSERT(n == CONFIG_TLS_FLAGS);
}

static int check_versions(const struct server_config *config, struct err *err)
{
    enum tls_version min;
    enum tls_version max;
    char suites[TLS_SUITE_TEXT_MAX];
    int rc = tls_version_parse(config->tls_min_version, &min, err);
    if (rc == 0) {
        rc = tls_version_parse(config->tls_max_version, &max, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (max != TLS_VERSION_ANY && min > max) {
        return err_set(err, E_INVALID, "min version (%s) is greater than max version (%s)",
                       config->tls_min_version, config->tls_max_version);
    }
    if (min == TLS_VERSION_1_3 && *config->cipher_suites != '\0') {
        return err_set(err, E_INVALID,
                       "cipher suites cannot be configured when only TLS1.3 is enabled");
    }
    return tls_suites_parse(config->cipher_suites, suites, sizeof(suites), err);
}

static int check_one(const struct config_tls *tls, struct err *err)
{
    if ((*tls->cert_file == '\0') != (*tls->key_file == '\0')) {
        return err_set(err, E_INVALID,
                       "KeyFile and CertFile must both be present[key: %s, cert: %s]",
                       tls->key_file, tls->cert_file);
    }
    if ((*tls->client_cert_file == '\0') != (*tls->client_key_file == '\0')) {
        return err_set(err, E_INVALID,
                       "ClientKeyFile and ClientCertFile must both be present or both absent: "
                       "key: %s, cert: %s]",
                       tls->client_key_file, tls->client_cert_file);
    }
    if (*tls->allowed_names != '\0' && *tls->allowed_hosts != '\0') {
        return err_set(err, E_INVALID,
                       "AllowedCNs and AllowedHostnames are mutually exclusive (cns=\"%s\", "
                       "hostnames=\"%s\")",
                       tls->allowed_names, tls->allowed_hosts);
    }
    return 0;
}

static const char *first_tls_url(const struct config_urls *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct url url;
        if (url_parse(list->urls[i], &url, NULL) == 0 && url_is_tls(&url)) {
            return list->urls[i];
        }
    }
    return NULL;
}

/* An https URL needs a certificate. */
static int check_urls(const struct server_config *config, struct err *err)
{
    bool client = *config->client_tls.cert_file != '\0' || config->client_tls.auto_tls;
    bool peer = *config->peer_tls.cert_file != '\0' || config->peer_tls.auto_tls;
    const char *url = first_tls_url(&config->listen_client_urls);
    if (url == NULL) {
        url = first_tls_url(&config->listen_client_http_urls);
    }
    if (!client && url != NULL) {
        return err_set(err, E_INVALID,
                       "TLS key/cert (--cert-file, --key-file) must be provided for client url %s "
                       "with HTTPS scheme",
                       url);
    }
    url = first_tls_url(&config->listen_metrics_urls);
    if (!client && url != NULL) {
        return err_set(err, E_INVALID,
                       "client TLS key/cert (--cert-file, --key-file) must be provided for metrics "
                       "secure url %s",
                       url);
    }
    url = first_tls_url(&config->listen_peer_urls);
    if (!peer && url != NULL) {
        return err_set(err, E_INVALID,
                       "cannot listen on TLS for %s: KeyFile and CertFile are not presented "
                       "(--peer-cert-file, --peer-key-file)",
                       url);
    }
    return 0;
}

/* The HTTP-only port and the gRPC-only port cannot be one. */
static int check_http_urls(const struct server_config *config, struct err *err)
{
    for (uint32_t i = 0; i < config->listen_client_http_urls.count; i++) {
        for (uint32_t j = 0; j < config->listen_client_urls.count; j++) {
            struct url http;
            struct url grpc;
            if (url_parse(config->listen_client_http_urls.urls[i], &http, NULL) == 0 &&
                url_parse(config->listen_client_urls.urls[j], &grpc, NULL) == 0 &&
                http.port == grpc.port && strcmp(http.host, grpc.host) == 0) {
                return err_set(err, E_INVALID,
                               "cannot bind both --listen-client-urls and "
                               "--listen-client-http-urls on the same url %s",
                               http.text);
            }
        }
    }
    return 0;
}

int config_tls_check(const struct server_config *config, struct err *err)
{
    int rc = check_versions(config, err);
    if (rc == 0) {
        rc = check_one(&config->client_tls, err);
    }
    if (rc == 0) {
        rc = check_one(&config->peer_tls, err);
    }
    if (rc == 0) {
        rc = check_urls(config, err);
    }
    if (rc == 0) {
        rc = check_http_urls(config, err);
    }
    if (rc == 0 && config->self_signed_cert_validity == 0 &&
        (config->client_tls.auto_tls || config->peer_tls.auto_tls)) {
        rc = err_set(err, E_INVALID,
                     "selfSignedCertValidity is invalid,it should be greater than 0");
    }
    return rc;
}
