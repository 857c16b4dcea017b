/* SPDX-License-Identifier: Apache-2.0 */
/* See stream.h. */
#include "tests/differential/stream.h"

#include <inttypes.h>
#include <stdio.h>

#include "engine/proto/rpc.pb-c.h"
#include "tests/differential/print.h"

#define ASK_AGAIN_NS 30000000u
#define OF_ALL       (-1) /* watch_id of answers to the stream as a whole */
#define WATCH_PATH   "/etcdserverpb.Watch/Watch"

static bool has_live(const struct stream *stream)
{
    for (size_t i = 0; i < STREAM_WATCHES_MAX; i++) {
        if (stream->watches[i].is_live) {
            return true;
        }
    }
    return false;
}

/* Lines of events; a revision is told at once, unless it is parted into fragments. */
static void take_events(struct stream *stream, struct stream_watch *watch,
                        const Etcdserverpb__WatchResponse *response)
{
    for (size_t i = 0; i < response->n_events; i++) {
        const Mvccpb__Event *event = response->events[i];
        int64_t at = event->kv == NULL ? 0 : event->kv->mod_revision;
        bool is_first = i == 0 && !watch->is_split;
        if (at < watch->mod || (is_first && at == watch->mod) || at > response->header->revision) {
            snprintf(stream->broken, sizeof(stream->broken),
                     "watch %" PRId64 ": an event of revision %" PRId64 " after %" PRId64
                     " in an answer of revision %" PRId64,
                     response->watch_id, at, watch->mod, response->header->revision);
        }
        watch->mod = at;
        print_message(&watch->text, &event->base);
        buf_append_byte(&watch->text, '\n');
    }
    watch->is_split = response->fragment;
}

static void take_created(struct stream *stream, const Etcdserverpb__WatchResponse *response)
{
    if (stream->kind != OP_STREAM_CREATE || stream->is_done) {
        snprintf(stream->broken, sizeof(stream->broken), "a watch was created that nobody asked");
    }
    print_message(stream->answer, &response->base);
    stream->is_done = true;
    if (!response->canceled && response->watch_id >= 0 && response->watch_id < STREAM_WATCHES_MAX) {
        struct stream_watch *watch = &stream->watches[response->watch_id];
        watch->is_live = true;
        watch->is_split = false;
        watch->mod = 0;
    }
}

static void take_canceled(struct stream *stream, struct stream_watch *watch,
                          Etcdserverpb__WatchResponse *response)
{
    bool is_asked = stream->kind == OP_STREAM_CANCEL && stream->id == response->watch_id;
    response->header->revision = is_asked ? response->header->revision : 0;
    print_message(is_asked ? stream->answer : &watch->text, &response->base);
    watch->is_live = false;
    stream->is_done |= is_asked;
}

static void on_message(struct rpc_call *call, struct bytes data)
{
    struct stream *stream = call->ctx;
    Etcdserverpb__WatchResponse *response =
        etcdserverpb__watch_response__unpack(NULL, data.size, data.data);
    if (response == NULL || response->header == NULL) {
        snprintf(stream->broken, sizeof(stream->broken), "no WatchResponse");
    } else if (response->created) {
        take_created(stream, response);
    } else if (response->watch_id == OF_ALL) {
        stream->is_done |=
            stream->kind == OP_STREAM_SYNC && response->header->revision >= stream->target;
    } else if (response->watch_id < 0 || response->watch_id >= STREAM_WATCHES_MAX ||
               !stream->watches[response->watch_id].is_live) {
        snprintf(stream->broken, sizeof(stream->broken), "an answer to watch %" PRId64,
                 response->watch_id);
    } else if (response->canceled) {
        take_canceled(stream, &stream->watches[response->watch_id], response);
    } else {
        take_events(stream, &stream->watches[response->watch_id], response);
    }
    if (response != NULL) {
        etcdserverpb__watch_response__free_unpacked(response, NULL);
    }
}

static void on_end(struct rpc_call *call, int status, const char *text)
{
    struct stream *stream = call->ctx;
    snprintf(stream->broken, sizeof(stream->broken), "the stream of watches ended: %d %s", status,
             text);
}

static const struct rpc_events EVENTS = {.on_message = on_message, .on_end = on_end};

static int ask(struct stream *stream, const Etcdserverpb__WatchRequest *request)
{
    if (stream->call.link != NULL) {
        rpc_send(&stream->call, &request->base);
        return 0;
    }
    return rpc_start(stream->link, stream->endpoint, &stream->call, WATCH_PATH, &request->base,
                     false);
}

int stream_begin(struct stream *stream, enum op_kind kind, ProtobufCMessage *request,
                 int64_t revision, struct buf *answer)
{
    Etcdserverpb__WatchRequest message = ETCDSERVERPB__WATCH_REQUEST__INIT;
    stream->kind = kind;
    stream->answer = answer;
    stream->target = revision;
    stream->ask_ns = 0;
    stream->is_done = false;
    if (kind == OP_STREAM_SYNC) {
        /* A stream without watches answers no such question. */
        stream->is_done = !has_live(stream);
        return 0;
    }
    if (kind == OP_STREAM_CREATE) {
        message.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
        message.create_request = (Etcdserverpb__WatchCreateRequest *)request;
        return ask(stream, &message);
    }
    message.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    message.cancel_request = (Etcdserverpb__WatchCancelRequest *)request;
    stream->id = message.cancel_request->watch_id;
    /* A watch that is not there is passed over without a word. */
    stream->is_done =
        stream->id < 0 || stream->id >= STREAM_WATCHES_MAX || !stream->watches[stream->id].is_live;
    return stream->call.link == NULL ? 0 : ask(stream, &message);
}

void stream_move(struct stream *stream, uint64_t now)
{
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    Etcdserverpb__WatchRequest message = ETCDSERVERPB__WATCH_REQUEST__INIT;
    if (stream->kind != OP_STREAM_SYNC) {
        return;
    }
    stream->is_done |= !has_live(stream);
    if (!stream->is_done && now >= stream->ask_ns) {
        message.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
        message.progress_request = &progress;
        (void)ask(stream, &message);
        stream->ask_ns = now + ASK_AGAIN_NS;
    }
    for (size_t i = 0; stream->is_done && i < STREAM_WATCHES_MAX; i++) {
        struct buf *text = &stream->watches[i].text;
        if (text->size > 0) {
            buf_printf(stream->answer, "watch %zu:\n", i);
            buf_append(stream->answer, text->data, text->size);
            buf_clear(text);
        }
    }
}

void stream_init(struct stream *stream, struct rpc_link *link, const struct rpc_endpoint *endpoint)
{
    *stream = (struct stream){.link = link, .endpoint = endpoint, .is_done = true};
    rpc_call_init(&stream->call, &EVENTS, stream);
    for (size_t i = 0; i < STREAM_WATCHES_MAX; i++) {
        buf_init(&stream->watches[i].text, BUF_NO_LIMIT);
    }
}

void stream_free(struct stream *stream)
{
    rpc_call_free(&stream->call);
    for (size_t i = 0; i < STREAM_WATCHES_MAX; i++) {
        buf_free(&stream->watches[i].text);
    }
}
