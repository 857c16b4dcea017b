/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of the playground's hosts file: the machine's own lines, then nodes, Services and Pods
 * as a cluster's DNS would answer for them. PURE.
 *
 * SERVICE.NS.svc names the Pods that the Service selects and that are ready (all of them when it
 * publishes not-ready addresses), one line each: there are no cluster IPs here. HOST.SERVICE.NS.svc
 * names one Pod by its hostname and subdomain. Each also with ".cluster.local" and as SERVICE.NS.
 */
#ifndef PLAYGROUND_KUBELET_HOSTS_H
#define PLAYGROUND_KUBELET_HOSTS_H

#include "base/buf.h"
#include "base/json.h"

/* Borrows all: arrays of objects. */
struct hosts_input {
    const char *machine; /* text of the machine's /etc/hosts */
    const struct json *const *nodes;
    size_t node_count;
    const struct json *const *services;
    size_t service_count;
    const struct json *const *pods;
    size_t pod_count;
};

/* Appends the text. */
void hosts_write(const struct hosts_input *input, struct buf *out);

#endif
