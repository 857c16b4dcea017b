/* SPDX-License-Identifier: Apache-2.0 */
/* The next segment, made ready ahead of time. */
#include "engine/wal/prepare.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/wal/segments.h"

void wal_prepare_init(struct wal_prepare *prepare, const struct disk_seam *disk, const char *dir,
                      uint64_t segment_bytes, bool no_sync)
{
    *prepare = (struct wal_prepare){
        .disk = disk,
        .dir = str_dup(dir),
        .path = wal_path_join(dir, WAL_NEXT_NAME),
        .segment_bytes = segment_bytes,
        .no_sync = no_sync,
    };
    ASSERT(pthread_mutex_init(&prepare->lock, NULL) == 0);
}

/* Closes and removes what was begun; with the lock held. */
static void give_up(struct wal_prepare *prepare)
{
    if (prepare->file == NULL) {
        return;
    }
    prepare->disk->close(prepare->file);
    prepare->file = NULL;
    prepare->zeroed = 0;
    (void)prepare->disk->remove(prepare->disk->ctx, prepare->path); /* else overwritten next time */
}

void wal_prepare_free(struct wal_prepare *prepare)
{
    give_up(prepare);
    (void)pthread_mutex_destroy(&prepare->lock);
    mem_free(prepare->path);
    mem_free(prepare->dir);
    prepare->path = prepare->dir = NULL;
}

/* A segment that cannot be finished is not begun: its zeros would take the last room from the store
 * over and over. */
static bool has_room(const struct wal_prepare *prepare)
{
    uint64_t free_bytes = 0;
    return prepare->disk->free_bytes(prepare->disk->ctx, prepare->dir, &free_bytes) != 0 ||
           free_bytes > prepare->segment_bytes;
}

static int file_begin(struct wal_prepare *prepare)
{
    const struct disk_seam *disk = prepare->disk;
    if (!has_room(prepare)) {
        return E_NO_SPACE;
    }
    int rc = disk->open(disk->ctx, prepare->path, DISK_CREATE, &prepare->file);
    prepare->zeroed = 0;
    return rc == 0 ? disk->lock(prepare->file) : rc;
}

static int slice_write(struct wal_prepare *prepare)
{
    const struct disk_seam *disk = prepare->disk;
    if (prepare->file == NULL) {
        int rc = file_begin(prepare);
        if (rc != 0) {
            return rc;
        }
    }
    uint64_t left = prepare->segment_bytes - prepare->zeroed;
    if (left == 0) {
        return 0;
    }
    size_t size = (size_t)BASE_MIN(left, (uint64_t)WAL_PREPARE_SLICE_BYTES);
    void *zeros = mem_zalloc(size);
    int rc = disk->write_at(prepare->file, prepare->zeroed, zeros, size);
    mem_free(zeros);
    if (rc == 0 && !prepare->no_sync) {
        rc = disk->sync(prepare->file);
    }
    if (rc != 0) {
        return rc;
    }
    prepare->zeroed += size;
    return prepare->zeroed < prepare->segment_bytes ? 1 : 0;
}

int wal_prepare_step(struct wal_prepare *prepare, bool blocking)
{
    if (blocking) {
        ASSERT(pthread_mutex_lock(&prepare->lock) == 0);
    } else if (pthread_mutex_trylock(&prepare->lock) != 0) {
        return E_AGAIN;
    }
    int rc = prepare->taken ? 0 : slice_write(prepare);
    if (rc < 0) {
        give_up(prepare);
    }
    atomic_store(&prepare->no_space, rc == E_NO_SPACE);
    ASSERT(pthread_mutex_unlock(&prepare->lock) == 0);
    return rc;
}

int wal_prepare_take(struct wal_prepare *prepare, struct disk_file **out_file)
{
    ASSERT(pthread_mutex_lock(&prepare->lock) == 0);
    int rc;
    do {
        rc = slice_write(prepare);
    } while (rc > 0);
    if (rc == 0) {
        *out_file = prepare->file;
        prepare->file = NULL;
        prepare->zeroed = 0;
        prepare->taken = true;
    } else {
        give_up(prepare);
    }
    ASSERT(pthread_mutex_unlock(&prepare->lock) == 0);
    return rc;
}

void wal_prepare_release(struct wal_prepare *prepare)
{
    ASSERT(pthread_mutex_lock(&prepare->lock) == 0);
    prepare->taken = false;
    ASSERT(pthread_mutex_unlock(&prepare->lock) == 0);
}

/* With the lock held and nothing begun. */
static int recycle(struct wal_prepare *prepare, const char *dir, const char *path)
{
    const struct disk_seam *disk = prepare->disk;
    int rc = disk->rename(disk->ctx, path, prepare->path);
    if (rc == 0) {
        rc = disk->sync_dir(disk->ctx, dir);
    }
    if (rc == 0) {
        rc = disk->open(disk->ctx, prepare->path, DISK_READ_WRITE, &prepare->file);
    }
    if (rc != 0) {
        return rc;
    }
    prepare->zeroed = 0;
    uint64_t size = 0;
    rc = disk->lock(prepare->file);
    if (rc == 0) {
        rc = disk->size(prepare->file, &size);
    }
    if (rc == 0 && size > prepare->segment_bytes) {
        rc = disk->truncate(prepare->file, prepare->segment_bytes);
    }
    if (rc != 0) {
        give_up(prepare);
    }
    return rc;
}

int wal_prepare_recycle(struct wal_prepare *prepare, const char *dir, const char *path,
                        bool *out_used)
{
    ASSERT(pthread_mutex_lock(&prepare->lock) == 0);
    bool wanted = prepare->file == NULL && !prepare->taken;
    int rc = wanted ? recycle(prepare, dir, path) : 0;
    ASSERT(pthread_mutex_unlock(&prepare->lock) == 0);
    if (rc == 0) {
        *out_used = wanted;
    }
    return rc;
}
