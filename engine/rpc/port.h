/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port of the engine: listeners whose connections speak gRPC or HTTP/1.1, told apart by the
 * HTTP/2 client preface. Anything else is closed. Over TLS, HTTP/2 must have been agreed by ALPN,
 * as grpc-go demands; requests there that are not gRPC go to the HTTP server, as with etcd.
 */
#ifndef ENGINE_RPC_PORT_H
#define ENGINE_RPC_PORT_H

#include "base/net/http1.h"
#include "base/net/listen.h"
#include "base/net/resolve.h"
#include "base/net/stream.h"
#include "base/net/url.h"
#include "engine/rpc/grpc.h"

#define PORT_URLS_MAX          16u
#define PORT_SNIFF_DEADLINE_MS 10000u /* for the handshake and the first bytes */
#define PORT_CROWD_MAX         512u   /* connections in that state; more wait to be accepted */
#define PORT_CROWD_DEADLINE_MS 1000u  /* what each of them has in a crowd */
#define PORT_REFUSALS_LOGGED   10u    /* per second */

struct port;

struct port_config {
    struct loop *loop;
    const struct url *urls; /* borrowed for the call */
    size_t url_count;
    const char *name; /* "client", "peer": for the log; borrowed for the port's life */
    const struct stream_transport_maker
        *tls; /* for https and unixs; borrowed for the port's life */
    /*
     * A certificate that names hosts must come from one of them: from that address, or from one
     * that the name service knows by that name. Needs the resolver for names (borrowed).
     */
    bool check_client_hosts;
    struct resolver *resolver;
    struct grpc_server *grpc;  /* borrowed; NULL: HTTP/1.1 only */
    struct http1_server *http; /* borrowed; NULL: gRPC only */
    size_t connections_max;    /* per listener; 0: no limit */
    bool reuse_port;
};

/* Listens on all URLs or on none. */
BASE_MUST_CHECK int port_open(const struct port_config *config, struct port **out_port,
                              struct err *err);

/* Stops listening; connections that were handed over live on in their servers. */
void port_stop_listening(struct port *port);

/* Stops listening and closes what is still being sniffed; connections of the servers live on, but
 * over TLS the gRPC server must be gone. */
void port_free(struct port *port);

/* The bound port of URL index (as given), for URLs that said 0. */
uint16_t port_number(const struct port *port, size_t index);

#endif
