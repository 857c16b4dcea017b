/* SPDX-License-Identifier: Apache-2.0 */
/* Handshake and frames. The reader goes on wherever the last bytes ended. */
#include "engine/rpc/websocket.h"

#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"

#define KEY_GUID      "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define KEY_CHARS     24u /* 16 bytes as base64 */
#define SHA1_BYTES    20u
#define ACCEPT_CHARS  28u
#define FIN_BIT       0x80u
#define RESERVED_BITS 0x70u
#define OPCODE_BITS   0x0fu
#define CONTROL_BIT   0x08u
#define MASK_BIT      0x80u
#define SIZE_BITS     0x7fu
#define SIZE_OF_16    126u /* what stands in place of a size that has two or eight bytes */
#define SIZE_OF_64    127u
#define MASK_BYTES    4u

/* ---- handshake ---- */

/* Whether token is in a comma-separated list, without regard to case. */
static bool list_has(const char *list, const char *token)
{
    size_t size = strlen(token);
    while (list != NULL && *list != '\0') {
        list += strspn(list, ", \t");
        size_t word = strcspn(list, ", \t");
        if (word == size && strncasecmp(list, token, size) == 0) {
            return true;
        }
        list += word;
    }
    return false;
}

bool websocket_is_asked(const struct http1_request *request)
{
    return list_has(http1_header(request, "connection"), "upgrade") &&
           list_has(http1_header(request, "upgrade"), "websocket");
}

bool websocket_accept(struct http1_request *request, http1_body_fn on_data)
{
    const char *key = http1_header(request, "sec-websocket-key");
    if (strcmp(http1_method(request), "GET") != 0) {
        http1_respond_method_not_allowed(request, "GET");
        return false;
    }
    if (!list_has(http1_header(request, "sec-websocket-version"), "13")) {
        http1_set_header(request, "Sec-WebSocket-Version", "13");
        http1_respond_error(request, 400, "the version of WebSocket must be 13");
        return false;
    }
    if (key == NULL || strlen(key) != KEY_CHARS) {
        http1_respond_error(request, 400, "Sec-WebSocket-Key must be 16 bytes as base64");
        return false;
    }
    char keyed[KEY_CHARS + sizeof(KEY_GUID)];
    uint8_t digest[SHA1_BYTES];
    uint8_t accept[ACCEPT_CHARS + 1];
    memcpy(keyed, key, KEY_CHARS);
    memcpy(keyed + KEY_CHARS, KEY_GUID, sizeof(KEY_GUID));
    int rc = EVP_Digest(keyed, sizeof(keyed) - 1, digest, NULL, EVP_sha1(), NULL);
    ASSERT(rc == 1);
    EVP_EncodeBlock(accept, digest, sizeof(digest));
    http1_set_header(request, "Sec-WebSocket-Accept", (const char *)accept);
    http1_upgrade(request, "websocket", on_data);
    return true;
}

/* ---- frames in ---- */

void websocket_reader_init(struct websocket_reader *reader, size_t message_bytes_max)
{
    *reader = (struct websocket_reader){.message_bytes_max = message_bytes_max};
    buf_init(&reader->message, message_bytes_max);
    buf_init(&reader->control, WEBSOCKET_CONTROL_BYTES_MAX);
}

void websocket_reader_free(struct websocket_reader *reader)
{
    buf_free(&reader->message);
    buf_free(&reader->control);
}

static bool is_control(const struct websocket_reader *reader)
{
    return (reader->head[0] & CONTROL_BIT) != 0;
}

static enum websocket_opcode opcode_of(const struct websocket_reader *reader)
{
    return (enum websocket_opcode)(reader->head[0] & OPCODE_BITS);
}

/* The size of the head, as far as its first bytes tell. */
static size_t head_need(const struct websocket_reader *reader)
{
    if (reader->head_size < 2) {
        return 2;
    }
    size_t size = reader->head[1] & SIZE_BITS;
    return 2 + (size == SIZE_OF_16 ? 2u : size == SIZE_OF_64 ? 8u : 0u) + MASK_BYTES;
}

/* Looks at a whole head. */
static int begin_payload(struct websocket_reader *reader)
{
    const uint8_t *head = reader->head;
    uint64_t size = head[1] & SIZE_BITS;
    bool last = (head[0] & FIN_BIT) != 0;
    enum websocket_opcode opcode = opcode_of(reader);
    if (size == SIZE_OF_16) {
        size = (uint64_t)head[2] << 8 | head[3];
    } else if (size == SIZE_OF_64) {
        size = get_be64(head + 2);
    }
    if ((head[0] & RESERVED_BITS) != 0 || (head[1] & MASK_BIT) == 0) {
        return E_INVALID;
    }
    if (is_control(reader)) {
        if (!last || size > WEBSOCKET_CONTROL_BYTES_MAX || opcode > WEBSOCKET_PONG) {
            return E_INVALID;
        }
        buf_clear(&reader->control);
    } else {
        if (opcode > WEBSOCKET_BINARY || (opcode == WEBSOCKET_MORE) != reader->in_message) {
            return E_INVALID;
        }
        if (!reader->in_message) {
            buf_clear(&reader->message);
        }
        if (size > reader->message_bytes_max - reader->message.size) {
            return E_TOO_BIG;
        }
        reader->in_message = !last;
    }
    reader->payload_left = size;
    reader->payload_at = 0;
    reader->in_payload = true;
    return 0;
}

static int take_head(struct websocket_reader *reader, struct bytes *data)
{
    while (reader->head_size < head_need(reader)) {
        if (data->size == 0) {
            return 0;
        }
        reader->head[reader->head_size++] = data->data[0];
        *data = bytes_of(data->data + 1, data->size - 1);
    }
    return begin_payload(reader);
}

static void take_payload(struct websocket_reader *reader, struct bytes *data)
{
    struct buf *to = is_control(reader) ? &reader->control : &reader->message;
    const uint8_t *mask = reader->head + reader->head_size - MASK_BYTES;
    size_t size = data->size < reader->payload_left ? data->size : (size_t)reader->payload_left;
    size_t start = to->size;
    if (size > 0) {
        int rc = buf_append(to, data->data, size);
        ASSERT(rc == 0); /* the head was held against the limit */
        for (size_t i = 0; i < size; i++) {
            to->data[start + i] ^= mask[(reader->payload_at + i) % MASK_BYTES];
        }
        reader->payload_at += size;
        reader->payload_left -= size;
        *data = bytes_of(data->data + size, data->size - size);
    }
}

int websocket_read(struct websocket_reader *reader, struct bytes *data,
                   struct websocket_event *out_event)
{
    for (;;) {
        int rc = reader->in_payload ? 0 : take_head(reader, data);
        if (rc != 0 || !reader->in_payload) {
            return rc;
        }
        take_payload(reader, data);
        if (reader->payload_left > 0) {
            return 0;
        }
        reader->in_payload = false;
        reader->head_size = 0;
        if (is_control(reader)) {
            *out_event = (struct websocket_event){opcode_of(reader), buf_bytes(&reader->control)};
            return 1;
        }
        if (!reader->in_message) {
            *out_event = (struct websocket_event){WEBSOCKET_TEXT, buf_bytes(&reader->message)};
            return 1;
        }
    }
}

/* ---- frames out ---- */

void websocket_write(enum websocket_opcode opcode, bool is_last, struct bytes payload,
                     struct buf *out)
{
    uint8_t size[8];
    buf_append_byte(out, (uint8_t)((is_last ? FIN_BIT : 0) | (uint8_t)opcode));
    if (payload.size < SIZE_OF_16) {
        buf_append_byte(out, (uint8_t)payload.size);
    } else if (payload.size <= UINT16_MAX) {
        buf_append_byte(out, SIZE_OF_16);
        buf_append_byte(out, (uint8_t)(payload.size >> 8));
        buf_append_byte(out, (uint8_t)payload.size);
    } else {
        put_be64(size, payload.size);
        buf_append_byte(out, SIZE_OF_64);
        buf_append(out, size, sizeof(size));
    }
    buf_append(out, payload.data, payload.size);
}

void websocket_write_close(enum websocket_reason reason, struct buf *out)
{
    const uint8_t code[2] = {(uint8_t)((unsigned)reason >> 8), (uint8_t)reason};
    websocket_write(WEBSOCKET_CLOSE, true, bytes_of(code, sizeof(code)), out);
}
