/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From HTTP/2 streams to requests of HTTP/1.1 and back. A request is written out whole, then handed
 * over as if it had been read from a connection; the answer comes back through the other end.
 */
#include "engine/rpc/http2_bridge.h"

#include <http_parser.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/rpc/http2.h"

#define BRIDGE_HEAD_BYTES_MAX  (64u * 1024u)
#define BRIDGE_HEADERS_MAX     48u
#define BRIDGE_STATUS_TEXT_MAX 8u

struct bridge_field {
    uint32_t name;
    uint32_t value;
};

struct http2_bridge {
    struct loop *loop;
    struct http1_server *http;
    struct http2_config handlers;
    size_t running;
};

/* One request; dies with its HTTP/2 stream. */
struct exchange {
    struct http2_bridge *bridge;
    struct http2_stream *stream; /* NULL: it is gone */
    struct buf body;             /* of the request, until it is whole */
    bool is_answered;            /* in full, or given up */
    struct stream *pipe;         /* to the server; NULL: not yet, or no longer */
    http_parser parser;
    bool is_head_request;
    struct buf text; /* names and values of the answer's headers */
    struct bridge_field fields[BRIDGE_HEADERS_MAX];
    size_t field_count;
    bool in_value;
};

static struct http2_header bridge_header(const char *name, const char *value)
{
    return (struct http2_header){bytes_of_str(name), bytes_of_str(value)};
}

static void answer_status(struct http2_stream *stream, const char *status)
{
    const struct http2_header head[] = {bridge_header(":status", status),
                                        bridge_header("content-length", "0")};
    http2_stream_respond(stream, head, ARRAY_COUNT(head), true);
}

/* ---- the request, written out ---- */

static bool is_connection_header(const char *name)
{
    static const char *const NAMES[] = {"connection",        "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade",    "te",
                                        "content-length",    "host",       "expect"};
    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++) {
        if (strcasecmp(name, NAMES[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Visible characters only, and none of reject. */
static bool is_clean(const char *text, const char *reject, bool spaces)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        bool space = *c == ' ' || *c == '\t';
        if ((*c < 0x21 && !(spaces && space)) || *c == 0x7f || strchr(reject, *c) != NULL) {
            return false;
        }
    }
    return true;
}

/* False when something in it could be read as more than it is. */
static bool write_request(const struct http2_stream *stream, struct bytes body, struct buf *out)
{
    const char *method = (const char *)http2_stream_method(stream).data;
    const char *path = (const char *)http2_stream_path(stream).data;
    const char *authority = http2_stream_header(stream, ":authority");
    const char *name = NULL;
    const char *value = NULL;
    if (method[0] == '\0' || !is_clean(method, ":()<>@,;\\\"/[]?={}", false) || path[0] != '/' ||
        !is_clean(path, "", false)) {
        return false;
    }
    authority = authority == NULL ? http2_stream_header(stream, "host") : authority;
    authority = authority == NULL ? "localhost" : authority;
    if (!is_clean(authority, "", false)) {
        return false;
    }
    buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, path, authority);
    for (size_t i = 0; http2_stream_header_at(stream, i, &name, &value); i++) {
        if (name[0] == ':' || is_connection_header(name)) {
            continue;
        }
        if (name[0] == '\0' || !is_clean(name, ":", false) || !is_clean(value, "", true)) {
            return false;
        }
        buf_printf(out, "%s: %s\r\n", name, value);
    }
    buf_printf(out, "Content-Length: %zu\r\n\r\n", body.size);
    buf_append(out, body.data, body.size);
    return !out->overflowed;
}

/* ---- the answer, read back ---- */

static int on_field(http_parser *parser, const char *at, size_t size)
{
    struct exchange *exchange = parser->data;
    if (exchange->field_count == 0 || exchange->in_value) {
        if (exchange->field_count == BRIDGE_HEADERS_MAX) {
            return 1;
        }
        buf_append_byte(&exchange->text, 0);
        exchange->fields[exchange->field_count++] =
            (struct bridge_field){(uint32_t)exchange->text.size, 0};
        exchange->in_value = false;
    }
    for (size_t i = 0; i < size; i++) {
        char c = at[i] >= 'A' && at[i] <= 'Z' ? (char)(at[i] | 0x20) : at[i];
        buf_append_byte(&exchange->text, (uint8_t)c);
    }
    return exchange->text.overflowed ? 1 : 0;
}

static int on_value(http_parser *parser, const char *at, size_t size)
{
    struct exchange *exchange = parser->data;
    if (!exchange->in_value) {
        buf_append_byte(&exchange->text, 0);
        exchange->fields[exchange->field_count - 1].value = (uint32_t)exchange->text.size;
        exchange->in_value = true;
    }
    buf_append(&exchange->text, at, size);
    return exchange->text.overflowed ? 1 : 0;
}

static int on_head(http_parser *parser)
{
    struct exchange *exchange = parser->data;
    struct http2_header headers[BRIDGE_HEADERS_MAX + 1];
    char status[BRIDGE_STATUS_TEXT_MAX];
    size_t count = 0;
    buf_append_byte(&exchange->text, 0);
    snprintf(status, sizeof(status), "%u", (unsigned)parser->status_code);
    headers[count++] = bridge_header(":status", status);
    for (size_t i = 0; i < exchange->field_count; i++) {
        const char *text = (const char *)exchange->text.data;
        const char *name = text + exchange->fields[i].name;
        if (strcmp(name, "content-length") == 0 || !is_connection_header(name)) {
            headers[count++] = bridge_header(name, text + exchange->fields[i].value);
        }
    }
    http2_stream_respond(exchange->stream, headers, count, exchange->is_head_request);
    exchange->is_answered = exchange->is_head_request;
    return exchange->is_head_request ? 1 : 0;
}

static int on_body(http_parser *parser, const char *at, size_t size)
{
    struct exchange *exchange = parser->data;
    http2_stream_write(exchange->stream, bytes_of("", 0), bytes_of(at, size), NULL, NULL);
    if (http2_stream_queued_bytes(exchange->stream) > BRIDGE_ANSWER_QUEUE_BYTES) {
        stream_pause(exchange->pipe);
    }
    return 0;
}

static int on_complete(http_parser *parser)
{
    struct exchange *exchange = parser->data;
    if (!exchange->is_answered) {
        exchange->is_answered = true;
        http2_stream_end(exchange->stream, NULL, 0);
    }
    return 0;
}

static const http_parser_settings ANSWER_SETTINGS = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

static void pipe_end(struct exchange *exchange)
{
    stream_free(exchange->pipe);
    exchange->pipe = NULL;
    if (!exchange->is_answered) {
        exchange->is_answered = true;
        http2_stream_reset(exchange->stream, HTTP2_INTERNAL_ERROR);
    }
}

static void pipe_on_data(void *ctx, struct bytes data)
{
    struct exchange *exchange = ctx;
    if (exchange->is_answered) {
        return;
    }
    http_parser_execute(&exchange->parser, &ANSWER_SETTINGS, (const char *)data.data, data.size);
    if (HTTP_PARSER_ERRNO(&exchange->parser) != HPE_OK && !exchange->is_answered) {
        pipe_end(exchange);
    }
}

static void pipe_on_close(void *ctx, int code, const char *text)
{
    struct exchange *exchange = ctx;
    (void)code;
    (void)text;
    if (!exchange->is_answered) { /* a body without a length ends here */
        http_parser_execute(&exchange->parser, &ANSWER_SETTINGS, "", 0);
    }
    pipe_end(exchange);
}

static const struct stream_events PIPE_EVENTS = {
    .on_data = pipe_on_data,
    .on_close = pipe_on_close,
};

/* The request is whole: to the server with it. */
static void exchange_run(struct exchange *exchange)
{
    struct http2_bridge *bridge = exchange->bridge;
    struct buf request;
    int fds[2];
    buf_init(&request, BRIDGE_BODY_BYTES_MAX + BRIDGE_HEAD_BYTES_MAX);
    if (!write_request(exchange->stream, buf_bytes(&exchange->body), &request)) {
        exchange->is_answered = true;
        answer_status(exchange->stream, "400");
    } else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
        exchange->is_answered = true;
        answer_status(exchange->stream, "503");
    } else {
        exchange->is_head_request =
            strcmp((const char *)http2_stream_method(exchange->stream).data, "HEAD") == 0;
        http_parser_init(&exchange->parser, HTTP_RESPONSE);
        exchange->parser.data = exchange;
        exchange->pipe = stream_adopt(bridge->loop, fds[0], NULL, &PIPE_EVENTS, exchange);
        struct stream *server_end = stream_adopt(bridge->loop, fds[1], NULL, NULL, NULL);
        http1_server_adopt(bridge->http, server_end, buf_bytes(&request), NULL, NULL);
    }
    buf_free(&request);
    buf_free(&exchange->body);
}

/* ---- HTTP/2's side ---- */

static void h2_on_data(void *ctx, struct http2_stream *stream, struct bytes data)
{
    struct exchange *exchange = http2_stream_user(stream);
    (void)ctx;
    http2_stream_consume(stream, data.size);
    if (exchange == NULL || exchange->is_answered) {
        return;
    }
    if (buf_append(&exchange->body, data.data, data.size) != 0) {
        exchange->is_answered = true;
        answer_status(stream, "413");
    }
}

static void h2_on_end(void *ctx, struct http2_stream *stream)
{
    struct exchange *exchange = http2_stream_user(stream);
    (void)ctx;
    if (exchange != NULL && !exchange->is_answered) {
        exchange_run(exchange);
    }
}

static void h2_on_drained(void *ctx, struct http2_stream *stream)
{
    struct exchange *exchange = http2_stream_user(stream);
    (void)ctx;
    if (exchange != NULL && exchange->pipe != NULL) {
        stream_resume(exchange->pipe);
    }
}

static void h2_on_close(void *ctx, struct http2_stream *stream, uint32_t error)
{
    struct exchange *exchange = http2_stream_user(stream);
    (void)ctx;
    (void)error;
    if (exchange == NULL) {
        return;
    }
    http2_stream_set_user(stream, NULL);
    stream_free(exchange->pipe);
    buf_free(&exchange->body);
    buf_free(&exchange->text);
    exchange->bridge->running--;
    mem_free(exchange);
}

static void bridge_take(void *ctx, struct http2_stream *stream, bool ends_here)
{
    struct http2_bridge *bridge = ctx;
    if (bridge->running == BRIDGE_REQUESTS_MAX) {
        http2_stream_hand_over(stream, &bridge->handlers);
        answer_status(stream, "503");
        return;
    }
    struct exchange *exchange = mem_zalloc(sizeof(*exchange));
    exchange->bridge = bridge;
    exchange->stream = stream;
    bridge->running++;
    buf_init(&exchange->body, BRIDGE_BODY_BYTES_MAX);
    buf_init(&exchange->text, BRIDGE_HEAD_BYTES_MAX);
    http2_stream_hand_over(stream, &bridge->handlers);
    http2_stream_set_user(stream, exchange);
    if (ends_here) {
        exchange_run(exchange);
    }
}

struct http2_bridge *http2_bridge_new(struct loop *loop, struct grpc_server *grpc,
                                      struct http1_server *http)
{
    struct http2_bridge *bridge = mem_zalloc(sizeof(*bridge));
    bridge->loop = loop;
    bridge->http = http;
    bridge->handlers = (struct http2_config){
        .loop = loop,
        .ctx = bridge,
        .on_data = h2_on_data,
        .on_end = h2_on_end,
        .on_drained = h2_on_drained,
        .on_close = h2_on_close,
    };
    grpc_server_set_other(grpc, bridge_take, bridge);
    return bridge;
}

void http2_bridge_free(struct http2_bridge *bridge)
{
    if (bridge != NULL) {
        ASSERT(bridge->running == 0);
        mem_free(bridge);
    }
}
