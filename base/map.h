/* SPDX-License-Identifier: Apache-2.0 */
/* Hash maps: by 64-bit number and by bytes. Iteration is in insertion-independent slot order. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/bytes.h"
#include "base/defs.h"

struct map_slot;

/* Keys are copied in; values are the caller's pointers, never freed by the map. */
struct map {
    struct map_slot *slots;
    size_t count;
    size_t used;
    size_t capacity;
    uint64_t seed; /* 0: none */
};

/* For keys that this program makes, and for few. */
void map_init(struct map *map);

/*
 * For keys that others choose: without the seed (not 0) nobody can find many that fall into one
 * place. Whoever holds such a map gets the seed at its making; the order of a walk hangs on it.
 */
void map_init_seeded(struct map *map, uint64_t seed);

/* Empties it; it may be used on. */
void map_free(struct map *map);

/* Finds; NULL when absent. */
void *map_get(const struct map *map, struct bytes key);
void *map_get_u64(const struct map *map, uint64_t key);

/* Sets (value must not be NULL) and gives the value that was there, or NULL. */
void *map_set(struct map *map, struct bytes key, void *value);
void *map_set_u64(struct map *map, uint64_t key, void *value);

/* Takes out and gives the value, or NULL. */
void *map_remove(struct map *map, struct bytes key);
void *map_remove_u64(struct map *map, uint64_t key);

/*
 * Walks: start with *cursor = 0; false at the end. The map must not grow meanwhile; removing the
 * current key is allowed. out_key may be NULL; keys set by map_set_u64 are 8 bytes big-endian.
 */
bool map_next(const struct map *map, size_t *cursor, struct bytes *out_key, void **out_value);

#endif
