/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deployments and Jobs make Pods. Level based: each pass compares what is there with what is
 * wanted and takes a few steps. A Deployment owns its Pods itself: there are no ReplicaSets here.
 */
#include <string.h>

#include "backoff.h"
#include "base/alloc.h"
#include "base/log.h"
#include "deploy/playground/apiserver/meta.h"
#include "state.h"

#define HASH_LABEL         "pod-template-hash"
#define HASH_SIZE          17u
#define BACKOFF_LIMIT      6
#define CREATED_PER_PASS   10
#define FNV_OFFSET         UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME          UINT64_C(0x100000001b3)
#define JOB_RETRY_SHIFT_MS 1000

/* The Pods of one owner, counted. */
struct crowd {
    const struct json *pods[256];
    size_t count; /* of those below: not over, not being deleted */
    int64_t fresh;
    int64_t ready;
    int64_t fresh_ready;
    int64_t succeeded;
    int64_t failed;
    int64_t deleting;
    int64_t last_failed_s;
};

static const char *hash_of(const struct json *pod)
{
    return json_str(json_get(json_path(pod, "metadata.labels"), HASH_LABEL), "");
}

static bool is_ready(const struct json *pod)
{
    const struct json *rows = json_path(pod, "status.conditions");
    for (size_t i = 0; i < json_count(rows); i++) {
        if (str_equal(json_path_str(json_at(rows, i), "type", ""), "Ready")) {
            return str_equal(json_path_str(json_at(rows, i), "status", ""), "True");
        }
    }
    return false;
}

static bool is_owned(const struct json *pod, const struct json *owner)
{
    const struct json *owners = json_path(pod, "metadata.ownerReferences");
    for (size_t i = 0; i < json_count(owners); i++) {
        if (str_equal(json_path_str(json_at(owners, i), "uid", ""), meta_uid_of(owner))) {
            return true;
        }
    }
    return false;
}

static int64_t end_time(const struct json *pod)
{
    const char *text =
        json_path_str(pod, "status.containerStatuses.0.state.terminated.finishedAt", NULL);
    return text == NULL ? 0 : meta_time_parse(text);
}

static void count_pods(const struct kubelet *kubelet, const struct json *owner, const char *hash,
                       struct crowd *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < kubelet->pods_seen.count; i++) {
        const struct json *pod = kubelet->pods_seen.items[i];
        if (!is_owned(pod, owner)) {
            continue;
        }
        const char *phase = json_path_str(pod, "status.phase", "");
        if (str_equal(phase, "Succeeded")) {
            out->succeeded++;
        } else if (str_equal(phase, "Failed")) {
            out->failed++;
            out->last_failed_s = BASE_MAX(out->last_failed_s, end_time(pod));
        } else if (meta_is_deleting(pod)) {
            out->deleting++;
        } else if (out->count < ARRAY_COUNT(out->pods)) {
            bool fresh = str_equal(hash_of(pod), hash);
            out->pods[out->count++] = pod;
            out->ready += is_ready(pod) ? 1 : 0;
            out->fresh += fresh ? 1 : 0;
            out->fresh_ready += fresh && is_ready(pod) ? 1 : 0;
        }
    }
}

static void hash_template(const struct json *owner, char out[HASH_SIZE])
{
    char *text = json_text(json_path(owner, "spec.template"), JSON_COMPACT);
    uint64_t hash = FNV_OFFSET;
    for (const char *at = text; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * FNV_PRIME;
    }
    mem_free(text);
    static const char DIGITS[] = "bcdfghjklmnpqrst";
    for (size_t i = 0; i < 10; i++) {
        out[i] = DIGITS[hash >> (4 * i) & 15];
    }
    out[10] = '\0';
}

/* Makes a Pod from the owner's template; hash may be NULL. */
static void make_pod(struct kubelet *kubelet, const struct json *owner, const char *hash)
{
    const struct json *template = json_path(owner, "spec.template");
    struct json *pod = json_object();
    const struct json *old = json_get(template, "metadata");
    json_set(pod, "metadata", old == NULL ? json_object() : json_copy(old));
    json_set(pod, "spec", json_copy(json_get(template, "spec")));
    struct json *metadata = json_ensure_object(pod, "metadata");
    char *prefix = hash == NULL ? str_printf("%s-", meta_name(owner))
                                : str_printf("%s-%s-", meta_name(owner), hash);
    char *name = meta_generate_name(prefix);
    json_set_str(metadata, "name", name);
    if (hash != NULL) {
        json_set_str(json_ensure_object(metadata, "labels"), HASH_LABEL, hash);
    }
    struct json *reference = json_object();
    json_set_str(reference, "apiVersion", json_path_str(owner, "apiVersion", ""));
    json_set_str(reference, "kind", json_path_str(owner, "kind", ""));
    json_set_str(reference, "name", meta_name(owner));
    json_set_str(reference, "uid", meta_uid_of(owner));
    json_set_bool(reference, "controller", true);
    json_set_bool(reference, "blockOwnerDeletion", true);
    json_append(json_ensure_array(metadata, "ownerReferences"), reference);
    struct err err = {""};
    int rc = store_create(kubelet->config.store, "pods", meta_namespace(owner), pod, NULL, &err);
    char *text =
        rc == 0 ? str_printf("Created pod: %s", name) : str_printf("Error creating: %s", err.text);
    store_record_event(kubelet->config.store, owner, rc == 0 ? "Normal" : "Warning",
                       rc == 0 ? "SuccessfulCreate" : "FailedCreate", text, "controller", NULL);
    mem_free(text);
    mem_free(name);
    mem_free(prefix);
    json_free(pod);
}

static void drop_pod(struct kubelet *kubelet, const struct json *pod)
{
    struct err err = {""};
    int rc = store_delete(kubelet->config.store, "pods", meta_namespace(pod), meta_name(pod),
                          meta_uid_of(pod), STORE_GRACE_DEFAULT, &err);
    if (rc != 0 && rc != E_NOT_FOUND && rc != E_CONFLICT) {
        LOG_WARN("cannot delete a Pod", LOG_STR("pod", meta_name(pod)), LOG_STR("error", err.text));
    }
}

/* Deletes up to limit Pods of the crowd, those first that are not ready; old ones only if asked. */
static void drop_pods(struct kubelet *kubelet, const struct crowd *crowd, int64_t limit,
                      const char *spared_hash)
{
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = crowd->count; i-- > 0 && limit > 0;) {
            const struct json *pod = crowd->pods[i];
            bool is_turn = is_ready(pod) == (pass == 1);
            if (is_turn && (spared_hash == NULL || !str_equal(hash_of(pod), spared_hash))) {
                drop_pod(kubelet, pod);
                limit--;
            }
        }
    }
}

static void write_status(struct kubelet *kubelet, const char *resource, const struct json *owner,
                         struct json *fresh)
{
    if (!json_equal(json_get(owner, "status"), json_get(fresh, "status"))) {
        struct err err = {""};
        json_remove(json_get(fresh, "metadata"), "resourceVersion");
        int rc = store_update_status(kubelet->config.store, resource, meta_namespace(owner), fresh,
                                     NULL, &err);
        if (rc != 0 && rc != E_NOT_FOUND && rc != E_CONFLICT) {
            LOG_WARN("cannot write a status", LOG_STR("name", meta_name(owner)),
                     LOG_STR("error", err.text));
        }
    }
    json_free(fresh);
}

static void show_deployment(struct kubelet *kubelet, const struct json *owner,
                            const struct crowd *crowd, int64_t want)
{
    struct json *fresh = json_copy(owner);
    struct json *status = json_ensure_object(fresh, "status");
    json_set_int(status, "observedGeneration", json_path_i64(owner, "metadata.generation", 1));
    json_set_int(status, "replicas", (int64_t)crowd->count);
    json_set_int(status, "updatedReplicas", crowd->fresh);
    json_set_int(status, "readyReplicas", crowd->ready);
    json_set_int(status, "availableReplicas", crowd->ready);
    json_set_int(status, "unavailableReplicas", BASE_MAX(want - crowd->ready, 0));
    bool is_available = crowd->ready >= want;
    bool is_done = is_available && crowd->fresh == want && (int64_t)crowd->count == want;
    meta_set_condition(fresh, "Available", is_available ? "True" : "False",
                       is_available ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
                       is_available ? "Deployment has minimum availability."
                                    : "Deployment does not have minimum availability.");
    meta_set_condition(
        fresh, "Progressing", "True", is_done ? "NewReplicaSetAvailable" : "ReplicaSetUpdated",
        is_done ? "All Pods are of the newest template." : "Pods are being replaced.");
    write_status(kubelet, "deployments.apps", owner, fresh);
}

static void step_deployment(struct kubelet *kubelet, const struct json *owner)
{
    char hash[HASH_SIZE];
    struct crowd crowd;
    hash_template(owner, hash);
    count_pods(kubelet, owner, hash, &crowd);
    int64_t want = json_path_i64(owner, "spec.replicas", 1);
    int64_t old = (int64_t)crowd.count - crowd.fresh;
    bool recreates = str_equal(json_path_str(owner, "spec.strategy.type", ""), "Recreate");
    if (recreates && old > 0) {
        drop_pods(kubelet, &crowd, old, hash);
    } else if (crowd.fresh > want) {
        drop_pods(kubelet, &crowd, crowd.fresh - want, NULL);
    } else {
        /* One more than wanted while old ones are replaced; an old one goes when it is spare. */
        int64_t room = want + (old > 0 && want > 0 ? 1 : 0) - (int64_t)crowd.count;
        room = BASE_MIN(room, want - crowd.fresh);
        room = recreates && crowd.deleting > 0 ? 0 : BASE_MIN(room, CREATED_PER_PASS);
        for (int64_t i = 0; i < room; i++) {
            make_pod(kubelet, owner, hash);
        }
        int64_t spare = BASE_MAX(crowd.ready - want, (int64_t)crowd.count - crowd.ready -
                                                         (crowd.fresh - crowd.fresh_ready));
        drop_pods(kubelet, &crowd, BASE_MIN(spare, old), hash);
    }
    show_deployment(kubelet, owner, &crowd, want);
}

static bool has_ended(const struct json *job)
{
    const struct json *rows = json_path(job, "status.conditions");
    for (size_t i = 0; i < json_count(rows); i++) {
        const char *type = json_path_str(json_at(rows, i), "type", "");
        if ((str_equal(type, "Complete") || str_equal(type, "Failed")) &&
            str_equal(json_path_str(json_at(rows, i), "status", ""), "True")) {
            return true;
        }
    }
    return false;
}

static void show_job(struct kubelet *kubelet, const struct json *owner, const struct crowd *crowd,
                     int64_t completions, int64_t limit)
{
    struct json *fresh = json_copy(owner);
    struct json *status = json_ensure_object(fresh, "status");
    char now[STORE_TIME_SIZE];
    store_time_now(now);
    json_set_int(status, "active", (int64_t)crowd->count);
    json_set_int(status, "ready", crowd->ready);
    json_set_int(status, "succeeded", crowd->succeeded);
    json_set_int(status, "failed", crowd->failed);
    if (json_get(status, "startTime") == NULL) {
        json_set_str(status, "startTime", now);
    }
    if (crowd->succeeded >= completions) {
        json_set_str(status, "completionTime", now);
        meta_set_condition(fresh, "Complete", "True", "CompletionsReached", "");
    } else if (crowd->failed > limit) {
        meta_set_condition(fresh, "Failed", "True", "BackoffLimitExceeded",
                           "Job has reached the specified backoff limit");
    }
    write_status(kubelet, "jobs.batch", owner, fresh);
}

/* True while the Job waits before its next try; the Pods that failed say since when. */
static bool is_backing_off(const struct crowd *crowd)
{
    char now[STORE_TIME_SIZE];
    store_time_now(now);
    int64_t waited_ms = JOB_RETRY_SHIFT_MS * (meta_time_parse(now) - crowd->last_failed_s);
    return crowd->failed > 0 && waited_ms < (int64_t)backoff_ms((uint32_t)crowd->failed);
}

static void step_job(struct kubelet *kubelet, const struct json *owner)
{
    if (has_ended(owner)) {
        return;
    }
    struct crowd crowd;
    count_pods(kubelet, owner, "", &crowd);
    int64_t completions = json_path_i64(owner, "spec.completions", 1);
    int64_t limit = json_path_i64(owner, "spec.backoffLimit", BACKOFF_LIMIT);
    int64_t want =
        BASE_MIN(json_path_i64(owner, "spec.parallelism", 1), completions - crowd.succeeded);
    if (json_path_truth(owner, "spec.suspend", false)) {
        drop_pods(kubelet, &crowd, (int64_t)crowd.count, NULL);
    } else if (crowd.failed > limit) {
        drop_pods(kubelet, &crowd, (int64_t)crowd.count, NULL);
    } else if (!is_backing_off(&crowd)) {
        for (int64_t i = (int64_t)crowd.count; i < BASE_MIN(want, CREATED_PER_PASS); i++) {
            make_pod(kubelet, owner, NULL);
        }
    }
    show_job(kubelet, owner, &crowd, completions, limit);
}

void workloads_step(struct kubelet *kubelet)
{
    const struct {
        const struct mirror *mirror;
        void (*step)(struct kubelet *kubelet, const struct json *owner);
    } rows[] = {{&kubelet->deployments, step_deployment}, {&kubelet->jobs, step_job}};
    for (size_t row = 0; row < ARRAY_COUNT(rows); row++) {
        for (size_t i = 0; i < rows[row].mirror->count; i++) {
            if (!meta_is_deleting(rows[row].mirror->items[i])) {
                rows[row].step(kubelet, rows[row].mirror->items[i]);
            }
        }
    }
}
