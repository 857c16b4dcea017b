/* SPDX-License-Identifier: Apache-2.0 */
/* Copies and texts in allocated memory; whoever replaces the allocator keeps these. */
#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

void *mem_dup(const void *data, size_t size)
{
    void *copy = mem_alloc(size);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

char *str_dup(const char *text)
{
    return text == NULL ? NULL : str_from(text, strlen(text));
}

char *str_from(const void *data, size_t size)
{
    char *copy = mem_alloc(size + 1);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    copy[size] = '\0';
    return copy;
}

char *str_vprintf(const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    if (size < 0) {
        size = 0;
    }
    char *text = mem_alloc((size_t)size + 1);
    text[0] = '\0';
    vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}

char *str_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    return text;
}

bool str_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool str_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends_with(const char *text, const char *suffix)
{
    size_t text_size = strlen(text);
    size_t suffix_size = strlen(suffix);
    return text_size >= suffix_size && strcmp(text + text_size - suffix_size, suffix) == 0;
}
