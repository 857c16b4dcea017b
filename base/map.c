/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear probing; removed slots leave a marker until the next growth. */
#include "base/map.h"

#include "base/alloc.h"
#include "base/assert.h"

#define MAP_FIRST_CAPACITY 16u
#define MAP_INLINE_KEY     8u

/* A key of up to 8 bytes lives in the slot, a longer one on the heap. */
struct map_slot {
    void *value; /* NULL: free or removed */
    uint64_t hash;
    size_t key_size;
    union {
        uint8_t inline_key[MAP_INLINE_KEY];
        uint8_t *heap_key;
    } key;
    bool removed;
};

static uint64_t map_hash(struct bytes key)
{
    uint64_t hash = 0xcbf29ce484222325u ^ key.size;
    for (size_t i = 0; i < key.size; i++) {
        hash = (hash ^ key.data[i]) * 0x100000001b3u;
    }
    hash ^= hash >> 32;
    return hash * 0x9e3779b97f4a7c15u;
}

static struct bytes slot_key(const struct map_slot *slot)
{
    return bytes_of(slot->key_size <= MAP_INLINE_KEY ? slot->key.inline_key : slot->key.heap_key,
                    slot->key_size);
}

static void slot_drop_key(struct map_slot *slot)
{
    if (slot->key_size > MAP_INLINE_KEY) {
        mem_free(slot->key.heap_key);
    }
    slot->key_size = 0;
}

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_free(struct map *map)
{
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].value != NULL) {
            slot_drop_key(&map->slots[i]);
        }
    }
    mem_free(map->slots);
    map_init(map);
}

static struct map_slot *map_find(const struct map *map, struct bytes key, uint64_t hash)
{
    if (map->capacity == 0) {
        return NULL;
    }
    for (size_t i = hash >> 7 & (map->capacity - 1);; i = (i + 1) & (map->capacity - 1)) {
        struct map_slot *slot = &map->slots[i];
        if (slot->value == NULL && !slot->removed) {
            return NULL;
        }
        if (slot->value != NULL && slot->hash == hash && bytes_equal(slot_key(slot), key)) {
            return slot;
        }
    }
}

static struct map_slot *map_free_slot(struct map *map, uint64_t hash)
{
    size_t i = hash >> 7 & (map->capacity - 1);
    while (map->slots[i].value != NULL) {
        i = (i + 1) & (map->capacity - 1);
    }
    return &map->slots[i];
}

static void map_rehash(struct map *map, size_t capacity)
{
    struct map old = *map;
    map->slots = mem_array(capacity, sizeof(*map->slots));
    map->capacity = capacity;
    map->used = map->count;
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].value != NULL) {
            *map_free_slot(map, old.slots[i].hash) = old.slots[i];
        }
    }
    mem_free(old.slots);
}

void *map_get(const struct map *map, struct bytes key)
{
    struct map_slot *slot = map_find(map, key, map_hash(key));
    return slot == NULL ? NULL : slot->value;
}

void *map_set(struct map *map, struct bytes key, void *value)
{
    ASSERT(value != NULL);
    uint64_t hash = map_hash(key);
    struct map_slot *slot = map_find(map, key, hash);
    if (slot != NULL) {
        void *old = slot->value;
        slot->value = value;
        return old;
    }
    if ((map->used + 1) * 4 > map->capacity * 3) {
        size_t capacity = map->capacity == 0 ? MAP_FIRST_CAPACITY : map->capacity;
        while ((map->count + 1) * 2 > capacity) {
            capacity *= 2;
        }
        map_rehash(map, capacity);
    }
    slot = map_free_slot(map, hash);
    map->used += slot->removed ? 0 : 1;
    *slot = (struct map_slot){.value = value, .hash = hash, .key_size = key.size};
    if (key.size <= MAP_INLINE_KEY) {
        if (key.size > 0) {
            memcpy(slot->key.inline_key, key.data, key.size);
        }
    } else {
        slot->key.heap_key = mem_dup(key.data, key.size);
    }
    map->count++;
    return NULL;
}

void *map_remove(struct map *map, struct bytes key)
{
    struct map_slot *slot = map_find(map, key, map_hash(key));
    if (slot == NULL) {
        return NULL;
    }
    void *value = slot->value;
    slot_drop_key(slot);
    slot->value = NULL;
    slot->removed = true;
    map->count--;
    return value;
}

void *map_get_u64(const struct map *map, uint64_t key)
{
    uint8_t bytes[8];
    put_be64(bytes, key);
    return map_get(map, bytes_of(bytes, sizeof(bytes)));
}

void *map_set_u64(struct map *map, uint64_t key, void *value)
{
    uint8_t bytes[8];
    put_be64(bytes, key);
    return map_set(map, bytes_of(bytes, sizeof(bytes)), value);
}

void *map_remove_u64(struct map *map, uint64_t key)
{
    uint8_t bytes[8];
    put_be64(bytes, key);
    return map_remove(map, bytes_of(bytes, sizeof(bytes)));
}

bool map_next(const struct map *map, size_t *cursor, struct bytes *out_key, void **out_value)
{
    while (*cursor < map->capacity) {
        struct map_slot *slot = &map->slots[(*cursor)++];
        if (slot->value != NULL) {
            if (out_key != NULL) {
                *out_key = slot_key(slot);
            }
            *out_value = slot->value;
            return true;
        }
    }
    return false;
}
