/* SPDX-License-Identifier: Apache-2.0 */
/* See client.h: a watch over everything, resumed wherever it breaks. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "tests/chaos/client.h"

#define SILENCE_NS       1500000000u /* longer without any message: somewhere else */
#define PROGRESS_ASK_NS  400000000u
#define FAILURE_PAUSE_NS 50000000u
#define PROGRESS_ID      (-1)

static void note_message(struct watcher *watcher, const Etcdserverpb__WatchResponse *message)
{
    struct run *run = watcher->run;
    uint64_t member = message->header == NULL ? 0 : message->header->member_id;
    int64_t revision = message->header == NULL ? 0 : message->header->revision;
    buf_clear(&run->line);
    if (message->watch_id == PROGRESS_ID) {
        buf_printf(&run->line, "progress %" PRIu64 " %" PRIu64 " %" PRIx64 " %" PRId64, watcher->id,
                   rpc_now_ns(), member, revision);
        run_record(run, &run->line);
        return;
    }
    buf_printf(&run->line, "msg %" PRIu64 " %" PRIu64 " %" PRIx64 " %" PRId64, watcher->id,
               rpc_now_ns(), member, revision);
    buf_append_str(&run->line, message->created ? " created" : "");
    buf_append_str(&run->line, message->canceled ? " canceled" : "");
    buf_append_str(&run->line, message->fragment ? " fragment" : "");
    if (message->compact_revision != 0) {
        buf_printf(&run->line, " compact=%" PRId64, message->compact_revision);
    }
    for (size_t i = 0; i < message->n_events; i++) {
        record_event(&run->line, message->events[i]);
    }
    run_record(run, &run->line);
}

/* A progress message says that all up to its revision has come. */
static void advance(struct watcher *watcher, const Etcdserverpb__WatchResponse *message)
{
    struct run *run = watcher->run;
    if (message->canceled) {
        watcher->must_drop = true;
        if (message->compact_revision > watcher->next_revision) {
            watcher->next_revision = message->compact_revision;
        }
        return;
    }
    watcher->is_created = watcher->is_created || message->created;
    run->events += message->n_events;
    if (message->n_events > 0 && !message->fragment) {
        watcher->seen_revision = message->events[message->n_events - 1]->kv->mod_revision;
        watcher->next_revision = watcher->seen_revision + 1;
    } else if (message->n_events == 0 && !message->created && message->header != NULL &&
               message->header->revision > watcher->seen_revision) {
        watcher->seen_revision = message->header->revision;
        watcher->next_revision = watcher->seen_revision + 1;
    }
}

static void on_message(struct rpc_call *call, struct bytes data)
{
    struct watcher *watcher = call->ctx;
    Etcdserverpb__WatchResponse *message =
        etcdserverpb__watch_response__unpack(NULL, data.size, data.data);
    watcher->heard_ns = rpc_now_ns();
    if (message == NULL) {
        watcher->must_drop = true;
        return;
    }
    note_message(watcher, message);
    advance(watcher, message);
    etcdserverpb__watch_response__free_unpacked(message, NULL);
}

static void on_end(struct rpc_call *call, int status, const char *text)
{
    struct watcher *watcher = call->ctx;
    (void)status;
    (void)text;
    watcher->must_drop = true;
}

static const struct rpc_events watcher_events = {.on_message = on_message, .on_end = on_end};

static void begin(struct watcher *watcher, uint64_t now_ns)
{
    static uint8_t zero[1];
    struct run *run = watcher->run;
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    create.key = create.range_end = (ProtobufCBinaryData){.data = zero, .len = 1};
    create.start_revision = watcher->next_revision;
    create.prev_kv = watcher->number % 2 == 0;
    create.fragment = watcher->number % 3 == 1;
    create.progress_notify = true;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    watcher->id += WATCHERS_MAX;
    watcher->is_created = false;
    watcher->heard_ns = watcher->asked_ns = now_ns;
    if (rpc_start(&watcher->link, &run->options.watch_endpoints[watcher->endpoint], &watcher->call,
                  "/etcdserverpb.Watch/Watch", &request.base, false) != 0) {
        watcher->must_drop = true;
        return;
    }
    run->resumes++;
    buf_clear(&run->line);
    buf_printf(
        &run->line, "watch %" PRIu64 " %" PRIu64 " %u %" PRIu64 " %%00 %%00 %" PRId64 "%s%s%s",
        watcher->id, watcher->id, WORKERS_MAX + watcher->number, now_ns, create.start_revision,
        create.prev_kv ? " prev" : "", " progress", create.fragment ? " fragment" : "");
    run_record(run, &run->line);
}

static void ask_progress(struct watcher *watcher, uint64_t now_ns)
{
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &progress;
    watcher->asked_ns = now_ns;
    rpc_send(&watcher->call, &request.base);
}

void watcher_init(struct watcher *watcher, struct run *run, unsigned number)
{
    *watcher = (struct watcher){.run = run, .number = number, .id = number, .next_revision = 1};
    watcher->endpoint = (int)number % run->options.watch_endpoint_count;
    rpc_link_init(&watcher->link);
    rpc_call_init(&watcher->call, &watcher_events, watcher);
}

void watcher_free(struct watcher *watcher)
{
    rpc_call_free(&watcher->call);
    rpc_link_drop(&watcher->link, "over");
}

void watcher_move(struct watcher *watcher, uint64_t now_ns)
{
    if (watcher->call.link != NULL && now_ns > watcher->heard_ns + SILENCE_NS) {
        watcher->must_drop = true;
    }
    if (watcher->must_drop) {
        rpc_cancel(&watcher->call);
        rpc_link_drop(&watcher->link, "left");
        watcher->must_drop = false;
        watcher->endpoint = (watcher->endpoint + 1) % watcher->run->options.watch_endpoint_count;
        watcher->not_before_ns = now_ns + FAILURE_PAUSE_NS;
    }
    if (watcher->call.link == NULL && now_ns >= watcher->not_before_ns) {
        begin(watcher, now_ns);
    } else if (watcher->call.link != NULL && watcher->is_created &&
               now_ns > watcher->asked_ns + PROGRESS_ASK_NS) {
        ask_progress(watcher, now_ns);
    }
}
