/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use the HTTP side of the client port: --host-whitelist keeps a page of another site from
 * reaching a member by a name of its own that resolves here (CVE-2018-5702), --cors says which
 * pages' scripts may read answers.
 */
#include <string.h>

#include "base/alloc.h"
#include "engine/server/http.h"

/* Whether name is in a comma-separated list, or the list has "*". */
static bool list_has(const char *list, struct bytes name)
{
    const char *at = list;
    while (*at != '\0') {
        size_t size = strcspn(at, ",");
        if ((size == 1 && *at == '*') || bytes_equal(bytes_of(at, size), name)) {
            return true;
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return false;
}

/* The name in a Host header, without port and brackets. */
static struct bytes host_name(const char *host)
{
    if (*host == '[') {
        return bytes_of(host + 1, strcspn(host + 1, "]"));
    }
    return bytes_of(host, strcspn(host, ":"));
}

static bool host_is_known(const struct server *server, const struct http1_request *request)
{
    const char *list = server->config->host_whitelist;
    const char *host = http1_header(request, "host");
    return list == NULL || *list == '\0' || list_has(list, host_name(host == NULL ? "" : host));
}

bool io_http_admit(struct server *server, struct http1_request *request)
{
    const char *cors = server->config->cors == NULL ? "*" : server->config->cors;
    const char *origin = http1_header(request, "origin");
    if (http1_is_plain(request) && !host_is_known(server, request)) {
        http1_respond_error(request, 421,
                            "the Host header names no host of --host-whitelist: use TLS, or add "
                            "the name to that flag (this is what keeps foreign pages out, "
                            "CVE-2018-5702)");
        return false;
    }
    bool any = list_has(cors, bytes_of("*", 1));
    if (!any && origin != NULL && !list_has(cors, bytes_of_str(origin)) &&
        http1_header(request, "upgrade") != NULL) {
        /* A browser lets any page open a WebSocket and read it: it is for us to ask where it is
         * from. */
        http1_respond_error(request, 403, "the Origin of this page is not in --cors");
        return false;
    }
    if (any || (origin != NULL && list_has(cors, bytes_of_str(origin)))) {
        http1_set_header(request, "Access-Control-Allow-Methods",
                         "POST, GET, OPTIONS, PUT, DELETE");
        http1_set_header(request, "Access-Control-Allow-Origin", any ? "*" : origin);
        http1_set_header(request, "Access-Control-Allow-Headers",
                         "accept, content-type, authorization");
    }
    if (strcmp(http1_method(request), "OPTIONS") == 0) {
        http1_respond(request, 200, NULL, (struct bytes){NULL, 0});
        return false;
    }
    return true;
}
