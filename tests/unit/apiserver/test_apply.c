/* SPDX-License-Identifier: Apache-2.0 */
/* Field sets, server-side apply and the record of updates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "deploy/playground/apiserver/fields.h"
#include "deploy/playground/apiserver/kinds.h"
#include "deploy/playground/apiserver/managed.h"
#include "deploy/playground/apiserver/types.h"
#include "lib_json.h"

struct world {
    struct kinds kinds;
    struct json *live;
    struct reply reply;
};

static void world_open(struct world *world)
{
    kinds_init(&world->kinds);
    world->live = NULL;
    reply_init(&world->reply);
}

static void world_close(struct world *world)
{
    json_free(world->live);
    reply_free(&world->reply);
    kinds_free(&world->kinds);
}

static void request_as(struct world *world, const char *resource, const char *manager,
                       struct request *request)
{
    request_init(request);
    request->version = kinds_find_resource(&world->kinds, resource);
    request->manager = manager;
    request->patch = PATCH_APPLY;
}

/* Applies; true when it was taken. */
static bool apply_as(struct world *world, const char *resource, const char *manager, bool is_forced,
                     const char *body_text)
{
    struct request request;
    request_as(world, resource, manager, &request);
    struct json *body = js(body_text);
    request.body = body;
    request.is_forced = is_forced;
    reply_free(&world->reply);
    struct json *merged = managed_apply(world->live, &request, &world->reply);
    json_free(body);
    if (merged == NULL) {
        return false;
    }
    json_free(world->live);
    world->live = merged;
    return true;
}

static void update_as(struct world *world, const char *resource, const char *manager,
                      const char *merge_text)
{
    struct request request;
    request_as(world, resource, manager, &request);
    request.patch = PATCH_MERGE;
    struct json *patch = js(merge_text);
    struct json *next = json_copy(world->live);
    json_set(next, json_key_at(patch, 0), json_copy(json_at(patch, 0)));
    managed_update(world->live, next, &request);
    json_free(world->live);
    world->live = next;
    json_free(patch);
}

static void a_field_that_two_managers_want_different_is_a_conflict(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_true(apply_as(&world, "configmaps", "one", false, "{'data':{'a':'1','b':'2'}}"));

    assert_false(apply_as(&world, "configmaps", "two", false, "{'data':{'a':'9'}}"));

    assert_int_equal(world.reply.code, 409);
    assert_string_equal(json_path_str(world.reply.value, "message", ""),
                        "Apply failed with 1 conflict: conflict with \"one\" using v1: .data.a");
    assert_string_equal(json_path_str(world.reply.value, "details.causes.0.field", ""), ".data.a");
    assert_json(json_get(world.live, "data"), "{'a':'1','b':'2'}");
    world_close(&world);
}

static void equal_values_are_shared_and_survive_until_the_last_owner_leaves(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_true(apply_as(&world, "configmaps", "one", false, "{'data':{'a':'1','b':'2'}}"));
    assert_true(apply_as(&world, "configmaps", "two", false, "{'data':{'a':'1'}}"));

    assert_true(apply_as(&world, "configmaps", "one", false, "{'data':{'b':'2'}}"));
    assert_json(json_get(world.live, "data"), "{'a':'1','b':'2'}");

    assert_true(apply_as(&world, "configmaps", "two", false, "{'data':{}}"));
    assert_json(json_get(world.live, "data"), "{'b':'2'}");
    world_close(&world);
}

static void force_moves_the_ownership(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_true(apply_as(&world, "configmaps", "one", false, "{'data':{'a':'1','b':'2'}}"));

    assert_true(apply_as(&world, "configmaps", "two", true, "{'data':{'a':'9'}}"));

    assert_json(json_get(world.live, "data"), "{'a':'9','b':'2'}");
    assert_true(apply_as(&world, "configmaps", "one", false, "{'data':{'b':'2'}}"));
    assert_json(json_get(world.live, "data"), "{'a':'9','b':'2'}");
    world_close(&world);
}

static void an_update_takes_what_it_changes(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_true(apply_as(&world, "configmaps", "one", false, "{'data':{'a':'1','b':'2'}}"));

    update_as(&world, "configmaps", "editor", "{'data':{'a':'5','b':'2'}}");

    assert_json(json_path(world.live, "metadata.managedFields.0.fieldsV1"),
                "{'f:data':{'f:b':{}}}");
    assert_json(json_path(world.live, "metadata.managedFields.1.fieldsV1"),
                "{'f:data':{'f:a':{}}}");
    assert_false(apply_as(&world, "configmaps", "one", false, "{'data':{'a':'1','b':'2'}}"));
    world_close(&world);
}

static void lists_with_keys_merge_by_element(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    assert_true(apply_as(&world, "pods", "one", false,
                         "{'spec':{'containers':[{'name':'a','image':'x',"
                         "'ports':[{'containerPort':80,'protocol':'TCP'}]}]}}"));

    assert_true(apply_as(&world, "pods", "two", false,
                         "{'spec':{'containers':[{'name':'b','image':'y'},"
                         "{'name':'a','ports':[{'containerPort':80,'name':'web'}]}]}}"));

    assert_json(
        json_path(world.live, "spec.containers"),
        "[{'name':'a','image':'x','ports':[{'containerPort':80,'protocol':'TCP','name':'web'}]},"
        "{'name':'b','image':'y'}]");
    assert_true(apply_as(&world, "pods", "two", false,
                         "{'spec':{'containers':[{'name':'a','ports':[{'containerPort':80}]}]}}"));
    assert_json(json_path(world.live, "spec.containers"),
                "[{'name':'a','image':'x','ports':[{'containerPort':80,'protocol':'TCP'}]}]");
    world_close(&world);
}

static void apply_to_the_object_leaves_its_status_alone(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);

    assert_true(apply_as(&world, "pods", "one", false,
                         "{'metadata':{'labels':{'a':'b'}},'status':{'phase':'Running'}}"));

    assert_null(json_get(world.live, "status"));
    assert_json(json_path(world.live, "metadata.managedFields.0.fieldsV1"),
                "{'f:metadata':{'f:labels':{'f:a':{}}}}");
    world_close(&world);
}

static void sets_obey_the_algebra(void **state)
{
    (void)state;
    struct json *a = js("{'f:x':{'f:y':{},'f:z':{}},'f:w':{}}");
    struct json *b = js("{'f:x':{'f:z':{},'f:q':{}}}");

    struct json *both = fields_combine(a, b, FIELDS_INTERSECT);
    struct json *all = fields_combine(a, b, FIELDS_UNION);
    struct json *rest = fields_combine(a, b, FIELDS_SUBTRACT);
    struct json *nothing = fields_combine(a, a, FIELDS_SUBTRACT);

    assert_json(both, "{'f:x':{'f:z':{}}}");
    assert_json(all, "{'f:x':{'f:y':{},'f:z':{},'f:q':{}},'f:w':{}}");
    assert_json(rest, "{'f:x':{'f:y':{}},'f:w':{}}");
    assert_null(nothing);
    json_free(both);
    json_free(all);
    json_free(rest);
    json_free(a);
    json_free(b);
}

static void paths_of_elements_name_their_keys(void **state)
{
    (void)state;
    struct json *schema = types_expand("Pod");
    struct json *value = js("{'spec':{'containers':[{'name':'a','image':'x'}]}}");
    struct json *set = fields_of(value, schema);
    struct json *paths = json_array();

    fields_paths(set, paths);

    static const char *const WANTED[] = {".spec.containers[name=\"a\"]",
                                         ".spec.containers[name=\"a\"].name",
                                         ".spec.containers[name=\"a\"].image"};
    assert_int_equal(json_count(paths), ARRAY_COUNT(WANTED));
    for (size_t i = 0; i < ARRAY_COUNT(WANTED); i++) {
        assert_string_equal(json_str(json_at(paths, i), ""), WANTED[i]);
    }
    json_free(paths);
    json_free(set);
    json_free(value);
    json_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_that_two_managers_want_different_is_a_conflict),
        cmocka_unit_test(equal_values_are_shared_and_survive_until_the_last_owner_leaves),
        cmocka_unit_test(force_moves_the_ownership),
        cmocka_unit_test(an_update_takes_what_it_changes),
        cmocka_unit_test(lists_with_keys_merge_by_element),
        cmocka_unit_test(apply_to_the_object_leaves_its_status_alone),
        cmocka_unit_test(sets_obey_the_algebra),
        cmocka_unit_test(paths_of_elements_name_their_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
