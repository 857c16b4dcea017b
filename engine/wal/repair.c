/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting off a bad end. */
#include "engine/wal/repair.h"

#include "base/alloc.h"

#define CHUNK_BYTES (1024u * 1024u)

/* Copies from to the file at path, up to the last byte that is not zero, synced. */
static int bytes_copy(const struct disk_seam *disk, struct disk_file *from, const char *path)
{
    struct disk_file *to;
    int rc = disk->open(disk->ctx, path, DISK_CREATE, &to);
    if (rc != 0) {
        return rc;
    }
    uint8_t *chunk = mem_alloc(CHUNK_BYTES);
    uint64_t offset = 0;
    for (;;) {
        size_t got = 0;
        rc = disk->read_at(from, offset, chunk, CHUNK_BYTES, &got);
        if (rc != 0 || got == 0) {
            break;
        }
        size_t used = got;
        while (used > 0 && chunk[used - 1] == 0) {
            used--;
        }
        rc = used == 0 ? 0 : disk->write_at(to, offset, chunk, used);
        if (rc != 0) {
            break;
        }
        offset += got;
    }
    if (rc == 0) {
        rc = disk->sync(to);
    }
    mem_free(chunk);
    disk->close(to);
    return rc;
}

/* Keeps a copy of the segment as *.broken; one that is there from an earlier try is the better one.
 */
static int evidence_keep(const struct wal_scan *scan, const struct wal_segment *segment)
{
    const struct disk_seam *disk = scan->disk;
    char *path = wal_segment_path(scan->dir, segment);
    char *broken = str_printf("%s" WAL_BROKEN_SUFFIX, path);
    char *half = str_printf("%s.tmp", broken);
    struct disk_file *there;
    int rc = disk->open(disk->ctx, broken, DISK_READ, &there);
    if (rc == 0) {
        disk->close(there);
    } else if (rc == E_NOT_FOUND) {
        rc = bytes_copy(disk, segment->file, half);
        if (rc == 0) {
            rc = disk->rename(disk->ctx, half, broken);
        }
        if (rc == 0) {
            rc = disk->sync_dir(disk->ctx, scan->dir);
        }
    }
    mem_free(half);
    mem_free(broken);
    mem_free(path);
    return rc;
}

/* Renames the segments after the end to *.broken, last first, so that no hole ever shows. */
static int later_drop(const struct wal_scan *scan, struct wal_segments *segments)
{
    const struct disk_seam *disk = scan->disk;
    while (segments->count > scan->end_at + 1) {
        struct wal_segment *segment = &segments->items[segments->count - 1];
        char *path = wal_segment_path(scan->dir, segment);
        char *broken = str_printf("%s" WAL_BROKEN_SUFFIX, path);
        int rc = disk->rename(disk->ctx, path, broken);
        if (rc == 0) {
            rc = disk->sync_dir(disk->ctx, scan->dir);
        }
        mem_free(broken);
        mem_free(path);
        if (rc != 0) {
            return rc;
        }
        if (segment->file != NULL) {
            disk->close(segment->file);
        }
        segments->count--;
    }
    return 0;
}

/*
 * Zeros from the end of the log to the end of the file, last chunk first: bytes that outlive a
 * crash of this are cut again on the next start.
 */
static int rest_zero(const struct wal_scan *scan, struct disk_file *file)
{
    const struct disk_seam *disk = scan->disk;
    uint64_t size = 0;
    int rc = disk->size(file, &size);
    uint8_t *chunk = mem_alloc(CHUNK_BYTES);
    uint8_t *zeros = mem_zalloc(CHUNK_BYTES);
    uint64_t from = scan->end.offset;
    for (uint64_t limit = size; rc == 0 && limit > from;) {
        size_t want = (size_t)BASE_MIN(limit - from, (uint64_t)CHUNK_BYTES);
        uint64_t offset = limit - want;
        size_t got = 0;
        rc = disk->read_at(file, offset, chunk, want, &got);
        if (rc == 0 && memcmp(chunk, zeros, got) != 0) {
            rc = disk->write_at(file, offset, zeros, got);
        }
        limit = offset;
    }
    mem_free(zeros);
    mem_free(chunk);
    return rc;
}

/*
 * Writes again what lies between the side mark and the end of the log. A flush that failed before
 * this start leaves bytes that the page cache shows and counts as clean: the next flush would say
 * that they are durable, and a power cut take them away. Nothing before the mark, or in an earlier
 * segment, was ever in that state.
 */
static int unsure_rewrite(const struct wal_scan *scan, struct disk_file *file)
{
    const struct disk_seam *disk = scan->disk;
    const struct wal_position *end = &scan->end;
    bool marked = scan->marker != NULL && scan->marker->position.sequence == end->sequence;
    uint64_t from = marked ? scan->marker->position.offset : 0;
    from -= from % WAL_SECTOR_BYTES;
    uint8_t *chunk = mem_alloc(CHUNK_BYTES);
    int rc = 0;
    while (rc == 0 && from < end->offset) {
        size_t want = (size_t)BASE_MIN(end->offset - from, (uint64_t)CHUNK_BYTES);
        size_t got = 0;
        rc = disk->read_at(file, from, chunk, want, &got);
        if (rc == 0) {
            rc = got == want ? disk->write_at(file, from, chunk, want) : E_IO;
        }
        from += want;
    }
    mem_free(chunk);
    return rc;
}

int wal_repair_run(const struct wal_scan *scan, struct wal_segments *segments,
                   struct wal_marker *marker, struct err *err)
{
    enum wal_tail tail = scan->contents.tail;
    struct wal_segment *last = &segments->items[scan->end_at];
    bool etcd_log = scan->marker == NULL;
    int rc = 0;
    if (scan->dirty && (tail == WAL_TAIL_SUSPECT || etcd_log)) {
        rc = evidence_keep(scan, last);
    }
    if (rc == 0 && tail == WAL_TAIL_SUSPECT) {
        rc = wal_marker_write(marker, &scan->contents.metadata, &scan->end, true);
    }
    if (rc == 0) {
        rc = later_drop(scan, segments);
    }
    if (rc == 0 && scan->dirty) {
        rc = rest_zero(scan, last->file);
    }
    if (rc == 0) {
        rc = unsure_rewrite(scan, last->file);
    }
    if (rc != 0) {
        return err_set(err, rc, "%s: cannot cut the end of the log: %s", scan->dir,
                       err_code_text(rc));
    }
    return 0;
}
