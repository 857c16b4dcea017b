/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 4648 with padding. */
#include "base64.h"

#include "base/alloc.h"
#include "base/buf.h"

char *base64_encode(const char *data, size_t size)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    for (size_t i = 0; i < size; i += 3) {
        uint32_t group = (uint32_t)(uint8_t)data[i] << 16;
        group |= i + 1 < size ? (uint32_t)(uint8_t)data[i + 1] << 8 : 0;
        group |= i + 2 < size ? (uint32_t)(uint8_t)data[i + 2] : 0;
        for (unsigned k = 0; k < 4; k++) {
            bool is_padding = i + k > size;
            char digit = DIGITS[group >> (18 - 6 * k) & 63u];
            buf_append_byte(&out, (uint8_t)(is_padding ? '=' : digit));
        }
    }
    char *text = str_dup(buf_cstr(&out));
    buf_free(&out);
    return text;
}
