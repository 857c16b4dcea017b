/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The URLs of --listen-*-urls, --advertise-*-urls and --initial-cluster: scheme, host, port and
 * nothing else. Error texts are those that etcd prints.
 */
#ifndef BASE_NET_URL_H
#define BASE_NET_URL_H

#include "base/defs.h"
#include "base/err.h"

#define URL_HOST_MAX 255u
#define URL_TEXT_MAX 320u

enum url_scheme { URL_HTTP, URL_HTTPS, URL_UNIX, URL_UNIXS };

/* A plain value: copy it freely. */
struct url {
    enum url_scheme scheme;
    char host[URL_HOST_MAX + 1]; /* without brackets; for unix schemes the socket's path */
    uint16_t port;               /* 0 for unix schemes */
    char text[URL_TEXT_MAX];     /* as it was given, without a trailing slash */
};

/* Parses one URL ("http://10.0.0.1:2379", "https://[::1]:2380", "unix:///run/q.sock"). */
BASE_MUST_CHECK int url_parse(const char *text, struct url *out_url, struct err *err);

/*
 * Parses a comma-separated list into at most max URLs, sorted by their text, as etcd sorts them.
 * An empty list is E_INVALID.
 */
BASE_MUST_CHECK int url_parse_list(const char *text, struct url *out_urls, size_t max,
                                   size_t *out_count, struct err *err);

/* Checks that a listen URL names an address to bind to: an IP literal or localhost, or a unix path.
 */
BASE_MUST_CHECK int url_check_bind(const struct url *url, struct err *err);

/* True for https and unixs. */
bool url_is_tls(const struct url *url);
bool url_is_unix(const struct url *url);

/* "host:port" ("[::1]:2379" for IPv6) or the socket's path; size of out at least URL_TEXT_MAX. */
void url_authority(const struct url *url, char *out, size_t out_size);

#endif
