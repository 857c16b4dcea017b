/* SPDX-License-Identifier: Apache-2.0 */
/* The stored forms, byte by byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/mvcc/keyvalue.h"
#include "kv.pb-c.h"

static void a_key_value_is_stored_with_fields_in_order_and_zeros_left_out(void **state)
{
    (void)state;
    struct keyvalue kv = {
        .key = bytes_of_str("foo"),
        .create_revision = 2,
        .mod_revision = 300,
        .version = 1,
        .value = bytes_of_str("bar"),
    };
    static const uint8_t WANT[] = {0x0a, 3,    'f', 'o',  'o', 0x10, 2,   0x18, 0xac,
                                   0x02, 0x20, 1,   0x2a, 3,   'b',  'a', 'r'};
    uint8_t out[64];

    assert_int_equal(keyvalue_size(&kv), sizeof(WANT));
    assert_int_equal(keyvalue_encode(&kv, out), sizeof(WANT));

    assert_memory_equal(out, WANT, sizeof(WANT));
}

static void the_generated_codec_reads_and_writes_the_same_bytes(void **state)
{
    (void)state;
    struct keyvalue kv = {bytes_of_str("k"), 5, INT64_MAX, 77, bytes_of_str("v\0w"), -3};
    uint8_t out[128];
    uint8_t again[128];
    size_t size = keyvalue_encode(&kv, out);

    Mvccpb__KeyValue *message = mvccpb__key_value__unpack(NULL, size, out);

    assert_non_null(message);
    assert_int_equal(message->mod_revision, INT64_MAX);
    assert_int_equal(message->lease, -3);
    assert_int_equal(mvccpb__key_value__pack(message, again), size);
    assert_memory_equal(again, out, size);
    mvccpb__key_value__free_unpacked(message, NULL);
}

static void decoding_gives_back_what_was_encoded_in_place(void **state)
{
    (void)state;
    struct keyvalue kv = {bytes_of_str("key"), 1, 2, 3, bytes_of_str("value"), 4};
    struct keyvalue back;
    uint8_t out[64];
    size_t size = keyvalue_encode(&kv, out);

    assert_int_equal(keyvalue_decode(bytes_of(out, size), &back), 0);

    assert_true(bytes_equal(back.key, kv.key));
    assert_true(bytes_equal(back.value, kv.value));
    assert_true(back.key.data > out && back.value.data < out + size);
    assert_int_equal(back.create_revision, 1);
    assert_int_equal(back.mod_revision, 2);
    assert_int_equal(back.version, 3);
    assert_int_equal(back.lease, 4);
}

static void an_empty_record_reads_as_the_empty_key(void **state)
{
    (void)state;
    struct keyvalue kv;
    assert_int_equal(keyvalue_decode((struct bytes){NULL, 0}, &kv), 0);
    assert_int_equal(kv.key.size, 0);
}

static void every_cut_of_a_record_is_refused_or_ends_between_fields(void **state)
{
    (void)state;
    struct keyvalue kv = {bytes_of_str("key"), 1, 2, 3, bytes_of_str("value"), 4};
    struct keyvalue back;
    uint8_t out[64];
    size_t size = keyvalue_encode(&kv, out);
    unsigned whole = 0;

    for (size_t cut = 0; cut < size; cut++) {
        whole += keyvalue_decode(bytes_of(out, cut), &back) == 0 ? 1 : 0;
    }

    assert_int_equal(whole, 6); /* the empty one and the five places between fields */
}

static void unknown_fields_are_skipped_and_a_length_past_the_end_is_refused(void **state)
{
    (void)state;
    static const uint8_t UNKNOWN[] = {0x38, 9, 0x42, 1,    'x', 0x49, 0, 0, 0,    0, 0,
                                      0,    0, 0,    0x55, 0,   0,    0, 0, 0x0a, 1, 'k'};
    static const uint8_t TOO_LONG[] = {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff,
                                       0xff, 0xff, 0xff, 0xff, 1};
    struct keyvalue kv;

    assert_int_equal(keyvalue_decode(bytes_of(UNKNOWN, sizeof(UNKNOWN)), &kv), 0);
    assert_true(bytes_equal(kv.key, bytes_of_str("k")));
    assert_int_equal(keyvalue_decode(bytes_of(TOO_LONG, sizeof(TOO_LONG)), &kv), E_CORRUPT);
}

static void revision_keys_have_the_bytes_of_etcd_and_sort_as_revisions(void **state)
{
    (void)state;
    static const uint8_t WANT[] = {0, 0, 0, 0, 0, 0, 1, 2, '_', 0, 0, 0, 0, 0, 0, 0, 3, 't'};
    uint8_t tombstone[REVISION_KEY_BYTES_MAX];
    uint8_t next[REVISION_KEY_BYTES_MAX];
    struct revision back;

    size_t size = revision_encode((struct revision){258, 3, true}, tombstone);
    size_t next_size = revision_encode((struct revision){258, 4, false}, next);

    assert_int_equal(size, sizeof(WANT));
    assert_memory_equal(tombstone, WANT, sizeof(WANT));
    assert_true(bytes_compare(bytes_of(tombstone, size), bytes_of(next, next_size)) < 0);
    assert_int_equal(revision_decode(bytes_of(tombstone, size), &back), 0);
    assert_true(back.main == 258 && back.sub == 3 && back.tombstone);
    assert_int_equal(revision_decode(bytes_of(tombstone, 16), &back), E_CORRUPT);
    tombstone[8] = '-';
    assert_int_equal(revision_decode(bytes_of(tombstone, size), &back), E_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_value_is_stored_with_fields_in_order_and_zeros_left_out),
        cmocka_unit_test(the_generated_codec_reads_and_writes_the_same_bytes),
        cmocka_unit_test(decoding_gives_back_what_was_encoded_in_place),
        cmocka_unit_test(an_empty_record_reads_as_the_empty_key),
        cmocka_unit_test(every_cut_of_a_record_is_refused_or_ends_between_fields),
        cmocka_unit_test(unknown_fields_are_skipped_and_a_length_past_the_end_is_refused),
        cmocka_unit_test(revision_keys_have_the_bytes_of_etcd_and_sort_as_revisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
