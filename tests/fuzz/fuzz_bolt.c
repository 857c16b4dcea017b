/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a bbolt file: it is read or refused with a reason, and what is read is never more
 * than the file holds. The checksums of the metas are set right first, or nothing would come past
 * them.
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
    close(fd);
    mem_free(copy);
    return 0;
}
