/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing; removed slots leave a marker until the next growth. The hash
 * is FNV-1a with a last mix, or, with a seed, SipHash-1-3, which is made to stand against chosen
 * keys.
 */
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

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_round(struct sip *sip)
{
    sip->v0 += sip->v1;
    sip->v2 += sip->v3;
    sip->v1 = rotate(sip->v1, 13) ^ sip->v0;
    sip->v3 = rotate(sip->v3, 16) ^ sip->v2;
    sip->v0 = rotate(sip->v0, 32);
    sip->v2 += sip->v1;
    sip->v0 += sip->v3;
    sip->v1 = rotate(sip->v1, 17) ^ sip->v2;
    sip->v3 = rotate(sip->v3, 21) ^ sip->v0;
    sip->v2 = rotate(sip->v2, 32);
}

static void sip_take(struct sip *sip, uint64_t word)
{
    sip->v3 ^= word;
    sip_round(sip);
    sip->v0 ^= word;
}

/* The second half of the key is made of the first: 64 bits are more than anybody guesses online. */
static uint64_t sip_hash(struct bytes key, uint64_t seed)
{
    uint64_t other = seed * 0x9e3779b97f4a7c15u;
    struct sip sip = {seed ^ 0x736f6d6570736575u, other ^ 0x646f72616e646f6du,
                      seed ^ 0x6c7967656e657261u, other ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)key.size << 56;
    size_t whole = key.size - key.size % 8;
    for (size_t i = 0; i < whole; i += 8) {
        sip_take(&sip, get_be64(key.data + i));
    }
    for (size_t i = whole; i < key.size; i++) {
        last |= (uint64_t)key.data[i] << 8 * (i - whole);
    }
    sip_take(&sip, last);
    sip.v2 ^= 0xff;
    for (int i = 0; i < 3; i++) {
        sip_round(&sip);
    }
    return sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
}

static uint64_t map_hash(const struct map *map, struct bytes key)
{
    if (map->seed != 0) {
        return sip_hash(key, map->seed);
    }
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

void map_init_seeded(struct map *map, uint64_t seed)
{
    ASSERT(seed != 0);
    *map = (struct map){.seed = seed};
}

void map_free(struct map *map)
{
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].value != NULL) {
            slot_drop_key(&map->slots[i]);
        }
    }
    mem_free(map->slots);
    *map = (struct map){.seed = map->seed};
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
    struct map_slot *slot = map_find(map, key, map_hash(map, key));
    return slot == NULL ? NULL : slot->value;
}

void *map_set(struct map *map, struct bytes key, void *value)
{
    ASSERT(value != NULL);
    uint64_t hash = map_hash(map, key);
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
    struct map_slot *slot = map_find(map, key, map_hash(map, key));
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
