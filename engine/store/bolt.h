/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshot interchange: a view of the store as a bbolt file that etcdctl, etcdutl and etcd accept,
 * in two passes with bounded memory (first sizes and page numbers, then pages), and back. The file
 * never carries meta/storageVersion, so that etcdctl 3.4 can restore it too.
 */
#ifndef ENGINE_STORE_BOLT_H
#define ENGINE_STORE_BOLT_H

#include "base/err.h"
#include "base/seam/disk.h"
#include "engine/mvcc/store.h"

#define BOLT_PAGE_BYTES 4096u

/* Gets the file's bytes in order. Return 0, or a negative E_* to stop the writing. */
typedef int (*bolt_sink_fn)(void *ctx, const void *data, size_t size);

/* Called for each key of a known bucket, buckets and keys in order; borrowed. Non-zero stops. */
typedef int (*bolt_each_fn)(void *ctx, enum store_table table, struct bytes key,
                            struct bytes value);

struct bolt_writer; /* opaque */

/*
 * Pass one: walks the view (borrowed until bolt_writer_free; pinned meanwhile) and lays out the
 * pages. *out_size is the exact size of the file.
 */
BASE_MUST_CHECK int bolt_writer_new(const struct store_seam *seam, struct store_view *view,
                                    struct bolt_writer **out_writer, uint64_t *out_size,
                                    struct err *err);

/*
 * What a file is made of when it is no store: gives all items to each, tables in the order of their
 * names, keys ascending; borrowed for that call. Called once per pass and must give the same both
 * times. Returns 0, or what each returned, or an error of its own with its text.
 */
struct bolt_source {
    int (*items)(void *ctx, bolt_each_fn each, void *each_ctx, struct err *err);
    void *ctx;
};

/* As bolt_writer_new, from a source, which is copied; bolt_writer_write gives E_CONFLICT when the
 * source did not give the same again. */
BASE_MUST_CHECK int bolt_writer_from(const struct bolt_source *source,
                                     struct bolt_writer **out_writer, uint64_t *out_size,
                                     struct err *err);

/* Pass two: gives all pages to sink. Once. */
BASE_MUST_CHECK int bolt_writer_write(struct bolt_writer *writer, bolt_sink_fn sink, void *ctx,
                                      struct err *err);
void bolt_writer_free(struct bolt_writer *writer);

/*
 * Reads a bbolt file (etcd's db, or a snapshot with or without its trailing sha256, which is not
 * compared: bolt_verify_sha256). Checks metas, page bounds, element bounds and the order of keys;
 * hostile files give E_CORRUPT with page and reason, never a crash, and so does a bbolt file
 * without buckets key and meta. Unknown buckets are skipped. What each returned comes back.
 */
BASE_MUST_CHECK int bolt_read(const struct disk_seam *disk, const char *path, bolt_each_fn each,
                              void *ctx, struct err *err);

/*
 * What is in a file, bucket by bucket in the order of their names, known ones and others; borrowed.
 * Non-zero stops. A nested bucket, of which etcd has none, comes as a key with value.data NULL.
 */
struct bolt_visitor {
    int (*bucket)(void *ctx, struct bytes name);
    int (*item)(void *ctx, struct bytes bucket, struct bytes key, struct bytes value);
    void *ctx;
};

/* What the chosen meta and the size of the file say. */
struct bolt_info {
    uint64_t file_bytes;
    uint64_t used_bytes; /* pages that were ever used: the size that tools print */
    uint32_t page_bytes;
    bool has_sha;
};

/*
 * As bolt_read, all buckets, with all that bbolt's own check looks at: where the file keeps a list
 * of free pages, each page is in use or free and never both.
 */
BASE_MUST_CHECK int bolt_walk(const struct disk_seam *disk, const char *path,
                              const struct bolt_visitor *visitor, struct bolt_info *out_info,
                              struct err *err);

/* 0 when the sha256 at the end of a snapshot file is that of the rest, E_CORRUPT when not,
 * E_NOT_FOUND when the file carries none (a copied db: its size is a multiple of 512). */
BASE_MUST_CHECK int bolt_verify_sha256(const struct disk_seam *disk, const char *path,
                                       struct err *err);

/*
 * Builds a new store directory from a bbolt file: into dir (which must not exist), synced. Until it
 * is whole its name is dir.part; on error nothing is left. What is read of position and revision
 * comes back for logs and checks. E_UNSUPPORTED for keys above STORE_KEY_BYTES_MAX (user and role
 * names), E_NO_SPACE when map_bytes or the disk are too small.
 */
struct bolt_import {
    uint64_t consistent_index, term, key_records;
    int64_t revision; /* of the newest record; 0 without records */
};
BASE_MUST_CHECK int bolt_import(const struct disk_seam *disk, const char *path, const char *dir,
                                uint64_t map_bytes, struct bolt_import *out_import,
                                struct err *err);

#endif
