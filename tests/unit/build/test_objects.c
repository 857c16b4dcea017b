/* SPDX-License-Identifier: Apache-2.0 */
/* What the operator applies: names, flags, selectors, security, owners. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "controller/build/build.h"
#include "controller/model/names.h"

static const char OBJECT[] = "{\"metadata\":{\"name\":\"demo\",\"namespace\":\"ns\",\"uid\":\"u\"},"
                             "\"spec\":{\"tls\":{\"mode\":"
                             "\"Disabled\"},\"storage\":{\"size\":\"1Gi\",\"storageClassName\":"
                             "\"fast\"},\"availability\":{\"spread\":{"
                             "\"host\":\"Required\"}},\"pod\":{\"labels\":{\"team\":\"a\"},"
                             "\"resources\":{\"limits\":{\"memory\":"
                             "\"1Gi\"}},\"nodeSelector\":{\"disk\":\"ssd\"}}}}";

static struct json *make_want(struct cluster_spec *out)
{
    struct json *object = json_parse(OBJECT, sizeof(OBJECT) - 1, NULL);
    assert_non_null(object);
    int rc = spec_parse(object, out);
    assert_int_equal(rc, 0);
    return object;
}

static bool has_arg(const struct json *pod, const char *wanted)
{
    const struct json *args = json_path(pod, "spec.containers.0.args");
    for (size_t i = 0; i < json_count(args); i++) {
        if (strcmp(json_str(json_at(args, i), ""), wanted) == 0) {
            return true;
        }
    }
    return false;
}

static const struct build_pod POD = {"demo-2", false, "existing",
                                     "demo-0=http://demo-0.demo-peers.ns.svc:2380,"
                                     "demo-2=http://demo-2.demo-peers.ns.svc:2380",
                                     "demo-u"};

static void a_pod_runs_the_engine_with_the_flags_of_its_member(void **state)
{
    (void)state;
    struct cluster_spec want;
    struct json *object = make_want(&want);

    struct json *pod = build_pod(&want, &POD);

    assert_string_equal(json_path_str(pod, "spec.containers.0.command.0", ""), "quorate");
    static const char *const ARGS[] = {
        "--name=demo-2",
        "--data-dir=/data/etcd",
        "--listen-peer-urls=http://0.0.0.0:2380",
        "--listen-client-urls=http://0.0.0.0:2379",
        "--listen-metrics-urls=http://0.0.0.0:2381",
        "--initial-advertise-peer-urls=http://demo-2.demo-peers.ns.svc:2380",
        "--advertise-client-urls=http://demo-2.demo-peers.ns.svc:2379",
        ("--initial-cluster=demo-0=http://demo-0.demo-peers.ns.svc:2380,"
         "demo-2=http://demo-2.demo-peers.ns.svc:2380"),
        "--initial-cluster-state=existing",
        "--initial-cluster-token=demo-u",
        "--quota-backend-bytes=751619260",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=5m",
        "--snapshot-count=10000",
        "--max-request-bytes=1572864",
        "--max-txn-ops=128",
    };
    for (size_t i = 0; i < ARRAY_COUNT(ARGS); i++) {
        if (!has_arg(pod, ARGS[i])) {
            fail_msg("missing %s", ARGS[i]);
        }
    }
    assert_string_equal(json_path_str(pod, "spec.hostname", ""), "demo-2");
    assert_string_equal(json_path_str(pod, "spec.subdomain", ""), "demo-peers");
    assert_string_equal(json_path_str(pod, "spec.volumes.0.persistentVolumeClaim.claimName", ""),
                        "data-demo-2");
    json_free(pod);
    spec_free(&want);
    json_free(object);
}

static void a_pod_meets_the_restricted_standard_and_holds_no_token(void **state)
{
    (void)state;
    struct cluster_spec want;
    struct json *object = make_want(&want);

    struct json *pod = build_pod(&want, &POD);

    assert_true(json_path_truth(pod, "spec.securityContext.runAsNonRoot", false));
    assert_string_equal(json_path_str(pod, "spec.securityContext.seccompProfile.type", ""),
                        "RuntimeDefault");
    const struct json *inner = json_path(pod, "spec.containers.0.securityContext");
    assert_false(json_truth(json_get(inner, "allowPrivilegeEscalation"), true));
    assert_true(json_truth(json_get(inner, "readOnlyRootFilesystem"), false));
    assert_string_equal(json_path_str(inner, "capabilities.drop.0", ""), "ALL");
    assert_false(json_path_truth(pod, "spec.automountServiceAccountToken", true));
    assert_string_equal(json_path_str(pod, "spec.restartPolicy", ""), "Always");
    json_free(pod);
    spec_free(&want);
    json_free(object);
}

static void what_the_user_adds_is_kept_and_what_selects_is_ours(void **state)
{
    (void)state;
    struct cluster_spec want;
    struct json *object = make_want(&want);

    struct json *pod = build_pod(&want, &POD);

    const struct json *labels = json_path(pod, "metadata.labels");
    assert_string_equal(json_str(json_get(labels, "team"), ""), "a");
    assert_string_equal(json_str(json_get(labels, LABEL_CLUSTER), ""), "demo");
    assert_string_equal(json_str(json_get(labels, LABEL_ROLE), ""), "learner");
    assert_string_equal(json_path_str(pod, "spec.nodeSelector.disk", ""), "ssd");
    assert_string_equal(json_path_str(pod, "spec.containers.0.resources.limits.memory", ""), "1Gi");
    assert_string_equal(
        json_path_str(pod,
                      "spec.affinity.podAntiAffinity."
                      "requiredDuringSchedulingIgnoredDuringExecution.0.topologyKey",
                      ""),
        "kubernetes.io/hostname");
    assert_string_equal(json_path_str(pod, "metadata.ownerReferences.0.uid", ""), "u");
    json_free(pod);
    spec_free(&want);
    json_free(object);
}

static void the_hash_moves_with_the_template_only(void **state)
{
    (void)state;
    struct cluster_spec want;
    struct json *object = make_want(&want);
    char first[BUILD_HASH_MAX];
    char second[BUILD_HASH_MAX];
    build_template_hash(&want, first);

    want.replicas = 5;
    build_template_hash(&want, second);
    assert_string_equal(first, second);

    want.options.snapshot_count = 5;
    build_template_hash(&want, second);
    assert_string_not_equal(first, second);
    spec_free(&want);
    json_free(object);
}

static void a_volume_outlives_the_cluster_only_when_retained(void **state)
{
    (void)state;
    struct cluster_spec want;
    struct json *object = make_want(&want);

    struct json *owned = build_pvc(&want, "demo-1", "abc", 2);
    want.storage.reclaim = SPEC_RECLAIM_RETAIN;
    struct json *kept = build_pvc(&want, "demo-1", NULL, 2);

    assert_string_equal(json_path_str(owned, "metadata.ownerReferences.0.uid", ""), "u");
    assert_null(json_path(kept, "metadata.ownerReferences"));
    const struct json *annotations = json_path(owned, "metadata.annotations");
    assert_string_equal(json_str(json_get(annotations, ANNOTATION_CLUSTER_ID), ""), "abc");
    assert_string_equal(json_str(json_get(annotations, ANNOTATION_NEXT_ORDINAL), ""), "2");
    assert_null(json_get(json_path(kept, "metadata.annotations"), ANNOTATION_CLUSTER_ID));
    assert_string_equal(json_path_str(owned, "spec.storageClassName", ""), "fast");
    assert_string_equal(json_path_str(owned, "spec.resources.requests.storage", ""), "1Gi");
    json_free(owned);
    json_free(kept);
    spec_free(&want);
    json_free(object);
}

static void the_client_service_selects_nothing_before_the_latch(void **state)
{
    (void)state;
    struct cluster_spec want;
    struct json *object = make_want(&want);

    struct json *closed = build_client_service(&want, false);
    struct json *open = build_client_service(&want, true);
    struct json *peers = build_peer_service(&want);

    assert_non_null(json_get(json_path(closed, "spec.selector"), LABEL_NOT_YET));
    assert_null(json_get(json_path(open, "spec.selector"), LABEL_NOT_YET));
    assert_string_equal(json_path_str(peers, "spec.clusterIP", ""), "None");
    assert_true(json_path_truth(peers, "spec.publishNotReadyAddresses", false));
    assert_false(build_covers(open, closed));
    assert_true(build_covers(open, open));
    json_free(closed);
    json_free(open);
    json_free(peers);
    spec_free(&want);
    json_free(object);
}

static void the_budget_counts_voters(void **state)
{
    (void)state;
    struct cluster_spec want;
    struct json *object = make_want(&want);

    struct json *pdb = build_pdb(&want, 2);

    assert_int_equal(json_path_i64(pdb, "spec.minAvailable", 0), 2);
    const struct json *labels = json_path(pdb, "spec.selector.matchLabels");
    assert_string_equal(json_str(json_get(labels, LABEL_ROLE), ""), "voter");
    assert_string_equal(json_str(json_get(labels, LABEL_CLUSTER), ""), "demo");
    json_free(pdb);
    spec_free(&want);
    json_free(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_runs_the_engine_with_the_flags_of_its_member),
        cmocka_unit_test(a_pod_meets_the_restricted_standard_and_holds_no_token),
        cmocka_unit_test(what_the_user_adds_is_kept_and_what_selects_is_ours),
        cmocka_unit_test(the_hash_moves_with_the_template_only),
        cmocka_unit_test(a_volume_outlives_the_cluster_only_when_retained),
        cmocka_unit_test(the_client_service_selects_nothing_before_the_latch),
        cmocka_unit_test(the_budget_counts_voters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
