/* SPDX-License-Identifier: Apache-2.0 */
/* Frozen by `quorate-callk --floors`; in the order of FAILURES. */
#include "tests/sim/callk/floors.h"

#include <string.h>

static const struct {
    const char *scenario;
    uint64_t points[FAILURE_COUNT];
} FLOORS[] = {
    {"one", {1}},
};

uint64_t floors_of(const char *scenario, enum failure failure)
{
    for (size_t i = 0; i < ARRAY_COUNT(FLOORS); i++) {
        if (strcmp(FLOORS[i].scenario, scenario) == 0) {
            return FLOORS[i].points[failure];
        }
    }
    return 0;
}
