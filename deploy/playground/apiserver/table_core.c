/* SPDX-License-Identifier: Apache-2.0 */
/* The columns of the built-in kinds. */
#include <string.h>

#include "base/alloc.h"
#include "meta.h"
#include "table.h"

static struct json *text_or_none(const char *text)
{
    return json_string(text == NULL || *text == '\0' ? "<none>" : text);
}

static struct json *pod_ready(const struct json *pod)
{
    const struct json *statuses = json_path(pod, "status.containerStatuses");
    size_t ready = 0;
    for (size_t i = 0; i < json_count(statuses); i++) {
        ready += json_path_truth(json_at(statuses, i), "ready", false) ? 1 : 0;
    }
    return json_stringf("%zu/%zu", ready, json_count(json_path(pod, "spec.containers")));
}

static struct json *pod_status(const struct json *pod)
{
    const char *reason = json_path_str(pod, "status.reason", "");
    const char *text = *reason != '\0' ? reason : json_path_str(pod, "status.phase", "Unknown");
    const struct json *statuses = json_path(pod, "status.containerStatuses");
    for (size_t i = 0; i < json_count(statuses); i++) {
        const struct json *state = json_get(json_at(statuses, i), "state");
        const char *waiting = json_path_str(state, "waiting.reason", "");
        const char *ended = json_path_str(state, "terminated.reason", "");
        text = *waiting != '\0' ? waiting : *ended != '\0' ? ended : text;
    }
    if (meta_is_deleting(pod)) {
        text = "Terminating";
    }
    return json_string(text);
}

static struct json *pod_restarts(const struct json *pod)
{
    const struct json *statuses = json_path(pod, "status.containerStatuses");
    int64_t count = 0;
    const char *last = NULL;
    for (size_t i = 0; i < json_count(statuses); i++) {
        count += json_path_i64(json_at(statuses, i), "restartCount", 0);
        const char *ended =
            json_path_str(json_at(statuses, i), "lastState.terminated.finishedAt", NULL);
        last = ended != NULL ? ended : last;
    }
    if (count == 0 || last == NULL) {
        return json_stringf("%lld", (long long)count);
    }
    struct json *age = table_age(last);
    struct json *cell = json_stringf("%lld (%s ago)", (long long)count, json_str(age, ""));
    json_free(age);
    return cell;
}

static struct json *pod_ip(const struct json *pod)
{
    return text_or_none(json_path_str(pod, "status.podIP", NULL));
}

static struct json *pod_node(const struct json *pod)
{
    return text_or_none(json_path_str(pod, "spec.nodeName", NULL));
}

static struct json *none(const struct json *object)
{
    (void)object;
    return json_string("<none>");
}

static struct json *service_external(const struct json *service)
{
    bool waits = strcmp(json_path_str(service, "spec.type", ""), "LoadBalancer") == 0;
    return json_string(waits ? "<pending>" : "<none>");
}

static struct json *service_ports(const struct json *service)
{
    const struct json *ports = json_path(service, "spec.ports");
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (size_t i = 0; i < json_count(ports); i++) {
        const struct json *port = json_at(ports, i);
        buf_printf(&text, "%s%lld", i > 0 ? "," : "", (long long)json_path_i64(port, "port", 0));
        if (json_path_i64(port, "nodePort", 0) > 0) {
            buf_printf(&text, ":%lld", (long long)json_path_i64(port, "nodePort", 0));
        }
        buf_printf(&text, "/%s", json_path_str(port, "protocol", "TCP"));
    }
    struct json *cell = text_or_none(buf_cstr(&text));
    buf_free(&text);
    return cell;
}

static struct json *labels_text(const struct json *labels)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (size_t i = 0; i < json_count(labels); i++) {
        buf_printf(&text, "%s%s=%s", i > 0 ? "," : "", json_key_at(labels, i),
                   json_str(json_at(labels, i), ""));
    }
    struct json *cell = text_or_none(buf_cstr(&text));
    buf_free(&text);
    return cell;
}

static struct json *service_selector(const struct json *service)
{
    return labels_text(json_path(service, "spec.selector"));
}

static struct json *workload_selector(const struct json *object)
{
    return labels_text(json_path(object, "spec.selector.matchLabels"));
}

static struct json *endpoints_text(const struct json *endpoints)
{
    const struct json *subsets = json_get(endpoints, "subsets");
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    size_t count = 0;
    for (size_t i = 0; i < json_count(subsets); i++) {
        const struct json *addresses = json_get(json_at(subsets, i), "addresses");
        const struct json *ports = json_get(json_at(subsets, i), "ports");
        for (size_t k = 0; k < json_count(addresses); k++) {
            const char *ip = json_path_str(json_at(addresses, k), "ip", "");
            for (size_t p = 0; p < json_count(ports); p++, count++) {
                if (count < 3) {
                    buf_printf(&text, "%s%s:%lld", count > 0 ? "," : "", ip,
                               (long long)json_path_i64(json_at(ports, p), "port", 0));
                }
            }
        }
    }
    if (count > 3) {
        buf_printf(&text, " + %zu more...", count - 3);
    }
    struct json *cell = text_or_none(buf_cstr(&text));
    buf_free(&text);
    return cell;
}

static struct json *data_count(const struct json *object)
{
    return json_int((int64_t)(json_count(json_get(object, "data")) +
                              json_count(json_get(object, "binaryData"))));
}

static struct json *access_modes(const struct json *object)
{
    const struct json *modes = json_path(object, "status.accessModes");
    if (modes == NULL) {
        modes = json_path(object, "spec.accessModes");
    }
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (size_t i = 0; i < json_count(modes); i++) {
        const char *mode = json_str(json_at(modes, i), "");
        const char *brief = strcmp(mode, "ReadWriteOnce") == 0      ? "RWO"
                            : strcmp(mode, "ReadOnlyMany") == 0     ? "ROX"
                            : strcmp(mode, "ReadWriteMany") == 0    ? "RWX"
                            : strcmp(mode, "ReadWriteOncePod") == 0 ? "RWOP"
                                                                    : mode;
        buf_printf(&text, "%s%s", i > 0 ? "," : "", brief);
    }
    struct json *cell = json_string(buf_cstr(&text));
    buf_free(&text);
    return cell;
}

static struct json *text_at(const struct json *object, const char *path)
{
    return json_string(json_path_str(object, path, ""));
}

static struct json *claim_volume(const struct json *claim)
{
    return text_at(claim, "spec.volumeName");
}

static struct json *claim_capacity(const struct json *claim)
{
    return text_at(claim, "status.capacity.storage");
}

static struct json *volume_claim(const struct json *volume)
{
    if (json_path(volume, "spec.claimRef") == NULL) {
        return json_string("");
    }
    return json_stringf("%s/%s", json_path_str(volume, "spec.claimRef.namespace", ""),
                        json_path_str(volume, "spec.claimRef.name", ""));
}

static struct json *volume_reason(const struct json *volume)
{
    return text_at(volume, "status.reason");
}

static const struct json *condition(const struct json *object, const char *type)
{
    const struct json *list = json_path(object, "status.conditions");
    for (size_t i = 0; i < json_count(list); i++) {
        if (strcmp(json_path_str(json_at(list, i), "type", ""), type) == 0) {
            return json_at(list, i);
        }
    }
    return NULL;
}

static struct json *node_status(const struct json *node)
{
    const struct json *ready = condition(node, "Ready");
    const char *text = ready == NULL                                             ? "Unknown"
                       : strcmp(json_path_str(ready, "status", ""), "True") == 0 ? "Ready"
                                                                                 : "NotReady";
    bool is_closed = json_path_truth(node, "spec.unschedulable", false);
    return json_stringf("%s%s", text, is_closed ? ",SchedulingDisabled" : "");
}

static struct json *node_roles(const struct json *node)
{
    static const char PREFIX[] = "node-role.kubernetes.io/";
    const struct json *labels = json_path(node, "metadata.labels");
    for (size_t i = 0; i < json_count(labels); i++) {
        if (str_starts_with(json_key_at(labels, i), PREFIX)) {
            return json_string(json_key_at(labels, i) + sizeof(PREFIX) - 1);
        }
    }
    return json_string("<none>");
}

static struct json *node_address(const struct json *node)
{
    const struct json *list = json_path(node, "status.addresses");
    for (size_t i = 0; i < json_count(list); i++) {
        if (strcmp(json_path_str(json_at(list, i), "type", ""), "InternalIP") == 0) {
            return json_string(json_path_str(json_at(list, i), "address", ""));
        }
    }
    return json_string("<none>");
}

static struct json *event_last(const struct json *event)
{
    static const char *const PATHS[] = {
        "series.lastObservedTime", "lastTimestamp", "deprecatedLastTimestamp",
        "firstTimestamp",          "eventTime",     "metadata.creationTimestamp"};
    for (size_t i = 0; i < ARRAY_COUNT(PATHS); i++) {
        const char *time = json_path_str(event, PATHS[i], NULL);
        if (time != NULL) {
            return table_age(time);
        }
    }
    return json_string("<unknown>");
}

static struct json *event_object(const struct json *event)
{
    const struct json *about = json_get(event, "involvedObject");
    about = about != NULL ? about : json_get(event, "regarding");
    char *kind = str_dup(json_path_str(about, "kind", ""));
    for (char *at = kind; *at != '\0'; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
    }
    struct json *cell = json_stringf("%s/%s", kind, json_path_str(about, "name", ""));
    mem_free(kind);
    return cell;
}

static struct json *event_message(const struct json *event)
{
    return json_string(json_path_str(event, "message", json_path_str(event, "note", "")));
}

static struct json *lease_holder(const struct json *lease)
{
    return text_at(lease, "spec.holderIdentity");
}

static struct json *number_or(const struct json *object, const char *path)
{
    const struct json *value = json_path(object, path);
    return value == NULL ? json_string("N/A") : json_copy(value);
}

static struct json *budget_least(const struct json *budget)
{
    return number_or(budget, "spec.minAvailable");
}

static struct json *budget_most(const struct json *budget)
{
    return number_or(budget, "spec.maxUnavailable");
}

static struct json *job_status(const struct json *job)
{
    static const char *const TYPES[] = {"Complete", "Failed", "Suspended"};
    for (size_t i = 0; i < ARRAY_COUNT(TYPES); i++) {
        if (strcmp(json_path_str(condition(job, TYPES[i]), "status", ""), "True") == 0) {
            return json_string(TYPES[i]);
        }
    }
    return json_string("Running");
}

static struct json *job_completions(const struct json *job)
{
    return json_stringf("%lld/%lld", (long long)json_path_i64(job, "status.succeeded", 0),
                        (long long)json_path_i64(job, "spec.completions", 1));
}

static struct json *job_duration(const struct json *job)
{
    int64_t from = meta_time_parse(json_path_str(job, "status.startTime", NULL));
    int64_t to = meta_time_parse(json_path_str(job, "status.completionTime", NULL));
    if (from < 0) {
        return json_string("");
    }
    if (to < 0) {
        return table_age(json_path_str(job, "status.startTime", NULL));
    }
    return json_stringf("%llds", (long long)(to - from));
}

static struct json *workload_ready(const struct json *object)
{
    return json_stringf("%lld/%lld", (long long)json_path_i64(object, "status.readyReplicas", 0),
                        (long long)json_path_i64(object, "spec.replicas", 0));
}

static struct json *role_reference(const struct json *binding)
{
    return json_stringf("%s/%s", json_path_str(binding, "roleRef.kind", ""),
                        json_path_str(binding, "roleRef.name", ""));
}

static struct json *class_expansion(const struct json *storage_class)
{
    return json_bool(json_path_truth(storage_class, "allowVolumeExpansion", false));
}

#define AGE(key)                                                                                   \
    {                                                                                              \
        key, "Age", "string", 0, NULL, age                                                         \
    }

static struct json *age(const struct json *object)
{
    return table_age(json_path_str(object, "metadata.creationTimestamp", NULL));
}

#define DEPLOYMENTS "deployments.apps"
#define BUDGETS     "poddisruptionbudgets.policy"
#define CLASSES     "storageclasses.storage.k8s.io"
#define RBAC        ".rbac.authorization.k8s.io"

const struct table_column TABLE_COLUMNS[] = {
    {"pods", "Ready", "string", 0, NULL, pod_ready},
    {"pods", "Status", "string", 0, NULL, pod_status},
    {"pods", "Restarts", "string", 0, NULL, pod_restarts},
    AGE("pods"),
    {"pods", "IP", "string", 1, NULL, pod_ip},
    {"pods", "Node", "string", 1, NULL, pod_node},
    {"pods", "Nominated Node", "string", 1, NULL, none},
    {"pods", "Readiness Gates", "string", 1, NULL, none},
    {"services", "Type", "string", 0, "spec.type", NULL},
    {"services", "Cluster-IP", "string", 0, "spec.clusterIP", NULL},
    {"services", "External-IP", "string", 0, NULL, service_external},
    {"services", "Port(s)", "string", 0, NULL, service_ports},
    AGE("services"),
    {"services", "Selector", "string", 1, NULL, service_selector},
    {"endpoints", "Endpoints", "string", 0, NULL, endpoints_text},
    AGE("endpoints"),
    {"configmaps", "Data", "string", 0, NULL, data_count},
    AGE("configmaps"),
    {"secrets", "Type", "string", 0, "type", NULL},
    {"secrets", "Data", "string", 0, NULL, data_count},
    AGE("secrets"),
    {"persistentvolumeclaims", "Status", "string", 0, "status.phase", NULL},
    {"persistentvolumeclaims", "Volume", "string", 0, NULL, claim_volume},
    {"persistentvolumeclaims", "Capacity", "string", 0, NULL, claim_capacity},
    {"persistentvolumeclaims", "Access Modes", "string", 0, NULL, access_modes},
    {"persistentvolumeclaims", "StorageClass", "string", 0, "spec.storageClassName", NULL},
    AGE("persistentvolumeclaims"),
    {"persistentvolumeclaims", "VolumeMode", "string", 1, "spec.volumeMode", NULL},
    {"persistentvolumes", "Capacity", "string", 0, "spec.capacity.storage", NULL},
    {"persistentvolumes", "Access Modes", "string", 0, NULL, access_modes},
    {"persistentvolumes", "Reclaim Policy", "string", 0, "spec.persistentVolumeReclaimPolicy",
     NULL},
    {"persistentvolumes", "Status", "string", 0, "status.phase", NULL},
    {"persistentvolumes", "Claim", "string", 0, NULL, volume_claim},
    {"persistentvolumes", "StorageClass", "string", 0, "spec.storageClassName", NULL},
    {"persistentvolumes", "Reason", "string", 0, NULL, volume_reason},
    AGE("persistentvolumes"),
    {"nodes", "Status", "string", 0, NULL, node_status},
    {"nodes", "Roles", "string", 0, NULL, node_roles},
    AGE("nodes"),
    {"nodes", "Version", "string", 0, "status.nodeInfo.kubeletVersion", NULL},
    {"nodes", "Internal-IP", "string", 1, NULL, node_address},
    {"nodes", "OS-Image", "string", 1, "status.nodeInfo.osImage", NULL},
    {"events", "Last Seen", "string", 0, NULL, event_last},
    {"events", "Type", "string", 0, "type", NULL},
    {"events", "Reason", "string", 0, "reason", NULL},
    {"events", "Object", "string", 0, NULL, event_object},
    {"events", "Message", "string", 0, NULL, event_message},
    {"events", "Name", "string", 1, "metadata.name", NULL},
    {"namespaces", "Status", "string", 0, "status.phase", NULL},
    AGE("namespaces"),
    AGE("serviceaccounts"),
    {"leases.coordination.k8s.io", "Holder", "string", 0, NULL, lease_holder},
    AGE("leases.coordination.k8s.io"),
    {BUDGETS, "Min Available", "string", 0, NULL, budget_least},
    {BUDGETS, "Max Unavailable", "string", 0, NULL, budget_most},
    {BUDGETS, "Allowed Disruptions", "integer", 0, "status.disruptionsAllowed", NULL},
    AGE(BUDGETS),
    {"jobs.batch", "Status", "string", 0, NULL, job_status},
    {"jobs.batch", "Completions", "string", 0, NULL, job_completions},
    {"jobs.batch", "Duration", "string", 0, NULL, job_duration},
    AGE("jobs.batch"),
    {DEPLOYMENTS, "Ready", "string", 0, NULL, workload_ready},
    {DEPLOYMENTS, "Up-to-date", "integer", 0, "status.updatedReplicas", NULL},
    {DEPLOYMENTS, "Available", "integer", 0, "status.availableReplicas", NULL},
    AGE(DEPLOYMENTS),
    {DEPLOYMENTS, "Selector", "string", 1, NULL, workload_selector},
    {"statefulsets.apps", "Ready", "string", 0, NULL, workload_ready},
    AGE("statefulsets.apps"),
    {"replicasets.apps", "Desired", "integer", 0, "spec.replicas", NULL},
    {"replicasets.apps", "Current", "integer", 0, "status.replicas", NULL},
    {"replicasets.apps", "Ready", "integer", 0, "status.readyReplicas", NULL},
    AGE("replicasets.apps"),
    {"rolebindings" RBAC, "Role", "string", 0, NULL, role_reference},
    AGE("rolebindings" RBAC),
    {"clusterrolebindings" RBAC, "Role", "string", 0, NULL, role_reference},
    AGE("clusterrolebindings" RBAC),
    {CLASSES, "Provisioner", "string", 0, "provisioner", NULL},
    {CLASSES, "ReclaimPolicy", "string", 0, "reclaimPolicy", NULL},
    {CLASSES, "VolumeBindingMode", "string", 0, "volumeBindingMode", NULL},
    {CLASSES, "AllowVolumeExpansion", "boolean", 0, NULL, class_expansion},
    AGE(CLASSES),
};

const size_t TABLE_COLUMN_COUNT = ARRAY_COUNT(TABLE_COLUMNS);
