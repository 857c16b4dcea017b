/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a bbolt file: it is read or refused with a reason, and what is read is never more
 * than the file holds. The checksums of the metas are set right first, or nothing would come past
 * them. Then it is walked as `snapshot verify` does, and written anew: what was written must be
 * sound again and hold the same.
 *
 * fuzz-link: store
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/store/bolt.h"
#include "engine/store/bolt_format.h"
#include "engine/store/bolt_rewrite.h"

struct tally {
    uint64_t bytes;
    uint8_t sum;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int each(void *ctx, enum store_table table, struct bytes key, struct bytes value)
{
    struct tally *tally = ctx;
    ASSERT(table < STORE_TABLE_COUNT && key.size > 0);
    for (size_t i = 0; i < key.size; i++) {
        tally->sum ^= key.data[i];
    }
    for (size_t i = 0; i < value.size; i++) {
        tally->sum ^= value.data[i];
    }
    tally->bytes += key.size + value.size;
    return 0;
}

static void set_checksum(uint8_t *data, size_t size, size_t page_at)
{
    if (page_at <= size && size - page_at >= BOLT_HEADER_BYTES + BOLT_META_BYTES) {
        uint8_t *meta = data + page_at + BOLT_HEADER_BYTES;
        put_le64(meta + BOLT_META_CHECKSUM, bolt_meta_checksum(meta));
    }
}

static int visit_bucket(void *ctx, struct bytes name)
{
    (void)ctx;
    ASSERT(name.size > 0);
    return 0;
}

static int visit_item(void *ctx, struct bytes bucket, struct bytes key, struct bytes value)
{
    struct tally *tally = ctx;
    ASSERT(bucket.size > 0 && key.size > 0);
    tally->bytes += key.size + value.size;
    tally->sum ^= key.data[key.size - 1];
    return 0;
}

static void walk(const char *path, size_t size, bool is_readable)
{
    struct tally tally = {0};
    struct bolt_visitor visitor = {visit_bucket, visit_item, &tally};
    struct bolt_info info;
    struct err err = {""};
    int rc = bolt_walk(disk_posix(), path, &visitor, &info, &err);
    ASSERT(rc == 0 || (rc == E_CORRUPT && err.text[0] != '\0'));
    ASSERT(rc != 0 || (is_readable && info.used_bytes <= size));
    ASSERT(tally.bytes <= size);
}

/* A file in memory lies on no disk that could be full. */
static int plenty(void *ctx, const char *path, uint64_t *out_bytes)
{
    (void)ctx;
    (void)path;
    *out_bytes = UINT64_MAX;
    return 0;
}

/* storageVersion stays behind; all else is there again. */
static void write_anew(const char *path, const struct tally *read)
{
    char copy[64];
    struct bolt_changes none = {NULL, NULL};
    struct tally again = {0};
    struct err err = {""};
    uint64_t bytes;
    int fd = memfd_create("anew", MFD_CLOEXEC);
    ASSERT(fd >= 0);
    snprintf(copy, sizeof(copy), "/proc/self/fd/%d", fd);
    struct disk_seam disk = *disk_posix();
    disk.free_bytes = plenty;
    int rc = bolt_rewrite(&disk, path, copy, &none, BOLT_SEALED, &bytes, &err);
    if (rc == 0) {
        ASSERT(bolt_verify_sha256(disk_posix(), copy, &err) == 0);
        ASSERT(bolt_read(disk_posix(), copy, each, &again, &err) == 0);
        ASSERT(again.bytes <= read->bytes);
        walk(copy, (size_t)bytes, true);
    } else {
        ASSERT(rc == E_UNSUPPORTED || rc == E_TOO_BIG);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct tally tally = {0};
    struct err err = {""};
    uint8_t *copy = mem_dup(data, size);
    int fd = memfd_create("bolt", MFD_CLOEXEC);
    ASSERT(fd >= 0);
    set_checksum(copy, size, 0);
    if (size >= BOLT_HEADER_BYTES + BOLT_META_BYTES) {
        set_checksum(copy, size, get_le32(copy + BOLT_HEADER_BYTES + BOLT_META_PAGE_SIZE));
    }
    ASSERT(write(fd, copy, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int rc = bolt_read(disk_posix(), path, each, &tally, &err);
    ASSERT(rc == 0 || (rc == E_CORRUPT && err.text[0] != '\0'));
    ASSERT(tally.bytes <= size);
    walk(path, size, rc == 0);
    if (rc == 0) {
        write_anew(path, &tally);
    }
    close(fd);
    mem_free(copy);
    return 0;
}
