/* SPDX-License-Identifier: Apache-2.0 */
/* How many points there must be at least, so that the suite cannot shrink without being noticed. */
#ifndef TESTS_SIM_CALLK_FLOORS_H
#define TESTS_SIM_CALLK_FLOORS_H

#include "tests/sim/callk/run.h"

#define FLOOR_SEED    1u
#define FLOOR_PERCENT 90u /* of what there was when they were frozen */

uint64_t floors_of(const char *scenario, enum failure failure);

#endif
