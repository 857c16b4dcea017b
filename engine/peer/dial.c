/* SPDX-License-Identifier: Apache-2.0 */
/* The streams that we read: the receiver dials, and reads messages from the body of an endless
 * answer. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/peer/internal.h"

static const char *const STREAM_PATHS[STREAM_KINDS] = {
    [STREAM_MSGAPP] = "/raft/stream/msgapp",
    [STREAM_MESSAGE] = "/raft/stream/message",
};

static void dial_start(void *ctx);

static int decode_next(struct dial *dial, struct bytes data, size_t *out_used,
                       struct raft_message *message, bool *out_beat)
{
    return dial->kind == STREAM_MSGAPP
               ? codec_msgapp_decode(&dial->decoder, data, out_used, message, out_beat)
               : codec_message_decode(data, out_used, message, out_beat);
}

/* Gives all whole messages on; false when the stream cannot go on. */
static bool dial_read(struct dial *dial)
{
    struct peer_transport *transport = dial->peer->transport;
    size_t at = 0;
    int rc = 0;
    while (rc == 0) {
        struct raft_message message = {0};
        size_t used = 0;
        bool beat = false;
        rc = decode_next(dial, bytes_of(dial->unread.data + at, dial->unread.size - at), &used,
                         &message, &beat);
        if (rc != 0) {
            break;
        }
        at += used;
        if (!beat &&
            message.type != RAFT_MSG_SNAP) { /* those come with a database, or not at all */
            peer_stats_received(&dial->peer->stats, message.type);
            transport->config.on_message(transport->config.ctx, &message);
        }
        raft_message_clear(&message);
    }
    buf_consume(&dial->unread, at);
    peer_stat_add(&dial->peer->stats, PEER_RECEIVED_BYTES, (int64_t)at);
    return rc == E_AGAIN;
}

static void on_answer(void *ctx, const struct http1_client_answer *answer)
{
    struct dial *dial = ctx;
    dial->status = answer->status;
    if (answer->status == 200) {
        dial->up = true;
        dial->logged_status = 200;
        LOG_INFO("established TCP streaming connection with remote peer",
                 LOG_STR("stream-reader-type", STREAM_PATHS[dial->kind]),
                 LOG_HEX("remote-peer-id", dial->peer->id));
        dial->peer->was_there = true;
        peer_refresh_active(dial->peer);
    }
}

/* The first line of why, for the log: whoever refuses may be of another cluster or of anybody. */
static void keep_refusal(struct dial *dial, struct bytes part)
{
    size_t at = strlen(dial->refusal);
    for (size_t i = 0; i < part.size && at + 1 < sizeof(dial->refusal); i++) {
        unsigned char c = part.data[i];
        if (c < ' ' || c > '~') {
            break;
        }
        dial->refusal[at++] = (char)c;
    }
    dial->refusal[at] = '\0';
}

static void on_body(void *ctx, struct bytes part)
{
    struct dial *dial = ctx;
    if (dial->status != 200) {
        keep_refusal(dial, part);
        return;
    }
    if (buf_append(&dial->unread, part.data, part.size) != 0 || !dial_read(dial)) {
        peer_stat_add(&dial->peer->stats, PEER_RECEIVED_FAILURES, 1);
        LOG_WARN("a peer's stream cannot be read, it is opened again",
                 LOG_HEX("remote-peer-id", dial->peer->id));
        http1_client_cancel(dial->client);
        dial->up = false;
        buf_clear(&dial->unread);
        peer_refresh_active(dial->peer);
        loop_timer_set(&dial->redial, PEER_REDIAL_SLOW_MS);
    }
}

static void log_refusal(struct dial *dial, int code, const char *text)
{
    int told = code != 0 ? code : dial->status;
    if (told == dial->logged_status) {
        return; /* once for each change: dialling goes on for as long as it takes */
    }
    dial->logged_status = told;
    if (code != 0) {
        LOG_WARN("failed to dial a peer", LOG_HEX("remote-peer-id", dial->peer->id),
                 LOG_STR("error", text));
    } else if (dial->status == 412) {
        LOG_ERROR("request sent was ignored by remote peer: it belongs to another cluster or "
                  "version; is this data "
                  "directory of another cluster?",
                  LOG_HEX("remote-peer-id", dial->peer->id), LOG_STR("reason", dial->refusal),
                  LOG_HEX("cluster-id", dial->peer->transport->config.cluster_id),
                  LOG_STR("local-server-version", dial->peer->transport->config.server_version));
    } else {
        LOG_WARN("a peer refused a stream", LOG_HEX("remote-peer-id", dial->peer->id),
                 LOG_I64("status", dial->status), LOG_STR("reason", dial->refusal));
    }
}

static void on_done(void *ctx, int code, const char *text)
{
    struct dial *dial = ctx;
    struct peer *peer = dial->peer;
    bool was_up = dial->up;
    dial->up = false;
    buf_clear(&dial->unread);
    if (code == 0 && dial->status == 410) {
        peer_report_removed(peer);
    }
    if (!was_up) {
        log_refusal(dial, code, text);
        peer_pick_next_url(peer);
        peer_note_dial(peer, code);
    }
    peer_refresh_active(peer);
    loop_timer_set(&dial->redial,
                   code == 0 && dial->status != 200 ? PEER_REDIAL_SLOW_MS : PEER_REDIAL_MS);
}

static void dial_start(void *ctx)
{
    struct dial *dial = ctx;
    struct peer *peer = dial->peer;
    struct http1_header headers[PEER_HEADERS_MAX];
    char ids[3][PEER_ID_TEXT];
    char path[96];
    /* A fresh connection each time: the URL may be another one, and streams are never pooled. */
    http1_client_free(dial->client);
    dial->client = peer_client_new(peer);
    if (dial->client == NULL) {
        log_refusal(dial, E_UNSUPPORTED, "the peer URL cannot be used");
        peer_pick_next_url(peer);
        loop_timer_set(&dial->redial, PEER_REDIAL_SLOW_MS);
        return;
    }
    dial->status = 0;
    dial->refusal[0] = '\0';
    dial->decoder =
        (struct msgapp_decoder){.local_id = peer->transport->config.self_id, .remote_id = peer->id};
    snprintf(path, sizeof(path), "%s/%" PRIx64, STREAM_PATHS[dial->kind],
             peer->transport->config.self_id);
    const struct http1_client_exchange exchange = {
        .method = "GET",
        .path = path,
        .headers = headers,
        .header_count = peer_headers(peer->transport, peer->id, headers, ids),
        .ctx = dial,
        .on_answer = on_answer,
        .on_body = on_body,
        .on_done = on_done,
        .head_timeout_ms = peer->transport->config.read_timeout_ms,
        .read_timeout_ms = peer->transport->config.read_timeout_ms,
    };
    if (http1_client_start(dial->client, &exchange) != 0) {
        loop_timer_set(&dial->redial, PEER_REDIAL_SLOW_MS);
    }
}

void dial_init(struct dial *dial, struct peer *peer, enum stream_kind kind)
{
    *dial = (struct dial){.peer = peer, .kind = kind};
    buf_init(&dial->unread, PEER_STREAM_MESSAGE_BYTES_MAX + 64);
    loop_timer_init(peer->transport->config.loop, &dial->redial, dial_start, dial);
    loop_timer_set(&dial->redial, 0);
}

void dial_free(struct dial *dial)
{
    loop_timer_cancel(&dial->redial);
    http1_client_free(dial->client);
    buf_free(&dial->unread);
}
