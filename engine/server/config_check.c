/* SPDX-License-Identifier: Apache-2.0 */
/* What etcd refuses, in its words, and values that need another shape than they were said in. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/net/url.h"
#include "engine/server/config_input.h"
#include "engine/server/config_tls.h"
#include "engine/server/version.h"

#define ELECTION_MS_MAX            50000 /* as etcd: beyond it a cluster would not notice a dead leader */
#define ELECTION_PER_HEARTBEAT_MIN 5
#define RETENTION_MAX              1000000000000ll /* hours or revisions: more than anybody has */
#define PROGRESS_INTERVAL_MIN_MS   100
#define RAFT_TIMEOUT_MIN_MS        5000                   /* as etcd */
#define MAX_REQUEST_BYTES_MAX      (256u * 1024u * 1024u) /* what a message between members may hold */

static int split_urls(const char *flag, const char *text, struct config_urls *out, struct err *err)
{
    const char *at = text;
    while (*at != '\0') {
        size_t size = strcspn(at, ",");
        if (out->count == CONFIG_URLS_MAX) {
            return err_set(err, E_INVALID, "--%s has more than %u URLs", flag, CONFIG_URLS_MAX);
        }
        char *url = str_from(at, size);
        out->urls[out->count++] = url;
        struct url parsed;
        int rc = url_parse(url, &parsed, err);
        if (rc != 0) {
            return err_wrap(err, rc, "--%s", flag);
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return 0;
}

static int need_urls(const char *flag, const char *text, struct config_urls *out, struct err *err)
{
    int rc = split_urls(flag, text, out, err);
    if (rc == 0 && out->count == 0) {
        return err_set(err, E_INVALID, "--%s needs at least one URL, such as http://127.0.0.1:2379",
                       flag);
    }
    return rc;
}

static int check_timing(const struct server_config *config, struct err *err)
{
    if (config->heartbeat_ms <= 0) {
        return err_set(err, E_INVALID, "--heartbeat-interval must be >0 (set to %lldms)",
                       (long long)config->heartbeat_ms);
    }
    if (config->election_ms / ELECTION_PER_HEARTBEAT_MIN < config->heartbeat_ms) {
        return err_set(err, E_INVALID,
                       "--election-timeout[%lldms] should be at least as 5 times as "
                       "--heartbeat-interval[%lldms]",
                       (long long)config->election_ms, (long long)config->heartbeat_ms);
    }
    if (config->election_ms > ELECTION_MS_MAX) {
        return err_set(err, E_INVALID,
                       "--election-timeout[%lldms] is too long, and should be set less than %dms",
                       (long long)config->election_ms, ELECTION_MS_MAX);
    }
    return 0;
}

static int read_compaction(const struct config_input *raw, struct server_config *config,
                           struct err *err)
{
    const char *text = raw->compaction_retention;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    bool whole = *text != '\0' && *end == '\0';
    if (whole && (errno != 0 || number > RETENTION_MAX)) {
        return err_set(err, E_INVALID, "--auto-compaction-retention is too large (set to %s)",
                       text);
    }
    if (whole && number < 0) {
        return err_set(err, E_INVALID,
                       "--auto-compaction-retention must not be negative (set to %s)", text);
    }
    if (strcmp(raw->compaction_mode, "revision") == 0) {
        config->auto_compaction_mode = COMPACTION_REVISION;
        config->auto_compaction_retention = number;
        if (!whole) {
            return err_set(err, E_INVALID,
                           "--auto-compaction-retention must be a number of revisions (set to %s)",
                           text);
        }
        return 0;
    }
    if (strcmp(raw->compaction_mode, "periodic") != 0) {
        return err_set(err, E_INVALID,
                       "unknown --auto-compaction-mode \"%s\": say periodic or revision",
                       raw->compaction_mode);
    }
    /* A bare number means hours, as in etcd. */
    if (whole) {
        config->auto_compaction_retention = number * 3600000;
        return 0;
    }
    if (flags_parse_duration_ms(text, &config->auto_compaction_retention) != 0 ||
        config->auto_compaction_retention < 0) {
        return err_set(err, E_INVALID,
                       "--auto-compaction-retention \"%s\" is no duration, such as 30m or 1h",
                       text);
    }
    return 0;
}

static int check_advertised(const struct server_config *config, bool advertise_client_set,
                            struct err *err)
{
    const char *first = config->listen_client_urls.urls[0];
    bool is_default =
        config->listen_client_urls.count == 1 && strcmp(first, "http://localhost:2379") == 0;
    if (!is_default && !advertise_client_set) {
        return err_set(
            err, E_INVALID,
            "--advertise-client-urls is required when --listen-client-urls is set explicitly");
    }
    return 0;
}

/* 0 means the default, as in etcd; without it the store would never rest, or no entry be kept. */
static int settle_numbers(struct server_config *config, struct err *err)
{
    struct config_input input;
    config_defaults(&input);
    const struct server_config defaults = input.c;
    if (config->compact_hash_check_ms <= 0) {
        return err_set(err, E_INVALID, "--compact-hash-check-time must be >0 (set to %lldms)",
                       (long long)config->compact_hash_check_ms);
    }
    if (config->backend_batch_interval_ms < 0) {
        return err_set(err, E_INVALID, "--backend-batch-interval must not be negative");
    }
    if (config->backend_batch_interval_ms == 0) {
        config->backend_batch_interval_ms = defaults.backend_batch_interval_ms;
    }
    if (config->backend_batch_limit == 0) {
        config->backend_batch_limit = defaults.backend_batch_limit;
    }
    if (config->snapshot_count == 0) {
        config->snapshot_count = defaults.snapshot_count;
    }
    if (config->snapshot_catchup_entries == 0) {
        config->snapshot_catchup_entries = defaults.snapshot_catchup_entries;
    }
    if (config->max_request_bytes == 0 || config->max_request_bytes > MAX_REQUEST_BYTES_MAX) {
        return err_set(err, E_INVALID, "--max-request-bytes must be between 1 and %u",
                       MAX_REQUEST_BYTES_MAX);
    }
    config->watch_progress_interval_ms =
        BASE_MAX(config->watch_progress_interval_ms, PROGRESS_INTERVAL_MIN_MS);
    return 0;
}

/* The member's own name must stand in --initial-cluster, as must every advertised peer URL. */
static char *default_initial_cluster(const struct server_config *config)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (uint32_t i = 0; i < config->initial_advertise_peer_urls.count; i++) {
        buf_printf(&text, "%s%s=%s", i == 0 ? "" : ",", config->name,
                   config->initial_advertise_peer_urls.urls[i]);
    }
    (void)buf_cstr(&text);
    size_t size;
    return (char *)buf_take(&text, &size);
}

static bool is_given(const char *text)
{
    return text != NULL && *text != '\0';
}

/* The ways to find each other exclude each other; those of v3 belong together. */
static int check_discovery(const struct config_input *raw, struct err *err)
{
    const struct config_discovery *found = &raw->c.discovery;
    int ways = (is_given(found->url) ? 1 : 0) + (is_given(raw->initial_cluster) ? 1 : 0) +
               (is_given(found->srv) ? 1 : 0) + (is_given(found->endpoints) ? 1 : 0);
    if (ways > 1) {
        return err_set(err, E_INVALID,
                       "multiple discovery or bootstrap flags are set. Choose one of "
                       "\"initial-cluster\", \"discovery\", \"discovery-endpoints\" or "
                       "\"discovery-srv\"");
    }
    bool has_v3 = is_given(found->endpoints) || is_given(found->token) || is_given(found->cert) ||
                  is_given(found->key) || is_given(found->cacert) || is_given(found->user) ||
                  is_given(found->password);
    if (is_given(found->proxy) && has_v3) {
        return err_set(err, E_INVALID,
                       "both v2 discovery settings (discovery, discovery-proxy) and v3 discovery "
                       "settings (discovery-token, discovery-endpoints, discovery-cert, "
                       "discovery-key, discovery-cacert, discovery-user, discovery-password) are "
                       "set");
    }
    if (is_given(found->token) != is_given(found->endpoints)) {
        return err_set(err, E_INVALID,
                       "both --discovery-token and --discovery-endpoints must be set");
    }
    const char *list = is_given(found->endpoints) ? found->endpoints : "x";
    for (size_t at = 0;; at++) {
        size_t size = strcspn(list + at, ",");
        if (strspn(list + at, " ") >= size) {
            return err_set(err, E_INVALID,
                           "--discovery-endpoints must not contain empty endpoints");
        }
        at += size;
        if (list[at] == '\0') {
            return 0;
        }
    }
}

static int check_addresses(const struct server_config *config, struct err *err)
{
    const struct config_urls *bound[] = {&config->listen_peer_urls, &config->listen_client_urls,
                                         &config->listen_client_http_urls,
                                         &config->listen_metrics_urls};
    const struct config_urls *told[] = {&config->initial_advertise_peer_urls,
                                        &config->advertise_client_urls};
    struct url url;
    for (size_t i = 0; i < ARRAY_COUNT(bound); i++) {
        for (uint32_t j = 0; j < bound[i]->count; j++) {
            int rc = url_parse(bound[i]->urls[j], &url, err);
            if (rc == 0 && url.host[0] != '\0') { /* no host: all addresses */
                rc = url_check_bind(&url, err);
            }
            if (rc != 0) {
                return rc;
            }
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(told); i++) {
        for (uint32_t j = 0; j < told[i]->count; j++) {
            if (url_parse(told[i]->urls[j], &url, err) == 0 && url.host[0] == '\0') {
                return err_set(err, E_INVALID,
                               "--%s \"%s\" must be \"host:port\" (unexpected "
                               "empty host)",
                               i == 0 ? "initial-advertise-peer-urls" : "advertise-client-urls",
                               told[i]->urls[j]);
            }
        }
    }
    return 0;
}

/* What needs another shape than it was said in. */
static void settle_rest(const struct config_input *raw, struct server_config *config)
{
    config->no_election_tick_advance = !raw->election_tick_advance;
    config->compact_keys_per_turn =
        raw->compaction_batch_limit > 0 ? (uint64_t)raw->compaction_batch_limit : 0;
    config->raft_read_timeout_ms = BASE_MAX(config->raft_read_timeout_ms, RAFT_TIMEOUT_MIN_MS);
    config->raft_write_timeout_ms = BASE_MAX(config->raft_write_timeout_ms, RAFT_TIMEOUT_MIN_MS);
    config->data_dir =
        *raw->data_dir == '\0' ? str_printf("%s.etcd", config->name) : str_dup(raw->data_dir);
    const struct config_discovery *found = &config->discovery;
    bool is_found = is_given(found->url) || is_given(found->srv) || is_given(found->endpoints);
    config->initial_cluster = is_given(raw->initial_cluster) ? str_dup(raw->initial_cluster)
                              : is_found                     ? str_dup("")
                                                             : default_initial_cluster(config);
}

static bool is_routable(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return v4.s_addr != INADDR_ANY && (ntohl(v4.s_addr) >> 24) != IN_LOOPBACKNET;
    }
    return inet_pton(AF_INET6, host, &v6) == 1 && !IN6_IS_ADDR_LOOPBACK(&v6) &&
           !IN6_IS_ADDR_UNSPECIFIED(&v6);
}

void config_local_host(const struct server_config *config, char *out)
{
    *out = '\0';
    if (!config->features[FEATURE_SET_MEMBER_LOCAL_ADDR]) {
        return;
    }
    for (uint32_t i = 0; i < config->initial_advertise_peer_urls.count; i++) {
        struct url url;
        if (url_parse(config->initial_advertise_peer_urls.urls[i], &url, NULL) == 0 &&
            !url_is_unix(&url) && is_routable(url.host)) {
            memcpy(out, url.host, strlen(url.host) + 1);
            LOG_INFO("setting member local address", LOG_STR("LocalAddr", out));
            return;
        }
    }
    LOG_WARN("unable to set a member local address due to lack of suitable local addresses");
}

int config_settle(struct config_input *raw, bool advertise_client_set, struct err *err)
{
    struct server_config *config = &raw->c;
    int rc = need_urls("listen-client-urls", raw->listen_client, &config->listen_client_urls, err);
    if (rc == 0) {
        rc = split_urls("listen-client-http-urls", raw->listen_client_http,
                        &config->listen_client_http_urls, err);
    }
    if (rc == 0) {
        rc = need_urls("listen-peer-urls", raw->listen_peer, &config->listen_peer_urls, err);
    }
    if (rc == 0) {
        rc = split_urls("listen-metrics-urls", raw->listen_metrics, &config->listen_metrics_urls,
                        err);
    }
    if (rc == 0) {
        rc = need_urls("advertise-client-urls", raw->advertise_client,
                       &config->advertise_client_urls, err);
    }
    if (rc == 0) {
        rc = need_urls("initial-advertise-peer-urls", raw->advertise_peer,
                       &config->initial_advertise_peer_urls, err);
    }
    if (rc == 0) {
        rc = check_addresses(config, err);
    }
    if (rc == 0) {
        rc = check_discovery(raw, err);
    }
    if (rc == 0) {
        rc = check_advertised(config, advertise_client_set, err);
    }
    if (rc == 0) {
        rc = config_tls_check(config, err);
    }
    if (rc == 0) {
        rc = check_timing(config, err);
    }
    if (rc == 0) {
        rc = read_compaction(raw, config, err);
    }
    if (rc == 0) {
        rc = settle_numbers(config, err);
    }
    if (rc == 0) {
        rc = version_parse_hold(raw->hold_version, &config->hold_cluster_version, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (strcmp(raw->cluster_state, "existing") == 0) {
        config->initial_cluster_state = CLUSTER_STATE_EXISTING;
    } else if (strcmp(raw->cluster_state, "new") != 0) {
        return err_set(err, E_INVALID,
                       "unexpected clusterState \"%s\": --initial-cluster-state is new or existing",
                       raw->cluster_state);
    }
    settle_rest(raw, config);
    return 0;
}
