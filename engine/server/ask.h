/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a member asks the others before it starts, from the main thread: who belongs to the cluster,
 * and which version it has decided. Each call waits; nothing is written.
 */
#ifndef ENGINE_SERVER_ASK_H
#define ENGINE_SERVER_ASK_H

#include "engine/server/internal.h"

#define ASK_JOIN_WAIT_MS 5000u

/* Whether url is one of those that this member advertises to its peers. */
bool ask_is_own_url(const struct server *server, const char *url);

/*
 * Asks all others of local in turn for the list of members until one answers. Gives the list with
 * its cluster id; E_UNAVAILABLE or what the last one said.
 */
int ask_anyone(struct server *server, const struct membership *local,
               struct membership **out_members, struct err *err);

/*
 * As ask_anyone for a member that joins with empty hands: takes only a list with the same members
 * as local, which gets their ids from it, and in which this member has not run before (it has no
 * client URLs there). Another answer comes from a member that lags and has not heard yet of this
 * one, or that its predecessor at these URLs is gone: all are asked again for ASK_JOIN_WAIT_MS. Or
 * it is true: this member was not added, or it lost its data, and under that id it would not know
 * what it voted and acknowledged. Then E_CONFLICT with what the last one said.
 */
int ask_for_joining(struct server *server, struct membership *local,
                    struct membership **out_members, struct err *err);

/* The highest cluster version that any other member of existing says is decided (3006); 0: none
 * does. */
int ask_version(struct server *server, const struct membership *existing);

/* The hash of a member's key space at revision, as /members/hashkv writes it. On success the caller
 * frees the body. */
int ask_hash(struct server *server, const char *url, int64_t revision, struct buf *out_body);

#endif
