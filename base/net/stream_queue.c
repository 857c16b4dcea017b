/* SPDX-License-Identifier: Apache-2.0 */
/* The write queue of a stream. */
#include "base/net/stream_queue.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define QUEUE_BLOCK_BYTES   4096u
#define QUEUE_REF_MIN_BYTES 512u /* below this a copy is cheaper than an own iovec */

struct queue_block {
    struct list node;
    const uint8_t *data;
    size_t size;   /* end of the valid bytes */
    size_t offset; /* consumed */
    size_t room;   /* of own; 0 for references */
    stream_release_fn release;
    void *ctx;
    uint8_t own[];
};

void stream_queue_init(struct stream_queue *queue)
{
    list_init(&queue->blocks);
    queue->size = 0;
}

static void queue_drop(struct queue_block *block)
{
    list_remove(&block->node);
    if (block->release != NULL) {
        block->release(block->ctx);
    }
    mem_free(block);
}

void stream_queue_clear(struct stream_queue *queue)
{
    queue->size = 0;
    while (!list_empty(&queue->blocks)) {
        queue_drop(LIST_ENTRY(queue->blocks.next, struct queue_block, node));
    }
}

void stream_queue_copy(struct stream_queue *queue, const void *data, size_t size)
{
    const uint8_t *from = data;
    queue->size += size;
    if (!list_empty(&queue->blocks)) {
        struct queue_block *last = LIST_ENTRY(queue->blocks.prev, struct queue_block, node);
        size_t part = BASE_MIN(size, last->room - BASE_MIN(last->room, last->size));
        if (last->release == NULL && part > 0) {
            memcpy(last->own + last->size, from, part);
            last->size += part;
            from += part;
            size -= part;
        }
    }
    if (size == 0) {
        return;
    }
    size_t room = BASE_MAX(size, QUEUE_BLOCK_BYTES - sizeof(struct queue_block));
    struct queue_block *block = mem_alloc(sizeof(*block) + room);
    *block = (struct queue_block){.size = size, .room = room};
    block->data = block->own;
    memcpy(block->own, from, size);
    list_append(&queue->blocks, &block->node);
}

void stream_queue_ref(struct stream_queue *queue, struct bytes data, stream_release_fn release,
                      void *ctx)
{
    if (data.size < QUEUE_REF_MIN_BYTES) {
        stream_queue_copy(queue, data.data, data.size);
        release(ctx);
        return;
    }
    struct queue_block *block = mem_alloc(sizeof(*block));
    *block =
        (struct queue_block){.data = data.data, .size = data.size, .release = release, .ctx = ctx};
    list_append(&queue->blocks, &block->node);
    queue->size += data.size;
}

int stream_queue_peek(const struct stream_queue *queue, struct iovec *parts, int part_max)
{
    int count = 0;
    LIST_EACH(node, &queue->blocks)
    {
        if (count == part_max) {
            break;
        }
        const struct queue_block *block = LIST_ENTRY(node, struct queue_block, node);
        parts[count].iov_base = (void *)(uintptr_t)(block->data + block->offset);
        parts[count].iov_len = block->size - block->offset;
        count++;
    }
    return count;
}

void stream_queue_consume(struct stream_queue *queue, size_t size)
{
    ASSERT(size <= queue->size);
    queue->size -= size;
    while (size > 0 && !list_empty(&queue->blocks)) {
        struct queue_block *block = LIST_ENTRY(queue->blocks.next, struct queue_block, node);
        size_t part = BASE_MIN(size, block->size - block->offset);
        block->offset += part;
        size -= part;
        if (block->offset == block->size) {
            queue_drop(block);
        }
    }
}
