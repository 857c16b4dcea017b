/* SPDX-License-Identifier: Apache-2.0 */
/* Frozen by `quorate-callk --floors`; in the order of FAILURES. */
#include "tests/sim/callk/floors.h"

#include <string.h>

static const struct {
    const char *scenario;
    uint64_t points[FAILURE_COUNT];
} FLOORS[] = {
    {"one", {5736, 56, 11, 34, 52, 4, 1, 13, 69, 69, 0, 0}},
    {"three-leader", {7070, 35, 5, 48, 62, 5, 1, 20, 191, 191, 0, 0}},
    {"three-follower", {8453, 58, 11, 45, 64, 5, 2, 18, 153, 153, 0, 0}},
    {"snapshot-receiver", {4011, 68, 14, 28, 54, 8, 9, 9, 90, 90, 0, 0}},
    {"snapshot-sender", {8611, 38, 5, 50, 64, 6, 2, 19, 203, 203, 0, 0}},
    {"members-newcomer", {1176, 41, 8, 20, 37, 6, 8, 6, 119, 119, 0, 0}},
    {"members-leader", {5734, 33, 5, 30, 43, 3, 0, 14, 187, 187, 0, 0}},
    {"recovery", {1756, 27, 6, 15, 24, 1, 0, 4, 31, 31, 0, 0}},
    {"recovery-three", {461, 23, 6, 7, 13, 0, 0, 1, 24, 24, 0, 0}},
    {"maintenance", {6712, 31, 5, 31, 45, 7, 4, 12, 65, 65, 0, 0}},
    {"full", {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30, 30}},
    {"full-leader", {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 36, 36}},
    {"full-follower", {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 37, 37}},
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
