/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocation in blocks; large requests get a block of their own. */
#include "base/arena.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define ARENA_FIRST_BYTES 512u /* many arenas hold no more */
#define ARENA_BLOCK_BYTES 4096u
#define ARENA_ALIGN       16u

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t capacity;
    _Alignas(ARENA_ALIGN) uint8_t data[];
};

void arena_init(struct arena *arena, size_t max_bytes)
{
    *arena = (struct arena){.max_bytes = max_bytes};
}

void arena_free(struct arena *arena)
{
    struct arena_block *block = arena->blocks;
    while (block != NULL) {
        struct arena_block *next = block->next;
        mem_free(block);
        block = next;
    }
    arena_init(arena, arena->max_bytes);
}

void arena_wipe(struct arena *arena)
{
    for (struct arena_block *block = arena->blocks; block != NULL; block = block->next) {
        explicit_bzero(block->data, block->capacity);
    }
}

static struct arena_block *arena_add_block(struct arena *arena, size_t size)
{
    size_t capacity = size > ARENA_BLOCK_BYTES / 4 ? size : ARENA_BLOCK_BYTES;
    if (arena->blocks == NULL && size <= ARENA_FIRST_BYTES) {
        capacity = ARENA_FIRST_BYTES;
    }
    struct arena_block *block = mem_alloc(sizeof(*block) + capacity);
    block->used = 0;
    block->capacity = capacity;
    /* A block of its own goes behind the current one, which may still have room. */
    if (capacity == size && arena->blocks != NULL) {
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    } else {
        block->next = arena->blocks;
        arena->blocks = block;
    }
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size_t rounded = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (rounded > arena->max_bytes || arena->used_bytes > arena->max_bytes - rounded) {
        return NULL;
    }
    struct arena_block *block = arena->blocks;
    if (block == NULL || block->capacity - block->used < rounded) {
        block = arena_add_block(arena, rounded);
    }
    void *out = block->data + block->used;
    block->used += rounded;
    arena->used_bytes += rounded;
    return out;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *out = arena_alloc(arena, size);
    ASSERT(out != NULL);
    memset(out, 0, size);
    return out;
}

struct bytes arena_copy(struct arena *arena, struct bytes bytes)
{
    if (bytes.size == 0) {
        return (struct bytes){NULL, 0};
    }
    uint8_t *copy = arena_alloc(arena, bytes.size);
    ASSERT(copy != NULL);
    memcpy(copy, bytes.data, bytes.size);
    return bytes_of(copy, bytes.size);
}

char *arena_str(struct arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = arena_alloc(arena, size);
    ASSERT(copy != NULL);
    memcpy(copy, text, size);
    return copy;
}
