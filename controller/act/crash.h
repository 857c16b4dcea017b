/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests only: kills the process with SIGKILL just before or just after its k-th change of the
 * world (API writes and membership calls alike), so that a test can try every such place.
 */
#ifndef CONTROLLER_ACT_CRASH_H
#define CONTROLLER_ACT_CRASH_H

#include "base/defs.h"
#include "base/err.h"

#define ACT_CRASH_ENV "QUORATE_OPERATOR_CRASH_AT"

/* at 0: never. */
struct act_crash {
    uint64_t at;
    bool after;
    uint64_t count;
};

/* Reads "k:before" or "k:after" with k from 1; NULL or "" is never. */
BASE_MUST_CHECK int act_crash_parse(const char *text, struct act_crash *out, struct err *err);

/* Call around each change. */
void act_crash_before(struct act_crash *crash);
void act_crash_after(struct act_crash *crash);

#endif
