/* SPDX-License-Identifier: Apache-2.0 */
/* The roles of chart and manifests against the table of rights; the chart's CRDs against crd/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "controller/access.h"
#include "controller/kube/file.h"
#include "base/yaml.h"

static struct json *yaml_load(const char *path)
{
    char *whole = str_printf("%s/%s", QUORATE_SOURCE_DIR, path);
    char *text = NULL;
    size_t size = 0;
    struct err err = {{0}};
    assert_int_equal(kube_file_read(whole, 1u << 20, &text, &size, &err), 0);
    struct json *root = json_parse_yaml(text, size, &err);
    assert_string_equal(err.text, "");
    mem_free(text);
    mem_free(whole);
    return root;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts lines and joins them; takes the lines. */
static char *joined(char **lines, size_t count)
{
    qsort(lines, count, sizeof(*lines), by_text);
    struct buf buf;
    buf_init(&buf, BUF_NO_LIMIT);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&buf, "%s\n", lines[i]);
        mem_free(lines[i]);
    }
    char *text = str_dup(buf_cstr(&buf));
    buf_free(&buf);
    return text;
}

#define LINES_MAX 256u

/* "group/resource[/sub] [name]: verb" for every right of one scope. */
static char *table_text(enum access_scope scope)
{
    char *lines[LINES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < ACCESS_RULE_COUNT; i++) {
        const struct access_rule *rule = &ACCESS_RULES[i];
        char *verbs = str_dup(rule->verbs);
        char *rest = verbs;
        for (char *verb; rule->scope == scope && (verb = strsep(&rest, " ")) != NULL;) {
            const struct kube_kind *kind = &KUBE_KINDS[rule->kind];
            assert_true(count < LINES_MAX);
            lines[count++] = str_printf("%s/%s%s%s [%s]: %s", kind->group, kind->plural,
                                        rule->subresource == NULL ? "" : "/",
                                        rule->subresource == NULL ? "" : rule->subresource,
                                        rule->object_name == NULL ? "" : rule->object_name, verb);
        }
        mem_free(verbs);
    }
    return joined(lines, count);
}

/* The same for a list of RBAC rules; each rule has one group and one resource, and at most one
 * name. */
static char *rules_text(const struct json *rules)
{
    char *lines[LINES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < json_count(rules); i++) {
        const struct json *rule = json_at(rules, i);
        assert_int_equal(json_count(json_get(rule, "apiGroups")), 1);
        assert_int_equal(json_count(json_get(rule, "resources")), 1);
        const struct json *verbs = json_get(rule, "verbs");
        for (size_t j = 0; j < json_count(verbs); j++) {
            assert_true(count < LINES_MAX);
            lines[count++] = str_printf("%s/%s [%s]: %s", json_path_str(rule, "apiGroups.0", "?"),
                                        json_path_str(rule, "resources.0", "?"),
                                        json_path_str(rule, "resourceNames.0", ""),
                                        json_str(json_at(verbs, j), "?"));
        }
    }
    return joined(lines, count);
}

static void roles_grant_the_table_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool is_role; /* else a bare list of rules */
        enum access_scope scope;
    } CASES[] = {
        {"helm/quorate/files/rules-clusters.yaml", false, ACCESS_CLUSTERS},
        {"helm/quorate/files/rules-lease.yaml", false, ACCESS_LEASE},
        {"helm/quorate/files/rules-nodes.yaml", false, ACCESS_NODES},
        {"deploy/manifests/role.yaml", true, ACCESS_CLUSTERS},
        {"deploy/manifests/role-lease.yaml", true, ACCESS_LEASE},
        {"deploy/manifests/clusterrole-nodes.yaml", true, ACCESS_NODES},
    };
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct json *root = yaml_load(CASES[i].path);
        char *wanted = table_text(CASES[i].scope);

        char *granted = rules_text(CASES[i].is_role ? json_get(root, "rules") : root);

        assert_string_equal(granted, wanted);
        mem_free(granted);
        mem_free(wanted);
        json_free(root);
    }
}

static void nothing_sweeping_is_in_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ACCESS_RULE_COUNT; i++) {
        const struct access_rule *rule = &ACCESS_RULES[i];
        assert_null(strchr(rule->verbs, '*'));
        assert_null(strstr(rule->verbs, "escalate"));
        assert_null(strstr(rule->verbs, "bind"));
        assert_null(strstr(rule->verbs, "impersonate"));
        /* Secrets are asked for by name: who may list or watch them sees all of a namespace. */
        bool is_secret = rule->kind == KUBE_SECRET;
        assert_false(is_secret && strcmp(rule->verbs, "get create patch") != 0);
        assert_false(is_secret && rule->scope != ACCESS_CLUSTERS);
        assert_false(rule->subresource != NULL && strcmp(rule->subresource, "exec") == 0);
    }
}

static int nobody_calls(void *ctx, const struct kube_call *call, struct json **out_object,
                        struct err *err)
{
    (void)call;
    (void)out_object;
    (void)err;
    ++*(int *)ctx;
    return 0;
}

static void the_gate_lets_through_what_the_table_grants_only(void **state)
{
    (void)state;
    static const struct {
        struct kube_call call;
        int code;
    } CASES[] = {
        {{.verb = KUBE_DELETE, .kind = &KUBE_KINDS[KUBE_POD], .name = "p"}, 0},
        {{.verb = KUBE_APPLY,
          .kind = &KUBE_KINDS[KUBE_ETCD_CLUSTER],
          .name = "c",
          .subresource = "status"},
         0},
        {{.verb = KUBE_DELETE, .kind = &KUBE_KINDS[KUBE_SERVICE], .name = "s"}, E_PERMISSION},
        {{.verb = KUBE_CREATE, .kind = &KUBE_KINDS[KUBE_POD], .subresource = "exec"}, E_PERMISSION},
        {{.verb = KUBE_GET, .kind = &KUBE_KINDS[KUBE_LEASE], .name = "quorate-operator"}, 0},
        {{.verb = KUBE_GET, .kind = &KUBE_KINDS[KUBE_LEASE], .name = "another"}, E_PERMISSION},
        {{.verb = KUBE_DELETE, .kind = &KUBE_KINDS[KUBE_ETCD_CLUSTER], .name = "c"}, E_PERMISSION},
        {{.verb = KUBE_REPLACE, .kind = &KUBE_KINDS[KUBE_ETCD_CLUSTER], .name = "c"}, E_PERMISSION},
    };
    int calls = 0;
    int expected = 0;
    const struct kube_seam inner = {&calls, nobody_calls};
    struct access_gate gate;
    access_gate_init(&gate, &inner);
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        expected += CASES[i].code == 0 ? 1 : 0;

        assert_int_equal(kube_call(&gate.seam, &CASES[i].call, NULL, NULL), CASES[i].code);

        assert_int_equal(calls, expected);
    }
}

static size_t yaml_count(const char *dir)
{
    char *path = str_printf("%s/%s", QUORATE_SOURCE_DIR, dir);
    DIR *handle = opendir(path);
    assert_non_null(handle);
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(handle)) != NULL;) {
        count += str_ends_with(entry->d_name, ".yaml") ? 1 : 0;
    }
    closedir(handle);
    mem_free(path);
    return count;
}

static char *file_text(const char *dir, const char *name)
{
    char *path = str_printf("%s/%s/%s", QUORATE_SOURCE_DIR, dir, name);
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(kube_file_read(path, 4u << 20, &text, &size, NULL), 0);
    mem_free(path);
    return text;
}

static void the_chart_carries_the_same_crds(void **state)
{
    (void)state;
    assert_int_equal(yaml_count("helm/quorate/crds"), yaml_count("crd"));
    assert_true(yaml_count("crd") > 0);
    char *path = str_printf("%s/crd", QUORATE_SOURCE_DIR);
    DIR *handle = opendir(path);
    for (const struct dirent *entry; (entry = readdir(handle)) != NULL;) {
        if (!str_ends_with(entry->d_name, ".yaml")) {
            continue;
        }
        char *ours = file_text("crd", entry->d_name);
        char *charts = file_text("helm/quorate/crds", entry->d_name);
        assert_string_equal(ours, charts);
        mem_free(ours);
        mem_free(charts);
    }
    closedir(handle);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_grant_the_table_and_nothing_else),
        cmocka_unit_test(nothing_sweeping_is_in_the_table),
        cmocka_unit_test(the_gate_lets_through_what_the_table_grants_only),
        cmocka_unit_test(the_chart_carries_the_same_crds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
