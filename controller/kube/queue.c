/* SPDX-License-Identifier: Apache-2.0 */
/* A heap by due time and a map by key. */
#include "controller/kube/queue.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "controller/kube/backoff.h"

struct kube_queue_item {
    struct heap_node node; /* key: due time */
    char *key;
    bool is_taken;
    uint64_t again_ms; /* asked for while taken; KUBE_QUEUE_NEVER: not */
    uint32_t failures;
};

void kube_queue_init(struct kube_queue *queue, uint64_t seed)
{
    heap_init(&queue->waiting);
    map_init(&queue->items);
    rng_seed(&queue->rng, seed);
}

static void item_free(struct kube_queue_item *item)
{
    mem_free(item->key);
    mem_free(item);
}

void kube_queue_free(struct kube_queue *queue)
{
    size_t cursor = 0;
    for (void *value; map_next(&queue->items, &cursor, NULL, &value);) {
        item_free(value);
    }
    map_free(&queue->items);
    heap_free(&queue->waiting);
}

void kube_queue_add(struct kube_queue *queue, const char *key, uint64_t due_ms)
{
    struct kube_queue_item *item = map_get(&queue->items, bytes_of_str(key));
    if (item == NULL) {
        item = mem_zalloc(sizeof(*item));
        item->key = str_dup(key);
        item->again_ms = KUBE_QUEUE_NEVER;
        heap_node_init(&item->node);
        map_set(&queue->items, bytes_of_str(key), item);
    }
    if (item->is_taken) {
        item->again_ms = BASE_MIN(item->again_ms, due_ms);
        return;
    }
    if (item->failures > 0 && heap_contains(&item->node)) {
        return;
    }
    if (!heap_contains(&item->node) || due_ms < item->node.key) {
        heap_set(&queue->waiting, &item->node, due_ms);
    }
}

const char *kube_queue_take(struct kube_queue *queue, uint64_t now_ms)
{
    struct heap_node *top = heap_top(&queue->waiting);
    if (top == NULL || top->key > now_ms) {
        return NULL;
    }
    struct kube_queue_item *item = CONTAINER_OF(top, struct kube_queue_item, node);
    ASSERT(!item->is_taken);
    heap_remove(&queue->waiting, top);
    item->is_taken = true;
    item->again_ms = KUBE_QUEUE_NEVER;
    return item->key;
}

void kube_queue_done(struct kube_queue *queue, const char *key, bool succeeded, uint64_t now_ms,
                     uint64_t requeue_ms)
{
    struct kube_queue_item *item = map_get(&queue->items, bytes_of_str(key));
    ASSERT(item != NULL && item->is_taken);
    item->is_taken = false;
    uint64_t due_ms = item->again_ms;
    if (succeeded) {
        item->failures = 0;
        if (requeue_ms > 0) {
            due_ms = BASE_MIN(due_ms, now_ms + requeue_ms);
        }
    } else {
        item->failures++;
        due_ms = now_ms + kube_backoff_ms(item->failures, KUBE_QUEUE_BACKOFF_BASE_MS,
                                          KUBE_QUEUE_BACKOFF_MAX_MS, &queue->rng);
    }
    if (due_ms != KUBE_QUEUE_NEVER) {
        heap_set(&queue->waiting, &item->node, due_ms);
    }
}

void kube_queue_forget(struct kube_queue *queue, const char *key)
{
    struct kube_queue_item *item = map_get(&queue->items, bytes_of_str(key));
    if (item == NULL) {
        return;
    }
    ASSERT(!item->is_taken);
    if (heap_contains(&item->node)) {
        heap_remove(&queue->waiting, &item->node);
    }
    map_remove(&queue->items, bytes_of_str(key));
    item_free(item);
}

uint64_t kube_queue_next_ms(const struct kube_queue *queue)
{
    const struct heap_node *top = heap_top(&queue->waiting);
    return top == NULL ? KUBE_QUEUE_NEVER : top->key;
}

size_t kube_queue_depth(const struct kube_queue *queue)
{
    return queue->waiting.count;
}
