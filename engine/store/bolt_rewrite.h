/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bbolt file as another one: the items of the first with some left out and some put in, streamed,
 * in bounded memory. What a restore makes of a snapshot, and how a database is made a snapshot.
 */
#ifndef ENGINE_STORE_BOLT_REWRITE_H
#define ENGINE_STORE_BOLT_REWRITE_H

#include "engine/store/bolt.h"

/* The newest minor version of etcd 3 whose files are known. */
#define BOLT_MINOR_MAX 7u

/* True for an item that is to be left out. Pure: asked twice for each. */
typedef bool (*bolt_drop_fn)(enum store_table table, struct bytes key);

/* drop may be NULL; puts (may be NULL) holds puts only, of different keys, which replace items of
 * the same keys. All borrowed. */
struct bolt_changes {
    bolt_drop_fn drop;
    const struct store_batch *puts;
};

enum bolt_seal { BOLT_PLAIN, BOLT_SEALED /* with the sha256 that snapshot files carry behind */ };

/*
 * Writes what the writer gives as the file path (made anew), size_bytes without the checksum,
 * synced (its name is not). On error nothing is left at path; E_NO_SPACE before a byte is written
 * when the disk has not the room.
 */
BASE_MUST_CHECK int bolt_write_file(const struct disk_seam *disk, struct bolt_writer *writer,
                                    uint64_t size_bytes, const char *path, enum bolt_seal seal,
                                    struct err *err);

/* Writes the file from with the changes as the file to, by the rules of bolt_write_file and of
 * bolt_read. Gives the size of the new file. Unknown buckets and meta/storageVersion are left out.
 */
BASE_MUST_CHECK int bolt_rewrite(const struct disk_seam *disk, const char *from, const char *to,
                                 const struct bolt_changes *changes, enum bolt_seal seal,
                                 uint64_t *out_bytes, struct err *err);

/*
 * What one item says about the version of its writer: 0, or E_UNSUPPORTED with a text when it is
 * newer than 3.BOLT_MINOR_MAX (meta/storageVersion, cluster/clusterVersion).
 */
BASE_MUST_CHECK int bolt_check_version(enum store_table table, struct bytes key, struct bytes value,
                                       struct err *err);

#endif
