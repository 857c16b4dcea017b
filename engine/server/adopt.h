/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A data directory that etcd wrote, or `etcdutl snapshot restore`: its key space is read into a
 * store of ours at the first start; log and .snap files are in etcd's own format and stay. The way
 * back to etcd is remove and add: the file loses its name, so that etcd cannot start on old data.
 */
#ifndef ENGINE_SERVER_ADOPT_H
#define ENGINE_SERVER_ADOPT_H

#include "base/err.h"
#include "base/seam/disk.h"
#include "engine/wal/wal.h"

#define ADOPT_DB_NAME   "db"         /* in member/snap */
#define ADOPT_DONE_NAME "db.adopted" /* the same after it was read */

/*
 * Before the store is opened, the log being locked and read. Does nothing where there is no
 * member/snap/db: else that file is newer than any store beside it, and the store is built from it,
 * with the members that snapshot and log name at its index: what the file itself says of them may
 * be of another cluster, because tools that restore leave some of it as it was. With log->mark at 0
 * and a file that does not name the members (etcd 3.4), there is no store afterwards and the log is
 * read from its beginning. E_NO_SPACE when the disk cannot hold both; E_UNSUPPORTED for files of a
 * newer version than 3.7; etcd's file is as it was, whatever comes back.
 */
BASE_MUST_CHECK int adopt_begin(const struct disk_seam *disk, const char *member_dir,
                                const struct wal_contents *log, uint64_t map_bytes,
                                struct err *err);

/* After the store was found to fit the log: etcd's file loses its name. */
BASE_MUST_CHECK int adopt_finish(const struct disk_seam *disk, const char *member_dir,
                                 struct err *err);

#endif
