/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for members whose key space is not what the log made it, by hashes: of now, of each
 * compaction, and once before a member serves. The judging is pure.
 */
#ifndef ENGINE_SERVER_CORRUPT_H
#define ENGINE_SERVER_CORRUPT_H

#include "engine/server/internal.h"

/* Compactions whose hashes are kept, as many as etcd keeps. */
#define CORRUPT_HASHES_MAX 10u
#define CORRUPT_PEERS_MAX  64u

struct key_hash {
    uint32_t hash;
    int64_t revision, compact_revision;
};

/* What one member said. */
struct member_hash {
    uint64_t member_id;
    bool answered;
    int64_t current_revision; /* of the member when it answered */
    struct key_hash hash;
};

/*
 * The check of now: before and after are the leader's hashes around the question. Gives the members
 * that deviate (room for count + 1) and their number.
 */
size_t corrupt_judge_now(uint64_t leader_id, const struct key_hash *before,
                         const struct key_hash *after, const struct member_hash *peers,
                         size_t count, uint64_t *out_ids);

/*
 * The check of a compaction: who is not of the majority's hash deviates; without a majority it is
 * 0, all of them. *out_complete: every peer could be compared.
 */
size_t corrupt_judge_compaction(uint64_t leader_id, const struct key_hash *leader,
                                const struct member_hash *peers, size_t count, uint64_t *out_ids,
                                bool *out_complete);

struct corruption *corruption_new(void);
void corruption_free(struct corruption *corruption);

/* Housekeeping: begins the checks that are due. */
void corruption_check(struct server *server);

/* Around the application of a compaction to revision; after it with its outcome. */
void corruption_before_compaction(struct server *server, int64_t revision);
void corruption_after_compaction(struct server *server, bool done);

/* The hash that was taken at a compaction to this revision; NULL: none is kept. */
const struct key_hash *corruption_kept(const struct server *server, int64_t revision);

/* Main thread, before the member serves: E_CORRUPT when a peer's hash differs. */
int corruption_check_first(struct server *server, struct err *err);

#endif
