/* SPDX-License-Identifier: Apache-2.0 */
/* Growing waits with jitter, for everything that tries again. Pure: random numbers come as an
 * argument. */
#ifndef CONTROLLER_KUBE_BACKOFF_H
#define CONTROLLER_KUBE_BACKOFF_H

#include "base/defs.h"
#include "base/rng.h"

/*
 * The wait before attempt number attempt (1 is the first after a failure): base_ms doubling up to
 * max_ms, then spread uniformly over [half, whole], so that many waiters do not come back together.
 */
static inline uint64_t kube_backoff_ms(uint32_t attempt, uint64_t base_ms, uint64_t max_ms,
                                       struct rng *rng)
{
    uint64_t wait_ms = base_ms;
    for (uint32_t i = 1; i < attempt && wait_ms < max_ms; i++) {
        wait_ms *= 2;
    }
    wait_ms = BASE_MIN(wait_ms, max_ms);
    uint64_t half_ms = wait_ms / 2;
    return wait_ms - rng_below(rng, half_ms + 1);
}

#endif
