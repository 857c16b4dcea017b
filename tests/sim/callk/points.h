/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All k: a scenario is run once with nothing failing; at each call that may fail the process forks,
 * and the child goes on with that call failed, to the end. Since worlds repeat exactly, this is
 * what a fresh world that fails at the same call does; a share of the points is run afresh to see
 * it.
 */
#ifndef TESTS_SIM_CALLK_POINTS_H
#define TESTS_SIM_CALLK_POINTS_H

#include "tests/sim/callk/run.h"

#define POINTS_JOBS_MAX 16u

enum mode { MODE_ONCE, MODE_FOR_EVER, MODE_COUNT };
extern const char *const MODE_TEXTS[MODE_COUNT];

struct point {
    enum failure failure;
    enum mode mode;
    uint64_t k; /* from 1 */
};

/* What came of the points of one scenario, failure and mode. */
struct tally {
    uint64_t points;  /* all k */
    uint64_t same;    /* of these: known by the one before, which left the same world */
    uint64_t ended;   /* the member ended itself with a message that names what failed */
    uint64_t unready; /* of these: also, or only, a start */
    uint64_t failed;  /* a rule was broken */
};

struct points_options {
    uint64_t seed;
    uint32_t jobs;
    uint32_t failures;    /* FAILURE_BIT; what is not in it is left out */
    uint64_t afresh_each; /* every n-th point also in a fresh world; 0: none */
    bool every;           /* also those that are known by the one before */
};

struct points_outcome {
    struct tally tallies[FAILURE_COUNT][MODE_COUNT];
    uint64_t afresh; /* that took the same course */
    double seconds;
    bool is_good;
};

void points_run(const struct callk_scenario *scenario, const struct points_options *options,
                struct points_outcome *out);

/* One point in a fresh world, in this process. */
void points_run_one(const struct callk_scenario *scenario, uint64_t seed, const struct point *point,
                    bool show, struct callk_outcome *out);

#endif
