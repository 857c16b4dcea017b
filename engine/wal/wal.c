/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the log. Appended records collect in memory and go out in one write that begins and ends
 * on a page, then one flush. A segment is full when it has passed its size; the next one is
 * complete on the disk (head written, flushed, renamed, directory flushed) before the first record
 * goes into it, so that every segment but the last is known to be durable.
 */
#include "engine/wal/wal.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/plant.h"
#include "engine/proto/raftpb.h"
#include "engine/wal/prepare.h"
#include "engine/wal/record.h"
#include "engine/wal/repair.h"
#include "engine/wal/scan.h"

#define PAGE_BYTES        4096u
#define BUFFER_KEEP_BYTES (4u * 1024u * 1024u)
#define FRAME_EXTRA_BYTES 64u /* frame, record head and padding around an entry */

struct wal {
    const struct disk_seam *disk;
    char *dir;
    uint64_t segment_bytes;
    bool no_sync;
    struct wal_metadata metadata;
    struct raft_hard_state hard_state;
    uint64_t last_index;
    struct wal_segments segments; /* the last one is written to */
    struct buf pending; /* file bytes from pending_offset on; the first written_bytes are there */
    uint64_t pending_offset; /* on a page */
    size_t written_bytes;
    uint32_t crc;
    uint64_t flush_count;
    uint64_t total_bytes;
    uint64_t owed_zeros;
    _Atomic int poison;    /* the first error; 0: sound */
    _Atomic uint64_t room; /* bytes left in the last segment */
    struct wal_prepare prepare;
    pthread_mutex_t durable_lock;
    struct wal_position durable;
    pthread_mutex_t marker_lock;
    struct wal_marker marker;
};

static int poison(struct wal *wal, int rc, const char *what)
{
    int sound = 0;
    if (atomic_compare_exchange_strong(&wal->poison, &sound, rc)) {
        LOG_ERROR("the write-ahead log failed, the member must stop", LOG_STR("path", wal->dir),
                  LOG_STR("operation", what), LOG_STR("error", err_code_text(rc)));
    }
    return rc;
}

static struct wal_segment *tail_of(struct wal *wal)
{
    return &wal->segments.items[wal->segments.count - 1];
}

static uint64_t append_offset(const struct wal *wal)
{
    return wal->pending_offset + wal->pending.size;
}

static void room_note(struct wal *wal)
{
    uint64_t used = append_offset(wal);
    atomic_store(&wal->room, used < wal->segment_bytes ? wal->segment_bytes - used : 0);
}

/* The one place where the log is flushed. */
static int log_sync(struct wal *wal, struct disk_file *file)
{
    int rc = wal->no_sync || PLANT(flush_left_out) ? 0 : wal->disk->sync(file);
    if (rc == 0) {
        wal->flush_count++;
    }
    return PLANT(flush_error_ignored) ? 0 : rc;
}

/* Keeps the bytes of the last, partly filled page and gives big memory back. */
static void pending_rewind(struct wal *wal)
{
    size_t keep = wal->pending.size % PAGE_BYTES;
    size_t gone = wal->pending.size - keep;
    wal->pending_offset += gone;
    if (wal->pending.capacity > BUFFER_KEEP_BYTES) {
        uint8_t page[PAGE_BYTES];
        memcpy(page, wal->pending.data + gone, keep);
        buf_free(&wal->pending);
        (void)buf_append(&wal->pending, page, keep);
    } else {
        buf_consume(&wal->pending, gone);
    }
    wal->written_bytes = keep;
}

/* One write of whole pages (the rest of the last one is zeros, as the file is), one flush. */
static int pending_flush(struct wal *wal, struct disk_file *file)
{
    size_t fresh = wal->pending.size - wal->written_bytes;
    size_t pad = (PAGE_BYTES - wal->pending.size % PAGE_BYTES) % PAGE_BYTES;
    uint8_t *zeros = buf_reserve(&wal->pending, pad);
    ASSERT(zeros != NULL);
    memset(zeros, 0, pad);
    int rc =
        wal->disk->write_at(file, wal->pending_offset, wal->pending.data, wal->pending.size + pad);
    if (rc == 0) {
        rc = log_sync(wal, file);
    }
    if (rc != 0) {
        return rc;
    }
    room_note(wal);
    wal->total_bytes += fresh;
    wal->owed_zeros += fresh;
    pending_rewind(wal);
    return 0;
}

/* Says that everything up to the append position is on the disk. */
static void durable_set(struct wal *wal)
{
    if (wal->no_sync) {
        return;
    }
    ASSERT(pthread_mutex_lock(&wal->durable_lock) == 0);
    wal->durable = (struct wal_position){tail_of(wal)->sequence, append_offset(wal), wal->crc};
    ASSERT(pthread_mutex_unlock(&wal->durable_lock) == 0);
}

/* Writes the mark for what is durable; suspect as given. */
static int mark_write(struct wal *wal, bool suspect)
{
    ASSERT(pthread_mutex_lock(&wal->durable_lock) == 0);
    struct wal_position position = wal->durable;
    ASSERT(pthread_mutex_unlock(&wal->durable_lock) == 0);
    return wal_marker_write(&wal->marker, &wal->metadata, &position, suspect);
}

/* Writes the mark when there is news. */
static void mark_refresh(struct wal *wal)
{
    if (wal->no_sync) {
        return;
    }
    ASSERT(pthread_mutex_lock(&wal->marker_lock) == 0);
    ASSERT(pthread_mutex_lock(&wal->durable_lock) == 0);
    bool same = wal->marker.generation != 0 && wal->marker.position.crc == wal->durable.crc &&
                wal_position_compare(&wal->marker.position, &wal->durable) == 0;
    ASSERT(pthread_mutex_unlock(&wal->durable_lock) == 0);
    int rc = same ? 0 : mark_write(wal, wal->marker.suspect);
    ASSERT(pthread_mutex_unlock(&wal->marker_lock) == 0);
    if (rc != 0) {
        LOG_WARN("cannot write the durability mark of the log", LOG_STR("path", wal->dir),
                 LOG_STR("error", err_code_text(rc)));
    }
}

bool wal_prepare_next(struct wal *wal)
{
    if (atomic_load(&wal->poison) != 0) {
        return false;
    }
    int rc = wal_prepare_step(&wal->prepare, true);
    if (rc < 0 && rc != E_NO_SPACE) {
        (void)poison(wal, rc, "prepare the next segment");
    }
    return rc > 0;
}

void wal_write_durability_mark(struct wal *wal)
{
    if (atomic_load(&wal->poison) != 0) {
        return;
    }
    mark_refresh(wal);
    for (uint32_t i = 0; i < WAL_PREPARE_SLICES_PER_MARK && wal_prepare_next(wal); i++) {
    }
}

/* As many zeros for the next segment as bytes went into this one. */
static void zeros_keep_pace(struct wal *wal)
{
    while (wal->owed_zeros >= WAL_PREPARE_SLICE_BYTES) {
        wal->owed_zeros -= WAL_PREPARE_SLICE_BYTES;
        int rc = wal_prepare_step(&wal->prepare, false);
        if (rc < 0 && rc != E_NO_SPACE && rc != E_AGAIN) {
            (void)poison(wal, rc, "prepare the next segment");
        }
    }
}

/* Fills file with the head of a segment and makes it the last one, named and durable. */
static int segment_begin(struct wal *wal, struct disk_file *file, uint64_t sequence, uint64_t index,
                         bool first)
{
    ASSERT(wal->pending.size == 0 && wal->pending_offset == 0);
    wal_append_crc(&wal->pending, &wal->crc);
    wal_append_metadata(&wal->pending, &wal->crc, &wal->metadata);
    if (first) {
        struct raft_snapshot_mark none = {0};
        wal_append_mark(&wal->pending, &wal->crc, &none);
    }
    if (wal->hard_state.term != 0) {
        wal_append_state(&wal->pending, &wal->crc, &wal->hard_state);
    }
    int rc = pending_flush(wal, file);
    if (rc != 0) {
        return rc;
    }
    struct wal_segment segment = {sequence, index, file};
    char *path = wal_segment_path(wal->dir, &segment);
    rc = wal->disk->rename(wal->disk->ctx, wal->prepare.path, path);
    mem_free(path);
    if (rc == 0 && !PLANT(segment_name_not_flushed)) {
        rc = wal->disk->sync_dir(wal->disk->ctx, wal->dir);
    }
    if (rc == 0) {
        wal_segments_add(&wal->segments, segment);
        durable_set(wal);
    }
    return rc;
}

static int segment_add(struct wal *wal, uint64_t sequence, uint64_t index, bool first)
{
    struct disk_file *file;
    int rc = wal_prepare_take(&wal->prepare, &file);
    if (rc != 0) {
        return rc;
    }
    buf_clear(&wal->pending);
    wal->pending_offset = 0;
    wal->written_bytes = 0;
    rc = segment_begin(wal, file, sequence, index, first);
    wal_prepare_release(&wal->prepare);
    if (rc != 0) {
        wal->disk->close(file);
    }
    return rc;
}

/* Flushes the full segment, then goes on in the next. */
static int cut(struct wal *wal)
{
    int rc = pending_flush(wal, tail_of(wal)->file);
    if (rc != 0) {
        return rc;
    }
    durable_set(wal);
    rc = segment_add(wal, tail_of(wal)->sequence + 1, wal->last_index + 1, false);
    if (rc == 0) {
        wal->owed_zeros = 0;
        mark_refresh(wal);
    }
    return rc;
}

int wal_append(struct wal *wal, const struct raft_entry *entries, uint32_t entry_count,
               const struct raft_hard_state *hard_state)
{
    int rc = atomic_load(&wal->poison);
    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < entry_count; i++) {
        ASSERT(entries[i].index != 0 && entries[i].term != 0);
        ASSERT(i == 0 || entries[i].index == entries[i - 1].index + 1);
        if (raftpb_entry_size(&entries[i]) > WAL_RECORD_BYTES_MAX - FRAME_EXTRA_BYTES) {
            return E_TOO_BIG;
        }
    }
    ASSERT(entry_count == 0 || entries[0].index <= wal->last_index + 1);
    for (uint32_t i = 0; i < entry_count; i++) {
        wal_append_entry(&wal->pending, &wal->crc, &entries[i]);
        wal->last_index = entries[i].index;
    }
    if (hard_state != NULL && hard_state->term != 0) {
        wal->hard_state = *hard_state;
        wal_append_state(&wal->pending, &wal->crc, hard_state);
    }
    if (append_offset(wal) < wal->segment_bytes) {
        return 0;
    }
    rc = cut(wal);
    return rc == 0 ? 0 : poison(wal, rc, "cut a segment");
}

int wal_sync(struct wal *wal)
{
    int rc = atomic_load(&wal->poison);
    if (rc != 0 || wal->pending.size == wal->written_bytes) {
        return rc; /* nothing was appended since the last flush */
    }
    rc = pending_flush(wal, tail_of(wal)->file);
    if (rc != 0) {
        return poison(wal, rc, "flush");
    }
    durable_set(wal);
    zeros_keep_pace(wal);
    return 0; /* what was asked for is durable, also when preparing has just failed */
}

int wal_save_mark(struct wal *wal, const struct raft_snapshot_mark *mark)
{
    int rc = atomic_load(&wal->poison);
    if (rc != 0) {
        return rc;
    }
    ASSERT(mark->index != 0 && mark->term != 0);
    wal_append_mark(&wal->pending, &wal->crc, mark);
    wal->last_index = BASE_MAX(wal->last_index, mark->index);
    return wal_sync(wal);
}

int wal_clear_suspect(struct wal *wal)
{
    int rc = atomic_load(&wal->poison);
    if (rc != 0) {
        return rc;
    }
    ASSERT(pthread_mutex_lock(&wal->marker_lock) == 0);
    if (wal->marker.suspect) {
        rc = mark_write(wal, false);
    }
    ASSERT(pthread_mutex_unlock(&wal->marker_lock) == 0);
    return rc;
}

/* Removes the first segment, or makes it the next one. */
static int segment_purge(struct wal *wal)
{
    struct wal_segment *segment = &wal->segments.items[0];
    if (segment->file != NULL) {
        wal->disk->close(segment->file);
        segment->file = NULL;
    }
    char *path = wal_segment_path(wal->dir, segment);
    bool used = false;
    int rc = wal_prepare_recycle(&wal->prepare, wal->dir, path, &used);
    if (rc == 0 && !used) {
        rc = wal->disk->remove(wal->disk->ctx, path);
    }
    mem_free(path);
    if (rc == 0) {
        wal->segments.count--;
        memmove(segment, segment + 1, wal->segments.count * sizeof(*segment));
    }
    return rc;
}

int wal_purge(struct wal *wal, uint64_t index, uint32_t keep_segments)
{
    int rc = atomic_load(&wal->poison);
    if (rc != 0) {
        return rc;
    }
    bool removed = false;
    /* A segment may go when the one after it begins at index or below: that one can be opened at.
     */
    while (wal->segments.count > BASE_MAX(keep_segments, 1u) &&
           wal->segments.items[1].index <= index) {
        rc = segment_purge(wal);
        if (rc != 0) {
            return poison(wal, rc, "purge a segment");
        }
        removed = true;
    }
    if (removed) {
        rc = wal->disk->sync_dir(wal->disk->ctx, wal->dir);
    }
    return rc == 0 ? 0 : poison(wal, rc, "flush the directory");
}

static bool has_less_than(const struct wal *wal, uint64_t bytes)
{
    return atomic_load(&wal->prepare.no_space) && atomic_load(&wal->room) < bytes;
}

bool wal_is_short_of_space(const struct wal *wal)
{
    return has_less_than(wal, wal->segment_bytes / 4);
}

bool wal_is_out_of_space(const struct wal *wal)
{
    return has_less_than(wal, wal->segment_bytes / 8);
}

uint64_t wal_flush_count(const struct wal *wal)
{
    return wal->flush_count;
}

uint64_t wal_written_bytes(const struct wal *wal)
{
    return wal->total_bytes;
}

void wal_close(struct wal *wal)
{
    if (wal == NULL) {
        return;
    }
    for (uint32_t i = 0; i < wal->segments.count; i++) {
        if (wal->segments.items[i].file != NULL) {
            wal->disk->close(wal->segments.items[i].file);
        }
    }
    wal_segments_free(&wal->segments);
    wal_prepare_free(&wal->prepare);
    wal_marker_close(&wal->marker);
    (void)pthread_mutex_destroy(&wal->durable_lock);
    (void)pthread_mutex_destroy(&wal->marker_lock);
    buf_free(&wal->pending);
    mem_free(wal->dir);
    mem_free(wal);
}

static struct wal *wal_new(const struct wal_options *options)
{
    struct wal *wal = mem_zalloc(sizeof(*wal));
    wal->disk = options->disk;
    wal->dir = str_dup(options->dir);
    wal->segment_bytes =
        options->segment_bytes == 0 ? WAL_SEGMENT_BYTES_DEFAULT : options->segment_bytes;
    wal->no_sync = options->unsafe_no_fsync;
    buf_init(&wal->pending, BUF_NO_LIMIT);
    wal_prepare_init(&wal->prepare, wal->disk, wal->dir, wal->segment_bytes, wal->no_sync);
    ASSERT(pthread_mutex_init(&wal->durable_lock, NULL) == 0);
    ASSERT(pthread_mutex_init(&wal->marker_lock, NULL) == 0);
    return wal;
}

int wal_find(const struct disk_seam *disk, const char *dir, bool *out_exists)
{
    struct wal_segments segments;
    int rc = wal_segments_list(disk, dir, &segments);
    if (rc != 0 && rc != E_NOT_FOUND) {
        return rc;
    }
    *out_exists = rc == 0 && segments.count != 0;
    if (rc == 0) {
        wal_segments_free(&segments);
    }
    return 0;
}

/* The directory with its name durable, the first segment, the first mark. */
static int first_make(struct wal *wal)
{
    int rc = wal->disk->make_dir(wal->disk->ctx, wal->dir);
    if (rc == 0) {
        char *parent = wal_path_parent(wal->dir);
        rc = wal->disk->sync_dir(wal->disk->ctx, parent);
        mem_free(parent);
    }
    bool valid = false;
    if (rc == 0) {
        rc = wal_marker_open(wal->disk, wal->dir, &wal->marker, &valid);
    }
    if (rc == 0) {
        rc = segment_add(wal, 0, 0, true);
    }
    if (rc == 0 && !wal->no_sync) {
        rc = mark_write(wal, false);
    }
    return rc;
}

int wal_create(const struct wal_options *options, const struct wal_metadata *metadata,
               struct wal **out_wal, struct err *err)
{
    bool exists = false;
    int rc = wal_find(options->disk, options->dir, &exists);
    if (rc != 0) {
        return err_set(err, rc, "read directory %s: %s", options->dir, err_code_text(rc));
    }
    if (exists) {
        return err_set(err, E_EXISTS, "%s: there is a log already", options->dir);
    }
    struct wal *wal = wal_new(options);
    wal->metadata = *metadata;
    rc = first_make(wal);
    if (rc != 0) {
        wal_close(wal);
        return err_set(err, rc, "%s: cannot make the log: %s", options->dir, err_code_text(rc));
    }
    *out_wal = wal;
    return 0;
}

/* Opens and locks the segments from first on. */
static int segments_lock(struct wal *wal, uint32_t first, struct err *err)
{
    for (uint32_t i = first; i < wal->segments.count; i++) {
        struct wal_segment *segment = &wal->segments.items[i];
        char *path = wal_segment_path(wal->dir, segment);
        int rc = wal->disk->open(wal->disk->ctx, path, DISK_READ_WRITE, &segment->file);
        if (rc == 0) {
            rc = wal->disk->lock(segment->file);
        }
        if (rc == E_IN_USE) {
            rc = err_set(err, rc, "%s: another process has this log open", path);
        } else if (rc != 0) {
            rc = err_set(err, rc, "%s: cannot open: %s", path, err_code_text(rc));
        }
        mem_free(path);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

struct name_list {
    char *names[8];
    uint32_t count;
};

static void leftover_note(void *ctx, const char *name)
{
    struct name_list *list = ctx;
    if (list->count < ARRAY_COUNT(list->names) && str_ends_with(name, ".tmp")) {
        list->names[list->count++] = str_dup(name);
    }
}

/* Segments in preparation, ours or etcd's, are begun anew. Failing to remove one is no harm. */
static void leftovers_remove(struct wal *wal)
{
    struct name_list list = {.count = 0};
    (void)wal->disk->list_dir(wal->disk->ctx, wal->dir, leftover_note, &list);
    for (uint32_t i = 0; i < list.count; i++) {
        char *path = wal_path_join(wal->dir, list.names[i]);
        (void)wal->disk->remove(wal->disk->ctx, path);
        mem_free(path);
        mem_free(list.names[i]);
    }
}

/*
 * A process that was killed between a rename and the flush of the directory left a segment (or the
 * directory, or the side mark) whose name the next power cut takes away: nothing may be
 * acknowledged in it before that is made good.
 */
static int names_sync(const struct wal *wal)
{
    char *parent = wal_path_parent(wal->dir);
    int rc = wal->disk->sync_dir(wal->disk->ctx, wal->dir);
    if (rc == 0) {
        rc = wal->disk->sync_dir(wal->disk->ctx, parent);
    }
    mem_free(parent);
    return rc;
}

/* Takes up writing where the scan found the end: the bytes of its page come into the buffer. */
static int resume(struct wal *wal, const struct wal_scan *scan)
{
    wal->metadata = scan->contents.metadata;
    wal->hard_state = scan->contents.hard_state;
    wal->last_index =
        BASE_MAX(scan->last_index, scan->contents.mark.index + scan->contents.entry_count);
    wal->crc = scan->end.crc;
    size_t partial = (size_t)(scan->end.offset % PAGE_BYTES);
    wal->pending_offset = scan->end.offset - partial;
    wal->written_bytes = partial;
    uint8_t page[PAGE_BYTES];
    size_t got = 0;
    int rc = wal->disk->read_at(tail_of(wal)->file, wal->pending_offset, page, partial, &got);
    if (rc == 0 && got != partial) {
        rc = E_IO;
    }
    if (rc != 0) {
        return rc;
    }
    (void)buf_append(&wal->pending, page, partial);
    rc = names_sync(wal);
    if (rc == 0) {
        rc = log_sync(wal, tail_of(wal)->file);
    }
    if (rc != 0) {
        return rc;
    }
    room_note(wal);
    durable_set(wal);
    bool suspect = scan->contents.tail == WAL_TAIL_SUSPECT;
    return wal->no_sync ? 0 : mark_write(wal, suspect);
}

static int scan_and_repair(struct wal *wal, struct wal_scan *scan, struct err *err)
{
    int rc = wal_segments_list(wal->disk, wal->dir, &wal->segments);
    if (rc != 0 || wal->segments.count == 0) {
        rc = rc == 0 ? E_NOT_FOUND : rc;
        return err_set(err, rc, "%s: cannot find a log: %s", wal->dir, err_code_text(rc));
    }
    rc = wal_segments_find(&wal->segments, wal->dir, scan->wanted.index, &scan->first, err);
    if (rc == 0) {
        rc = segments_lock(wal, scan->first, err);
    }
    if (rc != 0) {
        return rc;
    }
    leftovers_remove(wal);
    bool valid = false;
    rc = wal_marker_open(wal->disk, wal->dir, &wal->marker, &valid);
    if (rc != 0) {
        return err_set(err, rc, "%s: cannot read the durability mark: %s", wal->dir,
                       err_code_text(rc));
    }
    scan->marker = valid ? &wal->marker : NULL;
    rc = wal_scan_run(scan, err);
    if (rc == 0) {
        rc = wal_repair_run(scan, &wal->segments, &wal->marker, err);
    }
    if (rc != 0) {
        return rc;
    }
    rc = resume(wal, scan);
    return rc == 0 ? 0 : err_set(err, rc, "%s: cannot resume: %s", wal->dir, err_code_text(rc));
}

int wal_open(const struct wal_options *options, const struct raft_snapshot_mark *mark,
             struct wal **out_wal, struct wal_contents *out_contents, struct err *err)
{
    struct wal *wal = wal_new(options);
    struct wal_scan scan = {
        .disk = wal->disk, .dir = wal->dir, .segments = &wal->segments, .wanted = *mark};
    int rc = scan_and_repair(wal, &scan, err);
    if (rc != 0) {
        wal_contents_free(&scan.contents);
        wal_close(wal);
        return rc;
    }
    if (scan.contents.tail != WAL_TAIL_CLEAN) {
        LOG_WARN(scan.contents.tail == WAL_TAIL_CUT
                     ? "cut the torn end of the log"
                     : "the log lost durable records, the member is suspect",
                 LOG_STR("where", scan.contents.tail_text));
    }
    *out_contents = scan.contents;
    *out_wal = wal;
    return 0;
}

void wal_contents_free(struct wal_contents *contents)
{
    for (uint32_t i = 0; i < contents->entry_count; i++) {
        raft_payload_unref(contents->entries[i].payload);
    }
    mem_free(contents->entries);
    contents->entries = NULL;
    contents->entry_count = 0;
}
