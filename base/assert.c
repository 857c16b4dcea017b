/* SPDX-License-Identifier: Apache-2.0 */
/* Assertion failures: one line, then abort (a core dump, and a restart by whoever supervises us).
 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void base_assert_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, condition);
    abort();
}
