/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: the vectors of RFC 4648 section 10, both alphabets, and every kind of wrong text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"

static const struct {
    const char *plain;
    const char *padded;
} VECTORS[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static bool decodes(const char *text, unsigned form, const char *plain)
{
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    buf_append_byte(&out, '>');
    bool fine = base64_append_decoded(bytes_of_str(text), form, &out);
    assert_int_equal(out.data[0], '>');
    if (fine) {
        assert_int_equal(out.size, strlen(plain) + 1);
        assert_memory_equal(out.data + 1, plain, strlen(plain));
    } else {
        assert_int_equal(out.size, 1);
    }
    buf_free(&out);
    return fine;
}

static void the_vectors_of_the_standard_hold_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(VECTORS); i++) {
        char *text = base64_text(bytes_of_str(VECTORS[i].plain));
        assert_string_equal(text, VECTORS[i].padded);
        assert_true(decodes(text, BASE64_PADDED, VECTORS[i].plain));
        struct buf bare;
        buf_init(&bare, BUF_NO_LIMIT);
        base64_encode(bytes_of_str(VECTORS[i].plain), 0, &bare);
        assert_int_equal(bare.size, strcspn(text, "="));
        assert_true(decodes(buf_cstr(&bare), 0, VECTORS[i].plain));
        buf_free(&bare);
        mem_free(text);
    }
}

static void each_alphabet_refuses_the_digits_of_the_other(void **state)
{
    (void)state;
    assert_true(decodes("+/+/", 0, "\xfb\xff\xbf"));
    assert_true(decodes("-_-_", BASE64_URL, "\xfb\xff\xbf"));
    assert_false(decodes("-_-_", 0, ""));
    assert_false(decodes("+/+/", BASE64_URL, ""));
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    base64_encode(bytes_of("\xfb\xff\xbf", 3), BASE64_URL, &text);
    assert_string_equal(buf_cstr(&text), "-_-_");
    buf_free(&text);
}

static void padding_is_there_when_asked_for_and_only_then(void **state)
{
    (void)state;
    static const char *const WRONG[] = {"Zg",   "Zg=",  "Zg===",    "Z===",  "Z",    "=",
                                        "====", "=Zg=", "Zg==Zg==", "Zm9v=", "Zg =", "Zg==\n"};
    for (size_t i = 0; i < ARRAY_COUNT(WRONG); i++) {
        assert_false(decodes(WRONG[i], BASE64_PADDED, ""));
    }
    assert_false(decodes("Zg==", 0, ""));
    assert_false(decodes("Z", 0, ""));
}

static void line_ends_are_passed_over_when_asked_for(void **state)
{
    (void)state;
    assert_true(decodes("Zm\r\n9v\nYg=\n=\n", BASE64_PADDED | BASE64_LINES, "foob"));
    assert_false(decodes("Zm 9v", BASE64_PADDED | BASE64_LINES, ""));
}

static void a_buffer_that_is_too_small_is_left_as_it_was(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 2);
    assert_false(base64_append_decoded(bytes_of_str("Zm9vYmFy"), BASE64_PADDED, &out));
    assert_int_equal(out.size, 0);
    assert_true(out.overflowed);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_standard_hold_both_ways),
        cmocka_unit_test(each_alphabet_refuses_the_digits_of_the_other),
        cmocka_unit_test(padding_is_there_when_asked_for_and_only_then),
        cmocka_unit_test(line_ends_are_passed_over_when_asked_for),
        cmocka_unit_test(a_buffer_that_is_too_small_is_left_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
