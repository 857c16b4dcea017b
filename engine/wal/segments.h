/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a log directory: names, order, and which of them hold an index. */
#ifndef ENGINE_WAL_SEGMENTS_H
#define ENGINE_WAL_SEGMENTS_H

#include "base/err.h"
#include "base/seam/disk.h"

#define WAL_NAME_BYTES    38u /* 16 hex digits, '-', 16 hex digits, ".wal", NUL */
#define WAL_SEGMENTS_MAX  1048576u
#define WAL_NEXT_NAME     "quorate-next.tmp" /* the segment in preparation; etcd passes over *.tmp */
#define WAL_BROKEN_SUFFIX ".broken"

/* One file. index: of the first entry that it may hold. file: open and locked, or NULL. */
struct wal_segment {
    uint64_t sequence;
    uint64_t index;
    struct disk_file *file;
};

/* Ascending by sequence; owns the array, not the files. */
struct wal_segments {
    struct wal_segment *items;
    uint32_t count;
    uint32_t capacity;
};

/* Writes "%016x-%016x.wal". */
void wal_name_format(uint64_t sequence, uint64_t index, char out_name[WAL_NAME_BYTES]);
bool wal_name_parse(const char *name, uint64_t *out_sequence, uint64_t *out_index);

/* Gives "dir/name" (mem_free), and the directory that holds path ("." when there is no slash). */
char *wal_path_join(const char *dir, const char *name);
char *wal_path_parent(const char *path);
char *wal_segment_path(const char *dir, const struct wal_segment *segment);

/* Lists the log's files; none is 0 with count 0. wal_segments_free frees. */
BASE_MUST_CHECK int wal_segments_list(const struct disk_seam *disk, const char *dir,
                                      struct wal_segments *out_segments);
void wal_segments_add(struct wal_segments *segments, struct wal_segment segment);
void wal_segments_free(struct wal_segments *segments);

/*
 * The last segment whose index is not above index. From it on the sequence must have no hole.
 * Returns 0, E_NOT_FOUND (all begin later) or E_CORRUPT (a file is missing), with a text.
 */
BASE_MUST_CHECK int wal_segments_find(const struct wal_segments *segments, const char *dir,
                                      uint64_t index, uint32_t *out_at, struct err *err);

#endif
