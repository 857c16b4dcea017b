/* SPDX-License-Identifier: Apache-2.0 */
/* See side.h. */
#include "tests/differential/side.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/proto/rpc.pb-c.h"
#include "tests/differential/normalize.h"
#include "tests/differential/print.h"

#define OP_NS_MAX      (60u * 1000000000ull)
#define ASK_AGAIN_NS   30000000u
#define POLL_MS        50
#define WATCH_PATH     "/etcdserverpb.Watch/Watch"
#define WATCH_NOT_LEFT (-1) /* watch_id of answers to the stream as a whole */

static void side_poll(struct side *sides, int wait_ms)
{
    struct pollfd polled[2];
    for (int i = 0; i < 2; i++) {
        polled[i] = rpc_link_poll(&sides[i].link);
    }
    if (poll(polled, 2, wait_ms) <= 0) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        rpc_link_ready(&sides[i].link, polled[i].revents);
    }
}

/* ---- events ---- */

/*
 * Appends a line for each event. What holds of every watch: events in the order of their revisions,
 * those of one revision in one answer, none beyond the header's revision.
 */
static void take_events(struct side *side, const Etcdserverpb__WatchResponse *response,
                        struct buf *out, int64_t *mod)
{
    int64_t before = *mod;
    for (size_t i = 0; i < response->n_events; i++) {
        const Mvccpb__Event *event = response->events[i];
        int64_t at = event->kv == NULL ? 0 : event->kv->mod_revision;
        if (at < *mod || at == before || at > response->header->revision) {
            snprintf(side->broken, sizeof(side->broken),
                     "an event of revision %" PRId64 " after %" PRId64
                     ", in an answer of revision %" PRId64 " that follows one with %" PRId64,
                     at, *mod, response->header->revision, before);
        }
        *mod = at;
        print_message(out, &event->base);
        buf_append_byte(out, '\n');
    }
}

static void all_message(struct rpc_call *call, struct bytes data)
{
    struct side *side = call->ctx;
    Etcdserverpb__WatchResponse *response =
        etcdserverpb__watch_response__unpack(NULL, data.size, data.data);
    if (response == NULL || response->header == NULL || response->canceled) {
        snprintf(side->broken, sizeof(side->broken), "the watch over everything was cancelled");
    } else {
        side->is_all_created = true;
        take_events(side, response, &side->events, &side->events_mod);
    }
    if (response != NULL) {
        etcdserverpb__watch_response__free_unpacked(response, NULL);
    }
}

static void all_end(struct rpc_call *call, int status, const char *text)
{
    struct side *side = call->ctx;
    snprintf(side->broken, sizeof(side->broken), "the watch over everything ended: %d %s", status,
             text);
}

static const struct rpc_events all_events = {.on_message = all_message, .on_end = all_end};

/* ---- a watch as an operation ---- */

static void watch_message(struct side *side, struct bytes data)
{
    Etcdserverpb__WatchResponse *response =
        etcdserverpb__watch_response__unpack(NULL, data.size, data.data);
    if (response == NULL || response->header == NULL) {
        buf_append_str(&side->answer, "no WatchResponse\n");
        side->is_watch_over = true;
        return;
    }
    bool is_progress = !response->created && !response->canceled && response->n_events == 0;
    if (is_progress) {
        side->is_watch_over |= response->watch_id == WATCH_NOT_LEFT &&
                               response->header->revision >= side->watch_target;
    } else if (response->n_events == 0) {
        print_message(&side->answer, &response->base);
        buf_append_byte(&side->answer, '\n');
        side->is_watch_over |= response->canceled;
        side->is_watch_created |= response->created && !response->canceled;
    } else {
        take_events(side, response, &side->answer, &side->watch_mod);
    }
    etcdserverpb__watch_response__free_unpacked(response, NULL);
}

/* All has been told when the stream says that it is at the revision of before the watch. */
static void watch_move(struct side *side, uint64_t now)
{
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    Etcdserverpb__WatchRequest ask = ETCDSERVERPB__WATCH_REQUEST__INIT;
    if (side->is_done) {
        return;
    }
    if (side->is_watch_created && side->watch_start > side->watch_target) {
        side->is_watch_over = true;
    }
    if (side->is_watch_over) {
        rpc_cancel(&side->call);
        side->is_done = true;
        side->status = 0;
    } else if (side->is_watch_created && now >= side->watch_ask_ns) {
        ask.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
        ask.progress_request = &progress;
        rpc_send(&side->call, &ask.base);
        side->watch_ask_ns = now + ASK_AGAIN_NS;
    }
}

/* ---- operations ---- */

static void note_header(struct side *side, const ProtobufCMessage *message)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "header");
    if (field == NULL) {
        return; /* the health service has none */
    }
    const Etcdserverpb__ResponseHeader *header =
        *(Etcdserverpb__ResponseHeader *const *)(const void *)((const uint8_t *)message +
                                                               field->offset);
    if (header == NULL) {
        buf_append_str(&side->answer, "no header "); /* MoveLeader has none */
        return;
    }
    side->revision = BASE_MAX(side->revision, header->revision);
    side->world.self = header->member_id;
    if (side->op->kind == OP_COMPACT) {
        side->compacted = ((const Etcdserverpb__CompactionRequest *)side->request)->revision;
    }
}

static void op_message(struct rpc_call *call, struct bytes data)
{
    struct side *side = call->ctx;
    side->message_count++;
    if (side->op->kind == OP_WATCH) {
        watch_message(side, data);
        return;
    }
    ProtobufCMessage *response =
        protobuf_c_message_unpack(op_rpc(side->op->kind)->response, NULL, data.size, data.data);
    if (response == NULL) {
        buf_append_str(&side->answer, "bytes that are no answer ");
        return;
    }
    note_header(side, response);
    world_rename_answer(&side->world, side->op->kind, side->request, response);
    normalize_answer(side->op->kind, side->request, response);
    print_message(&side->answer, response);
    protobuf_c_message_free_unpacked(response, NULL);
}

static void op_end(struct rpc_call *call, int status, const char *text)
{
    struct side *side = call->ctx;
    side->is_done = true;
    side->status = status;
    buf_append_str(&side->error, text);
}

static const struct rpc_events op_events = {.on_message = op_message, .on_end = op_end};

static int op_begin(struct side *side, const struct op *op)
{
    const struct op_rpc *rpc = op_rpc(op->kind);
    Etcdserverpb__WatchRequest watch = ETCDSERVERPB__WATCH_REQUEST__INIT;
    ProtobufCMessage *request = op_request(op);
    const ProtobufCMessage *message = request;
    if (request == NULL) {
        return -1;
    }
    side->op = op;
    side->request = request;
    side->is_done = false;
    side->status = RPC_NO_ANSWER;
    side->message_count = 0;
    buf_clear(&side->answer);
    buf_clear(&side->error);
    if (op_is_of_stream(op->kind)) {
        side->status = 0;
        return stream_begin(&side->stream, op->kind, request, side->revision, &side->answer);
    }
    side->call.token = world_token(&side->world, op->user);
    world_fill_request(&side->world, op->kind, request);
    if (op->kind == OP_WATCH) {
        watch.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
        watch.create_request = (Etcdserverpb__WatchCreateRequest *)request;
        message = &watch.base;
        side->is_watch_created = side->is_watch_over = false;
        side->watch_start = watch.create_request->start_revision;
        side->watch_target = side->revision;
        side->watch_ask_ns = 0;
        side->watch_mod = 0;
    }
    return rpc_start(&side->link, &side->endpoint, &side->call, rpc->path, message,
                     op->kind != OP_WATCH);
}

static void finish_answer(struct side *side)
{
    if ((side->op->kind == OP_WATCH || op_is_of_stream(side->op->kind)) && side->status == 0) {
        return;
    }
    if (side->message_count > 1) {
        buf_printf(&side->answer, " and %u messages", side->message_count);
    }
    if (side->status != 0 || side->error.size > 0) {
        buf_printf(&side->answer, "code %d: %s", side->status, buf_cstr(&side->error));
    }
}

/* What has to be said again, or is over without an answer. */
static void op_move(struct side *side, uint64_t now)
{
    if (side->op->kind == OP_WATCH) {
        watch_move(side, now);
    } else if (side->op->kind == OP_HEALTH_WATCH && side->message_count > 0 && !side->is_done) {
        rpc_cancel(&side->call); /* it would tell of changes */
        side->is_done = true;
        side->status = 0;
    } else if (op_is_of_stream(side->op->kind) && !side->is_done) {
        stream_move(&side->stream, now);
        side->is_done = side->stream.is_done;
    }
}

static void op_finish(struct side *side)
{
    if (!side->is_done) {
        rpc_cancel(&side->call);
        buf_append_str(&side->answer, "NO ANSWER in time");
    }
    finish_answer(side);
    protobuf_c_message_free_unpacked(side->request, NULL);
    side->request = NULL;
    if (side->stream.broken[0] != '\0') {
        snprintf(side->broken, sizeof(side->broken), "%s", side->stream.broken);
    }
}

int sides_run(struct side *sides, const struct op *op)
{
    uint64_t due = rpc_now_ns() + OP_NS_MAX;
    bool is_watch = op->kind == OP_WATCH || op_is_of_stream(op->kind);
    int rc = 0;
    for (int i = 0; rc == 0 && i < 2; i++) {
        rc = op_begin(&sides[i], op);
    }
    while (rc == 0 && !(sides[0].is_done && sides[1].is_done)) {
        uint64_t now = rpc_now_ns();
        op_move(&sides[0], now);
        op_move(&sides[1], now);
        if (now > due) {
            rc = -1;
        } else if (!(sides[0].is_done && sides[1].is_done)) {
            side_poll(sides, is_watch ? 5 : POLL_MS);
        }
    }
    for (int i = 0; i < 2; i++) {
        if (sides[i].request != NULL) {
            op_finish(&sides[i]);
        }
    }
    return rc;
}

int sides_settle(struct side *sides)
{
    uint64_t due = rpc_now_ns() + OP_NS_MAX;
    for (int i = 0; i < 2; i++) {
        while (sides[i].events_mod < sides[i].revision && sides[i].broken[0] == '\0') {
            if (rpc_now_ns() > due) {
                snprintf(sides[i].broken, sizeof(sides[i].broken),
                         "its watch stands at revision %" PRId64 ", the store at %" PRId64,
                         sides[i].events_mod, sides[i].revision);
                return -1;
            }
            side_poll(sides, POLL_MS);
        }
    }
    return sides[0].broken[0] == '\0' && sides[1].broken[0] == '\0' ? 0 : -1;
}

int sides_open(struct side *sides)
{
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    static uint8_t zero[1] = {0};
    create.key = create.range_end = (ProtobufCBinaryData){.data = zero, .len = 1};
    create.prev_kv = true;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    uint64_t due = rpc_now_ns() + OP_NS_MAX;
    for (int i = 0; i < 2; i++) {
        if (rpc_start(&sides[i].link, &sides[i].endpoint, &sides[i].all, WATCH_PATH, &request.base,
                      false) != 0) {
            return -1;
        }
    }
    while (!(sides[0].is_all_created && sides[1].is_all_created)) {
        if (rpc_now_ns() > due || sides[0].broken[0] != '\0' || sides[1].broken[0] != '\0') {
            return -1;
        }
        side_poll(sides, POLL_MS);
    }
    return 0;
}

void side_init(struct side *side, const char *name, const struct rpc_endpoint *endpoint)
{
    *side = (struct side){.name = name, .endpoint = *endpoint, .revision = 1, .events_mod = 1};
    rpc_link_init(&side->link);
    rpc_call_init(&side->call, &op_events, side);
    rpc_call_init(&side->all, &all_events, side);
    world_init(&side->world);
    stream_init(&side->stream, &side->link, &side->endpoint);
    buf_init(&side->answer, BUF_NO_LIMIT);
    buf_init(&side->error, BUF_NO_LIMIT);
    buf_init(&side->events, BUF_NO_LIMIT);
}

void side_free(struct side *side)
{
    rpc_call_free(&side->call);
    rpc_call_free(&side->all);
    stream_free(&side->stream);
    rpc_link_drop(&side->link, "the run is over");
    buf_free(&side->answer);
    buf_free(&side->error);
    buf_free(&side->events);
}
