/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to make a right history wrong. */
#ifndef TESTS_UNIT_CHECK_LIB_MUTATIONS_H
#define TESTS_UNIT_CHECK_LIB_MUTATIONS_H

#include "base/rng.h"
#include "tests/check/check.h"

struct mutation {
    const char *name;
    enum check_name rule; /* the one that is expected to be said, maybe among others */
    /* Changes one thing so that no store can have answered so; false: there is nothing fit to be
     * changed. The history was watched whole. */
    bool (*apply)(struct history *history, struct rng *rng);
};

extern const struct mutation MUTATIONS[];
extern const size_t MUTATION_COUNT;

#endif
