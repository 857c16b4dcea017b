/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing; 0 marks an empty slot. */
#include "tests/crash/hashset.h"

#include "base/alloc.h"

#define CAPACITY_FIRST 1024u

static void grow(struct hash_set *set)
{
    struct hash_set bigger = {.capacity = set->capacity == 0 ? CAPACITY_FIRST : set->capacity * 2};
    bigger.slots = mem_array(bigger.capacity, sizeof(*bigger.slots));
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i] != 0) {
            (void)hash_set_put(&bigger, set->slots[i]);
        }
    }
    mem_free(set->slots);
    *set = bigger;
}

bool hash_set_put(struct hash_set *set, uint64_t hash)
{
    hash |= 1; /* never 0 */
    if (set->count * 2 >= set->capacity) {
        grow(set);
    }
    size_t at = (size_t)(hash * 0x9e3779b97f4a7c15u >> 20) & (set->capacity - 1);
    while (set->slots[at] != 0) {
        if (set->slots[at] == hash) {
            return false;
        }
        at = (at + 1) & (set->capacity - 1);
    }
    set->slots[at] = hash;
    set->count++;
    return true;
}
