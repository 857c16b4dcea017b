/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: every refusal with its text and exit code, defaults, and what 0 means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/config.h"

#define ARGS_MAX 16

/* Reads flags separated by blanks. */
static enum config_outcome read_line(const char *line, struct server_config *out, int *out_exit,
                                     struct err *err, char **out_words)
{
    char program[] = "quorate";
    char *argv[ARGS_MAX] = {program};
    int argc = 1;
    *out_words = str_dup(line);
    for (char *word = strtok(*out_words, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    enum config_outcome outcome = config_read(argc, argv, out, out_exit, err);
    log_set_level(LOG_LEVEL_PANIC);
    return outcome;
}

static void expect_refusal(const char *line, int exit_code, const char *text)
{
    struct server_config config;
    struct err err = {{0}};
    char *words;
    int got;
    if (read_line(line, &config, &got, &err, &words) != CONFIG_WRONG) {
        fail_msg("\"%s\" was taken", line);
    }
    if (strstr(err.text, text) == NULL || got != exit_code) {
        fail_msg("\"%s\": exit %d, \"%s\"; expected exit %d, \"%s\"", line, got, err.text,
                 exit_code, text);
    }
    mem_free(words);
}

static void a_wrong_command_line_ends_with_2(void **state)
{
    (void)state;
    expect_refusal("--no-such-flag", 2, "no-such-flag");
    expect_refusal("--snapshot-count=many", 2, "snapshot-count");
    expect_refusal("--heartbeat-interval=1s", 2, "heartbeat-interval");
    expect_refusal("--backend-batch-interval=soon", 2, "backend-batch-interval");
    expect_refusal("--pre-vote=perhaps", 2, "pre-vote");
    expect_refusal("--max-learners=-1", 2, "max-learners");
    expect_refusal("--name", 2, "name");
    expect_refusal("something", 2, "'something' is not a valid flag");
    expect_refusal("--max-concurrent-streams=4294967296", 2, "value out of range");
    expect_refusal("--v2-deprecation=not-yet", 2, "for flag -v2-deprecation: invalid value");
    expect_refusal("--discovery-fallback=x", 2, "for flag -discovery-fallback: invalid value");
    expect_refusal("--feature-gates=Foo=true", 2,
                   "invalid value \"Foo=true\" for flag -feature-gates: unrecognized feature gate: "
                   "Foo");
    expect_refusal("--feature-gates=CompactHashCheck", 2,
                   "missing bool value for CompactHashCheck");
    expect_refusal("--feature-gates=CompactHashCheck=maybe", 2,
                   "invalid value of CompactHashCheck=maybe");
}

static void older_and_newer_names_together_end_with_1(void **state)
{
    (void)state;
    expect_refusal("--compact-hash-check-time=1m --experimental-compact-hash-check-time=2m", 1,
                   "cannot set --experimental-compact-hash-check-time and "
                   "--compact-hash-check-time at the same time, please use "
                   "--compact-hash-check-time only");
    expect_refusal("--memory-mlock=false --experimental-memory-mlock=false", 1,
                   "please use --memory-mlock only");
    expect_refusal("--feature-gates=CompactHashCheck=true "
                   "--experimental-compact-hash-check-enabled=false",
                   1,
                   "cannot specify both flags: --experimental-compact-hash-check-enabled=false and "
                   "--feature-gates=CompactHashCheck=true at the same time, please just use "
                   "--feature-gates=CompactHashCheck=true");
    setenv("ETCD_EXPERIMENTAL_CORRUPT_CHECK_TIME", "1m", 1);
    expect_refusal("--corrupt-check-time=1m", 1, "please use --corrupt-check-time only");
    unsetenv("ETCD_EXPERIMENTAL_CORRUPT_CHECK_TIME");
}

static void ways_to_find_each_other_exclude_each_other(void **state)
{
    (void)state;
    expect_refusal("--initial-cluster=a=http://x:1 --discovery-srv=d", 1,
                   "multiple discovery or bootstrap flags are set");
    expect_refusal("--discovery=http://x/y --discovery-srv=d", 1, "multiple discovery");
    expect_refusal("--discovery-token=t", 1,
                   "both --discovery-token and --discovery-endpoints must be set");
    expect_refusal("--discovery-endpoints=a:1", 1, "both --discovery-token and");
    expect_refusal("--discovery-endpoints=a:1,,b:2 --discovery-token=t", 1,
                   "must not contain empty endpoints");
    expect_refusal("--discovery-endpoints=a:1, --discovery-token=t", 1,
                   "must not contain empty endpoints");
    expect_refusal("--discovery-endpoints=a:1 --discovery-token=t --discovery-proxy=http://x", 1,
                   "both v2 discovery settings");
    expect_refusal("--discovery-fallback=proxy", 1, "v2 proxy is deprecated");
}

/* The configuration of a line that is right. */
static void expect_run(const char *line, struct server_config *out, char **out_words)
{
    struct err err = {{0}};
    int exit_code;
    if (read_line(line, out, &exit_code, &err, out_words) != CONFIG_RUN) {
        fail_msg("\"%s\": %s", line, err.text);
    }
}

static void gates_open_by_their_names_their_stage_and_their_older_flags(void **state)
{
    (void)state;
    struct server_config config;
    char *words;
    expect_run("--name=x", &config, &words);
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        assert_int_equal(config.features[i], i == FEATURE_TXN_SHARED_BUFFER);
    }
    config_free(&config);
    mem_free(words);
    expect_run("--feature-gates=AllAlpha=true,LeaseCheckpointPersist=false,,AllBeta=0", &config,
               &words);
    for (size_t i = 0; i < FEATURE_COUNT; i++) {
        assert_int_equal(config.features[i],
                         i != FEATURE_TXN_SHARED_BUFFER && i != FEATURE_LEASE_CHECKPOINT_PERSIST);
    }
    assert_true(config.compact_hash_check);
    config_free(&config);
    mem_free(words);
    expect_run("--experimental-initial-corrupt-check --feature-gates=CompactHashCheck=true",
               &config, &words);
    assert_true(config.initial_corrupt_check);
    assert_true(config.compact_hash_check);
    config_free(&config);
    mem_free(words);
    expect_refusal("--feature-gates=LeaseCheckpointPersist=true", 1,
                   "requires enabling feature gate LeaseCheckpoint");
    setenv("ETCD_FEATURE_GATES", "Foo=true", 1);
    expect_refusal("--name=x", 1, "unrecognized feature gate: Foo");
    unsetenv("ETCD_FEATURE_GATES");
}

static void flags_of_older_times_are_taken_and_forgotten(void **state)
{
    (void)state;
    struct server_config config;
    char *words;
    expect_run("--snapshot=x --force --v --name=x --v2-deprecation=gone "
               "--backend-bbolt-freelist-type=array",
               &config, &words);
    assert_string_equal(config.name, "x");
    config_free(&config);
    mem_free(words);
}

static void flags_for_bootstrap_leave_no_default_beside_them(void **state)
{
    (void)state;
    struct server_config config;
    char *words;
    expect_run("--discovery-srv=example.com --discovery-srv-name=x", &config, &words);
    assert_string_equal(config.initial_cluster, "");
    config_free(&config);
    mem_free(words);
    expect_run("--discovery-endpoints=a:1,b:2 --discovery-token=t --initial-cluster=", &config,
               &words);
    assert_string_equal(config.initial_cluster, "");
    assert_string_equal(config.discovery.endpoints, "a:1,b:2");
    assert_int_equal(config.discovery.request_timeout_ms, 5000);
    config_free(&config);
    mem_free(words);
}

static void values_that_make_no_sense_end_with_1(void **state)
{
    (void)state;
    expect_refusal("--log-level=loud", 1, "unknown --log-level \"loud\"");
    expect_refusal("--log-format=xml", 1, "unknown --log-format \"xml\"");
    expect_refusal("--log-outputs=/no/such/folder/x", 1, "--log-outputs: open /no/such/folder/x");
    expect_refusal("--log-outputs=systemd/journal", 1, "\"systemd/journal\" is not supported");
    expect_refusal("--log-outputs=stderr,stderr,stderr,stderr,stderr", 1, "more than 4");
    expect_refusal("--enable-log-rotation", 1, "--enable-log-rotation is not supported");
    expect_refusal("--enable-distributed-tracing", 1, "traces are not sent");
    expect_refusal("--experimental-enable-distributed-tracing", 1, "traces are not sent");
    expect_refusal("--compact-hash-check-time=0", 1, "--compact-hash-check-time must be >0");
    expect_refusal("--listen-peer-urls=http://example.com:1", 1,
                   "expected IP in URL for binding (http://example.com:1)");
    expect_refusal("--advertise-client-urls=http://:1", 1,
                   "--advertise-client-urls \"http://:1\" must be \"host:port\"");
    expect_refusal("--logger=capnslog", 1, "unknown --logger \"capnslog\"");
    expect_refusal("--hold-cluster-version=3.3", 1,
                   "--hold-cluster-version \"3.3\": say 3.4, 3.5 or 3.6");
    expect_refusal("--listen-client-urls=", 1, "--listen-client-urls needs at least one URL");
    expect_refusal("--listen-peer-urls=", 1, "--listen-peer-urls needs at least one URL");
    expect_refusal("--listen-peer-urls=127.0.0.1:1", 1, "--listen-peer-urls");
    expect_refusal("--listen-metrics-urls=nothing", 1, "--listen-metrics-urls");
    expect_refusal("--advertise-client-urls=", 1, "--advertise-client-urls needs");
    expect_refusal("--initial-advertise-peer-urls=", 1, "--initial-advertise-peer-urls needs");
    expect_refusal("--listen-client-urls=http://127.0.0.1:1", 1,
                   "--advertise-client-urls is required when --listen-client-urls is set");
    expect_refusal("--heartbeat-interval=0", 1, "--heartbeat-interval must be >0 (set to 0ms)");
    expect_refusal("--heartbeat-interval=-5", 1, "--heartbeat-interval must be >0");
    expect_refusal("--heartbeat-interval=9223372036854775807", 1, "--election-timeout[1000ms]");
    expect_refusal("--election-timeout=400", 1,
                   "--election-timeout[400ms] should be at least as 5 times as "
                   "--heartbeat-interval[100ms]");
    expect_refusal("--election-timeout=50001", 1, "too long, and should be set less than 50000ms");
    expect_refusal("--auto-compaction-retention=-1", 1, "must not be negative");
    expect_refusal("--auto-compaction-retention=9000000000000000000", 1, "too large");
    expect_refusal("--auto-compaction-retention=99999999999999999999", 1, "too large");
    expect_refusal("--auto-compaction-retention=soon", 1, "is no duration");
    expect_refusal("--auto-compaction-retention=-5m", 1, "is no duration");
    expect_refusal("--auto-compaction-mode=never", 1, "unknown --auto-compaction-mode \"never\"");
    expect_refusal("--auto-compaction-mode=revision --auto-compaction-retention=1h", 1,
                   "must be a number of revisions");
    expect_refusal("--initial-cluster-state=old", 1, "unexpected clusterState \"old\"");
    expect_refusal("--max-request-bytes=0", 1, "--max-request-bytes must be between");
    expect_refusal("--max-request-bytes=99999999999", 1, "--max-request-bytes must be between");
    expect_refusal("--backend-batch-interval=-1s", 1, "--backend-batch-interval");
}

static void flags_of_tls_that_contradict_each_other_end_with_1(void **state)
{
    (void)state;
    expect_refusal("--cert-file=a", 1, "KeyFile and CertFile must both be present[key: , cert: a]");
    expect_refusal("--peer-key-file=k", 1,
                   "KeyFile and CertFile must both be present[key: k, cert: ]");
    expect_refusal("--peer-client-cert-file=c", 1,
                   "ClientKeyFile and ClientCertFile must both be present or both absent");
    expect_refusal("--peer-cert-allowed-cn=a --peer-cert-allowed-hostname=b", 1,
                   "AllowedCNs and AllowedHostnames are mutually exclusive (cns=\"a\", "
                   "hostnames=\"b\")");
    expect_refusal("--listen-client-urls=https://127.0.0.1:1 --advertise-client-urls=https://a:1",
                   1, "must be provided for client url https://127.0.0.1:1 with HTTPS scheme");
    expect_refusal("--listen-client-http-urls=https://127.0.0.1:1", 1,
                   "must be provided for client url https://127.0.0.1:1 with HTTPS scheme");
    expect_refusal("--listen-metrics-urls=https://127.0.0.1:1", 1,
                   "must be provided for metrics secure url");
    expect_refusal("--listen-peer-urls=https://127.0.0.1:1", 1,
                   "cannot listen on TLS for https://127.0.0.1:1: KeyFile and CertFile are not");
    expect_refusal("--listen-client-http-urls=http://localhost:2379", 1,
                   "cannot bind both --listen-client-urls and --listen-client-http-urls on the "
                   "same url http://localhost:2379");
    expect_refusal("--tls-min-version=TLS1.3 --cipher-suites=TLS_RSA_WITH_AES_128_GCM_SHA256", 1,
                   "cipher suites cannot be configured when only TLS1.3 is enabled");
    expect_refusal("--tls-min-version=TLS1.3 --tls-max-version=TLS1.2", 1,
                   "min version (TLS1.3) is greater than max version (TLS1.2)");
    expect_refusal("--auto-tls --self-signed-cert-validity=0", 1,
                   "selfSignedCertValidity is invalid,it should be greater than 0");
}

static void flags_of_tls_have_names_defaults_and_variables_of_etcd(void **state)
{
    (void)state;
    struct server_config config;
    struct err err;
    char *words;
    int exit_code;
    setenv("ETCD_PEER_CLIENT_CERT_AUTH", "true", 1);
    assert_int_equal(read_line("--cert-file=c --key-file=k --trusted-ca-file=t "
                               "--experimental-peer-skip-client-san-verification",
                               &config, &exit_code, &err, &words),
                     CONFIG_RUN);
    unsetenv("ETCD_PEER_CLIENT_CERT_AUTH");
    assert_true(config.peer_tls.client_cert_auth);
    assert_true(config.peer_tls.skip_client_san);
    assert_false(config.client_tls.client_cert_auth);
    assert_string_equal(config.client_tls.trusted_ca_file, "t");
    assert_string_equal(config.tls_min_version, "TLS1.2");
    assert_int_equal(config.self_signed_cert_validity, 1);
    config_free(&config);
    mem_free(words);
}

static void the_command_line_and_the_environment_must_not_differ(void **state)
{
    (void)state;
    setenv("ETCD_NAME", "other", 1);
    expect_refusal("--name=one", 1,
                   "conflicting environment variable \"ETCD_NAME\" is shadowed by corresponding");
    unsetenv("ETCD_NAME");
}

static void the_environment_alone_counts(void **state)
{
    (void)state;
    struct server_config config;
    struct err err;
    char *words;
    int exit_code;
    setenv("ETCD_ELECTION_TIMEOUT", "2000", 1);
    assert_int_equal(read_line("--name=x", &config, &exit_code, &err, &words), CONFIG_RUN);
    unsetenv("ETCD_ELECTION_TIMEOUT");
    assert_int_equal(config.election_ms, 2000);
    assert_string_equal(config.data_dir, "x.etcd");
    assert_string_equal(config.initial_cluster, "x=http://localhost:2380");
    config_free(&config);
    mem_free(words);
}

static void zero_means_the_default_where_nothing_else_could(void **state)
{
    (void)state;
    struct server_config config;
    struct err err;
    char *words;
    int exit_code;
    assert_int_equal(read_line("--backend-batch-interval=0 --backend-batch-limit=0 "
                               "--snapshot-count=0 --snapshot-catchup-entries=0 "
                               "--watch-progress-notify-interval=1ms",
                               &config, &exit_code, &err, &words),
                     CONFIG_RUN);
    assert_int_equal(config.backend_batch_interval_ms, 100);
    assert_int_equal(config.backend_batch_limit, 10000);
    assert_int_equal(config.snapshot_count, 10000);
    assert_int_equal(config.snapshot_catchup_entries, 5000);
    assert_int_equal(config.watch_progress_interval_ms, 100);
    config_free(&config);
    mem_free(words);
}

static void retention_is_hours_a_duration_or_revisions(void **state)
{
    (void)state;
    struct server_config config;
    struct err err;
    char *words;
    int exit_code;
    assert_int_equal(read_line("--auto-compaction-retention=2", &config, &exit_code, &err, &words),
                     CONFIG_RUN);
    assert_int_equal(config.auto_compaction_retention, 2 * 3600000);
    config_free(&config);
    mem_free(words);
    assert_int_equal(
        read_line("--auto-compaction-retention=90s", &config, &exit_code, &err, &words),
        CONFIG_RUN);
    assert_int_equal(config.auto_compaction_retention, 90000);
    config_free(&config);
    mem_free(words);
    assert_int_equal(read_line("--auto-compaction-mode=revision --auto-compaction-retention=7",
                               &config, &exit_code, &err, &words),
                     CONFIG_RUN);
    assert_int_equal(config.auto_compaction_mode, COMPACTION_REVISION);
    assert_int_equal(config.auto_compaction_retention, 7);
    config_free(&config);
    mem_free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_command_line_ends_with_2),
        cmocka_unit_test(older_and_newer_names_together_end_with_1),
        cmocka_unit_test(ways_to_find_each_other_exclude_each_other),
        cmocka_unit_test(gates_open_by_their_names_their_stage_and_their_older_flags),
        cmocka_unit_test(flags_of_older_times_are_taken_and_forgotten),
        cmocka_unit_test(flags_for_bootstrap_leave_no_default_beside_them),
        cmocka_unit_test(values_that_make_no_sense_end_with_1),
        cmocka_unit_test(flags_of_tls_that_contradict_each_other_end_with_1),
        cmocka_unit_test(flags_of_tls_have_names_defaults_and_variables_of_etcd),
        cmocka_unit_test(the_command_line_and_the_environment_must_not_differ),
        cmocka_unit_test(the_environment_alone_counts),
        cmocka_unit_test(zero_means_the_default_where_nothing_else_could),
        cmocka_unit_test(retention_is_hours_a_duration_or_revisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
