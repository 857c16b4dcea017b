/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/1.1 client. An exchange ends in one place (client_finish), outside of the parser, so
 * that on_done may start the next one or free the client.
 */
#include "base/net/http1client.h"

#include <arpa/inet.h>
#include <http_parser.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"

#define CLIENT_CONNECT_TIMEOUT_MS 5000u
#define CLIENT_HEAD_BYTES_MAX     (64u * 1024u)
#define CLIENT_STOPPED            1

struct client_field {
    uint32_t name;
    uint32_t value;
};

struct http1_client {
    struct http1_client_config config;
    struct resolve_query *query;     /* a look-up runs */
    struct resolve_result addresses; /* of the last look-up */
    size_t next_address;
    struct stream *stream; /* NULL: not connected */
    bool is_connected;
    bool was_reused; /* this exchange started on a kept connection */

    bool is_busy;
    struct http1_client_exchange exchange;
    bool is_head_request;
    bool can_repeat; /* GET and HEAD */
    struct loop_task room_task;
    struct buf request; /* head and body, kept for a second try */
    bool body_ended;    /* all of the request is queued */
    bool is_sent;       /* the head is queued */
    bool is_calling_room;

    http_parser parser;
    struct buf text; /* header names and values */
    size_t field_count;
    struct client_field fields[HTTP1_HEADERS_MAX];
    bool in_value;
    bool got_bytes;   /* of this answer */
    bool is_answered; /* the answer's head was given */
    bool is_complete; /* the answer's end was parsed */
    bool keep_alive;

    struct loop_timer timer;
    uint64_t connect_due_ms;
    uint64_t head_due_ms;
    uint64_t total_due_ms;

    uint32_t depth;
    bool is_dead;
};

static void client_connect(struct http1_client *client);

static void client_enter(struct http1_client *client)
{
    client->depth++;
}

/* False when the client is gone. */
static bool client_leave(struct http1_client *client)
{
    client->depth--;
    if (!client->is_dead) {
        return true;
    }
    if (client->depth == 0) {
        buf_free(&client->request);
        buf_free(&client->text);
        mem_free(client);
    }
    return false;
}

static void client_disconnect(struct http1_client *client)
{
    if (client->query != NULL) {
        resolve_cancel(client->query);
        client->query = NULL;
    }
    loop_task_cancel(&client->room_task);
    stream_free(client->stream);
    client->stream = NULL;
    client->is_connected = false;
}

/* The one end of an exchange. */
static void client_finish(struct http1_client *client, int code, const char *text)
{
    if (!client->is_busy) {
        return;
    }
    client->is_busy = false;
    loop_timer_cancel(&client->timer);
    bool keep = code == 0 && client->keep_alive && client->body_ended && client->stream != NULL;
    if (keep) {
        stream_set_read_timeout(client->stream, 0);
        stream_resume(client->stream);
    } else {
        client_disconnect(client);
    }
    buf_free(&client->request);
    client_enter(client);
    client->exchange.on_done(client->exchange.ctx, code, text);
    client_leave(client);
}

static uint64_t client_due(const struct http1_client *client, uint64_t timeout_ms)
{
    return timeout_ms == 0 ? UINT64_MAX : loop_now_ms(client->config.loop) + timeout_ms;
}

static void client_arm_timer(struct http1_client *client)
{
    uint64_t due_ms = BASE_MIN(client->total_due_ms, client->head_due_ms);
    due_ms = BASE_MIN(due_ms, client->connect_due_ms);
    if (due_ms == UINT64_MAX) {
        loop_timer_cancel(&client->timer);
        return;
    }
    uint64_t now_ms = loop_now_ms(client->config.loop);
    loop_timer_set(&client->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void client_on_timer(void *ctx)
{
    struct http1_client *client = ctx;
    bool connecting = client->connect_due_ms <= loop_now_ms(client->config.loop);
    client_finish(client, E_TIMEOUT,
                  connecting ? "timed out while connecting" : "timed out waiting for the answer");
}

static void client_call_room(struct http1_client *client)
{
    if (client->exchange.on_room == NULL || client->body_ended || client->is_calling_room ||
        !client->is_busy) {
        return;
    }
    client_enter(client);
    client->is_calling_room = true;
    while (client->is_busy && !client->body_ended && client->stream != NULL &&
           !stream_is_full(client->stream)) {
        size_t before = stream_queued_bytes(client->stream);
        client->exchange.on_room(client->exchange.ctx, client);
        if (client->stream == NULL || stream_queued_bytes(client->stream) == before) {
            break; /* the producer has nothing now; it will write when it has */
        }
    }
    client->is_calling_room = false;
    client_leave(client);
}

static int client_on_message_begin(http_parser *parser)
{
    struct http1_client *client = parser->data;
    buf_clear(&client->text);
    buf_append_byte(&client->text, 0); /* place 0 is the empty text */
    client->field_count = 0;
    client->in_value = false;
    return client->is_complete ? CLIENT_STOPPED : 0;
}

static int client_on_field(http_parser *parser, const char *at, size_t size)
{
    struct http1_client *client = parser->data;
    if (client->is_answered) {
        return 0; /* a trailer */
    }
    if (client->field_count == 0 || client->in_value) {
        if (client->field_count == HTTP1_HEADERS_MAX) {
            return CLIENT_STOPPED;
        }
        buf_append_byte(&client->text, 0);
        client->fields[client->field_count++] =
            (struct client_field){(uint32_t)client->text.size, 0};
        client->in_value = false;
    }
    for (size_t i = 0; i < size; i++) {
        char c = at[i] >= 'A' && at[i] <= 'Z' ? (char)(at[i] | 0x20) : at[i];
        buf_append_byte(&client->text, (uint8_t)c);
    }
    return client->text.overflowed ? CLIENT_STOPPED : 0;
}

static int client_on_value(http_parser *parser, const char *at, size_t size)
{
    struct http1_client *client = parser->data;
    if (client->is_answered || client->field_count == 0) {
        return 0;
    }
    if (!client->in_value) {
        buf_append_byte(&client->text, 0);
        client->fields[client->field_count - 1].value = (uint32_t)client->text.size;
        client->in_value = true;
    }
    buf_append(&client->text, at, size);
    return client->text.overflowed ? CLIENT_STOPPED : 0;
}

static int client_on_headers_complete(http_parser *parser)
{
    struct http1_client *client = parser->data;
    bool is_interim = parser->status_code < 200;
    parser->upgrade = 0;
    if (is_interim) {
        return 0;
    }
    buf_append_byte(&client->text, 0);
    client->is_answered = true;
    client->keep_alive = http_should_keep_alive(parser) != 0;
    client->head_due_ms = UINT64_MAX;
    client_arm_timer(client);
    if (client->exchange.on_answer != NULL) {
        struct http1_header headers[HTTP1_HEADERS_MAX];
        for (size_t i = 0; i < client->field_count; i++) {
            const char *text = (const char *)client->text.data;
            headers[i] = (struct http1_header){text + client->fields[i].name,
                                               text + client->fields[i].value};
        }
        struct http1_client_answer answer = {parser->status_code, headers, client->field_count};
        client->exchange.on_answer(client->exchange.ctx, &answer);
    }
    if (client->is_dead || !client->is_busy) {
        return -1;
    }
    return client->is_head_request ? 1 : 0;
}

static int client_on_body(http_parser *parser, const char *at, size_t size)
{
    struct http1_client *client = parser->data;
    if (client->exchange.on_body != NULL) {
        client->exchange.on_body(client->exchange.ctx, bytes_of(at, size));
    }
    return client->is_dead || !client->is_busy ? CLIENT_STOPPED : 0;
}

static int client_on_message_complete(http_parser *parser)
{
    struct http1_client *client = parser->data;
    if (client->is_answered) {
        client->is_complete = true;
        http_parser_pause(parser, 1);
    }
    return 0;
}

static const http_parser_settings CLIENT_SETTINGS = {
    .on_message_begin = client_on_message_begin,
    .on_header_field = client_on_field,
    .on_header_value = client_on_value,
    .on_headers_complete = client_on_headers_complete,
    .on_body = client_on_body,
    .on_message_complete = client_on_message_complete,
};

static void client_on_data(void *ctx, struct bytes data)
{
    struct http1_client *client = ctx;
    if (!client->is_busy) {
        client_disconnect(client); /* nobody asked: the connection is of no more use */
        return;
    }
    client->got_bytes = true;
    client_enter(client);
    size_t used =
        http_parser_execute(&client->parser, &CLIENT_SETTINGS, (const char *)data.data, data.size);
    if (!client_leave(client) || !client->is_busy) {
        return;
    }
    enum http_errno error = HTTP_PARSER_ERRNO(&client->parser);
    if (client->is_complete) {
        client->keep_alive = client->keep_alive && used == data.size;
        client_finish(client, 0, "");
    } else if (error != HPE_OK) {
        char text[128];
        snprintf(text, sizeof(text), "malformed answer: %s", http_errno_description(error));
        client_finish(client, E_CORRUPT, text);
    }
}

static void client_on_close(void *ctx, int code, const char *text)
{
    struct http1_client *client = ctx;
    bool was_connected = client->is_connected;
    struct stream *stream = client->stream;
    client->stream = NULL;
    client->is_connected = false;
    stream_free(stream);
    if (!client->is_busy) {
        return;
    }
    if (!was_connected && client->next_address < client->addresses.address_count) {
        client_connect(client);
        return;
    }
    if (was_connected && code == E_CLOSED && client->is_answered) {
        client_enter(client); /* a body without length ends here */
        http_parser_execute(&client->parser, &CLIENT_SETTINGS, "", 0);
        if (!client_leave(client) || !client->is_busy) {
            return;
        }
        client->keep_alive = false;
        client_finish(client, client->is_complete ? 0 : E_TRUNCATED,
                      client->is_complete ? "" : "unexpected EOF");
        return;
    }
    if (client->was_reused && !client->got_bytes && client->can_repeat) {
        client->was_reused = false; /* the server closed the kept connection meanwhile */
        client->is_sent = false;
        client->next_address = 0;
        client_connect(client);
        return;
    }
    char copy[192];
    snprintf(copy, sizeof(copy), "%s", text);
    client_finish(client, code, copy);
}

static void client_send(struct http1_client *client)
{
    http_parser_init(&client->parser, HTTP_RESPONSE);
    client->parser.data = client;
    client->got_bytes = false;
    client->is_sent = true;
    client->connect_due_ms = UINT64_MAX;
    client->head_due_ms = client_due(client, client->exchange.head_timeout_ms);
    client_arm_timer(client);
    stream_set_read_timeout(client->stream, client->exchange.read_timeout_ms);
    stream_write(client->stream, client->request.data, client->request.size);
    loop_task_schedule(&client->room_task);
}

static void client_on_open(void *ctx)
{
    struct http1_client *client = ctx;
    client->is_connected = true;
    if (client->is_busy) {
        client_send(client);
    }
}

static void client_on_drained(void *ctx)
{
    client_call_room(ctx);
}

static const struct stream_events CLIENT_EVENTS = {
    .on_open = client_on_open,
    .on_data = client_on_data,
    .on_drained = client_on_drained,
    .on_close = client_on_close,
};

/* The size of the address that is called from; 0: any. */
static socklen_t client_local(const struct http1_client *client, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    const char *host = client->config.local_host;
    *out = (struct sockaddr_storage){0};
    if (host != NULL && inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        return sizeof(*v4);
    }
    if (host != NULL && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        return sizeof(*v6);
    }
    return 0;
}

static void client_connect(struct http1_client *client)
{
    struct sockaddr_storage local;
    const socklen_t local_size = client_local(client, &local);
    struct err err = {""};
    size_t index = client->next_address++;
    const struct stream_transport_maker *tls = client->config.tls;
    struct stream_transport *transport =
        tls == NULL ? NULL : tls->make_client(tls->ctx, client->config.url.host);
    int rc = stream_connect_from(
        client->config.loop, local_size == 0 ? NULL : (const struct sockaddr *)&local, local_size,
        (const struct sockaddr *)&client->addresses.addresses[index],
        client->addresses.address_sizes[index], transport, &CLIENT_EVENTS, client, &client->stream,
        &err);
    if (rc != 0) {
        client->stream = NULL;
        client_finish(client, rc, err.text);
    }
}

static void client_on_resolved(void *ctx, const struct resolve_result *result)
{
    struct http1_client *client = ctx;
    client->query = NULL;
    if (result->code != 0) {
        client_finish(client, result->code, result->text);
        return;
    }
    client->addresses = *result;
    client->next_address = 0;
    client_connect(client);
}

struct http1_client *http1_client_new(const struct http1_client_config *config)
{
    ASSERT(!url_is_tls(&config->url) || config->tls != NULL);
    struct http1_client *client = mem_zalloc(sizeof(*client));
    client->config = *config;
    if (client->config.connect_timeout_ms == 0) {
        client->config.connect_timeout_ms = CLIENT_CONNECT_TIMEOUT_MS;
    }
    if (!url_is_tls(&config->url)) {
        client->config.tls = NULL;
    }
    buf_init(&client->request, BUF_NO_LIMIT);
    buf_init(&client->text, CLIENT_HEAD_BYTES_MAX);
    loop_timer_init(config->loop, &client->timer, client_on_timer, client);
    loop_task_init(config->loop, &client->room_task, client_on_drained, client);
    return client;
}

void http1_client_free(struct http1_client *client)
{
    if (client == NULL || client->is_dead) {
        return;
    }
    client->is_busy = false;
    loop_timer_cancel(&client->timer);
    client_disconnect(client);
    client->is_dead = true;
    client_enter(client);
    client_leave(client);
}

static void client_write_head(struct http1_client *client,
                              const struct http1_client_exchange *exchange)
{
    char authority[URL_TEXT_MAX];
    url_authority(&client->config.url, authority, sizeof(authority));
    buf_printf(&client->request, "%s %s HTTP/1.1\r\nHost: %s\r\n", exchange->method, exchange->path,
               url_is_unix(&client->config.url) ? "localhost" : authority);
    for (size_t i = 0; i < exchange->header_count; i++) {
        const struct http1_header *header = &exchange->headers[i];
        ASSERT(strpbrk(header->name, "\r\n:") == NULL && strpbrk(header->value, "\r\n") == NULL);
        buf_printf(&client->request, "%s: %s\r\n", header->name, header->value);
    }
    bool is_produced = exchange->on_room != NULL;
    uint64_t body_size = is_produced ? exchange->body_size : exchange->body.size;
    if (is_produced && body_size == HTTP1_CLIENT_CHUNKED) {
        buf_append_str(&client->request, "Transfer-Encoding: chunked\r\n");
    } else if (body_size > 0 || strcmp(exchange->method, "GET") != 0) {
        buf_printf(&client->request, "Content-Length: %llu\r\n", (unsigned long long)body_size);
    }
    buf_append_str(&client->request, "\r\n");
    buf_append(&client->request, exchange->body.data, is_produced ? 0 : exchange->body.size);
}

int http1_client_start(struct http1_client *client, const struct http1_client_exchange *exchange)
{
    ASSERT(exchange->on_done != NULL);
    if (client->is_busy) {
        return E_CONFLICT;
    }
    client->is_busy = true;
    client->exchange = *exchange;
    client->is_head_request = strcmp(exchange->method, "HEAD") == 0;
    client->can_repeat = client->is_head_request || strcmp(exchange->method, "GET") == 0;
    client->body_ended = exchange->on_room == NULL;
    client->is_sent = false;
    client->is_answered = false;
    client->is_complete = false;
    client->keep_alive = false;
    buf_clear(&client->request);
    client_write_head(client, exchange);
    client->total_due_ms = client_due(client, exchange->total_timeout_ms);
    client->head_due_ms = UINT64_MAX;
    client->was_reused = client->is_connected;
    if (client->is_connected) {
        client_send(client);
        return 0;
    }
    client->connect_due_ms = client_due(client, client->config.connect_timeout_ms);
    client_arm_timer(client);
    client->query = resolve_start(client->config.resolver, client->config.loop, &client->config.url,
                                  client_on_resolved, client);
    return 0;
}

bool http1_client_write(struct http1_client *client, const void *data, size_t size)
{
    ASSERT(client->exchange.on_room != NULL && !client->body_ended);
    if (!client->is_busy || client->stream == NULL || !client->is_sent) {
        return false;
    }
    if (size > 0 && client->exchange.body_size == HTTP1_CLIENT_CHUNKED) {
        char head[32];
        int head_size = snprintf(head, sizeof(head), "%zx\r\n", size);
        stream_write(client->stream, head, (size_t)head_size);
        stream_write(client->stream, data, size);
        stream_write(client->stream, "\r\n", 2);
    } else {
        stream_write(client->stream, data, size);
    }
    return !stream_is_full(client->stream);
}

void http1_client_end_body(struct http1_client *client)
{
    ASSERT(client->exchange.on_room != NULL && !client->body_ended);
    client->body_ended = true;
    if (client->stream != NULL && client->exchange.body_size == HTTP1_CLIENT_CHUNKED) {
        stream_write(client->stream, "0\r\n\r\n", 5);
    }
}

void http1_client_pause(struct http1_client *client)
{
    if (client->stream != NULL) {
        stream_set_read_timeout(client->stream, 0);
        stream_pause(client->stream);
    }
}

void http1_client_resume(struct http1_client *client)
{
    if (client->stream != NULL) {
        stream_resume(client->stream);
        stream_set_read_timeout(client->stream,
                                client->is_busy ? client->exchange.read_timeout_ms : 0);
    }
}

void http1_client_cancel(struct http1_client *client)
{
    client->is_busy = false;
    loop_timer_cancel(&client->timer);
    client_disconnect(client);
}

bool http1_client_is_busy(const struct http1_client *client)
{
    return client->is_busy;
}

const char *http1_client_header(const struct http1_client_answer *answer, const char *name)
{
    for (size_t i = 0; i < answer->header_count; i++) {
        if (strcmp(answer->headers[i].name, name) == 0) {
            return answer->headers[i].value;
        }
    }
    return NULL;
}
