/* SPDX-License-Identifier: Apache-2.0 */
/* The side mark (docs/formats/wal.md draws its slot). */
#include "engine/wal/marker.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "engine/wal/segments.h"

#define SLOT_BYTES    64u
#define SLOT_DISTANCE 4096u
#define SLOT_MAGIC    "QUORMARK"
#define SLOT_VERSION  1u
#define SLOT_SUSPECT  1u

enum {
    SLOT_AT_VERSION = 8,
    SLOT_AT_FLAGS = 12,
    SLOT_AT_GENERATION = 16,
    SLOT_AT_NODE = 24,
    SLOT_AT_CLUSTER = 32,
    SLOT_AT_SEQUENCE = 40,
    SLOT_AT_OFFSET = 48,
    SLOT_AT_CRC = 56,
    SLOT_AT_CHECK = 60,
};

static uint32_t slot_check(const uint8_t *slot)
{
    return crc32c(0, slot, SLOT_AT_CHECK);
}

/* Takes the slot when it is whole and newer than what is there. */
static void slot_take(struct wal_marker *marker, const uint8_t *slot)
{
    if (memcmp(slot, SLOT_MAGIC, SLOT_AT_VERSION) != 0 ||
        get_le32(slot + SLOT_AT_VERSION) != SLOT_VERSION ||
        get_le32(slot + SLOT_AT_CHECK) != slot_check(slot) ||
        get_le64(slot + SLOT_AT_GENERATION) <= marker->generation) {
        return;
    }
    marker->generation = get_le64(slot + SLOT_AT_GENERATION);
    marker->owner.node_id = get_le64(slot + SLOT_AT_NODE);
    marker->owner.cluster_id = get_le64(slot + SLOT_AT_CLUSTER);
    marker->position.sequence = get_le64(slot + SLOT_AT_SEQUENCE);
    marker->position.offset = get_le64(slot + SLOT_AT_OFFSET);
    marker->position.crc = get_le32(slot + SLOT_AT_CRC);
    marker->suspect = (get_le32(slot + SLOT_AT_FLAGS) & SLOT_SUSPECT) != 0;
}

int wal_marker_open(const struct disk_seam *disk, const char *log_dir,
                    struct wal_marker *out_marker, bool *out_valid)
{
    char *parent = wal_path_parent(log_dir);
    struct wal_marker marker = {.disk = disk, .path = wal_path_join(parent, WAL_MARKER_NAME)};
    mem_free(parent);
    int rc = disk->open(disk->ctx, marker.path, DISK_READ_WRITE, &marker.file);
    if (rc == E_NOT_FOUND) {
        rc = 0;
    }
    for (unsigned i = 0; rc == 0 && marker.file != NULL && i < 2; i++) {
        uint8_t slot[SLOT_BYTES];
        size_t got = 0;
        rc = disk->read_at(marker.file, i * SLOT_DISTANCE, slot, sizeof(slot), &got);
        if (rc == 0 && got == sizeof(slot)) {
            slot_take(&marker, slot);
        }
    }
    if (rc != 0) {
        wal_marker_close(&marker);
        return rc;
    }
    *out_valid = marker.generation != 0;
    *out_marker = marker;
    return 0;
}

/* Makes the file, and its name durable. */
static int file_make(struct wal_marker *marker)
{
    const struct disk_seam *disk = marker->disk;
    int rc = disk->open(disk->ctx, marker->path, DISK_CREATE, &marker->file);
    if (rc != 0) {
        return rc;
    }
    char *parent = wal_path_parent(marker->path);
    rc = disk->sync_dir(disk->ctx, parent);
    mem_free(parent);
    return rc;
}

int wal_marker_write(struct wal_marker *marker, const struct wal_metadata *owner,
                     const struct wal_position *position, bool suspect)
{
    if (marker->file == NULL) {
        int rc = file_make(marker);
        if (rc != 0) {
            return rc;
        }
    }
    uint64_t generation = marker->generation + 1;
    uint8_t slot[SLOT_BYTES] = {0};
    memcpy(slot, SLOT_MAGIC, SLOT_AT_VERSION);
    put_le32(slot + SLOT_AT_VERSION, SLOT_VERSION);
    put_le32(slot + SLOT_AT_FLAGS, suspect ? SLOT_SUSPECT : 0);
    put_le64(slot + SLOT_AT_GENERATION, generation);
    put_le64(slot + SLOT_AT_NODE, owner->node_id);
    put_le64(slot + SLOT_AT_CLUSTER, owner->cluster_id);
    put_le64(slot + SLOT_AT_SEQUENCE, position->sequence);
    put_le64(slot + SLOT_AT_OFFSET, position->offset);
    put_le32(slot + SLOT_AT_CRC, position->crc);
    put_le32(slot + SLOT_AT_CHECK, slot_check(slot));
    int rc =
        marker->disk->write_at(marker->file, generation % 2 * SLOT_DISTANCE, slot, sizeof(slot));
    if (rc == 0) {
        rc = marker->disk->sync(marker->file);
    }
    if (rc != 0) {
        return rc;
    }
    marker->generation = generation;
    marker->owner = *owner;
    marker->position = *position;
    marker->suspect = suspect;
    return 0;
}

void wal_marker_close(struct wal_marker *marker)
{
    if (marker->file != NULL) {
        marker->disk->close(marker->file);
    }
    mem_free(marker->path);
    *marker = (struct wal_marker){0};
}
