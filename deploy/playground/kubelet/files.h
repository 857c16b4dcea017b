/* SPDX-License-Identifier: Apache-2.0 */
/* Small file work of the kubelet: whole files, folders, trees. */
#ifndef PLAYGROUND_KUBELET_FILES_H
#define PLAYGROUND_KUBELET_FILES_H

#include <sys/types.h>

#include "base/defs.h"

/* Gives the first max_size bytes of the file as text (mem_free), or NULL. */
char *files_read_text(const char *path, size_t max_size);

/* Writes a whole file so that a reader sees the old or the new one. True when it worked. */
bool files_write(const char *path, const void *data, size_t size, mode_t mode);

/* Writes over the file that is there, which stays the same file (bind mounts show it). */
bool files_write_in_place(const char *path, const void *data, size_t size);

/* Makes the folder and those above it, mode 0700. True when it is there. */
bool files_make_dirs(const char *path);

/* Removes a folder with all in it; follows no links. */
void files_remove_tree(const char *path);

/* Called with each path below the folder at path that is a plain file whose name ends so. */
typedef void (*files_fn)(void *ctx, const char *path);
void files_each(const char *path, const char *suffix, files_fn each, void *ctx);

#endif
