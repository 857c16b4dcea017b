/* SPDX-License-Identifier: Apache-2.0 */
/* How the log of a new cluster begins, whether the cluster is empty or restored. */
#ifndef ENGINE_SERVER_FOUNDERS_H
#define ENGINE_SERVER_FOUNDERS_H

#include "engine/server/membership.h"
#include "engine/wal/wal.h"

#define FOUNDERS_TERM 1u

/*
 * Appends and flushes the first entries: each adds one of the first members, all committed from the
 * start, so that each member can write them by itself. 0, or the error of the log.
 */
BASE_MUST_CHECK int founders_write(struct wal *wal, const struct membership *founders);

/* All of them as voters. */
struct raft_conf_state founders_conf_state(const struct membership *founders);

#endif
