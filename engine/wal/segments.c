/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a log directory. */
#include "engine/wal/segments.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define HEX_DIGITS 16u

void wal_name_format(uint64_t sequence, uint64_t index, char out_name[WAL_NAME_BYTES])
{
    (void)snprintf(out_name, WAL_NAME_BYTES, "%016" PRIx64 "-%016" PRIx64 ".wal", sequence, index);
}

/* Exactly 16 lower-case hexadecimal digits. */
static bool hex_parse(const char *text, uint64_t *out_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < HEX_DIGITS; i++) {
        char digit = text[i];
        if (digit >= '0' && digit <= '9') {
            value = value << 4 | (uint64_t)(digit - '0');
        } else if (digit >= 'a' && digit <= 'f') {
            value = value << 4 | (uint64_t)(digit - 'a' + 10);
        } else {
            return false;
        }
    }
    *out_value = value;
    return true;
}

bool wal_name_parse(const char *name, uint64_t *out_sequence, uint64_t *out_index)
{
    if (strlen(name) != WAL_NAME_BYTES - 1 || name[HEX_DIGITS] != '-' ||
        !str_ends_with(name, ".wal")) {
        return false;
    }
    uint64_t sequence;
    uint64_t index;
    if (!hex_parse(name, &sequence) || !hex_parse(name + HEX_DIGITS + 1, &index)) {
        return false;
    }
    *out_sequence = sequence;
    *out_index = index;
    return true;
}

char *wal_path_join(const char *dir, const char *name)
{
    return str_printf("%s/%s", dir, name);
}

char *wal_path_parent(const char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    while (size > 0 && path[size - 1] != '/') {
        size--;
    }
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    return size == 0 ? str_dup(".") : str_from(path, size);
}

char *wal_segment_path(const char *dir, const struct wal_segment *segment)
{
    char name[WAL_NAME_BYTES];
    wal_name_format(segment->sequence, segment->index, name);
    return wal_path_join(dir, name);
}

void wal_segments_add(struct wal_segments *segments, struct wal_segment segment)
{
    if (segments->count == segments->capacity) {
        segments->capacity = segments->capacity == 0 ? 8u : segments->capacity * 2u;
        segments->items =
            mem_realloc(segments->items, (size_t)segments->capacity * sizeof(segments->items[0]));
    }
    segments->items[segments->count++] = segment;
}

void wal_segments_free(struct wal_segments *segments)
{
    mem_free(segments->items);
    *segments = (struct wal_segments){0};
}

static void name_add(void *ctx, const char *name)
{
    struct wal_segments *segments = ctx;
    struct wal_segment segment = {0};
    if (segments->count < WAL_SEGMENTS_MAX &&
        wal_name_parse(name, &segment.sequence, &segment.index)) {
        wal_segments_add(segments, segment);
    }
}

static int by_sequence(const void *a, const void *b)
{
    const struct wal_segment *left = a;
    const struct wal_segment *right = b;
    if (left->sequence != right->sequence) {
        return left->sequence < right->sequence ? -1 : 1;
    }
    return left->index < right->index ? -1 : left->index > right->index;
}

int wal_segments_list(const struct disk_seam *disk, const char *dir,
                      struct wal_segments *out_segments)
{
    struct wal_segments segments = {0};
    int rc = disk->list_dir(disk->ctx, dir, name_add, &segments);
    if (rc != 0) {
        wal_segments_free(&segments);
        return rc;
    }
    if (segments.count > 1) {
        qsort(segments.items, segments.count, sizeof(segments.items[0]), by_sequence);
    }
    *out_segments = segments;
    return 0;
}

int wal_segments_find(const struct wal_segments *segments, const char *dir, uint64_t index,
                      uint32_t *out_at, struct err *err)
{
    uint32_t at = segments->count;
    while (at > 0 && segments->items[at - 1].index > index) {
        at--;
    }
    if (at == 0) {
        return err_set(err, E_NOT_FOUND,
                       "%s: no segment reaches back to index %" PRIu64
                       "; the log before it was purged: restore the snapshot file of a later index",
                       dir, index);
    }
    at--;
    for (uint32_t i = at + 1; i < segments->count; i++) {
        if (segments->items[i].sequence != segments->items[i - 1].sequence + 1) {
            return err_set(err, E_CORRUPT,
                           "%s: segment %016" PRIx64
                           " is missing; put the file back, or remove this member and add it anew",
                           dir, segments->items[i - 1].sequence + 1);
        }
    }
    *out_at = at;
    return 0;
}
