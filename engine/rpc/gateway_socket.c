/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway over WebSocket, as etcd's proxy speaks it. */
#include "base/alloc.h"
#include "engine/rpc/gateway_internal.h"

#include <string.h>

#define SOCKET_BEARER "Bearer," /* in Sec-WebSocket-Protocol, before the token */
#define SOCKET_COOKIE "token="

/* ---- to the client ---- */

void gateway_socket_write(struct gateway_call *call, struct bytes text, bool is_last)
{
    struct buf frame;
    size_t size = 0;
    buf_init(&frame, BUF_NO_LIMIT);
    websocket_write(call->in_frame ? WEBSOCKET_MORE : WEBSOCKET_TEXT, is_last, text, &frame);
    call->in_frame = !is_last;
    uint8_t *data = buf_take(&frame, &size);
    http1_respond_write_take(call->http, data, size);
}

void gateway_socket_close(struct gateway_call *call, enum websocket_reason reason)
{
    struct buf frame;
    buf_init(&frame, BUF_NO_LIMIT);
    websocket_write_close(reason, &frame);
    http1_respond_write(call->http, frame.data, frame.size);
    buf_free(&frame);
    http1_respond_end(call->http);
}

/* ---- from the client ---- */

/* Control frames may stand between the frames of a message. */
static void socket_on_ping(struct gateway_call *call, struct bytes payload)
{
    struct buf frame;
    buf_init(&frame, BUF_NO_LIMIT);
    websocket_write(WEBSOCKET_PONG, true, payload, &frame);
    http1_respond_write(call->http, frame.data, frame.size);
    buf_free(&frame);
}

/* The connection's own function is below this one: the call does not go meanwhile. */
static void socket_on_data(void *ctx, struct http1_request *http, struct bytes data, bool at_end)
{
    struct gateway_call *call = http1_user(http);
    (void)ctx;
    (void)at_end;
    stream_set_read_timeout(http1_stream(http), 0); /* a stream of requests may rest for long */
    while (!call->is_answered) {
        struct websocket_event event;
        int rc = websocket_read(&call->frames, &data, &event);
        if (rc == 0) {
            return;
        }
        if (rc < 0) {
            gateway_call_drop(call);
            gateway_socket_close(call,
                                 rc == E_TOO_BIG ? WEBSOCKET_TOO_BIG : WEBSOCKET_BAD_PROTOCOL);
        } else if (event.opcode == WEBSOCKET_CLOSE) {
            gateway_call_drop(call);
            gateway_socket_close(call, WEBSOCKET_NORMAL);
        } else if (event.opcode == WEBSOCKET_TEXT) {
            gateway_call_take(call, event.payload);
        } else if (event.opcode == WEBSOCKET_PING) {
            socket_on_ping(call, event.payload);
        }
    }
}

/*
 * A script in a browser can set no header but the protocol, and cookies: as etcd's proxy has it,
 * the token stands there. NULL: there is none.
 */
static char *socket_token(const struct http1_request *request)
{
    const char *protocol = http1_header(request, "sec-websocket-protocol");
    const char *cookie = http1_header(request, "cookie");
    while (cookie != NULL && *cookie != '\0') {
        cookie += strspn(cookie, "; ");
        size_t size = strcspn(cookie, ";");
        if (str_starts_with(cookie, SOCKET_COOKIE)) {
            size_t name = strlen(SOCKET_COOKIE);
            return str_printf("%.*s", (int)(size - name), cookie + name);
        }
        cookie += size;
    }
    const char *token = protocol == NULL ? NULL : strstr(protocol, SOCKET_BEARER);
    if (token == NULL) {
        return NULL;
    }
    token += strlen(SOCKET_BEARER);
    token += strspn(token, " ");
    return str_printf("%.*s", (int)strcspn(token, " "), token);
}

bool gateway_socket_open(struct gateway_call *call)
{
    const char *protocol = http1_header(call->http, "sec-websocket-protocol");
    if (protocol != NULL && str_starts_with(protocol, "Bearer")) {
        http1_set_header(call->http, "Sec-WebSocket-Protocol", "Bearer");
    }
    if (!websocket_accept(call->http, socket_on_data)) {
        return false;
    }
    call->is_socket = true;
    call->token = socket_token(call->http);
    websocket_reader_init(&call->frames, call->gateway->text_bytes_max);
    return true;
}
