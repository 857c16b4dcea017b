/* SPDX-License-Identifier: Apache-2.0 */
/* The CRD, the samples and the reference page say the same as the code. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "controller/model/condition.h"
#include "controller/model/reason.h"
#include "controller/model/spec.h"
#include "lib_yaml.h"

static struct json *spec_schema(const struct json *crd)
{
    const struct json *version = json_at(json_path(crd, "spec.versions"), 0);
    return json_path(version, "schema.openAPIV3Schema.properties.spec");
}

/* What an API server makes of an empty object. */
static struct json *defaults_of(const struct json *schema)
{
    struct json *out = json_object();
    const struct json *properties = json_get(schema, "properties");
    for (size_t i = 0; i < json_count(properties); i++) {
        const struct json *property = json_at(properties, i);
        const struct json *value = json_get(property, "default");
        if (value == NULL) {
            continue;
        }
        json_set(out, json_key_at(properties, i),
                 json_is(value, JSON_OBJECT) ? defaults_of(property) : json_copy(value));
    }
    return out;
}

static void the_defaults_of_the_schema_are_those_of_the_parser(void **state)
{
    (void)state;
    struct json *crd = yaml_read("crd/etcdclusters.yaml");
    struct json *from_schema = defaults_of(spec_schema(crd));
    struct json *from_code = spec_defaults();

    if (!json_equal(from_schema, from_code)) {
        char *text = json_text(from_schema, JSON_COMPACT);
        char *other = json_text(from_code, JSON_COMPACT);
        fail_msg("schema %s\ncode   %s", text, other);
    }

    json_free(from_code);
    json_free(from_schema);
    json_free(crd);
}

static void every_sample_is_a_valid_spec(void **state)
{
    (void)state;
    static const char *const SAMPLES[] = {
        "crd/samples/demo.yaml", "crd/samples/single.yaml", "crd/samples/production.yaml",
        "crd/samples/given-certificates.yaml", "crd/samples/cert-manager.yaml"};
    for (size_t i = 0; i < ARRAY_COUNT(SAMPLES); i++) {
        struct json *sample = yaml_read(SAMPLES[i]);
        struct cluster_spec want;

        int rc = spec_parse(sample, &want);

        if (rc != 0) {
            fail_msg("%s: %s %s", SAMPLES[i], want.problems[0].field, want.problems[0].message);
        }
        spec_free(&want);
        json_free(sample);
    }
}

static void walk_fields(const struct json *schema, const char *prefix, const char *page)
{
    const struct json *properties = json_get(schema, "properties");
    for (size_t i = 0; i < json_count(properties); i++) {
        const struct json *property = json_at(properties, i);
        char *name =
            str_printf("%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", json_key_at(properties, i));
        if (json_get(property, "properties") != NULL) {
            walk_fields(property, name, page);
        } else {
            char *cell = str_printf("`%s`", name);
            if (strstr(page, cell) == NULL) {
                fail_msg("docs/reference/etcdcluster.md does not explain %s", cell);
            }
            mem_free(cell);
        }
        mem_free(name);
    }
}

static void the_reference_explains_every_field(void **state)
{
    (void)state;
    struct json *crd = yaml_read("crd/etcdclusters.yaml");
    char *page = file_text("docs/reference/etcdcluster.md");

    walk_fields(spec_schema(crd), "", page);

    mem_free(page);
    json_free(crd);
}

static void the_reference_explains_every_condition_and_reason(void **state)
{
    (void)state;
    char *page = file_text("docs/reference/etcdcluster.md");
    size_t count = 0;
    const struct condition_rule *rules = condition_rules(&count);

    for (size_t i = 0; i < count; i++) {
        char *cell = str_printf("| %s |", rules[i].type);
        if (strstr(page, cell) == NULL) {
            fail_msg("condition %s is not explained", rules[i].type);
        }
        mem_free(cell);
    }
    for (int reason = 0; reason < REASON_COUNT; reason++) {
        char *cell = str_printf("| %s |", reason_text((enum condition_reason)reason));
        if (strstr(page, cell) == NULL) {
            fail_msg("reason %s is not explained", reason_text((enum condition_reason)reason));
        }
        mem_free(cell);
    }
    mem_free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_of_the_schema_are_those_of_the_parser),
        cmocka_unit_test(every_sample_is_a_valid_spec),
        cmocka_unit_test(the_reference_explains_every_field),
        cmocka_unit_test(the_reference_explains_every_condition_and_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
