/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the one segment of a log: it opens or is refused, and one that opens takes an entry
 * that is there, at the end, after the next start.
 *
 * fuzz-link: wal raft seam
 *
 * fuzz-with: tests/unit/wal/lib_fault_disk.c
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "engine/wal/wal.h"
#include "tests/unit/wal/lib_fault_disk.h"

#define DIR           "member/wal"
#define SEGMENT       DIR "/0000000000000000-0000000000000000.wal"
#define SEGMENT_BYTES 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int log_open(struct fault_disk *disk, struct wal **out_wal,
                    struct wal_contents *out_contents)
{
    struct wal_options options = {.disk = &disk->seam, .dir = DIR, .segment_bytes = SEGMENT_BYTES};
    struct raft_snapshot_mark none = {0};
    struct err err = {""};
    int rc = wal_open(&options, &none, out_wal, out_contents, &err);
    ASSERT(rc == 0 || err.text[0] != '\0');
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_set_level(LOG_LEVEL_FATAL);
    struct fault_disk disk;
    fault_disk_init(&disk);
    ASSERT(disk.seam.make_dir(&disk, "member") == 0 && disk.seam.make_dir(&disk, DIR) == 0);
    fault_disk_put(&disk, SEGMENT, data, size);

    struct wal_options options = {.disk = &disk.seam, .dir = DIR};
    struct raft_snapshot_mark *marks;
    uint32_t mark_count;
    ASSERT(wal_list_marks(&options, &marks, &mark_count, NULL) == 0);
    mem_free(marks);

    struct wal *wal;
    struct wal_contents contents;
    if (log_open(&disk, &wal, &contents) == 0) {
        uint32_t count = contents.entry_count;
        struct raft_entry entry = {.index = count + 1, .term = UINT64_MAX};
        ASSERT(contents.hard_state.commit <= count);
        wal_contents_free(&contents);
        ASSERT(wal_append(wal, &entry, 1, NULL) == 0 && wal_sync(wal) == 0);
        wal_write_durability_mark(wal);
        wal_close(wal);

        ASSERT(log_open(&disk, &wal, &contents) == 0);
        ASSERT(contents.tail == WAL_TAIL_CLEAN && contents.entry_count == count + 1);
        wal_contents_free(&contents);
        wal_close(wal);
    }
    fault_disk_free(&disk);
    return 0;
}
