/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot from the data directory of a member that does not run, of etcd (member/snap/db) or of
 * Quorate (member/store): what copying files is used for, checked and with a checksum.
 */
#ifndef CTL_OFFLINE_H
#define CTL_OFFLINE_H

#include "base/err.h"
#include "base/seam/disk.h"

struct offline_result {
    uint64_t bytes;          /* of the file */
    char note[ERR_TEXT_MAX]; /* what the snapshot does not hold; "": nothing is known to be missing
                              */
};

/*
 * Writes path through path.part. wal_dir "": in the data directory. E_IN_USE while the member runs;
 * E_NOT_FOUND: no member's directory; E_CONFLICT: the member was stopped half way through taking
 * over a snapshot. The directory is not changed.
 */
BASE_MUST_CHECK int offline_save(const struct disk_seam *disk, const char *data_dir,
                                 const char *wal_dir, const char *path,
                                 struct offline_result *out_result, struct err *err);

#endif
