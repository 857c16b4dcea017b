/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot that a leader posts: the envelope is read first, the database goes to a temporary file
 * as it arrives, and only a whole, synced, renamed file is reported.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/peer/internal.h"
#include "engine/proto/raftpb.h"

#define ENVELOPE_BYTES_MAX (64u * 1024u * 1024u)

struct snapshot_receive {
    struct peer_transport *transport;
    struct buf envelope; /* length and message, until whole */
    bool has_message;
    struct raft_message message;
    struct disk_file *file;
    char *path;
    uint64_t file_bytes;
    bool failed;
    bool done;                  /* it is whole */
    struct peer_stats *counted; /* among those that arrive of this peer */
    uint64_t start_ns;
};

/* Of whom it comes from, as it is now; NULL: nobody we know. */
static struct peer_stats *sender_stats(const struct snapshot_receive *receive)
{
    struct peer *peer =
        receive->has_message ? peer_find(receive->transport, receive->message.from) : NULL;
    return peer == NULL ? NULL : &peer->stats;
}

static void count_begin(struct snapshot_receive *receive)
{
    receive->counted = sender_stats(receive);
    if (receive->counted != NULL) {
        peer_stat_add(receive->counted, PEER_SNAPSHOT_RECEIVING, 1);
    }
}

static void count_end(const struct snapshot_receive *receive)
{
    struct peer_stats *stats = sender_stats(receive);
    if (stats == NULL || stats != receive->counted) {
        return; /* its counts went with its link */
    }
    peer_stat_add(stats, PEER_SNAPSHOT_RECEIVING, -1);
    peer_stat_add(stats, receive->done ? PEER_SNAPSHOT_RECEIVED : PEER_SNAPSHOT_RECEIVE_FAILURES,
                  1);
    peer_stat_add(stats, PEER_RECEIVED_BYTES, (int64_t)receive->file_bytes);
    if (receive->done) {
        peer_stat_observe(stats, PEER_SNAPSHOT_RECEIVE_SECONDS,
                          loop_clock_ns() - receive->start_ns);
    }
}

void snapshot_receive_free(struct snapshot_receive *receive)
{
    count_end(receive);
    const struct disk_seam *disk = receive->transport->config.disk;
    if (receive->file != NULL) {
        disk->close(receive->file);
        (void)disk->remove(disk->ctx,
                           receive->path); /* what is left of it goes at the next start */
    }
    receive->transport->receive_count--;
    raft_message_clear(&receive->message);
    buf_free(&receive->envelope);
    mem_free(receive->path);
    mem_free(receive);
}

static void refuse(struct snapshot_receive *receive, struct http1_request *request, int status,
                   const char *text)
{
    receive->failed = true;
    LOG_WARN("failed to receive a snapshot", LOG_STR("error", text));
    http1_respond_error(request, status, text);
}

static int open_file(struct snapshot_receive *receive)
{
    const struct disk_seam *disk = receive->transport->config.disk;
    /* Two leaders may send the same index at the same time: each has a file of its own. */
    receive->path =
        str_printf("%s/recv-%016" PRIx64 "-%" PRIu64 ".tmp", receive->transport->config.snap_dir,
                   receive->message.snapshot->index, ++receive->transport->receive_number);
    return disk->open(disk->ctx, receive->path, DISK_CREATE, &receive->file);
}

/* Takes the envelope from the front; *out_rest is what belongs to the database. E_AGAIN: not whole.
 */
static int read_envelope(struct snapshot_receive *receive, struct bytes *out_rest)
{
    size_t used = 0;
    bool beat = false;
    int rc = codec_message_decode(buf_bytes(&receive->envelope), &used, &receive->message, &beat);
    if (rc != 0) {
        return rc;
    }
    if (beat || receive->message.type != RAFT_MSG_SNAP || receive->message.snapshot == NULL) {
        return E_CORRUPT;
    }
    receive->has_message = true;
    *out_rest = bytes_of(receive->envelope.data + used, receive->envelope.size - used);
    LOG_INFO("receiving database snapshot",
             LOG_HEX("remote-snapshot-sender-id", receive->message.from),
             LOG_U64("incoming-snapshot-index", receive->message.snapshot->index));
    return 0;
}

static int write_part(struct snapshot_receive *receive, struct bytes part)
{
    const struct disk_seam *disk = receive->transport->config.disk;
    int rc = part.size == 0
                 ? 0
                 : disk->write_at(receive->file, receive->file_bytes, part.data, part.size);
    receive->file_bytes += rc == 0 ? part.size : 0;
    return rc;
}

/* The file is whole: durable first, then it gets its name, then Raft hears of it. */
static int finish(struct snapshot_receive *receive)
{
    const struct disk_seam *disk = receive->transport->config.disk;
    const char *dir = receive->transport->config.snap_dir;
    char *final_path =
        str_printf("%s/%016" PRIx64 ".snap.db", dir, receive->message.snapshot->index);
    struct peer_transport *transport = receive->transport;
    uint64_t start = loop_clock_ns();
    int rc = disk->sync(receive->file);
    metric_observe(&transport->synced_seconds, loop_clock_ns() - start);
    if (rc == 0) {
        rc = disk->rename(disk->ctx, receive->path, final_path);
    }
    if (rc == 0) {
        rc = disk->sync_dir(disk->ctx, dir);
    }
    if (rc == 0) {
        disk->close(receive->file);
        receive->file = NULL;
        receive->done = true;
        metric_observe(&transport->saved_seconds, loop_clock_ns() - receive->start_ns);
        LOG_INFO("received and saved database snapshot",
                 LOG_HEX("remote-snapshot-sender-id", receive->message.from),
                 LOG_U64("incoming-snapshot-index", receive->message.snapshot->index),
                 LOG_U64("incoming-snapshot-size-bytes", receive->file_bytes));
        receive->transport->config.on_snapshot(receive->transport->config.ctx, &receive->message,
                                               final_path);
    }
    mem_free(final_path);
    return rc;
}

static void on_part(void *ctx, struct http1_request *request, struct bytes part, bool at_end)
{
    (void)ctx;
    struct taken *taken = http1_user(request);
    struct snapshot_receive *receive = taken->receive;
    int rc = 0;
    if (receive->failed) {
        return;
    }
    if (!receive->has_message) {
        struct bytes rest = {NULL, 0};
        rc = buf_append(&receive->envelope, part.data, part.size);
        if (rc == 0) {
            rc = read_envelope(receive, &rest);
        }
        if (rc == E_AGAIN && !at_end) {
            return;
        }
        if (rc != 0) {
            refuse(receive, request, 400, "failed to decode raft message");
            return;
        }
        if (!peer_check_message(receive->transport, request, &receive->message)) {
            receive->failed = true;
            return;
        }
        count_begin(receive);
        rc = open_file(receive);
        part = rest;
    }
    if (rc == 0) {
        rc = write_part(receive, part);
    }
    if (rc == 0 && at_end) {
        rc = finish(receive);
    }
    if (rc != 0) {
        refuse(receive, request, 500, err_code_text(rc));
    } else if (at_end) {
        http1_respond(request, 204, NULL, (struct bytes){NULL, 0});
    }
}

void snapshot_receive_start(struct peer_transport *transport, struct http1_request *request)
{
    struct taken *taken = http1_user(request);
    if (transport->receive_count >= PEER_RECEIVES_MAX) {
        http1_respond_error(request, 503, "too many snapshots are being received");
        return;
    }
    struct snapshot_receive *receive = mem_zalloc(sizeof(*receive));
    receive->transport = transport;
    receive->start_ns = loop_clock_ns();
    transport->receive_count++;
    buf_init(&receive->envelope, ENVELOPE_BYTES_MAX);
    taken->receive = receive;
    http1_stream_body(request, on_part);
}
