/* SPDX-License-Identifier: Apache-2.0 */
/* A world with nothing in it but a disk. */
#include "lib_disk_world.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/world.h"

static int depth;
static struct sim_disk *current;

const struct sim_disk_hooks NO_HOOKS = {NULL, NULL, NULL};

void sim_memory_world(void)
{
    depth++;
}

void sim_memory_back(void)
{
    ASSERT(depth > 0);
    depth--;
}

struct sim_disk *sim_disk_of_current(void)
{
    return current;
}

static void spend(void *ctx, uint64_t ns)
{
    struct disk_world *world = ctx;
    world->spent_ns += ns;
}

static void called(void *ctx, const char *what, const char *path)
{
    struct disk_world *world = ctx;
    ASSERT(depth == 0); /* a node that dies here must not leave the bracket open */
    world->calls++;
    if (world->watch != NULL) {
        world->watch(world->watch_ctx, what, path);
    }
}

void world_begin(struct disk_world *world, uint64_t seed)
{
    *world = (struct disk_world){.calls = 0};
    rng_seed(&world->rng, seed);
    struct sim_disk_hooks hooks = {world, spend, called};
    world->disk = sim_disk_new(&world->rng, &hooks);
    world->seam = sim_disk_seam(world->disk);
    current = world->disk;
}

void world_end(struct disk_world *world)
{
    ASSERT(depth == 0);
    sim_disk_free(world->disk);
    current = NULL;
}

void world_use(struct sim_disk *disk)
{
    current = disk;
}

struct disk_file *file_make(const struct disk_seam *seam, const char *path)
{
    struct disk_file *file = NULL;
    int rc = seam->open(seam->ctx, path, DISK_CREATE, &file);
    ASSERT(rc == 0);
    return file;
}

void file_put(struct disk_file *file, const struct disk_seam *seam, uint64_t offset,
              const char *text)
{
    int rc = seam->write_at(file, offset, text, strlen(text));
    ASSERT(rc == 0);
}

int file_fill(struct disk_file *file, const struct disk_seam *seam, uint64_t offset, uint8_t byte,
              size_t size)
{
    uint8_t *bytes = mem_alloc(size);
    memset(bytes, byte, size);
    int rc = seam->write_at(file, offset, bytes, size);
    mem_free(bytes);
    return rc;
}

bool file_is(const struct disk_seam *seam, const char *path, uint8_t byte, uint64_t size)
{
    struct disk_file *file;
    uint64_t there = 0;
    if (seam->open(seam->ctx, path, DISK_READ, &file) != 0) {
        return false;
    }
    int rc = seam->size(file, &there);
    uint8_t *bytes = mem_alloc((size_t)there + 1);
    size_t got = 0;
    rc = rc == 0 ? seam->read_at(file, 0, bytes, (size_t)there + 1, &got) : rc;
    bool good = rc == 0 && got == size && there == size;
    for (size_t i = 0; good && i < got; i++) {
        good = bytes[i] == byte;
    }
    mem_free(bytes);
    seam->close(file);
    return good;
}

bool file_there(struct sim_disk *disk, const char *path)
{
    uint64_t size;
    return sim_disk_stat(disk, path, &size) == 0;
}
