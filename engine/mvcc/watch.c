/* SPDX-License-Identifier: Apache-2.0 */
/* The hub and its streams: who watches what, requests, and what a new revision wakes. */
#include "engine/mvcc/watch.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"
#include "engine/mvcc/watch_impl.h"
#include "engine/proto/etcd_error.h"

#define REASON_EMPTY_RANGE  "mvcc: watcher range is empty"
#define REASON_DUPLICATE_ID "mvcc: duplicate watch ID provided on the WatchStream"

struct watch_hub *watch_hub_new(const struct watch_config *config, struct mvcc *mvcc)
{
    struct watch_hub *hub = mem_zalloc(sizeof(*hub));
    hub->header.cluster_id = config->cluster_id;
    hub->header.member_id = config->member_id;
    hub->fragment_bytes = config->fragment_bytes;
    hub->seed = config->seed;
    hub->mvcc = mvcc;
    hub->revision = mvcc_revision(mvcc);
    hub->cache.max_bytes =
        config->cache_bytes != 0 ? config->cache_bytes : WATCH_CACHE_BYTES_DEFAULT;
    hub->cache.from_revision = hub->revision + 1;
    watch_index_init(&hub->index, config->seed);
    list_init(&hub->streams);
    list_init(&hub->announced);
    heap_init(&hub->ticks);
    return hub;
}

void watch_hub_free(struct watch_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    ASSERT(list_empty(&hub->streams) && hub->watcher_count == 0);
    watch_index_free(&hub->index);
    watch_cache_free(&hub->cache);
    heap_free(&hub->ticks);
    mem_free(hub);
}

void watch_hub_set_term(struct watch_hub *hub, uint64_t raft_term)
{
    hub->header.raft_term = raft_term;
}

uint64_t watch_hub_events(const struct watch_hub *hub)
{
    return hub->event_count;
}

void watch_hub_stats(const struct watch_hub *hub, struct watch_stats *out_stats)
{
    *out_stats = (struct watch_stats){
        .stream_count = hub->stream_count,
        .watcher_count = hub->watcher_count,
        .slow_count = hub->busy_count,
        .cache_bytes = hub->cache.bytes,
    };
}

/* ---- states of a watcher ---- */

void watch_stream_announce(struct watch_stream *stream)
{
    if (!stream->is_announced) {
        stream->is_announced = true;
        list_append(&stream->hub->announced, &stream->announce_node);
    }
}

/* Leaves whatever state it is in; the caller sets the next one. */
static void watcher_leave_state(struct watcher *watcher)
{
    struct watch_group *group = watcher->group;
    list_remove(&watcher->group_node);
    if (watcher->state == WATCHER_LIVE) {
        group->live_count--;
        if (group->live_count == 0) {
            watch_group_forget(group);
        }
    }
    if (watcher->state != WATCHER_IDLE) {
        watcher->stream->busy_count--;
        watcher->stream->hub->busy_count--;
    }
}

static void watcher_become_busy(struct watcher *watcher, enum watcher_state state)
{
    watcher->state = state;
    watcher->stream->busy_count++;
    watcher->stream->hub->busy_count++;
    list_remove(&watcher->ready_node);
    list_append(&watcher->stream->ready, &watcher->ready_node);
    watch_stream_announce(watcher->stream);
}

void watcher_go_idle(struct watcher *watcher)
{
    watcher_leave_state(watcher);
    watcher->state = WATCHER_IDLE;
    list_append(&watcher->group->idle_watchers, &watcher->group_node);
    list_remove(&watcher->ready_node);
}

void watcher_go_live(struct watcher *watcher, int64_t revision)
{
    ASSERT(watcher->state == WATCHER_IDLE && watcher->next_revision <= revision);
    watcher_leave_state(watcher);
    watcher->next_revision = revision;
    watcher->position = watcher->group->recent_end;
    watcher->group->live_count++;
    watcher_become_busy(watcher, WATCHER_LIVE);
}

void watcher_go_catchup(struct watcher *watcher, int64_t next_revision)
{
    watcher_leave_state(watcher);
    watcher->next_revision = next_revision;
    watcher_become_busy(watcher, WATCHER_CATCHUP);
}

void watcher_drop(struct watcher *watcher)
{
    struct watch_stream *stream = watcher->stream;
    struct watch_group *group = watcher->group;
    watcher_leave_state(watcher);
    list_remove(&watcher->ready_node);
    if (watcher->wants_progress && --stream->progress_watchers == 0) {
        heap_remove(&stream->hub->ticks, &stream->tick_node);
    }
    if (--group->watcher_count == 0) {
        watch_index_drop(&stream->hub->index, group);
    }
    stream->hub->watcher_count--;
    void *known = map_remove_u64(&stream->watchers, (uint64_t)watcher->id);
    ASSERT(known == watcher);
    mem_free(watcher);
}

/* ---- a new revision ---- */

struct group_event {
    struct watch_hub *hub;
    uint64_t sequence;
    int64_t revision;
    bool is_delete;
};

static void group_take_event(void *ctx, struct watch_group *group)
{
    const struct group_event *event = ctx;
    LIST_EACH_SAFE(it, &group->idle_watchers)
    {
        struct watcher *watcher = LIST_ENTRY(it, struct watcher, group_node);
        if (watcher->next_revision <= event->revision && watcher_wants(watcher, event->is_delete)) {
            watcher_go_live(watcher, event->revision);
        }
    }
    if (group->live_count > 0) {
        watch_group_push(group, event->sequence);
    }
}

static bool hub_take_event(void *ctx, const struct mvcc_event *change)
{
    struct watch_hub *hub = ctx;
    struct watch_event event;
    if (!watch_event_init(&event, change)) {
        return true;
    }
    struct group_event group_event = {
        .hub = hub,
        .revision = event.revision,
        .is_delete = event.is_delete,
    };
    struct bytes key = event.key;
    group_event.sequence = watch_cache_push(&hub->cache, event);
    watch_index_each(&hub->index, key, group_take_event, &group_event);
    return true;
}

/* Sends all watchers back to their cursors; those that were idle had been told all up to
 * told_revision. */
static void hub_rewind(struct watch_hub *hub, int64_t told_revision)
{
    LIST_EACH(it, &hub->streams)
    {
        struct watch_stream *stream = LIST_ENTRY(it, struct watch_stream, hub_node);
        size_t cursor = 0;
        void *value = NULL;
        while (map_next(&stream->watchers, &cursor, NULL, &value)) {
            struct watcher *watcher = value;
            int64_t next = watcher->next_revision;
            if (watcher->state == WATCHER_IDLE) {
                next = BASE_MAX(next, told_revision + 1);
            }
            watcher_go_catchup(watcher, next);
        }
    }
}

int watch_hub_notify(struct watch_hub *hub)
{
    int64_t newest = mvcc_revision(hub->mvcc);
    if (newest <= hub->revision) {
        return 0;
    }
    if (hub->watcher_count == 0) {
        watch_cache_clear(&hub->cache, newest + 1);
        hub->revision = newest;
        return 0;
    }
    int rc = mvcc_each_event(hub->mvcc, hub->revision + 1, newest, hub_take_event, hub);
    if (rc == E_COMPACTED) {
        /* Compacted before anybody was told: each watcher finds out at its own cursor. */
        hub_rewind(hub, hub->revision);
        watch_cache_clear(&hub->cache, newest + 1);
        rc = 0;
    }
    if (rc != 0) {
        return rc;
    }
    hub->revision = newest;
    return 0;
}

void watch_hub_reset(struct watch_hub *hub, struct mvcc *mvcc)
{
    hub_rewind(hub, PLANT(watch_skips_snapshot) ? mvcc_revision(mvcc) : hub->revision);
    hub->mvcc = mvcc;
    hub->revision = mvcc_revision(mvcc);
    watch_cache_clear(&hub->cache, hub->revision + 1);
}

struct watch_stream *watch_hub_ready(struct watch_hub *hub)
{
    if (list_empty(&hub->announced)) {
        return NULL;
    }
    struct watch_stream *stream =
        LIST_ENTRY(hub->announced.next, struct watch_stream, announce_node);
    list_remove(&stream->announce_node);
    return stream;
}

/* ---- progress ticks ---- */

static void stream_tick(struct watch_stream *stream)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(&stream->watchers, &cursor, NULL, &value)) {
        struct watcher *watcher = value;
        if (!watcher->wants_progress) {
            continue;
        }
        if (watcher->is_quiet && watcher->state == WATCHER_IDLE &&
            stream->hub->revision >= watcher->start_revision) {
            list_remove(&watcher->ready_node);
            list_append(&stream->ready, &watcher->ready_node);
            watch_stream_announce(stream);
        }
        watcher->is_quiet = true;
    }
}

void watch_hub_tick(struct watch_hub *hub, int64_t now_ms)
{
    for (;;) {
        struct heap_node *top = heap_top(&hub->ticks);
        if (top == NULL || top->key > (uint64_t)now_ms) {
            return;
        }
        struct watch_stream *stream = CONTAINER_OF(top, struct watch_stream, tick_node);
        stream_tick(stream);
        stream->next_tick_ms = now_ms + stream->progress_interval_ms;
        heap_set(&hub->ticks, top, (uint64_t)stream->next_tick_ms);
    }
}

int64_t watch_hub_next_deadline_ms(const struct watch_hub *hub)
{
    const struct heap_node *top = heap_top(&hub->ticks);
    return top == NULL ? INT64_MAX : (int64_t)top->key;
}

/* ---- streams ---- */

struct watch_stream *watch_stream_new(struct watch_hub *hub, void *user, int64_t now_ms,
                                      int64_t progress_interval_ms)
{
    ASSERT(progress_interval_ms > 0);
    struct watch_stream *stream = mem_zalloc(sizeof(*stream));
    stream->hub = hub;
    stream->user = user;
    stream->progress_interval_ms = progress_interval_ms;
    stream->next_tick_ms = now_ms + progress_interval_ms;
    list_append(&hub->streams, &stream->hub_node);
    list_init(&stream->announce_node);
    list_init(&stream->ready);
    map_init_seeded(&stream->watchers, hub->seed);
    buf_init(&stream->control, BUF_NO_LIMIT);
    heap_node_init(&stream->tick_node);
    hub->stream_count++;
    return stream;
}

void watch_stream_free(struct watch_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(&stream->watchers, &cursor, NULL, &value)) {
        watcher_drop(value);
    }
    ASSERT(list_empty(&stream->ready) && stream->busy_count == 0);
    ASSERT(!heap_contains(&stream->tick_node));
    list_remove(&stream->hub_node);
    list_remove(&stream->announce_node);
    map_free(&stream->watchers);
    buf_free(&stream->control);
    stream->hub->stream_count--;
    mem_free(stream);
}

void *watch_stream_user(const struct watch_stream *stream)
{
    return stream->user;
}

size_t watch_stream_watchers(const struct watch_stream *stream)
{
    return stream->watchers.count;
}

bool watch_stream_is_full(const struct watch_stream *stream)
{
    return stream->control.size >= WATCH_CONTROL_BYTES_MAX;
}

bool watch_stream_waits_for_future(const struct watch_stream *stream)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(&stream->watchers, &cursor, NULL, &value)) {
        const struct watcher *watcher = value;
        if (watcher->start_revision > stream->hub->revision) {
            return true;
        }
    }
    return false;
}

/* ---- requests ---- */

static void stream_answer(struct watch_stream *stream, const struct watch_answer *answer)
{
    watch_answer_write(&stream->hub->header, answer, &stream->control);
    watch_stream_announce(stream);
}

static void stream_refuse(struct watch_stream *stream, const char *reason)
{
    struct watch_answer answer = {
        .revision = stream->hub->revision,
        .watch_id = WATCH_ID_NONE,
        .created = true,
        .canceled = true,
        .cancel_reason = reason,
    };
    stream_answer(stream, &answer);
}

static bool filter_has(const Etcdserverpb__WatchCreateRequest *request,
                       Etcdserverpb__WatchCreateRequest__FilterType type)
{
    for (size_t i = 0; i < request->n_filters; i++) {
        if (request->filters[i] == type) {
            return true;
        }
    }
    return false;
}

static struct watcher *watcher_add(struct watch_stream *stream, int64_t id,
                                   const struct key_span *span,
                                   const Etcdserverpb__WatchCreateRequest *request)
{
    struct watch_hub *hub = stream->hub;
    struct watcher *watcher = mem_zalloc(sizeof(*watcher));
    watcher->stream = stream;
    watcher->id = id;
    watcher->start_revision = request->start_revision;
    watcher->wants_progress = request->progress_notify != 0;
    watcher->wants_prev = request->prev_kv != 0;
    watcher->wants_fragments = request->fragment != 0;
    watcher->drops_puts =
        filter_has(request, ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT);
    watcher->drops_deletes =
        filter_has(request, ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE);
    watcher->is_quiet = true;
    list_init(&watcher->group_node);
    list_init(&watcher->ready_node);
    watcher->group = watch_index_get(&hub->index, span);
    watcher->group->watcher_count++;
    hub->watcher_count++;
    map_set_u64(&stream->watchers, (uint64_t)id, watcher);
    if (watcher->wants_progress && stream->progress_watchers++ == 0) {
        heap_set(&hub->ticks, &stream->tick_node, (uint64_t)stream->next_tick_ms);
    }
    return watcher;
}

/* Where it begins: after the newest revision, there or in the future; or in history. */
static void watcher_start(struct watcher *watcher)
{
    int64_t newest = watcher->stream->hub->revision;
    watcher->state = WATCHER_IDLE;
    if (watcher->start_revision == 0 || watcher->start_revision > newest) {
        watcher->next_revision = PLANT(watch_future_gets_old)
                                     ? newest + 1
                                     : BASE_MAX(watcher->start_revision, newest + 1);
        watcher_go_idle(watcher);
    } else {
        watcher_go_catchup(watcher, watcher->start_revision);
    }
}

static void request_create(struct watch_stream *stream,
                           const Etcdserverpb__WatchCreateRequest *request, const char *denied)
{
    static const uint8_t smallest_key[1] = {0};
    struct bytes key = bytes_of(request->key.data, request->key.len);
    struct bytes end = bytes_of(request->range_end.data, request->range_end.len);
    if (key.size == 0) {
        key = bytes_of(smallest_key, sizeof(smallest_key));
    }
    if (request->start_revision < 0) {
        stream_refuse(stream, etcd_error_text(ETCD_ERR_COMPACTED));
        return;
    }
    if (denied != NULL) {
        stream_refuse(stream, denied);
        return;
    }
    bool is_open_ended = end.size == 1 && end.data[0] == 0;
    if (end.size > 0 && !is_open_ended && bytes_compare(key, end) >= 0) {
        stream_refuse(stream, REASON_EMPTY_RANGE);
        return;
    }
    int64_t id = request->watch_id;
    if (id == 0) {
        while (map_get_u64(&stream->watchers, (uint64_t)stream->next_id) != NULL) {
            stream->next_id++;
        }
        id = stream->next_id++;
    } else if (map_get_u64(&stream->watchers, (uint64_t)id) != NULL) {
        stream_refuse(stream, REASON_DUPLICATE_ID);
        return;
    }
    struct key_span span = key_span_of(key, end);
    struct watcher *watcher = watcher_add(stream, id, &span, request);
    struct watch_answer answer = {
        .revision = stream->hub->revision,
        .watch_id = id,
        .created = true,
    };
    stream_answer(stream, &answer);
    watcher_start(watcher);
}

static void request_cancel(struct watch_stream *stream, int64_t id)
{
    struct watcher *watcher = map_get_u64(&stream->watchers, (uint64_t)id);
    if (watcher == NULL) {
        return;
    }
    watcher_drop(watcher);
    struct watch_answer answer = {
        .revision = stream->hub->revision,
        .watch_id = id,
        .canceled = true,
    };
    stream_answer(stream, &answer);
}

static void request_progress(struct watch_stream *stream)
{
    if (stream->watchers.count == 0 || watch_stream_waits_for_future(stream)) {
        return;
    }
    stream->progress_asked = true;
    watch_stream_announce(stream);
}

void watch_stream_request(struct watch_stream *stream, const Etcdserverpb__WatchRequest *request,
                          const char *denied)
{
    switch (request->request_union_case) {
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
        request_create(stream, request->create_request, denied);
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST:
        request_cancel(stream, request->cancel_request->watch_id);
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST:
        request_progress(stream);
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION__NOT_SET:
    default:
        /* etcd ignores what it does not know and keeps the stream. */
        break;
    }
}
