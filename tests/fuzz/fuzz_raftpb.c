/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a message between members: refused, or read and written back to bytes that read the
 * same.
 *
 * fuzz-link: proto raft
 */
#include "base/assert.h"
#include "engine/proto/raftpb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct raft_message message;
    if (raftpb_message_decode(bytes_of(data, size), &message) == 0) {
        struct buf once;
        struct buf twice;
        buf_init(&once, BUF_NO_LIMIT);
        buf_init(&twice, BUF_NO_LIMIT);
        raftpb_message_encode(&message, &once);
        ASSERT(once.size == raftpb_message_size(&message));
        struct raft_message again;
        ASSERT(raftpb_message_decode(buf_bytes(&once), &again) == 0);
        raftpb_message_encode(&again, &twice);
        ASSERT(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
        raft_message_clear(&again);
        buf_free(&twice);
        buf_free(&once);
        raft_message_clear(&message);
    }
    return 0;
}
