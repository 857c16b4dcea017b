/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest revisions in memory, until the store holds them: a queue in revision order whose
 * records stay at their addresses until they are dropped (batches on their way to the store borrow
 * them).
 */
#ifndef ENGINE_MVCC_TAIL_H
#define ENGINE_MVCC_TAIL_H

#include "engine/mvcc/keyvalue.h"

struct tail_block;

struct tail_record {
    struct revision revision;
    struct bytes data;
};

/* Owns the blocks that hold the bytes and the ring of records. */
struct tail {
    struct tail_record *ring;
    size_t first;
    size_t count;
    size_t capacity; /* a power of two, or 0 */
    struct tail_block *oldest;
    struct tail_block *newest;
    size_t bytes;
};

void tail_init(struct tail *tail);
void tail_free(struct tail *tail);

/* Adds a record of size bytes above all others and gives the place to write them. */
uint8_t *tail_append(struct tail *tail, struct revision revision, size_t size);

/* Drops all records with main <= this. */
void tail_drop(struct tail *tail, int64_t main);

/* The record at a position from the oldest. */
const struct tail_record *tail_at(const struct tail *tail, size_t position);

/* The position of the first record that is not below revision; the count when there is none. */
size_t tail_seek(const struct tail *tail, struct revision revision);

#endif
