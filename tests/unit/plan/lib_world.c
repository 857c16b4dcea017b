/* SPDX-License-Identifier: Apache-2.0 */
/* The world's clock, its etcd and its way of carrying out actions. */
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
#include "controller/model/status.h"
#include "controller/plan/plan.h"
#include "lib_world.h"
#include "lib_world_kube.h"

#define START_DELAY_MS 1000
#define CATCH_UP_STEP  400u

void world_init(struct world *world, uint64_t seed, int64_t replicas)
{
    memset(world, 0, sizeof(*world));
    rng_seed(&world->rng, seed);
    world->now_ms = WORLD_START_MS;
    world->nodes_readable = true;
    world->commit = 100;
    for (int i = 0; i < WORLD_NODES; i++) {
        world->node_up[i] = true;
        world->node_there[i] = true;
        world->node_since_ms[i] = world->now_ms;
    }
    char *text = str_printf(
        "{\"apiVersion\":\"quorate.dev/"
        "v1alpha1\",\"kind\":\"EtcdCluster\",\"metadata\":{\"name\":\"demo\","
        "\"namespace\":\"ns\",\"uid\":\"u-1\",\"resourceVersion\":\"1\",\"generation\":1},\"spec\":"
        "{"
        "\"replicas\":%" PRId64 ",\"tls\":{\"mode\":\"Disabled\"},\"storage\":{\"size\":\"1Gi\"},"
        "\"repair\":{\"notReadyGracePeriod\":\"20s\",\"nodeLostGracePeriod\":\"20s\","
        "\"learnerPromoteTimeout\":\"60s\",\"maxReplacementsPerHour\":8}}}",
        replicas);
    world->cluster = json_parse(text, strlen(text), NULL);
    mem_free(text);
    assert_non_null(world->cluster);
    if (spec_parse(world->cluster, &world->want) != 0) {
        fail_msg("%s %s", world->want.problems[0].field, world->want.problems[0].message);
    }
    plan_init(&world->plan);
}

void world_clone(struct world *world, const struct world *source, uint64_t seed)
{
    *world = *source;
    rng_seed(&world->rng, seed);
    world->cluster = json_copy(source->cluster);
    int rc = spec_parse(world->cluster, &world->want);
    assert_int_equal(rc, 0);
    plan_init(&world->plan);
    world->history = NULL;
    world->garbage = NULL;
    world->garbage_count = 0;
}

void world_free(struct world *world)
{
    plan_free(&world->plan);
    spec_free(&world->want);
    json_free(world->cluster);
    for (size_t i = 0; i < world->garbage_count; i++) {
        json_free(world->garbage[i]);
    }
    mem_free(world->garbage);
    mem_free(world->history);
    memset(world, 0, sizeof(*world));
}

void world_set_spec(struct world *world, const char *path_key, const char *json_text)
{
    struct json *object = json_get(world->cluster, "spec");
    const char *key = path_key;
    const char *dot = NULL;
    while ((dot = strchr(key, '.')) != NULL) {
        char *part = str_from(key, (size_t)(dot - key));
        object = json_ensure_object(object, part);
        mem_free(part);
        key = dot + 1;
    }
    struct json *value = json_parse(json_text, strlen(json_text), NULL);
    assert_non_null(value);
    spec_free(&world->want);
    json_set(object, key, value);
    struct json *meta = json_get(world->cluster, "metadata");
    json_set_int(meta, "generation", json_i64(json_get(meta, "generation"), 0) + 1);
    int rc = spec_parse(world->cluster, &world->want);
    (void)rc; /* a test may set what is refused */
}

static const struct world_pod *pod_of(const struct world *world, int64_t ordinal)
{
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        if (world->kube.pods[i].used && world->kube.pods[i].ordinal == ordinal) {
            return &world->kube.pods[i];
        }
    }
    return NULL;
}

static struct world_pvc *pvc_of(const struct world *world, int64_t ordinal)
{
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        const struct world_pvc *pvc = &world->kube.pvcs[i];
        if (pvc->used && pvc->ordinal == ordinal) {
            return (struct world_pvc *)(uintptr_t)pvc;
        }
    }
    return NULL;
}

bool world_is_live(const struct world *world, const struct world_member *member)
{
    const struct world_pod *pod = pod_of(world, member->ordinal);
    const struct world_pvc *pvc = pvc_of(world, member->ordinal);
    return pod != NULL && pod->up && !pod->hung && pod->node >= 0 && world->node_up[pod->node] &&
           pvc != NULL && pvc->has_data && pvc->data_member == member->id;
}

static int64_t count_members(const struct world *world, bool learner, bool live)
{
    int64_t count = 0;
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        const struct world_member *member = &world->etcd[i];
        if (member->used && member->learner == learner && (!live || world_is_live(world, member))) {
            count++;
        }
    }
    return count;
}

int64_t world_voters(const struct world *world)
{
    return count_members(world, false, false);
}

int64_t world_learners(const struct world *world)
{
    return count_members(world, true, false);
}

int64_t world_live_voters(const struct world *world)
{
    return count_members(world, false, true);
}

int64_t world_intact_voters(const struct world *world)
{
    int64_t count = 0;
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        const struct world_member *member = &world->etcd[i];
        const struct world_pvc *pvc = member->used ? pvc_of(world, member->ordinal) : NULL;
        if (pvc != NULL && !member->learner && pvc->has_data && pvc->data_member == member->id &&
            !pvc->deleting && pvc->phase != PVC_LOST) {
            count++;
        }
    }
    return count;
}

bool world_has_quorum(const struct world *world)
{
    int64_t voters = world_voters(world);
    return voters > 0 && world_live_voters(world) >= voters / 2 + 1;
}

struct world_member *world_member(struct world *world, const char *name)
{
    int64_t ordinal = observed_ordinal(name, "", "demo");
    for (int i = 0; i < WORLD_ROWS_MAX && ordinal != OBSERVED_NO_ORDINAL; i++) {
        if (world->etcd[i].used && world->etcd[i].ordinal == ordinal) {
            return &world->etcd[i];
        }
    }
    return NULL;
}

static struct world_member *member_by_id(struct world *world, uint64_t id)
{
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        if (world->etcd[i].used && world->etcd[i].id == id) {
            return &world->etcd[i];
        }
    }
    return NULL;
}

static struct world_member *new_member(struct world *world, const char *peer_url, bool learner)
{
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        struct world_member *member = &world->etcd[i];
        if (member->used) {
            continue;
        }
        memset(member, 0, sizeof(*member));
        const char *host = strstr(peer_url, "://") + 3;
        char *name = str_from(host, strcspn(host, ".:"));
        member->used = true;
        member->id = ++world->next_id;
        member->ordinal = observed_ordinal(name, "", "demo");
        member->learner = learner;
        snprintf(member->name, sizeof(member->name), "%s", name);
        snprintf(member->peer_url, sizeof(member->peer_url), "%s", peer_url);
        mem_free(name);
        return member;
    }
    fail_msg("too many members");
    return NULL;
}

static void elect(struct world *world)
{
    struct world_member *leader = member_by_id(world, world->leader_id);
    if (leader != NULL && !leader->learner && world_is_live(world, leader) &&
        world_has_quorum(world)) {
        return;
    }
    world->leader_id = 0;
    for (int i = 0; i < WORLD_ROWS_MAX && world_has_quorum(world); i++) {
        const struct world_member *member = &world->etcd[i];
        if (member->used && !member->learner && world_is_live(world, member)) {
            world->leader_id = member->id;
            return;
        }
    }
}

/* A founding process on an empty volume. The judge: never over data that is known. */
static void found(struct world *world, const struct world_pod *pod, struct world_pvc *pvc)
{
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        if (world->kube.pvcs[i].used && world->kube.pvcs[i].cluster_id[0] != '\0') {
            fail_msg("member %s founds a cluster, and volume %s carries an id", pod->name,
                     world->kube.pvcs[i].name);
        }
    }
    if (json_path_str(world->cluster, "status.clusterID", NULL) != NULL) {
        fail_msg("member %s founds a cluster, and status carries an id", pod->name);
    }
    memset(world->etcd, 0, sizeof(world->etcd));
    world->founded++;
    world->was_latched = false; /* nothing is left that knows of an earlier one */
    world->cluster_id = 0xc0ffee00u + world->founded;
    struct name url = names_peer_url(spec_scheme(&world->want), pod->name, "demo", "ns");
    struct world_member *member = new_member(world, url.text, false);
    member->started = true;
    pvc->has_data = true;
    pvc->data_cluster = world->cluster_id;
    pvc->data_member = member->id;
    pvc->applied = world->commit;
}

/* What the process does when it starts: serve, or exit with a code. */
static void start_process(struct world *world, struct world_pod *pod)
{
    struct world_pvc *pvc = pvc_of(world, pod->ordinal);
    pod->up = false;
    if (pvc == NULL || pvc->phase == PVC_LOST || pod->broken) {
        return;
    }
    struct world_member *member = world_member(world, pod->name);
    if (pvc->has_data) {
        bool removed = member == NULL || member->id != pvc->data_member;
        if (removed && world_has_quorum(world)) {
            pod->has_exit = true;
            pod->exit_code = EXIT_MEMBER_REMOVED;
            pod->waiting = "CrashLoopBackOff";
            pod->restarts++;
            return;
        }
        pod->up = true;
    } else if (pod->state_new) {
        found(world, pod, pvc);
        pod->up = true;
    } else if (member != NULL && world_has_quorum(world)) {
        if (!member->learner) {
            fail_msg("voter %s starts on an empty volume", pod->name);
        }
        pvc->has_data = true;
        pvc->data_cluster = world->cluster_id;
        pvc->data_member = member->id;
        pvc->applied = 1;
        pod->up = true;
    }
    if (pod->up) {
        pod->waiting = NULL;
        if (member != NULL) {
            member->started = true;
        }
    }
}

static void tick_pod(struct world *world, struct world_pod *pod)
{
    bool node_ok = pod->node >= 0 && world->node_up[pod->node] && world->node_there[pod->node];
    if (pod->deleting) {
        if (node_ok || pod->node < 0) {
            pod->used = false;
        }
        return;
    }
    if (pod->node < 0) {
        for (int k = 0; k < WORLD_NODES; k++) {
            int node = (int)((pod->ordinal + k) % WORLD_NODES);
            if (world->node_up[node] && world->node_there[node]) {
                pod->node = node;
                snprintf(pod->node_name, sizeof(pod->node_name), "node-%d", node);
                break;
            }
        }
        return;
    }
    if (!world->node_there[pod->node]) {
        pod->used = false; /* the garbage collector of Pods */
        return;
    }
    if (!node_ok) {
        if (pod->ready) {
            pod->ready = false;
            pod->ready_changed_ms = world->now_ms;
        }
        return;
    }
    if (pod->phase == POD_FAILED || pod->phase == POD_SUCCEEDED) {
        return;
    }
    if (world->force_image_fail && pod->phase == POD_PENDING) {
        pod->waiting = "ImagePullBackOff";
        return;
    }
    if (pod->phase == POD_PENDING && world->now_ms - pod->created_ms >= START_DELAY_MS) {
        pod->phase = POD_RUNNING;
        pod->waiting = NULL;
    }
    if (pod->phase == POD_RUNNING && !pod->up) {
        start_process(world, pod);
        if (pod->broken) {
            pod->restarts++;
            pod->has_exit = true;
            pod->exit_code = 1;
            pod->waiting = "CrashLoopBackOff";
        }
    }
    world_touch(world, pod->version, sizeof(pod->version));
}

static void tick_members(struct world *world)
{
    if (world->cluster_id == 0) {
        return;
    }
    elect(world);
    bool quorum = world_has_quorum(world);
    if (quorum) {
        world->commit += rng_below(&world->rng, 20);
    }
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        struct world_member *member = &world->etcd[i];
        struct world_pvc *pvc = member->used ? pvc_of(world, member->ordinal) : NULL;
        if (pvc == NULL || !quorum || !world_is_live(world, member)) {
            continue;
        }
        uint64_t step = member->learner ? CATCH_UP_STEP : world->commit;
        pvc->applied = BASE_MIN(world->commit, pvc->applied + step);
    }
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        struct world_pod *pod = &world->kube.pods[i];
        const struct world_member *member = pod->used ? world_member(world, pod->name) : NULL;
        bool ready = member != NULL && !member->learner && quorum && world_is_live(world, member);
        if (pod->used && pod->ready != ready) {
            pod->ready = ready;
            pod->ready_changed_ms = world->now_ms;
            world_touch(world, pod->version, sizeof(pod->version));
        }
    }
}

void world_tick(struct world *world, int64_t ms)
{
    if (world->history != NULL) {
        world->history[world->history_count % WORLD_HISTORY_MAX] = world->kube;
        world->history_count++;
    }
    world->now_ms += ms;
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        if (world->kube.pods[i].used) {
            tick_pod(world, &world->kube.pods[i]);
        }
    }
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        struct world_pvc *pvc = &world->kube.pvcs[i];
        if (pvc->used && pvc->phase == PVC_PENDING) {
            pvc->phase = PVC_BOUND;
        }
        if (pvc->used && pvc->deleting && pod_of(world, pvc->ordinal) == NULL) {
            pvc->used = false;
        }
    }
    tick_members(world);
}

/* etcd's own answers. The judge of quorum: no change of ours may leave less than a live quorum. */
static int act_membership(struct world *world, const struct action *action)
{
    struct world_member *via = world_member(world, action->via);
    if (world->operator_cut_off || via == NULL || !world_is_live(world, via) ||
        action->cluster_id != world->cluster_id || !world_has_quorum(world)) {
        return E_UNAVAILABLE;
    }
    struct world_member *member = member_by_id(world, action->member_id);
    world->membership_changes++;
    switch (action->kind) {
    case ACTION_MEMBER_ADD:
        if (world_learners(world) > 0) {
            return E_CONFLICT;
        }
        if (world_member(world, action->name) != NULL) {
            return E_EXISTS;
        }
        new_member(world, action->peer_url, true);
        return 0;
    case ACTION_MEMBER_PROMOTE:
        if (member == NULL || !member->learner || !world_is_live(world, member) ||
            pvc_of(world, member->ordinal)->applied + 1000 < world->commit) {
            return E_REFUSED;
        }
        member->learner = false;
        break;
    case ACTION_MEMBER_REMOVE:
        if (member == NULL) {
            return E_NOT_FOUND;
        }
        if (!member->learner && world_is_live(world, member) &&
            world_voters(world) <= world->want.replicas) {
            fail_msg("live voter %s is removed while no successor votes", action->name);
        }
        bool leads = member->id == world->leader_id && world_is_live(world, member);
        world->leader_removals += leads ? 1 : 0;
        world->last_removed = member->id;
        member->used = false;
        break;
    case ACTION_MOVE_LEADER:
        if (member == NULL || member->learner || !world_is_live(world, member)) {
            return E_REFUSED;
        }
        world->leader_id = member->id;
        return 0;
    default:
        fail_msg("no membership action");
    }
    if (!world_has_quorum(world)) {
        fail_msg("%s of %s leaves no quorum: %d live of %d", action_kind_text(action->kind),
                 action->name, (int)world_live_voters(world), (int)world_voters(world));
    }
    elect(world);
    return 0;
}

int world_act(struct world *world, const struct action *action)
{
    if (world->want.paused) {
        fail_msg("%s %s while paused", action_kind_text(action->kind), action->name);
    }
    world->writes++;
    int rc = action_is_membership(action->kind) ? act_membership(world, action)
                                                : world_act_kube(world, action);
    if (rc == E_CONFLICT) {
        world->conflicts++;
    }
    return rc;
}

static void judge_plan(const struct world *world)
{
    size_t membership = 0;
    for (size_t i = 0; i < world->plan.action_count; i++) {
        membership += action_is_membership(world->plan.actions[i].kind) ? 1 : 0;
    }
    if (membership > 1) {
        fail_msg("%zu changes of membership in one plan", membership);
    }
}

/* The story of one pass, for a person who replays a seed. */
static void tell(const struct world *world)
{
    print_message("%6d s: %s [%s %s %s]\n", (int)((world->now_ms - WORLD_START_MS) / 1000),
                  world->plan.progress, operation_type_text(world->plan.operation.type),
                  world->plan.operation.target, operation_step_text(world->plan.operation.step));
    for (size_t i = 0; i < world->plan.action_count; i++) {
        const struct action *action = &world->plan.actions[i];
        print_message("          %s %s %s\n", action_kind_text(action->kind),
                      object_kind_text(action->object), action->name);
    }
}

size_t world_operate(struct world *world, size_t crash_at)
{
    struct observed seen;
    observed_init(&seen);
    world_observe(world, &seen);
    plan_free(&world->plan);
    const struct plan_input in = {&world->want, &seen, world->now_ms};
    plan_make(&in, &world->plan);
    world->passes++;
    judge_plan(world);
    if (world->is_told) {
        tell(world);
    }
    size_t write = 0;
    struct json *status = status_build(&world->want, &seen, &world->plan, world->now_ms);
    bool dead = false;
    if (status_needs_write(seen.status, status, world->now_ms)) {
        dead = write == crash_at;
        write++;
        if (!dead) {
            json_set(world->cluster, "status", status);
            world->status_writes++;
            world->was_latched = world->was_latched ||
                                 json_path_str(world->cluster, "status.clusterID", NULL) != NULL;
            status = NULL;
        }
    }
    json_free(status);
    for (size_t i = 0; i < world->plan.action_count && !dead && !world->cluster_gone; i++) {
        if (write == crash_at || world_act(world, &world->plan.actions[i]) != 0) {
            write++;
            break;
        }
        write++;
    }
    observed_free(&seen);
    return write;
}

bool world_settle(struct world *world, size_t limit)
{
    size_t quiet = 0;
    for (size_t i = 0; i < limit && quiet < 3; i++) {
        size_t writes = world_operate(world, WORLD_NO_CRASH);
        bool rest = writes == 0 && world->plan.operation.type == OPERATION_NONE;
        quiet = rest && world->plan.reason == REASON_AsExpected ? quiet + 1 : 0;
        world_tick(world, 2000);
    }
    return quiet >= 3;
}

void world_start(struct world *world, int64_t replicas)
{
    world_init(world, 1, replicas);
    assert_true(world_settle(world, WORLD_SETTLE_MAX));
    assert_true(world_is_healthy(world));
    world->membership_changes = 0;
}

bool world_is_healthy(const struct world *world)
{
    size_t pods = 0;
    size_t records = 0;
    size_t volumes = 0;
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        const struct world_pod *pod = &world->kube.pods[i];
        bool stuck = pod->deleting && pod->node >= 0 && !world->node_up[pod->node];
        pods += pod->used && !stuck ? 1 : 0;
        records += world->kube.members[i].used ? 1 : 0;
        const struct world_pvc *pvc = &world->kube.pvcs[i];
        volumes += pvc->used && !pvc->retired && !pvc->deleting ? 1 : 0;
    }
    size_t wanted = (size_t)world->want.replicas;
    return world_live_voters(world) == world->want.replicas &&
           world_voters(world) == world->want.replicas && world_learners(world) == 0 &&
           pods == wanted && records == wanted && volumes == wanted;
}
