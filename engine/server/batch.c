/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Store batches: what applying has changed is collected and committed in the background, one synced
 * transaction at a time. A batch ends at an applied index and carries that index.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/plant.h"
#include "engine/server/internal.h"
#include "engine/server/metrics.h"

/* How soon a commit that found the disk full is tried again. */
#define COMMIT_RETRY_MS 250u

struct commit_job {
    struct server *server;
    struct store_batch *batch;
    struct store_sizes sizes;
    struct raft_snapshot_mark mark; /* what the store holds with it */
    struct buf membership;          /* filled when somebody waits for the batch */
};

void batch_start(struct server *server)
{
    server->batch = mem_zalloc(sizeof(*server->batch));
    store_batch_init(server->batch);
}

static void run_waiters(struct server *server, struct batch_waiter *waiters)
{
    while (waiters != NULL) {
        struct batch_waiter *next = waiters->next;
        waiters->fn(server, waiters->ctx);
        mem_free(waiters);
        waiters = next;
    }
}

static void drop_waiters(struct batch_waiter *waiters)
{
    while (waiters != NULL) {
        struct batch_waiter *next = waiters->next;
        mem_free(waiters);
        waiters = next;
    }
}

void batch_drop(struct server *server)
{
    struct commit_job *job = server->commit_waiting;
    drop_waiters(server->batch_waiters);
    drop_waiters(server->commit_waiters);
    server->batch_waiters = server->commit_waiters = NULL;
    if (job != NULL) { /* the disk stayed full: the log has what is in it */
        server->commit_waiting = NULL;
        buf_free(&job->membership);
        store_batch_free(job->batch);
        mem_free(job->batch);
        mem_free(job);
    }
}

/* State thread: the batch is durable. */
static void commit_done(void *ctx)
{
    struct commit_job *job = ctx;
    struct server *server = job->server;
    struct batch_waiter *waiters = server->commit_waiters;
    server->commit_waiters = NULL;
    server->committing = NULL;
    server->store_index = job->mark.index;
    server->store_mark = job->mark;
    buf_free(&server->store_membership);
    server->store_membership = job->membership;
    server->store_used_bytes = job->sizes.used_bytes;
    server->store_file_bytes = job->sizes.file_bytes;
    mvcc_persisted(server->mvcc, job->batch->revision);
    store_batch_free(job->batch);
    mem_free(job->batch);
    mem_free(job);
    run_waiters(server, waiters);
    backlog_apply(server);
    batch_maybe_cut(server, false);
    snapshot_maybe_trigger(server);
}

/* Store thread. */
static void store_commit(void *ctx)
{
    struct commit_job *job = ctx;
    struct server *server = job->server;
    struct err err;
    uint64_t start = server->clock->monotonic_ns(server->clock->ctx);
    int rc = server->store.commit(server->store.ctx, job->batch, &err);
    atomic_store(&server->shared.store_waits_for_space, rc == E_AGAIN);
    if (rc == E_AGAIN) {
        server->commit_waiting = job;
        loop_timer_set(&server->commit_retry_timer, COMMIT_RETRY_MS);
        return;
    }
    if (rc != 0) {
        server_fatal(server, "failed to commit to the store", err.text);
    }
    metric_observe(&METRIC_BACKEND_COMMIT_SECONDS,
                   server->clock->monotonic_ns(server->clock->ctx) - start);
    if (server->store.sizes(server->store.ctx, &job->sizes) != 0) {
        job->sizes = (struct store_sizes){0};
    }
    loop_post(server->state.loop, commit_done, job);
}

static void on_commit_retry(void *ctx)
{
    struct server *server = ctx;
    struct commit_job *job = server->commit_waiting;
    server->commit_waiting = NULL;
    store_commit(job);
}

void store_commits_start(struct server *server)
{
    loop_timer_init(server->store_worker.loop, &server->commit_retry_timer, on_commit_retry,
                    server);
}

static void cut(struct server *server)
{
    struct commit_job *job = mem_zalloc(sizeof(*job));
    server->batch->consistent_index = PLANT(index_ahead_of_content) ? server->applied_index + 1
                                      : PLANT(index_behind_content) ? server->store_index
                                                                    : server->applied_index;
    server->batch->term = server->applied_term;
    job->server = server;
    job->batch = server->batch;
    job->mark = (struct raft_snapshot_mark){server->applied_index, server->applied_term,
                                            server->conf_state};
    buf_init(&job->membership, BUF_NO_LIMIT);
    if (server->batch_waiters != NULL) {
        membership_v2_encode(server->membership, &job->membership);
    }
    server->committing = server->batch;
    server->commit_waiters = server->batch_waiters;
    server->batch_waiters = NULL;
    batch_start(server);
    loop_post(server->store_worker.loop, store_commit, job);
}

void batch_maybe_cut(struct server *server, bool timer_fired)
{
    if (server->committing != NULL || server->installing || server->ended) {
        return; /* one at a time: the next collects meanwhile */
    }
    bool wanted = server->batch_waiters != NULL ||
                  server->batch->op_count >= server->config->backend_batch_limit ||
                  (!store_batch_empty(server->batch) &&
                   mvcc_tail_bytes(server->mvcc) >= server->tail_bytes_max / 2);
    bool due = timer_fired &&
               (!store_batch_empty(server->batch) || server->applied_index > server->store_index);
    if (wanted || due) {
        cut(server);
    }
}

void batch_cut_then(struct server *server, batch_done_fn fn, void *ctx)
{
    struct batch_waiter *waiter = mem_zalloc(sizeof(*waiter));
    waiter->fn = fn;
    waiter->ctx = ctx;
    waiter->next = server->batch_waiters;
    server->batch_waiters = waiter;
    batch_maybe_cut(server, false);
}
