/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB behind the seam. The environment is counted by its users, so that defragment can put a new
 * one in its place while views still read the old file.
 */
#include "engine/store/lmdb_store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/log.h"

#define FILE_MODE       0600
#define ENV_FLAGS       (MDB_NOSUBDIR | MDB_NOTLS)
#define SPARE_VIEWS_MAX 4u
#define READERS_MAX     126u
#define DISK_FULL_BYTES (16u * 1024u * 1024u)
/* What a commit may write per byte of its batch: pages are copied, the big ones filled in part. */
#define COMMIT_GROWTH 4u
/* After each value: the CRC-32C of its table, its key and itself, since LMDB checks no page. */
#define SUM_BYTES 4u
/* An empty database of that name says that values have their sums; files that were made before
 * there were any go on without. */
#define SUMS_NAME "checksums"
/* A table with one record: the format, u64 big-endian. A file without it is of format 1. */
#define FORMAT_TABLE "format"
#define FORMAT_KEY   "version"
#define OWN_TABLES   2u

/* One opened file and the count of those who use it: the store itself and its views. */
struct environment {
    MDB_env *env;
    MDB_dbi tables[STORE_TABLE_COUNT];
    bool has_sums;
    uint32_t users;
};

struct store_view {
    struct lmdb_store *store;
    struct environment *environment;
    MDB_txn *txn;
    MDB_cursor *cursors[STORE_TABLE_COUNT];
    bool renewed[STORE_TABLE_COUNT]; /* the cursor belongs to this use of the view */
    struct store_view *next_spare;
};

struct lmdb_store {
    struct store_seam seam;
    char *dir;
    char *path;
    uint64_t map_bytes;
    pthread_mutex_t lock; /* environment, its users, spare views */
    struct environment *environment;
    struct store_view *spares; /* reset read transactions, cheaper to renew than to begin */
    uint32_t spare_count;
    int failure; /* of the store thread alone: why nothing is committed any more; 0: nothing */
};

static int code_of(int mdb_rc)
{
    switch (mdb_rc) {
    case 0:
        return 0;
    case MDB_NOTFOUND:
        return E_NOT_FOUND;
    case MDB_MAP_FULL:
        return E_NO_SPACE;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
        return E_CORRUPT;
    case MDB_READERS_FULL:
        return E_IN_USE;
    default:
        return mdb_rc > 0 ? err_from_errno(mdb_rc) : E_IO;
    }
}

static int fail(struct err *err, int mdb_rc, const char *what, const char *path)
{
    return err_set(err, code_of(mdb_rc), "%s %s: %s", what, path, mdb_strerror(mdb_rc));
}

static int sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int rc = fsync(fd) != 0 ? errno : 0;
    close(fd);
    return rc;
}

/* ---- environments ---- */

static int write_format(MDB_txn *txn)
{
    MDB_dbi table;
    uint8_t number[8];
    MDB_val key = {strlen(FORMAT_KEY), (void *)(uintptr_t)FORMAT_KEY};
    MDB_val value = {sizeof(number), number};
    put_be64(number, LMDB_STORE_FORMAT);
    int rc = mdb_dbi_open(txn, FORMAT_TABLE, MDB_CREATE, &table);
    return rc == 0 ? mdb_put(txn, table, &key, &value, 0) : rc;
}

static int read_format(MDB_txn *txn, uint64_t *out_format)
{
    MDB_dbi table;
    MDB_val key = {strlen(FORMAT_KEY), (void *)(uintptr_t)FORMAT_KEY};
    MDB_val value;
    int rc = mdb_dbi_open(txn, FORMAT_TABLE, 0, &table);
    rc = rc == 0 ? mdb_get(txn, table, &key, &value) : rc;
    if (rc == 0) {
        *out_format = value.mv_size == 8 ? get_be64(value.mv_data) : UINT64_MAX;
    }
    return rc;
}

int lmdb_store_check(const char *dir, struct err *err)
{
    char *path = str_printf("%s/%s", dir, LMDB_STORE_FILE);
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    uint64_t format = 0;
    int rc = access(path, R_OK) == 0 ? mdb_env_create(&env) : ENOENT;
    rc = rc == 0 ? mdb_env_set_maxdbs(env, 1) : rc;
    rc = rc == 0 ? mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, FILE_MODE) : rc;
    rc = rc == 0 ? mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) : rc;
    rc = rc == 0 ? read_format(txn, &format) : rc;
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    if (env != NULL) {
        mdb_env_close(env);
    }
    rc = rc == 0 && format > LMDB_STORE_FORMAT
             ? err_set(err, E_UNSUPPORTED,
                       "%s is of format %" PRIu64
                       ", which a newer release made; this one reads up to %u. Nothing was "
                       "changed: start the newer release again, or remove this member and add it "
                       "with an empty data directory",
                       path, format, LMDB_STORE_FORMAT)
             : 0;
    mem_free(path);
    return rc;
}

/* A file without tables is new. */
static int open_sums(MDB_txn *txn, struct environment *environment)
{
    MDB_dbi sums;
    int rc = mdb_dbi_open(txn, SUMS_NAME, 0, &sums);
    if (rc == MDB_NOTFOUND && mdb_dbi_open(txn, store_table_name(STORE_KEY), 0,
                                           &environment->tables[STORE_KEY]) == MDB_NOTFOUND) {
        rc = mdb_dbi_open(txn, SUMS_NAME, MDB_CREATE, &sums);
        rc = rc == 0 ? write_format(txn) : rc;
    }
    environment->has_sums = rc == 0;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int open_tables(struct environment *environment)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(environment->env, NULL, 0, &txn);
    if (rc != 0) {
        return rc;
    }
    rc = open_sums(txn, environment);
    for (unsigned i = 0; i < STORE_TABLE_COUNT && rc == 0; i++) {
        rc = mdb_dbi_open(txn, store_table_name((enum store_table)i), MDB_CREATE,
                          &environment->tables[i]);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static int environment_open(const char *path, uint64_t map_bytes, struct environment **out)
{
    struct environment *environment = mem_zalloc(sizeof(*environment));
    environment->users = 1;
    int rc = mdb_env_create(&environment->env);
    if (rc != 0) {
        mem_free(environment);
        return rc;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t map_size = ((size_t)map_bytes + page - 1) / page * page;
    rc = mdb_env_set_mapsize(environment->env, map_size);
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(environment->env, STORE_TABLE_COUNT + OWN_TABLES);
    }
    if (rc == 0) {
        rc = mdb_env_set_maxreaders(environment->env, READERS_MAX);
    }
    if (rc == 0) {
        rc = mdb_env_open(environment->env, path, ENV_FLAGS, FILE_MODE);
    }
    if (rc == 0) {
        rc = open_tables(environment);
    }
    if (rc != 0) {
        mdb_env_close(environment->env);
        mem_free(environment);
        return rc;
    }
    *out = environment;
    return 0;
}

/* With the lock held. */
static void environment_drop(struct environment *environment)
{
    ASSERT(environment->users > 0);
    if (--environment->users == 0) {
        mdb_env_close(environment->env);
        mem_free(environment);
    }
}

/* ---- views ---- */

/* With the lock held. */
static void view_discard(struct store_view *view)
{
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        if (view->cursors[i] != NULL) {
            mdb_cursor_close(view->cursors[i]);
        }
    }
    mdb_txn_abort(view->txn);
    environment_drop(view->environment);
    mem_free(view);
}

static void discard_spares(struct lmdb_store *store)
{
    while (store->spares != NULL) {
        struct store_view *view = store->spares;
        store->spares = view->next_spare;
        view_discard(view);
    }
    store->spare_count = 0;
}

static struct store_view *take_spare(struct lmdb_store *store)
{
    struct store_view *view = store->spares;
    if (view != NULL) {
        store->spares = view->next_spare;
        store->spare_count--;
    }
    return view;
}

static int view_begin(void *ctx, struct store_view **out_view)
{
    struct lmdb_store *store = ctx;
    int rc = 0;
    pthread_mutex_lock(&store->lock);
    struct store_view *view = take_spare(store);
    if (view != NULL) {
        rc = mdb_txn_renew(view->txn);
        if (rc != 0) {
            view_discard(view);
        }
    } else {
        view = mem_zalloc(sizeof(*view));
        view->store = store;
        view->environment = store->environment;
        rc = mdb_txn_begin(store->environment->env, NULL, MDB_RDONLY, &view->txn);
        if (rc == 0) {
            store->environment->users++;
        } else {
            mem_free(view);
        }
    }
    pthread_mutex_unlock(&store->lock);
    if (rc != 0) {
        return code_of(rc);
    }
    memset(view->renewed, 0, sizeof(view->renewed));
    *out_view = view;
    return 0;
}

static void view_end(struct store_view *view)
{
    struct lmdb_store *store = view->store;
    pthread_mutex_lock(&store->lock);
    if (view->environment == store->environment && store->spare_count < SPARE_VIEWS_MAX) {
        mdb_txn_reset(view->txn);
        view->next_spare = store->spares;
        store->spares = view;
        store->spare_count++;
    } else {
        view_discard(view);
    }
    pthread_mutex_unlock(&store->lock);
}

static MDB_val val_of(struct bytes bytes)
{
    return (MDB_val){bytes.size, (void *)(uintptr_t)bytes.data};
}

static uint32_t sum_of(enum store_table table, struct bytes key, struct bytes value)
{
    return crc32c(crc32c((uint32_t)table, key.data, key.size), value.data, value.size);
}

/* Takes the sum off a value that is what was written; E_CORRUPT when it is not. */
static int take_value(const struct store_view *view, enum store_table table, struct bytes key,
                      const MDB_val *stored, struct bytes *out_value)
{
    const uint8_t *data = stored->mv_data;
    if (!view->environment->has_sums) {
        *out_value = bytes_of(data, stored->mv_size);
        return 0;
    }
    if (stored->mv_size >= SUM_BYTES) {
        size_t size = stored->mv_size - SUM_BYTES;
        struct bytes value = bytes_of(data, size);
        if (get_le32(data + size) == sum_of(table, key, value)) {
            *out_value = value;
            return 0;
        }
    }
    LOG_ERROR("the store holds a record that is not what was written: remove this member and add "
              "it again with an empty data directory",
              LOG_STR("path", view->store->path), LOG_STR("table", store_table_name(table)));
    return E_CORRUPT;
}

static int view_get(struct store_view *view, enum store_table table, struct bytes key,
                    struct bytes *out_value)
{
    MDB_val mdb_key = val_of(key);
    MDB_val value;
    int rc = mdb_get(view->txn, view->environment->tables[table], &mdb_key, &value);
    if (rc != 0) {
        return code_of(rc);
    }
    return take_value(view, table, key, &value, out_value);
}

static int cursor_of(struct store_view *view, enum store_table table)
{
    if (view->renewed[table]) {
        return 0;
    }
    int rc =
        view->cursors[table] != NULL
            ? mdb_cursor_renew(view->txn, view->cursors[table])
            : mdb_cursor_open(view->txn, view->environment->tables[table], &view->cursors[table]);
    view->renewed[table] = rc == 0;
    return rc;
}

static int cursor_get(struct store_view *view, enum store_table table, MDB_val *key,
                      MDB_cursor_op operation, struct store_item *out_item)
{
    MDB_val value;
    int rc = mdb_cursor_get(view->cursors[table], key, &value, operation);
    if (rc != 0) {
        return code_of(rc);
    }
    struct bytes found = bytes_of(key->mv_data, key->mv_size);
    rc = take_value(view, table, found, &value, &out_item->value);
    if (rc == 0) {
        out_item->key = found;
    }
    return rc;
}

static int view_seek(struct store_view *view, enum store_table table, struct bytes from,
                     struct store_item *out_item)
{
    int rc = cursor_of(view, table);
    if (rc != 0) {
        return code_of(rc);
    }
    MDB_val key = val_of(from);
    return cursor_get(view, table, &key, from.size == 0 ? MDB_FIRST : MDB_SET_RANGE, out_item);
}

static int view_next(struct store_view *view, enum store_table table, struct store_item *out_item)
{
    ASSERT(view->renewed[table]);
    MDB_val key;
    return cursor_get(view, table, &key, MDB_NEXT, out_item);
}

/* ---- commit ---- */

static int put_value(MDB_txn *txn, const struct environment *environment, const struct store_op *op,
                     unsigned flags)
{
    MDB_val key = val_of(op->key);
    MDB_val value = val_of(op->value);
    MDB_dbi table = environment->tables[op->table];
    if (!environment->has_sums) {
        return mdb_put(txn, table, &key, &value, flags);
    }
    value = (MDB_val){op->value.size + SUM_BYTES, NULL};
    int rc = mdb_put(txn, table, &key, &value, flags | MDB_RESERVE);
    if (rc == 0) {
        uint8_t *room = value.mv_data;
        if (op->value.size > 0) {
            memcpy(room, op->value.data, op->value.size);
        }
        put_le32(room + op->value.size, sum_of(op->table, op->key, op->value));
    }
    return rc;
}

/* Revision keys ascend: appending fills pages whole. Anything else (a replay) is an ordinary put.
 */
static int put_op(MDB_txn *txn, const struct environment *environment, const struct store_op *op)
{
    int rc = op->table == STORE_KEY ? put_value(txn, environment, op, MDB_APPEND) : MDB_KEYEXIST;
    return rc == MDB_KEYEXIST ? put_value(txn, environment, op, 0) : rc;
}

static int remove_op(MDB_txn *txn, const struct environment *environment, const struct store_op *op)
{
    MDB_val key = val_of(op->key);
    int rc = mdb_del(txn, environment->tables[op->table], &key, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int put_number(MDB_txn *txn, const struct environment *environment, const char *name,
                      uint64_t number)
{
    uint8_t encoded[8];
    put_be64(encoded, number);
    struct store_op op = {STORE_PUT, STORE_META, bytes_of_str(name), bytes_of(encoded, 8)};
    return put_op(txn, environment, &op);
}

static int write_batch(MDB_txn *txn, const struct environment *environment,
                       const struct store_batch *batch)
{
    int rc = 0;
    for (size_t i = 0; i < batch->op_count && rc == 0; i++) {
        const struct store_op *op = &batch->ops[i];
        rc = op->kind == STORE_PUT ? put_op(txn, environment, op) : remove_op(txn, environment, op);
    }
    if (rc != 0 || batch->consistent_index == 0) {
        return rc;
    }
    rc = put_number(txn, environment, STORE_META_CONSISTENT_INDEX, batch->consistent_index);
    return rc != 0 ? rc : put_number(txn, environment, STORE_META_TERM, batch->term);
}

/* Unknown counts as plenty: the commit then finds out. */
static uint64_t disk_free(const struct lmdb_store *store)
{
    struct statvfs disk;
    return statvfs(store->path, &disk) == 0 ? (uint64_t)disk.f_bavail * disk.f_frsize : UINT64_MAX;
}

static int commit(void *ctx, const struct store_batch *batch, struct err *err)
{
    struct lmdb_store *store = ctx;
    if (store->failure != 0) {
        return err_set(err, E_CLOSED, "commit to %s: an earlier change failed: %s", store->path,
                       err_code_text(store->failure));
    }
    if (disk_free(store) < DISK_FULL_BYTES + COMMIT_GROWTH * (uint64_t)batch->bytes) {
        return err_set(err, E_AGAIN, "commit to %s: no space is left on the disk", store->path);
    }
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->environment->env, NULL, 0, &txn);
    if (rc == 0) {
        rc = write_batch(txn, store->environment, batch);
        if (rc == 0) {
            rc = mdb_txn_commit(txn); /* frees txn either way */
        } else {
            mdb_txn_abort(txn);
        }
    }
    if (rc == 0) {
        return 0;
    }
    /* Whether a failed sync reached the disk is unknown: never go on as if nothing had been. */
    store->failure = code_of(rc);
    if (rc == MDB_MAP_FULL) {
        return err_set(err, E_NO_SPACE,
                       "commit to %s: the store has grown to its map of %llu bytes", store->path,
                       (unsigned long long)store->map_bytes);
    }
    /* LMDB says EIO for a write that the disk had no more room for. */
    if ((rc == EIO || rc == ENOSPC) && disk_free(store) < DISK_FULL_BYTES) {
        return err_set(err, E_NO_SPACE,
                       "commit to %s: no space is left on the disk; make room and start again",
                       store->path);
    }
    return fail(err, rc, "commit to", store->path);
}

static uint64_t pages_of(const MDB_stat *stat)
{
    return stat->ms_branch_pages + stat->ms_leaf_pages + stat->ms_overflow_pages;
}

/* Pages of the trees as the view sees them, plus the two meta pages and the table of tables. */
static int used_pages(const struct store_view *view, uint64_t *out_pages, uint64_t *out_page_bytes)
{
    MDB_stat stat;
    int rc = mdb_env_stat(view->environment->env, &stat);
    uint64_t pages = 2 + pages_of(&stat);
    for (unsigned i = 0; i < STORE_TABLE_COUNT && rc == 0; i++) {
        rc = mdb_stat(view->txn, view->environment->tables[i], &stat);
        pages += pages_of(&stat);
    }
    *out_pages = pages;
    *out_page_bytes = stat.ms_psize;
    return rc;
}

static int sizes(void *ctx, struct store_sizes *out_sizes)
{
    struct lmdb_store *store = ctx;
    struct store_view *view;
    int rc = view_begin(ctx, &view);
    if (rc != 0) {
        return rc;
    }
    uint64_t pages = 0;
    uint64_t page_bytes = 0;
    mdb_filehandle_t fd;
    struct stat file;
    rc = code_of(used_pages(view, &pages, &page_bytes));
    if (rc == 0) {
        rc = code_of(mdb_env_get_fd(view->environment->env, &fd));
    }
    if (rc == 0 && fstat(fd, &file) != 0) {
        rc = err_from_errno(errno);
    }
    view_end(view);
    if (rc != 0) {
        return rc;
    }
    *out_sizes = (struct store_sizes){(uint64_t)file.st_size, pages * page_bytes, store->map_bytes};
    return 0;
}

/* ---- opening, copying, replacing ---- */

/*
 * LMDB writes the first pages of a new file without flushing them, and refuses one that a power cut
 * left half made for ever. So it is made beside, flushed whole, and then named.
 */
static int make_file(const struct lmdb_store *store)
{
    char *fresh = str_printf("%s" LMDB_STORE_NEW, store->path);
    char *fresh_lock = str_printf("%s-lock", fresh);
    struct environment *environment = NULL;
    (void)unlink(fresh); /* of a start that a crash ended */
    int rc = environment_open(fresh, store->map_bytes, &environment);
    if (rc == 0) {
        mdb_env_close(environment->env);
        mem_free(environment);
        rc = sync_path(fresh, O_RDWR);
    }
    if (rc == 0 && rename(fresh, store->path) != 0) {
        rc = errno;
    }
    (void)unlink(fresh_lock); /* the file has another under its name */
    mem_free(fresh_lock);
    mem_free(fresh);
    return rc;
}

int lmdb_store_open(const char *dir, uint64_t map_bytes, struct lmdb_store **out_store,
                    struct err *err)
{
    struct lmdb_store *store = mem_zalloc(sizeof(*store));
    store->dir = str_dup(dir);
    store->path = str_printf("%s/%s", dir, LMDB_STORE_FILE);
    store->map_bytes = map_bytes;
    store->seam = (struct store_seam){
        .ctx = store,
        .commit = commit,
        .view_begin = view_begin,
        .view_end = view_end,
        .view_get = view_get,
        .view_seek = view_seek,
        .view_next = view_next,
        .sizes = sizes,
    };
    pthread_mutex_init(&store->lock, NULL);
    int rc = access(store->path, F_OK) == 0 ? 0 : make_file(store);
    if (rc == 0) {
        rc = environment_open(store->path, map_bytes, &store->environment);
    }
    if (rc == 0) {
        rc = sync_path(dir, O_RDONLY | O_DIRECTORY); /* the file's name outlives a power cut */
    }
    if (rc != 0) {
        rc = fail(err, rc, "open", store->path);
        lmdb_store_close(store);
        return rc;
    }
    *out_store = store;
    return 0;
}

void lmdb_store_close(struct lmdb_store *store)
{
    discard_spares(store);
    if (store->environment != NULL) {
        ASSERT(store->environment->users == 1);
        environment_drop(store->environment);
    }
    pthread_mutex_destroy(&store->lock);
    mem_free(store->dir);
    mem_free(store->path);
    mem_free(store);
}

const struct store_seam *lmdb_store_seam(struct lmdb_store *store)
{
    return &store->seam;
}

int lmdb_store_copy(struct lmdb_store *store, const char *path, struct err *err)
{
    pthread_mutex_lock(&store->lock);
    struct environment *environment = store->environment;
    environment->users++;
    pthread_mutex_unlock(&store->lock);
    int rc = access(path, F_OK) == 0 ? EEXIST : 0;
    bool made = rc == 0;
    if (rc == 0) {
        rc = mdb_env_copy2(environment->env, path, MDB_CP_COMPACT);
    }
    if (rc == 0) {
        rc = sync_path(path, O_RDWR);
    }
    if (rc != 0 && made) {
        (void)unlink(path);
    }
    pthread_mutex_lock(&store->lock);
    environment_drop(environment);
    pthread_mutex_unlock(&store->lock);
    return rc == 0 ? 0 : fail(err, rc, "copy the store to", path);
}

/* Moves the copy and its lock file into place; from then on the copy is the store. */
static int replace_file(struct lmdb_store *store, const char *copy_path, struct environment *copy)
{
    if (rename(copy_path, store->path) != 0) {
        return errno;
    }
    char *copy_lock = str_printf("%s-lock", copy_path);
    char *lock = str_printf("%s-lock", store->path);
    /* Best effort: a lock file of another name is only missing for tools that look in from outside.
     */
    (void)rename(copy_lock, lock);
    mem_free(copy_lock);
    mem_free(lock);
    pthread_mutex_lock(&store->lock);
    struct environment *old = store->environment;
    discard_spares(store);
    store->environment = copy;
    environment_drop(old);
    pthread_mutex_unlock(&store->lock);
    int rc = sync_path(store->dir, O_RDONLY | O_DIRECTORY);
    /* The rename may be lost in a power cut: commits to the new file must not be acknowledged. */
    store->failure = rc != 0 ? code_of(rc) : store->failure;
    return rc;
}

static void remove_copy(const char *copy_path)
{
    char *copy_lock = str_printf("%s-lock", copy_path);
    (void)unlink(copy_path);
    (void)unlink(copy_lock);
    mem_free(copy_lock);
}

int lmdb_store_defragment(struct lmdb_store *store, struct err *err)
{
    if (store->failure != 0) {
        return err_set(err, E_CLOSED, "defragment %s: an earlier change failed: %s", store->path,
                       err_code_text(store->failure));
    }
    char *copy_path = str_printf("%s.defrag", store->path);
    struct environment *copy = NULL;
    remove_copy(copy_path); /* of a run that a crash ended */
    int rc = lmdb_store_copy(store, copy_path, err);
    if (rc != 0) {
        goto out;
    }
    rc = environment_open(copy_path, store->map_bytes, &copy);
    if (rc == 0) {
        rc = replace_file(store, copy_path, copy);
    }
    if (rc != 0) {
        rc = fail(err, rc, "defragment", store->path);
        if (copy != NULL && store->environment != copy) {
            environment_drop(copy);
            remove_copy(copy_path);
        }
    }
out:
    mem_free(copy_path);
    return rc;
}
