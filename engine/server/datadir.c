/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of a member, and the swap of its store. */
#include "engine/server/datadir.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/internal.h"

#define STORE_NAME "store"
#define OLD_NAME   "store.old"
/* Of a path like DATA/member/snap: all three may be ours. */
#define OWN_FOLDERS 3u

static void ignore_name(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
}

/*
 * Makes one folder, and its name durable: what is flushed inside of it is lost when the name is. A
 * folder of somebody else's that was there already is left to them; is_ours: it may be left from a
 * start that a crash ended before its name was flushed.
 */
static int make_durably(const struct disk_seam *disk, const char *path, bool is_ours)
{
    bool is_new = disk->list_dir(disk->ctx, path, ignore_name, NULL) == E_NOT_FOUND;
    int rc = disk->make_dir(disk->ctx, path);
    if (rc != 0 || (!is_new && !is_ours)) {
        return rc;
    }
    const char *slash = strrchr(path, '/');
    char *parent = slash == NULL   ? str_dup(".")
                   : slash == path ? str_dup("/")
                                   : str_from(path, (size_t)(slash - path));
    rc = disk->sync_dir(disk->ctx, parent);
    mem_free(parent);
    return rc == E_PERMISSION ? 0 : rc; /* a folder that we may not list cannot be flushed */
}

static size_t slash_count(const char *path)
{
    size_t count = 0;
    for (; *path != '\0'; path++) {
        count += *path == '/' ? 1 : 0;
    }
    return count;
}

int datadir_make(const struct disk_seam *disk, const char *dir, struct err *err)
{
    char *path = str_dup(dir);
    int rc = 0;
    for (char *at = path + 1; rc == 0; at++) {
        if (*at != '/' && *at != '\0') {
            continue;
        }
        char ended = *at;
        *at = '\0';
        const char *rest = ended == '\0' ? "" : at + 1;
        rc = make_durably(disk, path, slash_count(rest) <= OWN_FOLDERS - 2);
        *at = ended;
        if (ended == '\0') {
            break;
        }
    }
    mem_free(path);
    return rc == 0 ? 0 : err_set(err, rc, "cannot make directory %s: %s", dir, err_code_text(rc));
}

/* Names of one listing that begin as asked. */
struct names {
    const char *prefix;
    char *found[16];
    size_t count;
    bool has_exact;
    const char *exact;
};

static void each_name(void *ctx, const char *name)
{
    struct names *names = ctx;
    if (strcmp(name, names->exact) == 0) {
        names->has_exact = true;
    }
    if (str_starts_with(name, names->prefix) && names->count < ARRAY_COUNT(names->found)) {
        names->found[names->count++] = str_dup(name);
    }
}

struct removal {
    const struct disk_seam *disk;
    const char *dir;
};

static void remove_entry(void *ctx, const char *name)
{
    struct removal *removal = ctx;
    char *path = str_printf("%s/%s", removal->dir, name);
    (void)removal->disk->remove(removal->disk->ctx,
                                path); /* what stays is removed at the next start */
    mem_free(path);
}

/* Removes a folder of plain files. */
static void remove_dir(const struct disk_seam *disk, const char *dir)
{
    struct removal removal = {disk, dir};
    if (disk->list_dir(disk->ctx, dir, remove_entry, &removal) == 0) {
        (void)disk->remove(disk->ctx, dir);
    }
}

static char *new_dir_path(const char *member_dir, uint64_t index)
{
    return str_printf("%s/" STORE_NAME ".%016" PRIx64 ".new", member_dir, index);
}

/* Puts the finished folder fresh in the place of member/store. */
static int put_in_place(const struct disk_seam *disk, const char *member_dir, const char *fresh,
                        struct err *err)
{
    char *store = str_printf("%s/" STORE_NAME, member_dir);
    char *old = str_printf("%s/" OLD_NAME, member_dir);
    remove_dir(disk, old);
    int rc = disk->rename(disk->ctx, store, old);
    if (rc == E_NOT_FOUND) {
        rc = 0; /* a first start, or a swap that a crash cut in two */
    }
    if (rc == 0) {
        rc = disk->rename(disk->ctx, fresh, store);
    }
    if (rc == 0) {
        rc = disk->sync_dir(disk->ctx, member_dir);
    }
    if (rc != 0) {
        err_set(err, rc, "put %s in place of %s: %s", fresh, store, err_code_text(rc));
    } else {
        remove_dir(disk, old);
    }
    mem_free(store);
    mem_free(old);
    return rc;
}

int store_dir_swap(const struct disk_seam *disk, const char *member_dir, uint64_t index,
                   struct err *err)
{
    char *fresh = new_dir_path(member_dir, index);
    int rc = put_in_place(disk, member_dir, fresh, err);
    mem_free(fresh);
    return rc;
}

int store_dir_adopt(const struct disk_seam *disk, const char *member_dir, const char *db_path,
                    uint64_t map_bytes, struct bolt_import *out_import, struct err *err)
{
    char *fresh = str_printf("%s/" STORE_NAME ".adopted.new", member_dir);
    remove_dir(disk, fresh);
    int rc = bolt_import(disk, db_path, fresh, map_bytes, out_import, err);
    if (rc == 0) {
        rc = put_in_place(disk, member_dir, fresh, err);
    }
    mem_free(fresh);
    return rc;
}

int store_dir_settle(const struct disk_seam *disk, const char *member_dir, uint64_t mark_index,
                     struct err *err)
{
    struct names names = {.prefix = STORE_NAME ".", .exact = STORE_NAME};
    char *wanted = str_printf(STORE_NAME ".%016" PRIx64 ".new", mark_index);
    int rc = disk->list_dir(disk->ctx, member_dir, each_name, &names);
    if (rc != 0) {
        err_set(err, rc, "read directory %s: %s", member_dir, err_code_text(rc));
    }
    bool swap = false;
    for (size_t i = 0; i < names.count; i++) {
        swap = swap || (mark_index > 0 && strcmp(names.found[i], wanted) == 0);
    }
    if (rc == 0 && swap) {
        /* The WAL has the snapshot's record: the new store counts, the old one is behind the log.
         */
        LOG_INFO("finishing an interrupted snapshot installation",
                 LOG_U64("snapshot-index", mark_index));
        rc = store_dir_swap(disk, member_dir, mark_index, err);
    }
    for (size_t i = 0; i < names.count; i++) {
        char *path = str_printf("%s/%s", member_dir, names.found[i]);
        if (rc == 0 && strcmp(names.found[i], wanted) != 0) {
            remove_dir(disk, path);
        }
        mem_free(path);
        mem_free(names.found[i]);
    }
    mem_free(wanted);
    return rc;
}

/* The file says what its sender had applied; the log goes on behind the mark. */
static int set_position(const char *dir, const struct raft_snapshot_mark *mark, uint64_t map_bytes,
                        struct err *err)
{
    struct lmdb_store *store;
    int rc = lmdb_store_open(dir, map_bytes, &store, err);
    if (rc != 0) {
        return rc;
    }
    struct store_batch batch;
    store_batch_init(&batch);
    batch.consistent_index = mark->index;
    batch.term = mark->term;
    cluster_store_conf_state(&batch, &mark->conf_state); /* etcd 3.4 keeps none in its file */
    const struct store_seam *seam = lmdb_store_seam(store);
    rc = seam->commit(seam->ctx, &batch, err);
    store_batch_free(&batch);
    lmdb_store_close(store);
    return rc;
}

int store_dir_build(const struct disk_seam *disk, const char *member_dir,
                    const struct raft_snapshot_mark *mark, const char *db_path, uint64_t map_bytes,
                    struct bolt_import *out_import, struct err *err)
{
    char *fresh = new_dir_path(member_dir, mark->index);
    remove_dir(disk, fresh);
    int rc = bolt_import(disk, db_path, fresh, map_bytes, out_import, err);
    if (rc == 0) {
        rc = set_position(fresh, mark, map_bytes, err);
    }
    if (rc == 0) {
        rc = disk->sync_dir(disk->ctx, member_dir);
        if (rc != 0) {
            err_set(err, rc, "make %s durable: %s", fresh, err_code_text(rc));
        }
    }
    mem_free(fresh);
    return rc;
}

static void remove_received(void *ctx, const char *name)
{
    if (str_ends_with(name, ".snap.db") ||
        (str_starts_with(name, "recv-") && str_ends_with(name, ".tmp"))) {
        remove_entry(ctx, name);
    }
}

int snap_dir_settle(const struct disk_seam *disk, const char *snap_dir, struct err *err)
{
    struct removal removal = {disk, snap_dir};
    int rc = disk->list_dir(disk->ctx, snap_dir, remove_received, &removal);
    return rc == 0 ? 0 : err_set(err, rc, "read directory %s: %s", snap_dir, err_code_text(rc));
}

void store_dir_remove(const struct disk_seam *disk, const char *member_dir)
{
    char *store = str_printf("%s/" STORE_NAME, member_dir);
    remove_dir(disk, store);
    mem_free(store);
}
