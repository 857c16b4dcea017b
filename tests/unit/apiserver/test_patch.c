/* SPDX-License-Identifier: Apache-2.0 */
/* JSON patch, merge patch and strategic merge patch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "deploy/playground/apiserver/patch.h"
#include "deploy/playground/apiserver/types.h"
#include "lib_json.h"

static int apply_json_patch(const char *before, const char *patch, const char *after)
{
    struct json *target = js(before);
    struct json *operations = js(patch);
    struct err err;
    int rc = patch_json(&target, operations, &err);
    if (rc == 0) {
        assert_json(target, after);
    }
    json_free(target);
    json_free(operations);
    return rc;
}

static void each_json_patch_operation_does_what_rfc_6902_says(void **state)
{
    (void)state;
    static const struct {
        const char *before;
        const char *patch;
        const char *after;
    } CASES[] = {
        {"{'a':1}", "[{'op':'add','path':'/b','value':2}]", "{'a':1,'b':2}"},
        {"{'a':[1,3]}", "[{'op':'add','path':'/a/1','value':2}]", "{'a':[1,2,3]}"},
        {"{'a':[1]}", "[{'op':'add','path':'/a/-','value':2}]", "{'a':[1,2]}"},
        {"{'a':1,'b':2}", "[{'op':'remove','path':'/a'}]", "{'b':2}"},
        {"{'a':[1,2,3]}", "[{'op':'remove','path':'/a/1'}]", "{'a':[1,3]}"},
        {"{'a':[1,2]}", "[{'op':'replace','path':'/a/0','value':9}]", "{'a':[9,2]}"},
        {"{'a':1}", "[{'op':'replace','path':'','value':{'z':0}}]", "{'z':0}"},
        {"{'a':{'b':1}}", "[{'op':'move','from':'/a/b','path':'/c'}]", "{'a':{},'c':1}"},
        {"{'a':1}", "[{'op':'copy','from':'/a','path':'/b'}]", "{'a':1,'b':1}"},
        {"{'x/y':1,'m~n':2}", "[{'op':'remove','path':'/x~1y'},{'op':'remove','path':'/m~0n'}]",
         "{}"},
        {"{'a':1}", "[{'op':'test','path':'/a','value':1}]", "{'a':1}"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        assert_int_equal(apply_json_patch(CASES[i].before, CASES[i].patch, CASES[i].after), 0);
    }
}

static void a_json_patch_cannot_double_without_end(void **state)
{
    (void)state;
    struct json *target = js("{'a':{}}");
    struct json *patch = json_array();
    for (size_t i = 0; i < 40; i++) { /* a terabyte */
        struct json *copy = json_append(patch, json_object());
        json_set_str(copy, "op", "copy");
        json_set_str(copy, "from", "");
        json_set_str(copy, "path", i % 2 == 0 ? "/a/x" : "/a/y");
    }
    struct err err;
    assert_int_equal(patch_json(&target, patch, &err), E_INVALID);
    assert_non_null(strstr(err.text, "copies more than"));
    json_free(target);
    json_free(patch);
}

static void a_json_patch_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const char *const PATCHES[] = {
        "[{'op':'remove','path':'/z'}]",
        "[{'op':'replace','path':'/z','value':1}]",
        "[{'op':'test','path':'/a','value':2}]",
        "[{'op':'add','path':'/l/9','value':1}]",
        "[{'op':'add','path':'/a'}]",
        "[{'op':'add','path':'a','value':1}]",
        "[{'op':'jump','path':'/a'}]",
        "[{'op':'move','from':'/z','path':'/a'}]",
        "[{'op':'add','path':'/a/b/c','value':1}]",
        "{'op':'remove','path':'/a'}",
    };

    for (size_t i = 0; i < ARRAY_COUNT(PATCHES); i++) {
        assert_int_equal(apply_json_patch("{'a':1,'l':[1]}", PATCHES[i], "{}"), E_INVALID);
    }
}

static void a_merge_patch_removes_with_null_and_replaces_lists(void **state)
{
    (void)state;
    struct json *target = js("{'a':{'b':1,'c':2},'l':[1,2],'s':'x'}");
    struct json *patch = js("{'a':{'b':null,'d':{'e':null,'f':1}},'l':[3],'s':{'t':1}}");

    patch_merge(target, patch);

    assert_json(target, "{'a':{'c':2,'d':{'f':1}},'l':[3],'s':{'t':1}}");
    json_free(target);
    json_free(patch);
}

static void assert_strategic(const char *before, const char *patch_text, const char *after)
{
    struct json *schema = types_expand("Pod");
    struct json *target = js(before);
    struct json *patch = js(patch_text);
    struct err err = {""};
    assert_int_equal(patch_strategic(target, patch, schema, &err), 0);
    assert_json(target, after);
    json_free(schema);
    json_free(target);
    json_free(patch);
}

static void a_strategic_patch_merges_lists_by_their_key(void **state)
{
    (void)state;
    assert_strategic(
        "{'spec':{'containers':[{'name':'a','image':'1','env':[{'name':'X','value':'1'}]}]}}",
        "{'spec':{'containers':[{'name':'b','image':'2'},"
        "{'name':'a','env':[{'name':'Y','value':'2'}]}]}}",
        "{'spec':{'containers':[{'name':'a','image':'1','env':[{'name':'X','value':'1'},"
        "{'name':'Y','value':'2'}]},{'name':'b','image':'2'}]}}");
}

static void a_strategic_patch_obeys_its_directives(void **state)
{
    (void)state;
    assert_strategic("{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
                     "{'spec':{'containers':[{'name':'a','$patch':'delete'}]}}",
                     "{'spec':{'containers':[{'name':'b'}]}}");
    assert_strategic("{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
                     "{'spec':{'containers':[{'$patch':'replace'},{'name':'c'}]}}",
                     "{'spec':{'containers':[{'name':'c'}]}}");
    assert_strategic(
        "{'metadata':{'finalizers':['a','b','c']}}",
        "{'metadata':{'$deleteFromPrimitiveList/finalizers':['b'],'finalizers':['d']}}",
        "{'metadata':{'finalizers':['a','c','d']}}");
    assert_strategic("{'spec':{'containers':[{'name':'a'},{'name':'b'}]}}",
                     "{'spec':{'$setElementOrder/containers':[{'name':'b'},{'name':'a'}]}}",
                     "{'spec':{'containers':[{'name':'b'},{'name':'a'}]}}");
    assert_strategic("{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
                     "{'spec':{'volumes':[{'name':'v','$retainKeys':['name','hostPath'],"
                     "'hostPath':{'path':'/x'}}]}}",
                     "{'spec':{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}}");
    assert_strategic("{'spec':{'nodeSelector':{'a':'1'}}}",
                     "{'spec':{'nodeSelector':{'$patch':'replace','b':'2'}}}",
                     "{'spec':{'nodeSelector':{'b':'2'}}}");
}

static void a_strategic_patch_replaces_atomic_lists(void **state)
{
    (void)state;
    assert_strategic("{'spec':{'tolerations':[{'key':'a'}]}}",
                     "{'spec':{'tolerations':[{'key':'b'}]}}",
                     "{'spec':{'tolerations':[{'key':'b'}]}}");
}

static void a_strategic_patch_without_the_merge_key_is_refused(void **state)
{
    (void)state;
    struct json *schema = types_expand("Pod");
    struct json *target = js("{'spec':{'containers':[{'name':'a'}]}}");
    struct json *patch = js("{'spec':{'containers':[{'image':'x'}]}}");
    struct err err;

    assert_int_equal(patch_strategic(target, patch, schema, &err), E_INVALID);

    json_free(schema);
    json_free(target);
    json_free(patch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_json_patch_operation_does_what_rfc_6902_says),
        cmocka_unit_test(a_json_patch_cannot_double_without_end),
        cmocka_unit_test(a_json_patch_that_does_not_fit_is_refused),
        cmocka_unit_test(a_merge_patch_removes_with_null_and_replaces_lists),
        cmocka_unit_test(a_strategic_patch_merges_lists_by_their_key),
        cmocka_unit_test(a_strategic_patch_obeys_its_directives),
        cmocka_unit_test(a_strategic_patch_replaces_atomic_lists),
        cmocka_unit_test(a_strategic_patch_without_the_merge_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
