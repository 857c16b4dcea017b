/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/alloc.h for a world of many nodes: each block belongs to a region (a life, or the world), so
 * that all of a life can be dropped at once. Blocks of one size class come from slabs that are
 * pooled; under AddressSanitizer each block is a malloc of its own in a list, so that nothing hides
 * errors.
 */
#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "tests/sim/sim_internal.h"

#if defined(__SANITIZE_ADDRESS__)
#define MEMORY_PLAIN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEMORY_PLAIN 1
#endif
#endif
#ifndef MEMORY_PLAIN
#define MEMORY_PLAIN 0
#endif

#define MAGIC_LIVE  0x5a17u
#define MAGIC_FREE  0xdeadu
#define CLASS_LARGE UINT16_MAX
#define CLASS_COUNT 44u
#define BLOCK_ALIGN 16u
#define FINE_BYTES  256u /* steps of 16 up to here, then four steps per doubling */
#define FINE_COUNT  (FINE_BYTES / BLOCK_ALIGN)
#define BLOCK_MAX   32768u

#define POOL_BYTES_MAX (64u * 1024u * 1024u)

struct head {
    struct region *owner;
    uint32_t size; /* as asked for */
    uint16_t class;
    uint16_t magic;
};

/* In front of the head of blocks that are mallocs of their own. */
struct large {
    struct list link;
};

struct slab {
    struct slab *next;
    uint32_t class;
    uint32_t used; /* blocks that were ever given out */
};

struct free_block {
    struct head head;
    struct free_block *next;
};

struct region {
    struct free_block *free[CLASS_COUNT];
    struct slab *filling[CLASS_COUNT];
    struct slab *slabs[3]; /* by size of slab */
    struct list large;
    uint64_t live;
};

static const size_t SLAB_BYTES[3] = {16384, 65536, 262144};

static struct {
    struct region *world;
    struct region *current; /* NULL: the world */
    struct slab *pool[3];   /* kept from world to world */
    size_t pool_bytes;
    uint64_t world_calls;
    int depth;
    int fill; /* -1: as it comes */
} memory = {.fill = -1};

_Static_assert(sizeof(struct head) == BLOCK_ALIGN && sizeof(struct large) == BLOCK_ALIGN,
               "blocks are aligned");

/* ---- size classes ---- */

static uint32_t class_of(size_t size)
{
    if (size <= FINE_BYTES) {
        return size == 0 ? 0 : (uint32_t)((size - 1) / BLOCK_ALIGN);
    }
    uint32_t log = 63u - (uint32_t)__builtin_clzll(size - 1);
    uint32_t quarter = (uint32_t)((size - 1) >> (log - 2)) & 3u;
    return FINE_COUNT + (log - 8u) * 4u + quarter;
}

/* Bytes of a block of the class, without its head. */
static size_t class_bytes(uint32_t class)
{
    if (class < FINE_COUNT) {
        return (size_t)(class + 1) * BLOCK_ALIGN;
    }
    uint32_t log = 8u + (class - FINE_COUNT) / 4u;
    uint32_t quarter = (class - FINE_COUNT) % 4u;
    return ((size_t)1 << log) + ((size_t)(quarter + 1) << (log - 2));
}

static unsigned slab_kind(size_t bytes)
{
    return bytes <= 512 ? 0 : bytes <= 4096 ? 1 : 2;
}

/* ---- slabs ---- */

static size_t stride_of(uint32_t class)
{
    return sizeof(struct head) + class_bytes(class);
}

static uint8_t *slab_blocks(struct slab *slab)
{
    return (uint8_t *)slab + sizeof(*slab);
}

static void slab_add(struct region *region, uint32_t class)
{
    unsigned kind = slab_kind(class_bytes(class));
    struct slab *slab = memory.pool[kind];
    if (slab != NULL) {
        memory.pool[kind] = slab->next;
        memory.pool_bytes -= SLAB_BYTES[kind];
    } else {
        slab = aligned_alloc(BLOCK_ALIGN, SLAB_BYTES[kind]);
        ASSERT(slab != NULL);
    }
    slab->class = class;
    slab->used = 0;
    slab->next = region->slabs[kind];
    region->slabs[kind] = slab;
    region->filling[class] = slab;
}

static struct head *take_block(struct region *region, uint32_t class)
{
    struct free_block *reused = region->free[class];
    if (reused != NULL) {
        region->free[class] = reused->next;
        return &reused->head;
    }
    size_t stride = stride_of(class);
    struct slab *slab = region->filling[class];
    size_t room = SLAB_BYTES[slab_kind(class_bytes(class))] - sizeof(struct slab);
    if (slab == NULL || (slab->used + 1) * stride > room) {
        slab_add(region, class);
        slab = region->filling[class];
    }
    return (struct head *)(void *)(slab_blocks(slab) + stride * slab->used++);
}

static struct head *take_large(struct region *region, size_t size)
{
    struct large *large = malloc(sizeof(*large) + sizeof(struct head) + BASE_MAX(size, 1u));
    ASSERT(large != NULL);
    list_append(&region->large, &large->link);
    return (struct head *)(void *)(large + 1);
}

/* ---- regions ---- */

struct region *region_new(void)
{
    struct region *region = calloc(1, sizeof(*region));
    ASSERT(region != NULL);
    list_init(&region->large);
    return region;
}

void region_free(struct region *region)
{
    for (unsigned kind = 0; kind < ARRAY_COUNT(region->slabs); kind++) {
        while (region->slabs[kind] != NULL) {
            struct slab *slab = region->slabs[kind];
            region->slabs[kind] = slab->next;
            if (memory.pool_bytes >= POOL_BYTES_MAX) {
                free(slab);
                continue;
            }
            slab->next = memory.pool[kind];
            memory.pool[kind] = slab;
            memory.pool_bytes += SLAB_BYTES[kind];
        }
    }
    while (!list_empty(&region->large)) {
        struct large *large = LIST_ENTRY(region->large.next, struct large, link);
        list_remove(&large->link);
        free(large);
    }
    free(region);
}

uint64_t region_live(const struct region *region)
{
    return region->live;
}

static void tell_block(const struct head *head)
{
    const uint8_t *data = (const uint8_t *)(head + 1);
    char text[33] = {0};
    for (size_t i = 0; i < BASE_MIN(head->size, 32u); i++) {
        text[i] = data[i] >= ' ' && data[i] < 127 ? (char)data[i] : '.';
    }
    story_tell("  left: %u bytes \"%s\"", head->size, text);
}

void region_tell(const struct region *region, unsigned lines_max)
{
    LIST_EACH(it, &region->large)
    {
        if (lines_max-- == 0) {
            return;
        }
        tell_block((const struct head *)(const void *)(LIST_ENTRY(it, struct large, link) + 1));
    }
    for (unsigned kind = 0; kind < ARRAY_COUNT(region->slabs); kind++) {
        for (struct slab *slab = region->slabs[kind]; slab != NULL; slab = slab->next) {
            for (uint32_t i = 0; i < slab->used; i++) {
                const struct head *head =
                    (const void *)(slab_blocks(slab) + stride_of(slab->class) * i);
                if (head->magic == MAGIC_LIVE && lines_max-- > 0) {
                    tell_block(head);
                }
            }
        }
    }
}

void memory_begin(void)
{
    memory.world = region_new();
    memory.current = NULL;
    memory.depth = 0;
}

void memory_end(void)
{
    region_free(memory.world);
    memory.world = NULL;
}

void memory_use(struct region *region)
{
    memory.current = region;
}

uint64_t memory_world_calls(void)
{
    return memory.world_calls;
}

int memory_depth(void)
{
    return memory.depth;
}

void memory_set_depth(int depth)
{
    memory.depth = depth;
}

void sim_memory_world(void)
{
    memory.depth++;
}

void sim_memory_back(void)
{
    ASSERT(memory.depth > 0);
    memory.depth--;
}

void sim_memory_fill(int byte)
{
    memory.fill = byte;
}

/* ---- base/alloc.h ---- */

static void *take(size_t size, int fill)
{
    struct region *region = memory.current;
    if (region == NULL || memory.depth > 0) {
        region = memory.world;
        if (region == NULL) { /* before a world begins and after it has ended */
            memory.world = region = region_new();
        }
        memory.world_calls++;
    } else {
        node_allocates();
    }
    ASSERT(size < UINT32_MAX);
    bool is_large = MEMORY_PLAIN || size > BLOCK_MAX;
    uint32_t class = is_large ? CLASS_LARGE : class_of(size);
    struct head *head = is_large ? take_large(region, size) : take_block(region, class);
    *head = (struct head){region, (uint32_t)size, (uint16_t) class, MAGIC_LIVE};
    region->live++;
    void *data = head + 1;
    if (fill >= 0) {
        memset(data, fill, size);
    }
    return data;
}

static struct head *head_of(void *ptr)
{
    struct head *head = (struct head *)ptr - 1;
    ASSERT(head->magic == MAGIC_LIVE); /* else freed twice, or never allocated */
    return head;
}

void *mem_alloc(size_t size)
{
    return take(size, memory.fill);
}

void *mem_zalloc(size_t size)
{
    return take(size, 0);
}

void *mem_array(size_t count, size_t size)
{
    size_t bytes;
    ASSERT(!__builtin_mul_overflow(count, size, &bytes));
    return take(bytes, 0);
}

void mem_free(void *ptr)
{
    if (ptr == NULL) {
        return;
    }
    struct head *head = head_of(ptr);
    struct region *owner = head->owner;
    memory.world_calls += owner == memory.world ? 1 : 0;
    owner->live--;
    head->magic = MAGIC_FREE;
    if (head->class == CLASS_LARGE) {
        struct large *large = (struct large *)(void *)head - 1;
        list_remove(&large->link);
        free(large);
        return;
    }
    struct free_block *block = (struct free_block *)(void *)head;
    block->next = owner->free[head->class];
    owner->free[head->class] = block;
}

void *mem_realloc(void *ptr, size_t size)
{
    if (ptr == NULL) {
        return mem_alloc(size);
    }
    struct head *head = head_of(ptr);
    if (head->class != CLASS_LARGE && size <= BLOCK_MAX && class_of(size) == head->class) {
        head->size = (uint32_t)size;
        return ptr;
    }
    void *bigger = mem_alloc(size);
    memcpy(bigger, ptr, BASE_MIN(size, head->size));
    mem_free(ptr);
    return bigger;
}
