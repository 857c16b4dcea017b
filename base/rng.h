/* SPDX-License-Identifier: Apache-2.0 */
/* xoshiro256**: random numbers that repeat from a seed. Not for secrets. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include "base/defs.h"

struct rng {
    uint64_t state[4];
};

/* Any seed is good, 0 included. */
void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);

/* Uniform in [0, bound); bound must not be 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

#endif
