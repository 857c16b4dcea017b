/* SPDX-License-Identifier: Apache-2.0 */
/* The state thread: what it holds, its timers, and what it does at the end of each turn. */
#include "engine/server/authz.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/plant.h"
#include "engine/server/compactor.h"
#include "engine/server/corrupt.h"
#include "engine/server/metrics.h"
#include "engine/server/links.h"
#include "engine/server/snapshot.h"

#define HOUSEKEEPING_MS 250u

uint64_t server_now_ms(const struct server *server)
{
    return clock_monotonic_ms(server->clock);
}

int64_t server_lease_now_ms(const struct server *server)
{
    if (PLANT(lease_by_wall_clock)) {
        return server->clock->wall_ns(server->clock->ctx) / 1000000;
    }
    return (int64_t)server_now_ms(server);
}

uint64_t server_map_bytes(const struct server_config *config)
{
    int64_t quota = config->quota_backend_bytes;
    uint64_t bytes = quota == 0  ? (uint64_t)CONFIG_QUOTA_DEFAULT
                     : quota < 0 ? 64ull * 1024 * 1024 * 1024
                                 : (uint64_t)quota;
    return bytes + bytes / 2 + MAP_SLACK_BYTES;
}

/* ---- what the store holds ---- */

static int load_tables(struct server *server, struct err *err)
{
    struct store_view *view;
    int rc = server->store.view_begin(server->store.ctx, &view);
    if (rc != 0) {
        return err_set(err, rc, "read the store: %s", err_code_text(rc));
    }
    rc = membership_load(server->membership, &server->store, view, err);
    if (rc == 0) {
        rc = alarms_load(&server->alarms, &server->store, view, err);
    }
    if (rc == 0) {
        rc = lessor_load(server->lessor, &server->store, view, err);
    }
    if (rc == 0) {
        rc = auth_load(server->auth, &server->store, view, err);
    }
    if (rc == 0) {
        rc = cluster_load_conf_state(&server->store, view, &server->conf_state);
        rc = rc == E_NOT_FOUND ? 0 : rc;
    }
    server->store.view_end(view);
    return rc;
}

int state_open(struct server *server, struct err *err)
{
    struct store_sizes sizes;
    int rc =
        lmdb_store_open(server->store_dir, server_map_bytes(server->config), &server->lmdb, err);
    if (rc != 0) {
        return rc;
    }
    server->store = *lmdb_store_seam(server->lmdb);
    rc = load_tables(server, err);
    if (rc != 0) {
        return rc;
    }
    server->lessor_hook = lessor_hook(server->lessor);
    rc = mvcc_open(&server->store, &server->lessor_hook, &server->mvcc, err);
    if (rc != 0) {
        return rc;
    }
    rc = store_read_position(&server->store, &server->applied_index, &server->applied_term);
    if (rc != 0) {
        return err_set(err, rc, "read the store's position: %s", err_code_text(rc));
    }
    if (server->store.sizes(server->store.ctx, &sizes) == 0) {
        server->store_used_bytes = sizes.used_bytes;
        server->store_file_bytes = sizes.file_bytes;
    }
    server->store_index = server->applied_index;
    if (server->watch_hub != NULL) {
        watch_hub_reset(server->watch_hub, server->mvcc);
    }
    batch_start(server);
    return 0;
}

void state_close(struct server *server)
{
    if (server->batch != NULL) {
        store_batch_free(server->batch);
        mem_free(server->batch);
        server->batch = NULL;
    }
    if (server->mvcc != NULL) {
        mvcc_close(server->mvcc);
        server->mvcc = NULL;
    }
    if (server->lmdb != NULL) {
        lmdb_store_close(server->lmdb);
        server->lmdb = NULL;
    }
}

/* ---- requests coming in ---- */

static void state_run_request(void *ctx)
{
    struct request *request = ctx;
    struct server *server = request->server;
    if (server->ended && request->origin != REQUEST_INTERNAL) {
        request_fail(server, request, ETCD_ERR_STOPPED);
    } else if (authz_gate(server, request)) {
        request->run(server, request);
    }
}

void server_submit(struct server *server, struct request *request)
{
    request->server = server;
    loop_post(server->state.loop, state_run_request, request);
}

/* ---- compaction in slices ---- */

static void finish_compaction(struct server *server, void *ctx)
{
    (void)ctx;
    if (mvcc_compacting(server->mvcc)) {
        return; /* another one began meanwhile: its end answers all */
    }
    metric_observe(&METRIC_COMPACTION_MS,
                   (server_now_ms(server) - server->compaction_began_ms) * 1000000000u);
    metric_set(&METRIC_COMPACTION_LAST, server->clock->wall_ns(server->clock->ctx) / 1000000000);
    LOG_INFO("finished scheduled compaction",
             LOG_I64("compact-revision", mvcc_compact_revision(server->mvcc)));
    while (!list_empty(&server->compaction_waiters)) {
        struct request *request = LIST_ENTRY(server->compaction_waiters.next, struct request, link);
        struct buf body;
        buf_init(&body, BUF_NO_LIMIT);
        list_remove(&request->link);
        request_reply(server, request, &body, mvcc_revision(server->mvcc));
    }
}

static void compact_some(struct server *server)
{
    if (server->installing || !mvcc_compacting(server->mvcc)) {
        return;
    }
    size_t keys = server->config->compact_keys_per_turn == 0
                      ? COMPACT_KEYS_PER_TURN
                      : (size_t)server->config->compact_keys_per_turn;
    uint64_t start = server->clock->monotonic_ns(server->clock->ctx);
    bool done = mvcc_compact_slice(server->mvcc, server->batch, keys);
    uint64_t took = server->clock->monotonic_ns(server->clock->ctx) - start;
    metric_observe(&METRIC_COMPACTION_PAUSE_MS, took * 1000);
    metric_observe(&METRIC_COMPACTION_INDEX_PAUSE_MS, took * 1000);
    if (done) {
        batch_cut_then(server, finish_compaction, NULL);
    } else {
        const int64_t rest_ms = server->config->compaction_sleep_ms;
        loop_timer_set(&server->compact_timer, /* let others have their turn */
                       rest_ms > 0 ? (uint64_t)rest_ms : COMPACT_REST_MS);
    }
}

static void on_compact_timer(void *ctx)
{
    (void)ctx; /* the turn's end does the next slice, of compactions and of watches */
}

/* ---- turns and timers ---- */

static void on_turn_end(void *ctx)
{
    struct server *server = ctx;
    if (server->installing) {
        effects_run(server);
    } else if (!server->ended) {
        reads_start_round(server);
        effects_run(server);
        compact_some(server);
        streams_pull(server);
        ranges_run(server);
        batch_maybe_cut(server, false);
    }
    replies_flush(server);
}

void state_end_continue(struct server *server)
{
    if (server->ended && server->snapshot_jobs_count == 0 && server->end_done != NULL) {
        struct completion *done = server->end_done;
        server->end_done = NULL;
        completion_signal(done);
    }
}

void state_end(void *ctx)
{
    struct server *server = ctx;
    struct loop_timer *timers[] = {&server->tick_timer,         &server->batch_timer,
                                   &server->housekeeping_timer, &server->version_timer,
                                   &server->compact_timer,      &server->removed_timer,
                                   &server->stop_timer,         &server->ranges.timer};
    for (size_t i = 0; i < ARRAY_COUNT(timers); i++) {
        if (timers[i]->loop != NULL) {
            loop_timer_cancel(timers[i]);
        }
    }
    ranges_drop(server);
    server->ended = true;
    snapshot_abort_all(server);
    state_end_continue(server);
}

static void on_tick(void *ctx)
{
    struct server *server = ctx;
    uint64_t interval = (uint64_t)server->config->heartbeat_ms;
    uint64_t now = server_now_ms(server);
    if (now > server->last_tick_ms + 2 * interval && atomic_load(&server->shared.is_leader)) {
        metric_add(&METRIC_HEARTBEAT_FAILURES, 1); /* they go out with the tick */
    }
    server->last_tick_ms = now;
    raft_tick(server->raft);
    disk_watch_tick(server);
    server->next_tick_ms += interval;
    if (server->next_tick_ms <= now) {
        server->next_tick_ms =
            now + interval; /* after a pause: ticks that were missed are not made up for */
    }
    loop_timer_set(&server->tick_timer, server->next_tick_ms - now);
}

static void on_batch_timer(void *ctx)
{
    struct server *server = ctx;
    batch_maybe_cut(server, true);
    loop_timer_set(&server->batch_timer, (uint64_t)server->config->backend_batch_interval_ms);
}

static void on_housekeeping(void *ctx)
{
    struct server *server = ctx;
    loop_timer_set(&server->housekeeping_timer, HOUSEKEEPING_MS);
    deadlines_check(server);
    if (server->installing) {
        return;
    }
    proposals_retry(server);
    rpc_auth_retry(server);
    leases_check(server);
    streams_check_leader(server);
    ranges_check(server);
    watch_hub_tick(server->watch_hub, (int64_t)server_now_ms(server));
    cluster_publish(server);
    cluster_nudge_when_suspect(server);
    compactor_check(server);
    corruption_check(server);
    metrics_refresh(server);
}

static void on_version_timer(void *ctx)
{
    struct server *server = ctx;
    cluster_poll_versions(server);
    loop_timer_set(&server->version_timer, PEER_VERSION_POLL_MS);
}

void state_start(struct server *server)
{
    struct loop *loop = server->state.loop;
    loop_timer_init(loop, &server->tick_timer, on_tick, server);
    loop_timer_init(loop, &server->batch_timer, on_batch_timer, server);
    loop_timer_init(loop, &server->housekeeping_timer, on_housekeeping, server);
    loop_timer_init(loop, &server->version_timer, on_version_timer, server);
    loop_timer_init(loop, &server->compact_timer, on_compact_timer, server);
    cluster_init_timers(server);
    server->last_tick_ms = server_now_ms(server);
    server->next_tick_ms = server->last_tick_ms + (uint64_t)server->config->heartbeat_ms;
    loop_timer_set(&server->tick_timer, (uint64_t)server->config->heartbeat_ms);
    loop_timer_set(&server->batch_timer, (uint64_t)server->config->backend_batch_interval_ms);
    loop_timer_set(&server->housekeeping_timer, HOUSEKEEPING_MS);
    loop_timer_set(&server->version_timer, PEER_VERSION_POLL_MS);
    loop_set_turn_end(loop, on_turn_end, server);
}
