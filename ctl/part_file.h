/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is written as FILE.part and gets its name when it is whole and synced: whoever sees
 * FILE has all of it.
 */
#ifndef CTL_PART_FILE_H
#define CTL_PART_FILE_H

#include "base/err.h"
#include "base/seam/disk.h"

/* Owns its strings. */
struct part_file {
    const struct disk_seam *disk;
    struct disk_file *file; /* NULL: not open */
    char *path, *part;
    uint64_t written_bytes;
};

/* Makes FILE.part. part_file_close must follow, whatever comes back. */
BASE_MUST_CHECK int part_file_open(const struct disk_seam *disk, const char *path,
                                   struct part_file *out_file, struct err *err);
BASE_MUST_CHECK int part_file_write(struct part_file *file, const void *data, size_t size,
                                    struct err *err);

/* Flushes and closes FILE.part, which keeps its name: it can be looked at before it counts. */
BASE_MUST_CHECK int part_file_finish(struct part_file *file, struct err *err);

/* Gives a finished file its name, durably. */
BASE_MUST_CHECK int part_file_publish(struct part_file *file, struct err *err);

/* Frees; removes FILE.part when it was not published. */
void part_file_close(struct part_file *file);

#endif
