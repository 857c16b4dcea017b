/* SPDX-License-Identifier: Apache-2.0 */
/* The stream codecs: round trips, runs of entries, pieces of any size, hostile bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "engine/peer/codec.h"

#define SELF 5u
#define PEER 9u

static struct raft_message append_of(uint64_t term, uint64_t log_term, uint64_t index,
                                     uint32_t count)
{
    struct raft_message message = {.type = RAFT_MSG_APP,
                                   .from = PEER,
                                   .to = SELF,
                                   .term = term,
                                   .log_term = log_term,
                                   .index = index,
                                   .commit = index / 2,
                                   .entry_count = count};
    message.entries = mem_array(count, sizeof(*message.entries));
    for (uint32_t i = 0; i < count; i++) {
        char text[32];
        int size = snprintf(text, sizeof(text), "value-%llu", (unsigned long long)(index + 1 + i));
        message.entries[i] =
            (struct raft_entry){.index = index + 1 + i,
                                .term = term,
                                .payload = raft_payload_new(bytes_of(text, (size_t)size))};
    }
    return message;
}

static void assert_same(const struct raft_message *a, const struct raft_message *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->from, b->from);
    assert_int_equal(a->to, b->to);
    assert_int_equal(a->term, b->term);
    assert_int_equal(a->log_term, b->log_term);
    assert_int_equal(a->index, b->index);
    assert_int_equal(a->commit, b->commit);
    assert_int_equal(a->entry_count, b->entry_count);
    for (uint32_t i = 0; i < a->entry_count; i++) {
        assert_int_equal(a->entries[i].index, b->entries[i].index);
        assert_int_equal(a->entries[i].term, b->entries[i].term);
        assert_true(
            bytes_equal(raft_entry_bytes(&a->entries[i]), raft_entry_bytes(&b->entries[i])));
    }
}

/* A leader's stream: a probe, runs, a gap, a new term, an empty append (commit alone). */
static size_t script(struct raft_message out[16])
{
    size_t count = 0;
    out[count++] = append_of(3, 2, 10, 1);
    out[count++] = append_of(3, 3, 11, 2);
    out[count++] = append_of(3, 3, 13, 0);
    out[count++] = append_of(3, 3, 13, 5);
    out[count++] = append_of(3, 3, 30, 1); /* went back, or on: no run */
    out[count++] = append_of(3, 3, 31, 1);
    out[count++] = append_of(4, 3, 32, 1); /* the term of the message moved */
    out[count++] = append_of(4, 4, 33, 3);
    return count;
}

static void appends_come_back_whole_however_the_bytes_are_cut(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 200; piece = piece < 9 ? piece + 1 : piece * 3) {
        struct raft_message sent[16];
        size_t count = script(sent);
        struct msgapp_encoder encoder = {0};
        struct msgapp_decoder decoder = {.local_id = SELF, .remote_id = PEER};
        struct buf wire;
        struct buf unread;
        size_t seen = 0;
        size_t beats = 0;
        buf_init(&wire, BUF_NO_LIMIT);
        buf_init(&unread, BUF_NO_LIMIT);
        for (size_t i = 0; i < count; i++) {
            codec_msgapp_encode(&encoder, &sent[i], &wire);
            codec_msgapp_heartbeat(&wire);
        }
        for (size_t at = 0; at < wire.size; at += piece) {
            buf_append(&unread, wire.data + at, BASE_MIN(piece, wire.size - at));
            for (;;) {
                struct raft_message got = {0};
                size_t used = 0;
                bool beat;
                int rc = codec_msgapp_decode(&decoder, buf_bytes(&unread), &used, &got, &beat);
                if (rc == E_AGAIN) {
                    break;
                }
                assert_int_equal(rc, 0);
                buf_consume(&unread, used);
                if (beat) {
                    beats++;
                } else {
                    assert_true(seen < count);
                    assert_same(&got, &sent[seen++]);
                }
                raft_message_clear(&got);
            }
        }
        assert_int_equal(seen, count);
        assert_int_equal(beats, count);
        assert_int_equal(unread.size, 0);
        for (size_t i = 0; i < count; i++) {
            raft_message_clear(&sent[i]);
        }
        buf_free(&wire);
        buf_free(&unread);
    }
}

static void what_follows_the_last_append_is_sent_without_a_message_around_it(void **state)
{
    (void)state;
    struct raft_message first = append_of(3, 2, 10, 1);
    struct raft_message second = append_of(3, 3, 11, 1);
    struct msgapp_encoder encoder = {0};
    struct buf wire;
    buf_init(&wire, BUF_NO_LIMIT);
    codec_msgapp_encode(&encoder, &first, &wire);
    assert_int_equal(wire.data[0], CODEC_MSGAPP_MESSAGE);
    size_t at = wire.size;
    codec_msgapp_encode(&encoder, &second, &wire);
    assert_int_equal(wire.data[at], CODEC_MSGAPP_ENTRIES);
    assert_int_equal(get_be64(wire.data + at + 1), 1); /* one entry */
    assert_int_equal(get_be64(wire.data + wire.size - 8), second.commit);
    raft_message_clear(&first);
    raft_message_clear(&second);
    buf_free(&wire);
}

static void the_first_append_of_a_stream_is_never_a_run(void **state)
{
    (void)state;
    struct raft_message probe = append_of(1, 0, 0, 1);
    struct msgapp_encoder encoder = {0};
    struct buf wire;
    buf_init(&wire, BUF_NO_LIMIT);
    codec_msgapp_encode(&encoder, &probe, &wire);
    assert_int_equal(wire.data[0], CODEC_MSGAPP_MESSAGE);
    raft_message_clear(&probe);
    buf_free(&wire);
}

static void a_run_that_follows_nothing_ends_the_stream(void **state)
{
    (void)state;
    struct msgapp_decoder decoder = {.local_id = SELF, .remote_id = PEER};
    uint8_t wire[17] = {CODEC_MSGAPP_ENTRIES};
    struct raft_message got = {0};
    size_t used = 0;
    bool beat;
    assert_int_equal(
        codec_msgapp_decode(&decoder, bytes_of(wire, sizeof(wire)), &used, &got, &beat), E_CORRUPT);
}

static int decode(struct bytes wire)
{
    struct msgapp_decoder decoder = {.local_id = SELF, .remote_id = PEER, .term = 1, .index = 1};
    struct raft_message got = {0};
    size_t used = 0;
    bool beat;
    int rc = codec_msgapp_decode(&decoder, wire, &used, &got, &beat);
    raft_message_clear(&got);
    return rc;
}

static void lengths_past_the_limits_end_the_stream_before_their_bytes_came(void **state)
{
    (void)state;
    uint8_t message[9] = {CODEC_MSGAPP_MESSAGE, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    assert_int_equal(decode(bytes_of(message, sizeof(message))), E_TOO_BIG);
    uint8_t count[9] = {CODEC_MSGAPP_ENTRIES, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
    assert_int_equal(decode(bytes_of(count, sizeof(count))), E_TOO_BIG);
    uint8_t entry[17] = {CODEC_MSGAPP_ENTRIES, [8] = 1, [9] = 0x80};
    assert_int_equal(decode(bytes_of(entry, sizeof(entry))), E_TOO_BIG);
    uint8_t kind[1] = {3};
    assert_int_equal(decode(bytes_of(kind, sizeof(kind))), E_CORRUPT);
    uint8_t garbage[9 + 4] = {CODEC_MSGAPP_MESSAGE, [8] = 4, [9] = 0xff, 0xff, 0xff, 0xff};
    assert_int_equal(decode(bytes_of(garbage, sizeof(garbage))), E_CORRUPT);
}

static void any_bytes_are_refused_or_waited_for(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 11);
    for (int round = 0; round < 20000; round++) {
        uint8_t wire[64];
        size_t size = (size_t)rng_below(&rng, sizeof(wire));
        for (size_t i = 0; i < size; i++) {
            wire[i] = (uint8_t)(rng_below(&rng, 3) != 0 ? rng_below(&rng, 4) : rng_next(&rng));
        }
        uint8_t *exact = mem_dup(wire, size); /* so that a read past the end is seen */
        int rc = decode(bytes_of(exact, size));
        assert_true(rc == 0 || rc == E_AGAIN || rc == E_CORRUPT || rc == E_TOO_BIG);
        mem_free(exact);
    }
}

static void the_context_of_a_read_survives_with_any_length(void **state)
{
    (void)state;
    for (uint8_t size = 1; size <= RAFT_CONTEXT_BYTES_MAX; size++) {
        struct raft_message sent = {
            .type = RAFT_MSG_READ_INDEX, .from = PEER, .to = SELF, .context_size = size};
        for (uint8_t i = 0; i < size; i++) {
            sent.context[i] = (uint8_t)(200 + i);
        }
        struct buf wire;
        struct raft_message got = {0};
        size_t used = 0;
        bool beat;
        buf_init(&wire, BUF_NO_LIMIT);
        codec_message_encode(&sent, &wire);
        assert_int_equal(codec_message_decode(buf_bytes(&wire), &used, &got, &beat), 0);
        assert_int_equal(used, wire.size);
        assert_false(beat);
        assert_int_equal(got.context_size, size);
        assert_memory_equal(got.context, sent.context, size);
        raft_message_clear(&got);
        buf_free(&wire);
    }
}

static void a_sign_of_life_is_told_from_a_leaders_heartbeat(void **state)
{
    (void)state;
    struct buf wire;
    struct raft_message got = {0};
    size_t used = 0;
    bool beat;
    buf_init(&wire, BUF_NO_LIMIT);
    codec_message_heartbeat(&wire);
    assert_int_equal(codec_message_decode(buf_bytes(&wire), &used, &got, &beat), 0);
    assert_true(beat);
    assert_int_equal(used, wire.size);
    buf_clear(&wire);
    struct raft_message real = {.type = RAFT_MSG_HEARTBEAT, .from = PEER, .to = SELF, .term = 2};
    codec_message_encode(&real, &wire);
    assert_int_equal(codec_message_decode(buf_bytes(&wire), &used, &got, &beat), 0);
    assert_false(beat);
    assert_int_equal(got.term, 2);
    buf_free(&wire);
}

static void a_message_of_an_unknown_kind_is_passed_over(void **state)
{
    (void)state;
    uint8_t wire[8 + 3] = {[7] = 3, [8] = 0x08, 0xe3, 0x07}; /* type 995 */
    struct raft_message got = {0};
    size_t used = 0;
    bool beat;
    assert_int_equal(codec_message_decode(bytes_of(wire, sizeof(wire)), &used, &got, &beat), 0);
    assert_true(beat);
    assert_int_equal(used, sizeof(wire));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_come_back_whole_however_the_bytes_are_cut),
        cmocka_unit_test(what_follows_the_last_append_is_sent_without_a_message_around_it),
        cmocka_unit_test(the_first_append_of_a_stream_is_never_a_run),
        cmocka_unit_test(a_run_that_follows_nothing_ends_the_stream),
        cmocka_unit_test(lengths_past_the_limits_end_the_stream_before_their_bytes_came),
        cmocka_unit_test(any_bytes_are_refused_or_waited_for),
        cmocka_unit_test(the_context_of_a_read_survives_with_any_length),
        cmocka_unit_test(a_sign_of_life_is_told_from_a_leaders_heartbeat),
        cmocka_unit_test(a_message_of_an_unknown_kind_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
