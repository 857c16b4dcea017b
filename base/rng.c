/* SPDX-License-Identifier: Apache-2.0 */
/* xoshiro256** seeded by splitmix64. */
#include "base/rng.h"

#include "base/assert.h"

static uint64_t rotate_left(uint64_t value, int count)
{
    return value << count | value >> (64 - count);
}

void rng_seed(struct rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t mixed = seed;
        mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
        mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
        rng->state[i] = mixed ^ mixed >> 31;
    }
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    ASSERT(bound != 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value = rng_next(rng);
    while (value >= limit) {
        value = rng_next(rng);
    }
    return value % bound;
}
