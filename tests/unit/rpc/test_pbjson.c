/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to messages and back: every message of rpc.proto by its descriptor, and what is hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "engine/proto/codec.h"
#include "engine/rpc/gateway_paths.h"
#include "engine/rpc/pbjson.h"
#include "rpc.pb-c.h"
#include "v3election.pb-c.h"
#include "v3lock.pb-c.h"

#define DEPTH 3 /* of the messages that are made */

/* ---- a message with every field set ---- */

static ProtobufCMessage *fill(const ProtobufCMessageDescriptor *descriptor, struct arena *arena,
                              unsigned seed, unsigned depth);

/* Any bytes that make a name; numbers at their edges. */
static void fill_value(const ProtobufCFieldDescriptor *field, void *place, struct arena *arena,
                       unsigned seed, unsigned depth)
{
    static const uint64_t numbers[] = {1, 0x7fffffff, UINT64_MAX, 0x8000000000000000u, 42};
    uint64_t number = numbers[seed % 5];
    char text[32];
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)place = 1;
        break;
    case PROTOBUF_C_TYPE_STRING:
        snprintf(text, sizeof(text), "\"%u\\\n\xc3\xa9", seed);
        *(char **)place = arena_str(arena, text);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        snprintf(text, sizeof(text), "%u", seed);
        text[0] = (char)(seed * 37);
        *(ProtobufCBinaryData *)place =
            proto_binary(arena_copy(arena, bytes_of(text, 1 + seed % 5)));
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)place = fill(field->descriptor, arena, seed, depth - 1);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        *(int32_t *)place = seed % 2 == 0 ? 1 : 7654; /* with and without a name */
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        *(uint64_t *)place = number;
        break;
    default:
        *(uint32_t *)place = (uint32_t)number;
        break;
    }
}

static ProtobufCMessage *fill(const ProtobufCMessageDescriptor *descriptor, struct arena *arena,
                              unsigned seed, unsigned depth)
{
    ProtobufCMessage *message = arena_zalloc(arena, descriptor->sizeof_message);
    uint8_t *base = (uint8_t *)message;
    protobuf_c_message_init(descriptor, message);
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        void *place = base + field->offset;
        void *quantifier = base + field->quantifier_offset;
        unsigned own = seed * 7 + i;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE && depth == 0) {
            continue;
        }
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            uint8_t *items = arena_zalloc(arena, (size_t)6 * sizeof(ProtobufCBinaryData));
            size_t size = field->type == PROTOBUF_C_TYPE_BYTES  ? sizeof(ProtobufCBinaryData)
                          : field->type == PROTOBUF_C_TYPE_ENUM ? sizeof(int32_t)
                                                                : sizeof(void *);
            for (unsigned n = 0; n < 1 + own % 6; n++) {
                fill_value(field, items + n * size, arena, own + n, depth);
            }
            *(size_t *)quantifier = 1 + own % 6;
            *(uint8_t **)place = items;
        } else if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0) {
            fill_value(field, place, arena, own, depth);
        } else if (*(uint32_t *)quantifier == 0 &&
                   (own % 3 == 0 || i + 1 == descriptor->n_fields)) {
            *(uint32_t *)quantifier = field->id;
            fill_value(field, place, arena, own, depth);
        }
    }
    return message;
}

static void check_round_trip(const ProtobufCMessageDescriptor *descriptor, unsigned seed)
{
    struct arena arena;
    struct buf wire;
    struct buf json;
    struct buf again;
    struct err err = {{0}};
    ProtobufCMessage *back;
    arena_init(&arena, BUF_NO_LIMIT);
    buf_init(&wire, BUF_NO_LIMIT);
    buf_init(&json, BUF_NO_LIMIT);
    buf_init(&again, BUF_NO_LIMIT);
    ProtobufCMessage *message = fill(descriptor, &arena, seed, DEPTH);
    assert_int_equal(proto_pack_append(message, &wire), 0);
    assert_int_equal(pbjson_write(message, &json), 0);
    int rc = pbjson_read(descriptor, buf_bytes(&json), &arena, &back, &err);
    if (rc != 0) {
        print_error("%s: %s in %.*s\n", descriptor->name, err.text, (int)json.size,
                    (const char *)json.data);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(proto_pack_append(back, &again), 0);
    assert_int_equal(again.size, wire.size);
    assert_memory_equal(again.data, wire.data, wire.size);
    buf_free(&wire);
    buf_free(&json);
    buf_free(&again);
    arena_free(&arena);
}

static void every_message_comes_back_from_json(void **state)
{
    (void)state;
    size_t count = 0;
    const struct gateway_path *path;
    for (unsigned i = 0; (path = gateway_path_at(i)) != NULL; i++) {
        const ProtobufCMethodDescriptor *method =
            protobuf_c_service_descriptor_get_method_by_name(path->service, path->method);
        assert_non_null(method);
        for (unsigned seed = 0; seed < 15; seed++) {
            check_round_trip(method->input, seed);
            check_round_trip(method->output, seed);
        }
        count++;
    }
    assert_true(count >= 50);
}

/* ---- what protojson takes and refuses ---- */

/* The wire form of what JSON gives, in hex; or the error. */
static const char *read_as(const ProtobufCMessageDescriptor *descriptor, const char *json,
                           size_t size)
{
    static char text[512];
    struct arena arena;
    struct buf wire;
    struct err err = {{0}};
    ProtobufCMessage *message;
    arena_init(&arena, pbjson_arena_limit(size));
    buf_init(&wire, BUF_NO_LIMIT);
    text[0] = '\0';
    if (pbjson_read(descriptor, bytes_of(json, size), &arena, &message, &err) != 0) {
        snprintf(text, sizeof(text), "%s", err.text);
    } else {
        (void)proto_pack_append(message, &wire);
        for (size_t i = 0; i < wire.size && i < 200; i++) {
            snprintf(text + 2 * i, 3, "%02x", wire.data[i]);
        }
    }
    buf_free(&wire);
    arena_free(&arena);
    return text;
}

#define PUT(json)   read_as(&etcdserverpb__put_request__descriptor, json, strlen(json))
#define RANGE(json) read_as(&etcdserverpb__range_request__descriptor, json, strlen(json))
#define TXN(json)   read_as(&etcdserverpb__txn_request__descriptor, json, strlen(json))

static void names_may_be_camel_case(void **state)
{
    (void)state;
    assert_string_equal(PUT("{\"prev_kv\":true,\"ignoreLease\":true}"), "20013001");
    assert_string_equal(RANGE("{\"minModRevision\":1,\"range_end\":\"YQ==\"}"), "1201615001");
    assert_string_equal(PUT("{\"prev_Kv\":true,\"unknown\":{\"a\":[{}]},\"other\":\"x\"}"), "");
}

static void numbers_may_be_strings_and_must_fit(void **state)
{
    (void)state;
    assert_string_equal(PUT("{\"lease\":\"3\"}"), "1803");
    assert_string_equal(PUT("{\"lease\":3.0}"), "1803");
    assert_string_equal(PUT("{\"lease\":3e2}"), "18ac02");
    assert_string_equal(PUT("{\"lease\":-1}"), "18ffffffffffffffffff01");
    assert_string_equal(PUT("{\"lease\":9223372036854775807}"), "18ffffffffffffffff7f");
    assert_non_null(strstr(PUT("{\"lease\":9223372036854775808}"), "invalid value for int64"));
    assert_non_null(strstr(PUT("{\"lease\":1e19}"), "invalid value for int64"));
    assert_non_null(strstr(PUT("{\"lease\":1.5}"), "invalid value for int64"));
    assert_non_null(strstr(PUT("{\"lease\":\"\"}"), "invalid value for int64"));
    assert_non_null(strstr(PUT("{\"lease\":\" 1\"}"), "invalid value for int64"));
    assert_non_null(strstr(PUT("{\"lease\":\"0x10\"}"), "invalid value for int64"));
    assert_non_null(strstr(PUT("{\"lease\":true}"), "invalid value for int64"));
    assert_non_null(strstr(RANGE("{\"sort_order\":2147483648}"), "invalid value for enum"));
    assert_string_equal(RANGE("{\"sort_order\":\"DESCEND\",\"sort_target\":3}"), "28023003");
    assert_string_equal(RANGE("{\"sort_order\":\"NOSUCH\"}"), "");
}

static void bytes_are_base64_of_either_alphabet(void **state)
{
    (void)state;
    assert_string_equal(PUT("{\"key\":\"AQID\"}"), "0a03010203");
    assert_string_equal(PUT("{\"key\":\"AQI=\"}"), "0a020102");
    assert_string_equal(PUT("{\"key\":\"AQI\"}"), "0a020102");
    assert_string_equal(PUT("{\"key\":\"_-8\"}"), "0a02ffef");
    assert_string_equal(PUT("{\"key\":\"/+8=\"}"), "0a02ffef");
    assert_string_equal(PUT("{\"key\":\"\"}"), "");
    static const char *const wrong[] = {"\"A\"",      "\"A===\"", "\"AQI==\"", "\"A=ID\"",
                                        "\"AQ*D\"",   "\"_+8=\"", "\"====\"",  "\"AQID=\"",
                                        "\"AQ==ID\"", "1",        "[]",        "{}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char json[64];
        snprintf(json, sizeof(json), "{\"key\":%s}", wrong[i]);
        if (strstr(PUT(json), "invalid value for bytes field key") == NULL) {
            fail_msg("%s is taken as %s", json, PUT(json));
        }
    }
}

static const char *version(const char *json)
{
    return read_as(&etcdserverpb__downgrade_request__descriptor, json, strlen(json));
}

static void half_a_pair_of_surrogates_is_no_text(void **state)
{
    (void)state;
    assert_string_equal(version("{\"version\":\"\\ud83d\\ude00\"}"), "1204f09f9880");
    static const char *const wrong[] = {"\\udc00", "\\udcccx", "\\udccc\\u1111", "\\ude00\\ud83d"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char json[64];
        snprintf(json, sizeof(json), "{\"version\":\"%s\"}", wrong[i]);
        if (strstr(version(json), "invalid escape code") == NULL) {
            fail_msg("%s is taken as %s", json, version(json));
        }
    }
}

static void null_is_absence_and_wrong_in_a_list(void **state)
{
    (void)state;
    assert_string_equal(PUT("{\"key\":null,\"lease\":null}"), "");
    assert_string_equal(TXN("{\"compare\":null}"), "");
    assert_non_null(strstr(TXN("{\"compare\":[null]}"), "invalid value"));
    assert_non_null(strstr(TXN("{\"compare\":[[{}]]}"), "invalid value"));
    assert_non_null(strstr(TXN("{\"compare\":{}}"), "invalid value for repeated"));
}

static void a_field_stands_once_and_a_oneof_has_one(void **state)
{
    (void)state;
    assert_non_null(strstr(PUT("{\"key\":\"\",\"key\":\"\"}"), "(line 1:11): duplicate field"));
    assert_non_null(strstr(PUT("{\"prevKv\":true,\n\"prev_kv\":true}"), "(line 2:1): duplicate"));
    assert_non_null(
        strstr(TXN("{\"success\":[{\"request_range\":{},\"request_put\":{}}]}"), "oneof"));
    assert_string_equal(TXN("{\"compare\":[{\"version\":\"0\"}]}"), "0a022000");
}

static void text_that_is_no_object_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"5",        "\"x\"",      "[]",     "null",
                                        "true",     "{",          "{\"a\"", "{]",
                                        "{\"a\":}", "{\"a\":1,}", "}",      "{'a':1}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (strlen(PUT(wrong[i])) < 5) {
            fail_msg("%s is taken", wrong[i]);
        }
    }
    assert_string_equal(PUT(""), "");
    assert_string_equal(PUT(" \n"), "");
    assert_string_equal(PUT("{} what follows is not looked at"), "");
    assert_non_null(strstr(read_as(&etcdserverpb__put_request__descriptor, "{\"a\":\"\xff\"}", 9),
                           "syntax error"));
}

static void depth_and_memory_are_bounded(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (int i = 0; i < 200000; i++) {
        buf_append_str(&text, "{\"success\":[{\"request_txn\":");
    }
    const char *said =
        read_as(&etcdserverpb__txn_request__descriptor, (const char *)text.data, text.size);
    assert_non_null(strstr(said, "recursion depth"));
    buf_clear(&text);
    buf_append_str(&text, "{\"unknown\":");
    for (int i = 0; i < 200000; i++) {
        buf_append_byte(&text, '[');
    }
    said = read_as(&etcdserverpb__txn_request__descriptor, (const char *)text.data, text.size);
    assert_non_null(strstr(said, "recursion depth"));
    buf_clear(&text);
    buf_append_str(&text, "{\"compare\":[{}");
    for (int i = 0; i < 100000; i++) {
        buf_append_str(&text, ",{}");
    }
    buf_append_str(&text, "]}");
    struct arena arena;
    struct err err = {{0}};
    ProtobufCMessage *message;
    arena_init(&arena, 1024 * 1024);
    assert_int_equal(pbjson_read(&etcdserverpb__txn_request__descriptor, buf_bytes(&text), &arena,
                                 &message, &err),
                     E_TOO_BIG);
    arena_free(&arena);
    buf_free(&text);
}

static void values_are_found_wherever_the_text_is_cut(void **state)
{
    (void)state;
    static const char text[] = " {\"a\":\"}\\\"{\"}\n{}[1,{\"b\":[]}] {\"c\":1}";
    static const char *const parts[] = {" {\"a\":\"}\\\"{\"}", "\n{}", "[1,{\"b\":[]}]",
                                        " {\"c\":1}"};
    struct pbjson_scan scan = {0};
    struct buf buffer;
    size_t found = 0;
    buf_init(&buffer, BUF_NO_LIMIT);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        buf_append_byte(&buffer, (uint8_t)text[i]);
        size_t size = pbjson_scan(&scan, buf_bytes(&buffer));
        if (size > 0) {
            assert_true(found < 4);
            assert_int_equal(size, strlen(parts[found]));
            assert_memory_equal(buffer.data, parts[found], size);
            buf_consume(&buffer, size);
            found++;
        }
    }
    assert_int_equal(found, 4);
    assert_int_equal(buffer.size, 0);
    buf_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_from_json),
        cmocka_unit_test(names_may_be_camel_case),
        cmocka_unit_test(numbers_may_be_strings_and_must_fit),
        cmocka_unit_test(bytes_are_base64_of_either_alphabet),
        cmocka_unit_test(half_a_pair_of_surrogates_is_no_text),
        cmocka_unit_test(null_is_absence_and_wrong_in_a_list),
        cmocka_unit_test(a_field_stands_once_and_a_oneof_has_one),
        cmocka_unit_test(text_that_is_no_object_is_refused),
        cmocka_unit_test(depth_and_memory_are_bounded),
        cmocka_unit_test(values_are_found_wherever_the_text_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
