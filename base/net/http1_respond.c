/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of HTTP/1.1 requests: whole, or in chunks without end. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/net/http1_internal.h"

void http1_set_header(struct http1_request *request, const char *name, const char *value)
{
    ASSERT(!request->has_started);
    ASSERT(strpbrk(name, "\r\n:") == NULL && strpbrk(value, "\r\n") == NULL);
    buf_printf(&request->extra_headers, "%s: %s\r\n", name, value);
}

/* Statuses that never have a body. */
static bool status_is_bare(int status)
{
    return status == 204 || status == 304 || (status >= 100 && status < 200);
}

/* Queues the head. body_size UINT64_MAX: unknown. */
static void respond_head(struct http1_request *request, int status, const char *content_type,
                         uint64_t body_size)
{
    ASSERT(!request->has_started);
    request->has_started = true;
    if (!request->is_received) {
        request->keep_alive = false; /* answered before the body was read */
    }
    struct buf head;
    buf_init(&head, 2 * HTTP1_HEAD_BYTES_MAX);
    buf_printf(&head, "HTTP/1.1 %d %s\r\n", status, http1_status_text(status));
    buf_append(&head, request->extra_headers.data, request->extra_headers.size);
    if (content_type != NULL) {
        buf_printf(&head, "Content-Type: %s\r\n", content_type);
    }
    if (body_size != UINT64_MAX) {
        if (!status_is_bare(status)) {
            buf_printf(&head, "Content-Length: %llu\r\n", (unsigned long long)body_size);
        }
    } else if (request->is_http11) {
        request->is_chunked = true;
        buf_append_str(&head, "Transfer-Encoding: chunked\r\n");
    } else {
        request->keep_alive = false;
    }
    if (!request->keep_alive) {
        buf_append_str(&head, "Connection: close\r\n");
    } else if (!request->is_http11) {
        buf_append_str(&head, "Connection: keep-alive\r\n");
    }
    buf_append_str(&head, "\r\n");
    ASSERT(!head.overflowed && !request->extra_headers.overflowed);
    stream_write(request->conn->stream, head.data, head.size);
    buf_free(&head);
}

void http1_respond(struct http1_request *request, int status, const char *content_type,
                   struct bytes body)
{
    respond_head(request, status, content_type, body.size);
    if (request->method != HTTP_HEAD && !status_is_bare(status)) {
        stream_write(request->conn->stream, body.data, body.size);
    }
    request->is_answered = true;
    http1_conn_advance(request->conn);
}

void http1_respond_error(struct http1_request *request, int status, const char *text)
{
    http1_set_header(request, "X-Content-Type-Options", "nosniff");
    char *line = str_printf("%s\n", text);
    http1_respond(request, status, "text/plain; charset=utf-8", bytes_of_str(line));
    mem_free(line);
}

void http1_respond_method_not_allowed(struct http1_request *request, const char *allow)
{
    http1_set_header(request, "Allow", allow);
    http1_respond_error(request, 405, "Method Not Allowed");
}

void http1_respond_start(struct http1_request *request, int status, const char *content_type)
{
    respond_head(request, status, content_type, UINT64_MAX);
}

void http1_upgrade(struct http1_request *request, const char *protocol, http1_body_fn on_data)
{
    ASSERT(!request->has_started);
    http1_set_header(request, "Upgrade", protocol);
    http1_set_header(request, "Connection", "Upgrade");
    request->has_started = true;
    request->is_raw = true;
    request->is_received = false;
    request->keep_alive = false;
    request->on_body = on_data;
    ASSERT(!request->extra_headers.overflowed);
    struct stream *stream = request->conn->stream;
    stream_write(stream, "HTTP/1.1 101 Switching Protocols\r\n", 34);
    stream_write(stream, request->extra_headers.data, request->extra_headers.size);
    stream_write(stream, "\r\n", 2);
}

static void respond_chunk_head(struct http1_request *request, size_t size)
{
    char head[32];
    int head_size = snprintf(head, sizeof(head), "%zx\r\n", size);
    stream_write(request->conn->stream, head, (size_t)head_size);
}

void http1_respond_write(struct http1_request *request, const void *data, size_t size)
{
    ASSERT(request->has_started && !request->is_answered);
    if (size == 0 || request->method == HTTP_HEAD) {
        return; /* an empty chunk would end the body */
    }
    if (request->is_chunked) {
        respond_chunk_head(request, size);
    }
    stream_write(request->conn->stream, data, size);
    if (request->is_chunked) {
        stream_write(request->conn->stream, "\r\n", 2);
    }
}

void http1_respond_write_take(struct http1_request *request, uint8_t *data, size_t size)
{
    ASSERT(request->has_started && !request->is_answered);
    if (size == 0 || request->method == HTTP_HEAD) {
        mem_free(data);
        return;
    }
    if (request->is_chunked) {
        respond_chunk_head(request, size);
    }
    stream_write_take(request->conn->stream, data, size);
    if (request->is_chunked) {
        stream_write(request->conn->stream, "\r\n", 2);
    }
}

void http1_respond_end(struct http1_request *request)
{
    ASSERT(request->has_started && !request->is_answered);
    if (request->is_chunked && request->method != HTTP_HEAD) {
        stream_write(request->conn->stream, "0\r\n\r\n", 5);
    }
    request->is_answered = true;
    http1_conn_advance(request->conn);
}

bool http1_response_is_full(const struct http1_request *request)
{
    return stream_is_full(request->conn->stream);
}

size_t http1_response_queued_bytes(const struct http1_request *request)
{
    return stream_queued_bytes(request->conn->stream);
}

bool http1_response_started(const struct http1_request *request)
{
    return request->has_started;
}
