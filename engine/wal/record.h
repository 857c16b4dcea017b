/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and records of the log (docs/formats/wal.md). Pure: bytes in, bytes out. */
#ifndef ENGINE_WAL_RECORD_H
#define ENGINE_WAL_RECORD_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "engine/raft/types.h"
#include "engine/wal/wal.h"

#define WAL_FRAME_BYTES  8u
#define WAL_SECTOR_BYTES 512u /* the smallest unit that a disk writes whole */

enum wal_record_type {
    WAL_RECORD_METADATA = 1,
    WAL_RECORD_ENTRY = 2,
    WAL_RECORD_STATE = 3,
    WAL_RECORD_CRC = 4,
    WAL_RECORD_SNAPSHOT = 5,
};

/* data is borrowed. crc: of all data since the start of the chain, this record's included. */
struct wal_record {
    enum wal_record_type type;
    uint32_t crc;
    struct bytes data;
};

/*
 * Reads the length field of a frame (not zero). Returns 0 or E_CORRUPT when its padding bits do not
 * fit its size.
 */
BASE_MUST_CHECK int wal_frame_decode(uint64_t field, uint64_t *out_record_bytes,
                                     uint32_t *out_pad_bytes);

/* Reads a record; E_CORRUPT when it is malformed. Does not look at the crc. */
BASE_MUST_CHECK int wal_record_decode(struct bytes wire, struct wal_record *out_record);

/*
 * Appends frame, record and padding; data is head followed by body; *crc is the chain, taken on
 * over data. A record of type CRC has no data and carries the chain unchanged.
 */
void wal_record_append(struct buf *out, uint32_t *crc, enum wal_record_type type, struct bytes head,
                       struct bytes body);

/* Typed forms of wal_record_append. */
void wal_append_crc(struct buf *out, uint32_t *crc);
void wal_append_metadata(struct buf *out, uint32_t *crc, const struct wal_metadata *metadata);
void wal_append_entry(struct buf *out, uint32_t *crc, const struct raft_entry *entry);
void wal_append_state(struct buf *out, uint32_t *crc, const struct raft_hard_state *state);
void wal_append_mark(struct buf *out, uint32_t *crc, const struct raft_snapshot_mark *mark);

/* Readers of the data of records: 0, E_CORRUPT, or E_UNSUPPORTED (a configuration in joint
 * consensus). */
BASE_MUST_CHECK int wal_metadata_decode(struct bytes data, struct wal_metadata *out_metadata);
BASE_MUST_CHECK int wal_entry_decode(struct bytes data, struct raft_entry *out_entry);
BASE_MUST_CHECK int wal_state_decode(struct bytes data, struct raft_hard_state *out_state);
BASE_MUST_CHECK int wal_mark_decode(struct bytes data, struct raft_snapshot_mark *out_mark);

#endif
