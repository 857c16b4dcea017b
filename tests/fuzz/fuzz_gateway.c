/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the body of a gateway request: refused with a reason, or a message that is written
 * as JSON, read back as the same message, and packed to the same bytes. The first byte chooses the
 * method. The scan for values in a stream finds what the reader finds, wherever the text is cut.
 *
 * fuzz-link: rpc proto
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "engine/proto/codec.h"
#include "engine/rpc/gateway_paths.h"
#include "engine/rpc/pbjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void comes_back(const ProtobufCMessage *message)
{
    struct arena arena;
    struct buf json;
    struct buf wire;
    struct buf again;
    struct err err = {{0}};
    ProtobufCMessage *back;
    arena_init(&arena, BUF_NO_LIMIT);
    buf_init(&json, BUF_NO_LIMIT);
    buf_init(&wire, BUF_NO_LIMIT);
    buf_init(&again, BUF_NO_LIMIT);
    (void)proto_pack_append(message, &wire);
    ASSERT(pbjson_write(message, &json) == 0);
    ASSERT(pbjson_read(message->descriptor, buf_bytes(&json), &arena, &back, &err) == 0);
    (void)proto_pack_append(back, &again);
    ASSERT(bytes_equal(buf_bytes(&wire), buf_bytes(&again)));
    arena_free(&arena);
    buf_free(&json);
    buf_free(&wire);
    buf_free(&again);
}

/* Byte by byte, as a slow client sends it: the same first value. */
static void is_found_in_pieces(struct bytes text)
{
    struct pbjson_scan whole = {0};
    struct pbjson_scan pieces = {0};
    size_t expected = pbjson_scan(&whole, text);
    size_t found = 0;
    for (size_t i = 1; i <= text.size && found == 0; i++) {
        found = pbjson_scan(&pieces, bytes_of(text.data, i));
    }
    ASSERT(found == expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct err err = {{0}};
    ProtobufCMessage *message;
    unsigned paths = 0;
    if (size == 0) {
        return 0;
    }
    while (gateway_path_at(paths) != NULL) {
        paths++;
    }
    const struct gateway_path *path = gateway_path_at(data[0] % paths);
    const ProtobufCMethodDescriptor *method =
        protobuf_c_service_descriptor_get_method_by_name(path->service, path->method);
    struct bytes text = bytes_of(data + 1, size - 1);
    is_found_in_pieces(text);
    arena_init(&arena, pbjson_arena_limit(text.size));
    if (pbjson_read(method->input, text, &arena, &message, &err) == 0) {
        comes_back(message);
    } else {
        ASSERT(err.text[0] != '\0');
    }
    arena_free(&arena);
    return 0;
}
