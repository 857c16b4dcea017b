/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorate-sim: runs worlds by their seeds. A world is decided by its seed alone, so a seed that
 * fails is all that is needed to see it fail again.
 *
 *   quorate-sim --seed N [--show]               one world, its story on stderr
 *   quorate-sim --seeds A..B [--json FILE]      many, each in a process of its own
 *   quorate-sim --seed N --repeat K             K times in one process: all traces must be equal
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "tests/sim/disk.h"
#include "tests/sim/setup.h"
#include "tests/sim/world.h"

#define EXIT_VIOLATION 1
#define EXIT_USAGE     2

struct options {
    uint64_t first_seed, last_seed;
    uint64_t repeat;
    uint64_t puts;
    int nodes;
    bool show, is_range;
    const char *json;
};

/* What one world came to. */
struct outcome {
    uint64_t hash, violations, events, calls, virtual_ns;
    double seconds;
};

/* ---- the built-in scenario: writes, a leader that dies, and everything is still there ---- */

#define SECOND UINT64_C(1000000000)

static void key_of(uint64_t number, char out[32])
{
    snprintf(out, 32, "key-%06" PRIu64, number);
}

static uint64_t put_all(const struct options *options, uint64_t from, uint64_t to, bool *acked)
{
    uint64_t calls = 0;
    for (uint64_t i = from; i < to; i++) {
        char key[32];
        key_of(i, key);
        acked[i] = setup_put((int)(i % (uint64_t)options->nodes), key, key);
        calls++;
    }
    return calls;
}

static uint64_t check_all(const struct options *options, const bool *acked)
{
    uint64_t missing = 0;
    for (uint64_t i = 0; i < options->puts; i++) {
        char key[32];
        key_of(i, key);
        if (acked[i] && !setup_has((int)(i % (uint64_t)options->nodes), key, key)) {
            sim_note("%s was acknowledged and is not there", key);
            missing++;
        }
    }
    return missing;
}

static void scenario(const struct options *options, struct outcome *out)
{
    char cluster[SETUP_TEXT_MAX];
    bool *acked = mem_array(options->puts + 1, sizeof(bool));
    setup_initial_cluster(options->nodes, cluster, sizeof(cluster));
    for (int i = 0; i < options->nodes; i++) {
        setup_start(i, cluster, true, NULL, NULL);
    }
    int leader = setup_wait_leader(30 * SECOND);
    if (leader == SIM_NOBODY) {
        sim_violation("liveness", "nobody leads after 30 s (n0: %s)", sim_node_why(0));
    } else {
        out->calls += put_all(options, 0, options->puts / 2, acked);
        if (options->nodes > 2) {
            sim_node_kill(leader);
            sim_run_until(sim_now_ns() + 5 * SECOND, NULL, NULL);
        } else {
            sim_node_power_cut(leader);
        }
        setup_start(leader, cluster, true, NULL, NULL);
        sim_run_until(sim_now_ns() + 5 * SECOND, NULL, NULL);
        out->calls += put_all(options, options->puts / 2, options->puts, acked);
        out->calls += options->puts;
        uint64_t missing = check_all(options, acked);
        if (missing > 0) {
            sim_violation("durability", "%" PRIu64 " acknowledged keys are gone", missing);
        }
    }
    for (int i = 0; i < options->nodes; i++) {
        sim_node_stop(i);
    }
    sim_run_until(sim_now_ns() + 10 * SECOND, NULL, NULL);
    for (int i = 0; i < options->nodes; i++) {
        if (sim_node_state(i) != SIM_NODE_OFF) {
            sim_violation("stop", "n%d did not stop: %s", i, sim_node_why(i));
        }
    }
    mem_free(acked);
}

/* ---- running ---- */

static struct outcome run_seed(const struct options *options, uint64_t seed)
{
    struct outcome outcome = {0};
    struct timespec before;
    struct timespec after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    sim_world_begin(seed);
    sim_show(options->show);
    scenario(options, &outcome);
    outcome.virtual_ns = sim_now_ns();
    outcome.events = sim_event_count();
    outcome.hash = sim_trace_hash();
    outcome.violations = sim_violations();
    sim_world_end();
    clock_gettime(CLOCK_MONOTONIC, &after);
    outcome.seconds =
        (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    return outcome;
}

static void tell(uint64_t seed, const struct outcome *outcome, FILE *out)
{
    fprintf(out,
            "{\"seed\":%" PRIu64 ",\"hash\":\"%016" PRIx64 "\",\"violations\":%" PRIu64
            ",\"events\":%" PRIu64 ",\"calls\":%" PRIu64 ",\"virtual_s\":%.3f,\"seconds\":%.3f}\n",
            seed, outcome->hash, outcome->violations, outcome->events, outcome->calls,
            (double)outcome->virtual_ns / 1e9, outcome->seconds);
    fflush(out);
}

static int run_one(const struct options *options)
{
    struct outcome first = {0};
    for (uint64_t i = 0; i < options->repeat; i++) {
        /* What is read before it was written would make a difference. */
        sim_memory_fill(options->repeat > 1 ? (int)(i * 37 % 251) : -1);
        struct outcome outcome = run_seed(options, options->first_seed);
        if (i == 0) {
            first = outcome;
        } else if (outcome.hash != first.hash) {
            fprintf(stderr, "seed %" PRIu64 ": run %" PRIu64 " took another course\n",
                    options->first_seed, i);
            return EXIT_VIOLATION;
        }
    }
    tell(options->first_seed, &first, stdout);
    return first.violations == 0 ? 0 : EXIT_VIOLATION;
}

/* A seed in a process of its own: one that breaks an assertion ends that process alone. */
static bool run_apart(const struct options *options, uint64_t seed, FILE *out)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct outcome outcome = run_seed(options, seed);
        tell(seed, &outcome, out);
        fclose(out);
        _exit(outcome.violations == 0 ? 0 : EXIT_VIOLATION);
    }
    int status = -1;
    bool good = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                WEXITSTATUS(status) == 0;
    if (!good) {
        fprintf(stderr, "seed %" PRIu64 " failed: quorate-sim --seed %" PRIu64 " --show\n", seed,
                seed);
    }
    return good;
}

static int run_range(const struct options *options)
{
    FILE *out = options->json == NULL ? stdout : fopen(options->json, "a");
    uint64_t failed = 0;
    if (out == NULL) {
        perror(options->json);
        return EXIT_USAGE;
    }
    for (uint64_t seed = options->first_seed; seed <= options->last_seed; seed++) {
        failed += run_apart(options, seed, out) ? 0 : 1;
    }
    fprintf(stderr, "%" PRIu64 " of %" PRIu64 " seeds failed\n", failed,
            options->last_seed - options->first_seed + 1);
    return failed == 0 ? 0 : EXIT_VIOLATION;
}

/* ---- options ---- */

static int usage(const char *wrong)
{
    fprintf(stderr,
            "quorate-sim: %s\n"
            "usage: quorate-sim --seed N [--show] [--repeat K] | --seeds A..B [--json FILE]\n"
            "       [--nodes N] [--puts N] [--plant N]\n",
            wrong);
    return EXIT_USAGE;
}

static bool take_range(const char *text, struct options *options)
{
    char *end;
    options->first_seed = strtoull(text, &end, 10);
    if (strncmp(end, "..", 2) != 0) {
        return false;
    }
    options->last_seed = strtoull(end + 2, &end, 10);
    options->is_range = true;
    return *end == '\0' && options->last_seed >= options->first_seed;
}

static bool take_option(const char *name, const char *value, struct options *options)
{
    uint64_t number = strtoull(value, NULL, 10);
    if (strcmp(name, "--seed") == 0) {
        options->first_seed = number;
    } else if (strcmp(name, "--seeds") == 0) {
        return take_range(value, options);
    } else if (strcmp(name, "--repeat") == 0) {
        options->repeat = number;
    } else if (strcmp(name, "--nodes") == 0) {
        options->nodes = (int)number;
        return number >= 1 && number <= SIM_NODES_MAX;
    } else if (strcmp(name, "--puts") == 0) {
        options->puts = number;
    } else if (strcmp(name, "--plant") == 0) {
        plant_on = (int)number;
        return number < PLANT_COUNT;
    } else if (strcmp(name, "--json") == 0) {
        options->json = value;
    } else {
        return false;
    }
    return true;
}

/* What a library holds for a life that was ended is lost, as it is with a process. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

int main(int argc, char **argv)
{
    struct options options = {.first_seed = 1, .repeat = 1, .puts = 200, .nodes = 3};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--show") == 0) {
            options.show = true;
        } else if (i + 1 >= argc || !take_option(argv[i], argv[i + 1], &options)) {
            return usage(argv[i]);
        } else {
            i++;
        }
    }
    return options.is_range ? run_range(&options) : run_one(&options);
}
