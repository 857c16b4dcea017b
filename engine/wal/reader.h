/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the records of one segment file in order, in a window of bounded size. */
#ifndef ENGINE_WAL_READER_H
#define ENGINE_WAL_READER_H

#include "base/seam/disk.h"
#include "engine/wal/record.h"

/* What is wrong with the bytes at the reader's offset. */
struct wal_fault {
    const char *reason; /* static; NULL: nothing */
    bool torn; /* by etcd's rule: the file ends inside the record, or a sector of it is zero */
};

/* Borrows file. offset: of the next frame; crc: the chain up to it. */
struct wal_reader {
    const struct disk_seam *disk;
    struct disk_file *file;
    uint64_t file_bytes;
    uint64_t offset;
    uint32_t crc;
    bool chained; /* crc is known: a crc record must carry it */
    uint8_t *window;
    uint64_t window_offset;
    size_t window_size;
    size_t window_capacity;
};

/* Starts at the head of file. chained false: the first crc record is believed. Returns 0 or E_IO.
 */
BASE_MUST_CHECK int wal_reader_open(const struct disk_seam *disk, struct disk_file *file,
                                    uint32_t crc, bool chained, struct wal_reader *out_reader);
void wal_reader_close(struct wal_reader *reader);

/*
 * Reads the next record, its data borrowed until the next call. Returns 1; 0 where the log ends in
 * this file (zeros, or the end of the file); E_CORRUPT with *out_fault when the bytes are bad
 * (offset stays before them); or the error of the disk.
 */
BASE_MUST_CHECK int wal_reader_next(struct wal_reader *reader, struct wal_record *out_record,
                                    struct wal_fault *out_fault);

/* Is any byte from offset to limit (at most the end of the file) not zero? Returns 1, 0 or an
 * error. */
BASE_MUST_CHECK int wal_reader_is_dirty(struct wal_reader *reader, uint64_t offset, uint64_t limit);

#endif
