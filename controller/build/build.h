/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON of every object that the operator applies. Pure. Each function gives a whole object for
 * server-side apply (json_free) with labels, and owner references where its life ends with the
 * cluster.
 */
#ifndef CONTROLLER_BUILD_BUILD_H
#define CONTROLLER_BUILD_BUILD_H

#include "base/json.h"
#include "controller/model/certs.h"
#include "controller/model/names.h"
#include "controller/model/spec.h"

#define BUILD_DATA_DIR   "/data/etcd"
#define BUILD_SERVER_DIR "/tls/server" /* certificate, key and trust towards clients */
#define BUILD_PEER_DIR   "/tls/peer"   /* the same towards peers */
#define BUILD_HASH_MAX   20u

/* What a Pod needs beyond the spec. Borrows. */
struct build_pod {
    const char *member;          /* "demo-2" */
    bool is_voter;               /* its role label */
    const char *initial_state;   /* "new" or "existing" */
    const char *initial_cluster; /* "demo-0=http://...,demo-2=http://..." */
    const char *cluster_token;
};

/* The cluster token: "<name>-<uid>". */
struct name build_cluster_token(const struct cluster_spec *want);

/* The Pod of one member. */
struct json *build_pod(const struct cluster_spec *want, const struct build_pod *pod);

/* A hash of what decides a Pod's template (not its role or peers); 16 hex digits in out. */
void build_template_hash(const struct cluster_spec *want, char out[BUILD_HASH_MAX]);

/* The volume claim of one member. cluster_id NULL or "": not latched yet. */
struct json *build_pvc(const struct cluster_spec *want, const char *member, const char *cluster_id,
                       int64_t next_ordinal);

/* Services. Before serving is true the client Service selects nothing. */
struct json *build_peer_service(const struct cluster_spec *want);
struct json *build_client_service(const struct cluster_spec *want, bool serving);

/* The disruption budget: min_available of the voters. */
struct json *build_pdb(const struct cluster_spec *want, int64_t min_available);

/* One object of mode CertManager (CERTS_MANAGER_*). */
struct json *build_manager(const struct cluster_spec *want, size_t index);

/* The operator's record of one member, and its status. */
struct build_member {
    const char *member;
    int64_t ordinal;
    bool is_voter;
    bool is_seed;
};
struct json *build_member(const struct cluster_spec *want, const struct build_member *member);

/* The body for the status subresource of one member; NULL texts are left out. */
struct build_member_status {
    const char *member;
    const char *phase; /* Pending, Joining, Learner, Ready, NotReady, Leaving */
    uint64_t member_id;
    const char *node;
    const char *evidence;
    bool is_voter;
    bool has_pod;
    bool has_volume;
};
struct json *build_member_status(const struct cluster_spec *want,
                                 const struct build_member_status *status);

/* The labels that all objects of a cluster carry (json_free); member NULL: none. */
struct json *build_labels(const struct cluster_spec *want, const char *member);

/* The owner reference array to the EtcdCluster (json_free). */
struct json *build_owner(const struct cluster_spec *want);

/* True when every field of wanted has an equal value in actual (arrays: same length, element-wise).
 */
bool build_covers(const struct json *actual, const struct json *wanted);

#endif
