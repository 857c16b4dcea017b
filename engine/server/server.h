/* SPDX-License-Identifier: Apache-2.0 */
/* The engine as a program: everything behind main. */
#ifndef ENGINE_SERVER_SERVER_H
#define ENGINE_SERVER_SERVER_H

#include "base/err.h"
#include "engine/server/config.h"

/*
 * Opens the data directory, joins or forms the cluster, serves, and returns after SIGTERM or SIGINT
 * (the signal's number in *out_signal) or once the member was removed from its cluster (*out_signal
 * 0). Returns a negative E_* with a text when it could not start. Signals must be blocked by the
 * caller before any thread exists; a failure that makes going on unsafe ends the process inside.
 */
BASE_MUST_CHECK int server_run(const struct server_config *config, int *out_signal,
                               struct err *err);

#endif
