/* SPDX-License-Identifier: Apache-2.0 */
/* The wire format against bytes worked out by hand, and hostile input against its limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "engine/proto/codec.h"
#include "engine/proto/etcd_error.h"
#include "raft_internal.pb-c.h"
#include "rpc.pb-c.h"

static void a_log_entry_is_etcds_byte_for_byte(void **state)
{
    (void)state;
    Etcdserverpb__RequestHeader header = ETCDSERVERPB__REQUEST_HEADER__INIT;
    header.id = 7;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = proto_binary(bytes_of_str("k"));
    put.value = proto_binary(bytes_of_str("v"));
    put.lease = -1;
    put.prev_kv = 1;
    Etcdserverpb__InternalRaftRequest entry = ETCDSERVERPB__INTERNAL_RAFT_REQUEST__INIT;
    entry.header = &header;
    entry.put = &put;
    static const uint8_t wire[] = {
        0x22, 0x13,                                                       /* put = 4 */
        0x0a, 1,    'k',  0x12, 1,    'v',                                /* key, value */
        0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, /* lease */
        0x20, 1,                                                          /* prev_kv */
        0xa2, 0x06, 2,    0x08, 7,                                        /* header = 100 */
    };

    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    assert_int_equal(proto_pack_append(&entry.base, &out), 0);
    assert_true(bytes_equal(buf_bytes(&out), bytes_of(wire, sizeof(wire))));

    struct arena arena;
    arena_init(&arena, proto_arena_limit(out.size));
    Etcdserverpb__InternalRaftRequest *back = NULL;
    assert_int_equal(
        PROTO_UNPACK(etcdserverpb__internal_raft_request, buf_bytes(&out), &arena, &back), 0);
    assert_int_equal(back->put->lease, -1);
    assert_int_equal(back->header->id, 7);
    assert_null(back->range);
    arena_free(&arena);
    buf_free(&out);
}

static void late_fields_have_etcds_numbers(void **state)
{
    (void)state;
    static const struct {
        const ProtobufCMessageDescriptor *message;
        const char *field;
        unsigned number;
    } ROWS[] = {
        {&etcdserverpb__internal_raft_request__descriptor, "auth_status", 1013},
        {&etcdserverpb__internal_raft_request__descriptor, "cluster_member_attr_set", 1301},
        {&etcdserverpb__internal_raft_request__descriptor, "downgrade_version_test", 9900},
        {&etcdserverpb__internal_raft_request__descriptor, "lease_checkpoint", 11},
        {&etcdserverpb__compare__descriptor, "range_end", 64},
        {&etcdserverpb__watch_response__descriptor, "events", 11},
        {&etcdserverpb__status_response__descriptor, "downgradeInfo", 13},
        {&etcdserverpb__range_stream_response__descriptor, "range_response", 1},
        {&etcdserverpb__hash_kvresponse__descriptor, "hash_revision", 4},
        {&etcdserverpb__lease_checkpoint__descriptor, "remaining_TTL", 2},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(ROWS[i].message, ROWS[i].field);
        assert_non_null(field);
        assert_int_equal(field->id, ROWS[i].number);
    }
}

/* Wraps in: Txn { success = 2 { request_txn = 4 { ... } } }, `levels` times. Gives the outermost.
 */
static void nested_txn(struct buf *out, unsigned levels)
{
    struct buf inner;
    buf_init(out, BUF_NO_LIMIT);
    buf_init(&inner, BUF_NO_LIMIT);
    for (unsigned i = 0; i < levels; i++) {
        buf_clear(&inner);
        buf_append_byte(&inner, 0x22);
        proto_varint_append(&inner, out->size);
        buf_append(&inner, out->data, out->size);
        buf_clear(out);
        buf_append_byte(out, 0x12);
        proto_varint_append(out, inner.size);
        buf_append(out, inner.data, inner.size);
    }
    buf_free(&inner);
}

static int unpack_txn(struct bytes wire, size_t limit)
{
    struct arena arena;
    arena_init(&arena, limit);
    Etcdserverpb__TxnRequest *txn = NULL;
    int rc = PROTO_UNPACK(etcdserverpb__txn_request, wire, &arena, &txn);
    assert_true((rc == 0) == (txn != NULL));
    arena_free(&arena);
    return rc;
}

static void deep_nesting_is_refused_before_it_takes_the_stack(void **state)
{
    (void)state;
    struct buf wire;
    nested_txn(&wire, PROTO_DEPTH_MAX / 2);
    assert_int_equal(unpack_txn(buf_bytes(&wire), BUF_NO_LIMIT), 0);
    buf_free(&wire);
    nested_txn(&wire, PROTO_DEPTH_MAX / 2 + 1);
    assert_int_equal(unpack_txn(buf_bytes(&wire), BUF_NO_LIMIT), E_INVALID);
    buf_free(&wire);
    nested_txn(&wire, 4000);
    assert_int_equal(unpack_txn(buf_bytes(&wire), BUF_NO_LIMIT), E_INVALID);
    buf_free(&wire);
}

static void a_small_message_cannot_ask_for_much_memory(void **state)
{
    (void)state;
    struct buf wire;
    buf_init(&wire, BUF_NO_LIMIT);
    for (int i = 0; i < 100000; i++) {
        buf_append(&wire, "\x0a\x00", 2); /* an empty Compare */
    }
    assert_int_equal(unpack_txn(buf_bytes(&wire), proto_arena_limit(wire.size)), E_TOO_BIG);
    assert_int_equal(unpack_txn(buf_bytes(&wire), BUF_NO_LIMIT), 0);
    buf_free(&wire);
}

static void broken_messages_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *wire;
        size_t size;
    } ROWS[] = {
        {"\x0a", 1},                                              /* no length */
        {"\x0a\x05\x01", 3},                                      /* shorter than it says */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},     /* longer than memory */
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12}, /* a tag without end */
        {"\x0b", 1},                                              /* a group */
        {"\x0f", 1},                                              /* no wire type */
        {"\x12\x03\x22\x05\x0a", 5},                              /* broken inside */
        {"\x81\x00........", 10},                                 /* a field of number 0 */
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        assert_int_equal(unpack_txn(bytes_of(ROWS[i].wire, ROWS[i].size), BUF_NO_LIMIT), E_INVALID);
    }
    assert_int_equal(unpack_txn((struct bytes){NULL, 0}, BUF_NO_LIMIT), 0);
}

static void what_does_not_fit_is_not_half_appended(void **state)
{
    (void)state;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = proto_binary(bytes_of_str("0123456789"));
    struct buf out;
    buf_init(&out, 15);
    buf_append_str(&out, "abcd");

    assert_int_equal(proto_pack_append(&put.base, &out), E_TOO_BIG);
    assert_int_equal(out.size, 4);
    assert_true(out.overflowed);
    buf_free(&out);
}

static void varints_come_back(void **state)
{
    (void)state;
    static const uint64_t VALUES[] = {0, 1, 127, 128, 16383, 16384, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(VALUES); i++) {
        uint8_t wire[PROTO_VARINT_MAX];
        size_t size = proto_varint_put(wire, VALUES[i]);
        assert_int_equal(size, proto_varint_size(VALUES[i]));
        size_t offset = 0;
        uint64_t back = 0;
        assert_true(proto_varint_get(bytes_of(wire, size), &offset, &back));
        assert_true(back == VALUES[i] && offset == size);
        offset = 0;
        assert_false(proto_varint_get(bytes_of(wire, size - 1), &offset, &back));
        assert_int_equal(offset, 0);
    }
}

static void errors_have_the_code_and_text_that_clients_compare(void **state)
{
    (void)state;
    static const struct {
        enum etcd_error error;
        enum grpc_code code;
        const char *text;
    } ROWS[] = {
        {ETCD_OK, GRPC_OK, ""},
        {ETCD_ERR_EMPTY_KEY, GRPC_INVALID_ARGUMENT, "etcdserver: key is not provided"},
        {ETCD_ERR_COMPACTED, GRPC_OUT_OF_RANGE,
         "etcdserver: mvcc: required revision has been compacted"},
        {ETCD_ERR_LEASE_NOT_FOUND, GRPC_NOT_FOUND, "etcdserver: requested lease not found"},
        {ETCD_ERR_MEMBER_NOT_ENOUGH_STARTED, GRPC_UNKNOWN,
         "etcdserver: re-configuration failed due to not enough started members"},
        {ETCD_ERR_TOO_MANY_REQUESTS, GRPC_UNKNOWN, "etcdserver: too many requests"},
        {ETCD_ERR_INVALID_AUTH_TOKEN, GRPC_UNAUTHENTICATED, "etcdserver: invalid auth token"},
        {ETCD_ERR_CORRUPT, GRPC_DATA_LOSS, "etcdserver: corrupt cluster"},
        {ETCD_ERR_ELECTION_NOT_LEADER, GRPC_UNKNOWN, "election: not leader"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        assert_int_equal(etcd_error_code(ROWS[i].error), ROWS[i].code);
        assert_string_equal(etcd_error_text(ROWS[i].error), ROWS[i].text);
    }
    assert_string_equal(grpc_code_name(GRPC_UNAUTHENTICATED), "Unauthenticated");
    assert_string_equal(grpc_code_name((enum grpc_code)99), "Unknown");
}

static void every_error_is_found_by_its_text(void **state)
{
    (void)state;
    for (int error = ETCD_OK + 1; error < ETCD_ERR_COUNT; error++) {
        enum etcd_error found = ETCD_OK;
        assert_true(etcd_error_find(etcd_error_text((enum etcd_error)error), &found));
        assert_int_equal(found, error); /* so no text stands for two */
    }
    enum etcd_error found = ETCD_ERR_CORRUPT;
    assert_false(etcd_error_find("", &found));
    assert_int_equal(found, ETCD_ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_entry_is_etcds_byte_for_byte),
        cmocka_unit_test(late_fields_have_etcds_numbers),
        cmocka_unit_test(deep_nesting_is_refused_before_it_takes_the_stack),
        cmocka_unit_test(a_small_message_cannot_ask_for_much_memory),
        cmocka_unit_test(broken_messages_are_refused),
        cmocka_unit_test(what_does_not_fit_is_not_half_appended),
        cmocka_unit_test(varints_come_back),
        cmocka_unit_test(errors_have_the_code_and_text_that_clients_compare),
        cmocka_unit_test(every_error_is_found_by_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
