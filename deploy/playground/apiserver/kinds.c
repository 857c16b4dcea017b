/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of resources and the table of those that are built in. */
#include "kinds.h"

#include <string.h>

#include "base/alloc.h"
#include "types.h"

struct builtin {
    const char *group;
    const char *version;
    const char *plural;
    const char *singular;
    const char *name;
    const char *short_names; /* separated by commas */
    unsigned flags;
    const char *type_name; /* NULL: as name */
};

#define NS   KIND_NAMESPACED
#define ST   KIND_STATUS
#define SC   KIND_SCALE
#define GEN  KIND_GENERATION
#define RV   KIND_REVIEW
#define RBAC "rbac.authorization.k8s.io"

static const struct builtin BUILTINS[] = {
    {"", "v1", "namespaces", "namespace", "Namespace", "ns", ST, NULL},
    {"", "v1", "pods", "pod", "Pod", "po", NS | ST, NULL},
    {"", "v1", "services", "service", "Service", "svc", NS | ST, NULL},
    {"", "v1", "endpoints", "endpoints", "Endpoints", "ep", NS, NULL},
    {"", "v1", "configmaps", "configmap", "ConfigMap", "cm", NS, NULL},
    {"", "v1", "secrets", "secret", "Secret", "", NS, NULL},
    {"", "v1", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim", "pvc",
     NS | ST, NULL},
    {"", "v1", "persistentvolumes", "persistentvolume", "PersistentVolume", "pv", ST, NULL},
    {"", "v1", "nodes", "node", "Node", "no", ST, NULL},
    {"", "v1", "events", "event", "Event", "ev", NS, NULL},
    {"", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", "sa", NS, NULL},
    {"events.k8s.io", "v1", "events", "event", "Event", "ev", NS, "EventV1"},
    {"discovery.k8s.io", "v1", "endpointslices", "endpointslice", "EndpointSlice", "", NS | GEN,
     NULL},
    {"coordination.k8s.io", "v1", "leases", "lease", "Lease", "", NS, NULL},
    {"policy", "v1", "poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget", "pdb",
     NS | ST | GEN, NULL},
    {"batch", "v1", "jobs", "job", "Job", "", NS | ST | GEN, NULL},
    {"batch", "v1", "cronjobs", "cronjob", "CronJob", "cj", NS | ST | GEN, NULL},
    {"apps", "v1", "deployments", "deployment", "Deployment", "deploy", NS | ST | SC | GEN, NULL},
    {"apps", "v1", "replicasets", "replicaset", "ReplicaSet", "rs", NS | ST | SC | GEN, NULL},
    {"apps", "v1", "statefulsets", "statefulset", "StatefulSet", "sts", NS | ST | SC | GEN, NULL},
    {"apps", "v1", "daemonsets", "daemonset", "DaemonSet", "ds", NS | ST | GEN, NULL},
    {RBAC, "v1", "roles", "role", "Role", "", NS, NULL},
    {RBAC, "v1", "rolebindings", "rolebinding", "RoleBinding", "", NS, NULL},
    {RBAC, "v1", "clusterroles", "clusterrole", "ClusterRole", "", 0, NULL},
    {RBAC, "v1", "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding", "", 0, NULL},
    {"storage.k8s.io", "v1", "storageclasses", "storageclass", "StorageClass", "sc", 0, NULL},
    {"scheduling.k8s.io", "v1", "priorityclasses", "priorityclass", "PriorityClass", "pc", 0, NULL},
    {"networking.k8s.io", "v1", "networkpolicies", "networkpolicy", "NetworkPolicy", "netpol",
     NS | GEN, NULL},
    {"networking.k8s.io", "v1", "ingresses", "ingress", "Ingress", "ing", NS | ST | GEN, NULL},
    {"apiextensions.k8s.io", "v1", "customresourcedefinitions", "customresourcedefinition",
     "CustomResourceDefinition", "crd,crds", ST | GEN, NULL},
    {"authorization.k8s.io", "v1", "selfsubjectaccessreviews", "selfsubjectaccessreview",
     "SelfSubjectAccessReview", "", RV, NULL},
    {"authorization.k8s.io", "v1", "selfsubjectrulesreviews", "selfsubjectrulesreview",
     "SelfSubjectRulesReview", "", RV, NULL},
    {"authorization.k8s.io", "v1", "subjectaccessreviews", "subjectaccessreview",
     "SubjectAccessReview", "", RV, NULL},
    {"authentication.k8s.io", "v1", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview",
     "", RV, NULL},
    {"authentication.k8s.io", "v1", "tokenreviews", "tokenreview", "TokenReview", "", RV, NULL},
};

/* What `kubectl get all` lists. */
static const char *const IN_ALL[] = {"pods",        "services",    "jobs",         "cronjobs",
                                     "deployments", "replicasets", "statefulsets", "daemonsets"};

struct kind *kind_new(const char *group, const char *plural, const char *singular, const char *name,
                      unsigned flags, size_t version_count)
{
    struct kind *kind = mem_zalloc(sizeof(*kind));
    kind->group = str_dup(group);
    kind->plural = str_dup(plural);
    kind->singular = str_dup(singular);
    kind->name = str_dup(name);
    kind->list_name = str_printf("%sList", name);
    kind->store_key = *group == '\0' ? str_dup(plural) : str_printf("%s.%s", plural, group);
    kind->short_names = json_array();
    kind->categories = json_array();
    kind->flags = flags;
    kind->versions = mem_array(version_count, sizeof(*kind->versions));
    kind->version_count = version_count;
    for (size_t i = 0; i < version_count; i++) {
        kind->versions[i].kind = kind;
    }
    return kind;
}

static void kind_free(struct kind *kind)
{
    for (size_t i = 0; i < kind->version_count; i++) {
        struct kind_version *version = &kind->versions[i];
        mem_free(version->name);
        json_free(version->schema);
        json_free(version->columns);
        json_free(version->scale);
    }
    mem_free(kind->versions);
    mem_free(kind->group);
    mem_free(kind->plural);
    mem_free(kind->singular);
    mem_free(kind->name);
    mem_free(kind->list_name);
    mem_free(kind->store_key);
    json_free(kind->short_names);
    json_free(kind->categories);
    mem_free(kind);
}

static void append_words(struct json *array, const char *words)
{
    while (*words != '\0') {
        size_t size = strcspn(words, ",");
        json_append(array, json_string_n(words, size));
        words += size + (words[size] == ',' ? 1 : 0);
    }
}

static void builtin_add(struct kinds *kinds, const struct builtin *row)
{
    struct kind *kind = kind_new(row->group, row->plural, row->singular, row->name, row->flags, 1);
    append_words(kind->short_names, row->short_names);
    for (size_t i = 0; i < ARRAY_COUNT(IN_ALL); i++) {
        if (strcmp(IN_ALL[i], row->plural) == 0) {
            json_append(kind->categories, json_string("all"));
        }
    }
    if (strcmp(row->plural, "events") == 0) {
        mem_free(kind->store_key);
        kind->store_key = str_dup("events");
    }
    kind->type_name = row->type_name != NULL ? row->type_name : row->name;
    kind->versions[0].name = str_dup(row->version);
    kind->versions[0].is_served = true;
    kind->versions[0].is_storage = true;
    kind->versions[0].flags = row->flags & (KIND_STATUS | KIND_SCALE);
    kind->versions[0].schema = types_expand(kind->type_name);
    kinds_put(kinds, kind);
}

void kinds_init(struct kinds *kinds)
{
    memset(kinds, 0, sizeof(*kinds));
    for (size_t i = 0; i < ARRAY_COUNT(BUILTINS); i++) {
        builtin_add(kinds, &BUILTINS[i]);
    }
}

void kinds_free(struct kinds *kinds)
{
    for (size_t i = 0; i < kinds->count; i++) {
        kind_free(kinds->list[i]);
    }
    while (kinds->retired != NULL) {
        struct kind *next = kinds->retired->retired_next;
        kind_free(kinds->retired);
        kinds->retired = next;
    }
    mem_free(kinds->list);
    memset(kinds, 0, sizeof(*kinds));
}

struct kind_version *kind_storage(const struct kind *kind)
{
    for (size_t i = 0; i < kind->version_count; i++) {
        if (kind->versions[i].is_storage) {
            return &kind->versions[i];
        }
    }
    return &kind->versions[0];
}

struct kind_version *kind_version_find(const struct kind *kind, const char *version)
{
    for (size_t i = 0; i < kind->version_count; i++) {
        if (strcmp(kind->versions[i].name, version) == 0) {
            return kind->versions[i].is_served ? &kind->versions[i] : NULL;
        }
    }
    return NULL;
}

struct kind_version *kinds_find(const struct kinds *kinds, const char *group, const char *version,
                                const char *plural)
{
    for (size_t i = 0; i < kinds->count; i++) {
        struct kind *kind = kinds->list[i];
        if (strcmp(kind->plural, plural) == 0 && strcmp(kind->group, group) == 0) {
            return version == NULL ? kind_storage(kind) : kind_version_find(kind, version);
        }
    }
    return NULL;
}

struct kind_version *kinds_find_name(const struct kinds *kinds, const char *group,
                                     const char *version, const char *kind_name)
{
    for (size_t i = 0; i < kinds->count; i++) {
        struct kind *kind = kinds->list[i];
        if (strcmp(kind->name, kind_name) == 0 && strcmp(kind->group, group) == 0) {
            return version == NULL ? kind_storage(kind) : kind_version_find(kind, version);
        }
    }
    return NULL;
}

struct kind_version *kinds_find_resource(const struct kinds *kinds, const char *resource)
{
    const char *dot = strchr(resource, '.');
    size_t plural_size = dot == NULL ? strlen(resource) : (size_t)(dot - resource);
    const char *group = dot == NULL ? "" : dot + 1;
    char *plural = str_from(resource, plural_size);
    struct kind_version *found = kinds_find(kinds, group, NULL, plural);
    mem_free(plural);
    return found;
}

static bool kind_is(const struct kind *kind, const char *group, const char *plural)
{
    return strcmp(kind->group, group) == 0 && strcmp(kind->plural, plural) == 0;
}

void kinds_put(struct kinds *kinds, struct kind *kind)
{
    for (size_t i = 0; i < kinds->count; i++) {
        if (kind_is(kinds->list[i], kind->group, kind->plural)) {
            kinds->list[i]->retired_next = kinds->retired;
            kinds->retired = kinds->list[i];
            kinds->list[i] = kind;
            return;
        }
    }
    kinds->list = mem_realloc(kinds->list, (kinds->count + 1) * sizeof(struct kind *));
    kinds->list[kinds->count++] = kind;
}

void kinds_retire(struct kinds *kinds, const char *group, const char *plural)
{
    for (size_t i = 0; i < kinds->count; i++) {
        if (kind_is(kinds->list[i], group, plural)) {
            struct kind *kind = kinds->list[i];
            kind->retired_next = kinds->retired;
            kinds->retired = kind;
            memmove(&kinds->list[i], &kinds->list[i + 1],
                    (kinds->count - i - 1) * sizeof(struct kind *));
            kinds->count--;
            return;
        }
    }
}

char *kind_api_version(const struct kind_version *version)
{
    if (*version->kind->group == '\0') {
        return str_dup(version->name);
    }
    return str_printf("%s/%s", version->kind->group, version->name);
}

char *kind_qualified(const struct kind *kind)
{
    return *kind->group == '\0' ? str_dup(kind->plural)
                                : str_printf("%s.%s", kind->plural, kind->group);
}
