/* SPDX-License-Identifier: Apache-2.0 */
/* The words of the closed set of reasons. */
#include "controller/model/reason.h"

#include "base/assert.h"

static const char *const TEXTS[] = {
#define X(name) #name,
    CONDITION_REASONS(X)
#undef X
};
_Static_assert(ARRAY_COUNT(TEXTS) == REASON_COUNT, "every reason has a word");

const char *reason_text(enum condition_reason reason)
{
    ASSERT(reason < REASON_COUNT);
    return TEXTS[reason];
}
