/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine/store/lmdb_store.h as the simulator has it: tables that are copied on write, as an object
 * on an inode of the simulated disk. What a commit wrote is durable when it returns; a process that
 * dies in it (hook "commit" before, "committed" after) leaves all of it or nothing. A commit whose
 * sync failed is there after the process has died, or is not: the disk's draw. Sizes are those that
 * LMDB would need, by its page and node sizes, near enough for quotas and budgets.
 */
#include "engine/store/lmdb_store.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/disk_inside.h"
#include "tests/sim/store.h"
#include "tests/sim/store_version.h"
#include "tests/sim/world.h"

#define PAGES_SPARE     8u /* that a commit writes before older ones are free */
#define LOCK_FILE_BYTES 8192u
#define ROTS_MAX        8u
#define KEY_IN_FOUR     3u /* of what rots */

/* A record that is not what was written. */
struct rot {
    enum store_table table;
    size_t key_size;
    uint8_t key[STORE_KEY_BYTES_MAX];
};

/* What is on the inode. */
struct object {
    struct version *version;
    struct version *uncertain; /* of a commit whose sync failed; NULL: none */
    uint64_t file_pages;       /* never fewer, as LMDB has it */
    struct rot rots[ROTS_MAX];
    uint32_t rot_count;
};

struct lmdb_store {
    struct sim_holder holder; /* first */
    struct store_seam seam;
    struct sim_disk *disk;
    struct sim_inode *inode; /* holds a reference */
    char *dir;
    char *path;
    uint64_t map_bytes;
    uint32_t view_count;
    int failure; /* E_*; 0: none */
};

struct store_view {
    struct sim_holder holder; /* first */
    struct lmdb_store *store;
    struct version *version;
    struct tree_cursor *cursors[STORE_TABLE_COUNT];
};

static int fail(struct err *err, int rc, const char *what, const char *path)
{
    return err_set(err, rc, "%s %s: %s", what, path, err_code_text(rc));
}

/* ---- objects ---- */

static struct object *object_new(struct version *version)
{
    struct object *object = mem_zalloc(sizeof(*object));
    object->version = version;
    object->file_pages = version_pages(version);
    return object;
}

static void object_free(void *context)
{
    struct object *object = context;
    version_unref(object->version);
    version_unref(object->uncertain);
    mem_free(object);
}

static void *object_clone(void *context)
{
    const struct object *object = context;
    struct object *clone = mem_dup(object, sizeof(*object));
    (void)version_ref(clone->version);
    if (clone->uncertain != NULL) {
        (void)version_ref(clone->uncertain);
    }
    return clone;
}

static void object_died(void *context, struct rng *rng)
{
    struct object *object = context;
    if (object->uncertain == NULL) {
        return;
    }
    struct version *loser = object->uncertain;
    if (rng_below(rng, 2) == 0) {
        loser = object->version;
        object->version = object->uncertain;
    }
    object->uncertain = NULL;
    version_unref(loser);
}

static uint64_t object_hash(const void *context)
{
    const struct object *object = context;
    return version_hash(object->version) + object->rot_count;
}

static const struct sim_object_class OBJECT_CLASS = {object_free, object_clone, object_died,
                                                     object_hash};

static struct object *object_of(const struct lmdb_store *store)
{
    return store->inode->object;
}

/* ---- rot ---- */

/* Its place among the rots; rot_count: the record is sound. */
static uint32_t rot_find(const struct object *object, enum store_table table, struct bytes key)
{
    uint32_t at = 0;
    while (at < object->rot_count &&
           (object->rots[at].table != table ||
            !bytes_equal(bytes_of(object->rots[at].key, object->rots[at].key_size), key))) {
        at++;
    }
    return at;
}

static int rot_check(const struct lmdb_store *store, enum store_table table, struct bytes key)
{
    const struct object *object = object_of(store);
    return rot_find(object, table, key) < object->rot_count ? E_CORRUPT : 0;
}

static void rot_mend(struct object *object, enum store_table table, struct bytes key)
{
    uint32_t at = rot_find(object, table, key);
    if (at < object->rot_count) {
        object->rots[at] = object->rots[--object->rot_count];
    }
}

/* What a batch writes or removes is sound. */
static void rot_mend_batch(struct object *object, const struct store_batch *batch)
{
    for (size_t i = 0; i < batch->op_count && object->rot_count > 0; i++) {
        rot_mend(object, batch->ops[i].table, batch->ops[i].key);
    }
    if (batch->consistent_index != 0) {
        rot_mend(object, STORE_META, bytes_of_str(STORE_META_CONSISTENT_INDEX));
        rot_mend(object, STORE_META, bytes_of_str(STORE_META_TERM));
    }
}

static struct object *object_at(struct sim_disk *disk, const char *path)
{
    struct sim_inode *inode = path_find(disk, path);
    return inode == NULL || inode->object_class != &OBJECT_CLASS ? NULL : inode->object;
}

bool sim_store_rot(struct sim_disk *disk, const char *path, struct rng *rng, char *out_what,
                   size_t what_size)
{
    struct object *object = object_at(disk, path);
    struct tree_cursor cursor;
    struct bytes key;
    struct bytes value;
    enum store_table table = rng_below(rng, 4) < KEY_IN_FOUR
                                 ? STORE_KEY
                                 : (enum store_table)rng_below(rng, STORE_TABLE_COUNT);
    size_t count = object == NULL ? 0 : object->version->tables[table].count;
    if (count == 0 || object->rot_count == ROTS_MAX) {
        return false;
    }
    size_t at = rng_below(rng, count);
    bool is_there =
        tree_seek(&object->version->tables[table], bytes_of(NULL, 0), &cursor, &key, &value);
    for (size_t i = 0; is_there && i < at; i++) {
        is_there = tree_next(&cursor, &key, &value);
    }
    ASSERT(is_there);
    snprintf(out_what, what_size, "record %zu of %zu in table %s", at + 1, count,
             store_table_name(table));
    if (rot_find(object, table, key) == object->rot_count) {
        struct rot *rot = &object->rots[object->rot_count++];
        rot->table = table;
        rot->key_size = key.size;
        memcpy(rot->key, key.data, key.size);
    }
    return true;
}

uint32_t sim_store_rotten(struct sim_disk *disk, const char *path, enum store_table table)
{
    const struct object *object = object_at(disk, path);
    uint32_t count = 0;
    for (uint32_t i = 0; object != NULL && i < object->rot_count; i++) {
        count += object->rots[i].table == table ? 1 : 0;
    }
    return count;
}

/* ---- views ---- */

static void view_free(struct store_view *view)
{
    for (unsigned i = 0; i < STORE_TABLE_COUNT; i++) {
        mem_free(view->cursors[i]);
    }
    version_unref(view->version);
    mem_free(view);
}

static void view_drop(struct sim_holder *holder)
{
    view_free((struct store_view *)(void *)holder);
}

static int view_begin(void *ctx, struct store_view **out_view)
{
    struct lmdb_store *store = ctx;
    sim_memory_world();
    struct store_view *view = mem_zalloc(sizeof(*view));
    view->holder.drop = view_drop;
    view->store = store;
    view->version = version_ref(object_of(store)->version);
    holder_add(store->disk, &view->holder);
    store->view_count++;
    sim_memory_back();
    *out_view = view;
    return 0;
}

static void view_end(struct store_view *view)
{
    ASSERT(view->store->view_count > 0);
    sim_memory_world();
    view->store->view_count--;
    holder_remove(view->store->disk, &view->holder);
    view_free(view);
    sim_memory_back();
}

static int view_get(struct store_view *view, enum store_table table, struct bytes key,
                    struct bytes *out_value)
{
    struct bytes value;
    if (!tree_get(&view->version->tables[table], key, &value)) {
        return E_NOT_FOUND;
    }
    int rc = rot_check(view->store, table, key);
    if (rc == 0) {
        *out_value = value;
    }
    return rc;
}

static int view_seek(struct store_view *view, enum store_table table, struct bytes from,
                     struct store_item *out_item)
{
    if (view->cursors[table] == NULL) {
        sim_memory_world();
        view->cursors[table] = mem_zalloc(sizeof(struct tree_cursor));
        sim_memory_back();
    }
    struct store_item item;
    if (!tree_seek(&view->version->tables[table], from, view->cursors[table], &item.key,
                   &item.value)) {
        return E_NOT_FOUND;
    }
    int rc = rot_check(view->store, table, item.key);
    if (rc == 0) {
        *out_item = item;
    }
    return rc;
}

static int view_next(struct store_view *view, enum store_table table, struct store_item *out_item)
{
    ASSERT(view->cursors[table] != NULL);
    struct store_item item;
    if (!tree_next(view->cursors[table], &item.key, &item.value)) {
        return E_NOT_FOUND;
    }
    int rc = rot_check(view->store, table, item.key);
    if (rc == 0) {
        *out_item = item;
    }
    return rc;
}

/* ---- commit ---- */

/* More pages than the batch can add. */
static uint64_t pages_at_most(const struct store_batch *batch)
{
    uint64_t pages = PAGES_SPARE + 2;
    for (size_t i = 0; i < batch->op_count; i++) {
        const struct store_op *op = &batch->ops[i];
        pages += op->kind == STORE_PUT ? 2 + version_overflow(op->key.size, op->value.size) : 0;
    }
    return pages;
}

/* Gives the file the pages that version needs; false: there is no room, nothing changed. */
static bool grow(struct lmdb_store *store, const struct version *version, bool *out_map_full)
{
    struct object *object = object_of(store);
    uint64_t pages = BASE_MAX(object->file_pages, version_pages(version) + PAGES_SPARE);
    *out_map_full = pages * STORE_PAGE_BYTES > store->map_bytes && pages > object->file_pages;
    if (*out_map_full || !inode_take_room(store->inode, pages * STORE_PAGE_BYTES)) {
        return false;
    }
    object->file_pages = pages;
    return true;
}

static int out_of_room(struct lmdb_store *store, bool map_full, struct err *err)
{
    if (map_full) {
        return err_set(err, E_NO_SPACE,
                       "commit to %s: the store has grown to its map of %llu bytes", store->path,
                       (unsigned long long)store->map_bytes);
    }
    return err_set(err, E_NO_SPACE,
                   "commit to %s: no space is left on the disk; make room and start again",
                   store->path);
}

/* All of it or nothing. */
static int commit_inner(struct lmdb_store *store, const struct store_batch *batch, struct err *err)
{
    struct object *object = object_of(store);
    uint64_t most = (object->file_pages + pages_at_most(batch)) * STORE_PAGE_BYTES;
    bool certain = most <= store->map_bytes &&
                   most - object->file_pages * STORE_PAGE_BYTES <= store->disk->faults.free_bytes;
    bool map_full = false;
    if (certain && object->version->refs == 1) {
        version_apply(object->version, batch);
        bool room = grow(store, object->version, &map_full);
        ASSERT(room);
        return 0;
    }
    struct version *next = version_branch(object->version);
    version_apply(next, batch);
    if (!grow(store, next, &map_full)) {
        version_unref(next);
        return out_of_room(store, map_full, err);
    }
    version_unref(object->version);
    object->version = next;
    return 0;
}

/* The disk failed: what was asked for may turn out to be there after all. */
static int commit_broken(struct lmdb_store *store, const struct store_batch *batch, int rc,
                         struct err *err)
{
    struct object *object = object_of(store);
    version_unref(object->uncertain);
    object->uncertain = version_branch(object->version);
    version_apply(object->uncertain, batch);
    return fail(err, rc, "commit to", store->path);
}

static int commit(void *ctx, const struct store_batch *batch, struct err *err)
{
    struct lmdb_store *store = ctx;
    struct sim_disk *disk = store->disk;
    if (store->failure != 0) {
        return err_set(err, E_CLOSED, "commit to %s: an earlier change failed: %s", store->path,
                       err_code_text(store->failure));
    }
    if (disk->faults.free_bytes < disk->faults.reserve_bytes) {
        return err_set(err, E_AGAIN, "commit to %s: no space is left on the disk", store->path);
    }
    disk_begin(disk, "commit", store->path);
    disk_spend(disk, disk->faults.write_ns);
    disk_spend(disk, disk->faults.sync_ns);
    int rc = disk_fails(disk, SIM_CALL_COMMIT);
    sim_memory_world();
    if (rc != 0) {
        rc = commit_broken(store, batch, rc, err);
    } else if (disk_chance(disk, disk->faults.write_error_ppm)) {
        rc = fail(err, E_IO, "commit to", store->path);
    } else if (disk_chance(disk, disk->faults.sync_error_ppm)) {
        rc = commit_broken(store, batch, E_IO, err);
    } else {
        rc = commit_inner(store, batch, err);
        if (rc == 0) {
            rot_mend_batch(object_of(store), batch);
        }
    }
    store->failure = rc;
    sim_memory_back();
    if (rc == 0) {
        disk_begin(disk, "committed", store->path);
    }
    return rc;
}

static int sizes(void *ctx, struct store_sizes *out_sizes)
{
    const struct lmdb_store *store = ctx;
    const struct object *object = object_of(store);
    *out_sizes =
        (struct store_sizes){object->file_pages * STORE_PAGE_BYTES,
                             version_pages(object->version) * STORE_PAGE_BYTES, store->map_bytes};
    return 0;
}

/* ---- opening ---- */

/* Makes an empty store of a file that is new or empty; E_NO_SPACE. */
static int inode_format(struct sim_inode *inode, struct version *version)
{
    struct object *object = object_new(version);
    if (!inode_take_room(inode, object->file_pages * STORE_PAGE_BYTES)) {
        object_free(object);
        return E_NO_SPACE;
    }
    inode->object = object;
    inode->object_class = &OBJECT_CLASS;
    return 0;
}

/* LMDB keeps a small file beside the store. */
static void lock_file_make(struct sim_inode *dir, const char *name)
{
    char *lock = str_printf("%s-lock", name);
    if (names_get(&dir->names, lock) == NULL) {
        struct sim_inode *inode = inode_new(dir->disk, false);
        content_resize(&inode->content, LOCK_FILE_BYTES);
        dir_set(dir, lock, inode);
    }
    mem_free(lock);
}

/* Gives the store's inode with a reference for the caller; made when absent. */
static int inode_open(struct sim_disk *disk, const char *path, struct sim_inode **out_inode)
{
    struct sim_inode *dir;
    char *name;
    int rc = path_split(disk, path, &dir, &name);
    if (rc != 0) {
        return rc;
    }
    struct sim_inode *inode = names_get(&dir->names, name);
    lock_file_make(dir, name);
    if (inode == NULL) {
        inode = inode_new(disk, false);
        dir_set(dir, name, inode);
    }
    if (inode->is_dir) {
        rc = E_IO;
    } else if (inode->object_class == NULL) {
        rc = inode->content.now_bytes != 0 ? E_CORRUPT : inode_format(inode, version_new());
    }
    mem_free(name);
    if (rc == 0) {
        inode_ref(inode);
        *out_inode = inode;
    }
    return rc;
}

static void store_free(struct lmdb_store *store)
{
    inode_unref(store->inode);
    mem_free(store->dir);
    mem_free(store->path);
    mem_free(store);
}

static void store_drop(struct sim_holder *holder)
{
    store_free((struct lmdb_store *)(void *)holder);
}

static struct lmdb_store *store_new(struct sim_disk *disk, const char *dir, uint64_t map_bytes)
{
    struct lmdb_store *store = mem_zalloc(sizeof(*store));
    store->holder.drop = store_drop;
    store->disk = disk;
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
    return store;
}

int lmdb_store_check(const char *dir, struct err *err)
{
    (void)dir;
    (void)err;
    return 0; /* no release but this one has ever run here */
}

int lmdb_store_open(const char *dir, uint64_t map_bytes, struct lmdb_store **out_store,
                    struct err *err)
{
    struct sim_disk *disk = sim_disk_of_current();
    char *path = str_printf("%s/%s", dir, LMDB_STORE_FILE);
    sim_memory_world();
    bool there = path_find(disk, path) != NULL;
    sim_memory_back();
    if (!there) {
        disk_begin(disk, "store_create", path);
        disk_spend(disk, disk->faults.sync_ns);
    }
    int rc = disk_fails(disk, SIM_CALL_OPEN);
    sim_memory_world();
    struct sim_inode *inode = NULL;
    struct lmdb_store *store = NULL;
    rc = rc != 0 ? rc : inode_open(disk, path, &inode);
    if (rc == 0) {
        store = store_new(disk, dir, map_bytes);
        store->inode = inode;
        holder_add(disk, &store->holder);
    }
    sim_memory_back();
    if (rc == 0) {
        rc = disk->seam.sync_dir(disk, dir); /* the file's name outlives a power cut */
        if (rc != 0) {
            lmdb_store_close(store);
        }
    }
    rc = rc == 0 ? 0 : fail(err, rc, "open", path);
    mem_free(path);
    if (rc == 0) {
        *out_store = store;
    }
    return rc;
}

void lmdb_store_close(struct lmdb_store *store)
{
    ASSERT(store->view_count == 0);
    sim_memory_world();
    holder_remove(store->disk, &store->holder);
    store_free(store);
    sim_memory_back();
}

const struct store_seam *lmdb_store_seam(struct lmdb_store *store)
{
    return &store->seam;
}

/* ---- copying, replacing ---- */

/* The name of the copy, with nothing in it yet. */
static int copy_make(struct lmdb_store *store, const char *path)
{
    struct sim_inode *dir;
    char *name;
    int rc = path_split(store->disk, path, &dir, &name);
    if (rc != 0) {
        return rc;
    }
    if (names_get(&dir->names, name) != NULL) {
        rc = E_EXISTS;
    } else {
        dir_set(dir, name, inode_new(store->disk, false));
    }
    mem_free(name);
    return rc;
}

static int copy_fill(struct lmdb_store *store, const char *path)
{
    struct sim_disk *disk = store->disk;
    int rc = disk_fails(disk, SIM_CALL_COMMIT);
    if (rc != 0) {
        return rc;
    }
    if (disk_chance(disk, disk->faults.write_error_ppm) ||
        disk_chance(disk, disk->faults.sync_error_ppm)) {
        return E_IO;
    }
    struct version *version = version_ref(object_of(store)->version);
    struct sim_inode *inode = path_find(disk, path);
    rc = inode_format(inode, version);
    if (rc == 0) {
        const struct object *from = object_of(store);
        struct object *to = inode->object;
        memcpy(to->rots, from->rots, sizeof(to->rots));
        to->rot_count = from->rot_count;
    }
    return rc;
}

int lmdb_store_copy(struct lmdb_store *store, const char *path, struct err *err)
{
    struct sim_disk *disk = store->disk;
    disk_begin(disk, "copy", path);
    disk_spend(disk, disk->faults.write_ns);
    sim_memory_world();
    int rc = copy_make(store, path);
    sim_memory_back();
    if (rc == 0) {
        disk_begin(disk, "copy", path);
        disk_spend(disk, disk->faults.sync_ns);
        sim_memory_world();
        rc = copy_fill(store, path);
        if (rc != 0) {
            (void)disk_names_remove(disk, path);
        }
        sim_memory_back();
    }
    return rc == 0 ? 0 : fail(err, rc, "copy the store to", path);
}

/* Moves the copy and its lock file into place; from then on the copy is the store. */
static int replace_file(struct lmdb_store *store, const char *copy_path)
{
    struct sim_disk *disk = store->disk;
    const struct disk_seam *seam = &disk->seam;
    sim_memory_world();
    struct sim_inode *copy = NULL;
    int rc = inode_open(disk, copy_path, &copy); /* makes its lock file */
    if (rc == 0) {
        inode_unref(copy);
    }
    sim_memory_back();
    if (rc == 0) {
        rc = seam->rename(disk, copy_path, store->path);
    }
    if (rc != 0) {
        return rc;
    }
    sim_memory_world();
    inode_ref(copy);
    inode_unref(store->inode);
    store->inode = copy;
    sim_memory_back();
    char *copy_lock = str_printf("%s-lock", copy_path);
    char *lock = str_printf("%s-lock", store->path);
    (void)seam->rename(disk, copy_lock, lock);
    mem_free(copy_lock);
    mem_free(lock);
    rc = seam->sync_dir(disk, store->dir);
    /* The rename may be lost in a power cut: commits to the new file must not be acknowledged. */
    store->failure = rc != 0 ? rc : store->failure;
    return rc;
}

static void remove_copy(struct sim_disk *disk, const char *copy_path)
{
    char *copy_lock = str_printf("%s-lock", copy_path);
    (void)disk->seam.remove(disk, copy_path);
    (void)disk->seam.remove(disk, copy_lock);
    mem_free(copy_lock);
}

int lmdb_store_defragment(struct lmdb_store *store, struct err *err)
{
    if (store->failure != 0) {
        return err_set(err, E_CLOSED, "defragment %s: an earlier change failed: %s", store->path,
                       err_code_text(store->failure));
    }
    char *copy_path = str_printf("%s.defrag", store->path);
    remove_copy(store->disk, copy_path); /* of a run that a crash ended */
    int rc = lmdb_store_copy(store, copy_path, err);
    if (rc == 0) {
        const struct sim_inode *before = store->inode;
        rc = replace_file(store, copy_path);
        if (rc != 0) {
            (void)fail(err, rc, "defragment", store->path);
            if (store->inode == before) {
                remove_copy(store->disk, copy_path);
            }
        }
    }
    mem_free(copy_path);
    return rc;
}
