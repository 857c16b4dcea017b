/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots going out: to clients (Maintenance.Snapshot) and to followers that are too far behind.
 * A thread of its own lays the pages out from one pinned view and writes them into a channel; it
 * is the bounded queue between it and whoever reads slowly. And .snap files, which let the log be
 * cut short.
 */
#include "engine/server/snapshot.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/plant.h"
#include "engine/server/metrics.h"
#include "engine/server/rpc.h"
#include "engine/server/rpc_metrics.h"
#include "engine/store/bolt.h"
#include "engine/wal/snapfile.h"

/* Room that a snapshot file leaves to others. */
#define SNAPFILE_SPARE_BYTES   (1024u * 1024u)
#define SNAPFILE_RETRY_MS      5000u
#define SNAPSHOT_CHUNK_BYTES   (32u * 1024u)
#define SNAPSHOT_SHA_BYTES     32u
#define SNAPSHOT_PENDING_MAX   (1024u * 1024u)
#define SNAPSHOT_CLIENTS_MAX   4u /* clients that do not read must not keep followers from theirs */
#define SNAPSHOT_WAIT_MS       100
#define SNAPSHOT_VERSION_BYTES 32u

/* Owned by the state thread's list until both its thread and the reader of its channel are done. */
struct snapshot_job {
    struct list link;
    struct server *server;
    struct store_view *view;
    int write_fd, read_fd;
    uint64_t size_bytes;
    _Atomic bool aborted;
    struct worker_job thread;
    /* to a client */
    uint64_t handle;
    uint64_t sent_bytes;
    char version[SNAPSHOT_VERSION_BYTES]; /* of the store, as Status tells it; "": not decided */
    EVP_MD_CTX *sha;
    struct loop_fd readable;
    bool reading;
    /* to a follower */
    struct raft_message *message;
    int parties; /* thread and reader; state thread only */
};

static void job_free(struct snapshot_job *job)
{
    EVP_MD_CTX_free(job->sha);
    if (job->message != NULL) {
        raft_message_clear(job->message);
        mem_free(job->message);
    }
    mem_free(job);
}

/* State thread: one of the two parties is done. */
static void job_party_done(void *ctx)
{
    struct snapshot_job *job = ctx;
    struct server *server = job->server;
    if (--job->parties > 0) {
        return;
    }
    worker_job_join(&job->thread);
    list_remove(&job->link);
    server->snapshot_jobs_count--;
    job_free(job);
    snapshot_install_continue(server);
    state_end_continue(server);
}

/* ---- the writing thread ---- */

static int channel_sink(void *ctx, const void *data, size_t size)
{
    struct snapshot_job *job = ctx;
    const uint8_t *bytes = data;
    while (size > 0) {
        if (atomic_load(&job->aborted)) {
            return E_CLOSED;
        }
        ssize_t written = channel_write(job->write_fd, bytes, size);
        if (written == E_AGAIN) {
            /* Whoever reads is slow; it may also never read again, so look at aborted meanwhile. */
            channel_wait_room(job->write_fd, SNAPSHOT_WAIT_MS);
            continue;
        }
        if (written < 0) {
            return E_CLOSED; /* the reader has gone */
        }
        bytes += written;
        size -= (size_t)written;
    }
    return 0;
}

static void io_begin_client(void *ctx);
static void io_begin_peer(void *ctx);

static void job_main(void *ctx)
{
    struct snapshot_job *job = ctx;
    struct server *server = job->server;
    struct bolt_writer *writer = NULL;
    struct err err = {{0}};
    uint64_t start = server->clock->monotonic_ns(server->clock->ctx);
    int rc = bolt_writer_new(&server->store, job->view, &writer, &job->size_bytes, &err);
    loop_post(server->io.loop, job->message != NULL ? io_begin_peer : io_begin_client, job);
    if (rc == 0) {
        rc = bolt_writer_write(writer, channel_sink, job, &err);
        bolt_writer_free(writer);
        metric_observe(&METRIC_SNAPSHOT_SECONDS,
                       server->clock->monotonic_ns(server->clock->ctx) - start);
    }
    if (rc == E_CORRUPT) {
        server_fatal(server, "failed to read the store for a snapshot", err.text);
    }
    if (rc != 0 && rc != E_CLOSED) {
        LOG_WARN("failed to write a snapshot", LOG_STR("error", err.text));
    }
    channel_close(job->write_fd);
    server->store.view_end(job->view);
    loop_post(server->state.loop, job_party_done, job);
}

static size_t client_count(const struct server *server)
{
    size_t count = 0;
    LIST_EACH(it, &server->snapshot_jobs)
    {
        count += LIST_ENTRY(it, struct snapshot_job, link)->message == NULL ? 1 : 0;
    }
    return count;
}

/* State thread, in a batch's waiter: the store holds exactly store_index and no commit runs. */
static int job_start(struct server *server, struct snapshot_job *job)
{
    if ((job->message == NULL && client_count(server) >= SNAPSHOT_CLIENTS_MAX) ||
        server->installing || server->ended) {
        return E_AGAIN;
    }
    int rc = server->store.view_begin(server->store.ctx, &job->view);
    if (rc != 0) {
        return rc;
    }
    rc = channel_open(&job->read_fd, &job->write_fd);
    if (rc != 0) {
        server->store.view_end(job->view);
        return rc;
    }
    const char *version = membership_version(server->membership);
    snprintf(job->version, sizeof(job->version), "%s", version == NULL ? "" : version);
    job->server = server;
    job->parties = 2;
    rc = worker_job_start(&job->thread, job_main, job);
    if (rc != 0) {
        server->store.view_end(job->view);
        channel_close(job->read_fd);
        channel_close(job->write_fd);
        return rc;
    }
    list_append(&server->snapshot_jobs, &job->link);
    server->snapshot_jobs_count++;
    return 0;
}

void snapshot_abort_all(struct server *server)
{
    LIST_EACH(it, &server->snapshot_jobs)
    {
        atomic_store(&LIST_ENTRY(it, struct snapshot_job, link)->aborted, true);
    }
}

/* ---- to a client, on the I/O thread ---- */

static void io_reader_done(struct snapshot_job *job)
{
    if (job->reading) {
        loop_remove(&job->readable);
        job->reading = false;
    }
    channel_close(job->read_fd);
    loop_post(job->server->state.loop, job_party_done, job);
}

static void io_send_blob(struct snapshot_job *job, struct grpc_call *call, struct bytes blob,
                         uint64_t remaining)
{
    Etcdserverpb__SnapshotResponse response = ETCDSERVERPB__SNAPSHOT_RESPONSE__INIT;
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    response.remaining_bytes = remaining;
    response.blob = proto_binary(blob);
    response.version = job->version;
    (void)proto_pack_append(&response.base, &body);
    grpc_call_send_buf(call, &body);
    rpc_metrics_sent(RPC_SNAPSHOT);
}

/* All pages are through: the checksum that clients check goes last. */
static void io_end_client(struct snapshot_job *job, struct grpc_call *call)
{
    if (job->sent_bytes != job->size_bytes || job->size_bytes == 0) {
        grpc_call_set_user(call, NULL);
        grpc_call_finish(call, GRPC_UNKNOWN,
                         "etcdserver: the snapshot was interrupted, take it again");
        return;
    }
    uint8_t sha[SNAPSHOT_SHA_BYTES];
    unsigned size = sizeof(sha);
    EVP_DigestFinal_ex(job->sha, sha, &size);
    io_send_blob(job, call, bytes_of(sha, sizeof(sha)), 0);
    grpc_call_set_user(call, NULL);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void io_channel_readable(void *ctx, uint32_t events)
{
    (void)events;
    struct snapshot_job *job = ctx;
    struct grpc_call *call = grpc_call_from_handle(job->server->grpc, job->handle);
    uint8_t chunk[SNAPSHOT_CHUNK_BYTES];
    if (call == NULL) {
        atomic_store(&job->aborted, true);
        io_reader_done(job);
        return;
    }
    ssize_t size = channel_read(job->read_fd, chunk, sizeof(chunk));
    if (size < 0) {
        return; /* nothing yet */
    }
    if (size == 0) {
        io_end_client(job, call);
        io_reader_done(job);
        return;
    }
    job->sent_bytes += (uint64_t)size;
    EVP_DigestUpdate(job->sha, chunk, (size_t)size);
    io_send_blob(job, call, bytes_of(chunk, (size_t)size), job->size_bytes - job->sent_bytes);
    if (grpc_call_pending_bytes(call) > SNAPSHOT_PENDING_MAX) {
        loop_set_events(&job->readable, 0);
    }
}

void io_snapshot_drained(struct grpc_call *call)
{
    struct snapshot_job *job = grpc_call_user(call);
    if (job != NULL && job->reading) {
        loop_set_events(&job->readable, LOOP_READABLE);
    }
}

void io_snapshot_gone(struct grpc_call *call)
{
    struct snapshot_job *job = grpc_call_user(call);
    if (job != NULL) {
        atomic_store(&job->aborted, true);
        io_reader_done(job);
    }
}

static void io_begin_client(void *ctx)
{
    struct snapshot_job *job = ctx;
    struct server *server = job->server;
    struct grpc_call *call =
        server->io_closed ? NULL : grpc_call_from_handle(server->grpc, job->handle);
    if (call == NULL || loop_add(server->io.loop, &job->readable, job->read_fd, LOOP_READABLE,
                                 io_channel_readable, job) != 0) {
        atomic_store(&job->aborted, true);
        io_reader_done(job);
        return;
    }
    job->reading = true;
    grpc_call_set_user(call, job);
}

/* State thread, store at its newest. */
static void begin_client(struct server *server, void *ctx)
{
    struct request *request = ctx;
    struct snapshot_job *job = mem_zalloc(sizeof(*job));
    list_init(&job->link);
    job->handle = request->handle;
    job->sha = EVP_MD_CTX_new();
    ASSERT(job->sha != NULL);
    EVP_DigestInit_ex(job->sha, EVP_sha256(), NULL);
    int rc = job_start(server, job);
    if (rc != 0) {
        job_free(job);
        request_fail_text(server, request, GRPC_UNAVAILABLE,
                          rc == E_AGAIN
                              ? "etcdserver: too many snapshots are being taken, try again later"
                              : "etcdserver: the snapshot could not be started");
        return;
    }
    request_free(request);
}

void rpc_snapshot(struct server *server, struct request *request)
{
    batch_cut_then(server, begin_client, request);
}

/* ---- to a follower ---- */

static void io_begin_peer(void *ctx)
{
    struct snapshot_job *job = ctx;
    if (job->server->io_closed) {
        channel_close(job->read_fd);
    } else {
        peer_send_snapshot(job->server->peers, job->message, job->read_fd, job->size_bytes);
    }
    loop_post(job->server->state.loop, job_party_done, job);
}

static void begin_peer(struct server *server, void *ctx)
{
    struct snapshot_job *job = mem_zalloc(sizeof(*job));
    list_init(&job->link);
    job->message = ctx;
    /* The store may be ahead of what the core named: the follower gets what the file holds. */
    if (!PLANT(snapshot_without_tail)) {
        ASSERT(server->store_mark.index >= job->message->snapshot->index);
        *job->message->snapshot = server->store_mark;
    }
    job->message->snapshot_data = raft_payload_new(buf_bytes(&server->store_membership));
    uint64_t to = job->message->to;
    LOG_INFO("sending database snapshot", LOG_HEX("remote-peer-id", to),
             LOG_U64("snapshot-index", server->store_mark.index));
    if (job_start(server, job) != 0) {
        job_free(job);
        raft_report_snapshot(server->raft, to, false);
    }
}

void snapshot_send(struct server *server, struct raft_message *message)
{
    struct raft_message *copy = mem_dup(message, sizeof(*message));
    *message = (struct raft_message){0};
    if (PLANT(snapshot_without_tail)) {
        begin_peer(server, copy);
        return;
    }
    batch_cut_then(server, begin_peer, copy);
}

/* ---- .snap files: the log may be cut behind them ---- */

struct snapfile_job {
    struct server *server;
    struct raft_snapshot_mark mark;
    struct buf data;
};

/* State thread. */
static void snapfile_done(void *ctx)
{
    struct snapfile_job *job = ctx;
    struct server *server = job->server;
    uint64_t keep = server->config->snapshot_catchup_entries;
    server->snapshot_index = job->mark.index;
    server->snapshotting = false;
    if (job->mark.index > keep) {
        raft_compact(server->raft, job->mark.index - keep);
    }
    LOG_INFO("saved snapshot", LOG_U64("snapshot-index", job->mark.index));
    buf_free(&job->data);
    mem_free(job);
}

/* As etcd's flags mean it: 0 keeps all. */
static uint32_t keep_count(uint64_t flag)
{
    return flag == 0 || flag > UINT32_MAX ? UINT32_MAX : (uint32_t)flag;
}

/* State thread: there was no room for the file; the log stays long until there is. */
static void snapfile_postponed(void *ctx)
{
    struct snapfile_job *job = ctx;
    job->server->snapshotting = false;
    job->server->snapshot_not_before_ms = server_now_ms(job->server) + SNAPFILE_RETRY_MS;
    buf_free(&job->data);
    mem_free(job);
}

static bool has_room_for(const struct server *server, size_t size)
{
    uint64_t free_bytes;
    return server->disk->free_bytes(server->disk->ctx, server->snap_dir, &free_bytes) != 0 ||
           free_bytes > SNAPFILE_SPARE_BYTES + size;
}

/* WAL thread. */
static void postpone(struct snapfile_job *job)
{
    struct server *server = job->server;
    LOG_WARN("the disk is full: the snapshot of the log waits", LOG_STR("dir", server->snap_dir));
    loop_post(server->state.loop, snapfile_postponed, job);
}

/* WAL thread: file first, then the record that makes it count, then what it replaces may go. */
static void wal_save_snapfile(void *ctx)
{
    struct snapfile_job *job = ctx;
    struct server *server = job->server;
    struct err err = {{0}};
    if (!has_room_for(server, job->data.size)) {
        postpone(job);
        return;
    }
    wal_flush_turn(server);
    uint64_t start = server->clock->monotonic_ns(server->clock->ctx);
    int rc = snapfile_save(server->disk, server->snap_dir, &job->mark, buf_bytes(&job->data), &err);
    if (rc == E_NO_SPACE) {
        /* Somebody else has taken the room meanwhile. Nothing was promised: the record says that
         * the file counts. */
        postpone(job);
        return;
    }
    metric_observe(&METRIC_SNAP_SAVE_SECONDS,
                   server->clock->monotonic_ns(server->clock->ctx) - start);
    if (rc == 0) {
        rc = wal_save_mark(server->wal, &job->mark);
    }
    if (rc != 0) {
        server_fatal(server, "failed to save a snapshot file",
                     err.text[0] != '\0' ? err.text : err_code_text(rc));
    }
    uint64_t keep = server->config->snapshot_catchup_entries;
    uint64_t purge = job->mark.index > keep ? job->mark.index - keep : 0;
    uint32_t wals = keep_count(server->config->max_wals);
    uint32_t snapshots = keep_count(server->config->max_snapshots);
    if (wal_purge(server->wal, purge, wals) != 0 ||
        snapfile_purge(server->disk, server->snap_dir, snapshots) != 0) {
        LOG_WARN("failed to remove old log or snapshot files", LOG_STR("dir", server->snap_dir));
    }
    loop_post(server->state.loop, snapfile_done, job);
}

static void begin_snapfile(struct server *server, void *ctx)
{
    (void)ctx;
    if (server->ended) {
        return; /* the WAL thread may be gone already */
    }
    struct snapfile_job *job = mem_zalloc(sizeof(*job));
    job->server = server;
    job->mark = server->store_mark;
    buf_init(&job->data, BUF_NO_LIMIT);
    buf_append(&job->data, server->store_membership.data, server->store_membership.size);
    loop_post(server->wal_worker.loop, wal_save_snapfile, job);
}

void snapshot_maybe_trigger(struct server *server)
{
    if (server->snapshotting || server->installing || server->ended ||
        server_now_ms(server) < server->snapshot_not_before_ms ||
        server->applied_index - server->snapshot_index <= server->config->snapshot_count) {
        return;
    }
    LOG_INFO("triggering snapshot", LOG_U64("local-member-applied-index", server->applied_index),
             LOG_U64("local-member-snapshot-index", server->snapshot_index),
             LOG_U64("local-member-snapshot-count", server->config->snapshot_count));
    server->snapshotting = true;
    batch_cut_then(server, begin_snapfile, NULL);
}
