/* SPDX-License-Identifier: Apache-2.0 */
/* A set of 64-bit hashes. */
#ifndef TESTS_CRASH_HASHSET_H
#define TESTS_CRASH_HASHSET_H

#include "base/defs.h"

/* Owns slots; begin with zeros, free slots with mem_free. */
struct hash_set {
    uint64_t *slots;
    size_t count, capacity;
};

/* True when it was not in it. */
bool hash_set_put(struct hash_set *set, uint64_t hash);

#endif
