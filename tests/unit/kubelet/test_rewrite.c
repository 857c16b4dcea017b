/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines of containers become those of processes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/defs.h"
#include "deploy/playground/kubelet/expand.h"
#include "deploy/playground/kubelet/image.h"
#include "deploy/playground/kubelet/rewrite.h"

static const struct rewrite_mount MOUNTS[] = {
    {(char *)(uintptr_t) "/data", (char *)(uintptr_t) "/v/1"},
    {(char *)(uintptr_t) "/data/wal", (char *)(uintptr_t) "/v/2"},
    {(char *)(uintptr_t) "/etc/tls", (char *)(uintptr_t) "/v/3"}};

static void expect(const char *text, const char *wanted)
{
    struct rewrite rules = {.mounts = MOUNTS,
                            .mount_count = ARRAY_COUNT(MOUNTS),
                            .pod_ip = "127.9.1.5",
                            .loopback_ip = "127.9.2.5"};
    char *got = rewrite_text(&rules, text);
    assert_string_equal(got, wanted);
    mem_free(got);
}

static void mount_paths_become_folders(void **state)
{
    (void)state;

    expect("--data-dir=/data", "--data-dir=/v/1");
    expect("--data-dir=/data/", "--data-dir=/v/1/");
    expect("/data/member,/etc/tls/ca.crt", "/v/1/member,/v/3/ca.crt");
    expect("cat '/etc/tls/ca.crt' > \"/data/x\"", "cat '/v/3/ca.crt' > \"/v/1/x\"");
    expect("file:///data/x", "file:///v/1/x");
}

static void the_longest_mount_path_wins(void **state)
{
    (void)state;

    expect("/data/wal/0.wal", "/v/2/0.wal");
    expect("/data/walrus", "/v/1/walrus");
}

static void what_only_looks_like_a_mount_path_stays(void **state)
{
    (void)state;

    expect("/database", "/database");
    expect("/data-old", "/data-old");
    expect("/data.bak", "/data.bak");
    expect("/srv/data", "/srv/data");
    expect("./data", "./data");
    expect("~/data", "~/data");
}

static void all_addresses_become_the_pods_own(void **state)
{
    (void)state;

    expect("--listen-client-urls=http://0.0.0.0:2379,http://127.0.0.1:2379",
           "--listen-client-urls=http://127.9.1.5:2379,http://127.9.2.5:2379");
    expect("http://[::]:2380", "http://127.9.1.5:2380");
    expect("http://localhost:2381", "http://127.9.2.5:2381");
}

static void other_addresses_stay(void **state)
{
    (void)state;

    expect("10.0.0.0:80", "10.0.0.0:80");
    expect("127.0.0.1", "127.0.0.1");
    expect("not-localhost:80", "not-localhost:80");
    expect("0.0.0.0/0", "0.0.0.0/0");
    expect("http://demo-0.demo-peers.default.svc:2380",
           "http://demo-0.demo-peers.default.svc:2380");
}

static const char *lookup(void *ctx, const char *name)
{
    (void)ctx;
    return str_equal(name, "POD") ? "demo-0" : str_equal(name, "EMPTY") ? "" : NULL;
}

static void variables_are_expanded_as_kubernetes_does(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *wanted;
    } ROWS[] = {
        {"--name=$(POD)", "--name=demo-0"}, {"$(POD)$(EMPTY)x", "demo-0x"},
        {"$(NOBODY)", "$(NOBODY)"},         {"$$(POD)", "$(POD)"},
        {"$POD ${POD} $", "$POD ${POD} $"}, {"$(POD", "$(POD"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        char *got = expand_text(ROWS[i].text, lookup, NULL);
        assert_string_equal(got, ROWS[i].wanted);
        mem_free(got);
    }
}

static void an_image_finds_its_program(void **state)
{
    (void)state;
    static const char *const ROWS[] = {"quorate=/bin/q", "etcd=/bin/etcd", "etcd:v3.4=/bin/etcd34"};
    static const struct {
        const char *image;
        const char *program;
    } CASES[] = {
        {"quorate:dev", "/bin/q"},
        {"ghcr.io/someone/quorate:0.1", "/bin/q"},
        {"localhost:5000/quorate", "/bin/q"},
        {"quorate@sha256:00", "/bin/q"},
        {"gcr.io/etcd-development/etcd:v3.5", "/bin/etcd"},
        {"gcr.io/etcd-development/etcd:v3.4", "/bin/etcd34"},
        {"not-quorate:dev", NULL},
        {"quorate-operator:dev", NULL},
    };

    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        const char *got = image_find(ROWS, ARRAY_COUNT(ROWS), CASES[i].image);
        assert_true(str_equal(got, CASES[i].program));
    }
}

static void the_first_word_is_the_program_or_the_command(void **state)
{
    (void)state;
    static const char *const ROWS[][2] = {{NULL, "/bin/q/quorate"},
                                          {"quorate", "/bin/q/quorate"},
                                          {"/usr/local/bin/quorate", "/bin/q/quorate"},
                                          {"sh", "sh"},
                                          {"/bin/sh", "/bin/sh"}};

    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        char *got = image_entry("/bin/q/quorate", ROWS[i][0]);
        assert_string_equal(got, ROWS[i][1]);
        mem_free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mount_paths_become_folders),
        cmocka_unit_test(the_longest_mount_path_wins),
        cmocka_unit_test(what_only_looks_like_a_mount_path_stays),
        cmocka_unit_test(all_addresses_become_the_pods_own),
        cmocka_unit_test(other_addresses_stay),
        cmocka_unit_test(variables_are_expanded_as_kubernetes_does),
        cmocka_unit_test(an_image_finds_its_program),
        cmocka_unit_test(the_first_word_is_the_program_or_the_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
