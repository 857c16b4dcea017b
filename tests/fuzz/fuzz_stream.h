/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream whose bytes are the fuzzer's: an eventfd that is always ready under a transport that
 * reads the input in pieces of a size that the input chooses, and takes whatever is written.
 */
#ifndef TESTS_FUZZ_FUZZ_STREAM_H
#define TESTS_FUZZ_FUZZ_STREAM_H

#include <string.h>
#include <sys/eventfd.h>

#include "base/assert.h"
#include "base/net/stream.h"

struct fuzz_transport {
    struct stream_transport base;
    const uint8_t *data;
    size_t size;
    size_t piece;
};

static ssize_t fuzz_read(struct stream_transport *transport, int fd, void *out, size_t size)
{
    struct fuzz_transport *fuzz = (struct fuzz_transport *)transport;
    (void)fd;
    size_t part = BASE_MIN(BASE_MIN(size, fuzz->size), fuzz->piece);
    if (part > 0) {
        memcpy(out, fuzz->data, part);
    }
    fuzz->data += part;
    fuzz->size -= part;
    return (ssize_t)part;
}

static ssize_t fuzz_writev(struct stream_transport *transport, int fd, const struct iovec *parts,
                           int part_count)
{
    (void)transport;
    (void)fd;
    ssize_t total = 0;
    for (int i = 0; i < part_count; i++) {
        total += (ssize_t)parts[i].iov_len;
    }
    return total;
}

static void fuzz_free(struct stream_transport *transport)
{
    (void)transport;
}

static const struct stream_transport_ops FUZZ_OPS = {
    .read = fuzz_read, .writev = fuzz_writev, .free = fuzz_free};

static const struct stream_events FUZZ_NO_EVENTS = {0};

/* The first byte of the input is the size of the pieces (0: all at once). */
static inline struct stream *fuzz_stream_open(struct loop *loop, struct fuzz_transport *fuzz,
                                              const uint8_t *data, size_t size)
{
    *fuzz = (struct fuzz_transport){{&FUZZ_OPS}, data, size, SIZE_MAX};
    if (size > 0) {
        fuzz->piece = data[0] == 0 ? SIZE_MAX : data[0];
        fuzz->data++;
        fuzz->size--;
    }
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    ASSERT(fd >= 0);
    return stream_adopt(loop, fd, &fuzz->base, &FUZZ_NO_EVENTS, NULL);
}

static void fuzz_stop(void *ctx)
{
    loop_stop(ctx);
}

#endif
