/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets from URLs: IPv4, IPv6 and unix; a bounded number of connections each. */
#ifndef BASE_NET_LISTEN_H
#define BASE_NET_LISTEN_H

#include "base/err.h"
#include "base/net/loop.h"
#include "base/net/url.h"

struct listener;

/* Takes fd: non-blocking, close-on-exec. Call listener_release when that connection has ended. */
typedef void (*listener_accept_fn)(void *ctx, int fd);

struct listener_config {
    struct loop *loop;
    const struct url *url;  /* borrowed for the call; port 0 picks a free one */
    size_t connections_max; /* 0: no limit; at the limit new ones wait in the kernel's queue */
    bool reuse_port;        /* SO_REUSEPORT: --socket-reuse-port */
    listener_accept_fn accept;
    void *ctx;
};

/*
 * Binds and listens. E_IN_USE with "listen tcp 127.0.0.1:2379: bind: address already in use", which
 * is what tools look for. A unix path left by a dead process is replaced.
 */
BASE_MUST_CHECK int listener_open(const struct listener_config *config,
                                  struct listener **out_listener, struct err *err);

/* Stops listening and frees; accepted connections live on. NULL is allowed. */
void listener_free(struct listener *listener);

/* One accepted connection has ended: its place is free again. */
void listener_release(struct listener *listener);

/* Accepts nothing until it is told to go on: new connections wait in the kernel's queue. */
void listener_pause(struct listener *listener);
void listener_resume(struct listener *listener);

/* The port that is bound, also when the URL said 0; 0 for unix. */
uint16_t listener_port(const struct listener *listener);
size_t listener_connection_count(const struct listener *listener);

#endif
