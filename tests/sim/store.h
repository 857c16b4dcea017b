/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rot in a store of the simulated disk. As with the store that is shipped, each record has its
 * checksum: whoever reads one that rotted gets E_CORRUPT. One that is written anew or removed is
 * sound again; a copy of the store takes its rot along.
 */
#ifndef TESTS_SIM_STORE_H
#define TESTS_SIM_STORE_H

#include "base/rng.h"
#include "engine/mvcc/store.h"
#include "tests/sim/disk.h"

/* A record of the store at path, mostly of table key. False: there is no store, or nothing in it.
 * Tells which it was, for the story. */
bool sim_store_rot(struct sim_disk *disk, const char *path, struct rng *rng, char *out_what,
                   size_t what_size);

/* How many records of that table have rotted and are still there. */
uint32_t sim_store_rotten(struct sim_disk *disk, const char *path, enum store_table table);

#endif
