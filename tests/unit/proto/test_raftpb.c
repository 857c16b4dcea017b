/* SPDX-License-Identifier: Apache-2.0 */
/* The raftpb codec: the bytes that Go's generated code writes, and refusal of what it would not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/proto/raftpb.h"

static void expect_bytes(const struct buf *out, const char *expected, size_t size)
{
    assert_int_equal(out->size, size);
    assert_memory_equal(out->data, expected, size);
}

static void a_heartbeat_has_every_field_that_go_holds_by_value(void **state)
{
    (void)state;
    struct raft_message message = {
        .type = RAFT_MSG_HEARTBEAT, .to = 2, .from = 1, .term = 3, .commit = 300};
    static const char EXPECTED[] =
        "\x08\x08\x10\x02\x18\x01\x20\x03\x28\x00\x30\x00\x40\xac\x02\x50\x00\x58\x00\x68";
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    raftpb_message_encode(&message, &out);
    expect_bytes(&out, EXPECTED, sizeof(EXPECTED)); /* the last byte is the vote, 0 */
    assert_int_equal(raftpb_message_size(&message), out.size);
    buf_free(&out);
}

static void a_read_index_travels_as_an_entry_and_comes_back_as_context(void **state)
{
    (void)state;
    struct raft_message message = {
        .type = RAFT_MSG_READ_INDEX, .to = 2, .from = 1, .context_size = 8};
    memcpy(message.context, "\0\0\0\0\0\0\0\x09", 8);
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    raftpb_message_encode(&message, &out);
    static const char ENTRY[] = "\x3a\x10\x08\x00\x10\x00\x18\x00\x22\x08\0\0\0\0\0\0\0\x09";
    assert_memory_equal(out.data + 12, ENTRY, sizeof(ENTRY) - 1);

    struct raft_message again;
    assert_int_equal(raftpb_message_decode(buf_bytes(&out), &again), 0);
    assert_int_equal(again.entry_count, 0);
    assert_int_equal(again.context_size, 8);
    assert_memory_equal(again.context, message.context, 8);
    raft_message_clear(&again);
    buf_free(&out);
}

static void entries_and_snapshot_come_back_as_they_were(void **state)
{
    (void)state;
    struct raft_snapshot_mark mark = {.index = 9, .term = 2};
    mark.conf_state.voters[0] = 4;
    mark.conf_state.voters[1] = 0xf000000000000001;
    mark.conf_state.voter_count = 2;
    mark.conf_state.learners[0] = 6;
    mark.conf_state.learner_count = 1;
    struct raft_message message = {.type = RAFT_MSG_SNAP, .to = 4, .from = 6, .reject = true};
    message.reject_hint = 77;
    message.vote = 5;
    message.snapshot = mem_dup(&mark, sizeof(mark));
    message.snapshot_data = raft_payload_new(bytes_of_str("{\"Root\":1}"));
    message.entries = mem_array(2, sizeof(struct raft_entry));
    message.entry_count = 2;
    message.entries[0] = (struct raft_entry){10, 2, RAFT_ENTRY_NORMAL, NULL};
    message.entries[1] =
        (struct raft_entry){11, 2, RAFT_ENTRY_CONF_CHANGE, raft_payload_new(bytes_of_str("cc"))};

    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    raftpb_message_encode(&message, &out);
    assert_int_equal(raftpb_message_size(&message), out.size);
    struct raft_message again;
    assert_int_equal(raftpb_message_decode(buf_bytes(&out), &again), 0);

    assert_int_equal(again.type, RAFT_MSG_SNAP);
    assert_true(again.reject);
    assert_int_equal(again.reject_hint, 77);
    assert_int_equal(again.vote, 5);
    assert_int_equal(again.entry_count, 2);
    assert_null(again.entries[0].payload);
    assert_int_equal(again.entries[1].type, RAFT_ENTRY_CONF_CHANGE);
    assert_true(bytes_equal(raft_entry_bytes(&again.entries[1]), bytes_of_str("cc")));
    assert_int_equal(again.snapshot->index, 9);
    assert_int_equal(again.snapshot->conf_state.voter_count, 2);
    assert_true(again.snapshot->conf_state.voters[1] == 0xf000000000000001);
    assert_int_equal(again.snapshot->conf_state.learners[0], 6);
    assert_int_equal(again.snapshot_data->size, 10);
    /* Cut short anywhere inside a field it is refused, or reads as fewer fields; never out of
     * bounds. */
    for (size_t size = 0; size < out.size; size++) {
        uint8_t *part = mem_dup(out.data, size);
        struct raft_message cut;
        if (raftpb_message_decode(bytes_of(part, size), &cut) == 0) {
            raft_message_clear(&cut);
        }
        mem_free(part);
    }
    raft_message_clear(&again);
    raft_message_clear(&message);
    buf_free(&out);
}

static void an_empty_snapshot_of_an_older_member_is_passed_over(void **state)
{
    (void)state;
    static const char WIRE[] = "\x08\x08\x4a\x0a\x12\x08\x0a\x02\x28\x00\x10\x00\x18\x00";
    struct raft_message message;
    assert_int_equal(raftpb_message_decode(bytes_of(WIRE, sizeof(WIRE) - 1), &message), 0);
    assert_int_equal(message.type, RAFT_MSG_HEARTBEAT);
    assert_null(message.snapshot);
    raft_message_clear(&message);
}

struct refusal {
    const char *wire;
    size_t size;
    int rc;
};

#define WIRE(text) text, sizeof(text) - 1

static void malformed_messages_are_refused(void **state)
{
    (void)state;
    static const struct refusal REFUSALS[] = {
        {WIRE("\x08"), E_INVALID},
        {WIRE("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), E_INVALID},
        {WIRE("\x08\x13"), E_UNSUPPORTED},
        {WIRE("\x0a\x01\x03"), E_INVALID},             /* type as bytes */
        {WIRE("\x38\x01"), E_INVALID},                 /* entries as a number */
        {WIRE("\x3a\x7f\x08\x00"), E_INVALID},         /* longer than the message */
        {WIRE("\x3a\x02\x08\x03"), E_INVALID},         /* unknown entry type */
        {WIRE("\x3a\xff\xff\xff\xff\x0f"), E_INVALID}, /* 4 GiB */
        {WIRE("\x13\x14"), E_INVALID},                 /* a group */
        {WIRE("\x00\x00"), E_INVALID},                 /* field number 0 */
        {WIRE("\x08\x0f\x3a\x00\x3a\x00"), E_INVALID}, /* a read of two entries */
        {WIRE("\x62\x21"
              "012345678901234567890123456789012"),
         E_TOO_BIG},
        {WIRE("\x08\x07\x4a\x06\x12\x04\x0a\x02\x18\x05"), E_UNSUPPORTED},     /* voters_outgoing */
        {WIRE("\x08\x07\x4a\x06\x12\x04\x0a\x02\x28\x01"), E_UNSUPPORTED},     /* auto_leave */
        {WIRE("\x08\x07\x4a\x08\x12\x06\x0a\x04\x08\x05\x08\x05"), E_INVALID}, /* a voter twice */
    };
    for (size_t i = 0; i < ARRAY_COUNT(REFUSALS); i++) {
        struct raft_message message;
        int rc = raftpb_message_decode(bytes_of(REFUSALS[i].wire, REFUSALS[i].size), &message);
        if (rc != REFUSALS[i].rc) {
            fail_msg("case %zu gives %d", i, rc);
        }
    }
}

static void unknown_fields_and_packed_ids_are_read(void **state)
{
    (void)state;
    static const char CONF[] = "\x0a\x03\x09\x02\x05\x7a\x02zz\x79"
                               "12345678"
                               "\x28\x00";
    struct raft_conf_state conf;
    assert_int_equal(raftpb_conf_state_decode(bytes_of(CONF, sizeof(CONF) - 1), &conf), 0);
    assert_int_equal(conf.voter_count, 3);
    assert_int_equal(conf.voters[0], 2);
    assert_int_equal(conf.voters[2], 9);
}

static void a_conf_change_has_gos_bytes(void **state)
{
    (void)state;
    struct raftpb_conf_change change = {1, RAFT_CONF_ADD_LEARNER, 5, bytes_of_str("{}")};
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    raftpb_conf_change_encode(&change, &out);
    expect_bytes(&out, WIRE("\x08\x01\x10\x03\x18\x05\x22\x02{}"));
    struct raftpb_conf_change again;
    assert_int_equal(raftpb_conf_change_decode(buf_bytes(&out), &again), 0);
    assert_int_equal(again.type, RAFT_CONF_ADD_LEARNER);
    assert_int_equal(again.node_id, 5);
    assert_true(bytes_equal(again.context, change.context));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heartbeat_has_every_field_that_go_holds_by_value),
        cmocka_unit_test(a_read_index_travels_as_an_entry_and_comes_back_as_context),
        cmocka_unit_test(entries_and_snapshot_come_back_as_they_were),
        cmocka_unit_test(an_empty_snapshot_of_an_older_member_is_passed_over),
        cmocka_unit_test(malformed_messages_are_refused),
        cmocka_unit_test(unknown_fields_and_packed_ids_are_read),
        cmocka_unit_test(a_conf_change_has_gos_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
