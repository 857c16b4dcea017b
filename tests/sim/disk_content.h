/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one simulated file, twice: as the page cache has them and as they are durable.
 * Sectors in which the two may differ are known; runs of zeros that are durable take no memory.
 */
#ifndef TESTS_SIM_DISK_CONTENT_H
#define TESTS_SIM_DISK_CONTENT_H

#include "base/bytes.h"
#include "base/defs.h"
#include "base/rng.h"

struct sim_chunk_group;

/* All zero: an empty file. Owns its memory: content_free. */
struct sim_content {
    struct sim_chunk_group **groups; /* NULL: zeros */
    size_t group_count;
    uint64_t *touched; /* numbers of chunks with sectors that are unsynced or stale */
    size_t touched_count;
    size_t touched_capacity;
    uint64_t now_bytes;  /* size as the process sees it */
    uint64_t disk_bytes; /* size that is durable */
};

/* Which unsynced sectors live: asked once for each, ascending. */
typedef bool (*content_keep_fn)(void *ctx);

void content_free(struct sim_content *content);
void content_clone(const struct sim_content *content, struct sim_content *out_clone);

size_t content_read(const struct sim_content *content, uint64_t offset, void *data, size_t size);
void content_write(struct sim_content *content, uint64_t offset, const void *data, size_t size);
void content_resize(struct sim_content *content, uint64_t size);

/* All that is unsynced becomes durable, and the size. Sectors that an earlier failed sync left
 * behind do not: they count as clean. */
void content_sync(struct sim_content *content);

/* Some of it becomes durable, the rest counts as clean although it is not on the disk. Gives the
 * count of sectors left behind. */
size_t content_sync_fail(struct sim_content *content, struct rng *rng);

/* Some unsynced sectors become durable. */
void content_write_back(struct sim_content *content, struct rng *rng);

/* Sectors left behind by a failed sync: some pages leave the cache and read as the disk has them.
 */
void content_evict(struct sim_content *content, struct rng *rng);

size_t content_unsynced(struct sim_content *content);

/* How long a file is after a power cut. */
enum content_size {
    CONTENT_SIZE_OLD,   /* as it was synced */
    CONTENT_SIZE_FIT,   /* what the surviving sectors ask for; the new one when all lived */
    CONTENT_SIZE_DRAWN, /* any that holds the surviving sectors */
};

/* Power cut: unsynced sectors live when keep says so. rng is for CONTENT_SIZE_DRAWN alone. */
void content_cut(struct sim_content *content, content_keep_fn keep, void *ctx,
                 enum content_size size, struct rng *rng);

/* Flips one to eight bits of a durable sector; a clean one shows it at once. */
void content_flip(struct sim_content *content, uint64_t sector, struct rng *rng);

/* Of the durable bytes and size. */
uint64_t content_hash(const struct sim_content *content);

#endif
