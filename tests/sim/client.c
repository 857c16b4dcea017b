/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of the world: calls on nodes, each on a connection of its own. What travels either way
 * keeps its order within a call, takes its time, and is lost with the node's life: the client then
 * hears GRPC_UNAVAILABLE and knows nothing of the outcome.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/heap.h"
#include "base/net/handle.h"
#include "engine/rpc/grpc.h"
#include "tests/sim/sim_internal.h"

#define NS_PER_S UINT64_C(1000000000)

/* What travels from a node to a client. */
struct word {
    uint64_t call;
    bool is_end;
    enum grpc_code code;
    char *text;
    uint8_t *data;
    size_t size;
};

struct client_call {
    struct list link;
    uint64_t handle;
    int node;
    uint64_t life; /* that has it; 0: none yet */
    char *method;
    uint64_t timeout_ns;
    struct heap_node deadline; /* key: when the client gives up; out of the heap when it is over */
    bool require_leader;
    sim_answer_fn on_answer;
    void *ctx;
    bool is_broken;         /* nothing that the node says reaches the client any more */
    bool is_over;           /* the client has heard the end, or does not listen any more */
    uint64_t server_handle; /* a handler of the node has it; 0: none */
    struct list items;
    uint64_t last_sent_ns, last_word_ns;
    uint64_t bytes_per_s; /* 0: as fast as it comes */
    size_t unread_bytes;
    bool was_above;
    bool is_streaming;
    uint8_t *body;
    size_t body_size;
};

static struct {
    struct handle_table handles;
    struct list calls;
    struct heap deadlines;
    uint64_t look_at_ns; /* when the earliest event for them comes */
    struct sim_client_net net;
} clients;

void clients_begin(void)
{
    handle_table_init(&clients.handles);
    list_init(&clients.calls);
    heap_init(&clients.deadlines);
    clients.look_at_ns = UINT64_MAX;
    clients.net = (struct sim_client_net){30000, 100000};
}

static void item_free(struct call_item *item)
{
    list_remove(&item->link);
    mem_free(item->data);
    mem_free(item);
}

static void call_free(struct client_call *call)
{
    while (!list_empty(&call->items)) {
        item_free(LIST_ENTRY(call->items.next, struct call_item, link));
    }
    handle_remove(&clients.handles, call->handle);
    heap_remove(&clients.deadlines, &call->deadline);
    list_remove(&call->link);
    mem_free(call->method);
    mem_free(call->body);
    mem_free(call);
}

void clients_end(void)
{
    while (!list_empty(&clients.calls)) {
        call_free(LIST_ENTRY(clients.calls.next, struct client_call, link));
    }
    handle_table_free(&clients.handles);
    heap_free(&clients.deadlines);
}

void sim_client_net_set(const struct sim_client_net *net)
{
    clients.net = *net;
}

static struct client_call *find(uint64_t handle)
{
    return handle_get(&clients.handles, handle);
}

/* It goes when both ends are done with it. */
static void settle(struct client_call *call)
{
    if (call->is_over && call->server_handle == 0 && list_empty(&call->items)) {
        call_free(call);
    }
}

static uint64_t delay_ns(void)
{
    return clients.net.delay_min_ns +
           sim_exponential_ns(sim_rng(SIM_RNG_CLIENT), clients.net.delay_mean_ns);
}

static void tell(struct client_call *call, const struct sim_answer *answer)
{
    if (!call->is_over) {
        uint64_t handle = call->handle;
        if (!answer->is_message) {
            call->is_over = true;
            heap_remove(&clients.deadlines, &call->deadline);
        }
        sim_trace((uint64_t)answer->code << 32 | answer->body.size);
        call->on_answer(call->ctx, answer);
        call = find(handle); /* the client may have cancelled it */
    }
    if (call != NULL) {
        settle(call);
    }
}

static void tell_end(struct client_call *call, enum grpc_code code, const char *text)
{
    const struct sim_answer answer = {.code = code, .text = text};
    tell(call, &answer);
}

/* ---- to the node ---- */

static bool is_streaming(const char *method)
{
    static const char *const STREAMS[] = {
        "/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive",
        "/etcdserverpb.Maintenance/Snapshot", "/grpc.health.v1.Health/Watch"};
    for (size_t i = 0; i < ARRAY_COUNT(STREAMS); i++) {
        if (strcmp(method, STREAMS[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void arrive_in_life(void *ctx)
{
    grpc_arrive(ctx);
}

struct lost {
    uint64_t call;
    const char *text;
};

static void lost_is_heard(void *ctx)
{
    struct lost *lost = ctx;
    struct client_call *call = find(lost->call);
    if (call != NULL) {
        tell_end(call, GRPC_UNAVAILABLE, lost->text);
    }
    mem_free(lost);
}

static void lose(struct client_call *call, const char *text)
{
    struct lost *lost = mem_alloc(sizeof(*lost));
    *lost = (struct lost){call->handle, text};
    sim_at(sim_now_ns() + delay_ns(), lost_is_heard, lost);
}

/* Event: something reaches the node's machine. */
static void arrive(void *ctx)
{
    struct call_item *item = ctx;
    struct client_call *call = find(item->call);
    bool is_there = node_life(call->node) != NULL;
    if (item->kind == CALL_START) {
        if (!is_there || node_grpc(call->node) == NULL) {
            item_free(item);
            lose(call, "sim: connection refused");
            return;
        }
        call->life = sim_life(call->node);
    }
    if (!is_there || call->life != sim_life(call->node)) {
        item_free(item); /* it was told, or will be, that the node has gone */
        settle(call);
        return;
    }
    item->in_node = true;
    if (node_is_paused(call->node)) {
        sim_at_life(sim_now_ns(), call->node, arrive_in_life, item, NULL);
    } else {
        (void)sim_enter(node_life(call->node), NULL, arrive_in_life, item);
    }
}

static void send_item(struct client_call *call, enum call_kind kind, struct bytes data)
{
    struct call_item *item = mem_zalloc(sizeof(*item));
    list_init(&item->kept);
    item->call = call->handle;
    item->kind = kind;
    item->data = mem_dup(data.data, data.size);
    item->size = data.size;
    list_append(&call->items, &item->link);
    call->last_sent_ns = BASE_MAX(call->last_sent_ns, sim_now_ns() + delay_ns());
    sim_at(call->last_sent_ns, arrive, item);
}

void call_item_done(struct call_item *item)
{
    struct client_call *call = find(item->call);
    item_free(item);
    settle(call);
}

void clients_node_died(int node)
{
    LIST_EACH_SAFE(it, &clients.calls)
    {
        struct client_call *call = LIST_ENTRY(it, struct client_call, link);
        if (call->node != node || call->life != sim_life(node)) {
            continue;
        }
        call->server_handle = 0;
        LIST_EACH_SAFE(at, &call->items)
        {
            struct call_item *item = LIST_ENTRY(at, struct call_item, link);
            if (item->in_node) {
                item_free(item);
            }
        }
        if (!call->is_over) {
            lose(call, "sim: the node has gone");
        }
        settle(call);
    }
}

static void look_at_deadlines(void *ctx);

static void arm_deadlines(void)
{
    const struct heap_node *top = heap_top(&clients.deadlines);
    if (top != NULL && top->key < clients.look_at_ns) {
        clients.look_at_ns = top->key;
        sim_at(top->key, look_at_deadlines, NULL);
    }
}

/* Event: one for all calls, because nearly all of them end before. */
static void look_at_deadlines(void *ctx)
{
    (void)ctx;
    struct heap_node *top;
    if (clients.look_at_ns > sim_now_ns()) {
        return; /* an earlier event has taken its place */
    }
    while ((top = heap_top(&clients.deadlines)) != NULL && top->key <= sim_now_ns()) {
        struct client_call *call = CONTAINER_OF(top, struct client_call, deadline);
        send_item(call, CALL_RESET, bytes_of(NULL, 0));
        tell_end(call, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
    }
    clients.look_at_ns = UINT64_MAX;
    arm_deadlines();
}

uint64_t sim_call(int node, const char *method, struct bytes request, uint64_t timeout_ns,
                  sim_answer_fn on_answer, void *ctx)
{
    ASSERT(sim_node() == SIM_NOBODY);
    struct client_call *call = mem_zalloc(sizeof(*call));
    call->handle = handle_add(&clients.handles, call);
    call->node = node;
    call->method = str_dup(method);
    call->timeout_ns = timeout_ns;
    call->on_answer = on_answer;
    call->ctx = ctx;
    call->is_streaming = is_streaming(method);
    list_init(&call->items);
    list_append(&clients.calls, &call->link);
    send_item(call, CALL_START, request);
    heap_node_init(&call->deadline);
    if (timeout_ns > 0) {
        heap_set(&clients.deadlines, &call->deadline, sim_now_ns() + timeout_ns);
        arm_deadlines();
    }
    return call->handle;
}

void sim_call_send(uint64_t handle, struct bytes request)
{
    struct client_call *call = find(handle);
    if (call != NULL && !call->is_over) {
        send_item(call, CALL_MESSAGE, request);
    }
}

void sim_call_half_close(uint64_t handle)
{
    struct client_call *call = find(handle);
    if (call != NULL && !call->is_over) {
        send_item(call, CALL_HALF_CLOSE, bytes_of(NULL, 0));
    }
}

void sim_call_cancel(uint64_t handle)
{
    struct client_call *call = find(handle);
    if (call != NULL && !call->is_over) {
        call->is_over = true;
        heap_remove(&clients.deadlines, &call->deadline);
        send_item(call, CALL_RESET, bytes_of(NULL, 0));
    }
}

void sim_call_require_leader(uint64_t handle)
{
    struct client_call *call = find(handle);
    if (call != NULL) {
        call->require_leader = true;
    }
}

void sim_call_slow(uint64_t handle, uint64_t bytes_per_s)
{
    struct client_call *call = find(handle);
    if (call != NULL) {
        call->bytes_per_s = bytes_per_s;
    }
}

/* ---- to the client ---- */

void call_started(uint64_t handle, struct call_start *out_start)
{
    const struct client_call *call = find(handle);
    *out_start = (struct call_start){call->method, (call->timeout_ns + 999999) / 1000000,
                                     call->require_leader};
}

void call_set_server(uint64_t handle, uint64_t server_handle)
{
    struct client_call *call = find(handle);
    call->server_handle = server_handle;
    settle(call);
}

uint64_t call_server(uint64_t handle)
{
    return find(handle)->server_handle;
}

static void word_free(struct word *word)
{
    mem_free(word->text);
    mem_free(word->data);
    mem_free(word);
}

static void hear_message(struct client_call *call, struct word *word)
{
    call->unread_bytes -= word->size;
    if (call->was_above && call->unread_bytes <= GRPC_CALL_LOW_BYTES) {
        call->was_above = false;
        if (call->server_handle != 0) {
            send_item(call, CALL_DRAINED, bytes_of(NULL, 0));
        }
    }
    if (call->is_streaming) {
        const struct sim_answer answer = {.body = bytes_of(word->data, word->size),
                                          .is_message = true};
        tell(call, &answer);
    } else {
        mem_free(call->body);
        call->body = word->data;
        call->body_size = word->size;
        word->data = NULL;
    }
}

static void hear_end(struct client_call *call, const struct word *word)
{
    uint8_t *body = call->body;
    const struct sim_answer answer = {
        .code = word->code, .text = word->text, .body = bytes_of(body, call->body_size)};
    call->body = NULL;
    tell(call, &answer);
    mem_free(body);
}

/* Event. */
static void hear(void *ctx)
{
    struct word *word = ctx;
    struct client_call *call = find(word->call);
    if (call != NULL && word->is_end) {
        hear_end(call, word);
    } else if (call != NULL) {
        hear_message(call, word);
    }
    word_free(word);
}

static void say(struct client_call *call, struct word *word)
{
    const struct sim_actor *actor = sim_actor_now();
    uint64_t at = sim_now_ns() + (actor == NULL ? 0 : actor->spent_ns) + delay_ns();
    at = BASE_MAX(at, call->last_word_ns);
    if (call->bytes_per_s > 0) {
        at += (uint64_t)((unsigned __int128)word->size * NS_PER_S / call->bytes_per_s);
    }
    call->last_word_ns = at;
    sim_at(at, hear, word);
}

/* True when what the node says is lost, and the connection with it. */
static bool word_fails(struct client_call *call)
{
    if (!call->is_broken && node_call_fails(SIM_CALL_SEND) != 0) {
        call->is_broken = true;
        sim_memory_world();
        send_item(call, CALL_RESET, bytes_of(NULL, 0));
        if (!call->is_over) {
            lose(call, "sim: the connection has broken");
        }
        sim_memory_back();
    }
    return call->is_broken;
}

void call_answer(uint64_t handle, struct bytes message)
{
    struct client_call *call = find(handle);
    if (word_fails(call)) {
        return;
    }
    sim_memory_world();
    struct word *word = mem_zalloc(sizeof(*word));
    word->call = handle;
    word->data = mem_dup(message.data, message.size);
    word->size = message.size;
    call->unread_bytes += message.size;
    call->was_above = call->was_above || call->unread_bytes > GRPC_CALL_LOW_BYTES;
    say(call, word);
    sim_memory_back();
}

void call_finish(uint64_t handle, enum grpc_code code, const char *text)
{
    struct client_call *call = find(handle);
    if (word_fails(call)) {
        return;
    }
    sim_memory_world();
    struct word *word = mem_zalloc(sizeof(*word));
    word->call = handle;
    word->is_end = true;
    word->code = code;
    word->text = str_dup(text == NULL ? "" : text);
    say(call, word);
    sim_memory_back();
}

size_t call_unread_bytes(uint64_t handle)
{
    return find(handle)->unread_bytes;
}
