/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster under everything at once: safety while faults come, liveness when they have ended. */
#ifndef TESTS_SIM_FAULTS_SCENARIO_FAULTS_H
#define TESTS_SIM_FAULTS_SCENARIO_FAULTS_H

#include "tests/sim/faults/nemesis.h"

/* What is decided before the world begins; borrowed for the run. */
struct faults_plan {
    const struct fault *faults;
    uint32_t fault_count;
    struct nemesis_options options;
    uint64_t operations;
    uint64_t more_seed;  /* of what came later than the rest: that goes on as it was */
    const char *history; /* see crew.h */
};

/* What came of it; violations are the world's to count (sim_violations). */
struct faults_result {
    uint64_t faults[FAULT_COUNT];
    uint64_t operations, unknown, watch_events, hashes, undecided;
    uint64_t promotions, restarts, snapshots, messages, messages_lost, elections, views;
};

/* Between sim_world_begin and sim_world_end. */
void faults_run(const struct faults_plan *plan, struct faults_result *out_result);

#endif
