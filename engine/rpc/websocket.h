/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket (RFC 6455), the server's side: the handshake over a request of HTTP/1.1, frames in and
 * out. No extensions. What comes in may be hostile: a message has a limit, whatever its frames say,
 * and nothing is reserved before it is there.
 */
#ifndef ENGINE_RPC_WEBSOCKET_H
#define ENGINE_RPC_WEBSOCKET_H

#include "base/buf.h"
#include "base/net/http1.h"

#define WEBSOCKET_CONTROL_BYTES_MAX 125u
#define WEBSOCKET_HEAD_BYTES_MAX    14u

enum websocket_opcode {
    WEBSOCKET_MORE = 0x0, /* of the message that began before */
    WEBSOCKET_TEXT = 0x1,
    WEBSOCKET_BINARY = 0x2,
    WEBSOCKET_CLOSE = 0x8,
    WEBSOCKET_PING = 0x9,
    WEBSOCKET_PONG = 0xa,
};

/* Why a connection is closed. */
enum websocket_reason {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_BAD_PROTOCOL = 1002,
    WEBSOCKET_TOO_BIG = 1009,
};

/* ---- handshake ---- */

/* Whether the request asks to go on as a WebSocket. */
bool websocket_is_asked(const struct http1_request *request);

/*
 * In on_head: answers the handshake, after which on_data gets the bytes of the connection. False:
 * it was refused with an answer that says why.
 */
bool websocket_accept(struct http1_request *request, http1_body_fn on_data);

/* ---- frames in ---- */

/* Start with websocket_reader_init. */
struct websocket_reader {
    size_t message_bytes_max;
    uint8_t head[WEBSOCKET_HEAD_BYTES_MAX]; /* of the frame that comes in */
    size_t head_size;
    uint64_t payload_left;
    size_t payload_at; /* where the mask stands */
    bool in_payload;
    bool in_message; /* its last frame is to come */
    struct buf message;
    struct buf control;
};

void websocket_reader_init(struct websocket_reader *reader, size_t message_bytes_max);
void websocket_reader_free(struct websocket_reader *reader);

/* What came in whole. The payload is borrowed until the next call. */
struct websocket_event {
    enum websocket_opcode opcode; /* TEXT: a message of either kind; else a control frame */
    struct bytes payload;
};

/*
 * Takes bytes from the front of *data up to the end of one event. 1 with the event, 0 when all were
 * taken; E_INVALID (no frame of a client) or E_TOO_BIG: to be closed, no further call.
 */
int websocket_read(struct websocket_reader *reader, struct bytes *data,
                   struct websocket_event *out_event);

/* ---- frames out ---- */

/* Appends one frame, not masked. A message may come in several: all but the first are MORE, and the
 * last one says so. */
void websocket_write(enum websocket_opcode opcode, bool is_last, struct bytes payload,
                     struct buf *out);

/* Appends the frame that closes. */
void websocket_write_close(enum websocket_reason reason, struct buf *out);

#endif
