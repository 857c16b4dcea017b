/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which watched ranges hold a key: single keys by hash, ranges in a balanced tree that knows the
 * furthest end below each node. All watchers of the same range share one group. Private to the hub.
 */
#ifndef ENGINE_MVCC_WATCH_INDEX_H
#define ENGINE_MVCC_WATCH_INDEX_H

#include "base/bytes.h"
#include "base/defs.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "engine/mvcc/mvcc.h"

/* One watched range and what happened in it lately. Owns its bytes. */
struct watch_group {
    struct key_span span;
    struct list idle_watchers; /* have been told everything */
    size_t watcher_count;
    size_t live_count; /* watchers that read from recent */

    /* Sequence numbers of recent events, a ring; positions count from the group's first event ever.
     */
    uint64_t *recent;
    size_t recent_capacity; /* a power of two, or 0 */
    uint64_t recent_begin;  /* position of the oldest that is kept */
    uint64_t recent_end;    /* position of the next to come */

    /* Place in the tree (ranges only). */
    struct watch_group *left;
    struct watch_group *right;
    struct watch_group *furthest; /* of this subtree, the group that ends last */
    uint64_t priority;
};

struct watch_index {
    struct map points;        /* key to group */
    struct map ranges;        /* size of begin (BE64), begin, end to group */
    struct watch_group *root; /* of the ranges */
    struct rng rng;
};

void watch_index_init(struct watch_index *index, uint64_t seed);

/* No group may be left. */
void watch_index_free(struct watch_index *index);

/* The group of this span, made when there is none (span is copied). */
struct watch_group *watch_index_get(struct watch_index *index, const struct key_span *span);

/* Removes the group, which has no watchers left. */
void watch_index_drop(struct watch_index *index, struct watch_group *group);

typedef void (*watch_group_fn)(void *ctx, struct watch_group *group);

/* Visits each group whose range holds key; groups must not be made or dropped from inside. */
void watch_index_each(const struct watch_index *index, struct bytes key, watch_group_fn visit,
                      void *ctx);

/* Remembers an event for the live watchers of the group; drops the oldest past the limit. */
void watch_group_push(struct watch_group *group, uint64_t sequence);

/* The sequence number at a position that is still kept. */
uint64_t watch_group_at(const struct watch_group *group, uint64_t position);

/* Forgets all (nobody reads); what is more than a little memory is given back. */
void watch_group_forget(struct watch_group *group);

#endif
