/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What faultfs was told to do to its disk, and the unix socket that it is told by: one line per
 * request, one line back ("ok ..." or "error ..."). All but faultctl_listen's thread runs under
 * lock.
 */
#ifndef TESTS_CHAOS_FAULTCONTROL_H
#define TESTS_CHAOS_FAULTCONTROL_H

#include <pthread.h>

#include "tests/chaos/faultdisk.h"

struct faultctl;

/* Called, without the lock, for a file whose bytes changed beneath the kernel. */
typedef void (*faultctl_forget_fn)(void *ctx, struct faultctl *ctl, const struct faultnode *node);

struct faultctl {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* wakes syncs that wait */
    struct faultdisk disk;
    const char *socket_path;
    int socket;
    uint64_t fsync_us;  /* each sync takes that long */
    uint64_t delay_ms;  /* and that long, until it is set back */
    uint64_t turn;      /* counts "clear" and "cut": who waits then waits no longer */
    int64_t fail_syncs; /* how many still fail; negative: all */
    int64_t fail_writes;
    char fail_suffix[32]; /* only of files whose names end so */
    uint64_t syncs, syncs_failed, writes, writes_failed;
    faultctl_forget_fn forget;
    void *forget_ctx;
};

void faultctl_init(struct faultctl *ctl, const char *socket_path, uint64_t fsync_us);

/* 0, or -EIO when this write is to fail. Under the lock. */
int faultctl_before_write(struct faultctl *ctl, const struct faultnode *file);

/*
 * Makes the bytes of [at, at + size) durable (size 0: all of the node), as slow and as well as was
 * told; 0 or -EIO. Under the lock, which is given up while it waits; the caller holds the node.
 */
int faultctl_sync(struct faultctl *ctl, struct faultnode *node, uint64_t at, uint64_t size);

/* Opens the socket and starts its thread; 0 or -1 with errno. */
int faultctl_listen(struct faultctl *ctl, faultctl_forget_fn forget, void *ctx);

#endif
