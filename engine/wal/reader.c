/* SPDX-License-Identifier: Apache-2.0 */
/* One segment, record by record. Every length is checked against the file before it is believed. */
#include "engine/wal/reader.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/plant.h"

#define WINDOW_BYTES (1024u * 1024u)

int wal_reader_open(const struct disk_seam *disk, struct disk_file *file, uint32_t crc,
                    bool chained, struct wal_reader *out_reader)
{
    struct wal_reader reader = {.disk = disk, .file = file, .crc = crc, .chained = chained};
    int rc = disk->size(file, &reader.file_bytes);
    if (rc != 0) {
        return rc;
    }
    *out_reader = reader;
    return 0;
}

void wal_reader_close(struct wal_reader *reader)
{
    mem_free(reader->window);
    reader->window = NULL;
}

/* Gives size bytes at offset, all inside the file. */
static int window_get(struct wal_reader *reader, uint64_t offset, size_t size,
                      const uint8_t **out_data)
{
    ASSERT(offset + size <= reader->file_bytes);
    if (offset >= reader->window_offset &&
        offset + size <= reader->window_offset + reader->window_size) {
        *out_data = reader->window + (offset - reader->window_offset);
        return 0;
    }
    size_t want = (size_t)BASE_MIN((uint64_t)BASE_MAX(size, (size_t)WINDOW_BYTES),
                                   reader->file_bytes - offset);
    if (reader->window_capacity < want) {
        mem_free(reader->window);
        reader->window = mem_alloc(want);
        reader->window_capacity = want;
    }
    reader->window_size = 0;
    size_t got = 0;
    int rc = reader->disk->read_at(reader->file, offset, reader->window, want, &got);
    if (rc != 0) {
        return rc;
    }
    reader->window_offset = offset;
    reader->window_size = got;
    if (got < size) {
        return E_IO; /* the file became shorter under us */
    }
    *out_data = reader->window;
    return 0;
}

static bool all_zero(const uint8_t *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

/* Is one of the sectors that the bytes lie on (cut to the bytes) all zero? */
static bool has_zero_sector(const uint8_t *data, size_t size, uint64_t file_offset)
{
    size_t at = 0;
    while (at < size) {
        size_t chunk = (size_t)(WAL_SECTOR_BYTES - (file_offset + at) % WAL_SECTOR_BYTES);
        chunk = BASE_MIN(chunk, size - at);
        if (all_zero(data + at, chunk)) {
            return true;
        }
        at += chunk;
    }
    return false;
}

static int fault_set(struct wal_fault *out_fault, const char *reason, bool torn)
{
    *out_fault = (struct wal_fault){reason, torn};
    return E_CORRUPT;
}

/* Checks the chain; takes it on. */
static int chain_step(struct wal_reader *reader, const struct wal_record *record)
{
    if (record->type == WAL_RECORD_CRC) {
        if (reader->chained && record->crc != reader->crc) {
            return E_CORRUPT;
        }
        reader->crc = record->crc;
        reader->chained = true;
        return 0;
    }
    uint32_t crc = crc32c(reader->crc, record->data.data, record->data.size);
    if (!reader->chained || (crc != record->crc && !PLANT(checksum_ignored))) {
        return E_CORRUPT;
    }
    reader->crc = record->crc;
    return 0;
}

int wal_reader_next(struct wal_reader *reader, struct wal_record *out_record,
                    struct wal_fault *out_fault)
{
    uint64_t left = reader->file_bytes - reader->offset;
    if (left == 0) {
        return 0;
    }
    if (left < WAL_FRAME_BYTES) {
        return fault_set(out_fault, "the file ends inside a length field", true);
    }
    const uint8_t *data;
    int rc = window_get(reader, reader->offset, WAL_FRAME_BYTES, &data);
    if (rc != 0) {
        return rc;
    }
    uint64_t field = get_le64(data);
    if (field == 0) {
        return 0;
    }
    uint64_t record_bytes;
    uint32_t pad_bytes;
    if (wal_frame_decode(field, &record_bytes, &pad_bytes) != 0) {
        return fault_set(out_fault, "bad length field", false);
    }
    if (record_bytes > WAL_RECORD_BYTES_MAX) {
        return fault_set(out_fault, "record longer than any record can be", false);
    }
    left -= WAL_FRAME_BYTES;
    if (record_bytes + pad_bytes > left && !FUZZ_PLANT(wal_record_length)) {
        return fault_set(out_fault, "the file ends inside a record", true);
    }
    size_t body_bytes = (size_t)(record_bytes + pad_bytes);
    rc = window_get(reader, reader->offset + WAL_FRAME_BYTES, body_bytes, &data);
    if (rc != 0) {
        return rc;
    }
    struct wal_record record;
    bool first = reader->offset == 0;
    const char *reason = NULL;
    if (wal_record_decode(bytes_of(data, (size_t)record_bytes), &record) != 0) {
        reason = "malformed record";
    } else if (first && record.type != WAL_RECORD_CRC) {
        reason = "the file does not begin with a crc record";
    } else if (chain_step(reader, &record) != 0) {
        reason = "crc mismatch";
    }
    if (reason != NULL) {
        bool torn = has_zero_sector(data, body_bytes, reader->offset + WAL_FRAME_BYTES);
        return fault_set(out_fault, reason, torn);
    }
    reader->offset += WAL_FRAME_BYTES + body_bytes;
    *out_record = record;
    return 1;
}

int wal_reader_is_dirty(struct wal_reader *reader, uint64_t offset, uint64_t limit)
{
    limit = BASE_MIN(limit, reader->file_bytes);
    while (offset < limit) {
        size_t size = (size_t)BASE_MIN(limit - offset, (uint64_t)WINDOW_BYTES);
        const uint8_t *data;
        int rc = window_get(reader, offset, size, &data);
        if (rc != 0) {
            return rc;
        }
        if (!all_zero(data, size)) {
            return 1;
        }
        offset += size;
    }
    return 0;
}
