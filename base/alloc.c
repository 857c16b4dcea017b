/* SPDX-License-Identifier: Apache-2.0 */
/* Heap memory that never fails: see alloc.h for the reason. */
#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *ptr, size_t size)
{
    if (ptr == NULL) {
        fprintf(stderr, "out of memory: %zu bytes could not be had; the process stops\n", size);
        abort();
    }
    return ptr;
}

void *mem_alloc(size_t size)
{
    return checked(malloc(size == 0 ? 1 : size), size);
}

void *mem_zalloc(size_t size)
{
    return checked(calloc(1, size == 0 ? 1 : size), size);
}

void *mem_array(size_t count, size_t size)
{
    return checked(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size), count * size);
}

void *mem_realloc(void *ptr, size_t size)
{
    return checked(realloc(ptr, size == 0 ? 1 : size), size);
}

void mem_free(void *ptr)
{
    free(ptr);
}
