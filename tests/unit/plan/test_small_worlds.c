/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every small world: wanted sizes 1 to 5, up to five members in each of eight states, with and
 * without a leader among them, asked one pass of the planner. The rules are checked on each plan
 * that comes out, by a count of their own; the number of worlds is printed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "controller/model/action.h"
#include "controller/model/names.h"
#include "controller/model/observed.h"
#include "controller/build/build.h"
#include "controller/model/spec.h"
#include "controller/plan/plan.h"

#define NOW_MS               INT64_C(1790000000000)
#define LONG_AGO_MS          (NOW_MS - 3600000)
#define CLUSTER_ID           0xabcu
#define MEMBERS_MAX          5
#define OUTDATED_MEMBERS_MAX 4 /* in larger worlds all Pods are of the present spec */

enum member_state {
    HEALTHY,
    POD_GONE,      /* its volume is there */
    HANGS_SHORTLY, /* within the grace */
    HANGS_LONG,    /* recreated once already */
    VOLUME_GONE,
    DATA_ERROR,
    LEARNER_READY,
    LEARNER_FRESH, /* added, nothing made yet */
    STATE_COUNT
};

/* Whose Pods were made from an earlier spec. */
enum outdated { NOBODY, THE_FIRST, EVERYBODY, OUTDATED_COUNT };

struct small {
    enum member_state states[MEMBERS_MAX];
    size_t count;
    int64_t wanted;
    bool paused;
    bool readable; /* the member list is there and fresh */
    enum outdated outdated;
};

/* The objects of one small world; the observation borrows from here. */
struct stage {
    struct cluster_spec want;
    struct json *cluster;
    struct observed seen;
    char names[MEMBERS_MAX][32];
    char pvcs[MEMBERS_MAX][40];
    char urls[MEMBERS_MAX][256];
    char hash[BUILD_HASH_MAX];
};

static bool is_outdated(const struct small *world, size_t i)
{
    return world->outdated == EVERYBODY || (world->outdated == THE_FIRST && i == 0);
}

static bool is_learner(enum member_state state)
{
    return state == LEARNER_READY || state == LEARNER_FRESH;
}

static bool is_live(enum member_state state)
{
    return state == HEALTHY || state == LEARNER_READY;
}

static size_t count_voters(const struct small *world, bool live)
{
    size_t count = 0;
    for (size_t i = 0; i < world->count; i++) {
        bool counts = !is_learner(world->states[i]) && (!live || is_live(world->states[i]));
        count += counts ? 1 : 0;
    }
    return count;
}

static bool has_quorum(const struct small *world)
{
    size_t voters = count_voters(world, false);
    return voters > 0 && count_voters(world, true) >= voters / 2 + 1;
}

/* A list that is there without a quorum was read a moment before it was lost, and so were the
 * answers. */
static bool answers(const struct small *world)
{
    return world->readable || has_quorum(world);
}

static size_t count_learners(const struct small *world)
{
    return world->count - count_voters(world, false);
}

static struct json *make_cluster(const struct small *world)
{
    char text[1400];
    snprintf(text, sizeof(text),
             "{\"metadata\":{\"name\":\"demo\",\"namespace\":\"ns\",\"uid\":\"u\",\"generation\":1,"
             "\"resourceVersion\":\"1\",\"finalizers\":[\"quorate.dev/cluster\"]},"
             "\"spec\":{\"replicas\":%d,\"paused\":%s,\"tls\":{\"mode\":\"Disabled\"}},"
             "\"status\":{\"clusterID\":\"abc\",\"nextOrdinal\":%d,\"observedGeneration\":1,"
             "\"lastOperations\":[{\"type\":\"Recreate\",\"target\":\"demo-0\",\"startedAt\":"
             "\"2026-01-01T00:"
             "00:00Z\"}],\"members\":["
             "{\"name\":\"demo-0\",\"healthy\":false,\"since\":\"2025-01-01T00:00:00Z\"},"
             "{\"name\":\"demo-1\",\"healthy\":false,\"since\":\"2025-01-01T00:00:00Z\"},"
             "{\"name\":\"demo-2\",\"healthy\":false,\"since\":\"2025-01-01T00:00:00Z\"},"
             "{\"name\":\"demo-3\",\"healthy\":false,\"since\":\"2025-01-01T00:00:00Z\"},"
             "{\"name\":\"demo-4\",\"healthy\":false,\"since\":\"2025-01-01T00:00:00Z\"}]}}",
             (int)world->wanted, world->paused ? "true" : "false", (int)world->count);
    struct json *cluster = json_parse(text, strlen(text), NULL);
    assert_non_null(cluster);
    return cluster;
}

static void add_pod(struct stage *stage, const struct small *world, size_t i)
{
    enum member_state state = world->states[i];
    struct observed *seen = &stage->seen;
    struct observed_pod *pod = &seen->pods[seen->pod_count++];
    bool recent = state == HANGS_SHORTLY;
    *pod = (struct observed_pod){.name = stage->names[i],
                                 .uid = "uid",
                                 .resource_version = "1",
                                 .ordinal = (int64_t)i,
                                 .phase = POD_RUNNING,
                                 .ready = state == HEALTHY,
                                 .ready_changed_ms = recent ? NOW_MS - 1000 : LONG_AGO_MS,
                                 .created_ms = recent ? NOW_MS - 1000 : LONG_AGO_MS,
                                 .node = "node",
                                 .template_hash = is_outdated(world, i) ? "earlier" : stage->hash,
                                 .role = is_learner(state) ? "learner" : "voter"};
    if (state == DATA_ERROR) {
        pod->waiting_reason = "CrashLoopBackOff";
        pod->has_last_exit = true;
        pod->last_exit_code = EXIT_DATA_CORRUPT;
    }
}

static void add_member(struct stage *stage, const struct small *world, size_t i)
{
    enum member_state state = world->states[i];
    struct observed *seen = &stage->seen;
    snprintf(stage->names[i], sizeof(stage->names[i]), "demo-%zu", i);
    snprintf(stage->pvcs[i], sizeof(stage->pvcs[i]), "data-demo-%zu", i);
    snprintf(stage->urls[i], sizeof(stage->urls[i]), "%s",
             names_peer_url(NAMES_HTTP, stage->names[i], "demo", "ns").text);
    bool has_pod = state != POD_GONE && state != VOLUME_GONE && state != LEARNER_FRESH;
    bool has_pvc = state != VOLUME_GONE && state != LEARNER_FRESH;
    if (has_pod) {
        add_pod(stage, world, i);
        struct observed_endpoint endpoint = {.pod = stage->names[i],
                                             .reachable = is_live(state),
                                             .healthy = state == HEALTHY && answers(world),
                                             .probed_ms = NOW_MS - 500,
                                             .cluster_id = CLUSTER_ID,
                                             .member_id = i + 1,
                                             .term = 2,
                                             .raft_index = 5000,
                                             .applied_index = 5000,
                                             .is_learner = is_learner(state)};
        for (size_t k = 0; k < world->count && answers(world); k++) {
            if (world->states[k] == HEALTHY) {
                endpoint.leader_id = k + 1;
                break;
            }
        }
        observed_add_endpoint(seen, &endpoint);
    }
    if (has_pvc) {
        seen->pvcs[seen->pvc_count++] = (struct observed_pvc){.name = stage->pvcs[i],
                                                              .uid = "uid",
                                                              .resource_version = "1",
                                                              .ordinal = (int64_t)i,
                                                              .phase = PVC_BOUND,
                                                              .cluster_id = "abc",
                                                              .next_ordinal = MEMBERS_MAX,
                                                              .owner_uid = "u",
                                                              .created_ms = LONG_AGO_MS};
    }
    if (world->readable) {
        struct observed_etcd_member member = {.id = i + 1,
                                              .name = state == LEARNER_FRESH ? "" : stage->names[i],
                                              .peer_urls = {stage->urls[i]},
                                              .peer_url_count = 1,
                                              .is_learner = is_learner(state)};
        observed_add_etcd_member(seen, &member);
    }
}

static void set_stage(struct stage *stage, const struct small *world)
{
    memset(stage, 0, sizeof(*stage));
    stage->cluster = make_cluster(world);
    int rc = spec_parse(stage->cluster, &stage->want);
    assert_int_equal(rc, 0);
    build_template_hash(&stage->want, stage->hash);
    observed_init(&stage->seen);
    observed_set_cluster(&stage->seen, stage->cluster);
    stage->seen.pods = mem_array(MEMBERS_MAX, sizeof(struct observed_pod));
    stage->seen.pvcs = mem_array(MEMBERS_MAX, sizeof(struct observed_pvc));
    stage->seen.etcd.known = world->readable;
    stage->seen.etcd.read_ms = NOW_MS - 500;
    stage->seen.etcd.cluster_id = CLUSTER_ID;
    for (size_t i = 0; i < world->count; i++) {
        add_member(stage, world, i);
    }
}

static void clear_stage(struct stage *stage)
{
    observed_free(&stage->seen);
    spec_free(&stage->want);
    json_free(stage->cluster);
}

static void say_world(const struct small *world)
{
    print_message("wanted %d, paused %d, readable %d, outdated %d:", (int)world->wanted,
                  world->paused, world->readable, (int)world->outdated);
    for (size_t i = 0; i < world->count; i++) {
        print_message(" %d", (int)world->states[i]);
    }
    print_message("\n");
}

#define RULE(world, condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            say_world(world);                                                                      \
            fail_msg("broken: %s", #condition);                                                    \
        }                                                                                          \
    } while (0)

/* What removing or promoting does to the count, by arithmetic of the test's own. */
static void judge_membership(const struct small *world, const struct action *action)
{
    size_t voters = count_voters(world, false);
    size_t live = count_voters(world, true);
    RULE(world, world->readable && has_quorum(world));
    if (action->kind == ACTION_MEMBER_ADD) {
        RULE(world, count_learners(world) == 0);
        RULE(world, voters < (size_t)world->wanted);
        RULE(world, voters + 1 <= (size_t)world->wanted);
        return;
    }
    RULE(world, action->member_id >= 1 && action->member_id <= world->count);
    enum member_state state = world->states[action->member_id - 1];
    if (action->kind == ACTION_MEMBER_REMOVE) {
        bool voter = !is_learner(state);
        size_t voters_after = voters - (voter ? 1 : 0);
        size_t live_after = live - (voter && is_live(state) ? 1 : 0);
        RULE(world, voters_after >= 1 && live_after >= voters_after / 2 + 1);
        bool surplus = voters + count_learners(world) > (size_t)world->wanted;
        bool proof = state == VOLUME_GONE || state == DATA_ERROR || state == HANGS_LONG;
        RULE(world, surplus || (proof && voter));
        RULE(world, state != HEALTHY || voters > (size_t)world->wanted);
    } else if (action->kind == ACTION_MEMBER_PROMOTE) {
        RULE(world, state == LEARNER_READY);
        RULE(world, live + 1 >= (voters + 1) / 2 + 1);
    } else {
        RULE(world, state == HEALTHY);
    }
}

/* A Pod that serves ends only to take a new spec: when all voters serve, and not under a leader. */
static void judge_pod_end(const struct small *world, size_t ordinal)
{
    RULE(world, ordinal < world->count);
    if (!is_live(world->states[ordinal])) {
        return;
    }
    size_t leader = 0;
    while (world->states[leader] != HEALTHY) {
        leader++;
    }
    RULE(world, world->states[ordinal] == HEALTHY && is_outdated(world, ordinal));
    RULE(world, world->readable && count_voters(world, true) == world->count);
    RULE(world, ordinal != leader || world->count == 1);
}

static void judge(const struct small *world, const struct plan *plan)
{
    size_t membership = 0;
    size_t ended = 0;
    for (size_t i = 0; i < plan->action_count; i++) {
        const struct action *action = &plan->actions[i];
        if (action_is_membership(action->kind)) {
            membership++;
            judge_membership(world, action);
        }
        RULE(world, !(action->kind == ACTION_DELETE && action->object == OBJECT_PVC));
        if (action->kind == ACTION_DELETE && action->object == OBJECT_POD) {
            size_t ordinal = (size_t)observed_ordinal(action->name, "", "demo");
            judge_pod_end(world, ordinal);
            ended += is_live(world->states[ordinal]) ? 1 : 0;
        }
        if (action->kind == ACTION_APPLY && action->object == OBJECT_PVC) {
            size_t ordinal = (size_t)observed_ordinal(action->name, "data-", "demo");
            RULE(world, ordinal < world->count && world->states[ordinal] == LEARNER_FRESH);
        }
        if (action->kind == ACTION_APPLY && action->object == OBJECT_POD) {
            char *text = json_text(action->body, JSON_COMPACT);
            RULE(world, strstr(text, "--initial-cluster-state=new") == NULL);
            mem_free(text);
        }
    }
    RULE(world, membership <= 1 && ended <= 1 && membership + ended <= 1);
    RULE(world, !world->paused || plan->action_count == 0);
}

/* Some change of membership is made whenever there is a reason and a quorum: no world is left
 * alone. */
static bool needs_change(const struct small *world)
{
    size_t voters = count_voters(world, false);
    size_t lost = 0;
    for (size_t i = 0; i < world->count; i++) {
        enum member_state state = world->states[i];
        lost += state == VOLUME_GONE || state == DATA_ERROR ? 1 : 0;
    }
    bool can = !world->paused && world->readable && has_quorum(world) && count_learners(world) == 0;
    size_t live = count_voters(world, true);
    bool drop = lost > 0 && live >= voters / 2 + 1;
    return can && (drop || (lost == 0 && voters < (size_t)world->wanted));
}

static void judge_world(const struct small *world, size_t *out_changes)
{
    struct stage *stage = mem_zalloc(sizeof(*stage));
    set_stage(stage, world);
    struct plan plan;
    plan_init(&plan);
    const struct plan_input in = {&stage->want, &stage->seen, NOW_MS};

    plan_make(&in, &plan);

    judge(world, &plan);
    size_t membership = 0;
    for (size_t i = 0; i < plan.action_count; i++) {
        membership += action_is_membership(plan.actions[i].kind) ? 1 : 0;
    }
    RULE(world, !needs_change(world) || membership == 1);
    *out_changes += membership;
    plan_free(&plan);
    clear_stage(stage);
    mem_free(stage);
}

/* The order of members matters only for ordinals; all orders are walked all the same. */
static size_t walk(struct small *world, size_t *out_changes)
{
    size_t worlds = 0;
    size_t combinations = 1;
    for (size_t i = 0; i < world->count; i++) {
        combinations *= STATE_COUNT;
    }
    for (size_t code = 0; code < combinations; code++) {
        size_t rest = code;
        for (size_t i = 0; i < world->count; i++) {
            world->states[i] = (enum member_state)(rest % STATE_COUNT);
            rest /= STATE_COUNT;
        }
        bool possible = count_learners(world) <= 1 && count_voters(world, false) > 0;
        if (possible) {
            judge_world(world, out_changes);
            worlds++;
        }
    }
    return worlds;
}

static void no_small_world_gets_an_unsafe_plan(void **state)
{
    (void)state;
    size_t worlds = 0;
    size_t changes = 0;

    for (int64_t wanted = 1; wanted <= 5; wanted++) {
        for (size_t count = 1; count <= MEMBERS_MAX; count++) {
            int choices = count <= OUTDATED_MEMBERS_MAX ? 4 * OUTDATED_COUNT : 4;
            for (int flags = 0; flags < choices; flags++) {
                struct small world = {.count = count,
                                      .wanted = wanted,
                                      .paused = (flags & 1) != 0,
                                      .readable = (flags & 2) != 0,
                                      .outdated = (enum outdated)(flags / 4)};
                worlds += walk(&world, &changes);
            }
        }
    }

    print_message("%zu worlds, %zu changes of membership planned\n", worlds, changes);
    assert_true(worlds > 100000 && changes > 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_small_world_gets_an_unsafe_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
