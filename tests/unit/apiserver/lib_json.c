/* SPDX-License-Identifier: Apache-2.0 */
/* JSON helpers of the tests. */
#include "lib_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"

struct json *js(const char *text)
{
    char *copy = str_dup(text);
    for (char *at = copy; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    struct err err = {""};
    struct json *value = json_parse(copy, strlen(copy), &err);
    if (value == NULL) {
        print_error("%s: %s\n", copy, err.text);
    }
    assert_non_null(value);
    mem_free(copy);
    return value;
}

void assert_json(const struct json *value, const char *text)
{
    struct json *wanted = js(text);
    if (value == NULL || !json_equal(value, wanted)) {
        char *found = value == NULL ? NULL : json_text(value, JSON_COMPACT);
        print_error("found  %s\nwanted %s\n", found == NULL ? "nothing" : found, text);
        mem_free(found);
        json_free(wanted);
        fail();
    }
    json_free(wanted);
}
