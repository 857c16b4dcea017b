/* SPDX-License-Identifier: Apache-2.0 */
/* Runs scenarios: records them, lays out the images, has them judged, and counts. */
#ifndef TESTS_CRASH_RUNNER_H
#define TESTS_CRASH_RUNNER_H

#include "tests/crash/scenario.h"

#define ANY UINT32_MAX

/* The subset number of the first damage (struct scenario, spoils). */
#define SPOIL_FIRST 100000u

struct options {
    const struct scenario *only; /* NULL: all */
    enum crash_lie lie;
    uint32_t point, subset;             /* ANY: all */
    uint32_t again_point, again_subset; /* of a second power cut, during the start; ANY: all */
    const char *keep;
    uint32_t failures_max;
    bool prove, quiet;
};

struct totals {
    uint64_t distinct, judged, failures;
};

const char *lie_name(enum crash_lie lie);

/* Runs one in folders below work, which it leaves empty, and adds to the totals. */
void scenario_run(const struct options *options, const struct scenario *scenario, const char *work,
                  struct totals *io_totals);

/* Installs what says how to repeat an image on which the engine ends the process. */
void runner_watch_process(void);
void runner_unwatch_process(void);

#endif
