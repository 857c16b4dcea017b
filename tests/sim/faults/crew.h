/* SPDX-License-Identifier: Apache-2.0 */
/* Runs worlds: one here, or many, each in a process of its own, some at a time. */
#ifndef TESTS_SIM_FAULTS_CREW_H
#define TESTS_SIM_FAULTS_CREW_H

#include <stdio.h>

#include "tests/sim/faults/scenario_faults.h"

#define WORLD_FAULTS_MAX 1000u
#define CREW_JOBS_MAX    64u
#define CHECK_NAME_BYTES 32u

/* What decides a world beside its seed. */
struct world_options {
    uint32_t faults;
    uint64_t operations;
    bool skip[WORLD_FAULTS_MAX + NEMESIS_MORE_MAX]; /* faults that are left out */
    bool show;
    const char *history; /* a file for what clients saw, in the text form; NULL: none */
};

struct world_outcome {
    struct faults_result result;
    uint64_t hash, violations, events, virtual_ns;
    double seconds;
    char first_check[CHECK_NAME_BYTES]; /* what noticed first; "" when nothing did */
};

void world_run(const struct world_options *options, uint64_t seed, struct world_outcome *out);

/* One line of JSON. */
void world_print(uint64_t seed, const struct world_outcome *outcome, FILE *out);

/* As world_run, in a process of its own with nothing printed: an assertion that fails there, or a
 * world that hangs, is a violation too. */
void world_run_apart(const struct world_options *options, uint64_t seed, struct world_outcome *out);

struct crew_options {
    uint64_t first_seed, last_seed;
    uint32_t jobs;
    uint64_t seconds; /* no world begins later than that; 0: no limit */
    const char *json; /* NULL: nowhere */
    bool until_failure, quiet;
};

/* True when no rule was broken in any world. Its last line on stdout sums up. */
bool crew_run(const struct crew_options *options, const struct world_options *world);

#endif
