/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heap memory. None of these returns NULL: a process that cannot allocate stops with a clear
 * message (docs/decisions/001), because every queue and buffer that input can grow has a limit of
 * its own.
 */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stdarg.h>

#include "base/defs.h"

/* Gives size bytes, not initialised; size 0 gives a valid unique pointer. Free with mem_free. */
void *mem_alloc(size_t size);

/* As mem_alloc, zero-filled. */
void *mem_zalloc(size_t size);

/* Gives an array of count elements, zero-filled; stops the process when count * size overflows. */
void *mem_array(size_t count, size_t size);

/* Grows or shrinks ptr (which may be NULL); the old pointer is dead afterwards. */
void *mem_realloc(void *ptr, size_t size);

/* Gives a copy of size bytes at data. */
void *mem_dup(const void *data, size_t size);

/* Frees what the functions of this header gave; NULL is allowed. */
void mem_free(void *ptr);

/* Gives a copy of text, NUL-terminated; NULL gives NULL. */
char *str_dup(const char *text);

/* Gives a NUL-terminated copy of the size bytes at data. */
char *str_from(const void *data, size_t size);

/* Gives the formatted string. */
char *str_printf(const char *format, ...) BASE_PRINTF(1, 2);
char *str_vprintf(const char *format, va_list args) BASE_PRINTF(1, 0);

/* True when a and b are equal strings; NULL equals only NULL. */
bool str_equal(const char *a, const char *b);
bool str_starts_with(const char *text, const char *prefix);
bool str_ends_with(const char *text, const char *suffix);

#endif
