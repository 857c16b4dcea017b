/* SPDX-License-Identifier: Apache-2.0 */
/* The table of kinds and how their paths are written. */
#include "controller/kube/kind.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define QUORATE_GROUP "quorate.dev"

const struct kube_kind KUBE_KINDS[KUBE_KIND_COUNT] = {
    [KUBE_POD] = {"", "v1", "Pod", "pods", true},
    [KUBE_PVC] = {"", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true},
    [KUBE_SERVICE] = {"", "v1", "Service", "services", true},
    [KUBE_SECRET] = {"", "v1", "Secret", "secrets", true},
    [KUBE_ISSUER] = {"cert-manager.io", "v1", "Issuer", "issuers", true},
    [KUBE_CERTIFICATE] = {"cert-manager.io", "v1", "Certificate", "certificates", true},
    [KUBE_NODE] = {"", "v1", "Node", "nodes", false},
    [KUBE_PDB] = {"policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true},
    [KUBE_LEASE] = {"coordination.k8s.io", "v1", "Lease", "leases", true},
    [KUBE_EVENT] = {"events.k8s.io", "v1", "Event", "events", true},
    [KUBE_ETCD_CLUSTER] = {QUORATE_GROUP, "v1alpha1", "EtcdCluster", "etcdclusters", true},
    [KUBE_ETCD_MEMBER] = {QUORATE_GROUP, "v1alpha1", "EtcdMember", "etcdmembers", true},
};

static bool api_version_is(const struct kube_kind *kind, const char *api_version)
{
    size_t group_size = strlen(kind->group);
    if (group_size == 0) {
        return str_equal(kind->version, api_version);
    }
    return strncmp(api_version, kind->group, group_size) == 0 && api_version[group_size] == '/' &&
           str_equal(api_version + group_size + 1, kind->version);
}

const struct kube_kind *kube_kind_find(const char *api_version, const char *kind)
{
    if (api_version == NULL || kind == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < KUBE_KIND_COUNT; i++) {
        if (str_equal(KUBE_KINDS[i].kind, kind) && api_version_is(&KUBE_KINDS[i], api_version)) {
            return &KUBE_KINDS[i];
        }
    }
    return NULL;
}

void kube_kind_api_version(const struct kube_kind *kind, struct buf *out)
{
    if (kind->group[0] != 0) {
        buf_append_str(out, kind->group);
        buf_append_byte(out, '/');
    }
    buf_append_str(out, kind->version);
}

void kube_escape(const char *text, struct buf *out)
{
    static const char HEX[] = "0123456789ABCDEF";
    for (const char *at = text; *at != 0; at++) {
        unsigned char c = (unsigned char)*at;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            buf_append_byte(out, c);
        } else {
            buf_append_byte(out, '%');
            buf_append_byte(out, (uint8_t)HEX[c >> 4]);
            buf_append_byte(out, (uint8_t)HEX[c & 15]);
        }
    }
}

static void segment(struct buf *out, const char *text)
{
    buf_append_byte(out, '/');
    kube_escape(text, out);
}

void kube_kind_path(const struct kube_kind *kind, const char *namespace_, const char *name,
                    const char *subresource, struct buf *out)
{
    buf_append_str(out, kind->group[0] == 0 ? "/api/" : "/apis/");
    kube_kind_api_version(kind, out);
    if (kind->namespaced && namespace_ != NULL && namespace_[0] != 0) {
        buf_append_str(out, "/namespaces");
        segment(out, namespace_);
    }
    segment(out, kind->plural);
    if (name != NULL) {
        segment(out, name);
    }
    if (subresource != NULL) {
        segment(out, subresource);
    }
}

const char *kube_pod_address(const struct json *pod)
{
    const char *phase = json_path_str(pod, "status.phase", "");
    const char *address = json_path_str(pod, "status.podIP", "");
    return strcmp(phase, "Running") == 0 && address[0] != 0 ? address : NULL;
}
