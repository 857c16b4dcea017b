/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the other server is known to answer otherwise, and why. A difference that no row fits ends
 * the run; so does a row that nothing fitted, since then it hides nothing but future mistakes.
 */
#ifndef TESTS_DIFFERENTIAL_KNOWN_H
#define TESTS_DIFFERENTIAL_KNOWN_H

#include "tests/differential/ops.h"

struct known {
    const char *name, *reason;
    /* Whether this row explains that op was answered so by ours and so by etcd. */
    bool (*fits)(const struct op *op, const char *ours, const char *theirs);
    bool is_rare; /* need not occur in each run */
};

/* The rows for etcd of that version ("3.4", "3.6"), ended by one without name; NULL: no such table.
 */
const struct known *known_of(const char *version);

#endif
