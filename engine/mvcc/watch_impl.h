/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the watch hub share. Private to them. */
#ifndef ENGINE_MVCC_WATCH_IMPL_H
#define ENGINE_MVCC_WATCH_IMPL_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "engine/mvcc/watch.h"
#include "engine/mvcc/watch_index.h"

/* ---- events (watch_event.c) ---- */

/* One change in wire form, as field 11 of a WatchResponse. Owns its bytes. */
struct watch_event {
    int64_t revision;
    bool is_delete;
    bool is_create;
    bool prev_is_known; /* with_prev has been looked for */
    struct bytes key;   /* inside plain */
    struct bytes plain;
    struct bytes with_prev; /* empty: there is none to be had */
};

/* Makes the event; false when it is nobody's (a record without a key). */
bool watch_event_init(struct watch_event *event, const struct mvcc_event *change);
void watch_event_free(struct watch_event *event);

/* The newest events, all of every revision from from_revision on. Sequence numbers never repeat. */
struct watch_cache {
    struct watch_event *events; /* a ring */
    size_t capacity;            /* a power of two, or 0 */
    uint64_t begin;             /* sequence number of the oldest */
    uint64_t end;               /* of the next to come */
    size_t bytes;
    size_t max_bytes;
    int64_t from_revision;
};

/* Forgets all; what comes next begins with from_revision. */
void watch_cache_clear(struct watch_cache *cache, int64_t from_revision);
void watch_cache_free(struct watch_cache *cache);

/* Takes the event and gives its sequence number; the oldest go when there is no room. */
uint64_t watch_cache_push(struct watch_cache *cache, struct watch_event event);
struct watch_event *watch_cache_at(const struct watch_cache *cache, uint64_t sequence);

/* The sequence number of the first event with at least this revision. */
uint64_t watch_cache_seek(const struct watch_cache *cache, int64_t revision);

/* The wire form for a watcher; the one with prev_kv is made when first asked for, at the expense of
 * the cache that holds the event (or NULL). */
int watch_event_wire(struct watch_event *event, struct mvcc *mvcc, bool want_prev,
                     struct watch_cache *cache, struct bytes *out_wire);

/* ---- responses (watch_response.c) ---- */

struct watch_header {
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t raft_term;
};

/* Writes one response, or several fragments of one. */
struct watch_response {
    struct buf *out;
    const struct watch_header *header;
    int64_t revision;
    int64_t watch_id;
    size_t fragment_bytes; /* 0: never split */
    size_t start;
    size_t event_count;
};

void watch_response_begin(struct watch_response *response);
void watch_response_event(struct watch_response *response, struct bytes wire);
void watch_response_end(struct watch_response *response);

/* The answers without events. */
struct watch_answer {
    int64_t revision;
    int64_t watch_id;
    bool created;
    bool canceled;
    int64_t compact_revision;
    const char *cancel_reason;
};
void watch_answer_write(const struct watch_header *header, const struct watch_answer *answer,
                        struct buf *out);

/* ---- hub ---- */

enum watcher_state {
    WATCHER_IDLE,    /* told all up to hub->revision; in its group's idle list */
    WATCHER_LIVE,    /* has events to send, from `position` among the group's recent ones */
    WATCHER_CATCHUP, /* has history to read, from next_revision */
};

struct watcher {
    struct watch_stream *stream;
    struct watch_group *group;
    struct list group_node;
    struct list ready_node; /* in stream->ready: busy, or idle and owed a progress notification */
    enum watcher_state state;
    int64_t id;
    int64_t start_revision;
    int64_t next_revision; /* the first that it may still be told; idle: at least that */
    uint64_t position;
    bool wants_progress;
    bool wants_prev;
    bool wants_fragments;
    bool drops_puts;
    bool drops_deletes;
    bool is_quiet; /* no event since the last progress tick */
};

struct watch_stream {
    struct watch_hub *hub;
    void *user;
    struct list hub_node;
    struct list announce_node; /* in hub->announced */
    bool is_announced;         /* given, or to be given, by watch_hub_ready */
    struct map watchers;       /* by id */
    int64_t next_id;
    struct list ready;   /* watchers */
    size_t busy_count;   /* watchers that are not idle */
    struct buf control;  /* answers, ready to send */
    bool progress_asked; /* a progress request waits for the busy ones */
    size_t progress_watchers;
    int64_t progress_interval_ms;
    int64_t next_tick_ms;
    struct heap_node tick_node;
};

struct watch_hub {
    struct watch_header header;
    size_t fragment_bytes;
    uint64_t seed;
    struct mvcc *mvcc;
    int64_t revision; /* all up to here is known to the hub */
    struct watch_index index;
    struct watch_cache cache;
    struct list streams;
    struct list announced;
    struct heap ticks;
    size_t stream_count;
    size_t watcher_count;
    size_t busy_count;
    uint64_t event_count; /* written into answers */
};

/* State changes, each the only place of its kind. */
void watcher_go_idle(struct watcher *watcher);
void watcher_go_live(struct watcher *watcher, int64_t revision);
void watcher_go_catchup(struct watcher *watcher, int64_t next_revision);
void watcher_drop(struct watcher *watcher);
void watch_stream_announce(struct watch_stream *stream);

/* True when a watcher of the stream starts in the future. */
bool watch_stream_waits_for_future(const struct watch_stream *stream);

static inline bool watcher_wants(const struct watcher *watcher, bool is_delete)
{
    return is_delete ? !watcher->drops_deletes : !watcher->drops_puts;
}

#endif
