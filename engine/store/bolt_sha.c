/* SPDX-License-Identifier: Apache-2.0 */
/* The sha256 that a snapshot carries behind its pages, compared in bounded memory. */
#include <inttypes.h>
#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/store/bolt.h"
#include "engine/store/bolt_format.h"

#define HASH_CHUNK_BYTES (256u * 1024u)

/* A file on its way through the hash. */
struct hashed {
    const struct disk_seam *disk;
    struct disk_file *file;
    const char *path;
    struct err *err;
};

static int read_at(const struct hashed *hashed, uint64_t offset, void *data, size_t size)
{
    size_t got = 0;
    int rc = hashed->disk->read_at(hashed->file, offset, data, size, &got);
    if (rc != 0) {
        return err_set(hashed->err, rc, "%s: read at %" PRIu64 ": %s", hashed->path, offset,
                       err_code_text(rc));
    }
    return got == size ? 0
                       : err_set(hashed->err, E_CORRUPT, "%s: the file ends at %" PRIu64,
                                 hashed->path, offset + got);
}

static int hash_body(const struct hashed *hashed, uint64_t size, uint8_t out_sha[BOLT_SHA_BYTES])
{
    uint8_t *chunk = mem_alloc(HASH_CHUNK_BYTES);
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    bool good = sha != NULL && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1;
    ASSERT(good);
    int rc = 0;
    for (uint64_t offset = 0; offset < size && rc == 0; offset += HASH_CHUNK_BYTES) {
        size_t count = (size_t)BASE_MIN(size - offset, HASH_CHUNK_BYTES);
        rc = read_at(hashed, offset, chunk, count);
        if (rc == 0) {
            good = EVP_DigestUpdate(sha, chunk, count) == 1;
            ASSERT(good);
        }
    }
    good = EVP_DigestFinal_ex(sha, out_sha, NULL) == 1;
    ASSERT(good);
    EVP_MD_CTX_free(sha);
    mem_free(chunk);
    return rc;
}

static int compare(const struct hashed *hashed)
{
    uint8_t want[BOLT_SHA_BYTES];
    uint8_t have[BOLT_SHA_BYTES] = {0};
    uint64_t size = 0;
    int rc = hashed->disk->size(hashed->file, &size);
    if (rc != 0) {
        return err_set(hashed->err, rc, "open %s: %s", hashed->path, err_code_text(rc));
    }
    if (!bolt_size_has_sha(size)) {
        return err_set(hashed->err, E_NOT_FOUND, "%s carries no checksum", hashed->path);
    }
    rc = read_at(hashed, size - BOLT_SHA_BYTES, want, sizeof(want));
    if (rc == 0) {
        rc = hash_body(hashed, size - BOLT_SHA_BYTES, have);
    }
    if (rc == 0 && memcmp(want, have, sizeof(want)) != 0) {
        rc = err_set(hashed->err, E_CORRUPT, "%s: the sha256 at its end is not that of the rest",
                     hashed->path);
    }
    return rc;
}

int bolt_verify_sha256(const struct disk_seam *disk, const char *path, struct err *err)
{
    struct hashed hashed = {.disk = disk, .path = path, .err = err};
    int rc = disk->open(disk->ctx, path, DISK_READ, &hashed.file);
    if (rc != 0) {
        return err_set(err, rc, "open %s: %s", path, err_code_text(rc));
    }
    rc = compare(&hashed);
    disk->close(hashed.file);
    return rc;
}
