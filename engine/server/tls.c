/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of the ports. */
#include "engine/server/tls.h"

#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/net/url.h"
#include "base/tls/tls.h"
#include "engine/server/internal.h"

static const char *or_none(const char *text)
{
    return text == NULL ? "" : text;
}

static bool is_given(const char *text)
{
    return text != NULL && *text != '\0';
}

/* ---- what is ignored ---- */

static void warn_of_plain_urls(const struct config_tls *tls, const struct config_urls *list,
                               const char *field, bool is_peer)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct url url;
        if (url_parse(list->urls[i], &url, NULL) != 0 || url_is_tls(&url)) {
            continue;
        }
        if (is_given(tls->cert_file) || is_given(tls->key_file)) {
            LOG_WARN(is_peer ? "scheme is HTTP while key and cert files are present; ignoring key "
                               "and cert files"
                             : "scheme is http or unix while key and cert files are present; "
                               "ignoring key and cert files",
                     LOG_STR(field, list->urls[i]));
        }
        if (tls->client_cert_auth) {
            LOG_WARN(is_peer ? "scheme is HTTP while --peer-client-cert-auth is enabled; ignoring "
                               "client cert auth for this URL"
                             : "scheme is http or unix while --client-cert-auth is enabled; "
                               "ignoring client cert auth for this URL",
                     LOG_STR(field, list->urls[i]));
        }
    }
}

/* ---- --auto-tls ---- */

/* The hosts of all URLs, borrowed from urls; those without a host are none. */
static size_t collect_hosts(const struct config_urls *list, struct url *urls, const char **hosts,
                            size_t count)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (url_parse(list->urls[i], &urls[count], NULL) == 0 && !url_is_unix(&urls[count]) &&
            urls[count].host[0] != '\0') {
            hosts[count] = urls[count].host;
            count++;
        }
    }
    return count;
}

/* Replaces what the flags say by a certificate of our own, as etcd does. */
static int use_own(const struct server_config *config, const char *kind,
                   const struct config_urls *first, const struct config_urls *second,
                   struct tls_config *out, char *paths[2], struct err *err)
{
    struct url *urls = mem_array((size_t)first->count + second->count + 1, sizeof(*urls));
    const char *hosts[2 * CONFIG_URLS_MAX];
    size_t count = collect_hosts(first, urls, hosts, 0);
    count = collect_hosts(second, urls, hosts, count);
    char *dir = str_printf("%s/fixtures/%s", config->data_dir, kind);
    const struct tls_self_signed request = {.dir = dir,
                                            .hosts = hosts,
                                            .host_count = count,
                                            .valid_years = config->self_signed_cert_validity};
    int rc = tls_self_signed_make(&request, err);
    paths[0] = str_printf("%s/cert.pem", dir);
    paths[1] = str_printf("%s/key.pem", dir);
    mem_free(dir);
    mem_free(urls);
    *out = (struct tls_config){
        .cert_file = paths[0], .key_file = paths[1], .insecure_skip_verify = true};
    return rc;
}

/* ---- from flags to makers ---- */

/* A list of names, cut out of a copy of what the flag says. */
struct name_list {
    char *text;
    const char **names;
    size_t count;
};

static struct name_list split(const char *text)
{
    struct name_list list = {.text = str_dup(or_none(text))};
    list.names = mem_array(strlen(list.text) / 2 + 1, sizeof(*list.names));
    char *at = list.text;
    while (*at != '\0') {
        size_t size = strcspn(at, ",");
        bool more = at[size] == ',';
        at[size] = '\0';
        if (size > 0) {
            list.names[list.count++] = at;
        }
        at += size + (more ? 1 : 0);
    }
    return list;
}

static void name_list_free(struct name_list *list)
{
    mem_free(list->text);
    mem_free(list->names);
}

static void log_start(const struct tls_config *tls, const char *msg)
{
    char *info =
        str_printf("cert = %s, key = %s, client-cert=%s, client-key=%s, trusted-ca = %s, "
                   "client-cert-auth = %s, crl-file = %s",
                   or_none(tls->cert_file), or_none(tls->key_file), or_none(tls->client_cert_file),
                   or_none(tls->client_key_file), or_none(tls->ca_file),
                   tls->require_client_cert ? "true" : "false", or_none(tls->crl_file));
    LOG_INFO(msg, LOG_STR("tls-info", info));
    mem_free(info);
}

/* What one group of flags says; names and hosts are borrowed. */
static struct tls_config from_flags(const struct config_tls *tls, const struct name_list *names,
                                    const struct name_list *hosts)
{
    return (struct tls_config){
        .cert_file = tls->cert_file,
        .key_file = tls->key_file,
        .client_cert_file = tls->client_cert_file,
        .client_key_file = tls->client_key_file,
        .ca_file = tls->trusted_ca_file,
        .crl_file = tls->crl_file,
        .require_client_cert = tls->client_cert_auth,
        .allowed_names = names->names,
        .allowed_name_count = names->count,
        .allowed_hosts = hosts->names,
        .allowed_host_count = hosts->count,
    };
}

static int common_settings(const struct server_config *config, char suites[TLS_SUITE_TEXT_MAX],
                           struct tls_config *tls, struct err *err)
{
    int rc = tls_suites_parse(or_none(config->cipher_suites), suites, TLS_SUITE_TEXT_MAX, err);
    if (rc == 0) {
        rc = tls_version_parse(or_none(config->tls_min_version), &tls->min_version, err);
    }
    if (rc == 0) {
        rc = tls_version_parse(or_none(config->tls_max_version), &tls->max_version, err);
    }
    tls->cipher_suites = suites;
    return rc;
}

struct made {
    struct tls_config config;
    char *own_paths[2];
    struct name_list names, hosts;
    char suites[TLS_SUITE_TEXT_MAX];
};

/* One group of flags, with --auto-tls where it counts; what is in made lives until made_free. */
static int made_read(const struct server_config *config, bool is_peer, struct made *made,
                     struct err *err)
{
    const struct config_tls *tls = is_peer ? &config->peer_tls : &config->client_tls;
    static const struct config_urls no_urls = {0};
    *made = (struct made){0};
    made->names = split(tls->allowed_names);
    made->hosts = split(tls->allowed_hosts);
    made->config = from_flags(tls, &made->names, &made->hosts);
    int rc = 0;
    if (tls->auto_tls && is_given(tls->cert_file)) {
        LOG_WARN(is_peer ? "ignoring peer auto TLS since certs given"
                         : "ignoring client auto TLS since certs given");
    } else if (tls->auto_tls) {
        if (tls->client_cert_auth || is_given(tls->trusted_ca_file)) {
            LOG_WARN("certificates of the other side are not checked: this member makes its own "
                     "(--auto-tls)",
                     LOG_STR("port", is_peer ? "peer" : "client"));
        }
        rc = use_own(config, is_peer ? "peer" : "client",
                     is_peer ? &config->listen_peer_urls : &config->listen_client_urls,
                     is_peer ? &no_urls : &config->listen_client_http_urls, &made->config,
                     made->own_paths, err);
    }
    return rc == 0 ? common_settings(config, made->suites, &made->config, err) : rc;
}

static void made_free(struct made *made)
{
    mem_free(made->own_paths[0]);
    mem_free(made->own_paths[1]);
    name_list_free(&made->names);
    name_list_free(&made->hosts);
}

static int start_clients(struct server *server, struct err *err)
{
    const struct server_config *config = server->config;
    struct made made;
    warn_of_plain_urls(&config->client_tls, &config->listen_client_urls, "client-url", false);
    warn_of_plain_urls(&config->client_tls, &config->listen_client_http_urls, "client-url", false);
    int rc = made_read(config, false, &made, err);
    if (rc == 0 && is_given(made.config.cert_file)) {
        log_start(&made.config, "starting with client TLS");
        made.config.protocols =
            config->listen_client_http_urls.count > 0 ? TLS_PROTOCOLS_HTTP2 : TLS_PROTOCOLS_BOTH;
        rc = tls_maker_new(&made.config, &server->tls.client, err);
        if (rc == 0) {
            made.config.protocols = TLS_PROTOCOLS_HTTP1;
            rc = tls_maker_new(&made.config, &server->tls.http, err);
        }
    }
    made_free(&made);
    return rc;
}

/* Peers may have https URLs though this member has no certificate: then the system's authorities
 * are asked, and it is no failure that there is no TLS at all. */
static int start_peers(struct server *server, struct err *err)
{
    const struct server_config *config = server->config;
    struct made made;
    warn_of_plain_urls(&config->peer_tls, &config->listen_peer_urls, "peer-url", true);
    int rc = made_read(config, true, &made, err);
    if (rc == 0) {
        bool is_wanted = is_given(made.config.cert_file) || is_given(made.config.ca_file);
        if (is_given(made.config.cert_file)) {
            log_start(&made.config, "starting with peer TLS");
        }
        made.config.protocols = TLS_PROTOCOLS_HTTP1;
        made.config.without_tickets = true;
        rc = tls_maker_new(&made.config, &server->tls.peer, is_wanted ? err : NULL);
        rc = is_wanted ? rc : 0;
    }
    made_free(&made);
    return rc;
}

int server_tls_start(struct server *server, struct err *err)
{
    int rc = start_clients(server, err);
    return rc == 0 ? start_peers(server, err) : rc;
}

void server_tls_free(struct server *server)
{
    tls_maker_free(server->tls.client);
    tls_maker_free(server->tls.http);
    tls_maker_free(server->tls.peer);
    tls_maker_free(server->tls.discovery);
    server->tls = (struct server_tls){0};
}

const struct stream_transport_maker *server_tls_seam(const struct tls_maker *maker)
{
    return maker == NULL ? NULL : tls_maker_seam(maker);
}
