/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random walks: a world with faults (processes, Pods, volumes, nodes, a blind or stale or dying
 * operator, a changing spec), then calm. Every change is judged by the world; after the calm the
 * cluster must be whole, or, when a majority of the data is gone, must say so and must not have
 * touched a member. WALK_RUNS sets the count, WALK_FROM the first seed, WALK_SEED replays one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "controller/model/names.h"
#include "controller/model/spec.h"
#include "controller/build/build.h"
#include "lib_world.h"

#if defined(__SANITIZE_ADDRESS__)
#define RUNS_DEFAULT 2000u
#else
#define RUNS_DEFAULT 20000u
#endif
#define REPLICAS_MAX 5
#define FAULT_STEPS  14u
#define CALM_STEPS   220u
#define LOST_STEPS   15u
#define TICK_MS      3000
#define HOUR_MS      3600000

struct totals {
    size_t passes;
    size_t writes;
    size_t membership;
    size_t crashes;
    size_t faults;
    size_t whole;
    size_t lost;
    size_t conflicts;
};

static const char *random_member(struct world *world)
{
    const char *found = NULL;
    uint64_t count = 0;
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        const struct world_pvc *pvc = &world->kube.pvcs[i];
        if (pvc->used && !pvc->retired && rng_below(&world->rng, ++count) == 0) {
            found = pvc->name + strlen("data-");
        }
    }
    return found;
}

static void fault_pod(struct world *world, const char *name)
{
    struct world_pod *pod = world_pod(world, name);
    if (pod == NULL) {
        return;
    }
    switch (rng_below(&world->rng, 6)) {
    case 0:
        world_crash_process(world, name, 1);
        break;
    case 1:
        pod->hung = true;
        break;
    case 2:
        pod->broken = true;
        pod->up = false;
        break;
    case 3:
        pod->broken = true;
        world_crash_process(world, name, EXIT_DATA_CORRUPT);
        pod->waiting = "CrashLoopBackOff";
        break;
    case 4:
        pod->phase = POD_FAILED;
        pod->up = false;
        break;
    default:
        world_delete_pod(world, name);
        break;
    }
}

static void fault_node(struct world *world)
{
    int node = (int)rng_below(&world->rng, WORLD_NODES);
    if (!world->node_up[node]) {
        world_return_node(world, node);
    } else if (rng_below(&world->rng, 3) == 0) {
        world->node_there[node] = false;
        world_lose_node(world, node);
    } else {
        world_lose_node(world, node);
    }
}

/* Pods are to be made again, one in three times from a template that does not work. */
static void new_template(struct world *world)
{
    char count[8];
    snprintf(count, sizeof(count), "%d", (int)(1000 + rng_below(&world->rng, 3)));
    world_set_spec(world, "options.snapshotCount", count);
    world->broken_hash[0] = '\0';
    if (rng_below(&world->rng, 3) == 0) {
        build_template_hash(&world->want, world->broken_hash);
    }
}

static void change_spec(struct world *world)
{
    char replicas[8];
    snprintf(replicas, sizeof(replicas), "%d", (int)(1 + rng_below(&world->rng, REPLICAS_MAX)));
    switch (rng_below(&world->rng, 6)) {
    case 4:
    case 5:
        new_template(world);
        break;
    case 0:
        world_set_spec(world, "paused", world->want.paused ? "false" : "true");
        break;
    case 1:
        world_set_spec(world, "storage.reclaimPolicy",
                       rng_below(&world->rng, 2) == 0 ? "\"Delete\"" : "\"RetainOnReplace\"");
        break;
    default:
        world_set_spec(world, "replicas", replicas);
        break;
    }
}

static bool fault(struct world *world)
{
    const char *member = random_member(world);
    uint64_t kind = rng_below(&world->rng, 14);
    if (world->is_told) {
        print_message("   fault %d on %s\n", (int)kind, member == NULL ? "nobody" : member);
    }
    switch (kind) {
    case 0:
    case 1:
    case 2:
        if (member != NULL) {
            fault_pod(world, member);
        }
        return true;
    case 3:
        if (member != NULL) {
            world_lose_volume(world, member);
        }
        return true;
    case 4:
    case 5:
        fault_node(world);
        return true;
    case 6:
        world->operator_cut_off = !world->operator_cut_off;
        return true;
    case 7:
        world->stale_by = (size_t)rng_below(&world->rng, WORLD_HISTORY_MAX);
        return true;
    case 8:
        change_spec(world);
        return true;
    case 9:
        if (member != NULL) {
            world_delete_record(world, member);
        }
        return true;
    case 10:
        /* With the status lost, the volumes are all that know the id; views older than that would
         * bring back an id whose volumes are gone as well, which no reader could tell from a live
         * one. */
        json_remove(world->cluster, "status");
        world->history_count = 0;
        world->stale_by = 0;
        return true;
    default:
        return false;
    }
}

static void calm(struct world *world)
{
    for (int i = 0; i < WORLD_NODES; i++) {
        world_return_node(world, i);
    }
    for (int i = 0; i < WORLD_ROWS_MAX; i++) {
        world->kube.pods[i].hung = false;
        world->kube.pods[i].broken = false;
        if (world->kube.pods[i].exit_code == 1) {
            world->kube.pods[i].waiting = NULL;
        }
    }
    world->operator_cut_off = false;
    world->stale_by = 0;
    world->broken_hash[0] = '\0';
    if (world->want.paused) {
        world_set_spec(world, "paused", "false");
    }
}

/* Waits for wholeness; lifts the storm brake by an hour and the scale-up stop by a new generation.
 */
static bool converge(struct world *world, size_t limit)
{
    size_t quiet = 0;
    for (size_t i = 0; i < limit && quiet < 2; i++) {
        size_t writes = world_operate(world, WORLD_NO_CRASH);
        quiet = writes == 0 && world_is_healthy(world) ? quiet + 1 : 0;
        if (world->plan.block == REASON_ReplacementThrottled) {
            world->now_ms += HOUR_MS;
        }
        if (world->plan.block == REASON_ScaleUpFailed) {
            world_set_spec(world, "options.snapshotCount", "5000");
        }
        world_tick(world, TICK_MS);
    }
    return quiet >= 2;
}

static bool data_is_lost(struct world *world)
{
    return world->was_latched && world_intact_voters(world) < world_voters(world) / 2 + 1;
}

static volatile uint64_t current_seed;

/* A broken invariant aborts; the seed replays it. */
static void say_seed(int number)
{
    fprintf(stderr, "signal %d in seed %llu\n", number, (unsigned long long)current_seed);
    _Exit(1);
}

/* A rule that the world judged broken fails without knowing the seed. */
static int say_last_seed(void **state)
{
    (void)state;
    print_message("last seed %llu\n", (unsigned long long)current_seed);
    return 0;
}

static void walk(uint64_t seed, const struct world *settled, struct totals *totals)
{
    current_seed = seed;
    struct world world;
    struct rng start;
    rng_seed(&start, seed);
    int64_t size = (int64_t)(1 + rng_below(&start, REPLICAS_MAX));
    if (rng_below(&start, 4) == 0) {
        world_init(&world, seed, size);
        if (seed % 4 == 1) {
            world_use_tls(&world);
        }
        /* one in four is disturbed from its first start on */
    } else {
        world_clone(&world, &settled[size - 1], seed);
    }
    world.is_told = getenv("WALK_SEED") != NULL;
    world.nodes_readable = rng_below(&world.rng, 3) != 0;
    world.history = mem_array(WORLD_HISTORY_MAX, sizeof(struct world_kube));

    for (size_t step = 0; step < FAULT_STEPS; step++) {
        totals->faults += fault(&world) ? 1 : 0;
        bool dies = rng_below(&world.rng, 3) == 0;
        world_operate(&world, dies ? (size_t)rng_below(&world.rng, 6) : WORLD_NO_CRASH);
        totals->crashes += dies ? 1 : 0;
        world_tick(&world, (int64_t)(1000 + rng_below(&world.rng, 9000)));
    }
    calm(&world);
    size_t before = world.membership_changes;
    bool whole = converge(&world, LOST_STEPS);
    bool lost = !whole && data_is_lost(&world);
    if (!whole && !lost) {
        whole = converge(&world, CALM_STEPS);
        lost = !whole && data_is_lost(&world);
        before = world.membership_changes;
    }
    if (!whole && !lost) {
        fail_msg("seed %llu: not whole after the calm: %s (%s), %d of %d voters live, wanted %d",
                 (unsigned long long)seed, world.plan.progress, reason_text(world.plan.reason),
                 (int)world_live_voters(&world), (int)world_voters(&world),
                 (int)world.want.replicas);
    }
    if (lost && !whole && strcmp(world_condition(&world, "Available", "status"), "False") != 0) {
        fail_msg("seed %llu: the data is lost and Available is %s", (unsigned long long)seed,
                 world_condition(&world, "Available", "status"));
    }
    if (lost && !whole && world.membership_changes != before) {
        fail_msg("seed %llu: membership was changed without a quorum", (unsigned long long)seed);
    }
    totals->passes += world.passes;
    totals->writes += world.writes;
    totals->membership += world.membership_changes;
    totals->conflicts += world.conflicts;
    totals->whole += whole ? 1 : 0;
    totals->lost += whole ? 0 : 1;
    world_free(&world);
}

static void every_disturbed_cluster_becomes_whole_or_says_that_it_cannot(void **state)
{
    (void)state;
    struct totals totals;
    memset(&totals, 0, sizeof(totals));
    const char *runs_text = getenv("WALK_RUNS");
    const char *from_text = getenv("WALK_FROM");
    const char *seed_text = getenv("WALK_SEED");
    uint64_t first = from_text == NULL ? 1 : strtoull(from_text, NULL, 10);
    uint64_t runs = runs_text == NULL ? RUNS_DEFAULT : strtoull(runs_text, NULL, 10);
    struct world *settled = mem_array(REPLICAS_MAX, sizeof(struct world));
    for (int i = 0; i < REPLICAS_MAX; i++) {
        world_init(&settled[i], 1, i + 1);
        assert_true(world_settle(&settled[i], CALM_STEPS));
    }
    if (seed_text != NULL) {
        walk(strtoull(seed_text, NULL, 10), settled, &totals);
        runs = 0;
    }

    for (uint64_t seed = first; seed < first + runs; seed++) {
        walk(seed, settled, &totals);
    }

    for (int i = 0; i < REPLICAS_MAX; i++) {
        world_free(&settled[i]);
    }
    mem_free(settled);
    print_message("runs %llu: passes %zu, writes %zu, membership changes %zu, operator deaths %zu, "
                  "faults %zu, conflicts %zu; whole %zu, majority of data lost %zu\n",
                  (unsigned long long)runs, totals.passes, totals.writes, totals.membership,
                  totals.crashes, totals.faults, totals.conflicts, totals.whole, totals.lost);
    assert_true(runs == 0 || totals.whole > totals.lost);
}

int main(void)
{
    signal(SIGABRT, say_seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_disturbed_cluster_becomes_whole_or_says_that_it_cannot,
                                  say_last_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
