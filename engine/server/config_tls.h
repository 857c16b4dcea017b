/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what the flags of TLS say can be. */
#ifndef ENGINE_SERVER_CONFIG_TLS_H
#define ENGINE_SERVER_CONFIG_TLS_H

#include "engine/server/config.h"

/* etcd's refusals. The URLs of config are there already; no file is opened. */
BASE_MUST_CHECK int config_tls_check(const struct server_config *config, struct err *err);

#endif
