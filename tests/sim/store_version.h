/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One state of all tables of a simulated store, and the pages that LMDB would need for it. Counted
 * by the object on the disk, its views and its clones; who holds it alone may change it in place.
 */
#ifndef TESTS_SIM_STORE_VERSION_H
#define TESTS_SIM_STORE_VERSION_H

#include "engine/mvcc/store.h"
#include "tests/sim/store_tree.h"

#define STORE_PAGE_BYTES 4096u

struct version {
    uint32_t refs;
    struct store_tree tables[STORE_TABLE_COUNT];
    uint64_t leaf_bytes[STORE_TABLE_COUNT];
    uint64_t overflow_pages; /* of long values */
};

struct version *version_new(void); /* empty, one reference */
struct version *version_ref(struct version *version);
void version_unref(struct version *version); /* NULL allowed */

/* Another one with the same contents, to be changed: O(1). */
struct version *version_branch(const struct version *version);

void version_apply(struct version *version, const struct store_batch *batch);

/* Pages in use, and those that one value takes beside its leaf. */
uint64_t version_pages(const struct version *version);
uint64_t version_overflow(size_t key_size, size_t value_size);

uint64_t version_hash(const struct version *version); /* of all keys and values */

#endif
