/* SPDX-License-Identifier: Apache-2.0 */
/* What single built-in kinds want filled in or forbid. */
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/alloc.h"
#include "base/base64.h"
#include "meta.h"

#define SERVICE_ADDRESS_COUNT 65534u
#define NODE_PORT_FIRST       30000
#define NODE_PORT_COUNT       2768u

typedef void (*admit_fn)(struct store *store, const struct json *old, struct json *object,
                         struct json *causes);

static void set_if_absent(struct json *object, const char *key, const char *text)
{
    if (*json_path_str(object, key, "") == '\0') {
        json_set_str(object, key, text);
    }
}

/* A field that the system has set stays when a write leaves it out. */
static void keep_if_absent(const struct json *old, struct json *object, const char *part,
                           const char *field)
{
    const struct json *before = json_get(json_get(old, part), field);
    struct json *owner = json_ensure_object(object, part);
    if (before != NULL && json_get(owner, field) == NULL) {
        json_set(owner, field, json_copy(before));
    }
}

static void admit_namespace(struct store *store, const struct json *old, struct json *object,
                            struct json *causes)
{
    (void)store;
    (void)causes;
    if (old != NULL) {
        if (!meta_is_deleting(old)) {
            keep_if_absent(old, object, "spec", "finalizers");
        }
        return;
    }
    struct json *metadata = json_ensure_object(object, "metadata");
    json_set_str(json_ensure_object(metadata, "labels"), "kubernetes.io/metadata.name",
                 meta_name(object));
    struct json *spec = json_ensure_object(object, "spec");
    if (json_count(json_get(spec, "finalizers")) == 0) {
        json_append(json_ensure_array(spec, "finalizers"), json_string("kubernetes"));
    }
    json_set_str(json_ensure_object(object, "status"), "phase", "Active");
}

/* Requests that are not given are as high as the limits. */
static void fill_requests(struct json *container)
{
    const struct json *limits = json_path(container, "resources.limits");
    for (size_t i = 0; i < json_count(limits); i++) {
        struct json *requests = json_ensure_object(json_get(container, "resources"), "requests");
        if (json_get(requests, json_key_at(limits, i)) == NULL) {
            json_set(requests, json_key_at(limits, i), json_copy(json_at(limits, i)));
        }
    }
    if (json_get(container, "resources") == NULL) {
        json_set(container, "resources", json_object());
    }
}

static const char *quality_class(const struct json *containers)
{
    bool any = false;
    bool all = true;
    for (size_t i = 0; i < json_count(containers); i++) {
        const struct json *limits = json_path(json_at(containers, i), "resources.limits");
        const struct json *requests = json_path(json_at(containers, i), "resources.requests");
        any = any || json_count(requests) > 0;
        all = all && json_get(limits, "cpu") != NULL && json_get(limits, "memory") != NULL &&
              json_equal(limits, requests);
    }
    return all ? "Guaranteed" : any ? "Burstable" : "BestEffort";
}

static void check_containers(const struct json *spec, struct json *causes)
{
    const struct json *containers = json_get(spec, "containers");
    if (containers != NULL && json_count(containers) == 0) {
        cause_add(causes, "FieldValueRequired", "spec.containers", "Required value");
    }
    for (size_t i = 0; i < json_count(containers); i++) {
        if (*json_path_str(json_at(containers, i), "image", "") == '\0') {
            char *field = str_printf("spec.containers[%zu].image", i);
            cause_add(causes, "FieldValueRequired", field, "Required value");
            mem_free(field);
        }
    }
}

/* What of a Pod's spec may change while it lives. */
static struct json *fixed_part(const struct json *spec, bool may_bind)
{
    struct json *fixed = json_copy(spec);
    static const char *const FREE[] = {"activeDeadlineSeconds", "terminationGracePeriodSeconds",
                                       "tolerations", "schedulingGates", "ephemeralContainers"};
    for (size_t i = 0; i < ARRAY_COUNT(FREE); i++) {
        json_remove(fixed, FREE[i]);
    }
    if (may_bind) {
        json_remove(fixed, "nodeName");
    }
    static const char *const LISTS[] = {"containers", "initContainers"};
    for (size_t list = 0; list < ARRAY_COUNT(LISTS); list++) {
        struct json *containers = json_get(fixed, LISTS[list]);
        for (size_t i = 0; i < json_count(containers); i++) {
            json_remove(json_at(containers, i), "image");
        }
    }
    return fixed;
}

static void check_pod_change(const struct json *old, const struct json *object, struct json *causes)
{
    bool may_bind = *json_path_str(old, "spec.nodeName", "") == '\0';
    struct json *before = fixed_part(json_get(old, "spec"), may_bind);
    struct json *after = fixed_part(json_get(object, "spec"), may_bind);
    if (!json_equal(before, after)) {
        cause_add(causes, "FieldValueForbidden", "spec",
                  "Forbidden: pod updates may not change fields other than "
                  "`spec.containers[*].image`,`spec.initContainers[*].image`,"
                  "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
                  "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if "
                  "it was previously negative)");
    }
    json_free(before);
    json_free(after);
}

static void admit_pod(struct store *store, const struct json *old, struct json *object,
                      struct json *causes)
{
    (void)store;
    struct json *spec = json_ensure_object(object, "spec");
    static const char *const LISTS[] = {"containers", "initContainers"};
    for (size_t list = 0; list < ARRAY_COUNT(LISTS); list++) {
        struct json *containers = json_get(spec, LISTS[list]);
        for (size_t i = 0; i < json_count(containers); i++) {
            fill_requests(json_at(containers, i));
        }
    }
    set_if_absent(spec, "serviceAccountName",
                  json_path_str(old, "spec.serviceAccountName", "default"));
    json_set_str(spec, "serviceAccount", json_path_str(spec, "serviceAccountName", ""));
    if (json_get(spec, "securityContext") == NULL) {
        json_set(spec, "securityContext", json_object());
    }
    if (old != NULL) {
        keep_if_absent(old, object, "spec", "nodeName");
        check_pod_change(old, object, causes);
        return;
    }
    check_containers(spec, causes);
    struct json *status = json_ensure_object(object, "status");
    set_if_absent(status, "phase", "Pending");
    json_set_str(status, "qosClass", quality_class(json_get(spec, "containers")));
}

static bool address_taken(struct store *store, const char *address)
{
    struct table *services = objects_table(&store->objects, "services");
    for (size_t i = 0; i < services->count; i++) {
        if (strcmp(json_path_str(services->rows[i]->value, "spec.clusterIP", ""), address) == 0) {
            return true;
        }
    }
    return false;
}

static bool node_port_taken(struct store *store, int64_t port)
{
    struct table *services = objects_table(&store->objects, "services");
    for (size_t i = 0; i < services->count; i++) {
        const struct json *ports = json_path(services->rows[i]->value, "spec.ports");
        for (size_t k = 0; k < json_count(ports); k++) {
            if (json_path_i64(json_at(ports, k), "nodePort", 0) == port) {
                return true;
            }
        }
    }
    return false;
}

static void fill_ports(struct store *store, struct json *spec)
{
    const char *type = json_path_str(spec, "type", "");
    bool wants_node_port = strcmp(type, "NodePort") == 0 || strcmp(type, "LoadBalancer") == 0;
    struct json *ports = json_get(spec, "ports");
    for (size_t i = 0; i < json_count(ports); i++) {
        struct json *port = json_at(ports, i);
        if (json_get(port, "targetPort") == NULL && json_get(port, "port") != NULL) {
            json_set(port, "targetPort", json_copy(json_get(port, "port")));
        }
        while (wants_node_port && json_path_i64(port, "nodePort", 0) == 0) {
            int64_t wish = NODE_PORT_FIRST + (int64_t)meta_random(NODE_PORT_COUNT);
            if (!node_port_taken(store, wish)) {
                json_set_int(port, "nodePort", wish);
            }
        }
    }
}

static void fill_address(struct store *store, struct json *spec)
{
    char address[32];
    do {
        uint32_t host = 2 + meta_random(SERVICE_ADDRESS_COUNT - 2);
        snprintf(address, sizeof(address), "10.96.%u.%u", host >> 8, host & 0xffu);
    } while (address_taken(store, address));
    json_set_str(spec, "clusterIP", address);
}

static void admit_service(struct store *store, const struct json *old, struct json *object,
                          struct json *causes)
{
    struct json *spec = json_ensure_object(object, "spec");
    fill_ports(store, spec);
    if (strcmp(json_path_str(spec, "type", ""), "ExternalName") == 0) {
        return;
    }
    const char *before = json_path_str(old, "spec.clusterIP", "");
    if (*before != '\0') {
        set_if_absent(spec, "clusterIP", before);
        if (strcmp(json_path_str(spec, "clusterIP", ""), before) != 0) {
            cause_add(causes, "FieldValueInvalid", "spec.clusterIPs[0]",
                      "Invalid value: [\"%s\"]: may not change once set",
                      json_path_str(spec, "clusterIP", ""));
        }
    } else if (*json_path_str(spec, "clusterIP", "") == '\0') {
        fill_address(store, spec);
    }
    json_set(spec, "clusterIPs", json_array());
    json_append(json_get(spec, "clusterIPs"), json_string(json_path_str(spec, "clusterIP", "")));
    set_if_absent(spec, "ipFamilyPolicy", "SingleStack");
    set_if_absent(spec, "internalTrafficPolicy", "Cluster");
    if (json_get(spec, "ipFamilies") == NULL) {
        json_append(json_ensure_array(spec, "ipFamilies"), json_string("IPv4"));
    }
    if (json_get(object, "status") == NULL) {
        json_set(json_ensure_object(object, "status"), "loadBalancer", json_object());
    }
}

static void check_immutable(const struct json *old, const struct json *object, struct json *causes)
{
    if (!json_path_truth(old, "immutable", false)) {
        return;
    }
    static const char *const PARTS[] = {"immutable", "data", "binaryData"};
    for (size_t i = 0; i < ARRAY_COUNT(PARTS); i++) {
        const struct json *before = json_get(old, PARTS[i]);
        const struct json *after = json_get(object, PARTS[i]);
        bool is_same =
            before == NULL || after == NULL ? before == after : json_equal(before, after);
        if (!is_same) {
            cause_add(causes, "FieldValueForbidden", PARTS[i],
                      "Forbidden: field is immutable when `immutable` is set");
        }
    }
}

static void admit_config_map(struct store *store, const struct json *old, struct json *object,
                             struct json *causes)
{
    (void)store;
    check_immutable(old, object, causes);
}

static void admit_secret(struct store *store, const struct json *old, struct json *object,
                         struct json *causes)
{
    (void)store;
    struct json *plain = json_take(object, "stringData");
    for (size_t i = 0; i < json_count(plain); i++) {
        const struct json *value = json_at(plain, i);
        char *encoded = base64_text(bytes_of(json_str(value, ""), json_str_size(value)));
        json_set_str(json_ensure_object(object, "data"), json_key_at(plain, i), encoded);
        mem_free(encoded);
    }
    json_free(plain);
    check_immutable(old, object, causes);
    if (old != NULL &&
        !str_equal(json_path_str(old, "type", ""), json_path_str(object, "type", ""))) {
        cause_add(causes, "FieldValueInvalid", "type", "Invalid value: \"%s\": field is immutable",
                  json_path_str(object, "type", ""));
    }
}

/* The wish without what may change: the size, and the volume that the binder names. */
static struct json *fixed_claim(const struct json *claim)
{
    struct json *spec = json_copy(json_get(claim, "spec"));
    json_remove(json_path(spec, "resources.requests"), "storage");
    json_remove(spec, "volumeName");
    json_remove(spec, "volumeAttributesClassName");
    return spec;
}

static void admit_claim(struct store *store, const struct json *old, struct json *object,
                        struct json *causes)
{
    (void)store;
    if (old != NULL) {
        keep_if_absent(old, object, "spec", "storageClassName");
        keep_if_absent(old, object, "spec", "volumeName");
        struct json *before = fixed_claim(old);
        struct json *after = fixed_claim(object);
        if (!json_equal(before, after)) {
            cause_add(causes, "FieldValueForbidden", "spec",
                      "Forbidden: spec is immutable after creation except resources.requests and "
                      "volumeAttributesClassName for bound claims");
        }
        json_free(before);
        json_free(after);
        return;
    }
    struct json *spec = json_ensure_object(object, "spec");
    if (json_count(json_get(spec, "accessModes")) == 0) {
        cause_add(causes, "FieldValueRequired", "spec.accessModes",
                  "Required value: at least 1 access mode is required");
    }
    if (json_path(spec, "resources.requests.storage") == NULL) {
        cause_add(causes, "FieldValueRequired", "spec.resources[storage]", "Required value");
    }
    if (json_get(spec, "storageClassName") == NULL) {
        json_set_str(spec, "storageClassName", STANDARD_CLASS);
    }
    meta_add_finalizer(object, FINALIZER_PVC);
    json_set_str(json_ensure_object(object, "status"), "phase", "Pending");
}

static void admit_volume(struct store *store, const struct json *old, struct json *object,
                         struct json *causes)
{
    (void)store;
    (void)causes;
    if (old == NULL) {
        set_if_absent(json_ensure_object(object, "status"), "phase", "Available");
    }
}

/* The labels that were put into the template when the Job was made. */
static void keep_job_labels(const struct json *old, struct json *object)
{
    const struct json *before = json_path(old, "spec.template.metadata.labels");
    struct json *template = json_ensure_object(json_ensure_object(object, "spec"), "template");
    struct json *labels = json_ensure_object(json_ensure_object(template, "metadata"), "labels");
    for (size_t i = 0; i < json_count(before); i++) {
        const char *key = json_key_at(before, i);
        bool is_ours = strstr(key, "controller-uid") != NULL || strstr(key, "job-name") != NULL;
        if (is_ours && json_get(labels, key) == NULL) {
            json_set(labels, key, json_copy(json_at(before, i)));
        }
    }
}

static void admit_job(struct store *store, const struct json *old, struct json *object,
                      struct json *causes)
{
    (void)store;
    if (old != NULL) {
        keep_if_absent(old, object, "spec", "selector");
        keep_job_labels(old, object);
        const struct json *before = json_path(old, "spec.template");
        const struct json *after = json_path(object, "spec.template");
        if (before != NULL && after != NULL && !json_equal(before, after)) {
            cause_add(causes, "FieldValueInvalid", "spec.template",
                      "Invalid value: field is immutable");
        }
        return;
    }
    struct json *spec = json_ensure_object(object, "spec");
    if (json_path_truth(spec, "manualSelector", false)) {
        return;
    }
    struct json *metadata = json_ensure_object(json_ensure_object(spec, "template"), "metadata");
    struct json *labels = json_ensure_object(metadata, "labels");
    static const char *const UID_LABELS[] = {"controller-uid",
                                             "batch.kubernetes.io/controller-uid"};
    static const char *const NAME_LABELS[] = {"job-name", "batch.kubernetes.io/job-name"};
    for (size_t i = 0; i < ARRAY_COUNT(UID_LABELS); i++) {
        json_set_str(labels, UID_LABELS[i], meta_uid_of(object));
        json_set_str(labels, NAME_LABELS[i], meta_name(object));
    }
    json_set_str(json_ensure_object(json_ensure_object(spec, "selector"), "matchLabels"),
                 UID_LABELS[1], meta_uid_of(object));
}

static void admit_workload(struct store *store, const struct json *old, struct json *object,
                           struct json *causes)
{
    (void)store;
    (void)old;
    const struct json *selector = json_path(object, "spec.selector");
    const struct json *labels = json_path(object, "spec.template.metadata.labels");
    if (selector != NULL && !select_label_selector(selector, labels)) {
        cause_add(causes, "FieldValueInvalid", "spec.template.metadata.labels",
                  "Invalid value: `selector` does not match template `labels`");
    }
}

static void admit_crd(struct store *store, const struct json *old, struct json *object,
                      struct json *causes)
{
    (void)store;
    (void)old;
    crd_admit(object, causes);
}

struct admission {
    const char *store_key;
    admit_fn admit;
};

static const struct admission ADMISSIONS[] = {
    {"namespaces", admit_namespace},
    {"pods", admit_pod},
    {"services", admit_service},
    {"secrets", admit_secret},
    {"configmaps", admit_config_map},
    {"persistentvolumeclaims", admit_claim},
    {"persistentvolumes", admit_volume},
    {"jobs.batch", admit_job},
    {"deployments.apps", admit_workload},
    {"statefulsets.apps", admit_workload},
    {"daemonsets.apps", admit_workload},
    {"customresourcedefinitions.apiextensions.k8s.io", admit_crd},
};

static void admit(struct store *store, const struct kind *kind, const struct json *old,
                  struct json *object, struct json *causes)
{
    for (size_t i = 0; i < ARRAY_COUNT(ADMISSIONS); i++) {
        if (strcmp(ADMISSIONS[i].store_key, kind->store_key) == 0) {
            ADMISSIONS[i].admit(store, old, object, causes);
        }
    }
}

void admit_create(struct store *store, const struct kind *kind, struct json *object,
                  struct json *causes)
{
    admit(store, kind, NULL, object, causes);
}

void admit_update(struct store *store, const struct kind *kind, const struct json *old,
                  struct json *object, struct json *causes)
{
    admit(store, kind, old, object, causes);
}
