/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SRV records as a list of members. The record that is one of this member's own peer URLs gets its
 * name, the others are numbered: names of others do not matter, ids come from URLs.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/net/srv.h"
#include "base/net/url.h"
#include "engine/server/discovery.h"

#define SERVICE_MAX 128u

struct srv_list {
    struct buf text;
    uint32_t count, numbered;
    bool has_self;
};

/* The own peer URL that a target is, or NULL. */
static const char *own_url(const struct server_config *config, const struct srv_target *target,
                           struct url *out_url)
{
    for (uint32_t i = 0; i < config->initial_advertise_peer_urls.count; i++) {
        const char *text = config->initial_advertise_peer_urls.urls[i];
        if (url_parse(text, out_url, NULL) == 0 && !url_is_unix(out_url) &&
            out_url->port == target->port && srv_same_host(out_url->host, target->host)) {
            return text;
        }
    }
    return NULL;
}

static void take_target(const struct server_config *config, const char *scheme,
                        const struct srv_target *target, struct srv_list *list)
{
    struct url url;
    const char *own = own_url(config, target, &url);
    if (own != NULL && url_is_tls(&url) != str_equal(scheme, "https")) {
        LOG_WARN("an SRV record has another scheme than the peer URL that it is for",
                 LOG_STR("scheme", scheme), LOG_STR("host", target->host), LOG_STR("url", own));
        return;
    }
    buf_printf(&list->text, "%s", list->count++ == 0 ? "" : ",");
    if (own != NULL) {
        list->has_self = true;
        buf_append_str(&list->text, config->name);
    } else {
        buf_printf(&list->text, "%u", list->numbered++);
    }
    buf_printf(&list->text, "=%s://%s:%u", scheme, target->host, (unsigned)target->port);
}

static int ask(const struct server_config *config, const char *scheme, const char *kind,
               struct srv_list *list, struct err *err)
{
    struct srv_target *targets = mem_array(SRV_TARGETS_MAX, sizeof(*targets));
    const char *suffix = config->discovery.srv_name;
    char service[SERVICE_MAX];
    size_t count = 0;
    bool has_suffix = suffix != NULL && *suffix != '\0';
    (void)snprintf(service, sizeof(service), "%s%s%s", kind, has_suffix ? "-" : "",
                   has_suffix ? suffix : "");
    int rc = srv_lookup(service, config->discovery.srv, targets, SRV_TARGETS_MAX, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        take_target(config, scheme, &targets[i], list);
    }
    LOG_INFO("asked for SRV records", LOG_STR("service", service),
             LOG_STR("discovery-srv", config->discovery.srv), LOG_U64("found", count),
             LOG_STR("error", rc == 0 ? "" : err->text));
    mem_free(targets);
    return rc;
}

int discovery_srv_run(const struct server_config *config, char **out_initial_cluster,
                      struct err *err)
{
    struct srv_list list = {.count = 0};
    struct err secure = {{0}};
    struct err plain = {{0}};
    size_t size;
    buf_init(&list.text, BUF_NO_LIMIT);
    int secure_rc = ask(config, "https", "etcd-server-ssl", &list, &secure);
    int plain_rc = ask(config, "http", "etcd-server", &list, &plain);
    int rc = 0;
    if (list.count == 0) {
        rc = err_set(err, secure_rc != 0 ? secure_rc : E_NOT_FOUND,
                     "error querying DNS SRV records: %s; %s", secure.text,
                     plain_rc != 0 ? plain.text : "");
    } else if (!list.has_self) {
        rc = err_set(err, E_NOT_FOUND,
                     "cannot find local etcd member \"%s\" in SRV records: none has the host and "
                     "port of --initial-advertise-peer-urls",
                     config->name);
    }
    if (rc != 0) {
        buf_free(&list.text);
        return rc;
    }
    (void)buf_cstr(&list.text);
    *out_initial_cluster = (char *)buf_take(&list.text, &size);
    LOG_INFO("got bootstrap from DNS", LOG_STR("initial-cluster", *out_initial_cluster));
    return 0;
}
