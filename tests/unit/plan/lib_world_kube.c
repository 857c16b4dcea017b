/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the world: apply, patch and delete with preconditions; observation; faults. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "controller/model/names.h"
#include "lib_world_kube.h"

void world_touch(struct world *world, char *version, size_t size)
{
    snprintf(version, size, "%" PRIu64, ++world->next_id);
}

static struct json *keep(struct world *world, struct json *value)
{
    world->garbage =
        mem_realloc(world->garbage, (world->garbage_count + 1) * sizeof(struct json *));
    world->garbage[world->garbage_count++] = value;
    return value;
}

#define FIND_ROW(array, count, key)                                                                \
    do {                                                                                           \
        for (int i_ = 0; i_ < (count); i_++) {                                                     \
            if ((array)[i_].used && strcmp((array)[i_].name, (key)) == 0) {                        \
                return &(array)[i_];                                                               \
            }                                                                                      \
        }                                                                                          \
        return NULL;                                                                               \
    } while (0)

struct world_pod *world_pod(struct world *world, const char *name)
{
    FIND_ROW(world->kube.pods, WORLD_ROWS_MAX, name);
}

struct world_pvc *world_pvc(struct world *world, const char *name)
{
    FIND_ROW(world->kube.pvcs, WORLD_ROWS_MAX, name);
}

struct world_object *world_record(struct world *world, const char *name)
{
    FIND_ROW(world->kube.members, WORLD_ROWS_MAX, name);
}

static struct world_object *find_object(struct world_object *rows, int count, const char *name)
{
    FIND_ROW(rows, count, name);
}

static struct world_object *object_rows(struct world *world, enum object_kind kind, int *out_count)
{
    if (kind == OBJECT_MEMBER) {
        *out_count = WORLD_ROWS_MAX;
        return world->kube.members;
    }
    *out_count = kind == OBJECT_SERVICE ? 4 : 2;
    return kind == OBJECT_SERVICE ? world->kube.services : world->kube.pdbs;
}

static bool args_have(const struct json *pod, const char *flag)
{
    const struct json *args = json_path(pod, "spec.containers.0.args");
    for (size_t i = 0; i < json_count(args); i++) {
        if (strcmp(json_str(json_at(args, i), ""), flag) == 0) {
            return true;
        }
    }
    return false;
}

/* The argument must name the member and every other member, as etcd asks of a joining one. */
static void judge_pod_args(const struct world *world, const struct json *body, const char *name)
{
    const struct json *args = json_path(body, "spec.containers.0.args");
    char *wanted = str_printf("%s=%s", name,
                              names_peer_url(spec_scheme(&world->want), name, "demo", "ns").text);
    for (size_t i = 0; i < json_count(args); i++) {
        const char *arg = json_str(json_at(args, i), "");
        if (str_starts_with(arg, "--initial-cluster=") && strstr(arg, wanted) == NULL) {
            fail_msg("%s does not name %s", arg, name);
        }
    }
    mem_free(wanted);
}

static int apply_pod(struct world *world, const struct action *action)
{
    if (world_pod(world, action->name) != NULL) {
        return E_INVALID; /* a Pod's template cannot be changed */
    }
    judge_pod_args(world, action->body, action->name);
    if (certs_are_wanted(&world->want) && world->certs.of[CERTS_SERVER].presence != CERTS_PRESENT) {
        fail_msg("the Pod %s is made before its certificates", action->name);
    }
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        struct world_pod *pod = &world->kube.pods[i];
        if (pod->used) {
            continue;
        }
        memset(pod, 0, sizeof(*pod));
        pod->used = true;
        snprintf(pod->name, sizeof(pod->name), "%s", action->name);
        pod->ordinal = observed_ordinal(action->name, "", "demo");
        world_touch(world, pod->uid, sizeof(pod->uid));
        world_touch(world, pod->version, sizeof(pod->version));
        const struct json *meta = json_get(action->body, "metadata");
        snprintf(pod->hash, sizeof(pod->hash), "%s",
                 json_str(json_get(json_get(meta, "annotations"), ANNOTATION_TEMPLATE_HASH), ""));
        pod->broken = world->broken_hash[0] != '\0' && strcmp(pod->hash, world->broken_hash) == 0;
        snprintf(pod->role, sizeof(pod->role), "%s",
                 json_str(json_get(json_get(meta, "labels"), LABEL_ROLE), ""));
        pod->state_new = args_have(action->body, "--initial-cluster-state=new");
        pod->created_ms = world->now_ms;
        pod->ready_changed_ms = world->now_ms;
        pod->node = -1;
        return 0;
    }
    fail_msg("too many Pods");
    return E_TOO_BIG;
}

static void read_volume_meta(const struct json *meta, struct world_pvc *pvc)
{
    const struct json *annotations = json_get(meta, "annotations");
    const char *id = json_str(json_get(annotations, ANNOTATION_CLUSTER_ID), NULL);
    const char *next = json_str(json_get(annotations, ANNOTATION_NEXT_ORDINAL), NULL);
    if (id != NULL) {
        snprintf(pvc->cluster_id, sizeof(pvc->cluster_id), "%s", id);
    }
    if (next != NULL) {
        pvc->next_ordinal = strtoll(next, NULL, 10);
    }
    if (str_equal(json_str(json_get(annotations, ANNOTATION_RETIRED), NULL), "true")) {
        pvc->retired = true;
    }
    const struct json *owners = json_get(meta, "ownerReferences");
    if (json_is(owners, JSON_ARRAY)) {
        snprintf(pvc->owner, sizeof(pvc->owner), "%s",
                 json_str(json_get(json_at(owners, 0), "uid"), ""));
    }
}

static int apply_pvc(struct world *world, const struct action *action)
{
    struct world_pvc *pvc = world_pvc(world, action->name);
    if (pvc != NULL) {
        return E_EXISTS;
    }
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        pvc = &world->kube.pvcs[i];
        if (pvc->used) {
            continue;
        }
        memset(pvc, 0, sizeof(*pvc));
        pvc->used = true;
        snprintf(pvc->name, sizeof(pvc->name), "%s", action->name);
        pvc->ordinal = observed_ordinal(action->name, "data-", "demo");
        world_touch(world, pvc->uid, sizeof(pvc->uid));
        world_touch(world, pvc->version, sizeof(pvc->version));
        pvc->created_ms = world->now_ms;
        read_volume_meta(json_get(action->body, "metadata"), pvc);
        return 0;
    }
    fail_msg("too many volumes");
    return E_TOO_BIG;
}

static int apply_object(struct world *world, const struct action *action)
{
    int count = 0;
    struct world_object *rows = object_rows(world, action->object, &count);
    struct world_object *row = find_object(rows, count, action->name);
    for (int i = 0; i < count && row == NULL; i++) {
        if (!rows[i].used) {
            row = &rows[i];
            memset(row, 0, sizeof(*row));
            row->used = true;
            row->created_ms = world->now_ms;
            snprintf(row->name, sizeof(row->name), "%s", action->name);
            world_touch(world, row->uid, sizeof(row->uid));
        }
    }
    assert_non_null(row);
    struct json *made = json_copy(action->body);
    const struct json *before = json_get(row->raw, "status");
    if (before != NULL) {
        json_set(made, "status", json_copy(before));
    }
    row->raw = keep(world, made);
    row->finalizer = action->object == OBJECT_MEMBER;
    world_touch(world, row->version, sizeof(row->version));
    return 0;
}

static int apply_status(struct world *world, const struct action *action)
{
    struct world_object *row = world_record(world, action->name);
    if (row == NULL) {
        return E_NOT_FOUND;
    }
    struct json *made = json_copy(row->raw);
    json_set(made, "status", json_copy(json_get(action->body, "status")));
    row->raw = keep(world, made);
    world_touch(world, row->version, sizeof(row->version));
    return 0;
}

static void end_cluster(struct world *world)
{
    world->cluster_gone = true;
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        struct world_pvc *pvc = &world->kube.pvcs[i];
        pvc->deleting = pvc->deleting || (pvc->used && pvc->owner[0] != '\0');
        struct world_object *record = &world->kube.members[i];
        if (record->used && record->finalizer) {
            fail_msg("the cluster is gone and the record %s keeps its finalizer", record->name);
        }
        record->used = false;
    }
}

static int patch_object(struct world *world, const struct action *action)
{
    const struct json *meta = json_get(action->body, "metadata");
    const char *version = json_str(json_get(meta, "resourceVersion"), NULL);
    assert_non_null(version);
    if (action->object == OBJECT_CLUSTER) {
        struct json *own = json_get(world->cluster, "metadata");
        json_set(own, "finalizers", json_copy(json_get(meta, "finalizers")));
        if (json_count(json_get(meta, "finalizers")) == 0 && world->want.deleting) {
            end_cluster(world);
        }
        return 0;
    }
    if (action->object == OBJECT_PVC) {
        struct world_pvc *pvc = world_pvc(world, action->name);
        if (pvc == NULL || strcmp(pvc->version, version) != 0) {
            return pvc == NULL ? E_NOT_FOUND : E_CONFLICT;
        }
        read_volume_meta(meta, pvc);
        if (json_get(meta, "ownerReferences") != NULL &&
            json_is(json_get(meta, "ownerReferences"), JSON_NULL)) {
            pvc->owner[0] = '\0';
        }
        world_touch(world, pvc->version, sizeof(pvc->version));
        return 0;
    }
    if (action->object == OBJECT_POD) {
        struct world_pod *pod = world_pod(world, action->name);
        if (pod == NULL || strcmp(pod->version, version) != 0) {
            return pod == NULL ? E_NOT_FOUND : E_CONFLICT;
        }
        snprintf(pod->role, sizeof(pod->role), "%s",
                 json_str(json_get(json_get(meta, "labels"), LABEL_ROLE), ""));
        return 0;
    }
    struct world_object *row = world_record(world, action->name);
    if (row == NULL || strcmp(row->version, version) != 0) {
        return row == NULL ? E_NOT_FOUND : E_CONFLICT;
    }
    row->finalizer = json_count(json_get(meta, "finalizers")) > 0;
    row->used = row->finalizer || !row->deleting;
    world_touch(world, row->version, sizeof(row->version));
    return 0;
}

/* The judge of volumes: what a member of the list holds is never deleted by us. */
static int delete_pvc(struct world *world, const struct action *action)
{
    struct world_pvc *pvc = world_pvc(world, action->name);
    if (pvc == NULL || strcmp(pvc->uid, action->uid) != 0) {
        return pvc == NULL ? E_NOT_FOUND : E_CONFLICT;
    }
    const struct world_member *member =
        world_member(world, names_member("demo", pvc->ordinal).text);
    if (member != NULL) {
        fail_msg("the volume of member %s is deleted", action->name);
    }
    if (world->want.storage.reclaim != SPEC_RECLAIM_DELETE) {
        fail_msg("volume %s is deleted against the reclaim policy", action->name);
    }
    pvc->deleting = true;
    return 0;
}

/* The judge of Pods: that of a live voter ends only to take a new spec, while all voters live. */
static void judge_pod_end(struct world *world, const struct world_pod *pod)
{
    const struct world_member *member = world_member(world, pod->name);
    if (member == NULL || member->learner || !world_is_live(world, member) || pod->state_new ||
        world->want.deleting) {
        return;
    }
    if (strcmp(pod->hash, world->plan.template_hash) == 0) {
        fail_msg("the Pod of the live voter %s is deleted", pod->name);
    }
    if (world_live_voters(world) < world_voters(world)) {
        fail_msg("the Pod of the live voter %s is deleted while another one is down", pod->name);
    }
    if (member->id == world->leader_id && world_voters(world) > 1) {
        fail_msg("the Pod of the leader %s is deleted", pod->name);
    }
    world->updates++;
    snprintf(world->last_updated, sizeof(world->last_updated), "%s", pod->name);
}

static int delete_pod(struct world *world, const struct action *action)
{
    struct world_pod *pod = world_pod(world, action->name);
    if (pod == NULL || strcmp(pod->uid, action->uid) != 0) {
        return pod == NULL ? E_NOT_FOUND : E_CONFLICT;
    }
    if (action->resource_version != NULL && strcmp(pod->version, action->resource_version) != 0) {
        return E_CONFLICT;
    }
    judge_pod_end(world, pod);
    pod->deleting = true;
    pod->deletion_ms = world->now_ms;
    pod->up = false;
    return 0;
}

static int delete_object(struct world *world, const struct action *action)
{
    if (action->object == OBJECT_PVC) {
        return delete_pvc(world, action);
    }
    if (action->object == OBJECT_POD) {
        return delete_pod(world, action);
    }
    int count = 0;
    struct world_object *rows = object_rows(world, action->object, &count);
    struct world_object *row = find_object(rows, count, action->name);
    if (row == NULL || strcmp(row->uid, action->uid) != 0) {
        return row == NULL ? E_NOT_FOUND : E_CONFLICT;
    }
    row->deleting = true;
    row->used = row->finalizer;
    return 0;
}

int world_act_kube(struct world *world, const struct action *action)
{
    switch (action->kind) {
    case ACTION_CERTIFICATE:
        return world_act_certificate(world, action);
    case ACTION_APPLY:
        if (action->object == OBJECT_POD) {
            return apply_pod(world, action);
        }
        return action->object == OBJECT_PVC ? apply_pvc(world, action)
                                            : apply_object(world, action);
    case ACTION_APPLY_STATUS:
        return apply_status(world, action);
    case ACTION_PATCH:
        return patch_object(world, action);
    case ACTION_DELETE:
        return delete_object(world, action);
    default:
        fail_msg("unknown action");
        return E_INVALID;
    }
}

static void observe_pods(const struct world_kube *kube, struct observed *out)
{
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        const struct world_pod *pod = &kube->pods[i];
        if (!pod->used) {
            continue;
        }
        out->pods = mem_realloc(out->pods, (out->pod_count + 1) * sizeof(out->pods[0]));
        struct observed_pod *row = &out->pods[out->pod_count++];
        memset(row, 0, sizeof(*row));
        row->name = pod->name;
        row->uid = pod->uid;
        row->resource_version = pod->version;
        row->ordinal = pod->ordinal;
        row->phase = pod->phase;
        row->ready = pod->ready;
        row->ready_changed_ms = pod->ready_changed_ms;
        row->deleting = pod->deleting;
        row->deletion_ms = pod->deletion_ms;
        row->created_ms = pod->created_ms;
        row->node = pod->node < 0 ? NULL : pod->node_name;
        row->unschedulable = pod->node < 0;
        row->waiting_reason = pod->waiting;
        row->restart_count = pod->restarts;
        row->has_last_exit = pod->has_exit;
        row->last_exit_code = pod->exit_code;
        row->last_exit_reason = pod->exit_reason;
        row->template_hash = pod->hash;
        row->role = pod->role;
        row->state_new = pod->state_new;
    }
}

static void observe_pvcs(const struct world_kube *kube, struct observed *out)
{
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        const struct world_pvc *pvc = &kube->pvcs[i];
        if (!pvc->used) {
            continue;
        }
        out->pvcs = mem_realloc(out->pvcs, (out->pvc_count + 1) * sizeof(out->pvcs[0]));
        struct observed_pvc *row = &out->pvcs[out->pvc_count++];
        memset(row, 0, sizeof(*row));
        row->name = pvc->name;
        row->uid = pvc->uid;
        row->resource_version = pvc->version;
        row->ordinal = pvc->ordinal;
        row->phase = pvc->phase;
        row->deleting = pvc->deleting;
        row->cluster_id = pvc->cluster_id[0] == '\0' ? NULL : pvc->cluster_id;
        row->next_ordinal = pvc->next_ordinal;
        row->retired = pvc->retired;
        row->owner_uid = pvc->owner[0] == '\0' ? NULL : pvc->owner;
        row->request_bytes = INT64_C(1) << 30;
        row->created_ms = pvc->created_ms;
    }
}

static void observe_objects(const struct world_kube *kube, struct observed *out)
{
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        const struct world_object *record = &kube->members[i];
        if (!record->used) {
            continue;
        }
        out->member_objects = mem_realloc(out->member_objects, (out->member_object_count + 1) *
                                                                   sizeof(out->member_objects[0]));
        out->member_objects[out->member_object_count++] = (struct observed_member_object){
            record->name,       record->uid,
            record->version,    observed_ordinal(record->name, "", "demo"),
            record->created_ms, record->deleting,
            record->finalizer,  json_path_str(record->raw, "status.memberID", NULL) != NULL,
            record->raw};
    }
    for (int i = 0; i < 4; i++) {
        const struct world_object *row = &kube->services[i];
        if (row->used) {
            out->services =
                mem_realloc(out->services, (out->service_count + 1) * sizeof(out->services[0]));
            out->services[out->service_count++] = (struct observed_object){
                row->name, row->uid, row->version, row->deleting, row->raw};
        }
    }
    for (int i = 0; i < 2; i++) {
        const struct world_object *row = &kube->pdbs[i];
        if (row->used) {
            out->pdbs = mem_realloc(out->pdbs, (out->pdb_count + 1) * sizeof(out->pdbs[0]));
            out->pdbs[out->pdb_count++] = (struct observed_object){
                row->name, row->uid, row->version, row->deleting, row->raw};
        }
    }
}

static void observe_nodes(const struct world *world, struct observed *out)
{
    static const char *const NAMES[WORLD_NODES] = {"node-0", "node-1", "node-2",
                                                   "node-3", "node-4", "node-5"};
    out->nodes_readable = world->nodes_readable;
    for (int i = 0; i < WORLD_NODES && world->nodes_readable; i++) {
        if (!world->node_there[i]) {
            continue;
        }
        out->nodes = mem_realloc(out->nodes, (out->node_count + 1) * sizeof(out->nodes[0]));
        out->nodes[out->node_count++] =
            (struct observed_node){NAMES[i], world->node_up[i] ? NODE_READY : NODE_NOT_READY,
                                   world->node_since_ms[i], NULL};
    }
}

/* What the members answer. The list comes only with a quorum: it is linearizable. */
static void observe_etcd(struct world *world, struct observed *out)
{
    bool quorum = world_has_quorum(world);
    int64_t probed_ms = world->now_ms - (int64_t)world->view_age_ms;
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        struct world_pod *pod = &world->kube.pods[i];
        if (!pod->used || pod->phase != POD_RUNNING) {
            continue;
        }
        struct world_pvc *pvc = world_pvc(world, names_pvc(pod->name).text);
        struct world_member *member = world_member(world, pod->name);
        bool live = member != NULL && world_is_live(world, member);
        struct observed_endpoint endpoint;
        memset(&endpoint, 0, sizeof(endpoint));
        endpoint.pod = pod->name;
        endpoint.probed_ms = world->operator_cut_off ? 0 : probed_ms;
        endpoint.reachable = live;
        if (live) {
            endpoint.healthy = quorum && !member->learner;
            endpoint.cluster_id = world->cluster_id;
            endpoint.member_id = member->id;
            endpoint.leader_id = world->leader_id;
            endpoint.term = 2;
            endpoint.raft_index = member->id == world->leader_id ? world->commit : pvc->applied;
            endpoint.applied_index = pvc->applied;
            endpoint.is_learner = member->learner;
            endpoint.version = "3.6.0";
            endpoint.cluster_version = world->cluster_version;
            endpoint.revision = (int64_t)pvc->applied;
        }
        observed_add_endpoint(out, &endpoint);
    }
    if (!quorum || world->operator_cut_off) {
        return;
    }
    out->etcd.known = true;
    out->etcd.read_ms = probed_ms;
    out->etcd.cluster_id = world->cluster_id;
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        struct world_member *member = &world->etcd[i];
        if (member->used) {
            struct observed_etcd_member row;
            memset(&row, 0, sizeof(row));
            row.id = member->id;
            row.name = member->started ? member->name : "";
            row.peer_urls[0] = member->peer_url;
            row.peer_url_count = 1;
            row.is_learner = member->learner;
            observed_add_etcd_member(out, &row);
        }
    }
}

void world_observe(struct world *world, struct observed *out)
{
    observed_set_cluster(out, world->cluster);
    const struct world_kube *kube = &world->kube;
    if (world->history != NULL && world->stale_by > 0 && world->history_count >= world->stale_by &&
        world->stale_by <= WORLD_HISTORY_MAX) {
        kube = &world->history[(world->history_count - world->stale_by) % WORLD_HISTORY_MAX];
    }
    observe_pods(kube, out);
    observe_pvcs(kube, out);
    observe_objects(kube, out);
    observe_nodes(world, out);
    out->certs = world->certs;
    observe_etcd(world, out);
}

const struct json *world_status(const struct world *world)
{
    return json_get(world->cluster, "status");
}

const char *world_condition(const struct world *world, const char *type, const char *field)
{
    const struct json *list = json_get(world_status(world), "conditions");
    for (size_t i = 0; i < json_count(list); i++) {
        if (strcmp(json_str(json_get(json_at(list, i), "type"), ""), type) == 0) {
            return json_str(json_get(json_at(list, i), field), "");
        }
    }
    return "";
}

void world_crash_process(struct world *world, const char *name, int64_t exit_code)
{
    struct world_pod *pod = world_pod(world, name);
    if (pod != NULL) {
        pod->up = false;
        pod->has_exit = true;
        pod->exit_code = exit_code;
        pod->restarts++;
    }
}

void world_delete_pod(struct world *world, const char *name)
{
    struct world_pod *pod = world_pod(world, name);
    if (pod != NULL) {
        pod->used = false;
    }
}

void world_lose_volume(struct world *world, const char *member)
{
    struct world_pvc *pvc = world_pvc(world, names_pvc(member).text);
    if (pvc != NULL) {
        pvc->used = false;
    }
    world_delete_pod(world, member);
}

void world_lose_node(struct world *world, int node)
{
    world->node_up[node] = false;
    world->node_since_ms[node] = world->now_ms;
}

void world_return_node(struct world *world, int node)
{
    world->node_up[node] = true;
    world->node_there[node] = true;
    world->node_since_ms[node] = world->now_ms;
}

void world_delete_record(struct world *world, const char *member)
{
    struct world_object *record = world_record(world, member);
    if (record != NULL) {
        record->deleting = true;
        world_touch(world, record->version, sizeof(record->version));
    }
}
