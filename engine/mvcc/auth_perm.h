/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of keys that somebody may read, or write, and whether one holds a run that is asked for. The
 * answers are those of etcd's interval trees for all input, also for runs that hold nothing (their
 * end is not behind their begin): members of both kinds must refuse the same log entries.
 */
#ifndef ENGINE_MVCC_AUTH_PERM_H
#define ENGINE_MVCC_AUTH_PERM_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/defs.h"

/* [begin, end); an end of no bytes lies behind all keys. */
struct perm_span {
    struct bytes begin, end;
};

/* spans as given, by begin; merged: where they touch or overlap, made one (perm_set_finish). */
struct perm_set {
    struct perm_span *spans, *merged;
    size_t span_count, span_capacity, merged_count;
    bool has_odd; /* one whose end is not behind its begin: merging would change the answers */
};

void perm_set_init(struct perm_set *set);
void perm_set_free(struct perm_set *set);

/* Adds what a permission names: range_end empty: the one key; "\0": all keys >= key. The bytes are
 * borrowed; arena takes what must be made. */
void perm_set_add(struct perm_set *set, struct bytes key, struct bytes range_end,
                  struct arena *arena);

/* After the last perm_set_add. */
void perm_set_finish(struct perm_set *set);

/* True when all of the run lies inside (range_end as with perm_set_add). */
bool perm_set_holds(const struct perm_set *set, struct bytes key, struct bytes range_end);

#endif
