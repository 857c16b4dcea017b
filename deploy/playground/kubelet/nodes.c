/* SPDX-License-Identifier: Apache-2.0 */
/* Node objects: made at start, NotReady while they are lost. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "deploy/playground/apiserver/meta.h"
#include "state.h"

#define ZONES           3
#define UNREACHABLE_KEY "node.kubernetes.io/unreachable"
#define KUBELET_VERSION "v1.32.0-quorate-playground"

static void set_capacity(struct json *resources)
{
    json_set_str(resources, "cpu", "8");
    json_set_str(resources, "memory", "16Gi");
    json_set_str(resources, "ephemeral-storage", "100Gi");
    json_set_str(resources, "pods", "110");
}

static void set_info(struct json *info)
{
    json_set_str(info, "kubeletVersion", KUBELET_VERSION);
    json_set_str(info, "kubeProxyVersion", "");
    json_set_str(info, "osImage", "this machine");
    json_set_str(info, "operatingSystem", "linux");
    json_set_str(info, "architecture", "amd64");
    json_set_str(info, "kernelVersion", "");
    json_set_str(info, "containerRuntimeVersion", "process://1");
    json_set_str(info, "machineID", "");
    json_set_str(info, "systemUUID", "");
    json_set_str(info, "bootID", "");
}

static void set_conditions(struct json *node, bool is_lost)
{
    static const char *const PRESSURES[] = {"MemoryPressure", "DiskPressure", "PIDPressure"};
    const char *unknown = "NodeStatusUnknown";
    const char *stopped = "Kubelet stopped posting node status.";
    for (size_t i = 0; i < ARRAY_COUNT(PRESSURES); i++) {
        meta_set_condition(node, PRESSURES[i], is_lost ? "Unknown" : "False",
                           is_lost ? unknown : "KubeletHasSufficientResources",
                           is_lost ? stopped : "there is enough");
    }
    meta_set_condition(node, "Ready", is_lost ? "Unknown" : "True",
                       is_lost ? unknown : "KubeletReady",
                       is_lost ? stopped : "kubelet is posting ready status");
}

static void set_address(struct json *status, const char *type, const char *address)
{
    struct json *row = json_object();
    json_set_str(row, "type", type);
    json_set_str(row, "address", address);
    json_append(json_ensure_array(status, "addresses"), row);
}

static void make_node(struct kubelet *kubelet, uint32_t number)
{
    char name[32];
    snprintf(name, sizeof(name), "node-%u", number);
    struct json *old = NULL;
    if (store_get(kubelet->config.store, "nodes", NULL, name, &old, NULL) == 0) {
        json_free(old);
        return;
    }
    struct json *node = json_object();
    struct json *metadata = json_ensure_object(node, "metadata");
    json_set_str(metadata, "name", name);
    struct json *labels = json_ensure_object(metadata, "labels");
    json_set_str(labels, "kubernetes.io/hostname", name);
    json_set_str(labels, "kubernetes.io/os", "linux");
    json_set_str(labels, "kubernetes.io/arch", "amd64");
    json_set_str(labels, "topology.kubernetes.io/region", "playground");
    json_set(labels, "topology.kubernetes.io/zone",
             json_stringf("zone-%c", (char)('a' + (number - 1) % ZONES)));
    json_set_str(labels, NODE_LABEL, "true");
    json_ensure_object(node, "spec");
    struct json *status = json_ensure_object(node, "status");
    set_capacity(json_ensure_object(status, "capacity"));
    set_capacity(json_ensure_object(status, "allocatable"));
    set_info(json_ensure_object(status, "nodeInfo"));
    char address[ADDRESS_SIZE];
    addresses_format(kubelet, 0, number, address);
    set_address(status, "InternalIP", address);
    set_address(status, "Hostname", name);
    set_conditions(node, false);
    struct err err = {""};
    if (store_create(kubelet->config.store, "nodes", NULL, node, NULL, &err) != 0 ||
        store_update_status(kubelet->config.store, "nodes", NULL, node, NULL, &err) != 0) {
        LOG_ERROR("cannot make a node", LOG_STR("node", name), LOG_STR("error", err.text));
    }
    json_free(node);
}

void nodes_make(struct kubelet *kubelet)
{
    for (uint32_t number = 1; number <= kubelet->config.node_count; number++) {
        make_node(kubelet, number);
    }
}

static bool is_marked_lost(const struct json *node)
{
    return json_get(json_path(node, "metadata.annotations"), LOST_ANNOTATION) != NULL;
}

bool nodes_is_lost(const struct kubelet *kubelet, const char *name)
{
    const struct json *node = mirror_find(&kubelet->nodes, "", name);
    return node != NULL && is_marked_lost(node);
}

static bool is_shown_lost(const struct json *node)
{
    const struct json *conditions = json_path(node, "status.conditions");
    for (size_t i = 0; i < json_count(conditions); i++) {
        if (str_equal(json_path_str(json_at(conditions, i), "type", ""), "Ready")) {
            return !str_equal(json_path_str(json_at(conditions, i), "status", ""), "True");
        }
    }
    return true;
}

/* The taints without ours, with ours again when the node is lost. */
static struct json *taints_of(const struct json *node, bool is_lost)
{
    struct json *taints = json_array();
    const struct json *old = json_path(node, "spec.taints");
    for (size_t i = 0; i < json_count(old); i++) {
        if (!str_equal(json_path_str(json_at(old, i), "key", ""), UNREACHABLE_KEY)) {
            json_append(taints, json_copy(json_at(old, i)));
        }
    }
    static const char *const EFFECTS[] = {"NoSchedule", "NoExecute"};
    for (size_t i = 0; is_lost && i < ARRAY_COUNT(EFFECTS); i++) {
        struct json *taint = json_object();
        json_set_str(taint, "key", UNREACHABLE_KEY);
        json_set_str(taint, "effect", EFFECTS[i]);
        json_append(taints, taint);
    }
    return taints;
}

static void show_node(struct kubelet *kubelet, const struct json *node, bool is_lost)
{
    const char *name = meta_name(node);
    struct err err = {""};
    struct json *patch = json_object();
    json_set(json_ensure_object(patch, "spec"), "taints", taints_of(node, is_lost));
    int rc = store_patch(kubelet->config.store, "nodes", NULL, name, "", patch, NULL, &err);
    json_free(patch);
    struct json *fresh = json_copy(node);
    json_remove(json_get(fresh, "metadata"), "resourceVersion");
    set_conditions(fresh, is_lost);
    if (rc == 0) {
        rc = store_update_status(kubelet->config.store, "nodes", NULL, fresh, NULL, &err);
    }
    if (rc != 0) {
        LOG_WARN("cannot change a node", LOG_STR("node", name), LOG_STR("error", err.text));
    }
    store_record_event(
        kubelet->config.store, node, "Normal", is_lost ? "NodeNotReady" : "NodeReady",
        is_lost ? "Node status is now: NodeNotReady" : "Node status is now: NodeReady",
        is_lost ? "node-controller" : "kubelet", name);
    json_free(fresh);
}

/* What a node controller does to the Pods of a node that does not answer. */
static void show_pods_not_ready(struct kubelet *kubelet, const char *node)
{
    for (struct pod *pod = kubelet->pods; pod != NULL; pod = pod->next) {
        if (!str_equal(pod->node, node) || pod->is_gone || pod->written == NULL) {
            continue;
        }
        struct json *fresh = json_copy(pod->object);
        json_remove(json_get(fresh, "metadata"), "resourceVersion");
        json_set(fresh, "status", json_copy(pod->written));
        meta_set_condition(fresh, "Ready", "False", "NodeNotReady", "the node does not answer");
        struct err err = {""};
        if (store_update_status(kubelet->config.store, "pods", pod->ns, fresh, NULL, &err) != 0) {
            LOG_WARN("cannot change a Pod", LOG_STR("pod", pod->name), LOG_STR("error", err.text));
        }
        json_free(pod->written);
        pod->written = json_copy(json_get(fresh, "status"));
        json_free(fresh);
    }
}

void nodes_step(struct kubelet *kubelet)
{
    for (size_t i = 0; i < kubelet->nodes.count; i++) {
        const struct json *node = kubelet->nodes.items[i];
        bool is_ours = json_get(json_path(node, "metadata.labels"), NODE_LABEL) != NULL;
        bool is_lost = is_marked_lost(node);
        if (!is_ours || is_lost == is_shown_lost(node)) {
            continue;
        }
        LOG_INFO(is_lost ? "node is lost" : "node is back", LOG_STR("node", meta_name(node)));
        show_node(kubelet, node, is_lost);
        if (is_lost) {
            show_pods_not_ready(kubelet, meta_name(node));
        }
    }
}

int nodes_set_lost(struct kubelet *kubelet, const char *name, bool is_lost, struct err *err)
{
    struct json *patch = json_object();
    struct json *annotations =
        json_ensure_object(json_ensure_object(patch, "metadata"), "annotations");
    json_set(annotations, LOST_ANNOTATION, is_lost ? json_string("true") : json_null());
    int rc = store_patch(kubelet->config.store, "nodes", NULL, name, "", patch, NULL, err);
    json_free(patch);
    return rc;
}
