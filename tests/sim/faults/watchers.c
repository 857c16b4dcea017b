/* SPDX-License-Identifier: Apache-2.0 */
/* Watches that resume wherever they break: of everything, of one key, of a part, from the past and
 * from the future, filtered, fragmented, read slowly. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/chaos/record.h"
#include "tests/sim/faults/workload_internal.h"

#define SILENCE_NS       UINT64_C(6000000000) /* longer without any message: somewhere else */
#define LOOK_NS          UINT64_C(1000000000)
#define RESUME_NS        UINT64_C(100000000)
#define PROGRESS_ID      (-1)
#define SLOW_BYTES_PER_S 3000u
#define FUTURE           20u

static void watcher_begin(void *ctx);

static void resume_later(struct watcher *watcher)
{
    watcher->call = 0;
    sim_at(sim_now_ns() + sim_exponential_ns(watcher->workload->rng, RESUME_NS), watcher_begin,
           watcher);
}

static void note_message(struct watcher *watcher, const Etcdserverpb__WatchResponse *message)
{
    struct workload *workload = watcher->workload;
    struct buf *line = &workload->line;
    uint64_t member = message->header == NULL ? 0 : message->header->member_id;
    int64_t revision = message->header == NULL ? 0 : message->header->revision;
    buf_clear(line);
    if (message->watch_id == PROGRESS_ID) {
        buf_printf(line, "progress %" PRIu64 " %" PRIu64 " %" PRIx64 " %" PRId64, watcher->id,
                   sim_now_ns(), member, revision);
        workload_record(workload);
        return;
    }
    buf_printf(line, "msg %" PRIu64 " %" PRIu64 " %" PRIx64 " %" PRId64, watcher->id, sim_now_ns(),
               member, revision);
    buf_append_str(line, message->created ? " created" : "");
    buf_append_str(line, message->canceled ? " canceled" : "");
    buf_append_str(line, message->fragment ? " fragment" : "");
    if (message->compact_revision != 0) {
        buf_printf(line, " compact=%" PRId64, message->compact_revision);
    }
    for (size_t i = 0; i < message->n_events; i++) {
        record_event(line, message->events[i]);
    }
    workload_record(workload);
    workload->counts.events += message->n_events;
}

/* A progress message says that all up to its revision has come. */
static void advance(struct watcher *watcher, const Etcdserverpb__WatchResponse *message)
{
    watcher->is_created = watcher->is_created || message->created;
    if (message->canceled) {
        watcher->next_revision = BASE_MAX(watcher->next_revision, message->compact_revision);
    } else if (message->n_events > 0 && !message->fragment) {
        watcher->seen_revision = message->events[message->n_events - 1]->kv->mod_revision;
        watcher->next_revision = watcher->seen_revision + 1;
    } else if (message->n_events == 0 && !message->created && message->header != NULL &&
               message->header->revision > watcher->seen_revision) {
        watcher->seen_revision = message->header->revision;
        watcher->next_revision = BASE_MAX(watcher->next_revision, watcher->seen_revision + 1);
    }
}

static void on_message(void *ctx, const struct sim_answer *answer)
{
    struct watcher *watcher = ctx;
    if (!answer->is_message) {
        resume_later(watcher);
        return;
    }
    Etcdserverpb__WatchResponse *message =
        etcdserverpb__watch_response__unpack(NULL, answer->body.size, answer->body.data);
    watcher->heard_ns = sim_now_ns();
    if (message == NULL) {
        sim_violation("watch", "a watch response cannot be read");
        return;
    }
    note_message(watcher, message);
    advance(watcher, message);
    if (message->canceled) {
        sim_call_cancel(watcher->call);
        resume_later(watcher);
    }
    etcdserverpb__watch_response__free_unpacked(message, NULL);
}

static void pack(struct workload *workload, const ProtobufCMessage *message)
{
    buf_clear(&workload->packed);
    size_t size = protobuf_c_message_get_packed_size(message);
    protobuf_c_message_pack(message, buf_reserve(&workload->packed, size));
    workload->packed.size = size;
}

/* The first sees everything; the others differ from one watch to the next. */
static void choose(struct watcher *watcher, Etcdserverpb__WatchCreateRequest *create, char key[16],
                   Etcdserverpb__WatchCreateRequest__FilterType *filter)
{
    static uint8_t zero[1];
    struct workload *workload = watcher->workload;
    struct rng *rng = workload->rng;
    create->key = create->range_end = (ProtobufCBinaryData){1, zero};
    create->start_revision = watcher->next_revision;
    create->prev_kv = true;
    create->progress_notify = true;
    if (watcher->number == 0) {
        return;
    }
    create->prev_kv = rng_below(rng, 2) == 0;
    create->fragment = rng_below(rng, 3) == 0;
    snprintf(key, 16, "k/%03u", (unsigned)rng_below(rng, workload->options.keys));
    uint64_t chance = rng_below(rng, 4);
    if (chance < 2) {
        create->key = (ProtobufCBinaryData){5, (uint8_t *)key};
        create->range_end = (ProtobufCBinaryData){0, NULL};
    } else if (chance == 2) {
        create->key = (ProtobufCBinaryData){5, (uint8_t *)key};
    }
    chance = rng_below(rng, 6);
    if (chance < 2) {
        *filter = chance == 0 ? ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT
                              : ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
        create->filters = filter;
        create->n_filters = 1;
    }
    chance = rng_below(rng, 6);
    if (chance == 0) {
        create->start_revision = 0;
    } else if (chance == 1) {
        create->start_revision = workload->newest_revision + (int64_t)rng_below(rng, FUTURE) + 1;
    } else if (chance == 2) {
        int64_t back = workload->newest_revision - (int64_t)rng_below(rng, 200);
        create->start_revision = BASE_MAX(back, 1);
    }
}

static void note_watch(struct watcher *watcher, const Etcdserverpb__WatchCreateRequest *create)
{
    struct workload *workload = watcher->workload;
    struct buf *line = &workload->line;
    buf_clear(line);
    buf_printf(line, "watch %" PRIu64 " %" PRIu64 " %u %" PRIu64 " ", watcher->id, watcher->id,
               WATCHER_BASE + watcher->number, sim_now_ns());
    record_bytes(line, create->key);
    buf_append_byte(line, ' ');
    record_bytes(line, create->range_end);
    buf_printf(line, " %" PRId64, create->start_revision);
    if (create->n_filters > 0) {
        buf_append_str(line,
                       create->filters[0] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT
                           ? " noput"
                           : " nodelete");
    }
    buf_append_str(line, create->prev_kv ? " prev" : "");
    buf_append_str(line, create->progress_notify ? " progress" : "");
    buf_append_str(line, create->fragment ? " fragment" : "");
    workload_record(workload);
}

static void watcher_begin(void *ctx)
{
    struct watcher *watcher = ctx;
    struct workload *workload = watcher->workload;
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest__FilterType filter = 0;
    char key[16] = "";
    watcher->node = workload->options.pick(workload->rng);
    if (watcher->node == SIM_NOBODY) {
        resume_later(watcher);
        return;
    }
    choose(watcher, &create, key, &filter);
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    watcher->id = ++workload->watch_count;
    watcher->is_created = false;
    watcher->heard_ns = sim_now_ns();
    note_watch(watcher, &create);
    pack(workload, &request.base);
    watcher->call = sim_call(watcher->node, "/etcdserverpb.Watch/Watch",
                             buf_bytes(&workload->packed), 0, on_message, watcher);
    if (watcher->number > 0 && !workload->is_finishing && rng_below(workload->rng, 6) == 0) {
        sim_call_slow(watcher->call, SLOW_BYTES_PER_S);
    }
}

static void ask_progress(struct watcher *watcher)
{
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &progress;
    pack(watcher->workload, &request.base);
    sim_call_send(watcher->call, buf_bytes(&watcher->workload->packed));
}

/* Moves on when nothing comes, and at times for no reason; else asks how far it is. */
static void watcher_look(void *ctx)
{
    struct watcher *watcher = ctx;
    struct workload *workload = watcher->workload;
    uint64_t look = sim_exponential_ns(workload->rng, LOOK_NS);
    if (watcher->call != 0) {
        bool is_bored = watcher->number > 0 && rng_below(workload->rng, 8) == 0;
        if (is_bored || sim_now_ns() > watcher->heard_ns + SILENCE_NS) {
            sim_call_cancel(watcher->call);
            resume_later(watcher);
        } else if (watcher->is_created) {
            ask_progress(watcher);
        }
    }
    sim_at(sim_now_ns() + look, watcher_look, watcher);
}

void watcher_start(struct watcher *watcher)
{
    resume_later(watcher);
    sim_at(sim_now_ns() + LOOK_NS, watcher_look, watcher);
}

bool watcher_has_seen(const struct watcher *watcher, int64_t revision)
{
    return watcher->seen_revision >= revision;
}
