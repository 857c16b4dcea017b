/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protobuf wire by hand, for the few messages that are written and read on the hottest and the
 * most hostile paths (the log, the peer streams). Reading is strict and bounded: nothing outside
 * the given bytes is touched, nothing is allocated, groups and over-long varints are refused.
 */
#ifndef ENGINE_PROTO_PBWIRE_H
#define ENGINE_PROTO_PBWIRE_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"

#define PBWIRE_VARINT_BYTES_MAX 10u
#define PBWIRE_FIELD_NUMBER_MAX 536870911u

enum pbwire_type { PBWIRE_VARINT = 0, PBWIRE_FIXED64 = 1, PBWIRE_BYTES = 2, PBWIRE_FIXED32 = 5 };

/* The bytes that a varint of value takes: 1 to 10. */
static inline size_t pbwire_varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80u) {
        value >>= 7;
        size++;
    }
    return size;
}

/* Writes a varint at out (room for pbwire_varint_size) and gives the byte after it. */
static inline uint8_t *pbwire_varint_write(uint8_t *out, uint64_t value)
{
    while (value >= 0x80u) {
        *out++ = (uint8_t)(value | 0x80u);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

/* The bytes of a varint field with its tag, and of a bytes field with tag and length. */
static inline size_t pbwire_u64_field_size(uint32_t number, uint64_t value)
{
    return pbwire_varint_size((uint64_t)number << 3) + pbwire_varint_size(value);
}

static inline size_t pbwire_bytes_field_size(uint32_t number, size_t size)
{
    return pbwire_varint_size((uint64_t)number << 3) + pbwire_varint_size(size) + size;
}

/* Append to out; past its limit its sticky overflowed flag is set. */
void pbwire_put_varint(struct buf *out, uint64_t value);
void pbwire_put_u64(struct buf *out, uint32_t number, uint64_t value);
void pbwire_put_bytes(struct buf *out, uint32_t number, struct bytes value);

/* Appends tag and length only; the caller appends exactly size bytes next. */
void pbwire_put_bytes_head(struct buf *out, uint32_t number, size_t size);

/* Borrows the bytes. */
struct pbwire_reader {
    const uint8_t *at;
    const uint8_t *end;
};

/* One field. value: varint and fixed types; bytes (borrowed): PBWIRE_BYTES. */
struct pbwire_field {
    uint32_t number;
    enum pbwire_type type;
    uint64_t value;
    struct bytes bytes;
};

static inline struct pbwire_reader pbwire_reader_of(struct bytes bytes)
{
    return (struct pbwire_reader){bytes.data,
                                  bytes.size == 0 ? bytes.data : bytes.data + bytes.size};
}

/* Reads one varint. Returns 0 or E_INVALID (ends early, or holds more than 64 bits). */
BASE_MUST_CHECK int pbwire_read_varint(struct pbwire_reader *reader, uint64_t *out_value);

/* Reads the next field of any number. Returns 1, 0 at the end, or E_INVALID. */
BASE_MUST_CHECK int pbwire_next(struct pbwire_reader *reader, struct pbwire_field *out_field);

/* True when the field has this type; a known field number with another type is malformed. */
static inline bool pbwire_is(const struct pbwire_field *field, enum pbwire_type type)
{
    return field->type == type;
}

#endif
