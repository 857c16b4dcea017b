/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operator may ask of Kubernetes, as one table. The roles of the chart and of the plain
 * manifests are tested to be equal to it, and every call goes through access_seam, which refuses
 * what is not in it: so what is used is granted, on any API server.
 */
#ifndef CONTROLLER_ACCESS_H
#define CONTROLLER_ACCESS_H

#include "base/defs.h"
#include "controller/kube/client.h"

enum access_scope {
    ACCESS_CLUSTERS, /* in each watched namespace */
    ACCESS_LEASE,    /* in the operator's own namespace */
    ACCESS_NODES,    /* cluster-wide, optional */
};

/* One row: the RBAC verbs for one resource, separated by spaces. */
struct access_rule {
    enum access_scope scope;
    enum kube_kind_id kind;
    const char *subresource; /* NULL: the object itself */
    const char *object_name; /* NULL: any; else the only one */
    const char *verbs;
};

extern const struct access_rule ACCESS_RULES[];
extern const size_t ACCESS_RULE_COUNT;

/* True when the table grants the call. */
bool access_allows(const struct kube_call *call);

/* The seam that checks and then calls inner (borrowed). */
struct access_gate {
    const struct kube_seam *inner;
    struct kube_seam seam;
};
void access_gate_init(struct access_gate *gate, const struct kube_seam *inner);

#endif
