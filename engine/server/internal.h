/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the server, for the files of this folder only.
 *
 * Four threads, each a loop: I/O (sockets, HTTP/2, peers), state (Raft, apply, MVCC, leases,
 * watches: all decisions), WAL (append and flush) and store (LMDB commits, snapshots). They share
 * nothing but what is posted whole from one to the other and the atomics of struct server_shared.
 * Names of functions say the thread where it is not the state thread: io_*, wal_*, store_*.
 */
#ifndef ENGINE_SERVER_INTERNAL_H
#define ENGINE_SERVER_INTERNAL_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/held.h"
#include "base/list.h"
#include "base/map.h"
#include "base/net/http1.h"
#include "base/net/resolve.h"
#include "base/rng.h"
#include "base/seam/clock.h"
#include "base/seam/disk.h"
#include "engine/mvcc/auth.h"
#include "engine/mvcc/kv.h"
#include "engine/mvcc/lease.h"
#include "engine/mvcc/watch.h"
#include "engine/peer/peer.h"
#include "engine/proto/codec.h"
#include "engine/proto/etcd_error.h"
#include "engine/raft/raft.h"
#include "engine/rpc/grpc.h"
#include "engine/rpc/port.h"
#include "engine/server/alarm.h"
#include "engine/server/config.h"
#include "engine/server/membership.h"
#include "engine/server/server.h"
#include "engine/server/tls.h"
#include "engine/server/worker.h"
#include "engine/store/lmdb_store.h"
#include "engine/wal/wal.h"
#include "raft_internal.pb-c.h"

/* Refuse new writes when so many entries are committed and not applied (as etcd's
 * maxGapBetween...). */
#define APPLY_GAP_MAX 5000u
/* Requests that wait for a leader or for the log; beyond it clients are told "too many requests".
 */
#define WAITING_REQUESTS_MAX 20000u
/* Linearizable reads that share one round. */
#define READS_WAITING_MAX 100000u
/* Memory of applied changes that are not in the store yet; beyond it applying pauses, and from half
 * of it on the store does not wait for its interval. */
#define TAIL_BYTES_MAX (256u * 1024u * 1024u)
/* Slack of the map over the quota, so that deletes and compaction work when it is full. */
#define MAP_SLACK_BYTES         (512ull * 1024 * 1024)
#define COMPACT_KEYS_PER_TURN   1000u
#define COMPACT_REST_MS         1u /* between two turns */
#define HASH_RECORDS_PER_SLICE  10000u
#define STREAM_UNSENT_BYTES_MAX (1024u * 1024u)
/* Answers in memory that clients have not taken, all together. Beyond it a connection that holds
 * more than its share is answered no further until it takes what waits for it; who reads what it
 * asked for does not notice. */
#define ANSWERS_BYTES_MAX   (8u * 1024u * 1024u)
#define ANSWERS_BYTES_SHARE (16u * 1024u)
/* The same for requests that were taken and are not answered: beyond it, or of one connection, its
 * next ones are not read. REQUEST_BYTES is what each costs besides its message. */
#define REQUESTS_BYTES_MAX        (10u * 1024u * 1024u)
#define REQUESTS_BYTES_SHARE      (64u * 1024u)
#define REQUESTS_BYTES_PER_CLIENT (8u * 1024u * 1024u)
#define REQUEST_BYTES             3072u
/* Of one answer that is built whole: a transaction's. */
#define ANSWER_BYTES_MAX  (256u * 1024u * 1024u)
#define ANSWERS_NOT_TAKEN "etcdserver: the client does not take its answers"
#define ANSWER_TOO_LARGE  "etcdserver: the answer is larger than 256 MiB, ask for less at once"
/* Slices of history that are read for watches before other work has its turn. */
#define STREAM_PULLS_PER_TURN 16u
#define PEER_VERSION_POLL_MS  4000u
#define NS_PER_MS             UINT64_C(1000000)

struct server;
struct request;

/* ---- one client request on its way through the server ---- */

enum request_origin {
    REQUEST_RPC,
    REQUEST_CLIENT_HTTP,
    REQUEST_METRICS_HTTP,
    REQUEST_PEER_HTTP,
    REQUEST_INTERNAL
};

/* Executes on the state thread; must lead to exactly one request_reply or request_fail. */
typedef void (*request_fn)(struct server *server, struct request *request);

/*
 * Owned by whoever it was handed to last. message lives in arena, wire (the bytes as they came,
 * reused inside log entries) too.
 */
struct request {
    struct server *server;
    enum request_origin origin;
    int method;
    uint64_t handle;   /* of the gRPC call or HTTP request */
    struct held *held; /* of its connection; one reference, may be NULL */
    size_t held_bytes; /* counted there for this request */
    bool is_local;     /* see grpc_call_is_local */
    struct arena arena;
    ProtobufCMessage *message;
    struct bytes wire;
    request_fn run;
    request_fn after_proof; /* see lease_leadership_is_sure */
    bool is_proved;
    bool require_leader;
    bool log_counted; /* counted in server->waiting_count */
    uint64_t started_ns;
    uint64_t id; /* of the log entry, 0: none */
    /* Who asks, see authz.h. The texts are in the arena, of the request or of its client's. */
    const char *token, *peer_name; /* NULL: none */
    char *user_name;               /* owned; of the token, once it was looked at */
    bool is_call, authorized, on_behalf;
    bool holds_password;       /* all of it is wiped at the end */
    struct heap_node deadline; /* key: monotonic ms */
    uint64_t deadline_ms;
    struct raft_payload *payload; /* proposed bytes, while they wait for a leader; one reference */
    bool is_conf_change;
    bool must_lead;   /* given up rather than passed on to another leader */
    struct list link; /* proposals without leader, or reads waiting for a round */
    /* Called instead of an answer for REQUEST_INTERNAL; may be NULL. */
    void (*on_done)(struct server *server, struct request *request, enum etcd_error error);
    void *user;
    struct buf *answer; /* REQUEST_INTERNAL, while on_done runs: the body, NULL when it failed */
    uint64_t number;    /* free for the handler */
    int64_t number_signed;
};

/* ---- threads' work orders ---- */

/* What one take of effects wants persisted. */
struct persist_job {
    struct persist_job *next;
    struct server *server;
    struct raft_entry *entries;
    uint32_t entry_count;
    struct raft_hard_state hard_state;
    bool has_hard_state, must_sync;
    uint64_t ticket;
};

/* After the store has committed the batch: run on the state thread. */
typedef void (*batch_done_fn)(struct server *server, void *ctx);

struct batch_waiter {
    struct batch_waiter *next;
    batch_done_fn fn;
    void *ctx;
};

/* Answers collected in one turn of the state thread, handed to the I/O thread together. */
enum reply_kind {
    REPLY_MESSAGE = 1,
    REPLY_FINISH = 2,
    REPLY_PAUSE = 4,
    REPLY_RESUME = 8,
    REPLY_PART = 16, /* of a message; the first one tells its size */
    REPLY_ABORT = 32
};

struct reply {
    struct reply *next;
    enum request_origin origin;
    unsigned kinds;
    uint64_t handle;
    struct buf body;
    struct held *held;      /* counts the body until the client's socket has it; one reference */
    uint32_t message_bytes; /* first part: of the whole message; 0: see grpc_call_is_local */
    enum grpc_code code;
    char *text;      /* owned; NULL: none */
    int http_status; /* HTTP origins */
    const char *content_type;
    bool want_drain_notice;
};

/* Read by other threads than the state thread. */
struct server_shared {
    struct held_sum held; /* requests and answers of clients */
    _Atomic uint64_t leader, term, commit_index, applied_index;
    _Atomic bool ready, is_leader, is_learner, stopping, drained;
    _Atomic bool store_waits_for_space;
    _Atomic int cluster_version; /* major * 1000 + minor; 0: not decided */
};

/* A gRPC stream (watch, keep-alive) that the state thread serves. */
struct stream_state;

/* Bytes of one snapshot being made on its own thread (snapshot.c). */
struct snapshot_job;
struct install_job;
struct commit_job;
struct links;
struct compactor;
struct corruption;

/* Large ranges (ranges.c). */
struct ranges {
    struct map jobs;     /* call handle -> struct range_job */
    struct list turns;   /* struct range_group: connections whose ranges have something to do */
    struct map groups;   /* struct held of the connection -> struct range_group */
    struct list blocked; /* struct range_job: their clients have to take something first */
    size_t count, sorting;
    size_t keys_left; /* of this turn */
    bool refused;     /* said in the log, until there is room again */
    struct loop_timer timer;
};

struct server {
    const struct server_config *config;
    const struct disk_seam *disk;
    const struct clock_seam *clock;
    struct server_shared shared;
    struct worker io, state, wal_worker, store_worker, auth_worker;
    struct resolver *resolver;
    char *member_dir, *wal_dir, *snap_dir, *store_dir;

    /* I/O thread */
    struct grpc_server *grpc;
    struct http1_server *client_http, *metrics_http, *peer_http;
    struct gateway *gateway; /* NULL: switched off */
    struct port *client_port, *metrics_port, *peer_port;
    struct port *client_http_port; /* --listen-client-http-urls */
    struct server_tls tls;
    struct peer_transport *peers;
    struct list io_fetches; /* short requests to peers that run */
    bool io_closed;         /* all of the above is gone: what still comes is dropped */
    struct loop_timer drain_timer;
    uint64_t drain_pong_deadline_ms, drain_deadline_ms;

    /* WAL thread */
    struct wal *wal;
    struct persist_job *wal_jobs, *wal_jobs_last;

    /* store thread */
    struct loop_timer wal_mark_timer, commit_retry_timer;
    struct commit_job *commit_waiting; /* for room on the disk */
    struct lmdb_store *lmdb;
    struct store_seam store;

    /* state thread */
    struct raft *raft;
    struct mvcc *mvcc;
    struct lessor *lessor;
    struct watch_hub *watch_hub;
    struct membership *membership;
    struct alarms alarms;
    struct auth *auth;
    struct tokens *tokens;
    struct list token_waiters;    /* calls whose token is not applied yet */
    struct list password_waiters; /* changes of users while no cluster version is decided */
    size_t passwords_running;     /* on auth_worker */
    uint64_t member_id, cluster_id;
    struct rng rng;
    uint64_t applied_index, applied_term, snapshot_index, store_index;
    uint64_t snapshot_not_before_ms; /* the disk was full */
    /* Committed entries that wait for their application, one reference each: a ring. */
    struct raft_entry *backlog;
    size_t backlog_start, backlog_count, backlog_capacity;
    size_t tail_bytes_max;
    uint64_t request_prefix, request_count;

    struct map waiters; /* request id -> struct request */
    struct heap deadlines;
    size_t waiting_count;
    struct list proposals; /* no leader yet */
    struct list reads;     /* wait for the next round */
    struct list reads_in_round;
    struct list reads_confirmed; /* wait for applied >= request->number */
    uint64_t read_round;         /* context of the round that runs, 0: none */
    uint64_t read_round_sent_ms;

    struct store_batch *batch;
    struct batch_waiter *batch_waiters;  /* of the batch that fills */
    struct batch_waiter *commit_waiters; /* of the batch that is being committed */
    struct store_batch *committing;
    uint64_t store_used_bytes, store_file_bytes;
    uint64_t store_generation; /* counts installed snapshots: pins of an older one are gone */

    struct reply *replies, *replies_last;
    struct map streams;     /* call handle -> struct stream_state */
    struct map contests;    /* call handle -> struct contest: locks and elections that wait */
    struct list pulls;      /* streams that have something to send and room for it */
    struct list pulls_held; /* and no room: see answers_have_room */
    struct ranges ranges;

    struct loop_timer tick_timer, batch_timer, housekeeping_timer, version_timer, compact_timer;
    uint64_t next_tick_ms, last_tick_ms;
    uint32_t flushes_running;   /* handed to the WAL thread and not back */
    uint64_t flush_progress_ms; /* when the last one ended, or the first of them began */
    uint64_t full_offer_ms;     /* when leadership was offered because the disk is full; 0: never */
    bool disk_was_full;
    uint64_t leader_lost_ms; /* when the leader became unknown; 0: known */
    bool ended; /* the last word is said: nothing is handed to other threads any more */
    struct completion *end_done; /* told when nothing of the state thread's runs elsewhere */
    bool raising_alarm, published, publishing, version_proposed, snapshotting, removed, stopping;
    bool republish;                 /* also when everybody knows */
    uint64_t next_nudge_ms;         /* see cluster_nudge_when_suspect */
    struct list lease_forwards;     /* keep-alives that wait for a leader */
    struct list compaction_waiters; /* physical=true */
    uint64_t compaction_began_ms;
    struct list transfer_waiters;
    struct raft_conf_state conf_state;    /* applied */
    struct raft_snapshot_mark store_mark; /* what the store holds */
    struct buf store_membership; /* v2-store JSON of the same moment, when somebody waits for it */
    struct list snapshot_jobs;
    uint32_t snapshot_jobs_count;
    bool installing;
    uint32_t defragmenting; /* that run */
    bool suspect;           /* the log was damaged at start and not proved since */
    struct persist_job *persist_later, *persist_later_last; /* until a snapshot is recorded */
    struct install_job *install;
    char *arrived_path;
    uint64_t arrived_index;
    struct buf arrived_data;
    uint64_t seen_leader;
    struct loop_timer removed_timer, stop_timer;
    uint64_t stop_deadline_ms;
    struct membership *known_members; /* asked when joining, until linked */
    struct compactor *compactor;
    struct corruption *corruption;
    struct mvcc_lease_hook lessor_hook;

    /* between I/O and state */
    struct links *links;
    struct loop_timer io_links_timer;

    /* main thread */
    struct completion stopped;
    _Atomic int stop_signal;
};

/* ---- server.c, state.c ---- */

/* All but what start-up opens; the config is borrowed. server_free also stops what runs. */
struct server *server_new(const struct server_config *config);
void server_free(struct server *server);

/* Logs msg with err's text and ends the process at once: what is not durable was not promised. */
BASE_NORETURN void server_fatal(struct server *server, const char *msg, const char *reason);
uint64_t server_now_ms(const struct server *server);

/* The time that leases count by: the monotonic clock's. */
int64_t server_lease_now_ms(const struct server *server);

/* State thread: ends server_run with this signal number (0: removed from the cluster). */
void server_stop(struct server *server, int signal_number);

/* drain.c: clients are told to go, what they asked for before is answered. From any thread: begins
 * it; true once it is over or has taken too long. */
void drain_start(struct server *server);
bool drain_is_over(const struct server *server);

/* I/O thread, before the ports are freed. */
void io_drain_end(struct server *server);

/* State thread, once: clients are served from now on. */
void server_ready(struct server *server);

/* The map of the store: quota and slack. */
uint64_t server_map_bytes(const struct server_config *config);

/* notify.c */
void notify_ready(void);

/* State thread: no more decisions; *ctx* is the server. Its end_done is signalled when no snapshot
 * is being made any more. */
void state_end(void *server);
void state_end_continue(struct server *server);

/* Opens what the store holds (store, key space, leases, alarms, membership, watches) and closes it.
 */
BASE_MUST_CHECK int state_open(struct server *server, struct err *err);
void state_close(struct server *server);
void state_start(struct server *server);

/* Hands a request to the state thread (any thread). Takes it. */
void server_submit(struct server *server, struct request *request);

/* ---- request.c ---- */

struct request *request_new(enum request_origin origin, size_t arena_bytes);
void request_free(struct request *request);

/* Answer: body (taken) is the response in wire form without header; the header is appended. */
void request_reply(struct server *server, struct request *request, struct buf *body,
                   int64_t revision);

/* Answer without any header (nil header responses, HTTP). */
void request_reply_plain(struct server *server, struct request *request, struct buf *body);
void request_fail(struct server *server, struct request *request, enum etcd_error error);

/* The answer to an HTTP request; takes body. content_type must be a literal. */
void request_reply_http(struct server *server, struct request *request, int status,
                        const char *content_type, struct buf *body);
void request_fail_text(struct server *server, struct request *request, enum grpc_code code,
                       const char *text);

/* Stream messages: one more response, and the end. held may be NULL. */
void stream_reply(struct server *server, uint64_t handle, struct held *held, struct buf *body,
                  bool want_drain_notice);

/* One part of the answer to a call whose request is kept; message_bytes with the first. */
void request_reply_part(struct server *server, const struct request *request, struct buf *body,
                        uint32_t message_bytes);
void request_reply_end(struct server *server, const struct request *request);
void request_abort(struct server *server, const struct request *request);
void stream_finish(struct server *server, uint64_t handle, enum grpc_code code, const char *text);

/* The client's next messages wait, or come again. */
void stream_hold(struct server *server, uint64_t handle, bool paused);

/* Field 1, the ResponseHeader. revision 0 leaves it out. */
void header_append(const struct server *server, int64_t revision, struct buf *out);
void header_of(const struct server *server, int64_t revision, Etcdserverpb__ResponseHeader *out);

/* Packs message behind nothing (the header must be set inside). Replies and frees the request. */
void request_reply_message(struct server *server, struct request *request,
                           const ProtobufCMessage *message);

/* A request of the server's own: on_done (NULL allowed) is called with its outcome. */
struct request *request_internal(void (*on_done)(struct server *server, struct request *request,
                                                 enum etcd_error error));

/* Hands the turn's replies to the I/O thread. */
void replies_flush(struct server *server);
void replies_drop(struct server *server);

/* ---- propose.c ---- */

/*
 * Puts field_number (of InternalRaftRequest) with body into the log under a fresh id; the request
 * waits for its application and its deadline. Takes the request.
 */
void propose_field(struct server *server, struct request *request, uint32_t field_number,
                   struct bytes body);
void propose_message(struct server *server, struct request *request, uint32_t field_number,
                     const ProtobufCMessage *body);
void propose_conf_change(struct server *server, struct request *request,
                         enum raft_conf_change_type type, uint64_t node_id, struct bytes context);

/* Tries again what waits for a leader. */
void proposals_retry(struct server *server);

/* Takes the request that waits for this entry out of the tables; NULL: not ours. */
struct request *waiter_take(struct server *server, uint64_t id);

/* Ends what has waited too long. */
void deadlines_check(struct server *server);
void request_arm_deadline(struct server *server, struct request *request);
void request_disarm(struct server *server, struct request *request);
uint64_t next_request_id(struct server *server);

/* ---- read.c ---- */

/* Runs request->run once everything acknowledged before now is applied. Takes the request. */
void read_linearizable(struct server *server, struct request *request);
void reads_start_round(struct server *server);
void reads_on_states(struct server *server, const struct raft_read_state *states, uint32_t count);
void reads_after_apply(struct server *server);
void reads_on_leader_change(struct server *server);

/* ---- ranges.c: large ranges, in slices between other work ---- */

void ranges_init(struct server *server);

/* True when this connection may be given more answers (NULL: always). */
bool answers_have_room(const struct server *server, const struct held *held);

/* True when only those are answered who hold less than their share: then in small pieces. */
bool answers_are_many(const struct server *server);

/* Answers a checked range: at once, or in slices. Takes the request. */
void ranges_answer(struct server *server, struct request *request);

/* Runs request->run once answers_have_room for it. Takes the request. */
void ranges_hold(struct server *server, struct request *request);

/* At the end of each turn. */
void ranges_run(struct server *server);
void ranges_check(struct server *server);
void ranges_canceled(struct server *server, uint64_t handle);
void ranges_drained(struct server *server, uint64_t handle, size_t bytes);
void ranges_drop(struct server *server);

/* ---- effects.c, apply.c ---- */

void wal_flush_turn(void *server);

/* Hands on what was to be persisted while a snapshot was installed. */
void persist_after_install(struct server *server);
void persist_drop(struct server *server);
void effects_run(struct server *server);

/* Applies what is committed while the tail has room; the rest waits for the store. */
void backlog_apply(struct server *server);
void backlog_drop(struct server *server);
void apply_entry(struct server *server, const struct raft_entry *entry);

/* ---- batch.c ---- */

void batch_start(struct server *server);

/* When all threads have ended: what waited for a batch, or for room, waits no more. */
void batch_drop(struct server *server);

/* Store thread, before the first batch. */
void store_commits_start(struct server *server);

/* Commits what has been applied so far; fn runs once it is durable in the store. */
void batch_cut_then(struct server *server, batch_done_fn fn, void *ctx);
void batch_maybe_cut(struct server *server, bool timer_fired);

/* ---- quota.c ---- */

bool quota_has_room(const struct server *server, uint64_t cost);
void quota_raise_alarm(struct server *server);
void quota_alarm_raised(struct server *server, struct request *request, enum etcd_error error);

/* ---- disk_watch.c ---- */

/* True while this member takes no entries because its disk has no room for them. Any thread. */
bool disk_is_full(const struct server *server);

/* State thread, at each tick: a leader whose disk is full or silent offers its place. */
void disk_watch_tick(struct server *server);
void disk_watch_flush_begins(struct server *server);
void disk_watch_flush_ended(struct server *server, uint32_t count);

/* False for messages that bring entries while the disk is full: nobody hears an acknowledgement, so
 * they come again; all else goes on, heartbeats and votes first. */
bool disk_watch_takes(const struct server *server, const struct raft_message *message);

/* ---- snapshot.c ---- */

void snapshot_maybe_trigger(struct server *server);
void snapshot_send(struct server *server, struct raft_message *message);
void snapshot_install(struct server *server, const struct raft_snapshot_mark *mark);
void io_snapshot_arrived(struct server *server, struct raft_message *message, const char *db_path);

/* ---- cluster.c: who is who, published attributes ---- */

void cluster_on_role_change(struct server *server);
void cluster_publish(struct server *server);
void cluster_nudge_when_suspect(struct server *server);
void cluster_sync_peers(struct server *server);

/* A peer URL of the leader; NULL without one, or when it is this member. Borrowed. */
const char *cluster_leader_url(const struct server *server);
void cluster_init_timers(struct server *server);
void cluster_link_member(struct server *server, const struct member *member);
void cluster_refresh_learner(struct server *server);
void cluster_removed(struct server *server);
bool cluster_is_connected(const struct server *server, uint64_t id);
size_t cluster_connected_voters(const struct server *server);
void cluster_store_conf_state(struct store_batch *batch, const struct raft_conf_state *conf);
int cluster_load_conf_state(const struct store_seam *seam, struct store_view *view,
                            struct raft_conf_state *out);

/* ---- version.c: the cluster version and what follows from it ---- */

/* The leader asks all members for their versions and decides once it has the answers. */
void cluster_poll_versions(struct server *server);

/* From 3.6 on members and version have entries of their own. */
bool cluster_uses_v3_membership(const struct server *server);

/* Takes over what the membership says, after it was loaded or changed. */
void version_refresh(struct server *server);

/* Proposes in the form of clusters below 3.6, which every member understands. */
void version_propose_v2_put(struct server *server, struct request *request, const char *path,
                            const char *value);

/* What the peer port says to be, "3.6.14" or "3.5.0": members decide the cluster version by it. */
const char *version_for_peers(const struct server *server);

/* rpc_maintenance.c: ends the waits for a moved leader. */
void transfer_check(struct server *server);

/* links.c: since when peers are connected, as the I/O thread last saw it. */
void io_links_refresh(struct server *server);
bool links_active_since(const struct server *server, uint64_t id, uint64_t since_ms);

/* What the log says of the membership; called by apply.c alone. */
void apply_conf_change(struct server *server, uint64_t index, struct bytes data);
void apply_cluster_version(struct server *server, const char *version);
void apply_downgrade(struct server *server, const Membershippb__DowngradeInfoSetRequest *request);
void apply_member_attributes(struct server *server,
                             const Membershippb__ClusterMemberAttrSetRequest *request);
void apply_v2_request(struct server *server, const Etcdserverpb__Request *request);

/* ---- apply_auth.c, rpc_auth.c: users and roles ---- */

/* Applies what the entry says of users and roles; false when it is about something else. */
bool apply_auth(struct server *server, const Etcdserverpb__InternalRaftRequest *entry,
                enum etcd_error *out_error, struct buf *body);
bool apply_password_hash(const struct server *server, const char *user, const char *password,
                         struct buf *out);

void auth_init(struct server *server);
BASE_MUST_CHECK int auth_start(struct server *server, struct err *err);
void auth_stop(struct server *server);

/* Housekeeping: what waits for the cluster version, and old tokens. */
void rpc_auth_retry(struct server *server);

/* Users changed since this login's password was compared: it begins again (rpc_authenticate). */
bool rpc_auth_is_stale(const struct server *server, const struct request *request);

/* Ends a job of installation that will not go on. */
void snapshot_install_drop(struct server *server);

/* ---- rpc.c ---- */

void io_rpc_start(struct server *server);

/* ---- stream.c: watch and keep-alive ---- */

void stream_half_closed(struct server *server, uint64_t handle);
void stream_canceled(struct server *server, uint64_t handle);
void stream_drained(struct server *server, uint64_t handle, size_t bytes);
void streams_pull(struct server *server);
void streams_after_apply(struct server *server);
/* Ends the streams that require a leader once it has been unknown for too long. */
void streams_check_leader(struct server *server);

/* The leader has answered a keep-alive that was forwarded to it, or could not be reached. */
void keep_alive_forwarded(struct server *server, struct request *request, bool reached,
                          int64_t ttl_s);
void streams_on_revoked(struct server *server, int64_t lease);

/* Not the leader any more: keep-alives that waited for a revoke of ours ask the new one. */
void streams_on_demotion(struct server *server);
bool stream_is_served(struct server *server, uint64_t handle);

/*
 * A watch of the server's own, from start_revision on: fn gets framed WatchResponse messages
 * (see watch_stream_pull) and may end the watch. range_end empty: one key.
 */
typedef void (*stream_watch_fn)(void *ctx, struct bytes framed);
struct stream_state *stream_watch(struct server *server, struct bytes key, struct bytes range_end,
                                  int64_t start_revision, stream_watch_fn fn, void *ctx);
void stream_watch_end(struct server *server, struct stream_state *stream);

/* What its owner has sent on and its client has not taken: it is not pulled past a limit. */
void stream_watch_set_unsent(struct server *server, struct stream_state *stream, size_t bytes);

/* ---- contest.c: locks and elections ---- */

void contest_canceled(struct server *server, uint64_t handle);
void contest_drained(struct server *server, uint64_t handle, size_t bytes);

/* ---- rpc_lease.c: leases of another member's leadership ---- */

void lease_forward(struct server *server, struct request *request);
void lease_forward_later(struct server *server, struct request *request);
void lease_forget_rest(struct server *server, int64_t id);

/* True when this member's word about a lease may be given (also: that it does not lead); else
 * request asks for a confirmed read first, and run comes after it. */
bool lease_leadership_is_sure(struct server *server, struct request *request, request_fn run);
void leases_check(struct server *server);
void peer_lease_renew(struct server *server, struct request *request);

/* ---- http.c ---- */

void io_http_start(struct server *server);
void io_http_send_reply(struct server *server, struct reply *reply);

/* ---- metrics.c ---- */

void metrics_start(struct server *server);
void metrics_refresh(struct server *server);
/* At each scrape: what the I/O thread owns and frees first. */
void io_metrics_refresh(const struct server *server);
void metrics_stop(void);

#endif
