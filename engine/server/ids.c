/* SPDX-License-Identifier: Apache-2.0 */
/* The first eight bytes of a SHA-1, big-endian; nothing here is about security. */
#include "engine/server/ids.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/bytes.h"

static uint64_t sha1_head(struct bytes input)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    static const uint8_t nothing[1];
    int ok = EVP_Digest(input.size > 0 ? input.data : nothing, input.size, digest, &size,
                        EVP_sha1(), NULL);
    ASSERT(ok == 1 && size >= 8);
    return get_be64(digest);
}

static int text_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

uint64_t ids_member(const char *const *peer_urls, size_t count, const char *token, int64_t unix_s)
{
    const char **sorted = mem_array(count + 1, sizeof(*sorted));
    for (size_t i = 0; i < count; i++) {
        sorted[i] = peer_urls[i];
    }
    qsort(sorted, count, sizeof(*sorted), text_order);
    struct buf input;
    buf_init(&input, BUF_NO_LIMIT);
    for (size_t i = 0; i < count; i++) {
        buf_append_str(&input, sorted[i]);
    }
    buf_append_str(&input, token);
    if (unix_s != IDS_NO_TIME) {
        buf_printf(&input, "%lld", (long long)unix_s);
    }
    uint64_t id = sha1_head(buf_bytes(&input));
    buf_free(&input);
    mem_free(sorted);
    return id;
}

static int id_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : (x > y ? 1 : 0);
}

uint64_t ids_cluster(const uint64_t *member_ids, size_t count)
{
    uint64_t *sorted = mem_dup(member_ids, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), id_order);
    struct buf input;
    buf_init(&input, BUF_NO_LIMIT);
    for (size_t i = 0; i < count; i++) {
        buf_append_be64(&input, sorted[i]);
    }
    uint64_t id = sha1_head(buf_bytes(&input));
    buf_free(&input);
    mem_free(sorted);
    return id;
}
