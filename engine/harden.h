/* SPDX-License-Identifier: Apache-2.0 */
/* What the process does for the secrets that it holds, before it holds them. */
#ifndef ENGINE_HARDEN_H
#define ENGINE_HARDEN_H

#include "engine/server/config.h"

/*
 * Where private keys are configured: no core files, no ptrace and no perf of this process by its
 * user, unless --allow-memory-dumps. --memory-mlock: memory stays out of swap, or an error that
 * says what is missing. A directory for data or log that others can look into: a warning.
 */
BASE_MUST_CHECK int harden(const struct server_config *config, struct err *err);

#endif
