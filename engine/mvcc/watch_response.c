/* SPDX-License-Identifier: Apache-2.0 */
/* WatchResponse messages written straight into the send buffer, each behind gRPC's five bytes. */
#include "base/assert.h"
#include "engine/mvcc/watch_impl.h"
#include "engine/proto/codec.h"

#define GRPC_PREFIX_BYTES 5u

/* Tags: field number << 3 | wire type. */
#define TAG_HEADER           0x0a
#define TAG_WATCH_ID         0x10
#define TAG_CREATED          0x18
#define TAG_CANCELED         0x20
#define TAG_COMPACT_REVISION 0x28
#define TAG_CANCEL_REASON    0x32
#define TAG_FRAGMENT         0x38
#define TAG_HEADER_CLUSTER   0x08
#define TAG_HEADER_MEMBER    0x10
#define TAG_HEADER_REVISION  0x18
#define TAG_HEADER_TERM      0x20

#define HEADER_BYTES_MAX (4u * (1u + PROTO_VARINT_MAX))

/* proto3 leaves zeros out. */
static size_t put_number(uint8_t *out, uint8_t tag, uint64_t value)
{
    if (value == 0) {
        return 0;
    }
    out[0] = tag;
    return 1 + proto_varint_put(out + 1, value);
}

static void append_number(struct buf *out, uint8_t tag, uint64_t value)
{
    uint8_t bytes[1 + PROTO_VARINT_MAX];
    buf_append(out, bytes, put_number(bytes, tag, value));
}

static size_t message_begin(const struct watch_header *header, int64_t revision, int64_t watch_id,
                            struct buf *out)
{
    static const uint8_t prefix[GRPC_PREFIX_BYTES] = {0};
    uint8_t fields[HEADER_BYTES_MAX];
    size_t size = put_number(fields, TAG_HEADER_CLUSTER, header->cluster_id);
    size += put_number(fields + size, TAG_HEADER_MEMBER, header->member_id);
    size += put_number(fields + size, TAG_HEADER_REVISION, (uint64_t)revision);
    size += put_number(fields + size, TAG_HEADER_TERM, header->raft_term);
    size_t start = out->size;
    buf_append(out, prefix, sizeof(prefix));
    buf_append_byte(out, TAG_HEADER);
    buf_append_byte(out, (uint8_t)size);
    buf_append(out, fields, size);
    append_number(out, TAG_WATCH_ID, (uint64_t)watch_id);
    return start;
}

static void message_end(struct buf *out, size_t start)
{
    size_t size = out->size - start - GRPC_PREFIX_BYTES;
    ASSERT(!out->overflowed && size <= UINT32_MAX);
    put_be32(out->data + start + 1, (uint32_t)size);
}

void watch_response_begin(struct watch_response *response)
{
    response->event_count = 0;
    response->start =
        message_begin(response->header, response->revision, response->watch_id, response->out);
}

void watch_response_event(struct watch_response *response, struct bytes wire)
{
    size_t size = response->out->size - response->start - GRPC_PREFIX_BYTES;
    if (response->fragment_bytes != 0 && response->event_count > 0 &&
        size + wire.size >= response->fragment_bytes) {
        append_number(response->out, TAG_FRAGMENT, 1);
        message_end(response->out, response->start);
        watch_response_begin(response);
    }
    buf_append(response->out, wire.data, wire.size);
    response->event_count++;
}

void watch_response_end(struct watch_response *response)
{
    message_end(response->out, response->start);
}

void watch_answer_write(const struct watch_header *header, const struct watch_answer *answer,
                        struct buf *out)
{
    size_t start = message_begin(header, answer->revision, answer->watch_id, out);
    append_number(out, TAG_CREATED, answer->created ? 1 : 0);
    append_number(out, TAG_CANCELED, answer->canceled ? 1 : 0);
    append_number(out, TAG_COMPACT_REVISION, (uint64_t)answer->compact_revision);
    if (answer->cancel_reason != NULL) {
        struct bytes reason = bytes_of_str(answer->cancel_reason);
        buf_append_byte(out, TAG_CANCEL_REASON);
        proto_varint_append(out, reason.size);
        buf_append(out, reason.data, reason.size);
    }
    message_end(out, start);
}
