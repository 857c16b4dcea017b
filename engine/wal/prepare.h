/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The next segment, made ready ahead of time: zeros are written and flushed slice by slice, because
 * overwriting zeros that are on the disk needs no file system journal at each flush of the log,
 * which preallocated (unwritten) blocks do. Safe to call from any thread.
 */
#ifndef ENGINE_WAL_PREPARE_H
#define ENGINE_WAL_PREPARE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/seam/disk.h"

#define WAL_PREPARE_SLICE_BYTES (1024u * 1024u)

/* Owns path, dir and file. */
struct wal_prepare {
    const struct disk_seam *disk;
    pthread_mutex_t lock;
    char *path, *dir;
    uint64_t segment_bytes;
    bool no_sync;
    struct disk_file *file; /* NULL: nothing begun */
    uint64_t zeroed;
    _Atomic bool no_space; /* the disk had no room for another segment when it was last tried */
    bool taken;            /* the name is in use by the taker until wal_prepare_release */
};

void wal_prepare_init(struct wal_prepare *prepare, const struct disk_seam *disk, const char *dir,
                      uint64_t segment_bytes, bool no_sync);
void wal_prepare_free(struct wal_prepare *prepare);

/*
 * Writes one slice of zeros. Returns 1 when more remains, 0 when the segment is ready, or an error,
 * after which the half-made file is given up. blocking false: E_AGAIN when another thread is at it.
 */
BASE_MUST_CHECK int wal_prepare_step(struct wal_prepare *prepare, bool blocking);

/*
 * Finishes what is left and gives the locked file. Its name is still prepare->path, and no other
 * file gets that name before wal_prepare_release, which the caller calls when it has renamed the
 * file.
 */
BASE_MUST_CHECK int wal_prepare_take(struct wal_prepare *prepare, struct disk_file **out_file);
void wal_prepare_release(struct wal_prepare *prepare);

/*
 * Makes an old segment the next one when none is begun: renamed (durably, before a byte of it
 * changes), zeroed later. *out_used false: not wanted, the caller removes it.
 */
BASE_MUST_CHECK int wal_prepare_recycle(struct wal_prepare *prepare, const char *dir,
                                        const char *path, bool *out_used);

#endif
