/* SPDX-License-Identifier: Apache-2.0 */
/* POST /raft/snapshot: an envelope, then the database as it comes out of a pipe. */
#include <errno.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/peer/internal.h"
#include "engine/proto/raftpb.h"

struct snapshot_send {
    struct peer *peer;
    struct http1_client *client;
    int fd;
    struct loop_fd readable;
    bool watching;
    struct buf envelope; /* goes first, once there is a connection */
    bool envelope_sent;
    uint64_t left_bytes;
    int status;
    struct loop_timer stalled;
    uint64_t start_ns;
};

static void send_free(struct snapshot_send *send)
{
    if (send->watching) {
        loop_remove(&send->readable);
    }
    loop_timer_cancel(&send->stalled);
    http1_client_free(send->client);
    buf_free(&send->envelope);
    close(send->fd);
    mem_free(send);
}

/* The one end of a posting: whoever asked for it hears how it went, whatever ended it. */
static void send_end(struct snapshot_send *send, bool delivered)
{
    struct peer *peer = send->peer;
    struct peer_transport *transport = peer->transport;
    uint64_t id = peer->id;
    peer->snapshot = NULL;
    peer_stat_add(&peer->stats, PEER_SNAPSHOT_SENDING, -1);
    peer_stat_add(&peer->stats, delivered ? PEER_SNAPSHOT_SENT : PEER_SNAPSHOT_SEND_FAILURES, 1);
    if (delivered) {
        peer_stat_observe(&peer->stats, PEER_SNAPSHOT_SEND_SECONDS,
                          loop_clock_ns() - send->start_ns);
    }
    send_free(send);
    LOG_INFO(delivered ? "sent database snapshot" : "failed to send database snapshot",
             LOG_HEX("remote-peer-id", id));
    transport->config.on_snapshot_status(transport->config.ctx, id, delivered);
}

void snapshot_send_free(struct peer *peer)
{
    if (peer->snapshot != NULL) {
        send_end(peer->snapshot, false);
    }
}

static void on_stalled(void *ctx)
{
    struct snapshot_send *send = ctx;
    LOG_WARN("a peer takes no more of a snapshot", LOG_HEX("remote-peer-id", send->peer->id));
    send_end(send, false);
}

static void note_progress(struct snapshot_send *send)
{
    loop_timer_set(&send->stalled, PEER_SNAPSHOT_STALL_MS);
}

static void on_pipe(void *ctx, uint32_t events)
{
    (void)events;
    struct snapshot_send *send = ctx;
    uint8_t chunk[PEER_SNAPSHOT_CHUNK_BYTES];
    ssize_t size = read(send->fd, chunk, sizeof(chunk));
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0 || (uint64_t)size > send->left_bytes) {
        send_end(send, false); /* whoever writes the snapshot has given up */
        return;
    }
    note_progress(send);
    send->left_bytes -= (uint64_t)size;
    peer_stat_add(&send->peer->stats, PEER_SENT_BYTES, size);
    bool room = http1_client_write(send->client, chunk, (size_t)size);
    if (send->left_bytes == 0) {
        loop_remove(&send->readable);
        send->watching = false;
        http1_client_end_body(send->client);
    } else if (!room) {
        loop_set_events(&send->readable, 0); /* on_room goes on */
    }
}

/* Comes first when the connection is there: before, what is written would be lost. */
static void on_room(void *ctx, struct http1_client *client)
{
    struct snapshot_send *send = ctx;
    note_progress(send);
    if (!send->envelope_sent) {
        send->envelope_sent = true;
        (void)http1_client_write(client, send->envelope.data, send->envelope.size);
        int rc = loop_add(send->peer->transport->config.loop, &send->readable, send->fd,
                          LOOP_READABLE, on_pipe, send);
        if (rc != 0) {
            LOG_ERROR("failed to watch a pipe", LOG_STR("error", err_code_text(rc)));
            send_end(send, false);
            return;
        }
        send->watching = true;
    } else if (send->watching) {
        loop_set_events(&send->readable, LOOP_READABLE);
    }
}

static void on_answer(void *ctx, const struct http1_client_answer *answer)
{
    ((struct snapshot_send *)ctx)->status = answer->status;
}

static void on_done(void *ctx, int code, const char *text)
{
    struct snapshot_send *send = ctx;
    bool delivered = code == 0 && send->status == 204 && send->left_bytes == 0;
    if (!delivered) {
        LOG_WARN("a peer did not take a snapshot", LOG_HEX("remote-peer-id", send->peer->id),
                 LOG_I64("status", send->status), LOG_STR("error", text == NULL ? "" : text));
        peer_pick_next_url(send->peer);
    }
    send_end(send, delivered);
}

static int send_begin(struct snapshot_send *send)
{
    struct peer *peer = send->peer;
    struct http1_header headers[PEER_HEADERS_MAX + 1];
    char ids[3][PEER_ID_TEXT];
    size_t count = peer_headers(peer->transport, peer->id, headers, ids);
    headers[count++] = (struct http1_header){"Content-Type", "application/octet-stream"};
    const struct http1_client_exchange exchange = {
        .method = "POST",
        .path = "/raft/snapshot",
        .headers = headers,
        .header_count = count,
        .on_room = on_room,
        .body_size = send->envelope.size + send->left_bytes,
        .ctx = send,
        .on_answer = on_answer,
        .on_done = on_done,
    };
    return http1_client_start(send->client, &exchange);
}

void peer_send_snapshot(struct peer_transport *transport, struct raft_message *message, int fd,
                        uint64_t size)
{
    struct peer *peer = peer_find(transport, message->to);
    uint64_t to = message->to;
    if (peer == NULL || peer->snapshot != NULL || size == 0) {
        close(fd);
        raft_message_clear(message);
        transport->config.on_snapshot_status(transport->config.ctx, to, false);
        return;
    }
    struct snapshot_send *send = mem_zalloc(sizeof(*send));
    send->peer = peer;
    send->fd = fd;
    send->left_bytes = size;
    buf_init(&send->envelope, BUF_NO_LIMIT);
    codec_message_encode(message, &send->envelope);
    raft_message_clear(message);
    loop_timer_init(transport->config.loop, &send->stalled, on_stalled, send);
    note_progress(send);
    send->client = peer_client_new(peer);
    peer->snapshot = send;
    send->start_ns = loop_clock_ns();
    peer_stat_add(&peer->stats, PEER_SNAPSHOT_SENDING, 1);
    if (send->client == NULL || send_begin(send) != 0) {
        send_end(send, false);
    }
}
