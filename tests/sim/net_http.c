/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/net/http1.h over the simulated network: one request per connection, callbacks in the order
 * of the real server. Servers and requests live in the memory of their node.
 */
#include <http_parser.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/net/handle.h"
#include "tests/sim/net_internal.h"

#define RAFT_STREAM_PREFIX "/raft/stream/"

struct http1_request {
    struct list node;
    struct http1_server *server;
    uint64_t exchange_id;
    uint64_t handle;
    void *user;
    struct buf text; /* method, target without query, then names and values; each with its NUL */
    const char *path;
    const char *query;
    struct buf body;
    http1_body_fn on_body;
    uint32_t depth; /* callbacks of this request on the stack */
    bool was_seen, is_received, has_started, is_answered, is_gone;
    bool is_raft_stream;
    bool is_raft_snapshot; /* body holds its message, as soon as that is whole */
    bool has_message;
    struct buf extra_headers; /* names and values of the answer */
};

struct http1_server {
    struct http1_server_config config;
    struct list requests;
    size_t request_count;
    struct handle_table handles;
};

struct loop *net_server_loop(const struct http1_server *server)
{
    return server->config.loop;
}

/* ---- servers ---- */

struct http1_server *http1_server_new(const struct http1_server_config *config)
{
    ASSERT(config->on_request != NULL);
    struct http1_server *server = mem_zalloc(sizeof(*server));
    server->config = *config;
    if (server->config.body_bytes_max == 0) {
        server->config.body_bytes_max = HTTP1_BODY_BYTES_DEFAULT;
    }
    list_init(&server->requests);
    handle_table_init(&server->handles);
    return server;
}

static struct net_exchange *exchange_of(const struct http1_request *request)
{
    return request->is_gone ? NULL : net_exchange_find(request->exchange_id);
}

static void request_free(struct http1_request *request)
{
    buf_free(&request->text);
    buf_free(&request->body);
    buf_free(&request->extra_headers);
    mem_free(request);
}

/* Ends the life of a request: the connection, on_over where it is owed; memory when no callback of
 * it is on the stack. */
static void request_end(struct http1_request *request, bool completed)
{
    struct net_exchange *exchange = exchange_of(request);
    struct http1_server *server = request->server;
    if (request->is_gone) {
        return;
    }
    request->is_gone = true;
    list_remove(&request->node);
    server->request_count--;
    if (exchange != NULL) {
        net_exchange_server_left(exchange, completed);
    }
    handle_remove(&server->handles, request->handle);
    request->depth++;
    if (request->was_seen && server->config.on_over != NULL) {
        server->config.on_over(server->config.ctx, request, completed);
    }
    request->depth--;
    if (request->depth == 0) {
        request_free(request);
    }
}

void http1_server_free(struct http1_server *server)
{
    if (server == NULL) {
        return;
    }
    sim_net_unlisten(server);
    while (!list_empty(&server->requests)) {
        request_end(LIST_ENTRY(server->requests.next, struct http1_request, node), false);
    }
    /* Connections on which no request was read yet. */
    LIST_EACH_SAFE(it, &net_state()->exchanges)
    {
        struct net_exchange *exchange = LIST_ENTRY(it, struct net_exchange, node);
        if (exchange->server == server) {
            net_exchange_server_left(exchange, false);
        }
    }
    handle_table_free(&server->handles);
    mem_free(server);
}

void http1_server_drain(struct http1_server *server)
{
    (void)server; /* a connection ends with its answer anyway */
}

size_t http1_server_connection_count(const struct http1_server *server)
{
    return server->request_count;
}

uint64_t http1_request_handle(const struct http1_request *request)
{
    return request->handle;
}

struct http1_request *http1_request_from_handle(const struct http1_server *server, uint64_t handle)
{
    return handle_get(&server->handles, handle);
}

/* ---- what comes in ---- */

static void enter(struct http1_request *request)
{
    request->depth++;
}

/* What was answered inside ends now. */
static void leave(struct http1_request *request)
{
    request->depth--;
    if (request->depth > 0) {
        return;
    }
    if (request->is_gone) {
        request_free(request);
    } else if (request->is_answered) {
        request_end(request, true);
    }
}

static int hex_digit(char c)
{
    c = c >= 'A' && c <= 'F' ? (char)(c | 0x20) : c;
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; what is no escape stays. */
static void percent_decode(char *text, bool plus_is_space)
{
    char *out = text;
    for (char *at = text; *at != '\0'; at++) {
        if (*at == '%' && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
            *out++ = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
            at += 2;
        } else {
            *out++ = *at == '+' && plus_is_space ? ' ' : *at;
        }
    }
    *out = '\0';
}

static void take_head(struct net_exchange *exchange, const struct net_unit *unit)
{
    struct http1_server *server = exchange->server;
    struct http1_request *request = mem_zalloc(sizeof(*request));
    request->server = server;
    request->exchange_id = exchange->id;
    buf_init(&request->text, BUF_NO_LIMIT);
    buf_append(&request->text, unit->data.data, unit->data.size);
    buf_init(&request->body, server->config.body_bytes_max);
    buf_init(&request->extra_headers, HTTP1_HEAD_BYTES_MAX);
    char *target = (char *)request->text.data + strlen((char *)request->text.data) + 1;
    char *query = strchr(target, '?');
    if (query != NULL) {
        *query = '\0';
    }
    request->query = query == NULL ? "" : query + 1;
    percent_decode(target, false);
    request->path = target;
    request->is_raft_snapshot = strcmp(target, "/raft/snapshot") == 0;
    request->handle = handle_add(&server->handles, request);
    list_append(&server->requests, &request->node);
    server->request_count++;
    exchange->request = request;
    if (server->config.on_head != NULL) {
        enter(request);
        request->was_seen = true;
        server->config.on_head(server->config.ctx, request);
        leave(request);
    }
}

/* An answer of the connection itself; who sees requests hears only that this one is over. */
static void refuse(struct http1_request *request, int status)
{
    struct net_exchange *exchange = exchange_of(request);
    if (!request->has_started) {
        net_exchange_push(exchange, NET_TO_CLIENT, NET_ANSWER, status, (struct bytes){NULL, 0});
        net_exchange_push(exchange, NET_TO_CLIENT, NET_END, 0, (struct bytes){NULL, 0});
    }
    request_end(request, false);
}

/* Keeps what stands before the database. */
static void keep_message(struct http1_request *request, struct bytes part)
{
    struct raft_message message = {0};
    size_t used = 0;
    bool is_beat = false;
    if (request->has_message || buf_append(&request->body, part.data, part.size) != 0) {
        return;
    }
    if (codec_message_decode(buf_bytes(&request->body), &used, &message, &is_beat) == 0) {
        request->has_message = true;
        request->body.size = used;
        raft_message_clear(&message);
    }
}

static void take_body(struct http1_request *request, struct bytes part)
{
    struct http1_server *server = request->server;
    if (request->is_raft_snapshot) {
        keep_message(request, part);
    }
    if (request->on_body != NULL) {
        request->on_body(server->config.ctx, request, part, false);
    } else if (!request->is_answered && buf_append(&request->body, part.data, part.size) != 0) {
        refuse(request, 413);
    }
}

static void take_end(struct net_exchange *exchange, struct http1_request *request)
{
    struct http1_server *server = request->server;
    request->is_received = true;
    if (request->on_body != NULL) {
        if (request->has_message) {
            net_raft_snapshot_arrives(exchange->client_node, exchange->server_node,
                                      buf_bytes(&request->body));
        }
        request->on_body(server->config.ctx, request, bytes_of(NULL, 0), true);
    } else if (!request->has_started) {
        if (strcmp(request->path, "/raft") == 0) {
            net_raft_arrives(exchange->client_node, exchange->server_node,
                             buf_bytes(&request->body));
        }
        request->was_seen = true;
        server->config.on_request(server->config.ctx, request);
    }
}

void net_server_take(struct net_exchange *exchange, const struct net_unit *unit)
{
    struct http1_request *request = exchange->request;
    if (unit->kind == NET_HEAD) {
        take_head(exchange, unit);
        return;
    }
    if (request == NULL) {
        if (unit->kind == NET_CLOSE) {
            net_exchange_server_left(exchange, false);
        }
        return;
    }
    enter(request);
    if (unit->kind == NET_BODY) {
        take_body(request, buf_bytes(&unit->data));
    } else if (unit->kind == NET_END) {
        take_end(exchange, request);
    } else if (unit->kind == NET_CLOSE) {
        request_end(request, false);
    }
    leave(request);
}

void net_server_room(struct http1_request *request)
{
    const struct http1_server_config *config = &request->server->config;
    if (request->was_seen && config->on_drained != NULL) {
        enter(request);
        config->on_drained(config->ctx, request);
        leave(request);
    }
}

/* ---- reading a request ---- */

const char *http1_method(const struct http1_request *request)
{
    return (const char *)request->text.data;
}

const char *http1_path(const struct http1_request *request)
{
    return request->path[0] == '\0' ? "/" : request->path;
}

const char *http1_query(const struct http1_request *request)
{
    return request->query;
}

bool http1_query_value(const struct http1_request *request, const char *name, char *out,
                       size_t out_size)
{
    size_t name_size = strlen(name);
    for (const char *at = request->query; *at != '\0';) {
        size_t size = strcspn(at, "&");
        size_t key_size = strcspn(at, "&=");
        if (key_size == name_size && memcmp(at, name, name_size) == 0) {
            size_t skip = key_size + (key_size < size ? 1 : 0);
            if (size - skip >= out_size) {
                return false;
            }
            snprintf(out, out_size, "%.*s", (int)(size - skip), at + skip);
            percent_decode(out, true);
            return true;
        }
        at += size;
        at += *at == '&' ? 1 : 0;
    }
    return false;
}

const char *http1_header(const struct http1_request *request, const char *name)
{
    /* What follows method and target; a query ends in the NUL of the target. */
    const char *end = (const char *)request->text.data + request->text.size;
    const char *at = (const char *)request->text.data;
    const char *query_end = request->query[0] == '\0' ? NULL : strchr(request->query, '\0');
    at += strlen(at) + 1;
    at = query_end != NULL ? query_end + 1 : at + strlen(at) + 1;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (strcasecmp(at, name) == 0) {
            return value;
        }
        at = value + strlen(value) + 1;
    }
    return NULL;
}

bool http1_is_plain(const struct http1_request *request)
{
    (void)request;
    return true;
}

struct bytes http1_body(const struct http1_request *request)
{
    return buf_bytes(&request->body);
}

void http1_set_user(struct http1_request *request, void *user)
{
    request->user = user;
}

void *http1_user(const struct http1_request *request)
{
    return request->user;
}

void http1_stream_body(struct http1_request *request, http1_body_fn on_body)
{
    ASSERT(!request->has_started && request->body.size == 0);
    request->on_body = on_body;
}

void http1_body_pause(struct http1_request *request)
{
    struct net_exchange *exchange = exchange_of(request);
    if (exchange != NULL) {
        exchange->halves[NET_TO_SERVER].is_paused = true;
    }
}

void http1_body_resume(struct http1_request *request)
{
    struct net_exchange *exchange = exchange_of(request);
    if (exchange != NULL) {
        exchange->halves[NET_TO_SERVER].is_paused = false;
        net_exchange_go_on(exchange, NET_TO_SERVER);
    }
}

/* ---- answering ---- */

static void append_header(struct buf *out, const char *name, const char *value)
{
    for (const char *at = name; *at != '\0'; at++) {
        buf_append_byte(out, (uint8_t)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at));
    }
    buf_append_byte(out, 0);
    buf_append(out, value, strlen(value) + 1);
}

void http1_set_header(struct http1_request *request, const char *name, const char *value)
{
    ASSERT(!request->has_started);
    ASSERT(strpbrk(name, "\r\n:") == NULL && strpbrk(value, "\r\n") == NULL);
    append_header(&request->extra_headers, name, value);
}

static void respond_head(struct http1_request *request, int status, const char *content_type)
{
    ASSERT(!request->has_started);
    struct net_exchange *exchange = exchange_of(request);
    request->has_started = true;
    if (content_type != NULL) {
        append_header(&request->extra_headers, "Content-Type", content_type);
    }
    ASSERT(!request->extra_headers.overflowed);
    if (exchange != NULL) {
        net_exchange_push(exchange, NET_TO_CLIENT, NET_ANSWER, status,
                          buf_bytes(&request->extra_headers));
    }
}

static bool has_no_body(const struct http1_request *request, int status)
{
    return strcmp(http1_method(request), "HEAD") == 0 || status == 204 || status == 304;
}

static void respond_body(struct http1_request *request, struct bytes body)
{
    struct net_exchange *exchange = exchange_of(request);
    if (exchange != NULL) {
        net_exchange_push_body(exchange, NET_TO_CLIENT, body);
    }
}

static void respond_end(struct http1_request *request)
{
    struct net_exchange *exchange = exchange_of(request);
    request->is_answered = true;
    if (exchange != NULL) {
        net_exchange_push(exchange, NET_TO_CLIENT, NET_END, 0, (struct bytes){NULL, 0});
    }
    enter(request);
    leave(request);
}

void http1_respond(struct http1_request *request, int status, const char *content_type,
                   struct bytes body)
{
    respond_head(request, status, content_type);
    if (!has_no_body(request, status)) {
        respond_body(request, body);
    }
    respond_end(request);
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
    struct net_exchange *exchange = exchange_of(request);
    respond_head(request, status, content_type);
    request->is_raft_stream = status == 200 && str_starts_with(request->path, RAFT_STREAM_PREFIX);
    if (exchange != NULL && request->is_raft_stream) {
        net_raft_stream_start(exchange, request->path, request->user);
    }
}

void http1_respond_write(struct http1_request *request, const void *data, size_t size)
{
    ASSERT(request->has_started && !request->is_answered);
    if (!has_no_body(request, 0)) {
        respond_body(request, bytes_of(data, size));
    }
}

/* engine/peer writes whole Raft messages so, and nothing else. */
void http1_respond_write_take(struct http1_request *request, uint8_t *data, size_t size)
{
    struct net_exchange *exchange = exchange_of(request);
    if (request->is_raft_stream && exchange != NULL) {
        net_raft_send(exchange, bytes_of(data, size));
    } else {
        http1_respond_write(request, data, size);
    }
    mem_free(data);
}

void http1_respond_end(struct http1_request *request)
{
    ASSERT(request->has_started && !request->is_answered);
    respond_end(request);
}

bool http1_response_is_full(const struct http1_request *request)
{
    const struct net_exchange *exchange = exchange_of(request);
    return exchange != NULL && exchange->halves[NET_TO_CLIENT].was_full;
}

size_t http1_response_queued_bytes(const struct http1_request *request)
{
    const struct net_exchange *exchange = exchange_of(request);
    if (exchange == NULL) {
        return 0;
    }
    if (request->is_raft_stream && net_raft_is_full(exchange)) {
        return SIZE_MAX;
    }
    return exchange->halves[NET_TO_CLIENT].queued_bytes;
}

bool http1_response_started(const struct http1_request *request)
{
    return request->has_started;
}

void http1_abort(struct http1_request *request)
{
    request_end(request, false);
}
