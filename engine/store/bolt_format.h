/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of the bbolt file format (docs/formats/bolt.md), shared by writer and reader. All
 * integers are little-endian.
 */
#ifndef ENGINE_STORE_BOLT_FORMAT_H
#define ENGINE_STORE_BOLT_FORMAT_H

#include "base/bytes.h"

/* Page header: id u64, flags u16, count u16, overflow u32 (pages that follow as part of this one).
 */
#define BOLT_HEADER_BYTES  16u
#define BOLT_FLAG_BRANCH   0x01u
#define BOLT_FLAG_LEAF     0x02u
#define BOLT_FLAG_META     0x04u
#define BOLT_FLAG_FREELIST 0x10u

/* Branch element: pos u32 (from the element to its key), ksize u32, pgid u64.
 * Leaf element: flags u32, pos u32, ksize u32, vsize u32; the value follows its key. */
#define BOLT_ELEMENT_BYTES  16u
#define BOLT_ELEMENT_BUCKET 0x01u

/* Bucket header, the value of a bucket element: root pgid u64, sequence u64; with root 0 a leaf
 * page follows inside the value, when that page is at most a quarter of a page. */
#define BOLT_BUCKET_BYTES 16u

/* Meta, behind the page header of pages 0 and 1. */
#define BOLT_MAGIC          0xED0CDAEDu
#define BOLT_VERSION        2u
#define BOLT_META_BYTES     64u
#define BOLT_META_MAGIC     0u
#define BOLT_META_VERSION   4u
#define BOLT_META_PAGE_SIZE 8u
#define BOLT_META_ROOT      16u /* a bucket header */
#define BOLT_META_FREELIST  32u
#define BOLT_META_PAGES     40u /* the first page number that was never used */
#define BOLT_META_TXID      48u
#define BOLT_META_CHECKSUM  56u
#define BOLT_NO_FREELIST    UINT64_MAX /* as etcd writes: what no tree uses is free */

/* The trailing sha256 of a snapshot file; bodies are multiples of 512. */
#define BOLT_SHA_BYTES    32u
#define BOLT_SECTOR_BYTES 512u

/* True when a file of this size is a snapshot with its checksum behind. */
static inline bool bolt_size_has_sha(uint64_t size)
{
    return size > BOLT_SHA_BYTES && size % BOLT_SECTOR_BYTES == BOLT_SHA_BYTES;
}

/* The meta key that no snapshot carries and no import takes over. */
#define BOLT_META_KEY_STORAGE_VERSION "storageVersion"
#define BOLT_CLUSTER_KEY_VERSION      "clusterVersion"

/* FNV-1a, 64 bits: the checksum of a meta over the fields before it. */
static inline uint64_t bolt_meta_checksum(const uint8_t *meta)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < BOLT_META_CHECKSUM; i++) {
        hash = (hash ^ meta[i]) * 0x100000001b3u;
    }
    return hash;
}

#endif
