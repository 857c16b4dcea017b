/* SPDX-License-Identifier: Apache-2.0 */
/* Small files, read whole. */
#ifndef CONTROLLER_KUBE_FILE_H
#define CONTROLLER_KUBE_FILE_H

#include "base/defs.h"
#include "base/err.h"

/* Gives the NUL-terminated contents of at most bytes_max bytes (mem_free). */
BASE_MUST_CHECK int kube_file_read(const char *path, size_t bytes_max, char **out_text,
                                   size_t *out_size, struct err *err);

#endif
