/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which the effects of the Raft core are carried out. It is written here and nowhere
 * else. */
#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/authz.h"
#include "engine/server/metrics.h"

struct send_job {
    struct server *server;
    struct raft_message *messages;
    uint32_t count;
};

/* I/O thread. */
static void io_send(void *ctx)
{
    struct send_job *job = ctx;
    if (job->server->io_closed) {
        for (uint32_t i = 0; i < job->count; i++) {
            raft_message_clear(&job->messages[i]);
        }
    } else {
        peer_send(job->server->peers, job->messages, job->count);
    }
    mem_free(job->messages);
    mem_free(job);
}

static void send_messages(struct server *server, struct raft_effects *effects)
{
    struct send_job *job = mem_zalloc(sizeof(*job));
    job->server = server;
    job->messages = mem_array(effects->message_now_count, sizeof(*job->messages));
    for (uint32_t i = 0; i < effects->message_now_count; i++) {
        if (effects->messages_now[i].type == RAFT_MSG_SNAP) {
            snapshot_send(server, &effects->messages_now[i]);
        } else {
            job->messages[job->count++] = effects->messages_now[i];
            effects->messages_now[i] = (struct raft_message){0};
        }
    }
    loop_post(server->io.loop, io_send, job);
}

struct persisted {
    struct server *server;
    uint64_t ticket;
    uint32_t job_count;
};

/* State thread: everything up to the ticket is durable. */
static void on_persisted(void *ctx)
{
    struct persisted *done = ctx;
    disk_watch_flush_ended(done->server, done->job_count);
    raft_persisted(done->server->raft, done->ticket);
    mem_free(done);
}

static void persist_job_free(struct persist_job *job)
{
    for (uint32_t i = 0; i < job->entry_count; i++) {
        raft_payload_unref(job->entries[i].payload);
    }
    mem_free(job->entries);
    mem_free(job);
}

/* WAL thread: collects; the flush comes at the end of the turn, for all that came in it. */
static void wal_collect(void *ctx)
{
    struct persist_job *job = ctx;
    struct server *server = job->server;
    job->next = NULL;
    if (server->wal_jobs_last == NULL) {
        server->wal_jobs = job;
    } else {
        server->wal_jobs_last->next = job;
    }
    server->wal_jobs_last = job;
}

/* WAL thread, end of turn (and before a mark is recorded: what was said earlier stands before it):
 * one write and one flush for the whole batch (natural group commit). */
void wal_flush_turn(void *ctx)
{
    struct server *server = ctx;
    struct persist_job *job = server->wal_jobs;
    if (job == NULL) {
        return;
    }
    struct persisted *done = mem_zalloc(sizeof(*done));
    bool must_sync = false;
    int rc = 0;
    done->server = server;
    server->wal_jobs = server->wal_jobs_last = NULL;
    uint64_t write_start = server->clock->monotonic_ns(server->clock->ctx);
    while (job != NULL && rc == 0) {
        struct persist_job *next = job->next;
        rc = wal_append(server->wal, job->entries, job->entry_count,
                        job->has_hard_state ? &job->hard_state : NULL);
        must_sync = must_sync || job->must_sync;
        done->ticket = job->ticket;
        done->job_count++;
        persist_job_free(job);
        job = next;
    }
    uint64_t start = server->clock->monotonic_ns(server->clock->ctx);
    metric_observe(&METRIC_WAL_WRITE_SECONDS, start - write_start);
    metric_set(&METRIC_WAL_WRITE_BYTES, (int64_t)wal_written_bytes(server->wal));
    if (rc == 0 && must_sync) {
        rc = wal_sync(server->wal);
        metric_observe(&METRIC_WAL_FSYNC_SECONDS,
                       server->clock->monotonic_ns(server->clock->ctx) - start);
    }
    if (rc != 0) {
        /* fsyncgate: after a failed flush nobody knows what is on the disk; only a restart reads
         * it. */
        server_fatal(server, "failed to write to the WAL", err_code_text(rc));
    }
    loop_post(server->state.loop, on_persisted, done);
}

static struct persist_job *persist_job_new(struct server *server,
                                           const struct raft_effects *effects)
{
    struct persist_job *job = mem_zalloc(sizeof(*job));
    job->server = server;
    job->hard_state = effects->hard_state;
    job->has_hard_state = effects->hard_state_changed;
    job->must_sync = effects->must_sync;
    job->ticket = effects->persist_ticket;
    job->entry_count = effects->entry_count;
    job->entries = mem_array(effects->entry_count, sizeof(*job->entries));
    for (uint32_t i = 0; i < effects->entry_count; i++) {
        job->entries[i] = effects->entries[i];
        (void)raft_payload_ref(job->entries[i].payload);
    }
    return job;
}

static void persist_start(struct server *server, struct persist_job *job)
{
    disk_watch_flush_begins(server);
    loop_post(server->wal_worker.loop, wal_collect, job);
}

static void persist(struct server *server, const struct raft_effects *effects)
{
    struct persist_job *job = persist_job_new(server, effects);
    if (!server->installing) {
        persist_start(server, job);
        return;
    }
    /* The log may speak of what follows a snapshot only once the snapshot is recorded in it. */
    if (server->persist_later_last == NULL) {
        server->persist_later = job;
    } else {
        server->persist_later_last->next = job;
    }
    server->persist_later_last = job;
}

void persist_after_install(struct server *server)
{
    ASSERT(!server->installing);
    while (server->persist_later != NULL) {
        struct persist_job *job = server->persist_later;
        server->persist_later = job->next;
        persist_start(server, job);
    }
    server->persist_later_last = NULL;
}

static void drop_jobs(struct persist_job **first, struct persist_job **last)
{
    while (*first != NULL) {
        struct persist_job *job = *first;
        *first = job->next;
        persist_job_free(job);
    }
    *last = NULL;
}

void persist_drop(struct server *server)
{
    drop_jobs(&server->persist_later, &server->persist_later_last);
    drop_jobs(&server->wal_jobs, &server->wal_jobs_last); /* came with the end */
}

/* ---- applying ---- */

static void backlog_add(struct server *server, const struct raft_entry *entries, uint32_t count)
{
    if (server->backlog_count + count > server->backlog_capacity) {
        size_t capacity = BASE_MAX(server->backlog_capacity * 2, server->backlog_count + count);
        struct raft_entry *bigger = mem_array(capacity, sizeof(*bigger));
        for (size_t i = 0; i < server->backlog_count; i++) {
            bigger[i] = server->backlog[(server->backlog_start + i) % server->backlog_capacity];
        }
        mem_free(server->backlog);
        server->backlog = bigger;
        server->backlog_start = 0;
        server->backlog_capacity = capacity;
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t place = (server->backlog_start + server->backlog_count) % server->backlog_capacity;
        server->backlog[place] = entries[i];
        (void)raft_payload_ref(entries[i].payload);
        server->backlog_count++;
    }
}

static struct raft_entry backlog_take(struct server *server)
{
    struct raft_entry entry = server->backlog[server->backlog_start];
    server->backlog_start = (server->backlog_start + 1) % server->backlog_capacity;
    server->backlog_count--;
    return entry;
}

void backlog_drop(struct server *server)
{
    while (server->backlog_count > 0) {
        raft_payload_unref(backlog_take(server).payload);
    }
    mem_free(server->backlog);
    server->backlog = NULL;
    server->backlog_start = server->backlog_capacity = 0;
}

void backlog_apply(struct server *server)
{
    int64_t before = mvcc_revision(server->mvcc);
    if (server->backlog_count == 0 || server->installing) {
        return;
    }
    while (server->backlog_count > 0 && mvcc_tail_bytes(server->mvcc) < server->tail_bytes_max) {
        struct raft_entry entry = backlog_take(server);
        apply_entry(server, &entry);
        raft_payload_unref(entry.payload);
    }
    raft_applied(server->raft, server->applied_index);
    if (mvcc_revision(server->mvcc) > before) {
        streams_after_apply(server);
    }
    mvcc_release(server->mvcc);
}

/* WAL thread: a leader has proved the log again; the mark on disk may forget the suspicion. */
static void wal_trust_again(void *ctx)
{
    struct server *server = ctx;
    wal_flush_turn(server);
    int rc = wal_sync(server->wal);
    if (rc == 0) {
        rc = wal_clear_suspect(server->wal);
    }
    if (rc != 0) {
        server_fatal(server, "failed to write the durability mark", err_code_text(rc));
    }
}

static void publish_status(struct server *server)
{
    struct raft_status status;
    raft_status(server->raft, &status);
    if (server->suspect && !status.suspect) {
        server->suspect = false;
        LOG_INFO("the log was proved by the leader: this member votes again");
        loop_post(server->wal_worker.loop, wal_trust_again, server);
    }
    atomic_store_explicit(&server->shared.term, status.term, memory_order_relaxed);
    atomic_store_explicit(&server->shared.leader, status.leader, memory_order_relaxed);
    atomic_store_explicit(&server->shared.commit_index, status.commit_index, memory_order_relaxed);
    atomic_store_explicit(&server->shared.applied_index, server->applied_index,
                          memory_order_relaxed);
    atomic_store_explicit(&server->shared.is_leader, status.role == RAFT_LEADER,
                          memory_order_relaxed);
}

/* Also while a snapshot is installed, which may take minutes: heartbeats are answered, nothing is
 * applied, and what is to be persisted waits. */
void effects_run(struct server *server)
{
    struct raft_effects effects;
    while (!server->ended && raft_take_effects(server->raft, &effects)) {
        if (effects.role_changed) {
            publish_status(server);
            cluster_on_role_change(server);
        }
        /* A leader's appends may travel while its own disk works: its own acknowledgement waits. */
        if (effects.message_now_count > 0) {
            send_messages(server, &effects);
        }
        if (effects.install != NULL) {
            snapshot_install(server, effects.install);
        }
        /* Persist before promise: votes and acknowledgements come out after raft_persisted only. */
        if (effects.has_persist) {
            persist(server, &effects);
        }
        if (effects.read_count > 0) {
            reads_on_states(server, effects.reads, effects.read_count);
        }
        if (effects.committed_count > 0) {
            backlog_add(server, effects.committed, effects.committed_count);
            backlog_apply(server);
        }
    }
    publish_status(server);
    if (!server->installing) {
        authz_after_apply(server);
        reads_after_apply(server);
    }
}
