/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a log: all records from the segment of a snapshot mark on, and the verdict on its end.
 * Changes nothing on the disk (repair.h does).
 */
#ifndef ENGINE_WAL_SCAN_H
#define ENGINE_WAL_SCAN_H

#include "engine/wal/marker.h"
#include "engine/wal/reader.h"
#include "engine/wal/segments.h"
#include "engine/wal/wal.h"

/* Borrows segments and marker; owns contents. */
struct wal_scan {
    const struct disk_seam *disk;
    const char *dir;
    const struct wal_segments *segments;
    uint32_t first;                  /* the segment to begin with */
    const struct wal_marker *marker; /* NULL: there is none for this log */
    struct raft_snapshot_mark wanted;
    /* Out. */
    struct wal_contents contents;
    uint32_t entry_capacity;
    bool has_metadata;
    bool mark_found;
    uint64_t wanted_term;    /* of the entry at wanted.index as read so far; 0: none */
    uint64_t last_index;     /* of the newest entry or snapshot record */
    uint32_t end_at;         /* the segment that the log ends in */
    struct wal_position end; /* after the last good record */
    bool dirty;              /* bytes that are not zero, or whole segments, come after end */
    bool bad;                /* the log ends at a fault */
    struct wal_fault fault;
    uint32_t fault_at; /* its segment */
    uint64_t fault_offset;
    bool position_met; /* the side mark's position is a place in this log */
    char text[ERR_TEXT_MAX];
};

/*
 * Reads and judges. 0: contents, end and contents.tail are set. E_CORRUPT: it cannot be opened
 * safely, the text says where, why and what to do. Else an error of the disk.
 * wal_contents_free(&scan->contents) frees in every case.
 */
BASE_MUST_CHECK int wal_scan_run(struct wal_scan *scan, struct err *err);

#endif
