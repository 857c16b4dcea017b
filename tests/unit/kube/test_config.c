/* SPDX-License-Identifier: Apache-2.0 */
/* Kubeconfig files and the in-cluster configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "controller/kube/config.h"

static const char GOOD[] = "apiVersion: v1\n"
                           "kind: Config\n"
                           "current-context: here\n"
                           "contexts:\n"
                           "- name: there\n"
                           "  context: {cluster: c2, user: u2, namespace: far}\n"
                           "- name: here\n"
                           "  context:\n"
                           "    cluster: c1\n"
                           "    user: u1\n"
                           "clusters:\n"
                           "- name: c1\n"
                           "  cluster:\n"
                           "    server: https://127.0.0.1:6443/\n"
                           "    certificate-authority-data: Q0EtUEVN\n"
                           "- name: c2\n"
                           "  cluster: {server: \"http://h:1\", insecure-skip-tls-verify: true}\n"
                           "users:\n"
                           "- name: u1\n"
                           "  user:\n"
                           "    client-certificate-data: Q0VSVA==\n"
                           "    client-key-data: S0VZ\n"
                           "- name: u2\n"
                           "  user: {token: \"12345\"}\n";

static void the_current_context_is_read(void **state)
{
    (void)state;
    struct kube_config *config = NULL;
    struct err err = {{0}};

    int rc = kube_config_parse(GOOD, sizeof(GOOD) - 1, ".", NULL, &config, &err);

    assert_string_equal(err.text, "");
    assert_int_equal(rc, 0);
    assert_string_equal(config->server, "https://127.0.0.1:6443");
    assert_string_equal(config->ca_pem, "CA-PEM");
    assert_string_equal(config->cert_pem, "CERT");
    assert_string_equal(config->key_pem, "KEY");
    assert_string_equal(config->namespace_, "default");
    assert_null(config->token);
    assert_false(config->insecure);
    kube_config_free(config);
}

static void another_context_can_be_named_and_insecure_only_if_said(void **state)
{
    (void)state;
    struct kube_config *config = NULL;

    assert_int_equal(kube_config_parse(GOOD, sizeof(GOOD) - 1, ".", "there", &config, NULL), 0);

    assert_string_equal(config->token, "12345");
    assert_string_equal(config->namespace_, "far");
    assert_true(config->insecure);
    kube_config_free(config);
}

struct bad_case {
    const char *find;
    const char *put;
    const char *says;
};

static void a_wrong_kubeconfig_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct bad_case CASES[] = {
        {"current-context: here", "other: x", "no current-context"},
        {"current-context: here", "current-context: nowhere", "context \"nowhere\""},
        {"    cluster: c1", "    cluster: c9", "cluster \"c9\""},
        {"    user: u1", "    user: u9", "user \"u9\""},
        {"https://127.0.0.1:6443/", "ftp://x", "no http(s) address"},
        {"Q0EtUEVN", "Q0*tUEV", "not base64"},
        {"    client-key-data: S0VZ\n", "", "go together"},
        {"    client-key-data: S0VZ\n", "    exec: {command: x}\n", "exec is not supported"},
        {"kind: Config", "kind: [", "line"},
        {"kind: Config", "kind: *nothing", "line"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        const char *at = strstr(GOOD, CASES[i].find);
        assert_non_null(at);
        char *text = str_printf("%.*s%s%s", (int)(at - GOOD), GOOD, CASES[i].put,
                                at + strlen(CASES[i].find));
        struct kube_config *config = NULL;
        struct err err = {{0}};

        int rc = kube_config_parse(text, strlen(text), ".", NULL, &config, &err);

        assert_true(rc < 0);
        assert_null(config);
        if (strstr(err.text, CASES[i].says) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", err.text, CASES[i].says);
        }
        mem_free(text);
    }
}

static void file_put(const char *dir, const char *name, const char *text)
{
    char *path = str_printf("%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    mem_free(path);
}

static void the_service_account_is_read_and_its_token_read_again(void **state)
{
    (void)state;
    char dir[] = "/tmp/quorate-kube-XXXXXX";
    assert_non_null(mkdtemp(dir));
    file_put(dir, "ca.crt", "CA");
    file_put(dir, "token", "first\n");
    file_put(dir, "namespace", "quorate-system");
    struct kube_config *config = NULL;

    assert_int_equal(kube_config_in_cluster("10.0.0.1", "443", dir, &config, NULL), 0);

    assert_string_equal(config->server, "https://10.0.0.1:443");
    assert_string_equal(config->token, "first");
    assert_string_equal(config->namespace_, "quorate-system");
    file_put(dir, "token", "second");
    kube_config_reread_token(config);
    assert_string_equal(config->token, "second");
    kube_config_free(config);

    assert_int_equal(kube_config_in_cluster("fd00::1", "443", dir, &config, NULL), 0);
    assert_string_equal(config->server, "https://[fd00::1]:443");
    kube_config_free(config);

    assert_int_equal(kube_config_in_cluster(NULL, "443", dir, &config, NULL), E_NOT_FOUND);
    assert_int_equal(kube_config_in_cluster("10.0.0.1", "443", "/nowhere", &config, NULL),
                     E_NOT_FOUND);
    static const char *const NAMES[] = {"ca.crt", "token", "namespace"};
    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++) {
        char *path = str_printf("%s/%s", dir, NAMES[i]);
        unlink(path);
        mem_free(path);
    }
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_current_context_is_read),
        cmocka_unit_test(another_context_can_be_named_and_insecure_only_if_said),
        cmocka_unit_test(a_wrong_kubeconfig_is_refused_with_the_reason),
        cmocka_unit_test(the_service_account_is_read_and_its_token_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
