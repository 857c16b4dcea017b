/* SPDX-License-Identifier: Apache-2.0 */
/* YAML as trees: scalars by YAML 1.1, JSON as YAML, errors with their line, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/yaml.h"

static struct json *parse(const char *text)
{
    struct err err = {{0}};
    struct json *value = json_parse_yaml(text, strlen(text), &err);
    if (value == NULL) {
        fail_msg("\"%s\": %s", text, err.text);
    }
    return value;
}

static void expect_same(const char *yaml, const char *json)
{
    struct json *value = parse(yaml);
    char *text = json_text(value, JSON_COMPACT);
    assert_string_equal(text, json);
    mem_free(text);
    json_free(value);
}

static void expect_error(const char *text, size_t size, const char *reason)
{
    struct err err = {{0}};
    assert_null(json_parse_yaml(text, size, &err));
    if (strstr(err.text, reason) == NULL) {
        fail_msg("\"%s\" instead of \"%s\"", err.text, reason);
    }
}

static void plain_scalars_have_the_types_of_yaml_1_1(void **state)
{
    (void)state;
    expect_same("[true, True, yes, on, false, no, OFF, n]",
                "[true,true,true,true,false,false,false,false]");
    expect_same("[~, null, ]", "[null,null]");
    expect_same("[1, -1, +1, 0644, 0x10, 0]", "[1,-1,1,420,16,0]");
    expect_same("[1.5, .5, 1e3]", "[1.5,0.5,1000]");
    expect_same("[a, 1.2.3, '-', 08x, 1 2, -, 0x, http://a:1]",
                "[\"a\",\"1.2.3\",\"-\",\"08x\",\"1 2\",\"-\",\"0x\",\"http://a:1\"]");
}

static void quoted_scalars_are_texts(void **state)
{
    (void)state;
    expect_same("['true', \"1\", '', \"a\\nb\"]", "[\"true\",\"1\",\"\",\"a\\nb\"]");
    expect_same("a: |\n  x\n  y\n", "{\"a\":\"x\\ny\\n\"}");
}

static void json_is_yaml(void **state)
{
    (void)state;
    expect_same("{\"a\": {\"b\": [1, \"x\", true, null]}, \"c\": \"d\"}",
                "{\"a\":{\"b\":[1,\"x\",true,null]},\"c\":\"d\"}");
}

static void the_last_of_two_equal_keys_wins_and_the_first_document_counts(void **state)
{
    (void)state;
    expect_same("a: 1\na: 2\n", "{\"a\":2}");
    expect_same("# words\na: 1\n---\nb: 2\n", "{\"a\":1}");
}

static void errors_name_the_line(void **state)
{
    (void)state;
    expect_error("a: 1\nb: [\n", 9, "line 3");
    expect_error("a: &x 1\nb: *x\n", 14, "line 2: aliases are not supported");
    expect_error("? [a]\n: b\n", 10, "line 1: a key must be a scalar");
    expect_error("\"a\\0b\": 1", 9, "a key holds a NUL");
    expect_error("", 0, "empty document");
    expect_error("# nothing\n", 10, "empty document");
    expect_error("a: \xff", 4, "line");
}

static void depth_keys_and_size_have_limits(void **state)
{
    (void)state;
    char deep[YAML_DEPTH_MAX + 1];
    memset(deep, '[', sizeof(deep));
    expect_error(deep, sizeof(deep), "nested too deep");
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (unsigned i = 0; i <= YAML_KEYS_MAX; i++) {
        buf_printf(&text, "k%u: 1\n", i);
    }
    expect_error((const char *)text.data, text.size, "too many keys");
    buf_free(&text);
    char *big = mem_zalloc(YAML_BYTES_MAX + 1);
    memset(big, ' ', YAML_BYTES_MAX + 1);
    expect_error(big, YAML_BYTES_MAX + 1, "bytes of YAML");
    mem_free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_scalars_have_the_types_of_yaml_1_1),
        cmocka_unit_test(quoted_scalars_are_texts),
        cmocka_unit_test(json_is_yaml),
        cmocka_unit_test(the_last_of_two_equal_keys_wins_and_the_first_document_counts),
        cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(depth_keys_and_size_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
