/* SPDX-License-Identifier: Apache-2.0 */
/* From message to JSON. Messages are our own, so recursion is as deep as they are. */
#include <inttypes.h>
#include <string.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/json.h"
#include "engine/rpc/pbjson.h"

static void write_enum(struct buf *out, const ProtobufCFieldDescriptor *field, int32_t number)
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(field->descriptor, number);
    if (value == NULL) {
        buf_printf(out, "%" PRId32, number);
    } else {
        json_write_string(value->name, strlen(value->name), out);
    }
}

static void write_message(struct buf *out, const ProtobufCMessage *message);

/* One value of field's type, at place. */
static void write_value(struct buf *out, const ProtobufCFieldDescriptor *field, const void *place)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        buf_printf(out, "%" PRId32, *(const int32_t *)place);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        buf_printf(out, "%" PRIu32, *(const uint32_t *)place);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        buf_printf(out, "\"%" PRId64 "\"", *(const int64_t *)place);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        buf_printf(out, "\"%" PRIu64 "\"", *(const uint64_t *)place);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        buf_printf(out, "%.9g", (double)*(const float *)place);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        buf_printf(out, "%.17g", *(const double *)place);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        buf_append_str(out, *(const protobuf_c_boolean *)place ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM:
        write_enum(out, field, *(const int32_t *)place);
        break;
    case PROTOBUF_C_TYPE_STRING: {
        const char *text = *(char *const *)place;
        json_write_string(text == NULL ? "" : text, text == NULL ? 0 : strlen(text), out);
        break;
    }
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *data = place;
        buf_append_byte(out, '"');
        base64_encode(bytes_of(data->data, data->len), BASE64_PADDED, out);
        buf_append_byte(out, '"');
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        write_message(out, *(ProtobufCMessage *const *)place);
        break;
    }
}

size_t pbjson_element_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

static bool is_zero(const ProtobufCFieldDescriptor *field, const void *place)
{
    static const uint8_t zeros[8];
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: {
        const char *text = *(char *const *)place;
        return text == NULL || *text == '\0';
    }
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)place)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(ProtobufCMessage *const *)place == NULL;
    default:
        return memcmp(place, zeros, pbjson_element_size(field->type)) == 0;
    }
}

/* Whether the field is set, as protojson sees it: members of a oneof also when they are zero. */
static bool is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const uint8_t *base = (const uint8_t *)message;
    const void *quantifier = base + field->quantifier_offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return *(const size_t *)quantifier > 0;
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        return *(const uint32_t *)quantifier == field->id;
    }
    if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING &&
        field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return *(const protobuf_c_boolean *)quantifier != 0;
    }
    return !is_zero(field, base + field->offset);
}

static void write_repeated(struct buf *out, const ProtobufCMessage *message,
                           const ProtobufCFieldDescriptor *field)
{
    const uint8_t *base = (const uint8_t *)message;
    size_t count = *(const size_t *)(const void *)(base + field->quantifier_offset);
    const uint8_t *items = *(uint8_t *const *)(const void *)(base + field->offset);
    size_t size = pbjson_element_size(field->type);
    buf_append_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_append_byte(out, ',');
        }
        write_value(out, field, items + i * size);
    }
    buf_append_byte(out, ']');
}

static void write_message(struct buf *out, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    bool first = true;
    buf_append_byte(out, '{');
    for (unsigned i = 0; i < descriptor->n_fields && !out->overflowed; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        if (!is_set(message, field)) {
            continue;
        }
        if (!first) {
            buf_append_byte(out, ',');
        }
        first = false;
        buf_append_byte(out, '"');
        buf_append_str(out, field->name);
        buf_append_str(out, "\":");
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            write_repeated(out, message, field);
        } else {
            write_value(out, field, (const uint8_t *)message + field->offset);
        }
    }
    buf_append_byte(out, '}');
}

int pbjson_write(const ProtobufCMessage *message, struct buf *out)
{
    write_message(out, message);
    return out->overflowed ? E_TOO_BIG : 0;
}
