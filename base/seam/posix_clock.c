/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's clocks behind the clock seam. */
#include <time.h>

#include "base/assert.h"
#include "base/seam/clock.h"

static uint64_t monotonic_ns(void *ctx)
{
    (void)ctx;
    struct timespec now;
    ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int64_t wall_ns(void *ctx)
{
    (void)ctx;
    struct timespec now;
    ASSERT(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + (int64_t)now.tv_nsec;
}

const struct clock_seam *clock_posix(void)
{
    static const struct clock_seam clock = {NULL, monotonic_ns, wall_ns};
    return &clock;
}
