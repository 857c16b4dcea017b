/* SPDX-License-Identifier: Apache-2.0 */
/* Names, labels and annotations: what identifies the operator's objects, in one place. */
#ifndef CONTROLLER_MODEL_NAMES_H
#define CONTROLLER_MODEL_NAMES_H

#include "base/defs.h"

#define NAMES_GROUP         "quorate.dev"
#define NAMES_API_VERSION   "quorate.dev/v1alpha1"
#define NAMES_FIELD_MANAGER "quorate-operator"

#define LABEL_CLUSTER    "quorate.dev/cluster"
#define LABEL_MEMBER     "quorate.dev/member"
#define LABEL_ROLE       "quorate.dev/role" /* "voter" or "learner" */
#define LABEL_NAME       "app.kubernetes.io/name"
#define LABEL_INSTANCE   "app.kubernetes.io/instance"
#define LABEL_COMPONENT  "app.kubernetes.io/component"
#define LABEL_MANAGED_BY "app.kubernetes.io/managed-by"
#define LABEL_NOT_YET                                                                              \
    "quorate.dev/not-yet-serving" /* selector of the client Service before the latch */

#define ANNOTATION_CLUSTER_ID    "quorate.dev/cluster-id"
#define ANNOTATION_NEXT_ORDINAL  "quorate.dev/next-ordinal"
#define ANNOTATION_RETIRED       "quorate.dev/retired"
#define ANNOTATION_TEMPLATE_HASH "quorate.dev/template-hash"

/* On Secrets that hold certificates. */
#define ANNOTATION_MADE_FOR      "quorate.dev/made-for"      /* a hash of names and purposes */
#define ANNOTATION_SINCE         "quorate.dev/trusted-since" /* when issuer or trust last changed */
#define ANNOTATION_CA_GENERATION "quorate.dev/ca-generation"

#define FINALIZER_CLUSTER "quorate.dev/cluster"
#define FINALIZER_MEMBER  "quorate.dev/member"

#define PORT_CLIENT  2379
#define PORT_PEER    2380
#define PORT_METRICS 2381

#define NAMES_MAX 256u

/* Exit codes of the engine that prove that a data directory cannot serve again. */
#define EXIT_DATA_CORRUPT   65
#define EXIT_WRONG_CLUSTER  66
#define EXIT_MEMBER_REMOVED 67

/* A name in place; plain value. */
struct name {
    char text[NAMES_MAX];
};

struct name names_member(const char *cluster, int64_t ordinal); /* demo-2 */
struct name names_pvc(const char *member);                      /* data-demo-2 */
struct name names_peer_service(const char *cluster);            /* demo-peers */
struct name names_client_service(const char *cluster);          /* demo-client */
struct name names_pdb(const char *cluster);                     /* demo */
enum names_scheme { NAMES_HTTP, NAMES_HTTPS };
/* http://demo-2.demo-peers.ns.svc:2380 and :2379, or https. */
struct name names_peer_url(enum names_scheme scheme, const char *member, const char *cluster,
                           const char *ns);
struct name names_client_url(enum names_scheme scheme, const char *member, const char *cluster,
                             const char *ns);

#endif
