/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames and records. The crc covers a record's data but not its type, so the readers of data are
 * strict: bytes of one type must not pass for another after a flipped bit in the type.
 */
#include "engine/wal/record.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "engine/proto/pbwire.h"
#include "engine/proto/raftpb.h"

enum { RECORD_TYPE = 1, RECORD_CRC = 2, RECORD_DATA = 3 };
enum { METADATA_NODE = 1, METADATA_CLUSTER = 2 };
enum { MARK_INDEX = 1, MARK_TERM = 2, MARK_CONF = 3 };

#define FRAME_SIZE_MASK 0x00ffffffffffffffu
#define FRAME_PAD_SHIFT 56u
#define FRAME_HAS_PAD   0x80u
#define FRAME_ALIGNMENT 8u

int wal_frame_decode(uint64_t field, uint64_t *out_record_bytes, uint32_t *out_pad_bytes)
{
    uint64_t size = field & FRAME_SIZE_MASK;
    uint32_t top = (uint32_t)(field >> FRAME_PAD_SHIFT);
    uint32_t pad = (uint32_t)((FRAME_ALIGNMENT - size % FRAME_ALIGNMENT) % FRAME_ALIGNMENT);
    if (top != (pad == 0 ? 0 : (FRAME_HAS_PAD | pad))) {
        return E_CORRUPT;
    }
    *out_record_bytes = size;
    *out_pad_bytes = pad;
    return 0;
}

int wal_record_decode(struct bytes wire, struct wal_record *out_record)
{
    struct pbwire_reader reader = pbwire_reader_of(wire);
    struct pbwire_field field;
    uint64_t type = 0;
    uint64_t crc = UINT64_MAX;
    struct bytes data = {NULL, 0};
    int rc;
    while ((rc = pbwire_next(&reader, &field)) > 0) {
        if (field.number > RECORD_DATA) {
            continue;
        }
        if (!pbwire_is(&field, field.number == RECORD_DATA ? PBWIRE_BYTES : PBWIRE_VARINT)) {
            return E_CORRUPT;
        }
        if (field.number == RECORD_TYPE) {
            type = field.value;
        } else if (field.number == RECORD_CRC) {
            crc = field.value;
        } else {
            data = field.bytes;
        }
    }
    bool known = type >= WAL_RECORD_METADATA && type <= WAL_RECORD_SNAPSHOT;
    if (rc != 0 || !known || crc > UINT32_MAX || (type == WAL_RECORD_CRC && data.size != 0)) {
        return E_CORRUPT;
    }
    *out_record = (struct wal_record){(enum wal_record_type)type, (uint32_t)crc, data};
    return 0;
}

void wal_record_append(struct buf *out, uint32_t *crc, enum wal_record_type type, struct bytes head,
                       struct bytes body)
{
    *crc = crc32c(*crc, head.data, head.size);
    if (body.size != 0) {
        *crc = crc32c(*crc, body.data, body.size);
    }
    size_t data_bytes = head.size + body.size;
    size_t record_bytes =
        pbwire_u64_field_size(RECORD_TYPE, type) + pbwire_u64_field_size(RECORD_CRC, *crc);
    if (data_bytes != 0) {
        record_bytes += pbwire_bytes_field_size(RECORD_DATA, data_bytes);
    }
    size_t pad = (FRAME_ALIGNMENT - record_bytes % FRAME_ALIGNMENT) % FRAME_ALIGNMENT;
    uint8_t *start = buf_reserve(out, WAL_FRAME_BYTES + record_bytes + pad);
    ASSERT(start != NULL);
    uint64_t field = record_bytes;
    if (pad != 0) {
        field |= (uint64_t)(FRAME_HAS_PAD | pad) << FRAME_PAD_SHIFT;
    }
    put_le64(start, field);
    uint8_t *at = start + WAL_FRAME_BYTES;
    *at++ = RECORD_TYPE << 3;
    at = pbwire_varint_write(at, type);
    *at++ = RECORD_CRC << 3;
    at = pbwire_varint_write(at, *crc);
    if (data_bytes != 0) {
        *at++ = RECORD_DATA << 3 | PBWIRE_BYTES;
        at = pbwire_varint_write(at, data_bytes);
        memcpy(at, head.data, head.size);
        at += head.size;
        if (body.size != 0) {
            memcpy(at, body.data, body.size);
            at += body.size;
        }
    }
    memset(at, 0, pad);
    at += pad;
    ASSERT((size_t)(at - start) == WAL_FRAME_BYTES + record_bytes + pad);
    out->size += (size_t)(at - start);
}

void wal_append_crc(struct buf *out, uint32_t *crc)
{
    wal_record_append(out, crc, WAL_RECORD_CRC, (struct bytes){NULL, 0}, (struct bytes){NULL, 0});
}

/* Appends what was packed and frees it. */
static void packed_append(struct buf *out, uint32_t *crc, enum wal_record_type type,
                          struct buf *packed)
{
    wal_record_append(out, crc, type, buf_bytes(packed), (struct bytes){NULL, 0});
    buf_free(packed);
}

void wal_append_metadata(struct buf *out, uint32_t *crc, const struct wal_metadata *metadata)
{
    struct buf packed;
    buf_init(&packed, BUF_NO_LIMIT);
    pbwire_put_u64(&packed, METADATA_NODE, metadata->node_id);
    pbwire_put_u64(&packed, METADATA_CLUSTER, metadata->cluster_id);
    packed_append(out, crc, WAL_RECORD_METADATA, &packed);
}

void wal_append_entry(struct buf *out, uint32_t *crc, const struct raft_entry *entry)
{
    uint8_t head[RAFTPB_ENTRY_HEAD_BYTES_MAX];
    size_t head_size = raftpb_entry_head_write(entry, head);
    wal_record_append(out, crc, WAL_RECORD_ENTRY, bytes_of(head, head_size),
                      raft_entry_bytes(entry));
}

void wal_append_state(struct buf *out, uint32_t *crc, const struct raft_hard_state *state)
{
    struct buf packed;
    buf_init(&packed, BUF_NO_LIMIT);
    raftpb_hard_state_encode(state, &packed);
    packed_append(out, crc, WAL_RECORD_STATE, &packed);
}

void wal_append_mark(struct buf *out, uint32_t *crc, const struct raft_snapshot_mark *mark)
{
    struct buf packed;
    buf_init(&packed, BUF_NO_LIMIT);
    pbwire_put_u64(&packed, MARK_INDEX, mark->index);
    pbwire_put_u64(&packed, MARK_TERM, mark->term);
    if (mark->index != 0) {
        struct buf conf;
        buf_init(&conf, BUF_NO_LIMIT);
        raftpb_conf_state_encode(&mark->conf_state, &conf);
        pbwire_put_bytes(&packed, MARK_CONF, buf_bytes(&conf));
        buf_free(&conf);
    }
    packed_append(out, crc, WAL_RECORD_SNAPSHOT, &packed);
}

int wal_metadata_decode(struct bytes data, struct wal_metadata *out_metadata)
{
    struct pbwire_reader reader = pbwire_reader_of(data);
    struct pbwire_field field;
    struct wal_metadata metadata = {0};
    int rc;
    while ((rc = pbwire_next(&reader, &field)) > 0) {
        if (field.number > METADATA_CLUSTER) {
            continue;
        }
        if (!pbwire_is(&field, PBWIRE_VARINT)) {
            return E_CORRUPT;
        }
        if (field.number == METADATA_NODE) {
            metadata.node_id = field.value;
        } else {
            metadata.cluster_id = field.value;
        }
    }
    if (rc != 0) {
        return E_CORRUPT;
    }
    *out_metadata = metadata;
    return 0;
}

int wal_entry_decode(struct bytes data, struct raft_entry *out_entry)
{
    struct raft_entry entry;
    if (raftpb_entry_decode(data, &entry) != 0) {
        return E_CORRUPT;
    }
    /* A hard state read as an entry has no data, and a type that is its term or a term that is 0.
     */
    bool empty_change = entry.type != RAFT_ENTRY_NORMAL && entry.payload == NULL;
    if (entry.index == 0 || entry.term == 0 || empty_change) {
        raft_payload_unref(entry.payload);
        return E_CORRUPT;
    }
    *out_entry = entry;
    return 0;
}

int wal_state_decode(struct bytes data, struct raft_hard_state *out_state)
{
    struct raft_hard_state state;
    if (raftpb_hard_state_decode(data, &state) != 0 || state.term == 0) {
        return E_CORRUPT;
    }
    /* Canonical or nothing: an entry read as a hard state has its data left over. */
    struct buf again;
    buf_init(&again, BUF_NO_LIMIT);
    raftpb_hard_state_encode(&state, &again);
    bool same = bytes_equal(buf_bytes(&again), data);
    buf_free(&again);
    if (!same) {
        return E_CORRUPT;
    }
    *out_state = state;
    return 0;
}

int wal_mark_decode(struct bytes data, struct raft_snapshot_mark *out_mark)
{
    struct pbwire_reader reader = pbwire_reader_of(data);
    struct pbwire_field field;
    struct raft_snapshot_mark mark = {0};
    int rc;
    while ((rc = pbwire_next(&reader, &field)) > 0) {
        if (field.number > MARK_CONF) {
            continue;
        }
        if (!pbwire_is(&field, field.number == MARK_CONF ? PBWIRE_BYTES : PBWIRE_VARINT)) {
            return E_CORRUPT;
        }
        if (field.number == MARK_INDEX) {
            mark.index = field.value;
        } else if (field.number == MARK_TERM) {
            mark.term = field.value;
        } else {
            rc = raftpb_conf_state_decode(field.bytes, &mark.conf_state);
            if (rc != 0) {
                return rc == E_UNSUPPORTED ? rc : E_CORRUPT;
            }
        }
    }
    if (rc != 0 || (mark.index == 0) != (mark.term == 0)) {
        return E_CORRUPT;
    }
    *out_mark = mark;
    return 0;
}
