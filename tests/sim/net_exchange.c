/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP exchanges of the simulated network: a connection each, and in each direction a queue of
 * pieces of which the first is on its way. What travels keeps its order and is never lost alone:
 * while a link is cut it waits, as TCP sends again, until one side lets go.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/net_internal.h"

/* ---- life of an exchange ---- */

struct net_exchange *net_exchange_find(uint64_t id)
{
    return map_get_u64(&net_state()->exchanges_by_id, id);
}

static void unit_free(struct net_unit *unit)
{
    if (unit != NULL) {
        buf_free(&unit->data);
        mem_free(unit);
    }
}

static void half_drop(struct net_half *half)
{
    while (!list_empty(&half->units)) {
        struct net_unit *unit = LIST_ENTRY(half->units.next, struct net_unit, node);
        list_remove(&unit->node);
        unit_free(unit);
    }
    half->queued_bytes = 0;
}

static void exchange_free(struct net_exchange *exchange)
{
    list_remove(&exchange->node);
    (void)map_remove_u64(&net_state()->exchanges_by_id, exchange->id);
    for (int way = 0; way < NET_WAYS; way++) {
        half_drop(&exchange->halves[way]);
        unit_free(exchange->halves[way].taken);
    }
    net_sender_unref(exchange->sender);
    mem_free(exchange);
}

/* Frees it when nobody is left who could hear of it. */
static void exchange_settle(struct net_exchange *exchange)
{
    if (exchange->client == NULL && exchange->is_over &&
        exchange->halves[NET_TO_SERVER].taken == NULL &&
        exchange->halves[NET_TO_CLIENT].taken == NULL) {
        exchange_free(exchange);
    }
}

void net_exchange_free_all(void)
{
    struct net *net = net_state();
    LIST_EACH_SAFE(it, &net->exchanges)
    {
        exchange_free(LIST_ENTRY(it, struct net_exchange, node));
    }
}

/* ---- from here to there ---- */

static int node_from(const struct net_exchange *exchange, enum net_way way)
{
    return way == NET_TO_SERVER ? exchange->client_node : exchange->server_node;
}

static int node_to(const struct net_exchange *exchange, enum net_way way)
{
    return way == NET_TO_SERVER ? exchange->server_node : exchange->client_node;
}

/* True when there is somebody at the end of this way. */
static bool is_heard(const struct net_exchange *exchange, enum net_way way)
{
    return way == NET_TO_SERVER ? exchange->server != NULL && !exchange->is_over
                                : exchange->client != NULL;
}

/* Numbers travel as contexts of events: an exchange may be gone when they come. */
static void *pack(uint64_t id, enum net_way way)
{
    return (void *)(uintptr_t)(id << 1 | (uint64_t)way);
}

static struct net_exchange *unpack(void *ctx, enum net_way *out_way)
{
    uintptr_t number = (uintptr_t)ctx;
    *out_way = (enum net_way)(number & 1u);
    return net_exchange_find((uint64_t)number >> 1);
}

static void wake_writer(struct net_exchange *exchange, enum net_way way);
static void half_schedule(struct net_exchange *exchange, enum net_way way);

/* On the loop of the one to whom it goes. */
static void half_take(void *ctx)
{
    enum net_way way;
    struct net_exchange *exchange = unpack(ctx, &way);
    if (exchange == NULL) {
        return;
    }
    struct net_half *half = &exchange->halves[way];
    if (half->taken != NULL || half->is_paused || list_empty(&half->units) ||
        !is_heard(exchange, way)) {
        half->is_scheduled = false;
        return;
    }
    struct net_unit *unit = LIST_ENTRY(half->units.next, struct net_unit, node);
    list_remove(&unit->node);
    half->queued_bytes -= unit->data.size;
    half->taken = unit;
    if (way == NET_TO_SERVER) {
        net_server_take(exchange, unit);
    } else {
        net_client_take(exchange, unit);
    }
    sim_memory_world();
    unit_free(unit);
    half->taken = NULL;
    half->is_scheduled = false;
    wake_writer(exchange, way);
    half_schedule(exchange, way);
    exchange_settle(exchange);
    sim_memory_back();
}

/* In the name of the one to whom it goes. */
static void half_enter(void *ctx)
{
    enum net_way way;
    struct net_exchange *exchange = unpack(ctx, &way);
    if (exchange == NULL || !is_heard(exchange, way)) {
        return;
    }
    loop_post(way == NET_TO_SERVER ? net_server_loop(exchange->server) : exchange->client_loop,
              half_take, ctx);
}

/* A link that is cut: true when the piece must wait for longer. */
static bool half_is_blocked(struct net_exchange *exchange, enum net_way way)
{
    struct net_half *half = &exchange->halves[way];
    uint64_t now = sim_now_ns();
    if (!net_is_cut(node_from(exchange, way), node_to(exchange, way))) {
        half->blocked_since_ns = UINT64_MAX;
        return false;
    }
    if (half->blocked_since_ns == UINT64_MAX) {
        half->blocked_since_ns = now;
        half->retry_ms = NET_RETRY_MS;
    }
    if (way == NET_TO_SERVER && exchange->client == NULL &&
        now - half->blocked_since_ns >= NET_GIVE_UP_MS * NET_MS) {
        half_drop(half); /* the server lets go by itself of a client that left long ago */
        net_exchange_push(exchange, way, NET_CLOSE, E_TIMEOUT, (struct bytes){NULL, 0});
        return false;
    }
    return true;
}

static void half_due(void *ctx)
{
    enum net_way way;
    struct net_exchange *exchange = unpack(ctx, &way);
    if (exchange == NULL) {
        return;
    }
    struct net_half *half = &exchange->halves[way];
    if (!is_heard(exchange, way) || list_empty(&half->units) || half->is_paused) {
        half->is_scheduled = false;
        return;
    }
    sim_memory_world();
    if (half_is_blocked(exchange, way)) {
        sim_at(sim_now_ns() + half->retry_ms * NET_MS, half_due, ctx);
        half->retry_ms = BASE_MIN(half->retry_ms * 2, NET_RETRY_MAX_MS);
    } else {
        sim_at_life(sim_now_ns(), node_to(exchange, way), half_enter, ctx, NULL);
    }
    sim_memory_back();
}

static void half_schedule(struct net_exchange *exchange, enum net_way way)
{
    struct net_half *half = &exchange->halves[way];
    if (half->is_scheduled || half->is_paused || list_empty(&half->units)) {
        return;
    }
    const struct net_unit *unit = LIST_ENTRY(half->units.next, struct net_unit, node);
    half->is_scheduled = true;
    sim_at(BASE_MAX(unit->at_ns, sim_now_ns()), half_due, pack(exchange->id, way));
}

void net_exchange_go_on(struct net_exchange *exchange, enum net_way way)
{
    sim_memory_world();
    half_schedule(exchange, way);
    sim_memory_back();
}

static void push(struct net_exchange *exchange, enum net_way way, enum net_unit_kind kind,
                 int status, struct bytes data, uint64_t later_ns)
{
    struct net_half *half = &exchange->halves[way];
    if (exchange->is_broken || !is_heard(exchange, way)) {
        return;
    }
    struct net_unit *unit = mem_zalloc(sizeof(*unit));
    unit->kind = kind;
    unit->status = status;
    buf_init(&unit->data, BUF_NO_LIMIT);
    buf_append(&unit->data, data.data, data.size);
    uint64_t at_ns = net_arrival_ns(node_from(exchange, way), node_to(exchange, way)) + later_ns;
    unit->at_ns = BASE_MAX(half->last_at_ns, at_ns) + net_transfer_ns(data.size);
    half->last_at_ns = unit->at_ns;
    half->queued_bytes += data.size;
    half->was_full = half->was_full || half->queued_bytes > NET_WRITE_HIGH;
    if (kind == NET_ANSWER) {
        exchange->answer_at_ns = unit->at_ns;
    }
    list_append(&half->units, &unit->node);
    half_schedule(exchange, way);
}

void net_exchange_push(struct net_exchange *exchange, enum net_way way, enum net_unit_kind kind,
                       int status, struct bytes data)
{
    if (kind != NET_CLOSE && net_send_fails() != 0) {
        net_exchange_break(exchange);
        return;
    }
    sim_memory_world();
    push(exchange, way, kind, status, data, 0);
    sim_memory_back();
}

void net_exchange_push_body(struct net_exchange *exchange, enum net_way way, struct bytes data)
{
    while (data.size > 0 && !exchange->is_broken) {
        size_t size = BASE_MIN(data.size, NET_SEGMENT_BYTES);
        net_exchange_push(exchange, way, NET_BODY, 0, bytes_of(data.data, size));
        data = bytes_of(data.data + size, data.size - size);
        exchange->body_bytes += way == NET_TO_SERVER ? size : 0;
        if (exchange->body_bytes >= exchange->break_at_bytes) {
            net_exchange_break(exchange);
        }
    }
}

/* ---- room for more ---- */

/* On the loop of the one who writes. */
static void room_take(void *ctx)
{
    enum net_way way;
    struct net_exchange *exchange = unpack(ctx, &way);
    if (exchange == NULL) {
        return;
    }
    if (way == NET_TO_SERVER && exchange->client != NULL) {
        net_client_room(exchange->client);
    } else if (way == NET_TO_CLIENT && exchange->request != NULL) {
        net_server_room(exchange->request);
    }
}

static void room_enter(void *ctx)
{
    enum net_way way;
    struct net_exchange *exchange = unpack(ctx, &way);
    if (exchange == NULL) {
        return;
    }
    if (way == NET_TO_SERVER && exchange->client != NULL) {
        loop_post(exchange->client_loop, room_take, ctx);
    } else if (way == NET_TO_CLIENT && exchange->request != NULL) {
        loop_post(net_server_loop(exchange->server), room_take, ctx);
    }
}

static void wake_writer(struct net_exchange *exchange, enum net_way way)
{
    struct net_half *half = &exchange->halves[way];
    bool has_writer = way == NET_TO_SERVER ? exchange->client != NULL : exchange->request != NULL;
    if (half->was_full && half->queued_bytes <= NET_WRITE_LOW) {
        half->was_full = false;
        if (has_writer) {
            sim_at_life(sim_now_ns(), node_from(exchange, way), room_enter, pack(exchange->id, way),
                        NULL);
        }
    }
}

/* ---- beginning ---- */

static void connect_due(void *ctx)
{
    enum net_way way;
    struct net_exchange *exchange = unpack(ctx, &way);
    if (exchange == NULL) {
        return;
    }
    int to = exchange->server_node;
    struct http1_server *server = net_server_find(to, exchange->port);
    bool is_silent =
        net_is_cut(exchange->client_node, to) || (server == NULL && net_state()->is_host_gone[to]);
    sim_memory_world();
    if (is_silent) { /* again and again, until the client has enough */
        sim_at(sim_now_ns() + exchange->connect_retry_ms * NET_MS, connect_due, ctx);
        exchange->connect_retry_ms *= 2;
    } else if (server == NULL) {
        net_state()->counts.refused++;
        exchange->is_over = true;
        push(exchange, NET_TO_CLIENT, NET_CLOSE, E_REFUSED, (struct bytes){NULL, 0}, 0);
    } else {
        exchange->server = server;
        push(exchange, NET_TO_CLIENT, NET_OPEN, 0, (struct bytes){NULL, 0}, 0);
    }
    sim_memory_back();
}

struct net_exchange *net_exchange_new(int server_node, uint16_t port, struct http1_client *client,
                                      struct loop *client_loop)
{
    struct net *net = net_state();
    sim_memory_world();
    struct net_exchange *exchange = mem_zalloc(sizeof(*exchange));
    exchange->id = net_id_new();
    exchange->client_node = sim_node();
    exchange->server_node = server_node;
    exchange->port = port;
    exchange->client = client;
    exchange->client_loop = client_loop;
    exchange->connect_retry_ms = NET_CONNECT_RETRY_MS;
    exchange->break_at_bytes = UINT64_MAX;
    for (int way = 0; way < NET_WAYS; way++) {
        list_init(&exchange->halves[way].units);
        exchange->halves[way].blocked_since_ns = UINT64_MAX;
    }
    list_append(&net->exchanges, &exchange->node);
    (void)map_set_u64(&net->exchanges_by_id, exchange->id, exchange);
    if (client != NULL) {
        sim_at(net_arrival_ns(exchange->client_node, server_node), connect_due,
               pack(exchange->id, NET_TO_SERVER));
    }
    sim_memory_back();
    return exchange;
}

/* ---- ending ---- */

void net_exchange_client_left(struct net_exchange *exchange)
{
    sim_memory_world();
    exchange->client = NULL;
    half_drop(&exchange->halves[NET_TO_CLIENT]);
    if (exchange->server == NULL) {
        exchange->is_over = true; /* it was not there yet, or not any more */
    } else {
        push(exchange, NET_TO_SERVER, NET_CLOSE, E_CLOSED, (struct bytes){NULL, 0}, 0);
    }
    exchange_settle(exchange);
    sim_memory_back();
}

void net_exchange_server_left(struct net_exchange *exchange, bool in_order)
{
    sim_memory_world();
    exchange->server = NULL;
    exchange->request = NULL;
    exchange->is_over = true;
    half_drop(&exchange->halves[NET_TO_SERVER]);
    if (!in_order) {
        push(exchange, NET_TO_CLIENT, NET_CLOSE, E_CLOSED, (struct bytes){NULL, 0}, 0);
    }
    exchange_settle(exchange);
    sim_memory_back();
}

void net_exchange_break(struct net_exchange *exchange)
{
    if (exchange->is_broken) {
        return;
    }
    sim_memory_world();
    net_state()->counts.broken++;
    half_drop(&exchange->halves[NET_TO_SERVER]);
    half_drop(&exchange->halves[NET_TO_CLIENT]);
    push(exchange, NET_TO_SERVER, NET_CLOSE, E_CLOSED, (struct bytes){NULL, 0}, 0);
    push(exchange, NET_TO_CLIENT, NET_CLOSE, E_CLOSED, (struct bytes){NULL, 0}, 0);
    exchange->is_broken = true;
    sim_memory_back();
}

/* What the life had in hands is nobody's now. */
static void half_died(struct net_half *half)
{
    half_drop(half);
    unit_free(half->taken);
    half->taken = NULL;
    half->is_scheduled = false;
    half->is_paused = false;
}

void net_exchange_died(int node)
{
    bool is_gone = net_state()->is_host_gone[node];
    LIST_EACH_SAFE(it, &net_state()->exchanges)
    {
        struct net_exchange *exchange = LIST_ENTRY(it, struct net_exchange, node);
        if (exchange->server_node == node && exchange->server != NULL) {
            exchange->server = NULL;
            exchange->request = NULL;
            exchange->is_over = true;
            half_died(&exchange->halves[NET_TO_SERVER]);
            if (!is_gone) {
                push(exchange, NET_TO_CLIENT, NET_CLOSE, E_CLOSED, (struct bytes){NULL, 0}, 0);
            } /* else nobody says anything, and the client has its deadlines */
        }
        if (exchange->client_node == node && exchange->client != NULL) {
            exchange->client = NULL;
            half_died(&exchange->halves[NET_TO_CLIENT]);
            exchange->is_over = exchange->is_over || exchange->server == NULL;
            push(exchange, NET_TO_SERVER, NET_CLOSE, E_CLOSED, (struct bytes){NULL, 0},
                 is_gone ? NET_GIVE_UP_MS * NET_MS : 0);
        }
        exchange_settle(exchange);
    }
}
