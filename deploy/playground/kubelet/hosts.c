/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the hosts file. PURE. */
#include "hosts.h"

#include <string.h>

#include "base/alloc.h"
#include "deploy/playground/apiserver/select.h"

static const char *ns_of(const struct json *object)
{
    return json_path_str(object, "metadata.namespace", "");
}

static bool is_pod_ready(const struct json *pod)
{
    const struct json *conditions = json_path(pod, "status.conditions");
    for (size_t i = 0; i < json_count(conditions); i++) {
        const struct json *condition = json_at(conditions, i);
        if (str_equal(json_path_str(condition, "type", ""), "Ready")) {
            return str_equal(json_path_str(condition, "status", ""), "True");
        }
    }
    return false;
}

static bool is_selected(const struct json *service, const struct json *pod)
{
    const char *phase = json_path_str(pod, "status.phase", "");
    bool takes_all = json_path_truth(service, "spec.publishNotReadyAddresses", false);
    bool is_serving = is_pod_ready(pod) && json_path(pod, "metadata.deletionTimestamp") == NULL;
    return str_equal(ns_of(service), ns_of(pod)) &&
           select_simple(json_path(service, "spec.selector"), json_path(pod, "metadata.labels")) &&
           *json_path_str(pod, "status.podIP", "") != '\0' && !str_equal(phase, "Succeeded") &&
           !str_equal(phase, "Failed") && (takes_all || is_serving);
}

static void write_names(const char *address, const char *host, const struct json *service,
                        struct buf *out)
{
    const char *name = json_path_str(service, "metadata.name", "");
    const char *ns = ns_of(service);
    const char *dot = *host == '\0' ? "" : ".";
    buf_printf(out, "%s\t%s%s%s.%s.svc %s%s%s.%s.svc.cluster.local %s%s%s.%s\n", address, host, dot,
               name, ns, host, dot, name, ns, host, dot, name, ns);
}

static void write_service(const struct hosts_input *input, const struct json *service,
                          struct buf *out)
{
    for (size_t i = 0; i < input->pod_count; i++) {
        const struct json *pod = input->pods[i];
        if (!is_selected(service, pod)) {
            continue;
        }
        const char *address = json_path_str(pod, "status.podIP", "");
        const char *host = json_path_str(pod, "spec.hostname", "");
        write_names(address, "", service, out);
        if (*host != '\0' && str_equal(json_path_str(pod, "spec.subdomain", ""),
                                       json_path_str(service, "metadata.name", ""))) {
            write_names(address, host, service, out);
        }
    }
}

static void write_node(const struct json *node, struct buf *out)
{
    const struct json *addresses = json_path(node, "status.addresses");
    for (size_t i = 0; i < json_count(addresses); i++) {
        if (str_equal(json_path_str(json_at(addresses, i), "type", ""), "InternalIP")) {
            buf_printf(out, "%s\t%s\n", json_path_str(json_at(addresses, i), "address", ""),
                       json_path_str(node, "metadata.name", ""));
        }
    }
}

void hosts_write(const struct hosts_input *input, struct buf *out)
{
    buf_append_str(out, input->machine);
    if (input->machine[0] != '\0' && !str_ends_with(input->machine, "\n")) {
        buf_append_byte(out, '\n');
    }
    buf_append_str(out, "127.0.0.1\tkubernetes.default.svc kubernetes.default.svc.cluster.local "
                        "kubernetes.default\n");
    for (size_t i = 0; i < input->node_count; i++) {
        write_node(input->nodes[i], out);
    }
    for (size_t i = 0; i < input->service_count; i++) {
        write_service(input, input->services[i], out);
    }
}
