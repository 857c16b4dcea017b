/* SPDX-License-Identifier: Apache-2.0 */
/* Pruning, defaulting and validation by structural schemas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "deploy/playground/apiserver/schema.h"
#include "lib_json.h"

static void assert_pruned(const char *schema_text, const char *before, const char *after,
                          const char *unknown_text)
{
    struct json *schema = js(schema_text);
    struct json *value = js(before);
    struct json *unknown = json_array();
    schema_prune(schema, value, unknown);
    assert_json(value, after);
    assert_json(unknown, unknown_text);
    json_free(schema);
    json_free(value);
    json_free(unknown);
}

static void unknown_fields_are_pruned_and_named(void **state)
{
    (void)state;
    assert_pruned(
        "{'type':'object','properties':{'spec':{'type':'object','properties':{'a':{'type':'string'}"
        ","
        "'l':{'type':'array','items':{'type':'object','properties':{'n':{'type':'string'}}}}}}}}",
        "{'kind':'K','metadata':{'name':'x'},'spec':{'a':'1','b':2,'l':[{'n':'1','m':2}]}}",
        "{'kind':'K','metadata':{'name':'x'},'spec':{'a':'1','l':[{'n':'1'}]}}",
        "['spec.l[0].m','spec.b']");
}

static void preserved_parts_and_maps_keep_their_fields(void **state)
{
    (void)state;
    assert_pruned(
        "{'type':'object','properties':{"
        "'p':{'type':'object','x-kubernetes-preserve-unknown-fields':true,"
        "'properties':{'k':{'type':'object','properties':{}}}},"
        "'m':{'type':'object','additionalProperties':{'type':'object','properties':{'a':{}}}}}}",
        "{'p':{'x':{'y':1},'k':{'z':1}},'m':{'one':{'a':1,'b':2}}}",
        "{'p':{'x':{'y':1},'k':{}},'m':{'one':{'a':1}}}", "['m.one.b','p.k.z']");
}

static void nulls_that_are_not_allowed_vanish(void **state)
{
    (void)state;
    assert_pruned("{'type':'object','properties':{'a':{'type':'string'},'b':{'type':'string','"
                  "nullable':true}}}",
                  "{'a':null,'b':null}", "{'b':null}", "[]");
}

static void defaults_fill_what_is_absent_and_nothing_else(void **state)
{
    (void)state;
    struct json *schema =
        js("{'type':'object','properties':{'spec':{'type':'object','default':{},"
           "'properties':{'n':{'type':'integer','default':3},'s':{'type':'string'}}},"
           "'l':{'type':'array','items':{'type':'object','properties':{"
           "'d':{'type':'boolean','default':true}}}}}}");
    struct json *value = js("{'l':[{},{'d':false}]}");

    schema_default(schema, value);

    assert_json(value, "{'l':[{'d':true},{'d':false}],'spec':{'n':3}}");
    json_free(schema);
    json_free(value);
}

struct validation_case {
    const char *schema;
    const char *value;
    const char *message; /* of the only cause, or NULL when valid */
};

static const struct validation_case CASES[] = {
    {"{'type':'string'}", "1",
     "Invalid value: 'integer': a in body must be of type string: 'integer'"},
    {"{'type':'integer'}", "1.5",
     "Invalid value: 'number': a in body must be of type integer: 'number'"},
    {"{'type':'integer'}", "2.0", NULL},
    {"{'type':'number'}", "2", NULL},
    {"{'type':'integer','minimum':1}", "0",
     "Invalid value: 0: a in body should be greater than or equal to 1"},
    {"{'type':'integer','maximum':9}", "10",
     "Invalid value: 10: a in body should be less than or equal to 9"},
    {"{'type':'integer','maximum':9,'exclusiveMaximum':true}", "9",
     "Invalid value: 9: a in body should be less than 9"},
    {"{'type':'string','enum':['A','B']}", "'C'",
     "Unsupported value: 'C': supported values: 'A', 'B'"},
    {"{'type':'string','pattern':'^[a-z]+$'}", "'A1'",
     "Invalid value: 'A1': a in body should match '^[a-z]+$'"},
    {"{'type':'string','pattern':'^(?:[0-9]+|x)\\\\d$'}", "'x7'", NULL},
    {"{'type':'string','minLength':2}", "'a'",
     "Invalid value: 'a': a in body should be at least 2 chars long"},
    {"{'type':'string','maxLength':2}", "'abc'", "Too long: may not be more than 2 bytes"},
    {"{'type':'string','format':'date-time'}", "'2030-01-02T03:04:05Z'", NULL},
    {"{'type':'string','format':'date-time'}", "'2030-01-02T03:04:05.123456+01:00'", NULL},
    {"{'type':'string','format':'date-time'}", "'today'",
     "Invalid value: 'today': a in body must be of type date-time: 'today'"},
    {"{'type':'array','minItems':1,'items':{'type':'string'}}", "[]",
     "Invalid value: 0: a in body should have at least 1 items"},
    {"{'type':'array','maxItems':1,'items':{'type':'string'}}", "['a','b']",
     "Too many: 2: must have at most 1 items"},
    {"{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'}}", "['a','a']",
     "Duplicate value: 'a'"},
    {"{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['n'],"
     "'items':{'type':'object'}}",
     "[{'n':'1'},{'n':'1','x':2}]", "Duplicate value: {'n':'1','x':2}"},
    {"{'type':'object','required':['r']}", "{}", "Required value"},
    {"{'x-kubernetes-int-or-string':true}", "'5%'", NULL},
    {"{'x-kubernetes-int-or-string':true}", "5", NULL},
    {"{'x-kubernetes-int-or-string':true}", "true",
     "Invalid value: true: a in body must be of type integer,string: 'boolean'"},
    {"{'type':'object','oneOf':[{'required':['x']},{'required':['y']}]}", "{'x':1}", NULL},
    {"{'type':'object','oneOf':[{'required':['x']},{'required':['y']}]}", "{'x':1,'y':1}",
     "Invalid value: {'x':1,'y':1}: a in body must validate one and only one schema (oneOf)"},
    {"{'type':'object','not':{'required':['x']}}", "{'x':1}",
     "Invalid value: {'x':1}: a in body must not validate the schema (not)"},
    {"{'type':'string','nullable':true}", "null", NULL},
};

static void each_rule_has_the_words_of_kube_apiserver(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct json *schema = js("{'type':'object','properties':{}}");
        struct json *value = json_object();
        json_set(json_get(schema, "properties"), "a", js(CASES[i].schema));
        json_set(value, "a", js(CASES[i].value));
        struct json *causes = json_array();

        schema_validate(schema, value, causes);

        if (CASES[i].message == NULL) {
            assert_int_equal(json_count(causes), 0);
        } else {
            char *wanted = str_dup(CASES[i].message);
            bool has_pattern = strstr(wanted, "match") != NULL;
            for (char *at = wanted; *at != '\0' && !(has_pattern && strncmp(at, "'^", 2) == 0);
                 at++) {
                *at = *at == '\'' ? '"' : *at;
            }
            assert_int_equal(json_count(causes), 1);
            assert_string_equal(json_path_str(json_at(causes, 0), "message", ""), wanted);
            mem_free(wanted);
        }
        json_free(causes);
        json_free(value);
        json_free(schema);
    }
}

static void every_wrong_field_is_listed_with_its_path(void **state)
{
    (void)state;
    struct json *schema =
        js("{'type':'object','properties':{'l':{'type':'array','items':{'type':'object',"
           "'properties':{'n':{'type':'integer'}}}},'s':{'type':'string'}}}");
    struct json *value = js("{'l':[{'n':1},{'n':'x'}],'s':5}");
    struct json *causes = json_array();

    schema_validate(schema, value, causes);

    assert_int_equal(json_count(causes), 2);
    assert_string_equal(json_path_str(json_at(causes, 0), "field", ""), "l[1].n");
    assert_string_equal(json_path_str(json_at(causes, 1), "field", ""), "s");
    json_free(schema);
    json_free(value);
    json_free(causes);
}

static void a_schema_without_types_is_not_structural(void **state)
{
    (void)state;
    struct json *schema = js("{'type':'object','properties':{'a':{},'b':{'type':'array'}}}");
    struct json *causes = json_array();

    schema_check_structural(schema, "s", causes);

    assert_int_equal(json_count(causes), 2);
    assert_string_equal(json_path_str(json_at(causes, 0), "field", ""), "s.properties[a].type");
    json_free(schema);
    json_free(causes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_fields_are_pruned_and_named),
        cmocka_unit_test(preserved_parts_and_maps_keep_their_fields),
        cmocka_unit_test(nulls_that_are_not_allowed_vanish),
        cmocka_unit_test(defaults_fill_what_is_absent_and_nothing_else),
        cmocka_unit_test(each_rule_has_the_words_of_kube_apiserver),
        cmocka_unit_test(every_wrong_field_is_listed_with_its_path),
        cmocka_unit_test(a_schema_without_types_is_not_structural),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
