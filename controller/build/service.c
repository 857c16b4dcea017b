/* SPDX-License-Identifier: Apache-2.0 */
/* The headless Service that gives members their names, and the one for clients. */
#include "controller/build/build.h"
#include "controller/build/object.h"

static void add_port(struct json *spec, const char *name, int64_t number)
{
    struct json *port = json_object();
    json_set_str(port, "name", name);
    json_set_int(port, "port", number);
    json_set_int(port, "targetPort", number);
    json_set_str(port, "protocol", "TCP");
    json_append(json_ensure_array(spec, "ports"), port);
}

struct json *build_peer_service(const struct cluster_spec *want)
{
    struct json *service =
        object_new(want, "v1", "Service", names_peer_service(want->name).text, NULL);
    struct json *spec = json_ensure_object(service, "spec");
    json_set_str(spec, "type", "ClusterIP");
    json_set_str(spec, "clusterIP", "None");
    /* Members find each other by these names before any of them is ready. */
    json_set_bool(spec, "publishNotReadyAddresses", true);
    json_set(spec, "selector", object_selector(want));
    add_port(spec, "peer", PORT_PEER);
    add_port(spec, "client", PORT_CLIENT);
    return service;
}

struct json *build_client_service(const struct cluster_spec *want, bool serving)
{
    struct json *service =
        object_new(want, "v1", "Service", names_client_service(want->name).text, NULL);
    struct json *meta = json_get(service, "metadata");
    object_merge_strings(json_ensure_object(meta, "labels"), want->client_service.labels);
    if (want->client_service.annotations != NULL) {
        json_set(meta, "annotations", json_copy(want->client_service.annotations));
    }
    struct json *spec = json_ensure_object(service, "spec");
    json_set_str(spec, "type", want->client_service.type);
    struct json *selector = object_selector(want);
    if (!serving) {
        json_set_str(selector, LABEL_NOT_YET, "true");
    }
    json_set(spec, "selector", selector);
    add_port(spec, "client", PORT_CLIENT);
    return service;
}
