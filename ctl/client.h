/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One member to ask, by the flags of etcdctl: where it is, certificates, who asks. Calls are
 * controller/etcd's.
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include "controller/etcd/call.h"
#include "controller/http/http.h"
#include "ctl/command.h"

/* Owns all of it. */
struct ctl_client {
    struct http *http;
    struct http_tls tls;
    struct etcd_endpoint endpoint;
    char *url, *ca, *cert, *key;
    char *token; /* NULL: no user was given */
};

/*
 * The URL of the one endpoint that flags name: "host:port" gets its scheme from the flags. Gives
 * *out_url (mem_free); E_INVALID for none, several, or one that cannot be asked. Pure.
 */
BASE_MUST_CHECK int client_url(const struct ctl_values *values, char **out_url, struct err *err);

/* Reads the certificates and, with --user, fetches a token. ctl_client_close frees in any case. */
BASE_MUST_CHECK int client_open(const struct ctl_values *values, struct ctl_client *out_client,
                                struct err *err);
void client_close(struct ctl_client *client);

#endif
