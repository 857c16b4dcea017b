/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded unpacking and packing over protobuf-c; see codec.h for what is bounded and why. */
#include "engine/proto/codec.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_64BIT = 1,
    WIRE_LENGTH = 2,
    WIRE_32BIT = 5,
};

static void *arena_allocate(void *context, size_t size)
{
    return arena_alloc((struct arena *)context, size == 0 ? 1 : size);
}

static void arena_ignore_free(void *context, void *pointer)
{
    (void)context;
    (void)pointer;
}

ProtobufCAllocator proto_arena_allocator(struct arena *arena)
{
    return (ProtobufCAllocator){arena_allocate, arena_ignore_free, arena};
}

/* As the arena allocator, and remembers whether the limit was what made unpacking fail. */
struct bounded_arena {
    struct arena *arena;
    bool is_exhausted;
};

static void *bounded_allocate(void *context, size_t size)
{
    struct bounded_arena *bounded = context;
    void *memory = arena_allocate(bounded->arena, size);
    if (memory == NULL) {
        bounded->is_exhausted = true;
    }
    return memory;
}

size_t proto_varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

size_t proto_varint_put(uint8_t *out, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        out[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[size++] = (uint8_t)value;
    return size;
}

int proto_varint_append(struct buf *out, uint64_t value)
{
    uint8_t bytes[PROTO_VARINT_MAX];
    return buf_append(out, bytes, proto_varint_put(bytes, value));
}

bool proto_varint_get(struct bytes wire, size_t *offset, uint64_t *out_value)
{
    uint64_t value = 0;
    size_t at = *offset;
    for (unsigned shift = 0; shift < 7 * PROTO_VARINT_MAX; shift += 7) {
        if (at >= wire.size) {
            return false;
        }
        uint8_t byte = wire.data[at++];
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *offset = at;
            *out_value = value;
            return true;
        }
    }
    return false;
}

/* Steps over a field's payload; for WIRE_LENGTH *out_payload is what is inside. */
static bool payload_skip(struct bytes wire, size_t *offset, unsigned type,
                         struct bytes *out_payload)
{
    uint64_t size = 0;
    switch (type) {
    case WIRE_VARINT:
        return proto_varint_get(wire, offset, &size);
    case WIRE_64BIT:
        size = 8;
        break;
    case WIRE_32BIT:
        size = 4;
        break;
    case WIRE_LENGTH:
        if (!proto_varint_get(wire, offset, &size)) {
            return false;
        }
        break;
    default:
        return false;
    }
    if (size > wire.size - *offset && !FUZZ_PLANT(proto_length)) {
        return false;
    }
    *out_payload = bytes_of(wire.data + *offset, (size_t)size);
    *offset += (size_t)size;
    return true;
}

/*
 * Danger: without this walk a 1 MiB request of nested transactions takes some 100,000 stack frames
 * in the generated parser.
 */
static bool depth_is_bounded(const ProtobufCMessageDescriptor *descriptor, struct bytes wire,
                             unsigned depth_left)
{
    size_t offset = 0;
    while (offset < wire.size) {
        uint64_t tag = 0;
        struct bytes payload = {NULL, 0};
        if (!proto_varint_get(wire, &offset, &tag) ||
            !payload_skip(wire, &offset, (unsigned)(tag & 7), &payload)) {
            return false;
        }
        if (tag >> 3 == 0) {
            return false; /* no such field; protobuf-c takes it when it is written in two bytes */
        }
        if ((tag & 7) != WIRE_LENGTH || tag >> 3 > INT32_MAX) {
            continue;
        }
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
        if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE) {
            continue;
        }
        const ProtobufCMessageDescriptor *inner = field->descriptor;
        if (depth_left == 0 || !depth_is_bounded(inner, payload, depth_left - 1)) {
            return false;
        }
    }
    return true;
}

int proto_unpack(const ProtobufCMessageDescriptor *descriptor, struct bytes wire,
                 struct arena *arena, ProtobufCMessage **out_message)
{
    if (!depth_is_bounded(descriptor, wire, PROTO_DEPTH_MAX)) {
        return E_INVALID;
    }
    struct bounded_arena bounded = {arena, false};
    ProtobufCAllocator allocator = {bounded_allocate, arena_ignore_free, &bounded};
    static const uint8_t nothing[1];
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &allocator, wire.size,
                                                          wire.data != NULL ? wire.data : nothing);
    if (message == NULL) {
        return bounded.is_exhausted ? E_TOO_BIG : E_INVALID;
    }
    *out_message = message;
    return 0;
}

int proto_pack_append(const ProtobufCMessage *message, struct buf *out)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *place = buf_reserve(out, size);
    if (place == NULL) {
        return E_TOO_BIG;
    }
    size_t written = protobuf_c_message_pack(message, place);
    ASSERT(written == size);
    out->size += size;
    return 0;
}

struct bytes proto_pack_arena(const ProtobufCMessage *message, struct arena *arena)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    if (size == 0) {
        return (struct bytes){NULL, 0};
    }
    uint8_t *place = arena_alloc(arena, size);
    ASSERT(place != NULL);
    size_t written = protobuf_c_message_pack(message, place);
    ASSERT(written == size);
    return bytes_of(place, size);
}

bool proto_is_whole(const ProtobufCMessage *message, struct bytes wire)
{
    return wire.size == 0 || memchr(wire.data, 0, wire.size) == NULL ||
           protobuf_c_message_get_packed_size(message) >= wire.size;
}
