/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulling: what a stream is still to be told, written into the client's window. Two sources: the
 * recent events of a watcher's group, and history (the cache while it reaches back far enough, else
 * the key space).
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"
#include "engine/mvcc/watch_impl.h"

/* Events of one response, in order. When owned they are copies of history. */
struct event_run {
    struct watch_event **events;
    size_t count;
    size_t capacity;
    size_t bytes;
    bool is_owned;
};

static void run_add(struct event_run *run, struct watch_event *event)
{
    if (run->count == run->capacity) {
        run->capacity = run->capacity == 0 ? 16 : run->capacity * 2;
        run->events = mem_realloc(run->events, run->capacity * sizeof(struct watch_event *));
    }
    run->events[run->count++] = event;
    run->bytes += event->plain.size;
}

static void run_clear(struct event_run *run)
{
    for (size_t i = 0; run->is_owned && i < run->count; i++) {
        watch_event_free(run->events[i]);
        mem_free(run->events[i]);
    }
    run->count = 0;
    run->bytes = 0;
    run->is_owned = false;
}

static void run_free(struct event_run *run)
{
    run_clear(run);
    mem_free(run->events);
}

/* One response with all events of the run; nothing when it is empty. */
static int run_write(const struct watcher *watcher, struct event_run *run, int64_t revision,
                     struct buf *out)
{
    struct watch_hub *hub = watcher->stream->hub;
    if (run->count == 0) {
        return 0;
    }
    struct watch_response response = {
        .out = out,
        .header = &hub->header,
        .revision = revision,
        .watch_id = watcher->id,
        .fragment_bytes = watcher->wants_fragments ? hub->fragment_bytes : 0,
    };
    watch_response_begin(&response);
    for (size_t i = 0; i < run->count; i++) {
        struct bytes wire;
        int rc = watch_event_wire(run->events[i], hub->mvcc, watcher->wants_prev,
                                  run->is_owned ? NULL : &hub->cache, &wire);
        if (rc != 0) {
            return rc;
        }
        watch_response_event(&response, wire);
    }
    watch_response_end(&response);
    hub->event_count += run->count;
    return 0;
}

/* ---- recent events ---- */

/* True when the event that the watcher is at was dropped from the group or from the cache. */
static bool live_is_lost(const struct watcher *watcher)
{
    const struct watch_group *group = watcher->group;
    ASSERT(watcher->position < group->recent_end);
    return watcher->position < group->recent_begin ||
           watch_group_at(group, watcher->position) < watcher->stream->hub->cache.begin;
}

static struct watch_event *live_event(const struct watcher *watcher)
{
    if (watcher->position == watcher->group->recent_end) {
        return NULL;
    }
    return watch_cache_at(&watcher->stream->hub->cache,
                          watch_group_at(watcher->group, watcher->position));
}

/* Takes the events of the watcher's next revision into the run and gives that revision. */
static int64_t live_take_revision(struct watcher *watcher, struct event_run *run)
{
    struct watch_event *event = live_event(watcher);
    int64_t revision = event->revision;
    while (event != NULL && event->revision == revision) {
        if (watcher_wants(watcher, event->is_delete)) {
            run_add(run, event);
        }
        watcher->position++;
        event = live_event(watcher);
    }
    watcher->next_revision = revision + 1;
    return revision;
}

/* One response per revision; one for several when the watcher is far behind. */
static int live_pull(struct watcher *watcher, size_t stop_size, struct event_run *run,
                     struct buf *out)
{
    uint64_t end = watcher->group->recent_end;
    bool is_far_behind = end - watcher->position > WATCH_LIVE_EVENTS_MAX;
    while (watcher->position < end && out->size + (is_far_behind ? run->bytes : 0) < stop_size) {
        int64_t revision = live_take_revision(watcher, run);
        if (is_far_behind) {
            continue;
        }
        int rc = run_write(watcher, run, revision, out);
        run_clear(run);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = run_write(watcher, run, watcher->stream->hub->revision, out);
    if (rc == 0 && watcher->position == end) {
        watcher_go_idle(watcher);
    }
    return rc;
}

/* ---- history ---- */

struct history_scan {
    const struct watcher *watcher;
    struct event_run *run;
    size_t max_bytes;
    size_t seen_count;
    int64_t revision;      /* being read */
    int64_t next_revision; /* where to go on */
};

/* False when enough was read and the event begins another revision. */
static bool scan_goes_on(struct history_scan *scan, int64_t revision)
{
    if (revision != scan->revision &&
        (scan->seen_count >= WATCH_SCAN_EVENTS_MAX || scan->run->bytes >= scan->max_bytes)) {
        scan->next_revision = revision;
        return false;
    }
    scan->revision = revision;
    scan->seen_count++;
    return true;
}

static bool scan_change(void *ctx, const struct mvcc_event *change)
{
    struct history_scan *scan = ctx;
    if (!scan_goes_on(scan, change->revision.main)) {
        return false;
    }
    if (!key_span_contains(&scan->watcher->group->span, change->key) ||
        !watcher_wants(scan->watcher, change->is_delete)) {
        return true;
    }
    struct watch_event event;
    if (watch_event_init(&event, change)) {
        run_add(scan->run, mem_dup(&event, sizeof(event)));
    }
    return true;
}

static void scan_cache(struct history_scan *scan, const struct watch_cache *cache, int64_t from)
{
    for (uint64_t at = watch_cache_seek(cache, from); at < cache->end; at++) {
        struct watch_event *event = watch_cache_at(cache, at);
        if (!scan_goes_on(scan, event->revision)) {
            return;
        }
        if (key_span_contains(&scan->watcher->group->span, event->key) &&
            watcher_wants(scan->watcher, event->is_delete)) {
            run_add(scan->run, event);
        }
    }
}

static void watcher_end_compacted(struct watcher *watcher, struct buf *out)
{
    struct watch_hub *hub = watcher->stream->hub;
    struct watch_answer answer = {
        .watch_id = watcher->id,
        .canceled = true,
        .compact_revision = mvcc_compact_revision(hub->mvcc),
    };
    watch_answer_write(&hub->header, &answer, out);
    watcher_drop(watcher);
}

/* Reads a part of history; *out_gone when the watcher was ended. */
static int catchup_pull(struct watcher *watcher, size_t max_bytes, struct event_run *run,
                        struct buf *out, bool *out_gone)
{
    struct watch_hub *hub = watcher->stream->hub;
    if (watcher->next_revision > hub->revision) {
        watcher_go_idle(watcher);
        return 0;
    }
    if (watcher->next_revision < mvcc_compact_revision(hub->mvcc)) {
        watcher_end_compacted(watcher, out);
        *out_gone = true;
        return 0;
    }
    struct history_scan scan = {
        .watcher = watcher,
        .run = run,
        .max_bytes = max_bytes,
        .next_revision = hub->revision + 1,
    };
    int rc = 0;
    if (watcher->next_revision >= hub->cache.from_revision) {
        scan_cache(&scan, &hub->cache, watcher->next_revision);
    } else {
        run->is_owned = true;
        rc = mvcc_each_event(hub->mvcc, watcher->next_revision, hub->revision, scan_change, &scan);
    }
    if (rc == 0) {
        rc = run_write(watcher, run, hub->revision, out);
    }
    if (rc != 0) {
        return rc;
    }
    watcher->next_revision = scan.next_revision;
    if (watcher->next_revision > hub->revision) {
        watcher_go_idle(watcher);
    }
    return 0;
}

/* ---- a stream ---- */

static void progress_write(const struct watch_stream *stream, int64_t watch_id, struct buf *out)
{
    struct watch_answer answer = {.revision = stream->hub->revision, .watch_id = watch_id};
    watch_answer_write(&stream->hub->header, &answer, out);
}

/* One turn of one watcher; run is scratch, empty before and after. */
static int watcher_pull(struct watcher *watcher, size_t stop_size, struct event_run *run,
                        struct buf *out)
{
    struct watch_stream *stream = watcher->stream;
    if (watcher->state == WATCHER_IDLE) {
        list_remove(&watcher->ready_node);
        progress_write(stream, watcher->id, out);
        return 0;
    }
    if (PLANT(watch_skips_when_slow) && watcher->state == WATCHER_LIVE && live_is_lost(watcher)) {
        watcher->next_revision = stream->hub->revision + 1;
        watcher_go_catchup(watcher, watcher->next_revision);
    }
    if (watcher->state == WATCHER_LIVE && live_is_lost(watcher)) {
        watcher_go_catchup(watcher, watcher->next_revision);
    }
    bool is_gone = false;
    size_t size_before = out->size;
    int rc = watcher->state == WATCHER_LIVE
                 ? live_pull(watcher, stop_size, run, out)
                 : catchup_pull(watcher, stop_size - out->size, run, out, &is_gone);
    run_clear(run);
    if (rc != 0 || is_gone) {
        return rc;
    }
    if (out->size > size_before) {
        watcher->is_quiet = false;
    }
    if (watcher->state != WATCHER_IDLE) {
        /* The others of the stream come first now. */
        list_remove(&watcher->ready_node);
        list_append(&stream->ready, &watcher->ready_node);
    }
    return 0;
}

int watch_stream_pull(struct watch_stream *stream, size_t max_bytes, struct buf *out,
                      bool *out_more)
{
    size_t stop_size = out->size + max_bytes;
    buf_append(out, stream->control.data, stream->control.size);
    buf_clear(&stream->control);
    struct event_run run = {0};
    size_t history_reads = 0;
    int rc = 0;
    while (!list_empty(&stream->ready) && out->size < stop_size && history_reads == 0) {
        struct watcher *watcher = LIST_ENTRY(stream->ready.next, struct watcher, ready_node);
        size_t size_before = out->size;
        bool reads_history = watcher->state == WATCHER_CATCHUP;
        rc = watcher_pull(watcher, stop_size, &run, out);
        if (rc != 0) {
            break;
        }
        /* History that did not match costs time, not room: let others have a turn. */
        history_reads += reads_history && out->size == size_before ? 1 : 0;
    }
    run_free(&run);
    if (rc != 0) {
        return rc;
    }
    if (stream->progress_asked && (stream->busy_count == 0 || PLANT(watch_progress_early))) {
        /* Only behind every event up to this revision, and nothing of it is to come. */
        stream->progress_asked = false;
        if (stream->watchers.count > 0 && !watch_stream_waits_for_future(stream)) {
            progress_write(stream, WATCH_ID_NONE, out);
        }
    }
    stream->is_announced = !list_empty(&stream->ready);
    if (!stream->is_announced) {
        list_remove(&stream->announce_node);
    }
    *out_more = stream->is_announced;
    return 0;
}
