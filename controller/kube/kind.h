/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of objects that the operator deals with, as one table, and their REST paths. */
#ifndef CONTROLLER_KUBE_KIND_H
#define CONTROLLER_KUBE_KIND_H

#include "base/buf.h"
#include "base/defs.h"
#include "base/json.h"

enum kube_kind_id {
    KUBE_POD,
    KUBE_PVC,
    KUBE_SERVICE,
    KUBE_SECRET,
    KUBE_ISSUER,
    KUBE_CERTIFICATE,
    KUBE_NODE,
    KUBE_PDB,
    KUBE_LEASE,
    KUBE_EVENT,
    KUBE_ETCD_CLUSTER,
    KUBE_ETCD_MEMBER,
    KUBE_KIND_COUNT,
};

/* One row. group is empty for the core group. */
struct kube_kind {
    const char *group;
    const char *version;
    const char *kind;
    const char *plural;
    bool namespaced;
};

extern const struct kube_kind KUBE_KINDS[KUBE_KIND_COUNT];

/* The row of apiVersion ("v1", "quorate.dev/v1alpha1") and kind; NULL when it is not in the table.
 */
const struct kube_kind *kube_kind_find(const char *api_version, const char *kind);

/* Appends apiVersion. */
void kube_kind_api_version(const struct kube_kind *kind, struct buf *out);

/*
 * Appends the path of an object or, with name NULL, of its collection. namespace_ NULL or empty
 * means all namespaces; subresource may be NULL.
 */
void kube_kind_path(const struct kube_kind *kind, const char *namespace_, const char *name,
                    const char *subresource, struct buf *out);

/* Appends text percent-encoded for a path segment or a query value. */
void kube_escape(const char *text, struct buf *out);

/* The address at which a Pod can be dialled now, NULL when it has none. Borrowed. */
const char *kube_pod_address(const struct json *pod);

#endif
