/* SPDX-License-Identifier: Apache-2.0 */
/* The few functions of the world that the disk and the store ask for, and a disk to test. */
#ifndef TESTS_UNIT_SIM_DISK_LIB_DISK_WORLD_H
#define TESTS_UNIT_SIM_DISK_LIB_DISK_WORLD_H

#include "engine/store/lmdb_store.h"
#include "tests/sim/disk.h"

/* tests/sim/store.c under names that leave LMDB's free. */
int sim_store_open(const char *dir, uint64_t map_bytes, struct lmdb_store **out_store,
                   struct err *err);
void sim_store_close(struct lmdb_store *store);
const struct store_seam *sim_store_seam(struct lmdb_store *store);
int sim_store_copy(struct lmdb_store *store, const char *path, struct err *err);
int sim_store_defragment(struct lmdb_store *store, struct err *err);

struct disk_world {
    struct rng rng;
    struct sim_disk *disk;
    const struct disk_seam *seam;
    uint64_t spent_ns;
    uint64_t calls;
    /* Called before each call of the disk; may look at it and clone it. */
    void (*watch)(void *ctx, const char *what, const char *path);
    void *watch_ctx;
};

/* A new disk, and sim_disk_of_current gives it. */
void world_begin(struct disk_world *world, uint64_t seed);
void world_end(struct disk_world *world); /* checks that brackets of memory were closed */

/* Which disk sim_store_open uses from now on. */
void world_use(struct sim_disk *disk);

/* Hooks that do nothing. */
extern const struct sim_disk_hooks NO_HOOKS;

/* Write, read and names through the seam; the test fails when a call does. */
struct disk_file *file_make(const struct disk_seam *seam, const char *path);
void file_put(struct disk_file *file, const struct disk_seam *seam, uint64_t offset,
              const char *text);
/* True when the file at path holds exactly size bytes, all of them byte. */
bool file_is(const struct disk_seam *seam, const char *path, uint8_t byte, uint64_t size);
bool file_there(struct sim_disk *disk, const char *path);
/* Writes size bytes of that value. */
int file_fill(struct disk_file *file, const struct disk_seam *seam, uint64_t offset, uint8_t byte,
              size_t size);

#endif
