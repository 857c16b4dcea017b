/* SPDX-License-Identifier: Apache-2.0 */
/* Binary min-heap of pointers by a 64-bit key (a deadline, a revision); intrusive position. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include "base/defs.h"

#define HEAP_NOT_IN SIZE_MAX

/* Embed in the element. position is kept by the heap; HEAP_NOT_IN when outside. */
struct heap_node {
    uint64_t key;
    size_t position;
};

/* Owns the pointer array, borrows the nodes. */
struct heap {
    struct heap_node **nodes;
    size_t count;
    size_t capacity;
};

void heap_init(struct heap *heap);
void heap_free(struct heap *heap);
void heap_node_init(struct heap_node *node);
bool heap_contains(const struct heap_node *node);

/* Inserts node with key, or moves it when it is inside already. */
void heap_set(struct heap *heap, struct heap_node *node, uint64_t key);

/* Takes node out; nothing happens when it is outside. */
void heap_remove(struct heap *heap, struct heap_node *node);

/* The node with the smallest key, or NULL. */
struct heap_node *heap_top(const struct heap *heap);

#endif
