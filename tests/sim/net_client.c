/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/net/http1client.h over the simulated network: a connection per exchange. Codes, texts,
 * deadlines and the order of callbacks are those of the real client.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/net_internal.h"

#define CLIENT_CONNECT_TIMEOUT_MS 5000u

struct http1_client {
    struct http1_client_config config;
    struct http1_client_exchange exchange;
    uint64_t exchange_id; /* 0: no connection */
    struct buf head, body;
    bool is_busy, is_dead;
    bool is_snapshot;
    bool is_sent;     /* the head is on its way */
    bool body_ended;  /* all of the request is queued */
    bool is_answered; /* the answer's head was given */
    bool is_calling_room;
    int status;
    bool is_lost; /* there is nobody at that address */
    uint32_t depth;
    struct loop_timer timer;
    uint64_t connect_due_ms, head_due_ms, total_due_ms, silence_due_ms;
};

static void enter(struct http1_client *client)
{
    client->depth++;
}

static void leave(struct http1_client *client)
{
    client->depth--;
    if (client->depth == 0 && client->is_dead) {
        buf_free(&client->head);
        buf_free(&client->body);
        mem_free(client);
    }
}

static struct net_exchange *exchange_of(const struct http1_client *client)
{
    return client->exchange_id == 0 ? NULL : net_exchange_find(client->exchange_id);
}

static void disconnect(struct http1_client *client)
{
    struct net_exchange *exchange = exchange_of(client);
    client->exchange_id = 0;
    if (exchange != NULL) {
        net_exchange_client_left(exchange);
    }
}

/* The one end of an exchange. */
static void finish(struct http1_client *client, int code, const char *text)
{
    if (!client->is_busy) {
        return;
    }
    client->is_busy = false;
    loop_timer_cancel(&client->timer);
    disconnect(client);
    enter(client);
    client->exchange.on_done(client->exchange.ctx, code, text);
    leave(client);
}

/* ---- deadlines ---- */

static uint64_t due_ms(const struct http1_client *client, uint64_t timeout_ms)
{
    return timeout_ms == 0 ? UINT64_MAX : loop_now_ms(client->config.loop) + timeout_ms;
}

static void arm_timer(struct http1_client *client)
{
    uint64_t due = BASE_MIN(client->total_due_ms, client->head_due_ms);
    due = BASE_MIN(due, client->connect_due_ms);
    due = BASE_MIN(due, client->silence_due_ms);
    if (due == UINT64_MAX) {
        loop_timer_cancel(&client->timer);
        return;
    }
    uint64_t now = loop_now_ms(client->config.loop);
    loop_timer_set(&client->timer, due > now ? due - now : 0);
}

static void on_timer(void *ctx)
{
    struct http1_client *client = ctx;
    uint64_t now = loop_now_ms(client->config.loop);
    if (client->is_lost) {
        char text[URL_TEXT_MAX];
        snprintf(text, sizeof(text), "lookup %.80s: no such host", client->config.url.host);
        finish(client, E_NOT_FOUND, text);
    } else if (client->connect_due_ms <= now) {
        finish(client, E_TIMEOUT, "timed out while connecting");
    } else if (client->head_due_ms <= now || client->total_due_ms <= now) {
        finish(client, E_TIMEOUT, "timed out waiting for the answer");
    } else if (client->silence_due_ms <= now) {
        finish(client, E_TIMEOUT, "i/o timeout");
    } else {
        arm_timer(client);
    }
}

static void note_sign_of_life(struct http1_client *client)
{
    client->silence_due_ms = due_ms(client, client->exchange.read_timeout_ms);
}

/* ---- making and freeing ---- */

struct http1_client *http1_client_new(const struct http1_client_config *config)
{
    ASSERT(!url_is_tls(&config->url)); /* there is nobody here who speaks it */
    struct http1_client *client = mem_zalloc(sizeof(*client));
    client->config = *config;
    if (client->config.connect_timeout_ms == 0) {
        client->config.connect_timeout_ms = CLIENT_CONNECT_TIMEOUT_MS;
    }
    buf_init(&client->head, BUF_NO_LIMIT);
    buf_init(&client->body, BUF_NO_LIMIT);
    loop_timer_init(config->loop, &client->timer, on_timer, client);
    return client;
}

void http1_client_free(struct http1_client *client)
{
    if (client == NULL || client->is_dead) {
        return;
    }
    http1_client_cancel(client);
    client->is_dead = true;
    enter(client);
    leave(client);
}

void http1_client_cancel(struct http1_client *client)
{
    client->is_busy = false;
    loop_timer_cancel(&client->timer);
    disconnect(client);
}

bool http1_client_is_busy(const struct http1_client *client)
{
    return client->is_busy;
}

/* ---- the request ---- */

static void append_text(struct buf *out, const char *text)
{
    buf_append(out, text, strlen(text) + 1);
}

static void count_kind(const char *path)
{
    struct sim_net_counts *counts = &net_state()->counts;
    if (strcmp(path, "/raft") == 0) {
        counts->sent++;
    } else if (strcmp(path, "/raft/snapshot") == 0) {
        counts->snapshots++;
    } else if (!str_starts_with(path, "/raft/")) {
        counts->fetches++;
    }
}

int http1_client_start(struct http1_client *client, const struct http1_client_exchange *exchange)
{
    ASSERT(exchange->on_done != NULL);
    if (client->is_busy) {
        return E_CONFLICT;
    }
    int node = sim_node_of_url(client->config.url.text);
    client->is_busy = true;
    client->exchange = *exchange;
    client->is_snapshot = strcmp(exchange->path, "/raft/snapshot") == 0; /* borrowed until now */
    client->is_sent = false;
    client->is_answered = false;
    client->status = 0;
    client->body_ended = exchange->on_room == NULL;
    buf_clear(&client->head);
    buf_clear(&client->body);
    append_text(&client->head, exchange->method);
    append_text(&client->head, exchange->path);
    for (size_t i = 0; i < exchange->header_count; i++) {
        append_text(&client->head, exchange->headers[i].name);
        append_text(&client->head, exchange->headers[i].value);
    }
    if (exchange->on_room == NULL) {
        buf_append(&client->body, exchange->body.data, exchange->body.size);
    }
    count_kind(exchange->path);
    client->total_due_ms = due_ms(client, exchange->total_timeout_ms);
    client->head_due_ms = UINT64_MAX;
    client->silence_due_ms = UINT64_MAX;
    client->is_lost = node == SIM_NOBODY;
    client->connect_due_ms =
        client->is_lost ? 0 : due_ms(client, client->config.connect_timeout_ms);
    if (!client->is_lost) {
        client->exchange_id =
            net_exchange_new(node, client->config.url.port, client, client->config.loop)->id;
    }
    arm_timer(client);
    return 0;
}

/* Where a connection breaks, if it does: for a snapshot somewhere in its bytes. */
static void draw_break(const struct http1_client *client, struct net_exchange *exchange)
{
    const struct sim_net_faults *faults = &net_state()->faults;
    if (client->is_snapshot && net_chance(faults->snapshot_break_ppm)) {
        uint64_t size = client->exchange.on_room != NULL ? client->exchange.body_size
                                                         : client->exchange.body.size;
        exchange->break_at_bytes = 1 + rng_below(sim_rng(SIM_RNG_NET), size == 0 ? 1 : size);
        sim_note("the snapshot from n%d to n%d will break off after %llu of %llu bytes",
                 exchange->client_node, exchange->server_node,
                 (unsigned long long)exchange->break_at_bytes, (unsigned long long)size);
    }
    if (net_chance(faults->loss_ppm)) {
        net_exchange_break(exchange);
    }
}

static void call_room(struct http1_client *client)
{
    if (client->exchange.on_room == NULL || client->is_calling_room) {
        return;
    }
    enter(client);
    client->is_calling_room = true;
    while (client->is_busy && !client->body_ended) {
        const struct net_exchange *before = exchange_of(client);
        uint64_t sent = before == NULL ? 0 : before->body_bytes;
        if (before == NULL || before->is_broken || before->halves[NET_TO_SERVER].was_full) {
            break;
        }
        client->exchange.on_room(client->exchange.ctx, client);
        const struct net_exchange *after = exchange_of(client);
        if (after == NULL || after->body_bytes == sent) {
            break; /* the producer has nothing now; it will write when it has */
        }
    }
    client->is_calling_room = false;
    leave(client);
}

void net_client_room(struct http1_client *client)
{
    if (client->is_sent) {
        call_room(client);
    }
}

static void on_open(struct http1_client *client, struct net_exchange *exchange)
{
    client->connect_due_ms = UINT64_MAX;
    client->head_due_ms = due_ms(client, client->exchange.head_timeout_ms);
    note_sign_of_life(client);
    arm_timer(client);
    client->is_sent = true;
    net_exchange_push(exchange, NET_TO_SERVER, NET_HEAD, 0, buf_bytes(&client->head));
    draw_break(client, exchange);
    net_exchange_push_body(exchange, NET_TO_SERVER, buf_bytes(&client->body));
    if (client->body_ended) {
        net_exchange_push(exchange, NET_TO_SERVER, NET_END, 0, (struct bytes){NULL, 0});
    }
    buf_free(&client->body);
    call_room(client);
}

bool http1_client_write(struct http1_client *client, const void *data, size_t size)
{
    ASSERT(client->exchange.on_room != NULL && !client->body_ended);
    struct net_exchange *exchange = exchange_of(client);
    if (!client->is_busy || exchange == NULL || !client->is_sent) {
        return false;
    }
    net_exchange_push_body(exchange, NET_TO_SERVER, bytes_of(data, size));
    return !exchange->halves[NET_TO_SERVER].was_full;
}

void http1_client_end_body(struct http1_client *client)
{
    ASSERT(client->exchange.on_room != NULL && !client->body_ended);
    struct net_exchange *exchange = exchange_of(client);
    client->body_ended = true;
    if (exchange != NULL) {
        net_exchange_push(exchange, NET_TO_SERVER, NET_END, 0, (struct bytes){NULL, 0});
    }
}

/* ---- the answer ---- */

static void on_answer(struct http1_client *client, const struct net_unit *unit)
{
    struct http1_header headers[HTTP1_HEADERS_MAX];
    size_t count = 0;
    const char *at = (const char *)unit->data.data;
    const char *end = at + unit->data.size;
    while (at < end && count < HTTP1_HEADERS_MAX) {
        headers[count].name = at;
        headers[count].value = at + strlen(at) + 1;
        at = headers[count].value + strlen(headers[count].value) + 1;
        count++;
    }
    const struct http1_client_answer answer = {unit->status, headers, count};
    client->is_answered = true;
    client->status = unit->status;
    client->head_due_ms = UINT64_MAX;
    if (client->exchange.on_answer != NULL) {
        client->exchange.on_answer(client->exchange.ctx, &answer);
    }
}

void net_client_take_body(struct http1_client *client, struct bytes part)
{
    enter(client);
    note_sign_of_life(client);
    arm_timer(client);
    if (client->exchange.on_body != NULL) {
        client->exchange.on_body(client->exchange.ctx, part);
    }
    leave(client);
}

bool net_client_is_reading(const struct http1_client *client)
{
    return client->is_busy && client->is_answered && client->status == 200;
}

static void on_close(struct http1_client *client, int code)
{
    char text[URL_TEXT_MAX + 64];
    char authority[URL_TEXT_MAX];
    url_authority(&client->config.url, authority, sizeof(authority));
    if (client->is_answered) {
        finish(client, E_TRUNCATED, "unexpected EOF");
    } else if (code == E_REFUSED) {
        snprintf(text, sizeof(text), "connect %s: Connection refused", authority);
        finish(client, code, text);
    } else {
        finish(client, code, "EOF");
    }
}

void net_client_take(struct net_exchange *exchange, const struct net_unit *unit)
{
    struct http1_client *client = exchange->client;
    enter(client);
    switch (unit->kind) {
    case NET_OPEN:
        on_open(client, exchange);
        break;
    case NET_ANSWER:
        on_answer(client, unit);
        if (client->is_busy) {
            note_sign_of_life(client);
            arm_timer(client);
        }
        break;
    case NET_BODY:
        net_client_take_body(client, buf_bytes(&unit->data));
        break;
    case NET_END:
        finish(client, 0, "");
        break;
    case NET_CLOSE:
        on_close(client, unit->status);
        break;
    case NET_HEAD:
        ASSERT(false);
    }
    leave(client);
}

void http1_client_pause(struct http1_client *client)
{
    struct net_exchange *exchange = exchange_of(client);
    client->silence_due_ms = UINT64_MAX;
    if (exchange != NULL) {
        exchange->halves[NET_TO_CLIENT].is_paused = true;
    }
}

void http1_client_resume(struct http1_client *client)
{
    struct net_exchange *exchange = exchange_of(client);
    if (exchange != NULL) {
        exchange->halves[NET_TO_CLIENT].is_paused = false;
        net_exchange_go_on(exchange, NET_TO_CLIENT);
        note_sign_of_life(client);
        arm_timer(client);
    }
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
