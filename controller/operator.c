/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: Lease, caches, looks, passes. Single-threaded; everything that waits, waits in
 * http_turn. */
#include "controller/operator.h"

#include <poll.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/seam/clock.h"
#include "controller/access.h"
#include "controller/act/act.h"
#include "controller/kube/queue.h"
#include "controller/model/names.h"
#include "controller/model/status.h"
#include "controller/observe/observe.h"
#include "controller/operator_metrics.h"
#include "controller/plan/plan.h"
#include "controller/serve/serve.h"

#define TURN_MS_MAX 1000u /* the loop turns at least so often */
#define BURST_MS    20u   /* events of one burst make one pass */
#define AGAIN_MS    200u  /* after changes: see what they did */
#define CONFLICT_MS 100u
#define NOT_YET_MS  500u

struct look {
    char *key; /* "namespace/name" */
    struct observe_look *observing;
    uint64_t started_ns;
};

struct operator
{
    const struct operator_options *options;
    const struct clock_seam *clock;
    struct http *http;
    struct kube_client *client;
    struct access_gate access;
    struct kube_cache *caches[KUBE_KIND_COUNT];
    struct observe_sources sources;
    struct secrets *secrets;
    struct kube_queue queue;
    struct kube_lease lease;
    struct kube_events events;
    struct act act;
    struct look looks[OPERATOR_LOOKS_MAX];
    size_t look_count;
    struct serve_state serve_state;
    struct serve *serve;
    bool was_leader;
};

/* What is watched. Members' objects are told from others by their label. */
static const struct {
    enum kube_kind_id kind;
    const char *label_selector;
} WATCHED[] = {
    {KUBE_ETCD_CLUSTER, NULL}, {KUBE_ETCD_MEMBER, LABEL_CLUSTER}, {KUBE_POD, LABEL_CLUSTER},
    {KUBE_PVC, LABEL_CLUSTER}, {KUBE_SERVICE, LABEL_CLUSTER},     {KUBE_PDB, LABEL_CLUSTER},
    {KUBE_NODE, NULL},
};

static uint64_t now_ms_of(const struct operator* op)
{
    return clock_monotonic_ms(op->clock);
}

static int64_t wall_ms_of(const struct operator* op)
{
    return op->clock->wall_ns(op->clock->ctx) / 1000000;
}

static void enqueue(struct operator* op, const char *namespace_, const char *name)
{
    char *key = str_printf("%s/%s", namespace_, name);
    kube_queue_add(&op->queue, key, now_ms_of(op) + BURST_MS);
    mem_free(key);
}

static void enqueue_all(struct operator* op)
{
    size_t cursor = 0;
    const struct json *cluster;
    while ((cluster = kube_cache_next(op->caches[KUBE_ETCD_CLUSTER], &cursor)) != NULL) {
        enqueue(op, json_path_str(cluster, "metadata.namespace", ""),
                json_path_str(cluster, "metadata.name", ""));
    }
}

/* A Node's heartbeat is no news: only its readiness is. */
static bool node_is_ready(const struct json *node)
{
    const struct json *conditions = json_path(node, "status.conditions");
    for (size_t i = 0; i < json_count(conditions); i++) {
        const struct json *condition = json_at(conditions, i);
        if (str_equal(json_str(json_get(condition, "type"), NULL), "Ready")) {
            return str_equal(json_str(json_get(condition, "status"), NULL), "True");
        }
    }
    return false;
}

static void on_change(void *ctx, enum kube_kind_id kind, const struct json *object, bool deleted)
{
    struct operator* op = ctx;
    const struct json *metadata = json_get(object, "metadata");
    if (kind == KUBE_NODE) {
        if (deleted || !node_is_ready(object)) {
            enqueue_all(op);
        }
        return;
    }
    const char *name = kind == KUBE_ETCD_CLUSTER
                           ? json_str(json_get(metadata, "name"), NULL)
                           : json_str(json_get(json_get(metadata, "labels"), LABEL_CLUSTER), NULL);
    if (name != NULL) {
        enqueue(op, json_str(json_get(metadata, "namespace"), ""), name);
    }
}

static void on_told(void *ctx, const char *what, int rc)
{
    (void)ctx;
    operator_metrics_change(what, rc == 0);
}

static const struct json *cluster_of(const struct operator* op, const char *key)
{
    const char *slash = strchr(key, '/');
    ASSERT(slash != NULL);
    char *namespace_ = str_from(key, (size_t)(slash - key));
    const struct json *cluster =
        kube_cache_get(op->caches[KUBE_ETCD_CLUSTER], namespace_, slash + 1);
    mem_free(namespace_);
    return cluster;
}

static void look_start(struct operator* op, const char *key)
{
    struct look *look = &op->looks[op->look_count++];
    const char *slash = strchr(key, '/');
    char *namespace_ = str_from(key, (size_t)(slash - key));
    look->key = str_dup(key);
    look->started_ns = op->clock->monotonic_ns(op->clock->ctx);
    look->observing = observe_start(&op->sources, namespace_, slash + 1);
    mem_free(namespace_);
}

/* Plans and acts on what was seen. *out_requeue_ms says when to look again. */
static int pass_run(struct operator* op, const struct json *cluster, const struct observed *seen,
                    int64_t now_ms, uint64_t *out_requeue_ms, struct err *err)
{
    struct cluster_spec want;
    /* An invalid spec is planned for too: its status says what is wrong. */
    (void)!spec_parse(cluster, &want);
    struct plan plan;
    plan_init(&plan);
    const struct plan_input input = {.want = &want, .seen = seen, .now_ms = now_ms};
    plan_make(&input, &plan);
    struct json *status = status_build(&want, seen, &plan, now_ms);
    struct json *body = NULL;
    if (status_needs_write(seen->status, status, now_ms)) {
        body = status_body(&want, status);
    } else {
        json_free(status);
    }
    const struct act_pass pass = {
        .cluster = cluster, .want = &want, .now_ms = now_ms, .plan = &plan, .status_body = body};
    int rc = act_run(&op->act, &pass, err);
    uint64_t resync_ms = (uint64_t)op->options->resync_ms;
    uint64_t planned_ms = plan.requeue_ms > 0 ? (uint64_t)plan.requeue_ms : resync_ms;
    *out_requeue_ms = BASE_MIN(planned_ms, resync_ms);
    if (plan.action_count > 0) {
        *out_requeue_ms = BASE_MIN(*out_requeue_ms, AGAIN_MS);
    }
    json_free(body);
    plan_free(&plan);
    spec_free(&want);
    return rc;
}

/* Ends the pass in the queue: what must be looked at again soon is no failure. */
static void pass_end(struct operator* op, const char *key, int rc, uint64_t requeue_ms,
                     const char *error)
{
    uint64_t now_ms = now_ms_of(op);
    switch (rc) {
    case 0:
        kube_queue_done(&op->queue, key, true, now_ms, requeue_ms);
        return;
    case E_CONFLICT:
        kube_queue_done(&op->queue, key, true, now_ms, CONFLICT_MS);
        return;
    case E_AGAIN:
        kube_queue_done(&op->queue, key, true, now_ms, NOT_YET_MS);
        return;
    default:
        LOG_WARN("pass failed", LOG_STR("cluster", key), LOG_STR("error", error));
        kube_queue_done(&op->queue, key, false, now_ms, 0);
        return;
    }
}

static int look_finish(struct operator* op, struct look *look, struct err *err)
{
    int rc = 0;
    uint64_t requeue_ms = 0;
    const struct json *cluster = cluster_of(op, look->key);
    if (cluster != NULL) {
        int64_t now_ms = wall_ms_of(op);
        struct observed seen;
        observe_finish(look->observing, cluster, now_ms, &seen);
        rc = pass_run(op, cluster, &seen, now_ms, &requeue_ms, err);
        observed_free(&seen);
        uint64_t duration_ns = op->clock->monotonic_ns(op->clock->ctx) - look->started_ns;
        operator_metrics_pass(rc == 0, duration_ns, wall_ms_of(op) / 1000);
    }
    pass_end(op, look->key, rc, requeue_ms, err->text);
    if (cluster == NULL) {
        const char *slash = strchr(look->key, '/');
        char *namespace_ = str_from(look->key, (size_t)(slash - look->key));
        secrets_forget(op->secrets, namespace_, slash + 1);
        mem_free(namespace_);
        kube_queue_forget(&op->queue, look->key);
    }
    observe_free(look->observing);
    mem_free(look->key);
    return rc;
}

static bool caches_synced(const struct operator* op)
{
    for (size_t i = 0; i < ARRAY_COUNT(WATCHED); i++) {
        if (!kube_cache_synced(op->caches[WATCHED[i].kind])) {
            return false;
        }
        bool is_optional = WATCHED[i].kind == KUBE_NODE;
        if (!is_optional && !kube_cache_readable(op->caches[WATCHED[i].kind])) {
            return false;
        }
    }
    return true;
}

static bool is_leader(const struct operator* op)
{
    return !op->options->leader_elect || op->lease.is_held;
}

/* Renews or tries to acquire. E_CLOSED: it was lost. */
static int lease_turn(struct operator* op, struct err *err)
{
    if (!op->options->leader_elect) {
        return 0;
    }
    struct err own = {{0}};
    int rc = kube_lease_turn(&op->lease, &own);
    if (op->lease.was_lost) {
        return err_set(err, E_CLOSED, "leadership lost: %s", own.text);
    }
    if (rc != 0) {
        LOG_WARN("lease", LOG_STR("error", own.text));
    }
    return 0;
}

static void leader_tell(struct operator* op)
{
    bool leads = is_leader(op);
    if (leads != op->was_leader) {
        LOG_INFO(leads ? "leading" : "not leading", LOG_STR("identity", op->options->identity));
    }
    op->was_leader = leads;
    operator_metrics_leader(leads);
}

/* Starts looks at what is due, and finishes those that are done. */
static int looks_turn(struct operator* op, struct err *err)
{
    const char *key;
    while (op->look_count < OPERATOR_LOOKS_MAX &&
           (key = kube_queue_take(&op->queue, now_ms_of(op))) != NULL) {
        look_start(op, key);
    }
    for (size_t i = 0; i < op->look_count;) {
        if (!observe_done(op->looks[i].observing)) {
            i++;
            continue;
        }
        struct look look = op->looks[i];
        op->looks[i] = op->looks[--op->look_count];
        struct err own = {{0}};
        if (look_finish(op, &look, &own) == E_CLOSED) {
            return err_set(err, E_CLOSED, "leadership lost: %s", own.text);
        }
    }
    operator_metrics_queue(kube_queue_depth(&op->queue), op->look_count);
    return 0;
}

/* How long nothing can be due. */
static uint64_t sleep_ms(const struct operator* op)
{
    uint64_t now_ms = now_ms_of(op);
    uint64_t next_ms = now_ms + TURN_MS_MAX;
    for (size_t i = 0; i < ARRAY_COUNT(WATCHED); i++) {
        next_ms = BASE_MIN(next_ms, kube_cache_next_ms(op->caches[WATCHED[i].kind]));
    }
    if (op->options->leader_elect) {
        next_ms = BASE_MIN(next_ms, op->lease.next_ms);
    }
    if (is_leader(op) && caches_synced(op)) {
        next_ms = BASE_MIN(next_ms, kube_queue_next_ms(&op->queue));
        for (size_t i = 0; i < op->look_count; i++) {
            next_ms = observe_done(op->looks[i].observing) ? 0 : next_ms;
        }
    }
    return next_ms > now_ms ? next_ms - now_ms : 0;
}

static int turn(struct operator* op, struct err *err)
{
    atomic_store(&op->serve_state.turned_ms, (int64_t)now_ms_of(op));
    int rc = lease_turn(op, err);
    if (rc != 0) {
        return rc;
    }
    leader_tell(op);
    for (size_t i = 0; i < ARRAY_COUNT(WATCHED); i++) {
        kube_cache_turn(op->caches[WATCHED[i].kind]);
    }
    bool synced = caches_synced(op);
    atomic_store(&op->serve_state.is_ready, synced);
    operator_metrics_clusters(kube_cache_count(op->caches[KUBE_ETCD_CLUSTER]));
    if (synced && is_leader(op)) {
        rc = looks_turn(op, err);
    }
    if (rc == 0) {
        http_turn(op->http, sleep_ms(op));
    }
    return rc;
}

static uint64_t seed_of(const struct operator_options *options)
{
    uint64_t seed = 0;
    for (const char *at = options->identity; *at != 0; at++) {
        seed = seed * 31 + (unsigned char)*at;
    }
    return seed;
}

static void start(struct operator* op)
{
    const struct operator_options *options = op->options;
    uint64_t seed = seed_of(options);
    op->http = http_new();
    http_watch_fd(op->http, options->stop_fd);
    op->client = kube_client_new(op->http, op->clock, options->config);
    kube_queue_init(&op->queue, seed);
    for (size_t i = 0; i < ARRAY_COUNT(WATCHED); i++) {
        const struct kube_cache_options cache = {.client = op->client,
                                                 .clock = op->clock,
                                                 .kind = WATCHED[i].kind,
                                                 .namespaces = options->namespaces,
                                                 .namespace_count = options->namespace_count,
                                                 .label_selector = WATCHED[i].label_selector,
                                                 .on_change = on_change,
                                                 .ctx = op,
                                                 .seed = seed + i};
        op->caches[WATCHED[i].kind] = kube_cache_new(&cache);
    }
    op->sources.http = op->http;
    access_gate_init(&op->access, kube_client_seam(op->client));
    const struct kube_seam *seam = &op->access.seam;
    kube_lease_init(&op->lease, seam, op->clock, options->config->namespace_, OPERATOR_LEASE_NAME,
                    options->identity, seed);
    kube_events_init(&op->events, seam, op->clock, options->identity);
    op->secrets = secrets_new(seam, op->clock);
    op->sources.secrets = op->secrets;
    op->act = (struct act){.seam = seam,
                           .secrets = op->secrets,
                           .http = op->http,
                           .lease = options->leader_elect ? &op->lease : NULL,
                           .events = &op->events,
                           .crash = options->crash,
                           .told = on_told,
                           .ctx = op};
    for (size_t i = 0; i < KUBE_KIND_COUNT; i++) {
        op->act.caches[i] = op->caches[i];
        op->sources.caches[i] = op->caches[i];
    }
    atomic_store(&op->serve_state.turned_ms, (int64_t)now_ms_of(op));
    operator_metrics_register();
}

static void finish(struct operator* op)
{
    serve_stop(op->serve);
    for (size_t i = 0; i < op->look_count; i++) {
        observe_free(op->looks[i].observing);
        mem_free(op->looks[i].key);
    }
    for (size_t i = 0; i < KUBE_KIND_COUNT; i++) {
        kube_cache_free(op->caches[i]);
    }
    secrets_free(op->secrets);
    kube_events_free(&op->events);
    kube_lease_free(&op->lease);
    kube_queue_free(&op->queue);
    kube_client_free(op->client);
    http_free(op->http);
}

static void lease_give_up(struct operator* op)
{
    struct err err = {{0}};
    if (op->options->leader_elect && kube_lease_release(&op->lease, &err) != 0) {
        LOG_WARN("lease was not released", LOG_STR("error", err.text));
    }
}

static bool stop_asked(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, 0) > 0;
}

int operator_run(const struct operator_options *options, struct err *err)
{
    struct operator op = {.options = options, .clock = clock_posix()};
    start(&op);
    int rc = 0;
    if (strcmp(options->metrics_address, "0") != 0) {
        rc = serve_start(options->metrics_address, &op.serve_state, &op.serve, err);
    }
    if (rc == 0) {
        LOG_INFO("started", LOG_STR("server", options->config->server),
                 LOG_STR("identity", options->identity));
    }
    while (rc == 0 && !stop_asked(options->stop_fd)) {
        rc = turn(&op, err);
    }
    if (rc == 0) {
        LOG_INFO("stopping");
        lease_give_up(&op);
    }
    finish(&op);
    return rc;
}
