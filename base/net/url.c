/* SPDX-License-Identifier: Apache-2.0 */
/* etcd's listen and advertise URLs. */
#include "base/net/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *prefix;
    enum url_scheme scheme;
} SCHEMES[] = {
    {"http://", URL_HTTP},
    {"https://", URL_HTTPS},
    {"unix://", URL_UNIX},
    {"unixs://", URL_UNIXS},
};

bool url_is_tls(const struct url *url)
{
    return url->scheme == URL_HTTPS || url->scheme == URL_UNIXS;
}

bool url_is_unix(const struct url *url)
{
    return url->scheme == URL_UNIX || url->scheme == URL_UNIXS;
}

static bool url_host_is_clean(const char *host, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)host[i];
        if (c <= ' ' || c >= 127 || strchr("/?#@[]\\\"<>^`{|}", c) != NULL) {
            return false;
        }
    }
    return true;
}

static bool url_parse_port(const char *text, size_t size, uint16_t *out_port)
{
    if (size == 0 || size > 5) {
        return false;
    }
    uint32_t port = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    if (port > UINT16_MAX) {
        return false;
    }
    *out_port = (uint16_t)port;
    return true;
}

/* host:port or [v6]:port; size bytes at authority. */
static bool url_parse_authority(const char *authority, size_t size, struct url *url)
{
    const char *colon = memrchr(authority, ':', size);
    if (colon == NULL) {
        return false;
    }
    const char *host = authority;
    size_t host_size = (size_t)(colon - authority);
    if (host_size >= 2 && host[0] == '[' && host[host_size - 1] == ']') {
        host++;
        host_size -= 2;
    } else if (memchr(host, ':', host_size) != NULL) {
        return false;
    }
    if (host_size > URL_HOST_MAX || !url_host_is_clean(host, host_size)) {
        return false;
    }
    memcpy(url->host, host, host_size);
    url->host[host_size] = '\0';
    return url_parse_port(colon + 1, size - (size_t)(colon + 1 - authority), &url->port);
}

int url_parse(const char *text, struct url *out_url, struct err *err)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    size_t size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1])) {
        size--;
    }
    if (size >= URL_TEXT_MAX) {
        return err_set(err, E_INVALID, "URL is too long: %.64s...", text);
    }
    struct url url = {0};
    memcpy(url.text, text, size);
    const char *rest = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(SCHEMES); i++) {
        if (strncmp(url.text, SCHEMES[i].prefix, strlen(SCHEMES[i].prefix)) == 0) {
            url.scheme = SCHEMES[i].scheme;
            rest = url.text + strlen(SCHEMES[i].prefix);
        }
    }
    if (rest == NULL) {
        return err_set(err, E_INVALID, "URL scheme must be http, https, unix, or unixs: %s",
                       url.text);
    }
    if (url_is_unix(&url)) {
        if (*rest == '\0' || strlen(rest) > URL_HOST_MAX) {
            return err_set(err, E_INVALID, "URL must name a socket path: %s", url.text);
        }
        snprintf(url.host, sizeof(url.host), "%s", rest);
        *out_url = url;
        return 0;
    }
    size_t authority_size = strcspn(rest, "/?#");
    if (!url_parse_authority(rest, authority_size, &url)) {
        return err_set(err, E_INVALID, "URL address does not have the form \"host:port\": %s",
                       url.text);
    }
    if (rest[authority_size] == '/' && rest[authority_size + 1] == '\0') {
        url.text[size - 1] = '\0';
    } else if (rest[authority_size] != '\0') {
        return err_set(err, E_INVALID, "URL must not contain a path: %s", url.text);
    }
    *out_url = url;
    return 0;
}

static int url_compare(const void *a, const void *b)
{
    return strcmp(((const struct url *)a)->text, ((const struct url *)b)->text);
}

int url_parse_list(const char *text, struct url *out_urls, size_t max, size_t *out_count,
                   struct err *err)
{
    size_t count = 0;
    const char *at = text;
    while (*at != '\0') {
        size_t size = strcspn(at, ",");
        char one[URL_TEXT_MAX];
        if (size >= sizeof(one)) {
            return err_set(err, E_INVALID, "URL is too long: %.64s...", at);
        }
        if (count == max) {
            return err_set(err, E_TOO_BIG, "more than %zu URLs given", max);
        }
        memcpy(one, at, size);
        one[size] = '\0';
        int rc = url_parse(one, &out_urls[count], err);
        if (rc != 0) {
            return rc;
        }
        count++;
        at += size;
        if (*at == ',') {
            at++;
        }
    }
    if (count == 0) {
        return err_set(err, E_INVALID, "no valid URLs given");
    }
    qsort(out_urls, count, sizeof(*out_urls), url_compare);
    *out_count = count;
    return 0;
}

int url_check_bind(const struct url *url, struct err *err)
{
    if (url_is_unix(url) || strcmp(url->host, "localhost") == 0) {
        return 0;
    }
    uint8_t address[16];
    if (inet_pton(AF_INET, url->host, address) == 1 ||
        inet_pton(AF_INET6, url->host, address) == 1) {
        return 0;
    }
    return err_set(err, E_INVALID, "expected IP in URL for binding (%s)", url->text);
}

void url_authority(const struct url *url, char *out, size_t out_size)
{
    if (url_is_unix(url)) {
        snprintf(out, out_size, "%s", url->host);
    } else if (strchr(url->host, ':') != NULL) {
        snprintf(out, out_size, "[%s]:%u", url->host, (unsigned)url->port);
    } else {
        snprintf(out, out_size, "%s:%u", url->host, (unsigned)url->port);
    }
}
