/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 4648, sections 4 and 5. */
#include "base/base64.h"

#include "base/alloc.h"

static const char STANDARD[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64_encode(struct bytes data, unsigned form, struct buf *out)
{
    const char *digits = (form & BASE64_URL) != 0 ? URL : STANDARD;
    for (size_t i = 0; i < data.size; i += 3) {
        size_t have = BASE_MIN(data.size - i, (size_t)3);
        uint32_t bits = (uint32_t)data.data[i] << 16;
        bits |= have > 1 ? (uint32_t)data.data[i + 1] << 8 : 0;
        bits |= have > 2 ? (uint32_t)data.data[i + 2] : 0;
        for (size_t k = 0; k <= have; k++) {
            buf_append_byte(out, (uint8_t)digits[bits >> (18 - 6 * k) & 63]);
        }
        for (size_t k = have; (form & BASE64_PADDED) != 0 && k < 3; k++) {
            buf_append_byte(out, '=');
        }
    }
}

char *base64_text(struct bytes data)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    base64_encode(data, BASE64_PADDED, &text);
    char *given = str_dup(buf_cstr(&text));
    buf_free(&text);
    return given;
}

static int digit_of(uint8_t c, unsigned form)
{
    bool url = (form & BASE64_URL) != 0;
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == (url ? '-' : '+') ? 62 : c == (url ? '_' : '/') ? 63 : -1;
}

bool base64_decode(struct bytes text, unsigned form, uint8_t *out, size_t *out_size)
{
    uint32_t bits = 0;
    size_t digits = 0;
    size_t pads = 0;
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if ((form & BASE64_LINES) != 0 && (c == '\n' || c == '\r')) {
            continue;
        }
        if (c == '=') {
            pads++;
            continue;
        }
        int digit = digit_of(c, form);
        if (digit < 0 || pads > 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        if (++digits % 4 != 1) {
            out[size++] = (uint8_t)(bits >> (digits % 4 == 2 ? 4 : digits % 4 == 3 ? 2 : 0));
        }
    }
    size_t missing = (4 - digits % 4) % 4;
    *out_size = size;
    return missing != 3 && pads == ((form & BASE64_PADDED) != 0 ? missing : 0);
}

bool base64_append_decoded(struct bytes text, unsigned form, struct buf *out)
{
    size_t size = 0;
    uint8_t *place = buf_reserve(out, BASE64_DECODED_MAX(text.size));
    if (place == NULL || !base64_decode(text, form, place, &size)) {
        return false;
    }
    out->size += size;
    return true;
}
