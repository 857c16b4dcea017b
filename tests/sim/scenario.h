/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens in a world: a scenario starts members, has clients talk to them, breaks things, and
 * says sim_violation when a rule was broken. main.c holds the table of scenarios, the workload, the
 * nemesis and the checks are modules that a scenario calls.
 */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include "tests/sim/world.h"

#define SIM_CLIENTS_MAX 256

struct scenario;

struct sim_options {
    const struct scenario *scenario;
    uint64_t first_seed, last_seed;
    uint64_t repeat; /* of one seed in one process: the traces must be equal */
    uint64_t puts;
    int nodes, clients;
    bool show, is_range;
    const char *json;
};

/* What one world came to; calls is the scenario's to count, the rest is main.c's. */
struct sim_outcome {
    uint64_t hash, violations, events, calls, virtual_ns;
    double seconds;
};

struct scenario {
    const char *name;
    /* Between sim_world_begin and sim_world_end. */
    void (*run)(const struct sim_options *options, struct sim_outcome *outcome);
};

/* Writes by several clients, the leader dies in the middle of them and comes back, and everything
 * that was acknowledged is there. With fewer than three members: a power cut. */
extern const struct scenario SCENARIO_BASIC;

#endif
