/* SPDX-License-Identifier: Apache-2.0 */
/* What the snapshot files share among themselves. For the files of this folder only. */
#ifndef ENGINE_SERVER_SNAPSHOT_H
#define ENGINE_SERVER_SNAPSHOT_H

#include "engine/server/internal.h"

/* Makes all threads that write a snapshot end soon; each calls snapshot_install_continue at its
 * end. */
void snapshot_abort_all(struct server *server);

/* An installation that waited for views to end goes on when none is left. */
void snapshot_install_continue(struct server *server);

/* I/O thread: the client of a snapshot stream has room again, or is gone. */
void io_snapshot_drained(struct grpc_call *call);
void io_snapshot_gone(struct grpc_call *call);

#endif
