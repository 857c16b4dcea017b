/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory for tests: it knows what was flushed and what was not, can lose the rest, can
 * fail at the k-th call that changes something, and lets a test put bytes straight into a file.
 */
#ifndef TESTS_UNIT_WAL_LIB_FAULT_DISK_H
#define TESTS_UNIT_WAL_LIB_FAULT_DISK_H

#include "base/buf.h"
#include "base/seam/disk.h"

struct fault_inode;

struct fault_name {
    char *path;
    struct fault_inode *inode; /* NULL: a directory */
};

struct fault_names {
    struct fault_name *items;
    size_t count;
};

struct fault_disk {
    struct disk_seam seam;
    struct fault_names live;
    struct fault_names durable; /* names that sync_dir has made survive */
    uint64_t changes;           /* calls that change something, so far */
    uint64_t fail_at;           /* the call that fails; 0: none */
    int fail_code;
    uint64_t syncs;
    uint64_t writes;
};

void fault_disk_init(struct fault_disk *disk);
void fault_disk_free(struct fault_disk *disk);

/* Power cut: names and bytes that were not flushed are gone; locks too. All files must be closed.
 */
void fault_disk_crash(struct fault_disk *disk);

/* The bytes of a file, to read and to spoil; NULL when absent. */
struct buf *fault_disk_bytes(struct fault_disk *disk, const char *path);

/* Makes or replaces a file, as if flushed. */
void fault_disk_put(struct fault_disk *disk, const char *path, const void *data, size_t size);

size_t fault_disk_count(const struct fault_disk *disk, const char *suffix);

#endif
