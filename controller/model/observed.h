/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is: one pass over the world, as observe fills it and the planner reads it. Pure. All strings
 * and all json are borrowed from the objects that were given, which must outlive the struct
 * observed. Times are milliseconds since 1970; 0 means "not known".
 */
#ifndef CONTROLLER_MODEL_OBSERVED_H
#define CONTROLLER_MODEL_OBSERVED_H

#include "base/defs.h"
#include "base/json.h"
#include "controller/model/certs.h"

#define OBSERVED_NO_ORDINAL    (-1)
#define OBSERVED_FRESH_MAX_MS  15000 /* an etcd probe older than this proves nothing */
#define OBSERVED_URLS_MAX      8u
#define OBSERVED_ALARM_NOSPACE 1u
#define OBSERVED_ALARM_CORRUPT 2u

/* The EtcdMember object (the operator's own record of one member). */
struct observed_member_object {
    const char *name;
    const char *uid;
    const char *resource_version;
    int64_t ordinal;
    int64_t created_ms;
    bool deleting; /* a person asks: replace this one safely */
    bool has_finalizer;
    bool was_member; /* its status holds a member id: the cluster was founded once */
    const struct json *raw;
};

enum observed_pod_phase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED, POD_UNKNOWN };

struct observed_pod {
    const char *name;
    const char *uid;
    const char *resource_version;
    int64_t ordinal;
    enum observed_pod_phase phase;
    bool ready;
    int64_t ready_changed_ms; /* when the Ready condition last moved */
    bool deleting;
    int64_t deletion_ms;
    int64_t created_ms;
    const char *node; /* NULL: not scheduled */
    bool unschedulable;
    const char *waiting_reason; /* "CrashLoopBackOff", "ImagePullBackOff", ...; NULL: not waiting */
    int64_t restart_count;
    bool has_last_exit;
    int64_t last_exit_code;
    const char *last_exit_reason; /* "OOMKilled", "Error", ... */
    int64_t last_exit_ms;
    const char *template_hash; /* annotation quorate.dev/template-hash */
    const char *role;          /* label quorate.dev/role */
    bool state_new;            /* its command line carries --initial-cluster-state=new */
    const struct json *raw;
};

enum observed_pvc_phase { PVC_PENDING, PVC_BOUND, PVC_LOST };

struct observed_pvc {
    const char *name;
    const char *uid;
    const char *resource_version;
    int64_t ordinal;
    enum observed_pvc_phase phase;
    bool deleting;
    const char *cluster_id; /* annotation quorate.dev/cluster-id: the latch; NULL: none */
    int64_t next_ordinal;   /* annotation quorate.dev/next-ordinal; 0: none */
    bool retired; /* annotation quorate.dev/retired=true: kept for a person, never used again */
    const char *owner_uid; /* uid of the EtcdCluster owner reference; NULL: none */
    int64_t request_bytes;
    int64_t created_ms;
    const char *selected_node;
    const struct json *raw;
};

/* Service, PodDisruptionBudget. */
struct observed_object {
    const char *name;
    const char *uid;
    const char *resource_version;
    bool deleting;
    const struct json *raw;
};

enum observed_node_state { NODE_UNKNOWN, NODE_READY, NODE_NOT_READY, NODE_GONE };

struct observed_node {
    const char *name;
    enum observed_node_state state;
    int64_t since_ms;
    const char *zone; /* label topology.kubernetes.io/zone */
};

/* One Status call to one member. */
struct observed_endpoint {
    const char *pod; /* the Pod's name, which is the member's name */
    bool reachable;
    bool healthy; /* a linearizable read through this member was answered */
    int64_t probed_ms;
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t leader_id; /* 0: none */
    uint64_t term;
    uint64_t raft_index;
    uint64_t applied_index;
    bool is_learner;
    const char *version;
    const char *cluster_version; /* what the cluster has decided, "3.6.0"; NULL or "": not told */
    int64_t db_size_bytes;
    int64_t db_in_use_bytes;
    int64_t revision;
    uint32_t alarms;   /* OBSERVED_ALARM_* of this member */
    const char *error; /* why it is not reachable; NULL: none */
};

struct observed_etcd_member {
    uint64_t id;
    const char *name; /* "": added, never started */
    const char *peer_urls[OBSERVED_URLS_MAX];
    size_t peer_url_count;
    const char *client_urls[OBSERVED_URLS_MAX];
    size_t client_url_count;
    bool is_learner;
};

/* The member list, from one linearizable MemberList answered by a member of this cluster. */
struct observed_etcd {
    bool known; /* false: nobody answered linearizably in this pass; members is then empty */
    int64_t read_ms;
    uint64_t cluster_id;
    struct observed_etcd_member *members;
    size_t member_count;
};

/*
 * The law for the shell: read the member list and probe the members AFTER the objects were read
 * from the cache (an object whose member is not in a later list belongs to a removed member; not
 * the other way).
 */
/* The objects of mode CertManager; NULL: absent. */
struct observed_manager {
    bool is_known; /* all were asked for, and answered */
    const struct json *objects[CERTS_MANAGER_COUNT];
};

struct observed {
    const struct json *cluster; /* the EtcdCluster object */
    const char *resource_version;
    bool has_finalizer;
    const struct json *status; /* the status as last written; NULL: none */

    struct observed_member_object *member_objects;
    size_t member_object_count;
    struct observed_pod *pods;
    size_t pod_count;
    struct observed_pvc *pvcs;
    size_t pvc_count;
    struct observed_object *services;
    size_t service_count;
    struct observed_object *pdbs;
    size_t pdb_count;
    bool nodes_readable; /* false: no right to read Nodes; node evidence is Unknown */
    struct observed_node *nodes;
    size_t node_count;
    struct observed_endpoint *endpoints; /* one per Pod that was dialled */
    size_t endpoint_count;
    struct observed_etcd etcd;
    struct observed_manager manager;
    struct certs_facts certs; /* zero in mode Disabled */
};

/* Makes an empty observation. */
void observed_init(struct observed *seen);

/* Frees the arrays; the borrowed objects stay. */
void observed_free(struct observed *seen);

/* Reads the EtcdCluster object's meta and status. */
void observed_set_cluster(struct observed *seen, const struct json *object);

/* Each reads one Kubernetes object as the API server gave it. Give all that carry the label
 * quorate.dev/cluster=<name>, those being deleted too. Terminated Pods too. */
void observed_add_member_object(struct observed *seen, const struct json *object);
void observed_add_pod(struct observed *seen, const struct json *object);
void observed_add_pvc(struct observed *seen, const struct json *object);
void observed_add_service(struct observed *seen, const struct json *object);
void observed_add_pdb(struct observed *seen, const struct json *object);
void observed_add_node(struct observed *seen, const struct json *object);

/* Adds a copy of the struct (its strings stay borrowed). */
void observed_add_endpoint(struct observed *seen, const struct observed_endpoint *endpoint);
void observed_add_etcd_member(struct observed *seen, const struct observed_etcd_member *member);

/* Finds by name; NULL when absent. */
const struct observed_member_object *observed_member_object(const struct observed *seen,
                                                            const char *name);
const struct observed_pod *observed_pod(const struct observed *seen, const char *name);
const struct observed_pvc *observed_pvc(const struct observed *seen, const char *name);
const struct observed_object *observed_service(const struct observed *seen, const char *name);
const struct observed_object *observed_pdb(const struct observed *seen, const char *name);
const struct observed_endpoint *observed_endpoint(const struct observed *seen, const char *pod);

/* The node's state: NODE_UNKNOWN when Nodes are not readable, NODE_GONE when they are and it is not
 * there. */
enum observed_node_state observed_node_state(const struct observed *seen, const char *name,
                                             int64_t *out_since_ms);

/* The ordinal at the end of "<prefix><cluster>-<ordinal>", or OBSERVED_NO_ORDINAL. */
int64_t observed_ordinal(const char *name, const char *prefix, const char *cluster);

#endif
