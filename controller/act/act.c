/* SPDX-License-Identifier: Apache-2.0 */
/* One pass of changes. gate_open and gate_close stand around every one of them. */
#include "controller/act/act.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "controller/act/certificate.h"
#include "controller/etcd/change.h"
#include "controller/model/names.h"

/* What the server answered to writes of this pass, kept back until its end. */
struct written {
    enum kube_kind_id kind;
    struct json *object;
};

struct run {
    struct act *act;
    const struct act_pass *pass;
    const char *namespace_;
    const char *name;
    char *version_after_status; /* resourceVersion that our status write gave the cluster */
    struct written *written;
    size_t written_count;
};

static const enum kube_kind_id KINDS[OBJECT_KIND_COUNT] = {
    [OBJECT_CLUSTER] = KUBE_ETCD_CLUSTER,
    [OBJECT_MEMBER] = KUBE_ETCD_MEMBER,
    [OBJECT_POD] = KUBE_POD,
    [OBJECT_PVC] = KUBE_PVC,
    [OBJECT_SERVICE] = KUBE_SERVICE,
    [OBJECT_PDB] = KUBE_PDB,
    [OBJECT_SECRET] = KUBE_SECRET,
    [OBJECT_ISSUER] = KUBE_ISSUER,
    [OBJECT_CERTIFICATE] = KUBE_CERTIFICATE,
};

static const char *action_name(const struct action *action)
{
    return action->name != NULL ? action->name : json_path_str(action->body, "metadata.name", "");
}

/* Nothing is changed without passing here: the Lease is ours, as the server has just said. */
static int gate_open(struct act *act, struct err *err)
{
    if (act->lease != NULL) {
        int rc = kube_lease_verify(act->lease, err);
        if (rc != 0) {
            return rc;
        }
    }
    act_crash_before(&act->crash);
    return 0;
}

static void gate_close(struct act *act, const char *what, int rc)
{
    act_crash_after(&act->crash);
    if (act->told != NULL) {
        act->told(act->ctx, what, rc);
    }
}

static void remember(struct run *run, enum kube_kind_id kind, struct json *object)
{
    run->written = mem_realloc(run->written, (run->written_count + 1) * sizeof(*run->written));
    run->written[run->written_count++] = (struct written){kind, object};
}

/* One write; what the server answers goes into the cache at the end of the pass. */
static int write_object(struct run *run, enum kube_kind_id kind, const struct kube_call *call,
                        struct err *err)
{
    int rc = gate_open(run->act, err);
    if (rc != 0) {
        return rc;
    }
    struct json *object = NULL;
    rc = kube_call(run->act->seam, call, &object, err);
    gate_close(run->act, kube_verb_text(call->verb), rc);
    if (rc == 0 && json_path(object, "metadata.name") != NULL) {
        remember(run, kind, object);
    } else {
        json_free(object);
    }
    return rc;
}

/* related_kind is that of event->related, when it names something. */
static void post_event(struct run *run, const struct event *event, enum kube_kind_id related_kind)
{
    if (event->message == NULL) {
        return;
    }
    struct err err = {{0}};
    const struct kube_event posted = {
        .kind = &KUBE_KINDS[KUBE_ETCD_CLUSTER],
        .regarding = run->pass->cluster,
        .related_kind = event->related == NULL ? NULL : &KUBE_KINDS[related_kind],
        .related_name = event->related,
        .type = event_type_text(event->type),
        .reason = event->reason,
        .action = "Reconcile",
        .note = event->message,
    };
    int rc = kube_events_post(run->act->events, &posted, &err);
    if (rc != 0) {
        LOG_WARN("event was not posted", LOG_STR("namespace", run->namespace_),
                 LOG_STR("cluster", run->name), LOG_STR("reason", event->reason),
                 LOG_STR("error", err.text));
    }
}

/* The journal: nothing else is done in this pass unless this was written over what we had read. */
static int write_status(struct run *run, struct err *err)
{
    struct json *body = json_copy(run->pass->status_body);
    json_set_str(json_ensure_object(body, "metadata"), "resourceVersion",
                 json_path_str(run->pass->cluster, "metadata.resourceVersion", ""));
    const struct kube_call call = {.verb = KUBE_APPLY,
                                   .kind = &KUBE_KINDS[KUBE_ETCD_CLUSTER],
                                   .namespace_ = run->namespace_,
                                   .name = run->name,
                                   .subresource = "status",
                                   .body = body};
    int rc = write_object(run, KUBE_ETCD_CLUSTER, &call, err);
    json_free(body);
    if (rc == 0 && run->written_count > 0) {
        const struct json *object = run->written[run->written_count - 1].object;
        run->version_after_status = str_dup(json_path_str(object, "metadata.resourceVersion", ""));
    }
    return rc;
}

/* An object's patch is made for the version that was read; ours is the only write since then. */
static struct json *patch_body(const struct run *run, const struct action *action)
{
    struct json *body = json_copy(action->body);
    const char *given = json_path_str(body, "metadata.resourceVersion", "");
    const char *read = json_path_str(run->pass->cluster, "metadata.resourceVersion", "");
    if (action->object == OBJECT_CLUSTER && run->version_after_status != NULL &&
        strcmp(given, read) == 0) {
        json_set_str(json_get(body, "metadata"), "resourceVersion", run->version_after_status);
    }
    return body;
}

static int run_object(struct run *run, const struct action *action, struct err *err)
{
    enum kube_kind_id kind = KINDS[action->object];
    const char *name = action_name(action);
    struct kube_call call = {
        .kind = &KUBE_KINDS[kind], .namespace_ = run->namespace_, .name = name};
    struct json *body = NULL;
    switch (action->kind) {
    case ACTION_APPLY:
    case ACTION_APPLY_STATUS:
        call.verb = KUBE_APPLY;
        call.subresource = action->kind == ACTION_APPLY_STATUS ? "status" : NULL;
        call.body = action->body;
        break;
    case ACTION_PATCH:
        call.verb = KUBE_MERGE_PATCH;
        body = patch_body(run, action);
        call.body = body;
        break;
    case ACTION_DELETE:
        call.verb = KUBE_DELETE;
        call.if_uid = action->uid;
        call.if_version = action->resource_version;
        break;
    case ACTION_CERTIFICATE:
    case ACTION_MEMBER_ADD:
    case ACTION_MEMBER_PROMOTE:
    case ACTION_MEMBER_REMOVE:
    case ACTION_MOVE_LEADER:
    case ACTION_KIND_COUNT:
    default:
        ASSERT(false);
    }
    int rc = write_object(run, kind, &call, err);
    json_free(body);
    bool may_be_gone = action->kind == ACTION_DELETE || action->kind == ACTION_PATCH;
    return rc == E_NOT_FOUND && may_be_gone ? 0 : rc;
}

/* A Secret with certificates. What the server answers holds keys: it is not kept. */
static int run_certificate(struct run *run, const struct action *action, struct err *err)
{
    struct kube_call call;
    struct json *body = NULL;
    ASSERT(run->pass->want != NULL && run->act->secrets != NULL);
    int rc = act_certificate_make(run->act->seam, run->pass->want, action, run->pass->now_ms, &call,
                                  &body, err);
    if (rc == 0) {
        rc = write_object(run, KUBE_SECRET, &call, err);
    }
    json_free(body);
    /* Somebody was faster: look again. */
    return rc == E_EXISTS ? E_CONFLICT : rc;
}

/* The membership calls, after the member has shown that it belongs to the right cluster. */
static int call_member(struct run *run, const struct action *action,
                       const struct etcd_endpoint *endpoint, struct err *err)
{
    struct http *http = run->act->http;
    int rc = etcd_check_cluster(http, endpoint, action->cluster_id, err);
    if (rc == 0) {
        rc = gate_open(run->act, err);
    }
    if (rc != 0) {
        return rc;
    }
    switch (action->kind) {
    case ACTION_MEMBER_ADD:
        rc = etcd_add_learner(http, endpoint, action->peer_url, err);
        break;
    case ACTION_MEMBER_PROMOTE:
        rc = etcd_promote(http, endpoint, action->member_id, err);
        break;
    case ACTION_MEMBER_REMOVE:
        rc = etcd_remove(http, endpoint, action->member_id, err);
        break;
    case ACTION_MOVE_LEADER:
        rc = etcd_move_leader(http, endpoint, action->member_id, err);
        break;
    case ACTION_APPLY:
    case ACTION_APPLY_STATUS:
    case ACTION_PATCH:
    case ACTION_DELETE:
    case ACTION_CERTIFICATE:
    case ACTION_KIND_COUNT:
    default:
        ASSERT(false);
    }
    gate_close(run->act, action_kind_text(action->kind), rc);
    return rc;
}

static int run_membership(struct run *run, const struct action *action, struct err *err)
{
    const struct json *pod =
        kube_cache_get(run->act->caches[KUBE_POD], run->namespace_, action->via);
    const char *address = pod == NULL ? NULL : kube_pod_address(pod);
    if (address == NULL) {
        return err_set(err, E_AGAIN, "%s via %s: its Pod has no address now",
                       action_kind_text(action->kind), action->via);
    }
    const struct http_tls *tls = run->act->secrets == NULL
                                     ? NULL
                                     : secrets_tls(run->act->secrets, run->namespace_, run->name);
    struct name url = names_client_url(tls == NULL ? NAMES_HTTP : NAMES_HTTPS, action->via,
                                       run->name, run->namespace_);
    const struct etcd_endpoint endpoint = {.url = url.text, .connect_to = address, .tls = tls};
    int rc = call_member(run, action, &endpoint, err);
    return rc == 0 ? 0
                   : err_wrap(err, rc, "%s via %s", action_kind_text(action->kind), action->via);
}

/* FNV-1a over the words of a line. */
static uint64_t line_hash(const char *const *words, size_t count)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++) {
        for (const char *at = words[i]; *at != '\0'; at++) {
            hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
        }
        hash = (hash ^ '|') * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* What waits is tried twice a second: it is told once. */
static bool is_told_already(struct act *act, const struct run *run, const char *name,
                            const char *error)
{
    const char *const words[] = {run->namespace_, run->name, name, error};
    uint64_t hash = line_hash(words, ARRAY_COUNT(words));
    bool is_same = hash == act->last_not_yet;
    act->last_not_yet = hash;
    return is_same;
}

static void log_action(const struct run *run, const struct action *action, int rc,
                       const char *error)
{
    const char *object = action_is_membership(action->kind) ? "" : object_kind_text(action->object);
    const char *name = action_name(action);
    const struct log_field fields[] = {LOG_STR("namespace", run->namespace_),
                                       LOG_STR("cluster", run->name),
                                       LOG_STR("action", action_kind_text(action->kind)),
                                       LOG_STR("object", object),
                                       LOG_STR("name", name),
                                       LOG_STR("error", error)};
    bool is_done = rc == 0;
    /* Other failures are told once, by the loop. */
    bool is_waiting = rc == E_AGAIN || rc == E_CONFLICT;
    if (!is_done && (!is_waiting || is_told_already(run->act, run, name, error))) {
        return;
    }
    if (log_enabled(LOG_LEVEL_INFO)) {
        log_write(LOG_LEVEL_INFO, __FILE__, __LINE__, is_done ? "done" : "not yet", fields,
                  ARRAY_COUNT(fields) - (is_done ? 1 : 0));
    }
}

static bool is_for_certificates(const struct action *action)
{
    return action->kind == ACTION_CERTIFICATE ||
           (action->kind == ACTION_APPLY &&
            (action->object == OBJECT_ISSUER || action->object == OBJECT_CERTIFICATE));
}

static int run_one(struct run *run, const struct action *action, struct err *err)
{
    if (is_for_certificates(action) && run->act->secrets != NULL) {
        secrets_touch(run->act->secrets, run->namespace_, run->name);
    }
    if (action->kind == ACTION_CERTIFICATE) {
        return run_certificate(run, action, err);
    }
    return action_is_membership(action->kind) ? run_membership(run, action, err)
                                              : run_object(run, action, err);
}

static int run_actions(struct run *run, struct err *err)
{
    const struct plan *plan = run->pass->plan;
    int late_rc = 0;
    for (size_t i = 0; i < plan->action_count; i++) {
        const struct action *action = &plan->actions[i];
        int rc = run_one(run, action, err);
        log_action(run, action, rc, err->text);
        if (rc != 0 && rc != E_CLOSED && is_for_certificates(action)) {
            late_rc = rc; /* repairs do not wait for what cannot be written here */
            continue;
        }
        if (rc != 0) {
            return rc;
        }
        bool is_its_own = !action_is_membership(action->kind) &&
                          str_equal(action->event.related, action_name(action));
        post_event(run, &action->event, is_its_own ? KINDS[action->object] : KUBE_ETCD_MEMBER);
    }
    return late_rc;
}

static void run_finish(struct run *run)
{
    for (size_t i = 0; i < run->written_count; i++) {
        struct written *written = &run->written[i];
        if (run->act->caches[written->kind] != NULL) {
            kube_cache_put(run->act->caches[written->kind], written->object);
        } else {
            json_free(written->object);
        }
    }
    mem_free(run->written);
    mem_free(run->version_after_status);
}

int act_run(struct act *act, const struct act_pass *pass, struct err *err)
{
    struct err own = {{0}};
    struct err *text = err != NULL ? err : &own;
    struct run run = {
        .act = act,
        .pass = pass,
        .namespace_ = json_path_str(pass->cluster, "metadata.namespace", ""),
        .name = json_path_str(pass->cluster, "metadata.name", ""),
    };
    int rc = pass->status_body == NULL ? 0 : write_status(&run, text);
    for (size_t i = 0; rc == 0 && i < pass->plan->event_count; i++) {
        post_event(&run, &pass->plan->events[i], KUBE_ETCD_MEMBER);
    }
    if (rc == 0) {
        rc = run_actions(&run, text);
    }
    run_finish(&run);
    return rc;
}
