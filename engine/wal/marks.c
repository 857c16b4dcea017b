/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot records of a log, for choosing the .snap file that it can be opened at. */
#include "base/alloc.h"
#include "engine/wal/reader.h"
#include "engine/wal/segments.h"

#define MARKS_MAX 1048576u

struct mark_list {
    struct raft_snapshot_mark *items;
    uint32_t count;
    uint32_t capacity;
    uint64_t commit; /* the highest in any hard state */
};

static void mark_add(struct mark_list *list, const struct raft_snapshot_mark *mark)
{
    if (list->count == MARKS_MAX) {
        return;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16u : list->capacity * 2u;
        list->items = mem_realloc(list->items, (size_t)list->capacity * sizeof(list->items[0]));
    }
    list->items[list->count++] = *mark;
}

static void record_take(struct mark_list *list, const struct wal_record *record)
{
    struct raft_snapshot_mark mark;
    struct raft_hard_state state;
    if (record->type == WAL_RECORD_SNAPSHOT && wal_mark_decode(record->data, &mark) == 0) {
        mark_add(list, &mark);
    } else if (record->type == WAL_RECORD_STATE && wal_state_decode(record->data, &state) == 0) {
        list->commit = BASE_MAX(list->commit, state.commit);
    }
}

/* Reads what is good of one file; a fault in it is for wal_open to judge. */
static int segment_read(const struct disk_seam *disk, const char *path, struct mark_list *list)
{
    struct disk_file *file;
    int rc = disk->open(disk->ctx, path, DISK_READ, &file);
    if (rc != 0) {
        return rc;
    }
    struct wal_reader reader;
    rc = wal_reader_open(disk, file, 0, false, &reader);
    if (rc == 0) {
        struct wal_record record;
        struct wal_fault fault;
        while ((rc = wal_reader_next(&reader, &record, &fault)) > 0) {
            record_take(list, &record);
        }
        wal_reader_close(&reader);
    }
    disk->close(file);
    return rc == E_CORRUPT ? 0 : rc;
}

/* Marks beyond what was committed belong to a snapshot that was still being received. */
static void uncommitted_drop(struct mark_list *list)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].index <= list->commit) {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

int wal_list_marks(const struct wal_options *options, struct raft_snapshot_mark **out_marks,
                   uint32_t *out_count, struct err *err)
{
    struct wal_segments segments;
    int rc = wal_segments_list(options->disk, options->dir, &segments);
    if (rc != 0) {
        return err_set(err, rc, "%s: cannot list the log: %s", options->dir, err_code_text(rc));
    }
    struct mark_list list = {0};
    for (uint32_t i = 0; rc == 0 && i < segments.count; i++) {
        char *path = wal_segment_path(options->dir, &segments.items[i]);
        rc = segment_read(options->disk, path, &list);
        if (rc != 0) {
            rc = err_set(err, rc, "%s: cannot read: %s", path, err_code_text(rc));
        }
        mem_free(path);
    }
    wal_segments_free(&segments);
    if (rc != 0) {
        mem_free(list.items);
        return rc;
    }
    uncommitted_drop(&list);
    *out_marks = list.items;
    *out_count = list.count;
    return 0;
}
