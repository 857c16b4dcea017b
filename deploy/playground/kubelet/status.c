/* SPDX-License-Identifier: Apache-2.0 */
/* The status of a Pod, out of the states of its containers. No I/O. */
#include <string.h>

#include "base/alloc.h"
#include "deploy/playground/apiserver/meta.h"
#include "state.h"

bool status_restarts(const struct pod *pod, const struct container *container, int64_t exit_code)
{
    const char *policy = json_path_str(pod->object, "spec.restartPolicy", "Always");
    if (strcmp(policy, "Never") == 0) {
        return false;
    }
    bool only_failed = container->is_init || strcmp(policy, "OnFailure") == 0;
    return !only_failed || exit_code != 0;
}

struct container *status_next_init(const struct pod *pod)
{
    for (size_t i = 0; i < pod->init_count; i++) {
        struct container *container = &pod->containers[i];
        bool is_done = container->state == CONTAINER_TERMINATED &&
                       json_path_i64(container->exit, "exitCode", 1) == 0;
        if (!is_done) {
            return container;
        }
    }
    return NULL;
}

const char *status_phase(const struct pod *pod)
{
    const struct container *init = status_next_init(pod);
    if (init != NULL) {
        bool is_over = init->state == CONTAINER_TERMINATED &&
                       !status_restarts(pod, init, json_path_i64(init->exit, "exitCode", 1));
        return is_over ? "Failed" : "Pending";
    }
    bool any_run = false;
    bool all_over = true;
    bool all_good = true;
    for (size_t i = pod->init_count; i < pod->container_count; i++) {
        const struct container *container = &pod->containers[i];
        int64_t code = json_path_i64(container->exit, "exitCode", 1);
        any_run = any_run || container->was_run;
        all_over = all_over && container->state == CONTAINER_TERMINATED &&
                   (pod->is_stopping || !status_restarts(pod, container, code));
        all_good = all_good && code == 0;
    }
    if (all_over && pod->container_count > pod->init_count) {
        return all_good ? "Succeeded" : "Failed";
    }
    return any_run ? "Running" : "Pending";
}

static struct json *state_of(const struct container *container)
{
    struct json *state = json_object();
    if (container->state == CONTAINER_RUNNING) {
        json_set_str(json_ensure_object(state, "running"), "startedAt", container->started_at);
    } else if (container->state == CONTAINER_TERMINATED) {
        json_set(state, "terminated", json_copy(container->exit));
    } else {
        struct json *waiting = json_ensure_object(state, "waiting");
        json_set_str(waiting, "reason", container->waiting_reason);
        if (container->waiting_message != NULL) {
            json_set_str(waiting, "message", container->waiting_message);
        }
    }
    return state;
}

static struct json *container_status(const struct pod *pod, const struct container *container)
{
    struct json *status = json_object();
    const char *image = json_path_str(container->spec, "image", "");
    bool is_done = container->is_init && container->state == CONTAINER_TERMINATED &&
                   json_path_i64(container->exit, "exitCode", 1) == 0;
    json_set_str(status, "name", container->name);
    json_set(status, "state", state_of(container));
    struct json *last = json_ensure_object(status, "lastState");
    if (container->last_exit != NULL) {
        json_set(last, "terminated", json_copy(container->last_exit));
    }
    json_set_bool(status, "ready", container->is_ready || is_done);
    json_set_bool(status, "started", container->is_started);
    json_set_int(status, "restartCount", container->restart_count);
    json_set_str(status, "image", image);
    json_set_str(status, "imageID", image);
    json_set(status, "containerID",
             container->was_run ? json_stringf("process://%s/%s/%lld", pod->uid, container->name,
                                               (long long)container->restart_count)
                                : json_string(""));
    return status;
}

static bool all_ready(const struct pod *pod)
{
    for (size_t i = pod->init_count; i < pod->container_count; i++) {
        if (!pod->containers[i].is_ready) {
            return false;
        }
    }
    return true;
}

static void set_conditions(const struct pod *pod, struct json *holder)
{
    bool is_over = strcmp(pod->phase, "Succeeded") == 0;
    bool is_initialized = status_next_init(pod) == NULL;
    bool is_ready = all_ready(pod) && is_initialized;
    const char *why = is_over ? "PodCompleted" : "ContainersNotReady";
    const char *text = is_over ? "" : "containers with unready status";
    meta_set_condition(holder, "PodScheduled", "True", "", "");
    meta_set_condition(holder, "Initialized", is_initialized ? "True" : "False",
                       is_initialized ? "" : "ContainersNotInitialized",
                       is_initialized ? "" : "containers with incomplete status");
    static const char *const TYPES[] = {"ContainersReady", "Ready"};
    for (size_t i = 0; i < ARRAY_COUNT(TYPES); i++) {
        meta_set_condition(holder, TYPES[i], is_ready ? "True" : "False", is_ready ? "" : why,
                           is_ready ? "" : text);
    }
}

static void set_addresses(const struct pod *pod, const char *node_ip, struct json *status)
{
    const struct {
        const char *one;
        const char *many;
        const char *address;
    } rows[] = {{"hostIP", "hostIPs", node_ip}, {"podIP", "podIPs", pod->ip}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].address[0] == '\0') {
            continue;
        }
        json_set_str(status, rows[i].one, rows[i].address);
        struct json *row = json_object();
        json_set_str(row, "ip", rows[i].address);
        json_append(json_ensure_array(status, rows[i].many), row);
    }
}

static const struct json *condition_of(const struct json *conditions, const char *type)
{
    for (size_t i = 0; i < json_count(conditions); i++) {
        if (str_equal(json_path_str(json_at(conditions, i), "type", NULL), type)) {
            return json_at(conditions, i);
        }
    }
    return NULL;
}

/* The conditions as last written, and what others have set since. */
static struct json *old_conditions(const struct pod *pod)
{
    const struct json *written = json_get(pod->written, "conditions");
    const struct json *seen = json_path(pod->object, "status.conditions");
    struct json *conditions = written == NULL ? json_array() : json_copy(written);
    for (size_t i = 0; i < json_count(seen); i++) {
        if (condition_of(conditions, json_path_str(json_at(seen, i), "type", "")) == NULL) {
            json_append(conditions, json_copy(json_at(seen, i)));
        }
    }
    return conditions;
}

struct json *status_make(const struct pod *pod, const char *node_ip)
{
    struct json *holder = json_object();
    struct json *status = json_ensure_object(holder, "status");
    json_set_str(status, "phase", pod->phase);
    if (pod->reason != NULL) {
        json_set_str(status, "reason", pod->reason);
    }
    json_set(status, "conditions", old_conditions(pod));
    set_conditions(pod, holder);
    set_addresses(pod, node_ip, status);
    json_set_str(status, "startTime", pod->started_at);
    json_set_str(status, "qosClass", json_path_str(pod->object, "status.qosClass", "BestEffort"));
    for (size_t i = 0; i < pod->container_count; i++) {
        const struct container *container = &pod->containers[i];
        const char *list = container->is_init ? "initContainerStatuses" : "containerStatuses";
        json_append(json_ensure_array(status, list), container_status(pod, container));
    }
    struct json *result = json_take(holder, "status");
    json_free(holder);
    return result;
}
