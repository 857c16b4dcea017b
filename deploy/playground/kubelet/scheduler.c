/* SPDX-License-Identifier: Apache-2.0 */
/* Gives Pods their nodes, and says why one has none. */
#include "base/alloc.h"
#include "base/log.h"
#include "deploy/playground/apiserver/meta.h"
#include "schedule.h"
#include "state.h"

static const struct json *condition_of(const struct json *pod)
{
    const struct json *conditions = json_path(pod, "status.conditions");
    for (size_t i = 0; i < json_count(conditions); i++) {
        if (str_equal(json_path_str(json_at(conditions, i), "type", ""), "PodScheduled")) {
            return json_at(conditions, i);
        }
    }
    return NULL;
}

static void refuse(struct kubelet *kubelet, const struct json *pod, const char *why)
{
    const struct json *condition = condition_of(pod);
    if (str_equal(json_path_str(condition, "status", ""), "False") &&
        str_equal(json_path_str(condition, "message", ""), why)) {
        return;
    }
    struct json *fresh = json_copy(pod);
    meta_set_condition(fresh, "PodScheduled", "False", "Unschedulable", why);
    struct err err = {""};
    if (store_update_status(kubelet->config.store, "pods", meta_namespace(pod), fresh, NULL,
                            &err) == 0) {
        store_record_event(kubelet->config.store, pod, "Warning", "FailedScheduling", why,
                           "default-scheduler", NULL);
    }
    json_free(fresh);
}

static bool bind(struct kubelet *kubelet, const struct json *pod, const char *node)
{
    struct json *patch = json_object();
    json_set_str(json_ensure_object(patch, "metadata"), "uid", meta_uid_of(pod));
    json_set_str(json_ensure_object(patch, "spec"), "nodeName", node);
    struct err err = {""};
    int rc = store_patch(kubelet->config.store, "pods", meta_namespace(pod), meta_name(pod), "",
                         patch, NULL, &err);
    json_free(patch);
    if (rc != 0) {
        LOG_WARN("cannot bind a Pod", LOG_STR("pod", meta_name(pod)), LOG_STR("error", err.text));
        return false;
    }
    volumes_select_node(kubelet, pod, node);
    char *text =
        str_printf("Successfully assigned %s/%s to %s", meta_namespace(pod), meta_name(pod), node);
    store_record_event(kubelet->config.store, pod, "Normal", "Scheduled", text, "default-scheduler",
                       NULL);
    mem_free(text);
    return true;
}

static bool place(struct kubelet *kubelet, const struct json *pod)
{
    struct err err = {""};
    const char *node = NULL;
    struct schedule_input input = {
        .pod = pod,
        .nodes = mirror_items(&kubelet->nodes),
        .node_count = kubelet->nodes.count,
        .pods = mirror_items(&kubelet->pods_seen),
        .pod_count = kubelet->pods_seen.count,
    };
    int rc = volumes_node(kubelet, pod, &input.volume_node, &err);
    if (rc == 0) {
        rc = schedule_pick(&input, &node, &err);
    }
    if (rc != 0) {
        refuse(kubelet, pod, err.text);
        return false;
    }
    return bind(kubelet, pod, node);
}

bool scheduler_step(struct kubelet *kubelet)
{
    for (size_t i = 0; i < kubelet->pods_seen.count; i++) {
        const struct json *pod = kubelet->pods_seen.items[i];
        bool is_waiting = *json_path_str(pod, "spec.nodeName", "") == '\0' &&
                          !meta_is_deleting(pod) &&
                          json_count(json_path(pod, "spec.schedulingGates")) == 0;
        if (is_waiting && place(kubelet, pod)) {
            return true;
        }
    }
    return false;
}
