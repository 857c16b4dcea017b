/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store seam on LMDB: one file, member/quorate.lmdb, one named database per table. A commit is
 * one synced transaction; a crash at any moment leaves the state of the last commit that returned,
 * or of the one that was running, whole. Commits come from the store thread; views may be used from
 * any one thread each meanwhile. Each value carries a checksum: a record that rotted is E_CORRUPT
 * to whoever reads it, never given as if it were right. After a failed commit the store refuses all
 * further ones: the member must stop.
 */
#ifndef ENGINE_STORE_LMDB_STORE_H
#define ENGINE_STORE_LMDB_STORE_H

#include "engine/mvcc/store.h"

#define LMDB_STORE_FILE "quorate.lmdb"
#define LMDB_STORE_NEW  ".new" /* behind that name while the file is made */

struct lmdb_store; /* opaque */

/* What this release writes, and the newest that it reads; docs/formats/store.md has the list. */
#define LMDB_STORE_FORMAT 1u

/*
 * Before anything else is done with a data directory: E_UNSUPPORTED when dir/quorate.lmdb is of a
 * format that a newer release made. Writes nothing. 0 also when there is no such file, or when it
 * cannot be read: opening it will say why.
 */
BASE_MUST_CHECK int lmdb_store_check(const char *dir, struct err *err);

/* Opens or makes dir/quorate.lmdb (dir exists, mode of the file 0600). map_bytes is the most the
 * file may grow to: quota plus slack, so that deletes work when the quota is used up. Gives
 * *out_store. */
int lmdb_store_open(const char *dir, uint64_t map_bytes, struct lmdb_store **out_store,
                    struct err *err);

/* All views must have ended. */
void lmdb_store_close(struct lmdb_store *store);

/* The functions of this store; borrowed, good until lmdb_store_close. commit gives E_AGAIN when
 * the disk has no room for the batch (it is not begun), E_NO_SPACE when the map or the disk turned
 * out to be full, E_IO when the disk fails, E_CLOSED after an earlier failure. */
const struct store_seam *lmdb_store_seam(struct lmdb_store *store);

/* Writes a consistent copy without free pages to path (which must not exist) and syncs it. Runs
 * beside reads and commits. On error nothing is left at path. */
int lmdb_store_copy(struct lmdb_store *store, const char *path, struct err *err);

/* Replaces the file by a copy without free pages. For the store thread (no commit may run
 * meanwhile); views go on: those that are open keep reading the old file. An error leaves the old
 * file in use, except that one after the replacement refuses further commits. */
int lmdb_store_defragment(struct lmdb_store *store, struct err *err);

#endif
