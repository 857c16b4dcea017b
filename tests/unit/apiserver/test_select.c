/* SPDX-License-Identifier: Apache-2.0 */
/* Selectors, JSONPath and YAML. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/yaml.h"
#include "deploy/playground/apiserver/jsonpath.h"
#include "deploy/playground/apiserver/select.h"
#include "lib_json.h"

static bool matches_labels(const char *text)
{
    struct json *object = js("{'metadata':{'labels':{'app':'web','tier':'front','empty':''}}}");
    struct selector *selector;
    struct err err;
    assert_int_equal(selector_parse_labels(text, &selector, &err), 0);
    bool is_match = selector_matches(selector, object);
    selector_free(selector);
    json_free(object);
    return is_match;
}

static void label_selectors_match(void **state)
{
    (void)state;
    static const char *const MATCHING[] = {
        "",       "app=web",         "app==web, tier=front", "app!=db",         "other!=x", "app",
        "!other", "app in (db,web)", "tier notin (back)",    "other notin (x)", "empty="};
    static const char *const FAILING[] = {
        "app=db",          "app!=web",         "!app", "other", "app in (a, b)",
        "app notin (web)", "app=web,tier=back"};

    for (size_t i = 0; i < ARRAY_COUNT(MATCHING); i++) {
        assert_true(matches_labels(MATCHING[i]));
    }
    for (size_t i = 0; i < ARRAY_COUNT(FAILING); i++) {
        assert_false(matches_labels(FAILING[i]));
    }
}

static void broken_selectors_are_refused(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"a in b", "a in (b", "=x", "a,,b", "a beside (b)"};
    for (size_t i = 0; i < ARRAY_COUNT(TEXTS); i++) {
        struct selector *selector;
        struct err err;
        assert_int_equal(selector_parse_labels(TEXTS[i], &selector, &err), E_INVALID);
    }
}

static void field_selectors_follow_paths(void **state)
{
    (void)state;
    struct json *pod =
        js("{'metadata':{'name':'p'},'spec':{'nodeName':'n1'},'status':{'count':3,'on':true}}");
    static const struct {
        const char *text;
        bool matches;
    } CASES[] = {{"metadata.name=p", true},
                 {"spec.nodeName!=n1", false},
                 {"spec.nodeName=n1,metadata.name=q", false},
                 {"status.count=3", true},
                 {"status.on=true", true},
                 {"status.phase!=Failed", true},
                 {"status.phase=", true}};
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct selector *selector;
        struct err err;
        assert_int_equal(selector_parse_fields(CASES[i].text, &selector, &err), 0);
        assert_int_equal(selector_matches(selector, pod), CASES[i].matches);
        selector_free(selector);
    }
    json_free(pod);
}

static void a_service_without_selector_matches_nothing(void **state)
{
    (void)state;
    struct json *labels = js("{'a':'b'}");
    struct json *empty = js("{}");
    struct json *expressions =
        js("{'matchExpressions':[{'key':'a','operator':'In','values':['b','c']},"
           "{'key':'z','operator':'DoesNotExist'}]}");

    assert_false(select_simple(empty, labels));
    assert_true(select_label_selector(empty, labels));
    assert_true(select_label_selector(expressions, labels));
    assert_false(select_label_selector(expressions, empty));
    json_free(labels);
    json_free(empty);
    json_free(expressions);
}

static void json_paths_find_what_columns_need(void **state)
{
    (void)state;
    struct json *object =
        js("{'spec':{'n':3,'a.b':1},'status':{'conditions':[{'type':'Ready','status':'True'},"
           "{'type':'Other','status':'False'}],'list':[1,2,3]}}");
    static const struct {
        const char *path;
        const char *found;
    } CASES[] = {
        {".spec.n", "[3]"},
        {"{.spec.n}", "[3]"},
        {".spec.missing", "[]"},
        {".status.conditions[?(@.type=='Ready')].status", "['True']"},
        {".status.conditions[?(@.type=='None')].status", "[]"},
        {".status.list[0]", "[1]"},
        {".status.list[-1]", "[3]"},
        {".status.list[9]", "[]"},
        {".status.list[?(@>1)]", "[2,3]"},
        {".status.conditions[*].type", "['Ready','Other']"},
        {".spec['a.b']", "[1]"},
        {".spec.a\\.b", "[1]"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct json *found = json_array();
        assert_int_equal(jsonpath_find(object, CASES[i].path, found), 0);
        assert_json(found, CASES[i].found);
        json_free(found);
    }
    struct json *found = json_array();
    assert_int_equal(jsonpath_find(object, ".spec[", found), E_INVALID);
    json_free(found);
    json_free(object);
}

static void yaml_scalars_have_the_types_of_kubernetes(void **state)
{
    (void)state;
    static const char TEXT[] = "a: 1\nb: '1'\nc: true\nd: null\ne: [x, 2.5]\nf: {g: off}\nh: 1Gi\n";
    struct err err;
    struct json *value = json_parse_yaml(TEXT, strlen(TEXT), &err);
    assert_json(value, "{'a':1,'b':'1','c':true,'d':null,'e':['x',2.5],'f':{'g':false},'h':'1Gi'}");
    json_free(value);
    assert_null(json_parse_yaml("a: [", 4, &err));
    assert_null(json_parse_yaml("", 0, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(label_selectors_match),
        cmocka_unit_test(broken_selectors_are_refused),
        cmocka_unit_test(field_selectors_follow_paths),
        cmocka_unit_test(a_service_without_selector_matches_nothing),
        cmocka_unit_test(json_paths_find_what_columns_need),
        cmocka_unit_test(yaml_scalars_have_the_types_of_kubernetes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
