/* SPDX-License-Identifier: Apache-2.0 */
/* Which local program stands for a container image. PURE. */
#ifndef PLAYGROUND_KUBELET_IMAGE_H
#define PLAYGROUND_KUBELET_IMAGE_H

#include "base/defs.h"

/*
 * Finds the program of image in count rows "NAME=PROGRAM"; the last row that fits wins. NAME may
 * leave out the tag, and the registry and folders before the last name: "quorate" stands for
 * "ghcr.io/someone/quorate:0.1". Gives a borrowed path, or NULL.
 */
const char *image_find(const char *const *rows, size_t count, const char *image);

/* Gives the word that a container runs first (mem_free): command[0] when there is one (may be
 * NULL), or the program; an absolute path that ends like the program stands for it. */
char *image_entry(const char *program, const char *command);

#endif
