/* SPDX-License-Identifier: Apache-2.0 */
/* All that a store holds, as one number. */
#ifndef TESTS_CRASH_DIGEST_H
#define TESTS_CRASH_DIGEST_H

#include "engine/mvcc/store.h"

/* Depends on every key and value of all tables. A store that cannot be read stops the test. */
uint64_t digest_of_store(const struct store_seam *seam);

#endif
