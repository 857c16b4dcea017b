/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user wants: one EtcdCluster, parsed from its JSON, defaulted and validated again (an old
 * API server may not run the CEL rules). Pure. Each wrong field becomes one problem that names the
 * field and says what to do. The defaults here equal those of crd/etcdclusters.yaml (tested).
 */
#ifndef CONTROLLER_MODEL_SPEC_H
#define CONTROLLER_MODEL_SPEC_H

#include "base/defs.h"
#include "base/json.h"
#include "controller/model/names.h"
#include "controller/model/reason.h"

#define SPEC_REPLICAS_MAX              9
#define SPEC_PROBLEMS_MAX              16u
#define SPEC_REPLACEMENTS_PER_HOUR_MAX 8
#define SPEC_NAME_MAX                  40u /* "<name>-peers" and "<name>-<ordinal>" stay DNS labels */
#define SPEC_DEFAULT_IMAGE             "quorate"
#define SPEC_DEFAULT_TAG               "dev"

enum spec_engine { SPEC_ENGINE_QUORATE, SPEC_ENGINE_ETCD };
enum spec_tls_mode { SPEC_TLS_AUTO, SPEC_TLS_CERT_MANAGER, SPEC_TLS_SECRETS, SPEC_TLS_DISABLED };
enum spec_spread { SPEC_SPREAD_OFF, SPEC_SPREAD_PREFERRED, SPEC_SPREAD_REQUIRED };
enum spec_pdb { SPEC_PDB_AUTO, SPEC_PDB_OFF };
enum spec_repair { SPEC_REPAIR_REPLACE, SPEC_REPAIR_RECREATE_ONLY, SPEC_REPAIR_MANUAL };
enum spec_compaction { SPEC_COMPACTION_PERIODIC, SPEC_COMPACTION_REVISION, SPEC_COMPACTION_OFF };

/* Delete: volumes go with their member and with the cluster. RetainOnReplace: the volume of a
 * removed member is kept (marked retired), those of a deleted cluster go. Retain: nothing is ever
 * deleted. */
enum spec_reclaim { SPEC_RECLAIM_DELETE, SPEC_RECLAIM_RETAIN_ON_REPLACE, SPEC_RECLAIM_RETAIN };

/* One wrong field. Owned by its spec. */
struct spec_problem {
    char *field;               /* "spec.tls.mode" */
    char *message;             /* what is wrong and what to do, one sentence */
    enum condition_reason why; /* InvalidSpec, TLSModeChanged, EngineNotSupported */
};

/*
 * Owns its strings; the json pointers borrow from the object that was parsed, which must outlive
 * it. After E_INVALID the identity fields (name, ns, uid, generation, deleting) are valid still.
 */
struct cluster_spec {
    const char *name; /* borrowed from the object, as all strings here */
    const char *ns;
    const char *uid;
    int64_t generation;
    bool deleting;

    int64_t replicas;
    enum spec_engine engine;
    const char *version; /* "3.6" */
    bool paused;
    struct {
        char *reference; /* owned; repository:tag or repository@digest */
        const char *pull_policy;
        const struct json *pull_secrets; /* array of {name} or NULL */
    } image;
    struct {
        const char *size;
        int64_t size_bytes;
        const char *storage_class; /* NULL: the default class */
        enum spec_reclaim reclaim;
    } storage;
    enum spec_tls_mode tls_mode;
    struct {
        int64_t leaf_lifetime_ms;
        int64_t ca_lifetime_ms;
        int64_t settle_ms; /* how long what is published needs to be everywhere */
        int64_t ca_generation;
        const struct json *server_names; /* array of texts, or NULL */
        const char *peer_secret;         /* mode Secrets: names of Secrets; NULL: not given */
        const char *server_secret;
        const char *operator_secret;
    } tls;
    struct {
        int64_t quota_backend_bytes;
        enum spec_compaction compaction_mode;
        const char *compaction_retention;
        int64_t snapshot_count;
        int64_t max_request_bytes;
        int64_t max_txn_ops;
    } options;
    struct {
        enum spec_spread host;
        enum spec_spread zone;
        enum spec_pdb pdb;
        const char *priority_class; /* NULL: none */
    } availability;
    struct {
        const struct json *resources; /* each NULL when not given */
        const struct json *node_selector;
        const struct json *tolerations;
        const struct json *affinity;
        const struct json *topology_spread;
        const struct json *labels;
        const struct json *annotations;
        const char *runtime_class;
    } pod;
    struct {
        const char *type; /* ClusterIP, NodePort, LoadBalancer */
        const struct json *labels;
        const struct json *annotations;
    } client_service;
    struct {
        enum spec_repair policy;
        int64_t not_ready_grace_ms;
        int64_t node_lost_grace_ms;
        int64_t crash_loop_threshold;
        int64_t learner_promote_timeout_ms;
        int64_t max_replacements_per_hour;
    } repair;
    int64_t progress_deadline_ms;

    struct spec_problem problems[SPEC_PROBLEMS_MAX];
    size_t problem_count;
    struct json *defaults; /* owned; what fields that were not given point into */
};

/* Reads one EtcdCluster object. Returns 0, or E_INVALID with at least one problem in out (out is
 * then to be freed all the same). object must outlive out. */
BASE_MUST_CHECK int spec_parse(const struct json *object, struct cluster_spec *out);

/* Frees what the spec owns. */
void spec_free(struct cluster_spec *spec);

/* Gives the default values of every spec field as JSON in the schema's shape (json_free). */
struct json *spec_defaults(void);

const char *spec_tls_mode_text(enum spec_tls_mode mode); /* "Auto" */

/* How its members speak. */
enum names_scheme spec_scheme(const struct cluster_spec *spec);

/* Smallest count of voters that is a majority. */
int64_t spec_quorum(int64_t voter_count);

/* Reads a Kubernetes quantity ("8Gi", "500M", "1.5Gi") into whole bytes; E_INVALID on anything
 * else. */
BASE_MUST_CHECK int spec_quantity_bytes(const char *text, int64_t *out_bytes);

#endif
