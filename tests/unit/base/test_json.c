/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON tree: what goes in comes out, and what is not JSON is refused with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/json.h"

static struct json *parse(const char *text)
{
    struct err err;
    struct json *value = json_parse(text, strlen(text), &err);
    if (value == NULL) {
        fail_msg("%s", err.text);
    }
    return value;
}

static void text_survives_a_round_trip(void **state)
{
    (void)state;
    const char *text = "{\"a\":[1,-2,3.5,true,false,null,\"x\\n\\\"\\\\\\u0001\"],\"b\":{},\"c\":"
                       "9223372036854775807,"
                       "\"d\":\"\303\251\360\237\230\200\"}";
    struct json *value = parse(text);

    char *out = json_text(value, JSON_COMPACT);

    assert_string_equal(out, text);
    mem_free(out);
    json_free(value);
}

static void pretty_text_is_indented_by_two(void **state)
{
    (void)state;
    struct json *value = parse("{\"a\":[1],\"b\":{}}");
    char *out = json_text(value, JSON_PRETTY);
    assert_string_equal(out, "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}");
    mem_free(out);
    json_free(value);
}

static void what_is_not_json_is_refused(void **state)
{
    (void)state;
    const char *bad[] = {"",    " ",          "{",        "{\"a\"}", "[1,]",
                         "nul", "{\"a\":1}x", "\"\xff\"", "[1 2]",   "01"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct err err = {{0}};
        assert_null(json_parse(bad[i], strlen(bad[i]), &err));
        assert_true(err.text[0] != '\0');
    }
}

static void depth_has_a_limit(void **state)
{
    (void)state;
    char text[400];
    memset(text, '[', 200);
    memset(text + 200, ']', 200);
    struct err err;
    assert_null(json_parse(text, 400, &err));
    assert_non_null(strstr(err.text, "deeper"));
    struct json *value = json_parse(text + 100, 200, &err);
    assert_non_null(value);
    json_free(value);
}

static void a_number_that_no_double_holds_is_refused(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"1e309", "[-1e999]"};
    for (size_t i = 0; i < ARRAY_COUNT(TEXTS); i++) {
        struct err err;
        assert_null(json_parse(TEXTS[i], strlen(TEXTS[i]), &err));
        assert_non_null(strstr(err.text, "out of range"));
    }
}

static void a_surrogate_that_stands_alone_becomes_the_replacement(void **state)
{
    (void)state;
    struct json *value = parse("{\"a\\udc00\":\"x\\ud83d\\ude00\\udc00y\"}");
    assert_string_equal(json_key_at(value, 0), "a\xef\xbf\xbd");
    assert_string_equal(json_str(json_at(value, 0), ""), "x\xf0\x9f\x98\x80\xef\xbf\xbdy");
    json_free(value);
}

static void a_key_with_a_nul_is_refused(void **state)
{
    (void)state;
    static const char TEXT[] = "{\"a\\u0000b\":1}";
    struct err err;
    assert_null(json_parse(TEXT, sizeof(TEXT) - 1, &err));
    assert_non_null(strstr(err.text, "NUL"));
}

static void a_negative_zero_stays_one(void **state)
{
    (void)state;
    struct json *zero = json_parse("-0.0", 4, NULL);
    char *text = json_text(zero, JSON_COMPACT);
    assert_string_equal(text, "-0.0");
    mem_free(text);
    json_free(zero);
}

static void a_repeated_key_keeps_the_last_value(void **state)
{
    (void)state;
    struct json *value = parse("{\"a\":1,\"a\":{\"b\":2}}");
    assert_int_equal(json_count(value), 1);
    assert_int_equal(json_path_i64(value, "a.b", 0), 2);
    json_free(value);
}

static void paths_find_keys_and_elements(void **state)
{
    (void)state;
    struct json *value = parse("{\"spec\":{\"containers\":[{\"name\":\"x\"},{\"name\":\"y\"}]}}");
    assert_string_equal(json_path_str(value, "spec.containers.1.name", "?"), "y");
    assert_string_equal(json_path_str(value, "spec.containers.2.name", "?"), "?");
    assert_string_equal(json_path_str(value, "spec.container.0", "?"), "?");
    assert_null(json_path(value, "spec.containers.name"));
    json_free(value);
}

static void changes_keep_order_and_ownership(void **state)
{
    (void)state;
    struct json *value = parse("{\"a\":1,\"b\":2,\"c\":[1,2,3]}");
    json_set_str(value, "b", "two");
    json_remove(value, "a");
    json_insert(json_get(value, "c"), 0, json_int(0));
    json_remove_at(json_get(value, "c"), 2);
    struct json *taken = json_take(value, "c");
    json_set(value, "d", taken);
    char *out = json_text(value, JSON_COMPACT);
    assert_string_equal(out, "{\"b\":\"two\",\"d\":[0,1,3]}");
    mem_free(out);
    json_free(value);
}

static void equality_is_deep_and_ignores_key_order(void **state)
{
    (void)state;
    struct json *a = parse("{\"x\":[1,{\"y\":null}],\"z\":1.0}");
    struct json *b = parse("{\"z\":1,\"x\":[1,{\"y\":null}]}");
    struct json *c = parse("{\"z\":1,\"x\":[1,{\"y\":0}]}");
    struct json *copy = json_copy(a);
    assert_true(json_equal(a, b));
    assert_true(json_equal(a, copy));
    assert_false(json_equal(a, c));
    json_free(a);
    json_free(b);
    json_free(c);
    json_free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_survives_a_round_trip),
        cmocka_unit_test(pretty_text_is_indented_by_two),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(a_number_that_no_double_holds_is_refused),
        cmocka_unit_test(a_surrogate_that_stands_alone_becomes_the_replacement),
        cmocka_unit_test(a_key_with_a_nul_is_refused),
        cmocka_unit_test(a_negative_zero_stays_one),
        cmocka_unit_test(a_repeated_key_keeps_the_last_value),
        cmocka_unit_test(paths_find_keys_and_elements),
        cmocka_unit_test(changes_keep_order_and_ownership),
        cmocka_unit_test(equality_is_deep_and_ignores_key_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
