/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch hub: who watches what, and what each watcher is still to be told. Pure, for the state
 * thread. A watcher is a cursor: one that is behind costs no more than one that is not, because its
 * events are read again from the key space when its client makes room.
 * What it guarantees, per watcher: `created` comes first; events come in the order of revision and
 * sub, each once, none left out; a revision is never split (unless the watcher asked for
 * fragments); after a progress answer with revision R no event <= R follows; what was compacted
 * before it could be sent ends the watcher with the compact revision.
 *
 * Use: after each applied write watch_hub_notify, then for each stream that watch_hub_ready gives
 * (and for each whose window opened while it had more) watch_stream_pull, then mvcc_release.
 */
#ifndef ENGINE_MVCC_WATCH_H
#define ENGINE_MVCC_WATCH_H

#include "base/buf.h"
#include "base/defs.h"
#include "engine/mvcc/mvcc.h"
#include "rpc.pb-c.h"

/* The id of answers that are about no single watcher. */
#define WATCH_ID_NONE (-1)

/* Recent events kept for all watchers together. */
#define WATCH_CACHE_BYTES_DEFAULT (16u * 1024u * 1024u)
#define WATCH_CACHE_EVENTS_MAX    65536u

/* Recent events remembered per watched range, for the watchers that have not sent them yet. */
#define WATCH_GROUP_EVENTS_MAX 1024u

/* A watcher with more events than this to send gets several revisions per response. */
#define WATCH_LIVE_EVENTS_MAX 128u

/* Changes that one pull looks at when it reads history for a watcher. */
#define WATCH_SCAN_EVENTS_MAX 4096u

/* Answers to requests that wait to be pulled: past this the server stops reading the stream. */
#define WATCH_CONTROL_BYTES_MAX (64u * 1024u)

/* --experimental-watch-progress-notify-interval when not given. */
#define WATCH_PROGRESS_INTERVAL_MS_DEFAULT (10 * 60 * 1000)

struct watch_hub;    /* opaque */
struct watch_stream; /* opaque: one gRPC stream */

struct watch_config {
    uint64_t cluster_id;
    uint64_t member_id;
    size_t fragment_bytes; /* responses of this size are split for those who asked */
    size_t cache_bytes;    /* 0: WATCH_CACHE_BYTES_DEFAULT */
    uint64_t seed;         /* of index and maps: clients choose keys and ids; unguessable, not 0 */
};

/* Borrows mvcc until watch_hub_free or watch_hub_reset. */
struct watch_hub *watch_hub_new(const struct watch_config *config, struct mvcc *mvcc);

/* All streams must be gone. */
void watch_hub_free(struct watch_hub *hub);

/* The term that headers carry from now on. */
void watch_hub_set_term(struct watch_hub *hub, uint64_t raft_term);

/* The key space was replaced (a snapshot was installed): all watchers go on from their cursors in
 * it. */
void watch_hub_reset(struct watch_hub *hub, struct mvcc *mvcc);

/*
 * Takes in all revisions up to mvcc_revision that it has not seen. Costs per change: the watchers
 * that match it. 0, or the failure of mvcc_each_event.
 */
BASE_MUST_CHECK int watch_hub_notify(struct watch_hub *hub);

/* Gives one stream that has something to send and was not given since it last ran dry; NULL: none.
 */
struct watch_stream *watch_hub_ready(struct watch_hub *hub);

/* Progress notifications that are due by now; streams become ready. */
void watch_hub_tick(struct watch_hub *hub, int64_t now_ms);

/* When watch_hub_tick has work; INT64_MAX: never as things are. */
int64_t watch_hub_next_deadline_ms(const struct watch_hub *hub);

struct watch_stats {
    size_t stream_count;
    size_t watcher_count;
    size_t slow_count; /* watchers that have events to send */
    size_t cache_bytes;
};

/* Events in all answers that were pulled so far. */
uint64_t watch_hub_events(const struct watch_hub *hub);
void watch_hub_stats(const struct watch_hub *hub, struct watch_stats *out_stats);

/* ---- streams ---- */

/* Opens a stream; user is the server's. Progress notifications come at the interval (give it some
 * jitter of its own). */
struct watch_stream *watch_stream_new(struct watch_hub *hub, void *user, int64_t now_ms,
                                      int64_t progress_interval_ms);

/* Ends it with all its watchers; what was not pulled is dropped. */
void watch_stream_free(struct watch_stream *stream);
void *watch_stream_user(const struct watch_stream *stream);
size_t watch_stream_watchers(const struct watch_stream *stream);

/*
 * Carries out one request of the client. denied is NULL, or why a create request may not be: the
 * text of the gRPC error ("rpc error: code = PermissionDenied desc = ..."). Whatever is wrong with
 * a request is answered on the stream.
 */
void watch_stream_request(struct watch_stream *stream, const Etcdserverpb__WatchRequest *request,
                          const char *denied);

/* True while answers pile up: read no more requests until a pull has drained them. */
bool watch_stream_is_full(const struct watch_stream *stream);

/*
 * Appends WatchResponse messages, each with gRPC's five bytes in front (0, then the size as BE32),
 * until max_bytes are reached (by at most one response passed) or nothing is left. *out_more: there
 * is more; pull again when there is room (it may be true though nothing was appended: history was
 * read and did not match). 0, or a failure of the key space: the member must stop. Call
 * mvcc_release afterwards.
 */
BASE_MUST_CHECK int watch_stream_pull(struct watch_stream *stream, size_t max_bytes,
                                      struct buf *out, bool *out_more);

#endif
