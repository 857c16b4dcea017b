/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host names to addresses without blocking the loop: IP literals are answered at once, names by a
 * few threads of the resolver's own.
 */
#ifndef BASE_NET_RESOLVE_H
#define BASE_NET_RESOLVE_H

#include <sys/socket.h>

#include "base/err.h"
#include "base/net/loop.h"
#include "base/net/url.h"

#define RESOLVE_ADDRESSES_MAX 8u

struct resolver;
struct resolve_query;

struct resolve_result {
    int code; /* 0, E_NOT_FOUND or E_UNAVAILABLE */
    char text[128];
    size_t address_count;
    struct sockaddr_storage addresses[RESOLVE_ADDRESSES_MAX];
    socklen_t address_sizes[RESOLVE_ADDRESSES_MAX];
};

typedef void (*resolve_fn)(void *ctx, const struct resolve_result *result);

struct resolver *resolver_new(void);

/* Waits for running look-ups (the system resolver's own timeouts bound them). Free the loops later.
 */
void resolver_free(struct resolver *resolver);

/*
 * Looks the host of url up; fn is called on the loop's thread, never before this returns. Gives a
 * query for resolve_cancel. resolver may be NULL when url holds an IP literal, localhost or a unix
 * path.
 */
struct resolve_query *resolve_start(struct resolver *resolver, struct loop *loop,
                                    const struct url *url, resolve_fn fn, void *ctx);

/*
 * Does address belong to one of hosts (copied): is it that address, does the name service know it
 * by that name ("*.x": any that ends in ".x"), or that name by it? code 0: yes; E_NOT_FOUND: no.
 */
struct resolve_query *resolve_owner_start(struct resolver *resolver, struct loop *loop,
                                          const struct sockaddr *address, socklen_t address_size,
                                          const char *const *hosts, size_t host_count,
                                          resolve_fn fn, void *ctx);

/* The callback will not come. Only before it came. */
void resolve_cancel(struct resolve_query *query);

#endif
