/* SPDX-License-Identifier: Apache-2.0 */
/* The flags of TLS. */
#include "engine/server/config_tls.h"

#include <string.h>

#include "base/net/url.h"
#include "base/tls/tls.h"

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
