/* SPDX-License-Identifier: Apache-2.0 */
/* The .snap files beside the key space: snappb.snapshot{crc, raftpb.Snapshot}, named term-index. */
#ifndef ENGINE_WAL_SNAPFILE_H
#define ENGINE_WAL_SNAPFILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/seam/disk.h"
#include "engine/raft/types.h"

#define SNAPFILE_BYTES_MAX (64u * 1024u * 1024u)

/* Writes dir/<term>-<index>.snap through a temporary file, file and directory synced. data is the
 * v2-store JSON. */
BASE_MUST_CHECK int snapfile_save(const struct disk_seam *disk, const char *dir,
                                  const struct raft_snapshot_mark *mark, struct bytes data,
                                  struct err *err);

/*
 * Loads the newest file that is whole and whose (index, term) is among the marks of the WAL; broken
 * ones are renamed to *.broken with a warning. E_NOT_FOUND: there is none. Gives data in out_data.
 */
BASE_MUST_CHECK int snapfile_load_newest(const struct disk_seam *disk, const char *dir,
                                         const struct raft_snapshot_mark *marks,
                                         uint32_t mark_count, struct raft_snapshot_mark *out_mark,
                                         struct buf *out_data, struct err *err);

/* Removes all but the newest keep files, and left-over temporary files. */
BASE_MUST_CHECK int snapfile_purge(const struct disk_seam *disk, const char *dir, uint32_t keep);

#endif
