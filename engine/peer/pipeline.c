/* SPDX-License-Identifier: Apache-2.0 */
/* POST /raft, one message each: for the time before streams are there, and when one is down. */
#include "base/alloc.h"
#include "base/log.h"
#include "engine/peer/internal.h"
#include "engine/proto/raftpb.h"

static void pipeline_next(struct peer *peer);

static void on_answer(void *ctx, const struct http1_client_answer *answer)
{
    struct peer *peer = ctx;
    if (answer->status == 403 || answer->status == 410) {
        peer_report_removed(peer);
    } else if (answer->status >= 300) {
        peer_stat_add(&peer->stats, PEER_SENT_FAILURES, 1);
        peer_report_unreachable(peer);
    }
}

static void drop_queue(struct peer *peer)
{
    while (!list_empty(&peer->pipeline_queue)) {
        struct posted *posted = LIST_ENTRY(peer->pipeline_queue.next, struct posted, link);
        list_remove(&posted->link);
        buf_free(&posted->body);
        mem_free(posted);
    }
    peer->pipeline_count = 0;
    peer->pipeline_bytes = 0;
}

static void on_done(void *ctx, int code, const char *text)
{
    struct peer *peer = ctx;
    (void)text;
    peer->pipeline_busy = false;
    if (code != 0) {
        peer_stat_add(&peer->stats, PEER_SENT_FAILURES, 1);
        /* Old messages help nobody once the peer is back: Raft starts again from what it has then.
         */
        drop_queue(peer);
        peer_pick_next_url(peer);
        http1_client_free(peer->pipeline); /* the next one goes to the next URL */
        peer->pipeline = NULL;
        peer_report_unreachable(peer);
        return;
    }
    pipeline_next(peer);
}

static void pipeline_next(struct peer *peer)
{
    if (peer->pipeline_busy || list_empty(&peer->pipeline_queue)) {
        return;
    }
    struct posted *posted = LIST_ENTRY(peer->pipeline_queue.next, struct posted, link);
    struct http1_header headers[PEER_HEADERS_MAX + 1];
    char ids[3][PEER_ID_TEXT];
    size_t count = peer_headers(peer->transport, peer->id, headers, ids);
    headers[count++] = (struct http1_header){"Content-Type", "application/protobuf"};
    list_remove(&posted->link);
    peer->pipeline_count--;
    peer->pipeline_bytes -= posted->body.size;
    const struct http1_client_exchange exchange = {
        .method = "POST",
        .path = "/raft",
        .headers = headers,
        .header_count = count,
        .body = buf_bytes(&posted->body),
        .ctx = peer,
        .on_answer = on_answer,
        .on_done = on_done,
        .total_timeout_ms = PEER_PIPELINE_TIMEOUT_MS,
    };
    peer->pipeline_busy = http1_client_start(peer->pipeline, &exchange) == 0;
    peer_stat_add(&peer->stats, PEER_SENT_BYTES,
                  peer->pipeline_busy ? (int64_t)exchange.body.size : 0);
    buf_free(&posted->body);
    mem_free(posted);
}

void pipeline_send(struct peer *peer, const struct raft_message *message)
{
    size_t size = raftpb_message_size(message);
    if (peer->pipeline_count >= PEER_PIPELINE_QUEUE_MAX ||
        peer->pipeline_bytes + size > PEER_SEND_QUEUE_BYTES_MAX) {
        peer_stat_add(&peer->stats, PEER_SENT_FAILURES, 1);
        peer_report_unreachable(peer);
        return;
    }
    if (peer->pipeline == NULL) {
        peer->pipeline = peer_client_new(peer);
    }
    if (peer->pipeline == NULL) {
        peer_report_unreachable(peer);
        return;
    }
    struct posted *posted = mem_zalloc(sizeof(*posted));
    buf_init(&posted->body, BUF_NO_LIMIT);
    raftpb_message_encode(message, &posted->body);
    list_append(&peer->pipeline_queue, &posted->link);
    peer->pipeline_count++;
    peer->pipeline_bytes += posted->body.size;
    pipeline_next(peer);
}

void pipeline_free(struct peer *peer)
{
    http1_client_free(peer->pipeline);
    peer->pipeline = NULL;
    drop_queue(peer);
}
