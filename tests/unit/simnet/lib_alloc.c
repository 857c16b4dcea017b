/* SPDX-License-Identifier: Apache-2.0 */
/* base/alloc as it is, on memory that belongs to a life: what a dead life still had is freed, so
 * that whoever touches it afterwards is caught. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "lib_world.h"

struct block {
    struct list node;
    size_t size;
    size_t pad;
};

static struct list world_region = {&world_region, &world_region};
static struct list *region = &world_region;

void memory_use(struct list *list)
{
    region = list == NULL ? &world_region : list;
}

struct list *memory_now(void)
{
    return region;
}

void memory_drop(struct list *list)
{
    while (!list_empty(list)) {
        struct block *block = LIST_ENTRY(list->next, struct block, node);
        list_remove(&block->node);
        free(block);
    }
}

size_t memory_world_blocks(void)
{
    size_t count = 0;
    LIST_EACH(it, &world_region)
    {
        count++;
    }
    return count;
}

static void *world_calloc(size_t count, size_t size)
{
    struct block *block = calloc(1, sizeof(*block) + count * size);
    if (block == NULL) {
        return NULL;
    }
    block->size = count * size;
    list_append(region, &block->node);
    return block + 1;
}

static void *world_malloc(size_t size)
{
    return world_calloc(1, size);
}

static void world_free(void *data)
{
    if (data != NULL) {
        struct block *block = (struct block *)data - 1;
        list_remove(&block->node);
        free(block);
    }
}

static void *world_realloc(void *data, size_t size)
{
    void *grown = world_malloc(size);
    if (data != NULL) {
        struct block *block = (struct block *)data - 1;
        memcpy(grown, data, block->size < size ? block->size : size);
        world_free(data);
    }
    return grown;
}

#define malloc(size)        world_malloc(size)
#define calloc(count, size) world_calloc(count, size)
#define realloc(data, size) world_realloc(data, size)
#define free(data)          world_free(data)
#include "base/alloc.c" /* NOLINT(bugprone-suspicious-include) */
