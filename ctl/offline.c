/* SPDX-License-Identifier: Apache-2.0 */
/* The log is locked first, as the member itself would: nobody runs on it meanwhile. */
#include "ctl/offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "ctl/part_file.h"
#include "engine/proto/codec.h"
#include "engine/store/bolt_rewrite.h"
#include "engine/store/lmdb_store.h"
#include "engine/wal/reader.h"
#include "engine/wal/segments.h"
#include "raft_internal.pb-c.h"

#define MAP_SPARE_BYTES (64u * 1024u * 1024u)

/* Owns its strings and the locked file. */
struct offline {
    const struct disk_seam *disk;
    char *member_dir, *db_path, *store_dir, *store_path, *wal_dir;
    struct disk_file *log; /* the last segment, locked; NULL: there is no log */
    uint64_t stored_index; /* that the key space is complete to */
    uint64_t missing;      /* changes that are in the log alone */
    bool has_term;         /* of etcd 3.5 and newer */
    struct part_file part;
    uint64_t bytes;
    struct err *err;
};

/* ---- the log ---- */

/* What of the log is not in the key space yet. flags: of the entries behind stored_index, whether
 * they change what a snapshot holds. */
struct tail {
    uint64_t stored_index, commit_index;
    bool counts_auth;
    bool *flags;
    size_t count;
};

static bool changes_keys(const Etcdserverpb__InternalRaftRequest *request)
{
    return request->put != NULL || request->delete_range != NULL || request->txn != NULL ||
           request->lease_grant != NULL || request->lease_revoke != NULL;
}

static bool changes_auth(const Etcdserverpb__InternalRaftRequest *request)
{
    return request->auth_enable != NULL || request->auth_disable != NULL ||
           request->auth_user_add != NULL || request->auth_user_delete != NULL ||
           request->auth_user_change_password != NULL || request->auth_user_grant_role != NULL ||
           request->auth_user_revoke_role != NULL || request->auth_role_add != NULL ||
           request->auth_role_delete != NULL || request->auth_role_grant_permission != NULL ||
           request->auth_role_revoke_permission != NULL;
}

/* Reads and tokens go through the log of older versions too, and are no loss. */
static bool is_change(const struct tail *tail, const struct raft_entry *entry)
{
    Etcdserverpb__InternalRaftRequest *request = NULL;
    struct bytes wire = raft_entry_bytes(entry);
    struct arena arena;
    arena_init(&arena, proto_arena_limit(wire.size));
    bool is = entry->type == RAFT_ENTRY_NORMAL && wire.size > 0 &&
              PROTO_UNPACK(etcdserverpb__internal_raft_request, wire, &arena, &request) == 0 &&
              (changes_keys(request) || (tail->counts_auth && changes_auth(request)));
    arena_free(&arena);
    return is;
}

/* An entry that comes again under its index replaces the one before, which was not committed. */
static void tail_note(struct tail *tail, const struct wal_record *record)
{
    struct raft_hard_state state;
    struct raft_entry entry;
    if (record->type == WAL_RECORD_STATE && wal_state_decode(record->data, &state) == 0) {
        tail->commit_index = state.commit;
    }
    if (record->type != WAL_RECORD_ENTRY || wal_entry_decode(record->data, &entry) != 0) {
        return;
    }
    if (entry.index > tail->stored_index &&
        entry.index - tail->stored_index <= tail->count + 1) { /* the log has no holes */
        size_t at = (size_t)(entry.index - tail->stored_index - 1);
        if (at == tail->count) {
            tail->flags = mem_realloc(tail->flags, (tail->count + 1) * sizeof(*tail->flags));
            tail->count++;
        }
        tail->flags[at] = is_change(tail, &entry);
    }
    raft_payload_unref(entry.payload);
}

/* What is torn at the end was never acknowledged. */
static int tail_read(const struct offline *offline, const struct wal_segment *segment,
                     struct tail *tail)
{
    struct wal_reader reader;
    struct wal_record record;
    struct wal_fault fault;
    struct disk_file *file;
    char *path = wal_segment_path(offline->wal_dir, segment);
    int rc = offline->disk->open(offline->disk->ctx, path, DISK_READ, &file);
    if (rc == 0) {
        rc = wal_reader_open(offline->disk, file, 0, false, &reader);
        if (rc == 0) {
            while ((rc = wal_reader_next(&reader, &record, &fault)) == 1) {
                tail_note(tail, &record);
            }
            wal_reader_close(&reader);
        }
        offline->disk->close(file);
    }
    if (rc != 0 && rc != E_CORRUPT) {
        err_set(offline->err, rc, "read %s: %s", path, err_code_text(rc));
    }
    mem_free(path);
    return rc == E_CORRUPT ? 0 : rc;
}

/* Counts committed changes that the log holds and the key space does not. */
static int count_missing(struct offline *offline)
{
    /* etcd 3.4 stores what changes users and does not count it. */
    struct tail tail = {.stored_index = offline->stored_index, .counts_auth = offline->has_term};
    struct wal_segments segments;
    uint32_t first = 0;
    int rc = wal_segments_list(offline->disk, offline->wal_dir, &segments);
    if (rc != 0) {
        return err_set(offline->err, rc, "read directory %s: %s", offline->wal_dir,
                       err_code_text(rc));
    }
    if (wal_segments_find(&segments, offline->wal_dir, offline->stored_index, &first, NULL) != 0) {
        first = 0;
    }
    for (uint32_t i = first; rc == 0 && i < segments.count; i++) {
        rc = tail_read(offline, &segments.items[i], &tail);
    }
    for (size_t i = 0; i < tail.count && offline->stored_index + i + 1 <= tail.commit_index; i++) {
        offline->missing += tail.flags[i] ? 1 : 0;
    }
    mem_free(tail.flags);
    wal_segments_free(&segments);
    return rc;
}

static int lock_log(struct offline *offline)
{
    const struct disk_seam *disk = offline->disk;
    struct wal_segments segments;
    int rc = wal_segments_list(disk, offline->wal_dir, &segments);
    if (rc == E_NOT_FOUND) {
        return 0; /* somebody has copied the key space alone */
    }
    if (rc != 0) {
        return err_set(offline->err, rc, "read directory %s: %s", offline->wal_dir,
                       err_code_text(rc));
    }
    if (segments.count > 0) {
        char *path = wal_segment_path(offline->wal_dir, &segments.items[segments.count - 1]);
        rc = disk->open(disk->ctx, path, DISK_READ_WRITE, &offline->log);
        rc = rc == 0 ? disk->lock(offline->log) : rc;
        if (rc == E_IN_USE) {
            err_set(offline->err, rc,
                    "%s is in use: the member runs; stop it, or take the snapshot from it with "
                    "--endpoints",
                    path);
        } else if (rc != 0) {
            err_set(offline->err, rc, "open %s: %s", path, err_code_text(rc));
        }
        mem_free(path);
    }
    wal_segments_free(&segments);
    return rc;
}

/* ---- of etcd ---- */

static int note_index(void *ctx, enum store_table table, struct bytes key, struct bytes value)
{
    struct offline *offline = ctx;
    if (table != STORE_META || value.size != sizeof(uint64_t)) {
        return 0;
    }
    if (bytes_equal(key, bytes_of_str(STORE_META_CONSISTENT_INDEX))) {
        offline->stored_index = get_be64(value.data);
    }
    offline->has_term = offline->has_term || bytes_equal(key, bytes_of_str(STORE_META_TERM));
    return 0;
}

static int save_db(struct offline *offline)
{
    static const struct bolt_changes NONE;
    int rc = bolt_read(offline->disk, offline->db_path, note_index, offline, offline->err);
    return rc == 0 ? bolt_rewrite(offline->disk, offline->db_path, offline->part.part, &NONE,
                                  BOLT_SEALED, &offline->bytes, offline->err)
                   : rc;
}

/* ---- of Quorate ---- */

static void note_half_made(void *ctx, const char *name)
{
    bool *is_half_made = ctx;
    if (str_starts_with(name, "store.") && str_ends_with(name, ".new")) {
        *is_half_made = true;
    }
}

static int save_view(struct offline *offline, const struct store_seam *seam)
{
    struct bolt_writer *writer;
    struct store_view *view;
    uint64_t term;
    offline->has_term = true;
    int rc = store_read_position(seam, &offline->stored_index, &term);
    if (rc == 0) {
        rc = seam->view_begin(seam->ctx, &view);
    }
    if (rc != 0) {
        return err_set(offline->err, rc, "read %s: %s", offline->store_path, err_code_text(rc));
    }
    rc = bolt_writer_new(seam, view, &writer, &offline->bytes, offline->err);
    if (rc == 0) {
        rc = bolt_write_file(offline->disk, writer, offline->bytes, offline->part.part, BOLT_SEALED,
                             offline->err);
        bolt_writer_free(writer);
    }
    seam->view_end(view);
    return rc;
}

static int save_store(struct offline *offline, uint64_t store_bytes)
{
    struct lmdb_store *store;
    bool is_half_made = false;
    int rc = offline->disk->list_dir(offline->disk->ctx, offline->member_dir, note_half_made,
                                     &is_half_made);
    if (rc == 0 && is_half_made) {
        return err_set(offline->err, E_CONFLICT,
                       "%s: the member was stopped while it took over a snapshot; start it once, "
                       "stop it, and try again",
                       offline->member_dir);
    }
    rc = lmdb_store_open(offline->store_dir, store_bytes + MAP_SPARE_BYTES, &store, offline->err);
    if (rc != 0) {
        return rc;
    }
    rc = save_view(offline, lmdb_store_seam(store));
    lmdb_store_close(store);
    return rc;
}

/* ---- both ---- */

/* etcd's database, where there is one, is newer than any store of ours beside it. */
static int save_newest(struct offline *offline)
{
    uint64_t bytes = 0;
    int rc = disk_size_of(offline->disk, offline->db_path, &bytes);
    if (rc == 0) {
        return save_db(offline);
    }
    const char *path = offline->db_path;
    if (rc == E_NOT_FOUND) {
        path = offline->store_path;
        rc = disk_size_of(offline->disk, path, &bytes);
        if (rc == 0) {
            return save_store(offline, bytes);
        }
    }
    if (rc == E_NOT_FOUND) {
        return err_set(offline->err, rc,
                       "%s holds no member: neither snap/db of etcd nor store/" LMDB_STORE_FILE
                       " of Quorate",
                       offline->member_dir);
    }
    return err_set(offline->err, rc, "open %s: %s", path, err_code_text(rc));
}

static void write_note(const struct offline *offline, char *out)
{
    out[0] = '\0';
    if (offline->missing > 0) {
        snprintf(out, ERR_TEXT_MAX,
                 "the snapshot is complete to log index %" PRIu64 ", and the log holds %" PRIu64
                 " changes more: the member was not stopped in order; start it once, stop it, and "
                 "take the snapshot again to have them",
                 offline->stored_index, offline->missing);
    } else if (offline->log == NULL) {
        snprintf(out, ERR_TEXT_MAX,
                 "%s holds no log: what was written last may be missing in the snapshot",
                 offline->wal_dir);
    }
}

static int save(struct offline *offline, const char *path)
{
    int rc = lock_log(offline);
    if (rc == 0) {
        rc = part_file_open(offline->disk, path, &offline->part, offline->err);
    }
    if (rc == 0) {
        rc = part_file_finish(&offline->part, offline->err); /* it is written under its name */
    }
    if (rc == 0) {
        rc = save_newest(offline);
    }
    if (rc == 0 && offline->log != NULL) {
        rc = count_missing(offline);
    }
    if (rc == 0) {
        rc = part_file_publish(&offline->part, offline->err);
    }
    part_file_close(&offline->part);
    if (offline->log != NULL) {
        offline->disk->close(offline->log);
    }
    return rc;
}

int offline_save(const struct disk_seam *disk, const char *data_dir, const char *wal_dir,
                 const char *path, struct offline_result *out_result, struct err *err)
{
    struct offline offline = {
        .disk = disk, .member_dir = str_printf("%s/member", data_dir), .err = err};
    offline.db_path = str_printf("%s/snap/db", offline.member_dir);
    offline.store_dir = str_printf("%s/store", offline.member_dir);
    offline.store_path = str_printf("%s/" LMDB_STORE_FILE, offline.store_dir);
    offline.wal_dir = wal_dir != NULL && wal_dir[0] != '\0'
                          ? str_dup(wal_dir)
                          : str_printf("%s/wal", offline.member_dir);
    int rc = save(&offline, path);
    if (rc == 0) {
        out_result->bytes = offline.bytes;
        write_note(&offline, out_result->note);
    }
    mem_free(offline.member_dir);
    mem_free(offline.db_path);
    mem_free(offline.store_dir);
    mem_free(offline.store_path);
    mem_free(offline.wal_dir);
    return rc;
}
