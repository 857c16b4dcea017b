/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf messages as JSON and back, by their descriptors, with the rules of Go's protojson as
 * etcd's gateway sets it up: proto field names out, proto or camel case names in; bytes as base64;
 * 64-bit numbers as strings out, as strings or numbers in; enums by name, in also by number; what
 * is zero is left out; unknown names are skipped.
 *
 * What comes in may be hostile: memory is the arena's, depth is bounded, nothing recurses.
 */
#ifndef ENGINE_RPC_PBJSON_H
#define ENGINE_RPC_PBJSON_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"

/* Objects and arrays inside each other. */
#define PBJSON_DEPTH_MAX 100u

/* Memory that a message from JSON may take: a base, and a factor of the text's size. */
#define PBJSON_ARENA_BASE_BYTES (64u * 1024u)
#define PBJSON_ARENA_FACTOR     64u

static inline size_t pbjson_arena_limit(size_t text_bytes)
{
    return PBJSON_ARENA_BASE_BYTES + PBJSON_ARENA_FACTOR * text_bytes;
}

/*
 * Reads the first JSON value of text, which must be an object; what follows it is not looked at.
 * Space alone, or nothing, is an empty message. 0 with a message that lives as long as arena;
 * E_INVALID or E_TOO_BIG with protojson's words in err.
 */
BASE_MUST_CHECK int pbjson_read(const ProtobufCMessageDescriptor *descriptor, struct bytes text,
                                struct arena *arena, ProtobufCMessage **out_message,
                                struct err *err);

/* Appends message as compact JSON; 0, or E_TOO_BIG past out's limit. */
int pbjson_write(const ProtobufCMessage *message, struct buf *out);

/* The bytes of one value in a message's struct. */
size_t pbjson_element_size(ProtobufCType type);

/*
 * Finds values in a stream of JSON texts as its bytes arrive. Start with zeros; feed the bytes that
 * are new. Gives the size of the first whole value (leading space included), 0 while it is not
 * whole. The scan goes on where it was, so that each byte is looked at once.
 */
struct pbjson_scan {
    size_t at; /* bytes of the buffer that have been looked at */
    uint32_t depth;
    bool began, in_string, escaped;
};
size_t pbjson_scan(struct pbjson_scan *scan, struct bytes buffer);

#endif
