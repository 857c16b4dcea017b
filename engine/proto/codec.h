/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf in and out with limits. What comes in may be hostile: it is unpacked only into an arena,
 * whose limit bounds how much memory a small message can ask for, and only after its nesting has
 * been checked, because the generated parser descends by recursion (a Txn may hold a Txn).
 */
#ifndef ENGINE_PROTO_CODEC_H
#define ENGINE_PROTO_CODEC_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"

/* --max-request-bytes when not given, and what a gRPC message may have on top of it. */
#define PROTO_REQUEST_BYTES_DEFAULT (1536u * 1024u)
#define PROTO_RECV_OVERHEAD_BYTES   (512u * 1024u)

/*
 * Messages inside messages; anything deeper is refused. A Txn may nest as deep as --max-txn-ops
 * (128) lets it, two messages a level; an etcd beside us takes it into the log that we read too.
 */
#define PROTO_DEPTH_MAX 300u

/* Memory that unpacking may take: a base, and a factor of the wire size. */
#define PROTO_ARENA_BASE_BYTES (64u * 1024u)
#define PROTO_ARENA_FACTOR     32u

/* The limit to give arena_init for unpacking wire_bytes. */
static inline size_t proto_arena_limit(size_t wire_bytes)
{
    return PROTO_ARENA_BASE_BYTES + PROTO_ARENA_FACTOR * wire_bytes;
}

/* Makes an allocator that takes from arena (borrowed) and frees nothing. */
ProtobufCAllocator proto_arena_allocator(struct arena *arena);

/*
 * Unpacks into arena; the message lives as long as the arena and must not be freed alone. Returns
 * 0, E_INVALID (malformed, or nested deeper than PROTO_DEPTH_MAX) or E_TOO_BIG (past the arena's
 * limit).
 */
BASE_MUST_CHECK int proto_unpack(const ProtobufCMessageDescriptor *descriptor, struct bytes wire,
                                 struct arena *arena, ProtobufCMessage **out_message);

/*
 * Typed form: PROTO_UNPACK(etcdserverpb__put_request, wire, &arena, &put) where put is
 * Etcdserverpb__PutRequest *.
 */
#define PROTO_UNPACK(type, wire, arena, out_message)                                               \
    proto_unpack(&type##__descriptor, (wire), (arena), (ProtobufCMessage **)(void *)(out_message))

/*
 * False when a text of message, which came as wire, was cut at a zero byte: strings of C end there,
 * those of protobuf do not. (Or when fields that have their default were sent beside a zero byte,
 * which no client does.)
 */
bool proto_is_whole(const ProtobufCMessage *message, struct bytes wire);

/* Appends the wire form; 0 or E_TOO_BIG (nothing appended, out->overflowed set). */
int proto_pack_append(const ProtobufCMessage *message, struct buf *out);

/* Packs into arena memory; stops the process past the arena's limit. */
struct bytes proto_pack_arena(const ProtobufCMessage *message, struct arena *arena);

/* Borrowed views, both ways. */
static inline struct bytes proto_bytes(ProtobufCBinaryData data)
{
    return bytes_of(data.data, data.len);
}

static inline ProtobufCBinaryData proto_binary(struct bytes bytes)
{
    return (ProtobufCBinaryData){bytes.size, (uint8_t *)(uintptr_t)bytes.data};
}

/* Base-128 integers, for those who write a message by hand. At most 10 bytes. */
#define PROTO_VARINT_MAX 10u
size_t proto_varint_size(uint64_t value);
size_t proto_varint_put(uint8_t *out, uint64_t value);
int proto_varint_append(struct buf *out, uint64_t value);

/* Reads one varint at *offset and moves *offset; false at the end or when longer than 10 bytes. */
bool proto_varint_get(struct bytes wire, size_t *offset, uint64_t *out_value);

#endif
