/* SPDX-License-Identifier: Apache-2.0 */
/* Written, flushed, renamed, the name flushed. */
#include "ctl/part_file.h"

#include <string.h>

#include "base/alloc.h"

static int failed(const struct part_file *file, int rc, const char *what, struct err *err)
{
    return err_set(err, rc, "%s %s: %s", what, file->part, err_code_text(rc));
}

int part_file_open(const struct disk_seam *disk, const char *path, struct part_file *out_file,
                   struct err *err)
{
    *out_file = (struct part_file){
        .disk = disk, .path = str_dup(path), .part = str_printf("%s.part", path)};
    int rc = disk->open(disk->ctx, out_file->part, DISK_CREATE, &out_file->file);
    if (rc != 0) {
        rc = failed(out_file, rc, "make", err);
        mem_free(out_file->part); /* not made: nothing to remove */
        out_file->part = NULL;
    }
    return rc;
}

int part_file_write(struct part_file *file, const void *data, size_t size, struct err *err)
{
    int rc = file->disk->write_at(file->file, file->written_bytes, data, size);
    if (rc != 0) {
        return failed(file, rc, "write", err);
    }
    file->written_bytes += size;
    return 0;
}

int part_file_finish(struct part_file *file, struct err *err)
{
    int rc = file->disk->sync(file->file);
    file->disk->close(file->file);
    file->file = NULL;
    return rc == 0 ? 0 : failed(file, rc, "flush", err);
}

int part_file_publish(struct part_file *file, struct err *err)
{
    const char *slash = strrchr(file->path, '/');
    char *folder = slash == NULL         ? str_dup(".")
                   : slash == file->path ? str_dup("/")
                                         : str_from(file->path, (size_t)(slash - file->path));
    int rc = file->disk->rename(file->disk->ctx, file->part, file->path);
    if (rc != 0) {
        rc = failed(file, rc, "rename", err);
    } else {
        mem_free(file->part);
        file->part = NULL;
        rc = file->disk->sync_dir(file->disk->ctx, folder);
        if (rc == E_PERMISSION) {
            rc = 0; /* a folder that may be written and not read cannot be flushed */
        }
        if (rc != 0) {
            err_set(err, rc, "flush %s: %s", folder, err_code_text(rc));
        }
    }
    mem_free(folder);
    return rc;
}

void part_file_close(struct part_file *file)
{
    if (file->file != NULL) {
        file->disk->close(file->file);
    }
    if (file->part != NULL) {
        (void)file->disk->remove(file->disk->ctx, file->part);
    }
    mem_free(file->part);
    mem_free(file->path);
    *file = (struct part_file){0};
}
