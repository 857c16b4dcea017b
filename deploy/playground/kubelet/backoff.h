/* SPDX-License-Identifier: Apache-2.0 */
/* How long a container that ended waits before it is started again. PURE. */
#ifndef PLAYGROUND_KUBELET_BACKOFF_H
#define PLAYGROUND_KUBELET_BACKOFF_H

#include "base/defs.h"

#define BACKOFF_FIRST_MS 1000u
#define BACKOFF_MAX_MS   10000u
#define BACKOFF_RESET_MS 60000u /* a life this long ends the series */

/* The wait after the count-th end in a series (1: the first). */
static inline uint64_t backoff_ms(uint32_t count)
{
    uint64_t wait_ms = BACKOFF_FIRST_MS;
    for (uint32_t i = 1; i < count && wait_ms < BACKOFF_MAX_MS; i++) {
        wait_ms *= 2;
    }
    return BASE_MIN(wait_ms, (uint64_t)BACKOFF_MAX_MS);
}

/* The position in the series of an end that came after a life of lived_ms. */
static inline uint32_t backoff_next(uint32_t count, uint64_t lived_ms)
{
    return lived_ms >= BACKOFF_RESET_MS ? 1 : count + 1;
}

#endif
