/* SPDX-License-Identifier: Apache-2.0 */
/* The clock seam: time as the shell gives it to the cores. The simulator has its own. */
#ifndef BASE_SEAM_CLOCK_H
#define BASE_SEAM_CLOCK_H

#include "base/defs.h"

struct clock_seam {
    void *ctx;
    uint64_t (*monotonic_ns)(void *ctx); /* never goes back; for every decision */
    int64_t (*wall_ns)(void *ctx);       /* since 1970; for ids, log lines and certificates only */
};

/* The machine's clocks. */
const struct clock_seam *clock_posix(void);

static inline uint64_t clock_monotonic_ms(const struct clock_seam *clock)
{
    return clock->monotonic_ns(clock->ctx) / 1000000u;
}

#endif
