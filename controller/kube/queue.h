/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work queue: which key is to be reconciled when. A key is inside at most once, never handed
 * out twice at the same time, and comes back by itself after a failure (backoff) or when asked
 * (requeue). Pure: time comes as an argument, in monotonic milliseconds.
 */
#ifndef CONTROLLER_KUBE_QUEUE_H
#define CONTROLLER_KUBE_QUEUE_H

#include "base/defs.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/rng.h"

#define KUBE_QUEUE_BACKOFF_BASE_MS 250u
#define KUBE_QUEUE_BACKOFF_MAX_MS  30000u
#define KUBE_QUEUE_NEVER           UINT64_MAX

/* Owns its keys. */
struct kube_queue {
    struct heap waiting;
    struct map items;
    struct rng rng;
};

void kube_queue_init(struct kube_queue *queue, uint64_t seed);
void kube_queue_free(struct kube_queue *queue);

/* The key is to be worked on at due_ms or earlier. While it is being worked on, this is remembered.
 */
void kube_queue_add(struct kube_queue *queue, const char *key, uint64_t due_ms);

/* Takes the key that is due first at now_ms; NULL when none is. Borrowed until kube_queue_done. */
const char *kube_queue_take(struct kube_queue *queue, uint64_t now_ms);

/*
 * Ends the work on a taken key. succeeded resets its backoff; otherwise it comes back after a
 * growing wait. requeue_ms > 0 brings it back after so long in any case. An unsuccessful key also
 * waits its backoff out when it was added meanwhile, so that a stream of events cannot make it
 * spin.
 */
void kube_queue_done(struct kube_queue *queue, const char *key, bool succeeded, uint64_t now_ms,
                     uint64_t requeue_ms);

/* The key's object is gone: forget it. It must not be taken. */
void kube_queue_forget(struct kube_queue *queue, const char *key);

/* When the next key is due, KUBE_QUEUE_NEVER when none waits. */
uint64_t kube_queue_next_ms(const struct kube_queue *queue);

/* How many keys wait. */
size_t kube_queue_depth(const struct kube_queue *queue);

#endif
