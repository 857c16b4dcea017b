/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system in memory that knows what a power cut would leave: every file keeps the durable
 * bytes of what was written since its last sync, every folder its durable names since its last
 * sync. No I/O and no locks here; faultfs.c puts it behind FUSE.
 *
 * What is durable follows POSIX to the letter: fsync of a file says nothing of its name, fsync of a
 * folder nothing of what is in its files.
 */
#ifndef TESTS_CHAOS_FAULTDISK_H
#define TESTS_CHAOS_FAULTDISK_H

#include <sys/types.h>

#include "base/defs.h"
#include "base/list.h"
#include "base/rng.h"

#define FAULTDISK_SECTOR 512u
#define FAULTDISK_PAGE   4096u

/* Pages that were never written hold NULL, those full of zeros a shared page. */
struct faultpage {
    uint8_t *data;
    uint8_t *old;  /* durable bytes of the sectors in dirty and lost */
    uint8_t dirty; /* sectors written since the last sync */
    uint8_t lost;  /* sectors whose sync failed: no later sync brings them to the disk */
};

struct faultname {
    struct list node;
    char *name;
    struct faultnode *target;
};

/* A file or a folder; lives while a name, live or durable, or a user refers to it. */
struct faultnode {
    struct list all;
    uint64_t number;
    uint64_t refs;
    bool is_folder;
    char *name; /* that it was given last */
    mode_t mode;
    uint64_t changed_ns;
    /* file */
    struct faultpage *pages;
    size_t page_count;
    size_t *touched; /* pages with old bytes */
    size_t touched_count, touched_capacity;
    uint64_t size, durable_size;
    /* folder */
    struct list names, durable_names;
};

struct faultdisk {
    struct list nodes;
    struct faultnode *root;
    uint64_t next_number;
    bool is_full; /* what would take new space fails with ENOSPC */
    uint64_t used_pages;
};

/* What a power cut took. */
struct faultloss {
    uint64_t sectors_lost, sectors_kept, names_lost;
};

void faultdisk_init(struct faultdisk *disk);
void faultdisk_free(struct faultdisk *disk);

struct faultnode *faultdisk_find(struct faultnode *folder, const char *name); /* NULL: none */
/* Finds a path like "a/b" from the root; NULL: none. */
struct faultnode *faultdisk_walk(struct faultdisk *disk, const char *path);

void faultnode_ref(struct faultnode *node);
void faultnode_unref(struct faultdisk *disk, struct faultnode *node, uint64_t count);

/* All return 0 or a negative errno. */
int faultdisk_make(struct faultdisk *disk, struct faultnode *folder, const char *name, mode_t mode,
                   struct faultnode **out_node);
int faultdisk_unlink(struct faultdisk *disk, struct faultnode *folder, const char *name);
int faultdisk_rmdir(struct faultdisk *disk, struct faultnode *folder, const char *name);
int faultdisk_rename(struct faultdisk *disk, struct faultnode *from, const char *name,
                     struct faultnode *to, const char *new_name);
int faultdisk_write(struct faultdisk *disk, struct faultnode *file, uint64_t at, const void *data,
                    size_t size);
int faultdisk_truncate(struct faultdisk *disk, struct faultnode *file, uint64_t size);
/* Fills [at, at + size) with zeros where nothing was written, and grows the file. */
int faultdisk_reserve(struct faultdisk *disk, struct faultnode *file, uint64_t at, uint64_t size);

/* The bytes read, at most size. */
size_t faultdisk_read(const struct faultnode *file, uint64_t at, void *out, size_t size);

/* Makes what was written durable: all of it, or only the sectors of [at, at + size). */
void faultdisk_sync(struct faultdisk *disk, struct faultnode *node);
void faultdisk_sync_range(struct faultnode *file, uint64_t at, uint64_t size);
/* A sync that failed: what it should have made durable never will be, yet it reads as written. */
void faultdisk_sync_fails(struct faultnode *node);

/*
 * The power goes: all that was not synced is gone, but for each sector (and each folder's names as
 * a whole) that luck keeps with keep_percent.
 */
struct faultloss faultdisk_power_cut(struct faultdisk *disk, struct rng *luck,
                                     unsigned keep_percent);

/* Turns one bit in each of size bytes at that place, on the disk itself; how many were there. */
size_t faultdisk_rot(struct faultnode *file, uint64_t at, size_t size);

/* Bytes that a power cut could take now. */
uint64_t faultdisk_unsynced_bytes(const struct faultdisk *disk);

#endif
