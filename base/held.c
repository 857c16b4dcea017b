/* SPDX-License-Identifier: Apache-2.0 */
/* Two counters; the reference count keeps the one alive while bytes of it are on their way. */
#include "base/held.h"

#include "base/alloc.h"
#include "base/assert.h"

struct held {
    _Atomic uint32_t refs;
    _Atomic uint64_t bytes[HELD_KINDS];
    struct held_sum *sum;
};

struct held *held_new(struct held_sum *sum)
{
    struct held *held = mem_zalloc(sizeof(*held));
    held->refs = 1;
    held->sum = sum;
    return held;
}

struct held *held_ref(struct held *held)
{
    if (held != NULL) {
        atomic_fetch_add_explicit(&held->refs, 1, memory_order_relaxed);
    }
    return held;
}

void held_unref(struct held *held)
{
    if (held != NULL && atomic_fetch_sub_explicit(&held->refs, 1, memory_order_acq_rel) == 1) {
        ASSERT(held->bytes[HELD_REQUESTS] == 0 && held->bytes[HELD_ANSWERS] == 0);
        mem_free(held);
    }
}

void held_add(struct held *held, enum held_kind kind, size_t bytes)
{
    if (held != NULL) {
        atomic_fetch_add_explicit(&held->bytes[kind], bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&held->sum->bytes[kind], bytes, memory_order_relaxed);
    }
}

void held_sub(struct held *held, enum held_kind kind, size_t bytes)
{
    if (held != NULL) {
        uint64_t before =
            atomic_fetch_sub_explicit(&held->bytes[kind], bytes, memory_order_relaxed);
        ASSERT(before >= bytes);
        atomic_fetch_sub_explicit(&held->sum->bytes[kind], bytes, memory_order_relaxed);
    }
}

uint64_t held_bytes(const struct held *held, enum held_kind kind)
{
    return held == NULL ? 0
                        : atomic_load_explicit(&((struct held *)(uintptr_t)held)->bytes[kind],
                                               memory_order_relaxed);
}

uint64_t held_sum_bytes(const struct held_sum *sum, enum held_kind kind)
{
    return atomic_load_explicit(&((struct held_sum *)(uintptr_t)sum)->bytes[kind],
                                memory_order_relaxed);
}
