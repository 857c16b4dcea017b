/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 connections. libhttp-parser finds the pieces; limits, deadlines, pipelining and the
 * order of callbacks are here. The parser pauses at the end of each message, so that a request is
 * answered before the next one is looked at.
 */
#include "base/net/http1.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/net/http1_internal.h"

#define HTTP1_PENDING_BYTES_MAX    (64u * 1024u)
#define HTTP1_TEXT_BYTES_MAX       (2u * HTTP1_HEAD_BYTES_MAX + 4096u)
#define HTTP1_BODY_READ_TIMEOUT_MS 30000u
#define HTTP1_OTHER_PROTOCOL       2 /* the end of a head: the parser has no more to do */
#define HTTP1_STOPPED              -1 /* 1 would mean something else to the parser at the end of a head */

static int on_message_begin(http_parser *parser);
static int on_url(http_parser *parser, const char *at, size_t size);
static int on_field(http_parser *parser, const char *at, size_t size);
static int on_value(http_parser *parser, const char *at, size_t size);
static int on_headers_complete(http_parser *parser);
static int on_body(http_parser *parser, const char *at, size_t size);
static int on_message_complete(http_parser *parser);

static const http_parser_settings SETTINGS = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static void conn_on_data(void *ctx, struct bytes data);
static void conn_on_drained(void *ctx);
static void conn_on_close(void *ctx, int code, const char *text);

static const struct stream_events STREAM_EVENTS = {
    .on_data = conn_on_data,
    .on_drained = conn_on_drained,
    .on_close = conn_on_close,
};

struct http1_server *http1_server_new(const struct http1_server_config *config)
{
    ASSERT(config->on_request != NULL);
    struct http1_server *server = mem_zalloc(sizeof(*server));
    server->config = *config;
    if (server->config.body_bytes_max == 0) {
        server->config.body_bytes_max = HTTP1_BODY_BYTES_DEFAULT;
    }
    if (server->config.head_deadline_ms == 0) {
        server->config.head_deadline_ms = HTTP1_HEAD_DEADLINE_MS;
    }
    list_init(&server->conns);
    handle_table_init(&server->handles);
    return server;
}

void http1_server_free(struct http1_server *server)
{
    if (server == NULL) {
        return;
    }
    while (!list_empty(&server->conns)) {
        http1_conn_drop(LIST_ENTRY(server->conns.next, struct http1_conn, node));
    }
    handle_table_free(&server->handles);
    mem_free(server);
}

size_t http1_server_connection_count(const struct http1_server *server)
{
    return server->conn_count;
}

struct http1_request *http1_request_from_handle(const struct http1_server *server, uint64_t handle)
{
    return handle_get(&server->handles, handle);
}

/* Ends the life of a request: on_over where it is owed, memory. */
static void request_end(struct http1_conn *conn, bool completed)
{
    struct http1_request *request = conn->request;
    if (request == NULL) {
        return;
    }
    conn->request = NULL;
    handle_remove(&conn->server->handles, request->handle);
    if (request->was_seen && conn->server->config.on_over != NULL) {
        conn->server->config.on_over(conn->server->config.ctx, request, completed);
    }
    buf_free(&request->text);
    buf_free(&request->body);
    buf_free(&request->extra_headers);
    mem_free(request);
}

static void conn_leave(struct http1_conn *conn)
{
    conn->depth--;
    if (conn->depth == 0 && conn->is_gone) {
        buf_free(&conn->pending);
        mem_free(conn);
    }
}

void http1_conn_drop(struct http1_conn *conn)
{
    if (conn->is_gone) {
        return;
    }
    conn->is_gone = true;
    conn->depth++;
    list_remove(&conn->node);
    conn->server->conn_count--;
    stream_free(conn->stream);
    conn->stream = NULL;
    request_end(conn, false);
    if (conn->on_closed != NULL) {
        conn->on_closed(conn->closed_ctx);
    }
    conn_leave(conn);
}

/* Answers with an error of the connection itself and closes. */
static void conn_fail(struct http1_conn *conn, int status)
{
    if (conn->is_gone || conn->is_closing) {
        return;
    }
    conn->is_closing = true;
    if (conn->request != NULL && conn->request->has_started) {
        http1_conn_drop(conn);
        return;
    }
    char text[192];
    int size = snprintf(text, sizeof(text),
                        "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                        "Connection: close\r\n\r\n%d %s",
                        status, http1_status_text(status), status, http1_status_text(status));
    stream_write(conn->stream, text, (size_t)size);
    stream_close_when_sent(conn->stream);
    request_end(conn, false);
}

static void conn_await_request(struct http1_conn *conn)
{
    stream_set_read_timeout(conn->stream, 0);
    stream_set_deadline(conn->stream, conn->server->config.idle_timeout_ms);
    http_parser_init(&conn->parser, HTTP_REQUEST);
    conn->parser.data = conn;
}

static int stop_with(struct http1_conn *conn, int status)
{
    conn->fail_status = status;
    return HTTP1_STOPPED;
}

static int on_message_begin(http_parser *parser)
{
    struct http1_conn *conn = parser->data;
    struct http1_request *request = mem_zalloc(sizeof(*request));
    request->conn = conn;
    request->handle = handle_add(&conn->server->handles, request);
    buf_init(&request->text, HTTP1_TEXT_BYTES_MAX);
    buf_init(&request->body, conn->server->config.body_bytes_max);
    buf_init(&request->extra_headers, HTTP1_HEAD_BYTES_MAX);
    conn->request = request;
    stream_set_deadline(conn->stream, conn->server->config.head_deadline_ms);
    return 0;
}

/* Adds a piece of the head; E_TOO_BIG past the limit. */
static int head_append(struct http1_request *request, const char *at, size_t size)
{
    if (request->text.size + size > HTTP1_HEAD_BYTES_MAX) {
        return E_TOO_BIG;
    }
    return buf_append(&request->text, at, size);
}

static int on_url(http_parser *parser, const char *at, size_t size)
{
    struct http1_conn *conn = parser->data;
    if (head_append(conn->request, at, size) != 0) {
        return stop_with(conn, 431);
    }
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t size)
{
    struct http1_conn *conn = parser->data;
    struct http1_request *request = conn->request;
    if (request->field_count == 0 || request->in_value) {
        if (request->field_count == HTTP1_HEADERS_MAX) {
            return stop_with(conn, 431);
        }
        buf_append_byte(&request->text, 0); /* ends what was before */
        request->fields[request->field_count] =
            (struct http1_field){(uint32_t)request->text.size, 0};
        request->field_count++;
        request->in_value = false;
    }
    if (head_append(request, at, size) != 0) {
        return stop_with(conn, 431);
    }
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t size)
{
    struct http1_conn *conn = parser->data;
    struct http1_request *request = conn->request;
    ASSERT(request->field_count > 0);
    if (!request->in_value) {
        buf_append_byte(&request->text, 0);
        request->fields[request->field_count - 1].value = (uint32_t)request->text.size;
        request->in_value = true;
    }
    if (head_append(request, at, size) != 0) {
        return stop_with(conn, 431);
    }
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes size bytes at from into out; false on a bad escape, a NUL, or too little room. */
static bool percent_decode(const char *from, size_t size, bool plus_is_space, char *out,
                           size_t out_size)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char c = from[i];
        if (c == '%') {
            int high = size - i > 2 ? hex_digit(from[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(from[i + 2]) : -1;
            if (low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0' || used + 1 >= out_size) {
            return false;
        }
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

/* Splits the target into path and query; false when it is malformed. */
static bool request_split_target(struct http1_request *request)
{
    const char *target = (const char *)request->text.data + request->target;
    size_t target_size = strlen(target);
    const char *path = target;
    const char *scheme = strstr(target, "://");
    if (target[0] != '/' && scheme != NULL) {
        path = strchr(scheme + 3, '/'); /* the absolute form, as proxies are asked */
        path = path == NULL && !FUZZ_PLANT(http1_target) ? target + target_size : path;
    }
    size_t path_size = strcspn(path, "?#");
    const char *query = path[path_size] == '?' ? path + path_size + 1 : "";
    size_t query_size = strcspn(query, "#");

    char decoded[HTTP1_HEAD_BYTES_MAX + 1];
    char raw_query[HTTP1_HEAD_BYTES_MAX + 1];
    ASSERT(target_size <= HTTP1_HEAD_BYTES_MAX);
    if (!percent_decode(path, path_size, false, decoded, sizeof(decoded))) {
        return false;
    }
    memcpy(raw_query, query, query_size);
    raw_query[query_size] = '\0';
    request->path = (uint32_t)request->text.size;
    buf_append(&request->text, decoded[0] == '\0' ? "/" : decoded,
               decoded[0] == '\0' ? 2 : strlen(decoded) + 1);
    request->query = (uint32_t)request->text.size;
    buf_append(&request->text, raw_query, query_size + 1);
    return !request->text.overflowed;
}

static int on_headers_complete(http_parser *parser)
{
    struct http1_conn *conn = parser->data;
    struct http1_request *request = conn->request;
    const struct http1_server_config *config = &conn->server->config;
    parser->upgrade = 0; /* answered as an ordinary request, unless on_head changes the protocol */
    buf_append_byte(&request->text, 0);
    request->method = (enum http_method)parser->method;
    request->is_http11 = parser->http_major == 1 && parser->http_minor >= 1;
    request->keep_alive = http_should_keep_alive(parser) != 0 && !conn->server->draining;
    if (parser->http_major != 1) {
        return stop_with(conn, 505);
    }
    if (request->text.overflowed || !request_split_target(request)) {
        return stop_with(conn, 400);
    }
    bool has_length = parser->content_length != UINT64_MAX && parser->content_length > 0;
    bool has_body = has_length || (parser->flags & F_CHUNKED) != 0;
    request->is_received = !has_body;
    stream_set_deadline(conn->stream, 0);
    if (config->on_head != NULL) {
        request->was_seen = true;
        config->on_head(config->ctx, request);
        if (conn->is_gone) {
            return HTTP1_STOPPED;
        }
        if (request->is_raw) {
            return HTTP1_OTHER_PROTOCOL;
        }
    }
    if (!has_body || request->has_started) {
        return 0;
    }
    if (request->on_body == NULL && has_length && parser->content_length > config->body_bytes_max) {
        return stop_with(conn, 413);
    }
    stream_set_read_timeout(conn->stream, HTTP1_BODY_READ_TIMEOUT_MS);
    const char *expect = http1_header(request, "expect");
    if (expect != NULL && strcasecmp(expect, "100-continue") == 0) {
        static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";
        stream_write(conn->stream, CONTINUE, sizeof(CONTINUE) - 1);
    }
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t size)
{
    struct http1_conn *conn = parser->data;
    struct http1_request *request = conn->request;
    if (request->on_body != NULL) {
        request->on_body(conn->server->config.ctx, request, bytes_of(at, size), false);
        return conn->is_gone ? HTTP1_STOPPED : 0;
    }
    if (request->is_answered) {
        return 0; /* answered early: the rest is read and dropped */
    }
    if (buf_append(&request->body, at, size) != 0) {
        return stop_with(conn, 413);
    }
    return 0;
}

static int on_message_complete(http_parser *parser)
{
    struct http1_conn *conn = parser->data;
    struct http1_request *request = conn->request;
    const struct http1_server_config *config = &conn->server->config;
    if (request->is_raw) {
        return 0;
    }
    request->is_received = true;
    stream_set_read_timeout(conn->stream, 0);
    http_parser_pause(parser, 1);
    if (request->on_body != NULL) {
        request->on_body(config->ctx, request, bytes_of(NULL, 0), true);
    } else if (!request->has_started) {
        request->was_seen = true;
        config->on_request(config->ctx, request);
    }
    return conn->is_gone ? HTTP1_STOPPED : 0;
}

/* Parses; gives how many bytes were used (less than size at the end of a message). */
static size_t conn_parse(struct http1_conn *conn, struct bytes data)
{
    struct http1_request *request = conn->request;
    if (request != NULL && request->is_raw) {
        request->on_body(conn->server->config.ctx, request, data, false);
        return data.size;
    }
    size_t used = http_parser_execute(&conn->parser, &SETTINGS, (const char *)data.data, data.size);
    if (conn->is_gone) {
        return data.size;
    }
    enum http_errno error = HTTP_PARSER_ERRNO(&conn->parser);
    if (error == HPE_PAUSED) {
        return used;
    }
    if (error != HPE_OK) {
        int status = conn->fail_status != 0 ? conn->fail_status : 400;
        conn_fail(conn, error == HPE_HEADER_OVERFLOW ? 431 : status);
        return data.size;
    }
    return used;
}

static bool conn_is_busy(const struct http1_conn *conn)
{
    return conn->request != NULL && conn->request->is_received;
}

/* Ends the running request when it is answered; gives whether the next one may be read. */
static bool conn_settle(struct http1_conn *conn)
{
    struct http1_request *request = conn->request;
    if (conn->is_gone || conn->is_closing) {
        return false;
    }
    if (request == NULL || !request->is_answered) {
        return request == NULL || !request->is_received;
    }
    if (!request->keep_alive || !request->is_received || conn->server->draining) {
        conn->is_closing = true;
        stream_close_when_sent(conn->stream);
        request_end(conn, true);
        return false;
    }
    request_end(conn, true);
    if (conn->is_gone) {
        return false;
    }
    conn_await_request(conn);
    stream_resume(conn->stream);
    return true;
}

void http1_conn_advance(struct http1_conn *conn)
{
    if (conn->depth > 0) {
        return; /* the function on the stack goes on from here */
    }
    conn->depth++;
    while (conn_settle(conn) && conn->pending.size > 0 && !stream_is_full(conn->stream)) {
        struct buf data = conn->pending;
        buf_init(&conn->pending, BUF_NO_LIMIT);
        size_t used = conn_parse(conn, buf_bytes(&data));
        if (!conn->is_gone && used < data.size) {
            buf_append(&conn->pending, data.data + used, data.size - used);
        }
        buf_free(&data);
    }
    conn_leave(conn);
}

static void conn_on_data(void *ctx, struct bytes data)
{
    struct http1_conn *conn = ctx;
    if (conn->is_closing) {
        return;
    }
    conn->depth++;
    /* A client that asks and does not read waits: its answers must not pile up. */
    if (!conn_is_busy(conn) && conn->pending.size == 0 && !stream_is_full(conn->stream)) {
        size_t used = conn_parse(conn, data);
        data = bytes_of(data.data + used, data.size - used);
    }
    if (!conn->is_gone && data.size > 0) {
        buf_append(&conn->pending, data.data, data.size);
        if (conn->pending.size > HTTP1_PENDING_BYTES_MAX) {
            stream_pause(conn->stream);
        }
    }
    bool gone = conn->is_gone;
    conn_leave(conn);
    if (!gone) {
        http1_conn_advance(conn);
    }
}

static void conn_on_drained(void *ctx)
{
    struct http1_conn *conn = ctx;
    const struct http1_server_config *config = &conn->server->config;
    conn->depth++;
    if (conn->request != NULL && conn->request->was_seen && config->on_drained != NULL) {
        config->on_drained(config->ctx, conn->request);
    }
    bool gone = conn->is_gone;
    conn_leave(conn);
    if (!gone) {
        http1_conn_advance(conn);
    }
}

static void conn_on_close(void *ctx, int code, const char *text)
{
    (void)code;
    (void)text;
    http1_conn_drop(ctx);
}

void http1_server_adopt(struct http1_server *server, struct stream *stream, struct bytes first,
                        void (*on_closed)(void *ctx), void *closed_ctx)
{
    struct http1_conn *conn = mem_zalloc(sizeof(*conn));
    conn->server = server;
    conn->stream = stream;
    conn->on_closed = on_closed;
    conn->closed_ctx = closed_ctx;
    buf_init(&conn->pending, BUF_NO_LIMIT);
    list_append(&server->conns, &conn->node);
    server->conn_count++;
    stream_set_events(stream, &STREAM_EVENTS, conn);
    conn_await_request(conn);
    stream_set_deadline(stream, server->config.head_deadline_ms);
    if (first.size > 0) {
        conn_on_data(conn, first);
    }
}

void http1_server_drain(struct http1_server *server)
{
    server->draining = true;
    LIST_EACH_SAFE(node, &server->conns)
    {
        struct http1_conn *conn = LIST_ENTRY(node, struct http1_conn, node);
        if (conn->request == NULL && !conn->is_closing) {
            http1_conn_drop(conn);
        }
    }
}

uint64_t http1_request_handle(const struct http1_request *request)
{
    return request->handle;
}

const char *http1_method(const struct http1_request *request)
{
    return http_method_str(request->method);
}

const char *http1_path(const struct http1_request *request)
{
    return (const char *)request->text.data + request->path;
}

const char *http1_query(const struct http1_request *request)
{
    return (const char *)request->text.data + request->query;
}

bool http1_query_value(const struct http1_request *request, const char *name, char *out,
                       size_t out_size)
{
    const char *at = http1_query(request);
    size_t name_size = strlen(name);
    while (*at != '\0') {
        size_t size = strcspn(at, "&");
        size_t key_size = strcspn(at, "&=");
        if (key_size == name_size && memcmp(at, name, name_size) == 0) {
            const char *value = at + key_size + (key_size < size ? 1 : 0);
            return percent_decode(value, (size_t)(at + size - value), true, out, out_size);
        }
        at += size;
        at += *at == '&' ? 1 : 0;
    }
    return false;
}

const char *http1_header(const struct http1_request *request, const char *name)
{
    for (size_t i = 0; i < request->field_count; i++) {
        const char *text = (const char *)request->text.data;
        if (strcasecmp(text + request->fields[i].name, name) == 0) {
            return request->fields[i].value == 0 ? "" : text + request->fields[i].value;
        }
    }
    return NULL;
}

struct bytes http1_body(const struct http1_request *request)
{
    return buf_bytes(&request->body);
}

bool http1_is_plain(const struct http1_request *request)
{
    return stream_is_plain(request->conn->stream);
}

struct stream *http1_stream(const struct http1_request *request)
{
    return request->conn->stream;
}

void http1_set_user(struct http1_request *request, void *user)
{
    request->user = user;
}

void *http1_user(const struct http1_request *request)
{
    return request->user;
}

void http1_stream_body(struct http1_request *request, http1_body_fn on_body_part)
{
    ASSERT(!request->has_started && request->body.size == 0);
    request->on_body = on_body_part;
}

void http1_body_pause(struct http1_request *request)
{
    stream_set_read_timeout(request->conn->stream, 0);
    stream_pause(request->conn->stream);
}

void http1_body_resume(struct http1_request *request)
{
    stream_resume(request->conn->stream);
    if (!request->is_received) {
        stream_set_read_timeout(request->conn->stream, HTTP1_BODY_READ_TIMEOUT_MS);
    }
}

void http1_abort(struct http1_request *request)
{
    http1_conn_drop(request->conn);
}
