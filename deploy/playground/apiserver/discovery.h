/* SPDX-License-Identifier: Apache-2.0 */
/* /api, /apis and what is below: which resources there are. Lock held; each gives a new value. */
#ifndef PLAYGROUND_APISERVER_DISCOVERY_H
#define PLAYGROUND_APISERVER_DISCOVERY_H

#include "kinds.h"

struct json *discovery_core_versions(uint16_t port);
struct json *discovery_groups(const struct kinds *kinds);

/* One APIGroup, or NULL when there is none of that name. */
struct json *discovery_group(const struct kinds *kinds, const char *group);

/* The APIResourceList of a group version, or NULL. */
struct json *discovery_resources(const struct kinds *kinds, const char *group, const char *version);

struct json *discovery_server_version(void);

#endif
