/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a journal to what a disk may hold after a power cut. A cursor walks the journal; at each
 * place it knows what is durable and what is pending. Pending are sectors of 512 bytes, sizes of
 * files, and changes of names. An image is what is durable, any subset of the pending sectors and
 * sizes (in the order of the writes, a sector whole or not at all), and of each folder's pending
 * changes of names a prefix. Only a cut of a file's length is ordered with the sectors of that file
 * that follow it.
 */
#ifndef TESTS_CRASH_IMAGE_H
#define TESTS_CRASH_IMAGE_H

#include "tests/crash/journal.h"

#define SECTOR_BYTES 512u
#define NOTES_MAX    16u

/* What the cursor pretends did not happen, to show that an oracle would notice. */
enum crash_lie {
    LIE_NONE,
    LIE_SKIP_DIR_SYNC,      /* names are never made durable */
    LIE_SKIP_WAL_SYNC,      /* the log's files are never flushed */
    LIE_SKIP_STORE_SYNC,    /* LMDB's pages are not flushed before its meta page */
    LIE_RENAME_BEFORE_SYNC, /* files get their final name before they are flushed */
    LIE_SKIP_MARK_SYNC,     /* the durability mark is not flushed */
    LIE_COUNT
};

/* One pending sector, or one pending size. data is owned. */
struct unit {
    uint32_t node;
    enum { UNIT_SECTOR, UNIT_GROW, UNIT_CUT } kind;
    uint64_t sector;
    uint64_t size; /* of the file at that time, or its new size */
    uint8_t *data;
};

struct file_state {
    uint8_t *live, *durable;
    uint64_t live_size, live_capacity, durable_size;
    uint64_t durable_hash;
    uint32_t syncs_to_skip; /* of a planted lie */
};

struct cursor {
    const struct journal *journal;
    enum crash_lie lie;
    uint32_t at; /* operations that have happened */
    uint32_t node_count;
    struct file_state *files; /* per node */
    struct dir_names *names;  /* durable ones, per node */
    struct unit *units;
    uint32_t unit_count, unit_capacity;
    const struct op **dir_ops; /* pending, in order */
    uint32_t dir_op_count, dir_op_capacity;
    uint64_t notes[NOTES_MAX];
};

void cursor_init(struct cursor *cursor, const struct journal *journal, enum crash_lie lie);
void cursor_free(struct cursor *cursor);

/* Lets one more operation happen. */
void cursor_step(struct cursor *cursor);

/* What of the pending things has reached the disk; arrays of unit_count and dir_op_count. */
struct selection {
    const bool *units;
    const bool *dir_ops;
};

/* Equal images have equal hashes. */
uint64_t image_hash(const struct cursor *cursor, const struct selection *selection);

/* Writes it into the folder root, which is empty. */
void image_write(const struct cursor *cursor, const struct selection *selection, const char *root);

/* How wide to search where there are too many subsets for all. */
struct subset_limits {
    uint32_t singles; /* of each kind: one missing, one present, cut here */
    uint32_t randoms;
};

/* Return false to stop. index numbers the selections of one place, from 0. */
typedef bool (*selection_fn)(void *ctx, uint32_t index, const struct selection *selection);

/* Gives the selections of this place, always in the same order; seed makes the random ones. */
void selections_each(const struct cursor *cursor, const struct subset_limits *limits, uint64_t seed,
                     selection_fn each, void *ctx);

/* 64 bits that depend on all of data. */
uint64_t bytes_hash(uint64_t seed, const void *data, size_t size);

/* Removes what is in the folder path, or the folder as well. */
void tree_clear(const char *path);

/* True when the folder holds what is live at the cursor; *out_what names a difference. */
bool tree_is_live(const struct cursor *cursor, const char *root, char **out_what);

#endif
