/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for objects that may die while another thread still talks about them: a 64-bit handle is
 * slot and generation, and a dead object's handle gives NULL for ever. Used on one thread only.
 */
#ifndef BASE_NET_HANDLE_H
#define BASE_NET_HANDLE_H

#include "base/defs.h"

#define HANDLE_NONE UINT64_C(0)

struct handle_slot;

/* Owns its slots, borrows the objects. */
struct handle_table {
    struct handle_slot *slots;
    uint32_t capacity;
    uint32_t free_head;
    uint32_t count;
};

void handle_table_init(struct handle_table *table);
void handle_table_free(struct handle_table *table);

/* Gives a new handle, never HANDLE_NONE. */
uint64_t handle_add(struct handle_table *table, void *object);

/* The object, or NULL when it was removed. */
void *handle_get(const struct handle_table *table, uint64_t handle);
void handle_remove(struct handle_table *table, uint64_t handle);

#endif
