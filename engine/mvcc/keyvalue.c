/* SPDX-License-Identifier: Apache-2.0 */
/* Codec of KeyValue and of revision keys, by hand: it runs once per put and once per key at start.
 */
#include "engine/mvcc/keyvalue.h"

#include "base/assert.h"
#include "engine/proto/codec.h"

enum {
    FIELD_KEY = 1,
    FIELD_CREATE_REVISION = 2,
    FIELD_MOD_REVISION = 3,
    FIELD_VERSION = 4,
    FIELD_VALUE = 5,
    FIELD_LEASE = 6
};

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static size_t bytes_field_size(struct bytes bytes)
{
    return bytes.size == 0 ? 0 : 1 + proto_varint_size(bytes.size) + bytes.size;
}

static size_t number_field_size(int64_t number)
{
    return number == 0 ? 0 : 1 + proto_varint_size((uint64_t)number);
}

size_t keyvalue_size(const struct keyvalue *kv)
{
    return bytes_field_size(kv->key) + number_field_size(kv->create_revision) +
           number_field_size(kv->mod_revision) + number_field_size(kv->version) +
           bytes_field_size(kv->value) + number_field_size(kv->lease);
}

static uint8_t *put_bytes(uint8_t *out, unsigned field, struct bytes bytes)
{
    if (bytes.size == 0) {
        return out;
    }
    *out++ = (uint8_t)(field << 3 | WIRE_BYTES);
    out += proto_varint_put(out, bytes.size);
    memcpy(out, bytes.data, bytes.size);
    return out + bytes.size;
}

static uint8_t *put_number(uint8_t *out, unsigned field, int64_t number)
{
    if (number == 0) {
        return out;
    }
    *out++ = (uint8_t)(field << 3 | WIRE_VARINT);
    return out + proto_varint_put(out, (uint64_t)number);
}

size_t keyvalue_encode(const struct keyvalue *kv, uint8_t *out)
{
    uint8_t *end = put_bytes(out, FIELD_KEY, kv->key);
    end = put_number(end, FIELD_CREATE_REVISION, kv->create_revision);
    end = put_number(end, FIELD_MOD_REVISION, kv->mod_revision);
    end = put_number(end, FIELD_VERSION, kv->version);
    end = put_bytes(end, FIELD_VALUE, kv->value);
    end = put_number(end, FIELD_LEASE, kv->lease);
    return (size_t)(end - out);
}

static int skip_bytes(struct bytes data, size_t *offset, uint64_t count)
{
    if (count > data.size - *offset) {
        return E_CORRUPT;
    }
    *offset += (size_t)count;
    return 0;
}

static void store_number(struct keyvalue *kv, uint64_t field, uint64_t number)
{
    switch (field) {
    case FIELD_CREATE_REVISION:
        kv->create_revision = (int64_t)number;
        break;
    case FIELD_MOD_REVISION:
        kv->mod_revision = (int64_t)number;
        break;
    case FIELD_VERSION:
        kv->version = (int64_t)number;
        break;
    case FIELD_LEASE:
        kv->lease = (int64_t)number;
        break;
    default:
        break;
    }
}

static int decode_field(struct bytes data, size_t *offset, struct keyvalue *kv)
{
    uint64_t tag = 0;
    uint64_t number = 0;
    if (!proto_varint_get(data, offset, &tag) || tag >> 3 == 0) {
        return E_CORRUPT;
    }
    switch (tag & 7) {
    case WIRE_VARINT:
        if (!proto_varint_get(data, offset, &number)) {
            return E_CORRUPT;
        }
        store_number(kv, tag >> 3, number);
        return 0;
    case WIRE_BYTES: {
        if (!proto_varint_get(data, offset, &number)) {
            return E_CORRUPT;
        }
        const uint8_t *start = data.data + *offset;
        if (skip_bytes(data, offset, number) != 0) {
            return E_CORRUPT;
        }
        if (tag >> 3 == FIELD_KEY) {
            kv->key = bytes_of(start, (size_t)number);
        } else if (tag >> 3 == FIELD_VALUE) {
            kv->value = bytes_of(start, (size_t)number);
        }
        return 0;
    }
    case WIRE_FIXED64:
        return skip_bytes(data, offset, 8);
    case WIRE_FIXED32:
        return skip_bytes(data, offset, 4);
    default:
        return E_CORRUPT;
    }
}

int keyvalue_decode(struct bytes data, struct keyvalue *out_kv)
{
    struct keyvalue kv = {0};
    size_t offset = 0;
    while (offset < data.size) {
        if (decode_field(data, &offset, &kv) != 0) {
            return E_CORRUPT;
        }
    }
    *out_kv = kv;
    return 0;
}

size_t revision_encode(struct revision revision, uint8_t out[REVISION_KEY_BYTES_MAX])
{
    ASSERT(revision.main >= 0);
    put_be64(out, (uint64_t)revision.main);
    out[8] = '_';
    put_be64(out + 9, revision.sub);
    if (!revision.tombstone) {
        return REVISION_KEY_BYTES;
    }
    out[REVISION_KEY_BYTES] = 't';
    return REVISION_KEY_BYTES_MAX;
}

int revision_decode(struct bytes data, struct revision *out_revision)
{
    bool tombstone = data.size == REVISION_KEY_BYTES_MAX;
    if (data.size != REVISION_KEY_BYTES && !tombstone) {
        return E_CORRUPT;
    }
    if (data.data[8] != '_' || (tombstone && data.data[REVISION_KEY_BYTES] != 't')) {
        return E_CORRUPT;
    }
    uint64_t main = get_be64(data.data);
    uint64_t sub = get_be64(data.data + 9);
    if (main > INT64_MAX || sub > UINT32_MAX) {
        return E_CORRUPT;
    }
    *out_revision = (struct revision){(int64_t)main, (uint32_t)sub, tombstone};
    return 0;
}
