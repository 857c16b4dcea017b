/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data directory: member/wal, member/snap, member/store (docs/formats/datadir.md). A store that
 * comes with a snapshot is built in member/store.<index>.new and swapped in; a crash between the
 * steps is settled at the next start by what the WAL says.
 */
#ifndef ENGINE_SERVER_DATADIR_H
#define ENGINE_SERVER_DATADIR_H

#include "base/err.h"
#include "base/seam/disk.h"
#include "engine/raft/types.h"
#include "engine/store/bolt.h"

/* Makes dir and its parents, mode 0700, their names durable. */
BASE_MUST_CHECK int datadir_make(const struct disk_seam *disk, const char *dir, struct err *err);

/*
 * Before the store is opened: finishes or drops an interrupted swap. mark_index is that of the
 * newest snapshot which the WAL knows.
 */
BASE_MUST_CHECK int store_dir_settle(const struct disk_seam *disk, const char *member_dir,
                                     uint64_t mark_index, struct err *err);

/* Builds member/store.<index>.new from a bbolt file, at exactly mark and its configuration, synced.
 */
BASE_MUST_CHECK int store_dir_build(const struct disk_seam *disk, const char *member_dir,
                                    const struct raft_snapshot_mark *mark, const char *db_path,
                                    uint64_t map_bytes, struct bolt_import *out_import,
                                    struct err *err);

/* Removes what half-received and half-installed snapshots left in member/snap. For the start. */
BASE_MUST_CHECK int snap_dir_settle(const struct disk_seam *disk, const char *snap_dir,
                                    struct err *err);

/* Puts what store_dir_build made in the place of member/store, which must be closed; synced. */
BASE_MUST_CHECK int store_dir_swap(const struct disk_seam *disk, const char *member_dir,
                                   uint64_t index, struct err *err);

/* Builds a store from a bbolt file at the file's own position and puts it in the place of
 * member/store, which must be closed; synced. */
BASE_MUST_CHECK int store_dir_adopt(const struct disk_seam *disk, const char *member_dir,
                                    const char *db_path, uint64_t map_bytes,
                                    struct bolt_import *out_import, struct err *err);

/* Removes member/store, which must be closed. */
void store_dir_remove(const struct disk_seam *disk, const char *member_dir);

#endif
