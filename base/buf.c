/* SPDX-License-Identifier: Apache-2.0 */
/* Growing byte buffer: doubles, never past its limit. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"

#define BUF_FIRST_CAPACITY 64u

void buf_init(struct buf *buf, size_t max_size)
{
    *buf = (struct buf){.max_size = max_size};
}

void buf_free(struct buf *buf)
{
    mem_free(buf->data);
    buf_init(buf, buf->max_size);
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf->overflowed = false;
}

/* Makes room for extra bytes and one NUL behind them. */
static bool buf_grow(struct buf *buf, size_t extra)
{
    if (extra > buf->max_size || buf->size > buf->max_size - extra || extra > SIZE_MAX / 4) {
        buf->overflowed = true;
        return false;
    }
    size_t wanted = buf->size + extra + 1;
    if (wanted <= buf->capacity) {
        return true;
    }
    size_t capacity = buf->capacity == 0 ? BUF_FIRST_CAPACITY : buf->capacity;
    while (capacity < wanted) {
        capacity *= 2;
    }
    buf->data = mem_realloc(buf->data, capacity);
    buf->capacity = capacity;
    return true;
}

uint8_t *buf_reserve(struct buf *buf, size_t extra)
{
    if (!buf_grow(buf, extra)) {
        return NULL;
    }
    return buf->data + buf->size;
}

int buf_append(struct buf *buf, const void *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (!buf_grow(buf, size)) {
        return E_TOO_BIG;
    }
    memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    return 0;
}

int buf_append_str(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

int buf_append_byte(struct buf *buf, uint8_t byte)
{
    return buf_append(buf, &byte, 1);
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    int rc = buf_append_str(buf, text);
    mem_free(text);
    return rc;
}

int buf_append_be64(struct buf *buf, uint64_t value)
{
    uint8_t bytes[8];
    put_be64(bytes, value);
    return buf_append(buf, bytes, sizeof(bytes));
}

void buf_consume(struct buf *buf, size_t count)
{
    if (count >= buf->size) {
        buf->size = 0;
        return;
    }
    memmove(buf->data, buf->data + count, buf->size - count);
    buf->size -= count;
}

struct bytes buf_bytes(const struct buf *buf)
{
    return bytes_of(buf->data, buf->size);
}

uint8_t *buf_take(struct buf *buf, size_t *out_size)
{
    if (buf->data == NULL) {
        (void)buf_grow(buf, 0);
    }
    uint8_t *data = buf->data;
    *out_size = buf->size;
    buf_init(buf, buf->max_size);
    return data;
}

const char *buf_cstr(struct buf *buf)
{
    /* buf_grow keeps one byte behind the contents for this. */
    if (buf->data == NULL && !buf_grow(buf, 0)) {
        return "";
    }
    buf->data[buf->size] = '\0';
    return (const char *)buf->data;
}
