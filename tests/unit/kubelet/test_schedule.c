/* SPDX-License-Identifier: Apache-2.0 */
/* Which node a Pod gets. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "deploy/playground/kubelet/schedule.h"

#define NODES 3

struct world {
    struct json *nodes[NODES];
    struct json *pods[8];
    size_t pod_count;
    const char *volume_node;
    struct err err;
};

static struct json *parse(const char *text)
{
    struct json *value = json_parse(text, strlen(text), NULL);
    assert_non_null(value);
    return value;
}

static int set_up(void **state)
{
    struct world *world = mem_zalloc(sizeof(*world));
    for (int i = 0; i < NODES; i++) {
        char text[400];
        snprintf(text, sizeof(text),
                 "{\"metadata\":{\"name\":\"n%d\",\"labels\":{\"kubernetes.io/hostname\":\"n%d\","
                 "\"zone\":\"z%d\"}},\"spec\":{},\"status\":{\"conditions\":[{\"type\":\"Ready\","
                 "\"status\":\"True\"}]}}",
                 i, i, i % 2);
        world->nodes[i] = parse(text);
    }
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < NODES; i++) {
        json_free(world->nodes[i]);
    }
    for (size_t i = 0; i < world->pod_count; i++) {
        json_free(world->pods[i]);
    }
    mem_free(world);
    return 0;
}

static void add_pod(struct world *world, const char *node)
{
    struct json *pod = parse("{\"metadata\":{\"namespace\":\"a\",\"labels\":{\"app\":\"x\"}},"
                             "\"spec\":{},\"status\":{\"phase\":\"Running\"}}");
    json_set_str(json_get(pod, "spec"), "nodeName", node);
    world->pods[world->pod_count++] = pod;
}

/* The node for a Pod with this spec, or "" with world->err set. */
static const char *place(struct world *world, const char *spec)
{
    struct json *pod = parse("{\"metadata\":{\"namespace\":\"a\",\"labels\":{\"app\":\"x\"}}}");
    json_set(pod, "spec", parse(spec));
    struct schedule_input input = {.pod = pod,
                                   .nodes = (const struct json *const *)world->nodes,
                                   .node_count = NODES,
                                   .pods = (const struct json *const *)world->pods,
                                   .pod_count = world->pod_count,
                                   .volume_node = world->volume_node};
    const char *node = "";
    int rc = schedule_pick(&input, &node, &world->err);
    assert_true(rc == 0 || rc == E_REFUSED);
    json_free(pod);
    return node;
}

#define SELECTOR "\"labelSelector\":{\"matchLabels\":{\"app\":\"x\"}}"
#define TERM     SELECTOR ",\"topologyKey\":\"kubernetes.io/hostname\""

static void the_node_with_the_fewest_pods_is_taken(void **state)
{
    struct world *world = *state;
    add_pod(world, "n0");
    add_pod(world, "n2");

    assert_string_equal(place(world, "{}"), "n1");
}

static void a_node_that_is_not_ready_cordoned_or_tainted_is_left_out(void **state)
{
    struct world *world = *state;
    json_set_str(json_path(world->nodes[0], "status.conditions.0"), "status", "Unknown");
    json_set_bool(json_get(world->nodes[1], "spec"), "unschedulable", true);
    json_set(json_get(world->nodes[2], "spec"), "taints",
             parse("[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]"));

    assert_string_equal(place(world, "{}"), "");
    assert_string_equal(world->err.text, "0/3 nodes are available: 2 node(s) were not ready or "
                                         "cordoned, 1 node(s) had untolerated taint.");
    assert_string_equal(place(world, "{\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}]}"),
                        "n2");
    assert_string_equal(place(world, "{\"tolerations\":[{\"key\":\"k\",\"value\":\"w\"}]}"), "");
}

static void node_selector_and_affinity_must_fit(void **state)
{
    struct world *world = *state;

    assert_string_equal(place(world, "{\"nodeSelector\":{\"zone\":\"z1\"}}"), "n1");
    assert_string_equal(place(world, "{\"nodeSelector\":{\"zone\":\"z9\"}}"), "");
    assert_string_equal(
        place(world,
              "{\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
              "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"zone\",\"operator\":"
              "\"NotIn\",\"values\":[\"z0\"]}]}]}}}}"),
        "n1");
}

static void a_volume_holds_its_pod_on_its_node(void **state)
{
    struct world *world = *state;
    add_pod(world, "n2");
    world->volume_node = "n2";

    assert_string_equal(place(world, "{}"), "n2");
    json_set_str(json_path(world->nodes[2], "status.conditions.0"), "status", "Unknown");
    assert_string_equal(place(world, "{}"), "");
}

static void required_anti_affinity_allows_one_per_node(void **state)
{
    static const char SPEC[] =
        "{\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":"
        "[{" TERM "}]}}}";
    struct world *world = *state;
    add_pod(world, "n0");
    add_pod(world, "n1");

    assert_string_equal(place(world, SPEC), "n2");
    add_pod(world, "n2");
    assert_string_equal(place(world, SPEC), "");
    json_set_str(json_get(world->pods[1], "status"), "phase", "Failed");
    assert_string_equal(place(world, SPEC), "n1");
}

static void preferred_anti_affinity_spreads_and_never_refuses(void **state)
{
    static const char SPEC[] =
        "{\"affinity\":{\"podAntiAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":"
        "[{\"weight\":100,\"podAffinityTerm\":{" TERM "}}]}}}";
    struct world *world = *state;
    add_pod(world, "n0");
    add_pod(world, "n1");

    assert_string_equal(place(world, SPEC), "n2");
    add_pod(world, "n2");
    add_pod(world, "n0");
    assert_string_equal(place(world, SPEC), "n1");
}

static void hard_spread_keeps_the_skew(void **state)
{
    static const char SPEC[] =
        "{\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"zone\","
        "\"whenUnsatisfiable\":\"DoNotSchedule\"," SELECTOR "}]}";
    struct world *world = *state;
    add_pod(world, "n0");

    assert_string_equal(place(world, SPEC), "n1");
    json_set_bool(json_get(world->nodes[1], "spec"), "unschedulable", true);
    assert_string_equal(place(world, SPEC), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_node_with_the_fewest_pods_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_that_is_not_ready_cordoned_or_tainted_is_left_out,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(node_selector_and_affinity_must_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_volume_holds_its_pod_on_its_node, set_up, tear_down),
        cmocka_unit_test_setup_teardown(required_anti_affinity_allows_one_per_node, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(preferred_anti_affinity_spreads_and_never_refuses, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(hard_spread_keeps_the_skew, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
