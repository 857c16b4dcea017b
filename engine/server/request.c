/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and their answers: made on the I/O thread, answered by the state thread, sent by the I/O
 * thread. */
#include <stdio.h>

#include "base/alloc.h"
#include "engine/server/authz.h"

struct request *request_new(enum request_origin origin, size_t arena_bytes)
{
    struct request *request = mem_zalloc(sizeof(*request));
    request->origin = origin;
    arena_init(&request->arena, arena_bytes);
    heap_node_init(&request->deadline);
    list_init(&request->link);
    return request;
}

struct request *request_internal(void (*on_done)(struct server *server, struct request *request,
                                                 enum etcd_error error))
{
    struct request *request = request_new(REQUEST_INTERNAL, 0);
    request->on_done = on_done;
    return request;
}

void request_free(struct request *request)
{
    raft_payload_unref(request->payload);
    if (request->holds_password) {
        arena_wipe(&request->arena);
    }
    mem_free(request->user_name);
    held_sub(request->held, HELD_REQUESTS, request->held_bytes);
    held_unref(request->held);
    arena_free(&request->arena);
    mem_free(request);
}

static struct reply *reply_new(struct server *server, enum request_origin origin, uint64_t handle)
{
    struct reply *reply = mem_zalloc(sizeof(*reply));
    reply->origin = origin;
    reply->handle = handle;
    buf_init(&reply->body, BUF_NO_LIMIT);
    if (server->replies_last == NULL) {
        server->replies = reply;
    } else {
        server->replies_last->next = reply;
    }
    server->replies_last = reply;
    return reply;
}

/* The body is counted until the client has it. */
static void reply_take_body(struct reply *reply, struct buf *from, struct held *held)
{
    reply->body = *from;
    buf_init(from, from->max_size);
    reply->held = held_ref(held);
    held_add(held, HELD_ANSWERS, reply->body.size);
}

void header_of(const struct server *server, int64_t revision, Etcdserverpb__ResponseHeader *out)
{
    etcdserverpb__response_header__init(out);
    out->cluster_id = server->cluster_id;
    out->member_id = server->member_id;
    out->revision = revision;
    out->raft_term = atomic_load_explicit(&server->shared.term, memory_order_relaxed);
}

/* Fields may stand in any order on the wire: the header comes last, so that bodies are not copied.
 */
void header_append(const struct server *server, int64_t revision, struct buf *out)
{
    uint8_t packed[64];
    Etcdserverpb__ResponseHeader header;
    header_of(server, revision, &header);
    size_t size = etcdserverpb__response_header__pack(&header, packed);
    buf_append_byte(out, 0x0a); /* field 1, length-delimited */
    buf_append_byte(out, (uint8_t)size);
    buf_append(out, packed, size);
}

/* Ends a request inside the server: no answer goes out. */
static bool end_internal(struct server *server, struct request *request, enum etcd_error error)
{
    request_disarm(server, request);
    if (request->origin != REQUEST_INTERNAL) {
        return false;
    }
    if (request->on_done != NULL) {
        request->on_done(server, request, error);
    }
    request_free(request);
    return true;
}

void request_reply_plain(struct server *server, struct request *request, struct buf *body)
{
    request->answer = body;
    if (end_internal(server, request, ETCD_OK)) {
        buf_free(body);
        return;
    }
    if (!authz_may_leave(request)) {
        buf_free(body);
        request_fail(server, request, ETCD_ERR_PERMISSION_DENIED);
        return;
    }
    struct reply *reply = reply_new(server, request->origin, request->handle);
    reply->kinds = REPLY_MESSAGE | REPLY_FINISH;
    reply->http_status = 200;
    reply->code = GRPC_OK;
    reply_take_body(reply, body, request->held);
    request_free(request);
}

void request_reply(struct server *server, struct request *request, struct buf *body,
                   int64_t revision)
{
    header_append(server, revision, body);
    request_reply_plain(server, request, body);
}

void request_reply_message(struct server *server, struct request *request,
                           const ProtobufCMessage *message)
{
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    (void)proto_pack_append(message, &body); /* no limit: cannot fail */
    request_reply_plain(server, request, &body);
}

void request_fail_text(struct server *server, struct request *request, enum grpc_code code,
                       const char *text)
{
    if (end_internal(server, request, ETCD_ERR_STOPPED)) {
        return;
    }
    struct reply *reply = reply_new(server, request->origin, request->handle);
    reply->kinds = REPLY_FINISH;
    reply->code = code;
    reply->text = str_dup(text);
    reply->http_status = 500;
    request_free(request);
}

void request_reply_http(struct server *server, struct request *request, int status,
                        const char *content_type, struct buf *body)
{
    struct reply *reply = reply_new(server, request->origin, request->handle);
    reply->kinds = REPLY_MESSAGE | REPLY_FINISH;
    reply->http_status = status;
    reply->content_type = content_type;
    reply_take_body(reply, body, NULL);
    request_free(request);
}

/* What peers expect for their forwarded requests (as rafthttp's handlers answer). */
static int http_status_of(enum etcd_error error)
{
    switch ((int)error) {
    case ETCD_ERR_LEASE_NOT_FOUND:
    case ETCD_ERR_MEMBER_NOT_FOUND:
        return 404;
    case ETCD_ERR_MEMBER_NOT_LEARNER:
    case ETCD_ERR_LEARNER_NOT_READY:
        return 412;
    case ETCD_ERR_LEASE_NOT_PRIMARY:
    case ETCD_ERR_NOT_LEADER:
    case ETCD_ERR_COMPACTED:
    case ETCD_ERR_FUTURE_REV:
        return 400;
    case ETCD_ERR_TIMEOUT:
    case ETCD_ERR_TIMEOUT_WAIT_APPLIED:
        return 408;
    default:
        return 500;
    }
}

void request_fail(struct server *server, struct request *request, enum etcd_error error)
{
    if (request->origin == REQUEST_INTERNAL) {
        (void)end_internal(server, request, error);
        return;
    }
    request_fail_text(server, request, etcd_error_code(error), etcd_error_text(error));
    server->replies_last->http_status = http_status_of(error);
}

void stream_reply(struct server *server, uint64_t handle, struct held *held, struct buf *body,
                  bool want_drain_notice)
{
    struct reply *reply = reply_new(server, REQUEST_RPC, handle);
    reply->kinds = REPLY_MESSAGE;
    reply->want_drain_notice = want_drain_notice;
    reply_take_body(reply, body, held);
}

void request_reply_part(struct server *server, const struct request *request, struct buf *body,
                        uint32_t message_bytes)
{
    struct reply *reply = reply_new(server, request->origin, request->handle);
    reply->kinds = REPLY_PART;
    reply->message_bytes = message_bytes;
    reply->want_drain_notice = true;
    reply_take_body(reply, body, request->held);
}

void request_reply_end(struct server *server, const struct request *request)
{
    stream_finish(server, request->handle, GRPC_OK, NULL);
}

void request_abort(struct server *server, const struct request *request)
{
    struct reply *reply = reply_new(server, request->origin, request->handle);
    reply->kinds = REPLY_ABORT;
}

void stream_finish(struct server *server, uint64_t handle, enum grpc_code code, const char *text)
{
    struct reply *reply = reply_new(server, REQUEST_RPC, handle);
    reply->kinds = REPLY_FINISH;
    reply->code = code;
    reply->text = str_dup(text);
}

void stream_hold(struct server *server, uint64_t handle, bool paused)
{
    struct reply *reply = reply_new(server, REQUEST_RPC, handle);
    reply->kinds = paused ? REPLY_PAUSE : REPLY_RESUME;
}
