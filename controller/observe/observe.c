/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of the members of one cluster, joined with what the caches hold. */
#include "controller/observe/observe.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/etcd/probe.h"
#include "controller/model/names.h"

#define POD_NAME_MAX 63u /* longer ones are no DNS label, and no Pod of ours */

struct observe_look {
    const struct observe_sources *sources;
    char *namespace_;
    char *name;
    char **pods; /* names, in the order of the probe's endpoints */
    size_t pod_count;
    struct etcd_probe *probe;
};

/* True for objects of this cluster. */
static bool is_ours(const struct json *object, const char *namespace_, const char *name)
{
    const struct json *metadata = json_get(object, "metadata");
    return str_equal(json_str(json_get(metadata, "namespace"), NULL), namespace_) &&
           str_equal(json_str(json_get(json_get(metadata, "labels"), LABEL_CLUSTER), NULL), name);
}

/* The next object of the cluster in a cache; NULL at the end. */
static const struct json *next_ours(const struct observe_look *look, enum kube_kind_id kind,
                                    size_t *cursor)
{
    const struct json *object;
    while ((object = kube_cache_next(look->sources->caches[kind], cursor)) != NULL) {
        if (is_ours(object, look->namespace_, look->name)) {
            return object;
        }
    }
    return NULL;
}

/* Reads the cluster's Secrets where they are old. Gives what to show to its members; NULL: plain.
 */
static const struct http_tls *prepare_tls(const struct observe_sources *sources,
                                          const char *namespace_, const char *name)
{
    const struct json *cluster =
        sources->secrets == NULL
            ? NULL
            : kube_cache_get(sources->caches[KUBE_ETCD_CLUSTER], namespace_, name);
    if (cluster == NULL) {
        return NULL;
    }
    struct cluster_spec want;
    (void)!spec_parse(cluster, &want); /* a wrong field elsewhere does not matter here */
    secrets_refresh(sources->secrets, &want);
    spec_free(&want);
    return secrets_tls(sources->secrets, namespace_, name);
}

struct observe_look *observe_start(const struct observe_sources *sources, const char *namespace_,
                                   const char *name)
{
    struct observe_look *look = mem_zalloc(sizeof(*look));
    look->sources = sources;
    look->namespace_ = str_dup(namespace_);
    look->name = str_dup(name);
    const struct http_tls *tls = prepare_tls(sources, namespace_, name);
    enum names_scheme scheme = tls == NULL ? NAMES_HTTP : NAMES_HTTPS;
    size_t limit = kube_cache_count(sources->caches[KUBE_POD]);
    struct etcd_endpoint *endpoints = mem_array(limit, sizeof(*endpoints));
    struct name *urls = mem_array(limit, sizeof(*urls));
    look->pods = mem_array(limit, sizeof(*look->pods));
    size_t cursor = 0;
    for (const struct json *pod; (pod = next_ours(look, KUBE_POD, &cursor)) != NULL;) {
        const char *address = kube_pod_address(pod);
        const char *pod_name = json_path_str(pod, "metadata.name", "");
        if (address == NULL || strlen(pod_name) > POD_NAME_MAX) {
            continue;
        }
        size_t i = look->pod_count++;
        urls[i] = names_client_url(scheme, pod_name, name, namespace_);
        endpoints[i] =
            (struct etcd_endpoint){.url = urls[i].text, .connect_to = address, .tls = tls};
        look->pods[i] = str_dup(pod_name);
    }
    look->probe = etcd_probe_start(sources->http, endpoints, look->pod_count, ETCD_PROBE_MS);
    mem_free(endpoints);
    mem_free(urls);
    return look;
}

bool observe_done(const struct observe_look *look)
{
    return etcd_probe_done(look->probe);
}

/* The alarms that anybody reports for this member: it may not know of its own corruption. */
static uint32_t alarms_of(const struct etcd_probed *results, size_t count, uint64_t member_id)
{
    uint32_t alarms = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < results[i].alarm_count; j++) {
            if (results[i].alarms[j].member_id == member_id) {
                alarms |= (results[i].alarms[j].alarm & ETCD_ALARM_NOSPACE) != 0
                              ? OBSERVED_ALARM_NOSPACE
                              : 0;
                alarms |= (results[i].alarms[j].alarm & ETCD_ALARM_CORRUPT) != 0
                              ? OBSERVED_ALARM_CORRUPT
                              : 0;
            }
        }
    }
    return alarms;
}

static void add_endpoints(const struct observe_look *look, const struct etcd_probed *results,
                          size_t count, int64_t now_ms, struct observed *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct etcd_probed *from = &results[i];
        const struct observed_endpoint endpoint = {
            .pod = look->pods[i],
            .reachable = from->reachable,
            .healthy = from->healthy,
            .probed_ms = now_ms,
            .cluster_id = from->cluster_id,
            .member_id = from->member_id,
            .leader_id = from->leader_id,
            .term = from->term,
            .raft_index = from->raft_index,
            .applied_index = from->applied_index,
            .is_learner = from->is_learner,
            .version = from->version,
            .cluster_version = from->cluster_version,
            .db_size_bytes = from->db_size_bytes,
            .db_in_use_bytes = from->db_in_use_bytes,
            .revision = from->revision,
            .alarms = from->reachable ? alarms_of(results, count, from->member_id) : 0,
            .error = from->error,
        };
        observed_add_endpoint(out, &endpoint);
    }
}

/*
 * Whose member list to believe: one of the cluster that status names, if any says so; among those
 * the leader's, which is never behind.
 */
static const struct etcd_probed *pick_list(const struct etcd_probed *results, size_t count,
                                           uint64_t latched_id)
{
    const struct etcd_probed *best = NULL;
    int best_rank = -1;
    for (size_t i = 0; i < count; i++) {
        if (!results[i].has_members) {
            continue;
        }
        int rank = results[i].member_id == results[i].leader_id ? 1 : 0;
        rank += latched_id != 0 && results[i].cluster_id == latched_id ? 2 : 0;
        if (rank > best_rank) {
            best = &results[i];
            best_rank = rank;
        }
    }
    return best;
}

static void add_members(const struct etcd_probed *from, int64_t now_ms, struct observed *out)
{
    out->etcd.known = true;
    out->etcd.read_ms = now_ms;
    out->etcd.cluster_id = from->cluster_id;
    for (size_t i = 0; i < from->member_count; i++) {
        const struct etcd_member *member = &from->members[i];
        struct observed_etcd_member copy = {
            .id = member->id, .name = member->name, .is_learner = member->is_learner};
        for (size_t j = 0; j < member->peer_url_count && j < OBSERVED_URLS_MAX; j++) {
            copy.peer_urls[copy.peer_url_count++] = member->peer_urls[j];
        }
        for (size_t j = 0; j < member->client_url_count && j < OBSERVED_URLS_MAX; j++) {
            copy.client_urls[copy.client_url_count++] = member->client_urls[j];
        }
        observed_add_etcd_member(out, &copy);
    }
}

static void add_objects(const struct observe_look *look, struct observed *out)
{
    static const struct {
        enum kube_kind_id kind;
        void (*add)(struct observed *seen, const struct json *object);
    } ROWS[] = {
        {KUBE_ETCD_MEMBER, observed_add_member_object},
        {KUBE_POD, observed_add_pod},
        {KUBE_PVC, observed_add_pvc},
        {KUBE_SERVICE, observed_add_service},
        {KUBE_PDB, observed_add_pdb},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        size_t cursor = 0;
        for (const struct json *object;
             (object = next_ours(look, ROWS[i].kind, &cursor)) != NULL;) {
            ROWS[i].add(out, object);
        }
    }
}

static void add_nodes(const struct observe_look *look, struct observed *out)
{
    const struct kube_cache *nodes = look->sources->caches[KUBE_NODE];
    out->nodes_readable = kube_cache_readable(nodes);
    size_t cursor = 0;
    for (const struct json *node;
         out->nodes_readable && (node = kube_cache_next(nodes, &cursor)) != NULL;) {
        observed_add_node(out, node);
    }
}

void observe_finish(struct observe_look *look, const struct json *cluster, int64_t now_ms,
                    struct observed *out)
{
    ASSERT(observe_done(look));
    observed_init(out);
    observed_set_cluster(out, cluster);
    add_objects(look, out);
    add_nodes(look, out);
    if (look->sources->secrets != NULL) {
        out->certs = *secrets_facts(look->sources->secrets, look->namespace_, look->name);
        secrets_manager(look->sources->secrets, look->namespace_, look->name, &out->manager);
    }
    size_t count = 0;
    const struct etcd_probed *results = etcd_probe_results(look->probe, &count);
    add_endpoints(look, results, count, now_ms, out);
    uint64_t latched_id = strtoull(json_path_str(cluster, "status.clusterID", "0"), NULL, 16);
    const struct etcd_probed *list = pick_list(results, count, latched_id);
    if (list != NULL) {
        add_members(list, now_ms, out);
    }
}

void observe_free(struct observe_look *look)
{
    if (look == NULL) {
        return;
    }
    etcd_probe_free(look->probe);
    for (size_t i = 0; i < look->pod_count; i++) {
        mem_free(look->pods[i]);
    }
    mem_free(look->pods);
    mem_free(look->namespace_);
    mem_free(look->name);
    mem_free(look);
}
