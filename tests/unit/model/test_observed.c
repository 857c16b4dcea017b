/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes objects as an API server gives them, read into the observation. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "controller/model/observed.h"

static struct json *read_json(const char *text)
{
    struct json *value = json_parse(text, strlen(text), NULL);
    assert_non_null(value);
    return value;
}

static void a_crashing_pod_is_read_whole(void **state)
{
    (void)state;
    struct json *object = read_json(
        "{\"metadata\":{\"name\":\"demo-2\",\"uid\":\"u\",\"resourceVersion\":\"7\",\"labels\":{"
        "\"quorate.dev/cluster\":\"demo\",\"quorate.dev/role\":\"voter\"},\"annotations\":{"
        "\"quorate.dev/template-hash\":\"h\"},\"creationTimestamp\":\"1970-01-01T00:00:10Z\"},"
        "\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"args\":[\"--initial-cluster-state=new\"]}"
        "]},"
        "\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":"
        "\"False\","
        "\"lastTransitionTime\":\"1970-01-01T00:00:20Z\"}],\"containerStatuses\":[{"
        "\"restartCount\":4,"
        "\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}},\"lastState\":{\"terminated\":{"
        "\"exitCode\":65,\"reason\":\"Error\",\"finishedAt\":\"1970-01-01T00:00:30Z\"}}}]}}");
    struct observed seen;
    observed_init(&seen);

    observed_add_pod(&seen, object);

    const struct observed_pod *pod = observed_pod(&seen, "demo-2");
    assert_non_null(pod);
    assert_int_equal(pod->ordinal, 2);
    assert_int_equal(pod->phase, POD_RUNNING);
    assert_false(pod->ready);
    assert_int_equal(pod->ready_changed_ms, 20000);
    assert_int_equal(pod->restart_count, 4);
    assert_int_equal(pod->last_exit_code, 65);
    assert_int_equal(pod->last_exit_ms, 30000);
    assert_string_equal(pod->waiting_reason, "CrashLoopBackOff");
    assert_string_equal(pod->node, "n1");
    assert_string_equal(pod->role, "voter");
    assert_true(pod->state_new);
    observed_free(&seen);
    json_free(object);
}

static void a_volume_carries_its_latch(void **state)
{
    (void)state;
    struct json *object = read_json(
        "{\"metadata\":{\"name\":\"data-demo-11\",\"labels\":{\"quorate.dev/cluster\":\"demo\"},"
        "\"annotations\":{\"quorate.dev/cluster-id\":\"abc\",\"quorate.dev/next-ordinal\":\"12\","
        "\"quorate.dev/"
        "retired\":\"true\"},\"ownerReferences\":[{\"kind\":\"EtcdCluster\",\"uid\":\"u\"}],"
        "\"deletionTimestamp\":\"1970-01-01T00:00:10Z\"},\"spec\":{\"resources\":{\"requests\":{"
        "\"storage\":\"1Gi\"}}},\"status\":{\"phase\":\"Lost\"}}");
    struct observed seen;
    observed_init(&seen);

    observed_add_pvc(&seen, object);

    const struct observed_pvc *pvc = observed_pvc(&seen, "data-demo-11");
    assert_int_equal(pvc->ordinal, 11);
    assert_string_equal(pvc->cluster_id, "abc");
    assert_int_equal(pvc->next_ordinal, 12);
    assert_true(pvc->retired);
    assert_true(pvc->deleting);
    assert_int_equal(pvc->phase, PVC_LOST);
    assert_string_equal(pvc->owner_uid, "u");
    assert_int_equal(pvc->request_bytes, 1 << 30);
    observed_free(&seen);
    json_free(object);
}

static void a_node_is_ready_gone_or_unknown(void **state)
{
    (void)state;
    struct json *object = read_json(
        "{\"metadata\":{\"name\":\"n1\",\"labels\":{\"topology.kubernetes.io/"
        "zone\":\"z\"}},\"status\":{"
        "\"conditions\":[{\"type\":\"Ready\",\"status\":\"Unknown\",\"lastTransitionTime\":"
        "\"1970-01-01T00:00:10Z\"}]}}");
    struct observed seen;
    observed_init(&seen);
    int64_t since_ms = 0;
    assert_int_equal(observed_node_state(&seen, "n1", &since_ms), NODE_UNKNOWN);

    seen.nodes_readable = true;
    observed_add_node(&seen, object);

    assert_int_equal(observed_node_state(&seen, "n1", &since_ms), NODE_NOT_READY);
    assert_int_equal(since_ms, 10000);
    assert_int_equal(observed_node_state(&seen, "n2", &since_ms), NODE_GONE);
    assert_int_equal(observed_node_state(&seen, NULL, &since_ms), NODE_UNKNOWN);
    observed_free(&seen);
    json_free(object);
}

static void only_names_of_the_cluster_have_ordinals(void **state)
{
    (void)state;
    assert_int_equal(observed_ordinal("demo-7", "", "demo"), 7);
    assert_int_equal(observed_ordinal("data-demo-10", "data-", "demo"), 10);
    static const char *const WRONG[] = {"demo",    "demo-",   "demo-x",  "demo-1-2",
                                        "other-1", "demo-01", "demo--1", "demo2-1"};
    for (size_t i = 0; i < ARRAY_COUNT(WRONG); i++) {
        assert_int_equal(observed_ordinal(WRONG[i], "", "demo"), OBSERVED_NO_ORDINAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crashing_pod_is_read_whole),
        cmocka_unit_test(a_volume_carries_its_latch),
        cmocka_unit_test(a_node_is_ready_gone_or_unknown),
        cmocka_unit_test(only_names_of_the_cluster_have_ordinals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
