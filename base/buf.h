/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer that knows its limit from birth. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/defs.h"

#define BUF_NO_LIMIT SIZE_MAX

/* Owns data. overflowed is sticky: appends past max_size are dropped whole and set it. */
struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t max_size;
    bool overflowed;
};

/* Makes an empty buffer that will hold at most max_size bytes. */
void buf_init(struct buf *buf, size_t max_size);

/* Frees the memory; the buffer may be used again as after buf_init. */
void buf_free(struct buf *buf);

/* Empties, keeps the memory. */
void buf_clear(struct buf *buf);

/* Makes room for extra more bytes and gives the place, or NULL past the limit. */
uint8_t *buf_reserve(struct buf *buf, size_t extra);

/* Append; each returns 0 or E_TOO_BIG (also kept in overflowed, so that a run can be checked once).
 */
int buf_append(struct buf *buf, const void *data, size_t size);
int buf_append_str(struct buf *buf, const char *text);
int buf_append_byte(struct buf *buf, uint8_t byte);
int buf_printf(struct buf *buf, const char *format, ...) BASE_PRINTF(2, 3);
int buf_append_be64(struct buf *buf, uint64_t value);

/* Drops count bytes from the front. */
void buf_consume(struct buf *buf, size_t count);

/* The contents, borrowed until the next change. */
struct bytes buf_bytes(const struct buf *buf);

/* Gives the memory to the caller (mem_free), *out_size its size; the buffer is empty afterwards. */
uint8_t *buf_take(struct buf *buf, size_t *out_size);

/* Terminates with NUL (not counted in size) and gives the borrowed text. */
const char *buf_cstr(struct buf *buf);

#endif
