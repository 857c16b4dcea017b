/* SPDX-License-Identifier: Apache-2.0 */
/* Stream codecs of the peer protocol. */
#include "engine/peer/codec.h"

#include "base/alloc.h"
#include "engine/peer/peer.h"
#include "engine/proto/raftpb.h"

/* ---- msgappv2 ---- */

/* Entries that go on where the last message ended need no message around them. */
static bool follows(const struct msgapp_encoder *encoder, const struct raft_message *message)
{
    return encoder->index == message->index && encoder->term == message->log_term &&
           message->log_term == message->term;
}

static void encode_entries(struct msgapp_encoder *encoder, const struct raft_message *message,
                           struct buf *out)
{
    buf_append_byte(out, CODEC_MSGAPP_ENTRIES);
    buf_append_be64(out, message->entry_count);
    for (uint32_t i = 0; i < message->entry_count; i++) {
        buf_append_be64(out, raftpb_entry_size(&message->entries[i]));
        raftpb_entry_encode(&message->entries[i], out);
        encoder->index++;
    }
    buf_append_be64(out, message->commit);
}

void codec_msgapp_encode(struct msgapp_encoder *encoder, const struct raft_message *message,
                         struct buf *out)
{
    if (follows(encoder, message)) {
        encode_entries(encoder, message, out);
        return;
    }
    buf_append_byte(out, CODEC_MSGAPP_MESSAGE);
    codec_message_encode(message, out);
    encoder->term = message->term;
    encoder->index = message->entry_count > 0 ? message->entries[message->entry_count - 1].index
                                              : message->index;
}

void codec_msgapp_heartbeat(struct buf *out)
{
    buf_append_byte(out, CODEC_MSGAPP_HEARTBEAT);
}

/* Reads a length at *at; E_AGAIN when it is not there yet. */
static int read_size(struct bytes data, size_t *at, uint64_t max, uint64_t *out_size)
{
    if (data.size - *at < 8) {
        return E_AGAIN;
    }
    *out_size = get_be64(data.data + *at);
    *at += 8;
    return *out_size > max ? E_TOO_BIG : 0;
}

/* First pass: is all of it there? So that half a message costs no memory. */
static int measure_entries(struct bytes data, uint64_t *out_count)
{
    size_t at = 1;
    uint64_t size = 0;
    int rc = read_size(data, &at, CODEC_ENTRIES_MAX, out_count);
    for (uint64_t i = 0; i < *out_count && rc == 0; i++) {
        rc = read_size(data, &at, PEER_STREAM_MESSAGE_BYTES_MAX, &size);
        if (rc == 0 && data.size - at < size) {
            rc = E_AGAIN;
        }
        at += rc == 0 ? (size_t)size : 0;
    }
    return rc == 0 && data.size - at < 8 ? E_AGAIN : rc;
}

static int decode_entries(struct msgapp_decoder *decoder, struct bytes data, size_t *out_used,
                          struct raft_message *out_message)
{
    uint64_t count = 0;
    if (decoder->term == 0) {
        return E_CORRUPT; /* nothing was sent that these could follow */
    }
    int rc = measure_entries(data, &count);
    if (rc != 0) {
        return rc;
    }
    struct raft_message message = {.type = RAFT_MSG_APP,
                                   .from = decoder->remote_id,
                                   .to = decoder->local_id,
                                   .term = decoder->term,
                                   .log_term = decoder->term,
                                   .index = decoder->index};
    size_t at = 9;
    message.entries = mem_array((size_t)count, sizeof(*message.entries));
    for (uint64_t i = 0; i < count; i++) {
        size_t size = (size_t)get_be64(data.data + at);
        at += 8;
        rc = raftpb_entry_decode(bytes_of(data.data + at, size), &message.entries[i]);
        if (rc != 0) {
            raft_message_clear(&message);
            return E_CORRUPT;
        }
        message.entry_count++;
        at += size;
    }
    message.commit = get_be64(data.data + at);
    decoder->index += count;
    *out_used = at + 8;
    *out_message = message;
    return 0;
}

int codec_msgapp_decode(struct msgapp_decoder *decoder, struct bytes data, size_t *out_used,
                        struct raft_message *out_message, bool *out_is_heartbeat)
{
    *out_is_heartbeat = false;
    if (data.size == 0) {
        return E_AGAIN;
    }
    if (data.data[0] == CODEC_MSGAPP_HEARTBEAT) {
        *out_is_heartbeat = true;
        *out_used = 1;
        return 0;
    }
    if (data.data[0] == CODEC_MSGAPP_ENTRIES) {
        return decode_entries(decoder, data, out_used, out_message);
    }
    if (data.data[0] != CODEC_MSGAPP_MESSAGE) {
        return E_CORRUPT;
    }
    bool none;
    int rc =
        codec_message_decode(bytes_of(data.data + 1, data.size - 1), out_used, out_message, &none);
    if (rc != 0) {
        return rc;
    }
    *out_used += 1;
    if (none) {
        return E_CORRUPT; /* entries would be counted on from a message that was not understood */
    }
    decoder->term = out_message->term;
    decoder->index = out_message->entry_count > 0
                         ? out_message->entries[out_message->entry_count - 1].index
                         : out_message->index;
    return 0;
}

/* ---- message ---- */

void codec_message_encode(const struct raft_message *message, struct buf *out)
{
    buf_append_be64(out, raftpb_message_size(message));
    raftpb_message_encode(message, out);
}

void codec_message_heartbeat(struct buf *out)
{
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT};
    codec_message_encode(&beat, out);
}

int codec_message_decode(struct bytes data, size_t *out_used, struct raft_message *out_message,
                         bool *out_is_heartbeat)
{
    size_t at = 0;
    uint64_t size = 0;
    int rc = read_size(data, &at, PEER_STREAM_MESSAGE_BYTES_MAX, &size);
    *out_is_heartbeat = false;
    if (rc != 0) {
        return rc;
    }
    if (data.size - at < size && !FUZZ_PLANT(peer_length)) {
        return E_AGAIN;
    }
    rc = raftpb_message_decode(bytes_of(data.data + at, (size_t)size), out_message);
    if (rc == E_UNSUPPORTED) {
        *out_used = at + (size_t)size; /* of a kind that we do not speak: the link may go on */
        *out_is_heartbeat = true;
        return 0;
    }
    if (rc != 0) {
        return rc == E_TOO_BIG ? rc : E_CORRUPT;
    }
    *out_used = at + (size_t)size;
    if (out_message->type == RAFT_MSG_HEARTBEAT && out_message->from == RAFT_NO_ID &&
        out_message->to == RAFT_NO_ID) {
        raft_message_clear(out_message);
        *out_is_heartbeat = true;
    }
    return 0;
}
