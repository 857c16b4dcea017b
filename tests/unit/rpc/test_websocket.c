/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of WebSocket, by the examples of RFC 6455 and by what a hostile client sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "engine/rpc/websocket.h"

#define LIMIT 1000u

/* A frame as a client sends it. */
static void append_frame(struct buf *out, unsigned first, const char *payload, size_t size)
{
    static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};
    buf_append_byte(out, (uint8_t)first);
    if (size < 126) {
        buf_append_byte(out, (uint8_t)(0x80 | size));
    } else {
        buf_append_byte(out, 0x80 | 126);
        buf_append_byte(out, (uint8_t)(size >> 8));
        buf_append_byte(out, (uint8_t)size);
    }
    buf_append(out, MASK, sizeof(MASK));
    for (size_t i = 0; i < size; i++) {
        buf_append_byte(out, (uint8_t)((uint8_t)payload[i] ^ MASK[i % 4]));
    }
}

/* All events of bytes that come piece by piece, as "opcode:payload;"; the error's code at the end.
 */
static void read_all_events(struct bytes bytes, size_t piece, struct buf *out)
{
    struct websocket_reader reader;
    websocket_reader_init(&reader, LIMIT);
    int rc = 0;
    for (size_t at = 0; at < bytes.size && rc >= 0; at += piece) {
        struct bytes data = bytes_of(bytes.data + at, BASE_MIN(piece, bytes.size - at));
        struct websocket_event event;
        while ((rc = websocket_read(&reader, &data, &event)) > 0) {
            buf_printf(out, "%x:%.*s;", (unsigned)event.opcode, (int)event.payload.size,
                       (const char *)event.payload.data);
        }
        if (rc == 0) {
            assert_int_equal(data.size, 0);
        }
    }
    if (rc < 0) {
        buf_printf(out, "%s", rc == E_TOO_BIG ? "too big" : "invalid");
    }
    websocket_reader_free(&reader);
}

static void expect_events(const struct buf *bytes, const char *want)
{
    for (size_t piece = 1; piece <= bytes->size; piece++) {
        struct buf got;
        buf_init(&got, BUF_NO_LIMIT);
        read_all_events(buf_bytes(bytes), piece, &got);
        buf_append_byte(&got, 0);
        assert_string_equal((const char *)got.data, want);
        buf_free(&got);
    }
}

static void messages_are_read_however_they_are_cut(void **state)
{
    (void)state;
    struct buf bytes;
    char large[400];
    memset(large, 'x', sizeof(large));
    buf_init(&bytes, BUF_NO_LIMIT);
    append_frame(&bytes, 0x81, "Hello", 5);
    append_frame(&bytes, 0x01, "one ", 4);
    append_frame(&bytes, 0x89, "ping", 4); /* between the parts of a message */
    append_frame(&bytes, 0x00, "and ", 4);
    append_frame(&bytes, 0x80, "all", 3);
    append_frame(&bytes, 0x82, "", 0);
    append_frame(&bytes, 0x8a, "", 0);
    append_frame(&bytes, 0x88, "\x03\xe8", 2);
    expect_events(&bytes, "1:Hello;9:ping;1:one and all;1:;a:;8:\x03\xe8;");
    buf_clear(&bytes);
    append_frame(&bytes, 0x81, large, sizeof(large));
    append_frame(&bytes, 0x81, large, 10);
    struct buf got;
    buf_init(&got, BUF_NO_LIMIT);
    read_all_events(buf_bytes(&bytes), 3, &got);
    assert_int_equal(got.size, sizeof(large) + 3 + 10 + 3);
    buf_free(&got);
    buf_free(&bytes);
}

static void what_no_client_may_send_ends_it(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[16];
        size_t size;
        const char *want;
    } WRONG[] = {
        {{0x81, 0x05, 'H', 'e', 'l', 'l', 'o', 0}, 8, "invalid"}, /* not masked */
        {{0xc1, 0x80, 0, 0, 0, 0}, 6, "invalid"},                 /* an extension's bit */
        {{0x80, 0x80, 0, 0, 0, 0}, 6, "invalid"},                 /* goes on with nothing */
        {{0x83, 0x80, 0, 0, 0, 0}, 6, "invalid"},                 /* unknown kinds */
        {{0x8b, 0x80, 0, 0, 0, 0}, 6, "invalid"},                 /* also of control */
        {{0x09, 0x80, 0, 0, 0, 0}, 6, "invalid"},                 /* control in parts */
        {{0x89, 0xfe, 0, 126, 0, 0, 0, 0}, 8, "invalid"},         /* control too large */
        {{0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0}, 12, "invalid"}, /* one in another */
        {{0x81, 0xfe, 3, 0xe9, 0, 0, 0, 0}, 8, "too big"},
        {{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 14, "too big"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(WRONG); i++) {
        struct buf bytes;
        buf_init(&bytes, BUF_NO_LIMIT);
        buf_append(&bytes, WRONG[i].bytes, WRONG[i].size);
        expect_events(&bytes, WRONG[i].want);
        buf_free(&bytes);
    }
}

static void a_message_has_its_limit_also_in_parts(void **state)
{
    (void)state;
    struct buf bytes;
    char part[LIMIT / 4];
    memset(part, 'x', sizeof(part));
    buf_init(&bytes, BUF_NO_LIMIT);
    append_frame(&bytes, 0x01, part, sizeof(part));
    for (int i = 0; i < 3; i++) {
        append_frame(&bytes, 0x00, part, sizeof(part));
    }
    append_frame(&bytes, 0x80, "", 0); /* just fits */
    struct buf got;
    buf_init(&got, BUF_NO_LIMIT);
    read_all_events(buf_bytes(&bytes), 7, &got);
    assert_int_equal(got.size, LIMIT + 3);
    buf_clear(&got);
    buf_clear(&bytes);
    append_frame(&bytes, 0x01, part, sizeof(part));
    for (int i = 0; i < 4; i++) {
        append_frame(&bytes, 0x00, part, sizeof(part));
    }
    read_all_events(buf_bytes(&bytes), 7, &got);
    assert_memory_equal(got.data, "too big", 7);
    buf_free(&got);
    buf_free(&bytes);
}

static void frames_out_are_as_in_the_rfc(void **state)
{
    (void)state;
    static char large[70000];
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    websocket_write(WEBSOCKET_TEXT, true, bytes_of("Hello", 5), &out);
    assert_int_equal(out.size, 7);
    assert_memory_equal(out.data, "\x81\x05Hello", 7);
    buf_clear(&out);
    websocket_write(WEBSOCKET_TEXT, false, bytes_of("Hel", 3), &out);
    websocket_write(WEBSOCKET_MORE, true, bytes_of("lo", 2), &out);
    assert_memory_equal(out.data, "\x01\x03Hel\x80\x02lo", 9);
    buf_clear(&out);
    websocket_write(WEBSOCKET_BINARY, true, bytes_of(large, 256), &out);
    assert_int_equal(out.size, 4 + 256);
    assert_memory_equal(out.data, "\x82\x7e\x01\x00", 4);
    buf_clear(&out);
    websocket_write(WEBSOCKET_BINARY, true, bytes_of(large, sizeof(large)), &out);
    assert_int_equal(out.size, 10 + sizeof(large));
    assert_memory_equal(out.data, "\x82\x7f\x00\x00\x00\x00\x00\x01\x11\x70", 10);
    buf_clear(&out);
    websocket_write_close(WEBSOCKET_TOO_BIG, &out);
    assert_memory_equal(out.data, "\x88\x02\x03\xf1", 4);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_read_however_they_are_cut),
        cmocka_unit_test(what_no_client_may_send_ends_it),
        cmocka_unit_test(a_message_has_its_limit_also_in_parts),
        cmocka_unit_test(frames_out_are_as_in_the_rfc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
