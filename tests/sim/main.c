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
#include "tests/sim/scenario.h"
#include "tests/sim/world.h"

#define EXIT_VIOLATION 1
#define EXIT_USAGE     2

/* All scenarios by name; the first one is run when none is named. */
static const struct scenario *const SCENARIOS[] = {&SCENARIO_BASIC};

/* ---- running ---- */

static struct sim_outcome run_seed(const struct sim_options *options, uint64_t seed)
{
    struct sim_outcome outcome = {0};
    struct timespec before;
    struct timespec after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    sim_world_begin(seed);
    sim_show(options->show);
    options->scenario->run(options, &outcome);
    outcome.virtual_ns = sim_now_ns();
    outcome.events = sim_event_count();
    outcome.hash = sim_trace_hash();
    outcome.violations = sim_violations();
    sim_world_end();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    outcome.seconds =
        (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    return outcome;
}

static void tell(uint64_t seed, const struct sim_outcome *outcome, FILE *out)
{
    fprintf(out,
            "{\"seed\":%" PRIu64 ",\"hash\":\"%016" PRIx64 "\",\"violations\":%" PRIu64
            ",\"events\":%" PRIu64 ",\"calls\":%" PRIu64 ",\"virtual_s\":%.3f,\"cpu_s\":%.3f}\n",
            seed, outcome->hash, outcome->violations, outcome->events, outcome->calls,
            (double)outcome->virtual_ns / 1e9, outcome->seconds);
    fflush(out);
}

static int run_one(const struct sim_options *options)
{
    struct sim_outcome first = {0};
    for (uint64_t i = 0; i < options->repeat; i++) {
        /* What is read before it was written would make a difference. */
        sim_memory_fill(options->repeat > 1 ? (int)(i * 37 % 251) : -1);
        struct sim_outcome outcome = run_seed(options, options->first_seed);
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
static bool run_apart(const struct sim_options *options, uint64_t seed, FILE *out)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct sim_outcome outcome = run_seed(options, seed);
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

static int run_range(const struct sim_options *options)
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
            "       [--scenario NAME] [--nodes N] [--clients N] [--puts N] [--plant N]\n",
            wrong);
    return EXIT_USAGE;
}

static bool take_range(const char *text, struct sim_options *options)
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

static const struct scenario *scenario_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(SCENARIOS); i++) {
        if (strcmp(SCENARIOS[i]->name, name) == 0) {
            return SCENARIOS[i];
        }
    }
    return NULL;
}

static bool take_option(const char *name, const char *value, struct sim_options *options)
{
    uint64_t number = strtoull(value, NULL, 10);
    if (strcmp(name, "--scenario") == 0) {
        options->scenario = scenario_of(value);
        return options->scenario != NULL;
    }
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
    } else if (strcmp(name, "--clients") == 0) {
        options->clients = (int)number;
        return number >= 1 && number <= SIM_CLIENTS_MAX;
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

int main(int argc, char **argv)
{
    struct sim_options options = {.first_seed = 1,
                                  .repeat = 1,
                                  .puts = 200,
                                  .nodes = 3,
                                  .clients = 1,
                                  .scenario = SCENARIOS[0]};
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
