/* SPDX-License-Identifier: Apache-2.0 */
/* Order: the store is whole and durable, it fits the log, then etcd's file loses its name. A crash
 * in between leaves the file, and the next start begins again. */
#include "engine/server/adopt.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/adopt_members.h"
#include "engine/server/datadir.h"
#include "engine/server/internal.h"
#include "engine/store/lmdb_store.h"
#include "engine/wal/snapfile.h"

/* Pages of the store are less full than those of a compact bbolt file. */
#define ROOM_FACTOR 2u

static char *db_path_of(const char *member_dir)
{
    return str_printf("%s/snap/" ADOPT_DB_NAME, member_dir);
}

static int check_room(const struct disk_seam *disk, const char *member_dir, uint64_t db_bytes,
                      struct err *err)
{
    uint64_t free_bytes = 0;
    int rc = disk->free_bytes(disk->ctx, member_dir, &free_bytes);
    if (rc != 0) {
        return err_set(err, rc, "free space in %s: %s", member_dir, err_code_text(rc));
    }
    if (free_bytes / ROOM_FACTOR < db_bytes) {
        return err_set(err, E_NO_SPACE,
                       "%s holds data of etcd, which is read into a store of our own: that needs "
                       "%" PRIu64 " free bytes and there are %" PRIu64,
                       member_dir, db_bytes * ROOM_FACTOR, free_bytes);
    }
    return 0;
}

/* Whether the store says who the members are at its index. */
static int knows_members(const char *store_dir, uint64_t map_bytes, bool *out_knows,
                         struct err *err)
{
    struct lmdb_store *store;
    struct store_view *view;
    struct raft_conf_state conf;
    int rc = lmdb_store_open(store_dir, map_bytes, &store, err);
    if (rc != 0) {
        return rc;
    }
    const struct store_seam *seam = lmdb_store_seam(store);
    rc = seam->view_begin(seam->ctx, &view);
    if (rc == 0) {
        rc = cluster_load_conf_state(seam, view, &conf);
        seam->view_end(view);
    }
    lmdb_store_close(store);
    if (rc != 0 && rc != E_NOT_FOUND) {
        return err_set(err, rc, "read %s: %s", store_dir, err_code_text(rc));
    }
    *out_knows = rc == 0 && conf.voter_count > 0;
    return 0;
}

/*
 * etcd 3.4 does not keep the configuration in its file, and the members it keeps may be ahead of
 * its index. With the whole log there, nothing of the file is needed.
 */
static int drop_when_log_is_whole(const struct disk_seam *disk, const char *member_dir,
                                  uint64_t mark_index, uint64_t map_bytes, bool *out_dropped,
                                  struct err *err)
{
    char *store_dir = str_printf("%s/store", member_dir);
    bool knows = true;
    int rc = mark_index == 0 ? knows_members(store_dir, map_bytes, &knows, err) : 0;
    *out_dropped = !knows;
    if (rc == 0 && !knows) {
        LOG_INFO("the file does not name the members, the log is whole: reading that instead");
        store_dir_remove(disk, member_dir);
    }
    mem_free(store_dir);
    return rc;
}

/* ---- the members ---- */

static uint64_t term_at(const struct wal_contents *log, const struct bolt_import *found)
{
    uint64_t index = found->consistent_index;
    if (index == log->mark.index) {
        return log->mark.term;
    }
    for (uint32_t i = 0; i < log->entry_count; i++) {
        if (log->entries[i].index == index) {
            return log->entries[i].term;
        }
    }
    return found->term;
}

/* What snapshot and log say; E_NOT_FOUND: they do not reach the file's index, which is for others
 * to judge, or name nobody. */
static int find_members(const struct disk_seam *disk, const char *member_dir,
                        const struct wal_contents *log, uint64_t index,
                        struct membership **out_members, struct err *err)
{
    struct raft_snapshot_mark mark;
    struct buf json;
    int rc = 0;
    buf_init(&json, SNAPFILE_BYTES_MAX);
    if (log->mark.index > 0) {
        char *snap_dir = str_printf("%s/snap", member_dir);
        rc = snapfile_load_newest(disk, snap_dir, &log->mark, 1, &mark, &json, err);
        mem_free(snap_dir);
    }
    if (rc == 0) {
        rc = adopt_members_at(log, buf_bytes(&json), index, out_members, err);
    }
    if (rc == 0 && membership_voter_count(*out_members) == 0) {
        membership_free(*out_members);
        rc = E_NOT_FOUND;
    }
    buf_free(&json);
    return rc;
}

static int store_members(struct lmdb_store *store, struct membership *members, uint64_t index,
                         uint64_t term, struct err *err)
{
    const struct store_seam *seam = lmdb_store_seam(store);
    struct raft_conf_state conf;
    struct store_batch batch;
    struct store_view *view;
    store_batch_init(&batch);
    int rc = adopt_conf_of(members, &conf);
    if (rc == 0) {
        rc = seam->view_begin(seam->ctx, &view);
    }
    if (rc == 0) {
        rc = adopt_members_store(members, seam, view, &batch);
        seam->view_end(view);
    }
    if (rc != 0) {
        err_set(err, rc, "store the members: %s", err_code_text(rc));
    } else {
        batch.consistent_index = index;
        batch.term = term;
        cluster_store_conf_state(&batch, &conf);
        rc = seam->commit(seam->ctx, &batch, err);
    }
    store_batch_free(&batch);
    return rc;
}

static int settle_members(const struct disk_seam *disk, const char *member_dir,
                          const struct wal_contents *log, const struct bolt_import *found,
                          uint64_t map_bytes, struct err *err)
{
    struct membership *members;
    struct lmdb_store *store;
    uint64_t index = found->consistent_index;
    int rc = find_members(disk, member_dir, log, index, &members, err);
    if (rc != 0) {
        return rc == E_NOT_FOUND ? 0 : rc;
    }
    char *store_dir = str_printf("%s/store", member_dir);
    rc = lmdb_store_open(store_dir, map_bytes, &store, err);
    if (rc == 0) {
        rc = store_members(store, members, index, term_at(log, found), err);
        lmdb_store_close(store);
    }
    mem_free(store_dir);
    membership_free(members);
    return rc;
}

int adopt_begin(const struct disk_seam *disk, const char *member_dir,
                const struct wal_contents *log, uint64_t map_bytes, struct err *err)
{
    bool dropped = false;
    char *db_path = db_path_of(member_dir);
    uint64_t db_bytes = 0;
    struct bolt_import found;
    int rc = disk_size_of(disk, db_path, &db_bytes);
    if (rc == E_NOT_FOUND) {
        mem_free(db_path);
        return 0;
    }
    if (rc != 0) {
        err_set(err, rc, "open %s: %s", db_path, err_code_text(rc));
    } else {
        rc = check_room(disk, member_dir, db_bytes, err);
    }
    if (rc == 0) {
        LOG_INFO("reading the data of etcd into a store of our own", LOG_STR("path", db_path),
                 LOG_U64("bytes", db_bytes));
        rc = store_dir_adopt(disk, member_dir, db_path, map_bytes, &found, err);
    }
    if (rc == 0) {
        LOG_INFO("read the data of etcd", LOG_U64("consistent-index", found.consistent_index),
                 LOG_I64("revision", found.revision), LOG_U64("key-records", found.key_records));
        rc = drop_when_log_is_whole(disk, member_dir, log->mark.index, map_bytes, &dropped, err);
    }
    if (rc == 0 && !dropped) {
        rc = settle_members(disk, member_dir, log, &found, map_bytes, err);
    }
    mem_free(db_path);
    return rc;
}

int adopt_finish(const struct disk_seam *disk, const char *member_dir, struct err *err)
{
    char *db_path = db_path_of(member_dir);
    char *snap_dir = str_printf("%s/snap", member_dir);
    char *done = str_printf("%s/" ADOPT_DONE_NAME, snap_dir);
    int rc = disk->rename(disk->ctx, db_path, done);
    if (rc == 0) {
        rc = disk->sync_dir(disk->ctx, snap_dir);
    } else if (rc == E_NOT_FOUND) {
        rc = 0; /* a directory of ours */
    }
    if (rc != 0) {
        err_set(err, rc, "rename %s to %s: %s", db_path, done, err_code_text(rc));
    }
    mem_free(db_path);
    mem_free(snap_dir);
    mem_free(done);
    return rc;
}
