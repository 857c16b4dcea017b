/* SPDX-License-Identifier: Apache-2.0 */
/* Ring of records over blocks of bytes; a block goes when its last record goes. */
#include "engine/mvcc/tail.h"

#include "base/alloc.h"
#include "base/assert.h"

#define TAIL_BLOCK_BYTES (256u * 1024u)
#define TAIL_RING_FIRST  64u

struct tail_block {
    struct tail_block *next;
    int64_t last_main;
    size_t used;
    size_t capacity;
    uint8_t data[];
};

void tail_init(struct tail *tail)
{
    *tail = (struct tail){0};
}

static void drop_oldest_block(struct tail *tail)
{
    struct tail_block *block = tail->oldest;
    tail->oldest = block->next;
    if (tail->oldest == NULL) {
        tail->newest = NULL;
    }
    mem_free(block);
}

void tail_free(struct tail *tail)
{
    while (tail->oldest != NULL) {
        drop_oldest_block(tail);
    }
    mem_free(tail->ring);
    *tail = (struct tail){0};
}

static void add_block(struct tail *tail, size_t size)
{
    size_t capacity = BASE_MAX(size, (size_t)TAIL_BLOCK_BYTES);
    struct tail_block *block = mem_alloc(sizeof(*block) + capacity);
    block->next = NULL;
    block->last_main = 0;
    block->used = 0;
    block->capacity = capacity;
    if (tail->newest != NULL) {
        tail->newest->next = block;
    } else {
        tail->oldest = block;
    }
    tail->newest = block;
}

static void grow_ring(struct tail *tail)
{
    size_t capacity = tail->capacity == 0 ? TAIL_RING_FIRST : tail->capacity * 2;
    struct tail_record *ring = mem_array(capacity, sizeof(*ring));
    for (size_t i = 0; i < tail->count; i++) {
        ring[i] = *tail_at(tail, i);
    }
    mem_free(tail->ring);
    tail->ring = ring;
    tail->first = 0;
    tail->capacity = capacity;
}

static size_t cost(const struct tail_record *record)
{
    return record->data.size + sizeof(*record);
}

uint8_t *tail_append(struct tail *tail, struct revision revision, size_t size)
{
    ASSERT(tail->count == 0 ||
           revision_compare(tail_at(tail, tail->count - 1)->revision, revision) < 0);
    if (tail->count == tail->capacity) {
        grow_ring(tail);
    }
    if (tail->newest == NULL || tail->newest->capacity - tail->newest->used < size) {
        add_block(tail, size);
    }
    struct tail_block *block = tail->newest;
    uint8_t *place = block->data + block->used;
    block->used += size;
    block->last_main = revision.main;
    struct tail_record *record = &tail->ring[(tail->first + tail->count) & (tail->capacity - 1)];
    *record = (struct tail_record){revision, bytes_of(place, size)};
    tail->count++;
    tail->bytes += cost(record);
    return place;
}

void tail_drop(struct tail *tail, int64_t main)
{
    while (tail->count > 0 && tail_at(tail, 0)->revision.main <= main) {
        tail->bytes -= cost(tail_at(tail, 0));
        tail->first = (tail->first + 1) & (tail->capacity - 1);
        tail->count--;
    }
    while (tail->oldest != NULL && tail->oldest->last_main <= main) {
        drop_oldest_block(tail);
    }
}

const struct tail_record *tail_at(const struct tail *tail, size_t position)
{
    ASSERT(position < tail->count);
    return &tail->ring[(tail->first + position) & (tail->capacity - 1)];
}

size_t tail_seek(const struct tail *tail, struct revision revision)
{
    size_t low = 0;
    size_t high = tail->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (revision_compare(tail_at(tail, middle)->revision, revision) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
