/* SPDX-License-Identifier: Apache-2.0 */
/* Flags, environment and their checks. */
#include "engine/server/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/flags.h"
#include "base/log.h"
#include "base/net/url.h"
#include "engine/server/config_tls.h"
#include "engine/server/version.h"

#define ELECTION_MS_MAX            50000 /* as etcd: beyond it a cluster would not notice a dead leader */
#define ELECTION_PER_HEARTBEAT_MIN 5
#define RETENTION_MAX              1000000000000ll /* hours or revisions: more than anybody has */
#define PROGRESS_INTERVAL_MIN_MS   100
#define MAX_REQUEST_BYTES_MAX      (256u * 1024u * 1024u) /* what a message between members may hold */

/* The raw words of the command line, before they are checked. */
struct raw_flags {
    const char *data_dir, *listen_client, *listen_peer, *listen_metrics, *advertise_client;
    const char *listen_client_http;
    const char *advertise_peer, *initial_cluster, *cluster_state, *compaction_mode,
        *compaction_retention;
    const char *log_level, *log_format, *log_outputs, *logger, *config_file, *metrics,
        *v2_deprecation, *hold_version;
    bool version, help;
};

extern char **environ;

static void set_defaults(struct server_config *config, struct raw_flags *raw)
{
    *config = (struct server_config){
        .name = "default",
        .wal_dir = "",
        .initial_cluster_token = "etcd-cluster",
        .snapshot_count = 10000,
        .snapshot_catchup_entries = 5000,
        .heartbeat_ms = 100,
        .election_ms = 1000,
        .max_txn_ops = 128,
        .max_request_bytes = 1572864,
        .max_concurrent_streams = UINT32_MAX,
        .max_snapshots = 5,
        .max_wals = 5,
        .max_learners = 1,
        .auth_token = "simple",
        .auth_token_ttl_s = 300,
        .bcrypt_cost = 10,
        .backend_batch_interval_ms = 100,
        .backend_batch_limit = 10000,
        .watch_progress_interval_ms = 600000,
        .cors = "*",
        .host_whitelist = "*",
        .enable_grpc_gateway = true,
        .compact_hash_check_ms = 60000,
        .strict_reconfig_check = true,
        .pre_vote = true,
    };
    config_tls_defaults(config);
    *raw = (struct raw_flags){
        .data_dir = "",
        .listen_client_http = "",
        .listen_client = "http://localhost:2379",
        .listen_peer = "http://localhost:2380",
        .listen_metrics = "",
        .advertise_client = "http://localhost:2379",
        .advertise_peer = "http://localhost:2380",
        .initial_cluster = "",
        .cluster_state = "new",
        .compaction_mode = "periodic",
        .compaction_retention = "0",
        .log_level = "info",
        .log_format = "json",
        .log_outputs = "default",
        .logger = "zap",
        .config_file = "",
        .metrics = "basic",
        .v2_deprecation = "",
        .hold_version = "",
    };
}

static int split_urls(const char *flag, const char *text, struct config_urls *out, struct err *err)
{
    const char *at = text;
    while (*at != '\0') {
        size_t size = strcspn(at, ",");
        if (out->count == CONFIG_URLS_MAX) {
            return err_set(err, E_INVALID, "--%s has more than %u URLs", flag, CONFIG_URLS_MAX);
        }
        char *url = str_from(at, size);
        out->urls[out->count++] = url;
        struct url parsed;
        int rc = url_parse(url, &parsed, err);
        if (rc != 0) {
            return err_wrap(err, rc, "--%s", flag);
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return 0;
}

static int need_urls(const char *flag, const char *text, struct config_urls *out, struct err *err)
{
    int rc = split_urls(flag, text, out, err);
    if (rc == 0 && out->count == 0) {
        return err_set(err, E_INVALID, "--%s needs at least one URL, such as http://127.0.0.1:2379",
                       flag);
    }
    return rc;
}

static int check_timing(const struct server_config *config, struct err *err)
{
    if (config->heartbeat_ms <= 0) {
        return err_set(err, E_INVALID, "--heartbeat-interval must be >0 (set to %lldms)",
                       (long long)config->heartbeat_ms);
    }
    if (config->election_ms / ELECTION_PER_HEARTBEAT_MIN < config->heartbeat_ms) {
        return err_set(err, E_INVALID,
                       "--election-timeout[%lldms] should be at least as 5 times as "
                       "--heartbeat-interval[%lldms]",
                       (long long)config->election_ms, (long long)config->heartbeat_ms);
    }
    if (config->election_ms > ELECTION_MS_MAX) {
        return err_set(err, E_INVALID,
                       "--election-timeout[%lldms] is too long, and should be set less than %dms",
                       (long long)config->election_ms, ELECTION_MS_MAX);
    }
    return 0;
}

static int read_compaction(const struct raw_flags *raw, struct server_config *config,
                           struct err *err)
{
    const char *text = raw->compaction_retention;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    bool whole = *text != '\0' && *end == '\0';
    if (whole && (errno != 0 || number > RETENTION_MAX)) {
        return err_set(err, E_INVALID, "--auto-compaction-retention is too large (set to %s)",
                       text);
    }
    if (whole && number < 0) {
        return err_set(err, E_INVALID,
                       "--auto-compaction-retention must not be negative (set to %s)", text);
    }
    if (strcmp(raw->compaction_mode, "revision") == 0) {
        config->auto_compaction_mode = COMPACTION_REVISION;
        config->auto_compaction_retention = number;
        if (!whole) {
            return err_set(err, E_INVALID,
                           "--auto-compaction-retention must be a number of revisions (set to %s)",
                           text);
        }
        return 0;
    }
    if (strcmp(raw->compaction_mode, "periodic") != 0) {
        return err_set(err, E_INVALID,
                       "unknown --auto-compaction-mode \"%s\": say periodic or revision",
                       raw->compaction_mode);
    }
    /* A bare number means hours, as in etcd. */
    if (whole) {
        config->auto_compaction_retention = number * 3600000;
        return 0;
    }
    if (flags_parse_duration_ms(text, &config->auto_compaction_retention) != 0 ||
        config->auto_compaction_retention < 0) {
        return err_set(err, E_INVALID,
                       "--auto-compaction-retention \"%s\" is no duration, such as 30m or 1h",
                       text);
    }
    return 0;
}

static int check_advertised(const struct server_config *config, bool advertise_client_set,
                            struct err *err)
{
    const char *first = config->listen_client_urls.urls[0];
    bool is_default =
        config->listen_client_urls.count == 1 && strcmp(first, "http://localhost:2379") == 0;
    if (!is_default && !advertise_client_set) {
        return err_set(
            err, E_INVALID,
            "--advertise-client-urls is required when --listen-client-urls is set explicitly");
    }
    return 0;
}

/* 0 means the default, as in etcd; without it the store would never rest, or no entry be kept. */
static int settle_numbers(struct server_config *config, struct err *err)
{
    struct server_config defaults;
    struct raw_flags unused;
    set_defaults(&defaults, &unused);
    if (config->backend_batch_interval_ms < 0) {
        return err_set(err, E_INVALID, "--backend-batch-interval must not be negative");
    }
    if (config->backend_batch_interval_ms == 0) {
        config->backend_batch_interval_ms = defaults.backend_batch_interval_ms;
    }
    if (config->backend_batch_limit == 0) {
        config->backend_batch_limit = defaults.backend_batch_limit;
    }
    if (config->snapshot_count == 0) {
        config->snapshot_count = defaults.snapshot_count;
    }
    if (config->snapshot_catchup_entries == 0) {
        config->snapshot_catchup_entries = defaults.snapshot_catchup_entries;
    }
    if (config->max_request_bytes == 0 || config->max_request_bytes > MAX_REQUEST_BYTES_MAX) {
        return err_set(err, E_INVALID, "--max-request-bytes must be between 1 and %u",
                       MAX_REQUEST_BYTES_MAX);
    }
    config->watch_progress_interval_ms =
        BASE_MAX(config->watch_progress_interval_ms, PROGRESS_INTERVAL_MIN_MS);
    return 0;
}

/* The member's own name must stand in --initial-cluster, as must every advertised peer URL. */
static char *default_initial_cluster(const struct server_config *config)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (uint32_t i = 0; i < config->initial_advertise_peer_urls.count; i++) {
        buf_printf(&text, "%s%s=%s", i == 0 ? "" : ",", config->name,
                   config->initial_advertise_peer_urls.urls[i]);
    }
    (void)buf_cstr(&text);
    size_t size;
    return (char *)buf_take(&text, &size);
}

static int apply_raw(const struct raw_flags *raw, struct server_config *config,
                     bool advertise_client_set, struct err *err)
{
    int rc = need_urls("listen-client-urls", raw->listen_client, &config->listen_client_urls, err);
    if (rc == 0) {
        rc = split_urls("listen-client-http-urls", raw->listen_client_http,
                        &config->listen_client_http_urls, err);
    }
    if (rc == 0) {
        rc = need_urls("listen-peer-urls", raw->listen_peer, &config->listen_peer_urls, err);
    }
    if (rc == 0) {
        rc = split_urls("listen-metrics-urls", raw->listen_metrics, &config->listen_metrics_urls,
                        err);
    }
    if (rc == 0) {
        rc = need_urls("advertise-client-urls", raw->advertise_client,
                       &config->advertise_client_urls, err);
    }
    if (rc == 0) {
        rc = need_urls("initial-advertise-peer-urls", raw->advertise_peer,
                       &config->initial_advertise_peer_urls, err);
    }
    if (rc == 0) {
        rc = check_advertised(config, advertise_client_set, err);
    }
    if (rc == 0) {
        rc = config_tls_check(config, err);
    }
    if (rc == 0) {
        rc = check_timing(config, err);
    }
    if (rc == 0) {
        rc = read_compaction(raw, config, err);
    }
    if (rc == 0) {
        rc = settle_numbers(config, err);
    }
    if (rc == 0) {
        rc = version_parse_hold(raw->hold_version, &config->hold_cluster_version, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (strcmp(raw->cluster_state, "existing") == 0) {
        config->initial_cluster_state = CLUSTER_STATE_EXISTING;
    } else if (strcmp(raw->cluster_state, "new") != 0) {
        return err_set(err, E_INVALID,
                       "unexpected clusterState \"%s\": --initial-cluster-state is new or existing",
                       raw->cluster_state);
    }
    config->data_dir =
        *raw->data_dir == '\0' ? str_printf("%s.etcd", config->name) : str_dup(raw->data_dir);
    config->initial_cluster = *raw->initial_cluster == '\0' ? default_initial_cluster(config)
                                                            : str_dup(raw->initial_cluster);
    return 0;
}

static int set_logging(const struct raw_flags *raw, struct err *err)
{
    enum log_level level;
    if (!log_level_parse(raw->log_level, &level)) {
        return err_set(err, E_INVALID,
                       "unknown --log-level \"%s\": say debug, info, warn, error, panic or fatal",
                       raw->log_level);
    }
    log_set_level(level);
    if (strcmp(raw->log_format, "console") == 0) {
        log_set_format(LOG_FORMAT_CONSOLE);
    } else if (strcmp(raw->log_format, "json") != 0) {
        return err_set(err, E_INVALID, "unknown --log-format \"%s\": say json or console",
                       raw->log_format);
    }
    if (strcmp(raw->log_outputs, "stdout") == 0) {
        log_set_fd(1);
    } else if (strcmp(raw->log_outputs, "default") != 0 &&
               strcmp(raw->log_outputs, "stderr") != 0) {
        return err_set(err, E_UNSUPPORTED,
                       "--log-outputs \"%s\" is not supported: say default, stderr or stdout",
                       raw->log_outputs);
    }
    if (strcmp(raw->logger, "zap") != 0) {
        return err_set(err, E_INVALID, "unknown --logger \"%s\": only zap is known", raw->logger);
    }
    return 0;
}

static void print_version(void)
{
    printf("etcd Version: %s\nQuorate Version: %s\nGit SHA: Not provided\nGo Version: none "
           "(C11)\nGo OS/Arch: linux/amd64\n",
           SERVER_VERSION, QUORATE_VERSION);
}

/* ETCD_ variables that no flag reads are most often typing errors. */
static void warn_unknown_environment(const struct flag *flags, size_t flag_count)
{
    static const char *const other_programs[] = {"ETCD_VER", "ETCDCTL_"};
    for (char **entry = environ; *entry != NULL; entry++) {
        size_t size = strcspn(*entry, "=");
        bool known = !str_starts_with(*entry, "ETCD_");
        for (size_t i = 0; i < ARRAY_COUNT(other_programs); i++) {
            known = known || str_starts_with(*entry, other_programs[i]);
        }
        for (size_t i = 0; i < flag_count && !known; i++) {
            const char *name = flags[i].name;
            size_t at = 0;
            while (name[at] != '\0' && at + 5 < size) {
                char c = name[at] == '-' ? '_'
                                         : (char)(name[at] >= 'a' && name[at] <= 'z' ? name[at] - 32
                                                                                     : name[at]);
                if (c != (*entry)[5 + at]) {
                    break;
                }
                at++;
            }
            known = name[at] == '\0' && at + 5 == size;
        }
        if (!known) {
            char *name = str_from(*entry, size);
            LOG_WARN("unrecognized environment variable", LOG_STR("environment-variable", name));
            mem_free(name);
        }
    }
}

/* Set on the command line and, differently, in the environment: etcd refuses to guess. */
static int check_shadowed(const struct flag *flags, size_t flag_count, struct err *err)
{
    for (size_t i = 0; i < flag_count; i++) {
        char name[128];
        int size = snprintf(name, sizeof(name), "ETCD_%s", flags[i].name);
        if (!flags[i].is_set || flags[i].from_env || size < 0 || (size_t)size >= sizeof(name)) {
            continue;
        }
        for (char *c = name; *c != '\0'; c++) {
            *c = *c == '-' ? '_' : (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
        }
        const char *value = getenv(name);
        if (value != NULL && *value != '\0') {
            return err_set(
                err, E_INVALID,
                "conflicting environment variable \"%s\" is shadowed by corresponding command-line "
                "flag (either unset environment variable or disable flag)",
                name);
        }
    }
    return 0;
}

static bool is_set(const struct flag *flags, size_t flag_count, const char *name)
{
    for (size_t i = 0; i < flag_count; i++) {
        if (strcmp(flags[i].name, name) == 0) {
            return flags[i].is_set;
        }
    }
    return false;
}

enum config_outcome config_read(int argc, char **argv, struct server_config *out_config,
                                int *out_exit_code, struct err *err)
{
    struct server_config *c = out_config;
    struct raw_flags raw;
    set_defaults(c, &raw);
    struct flag own_flags[] = {
        {.name = "name",
         .type = FLAG_STRING,
         .target = &c->name,
         .help = "Human-readable name for this member.",
         .group = "Member"},
        {.name = "data-dir",
         .type = FLAG_STRING,
         .target = &raw.data_dir,
         .help = "Path to the data directory (default ${name}.etcd)."},
        {.name = "wal-dir",
         .type = FLAG_STRING,
         .target = &c->wal_dir,
         .help = "Path to the dedicated WAL directory."},
        {.name = "snapshot-count",
         .type = FLAG_UINT,
         .target = &c->snapshot_count,
         .help = "Number of committed transactions that trigger a snapshot to disk."},
        {.name = "heartbeat-interval",
         .type = FLAG_INT,
         .target = &c->heartbeat_ms,
         .help = "Time in milliseconds between heartbeats."},
        {.name = "election-timeout",
         .type = FLAG_INT,
         .target = &c->election_ms,
         .help = "Time in milliseconds for an election to time out."},
        {.name = "listen-peer-urls",
         .type = FLAG_STRING,
         .target = &raw.listen_peer,
         .help = "URLs to listen on for peer traffic."},
        {.name = "listen-client-urls",
         .type = FLAG_STRING,
         .target = &raw.listen_client,
         .help = "URLs to listen on for client gRPC and HTTP."},
        {.name = "listen-client-http-urls",
         .type = FLAG_STRING,
         .target = &raw.listen_client_http,
         .help = "URLs for clients' HTTP; given, --listen-client-urls speak gRPC only."},
        {.name = "max-snapshots",
         .type = FLAG_UINT,
         .target = &c->max_snapshots,
         .help = "Snapshot files to keep."},
        {.name = "max-wals",
         .type = FLAG_UINT,
         .target = &c->max_wals,
         .help = "WAL files to keep."},
        {.name = "quota-backend-bytes",
         .type = FLAG_INT,
         .target = &c->quota_backend_bytes,
         .help = "Size of the key space that raises the NOSPACE alarm (0: 2 GiB, negative: off)."},
        {.name = "backend-batch-interval",
         .type = FLAG_DURATION_MS,
         .target = &c->backend_batch_interval_ms,
         .help = "Longest time before applied changes are committed to the store."},
        {.name = "backend-batch-limit",
         .type = FLAG_UINT,
         .target = &c->backend_batch_limit,
         .help = "Most changes before they are committed to the store."},
        {.name = "max-txn-ops",
         .type = FLAG_UINT,
         .target = &c->max_txn_ops,
         .help = "Most operations in a transaction."},
        {.name = "max-request-bytes",
         .type = FLAG_UINT,
         .target = &c->max_request_bytes,
         .help = "Largest client request in bytes."},
        {.name = "max-concurrent-streams",
         .type = FLAG_UINT,
         .target = &c->max_concurrent_streams,
         .help = "Most concurrent streams of one client connection."},
        {.name = "initial-advertise-peer-urls",
         .type = FLAG_STRING,
         .target = &raw.advertise_peer,
         .help = "This member's peer URLs as the other members see them.",
         .group = "Clustering"},
        {.name = "initial-cluster",
         .type = FLAG_STRING,
         .target = &raw.initial_cluster,
         .help = "Members for bootstrapping: name=peerURL,..."},
        {.name = "initial-cluster-state",
         .type = FLAG_STRING,
         .target = &raw.cluster_state,
         .help = "new or existing."},
        {.name = "initial-cluster-token",
         .type = FLAG_STRING,
         .target = &c->initial_cluster_token,
         .help = "Token that keeps clusters apart."},
        {.name = "cors",
         .type = FLAG_STRING,
         .target = &c->cors,
         .help = "Origins of web pages that may use the HTTP API, comma-separated (* is all)."},
        {.name = "host-whitelist",
         .type = FLAG_STRING,
         .target = &c->host_whitelist,
         .help = "Host names that requests without TLS may be sent to, comma-separated."},
        {.name = "enable-grpc-gateway",
         .type = FLAG_BOOL,
         .target = &c->enable_grpc_gateway,
         .help = "Serve the JSON gateway under /v3/."},
        {.name = "hold-cluster-version",
         .type = FLAG_STRING,
         .target = &raw.hold_version,
         .help = "3.4, 3.5 or 3.6: the cluster version is never raised above it, so that members "
                 "of that etcd version can come back."},
        {.name = "advertise-client-urls",
         .type = FLAG_STRING,
         .target = &raw.advertise_client,
         .help = "This member's client URLs as clients see them."},
        {.name = "strict-reconfig-check",
         .type = FLAG_BOOL,
         .target = &c->strict_reconfig_check,
         .help = "Refuse membership changes that would lose quorum."},
        {.name = "pre-vote",
         .type = FLAG_BOOL,
         .target = &c->pre_vote,
         .help = "Ask before raising the term."},
        {.name = "max-learners",
         .type = FLAG_UINT,
         .target = &c->max_learners,
         .help = "Most learners at a time."},
        {.name = "auth-token",
         .type = FLAG_STRING,
         .target = &c->auth_token,
         .help = "simple, or jwt with pub-key=, priv-key=, sign-method= and ttl=.",
         .group = "Auth"},
        {.name = "auth-token-ttl",
         .type = FLAG_UINT,
         .target = &c->auth_token_ttl_s,
         .help = "Time in seconds that a simple token lives unused."},
        {.name = "bcrypt-cost",
         .type = FLAG_INT,
         .target = &c->bcrypt_cost,
         .help = "Cost of hashing passwords, 4 to 31."},
        {.name = "auto-compaction-mode",
         .type = FLAG_STRING,
         .target = &raw.compaction_mode,
         .help = "periodic or revision."},
        {.name = "auto-compaction-retention",
         .type = FLAG_STRING,
         .target = &raw.compaction_retention,
         .help = "What automatic compaction keeps: a duration, hours, or revisions (0: off)."},
        {.name = "listen-metrics-urls",
         .type = FLAG_STRING,
         .target = &raw.listen_metrics,
         .help = "URLs for /metrics and health only.",
         .group = "Monitoring"},
        {.name = "metrics",
         .type = FLAG_STRING,
         .target = &raw.metrics,
         .help = "basic or extensive."},
        {.name = "log-level",
         .type = FLAG_STRING,
         .target = &raw.log_level,
         .help = "debug, info, warn, error, panic or fatal.",
         .group = "Logging"},
        {.name = "log-format",
         .type = FLAG_STRING,
         .target = &raw.log_format,
         .help = "json or console."},
        {.name = "log-outputs",
         .type = FLAG_STRING,
         .target = &raw.log_outputs,
         .help = "default, stderr or stdout."},
        {.name = "logger", .type = FLAG_STRING, .target = &raw.logger, .help = "zap."},
        {.name = "snapshot-catchup-entries",
         .type = FLAG_UINT,
         .target = &c->snapshot_catchup_entries,
         .help = "Entries kept for slow followers after a snapshot.",
         .group = "Tuning"},
        {.name = "experimental-snapshot-catchup-entries",
         .type = FLAG_UINT,
         .target = &c->snapshot_catchup_entries},
        {.name = "watch-progress-notify-interval",
         .type = FLAG_DURATION_MS,
         .target = &c->watch_progress_interval_ms,
         .help = "Time between progress notifications."},
        {.name = "experimental-watch-progress-notify-interval",
         .type = FLAG_DURATION_MS,
         .target = &c->watch_progress_interval_ms},
        {.name = "corrupt-check-time",
         .type = FLAG_DURATION_MS,
         .target = &c->corrupt_check_ms,
         .help = "Time between comparisons of all members' key spaces (0: off)."},
        {.name = "experimental-corrupt-check-time",
         .type = FLAG_DURATION_MS,
         .target = &c->corrupt_check_ms},
        {.name = "initial-corrupt-check",
         .type = FLAG_BOOL,
         .target = &c->initial_corrupt_check,
         .help = "Compare this member's key space with the others' before it serves."},
        {.name = "experimental-initial-corrupt-check",
         .type = FLAG_BOOL,
         .target = &c->initial_corrupt_check},
        {.name = "compact-hash-check-enabled",
         .type = FLAG_BOOL,
         .target = &c->compact_hash_check,
         .help = "Compare the hashes that members take at each compaction."},
        {.name = "experimental-compact-hash-check-enabled",
         .type = FLAG_BOOL,
         .target = &c->compact_hash_check},
        {.name = "compact-hash-check-time",
         .type = FLAG_DURATION_MS,
         .target = &c->compact_hash_check_ms,
         .help = "Time between such comparisons."},
        {.name = "experimental-compact-hash-check-time",
         .type = FLAG_DURATION_MS,
         .target = &c->compact_hash_check_ms},
        {.name = "unsafe-no-fsync",
         .type = FLAG_BOOL,
         .target = &c->unsafe_no_fsync,
         .help = "Never flush to disk: a crash LOSES acknowledged writes.",
         .group = "Unsafe"},
        {.name = "version",
         .type = FLAG_BOOL,
         .target = &raw.version,
         .help = "Print the version and exit.",
         .group = "Other"},
        {.name = "help",
         .type = FLAG_BOOL,
         .target = &raw.help,
         .help = "Print this text and exit."},
        {.name = "h", .type = FLAG_BOOL, .target = &raw.help},
    };
    struct flag flags[ARRAY_COUNT(own_flags) + CONFIG_TLS_FLAGS];
    memcpy(flags, own_flags, sizeof(own_flags));
    config_tls_flags(c, flags + ARRAY_COUNT(own_flags));
    int rest;
    *out_exit_code = 2;
    if (flags_parse(flags, ARRAY_COUNT(flags), "ETCD_", argc, argv, &rest, err) != 0) {
        return CONFIG_WRONG;
    }
    if (raw.help) {
        set_defaults(c, &raw);
        printf("Usage: quorate [flags]\nAn etcd-compatible key-value server. Every flag --x-y can "
               "be given as ETCD_X_Y.\n");
        flags_print_help(flags, ARRAY_COUNT(flags));
        return CONFIG_DONE;
    }
    if (raw.version) {
        print_version();
        return CONFIG_DONE;
    }
    if (rest < argc) {
        err_set(err, E_INVALID, "'%s' is not a valid flag (see --help)", argv[rest]);
        return CONFIG_WRONG;
    }
    *out_exit_code = 1;
    if (set_logging(&raw, err) != 0 || check_shadowed(flags, ARRAY_COUNT(flags), err) != 0 ||
        apply_raw(&raw, c, is_set(flags, ARRAY_COUNT(flags), "advertise-client-urls"), err) != 0) {
        config_free(c);
        return CONFIG_WRONG;
    }
    warn_unknown_environment(flags, ARRAY_COUNT(flags));
    return CONFIG_RUN;
}

static void config_urls_free(struct config_urls *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        mem_free(list->urls[i]);
    }
    list->count = 0;
}

void config_free(struct server_config *config)
{
    mem_free(config->data_dir);
    mem_free(config->initial_cluster);
    config->data_dir = config->initial_cluster = NULL;
    config_urls_free(&config->listen_client_urls);
    config_urls_free(&config->listen_peer_urls);
    config_urls_free(&config->listen_metrics_urls);
    config_urls_free(&config->listen_client_http_urls);
    config_urls_free(&config->advertise_client_urls);
    config_urls_free(&config->initial_advertise_peer_urls);
}
