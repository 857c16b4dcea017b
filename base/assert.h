/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions that stay in release builds: a broken invariant stops the process, it never goes on.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#include "base/defs.h"

/* Prints the failed condition to stderr and aborts. */
BASE_NORETURN void base_assert_fail(const char *file, int line, const char *condition);

#define ASSERT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            base_assert_fail(__FILE__, __LINE__, #cond);                                           \
        }                                                                                          \
    } while (0)

#endif
