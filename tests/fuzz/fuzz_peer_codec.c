/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a peer's stream: first byte picks the codec and how the rest is cut into pieces.
 * What is decoded must come out the same when it is cut elsewhere, and must survive a round trip.
 *
 * fuzz-link: peer raft proto
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "engine/peer/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SELF 1u
#define PEER 2u

/* Decodes the stream piece by piece; gives a digest of what came out. */
static uint64_t run(struct bytes stream, bool is_msgapp, size_t piece, bool check_again)
{
    struct msgapp_decoder decoder = {.local_id = SELF, .remote_id = PEER};
    struct buf unread;
    uint64_t digest = 14695981039346656037u;
    int rc = E_AGAIN;
    buf_init(&unread, BUF_NO_LIMIT);
    for (size_t at = 0; at < stream.size && rc == E_AGAIN; at += piece) {
        buf_append(&unread, stream.data + at, BASE_MIN(piece, stream.size - at));
        do {
            struct raft_message message = {0};
            size_t used = 0;
            bool beat = false;
            /* A copy of exactly what there is: a read past its end is seen. */
            uint8_t *exact = mem_dup(unread.data, unread.size);
            struct bytes given = bytes_of(exact, unread.size);
            rc = is_msgapp ? codec_msgapp_decode(&decoder, given, &used, &message, &beat)
                           : codec_message_decode(given, &used, &message, &beat);
            ASSERT(rc != 0 || (used > 0 && used <= unread.size));
            if (rc == 0) {
                buf_consume(&unread, used);
                digest = (digest ^ (message.index + message.term * 3 + message.entry_count * 7 +
                                    (uint64_t)message.type + (beat ? 1000u : 0u))) *
                         1099511628211u;
            }
            if (rc == 0 && !beat && check_again) {
                struct buf wire;
                struct raft_message again = {0};
                buf_init(&wire, BUF_NO_LIMIT);
                codec_message_encode(&message, &wire);
                int second = codec_message_decode(buf_bytes(&wire), &used, &again, &beat);
                ASSERT(second == 0 && used == wire.size);
                ASSERT(again.index == message.index && again.entry_count == message.entry_count);
                raft_message_clear(&again);
                buf_free(&wire);
            }
            raft_message_clear(&message);
            mem_free(exact);
        } while (rc == 0 && unread.size > 0);
        rc = rc == 0 ? E_AGAIN : rc;
        ASSERT(rc == E_AGAIN || rc == E_CORRUPT || rc == E_TOO_BIG);
    }
    buf_free(&unread);
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    bool is_msgapp = (data[0] & 1) != 0;
    size_t piece = 1 + (data[0] >> 1);
    struct bytes stream = bytes_of(data + 1, size - 1);
    uint64_t whole = run(stream, is_msgapp, stream.size, true);
    uint64_t cut = run(stream, is_msgapp, piece, false);
    ASSERT(whole == cut);
    return 0;
}
