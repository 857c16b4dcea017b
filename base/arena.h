/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that lives and dies together: one request, one message. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/bytes.h"
#include "base/defs.h"

struct arena_block;

/* Owns its blocks. Not thread-safe; may be handed from thread to thread whole. */
struct arena {
    struct arena_block *blocks;
    size_t used_bytes;
    size_t max_bytes;
};

/* Makes an empty arena that gives at most max_bytes (BUF_NO_LIMIT allowed). */
void arena_init(struct arena *arena, size_t max_bytes);

/* Frees all that the arena gave; it may be used again. */
void arena_free(struct arena *arena);

/* Overwrites all that the arena gave, before arena_free: it held a secret. */
void arena_wipe(struct arena *arena);

/* Gives size bytes aligned to 16, or NULL past max_bytes. */
void *arena_alloc(struct arena *arena, size_t size);

/* As arena_alloc, zero-filled; stops the process past max_bytes (for callers that sized the arena).
 */
void *arena_zalloc(struct arena *arena, size_t size);

/* Gives a copy; an empty run gives {NULL, 0}. Stops the process past max_bytes. */
struct bytes arena_copy(struct arena *arena, struct bytes bytes);
char *arena_str(struct arena *arena, const char *text);

#endif
