/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk seam: every byte that the engine makes durable goes through these functions, so that the
 * simulator can lose, tear and rot what was written. Paths are NUL-terminated. All return 0 (or
 * what is said) or a negative E_*; after an error of write, sync or rename the caller must stop the
 * member.
 */
#ifndef BASE_SEAM_DISK_H
#define BASE_SEAM_DISK_H

#include "base/defs.h"
#include "base/err.h"

/* An open file; owned by the implementation, closed by close. */
struct disk_file;

enum disk_open_mode { DISK_READ, DISK_READ_WRITE, DISK_CREATE };

/* Called for each name in a directory (without "." and ".."), unsorted. */
typedef void (*disk_list_fn)(void *ctx, const char *name);

struct disk_seam {
    void *ctx;
    /* DISK_CREATE: made with mode 0600, truncated when there. */
    int (*open)(void *ctx, const char *path, enum disk_open_mode mode, struct disk_file **out_file);
    void (*close)(struct disk_file *file);
    /* Reads up to size bytes; the count in *out_read, 0 at the end of the file. */
    int (*read_at)(struct disk_file *file, uint64_t offset, void *data, size_t size,
                   size_t *out_read);
    /* Writes all or fails. */
    int (*write_at)(struct disk_file *file, uint64_t offset, const void *data, size_t size);
    int (*sync)(struct disk_file *file); /* fdatasync: bytes and the size needed to read them */
    int (*truncate)(struct disk_file *file, uint64_t size);
    int (*size)(struct disk_file *file, uint64_t *out_size);
    /* Takes an exclusive lock that dies with the process; E_IN_USE when another holds it. */
    int (*lock)(struct disk_file *file);
    int (*rename)(void *ctx, const char *from, const char *to);
    int (*remove)(void *ctx, const char *path);
    int (*make_dir)(void *ctx, const char *path); /* mode 0700; parents must exist; 0 when there */
    int (*list_dir)(void *ctx, const char *path, disk_list_fn each, void *each_ctx);
    int (*sync_dir)(void *ctx,
                    const char *path); /* makes creations, renames and removals durable */
    int (*free_bytes)(void *ctx, const char *path, uint64_t *out_bytes);
};

/* The real file system. */
const struct disk_seam *disk_posix(void);

/* Gives the size of the file at path; E_NOT_FOUND when there is none. */
static inline int disk_size_of(const struct disk_seam *disk, const char *path, uint64_t *out_bytes)
{
    struct disk_file *file;
    int rc = disk->open(disk->ctx, path, DISK_READ, &file);
    if (rc == 0) {
        rc = disk->size(file, out_bytes);
        disk->close(file);
    }
    return rc;
}

#endif
