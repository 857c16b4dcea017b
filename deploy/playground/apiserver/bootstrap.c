/* SPDX-License-Identifier: Apache-2.0 */
/* The objects that every cluster has from birth. */
#include <string.h>

#include "apiserver.h"
#include "base/alloc.h"
#include "base/log.h"

static void make(struct store *store, const char *resource, const char *ns, struct json *object)
{
    struct request request;
    request_init(&request);
    request.version = kinds_find_resource(&store->kinds, resource);
    request.ns = ns;
    request.manager = "kube-apiserver";
    request.is_in_process = true;
    const char *name = json_path_str(object, "metadata.name", "");
    if (objects_find(&store->objects, request.version->kind->store_key, ns, name) == NULL) {
        struct reply reply;
        reply_init(&reply);
        request.body = object;
        write_create(store, &request, json_copy(object), &reply);
        if (reply.code >= 300) {
            LOG_ERROR("cannot make a built-in object", LOG_STR("resource", resource),
                      LOG_STR("error", json_path_str(reply.value, "message", "")));
        }
        reply_free(&reply);
    }
    json_free(object);
}

static struct json *named(const char *name)
{
    struct json *object = json_object();
    json_set_str(json_ensure_object(object, "metadata"), "name", name);
    return object;
}

static void make_class(struct store *store)
{
    struct json *storage_class = named(STANDARD_CLASS);
    json_set_str(json_ensure_object(json_get(storage_class, "metadata"), "annotations"),
                 "storageclass.kubernetes.io/is-default-class", "true");
    json_set_str(storage_class, "provisioner", "quorate.dev/playground");
    json_set_str(storage_class, "reclaimPolicy", "Delete");
    json_set_bool(storage_class, "allowVolumeExpansion", true);
    make(store, "storageclasses.storage.k8s.io", "", storage_class);
}

static void make_priorities(struct store *store)
{
    static const struct {
        const char *name;
        int64_t value;
    } CLASSES[] = {{"system-cluster-critical", 2000000000}, {"system-node-critical", 2000001000}};
    for (size_t i = 0; i < ARRAY_COUNT(CLASSES); i++) {
        struct json *priority = named(CLASSES[i].name);
        json_set_int(priority, "value", CLASSES[i].value);
        make(store, "priorityclasses.scheduling.k8s.io", "", priority);
    }
}

/* The Service "kubernetes" and its Endpoints, which name this server. */
static void make_own_service(struct store *store, uint16_t port)
{
    struct json *service = named("kubernetes");
    struct json *spec = json_ensure_object(service, "spec");
    json_set_str(spec, "clusterIP", "10.96.0.1");
    struct json *service_port = json_object();
    json_set_str(service_port, "name", "http");
    json_set_int(service_port, "port", 80);
    json_set_int(service_port, "targetPort", port);
    json_append(json_ensure_array(spec, "ports"), service_port);
    make(store, "services", "default", service);

    struct object *old = objects_find(&store->objects, "endpoints", "default", "kubernetes");
    if (old != NULL) {
        objects_delete(&store->objects, "endpoints", old, NULL);
    }
    struct json *endpoints = named("kubernetes");
    struct json *subset = json_object();
    struct json *address = json_object();
    json_set_str(address, "ip", "127.0.0.1");
    json_append(json_ensure_array(subset, "addresses"), address);
    struct json *endpoint_port = json_object();
    json_set_str(endpoint_port, "name", "http");
    json_set_int(endpoint_port, "port", port);
    json_append(json_ensure_array(subset, "ports"), endpoint_port);
    json_append(json_ensure_array(endpoints, "subsets"), subset);
    make(store, "endpoints", "default", endpoints);
}

void bootstrap_objects(struct store *store, uint16_t port)
{
    static const char *const NAMESPACES[] = {"default", "kube-system", "kube-public",
                                             "kube-node-lease"};
    for (size_t i = 0; i < ARRAY_COUNT(NAMESPACES); i++) {
        make(store, "namespaces", "", named(NAMESPACES[i]));
    }
    make_class(store);
    make_priorities(store);
    make_own_service(store, port);
}
