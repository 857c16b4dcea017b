/* SPDX-License-Identifier: Apache-2.0 */
/* From flags and data directory to a member that knows who it is. For the files of this folder
 * only. */
#ifndef ENGINE_SERVER_BOOTSTRAP_H
#define ENGINE_SERVER_BOOTSTRAP_H

#include "engine/server/internal.h"

/*
 * Main thread, I/O thread running, state thread not. Makes the directories; forms or joins the
 * cluster when there is no log yet (--initial-cluster-state); opens log, snapshot file and store;
 * makes server->raft. All errors say what to do.
 */
BASE_MUST_CHECK int bootstrap(struct server *server, struct err *err);

/* Links to whom the log does not know yet: the members that were asked when joining. */
void bootstrap_link_known(struct server *server);

#endif
