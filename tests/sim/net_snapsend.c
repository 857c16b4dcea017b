/* SPDX-License-Identifier: Apache-2.0 */
/* engine/peer/snapsend.c as it is, reading from a channel of the simulator: its reading end is a
 * number, and no descriptor of the system. */
#include <errno.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/peer/internal.h"
#include "engine/proto/raftpb.h"
#include "engine/server/worker.h"

static ssize_t read_channel(int fd, void *data, size_t size)
{
    ssize_t count = channel_read(fd, data, size);
    if (count == E_AGAIN) {
        errno = EAGAIN;
    }
    return count;
}

#define read(fd, data, size) read_channel(fd, data, size)
#define close(fd)            channel_close(fd)
#include "engine/peer/snapsend.c" /* NOLINT(bugprone-suspicious-include) */
