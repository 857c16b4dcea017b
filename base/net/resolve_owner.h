/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the resolver: does an address belong to one of some hosts? Only resolve.c uses this. */
#ifndef BASE_NET_RESOLVE_OWNER_H
#define BASE_NET_RESOLVE_OWNER_H

#include <sys/socket.h>

#include "base/defs.h"

/*
 * True when one of hosts is the address itself. *out_has_names: some are names, which only the
 * name service can tell more of.
 */
bool resolve_owner_literal(const struct sockaddr *address, char *const *hosts, size_t host_count,
                           bool *out_has_names);

/*
 * Asks the name service, and waits for it: for the names of address (a host "*.x" is any name that
 * ends in ".x"), then for the addresses of each host.
 */
bool resolve_owner_by_name(const struct sockaddr *address, char *const *hosts, size_t host_count);

#endif
