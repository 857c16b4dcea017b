/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bbolt file as a new store directory. The store is filled in dir.part by batches that are synced
 * each, and gets its name when it is whole: a dir that exists is complete, whatever crashed.
 */
#include "engine/store/bolt.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/store/bolt_format.h"
#include "engine/store/bolt_rewrite.h"
#include "engine/store/lmdb_store.h"

#define BATCH_BYTES_MAX     (16u << 20)
#define BATCH_OPS_MAX       65536u
#define REVISION_BYTES      17u /* main, '_', sub; big-endian */
#define REVISION_SEPARATOR  8u
#define TOMBSTONE_KEY_BYTES 18u /* the same and 't' */

struct importer {
    const struct disk_seam *disk;
    const char *path;
    const struct store_seam *seam;
    struct store_batch batch;
    struct bolt_import found;
    struct err *err;
};

static int commit(struct importer *importer)
{
    int rc = importer->seam->commit(importer->seam->ctx, &importer->batch, importer->err);
    store_batch_free(&importer->batch);
    return rc;
}

static int note_revision(struct importer *importer, struct bytes key)
{
    bool whole = key.size == REVISION_BYTES ||
                 (key.size == TOMBSTONE_KEY_BYTES && key.data[REVISION_BYTES] == 't');
    if (!whole || key.data[REVISION_SEPARATOR] != '_' || (key.data[0] & 0x80) != 0) {
        return err_set(importer->err, E_CORRUPT, "%s: a key of bucket key is no revision",
                       importer->path);
    }
    importer->found.revision = (int64_t)get_be64(key.data);
    importer->found.key_records++;
    return 0;
}

static int note_number(struct importer *importer, struct bytes key, struct bytes value,
                       const char *name, uint64_t *out_number)
{
    if (!bytes_equal(key, bytes_of_str(name))) {
        return 0;
    }
    if (value.size != sizeof(uint64_t)) {
        return err_set(importer->err, E_CORRUPT, "%s: meta/%s is no number", importer->path, name);
    }
    *out_number = get_be64(value.data);
    return 0;
}

static int take_item(void *ctx, enum store_table table, struct bytes key, struct bytes value)
{
    struct importer *importer = ctx;
    int rc = bolt_check_version(table, key, value, importer->err);
    if (rc != 0) {
        return rc;
    }
    if (key.size > STORE_KEY_BYTES_MAX) {
        return err_set(importer->err, E_UNSUPPORTED,
                       "%s: bucket %s has a key of %zu bytes, the store takes %u", importer->path,
                       store_table_name(table), key.size, STORE_KEY_BYTES_MAX);
    }
    if (table == STORE_KEY) {
        rc = note_revision(importer, key);
    } else if (table == STORE_META) {
        if (bytes_equal(key, bytes_of_str(BOLT_META_KEY_STORAGE_VERSION))) {
            return 0; /* it tells of the layout of the file, not of the store */
        }
        rc = note_number(importer, key, value, STORE_META_CONSISTENT_INDEX,
                         &importer->found.consistent_index);
        if (rc == 0) {
            rc = note_number(importer, key, value, STORE_META_TERM, &importer->found.term);
        }
    }
    if (rc != 0) {
        return rc;
    }
    store_batch_put(&importer->batch, table, key, value);
    if (importer->batch.bytes < BATCH_BYTES_MAX && importer->batch.op_count < BATCH_OPS_MAX) {
        return 0;
    }
    return commit(importer);
}

/* Fills the store; its position travels as ordinary items of table meta. */
static int fill(struct importer *importer)
{
    store_batch_init(&importer->batch);
    int rc = bolt_read(importer->disk, importer->path, take_item, importer, importer->err);
    if (rc == 0 && !store_batch_empty(&importer->batch)) {
        rc = commit(importer);
    }
    store_batch_free(&importer->batch);
    return rc;
}

/* Removes what an import makes; what is not there, or not ours, stays. */
static void remove_store(const struct disk_seam *disk, const char *dir)
{
    static const char *const FILES[] = {LMDB_STORE_FILE, LMDB_STORE_FILE "-lock",
                                        LMDB_STORE_FILE LMDB_STORE_NEW,
                                        LMDB_STORE_FILE LMDB_STORE_NEW "-lock"};
    for (size_t i = 0; i < ARRAY_COUNT(FILES); i++) {
        char *path = str_printf("%s/%s", dir, FILES[i]);
        (void)disk->remove(disk->ctx, path); /* a leftover shows when the directory is made anew */
        mem_free(path);
    }
    (void)disk->remove(disk->ctx, dir);
}

static void ignore_name(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
}

/* 0: there is nothing of this name; else E_EXISTS, or why nobody can tell. */
static int check_absent(const struct disk_seam *disk, const char *dir)
{
    int rc = disk->list_dir(disk->ctx, dir, ignore_name, NULL);
    return rc == 0 ? E_EXISTS : rc == E_NOT_FOUND ? 0 : rc;
}

static int build(const char *dir, uint64_t map_bytes, struct importer *importer)
{
    const struct disk_seam *disk = importer->disk;
    struct lmdb_store *store;
    int rc = check_absent(disk, dir);
    if (rc == 0) {
        rc = disk->make_dir(disk->ctx, dir);
    }
    if (rc != 0) {
        return err_set(importer->err, rc, "make directory %s: %s", dir, err_code_text(rc));
    }
    rc = lmdb_store_open(dir, map_bytes, &store, importer->err);
    if (rc != 0) {
        return rc;
    }
    importer->seam = lmdb_store_seam(store);
    rc = fill(importer);
    lmdb_store_close(store);
    return rc;
}

/* Gives the finished directory its name; synced. */
static int publish(const struct disk_seam *disk, const char *part, const char *dir, struct err *err)
{
    const char *slash = strrchr(dir, '/');
    char *parent = slash == NULL  ? str_dup(".")
                   : slash == dir ? str_dup("/")
                                  : str_from(dir, (size_t)(slash - dir));
    int rc = disk->rename(disk->ctx, part, dir);
    if (rc == 0) {
        rc = disk->sync_dir(disk->ctx, parent);
    }
    mem_free(parent);
    return rc == 0 ? 0 : err_set(err, rc, "make %s durable: %s", dir, err_code_text(rc));
}

int bolt_import(const struct disk_seam *disk, const char *path, const char *dir, uint64_t map_bytes,
                struct bolt_import *out_import, struct err *err)
{
    struct importer importer = {.disk = disk, .path = path, .err = err};
    int rc = check_absent(disk, dir);
    if (rc == E_EXISTS) {
        return err_set(err, rc, "import %s: %s is already there", path, dir);
    }
    if (rc != 0) {
        return err_set(err, rc, "import %s: %s: %s", path, dir, err_code_text(rc));
    }
    char *part = str_printf("%s.part", dir);
    remove_store(disk, part); /* of an import that a crash ended */
    rc = build(part, map_bytes, &importer);
    if (rc == 0) {
        rc = publish(disk, part, dir, err);
    }
    if (rc != 0) {
        remove_store(disk, part);
        err_wrap(err, rc, "import %s", path);
    } else {
        *out_import = importer.found;
    }
    mem_free(part);
    return rc;
}
