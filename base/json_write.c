/* SPDX-License-Identifier: Apache-2.0 */
/* Tree to text, compact or indented by two spaces. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json_tree.h"

size_t json_utf8_size(const uint8_t *data, size_t size)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = data[0] < 0x80       ? 1
                    : data[0] >> 5 == 6  ? 2
                    : data[0] >> 4 == 14 ? 3
                    : data[0] >> 3 == 30 ? 4
                                         : 0;
    if (length == 0 || length > size) {
        return 0;
    }
    if (length == 1) {
        return 1;
    }
    uint32_t code = data[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((data[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (data[i] & 0x3fu);
    }
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code >= smallest[length] && code <= 0x10ffff && !surrogate ? length : 0;
}

bool json_is_utf8(const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        size_t length = json_utf8_size(at, size);
        if (length == 0) {
            return false;
        }
        at += length;
        size -= length;
    }
    return true;
}

static void write_escape(uint8_t byte, struct buf *out)
{
    static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; i + 1 < sizeof(names); i += 2) {
        if ((uint8_t)names[i] == byte) {
            buf_append_byte(out, '\\');
            buf_append_byte(out, (uint8_t)names[i + 1]);
            return;
        }
    }
    buf_printf(out, "\\u%04x", byte);
}

void json_write_string(const char *text, size_t size, struct buf *out)
{
    const uint8_t *data = (const uint8_t *)text;
    size_t plain = 0; /* start of the run that needs no escape */
    size_t at = 0;
    buf_append_byte(out, '"');
    while (at < size) {
        size_t length = json_utf8_size(data + at, size - at);
        bool escape = length == 1 &&
                      (data[at] < 0x20 || data[at] == '"' || data[at] == '\\' || data[at] == 0x7f);
        if (length != 0 && !escape) {
            at += length;
            continue;
        }
        buf_append(out, data + plain, at - plain);
        if (escape) {
            write_escape(data[at], out);
        } else {
            buf_append_str(out, "\\ufffd");
        }
        at++;
        plain = at;
    }
    buf_append(out, data + plain, size - plain);
    buf_append_byte(out, '"');
}

static void write_number(double number, struct buf *out)
{
    char text[40];
    if (!isfinite(number)) {
        buf_append_str(out, "null");
        return;
    }
    snprintf(text, sizeof(text), "%.15g", number);
    double back = 0;
    if (sscanf(text, "%lf", &back) != 1 || back < number || back > number) {
        snprintf(text, sizeof(text), "%.17g", number);
    }
    if (strcmp(text, "-0") == 0) {
        buf_append_str(out, "-0.0"); /* as "-0" it would be read back as the integer 0 */
        return;
    }
    buf_append_str(out, text);
}

static void write_break(enum json_style style, size_t depth, struct buf *out)
{
    if (style == JSON_PRETTY) {
        buf_append_byte(out, '\n');
        for (size_t i = 0; i < depth; i++) {
            buf_append_str(out, "  ");
        }
    }
}

static void write_value(const struct json *value, enum json_style style, size_t depth,
                        struct buf *out);

static void write_container(const struct json *value, enum json_style style, size_t depth,
                            struct buf *out)
{
    bool is_object = value->type == JSON_OBJECT;
    buf_append_byte(out, is_object ? '{' : '[');
    for (size_t i = 0; i < value->count; i++) {
        if (i > 0) {
            buf_append_byte(out, ',');
        }
        write_break(style, depth + 1, out);
        if (is_object) {
            json_write_string(value->items[i].key, strlen(value->items[i].key), out);
            buf_append_str(out, style == JSON_PRETTY ? ": " : ":");
        }
        write_value(value->items[i].value, style, depth + 1, out);
    }
    if (value->count > 0) {
        write_break(style, depth, out);
    }
    buf_append_byte(out, is_object ? '}' : ']');
}

static void write_value(const struct json *value, enum json_style style, size_t depth,
                        struct buf *out)
{
    switch (json_type_of(value)) {
    case JSON_NULL:
        buf_append_str(out, "null");
        break;
    case JSON_BOOL:
        buf_append_str(out, value->integer != 0 ? "true" : "false");
        break;
    case JSON_INT:
        buf_printf(out, "%" PRId64, value->integer);
        break;
    case JSON_NUMBER:
        write_number(value->number, out);
        break;
    case JSON_STRING:
        json_write_string(value->text, value->count, out);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        write_container(value, style, depth, out);
        break;
    }
}

void json_write(const struct json *value, enum json_style style, struct buf *out)
{
    write_value(value, style, 0, out);
}

char *json_text(const struct json *value, enum json_style style)
{
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    json_write(value, style, &out);
    (void)buf_cstr(&out);
    size_t size;
    return (char *)buf_take(&out, &size);
}
