/* SPDX-License-Identifier: Apache-2.0 */
/* Which port shows what: from the flags of TLS to the makers of base/tls. */
#ifndef ENGINE_SERVER_TLS_H
#define ENGINE_SERVER_TLS_H

#include "base/err.h"
#include "base/net/stream.h"

struct server;
struct tls_maker;

/* All of a member's; each may be NULL: nothing of that kind is configured. */
struct server_tls {
    struct tls_maker *client;    /* the client ports, gRPC and HTTP */
    struct tls_maker *http;      /* HTTP alone: metrics and --listen-client-http-urls */
    struct tls_maker *peer;      /* the peer ports, and whatever is dialled */
    struct tls_maker *discovery; /* the cluster that --discovery-endpoints names, at first start */
};

/*
 * Makes certificates where --auto-tls says so, reads all files, warns of what is ignored. Main
 * thread, before the ports open.
 */
BASE_MUST_CHECK int server_tls_start(struct server *server, struct err *err);

/* After the last stream. */
void server_tls_free(struct server *server);

/* The seam of one of them; NULL when it is not there. */
const struct stream_transport_maker *server_tls_seam(const struct tls_maker *maker);

#endif
