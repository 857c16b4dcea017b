/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine was asked to do: etcd's flags, environment variables (ETCD_...) or configuration
 * file, read into one struct and checked before anything is opened. The names, defaults and
 * refusals are etcd's.
 */
#ifndef ENGINE_SERVER_CONFIG_H
#define ENGINE_SERVER_CONFIG_H

#include "base/defs.h"
#include "base/err.h"
#include "engine/server/features.h"

#define SERVER_VERSION             "3.6.14" /* the etcd version that clients see and detect features by */
#define SERVER_CLUSTER_VERSION     "3.6.0" /* the highest cluster version that we take part in */
#define SERVER_MIN_CLUSTER_VERSION "3.0.0"
#define QUORATE_VERSION            "0.1.0"

#define CONFIG_URLS_MAX      16u
#define CONFIG_QUOTA_DEFAULT (2ll * 1024 * 1024 * 1024)

enum cluster_state { CLUSTER_STATE_NEW, CLUSTER_STATE_EXISTING };
enum compaction_mode { COMPACTION_PERIODIC, COMPACTION_REVISION };

/* A list of URLs from a comma-separated flag; the texts are owned by the config. */
struct config_urls {
    char *urls[CONFIG_URLS_MAX];
    uint32_t count;
};

/* One group of TLS flags: --cert-file and so on, or --peer-cert-file and so on. NULL is as "". */
struct config_tls {
    const char *cert_file, *key_file, *client_cert_file, *client_key_file;
    const char *trusted_ca_file, *crl_file;
    const char *allowed_names, *allowed_hosts; /* comma-separated */
    bool client_cert_auth, auto_tls, skip_client_san;
};

/* How the first members find each other other than by --initial-cluster. NULL is as "". */
struct config_discovery {
    const char *url, *proxy;         /* of the v2 protocol, which is not spoken */
    const char *srv, *srv_name;      /* DNS: the domain, and what the service is called */
    const char *endpoints, *token;   /* v3: the cluster that knows; comma-separated */
    const char *cert, *key, *cacert; /* v3, files */
    const char *user, *password;     /* v3; user may be NAME:PASSWORD */
    bool insecure_transport, insecure_skip_verify;
    int64_t dial_timeout_ms, request_timeout_ms, keepalive_time_ms, keepalive_timeout_ms;
};

struct json;

/* Owned by main; config_free. Texts borrow argv, the environment or literals unless said. */
struct server_config {
    const char *name;
    char *data_dir; /* owned */
    const char *wal_dir;
    struct config_urls listen_client_urls, listen_peer_urls, listen_metrics_urls;
    struct config_urls listen_client_http_urls; /* given: listen_client_urls speak gRPC only */
    struct config_urls advertise_client_urls, initial_advertise_peer_urls;
    char *initial_cluster; /* owned; name=url,... */
    const char *initial_cluster_token;
    enum cluster_state initial_cluster_state;
    uint64_t snapshot_count, snapshot_catchup_entries;
    int64_t heartbeat_ms, election_ms;
    int64_t quota_backend_bytes; /* 0: default, negative: no limit */
    enum compaction_mode auto_compaction_mode;
    int64_t auto_compaction_retention; /* ms, or revisions; 0: off */
    uint64_t max_txn_ops, max_request_bytes, max_concurrent_streams;
    uint64_t max_snapshots, max_wals, max_learners;
    int64_t backend_batch_interval_ms;
    uint64_t backend_batch_limit;
    int64_t watch_progress_interval_ms;
    const char *auth_token; /* NULL: simple */
    uint64_t auth_token_ttl_s;
    int64_t bcrypt_cost;      /* 0: the default */
    int hold_cluster_version; /* 3005: never above 3.5; 0: not held */
    struct config_tls client_tls, peer_tls;
    const char *cipher_suites, *tls_min_version, *tls_max_version;
    uint64_t self_signed_cert_validity; /* years */
    const char *cors, *host_whitelist;  /* comma-separated; "*": all */
    bool enable_grpc_gateway;
    int64_t corrupt_check_ms; /* 0: never */
    int64_t compact_hash_check_ms;
    bool compact_hash_check, initial_corrupt_check; /* as in features */
    bool features[FEATURE_COUNT];
    struct config_discovery discovery;
    int64_t keepalive_min_ms, keepalive_interval_ms, keepalive_timeout_ms; /* gRPC; 0: default */
    int64_t raft_read_timeout_ms, raft_write_timeout_ms;                   /* 0: default */
    bool reuse_port, reuse_address;
    bool no_election_tick_advance; /* alone, wait for the election timeout all the same */
    bool memory_mlock, allow_memory_dumps;
    int64_t compaction_sleep_ms;                /* between slices of a compaction; 0: default */
    int64_t warning_apply_ms, warning_unary_ms; /* 0: never */
    uint64_t bootstrap_defrag_mb;               /* that must be gained at least; 0: never */
    bool strict_reconfig_check, pre_vote, unsafe_no_fsync, force_new_cluster;
    struct json *file;              /* owned: texts of --config-file; NULL: none */
    uint64_t compact_keys_per_turn; /* --compaction-batch-limit; 0: default */
    int64_t lease_checkpoint_ms;    /* no flag; 0: the default */
    /* No flags, 0 is the default: small ones take the simulator to rare places. */
    uint64_t watch_pull_bytes, watch_cache_bytes;
    uint64_t raft_message_bytes; /* of entries in one append, no flag; 0: the core's default */
    uint64_t wal_segment_bytes;
    size_t tail_bytes_max;
};

enum config_outcome { CONFIG_RUN, CONFIG_DONE, CONFIG_WRONG };

/*
 * Reads argv, and then either --config-file (ETCD_CONFIG_FILE), which stands alone, or the
 * environment. CONFIG_DONE: --version or --help was answered on stdout, exit 0. CONFIG_WRONG: err
 * says what is wrong and what to do, exit 2 for the command line, 1 for the file, the environment
 * and values that contradict each other (*out_exit_code). Sets the log level and format.
 */
enum config_outcome config_read(int argc, char **argv, struct server_config *out_config,
                                int *out_exit_code, struct err *err);
void config_free(struct server_config *config);

/*
 * With the gate SetMemberLocalAddr the address that peers are dialled from: the first one of
 * --initial-advertise-peer-urls that is neither loopback nor "any"; else "". out has room for
 * URL_HOST_MAX + 1.
 */
void config_local_host(const struct server_config *config, char *out);

#endif
