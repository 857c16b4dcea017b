/* SPDX-License-Identifier: Apache-2.0 */
/* --config-file: etcd's keys and types, what is refused, and that nothing else counts beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/config.h"

struct world {
    char path[64];
    struct server_config config;
    struct err err;
    int exit_code;
};

static void write_file(struct world *world, const char *text)
{
    snprintf(world->path, sizeof(world->path), "/tmp/quorate_config_XXXXXX");
    int fd = mkstemp(world->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static enum config_outcome read_args(struct world *world, const char *first, const char *second)
{
    char *argv[] = {str_dup("quorate"), str_dup(first), str_dup(second)};
    log_set_level(LOG_LEVEL_PANIC);
    enum config_outcome outcome =
        config_read(3, argv, &world->config, &world->exit_code, &world->err);
    log_set_level(LOG_LEVEL_PANIC);
    for (size_t i = 0; i < 3; i++) {
        mem_free(argv[i]);
    }
    return outcome;
}

static void expect_run(struct world *world, const char *text)
{
    *world = (struct world){0};
    write_file(world, text);
    char *flag = str_printf("--config-file=%s", world->path);
    if (read_args(world, flag, "--log-level=panic") != CONFIG_RUN) {
        fail_msg("%s: %s", text, world->err.text);
    }
    mem_free(flag);
    unlink(world->path);
}

static void expect_refusal(const char *text, const char *reason)
{
    struct world world = {0};
    write_file(&world, text);
    char *flag = str_printf("--config-file=%s", world.path);
    if (read_args(&world, flag, "--log-level=panic") != CONFIG_WRONG) {
        fail_msg("\"%s\" was taken", text);
    }
    if (strstr(world.err.text, reason) == NULL || world.exit_code != 1) {
        fail_msg("\"%s\": exit %d, \"%s\" instead of \"%s\"", text, world.exit_code, world.err.text,
                 reason);
    }
    mem_free(flag);
    unlink(world.path);
}

static void keys_are_the_names_of_flags(void **state)
{
    (void)state;
    struct world world;
    expect_run(&world, "name: m1\n"
                       "data-dir: /d\n"
                       "snapshot-count: 77\n"
                       "quota-backend-bytes: -1\n"
                       "pre-vote: no\n"
                       "listen-client-urls: http://127.0.0.1:1,unix://s:2\n"
                       "advertise-client-urls: ''\n"
                       "initial-cluster: m1=http://localhost:2380\n"
                       "auto-compaction-retention: '2'\n"
                       "cipher-suites: [TLS_RSA_WITH_AES_128_GCM_SHA256, "
                       "TLS_RSA_WITH_AES_256_GCM_SHA384]\n"
                       "feature-gates: CompactHashCheck=true\n"
                       "experimental-snapshot-catch-up-entries: 5\n"
                       "wal-dir: null\n");
    assert_string_equal(world.config.name, "m1");
    assert_string_equal(world.config.data_dir, "/d");
    assert_int_equal(world.config.snapshot_count, 77);
    assert_int_equal(world.config.quota_backend_bytes, -1);
    assert_false(world.config.pre_vote);
    assert_int_equal(world.config.listen_client_urls.count, 2);
    assert_string_equal(world.config.advertise_client_urls.urls[0], "http://localhost:2379");
    assert_int_equal(world.config.auto_compaction_retention, 2 * 3600000);
    assert_string_equal(world.config.cipher_suites,
                        "TLS_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_256_GCM_SHA384");
    assert_true(world.config.features[FEATURE_COMPACT_HASH_CHECK]);
    assert_int_equal(world.config.snapshot_catchup_entries, 5);
    assert_string_equal(world.config.wal_dir, "");
    config_free(&world.config);
}

static void durations_are_nanoseconds_or_words(void **state)
{
    (void)state;
    struct world world;
    expect_run(&world, "grpc-keepalive-min-time: 7000000000\n"
                       "corrupt-check-time: 90s\n"
                       "backend-batch-interval: 1\n");
    assert_int_equal(world.config.keepalive_min_ms, 7000);
    assert_int_equal(world.config.corrupt_check_ms, 90000);
    assert_int_equal(world.config.backend_batch_interval_ms, 1);
    config_free(&world.config);
}

static void tls_sockets_and_discovery_are_objects(void **state)
{
    (void)state;
    struct world world;
    expect_run(&world,
               "{\"client-transport-security\": {\"cert-file\": \"c\", \"key-file\": \"k\", "
               "\"client-cert-auth\": true, \"trusted-ca-file\": \"t\"},"
               "\"peer-transport-security\": {\"allowed-cn\": [\"a\", \"b\"], \"auto-tls\": true, "
               "\"skip-client-san-verification\": true},"
               "\"socket-options\": {\"reuse-port\": true},"
               "\"discovery-config\": {\"token\": \"tok\", \"client\": {\"endpoints\": [\"e:1\", "
               "\"e:2\"], \"request-timeout\": 1000000000, \"secure\": {\"cacert\": \"ca\"}, "
               "\"auth\": {\"username\": \"u\", \"password\": \"p\"}}}}");
    const struct server_config *config = &world.config;
    assert_string_equal(config->client_tls.cert_file, "c");
    assert_string_equal(config->client_tls.trusted_ca_file, "t");
    assert_true(config->client_tls.client_cert_auth);
    assert_string_equal(config->peer_tls.allowed_names, "a,b");
    assert_true(config->peer_tls.auto_tls && config->peer_tls.skip_client_san);
    assert_true(config->reuse_port);
    assert_string_equal(config->discovery.token, "tok");
    assert_string_equal(config->discovery.endpoints, "e:1,e:2");
    assert_int_equal(config->discovery.request_timeout_ms, 1000);
    assert_string_equal(config->discovery.cacert, "ca");
    assert_string_equal(config->discovery.user, "u");
    config_free(&world.config);
}

static void a_value_of_another_type_is_refused(void **state)
{
    (void)state;
    expect_refusal("snapshot-count: many\n",
                   "cannot unmarshal string into snapshot-count of type whole number");
    expect_refusal("snapshot-count: -1\n", "cannot unmarshal number into snapshot-count");
    expect_refusal("snapshot-count: 1.5\n", "cannot unmarshal number into snapshot-count");
    expect_refusal("name: 7\n", "cannot unmarshal number into name of type string");
    expect_refusal("pre-vote: 'yes'\n", "cannot unmarshal string into pre-vote of type bool");
    expect_refusal("corrupt-check-time: soon\n", "of type duration");
    expect_refusal("log-outputs: stderr\n",
                   "cannot unmarshal string into log-outputs of type list");
    expect_refusal("cipher-suites: [1]\n", "cannot unmarshal number into cipher-suites");
    expect_refusal("client-transport-security: x\n",
                   "cannot unmarshal string into client-transport-security of type object");
    expect_refusal(
        "client-transport-security: {cert-file: [x]}\n",
        "cannot unmarshal array into client-transport-security.cert-file of type string");
    expect_refusal("max-concurrent-streams: 4294967296\n", "out of range");
    expect_refusal("- a\n", "it must be an object");
    expect_refusal("a: [\n", "line 2");
}

static void what_contradicts_itself_is_refused_as_on_the_command_line(void **state)
{
    (void)state;
    expect_refusal("feature-gates: Foo=true\n", "unrecognized feature gate: Foo");
    expect_refusal("corrupt-check-time: 1s\nexperimental-corrupt-check-time: 1s\n",
                   "please use --corrupt-check-time only");
    expect_refusal("feature-gates: CompactHashCheck=true\n"
                   "experimental-compact-hash-check-enabled: true\n",
                   "cannot specify both flags");
    expect_refusal("discovery: http://x/y\ninitial-cluster: a=http://127.0.0.1:1\n",
                   "multiple discovery or bootstrap flags are set");
    expect_refusal("listen-peer-urls: x\n", "--listen-peer-urls");
}

static void keys_that_nobody_knows_have_no_effect(void **state)
{
    (void)state;
    struct world world;
    expect_run(&world, "nonsense: 1\n"
                       "cert-file: c\n" /* no key, though a flag */
                       "client-transport-security: {nonsense: 1}\n"
                       "\"\\nname\": [x]\n"
                       "proxy: 'off'\n");
    assert_string_equal(world.config.client_tls.cert_file, "");
    config_free(&world.config);
}

static void an_empty_file_gives_the_defaults(void **state)
{
    (void)state;
    struct world world;
    expect_run(&world, "");
    assert_string_equal(world.config.data_dir, "default.etcd");
    config_free(&world.config);
    expect_run(&world, "# nothing\n   # here\n");
    config_free(&world.config);
}

static void flags_and_variables_do_not_count_beside_a_file(void **state)
{
    (void)state;
    struct world world = {0};
    write_file(&world, "name: of-the-file\nlog-level: panic\n");
    setenv("ETCD_SNAPSHOT_COUNT", "many", 1);
    setenv("ETCD_CONFIG_FILE", world.path, 1);
    assert_int_equal(read_args(&world, "--name=of-the-line", "--election-timeout=1"), CONFIG_RUN);
    unsetenv("ETCD_CONFIG_FILE");
    unsetenv("ETCD_SNAPSHOT_COUNT");
    assert_string_equal(world.config.name, "of-the-file");
    assert_int_equal(world.config.election_ms, 1000);
    assert_int_equal(world.config.snapshot_count, 10000);
    config_free(&world.config);
    unlink(world.path);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    struct world world = {0};
    assert_int_equal(read_args(&world, "--config-file=/no/such/file", "--name=x"), CONFIG_WRONG);
    assert_non_null(strstr(world.err.text, "open /no/such/file: No such file or directory"));
    assert_int_equal(world.exit_code, 1);
    assert_int_equal(read_args(&world, "--config-file=/tmp", "--name=x"), CONFIG_WRONG);
    assert_non_null(strstr(world.err.text, "/tmp"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_the_names_of_flags),
        cmocka_unit_test(durations_are_nanoseconds_or_words),
        cmocka_unit_test(tls_sockets_and_discovery_are_objects),
        cmocka_unit_test(a_value_of_another_type_is_refused),
        cmocka_unit_test(what_contradicts_itself_is_refused_as_on_the_command_line),
        cmocka_unit_test(keys_that_nobody_knows_have_no_effect),
        cmocka_unit_test(an_empty_file_gives_the_defaults),
        cmocka_unit_test(flags_and_variables_do_not_count_beside_a_file),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
