/* SPDX-License-Identifier: Apache-2.0 */
/* Watch lines, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "controller/kube/watch.h"

static const char STREAM[] =
    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"5\"}}}\n"
    "\r\n"
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}\r\n"
    "{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"a\\n\"}}}\n"
    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n";

/* Feeds the stream in pieces of piece bytes; notes the types in out. */
static size_t decode_in_pieces(size_t piece, enum kube_watch_type *out, int *out_error_code)
{
    struct buf buf;
    buf_init(&buf, BUF_NO_LIMIT);
    size_t count = 0;
    for (size_t at = 0; at < sizeof(STREAM) - 1; at += piece) {
        size_t left = sizeof(STREAM) - 1 - at;
        buf_append(&buf, STREAM + at, left < piece ? left : piece);
        for (;;) {
            size_t used = 0;
            struct kube_watch_event event;
            int rc = kube_watch_decode(buf_bytes(&buf), &used, &event, NULL);
            buf_consume(&buf, used);
            if (rc == E_AGAIN) {
                break;
            }
            assert_int_equal(rc, 0);
            out[count++] = event.type;
            *out_error_code = event.error_code;
            json_free(event.object);
        }
    }
    assert_int_equal(buf.size, 0);
    buf_free(&buf);
    return count;
}

static void events_are_the_same_however_the_stream_is_cut(void **state)
{
    (void)state;
    static const enum kube_watch_type EXPECTED[] = {KUBE_WATCH_ADDED, KUBE_WATCH_BOOKMARK,
                                                    KUBE_WATCH_DELETED, KUBE_WATCH_ERROR};
    for (size_t piece = 1; piece <= sizeof(STREAM); piece++) {
        enum kube_watch_type types[8];
        int error_code = 0;

        size_t count = decode_in_pieces(piece, types, &error_code);

        assert_int_equal(count, ARRAY_COUNT(EXPECTED));
        assert_memory_equal(types, EXPECTED, sizeof(EXPECTED));
        assert_int_equal(error_code, 410);
    }
}

static void a_broken_line_is_an_error_with_a_reason(void **state)
{
    (void)state;
    static const char *const LINES[] = {
        "{\"type\":\"ADDED\"\n",
        "{\"type\":\"RENAMED\",\"object\":{}}\n",
        "{\"type\":\"ADDED\",\"object\":7}\n",
        "{\"type\":\"ADDED\"}\n",
        "nonsense\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(LINES); i++) {
        size_t used = 0;
        struct kube_watch_event event;
        struct err err = {{0}};

        int rc = kube_watch_decode(bytes_of_str(LINES[i]), &used, &event, &err);

        assert_int_equal(rc, E_CORRUPT);
        assert_true(strstr(err.text, "watch event") != NULL);
    }
}

static void versions_compare_as_numbers_or_not_at_all(void **state)
{
    (void)state;
    int order = 7;

    assert_true(kube_version_compare("9", "10", &order));
    assert_int_equal(order, -1);
    assert_true(kube_version_compare("10", "10", &order));
    assert_int_equal(order, 0);
    assert_false(kube_version_compare("abc", "10", &order));
    assert_false(kube_version_compare("", "10", &order));
    assert_false(kube_version_compare(NULL, "10", &order));
    assert_false(kube_version_compare("99999999999999999999999", "10", &order));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_the_same_however_the_stream_is_cut),
        cmocka_unit_test(a_broken_line_is_an_error_with_a_reason),
        cmocka_unit_test(versions_compare_as_numbers_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
