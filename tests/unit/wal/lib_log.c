/* SPDX-License-Identifier: Apache-2.0 */
/* Small logs for tests. */
#include "lib_log.h"

#include "base/alloc.h"
#include "base/assert.h"

struct wal_options log_options(struct fault_disk *disk, uint64_t segment_bytes)
{
    return (struct wal_options){
        .disk = &disk->seam, .dir = LOG_DIR, .segment_bytes = segment_bytes};
}

struct wal *log_create(struct fault_disk *disk, uint64_t segment_bytes)
{
    ASSERT(disk->seam.make_dir(disk, "member") == 0);
    ASSERT(disk->seam.sync_dir(disk, ".") == 0);
    struct wal_options options = log_options(disk, segment_bytes);
    struct wal_metadata metadata = {.node_id = 0x8e9e05c52164694d,
                                    .cluster_id = 0xcdf818194e3a8c32};
    struct wal *wal = NULL;
    ASSERT(wal_create(&options, &metadata, &wal, NULL) == 0);
    return wal;
}

/* Never a zero byte: no sector of a payload can look torn. */
static uint8_t payload_byte(uint64_t index, size_t at)
{
    return (uint8_t)(1 + (index * 31 + at * 7) % 255);
}

static struct raft_payload *payload_make(uint64_t index, size_t size)
{
    uint8_t *bytes = mem_alloc(size + 1);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = payload_byte(index, i);
    }
    struct raft_payload *payload = raft_payload_new(bytes_of(bytes, size));
    mem_free(bytes);
    return payload;
}

int log_append(struct wal *wal, uint64_t index, uint32_t count, uint64_t term, size_t payload_bytes)
{
    struct raft_entry *entries = mem_array(count, sizeof(*entries));
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct raft_entry){
            .index = index + i, .term = term, .payload = payload_make(index + i, payload_bytes)};
    }
    struct raft_hard_state state = {.term = term, .vote = 7, .commit = index + count - 1};
    int rc = wal_append(wal, entries, count, &state);
    for (uint32_t i = 0; i < count; i++) {
        raft_payload_unref(entries[i].payload);
    }
    mem_free(entries);
    return rc;
}

struct wal *log_open(struct fault_disk *disk, uint64_t segment_bytes,
                     struct wal_contents *out_contents)
{
    struct wal_options options = log_options(disk, segment_bytes);
    struct raft_snapshot_mark none = {0};
    struct wal *wal = NULL;
    struct err err = {""};
    int rc = wal_open(&options, &none, &wal, out_contents, &err);
    if (rc != 0) {
        base_assert_fail(err.text, rc, "log_open");
    }
    return wal;
}

bool log_is_prefix(const struct wal_contents *contents, size_t payload_bytes)
{
    for (uint32_t i = 0; i < contents->entry_count; i++) {
        const struct raft_entry *entry = &contents->entries[i];
        struct bytes bytes = raft_entry_bytes(entry);
        if (entry->index != i + 1 || bytes.size != payload_bytes) {
            return false;
        }
        for (size_t at = 0; at < bytes.size; at++) {
            if (bytes.data[at] != payload_byte(entry->index, at)) {
                return false;
            }
        }
    }
    return true;
}
