/* SPDX-License-Identifier: Apache-2.0 */
/* Slot and generation tables: the generation lives in the upper half and is never 0. */
#include "base/net/handle.h"

#include "base/alloc.h"
#include "base/assert.h"

#define HANDLE_NO_SLOT UINT32_MAX

struct handle_slot {
    void *object; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

void handle_table_init(struct handle_table *table)
{
    *table = (struct handle_table){.free_head = HANDLE_NO_SLOT};
}

void handle_table_free(struct handle_table *table)
{
    mem_free(table->slots);
    handle_table_init(table);
}

static void handle_table_grow(struct handle_table *table)
{
    uint32_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
    ASSERT(capacity > table->capacity);
    table->slots = mem_realloc(table->slots, capacity * sizeof(*table->slots));
    for (uint32_t i = capacity; i-- > table->capacity;) {
        table->slots[i] = (struct handle_slot){NULL, 1, table->free_head};
        table->free_head = i;
    }
    table->capacity = capacity;
}

uint64_t handle_add(struct handle_table *table, void *object)
{
    ASSERT(object != NULL);
    if (table->free_head == HANDLE_NO_SLOT) {
        handle_table_grow(table);
    }
    uint32_t index = table->free_head;
    struct handle_slot *slot = &table->slots[index];
    table->free_head = slot->next_free;
    slot->object = object;
    table->count++;
    return (uint64_t)slot->generation << 32 | index;
}

static struct handle_slot *handle_slot_of(const struct handle_table *table, uint64_t handle)
{
    uint32_t index = (uint32_t)handle;
    uint32_t generation = (uint32_t)(handle >> 32);
    if (index >= table->capacity || table->slots[index].generation != generation) {
        return NULL;
    }
    return &table->slots[index];
}

void *handle_get(const struct handle_table *table, uint64_t handle)
{
    const struct handle_slot *slot = handle_slot_of(table, handle);
    return slot == NULL ? NULL : slot->object;
}

void handle_remove(struct handle_table *table, uint64_t handle)
{
    struct handle_slot *slot = handle_slot_of(table, handle);
    ASSERT(slot != NULL && slot->object != NULL);
    slot->object = NULL;
    slot->generation = slot->generation == UINT32_MAX ? 1 : slot->generation + 1;
    slot->next_free = table->free_head;
    table->free_head = (uint32_t)handle;
    table->count--;
}
