/* SPDX-License-Identifier: Apache-2.0 */
/* --force-new-cluster: one member goes on alone with what it holds. For bootstrap.c only. */
#ifndef ENGINE_SERVER_FORCE_NEW_H
#define ENGINE_SERVER_FORCE_NEW_H

#include "engine/server/internal.h"

/*
 * Appends configuration changes to the log that take all other members out (and make this one a
 * voter), committed from the start, and flushes them. *out_changed: the log has to be read again.
 * Nothing happens when this member is alone already. Unlike etcd, nothing is cut from the log: what
 * may have been acknowledged stays. E_CONFLICT when this member is no member any more, or never
 * heard of its cluster; E_CORRUPT when its log is damaged.
 */
BASE_MUST_CHECK int force_new_cluster(struct server *server, const struct wal_contents *contents,
                                      bool *out_changed, struct err *err);

#endif
