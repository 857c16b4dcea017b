/* SPDX-License-Identifier: Apache-2.0 */
/* Reads kubeconfig, certificate and token files. */
#include "controller/kube/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"

int kube_file_read(const char *path, size_t bytes_max, char **out_text, size_t *out_size,
                   struct err *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return err_set(err, err_from_errno(errno), "read %s: %s", path, strerror(errno));
    }
    struct buf buf;
    buf_init(&buf, bytes_max);
    uint8_t chunk[4096];
    size_t count;
    int rc = 0;
    while (rc == 0 && (count = fread(chunk, 1, sizeof(chunk), file)) > 0) {
        rc = buf_append(&buf, chunk, count);
    }
    if (rc != 0) {
        err_set(err, rc, "read %s: larger than %zu bytes", path, bytes_max);
    } else if (ferror(file)) {
        rc = err_set(err, E_IO, "read %s: input/output error", path);
    } else {
        *out_text = str_from(buf.data, buf.size);
        *out_size = buf.size;
    }
    fclose(file);
    buf_free(&buf);
    return rc;
}
