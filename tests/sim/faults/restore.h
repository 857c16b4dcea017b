/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot that a client saved in the middle of everything, restored: a cluster of its own begins
 * with it, on fresh disks. What was acknowledged up to the snapshot's revision must be in it; what
 * came later is given up on purpose. So what it shows of that revision and of those before goes
 * into the history of the old cluster, as reads made while the snapshot was taken.
 */
#ifndef TESTS_SIM_FAULTS_RESTORE_H
#define TESTS_SIM_FAULTS_RESTORE_H

#include "tests/check/history.h"
#include "tests/sim/faults/nemesis.h"

/* When no member runs and no invariant looks any more; the slots' disks are forgotten. */
void restore_world(const struct nemesis_saved *saved, struct history *history, struct rng *rng);

#endif
