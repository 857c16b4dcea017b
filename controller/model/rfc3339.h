/* SPDX-License-Identifier: Apache-2.0 */
/* Times as Kubernetes writes them ("2006-01-02T15:04:05Z"), and Go durations for people. Pure. */
#ifndef CONTROLLER_MODEL_RFC3339_H
#define CONTROLLER_MODEL_RFC3339_H

#include "base/defs.h"

#define RFC3339_MAX 32u

/* A time in place; plain value. */
struct rfc3339 {
    char text[RFC3339_MAX];
};

/* Milliseconds since 1970 to text in whole seconds, UTC. */
struct rfc3339 rfc3339_format(int64_t time_ms);

/* Text (with Z or an offset, fraction allowed) to milliseconds; 0 when unreadable or NULL. */
int64_t rfc3339_parse(const char *text);

#endif
