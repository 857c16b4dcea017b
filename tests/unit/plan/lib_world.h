/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small world for the planner: Kubernetes objects, nodes and an etcd that knows votes, volumes
 * and quorum, all in memory and on a clock of its own. It carries out actions as the shell would,
 * with optimistic concurrency, and is the judge: a change that breaks a safety rule fails the test
 * here, by rules written apart from the planner's own checks.
 */
#ifndef TESTS_UNIT_PLAN_LIB_WORLD_H
#define TESTS_UNIT_PLAN_LIB_WORLD_H

#include "base/defs.h"
#include "base/json.h"
#include "base/rng.h"
#include "controller/model/action.h"
#include "controller/model/observed.h"
#include "controller/model/spec.h"

#define WORLD_ROWS_MAX    40
#define WORLD_NODES       6
#define WORLD_HISTORY_MAX 4
#define WORLD_START_MS    INT64_C(1790000000000)
#define WORLD_TEXT_MAX    64

struct world_pod {
    bool used;
    char name[WORLD_TEXT_MAX];
    char uid[24];
    char version[24];
    char hash[24];
    char role[12];
    char node_name[12];
    const char *waiting;
    int64_t ordinal;
    enum observed_pod_phase phase;
    bool ready;
    bool deleting;
    bool state_new;
    bool up;     /* the process serves */
    bool broken; /* it will never serve, however often it starts */
    bool hung;   /* it runs and says nothing */
    bool has_exit;
    int64_t exit_code;
    const char *exit_reason;
    int64_t restarts;
    int64_t ready_changed_ms;
    int64_t created_ms;
    int64_t deletion_ms;
    int node; /* -1: none */
};

struct world_pvc {
    bool used;
    char name[WORLD_TEXT_MAX];
    char uid[24];
    char version[24];
    char cluster_id[24];
    char owner[WORLD_TEXT_MAX];
    int64_t ordinal;
    int64_t next_ordinal;
    int64_t created_ms;
    enum observed_pvc_phase phase;
    bool deleting;
    bool retired;
    bool has_data;
    uint64_t data_cluster;
    uint64_t data_member;
    uint64_t applied;
};

/* EtcdMember, Service, PodDisruptionBudget. raw lives until the world ends. */
struct world_object {
    bool used;
    char name[WORLD_TEXT_MAX];
    char uid[24];
    char version[24];
    int64_t created_ms;
    bool deleting;
    bool finalizer;
    struct json *raw;
};

/* What the API server holds; copied whole for stale reads. */
struct world_kube {
    struct world_pod pods[WORLD_ROWS_MAX];
    struct world_pvc pvcs[WORLD_ROWS_MAX];
    struct world_object members[WORLD_ROWS_MAX];
    struct world_object services[4];
    struct world_object pdbs[2];
};

struct world_member {
    bool used;
    uint64_t id;
    int64_t ordinal;
    bool started;
    bool learner;
    char name[WORLD_TEXT_MAX];
    char peer_url[256];
};

struct world {
    int64_t now_ms;
    struct rng rng;
    struct json *cluster; /* owned: the EtcdCluster with spec and status */
    struct cluster_spec want;
    bool cluster_gone;
    struct world_kube kube;
    struct world_kube *history; /* ring of WORLD_HISTORY_MAX, or NULL when stale reads are off */
    size_t history_count;
    struct world_member etcd[WORLD_ROWS_MAX];
    struct certs_facts certs;
    int key_count;
    size_t authorities; /* that took over */
    uint64_t cluster_id;
    uint64_t leader_id;
    uint64_t commit;
    uint64_t next_id;
    bool node_up[WORLD_NODES];
    bool node_there[WORLD_NODES];
    int64_t node_since_ms[WORLD_NODES];
    bool nodes_readable;
    bool operator_cut_off;       /* it cannot dial members */
    const char *cluster_version; /* what the members have decided; NULL: they do not say */
    size_t stale_by;             /* the next passes read objects from so many ticks ago */
    size_t view_age_ms;          /* the etcd view is so old */
    bool force_image_fail;
    char broken_hash[24]; /* Pods made from this template never serve; "": all may */
    bool is_told;         /* each pass is printed */
    struct json **garbage;
    size_t garbage_count;

    bool was_latched; /* an id was written down once */
    size_t founded;   /* how often a cluster was founded */
    size_t passes;
    size_t writes; /* actions carried out */
    size_t status_writes;
    size_t membership_changes;
    size_t conflicts;
    size_t leader_removals; /* of a live leader: an election that need not be */
    uint64_t last_removed;  /* id of the last member removed */
    size_t updates;         /* Pods of live voters that ended to take a new spec */
    char last_updated[WORLD_TEXT_MAX];
    struct plan plan; /* the last plan */
};

#define WORLD_NO_CRASH   SIZE_MAX
#define WORLD_SETTLE_MAX 400

/* Makes a world with one EtcdCluster "demo" of that many replicas, short graces and six nodes. */
void world_init(struct world *world, uint64_t seed, int64_t replicas);
void world_free(struct world *world);

/* Before its first start: it speaks TLS, with certificates of two hours. */
void world_use_tls(struct world *world);

/* The same, settled, with all members there; counts from here. */
void world_start(struct world *world, int64_t replicas);

/* Makes a copy that goes its own way from here; source must outlive it. */
void world_clone(struct world *world, const struct world *source, uint64_t seed);

/* Changes one field of the spec by JSON text, and its generation. */
void world_set_spec(struct world *world, const char *path_key, const char *json_text);

/* Fills out from what the API server shows and the members answer. Borrows from world. */
void world_observe(struct world *world, struct observed *out);

/* One pass of the operator: observe, plan, status, actions; it dies before write number crash_at.
 * Gives how many writes it made or tried. */
size_t world_operate(struct world *world, size_t crash_at);

/* Time passes: Pods start and end, members catch up, nodes take effect. */
void world_tick(struct world *world, int64_t ms);

/* Pairs of pass and tick until nothing is planned and nothing runs, or the limit. True: at rest. */
bool world_settle(struct world *world, size_t limit);

/* Carries out one action; 0 or E_*. */
int world_act(struct world *world, const struct action *action);

/* Looks at the world. */
bool world_has_quorum(const struct world *world);
bool world_is_live(const struct world *world, const struct world_member *member);
int64_t world_voters(const struct world *world);
int64_t world_learners(const struct world *world);
int64_t world_live_voters(const struct world *world);
int64_t world_intact_voters(const struct world *world); /* with a volume that holds their data */
struct world_member *world_member(struct world *world, const char *name);
struct world_pod *world_pod(struct world *world, const char *name);
struct world_pvc *world_pvc(struct world *world, const char *name);
struct world_object *world_record(struct world *world, const char *name);
const char *world_condition(const struct world *world, const char *type, const char *field);
const struct json *world_status(const struct world *world);
bool world_is_healthy(
    const struct world *world); /* as many live voters as wanted, no learner, no rest */

/* Faults. */
void world_crash_process(struct world *world, const char *pod, int64_t exit_code);
void world_delete_pod(struct world *world, const char *pod);
void world_lose_volume(struct world *world,
                       const char *member); /* the volume and its data, and the Pod */
void world_lose_node(struct world *world, int node);
void world_return_node(struct world *world, int node);
void world_delete_record(struct world *world, const char *member); /* kubectl delete etcdmember */

#endif
