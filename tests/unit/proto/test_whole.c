/* SPDX-License-Identifier: Apache-2.0 */
/* Texts with a zero byte are noticed before they count as shorter ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/proto/codec.h"
#include "rpc.pb-c.h"

static bool is_whole(const char *wire, size_t size)
{
    struct arena arena;
    Etcdserverpb__AuthUserAddRequest *add;
    struct bytes bytes = bytes_of(wire, size);
    arena_init(&arena, proto_arena_limit(size));
    assert_int_equal(PROTO_UNPACK(etcdserverpb__auth_user_add_request, bytes, &arena, &add), 0);
    bool whole = proto_is_whole(&add->base, bytes);
    arena_free(&arena);
    return whole;
}

#define WHOLE(wire) is_whole(wire, sizeof(wire) - 1)

static void a_text_that_was_cut_is_noticed(void **state)
{
    (void)state;
    assert_true(WHOLE("\x0a\x02"
                      "al"
                      "\x12\x03"
                      "pwd"));
    assert_true(WHOLE("\x0a\x02"
                      "al"
                      "\x12\x03"
                      "pwd"
                      "\x1a\x00")); /* options that are empty */
    assert_true(WHOLE(""));
    assert_false(WHOLE("\x0a\x02"
                       "al"
                       "\x12\x03"
                       "p\0d"));
    assert_false(WHOLE("\x0a\x02"
                       "al"
                       "\x12\x03"
                       "\0wd")); /* would be an empty password */
    assert_false(WHOLE("\x0a\x05"
                       "root\0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_text_that_was_cut_is_noticed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
