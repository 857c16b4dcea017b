/* SPDX-License-Identifier: Apache-2.0 */
/* The .snap files: written beside, flushed, renamed; read newest first; a broken one is put aside.
 */
#include "engine/wal/snapfile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "engine/proto/pbwire.h"
#include "engine/proto/raftpb.h"

enum { FILE_CRC = 1, FILE_DATA = 2 };

#define NAME_BYTES 39u /* 16 hex digits, '-', 16 hex digits, ".snap", NUL */
#define FILES_MAX  65536u
#define TEMPORARY  "quorate-snap.tmp"
#define BROKEN     ".broken"

struct snap_name {
    uint64_t term;
    uint64_t index;
};

struct snap_list {
    struct snap_name *items;
    uint32_t count;
    uint32_t capacity;
    bool leftover;
};

static char *snap_path(const char *dir, const struct snap_name *name)
{
    return str_printf("%s/%016" PRIx64 "-%016" PRIx64 ".snap", dir, name->term, name->index);
}

static void name_take(void *ctx, const char *name)
{
    struct snap_list *list = ctx;
    if (str_equal(name, TEMPORARY)) {
        list->leftover = true;
    }
    struct snap_name parsed;
    char again[NAME_BYTES];
    if (strlen(name) != NAME_BYTES - 1 || list->count == FILES_MAX ||
        sscanf(name, "%16" SCNx64 "-%16" SCNx64, &parsed.term, &parsed.index) != 2) {
        return;
    }
    (void)snprintf(again, sizeof(again), "%016" PRIx64 "-%016" PRIx64 ".snap", parsed.term,
                   parsed.index);
    if (!str_equal(name, again)) {
        return;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16u : list->capacity * 2u;
        list->items = mem_realloc(list->items, (size_t)list->capacity * sizeof(list->items[0]));
    }
    list->items[list->count++] = parsed;
}

static int newest_first(const void *a, const void *b)
{
    const struct snap_name *left = a;
    const struct snap_name *right = b;
    if (left->term != right->term) {
        return left->term > right->term ? -1 : 1;
    }
    return left->index > right->index ? -1 : left->index < right->index;
}

static int snap_list_read(const struct disk_seam *disk, const char *dir, struct snap_list *out_list)
{
    struct snap_list list = {0};
    int rc = disk->list_dir(disk->ctx, dir, name_take, &list);
    if (rc != 0) {
        mem_free(list.items);
        return rc;
    }
    if (list.count > 1) {
        qsort(list.items, list.count, sizeof(list.items[0]), newest_first);
    }
    *out_list = list;
    return 0;
}

static int file_write(const struct disk_seam *disk, const char *path, struct bytes bytes)
{
    struct disk_file *file;
    int rc = disk->open(disk->ctx, path, DISK_CREATE, &file);
    if (rc != 0) {
        return rc;
    }
    rc = disk->write_at(file, 0, bytes.data, bytes.size);
    if (rc == 0) {
        rc = disk->sync(file);
    }
    disk->close(file);
    return rc;
}

int snapfile_save(const struct disk_seam *disk, const char *dir,
                  const struct raft_snapshot_mark *mark, struct bytes data, struct err *err)
{
    if (data.size > SNAPFILE_BYTES_MAX - 4096u) {
        return err_set(err, E_TOO_BIG, "%s: a snapshot of %zu bytes is larger than its limit", dir,
                       data.size);
    }
    struct buf snapshot;
    struct buf whole;
    buf_init(&snapshot, BUF_NO_LIMIT);
    buf_init(&whole, BUF_NO_LIMIT);
    raftpb_snapshot_encode(mark, data, &snapshot);
    pbwire_put_u64(&whole, FILE_CRC, crc32c(0, snapshot.data, snapshot.size));
    pbwire_put_bytes(&whole, FILE_DATA, buf_bytes(&snapshot));
    buf_free(&snapshot);

    struct snap_name name = {mark->term, mark->index};
    char *path = snap_path(dir, &name);
    char *temporary = str_printf("%s/" TEMPORARY, dir);
    int rc = file_write(disk, temporary, buf_bytes(&whole));
    if (rc == 0) {
        rc = disk->rename(disk->ctx, temporary, path);
    }
    if (rc == 0) {
        rc = disk->sync_dir(disk->ctx, dir);
    }
    if (rc != 0) {
        rc = err_set(err, rc, "%s: cannot save the snapshot: %s", path, err_code_text(rc));
    }
    mem_free(temporary);
    mem_free(path);
    buf_free(&whole);
    return rc;
}

/* Reads a whole file; E_CORRUPT when it is empty or too big to be one of ours. */
static int file_read(const struct disk_seam *disk, const char *path, struct buf *out)
{
    struct disk_file *file;
    int rc = disk->open(disk->ctx, path, DISK_READ, &file);
    if (rc != 0) {
        return rc;
    }
    uint64_t size = 0;
    rc = disk->size(file, &size);
    if (rc == 0 && (size == 0 || size > SNAPFILE_BYTES_MAX)) {
        rc = E_CORRUPT;
    }
    if (rc == 0) {
        size_t got = 0;
        uint8_t *place = buf_reserve(out, (size_t)size);
        rc = disk->read_at(file, 0, place, (size_t)size, &got);
        out->size += got;
        if (rc == 0 && got != size) {
            rc = E_IO;
        }
    }
    disk->close(file);
    return rc;
}

/* Takes the file apart; out_snapshot borrows whole. */
static int snap_parse(struct bytes whole, const struct snap_name *name,
                      struct raftpb_snapshot *out_snapshot)
{
    struct pbwire_reader reader = pbwire_reader_of(whole);
    struct pbwire_field field;
    struct bytes data = {NULL, 0};
    uint64_t crc = 0;
    int rc;
    while ((rc = pbwire_next(&reader, &field)) > 0) {
        if (field.number == FILE_CRC && pbwire_is(&field, PBWIRE_VARINT)) {
            crc = field.value;
        } else if (field.number == FILE_DATA && pbwire_is(&field, PBWIRE_BYTES)) {
            data = field.bytes;
        } else if (field.number <= FILE_DATA) {
            return E_CORRUPT;
        }
    }
    if (rc != 0 || data.size == 0 || crc == 0 || crc != crc32c(0, data.data, data.size)) {
        return E_CORRUPT;
    }
    struct raftpb_snapshot snapshot;
    rc = raftpb_snapshot_decode(data, &snapshot);
    if (rc != 0) {
        return rc == E_UNSUPPORTED ? rc : E_CORRUPT;
    }
    if (snapshot.mark.term != name->term || snapshot.mark.index != name->index) {
        return E_CORRUPT;
    }
    *out_snapshot = snapshot;
    return 0;
}

static bool marks_hold(const struct raft_snapshot_mark *marks, uint32_t mark_count,
                       const struct snap_name *name)
{
    for (uint32_t i = 0; i < mark_count; i++) {
        if (marks[i].index == name->index && marks[i].term == name->term) {
            return true;
        }
    }
    return false;
}

static void put_aside(const struct disk_seam *disk, const char *path)
{
    char *broken = str_printf("%s" BROKEN, path);
    int rc = disk->rename(disk->ctx, path, broken);
    LOG_WARN("a snapshot file is broken and was put aside", LOG_STR("path", path),
             LOG_STR("renamed", rc == 0 ? "yes" : err_code_text(rc)));
    mem_free(broken);
}

/* Loads one file. E_CORRUPT: it was put aside. */
static int snap_load(const struct disk_seam *disk, const char *dir, const struct snap_name *name,
                     struct raft_snapshot_mark *out_mark, struct buf *out_data, struct err *err)
{
    char *path = snap_path(dir, name);
    struct buf whole;
    buf_init(&whole, SNAPFILE_BYTES_MAX);
    int rc = file_read(disk, path, &whole);
    struct raftpb_snapshot snapshot;
    if (rc == 0) {
        rc = snap_parse(buf_bytes(&whole), name, &snapshot);
    }
    if (rc == 0) {
        buf_clear(out_data);
        if (snapshot.data.size != 0) {
            rc = buf_append(out_data, snapshot.data.data, snapshot.data.size);
        }
    }
    if (rc == 0) {
        *out_mark = snapshot.mark;
    } else if (rc == E_CORRUPT) {
        put_aside(disk, path);
    } else {
        rc = err_set(err, rc, "%s: cannot load the snapshot: %s", path, err_code_text(rc));
    }
    buf_free(&whole);
    mem_free(path);
    return rc;
}

int snapfile_load_newest(const struct disk_seam *disk, const char *dir,
                         const struct raft_snapshot_mark *marks, uint32_t mark_count,
                         struct raft_snapshot_mark *out_mark, struct buf *out_data, struct err *err)
{
    struct snap_list list;
    int rc = snap_list_read(disk, dir, &list);
    if (rc != 0) {
        return err_set(err, rc, "%s: cannot list snapshots: %s", dir, err_code_text(rc));
    }
    rc = E_CORRUPT;
    for (uint32_t i = 0; rc == E_CORRUPT && i < list.count; i++) {
        if (marks_hold(marks, mark_count, &list.items[i])) {
            rc = snap_load(disk, dir, &list.items[i], out_mark, out_data, err);
        }
    }
    mem_free(list.items);
    if (rc == E_CORRUPT) {
        return err_set(err, E_NOT_FOUND, "%s: no whole snapshot that the log speaks of", dir);
    }
    return rc;
}

int snapfile_purge(const struct disk_seam *disk, const char *dir, uint32_t keep)
{
    struct snap_list list;
    int rc = snap_list_read(disk, dir, &list);
    if (rc != 0) {
        return rc;
    }
    if (list.leftover) {
        char *path = str_printf("%s/" TEMPORARY, dir);
        rc = disk->remove(disk->ctx, path);
        mem_free(path);
    }
    for (uint32_t i = keep; rc == 0 && i < list.count; i++) {
        char *path = snap_path(dir, &list.items[i]);
        rc = disk->remove(disk->ctx, path);
        mem_free(path);
    }
    mem_free(list.items);
    return rc;
}
