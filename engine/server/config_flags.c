/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of flags: all names of etcd 3.6 with their defaults, and ours. Rows without help are
 * older names, and names that etcd takes and no longer knows.
 */
#include <limits.h>
#include <string.h>

#include "base/assert.h"
#include "engine/server/config_input.h"

#define AT(field) offsetof(struct config_input, field)
#define TEXT(name, field, help)                                                                    \
    {                                                                                              \
        name, FLAG_STRING, AT(field), help, NULL, 0                                                \
    }
#define YES_NO(name, field, help)                                                                  \
    {                                                                                              \
        name, FLAG_BOOL, AT(field), help, NULL, 0                                                  \
    }
#define WHOLE(name, field, help)                                                                   \
    {                                                                                              \
        name, FLAG_UINT, AT(field), help, NULL, 0                                                  \
    }
#define NUMBER(name, field, help)                                                                  \
    {                                                                                              \
        name, FLAG_INT, AT(field), help, NULL, 0                                                   \
    }
#define DURATION(name, field, help)                                                                \
    {                                                                                              \
        name, FLAG_DURATION_MS, AT(field), help, NULL, 0                                           \
    }
#define FIRST(type, name, field, help, group)                                                      \
    {                                                                                              \
        name, type, AT(field), help, group, 0                                                      \
    }
#define IGNORED(name)                                                                              \
    {                                                                                              \
        name, FLAG_IGNORED, 0, NULL, NULL, 0                                                       \
    }

static const struct config_row MEMBER_ROWS[] = {
    FIRST(FLAG_STRING, "name", c.name, "Human-readable name for this member.", "Member"),
    TEXT("data-dir", data_dir, "Path to the data directory (default ${name}.etcd)."),
    TEXT("wal-dir", c.wal_dir, "Path to the dedicated WAL directory."),
    WHOLE("snapshot-count", c.snapshot_count,
          "Number of committed transactions that trigger a snapshot to disk."),
    NUMBER("heartbeat-interval", c.heartbeat_ms, "Time in milliseconds between heartbeats."),
    NUMBER("election-timeout", c.election_ms, "Time in milliseconds for an election to time out."),
    YES_NO("initial-election-tick-advance", election_tick_advance,
           "A member that is alone elects itself at once when it starts."),
    TEXT("listen-peer-urls", listen_peer, "URLs to listen on for peer traffic."),
    TEXT("listen-client-urls", listen_client, "URLs to listen on for client gRPC and HTTP."),
    TEXT("listen-client-http-urls", listen_client_http,
         "URLs for clients' HTTP; given, --listen-client-urls speak gRPC only."),
    WHOLE("max-snapshots", c.max_snapshots, "Snapshot files to keep (0: all)."),
    WHOLE("max-wals", c.max_wals, "WAL files to keep (0: all)."),
    YES_NO("memory-mlock", c.memory_mlock, "Keep this process's memory out of swap."),
    NUMBER("quota-backend-bytes", c.quota_backend_bytes,
           "Size of the key space that raises the NOSPACE alarm (0: 2 GiB, negative: off)."),
    TEXT("backend-bbolt-freelist-type", freelist_type,
         "array or map: taken, without effect: the store is not bbolt."),
    DURATION("backend-batch-interval", c.backend_batch_interval_ms,
             "Longest time before applied changes are committed to the store."),
    WHOLE("backend-batch-limit", c.backend_batch_limit,
          "Most changes before they are committed to the store."),
    WHOLE("max-txn-ops", c.max_txn_ops, "Most operations in a transaction."),
    WHOLE("max-request-bytes", c.max_request_bytes, "Largest client request in bytes."),
    {"max-concurrent-streams", FLAG_UINT, AT(c.max_concurrent_streams),
     "Most concurrent streams of one client connection.", NULL, UINT32_MAX},
    DURATION("grpc-keepalive-min-time", c.keepalive_min_ms,
             "Least time between pings of a client."),
    DURATION("grpc-keepalive-interval", c.keepalive_interval_ms,
             "Silence of a client after which it is pinged (0: the default)."),
    DURATION("grpc-keepalive-timeout", c.keepalive_timeout_ms,
             "Time for the answer to that ping; then the connection is closed (0: the default)."),
    YES_NO("socket-reuse-port", c.reuse_port, "Listen with SO_REUSEPORT."),
    YES_NO("socket-reuse-address", c.reuse_address,
           "Listen with SO_REUSEADDR: always on, whatever this says."),
    YES_NO("enable-grpc-gateway", c.enable_grpc_gateway, "Serve the JSON gateway under /v3/."),
    DURATION("raft-read-timeout", c.raft_read_timeout_ms,
             "Silence of a peer after which its connection is closed, at least 5s."),
    DURATION("raft-write-timeout", c.raft_write_timeout_ms,
             "Taken, at least 5s; unsent messages are bounded by bytes instead."),
    TEXT("feature-gates", feature_gates,
         "Gates, as NAME=true,...: AllAlpha, AllBeta, CompactHashCheck, InitialCorruptCheck, "
         "LeaseCheckpoint, LeaseCheckpointPersist, SetMemberLocalAddr, StopGRPCServiceOnDefrag, "
         "TxnModeWriteWithSharedBuffer."),
};

static const struct config_row CLUSTER_ROWS[] = {
    FIRST(FLAG_STRING, "initial-advertise-peer-urls", advertise_peer,
          "This member's peer URLs as the other members see them.", "Clustering"),
    TEXT("initial-cluster", initial_cluster, "Members for bootstrapping: name=peerURL,..."),
    TEXT("initial-cluster-state", cluster_state,
         "new, or existing for a member that joins; without meaning once there is data."),
    TEXT("initial-cluster-token", c.initial_cluster_token, "Token that keeps clusters apart."),
    TEXT("advertise-client-urls", advertise_client,
         "This member's client URLs as clients see them."),
    TEXT("discovery-endpoints", c.discovery.endpoints,
         "The cluster through which the first members find each other (their JSON gateway)."),
    TEXT("discovery-token", c.discovery.token, "The name of the new cluster there."),
    DURATION("discovery-dial-timeout", c.discovery.dial_timeout_ms, "Time for a connection to it."),
    DURATION("discovery-request-timeout", c.discovery.request_timeout_ms,
             "Time for each question to it."),
    DURATION("discovery-keepalive-time", c.discovery.keepalive_time_ms,
             "Taken, without effect: its connections are short."),
    DURATION("discovery-keepalive-timeout", c.discovery.keepalive_timeout_ms,
             "Taken, without effect."),
    YES_NO("discovery-insecure-transport", c.discovery.insecure_transport,
           "Endpoints without a scheme are asked without TLS."),
    YES_NO("discovery-insecure-skip-tls-verify", c.discovery.insecure_skip_verify,
           "Do not check their certificates. For tests."),
    TEXT("discovery-cert", c.discovery.cert, "Certificate to show to them."),
    TEXT("discovery-key", c.discovery.key, "Private key of --discovery-cert."),
    TEXT("discovery-cacert", c.discovery.cacert, "Authorities that they are checked by."),
    TEXT("discovery-user", c.discovery.user, "NAME or NAME:PASSWORD to log in with there."),
    TEXT("discovery-password", c.discovery.password, "The password of --discovery-user."),
    TEXT("discovery-srv", c.discovery.srv, "DNS domain whose SRV records name the first members."),
    TEXT("discovery-srv-name", c.discovery.srv_name,
         "What is added to the service's name: _etcd-server-NAME._tcp.DOMAIN."),
    TEXT("discovery", c.discovery.url, "URL of v2 discovery: not spoken, use the others."),
    TEXT("discovery-fallback", discovery_fallback, "exit."),
    TEXT("discovery-proxy", c.discovery.proxy, "Proxy for v2 discovery: not spoken."),
    YES_NO("strict-reconfig-check", c.strict_reconfig_check,
           "Refuse membership changes that would lose quorum."),
    YES_NO("pre-vote", c.pre_vote, "Ask before raising the term."),
    WHOLE("max-learners", c.max_learners, "Most learners at a time."),
    TEXT("auto-compaction-mode", compaction_mode, "periodic or revision."),
    TEXT("auto-compaction-retention", compaction_retention,
         "What automatic compaction keeps: a duration, hours, or revisions (0: off)."),
    TEXT("v2-deprecation", v2_deprecation, "Taken, without effect: there is no v2 store."),
    TEXT("hold-cluster-version", hold_version,
         "3.4, 3.5 or 3.6: the cluster version is never raised above it, so that members of that "
         "etcd version can come back."),
};

static const struct config_row SECURITY_ROWS[] = {
    FIRST(FLAG_STRING, "cert-file", c.client_tls.cert_file, "Certificate of the client ports.",
          "Security"),
    TEXT("key-file", c.client_tls.key_file, "Private key of --cert-file."),
    TEXT("client-cert-file", c.client_tls.client_cert_file,
         "Certificate to show to own client ports; none: --cert-file."),
    TEXT("client-key-file", c.client_tls.client_key_file, "Private key of --client-cert-file."),
    YES_NO("client-cert-auth", c.client_tls.client_cert_auth,
           "Demand certificates of clients; their common name can be a user."),
    TEXT("client-crl-file", c.client_tls.crl_file, "Revoked certificates of clients."),
    TEXT("client-cert-allowed-hostname", c.client_tls.allowed_hosts,
         "Hosts, comma-separated, that certificates of clients must be for."),
    TEXT("trusted-ca-file", c.client_tls.trusted_ca_file,
         "Authorities of clients; given, clients must show a certificate."),
    YES_NO("auto-tls", c.client_tls.auto_tls,
           "Client ports with a certificate that is made and kept in the data dir."),
    TEXT("peer-cert-file", c.peer_tls.cert_file, "Certificate of this member for peers."),
    TEXT("peer-key-file", c.peer_tls.key_file, "Private key of --peer-cert-file."),
    TEXT("peer-client-cert-file", c.peer_tls.client_cert_file,
         "Certificate to dial peers with; none: --peer-cert-file."),
    TEXT("peer-client-key-file", c.peer_tls.client_key_file,
         "Private key of --peer-client-cert-file."),
    YES_NO("peer-client-cert-auth", c.peer_tls.client_cert_auth, "Demand certificates of peers."),
    TEXT("peer-trusted-ca-file", c.peer_tls.trusted_ca_file, "Authorities of peers."),
    YES_NO("peer-auto-tls", c.peer_tls.auto_tls,
           "Peer ports with a certificate that is made and kept in the data dir."),
    TEXT("peer-crl-file", c.peer_tls.crl_file, "Revoked certificates of peers."),
    TEXT("peer-cert-allowed-cn", c.peer_tls.allowed_names,
         "Common names, comma-separated, one of which certificates of peers must have."),
    TEXT("peer-cert-allowed-hostname", c.peer_tls.allowed_hosts,
         "Hosts, comma-separated, that certificates of peers must be for."),
    YES_NO("peer-skip-client-san-verification", c.peer_tls.skip_client_san,
           "Do not ask whether a peer calls from a host of its certificate."),
    WHOLE("self-signed-cert-validity", c.self_signed_cert_validity,
          "Years that --auto-tls and --peer-auto-tls certificates hold."),
    TEXT("cipher-suites", c.cipher_suites, "TLS 1.2 cipher suites by Go's names, comma-separated."),
    TEXT("tls-min-version", c.tls_min_version, "TLS1.2 or TLS1.3."),
    TEXT("tls-max-version", c.tls_max_version, "TLS1.2, TLS1.3 or nothing."),
    TEXT("cors", c.cors,
         "Origins of web pages that may use the HTTP API, comma-separated (* is all)."),
    TEXT("host-whitelist", c.host_whitelist,
         "Host names that requests without TLS may be sent to, comma-separated."),
    YES_NO("allow-memory-dumps", c.allow_memory_dumps,
           "Where private keys are held: let debuggers, perf and core files read the memory."),
    FIRST(FLAG_STRING, "auth-token", c.auth_token,
          "simple, or jwt with pub-key=, priv-key=, sign-method= and ttl=.", "Auth"),
    WHOLE("auth-token-ttl", c.auth_token_ttl_s,
          "Time in seconds that a simple token lives unused."),
    NUMBER("bcrypt-cost", c.bcrypt_cost, "Cost of hashing passwords, 4 to 31."),
};

static const struct config_row MONITORING_ROWS[] = {
    FIRST(FLAG_STRING, "listen-metrics-urls", listen_metrics, "URLs for /metrics and health only.",
          "Monitoring"),
    TEXT("metrics", metrics, "basic or extensive."),
    YES_NO("enable-pprof", enable_pprof,
           "Taken, without effect: there is no Go runtime; use perf."),
    YES_NO("enable-distributed-tracing", enable_tracing, "Refused: traces are not sent."),
    TEXT("distributed-tracing-address", tracing_address, "Taken, without effect."),
    TEXT("distributed-tracing-service-name", tracing_service, "Taken, without effect."),
    TEXT("distributed-tracing-instance-id", tracing_instance, "Taken, without effect."),
    NUMBER("distributed-tracing-sampling-rate", tracing_rate, "Taken, without effect."),
    FIRST(FLAG_STRING, "log-level", log_level, "debug, info, warn, error, panic or fatal.",
          "Logging"),
    TEXT("log-format", log_format, "json or console."),
    TEXT("log-outputs", log_outputs,
         "default, stderr, stdout and paths of files, up to four, comma-separated."),
    TEXT("logger", logger, "zap."),
    YES_NO("enable-log-rotation", enable_log_rotation,
           "Refused: let logrotate or the container's runtime do it."),
    TEXT("log-rotation-config-json", log_rotation, "Taken, without effect."),
};

static const struct config_row TUNING_ROWS[] = {
    FIRST(FLAG_UINT, "snapshot-catchup-entries", c.snapshot_catchup_entries,
          "Entries kept for slow followers after a snapshot.", "Tuning and checks"),
    NUMBER("compaction-batch-limit", compaction_batch_limit,
           "Most revisions that a compaction deletes in one go (0: 1000)."),
    DURATION("compaction-sleep-interval", c.compaction_sleep_ms,
             "Rest between two such goes (0: 1ms)."),
    DURATION("watch-progress-notify-interval", c.watch_progress_interval_ms,
             "Time between progress notifications."),
    DURATION("corrupt-check-time", c.corrupt_check_ms,
             "Time between comparisons of all members' key spaces (0: off)."),
    DURATION("compact-hash-check-time", c.compact_hash_check_ms,
             "Time between comparisons of compactions' hashes, with its gate."),
    DURATION("downgrade-check-time", downgrade_check_ms,
             "Taken: the members' versions are looked at every 4s."),
    WHOLE("bootstrap-defrag-threshold-megabytes", c.bootstrap_defrag_mb,
          "Defragment at start when that gains so much (0: never)."),
    DURATION("warning-apply-duration", c.warning_apply_ms,
             "Warn of changes that take longer to apply (0: never)."),
    DURATION("warning-unary-request-duration", c.warning_unary_ms,
             "Warn of calls that take longer (0: never)."),
    FIRST(FLAG_BOOL, "force-new-cluster", c.force_new_cluster,
          "Become the only member of a new cluster with the data that is here. The others must "
          "never come back.",
          "Unsafe"),
    YES_NO("unsafe-no-fsync", c.unsafe_no_fsync,
           "Never flush to disk: a crash LOSES acknowledged writes."),
    FIRST(FLAG_STRING, "config-file", config_file,
          "YAML file with these names as keys; given, all other flags and variables are ignored.",
          "Other"),
    YES_NO("version", version, "Print the version and exit."),
    YES_NO("help", help, "Print this text and exit."),
    YES_NO("h", help, NULL),
};

/* Names that others have taken the place of. */
static const struct config_row OLDER_ROWS[] = {
    DURATION("experimental-compact-hash-check-time", c.compact_hash_check_ms, NULL),
    DURATION("experimental-corrupt-check-time", c.corrupt_check_ms, NULL),
    NUMBER("experimental-compaction-batch-limit", compaction_batch_limit, NULL),
    DURATION("experimental-watch-progress-notify-interval", c.watch_progress_interval_ms, NULL),
    DURATION("experimental-warning-apply-duration", c.warning_apply_ms, NULL),
    DURATION("experimental-warning-unary-request-duration", c.warning_unary_ms, NULL),
    WHOLE("experimental-bootstrap-defrag-threshold-megabytes", c.bootstrap_defrag_mb, NULL),
    YES_NO("experimental-memory-mlock", c.memory_mlock, NULL),
    WHOLE("experimental-snapshot-catchup-entries", c.snapshot_catchup_entries, NULL),
    DURATION("experimental-compaction-sleep-interval", c.compaction_sleep_ms, NULL),
    DURATION("experimental-downgrade-check-time", downgrade_check_ms, NULL),
    YES_NO("experimental-peer-skip-client-san-verification", c.peer_tls.skip_client_san, NULL),
    YES_NO("experimental-enable-distributed-tracing", enable_tracing, NULL),
    TEXT("experimental-distributed-tracing-address", tracing_address, NULL),
    TEXT("experimental-distributed-tracing-service-name", tracing_service, NULL),
    TEXT("experimental-distributed-tracing-instance-id", tracing_instance, NULL),
    NUMBER("experimental-distributed-tracing-sampling-rate", tracing_rate, NULL),
    YES_NO("experimental-stop-grpc-service-on-defrag", gates[FEATURE_STOP_GRPC_ON_DEFRAG], NULL),
    YES_NO("experimental-initial-corrupt-check", gates[FEATURE_INITIAL_CORRUPT_CHECK], NULL),
    YES_NO("initial-corrupt-check", gates[FEATURE_INITIAL_CORRUPT_CHECK], NULL),
    YES_NO("experimental-compact-hash-check-enabled", gates[FEATURE_COMPACT_HASH_CHECK], NULL),
    YES_NO("compact-hash-check-enabled", gates[FEATURE_COMPACT_HASH_CHECK], NULL),
    YES_NO("experimental-txn-mode-write-with-shared-buffer", gates[FEATURE_TXN_SHARED_BUFFER],
           NULL),
    YES_NO("experimental-enable-lease-checkpoint", gates[FEATURE_LEASE_CHECKPOINT], NULL),
    YES_NO("experimental-enable-lease-checkpoint-persist", gates[FEATURE_LEASE_CHECKPOINT_PERSIST],
           NULL),
    IGNORED("cluster-active-size"),
    IGNORED("cluster-remove-delay"),
    IGNORED("cluster-sync-interval"),
    IGNORED("config"),
    IGNORED("force"),
    IGNORED("max-result-buffer"),
    IGNORED("max-retry-attempts"),
    IGNORED("peer-heartbeat-interval"),
    IGNORED("peer-election-timeout"),
    IGNORED("retry-interval"),
    IGNORED("snapshot"),
    IGNORED("v"),
    IGNORED("vv"),
    IGNORED("test.coverprofile"),
    IGNORED("test.outputdir"),
};

static const struct {
    const struct config_row *rows;
    size_t count;
} TABLES[] = {
    {MEMBER_ROWS, ARRAY_COUNT(MEMBER_ROWS)},     {CLUSTER_ROWS, ARRAY_COUNT(CLUSTER_ROWS)},
    {SECURITY_ROWS, ARRAY_COUNT(SECURITY_ROWS)}, {MONITORING_ROWS, ARRAY_COUNT(MONITORING_ROWS)},
    {TUNING_ROWS, ARRAY_COUNT(TUNING_ROWS)},     {OLDER_ROWS, ARRAY_COUNT(OLDER_ROWS)},
};

const struct config_rename CONFIG_RENAMES[] = {
    {"experimental-compact-hash-check-time", "compact-hash-check-time"},
    {"experimental-corrupt-check-time", "corrupt-check-time"},
    {"experimental-compaction-batch-limit", "compaction-batch-limit"},
    {"experimental-watch-progress-notify-interval", "watch-progress-notify-interval"},
    {"experimental-warning-apply-duration", "warning-apply-duration"},
    {"experimental-warning-unary-request-duration", "warning-unary-request-duration"},
    {"experimental-bootstrap-defrag-threshold-megabytes", "bootstrap-defrag-threshold-megabytes"},
    {"experimental-memory-mlock", "memory-mlock"},
    {"experimental-snapshot-catchup-entries", "snapshot-catchup-entries"},
    {"experimental-compaction-sleep-interval", "compaction-sleep-interval"},
    {"experimental-downgrade-check-time", "downgrade-check-time"},
    {"experimental-peer-skip-client-san-verification", "peer-skip-client-san-verification"},
    {"experimental-enable-distributed-tracing", "enable-distributed-tracing"},
    {"experimental-distributed-tracing-address", "distributed-tracing-address"},
    {"experimental-distributed-tracing-service-name", "distributed-tracing-service-name"},
    {"experimental-distributed-tracing-instance-id", "distributed-tracing-instance-id"},
    {"experimental-distributed-tracing-sampling-rate", "distributed-tracing-sampling-rate"},
};
const size_t CONFIG_RENAME_COUNT = ARRAY_COUNT(CONFIG_RENAMES);

const struct config_gate_flag CONFIG_GATE_FLAGS[] = {
    {"experimental-stop-grpc-service-on-defrag", FEATURE_STOP_GRPC_ON_DEFRAG},
    {"experimental-initial-corrupt-check", FEATURE_INITIAL_CORRUPT_CHECK},
    {"initial-corrupt-check", FEATURE_INITIAL_CORRUPT_CHECK},
    {"experimental-compact-hash-check-enabled", FEATURE_COMPACT_HASH_CHECK},
    {"compact-hash-check-enabled", FEATURE_COMPACT_HASH_CHECK},
    {"experimental-txn-mode-write-with-shared-buffer", FEATURE_TXN_SHARED_BUFFER},
    {"experimental-enable-lease-checkpoint", FEATURE_LEASE_CHECKPOINT},
    {"experimental-enable-lease-checkpoint-persist", FEATURE_LEASE_CHECKPOINT_PERSIST},
};
const size_t CONFIG_GATE_FLAG_COUNT = ARRAY_COUNT(CONFIG_GATE_FLAGS);

void config_defaults(struct config_input *input)
{
    *input = (struct config_input){
        .c =
            {
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
                .client_tls = {"", "", "", "", "", "", "", "", false, false, false},
                .peer_tls = {"", "", "", "", "", "", "", "", false, false, false},
                .cipher_suites = "",
                .tls_min_version = "TLS1.2",
                .tls_max_version = "",
                .self_signed_cert_validity = 1,
                .keepalive_min_ms = 5000,
                .keepalive_interval_ms = 2 * 3600 * 1000,
                .keepalive_timeout_ms = 20000,
                .raft_read_timeout_ms = 5000,
                .raft_write_timeout_ms = 5000,
                .warning_apply_ms = 100,
                .warning_unary_ms = 300,
                .discovery = {"", "", "", "", "", "", "", "", "", "", "", true, false, 2000, 5000,
                              2000, 6000},
            },
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
        .v2_deprecation = "write-only",
        .hold_version = "",
        .feature_gates = "",
        .discovery_fallback = "exit",
        .freelist_type = "map",
        .log_rotation = "",
        .tracing_address = "localhost:4317",
        .tracing_service = "etcd",
        .tracing_instance = "",
        .downgrade_check_ms = 5000,
        .election_tick_advance = true,
    };
}

struct flag config_row_flag(const struct config_row *row, struct config_input *input)
{
    return (struct flag){.name = row->name,
                         .type = row->type,
                         .target = row->type == FLAG_IGNORED ? NULL : (char *)input + row->offset,
                         .help = row->help,
                         .group = row->group,
                         .max = row->max};
}

size_t config_flags(struct config_input *input, struct flag *out)
{
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(TABLES); i++) {
        for (size_t j = 0; j < TABLES[i].count; j++) {
            ASSERT(count < CONFIG_FLAGS_MAX);
            out[count++] = config_row_flag(&TABLES[i].rows[j], input);
        }
    }
    return count;
}

struct flag *config_find(struct flag *flags, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(flags[i].name, name) == 0) {
            return &flags[i];
        }
    }
    return NULL;
}
