/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that are held for somebody, of two kinds: what he asked and what he has not taken yet. A
 * count for each, and one for all. All functions are for any thread; NULL counts nothing.
 */
#ifndef BASE_HELD_H
#define BASE_HELD_H

#include <stdatomic.h>

#include "base/defs.h"

enum held_kind { HELD_REQUESTS, HELD_ANSWERS, HELD_KINDS };

/* What all together hold. Zero it before use; it outlives the counts. */
struct held_sum {
    _Atomic uint64_t bytes[HELD_KINDS];
};

/* The count of one; freed with its last reference. */
struct held;

/* Gives one reference. */
struct held *held_new(struct held_sum *sum);

/* Gives held again. */
struct held *held_ref(struct held *held);
void held_unref(struct held *held);

void held_add(struct held *held, enum held_kind kind, size_t bytes);
void held_sub(struct held *held, enum held_kind kind, size_t bytes);
uint64_t held_bytes(const struct held *held, enum held_kind kind);
uint64_t held_sum_bytes(const struct held_sum *sum, enum held_kind kind);

#endif
