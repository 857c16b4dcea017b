/* SPDX-License-Identifier: Apache-2.0 */
/* See print.h. */
#include "tests/differential/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/defs.h"

#define HEAD_BYTES 40u

/* Everything that is not here is compared. */
static const struct left_out {
    const char *message, *field, *why;
} LEFT_OUT[] = {
    {"ResponseHeader", "cluster_id", "follows from URLs and token: two clusters have two ids"},
    {"ResponseHeader", "member_id", "follows from the peer URL"},
    {"ResponseHeader", "raft_term", "how many elections it took to begin"},
    {"StatusResponse", "version", "of the program"},
    {"StatusResponse", "dbSize", "of the file: the stores differ"},
    {"StatusResponse", "dbSizeInUse", "of the file: the stores differ"},
    {"StatusResponse", "raftIndex", "what else a member has in its log"},
    {"StatusResponse", "raftAppliedIndex", "what else a member has in its log"},
    {"StatusResponse", "raftTerm", "how many elections it took to begin"},
    {"StatusResponse", "storageVersion", "decided some seconds after the start"},
};

/* Of TTL only the sign, for the rest runs down while we look. */
#define TTL_MESSAGE "LeaseTimeToLiveResponse"

static bool is_left_out(const ProtobufCMessageDescriptor *message, const char *field)
{
    for (size_t i = 0; i < ARRAY_COUNT(LEFT_OUT); i++) {
        if (strcmp(message->short_name, LEFT_OUT[i].message) == 0 &&
            strcmp(field, LEFT_OUT[i].field) == 0) {
            return true;
        }
    }
    return false;
}

void print_left_out(void)
{
    puts("Not compared (everything else is):");
    for (size_t i = 0; i < ARRAY_COUNT(LEFT_OUT); i++) {
        printf("  %s.%s: %s\n", LEFT_OUT[i].message, LEFT_OUT[i].field, LEFT_OUT[i].why);
    }
    puts("  LeaseTimeToLiveResponse.TTL: only its sign, for the rest runs down while we look\n"
         "  LeaseTimeToLiveResponse.keys, LeaseLeasesResponse.leases: their order, which is not\n"
         "    specified (etcd: of a map; by expiry)\n"
         "  RangeResponse.kvs: the order among equals, where more than 12 keys are sorted by "
         "something\n"
         "    else than the key (etcd's sort is not stable then)\n"
         "  WatchResponse: header.revision, and how events are parted into answers, which are\n"
         "    matters of time; what must hold is checked on each side alone (side.c)\n"
         "  ids of members, a member's own name and addresses, tokens: renamed to what both have\n"
         "    (world.c)\n"
         "  lease ids that the server chooses: all are given by the client");
}

static void print_bytes(struct buf *out, const uint8_t *data, size_t size)
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < size && i < HEAD_BYTES; i++) {
        if (data[i] >= ' ' && data[i] < 0x7f && data[i] != '"' && data[i] != '\\') {
            buf_append_byte(out, data[i]);
        } else {
            buf_printf(out, "\\x%02x", data[i]);
        }
    }
    buf_append_byte(out, '"');
    if (size > HEAD_BYTES) {
        buf_printf(out, "...(%zu bytes, crc32c %08x)", size, crc32c(0, data, size));
    }
}

static void print_number(struct buf *out, const ProtobufCFieldDescriptor *field, const void *at)
{
    int64_t number = 0;
    switch (field->type) {
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        buf_printf(out, "%" PRIu64, *(const uint64_t *)at);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        number = *(const protobuf_c_boolean *)at;
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        number = *(const int64_t *)at;
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        number = *(const uint32_t *)at;
        break;
    default:
        number = *(const int32_t *)at;
        break;
    }
    buf_printf(out, "%" PRId64, number);
}

static void print_value(struct buf *out, const ProtobufCFieldDescriptor *field, const void *at)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        print_message(out, *(const ProtobufCMessage *const *)at);
    } else if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(const char *const *)at;
        print_bytes(out, (const uint8_t *)text, strlen(text));
    } else if (field->type == PROTOBUF_C_TYPE_BYTES) {
        const ProtobufCBinaryData *data = at;
        print_bytes(out, data->data, data->len);
    } else if (field->type == PROTOBUF_C_TYPE_ENUM) {
        const ProtobufCEnumValue *value =
            protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int32_t *)at);
        if (value != NULL) {
            buf_append_str(out, value->name);
        } else {
            print_number(out, field, at);
        }
    } else {
        print_number(out, field, at);
    }
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_STRING:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof(int64_t);
    default:
        return sizeof(int32_t); /* bool too: protobuf_c_boolean is an int */
    }
}

static bool is_default(const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(const void *const *)at == NULL;
    case PROTOBUF_C_TYPE_STRING:
        return *(const char *const *)at == NULL || **(const char *const *)at == '\0';
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    default:
        return value_size(field) == 8 ? *(const int64_t *)at == 0 : *(const int32_t *)at == 0;
    }
}

static bool is_present(const ProtobufCFieldDescriptor *field, const uint8_t *base)
{
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        return *(const uint32_t *)(const void *)(base + field->quantifier_offset) == field->id;
    }
    return !is_default(field, base + field->offset);
}

void print_message(struct buf *out, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    const uint8_t *base = (const uint8_t *)message;
    const char *gap = "";
    buf_append_byte(out, '{');
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        size_t count = 0;
        const uint8_t *at = base + field->offset;
        if (is_left_out(type, field->name)) {
            continue;
        }
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            count = *(const size_t *)(const void *)(base + field->quantifier_offset);
            at = *(const uint8_t *const *)(const void *)at;
        } else if (is_present(field, base)) {
            count = 1;
        }
        for (size_t k = 0; k < count; k++, at += value_size(field)) {
            buf_printf(out, "%s%s: ", gap, field->name);
            if (strcmp(type->short_name, TTL_MESSAGE) == 0 && strcmp(field->name, "TTL") == 0) {
                buf_append_str(out, *(const int64_t *)(const void *)at > 0 ? "left" : "none");
            } else {
                print_value(out, field, at);
            }
            gap = " ";
        }
    }
    for (unsigned i = 0; i < message->n_unknown_fields; i++) {
        buf_printf(out, "%sunknown field %u", gap, message->unknown_fields[i].tag);
        gap = " ";
    }
    buf_append_byte(out, '}');
}
