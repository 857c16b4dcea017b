/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot file as the data directory of a new cluster's member: member/snap/db with the
 * snapshot's keys, leases, users and alarms and the new cluster's members, a log that founds the
 * cluster, and the .snap file between the two. Quorate starts on it, and so does etcd 3.4 to 3.7.
 * All over the disk seam; no clock, no network.
 */
#ifndef ENGINE_SERVER_RESTORE_H
#define ENGINE_SERVER_RESTORE_H

#include "base/err.h"
#include "base/seam/disk.h"

/* All borrowed. */
struct restore_options {
    const char *snapshot_path;   /* with or without its sha256; see skip_hash_check */
    const char *name;            /* of the member that the directory is for */
    const char *initial_cluster; /* "name=url,name=url": all members of the new cluster */
    const char *initial_cluster_token;
    const char *advertise_peer_urls; /* "url,url": must be those of name in initial_cluster */
    const char *data_dir;            /* absent, or an empty directory */
    const char *wal_dir;             /* absent; NULL or "": in data_dir */
    bool skip_hash_check;   /* also a file without a sha256, or with a wrong one, is taken */
    uint64_t bump_revision; /* added to the newest revision, and everything up to it is compacted,
                               so that watches from before the restore end; 0: no */
    uint64_t wal_segment_bytes; /* 0: as etcd */
};

struct restore_result {
    uint64_t member_id, cluster_id;
    size_t member_count;
    int64_t revision; /* that the new cluster begins with */
    uint64_t key_records, db_bytes;
};

/* E_INVALID with the reason, before any file is looked at: names, URLs, who is who. */
BASE_MUST_CHECK int restore_check(const struct restore_options *options, struct err *err);

/*
 * Restores. The snapshot is read whole and checked first; the member's directory appears under its
 * name when it is complete and synced. On error nothing is left: E_CORRUPT, E_UNSUPPORTED (of a
 * newer version), E_EXISTS (data_dir or wal_dir), E_NO_SPACE, E_NOT_FOUND, E_PERMISSION, ...
 */
BASE_MUST_CHECK int restore_run(const struct disk_seam *disk, const struct restore_options *options,
                                struct restore_result *out_result, struct err *err);

#endif
