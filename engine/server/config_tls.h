/* SPDX-License-Identifier: Apache-2.0 */
/* The flags of TLS: their rows for the table of flags, and whether what they say can be. */
#ifndef ENGINE_SERVER_CONFIG_TLS_H
#define ENGINE_SERVER_CONFIG_TLS_H

#include "base/flags.h"
#include "engine/server/config.h"

#define CONFIG_TLS_FLAGS 25u

void config_tls_defaults(struct server_config *config);

/* Writes CONFIG_TLS_FLAGS rows that fill config. */
void config_tls_flags(struct server_config *config, struct flag out[CONFIG_TLS_FLAGS]);

/* etcd's refusals. The URLs of config are there already; no file is opened. */
BASE_MUST_CHECK int config_tls_check(const struct server_config *config, struct err *err);

#endif
