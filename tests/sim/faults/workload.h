/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clients of a simulated cluster: puts of values that are never written twice, reads of all
 * kinds, removals, transactions, leases, compactions, watches that resume where they broke. All
 * that they do and see goes into a history (tests/check) for the checker.
 */
#ifndef TESTS_SIM_WORKLOAD_H
#define TESTS_SIM_WORKLOAD_H

#include "tests/check/history.h"
#include "tests/sim/world.h"

#define WORKLOAD_CLIENTS_MAX  8u
#define WORKLOAD_WATCHERS_MAX 6u

struct workload_options {
    uint32_t clients, watchers; /* the first watcher sees everything, from the first revision on */
    uint32_t keys;
    uint64_t think_ns;   /* mean pause of a client between two operations */
    uint64_t timeout_ns; /* how long a client waits */
    uint64_t operations; /* in all, without those at the end */
    bool leases, compactions, big_values;
    int (*pick)(struct rng *rng); /* the node for a call; SIM_NOBODY: there is none */
};

struct workload; /* one per world */

/* history is borrowed. */
struct workload *workload_new(const struct workload_options *options, struct history *history);
void workload_free(struct workload *workload);
void workload_start(struct workload *workload);

/* The clients make so many more operations. */
void workload_allow(struct workload *workload, uint64_t operations);

/* True once all operations have been made. */
bool workload_is_done(const struct workload *workload);

/* From now on each client makes one more put and one read of everything, tried again until they
 * are answered; the watchers go on. True at last when all clients and the watcher of everything
 * have seen the end. */
void workload_finish(struct workload *workload);
bool workload_is_finished(const struct workload *workload);

/* The greatest revision that anybody saw. */
int64_t workload_revision(const struct workload *workload);

struct workload_counts {
    uint64_t ok, refused, unknown, events, watches;
};
void workload_counts(const struct workload *workload, struct workload_counts *out);

/* What clients still wait for, for the story of a run that does not end. */
void workload_explain(const struct workload *workload);

#endif
