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

#define ADOPT_DB_NAME   "db"         /* in member/snap */
#define ADOPT_DONE_NAME "db.adopted" /* the same after it was read */

/*
 * Before the store is opened, the log being locked. Does nothing where there is no member/snap/db:
 * else that file is newer than any store beside it, and the store is built from it. mark_index is
 * that of the newest snapshot which the log knows; at 0, with a file that does not name the members
 * (etcd 3.4), there is no store afterwards and the log is read from its beginning. E_NO_SPACE when
 * the disk cannot hold both; etcd's file is as it was, whatever comes back.
 */
BASE_MUST_CHECK int adopt_begin(const struct disk_seam *disk, const char *member_dir,
                                uint64_t mark_index, uint64_t map_bytes, struct err *err);

/* After the store was found to fit the log: etcd's file loses its name. */
BASE_MUST_CHECK int adopt_finish(const struct disk_seam *disk, const char *member_dir,
                                 struct err *err);

#endif
