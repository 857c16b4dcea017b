/* SPDX-License-Identifier: Apache-2.0 */
/* Reference-counted entry bytes, and what a message owns. The only place where payloads are freed.
 */
#include "engine/raft/types.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"

struct raft_payload *raft_payload_new(struct bytes bytes)
{
    ASSERT(bytes.size <= UINT32_MAX - sizeof(struct raft_payload));
    struct raft_payload *payload = mem_alloc(sizeof(*payload) + bytes.size);
    atomic_init(&payload->references, 1u);
    payload->size = (uint32_t)bytes.size;
    if (bytes.size != 0) {
        memcpy(payload->data, bytes.data, bytes.size);
    }
    return payload;
}

struct raft_payload *raft_payload_ref(struct raft_payload *payload)
{
    if (payload != NULL) {
        uint32_t before = atomic_fetch_add_explicit(&payload->references, 1u, memory_order_relaxed);
        ASSERT(before != 0 && before != UINT32_MAX);
    }
    return payload;
}

void raft_payload_unref(struct raft_payload *payload)
{
    if (payload == NULL) {
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&payload->references, 1u, memory_order_acq_rel);
    ASSERT(before != 0);
    if (before == 1) {
        mem_free(payload);
    }
}

void raft_message_clear(struct raft_message *message)
{
    uint32_t count =
        message->entries == NULL ? 0 : message->entry_count; /* garbage may lack them */
    for (uint32_t i = 0; i < count; i++) {
        raft_payload_unref(message->entries[i].payload);
    }
    mem_free(message->entries);
    mem_free(message->snapshot);
    raft_payload_unref(message->snapshot_data);
    memset(message, 0, sizeof(*message));
}
