/* SPDX-License-Identifier: Apache-2.0 */
/* The protobuf wire: varints, tags, and a cursor over fields that cannot leave its bytes. */
#include "engine/proto/pbwire.h"

void pbwire_put_varint(struct buf *out, uint64_t value)
{
    uint8_t bytes[PBWIRE_VARINT_BYTES_MAX];
    uint8_t *end = pbwire_varint_write(bytes, value);
    (void)buf_append(out, bytes, (size_t)(end - bytes));
}

void pbwire_put_u64(struct buf *out, uint32_t number, uint64_t value)
{
    pbwire_put_varint(out, (uint64_t)number << 3 | PBWIRE_VARINT);
    pbwire_put_varint(out, value);
}

void pbwire_put_bytes_head(struct buf *out, uint32_t number, size_t size)
{
    pbwire_put_varint(out, (uint64_t)number << 3 | PBWIRE_BYTES);
    pbwire_put_varint(out, size);
}

void pbwire_put_bytes(struct buf *out, uint32_t number, struct bytes value)
{
    pbwire_put_bytes_head(out, number, value.size);
    (void)buf_append(out, value.data, value.size);
}

int pbwire_read_varint(struct pbwire_reader *reader, uint64_t *out_value)
{
    uint64_t value = 0;
    const uint8_t *at = reader->at;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (at == reader->end) {
            return E_INVALID;
        }
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1) {
            return E_INVALID; /* more than 64 bits */
        }
        value |= (uint64_t)(byte & 0x7fu) << shift;
        if (byte < 0x80u) {
            reader->at = at;
            *out_value = value;
            return 0;
        }
    }
    return E_INVALID;
}

/* A little-endian number of size bytes. */
static int fixed_read(struct pbwire_reader *reader, size_t size, uint64_t *out_value)
{
    if ((size_t)(reader->end - reader->at) < size) {
        return E_INVALID;
    }
    *out_value = size == 8 ? get_le64(reader->at) : get_le32(reader->at);
    reader->at += size;
    return 0;
}

int pbwire_next(struct pbwire_reader *reader, struct pbwire_field *out_field)
{
    if (reader->at == reader->end) {
        return 0;
    }
    uint64_t tag;
    if (pbwire_read_varint(reader, &tag) != 0) {
        return E_INVALID;
    }
    uint64_t number = tag >> 3;
    if (number == 0 || number > PBWIRE_FIELD_NUMBER_MAX) {
        return E_INVALID;
    }
    struct pbwire_field field = {.number = (uint32_t)number};
    int rc = E_INVALID;
    switch (tag & 7u) {
    case PBWIRE_VARINT:
        field.type = PBWIRE_VARINT;
        rc = pbwire_read_varint(reader, &field.value);
        break;
    case PBWIRE_FIXED64:
        field.type = PBWIRE_FIXED64;
        rc = fixed_read(reader, 8, &field.value);
        break;
    case PBWIRE_FIXED32:
        field.type = PBWIRE_FIXED32;
        rc = fixed_read(reader, 4, &field.value);
        break;
    case PBWIRE_BYTES:
        field.type = PBWIRE_BYTES;
        rc = pbwire_read_varint(reader, &field.value);
        if (rc == 0 && field.value > (uint64_t)(reader->end - reader->at) &&
            !FUZZ_PLANT(pbwire_length)) {
            rc = E_INVALID;
        }
        if (rc == 0) {
            field.bytes = bytes_of(reader->at, (size_t)field.value);
            reader->at += field.bytes.size;
        }
        break;
    default:
        break; /* groups */
    }
    if (rc != 0) {
        return E_INVALID;
    }
    *out_field = field;
    return 1;
}
