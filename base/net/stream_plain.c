/* SPDX-License-Identifier: Apache-2.0 */
/* The plain socket behind the transport seam of streams. */
#include <errno.h>
#include <unistd.h>

#include "base/net/stream_queue.h"

static int plain_code(int errnum)
{
    if (errnum == EAGAIN || errnum == EWOULDBLOCK || errnum == EINTR) {
        return E_AGAIN;
    }
    if (errnum == ECONNRESET || errnum == EPIPE) {
        return E_CLOSED;
    }
    return errnum == ETIMEDOUT ? E_TIMEOUT : E_IO;
}

static ssize_t plain_read(struct stream_transport *transport, int fd, void *out, size_t size)
{
    (void)transport;
    ssize_t got = recv(fd, out, size, 0);
    return got >= 0 ? got : plain_code(errno);
}

static ssize_t plain_writev(struct stream_transport *transport, int fd, const struct iovec *parts,
                            int part_count)
{
    (void)transport;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts,
                             .msg_iovlen = (size_t)part_count};
    ssize_t written = sendmsg(fd, &message, MSG_NOSIGNAL);
    return written >= 0 ? written : plain_code(errno);
}

static void plain_free(struct stream_transport *transport)
{
    (void)transport;
}

static const struct stream_transport_ops PLAIN_OPS = {
    .read = plain_read,
    .writev = plain_writev,
    .free = plain_free,
};

static const struct stream_transport PLAIN = {.ops = &PLAIN_OPS};

struct stream_transport *stream_transport_plain(void)
{
    return (struct stream_transport *)(uintptr_t)&PLAIN;
}
