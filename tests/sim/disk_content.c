/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks of eight sectors, in groups of a mebibyte. A clean chunk has one buffer for both views; a
 * write gives the page cache its own, and the sync drops the old one, so that neither copies more
 * than it must. Invariant: bytes at now_bytes and beyond are zero in the page cache, bytes at
 * disk_bytes and beyond are zero on the disk unless a write-back put them there.
 */
#include "tests/sim/disk_content.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "tests/sim/disk.h"

#define CHUNK_SECTORS 8u
#define CHUNK_BYTES   ((size_t)CHUNK_SECTORS * SIM_SECTOR_BYTES)
#define GROUP_CHUNKS  256u
#define GROUP_BYTES   ((uint64_t)GROUP_CHUNKS * CHUNK_BYTES)

/* now == disk: clean. NULL is a chunk of zeros. */
struct sim_chunk {
    uint8_t *now;
    uint8_t *disk;
    uint8_t unsynced; /* sectors that the next sync writes */
    uint8_t stale;    /* sectors that differ and yet count as clean: a sync failed */
    bool touched;     /* is in the list */
};

struct sim_chunk_group {
    struct sim_chunk chunks[GROUP_CHUNKS];
};

static bool all_zero(const uint8_t *data, size_t size)
{
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

/* ---- chunks ---- */

static bool has_sector(unsigned mask, unsigned sector)
{
    return (mask >> sector & 1u) != 0;
}

static struct sim_chunk *chunk_find(const struct sim_content *content, uint64_t number)
{
    uint64_t group = number / GROUP_CHUNKS;
    if (group >= content->group_count || content->groups[group] == NULL) {
        return NULL;
    }
    return &content->groups[group]->chunks[number % GROUP_CHUNKS];
}

static struct sim_chunk *chunk_make(struct sim_content *content, uint64_t number)
{
    size_t group = (size_t)(number / GROUP_CHUNKS);
    if (group >= content->group_count) {
        content->groups =
            mem_realloc(content->groups, (group + 1) * sizeof(struct sim_chunk_group *));
        while (content->group_count <= group) {
            content->groups[content->group_count++] = NULL;
        }
    }
    if (content->groups[group] == NULL) {
        content->groups[group] = mem_zalloc(sizeof(struct sim_chunk_group));
    }
    return &content->groups[group]->chunks[number % GROUP_CHUNKS];
}

static uint8_t *buffer_dup(const uint8_t *buffer)
{
    return buffer == NULL ? mem_zalloc(CHUNK_BYTES) : mem_dup(buffer, CHUNK_BYTES);
}

/* Gives the page cache a buffer of its own. */
static void chunk_part(struct sim_chunk *chunk)
{
    if (chunk->now == chunk->disk) {
        chunk->now = buffer_dup(chunk->disk);
    }
}

static const uint8_t *sector_in(const uint8_t *buffer, unsigned sector)
{
    static const uint8_t ZEROS[SIM_SECTOR_BYTES];
    return buffer == NULL ? ZEROS : buffer + (size_t)sector * SIM_SECTOR_BYTES;
}

static void touch(struct sim_content *content, struct sim_chunk *chunk, uint64_t number)
{
    if (chunk->touched) {
        return;
    }
    if (content->touched_count == content->touched_capacity) {
        content->touched_capacity = BASE_MAX(content->touched_capacity * 2, (size_t)16);
        content->touched =
            mem_realloc(content->touched, content->touched_capacity * sizeof(uint64_t));
    }
    content->touched[content->touched_count++] = number;
    chunk->touched = true;
}

/* The sector was just written: unsynced unless the disk has the same bytes. */
static void sector_mark(struct sim_chunk *chunk, unsigned sector)
{
    uint8_t bit = (uint8_t)(1u << sector);
    bool same = memcmp(sector_in(chunk->now, sector), sector_in(chunk->disk, sector),
                       SIM_SECTOR_BYTES) == 0;
    chunk->stale &= (uint8_t)~bit;
    chunk->unsynced = (uint8_t)(same ? chunk->unsynced & ~bit : chunk->unsynced | bit);
}

/* The disk gets what the page cache has of the sectors in mask. */
static void chunk_store(struct sim_chunk *chunk, uint8_t mask)
{
    if (mask == 0) {
        return;
    }
    if (chunk->disk == NULL) {
        chunk->disk = mem_zalloc(CHUNK_BYTES);
    }
    for (unsigned i = 0; i < CHUNK_SECTORS; i++) {
        if (has_sector(mask, i)) {
            memcpy(chunk->disk + (size_t)i * SIM_SECTOR_BYTES, sector_in(chunk->now, i),
                   SIM_SECTOR_BYTES);
        }
    }
    chunk->unsynced &= (uint8_t)~mask;
}

/* The page cache gets what the disk has of the sectors in mask. */
static void chunk_forget(struct sim_chunk *chunk, uint8_t mask)
{
    for (unsigned i = 0; i < CHUNK_SECTORS; i++) {
        if (has_sector(mask, i)) {
            memcpy(chunk->now + (size_t)i * SIM_SECTOR_BYTES, sector_in(chunk->disk, i),
                   SIM_SECTOR_BYTES);
        }
    }
    chunk->unsynced &= (uint8_t)~mask;
    chunk->stale &= (uint8_t)~mask;
}

/* One buffer again when nothing differs, none when it holds zeros. */
static void chunk_settle(struct sim_chunk *chunk)
{
    if (chunk->unsynced != 0 || chunk->stale != 0) {
        return;
    }
    if (chunk->now != chunk->disk) {
        mem_free(chunk->disk);
        chunk->disk = chunk->now;
    }
    if (chunk->now != NULL && all_zero(chunk->now, CHUNK_BYTES)) {
        mem_free(chunk->now);
        chunk->now = NULL;
        chunk->disk = NULL;
    }
}

static int by_number(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void touched_sort(struct sim_content *content)
{
    if (content->touched_count > 1) {
        qsort(content->touched, content->touched_count, sizeof(uint64_t), by_number);
    }
}

/* Takes chunks in which nothing differs from the list. */
static void touched_settle(struct sim_content *content)
{
    size_t kept = 0;
    for (size_t i = 0; i < content->touched_count; i++) {
        struct sim_chunk *chunk = chunk_find(content, content->touched[i]);
        chunk_settle(chunk);
        chunk->touched = chunk->unsynced != 0 || chunk->stale != 0;
        if (chunk->touched) {
            content->touched[kept++] = content->touched[i];
        }
    }
    content->touched_count = kept;
}

/* ---- whole contents ---- */

void content_free(struct sim_content *content)
{
    for (size_t i = 0; i < content->group_count; i++) {
        for (size_t j = 0; content->groups[i] != NULL && j < GROUP_CHUNKS; j++) {
            struct sim_chunk *chunk = &content->groups[i]->chunks[j];
            if (chunk->now != chunk->disk) {
                mem_free(chunk->disk);
            }
            mem_free(chunk->now);
        }
        mem_free(content->groups[i]);
    }
    mem_free(content->groups);
    mem_free(content->touched);
    *content = (struct sim_content){0};
}

void content_clone(const struct sim_content *content, struct sim_content *out_clone)
{
    struct sim_content clone = *content;
    clone.groups = mem_array(content->group_count, sizeof(struct sim_chunk_group *));
    clone.touched = mem_array(content->touched_count, sizeof(uint64_t));
    clone.touched_capacity = content->touched_count;
    for (size_t i = 0; i < content->touched_count; i++) {
        clone.touched[i] = content->touched[i];
    }
    for (size_t i = 0; i < content->group_count; i++) {
        if (content->groups[i] == NULL) {
            continue;
        }
        clone.groups[i] = mem_dup(content->groups[i], sizeof(struct sim_chunk_group));
        for (size_t j = 0; j < GROUP_CHUNKS; j++) {
            struct sim_chunk *chunk = &clone.groups[i]->chunks[j];
            bool shared = chunk->now == chunk->disk;
            chunk->now = chunk->now == NULL ? NULL : buffer_dup(chunk->now);
            chunk->disk = shared                ? chunk->now
                          : chunk->disk == NULL ? NULL
                                                : buffer_dup(chunk->disk);
        }
    }
    *out_clone = clone;
}

size_t content_read(const struct sim_content *content, uint64_t offset, void *data, size_t size)
{
    if (offset >= content->now_bytes) {
        return 0;
    }
    size = (size_t)BASE_MIN((uint64_t)size, content->now_bytes - offset);
    size_t done = 0;
    while (done < size) {
        uint64_t at = offset + done;
        size_t inside = (size_t)(at % CHUNK_BYTES);
        size_t piece = BASE_MIN(CHUNK_BYTES - inside, size - done);
        const struct sim_chunk *chunk = chunk_find(content, at / CHUNK_BYTES);
        if (chunk == NULL || chunk->now == NULL) {
            memset((uint8_t *)data + done, 0, piece);
        } else {
            memcpy((uint8_t *)data + done, chunk->now + inside, piece);
        }
        done += piece;
    }
    return size;
}

/* Inside of one chunk. */
static void piece_write(struct sim_content *content, uint64_t at, const uint8_t *data, size_t size)
{
    uint64_t number = at / CHUNK_BYTES;
    size_t inside = (size_t)(at % CHUNK_BYTES);
    struct sim_chunk *chunk = chunk_find(content, number);
    bool hole = chunk == NULL || (chunk->now == NULL && chunk->disk == NULL);
    if (hole && all_zero(data, size)) {
        return;
    }
    chunk = chunk_make(content, number);
    chunk_part(chunk);
    memcpy(chunk->now + inside, data, size);
    for (size_t i = inside / SIM_SECTOR_BYTES; i <= (inside + size - 1) / SIM_SECTOR_BYTES; i++) {
        sector_mark(chunk, (unsigned)i);
    }
    touch(content, chunk, number);
}

void content_write(struct sim_content *content, uint64_t offset, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        size_t inside = (size_t)((offset + done) % CHUNK_BYTES);
        size_t piece = BASE_MIN(CHUNK_BYTES - inside, size - done);
        piece_write(content, offset + done, (const uint8_t *)data + done, piece);
        done += piece;
    }
    if (size != 0) {
        content->now_bytes = BASE_MAX(content->now_bytes, offset + size);
    }
}

/* Zeros in the page cache from here to limit. */
static void now_clear(struct sim_content *content, uint64_t from, uint64_t limit)
{
    static const uint8_t ZEROS[CHUNK_BYTES];
    while (from < limit) {
        if (from / GROUP_BYTES >= content->group_count ||
            content->groups[from / GROUP_BYTES] == NULL) {
            from = (from / GROUP_BYTES + 1) * GROUP_BYTES;
            continue;
        }
        size_t piece = (size_t)BASE_MIN((uint64_t)CHUNK_BYTES - from % CHUNK_BYTES, limit - from);
        piece_write(content, from, ZEROS, piece);
        from += piece;
    }
}

static uint64_t reach(const struct sim_content *content)
{
    return content->group_count * GROUP_BYTES;
}

void content_resize(struct sim_content *content, uint64_t size)
{
    if (size < content->now_bytes) {
        now_clear(content, size, content->now_bytes);
    }
    content->now_bytes = size;
}

/* ---- durability ---- */

void content_sync(struct sim_content *content)
{
    for (size_t i = 0; i < content->touched_count; i++) {
        struct sim_chunk *chunk = chunk_find(content, content->touched[i]);
        if (chunk->stale == 0) {
            chunk->unsynced = 0; /* the page cache's buffer becomes the disk's */
        } else {
            chunk_store(chunk, chunk->unsynced);
        }
    }
    touched_settle(content);
    content->disk_bytes = content->now_bytes;
}

static uint8_t mask_draw(uint8_t of, struct rng *rng)
{
    return (uint8_t)(of & rng_next(rng));
}

static size_t bits_in(uint8_t mask)
{
    return (size_t)__builtin_popcount(mask);
}

size_t content_sync_fail(struct sim_content *content, struct rng *rng)
{
    size_t left = 0;
    touched_sort(content);
    for (size_t i = 0; i < content->touched_count; i++) {
        struct sim_chunk *chunk = chunk_find(content, content->touched[i]);
        chunk_store(chunk, mask_draw(chunk->unsynced, rng));
        left += bits_in(chunk->unsynced);
        chunk->stale |= chunk->unsynced;
        chunk->unsynced = 0;
    }
    touched_settle(content);
    if (content->disk_bytes != content->now_bytes && rng_below(rng, 2) == 0) {
        content->disk_bytes = content->now_bytes;
    }
    return left;
}

void content_write_back(struct sim_content *content, struct rng *rng)
{
    touched_sort(content);
    for (size_t i = 0; i < content->touched_count; i++) {
        struct sim_chunk *chunk = chunk_find(content, content->touched[i]);
        chunk_store(chunk, mask_draw(chunk->unsynced, rng));
    }
    touched_settle(content);
}

void content_evict(struct sim_content *content, struct rng *rng)
{
    touched_sort(content);
    for (size_t i = 0; i < content->touched_count; i++) {
        struct sim_chunk *chunk = chunk_find(content, content->touched[i]);
        chunk_forget(chunk, mask_draw(chunk->stale, rng));
    }
    now_clear(content, content->now_bytes, reach(content));
    touched_settle(content);
}

size_t content_unsynced(struct sim_content *content)
{
    size_t count = 0;
    for (size_t i = 0; i < content->touched_count; i++) {
        count += bits_in(chunk_find(content, content->touched[i])->unsynced);
    }
    return count;
}

/* The size after a power cut: least is what the surviving sectors ask for. */
static uint64_t size_after(const struct sim_content *content, uint64_t least, bool all,
                           enum content_size size, struct rng *rng)
{
    bool drawn = size == CONTENT_SIZE_DRAWN;
    if (size == CONTENT_SIZE_OLD) {
        return content->disk_bytes;
    }
    if (content->now_bytes < content->disk_bytes) { /* cut short, not synced */
        bool cut = drawn ? rng_below(rng, 2) == 0 : all;
        return cut ? content->now_bytes : content->disk_bytes;
    }
    if (!drawn || least >= content->now_bytes) {
        return all ? BASE_MAX(least, content->now_bytes) : least;
    }
    switch (rng_below(rng, 3)) {
    case 0:
        return least;
    case 1:
        return content->now_bytes;
    default:
        return least + rng_below(rng, content->now_bytes - least + 1);
    }
}

void content_cut(struct sim_content *content, content_keep_fn keep, void *ctx,
                 enum content_size size, struct rng *rng)
{
    uint64_t least = content->disk_bytes;
    bool all = true;
    touched_sort(content);
    for (size_t i = 0; i < content->touched_count; i++) {
        struct sim_chunk *chunk = chunk_find(content, content->touched[i]);
        uint8_t kept = 0;
        for (unsigned j = 0; j < CHUNK_SECTORS; j++) {
            if (!has_sector(chunk->unsynced, j)) {
                continue;
            }
            if (keep(ctx)) {
                kept |= (uint8_t)(1u << j);
                uint64_t end = content->touched[i] * CHUNK_BYTES + (j + 1ull) * SIM_SECTOR_BYTES;
                least = BASE_MAX(least, BASE_MIN(end, content->now_bytes));
            } else {
                all = false;
            }
        }
        chunk_store(chunk, kept);
        chunk_forget(chunk, chunk->unsynced | chunk->stale);
    }
    touched_settle(content);
    content->now_bytes = size_after(content, least, all, size, rng);
    /* What was written back beyond the size is not in the file. */
    now_clear(content, content->now_bytes, reach(content));
    content_sync(content);
}

void content_flip(struct sim_content *content, uint64_t sector, struct rng *rng)
{
    uint64_t number = sector / CHUNK_SECTORS;
    struct sim_chunk *chunk = chunk_make(content, number);
    unsigned in_chunk = (unsigned)(sector % CHUNK_SECTORS);
    bool shared = chunk->now == chunk->disk;
    if (chunk->disk == NULL) {
        chunk->disk = mem_zalloc(CHUNK_BYTES);
        chunk->now = shared ? chunk->disk : chunk->now;
    }
    bool differs = has_sector(chunk->unsynced, in_chunk) || has_sector(chunk->stale, in_chunk);
    uint64_t in_file = content->disk_bytes - sector * SIM_SECTOR_BYTES;
    uint64_t bits = BASE_MIN(in_file, (uint64_t)SIM_SECTOR_BYTES) * 8;
    uint64_t at = rng_below(rng, bits);
    uint64_t count = 1 + rng_below(rng, 8); /* bits is 8 or more */
    for (uint64_t i = 0; i < count; i++) {
        uint64_t bit = (at + i * 7) % bits;
        size_t byte = (size_t)(in_chunk * SIM_SECTOR_BYTES + bit / 8);
        chunk->disk[byte] ^= (uint8_t)(1u << bit % 8);
        if (!shared && !differs) {
            chunk->now[byte] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

uint64_t content_hash(const struct sim_content *content)
{
    uint64_t hash = content->disk_bytes * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < content->group_count; i++) {
        for (size_t j = 0; content->groups[i] != NULL && j < GROUP_CHUNKS; j++) {
            const uint8_t *bytes = content->groups[i]->chunks[j].disk;
            if (bytes != NULL && !all_zero(bytes, CHUNK_BYTES)) {
                uint64_t number = i * GROUP_CHUNKS + j;
                hash = (hash ^ number) * UINT64_C(0x100000001b3);
                hash = (hash ^ crc32c(0, bytes, CHUNK_BYTES)) * UINT64_C(0x100000001b3);
            }
        }
    }
    return hash;
}
