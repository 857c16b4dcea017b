/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raft messages: each leaves the stream that it was written to and travels alone. One that arrives
 * while its stream is open comes out of that stream; one whose stream or receiver has gone is lost,
 * or comes by POST, as after a reconnect: then the receiver checks whose and for whom it is.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/proto/raftpb.h"
#include "tests/sim/net_internal.h"

#define FRAME_BYTES 8u /* the length before a message in a stream */

struct net_packet {
    struct list node;
    uint64_t id;
    int from, to;
    uint64_t exchange_id; /* of the stream */
    struct net_sender *sender;
    struct buf data; /* as the stream carries it */
    size_t frame_bytes;
    uint64_t sequence, cut_count;
    bool is_copy;
    bool is_in_flight; /* counts for its link */
    bool is_posted;    /* waits on the receiver's loop */
    uint32_t tries;
};

/* ---- senders ---- */

void net_sender_unref(struct net_sender *sender)
{
    if (sender != NULL && --sender->references == 0) {
        buf_free(&sender->headers);
        mem_free(sender);
    }
}

static void append_text(struct buf *out, const char *text)
{
    buf_append(out, text, strlen(text) + 1);
}

void net_raft_stream_start(struct net_exchange *exchange, const char *path,
                           const struct taken *taken)
{
    const struct peer *peer = taken->peer;
    struct http1_header headers[PEER_HEADERS_MAX];
    char ids[3][PEER_ID_TEXT];
    struct url url;
    size_t count = peer_headers(peer->transport, peer->id, headers, ids);
    ASSERT(exchange->sender == NULL && strstr(path, "/raft/stream/") == path);
    sim_memory_world();
    struct net_sender *sender = mem_zalloc(sizeof(*sender));
    sender->references = 1;
    buf_init(&sender->headers, BUF_NO_LIMIT);
    append_text(&sender->headers, "POST");
    append_text(&sender->headers, "/raft");
    for (size_t i = 0; i < count; i++) {
        append_text(&sender->headers, headers[i].name);
        append_text(&sender->headers, headers[i].value);
    }
    sender->to_port =
        peer->url_count > 0 && url_parse(peer->urls[peer->url_picked], &url, NULL) == 0 ? url.port
                                                                                        : 0;
    exchange->sender = sender;
    exchange->stream = taken->stream;
    exchange->decoder =
        (struct msgapp_decoder){.local_id = peer->id, .remote_id = peer->transport->config.self_id};
    sim_memory_back();
}

/* ---- packets ---- */

static struct net_packet *packet_find(void *ctx)
{
    return map_get_u64(&net_state()->packets_by_id, (uint64_t)(uintptr_t)ctx);
}

static void *packet_ctx(const struct net_packet *packet)
{
    return (void *)(uintptr_t)packet->id;
}

static void packet_lands(struct net_packet *packet)
{
    struct net_link *link = net_link_of(packet->from, packet->to);
    link->in_flight -= packet->is_in_flight ? 1 : 0;
    packet->is_in_flight = false;
}

static void packet_free(struct net_packet *packet)
{
    packet_lands(packet);
    list_remove(&packet->node);
    (void)map_remove_u64(&net_state()->packets_by_id, packet->id);
    buf_free(&packet->data);
    net_sender_unref(packet->sender);
    mem_free(packet);
}

static void packet_lose(struct net_packet *packet, uint64_t *count)
{
    (*count)++;
    packet_free(packet);
}

void net_raft_free_all(void)
{
    LIST_EACH_SAFE(it, &net_state()->packets)
    {
        packet_free(LIST_ENTRY(it, struct net_packet, node));
    }
}

static void packet_due(void *ctx);

static struct net_packet *packet_new(struct net_exchange *exchange, struct bytes data, bool is_copy)
{
    struct net *net = net_state();
    struct net_packet *packet = mem_zalloc(sizeof(*packet));
    packet->id = net_id_new();
    packet->from = exchange->server_node; /* streams are dialled by who reads them */
    packet->to = exchange->client_node;
    packet->exchange_id = exchange->id;
    packet->sender = exchange->sender;
    packet->sender->references++;
    packet->frame_bytes = FRAME_BYTES + (exchange->stream == STREAM_MSGAPP ? 1 : 0);
    buf_init(&packet->data, BUF_NO_LIMIT);
    buf_append(&packet->data, data.data, data.size);
    list_append(&net->packets, &packet->node);
    (void)map_set_u64(&net->packets_by_id, packet->id, packet);
    struct net_link *link = net_link_of(packet->from, packet->to);
    packet->sequence = ++link->sequence;
    packet->cut_count = link->cut_count;
    packet->is_copy = is_copy;
    packet->is_in_flight = !is_copy;
    link->in_flight += is_copy ? 0 : 1;
    return packet;
}

/* Entries that only follow what went before in their stream become a message of their own. */
static void make_whole(struct net_exchange *exchange, struct bytes data, struct buf *out)
{
    struct raft_message message = {0};
    size_t used = 0;
    bool is_beat = false;
    if (exchange->stream == STREAM_MESSAGE) {
        buf_append(out, data.data, data.size);
        return;
    }
    int rc = codec_msgapp_decode(&exchange->decoder, data, &used, &message, &is_beat);
    ASSERT(rc == 0 && used == data.size && !is_beat);
    buf_append_byte(out, CODEC_MSGAPP_MESSAGE);
    codec_message_encode(&message, out);
    raft_message_clear(&message);
}

/* When a message that leaves now arrives. */
static uint64_t draw_arrival(const struct net_exchange *exchange, struct net_link *link,
                             size_t bytes)
{
    const struct sim_net_faults *faults = &net_state()->faults;
    uint64_t now = sim_now_ns();
    if (net_chance(faults->clog_ppm)) {
        net_state()->counts.clogged++;
        link->clogged_until_ns =
            BASE_MAX(link->clogged_until_ns, now + net_exponential(faults->clog_mean_ns));
    }
    uint64_t at =
        net_arrival_ns(exchange->server_node, exchange->client_node) + net_transfer_ns(bytes);
    at = BASE_MAX(at, exchange->answer_at_ns + 1); /* the stream begins with its head */
    if (faults->is_ordered) {
        at = BASE_MAX(at, link->last_at_ns);
    }
    link->last_at_ns = BASE_MAX(at, link->last_at_ns);
    return at;
}

/* Raft stands any message twice but a proposal, which it takes for another one: that is why it
 * travels on a stream that brings each at most once, and so it is here. */
static bool may_come_twice(struct bytes whole)
{
    struct raft_message message = {0};
    if (whole.size < FRAME_BYTES || whole.data[0] == CODEC_MSGAPP_MESSAGE ||
        raftpb_message_decode(bytes_of(whole.data + FRAME_BYTES, whole.size - FRAME_BYTES),
                              &message) != 0) {
        return true; /* entries for a follower, or a heartbeat of the stream */
    }
    bool is_proposal = message.type == RAFT_MSG_PROP;
    raft_message_clear(&message);
    return !is_proposal;
}

void net_raft_send(struct net_exchange *exchange, struct bytes data)
{
    struct net *net = net_state();
    struct net_link *link = net_link_of(exchange->server_node, exchange->client_node);
    struct buf whole;
    int fails = net_send_fails();
    sim_memory_world();
    buf_init(&whole, BUF_NO_LIMIT);
    make_whole(exchange, data, &whole); /* also what is lost counts for the decoder */
    net->counts.sent++;
    if (exchange->client == NULL || exchange->is_broken) {
        net->counts.lost++; /* the other end has let go, this one has not heard of it */
    } else if (fails != 0) {
        net->counts.lost++;
        if (fails == E_CLOSED) {
            net_exchange_break(exchange);
        }
    } else if (net_chance(net->faults.loss_ppm)) {
        net->counts.lost++;
        if (net_chance(NET_BROKEN_BY_LOSS_PPM)) {
            net_exchange_break(exchange);
        }
    } else {
        uint64_t at = draw_arrival(exchange, link, whole.size);
        struct net_packet *packet = packet_new(exchange, buf_bytes(&whole), false);
        sim_at(at, packet_due, packet_ctx(packet));
        if (net_chance(net->faults.duplicate_ppm) && may_come_twice(buf_bytes(&whole))) {
            struct net_packet *copy = packet_new(exchange, buf_bytes(&whole), true);
            net->counts.duplicated++;
            uint64_t later = rng_below(sim_rng(SIM_RNG_NET), net->faults.duplicate_later_ns + 1);
            sim_at(at + later, packet_due, packet_ctx(copy));
        }
    }
    buf_free(&whole);
    sim_memory_back();
}

bool net_raft_is_full(const struct net_exchange *exchange)
{
    const struct net_link *link = net_link_of(exchange->server_node, exchange->client_node);
    uint32_t max = net_state()->faults.queue_max;
    if (max == 0 || link->in_flight < max) {
        return false;
    }
    net_state()->counts.sent++; /* engine/peer drops it and reports it */
    net_state()->counts.lost++;
    return true;
}

/* ---- arriving ---- */

static void tell_tap(int from, int to, struct bytes wire)
{
    struct net *net = net_state();
    struct raft_message message = {0};
    if (net->tap == NULL) {
        return;
    }
    sim_memory_world();
    if (raftpb_message_decode(wire, &message) == 0) {
        net->tap(net->tap_ctx, from, to, &message);
        raft_message_clear(&message);
    }
    sim_memory_back();
}

void net_raft_arrives(int from, int to, struct bytes wire)
{
    net_state()->counts.delivered++;
    sim_trace((uint64_t)(from + 1) << 56 | (uint64_t)(to + 1) << 48 | wire.size);
    tell_tap(from, to, wire);
}

void net_raft_snapshot_arrives(int from, int to, struct bytes frame)
{
    sim_trace((uint64_t)(from + 1) << 56 | (uint64_t)(to + 1) << 48 | frame.size);
    tell_tap(from, to, bytes_of(frame.data + FRAME_BYTES, frame.size - FRAME_BYTES));
}

static void note_overtaken(const struct net_packet *packet)
{
    struct net_link *link = net_link_of(packet->from, packet->to);
    if (packet->is_copy) {
        return;
    }
    if (packet->sequence < link->newest_arrived) {
        net_state()->counts.overtaken++;
    }
    link->newest_arrived = BASE_MAX(link->newest_arrived, packet->sequence);
}

static struct bytes packet_wire(const struct net_packet *packet)
{
    return bytes_of(packet->data.data + packet->frame_bytes,
                    packet->data.size - packet->frame_bytes);
}

/* The stream that it was sent by, when it can still come out of it. */
static struct net_exchange *stream_of(const struct net_packet *packet)
{
    struct net_exchange *exchange = net_exchange_find(packet->exchange_id);
    bool is_open = exchange != NULL && !exchange->is_broken && exchange->client != NULL &&
                   net_client_is_reading(exchange->client);
    return is_open ? exchange : NULL;
}

/* On the loop of the receiver. Gone before the node sees it: its life may end there. */
static void packet_take(void *ctx)
{
    struct net_packet *packet = packet_find(ctx);
    if (packet == NULL) {
        return;
    }
    struct net_exchange *exchange = stream_of(packet);
    if (exchange == NULL) {
        packet_lose(packet, &net_state()->counts.lost);
        return;
    }
    uint8_t *data = mem_dup(packet->data.data, packet->data.size);
    size_t size = packet->data.size;
    struct http1_client *client = exchange->client;
    note_overtaken(packet);
    net_raft_arrives(packet->from, packet->to, packet_wire(packet));
    packet_free(packet);
    net_client_take_body(client, bytes_of(data, size));
    mem_free(data);
}

static void packet_enter(void *ctx)
{
    struct net_packet *packet = packet_find(ctx);
    struct net_exchange *exchange = packet == NULL ? NULL : stream_of(packet);
    if (exchange != NULL) {
        loop_post(exchange->client_loop, packet_take, ctx);
    } else if (packet != NULL) {
        packet_lose(packet, &net_state()->counts.lost);
    }
}

/* By POST to whoever has the port now. */
static void post(struct net_packet *packet, struct http1_server *server)
{
    struct net_exchange *exchange =
        net_exchange_new(packet->to, packet->sender->to_port, NULL, NULL);
    net_state()->counts.late++;
    note_overtaken(packet);
    exchange->client_node = packet->from;
    exchange->server = server;
    net_exchange_push(exchange, NET_TO_SERVER, NET_HEAD, 0, buf_bytes(&packet->sender->headers));
    net_exchange_push_body(exchange, NET_TO_SERVER, packet_wire(packet));
    net_exchange_push(exchange, NET_TO_SERVER, NET_END, 0, (struct bytes){NULL, 0});
    packet_free(packet);
}

/* Its stream has gone. */
static void packet_late(struct net_packet *packet)
{
    struct http1_server *server = net_server_find(packet->to, packet->sender->to_port);
    packet_lands(packet);
    bool goes_on = packet->is_copy || packet->tries > 0 || net_chance(NET_LATE_PPM);
    if (goes_on && server != NULL) {
        post(packet, server);
    } else if (goes_on && packet->tries < NET_LATE_TRIES_MAX) {
        packet->tries++;
        sim_at(sim_now_ns() + net_exponential(NET_LATE_MEAN_MS * NET_MS), packet_due,
               packet_ctx(packet));
    } else {
        packet_lose(packet, &net_state()->counts.lost);
    }
}

static void packet_due(void *ctx)
{
    struct net_packet *packet = packet_find(ctx);
    if (packet == NULL) {
        return;
    }
    const struct net_link *link = net_link_of(packet->from, packet->to);
    bool is_old = !packet->is_copy && packet->tries == 0 && packet->cut_count != link->cut_count;
    sim_memory_world();
    if (link->is_cut || is_old) {
        packet_lose(packet, &net_state()->counts.cut);
    } else if (stream_of(packet) != NULL) {
        packet->is_posted = true;
        sim_at_life(sim_now_ns(), packet->to, packet_enter, ctx, NULL);
    } else {
        packet_late(packet);
    }
    sim_memory_back();
}

/* What waited on its loop goes the way of all that comes too late. */
void net_raft_died(int node)
{
    LIST_EACH(it, &net_state()->packets)
    {
        struct net_packet *packet = LIST_ENTRY(it, struct net_packet, node);
        if (packet->to == node && packet->is_posted) {
            packet->is_posted = false;
            sim_at(net_arrival_ns(packet->from, node), packet_due, packet_ctx(packet));
        }
    }
}
