/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The side mark: a small file beside the log that says how far the log is known to be durable, and
 * whether the member is still suspect. Two slots, written in turn, each with its own checksum, so
 * that a torn write of one leaves the other.
 */
#ifndef ENGINE_WAL_MARKER_H
#define ENGINE_WAL_MARKER_H

#include "base/seam/disk.h"
#include "engine/wal/wal.h"

#define WAL_MARKER_NAME "quorate-durable.mark" /* in the directory that holds the log's */

/* A place between two records: segment, offset, and the crc chain up to it. */
struct wal_position {
    uint64_t sequence;
    uint64_t offset;
    uint32_t crc;
};

static inline int wal_position_compare(const struct wal_position *a, const struct wal_position *b)
{
    if (a->sequence != b->sequence) {
        return a->sequence < b->sequence ? -1 : 1;
    }
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Owns path and file. One caller at a time. */
struct wal_marker {
    const struct disk_seam *disk;
    char *path;
    struct disk_file *file; /* NULL until the first write */
    uint64_t generation;    /* of the newest slot; 0: none */
    struct wal_metadata owner;
    struct wal_position position;
    bool suspect;
};

/*
 * Reads the mark of the log in log_dir. *out_valid: a whole slot was found. A file that is absent
 * or broken is no error. Returns 0 or an error of the disk.
 */
BASE_MUST_CHECK int wal_marker_open(const struct disk_seam *disk, const char *log_dir,
                                    struct wal_marker *out_marker, bool *out_valid);

/* Writes position, owner and suspect into the other slot, synced; the file is made when absent. */
BASE_MUST_CHECK int wal_marker_write(struct wal_marker *marker, const struct wal_metadata *owner,
                                     const struct wal_position *position, bool suspect);

void wal_marker_close(struct wal_marker *marker);

#endif
