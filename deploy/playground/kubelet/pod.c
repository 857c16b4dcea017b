/* SPDX-License-Identifier: Apache-2.0 */
/* One Pod: from its first sight on a node to the confirmation that it is gone. */
#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "deploy/playground/apiserver/meta.h"
#include "files.h"
#include "state.h"

#define MOUNT_RETRY_MS  500u
#define STATUS_RETRY_MS 200u

void pod_event(struct kubelet *kubelet, const struct pod *pod, const char *type, const char *reason,
               const char *message)
{
    store_record_event(kubelet->config.store, pod->object, type, reason, message, "kubelet",
                       pod->node);
}

static const struct json *old_status_of(const struct json *object, const char *list,
                                        const char *name)
{
    const struct json *statuses = json_get(json_get(object, "status"), list);
    for (size_t i = 0; i < json_count(statuses); i++) {
        if (str_equal(json_path_str(json_at(statuses, i), "name", ""), name)) {
            return json_at(statuses, i);
        }
    }
    return NULL;
}

static void add_containers(struct pod *pod, const struct json *specs, bool is_init,
                           const char *statuses)
{
    for (size_t i = 0; i < json_count(specs); i++) {
        const struct json *spec = json_at(specs, i);
        const struct json *old =
            old_status_of(pod->object, statuses, json_path_str(spec, "name", ""));
        container_init(&pod->containers[pod->container_count++], spec, is_init, old);
    }
}

/* What ran when the playground ended runs again, if its policy allows. */
static void restart_lost(struct pod *pod)
{
    for (size_t i = 0; i < pod->container_count; i++) {
        struct container *container = &pod->containers[i];
        int64_t code = json_path_i64(container->exit, "exitCode", 0);
        if (container->state == CONTAINER_TERMINATED && status_restarts(pod, container, code)) {
            json_free(container->last_exit);
            container->last_exit = json_copy(container->exit);
            container_wait(container, "ContainerCreating", NULL);
        }
    }
}

struct pod *pod_new(struct kubelet *kubelet, const struct json *object)
{
    struct pod *pod = mem_zalloc(sizeof(*pod));
    pod->object = json_copy(object);
    pod->uid = str_dup(meta_uid_of(object));
    pod->ns = str_dup(meta_namespace(object));
    pod->name = str_dup(meta_name(object));
    pod->node = str_dup(json_path_str(object, "spec.nodeName", ""));
    pod->dir = str_printf("%s/pods/%s", kubelet->dir, pod->uid);
    files_make_dirs(pod->dir);
    const struct json *inits = json_path(object, "spec.initContainers");
    const struct json *mains = json_path(object, "spec.containers");
    pod->containers =
        mem_array(json_count(inits) + json_count(mains) + 1, sizeof(*pod->containers));
    add_containers(pod, inits, true, "initContainerStatuses");
    pod->init_count = pod->container_count;
    add_containers(pod, mains, false, "containerStatuses");
    restart_lost(pod);
    const char *started_at = json_path_str(object, "status.startTime", NULL);
    store_time_now(pod->started_at);
    if (started_at != NULL && strlen(started_at) < sizeof(pod->started_at)) {
        memcpy(pod->started_at, started_at, strlen(started_at) + 1);
    }
    const char *phase = json_path_str(object, "status.phase", "");
    pod->phase = strcmp(phase, "Succeeded") == 0 ? "Succeeded"
                 : strcmp(phase, "Failed") == 0  ? "Failed"
                                                 : "Pending";
    addresses_give(kubelet, pod);
    return pod;
}

void pod_free(struct pod *pod)
{
    for (size_t i = 0; i < pod->container_count; i++) {
        container_free(&pod->containers[i]);
    }
    for (size_t i = 0; i < pod->mount_count; i++) {
        mem_free(pod->mounts[i].path);
        mem_free(pod->mounts[i].folder);
    }
    mem_free(pod->mounts);
    mem_free(pod->containers);
    mem_free(pod->mount_error);
    json_free(pod->object);
    json_free(pod->written);
    mem_free(pod->uid);
    mem_free(pod->ns);
    mem_free(pod->name);
    mem_free(pod->node);
    mem_free(pod->dir);
    mem_free(pod);
}

bool pod_is_alive(const struct pod *pod)
{
    for (size_t i = 0; i < pod->container_count; i++) {
        if (pod->containers[i].pid != 0) {
            return true;
        }
    }
    return false;
}

void pod_kill(struct pod *pod)
{
    for (size_t i = 0; i < pod->container_count; i++) {
        container_drop_probes(&pod->containers[i]);
        if (pod->containers[i].pid != 0) {
            process_signal(pod->containers[i].pid, SIGKILL);
        }
    }
}

uint64_t pod_grace_ms(const struct pod *pod)
{
    int64_t grace_s =
        json_path_i64(pod->object, "spec.terminationGracePeriodSeconds", GRACE_DEFAULT_S);
    grace_s = json_path_i64(pod->object, "metadata.deletionGracePeriodSeconds", grace_s);
    return grace_s <= 0 ? 0 : 1000u * (uint64_t)grace_s;
}

static bool is_over(const struct pod *pod)
{
    return strcmp(pod->phase, "Succeeded") == 0 || strcmp(pod->phase, "Failed") == 0;
}

static void write_status(struct kubelet *kubelet, struct pod *pod, uint64_t now_ms)
{
    if (!is_over(pod)) {
        pod->phase = status_phase(pod);
    }
    const char *node_ip = json_path_str(mirror_find(&kubelet->nodes, "", pod->node),
                                        "status.addresses.0.address", "");
    struct json *status = status_make(pod, node_ip);
    if (now_ms < pod->retry_status_ms ||
        (pod->written != NULL && json_equal(status, pod->written))) {
        json_free(status);
        return;
    }
    struct json *object = json_object();
    struct json *metadata = json_ensure_object(object, "metadata");
    json_set_str(metadata, "name", pod->name);
    json_set_str(metadata, "uid", pod->uid);
    json_set(object, "spec", json_copy(json_get(pod->object, "spec")));
    json_set(object, "status", json_copy(status));
    struct err err = {""};
    int rc = store_update_status(kubelet->config.store, "pods", pod->ns, object, NULL, &err);
    json_free(object);
    if (rc == 0) {
        json_free(pod->written);
        pod->written = status;
        return;
    }
    json_free(status);
    pod->retry_status_ms = now_ms + STATUS_RETRY_MS;
    if (rc != E_NOT_FOUND && rc != E_CONFLICT) {
        LOG_WARN("cannot write the status of a Pod", LOG_STR("pod", pod->name),
                 LOG_STR("error", err.text));
    }
}

/* True when the volumes are there; else the containers say what they wait for. */
static bool has_volumes(struct kubelet *kubelet, struct pod *pod, uint64_t now_ms)
{
    if (now_ms < pod->retry_mount_ms) {
        return false;
    }
    struct err err = {""};
    if (volumes_prepare(kubelet, pod, &err) == 0) {
        mem_free(pod->mount_error);
        pod->mount_error = NULL;
        return true;
    }
    pod->retry_mount_ms = now_ms + MOUNT_RETRY_MS;
    if (!str_equal(pod->mount_error, err.text)) {
        mem_free(pod->mount_error);
        pod->mount_error = str_dup(err.text);
        pod_event(kubelet, pod, "Warning", "FailedMount", err.text);
    }
    for (size_t i = 0; i < pod->container_count; i++) {
        struct container *container = &pod->containers[i];
        if (container->state == CONTAINER_WAITING) {
            container_wait(container,
                           container->was_run ? "CreateContainerError" : "ContainerCreating",
                           err.text);
        }
    }
    return false;
}

static bool is_due(const struct container *container, uint64_t now_ms)
{
    return container->state == CONTAINER_WAITING && now_ms >= container->next_start_ms;
}

/* Starts what is due: init containers one after another, then all others. */
static void start_due(struct kubelet *kubelet, struct pod *pod, uint64_t now_ms)
{
    /* Its names must be known before its processes ask for them. */
    if (pod->ip[0] == '\0' || !str_equal(json_path_str(pod->object, "status.podIP", ""), pod->ip)) {
        return;
    }
    struct container *init = status_next_init(pod);
    size_t first = init == NULL ? pod->init_count : (size_t)(init - pod->containers);
    size_t end = init == NULL ? pod->container_count : first + 1;
    for (size_t i = first; i < end; i++) {
        struct container *container = &pod->containers[i];
        if (is_due(container, now_ms) && has_volumes(kubelet, pod, now_ms)) {
            container_start(kubelet, pod, container, now_ms);
        }
    }
}

static void stop_all(struct kubelet *kubelet, struct pod *pod, uint64_t now_ms)
{
    uint64_t grace_ms = pod_grace_ms(pod);
    for (size_t i = 0; i < pod->container_count; i++) {
        container_drop_probes(&pod->containers[i]);
        container_stop(kubelet, pod, &pod->containers[i], now_ms, grace_ms);
        if (pod->containers[i].pid == 0) {
            container_finish(&pod->containers[i]);
        }
    }
}

/* The Pod is being deleted: stop it, then tell the store that nothing of it is left. */
static void terminate(struct kubelet *kubelet, struct pod *pod, uint64_t now_ms)
{
    pod->is_stopping = true;
    stop_all(kubelet, pod, now_ms);
    write_status(kubelet, pod, now_ms);
    if (pod_is_alive(pod)) {
        return;
    }
    struct err err = {""};
    int rc = store_delete(kubelet->config.store, "pods", pod->ns, pod->name, pod->uid, 0, &err);
    if (rc != 0 && rc != E_NOT_FOUND && rc != E_CONFLICT) {
        LOG_WARN("cannot confirm a deletion", LOG_STR("pod", pod->name),
                 LOG_STR("error", err.text));
    }
}

/* A liveness or startup probe asked for the end: SIGKILL when the grace is over. */
static void press_on(struct kubelet *kubelet, struct pod *pod, struct container *container,
                     uint64_t now_ms)
{
    if (container->is_stopping) {
        container_stop(kubelet, pod, container, now_ms, pod_grace_ms(pod));
    }
}

void pod_step(struct kubelet *kubelet, struct pod *pod, uint64_t now_ms)
{
    bool is_lost = nodes_is_lost(kubelet, pod->node);
    if (is_lost || pod->is_gone) {
        pod_kill(pod);
    }
    for (size_t i = 0; i < pod->container_count; i++) {
        container_reap(kubelet, pod, &pod->containers[i], now_ms);
    }
    if (is_lost || pod->is_gone) {
        return;
    }
    if (meta_is_deleting(pod->object)) {
        terminate(kubelet, pod, now_ms);
        return;
    }
    if (!is_over(pod)) {
        start_due(kubelet, pod, now_ms);
        for (size_t i = 0; i < pod->container_count; i++) {
            container_probe(kubelet, pod, &pod->containers[i], now_ms);
            press_on(kubelet, pod, &pod->containers[i], now_ms);
        }
    }
    write_status(kubelet, pod, now_ms);
}
