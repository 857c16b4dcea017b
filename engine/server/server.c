/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a server: threads up, cluster found, ports open; and down again in the reverse order.
 */
#include "engine/rpc/gateway.h"
#include "engine/server/server.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/bootstrap.h"
#include "engine/server/compactor.h"
#include "engine/server/corrupt.h"
#include "engine/server/fetch.h"
#include "engine/server/links.h"
#include "engine/server/process.h"
#include "engine/server/rpc.h"

#define LINKS_REFRESH_MS 250u
#define WAL_MARK_MS      1000u
#define STOP_STEP_MS     50u
#define EXIT_FATAL       1

void server_fatal(struct server *server, const char *msg, const char *reason)
{
    (void)server;
    log_write(LOG_LEVEL_FATAL, __FILE__, __LINE__, msg,
              &(struct log_field){"error", LOG_FIELD_STR, reason, 0}, 1);
    process_exit(EXIT_FATAL);
}

/* ---- making and freeing ---- */

/* From a copy, so that what is drawn later does not hang on it. */
static uint64_t lease_seed(const struct server *server)
{
    struct rng copy = server->rng;
    return rng_next(&copy) | 1;
}

struct server *server_new(const struct server_config *config)
{
    struct server *server = mem_zalloc(sizeof(*server));
    server->config = config;
    server->disk = disk_posix();
    server->clock = clock_posix();
    server->member_dir = str_printf("%s/member", config->data_dir);
    server->wal_dir = *config->wal_dir != '\0' ? str_dup(config->wal_dir)
                                               : str_printf("%s/wal", server->member_dir);
    server->snap_dir = str_printf("%s/snap", server->member_dir);
    server->store_dir = str_printf("%s/store", server->member_dir);
    server->stopped.fd = -1;
    server->tail_bytes_max = config->tail_bytes_max == 0 ? TAIL_BYTES_MAX : config->tail_bytes_max;
    rng_seed(&server->rng, process_random());
    map_init(&server->waiters);
    map_init(&server->streams);
    map_init(&server->contests);
    heap_init(&server->deadlines);
    struct list *lists[] = {
        &server->proposals,        &server->reads,          &server->reads_in_round,
        &server->reads_confirmed,  &server->lease_forwards, &server->compaction_waiters,
        &server->transfer_waiters, &server->snapshot_jobs,  &server->io_fetches};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        list_init(lists[i]);
    }
    list_init(&server->pulls);
    list_init(&server->pulls_held);
    ranges_init(server);
    list_init(&server->token_waiters);
    list_init(&server->password_waiters);
    auth_init(server);
    buf_init(&server->store_membership, BUF_NO_LIMIT);
    buf_init(&server->arrived_data, BUF_NO_LIMIT);
    const struct lessor_config lessor = {
        .min_ttl_s =
            lessor_min_ttl_s(config->heartbeat_ms, config->election_ms / config->heartbeat_ms),
        .checkpoints = config->features[FEATURE_LEASE_CHECKPOINT],
        .checkpoint_interval_ms = config->lease_checkpoint_ms,
        .persist_checkpoints = config->features[FEATURE_LEASE_CHECKPOINT_PERSIST],
        .seed = lease_seed(server)};
    server->lessor = lessor_new(&lessor);
    server->membership = membership_new((size_t)config->max_learners);
    server->links = links_new();
    server->compactor = compactor_new();
    server->corruption = corruption_new();
    return server;
}

/* Every request is in the table of ids, in the heap, or in a list; the heap has all that wait. */
static void drop_requests(struct server *server)
{
    for (struct heap_node *top = heap_top(&server->deadlines); top != NULL;
         top = heap_top(&server->deadlines)) {
        request_fail(server, CONTAINER_OF(top, struct request, deadline), ETCD_ERR_STOPPED);
    }
    while (!list_empty(&server->lease_forwards)) {
        struct request *request = LIST_ENTRY(server->lease_forwards.next, struct request, link);
        list_remove(&request->link);
        request_free(request);
    }
    replies_drop(server);
}

void server_free(struct server *server)
{
    struct worker *workers[] = {&server->auth_worker, &server->store_worker, &server->wal_worker,
                                &server->state, &server->io};
    for (size_t i = 0; i < ARRAY_COUNT(workers); i++) {
        worker_stop(workers[i]);
    }
    if (server->resolver != NULL) {
        resolver_free(server->resolver);
    }
    drop_requests(server);
    backlog_drop(server);
    persist_drop(server);
    batch_drop(server);
    snapshot_install_drop(server);
    membership_free(server->known_members);
    if (server->watch_hub != NULL) {
        watch_hub_free(server->watch_hub);
    }
    state_close(server);
    wal_close(server->wal);
    raft_free(server->raft);
    lessor_free(server->lessor);
    auth_stop(server);
    membership_free(server->membership);
    links_free(server->links);
    compactor_free(server->compactor);
    corruption_free(server->corruption);
    map_free(&server->waiters);
    map_free(&server->streams);
    map_free(&server->contests);
    heap_free(&server->deadlines);
    buf_free(&server->store_membership);
    buf_free(&server->arrived_data);
    completion_free(&server->stopped);
    for (size_t i = 0; i < ARRAY_COUNT(workers); i++) {
        worker_free(workers[i]); /* last: timers and look-ups still knew their loops */
    }
    server_tls_free(server);
    mem_free(server->member_dir);
    mem_free(server->wal_dir);
    mem_free(server->snap_dir);
    mem_free(server->store_dir);
    mem_free(server);
}

/* ---- the I/O side ---- */

static void io_on_message(void *ctx, struct raft_message *message);

struct peer_message {
    struct server *server;
    struct raft_message message;
};

/* State thread. */
static void state_step(void *ctx)
{
    struct peer_message *job = ctx;
    if (disk_watch_takes(job->server, &job->message)) {
        raft_step(job->server->raft, &job->message);
    } else {
        raft_message_clear(&job->message);
    }
    mem_free(job);
}

static void io_on_message(void *ctx, struct raft_message *message)
{
    struct peer_message *job = mem_zalloc(sizeof(*job));
    job->server = ctx;
    job->message = *message;
    *message = (struct raft_message){0};
    loop_post(job->server->state.loop, state_step, job);
}

static void io_on_snapshot(void *ctx, struct raft_message *message, const char *db_path)
{
    io_snapshot_arrived(ctx, message, db_path);
}

struct peer_report {
    struct server *server;
    uint64_t id;
    bool delivered;
};

static void state_unreachable(void *ctx)
{
    struct peer_report *report = ctx;
    raft_report_unreachable(report->server->raft, report->id);
    mem_free(report);
}

static void state_gone(void *ctx)
{
    struct peer_report *report = ctx;
    raft_report_gone(report->server->raft, report->id);
    mem_free(report);
}

static void state_snapshot_status(void *ctx)
{
    struct peer_report *report = ctx;
    raft_report_snapshot(report->server->raft, report->id, report->delivered);
    mem_free(report);
}

static void state_removed(void *ctx)
{
    cluster_removed(ctx);
}

static void post_report(struct server *server, uint64_t id, bool delivered, loop_fn fn)
{
    struct peer_report *report = mem_zalloc(sizeof(*report));
    *report = (struct peer_report){server, id, delivered};
    loop_post(server->state.loop, fn, report);
}

static void io_on_unreachable(void *ctx, uint64_t id)
{
    post_report(ctx, id, false, state_unreachable);
}

static void io_on_gone(void *ctx, uint64_t id)
{
    post_report(ctx, id, false, state_gone);
}

static void io_on_snapshot_status(void *ctx, uint64_t id, bool delivered)
{
    post_report(ctx, id, delivered, state_snapshot_status);
}

static void io_on_removed(void *ctx)
{
    struct server *server = ctx;
    loop_post(server->state.loop, state_removed, server);
}

static bool io_is_removed(void *ctx, uint64_t id)
{
    return links_is_removed(((struct server *)ctx)->links, id);
}

static void on_links_timer(void *ctx)
{
    struct server *server = ctx;
    io_links_refresh(server);
    loop_timer_set(&server->io_links_timer, LINKS_REFRESH_MS);
}

/* A port of config's kind on these URLs; none when there are no URLs. */
static int open_port(struct server *server, const struct config_urls *texts,
                     struct port_config config, struct port **out_port, struct err *err)
{
    struct url urls[CONFIG_URLS_MAX];
    if (texts->count == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < texts->count; i++) {
        int rc = url_parse(texts->urls[i], &urls[i], err);
        if (rc != 0) {
            return rc;
        }
    }
    config.loop = server->io.loop;
    config.resolver = server->resolver;
    config.urls = urls;
    config.url_count = texts->count;
    config.reuse_port = server->config->reuse_port;
    return port_open(&config, out_port, err);
}

static int open_ports(struct server *server, struct err *err)
{
    const struct server_config *config = server->config;
    const bool split = config->listen_client_http_urls.count > 0;
    const struct port_config peers = {.name = "peer",
                                      .http = server->peer_http,
                                      .tls = server_tls_seam(server->tls.peer),
                                      .check_client_hosts = !config->peer_tls.skip_client_san};
    const struct port_config clients = {.name = "client",
                                        .grpc = server->grpc,
                                        .http = split ? NULL : server->client_http,
                                        .tls = server_tls_seam(server->tls.client)};
    const struct port_config client_http = {
        .name = "client", .http = server->client_http, .tls = server_tls_seam(server->tls.http)};
    const struct port_config metrics = {
        .name = "metrics", .http = server->metrics_http, .tls = server_tls_seam(server->tls.http)};
    int rc = open_port(server, &config->listen_peer_urls, peers, &server->peer_port, err);
    if (rc == 0) {
        rc = open_port(server, &config->listen_client_urls, clients, &server->client_port, err);
    }
    if (rc == 0) {
        rc = open_port(server, &config->listen_client_http_urls, client_http,
                       &server->client_http_port, err);
    }
    if (rc == 0) {
        rc = open_port(server, &config->listen_metrics_urls, metrics, &server->metrics_port, err);
    }
    return rc;
}

/* Runs on the I/O thread, which owns ports and connections; main waits for the outcome. */
struct io_start {
    struct server *server;
    struct err err;
    int code;
    struct completion done;
};

static void io_start_now(void *ctx)
{
    struct io_start *start = ctx;
    struct server *server = start->server;
    const struct server_config *config = server->config;
    struct buf urls;
    buf_init(&urls, BUF_NO_LIMIT);
    for (uint32_t i = 0; i < config->initial_advertise_peer_urls.count; i++) {
        buf_printf(&urls, "%s%s", i == 0 ? "" : ",", config->initial_advertise_peer_urls.urls[i]);
    }
    char local_host[URL_HOST_MAX + 1];
    config_local_host(config, local_host);
    const struct peer_transport_config peers = {
        .loop = server->io.loop,
        .resolver = server->resolver,
        .tls = server_tls_seam(server->tls.peer),
        .self_id = server->member_id,
        .cluster_id = server->cluster_id,
        .server_version = SERVER_VERSION,
        .min_cluster_version = SERVER_MIN_CLUSTER_VERSION,
        .self_peer_urls = buf_cstr(&urls),
        .snap_dir = server->snap_dir,
        .disk = server->disk,
        .read_timeout_ms = (uint64_t)server->config->raft_read_timeout_ms,
        .local_host = *local_host == '\0' ? NULL : local_host,
        .ctx = server,
        .on_message = io_on_message,
        .on_snapshot = io_on_snapshot,
        .on_unreachable = io_on_unreachable,
        .on_gone = io_on_gone,
        .on_snapshot_status = io_on_snapshot_status,
        .on_removed = io_on_removed,
        .is_removed = io_is_removed,
    };
    server->peers = peer_transport_new(&peers);
    buf_free(&urls);
    io_rpc_start(server);
    io_http_start(server);
    start->code = open_ports(server, &start->err);
    loop_timer_init(server->io.loop, &server->io_links_timer, on_links_timer, server);
    loop_timer_set(&server->io_links_timer, LINKS_REFRESH_MS);
    completion_signal(&start->done);
}

static void io_stop_now(void *ctx)
{
    struct io_start *stop = ctx;
    struct server *server = stop->server;
    loop_timer_cancel(&server->io_links_timer);
    io_drain_end(server);
    server->io_closed = true;
    io_fetches_cancel(server);
    struct port *ports[] = {server->client_port, server->client_http_port, server->peer_port,
                            server->metrics_port};
    for (size_t i = 0; i < ARRAY_COUNT(ports); i++) {
        if (ports[i] != NULL) {
            port_stop_listening(ports[i]);
        }
    }
    http1_server_free(server->client_http); /* ends the gateway's calls */
    gateway_free(server->gateway);
    grpc_server_free(server->grpc);
    http1_server_free(server->metrics_http);
    http1_server_free(server->peer_http); /* its requests end in the transport: before that goes */
    peer_transport_free(server->peers);
    for (size_t i = 0; i < ARRAY_COUNT(ports); i++) {
        port_free(ports[i]);
    }
    completion_signal(&stop->done);
}

/* Runs fn(job) on the I/O thread and waits for it. */
static int io_do(struct server *server, loop_fn fn, struct err *err)
{
    struct io_start job = {.server = server};
    int rc = completion_init(&job.done, err);
    if (rc != 0) {
        return rc;
    }
    loop_post(server->io.loop, fn, &job);
    completion_wait(&job.done);
    completion_free(&job.done);
    if (job.code != 0 && err != NULL) {
        *err = job.err;
    }
    return job.code;
}

/* ---- WAL and store threads ---- */

static void on_wal_mark_timer(void *ctx)
{
    struct server *server = ctx;
    wal_write_durability_mark(server->wal);
    loop_timer_set(&server->wal_mark_timer, WAL_MARK_MS);
}

static void wal_start_now(void *ctx)
{
    struct server *server = ctx;
    loop_set_turn_end(server->wal_worker.loop, wal_flush_turn, server);
}

/* The durability mark, and the next segment's zeros, are written beside the flushes, never in their
 * way. */
static void store_start_now(void *ctx)
{
    struct server *server = ctx;
    loop_timer_init(server->store_worker.loop, &server->wal_mark_timer, on_wal_mark_timer, server);
    loop_timer_set(&server->wal_mark_timer, WAL_MARK_MS);
    store_commits_start(server);
}

/* ---- up ---- */

static int make_workers(struct server *server, struct err *err)
{
    int rc = worker_init(&server->io, "quorate-io", err);
    if (rc == 0) {
        rc = worker_init(&server->state, "quorate-state", err);
    }
    if (rc == 0) {
        rc = worker_init(&server->wal_worker, "quorate-wal", err);
    }
    if (rc == 0) {
        rc = worker_init(&server->store_worker, "quorate-store", err);
    }
    if (rc == 0) {
        rc = worker_init(&server->auth_worker, "quorate-auth", err);
    }
    if (rc == 0) {
        rc = worker_start(&server->io, err);
    }
    return rc;
}

static void state_start_now(void *ctx)
{
    struct server *server = ctx;
    state_start(server);
    cluster_sync_peers(server);
    bootstrap_link_known(server);
    effects_run(server); /* what was committed is applied: a new cluster learns its members so */
    /* Alone, there is nobody to wait for: elect at once. */
    if (!server->config->no_election_tick_advance && server->conf_state.voter_count == 1 &&
        server->conf_state.voters[0] == server->member_id) {
        raft_campaign(server->raft);
    }
}

static int server_start(struct server *server, struct err *err)
{
    int rc = auth_start(server, err);
    if (rc == 0) {
        rc = make_workers(server, err);
    }
    if (rc == 0) {
        rc = server_tls_start(server, err);
    }
    if (rc == 0) {
        server->resolver = resolver_new();
        rc = bootstrap(server, err);
    }
    if (rc == 0 && server->config->initial_corrupt_check && server->applied_index > 0) {
        rc = corruption_check_first(server, err);
    }
    if (rc != 0) {
        return rc;
    }
    const struct watch_config watch = {.cluster_id = server->cluster_id,
                                       .member_id = server->member_id,
                                       .cache_bytes = (size_t)server->config->watch_cache_bytes,
                                       .fragment_bytes = (size_t)server->config->max_request_bytes +
                                                         PROTO_RECV_OVERHEAD_BYTES,
                                       .seed = rng_next(&server->rng) | 1};
    server->watch_hub = watch_hub_new(&watch, server->mvcc);
    metrics_start(server);
    /* First in each queue, before anything that comes through the ports. */
    loop_post(server->wal_worker.loop, wal_start_now, server);
    loop_post(server->store_worker.loop, store_start_now, server);
    loop_post(server->state.loop, state_start_now, server);
    rc = io_do(server, io_start_now, err);
    if (rc == 0) {
        rc = worker_start(&server->store_worker, err);
    }
    if (rc == 0) {
        rc = worker_start(&server->auth_worker, err);
    }
    if (rc == 0) {
        rc = worker_start(&server->wal_worker, err);
    }
    if (rc == 0) {
        rc = worker_start(&server->state, err);
    }
    return rc;
}

/* systemd's readiness protocol; nothing happens without NOTIFY_SOCKET. */
void server_ready(struct server *server)
{
    metrics_refresh(server); /* who scrapes at once sees a member that has a leader */
    atomic_store(&server->shared.ready, true);
    LOG_INFO("ready to serve client requests", LOG_HEX("local-member-id", server->member_id));
    LOG_INFO("serving client traffic",
             LOG_STR("address", server->config->listen_client_urls.urls[0]));
    notify_ready();
}

/* ---- down ---- */

/* State thread: all that was applied is in the store; main may take everything down. */
static void stop_flushed(struct server *server, void *ctx)
{
    (void)ctx;
    completion_signal(&server->stopped);
}

static void stop_flush(struct server *server)
{
    replies_flush(server);
    if (server->installing) {
        stop_flushed(server, NULL);
    } else {
        batch_cut_then(server, stop_flushed, NULL);
    }
}

/* State thread: waits a little for the leadership to have moved, so that writers notice no
 * election, and until clients have their answers. */
static void on_stop_timer(void *ctx)
{
    struct server *server = ctx;
    bool still = atomic_load(&server->shared.leader) == server->member_id &&
                 server_now_ms(server) < server->stop_deadline_ms;
    if (still || !drain_is_over(server)) {
        loop_timer_set(&server->stop_timer, STOP_STEP_MS);
        return;
    }
    atomic_store(&server->shared.stopping, true);
    stop_flush(server);
}

/* The follower that is furthest ahead. */
static uint64_t best_successor(const struct server *server)
{
    uint64_t best = RAFT_NO_ID;
    uint64_t best_match = 0;
    for (size_t i = 0; i < membership_count(server->membership); i++) {
        const struct member *member = membership_at(server->membership, i);
        struct raft_progress_status progress;
        if (member->is_learner || member->id == server->member_id ||
            raft_progress_of(server->raft, member->id, &progress) != 0 || !progress.recent_active) {
            continue;
        }
        if (best == RAFT_NO_ID || progress.match_index > best_match) {
            best = member->id;
            best_match = progress.match_index;
        }
    }
    return best;
}

static void state_stop_now(void *ctx)
{
    struct server *server = ctx;
    uint64_t successor =
        atomic_load(&server->shared.is_leader) ? best_successor(server) : RAFT_NO_ID;
    if (server->stopping) {
        return;
    }
    server->stopping = true;
    drain_start(server);
    loop_timer_init(server->state.loop, &server->stop_timer, on_stop_timer, server);
    if (successor != RAFT_NO_ID && !server->removed) {
        LOG_INFO("leadership transfer starting", LOG_HEX("local-member-id", server->member_id),
                 LOG_HEX("transferee-member-id", successor));
        raft_transfer_leader(server->raft, successor);
        server->stop_deadline_ms = server_now_ms(server) + (uint64_t)server->config->election_ms;
    }
    loop_timer_set(&server->stop_timer, STOP_STEP_MS);
}

void server_stop(struct server *server, int signal_number)
{
    atomic_store(&server->stop_signal, signal_number);
    state_stop_now(server);
}

/* Waits until the state thread hands nothing to other threads any more. */
static void state_end_and_wait(struct server *server)
{
    struct completion done;
    if (!server->state.running || completion_init(&done, NULL) != 0) {
        server->ended = true; /* nobody else looks at it */
        return;
    }
    server->end_done = &done;
    loop_post(server->state.loop, state_end, server);
    completion_wait(&done);
    completion_free(&done);
}

/* First who calls us goes, then decisions end, then what was handed out is finished by those who
 * have it; the state thread takes the answers, and the I/O thread what it still says. */
static void server_shutdown(struct server *server)
{
    (void)io_do(server, io_stop_now, NULL);
    state_end_and_wait(server);
    worker_stop(&server->auth_worker);
    worker_stop(&server->wal_worker);
    worker_stop(&server->store_worker);
    worker_stop(&server->state);
    worker_stop(&server->io);
    metrics_stop();
    LOG_INFO("closed etcd server", LOG_STR("name", server->config->name));
}

/* Main thread: sleeps until a signal or until the state thread says that all is flushed. */
static int wait_for_end(struct server *server)
{
    int seen = 0;
    for (;;) {
        int number = process_wait_signal(&server->stopped);
        if (number == 0) {
            return seen;
        }
        if (seen != 0) {
            process_exit(128 + number); /* asked twice: at once; the log is durable as it is */
        }
        seen = number;
        LOG_INFO("received signal; shutting down",
                 LOG_STR("signal", seen == SIGTERM ? "terminated" : "interrupt"));
        loop_post(server->state.loop, state_stop_now, server);
    }
}

int server_run(const struct server_config *config, int *out_signal, struct err *err)
{
    struct server *server = server_new(config);
    signal(SIGPIPE, SIG_IGN);
    int rc = completion_init(&server->stopped, err);
    if (config->unsafe_no_fsync) {
        LOG_WARN("--unsafe-no-fsync: a crash of this machine LOSES writes that clients were told "
                 "are done");
    }
    if (config->force_new_cluster) {
        LOG_WARN("--force-new-cluster: this member goes on alone with what it holds; the others "
                 "must never come back");
    }
    if (rc == 0) {
        rc = server_start(server, err);
    }
    if (rc != 0) {
        if (server->peers != NULL) {
            server_shutdown(server);
        }
        server_free(server);
        return rc;
    }
    *out_signal = wait_for_end(server);
    server_shutdown(server);
    server_free(server);
    return 0;
}
