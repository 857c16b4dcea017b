/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints and EndpointSlices of Services with a selector, and the status of disruption budgets.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "controllers.h"
#include "meta.h"

#define SLICES        "endpointslices.discovery.k8s.io"
#define MANAGED_LABEL "endpoints.kubernetes.io/managed-by"
#define MANAGED_BY    "endpoint-controller"

static bool is_over(const struct json *pod)
{
    const char *phase = json_path_str(pod, "status.phase", "");
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

static bool is_ready(const struct json *pod)
{
    return strcmp(condition_status(pod, "Ready"), "True") == 0 && !meta_is_deleting(pod);
}

/* The number of a target port in this Pod; 0 when the Pod has no port of that name. */
static int64_t resolve_port(const struct json *port, const struct json *pod)
{
    const struct json *target = json_get(port, "targetPort");
    if (!json_is(target, JSON_STRING)) {
        return json_i64(target, json_path_i64(port, "port", 0));
    }
    const struct json *containers = json_path(pod, "spec.containers");
    for (size_t i = 0; i < json_count(containers); i++) {
        const struct json *ports = json_get(json_at(containers, i), "ports");
        for (size_t k = 0; k < json_count(ports); k++) {
            if (str_equal(json_path_str(json_at(ports, k), "name", ""), json_str(target, ""))) {
                return json_path_i64(json_at(ports, k), "containerPort", 0);
            }
        }
    }
    return 0;
}

static struct json *ports_of(const struct json *service, const struct json *pod)
{
    const struct json *ports = json_path(service, "spec.ports");
    struct json *out = json_array();
    for (size_t i = 0; i < json_count(ports); i++) {
        const struct json *port = json_at(ports, i);
        int64_t number = resolve_port(port, pod);
        if (number == 0) {
            continue;
        }
        struct json *entry = json_object();
        if (json_get(port, "name") != NULL) {
            json_set(entry, "name", json_copy(json_get(port, "name")));
        }
        json_set_int(entry, "port", number);
        json_set_str(entry, "protocol", json_path_str(port, "protocol", "TCP"));
        json_append(out, entry);
    }
    return out;
}

static struct json *address_of(const struct json *pod, const char *service)
{
    struct json *address = json_object();
    json_set_str(address, "ip", json_path_str(pod, "status.podIP", ""));
    const char *host = json_path_str(pod, "spec.hostname", "");
    if (*host != '\0' && strcmp(json_path_str(pod, "spec.subdomain", ""), service) == 0) {
        json_set_str(address, "hostname", host);
    }
    const char *node = json_path_str(pod, "spec.nodeName", "");
    if (*node != '\0') {
        json_set_str(address, "nodeName", node);
    }
    struct json *target = json_ensure_object(address, "targetRef");
    json_set_str(target, "kind", "Pod");
    json_set_str(target, "namespace", meta_namespace(pod));
    json_set_str(target, "name", meta_name(pod));
    json_set_str(target, "uid", meta_uid_of(pod));
    return address;
}

/* The subset with these ports, made when there is none. */
static struct json *subset_for(struct json *subsets, const struct json *ports)
{
    for (size_t i = 0; i < json_count(subsets); i++) {
        if (json_equal(json_get(json_at(subsets, i), "ports"), ports)) {
            return json_at(subsets, i);
        }
    }
    struct json *subset = json_object();
    json_append(subsets, subset);
    json_set(subset, "ports", json_copy(ports));
    return subset;
}

static struct json *subsets_of(struct store *store, const struct object *service)
{
    struct json *subsets = json_array();
    const struct json *selector = json_path(service->value, "spec.selector");
    bool takes_all = json_path_truth(service->value, "spec.publishNotReadyAddresses", false);
    struct table *pods = objects_table(&store->objects, "pods");
    for (size_t row = table_seek(pods, service->ns, ""); row < pods->count; row++) {
        const struct object *pod = pods->rows[row];
        if (strcmp(pod->ns, service->ns) != 0) {
            break;
        }
        bool is_meant = select_simple(selector, json_path(pod->value, "metadata.labels")) &&
                        *json_path_str(pod->value, "status.podIP", "") != '\0' &&
                        !is_over(pod->value) && (takes_all || !meta_is_deleting(pod->value));
        if (!is_meant) {
            continue;
        }
        struct json *ports = ports_of(service->value, pod->value);
        struct json *subset = subset_for(subsets, ports);
        json_free(ports);
        const char *list = takes_all || is_ready(pod->value) ? "addresses" : "notReadyAddresses";
        json_append(json_ensure_array(subset, list), address_of(pod->value, service->name));
    }
    return subsets;
}

static struct json *object_new(const char *api_version, const char *kind,
                               const struct object *service, const char *name)
{
    struct json *object = json_object();
    json_set_str(object, "apiVersion", api_version);
    json_set_str(object, "kind", kind);
    struct json *metadata = json_ensure_object(object, "metadata");
    json_set_str(metadata, "name", name);
    json_set_str(metadata, "namespace", service->ns);
    char uid[META_UID_SIZE];
    meta_uid(uid);
    json_set_str(metadata, "uid", uid);
    char now[META_TIME_SIZE];
    meta_now(now);
    json_set_str(metadata, "creationTimestamp", now);
    return object;
}

/* Puts value (taken) at key of the object of that name when it differs. */
static void put_part(struct store *store, const char *table, struct json *fresh, const char *key,
                     struct json *value)
{
    struct object *old =
        objects_find(&store->objects, table, meta_namespace(fresh), meta_name(fresh));
    if (old != NULL && json_equal(json_get(old->value, key), value)) {
        json_free(fresh);
        json_free(value);
        return;
    }
    if (old != NULL) {
        json_free(fresh);
        fresh = json_copy(old->value);
    }
    json_set(fresh, key, value);
    objects_put(&store->objects, table, fresh);
}

static void put_endpoints(struct store *store, const struct object *service,
                          const struct json *subsets)
{
    struct json *fresh = object_new("v1", "Endpoints", service, service->name);
    struct json *labels = json_ensure_object(json_get(fresh, "metadata"), "labels");
    json_set_str(labels, MANAGED_LABEL, MANAGED_BY);
    put_part(store, "endpoints", fresh, "subsets", json_copy(subsets));
}

static void add_slice_endpoints(struct json *endpoints, const struct json *addresses, bool ready)
{
    for (size_t i = 0; i < json_count(addresses); i++) {
        struct json *endpoint = json_copy(json_at(addresses, i));
        json_append(json_ensure_array(endpoint, "addresses"), json_take(endpoint, "ip"));
        struct json *conditions = json_ensure_object(endpoint, "conditions");
        json_set_bool(conditions, "ready", ready);
        json_set_bool(conditions, "serving", ready);
        json_set_bool(conditions, "terminating", false);
        json_append(endpoints, endpoint);
    }
}

/* One slice per Service: its Pods share the first set of ports. */
static void put_slice(struct store *store, const struct object *service, const struct json *subsets)
{
    char *name = str_printf("%s-1", service->name);
    struct json *fresh = object_new("discovery.k8s.io/v1", "EndpointSlice", service, name);
    struct json *metadata = json_get(fresh, "metadata");
    struct json *labels = json_ensure_object(metadata, "labels");
    json_set_str(labels, "kubernetes.io/service-name", service->name);
    json_set_str(labels, "endpointslice.kubernetes.io/managed-by",
                 "endpointslice-controller.k8s.io");
    struct json *owner = json_object();
    json_set_str(owner, "apiVersion", "v1");
    json_set_str(owner, "kind", "Service");
    json_set_str(owner, "name", service->name);
    json_set_str(owner, "uid", service->uid);
    json_set_bool(owner, "controller", true);
    json_set_bool(owner, "blockOwnerDeletion", true);
    json_append(json_ensure_array(metadata, "ownerReferences"), owner);
    json_set_str(fresh, "addressType", "IPv4");
    const struct json *ports = json_get(json_at(subsets, 0), "ports");
    json_set(fresh, "ports", ports == NULL ? json_array() : json_copy(ports));
    struct json *endpoints = json_array();
    for (size_t i = 0; i < json_count(subsets); i++) {
        add_slice_endpoints(endpoints, json_get(json_at(subsets, i), "addresses"), true);
        add_slice_endpoints(endpoints, json_get(json_at(subsets, i), "notReadyAddresses"), false);
    }
    struct object *old = objects_find(&store->objects, SLICES, service->ns, name);
    if (old != NULL && !json_equal(json_get(old->value, "ports"), json_get(fresh, "ports"))) {
        objects_delete(&store->objects, SLICES, old, NULL);
    }
    put_part(store, SLICES, fresh, "endpoints", endpoints);
    mem_free(name);
}

static void drop_ownerless(struct store *store)
{
    struct snapshot all;
    snapshot_take(store, "endpoints", &all);
    for (size_t i = 0; i < all.count; i++) {
        const struct object *object = all.items[i];
        const char *manager =
            json_str(json_get(json_path(object->value, "metadata.labels"), MANAGED_LABEL), "");
        if (strcmp(manager, MANAGED_BY) == 0 &&
            objects_find(&store->objects, "services", object->ns, object->name) == NULL) {
            objects_delete(&store->objects, "endpoints", all.items[i], NULL);
        }
    }
    snapshot_free(&all);
}

void endpoints_pass(struct store *store)
{
    struct snapshot services;
    snapshot_take(store, "services", &services);
    for (size_t i = 0; i < services.count; i++) {
        const struct object *service = services.items[i];
        if (json_count(json_path(service->value, "spec.selector")) == 0 ||
            meta_is_deleting(service->value)) {
            continue;
        }
        struct json *subsets = subsets_of(store, service);
        put_endpoints(store, service, subsets);
        put_slice(store, service, subsets);
        json_free(subsets);
    }
    snapshot_free(&services);
    drop_ownerless(store);
}

/* A count or a percentage of total, rounded up. */
static int64_t share_of(const struct json *value, int64_t total)
{
    const char *text = json_str(value, NULL);
    if (text == NULL) {
        return json_i64(value, 0);
    }
    int64_t percent = strtoll(text, NULL, 10);
    return (total * percent + 99) / 100;
}

void budgets_pass(struct store *store)
{
    static const char KEY[] = "poddisruptionbudgets.policy";
    struct snapshot budgets;
    snapshot_take(store, KEY, &budgets);
    for (size_t i = 0; i < budgets.count; i++) {
        const struct object *budget = budgets.items[i];
        int64_t expected = 0;
        int64_t healthy = 0;
        struct table *pods = objects_table(&store->objects, "pods");
        for (size_t row = 0; row < pods->count; row++) {
            const struct object *pod = pods->rows[row];
            if (strcmp(pod->ns, budget->ns) == 0 && !is_over(pod->value) &&
                select_label_selector(json_path(budget->value, "spec.selector"),
                                      json_path(pod->value, "metadata.labels"))) {
                expected++;
                healthy += is_ready(pod->value) ? 1 : 0;
            }
        }
        const struct json *least = json_path(budget->value, "spec.minAvailable");
        const struct json *most = json_path(budget->value, "spec.maxUnavailable");
        int64_t desired = least != NULL  ? share_of(least, expected)
                          : most != NULL ? expected - share_of(most, expected)
                                         : expected;
        struct json *value = json_copy(budget->value);
        struct json *status = json_ensure_object(value, "status");
        json_set_int(status, "expectedPods", expected);
        json_set_int(status, "currentHealthy", healthy);
        json_set_int(status, "desiredHealthy", desired < 0 ? 0 : desired);
        json_set_int(status, "disruptionsAllowed", BASE_MAX(healthy - desired, 0));
        json_set_int(status, "observedGeneration", json_path_i64(value, "metadata.generation", 1));
        if (json_equal(value, budget->value)) {
            json_free(value);
        } else {
            objects_put(&store->objects, KEY, value);
        }
    }
    snapshot_free(&budgets);
}
