/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots coming in: a leader has sent its whole state. The new store is built beside the old
 * one; then the .snap file and the WAL's record say that it counts; then it takes the old one's
 * place. Whatever point a crash hits, the next start finds either the old state with the old log,
 * or the new one (store_dir_settle).
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/plant.h"
#include "engine/server/datadir.h"
#include "engine/server/snapshot.h"
#include "engine/store/bolt.h"
#include "engine/wal/snapfile.h"

/* One installation; at most one at a time. */
struct install_job {
    struct server *server;
    struct raft_snapshot_mark mark;
    struct raft_hard_state hard_state; /* commits the mark */
    struct buf data;                   /* v2-store JSON of the envelope */
    char *db_path;
    char *new_dir;
    bool imported;
};

static void job_free(struct install_job *job)
{
    buf_free(&job->data);
    mem_free(job->db_path);
    mem_free(job->new_dir);
    mem_free(job);
}

/* What stays is removed at the next start. */
static void remove_received(struct server *server, const char *db_path)
{
    (void)server->disk->remove(server->disk->ctx, db_path);
}

/* ---- arrival ---- */

struct arrival {
    struct server *server;
    struct raft_message message;
    char *db_path;
};

/* State thread: the envelope goes to the core, which decides whether it is wanted. */
static void state_arrived(void *ctx)
{
    struct arrival *arrival = ctx;
    struct server *server = arrival->server;
    if (server->install != NULL || server->arrived_path != NULL || server->ended ||
        arrival->message.snapshot == NULL) {
        /* One is being installed; the same index has the same path, and it is being read. */
        if (!str_equal(arrival->db_path, server->arrived_path)) {
            remove_received(server, arrival->db_path);
        }
        raft_message_clear(&arrival->message);
        mem_free(arrival->db_path);
    } else {
        server->arrived_path = arrival->db_path;
        server->arrived_index = arrival->message.snapshot->index;
        buf_clear(&server->arrived_data);
        if (arrival->message.snapshot_data != NULL) {
            buf_append(&server->arrived_data, arrival->message.snapshot_data->data,
                       arrival->message.snapshot_data->size);
        }
        raft_step(server->raft, &arrival->message);
        effects_run(server);
        if (server->install == NULL) {
            remove_received(server, server->arrived_path); /* the core did not want it */
            mem_free(server->arrived_path);
            server->arrived_path = NULL;
        }
    }
    mem_free(arrival);
}

void io_snapshot_arrived(struct server *server, struct raft_message *message, const char *db_path)
{
    struct arrival *arrival = mem_zalloc(sizeof(*arrival));
    arrival->server = server;
    arrival->message = *message;
    *message = (struct raft_message){0};
    arrival->db_path = str_dup(db_path);
    loop_post(server->state.loop, state_arrived, arrival);
}

/* ---- installation ---- */

/* State thread, last step: the new store is in its place and counts. */
static void install_finish(void *ctx)
{
    struct install_job *job = ctx;
    struct server *server = job->server;
    struct err err = {{0}};
    uint64_t old_index = server->applied_index;
    state_close(server);
    int rc = store_dir_swap(server->disk, server->member_dir, job->mark.index, &err);
    if (rc == 0) {
        rc = state_open(server, &err);
    }
    if (rc != 0) {
        server_fatal(server, "failed to open the installed snapshot", err.text);
    }
    remove_received(server, job->db_path);
    server->applied_index = PLANT(snapshot_keeps_old_index) ? old_index : job->mark.index;
    server->applied_term = job->mark.term;
    server->conf_state = job->mark.conf_state; /* a store of etcd 3.4 does not hold it */
    server->store_mark = job->mark;
    server->store_generation++;
    server->snapshot_index = job->mark.index;
    server->store_index = job->mark.index;
    server->installing = false;
    server->install = NULL;
    mem_free(server->arrived_path);
    server->arrived_path = NULL;
    LOG_INFO("applied snapshot", LOG_U64("snapshot-index", job->mark.index),
             LOG_U64("snapshot-term", job->mark.term));
    job_free(job);
    persist_after_install(server);
    raft_snapshot_installed(server->raft);
    cluster_sync_peers(server);
    effects_run(server);
}

/*
 * WAL thread. The commit index follows the record and is durable before the store is swapped: a
 * record beyond what the log says is committed does not count at a start, and the new store would
 * then be ahead of its log.
 */
static void wal_record_install(void *ctx)
{
    struct install_job *job = ctx;
    struct server *server = job->server;
    struct err err = {{0}};
    wal_flush_turn(server);
    int rc = snapfile_save(server->disk, server->snap_dir, &job->mark, buf_bytes(&job->data), &err);
    if (rc == 0 && !PLANT(install_not_recorded)) {
        rc = wal_save_mark(server->wal, &job->mark);
    }
    if (rc == 0) {
        rc = wal_append(server->wal, NULL, 0, &job->hard_state);
    }
    if (rc == 0) {
        rc = wal_sync(server->wal);
    }
    if (rc != 0) {
        server_fatal(server, "failed to record an installed snapshot",
                     err.text[0] != '\0' ? err.text : err_code_text(rc));
    }
    loop_post(server->state.loop, install_finish, job);
}

void snapshot_install_continue(struct server *server)
{
    struct install_job *job = server->install;
    if (job != NULL && job->imported && server->snapshot_jobs_count == 0 && !server->ended) {
        job->imported = false; /* once */
        loop_post(server->wal_worker.loop, wal_record_install, job);
    }
}

void snapshot_install_drop(struct server *server)
{
    if (server->install != NULL) {
        job_free(server->install);
        server->install = NULL;
    }
    mem_free(server->arrived_path);
    server->arrived_path = NULL;
}

/* State thread: the new store is built; views of the old one must end first. */
static void install_imported(void *ctx)
{
    struct install_job *job = ctx;
    job->imported = true;
    snapshot_abort_all(job->server);
    snapshot_install_continue(job->server);
}

/* Store thread. */
static void store_import(void *ctx)
{
    struct install_job *job = ctx;
    struct server *server = job->server;
    struct bolt_import import;
    struct err err = {{0}};
    int rc = store_dir_build(server->disk, server->member_dir, &job->mark, job->db_path,
                             server_map_bytes(server->config), &import, &err);
    if (rc != 0) {
        server_fatal(server, "failed to read the snapshot that the leader sent", err.text);
    }
    loop_post(server->state.loop, install_imported, job);
}

void snapshot_install(struct server *server, const struct raft_snapshot_mark *mark)
{
    ASSERT(server->install == NULL);
    ASSERT(server->arrived_path != NULL && server->arrived_index == mark->index);
    struct install_job *job = mem_zalloc(sizeof(*job));
    struct raft_status status;
    backlog_drop(server); /* the snapshot holds it */
    raft_status(server->raft, &status);
    ASSERT(status.commit_index >= mark->index);
    job->server = server;
    job->mark = *mark;
    job->hard_state = (struct raft_hard_state){status.term, status.vote, status.commit_index};
    job->db_path = str_dup(server->arrived_path);
    buf_init(&job->data, BUF_NO_LIMIT);
    buf_append(&job->data, server->arrived_data.data, server->arrived_data.size);
    server->install = job;
    server->installing = true;
    LOG_INFO("applying snapshot", LOG_U64("current-snapshot-index", server->snapshot_index),
             LOG_U64("incoming-leader-snapshot-index", mark->index));
    loop_post(server->store_worker.loop, store_import, job);
}
