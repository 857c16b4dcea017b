/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes' MicroTime ("2006-01-02T15:04:05.000000Z"), as Leases and Events carry it. Pure. */
#ifndef CONTROLLER_KUBE_TIMESTAMP_H
#define CONTROLLER_KUBE_TIMESTAMP_H

#include "base/defs.h"

#define KUBE_TIMESTAMP_MAX 64u

/* A time in place; plain value. */
struct kube_timestamp {
    char text[KUBE_TIMESTAMP_MAX];
};

/* Nanoseconds since 1970, not negative, to text in microseconds, UTC. */
struct kube_timestamp kube_timestamp_micro(int64_t wall_ns);

#endif
