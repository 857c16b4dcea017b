/* SPDX-License-Identifier: Apache-2.0 */
/* Binary min-heap with intrusive positions. */
#include "base/heap.h"

#include "base/alloc.h"

void heap_init(struct heap *heap)
{
    *heap = (struct heap){0};
}

void heap_free(struct heap *heap)
{
    mem_free(heap->nodes);
    heap_init(heap);
}

void heap_node_init(struct heap_node *node)
{
    node->key = 0;
    node->position = HEAP_NOT_IN;
}

bool heap_contains(const struct heap_node *node)
{
    return node->position != HEAP_NOT_IN;
}

static void heap_place(struct heap *heap, struct heap_node *node, size_t position)
{
    heap->nodes[position] = node;
    node->position = position;
}

static void heap_rise(struct heap *heap, struct heap_node *node)
{
    size_t position = node->position;
    while (position > 0) {
        size_t parent = (position - 1) / 2;
        if (heap->nodes[parent]->key <= node->key) {
            break;
        }
        heap_place(heap, heap->nodes[parent], position);
        position = parent;
    }
    heap_place(heap, node, position);
}

static void heap_sink(struct heap *heap, struct heap_node *node)
{
    size_t position = node->position;
    for (;;) {
        size_t child = 2 * position + 1;
        if (child >= heap->count) {
            break;
        }
        if (child + 1 < heap->count && heap->nodes[child + 1]->key < heap->nodes[child]->key) {
            child++;
        }
        if (heap->nodes[child]->key >= node->key) {
            break;
        }
        heap_place(heap, heap->nodes[child], position);
        position = child;
    }
    heap_place(heap, node, position);
}

void heap_set(struct heap *heap, struct heap_node *node, uint64_t key)
{
    if (!heap_contains(node)) {
        if (heap->count == heap->capacity) {
            heap->capacity = heap->capacity == 0 ? 16 : heap->capacity * 2;
            heap->nodes = mem_realloc(heap->nodes, heap->capacity * sizeof(*heap->nodes));
        }
        heap_place(heap, node, heap->count++);
    }
    node->key = key;
    heap_rise(heap, node);
    heap_sink(heap, node);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (!heap_contains(node)) {
        return;
    }
    size_t position = node->position;
    struct heap_node *last = heap->nodes[--heap->count];
    node->position = HEAP_NOT_IN;
    if (last != node) {
        heap_place(heap, last, position);
        heap_rise(heap, last);
        heap_sink(heap, last);
    }
}

struct heap_node *heap_top(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->nodes[0];
}
