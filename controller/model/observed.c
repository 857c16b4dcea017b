/* SPDX-License-Identifier: Apache-2.0 */
/* Reading Kubernetes objects into the observation. Nothing is copied but numbers. */
#include "controller/model/observed.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "controller/model/names.h"
#include "controller/model/rfc3339.h"
#include "controller/model/spec.h"

/* Grows an array by one zeroed element and gives its place. */
#define ARRAY_GROW(array, count)                                                                   \
    ((array) = mem_realloc((array), ((count) + 1) * sizeof((array)[0])),                           \
     memset(&(array)[(count)], 0, sizeof((array)[0])), &(array)[(count)++])

void observed_init(struct observed *seen)
{
    memset(seen, 0, sizeof(*seen));
}

void observed_free(struct observed *seen)
{
    mem_free(seen->member_objects);
    mem_free(seen->pods);
    mem_free(seen->pvcs);
    mem_free(seen->services);
    mem_free(seen->pdbs);
    mem_free(seen->nodes);
    mem_free(seen->endpoints);
    mem_free(seen->etcd.members);
    observed_init(seen);
}

static const struct json *meta_of(const struct json *object)
{
    return json_get(object, "metadata");
}

static const char *annotation(const struct json *object, const char *key)
{
    return json_str(json_get(json_get(meta_of(object), "annotations"), key), NULL);
}

static const char *label(const struct json *object, const char *key)
{
    return json_str(json_get(json_get(meta_of(object), "labels"), key), NULL);
}

static bool has_finalizer(const struct json *object, const char *finalizer)
{
    const struct json *list = json_get(meta_of(object), "finalizers");
    for (size_t i = 0; i < json_count(list); i++) {
        if (str_equal(json_str(json_at(list, i), NULL), finalizer)) {
            return true;
        }
    }
    return false;
}

static const char *meta_str(const struct json *object, const char *key)
{
    return json_str(json_get(meta_of(object), key), "");
}

static int64_t meta_time(const struct json *object, const char *key)
{
    return rfc3339_parse(json_str(json_get(meta_of(object), key), NULL));
}

static bool is_deleting(const struct json *object)
{
    return json_str(json_get(meta_of(object), "deletionTimestamp"), NULL) != NULL;
}

void observed_set_cluster(struct observed *seen, const struct json *object)
{
    seen->cluster = object;
    seen->resource_version = meta_str(object, "resourceVersion");
    seen->has_finalizer = has_finalizer(object, FINALIZER_CLUSTER);
    seen->status = json_get(object, "status");
}

/* The ordinal of an object of this cluster, by its label and its name. */
static int64_t ordinal_of(const struct json *object, const char *prefix)
{
    const char *cluster = label(object, LABEL_CLUSTER);
    return cluster == NULL ? OBSERVED_NO_ORDINAL
                           : observed_ordinal(meta_str(object, "name"), prefix, cluster);
}

void observed_add_member_object(struct observed *seen, const struct json *object)
{
    struct observed_member_object *member =
        ARRAY_GROW(seen->member_objects, seen->member_object_count);
    member->name = meta_str(object, "name");
    member->uid = meta_str(object, "uid");
    member->resource_version = meta_str(object, "resourceVersion");
    member->ordinal = ordinal_of(object, "");
    member->created_ms = meta_time(object, "creationTimestamp");
    member->deleting = is_deleting(object);
    member->has_finalizer = has_finalizer(object, FINALIZER_MEMBER);
    member->was_member = json_path_str(object, "status.memberID", NULL) != NULL;
    member->raw = object;
}

static enum observed_pod_phase pod_phase(const char *text)
{
    static const struct {
        const char *text;
        enum observed_pod_phase phase;
    } PHASES[] = {{"Pending", POD_PENDING},
                  {"Running", POD_RUNNING},
                  {"Succeeded", POD_SUCCEEDED},
                  {"Failed", POD_FAILED}};
    for (size_t i = 0; i < ARRAY_COUNT(PHASES); i++) {
        if (strcmp(PHASES[i].text, text) == 0) {
            return PHASES[i].phase;
        }
    }
    return text[0] == '\0' ? POD_PENDING : POD_UNKNOWN;
}

static void read_pod_conditions(const struct json *object, struct observed_pod *pod)
{
    const struct json *conditions = json_path(object, "status.conditions");
    for (size_t i = 0; i < json_count(conditions); i++) {
        const struct json *condition = json_at(conditions, i);
        const char *type = json_str(json_get(condition, "type"), "");
        bool is_true = str_equal(json_str(json_get(condition, "status"), ""), "True");
        if (strcmp(type, "Ready") == 0) {
            pod->ready = is_true;
            pod->ready_changed_ms =
                rfc3339_parse(json_str(json_get(condition, "lastTransitionTime"), NULL));
        }
        if (strcmp(type, "PodScheduled") == 0 && !is_true) {
            pod->unschedulable =
                str_equal(json_str(json_get(condition, "reason"), ""), "Unschedulable");
        }
    }
}

/* The newest end of the container's process: the current one when it is down, else the one before.
 */
static void read_pod_exit(const struct json *container, struct observed_pod *pod)
{
    const struct json *ended = json_path(container, "state.terminated");
    if (ended == NULL) {
        ended = json_path(container, "lastState.terminated");
    }
    if (ended == NULL) {
        return;
    }
    pod->has_last_exit = true;
    pod->last_exit_code = json_i64(json_get(ended, "exitCode"), 0);
    pod->last_exit_reason = json_str(json_get(ended, "reason"), NULL);
    pod->last_exit_ms = rfc3339_parse(json_str(json_get(ended, "finishedAt"), NULL));
}

static bool pod_has_flag(const struct json *object, const char *flag)
{
    const struct json *container = json_path(object, "spec.containers.0");
    static const char *const LISTS[] = {"command", "args"};
    for (size_t l = 0; l < ARRAY_COUNT(LISTS); l++) {
        const struct json *words = json_get(container, LISTS[l]);
        for (size_t i = 0; i < json_count(words); i++) {
            if (str_equal(json_str(json_at(words, i), NULL), flag)) {
                return true;
            }
        }
    }
    return false;
}

void observed_add_pod(struct observed *seen, const struct json *object)
{
    struct observed_pod *pod = ARRAY_GROW(seen->pods, seen->pod_count);
    const struct json *container = json_path(object, "status.containerStatuses.0");
    pod->name = meta_str(object, "name");
    pod->uid = meta_str(object, "uid");
    pod->resource_version = meta_str(object, "resourceVersion");
    pod->ordinal = ordinal_of(object, "");
    pod->phase = pod_phase(json_path_str(object, "status.phase", ""));
    pod->deleting = is_deleting(object);
    pod->deletion_ms = meta_time(object, "deletionTimestamp");
    pod->created_ms = meta_time(object, "creationTimestamp");
    pod->node = json_path_str(object, "spec.nodeName", NULL);
    pod->waiting_reason = json_path_str(container, "state.waiting.reason", NULL);
    pod->restart_count = json_i64(json_get(container, "restartCount"), 0);
    pod->template_hash = annotation(object, ANNOTATION_TEMPLATE_HASH);
    pod->role = label(object, LABEL_ROLE);
    pod->state_new = pod_has_flag(object, "--initial-cluster-state=new");
    pod->raw = object;
    read_pod_conditions(object, pod);
    read_pod_exit(container, pod);
}

static int64_t decimal(const char *text)
{
    int64_t value = 0;
    for (const char *cursor = text; cursor != NULL && *cursor != '\0'; cursor++) {
        if (*cursor < '0' || *cursor > '9' || value > INT64_MAX / 16) {
            return 0;
        }
        value = value * 10 + (*cursor - '0');
    }
    return value;
}

void observed_add_pvc(struct observed *seen, const struct json *object)
{
    struct observed_pvc *pvc = ARRAY_GROW(seen->pvcs, seen->pvc_count);
    const char *phase = json_path_str(object, "status.phase", "Pending");
    pvc->name = meta_str(object, "name");
    pvc->uid = meta_str(object, "uid");
    pvc->resource_version = meta_str(object, "resourceVersion");
    pvc->ordinal = ordinal_of(object, "data-");
    pvc->phase = strcmp(phase, "Bound") == 0  ? PVC_BOUND
                 : strcmp(phase, "Lost") == 0 ? PVC_LOST
                                              : PVC_PENDING;
    pvc->deleting = is_deleting(object);
    pvc->created_ms = meta_time(object, "creationTimestamp");
    pvc->cluster_id = annotation(object, ANNOTATION_CLUSTER_ID);
    pvc->next_ordinal = decimal(annotation(object, ANNOTATION_NEXT_ORDINAL));
    pvc->retired = str_equal(annotation(object, ANNOTATION_RETIRED), "true");
    pvc->selected_node = annotation(object, "volume.kubernetes.io/selected-node");
    pvc->raw = object;
    const struct json *owners = json_get(meta_of(object), "ownerReferences");
    for (size_t i = 0; i < json_count(owners); i++) {
        const struct json *owner = json_at(owners, i);
        if (str_equal(json_str(json_get(owner, "kind"), ""), "EtcdCluster")) {
            pvc->owner_uid = json_str(json_get(owner, "uid"), NULL);
        }
    }
    const char *request = json_path_str(object, "spec.resources.requests.storage", NULL);
    if (spec_quantity_bytes(request, &pvc->request_bytes) != 0) {
        pvc->request_bytes = 0;
    }
}

static void read_object(const struct json *object, struct observed_object *out)
{
    out->name = meta_str(object, "name");
    out->uid = meta_str(object, "uid");
    out->resource_version = meta_str(object, "resourceVersion");
    out->deleting = is_deleting(object);
    out->raw = object;
}

void observed_add_service(struct observed *seen, const struct json *object)
{
    read_object(object, ARRAY_GROW(seen->services, seen->service_count));
}

void observed_add_pdb(struct observed *seen, const struct json *object)
{
    read_object(object, ARRAY_GROW(seen->pdbs, seen->pdb_count));
}

void observed_add_node(struct observed *seen, const struct json *object)
{
    struct observed_node *node = ARRAY_GROW(seen->nodes, seen->node_count);
    node->name = meta_str(object, "name");
    node->state = NODE_NOT_READY;
    node->zone = label(object, "topology.kubernetes.io/zone");
    const struct json *conditions = json_path(object, "status.conditions");
    for (size_t i = 0; i < json_count(conditions); i++) {
        const struct json *condition = json_at(conditions, i);
        if (str_equal(json_str(json_get(condition, "type"), ""), "Ready")) {
            bool ready = str_equal(json_str(json_get(condition, "status"), ""), "True");
            node->state = ready ? NODE_READY : NODE_NOT_READY;
            node->since_ms =
                rfc3339_parse(json_str(json_get(condition, "lastTransitionTime"), NULL));
        }
    }
}

void observed_add_endpoint(struct observed *seen, const struct observed_endpoint *endpoint)
{
    *ARRAY_GROW(seen->endpoints, seen->endpoint_count) = *endpoint;
}

void observed_add_etcd_member(struct observed *seen, const struct observed_etcd_member *member)
{
    *ARRAY_GROW(seen->etcd.members, seen->etcd.member_count) = *member;
}

/* The element of array whose field equals key, or NULL. */
#define FIND(array, count, field, key)                                                             \
    do {                                                                                           \
        for (size_t i_ = 0; i_ < (count); i_++) {                                                  \
            if (strcmp((array)[i_].field, (key)) == 0) {                                           \
                return &(array)[i_];                                                               \
            }                                                                                      \
        }                                                                                          \
        return NULL;                                                                               \
    } while (0)

const struct observed_member_object *observed_member_object(const struct observed *seen,
                                                            const char *name)
{
    FIND(seen->member_objects, seen->member_object_count, name, name);
}

const struct observed_pod *observed_pod(const struct observed *seen, const char *name)
{
    FIND(seen->pods, seen->pod_count, name, name);
}

const struct observed_pvc *observed_pvc(const struct observed *seen, const char *name)
{
    FIND(seen->pvcs, seen->pvc_count, name, name);
}

const struct observed_object *observed_service(const struct observed *seen, const char *name)
{
    FIND(seen->services, seen->service_count, name, name);
}

const struct observed_object *observed_pdb(const struct observed *seen, const char *name)
{
    FIND(seen->pdbs, seen->pdb_count, name, name);
}

const struct observed_endpoint *observed_endpoint(const struct observed *seen, const char *pod)
{
    FIND(seen->endpoints, seen->endpoint_count, pod, pod);
}

enum observed_node_state observed_node_state(const struct observed *seen, const char *name,
                                             int64_t *out_since_ms)
{
    *out_since_ms = 0;
    if (!seen->nodes_readable || name == NULL) {
        return NODE_UNKNOWN;
    }
    for (size_t i = 0; i < seen->node_count; i++) {
        if (strcmp(seen->nodes[i].name, name) == 0) {
            *out_since_ms = seen->nodes[i].since_ms;
            return seen->nodes[i].state;
        }
    }
    return NODE_GONE;
}

int64_t observed_ordinal(const char *name, const char *prefix, const char *cluster)
{
    size_t prefix_size = strlen(prefix);
    size_t cluster_size = strlen(cluster);
    if (strncmp(name, prefix, prefix_size) != 0 ||
        strncmp(name + prefix_size, cluster, cluster_size) != 0 ||
        name[prefix_size + cluster_size] != '-') {
        return OBSERVED_NO_ORDINAL;
    }
    const char *digits = name + prefix_size + cluster_size + 1;
    if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 12 ||
        (digits[0] == '0' && digits[1] != '\0')) {
        return OBSERVED_NO_ORDINAL;
    }
    return decimal(digits);
}
