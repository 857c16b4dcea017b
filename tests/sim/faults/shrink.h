/* SPDX-License-Identifier: Apache-2.0 */
/* From a world that fails to the few faults that it needs to fail. */
#ifndef TESTS_SIM_FAULTS_SHRINK_H
#define TESTS_SIM_FAULTS_SHRINK_H

#include "tests/sim/faults/crew.h"

/* Leaves out faults, halves first, as long as the world still fails; prints what is left and the
 * command that runs it. False: it does not fail at all. */
bool shrink_run(const struct world_options *options, uint64_t seed);

#endif
