/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a command line written for a container is made fit for a plain process. PURE.
 *
 * A process here has no file system and no network of its own, so three things in its command,
 * arguments and environment are replaced: mount paths by the folders that stand for the volumes;
 * listening on all addresses ("0.0.0.0:PORT", "[::]:PORT") by the Pod's own address; and the Pod's
 * loopback ("127.0.0.1:PORT", "localhost:PORT") by a second address that the Pod has for itself.
 */
#ifndef PLAYGROUND_KUBELET_REWRITE_H
#define PLAYGROUND_KUBELET_REWRITE_H

#include "base/defs.h"

struct rewrite_mount {
    char *path;   /* as the container sees it, without a trailing slash */
    char *folder; /* where it really is */
};

/* Borrows all. */
struct rewrite {
    const struct rewrite_mount *mounts;
    size_t mount_count;
    const char *pod_ip;
    const char *loopback_ip;
};

/* Gives text with all replacements made (mem_free). The longest mount path that fits wins. */
char *rewrite_text(const struct rewrite *rules, const char *text);

#endif
