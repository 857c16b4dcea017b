/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing and refusing: every wrong field is named with what to do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "controller/model/rfc3339.h"
#include "controller/model/spec.h"

/* Parses {"metadata":{"name":name},"spec":{"tls":{"mode":"Disabled"},fields}}. */
static int parse(const char *name, const char *fields, struct json **out_object,
                 struct cluster_spec *out)
{
    char *text =
        str_printf("{\"metadata\":{\"name\":\"%s\",\"namespace\":\"ns\",\"uid\":\"u\"},\"spec\":{"
                   "\"tls\":{\"mode\":\"Disabled\"}%s%s}}",
                   name, fields[0] == '\0' ? "" : ",", fields);
    *out_object = json_parse(text, strlen(text), NULL);
    assert_non_null(*out_object);
    mem_free(text);
    return spec_parse(*out_object, out);
}

static void a_short_spec_gets_the_defaults(void **state)
{
    (void)state;
    struct json *object = NULL;
    struct cluster_spec want;

    assert_int_equal(parse("demo", "", &object, &want), 0);

    assert_int_equal(want.replicas, 3);
    assert_string_equal(want.image.reference, "quorate:dev");
    assert_int_equal(want.storage.size_bytes, INT64_C(8) << 30);
    assert_int_equal(want.options.quota_backend_bytes, (INT64_C(8) << 30) / 100 * 70);
    assert_int_equal(want.repair.not_ready_grace_ms, 300000);
    assert_null(want.storage.storage_class);
    spec_free(&want);
    json_free(object);
}

static void a_digest_wins_over_a_tag(void **state)
{
    (void)state;
    struct json *object = NULL;
    struct cluster_spec want;

    assert_int_equal(
        parse("demo", "\"image\":{\"repository\":\"r/q\",\"tag\":\"1\",\"digest\":\"sha256:ab\"}",
              &object, &want),
        0);

    assert_string_equal(want.image.reference, "r/q@sha256:ab");
    spec_free(&want);
    json_free(object);
}

static void every_wrong_field_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *fields;
        const char *field;
        enum condition_reason why;
    } CASES[] = {
        {"demo", "\"replicas\":0", "spec.replicas", REASON_InvalidSpec},
        {"demo", "\"replicas\":10", "spec.replicas", REASON_InvalidSpec},
        {"demo", "\"replicas\":\"3\"", "spec.replicas", REASON_InvalidSpec},
        {"demo", "\"engine\":\"Etcd\"", "spec.engine", REASON_EngineNotSupported},
        {"demo", "\"engine\":\"MySQL\"", "spec.engine", REASON_InvalidSpec},
        {"demo", "\"tls\":{\"mode\":\"Secrets\",\"secrets\":{\"server\":\"s\",\"operator\":\"o\"}}",
         "spec.tls.secrets.peer", REASON_InvalidSpec},
        {"demo", "\"tls\":{\"secrets\":{\"peer\":\"x\"}}", "spec.tls.secrets.peer",
         REASON_InvalidSpec},
        {"demo", "\"tls\":{\"leafLifetime\":\"1s\"}", "spec.tls.leafLifetime", REASON_InvalidSpec},
        {"demo", "\"tls\":{\"caLifetime\":\"3000h\"}", "spec.tls.caLifetime", REASON_InvalidSpec},
        {"demo", "\"tls\":{\"settleTime\":\"8760h\",\"caLifetime\":\"80000h\"}",
         "spec.tls.caLifetime", REASON_InvalidSpec},
        {"demo", "\"tls\":{\"caGeneration\":0}", "spec.tls.caGeneration", REASON_InvalidSpec},
        {"demo", "\"tls\":{\"serverNames\":[\"a,DNS:b\"]}", "spec.tls.serverNames",
         REASON_InvalidSpec},
        {"demo", "\"version\":\"3.4\"", "spec.version", REASON_InvalidSpec},
        {"demo", "\"paused\":\"yes\"", "spec.paused", REASON_InvalidSpec},
        {"demo", "\"storage\":{\"size\":\"big\"}", "spec.storage.size", REASON_InvalidSpec},
        {"demo", "\"storage\":{\"size\":\"1Mi\"}", "spec.storage.size", REASON_InvalidSpec},
        {"demo", "\"storage\":{\"reclaimPolicy\":\"Recycle\"}", "spec.storage.reclaimPolicy",
         REASON_InvalidSpec},
        {"demo", "\"options\":{\"quotaBackend\":\"9Gi\"}", "spec.options.quotaBackend",
         REASON_InvalidSpec},
        {"demo", "\"options\":{\"autoCompaction\":{\"mode\":\"Revision\"}}",
         "spec.options.autoCompaction.retention", REASON_InvalidSpec},
        {"demo", "\"options\":{\"autoCompaction\":{\"retention\":\"100\"}}",
         "spec.options.autoCompaction.retention", REASON_InvalidSpec},
        {"demo", "\"options\":{\"maxTxnOps\":0}", "spec.options.maxTxnOps", REASON_InvalidSpec},
        {"demo", "\"repair\":{\"notReadyGracePeriod\":\"5\"}", "spec.repair.notReadyGracePeriod",
         REASON_InvalidSpec},
        {"demo", "\"repair\":{\"maxReplacementsPerHour\":9}", "spec.repair.maxReplacementsPerHour",
         REASON_InvalidSpec},
        {"demo", "\"pod\":{\"labels\":{\"quorate.dev/cluster\":\"x\"}}", "spec.pod.labels",
         REASON_InvalidSpec},
        {"demo", "\"pod\":{\"tolerations\":{}}", "spec.pod.tolerations", REASON_InvalidSpec},
        {"demo", "\"services\":{\"client\":{\"type\":\"External\"}}", "spec.services.client.type",
         REASON_InvalidSpec},
        {"1demo", "", "metadata.name", REASON_InvalidSpec},
        {"de.mo", "", "metadata.name", REASON_InvalidSpec},
    };
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct json *object = NULL;
        struct cluster_spec want;

        assert_int_equal(parse(CASES[i].name, CASES[i].fields, &object, &want), E_INVALID);

        assert_int_equal(want.problem_count, 1);
        assert_string_equal(want.problems[0].field, CASES[i].field);
        assert_int_equal(want.problems[0].why, CASES[i].why);
        spec_free(&want);
        json_free(object);
    }
}

static void a_running_cluster_keeps_its_tls_mode(void **state)
{
    (void)state;
    static const char TEXT[] =
        "{\"metadata\":{\"name\":\"demo\"},\"spec\":{\"tls\":{\"mode\":\"Disabled\"}},"
        "\"status\":{\"clusterID\":\"abc\",\"tls\":{\"mode\":\"Auto\"}}}";
    struct json *object = json_parse(TEXT, sizeof(TEXT) - 1, NULL);
    struct cluster_spec want;

    assert_int_equal(spec_parse(object, &want), E_INVALID);

    assert_int_equal(want.problems[0].why, REASON_TLSModeChanged);
    assert_non_null(strstr(want.problems[0].message, "back to Auto"));
    assert_int_equal(want.tls_mode, SPEC_TLS_AUTO);
    spec_free(&want);
    json_free(object);
}

static void quantities_read_as_kubernetes_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } CASES[] = {{"0", 0},
                 {"1024", 1024},
                 {"1Ki", 1024},
                 {"1k", 1000},
                 {"1.5Gi", INT64_C(1610612736)},
                 {"8Gi", INT64_C(8589934592)},
                 {"500M", 500000000},
                 {"2Ti", INT64_C(2199023255552)}};
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        int64_t bytes = -1;
        assert_int_equal(spec_quantity_bytes(CASES[i].text, &bytes), 0);
        assert_int_equal(bytes, CASES[i].bytes);
    }
    static const char *const WRONG[] = {"", "x", "1Q", "-1", "1 Gi", "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_COUNT(WRONG); i++) {
        int64_t bytes = -1;
        assert_int_equal(spec_quantity_bytes(WRONG[i], &bytes), E_INVALID);
        assert_int_equal(bytes, -1);
    }
}

static void times_survive_the_way_to_text_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } CASES[] = {{"1970-01-01T00:00:01Z", 1000},
                 {"2000-02-29T12:00:00Z", INT64_C(951825600000)},
                 {"2026-11-21T10:10:11Z", INT64_C(1795255811000)}};
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        assert_int_equal(rfc3339_parse(CASES[i].text), CASES[i].ms);
        assert_string_equal(rfc3339_format(CASES[i].ms).text, CASES[i].text);
    }
    assert_int_equal(rfc3339_parse("1970-01-01T01:00:01.250+01:00"), 1250);
    assert_int_equal(rfc3339_parse("yesterday"), 0);
    assert_int_equal(rfc3339_parse(NULL), 0);
    for (int64_t day = 1; day < 40000; day += 13) {
        assert_int_equal(rfc3339_parse(rfc3339_format(day * 86400000).text), day * 86400000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_spec_gets_the_defaults),
        cmocka_unit_test(a_digest_wins_over_a_tag),
        cmocka_unit_test(every_wrong_field_is_named),
        cmocka_unit_test(a_running_cluster_keeps_its_tls_mode),
        cmocka_unit_test(quantities_read_as_kubernetes_reads_them),
        cmocka_unit_test(times_survive_the_way_to_text_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
