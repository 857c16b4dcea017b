/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a stream: the write queue (small writes share a block, large ones stay where they are) and
 * the plain socket transport. Only stream.c includes this.
 */
#ifndef BASE_NET_STREAM_QUEUE_H
#define BASE_NET_STREAM_QUEUE_H

#include "base/list.h"
#include "base/net/stream.h"

/* Owns its blocks; size is the number of bytes not consumed. */
struct stream_queue {
    struct list blocks;
    size_t size;
};

void stream_queue_init(struct stream_queue *queue);

/* Drops all; releases are called. */
void stream_queue_clear(struct stream_queue *queue);
void stream_queue_copy(struct stream_queue *queue, const void *data, size_t size);
void stream_queue_ref(struct stream_queue *queue, struct bytes data, stream_release_fn release,
                      void *ctx);

/* Fills parts with the front of the queue; gives their number. */
int stream_queue_peek(const struct stream_queue *queue, struct iovec *parts, int part_max);
void stream_queue_consume(struct stream_queue *queue, size_t size);

/* A transport that reads and writes the socket as it is; one for all, its free does nothing. */
struct stream_transport *stream_transport_plain(void);

#endif
