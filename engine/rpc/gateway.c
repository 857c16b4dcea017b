/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 requests as local gRPC calls. A request is read whole where its method takes one
 * message; where it takes many, each JSON value of the body is one as soon as it is there. The
 * messages of a WebSocket are put one behind the other and read like a body without end, as etcd's
 * proxy does it.
 */
#include "engine/rpc/gateway.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/json.h"
#include "engine/proto/codec.h"
#include "engine/rpc/gateway_internal.h"
#include "engine/rpc/gateway_paths.h"
#include "engine/rpc/grpc_local.h"
#include "engine/rpc/pbjson.h"

#define JSON_CONTENT_TYPE "application/json"
#define METADATA_PREFIX   "Grpc-Metadata-"
#define METADATA_NAME_MAX 64u

/* JSON holds bytes as base64, with names around them: more text than the message has bytes. */
#define TEXT_PER_BYTE    2u
#define TEXT_BYTES_EXTRA (64u * 1024u)

struct gateway *gateway_new(struct grpc_server *grpc, size_t message_bytes_max)
{
    struct gateway *gateway = mem_zalloc(sizeof(*gateway));
    gateway->grpc = grpc;
    gateway->text_bytes_max = TEXT_PER_BYTE * message_bytes_max + TEXT_BYTES_EXTRA;
    return gateway;
}

void gateway_free(struct gateway *gateway)
{
    mem_free(gateway);
}

int gateway_status(enum grpc_code code)
{
    switch (code) {
    case GRPC_OK:
        return 200;
    case GRPC_CANCELED:
        return 499;
    case GRPC_INVALID_ARGUMENT:
    case GRPC_FAILED_PRECONDITION:
    case GRPC_OUT_OF_RANGE:
        return 400;
    case GRPC_DEADLINE_EXCEEDED:
        return 504;
    case GRPC_NOT_FOUND:
        return 404;
    case GRPC_ALREADY_EXISTS:
    case GRPC_ABORTED:
        return 409;
    case GRPC_PERMISSION_DENIED:
        return 403;
    case GRPC_UNAUTHENTICATED:
        return 401;
    case GRPC_RESOURCE_EXHAUSTED:
        return 429;
    case GRPC_UNIMPLEMENTED:
        return 501;
    case GRPC_UNAVAILABLE:
        return 503;
    default:
        return 500;
    }
}

/* ---- answers ---- */

static void append_error(struct buf *out, enum grpc_code code, const char *message)
{
    buf_printf(out, "{\"code\":%d,\"message\":", (int)code);
    json_write_string(message == NULL ? "" : message, message == NULL ? 0 : strlen(message), out);
    buf_append_byte(out, '}');
}

/* The answer to a request that has none yet. The call may be gone when this returns. */
static void respond_error(struct http1_request *http, enum grpc_code code, const char *message)
{
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    append_error(&body, code, message);
    http1_respond(http, gateway_status(code), JSON_CONTENT_TYPE, buf_bytes(&body));
    buf_free(&body);
}

static bool gives_many(const struct gateway_call *call)
{
    return call->method->kind == GRPC_SERVER_STREAM || call->method->kind == GRPC_BIDI;
}

static bool takes_many(const struct gateway_call *call)
{
    return call->method->kind == GRPC_BIDI || call->method->kind == GRPC_CLIENT_STREAM;
}

/* What a request would be answered with, then the end. The call may be gone when this returns. */
static void socket_finish(struct gateway_call *call, enum grpc_code code, const char *message)
{
    struct buf line;
    buf_init(&line, BUF_NO_LIMIT);
    if (code == GRPC_OK) {
        buf_append(&line, call->answer.data, call->answer.size);
    } else {
        buf_append_str(&line, gives_many(call) ? "{\"error\":" : "");
        append_error(&line, code, message);
        buf_append_str(&line, gives_many(call) ? "}" : "");
    }
    if (line.size > 0) {
        gateway_socket_write(call, buf_bytes(&line), true);
    }
    buf_free(&line);
    gateway_socket_close(call, WEBSOCKET_NORMAL);
}

static void write_line(struct gateway_call *call, struct buf *line)
{
    size_t size = 0;
    if (call->is_socket) {
        bool is_line = line->size > 0 && line->data[line->size - 1] == '\n';
        gateway_socket_write(call, bytes_of(line->data, line->size - (is_line ? 1 : 0)), is_line);
        buf_free(line);
        return;
    }
    if (!http1_response_started(call->http)) {
        http1_set_header(call->http, METADATA_PREFIX "Content-Type", "application/grpc");
        http1_respond_start(call->http, 200, JSON_CONTENT_TYPE);
    }
    uint8_t *data = buf_take(line, &size);
    http1_respond_write_take(call->http, data, size);
}

/* Ends the call's request with a status. The call may be gone when this returns. */
static void finish(struct gateway_call *call, enum grpc_code code, const char *message)
{
    struct http1_request *http = call->http;
    struct buf line;
    if (call->is_answered) {
        return;
    }
    call->is_answered = true;
    if (call->in_parts && code != GRPC_OK) {
        http1_abort(http);
    } else if (call->in_parts && call->is_socket) {
        gateway_socket_write(call, bytes_of_str(call->in_list ? "]}" : "}"), true);
        gateway_socket_close(call, WEBSOCKET_NORMAL);
    } else if (call->in_parts) {
        http1_respond_write(http, call->in_list ? "]}" : "}", call->in_list ? 2 : 1);
        http1_respond_end(http);
    } else if (call->is_socket) {
        socket_finish(call, code, message);
    } else if (gives_many(call) && (code == GRPC_OK || http1_response_started(http))) {
        buf_init(&line, BUF_NO_LIMIT);
        if (code != GRPC_OK) {
            buf_append_str(&line, "{\"error\":");
            append_error(&line, code, message);
            buf_append_str(&line, "}\n");
        }
        write_line(call, &line);
        http1_respond_end(http);
    } else if (gives_many(call)) {
        buf_init(&line, BUF_NO_LIMIT);
        buf_append_str(&line, "{\"error\":");
        append_error(&line, code, message);
        buf_append_str(&line, "}\n");
        http1_respond(http, gateway_status(code), JSON_CONTENT_TYPE, buf_bytes(&line));
        buf_free(&line);
    } else if (code != GRPC_OK) {
        respond_error(http, code, message);
    } else {
        struct buf answer = call->answer;
        buf_init(&call->answer, BUF_NO_LIMIT);
        http1_set_header(http, METADATA_PREFIX "Content-Type", "application/grpc");
        http1_respond(http, 200, JSON_CONTENT_TYPE, buf_bytes(&answer));
        buf_free(&answer);
    }
}

/* ---- what the gRPC call wants ---- */

/* "authorization" is the token, with or without "Bearer "; other names come with a prefix. */
static const char *local_metadata(void *ctx, const char *name)
{
    static const char BEARER[] = "Bearer ";
    const struct gateway_call *call = ctx;
    char prefixed[sizeof(METADATA_PREFIX) + METADATA_NAME_MAX];
    if (call->is_socket) {
        return strcmp(name, "authorization") == 0 ? call->token : NULL;
    }
    if (strcmp(name, "authorization") == 0) {
        const char *value = http1_header(call->http, name);
        bool bearer = value != NULL && strncasecmp(value, BEARER, sizeof(BEARER) - 1) == 0;
        return bearer ? value + sizeof(BEARER) - 1 : value;
    }
    if (strlen(name) > METADATA_NAME_MAX) {
        return NULL;
    }
    snprintf(prefixed, sizeof(prefixed), METADATA_PREFIX "%s", name);
    return http1_header(call->http, prefixed);
}

static const char *local_peer_address(void *ctx)
{
    const struct gateway_call *call = ctx;
    return stream_peer_address(http1_stream(call->http));
}

static void local_on_message(void *ctx, struct bytes wire)
{
    struct gateway_call *call = ctx;
    struct arena arena;
    struct buf out;
    ProtobufCMessage *message;
    buf_init(&out, BUF_NO_LIMIT);
    arena_init(&arena, proto_arena_limit(wire.size));
    int rc = proto_unpack(call->types->output, wire, &arena, &message);
    ASSERT(rc == 0); /* it was packed here */
    if (gives_many(call)) {
        buf_append_str(&out, "{\"result\":");
        (void)pbjson_write(message, &out); /* no limit: cannot fail */
        buf_append_str(&out, "}\n");
        write_line(call, &out);
    } else {
        (void)pbjson_write(message, &out);
        buf_free(&call->answer);
        call->answer = out;
    }
    arena_free(&arena);
}

/* A list of the answer that was begun and may go on in the next part. */
#define LIST_OPENS "\":["

/*
 * Parts are objects whose fields together are the answer; only a list (RangeResponse.kvs, whose
 * items hold no other) comes in several of them. Each leaves as a piece of one object: its braces
 * are left out, and the list stays open while nothing follows it.
 */
static void append_part(struct gateway_call *call, struct bytes fields, struct buf *out)
{
    const uint8_t *end = fields.data + fields.size;
    const uint8_t *name = memmem(fields.data, fields.size, LIST_OPENS, strlen(LIST_OPENS));
    const uint8_t *items = name == NULL ? NULL : name + strlen(LIST_OPENS);
    const uint8_t *items_end = name == NULL ? NULL : memrchr(fields.data, ']', fields.size);
    bool stays_open = name != NULL && items_end + 1 == end;
    if (call->in_list && name != NULL) {
        buf_append_byte(out, ',');
        buf_append(out, items, (size_t)(end - items) - (stays_open ? 1 : 0));
    } else {
        buf_append_str(out, call->in_list ? "]" : "");
        buf_append_str(out, !call->in_parts ? "{" : fields.size > 0 ? "," : "");
        buf_append(out, fields.data, fields.size - (stays_open ? 1 : 0));
    }
    call->in_list = stays_open;
    call->in_parts = true;
}

static void local_on_part(void *ctx, struct bytes wire)
{
    struct gateway_call *call = ctx;
    struct arena arena;
    struct buf text;
    struct buf out;
    ProtobufCMessage *message;
    buf_init(&text, BUF_NO_LIMIT);
    buf_init(&out, BUF_NO_LIMIT);
    arena_init(&arena, proto_arena_limit(wire.size));
    int rc = proto_unpack(call->types->output, wire, &arena, &message);
    ASSERT(rc == 0 && !gives_many(call));
    (void)pbjson_write(message, &text); /* no limit: cannot fail */
    arena_free(&arena);
    ASSERT(text.size >= 2);
    append_part(call, bytes_of(text.data + 1, text.size - 2), &out);
    buf_free(&text);
    write_line(call, &out);
}

static void local_on_abort(void *ctx)
{
    struct gateway_call *call = ctx;
    call->is_open = false;
    call->is_answered = true;
    http1_abort(call->http);
}

static void local_on_status(void *ctx, enum grpc_code code, const char *message)
{
    struct gateway_call *call = ctx;
    call->is_open = false;
    finish(call, code, message);
}

/* Nothing waits until the socket's queue is full: gateway_drained comes after that alone. */
static size_t local_pending_bytes(const void *ctx)
{
    const struct gateway_call *call = ctx;
    return http1_response_is_full(call->http)
               ? BASE_MAX(http1_response_queued_bytes(call->http), GRPC_CALL_LOW_BYTES + 1)
               : 0;
}

static void pump(struct gateway_call *call);

static void local_on_resume(void *ctx)
{
    pump(ctx);
}

static const struct grpc_local LOCAL = {
    .metadata = local_metadata,
    .peer_address = local_peer_address,
    .on_message = local_on_message,
    .on_part = local_on_part,
    .on_abort = local_on_abort,
    .on_status = local_on_status,
    .on_resume = local_on_resume,
    .pending_bytes = local_pending_bytes,
};

/* The gRPC call, opened with the first message; NULL when it has ended. */
static struct grpc_call *grpc_of(struct gateway_call *call)
{
    if (!call->was_open) {
        call->was_open = true;
        call->is_open = true;
        call->handle = grpc_local_open(call->gateway->grpc, call->method, &LOCAL, call);
    }
    return call->is_open ? grpc_call_from_handle(call->gateway->grpc, call->handle) : NULL;
}

/* ---- from the body to messages ---- */

static bool is_blank(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (memchr(" \t\r\n", text.data[i], 4) == NULL) {
            return false;
        }
    }
    return true;
}

/* Ends the gRPC call as well, where it is open. */
static void refuse(struct gateway_call *call, enum grpc_code code, const char *message)
{
    struct grpc_call *grpc =
        call->is_open ? grpc_call_from_handle(call->gateway->grpc, call->handle) : NULL;
    call->is_open = false;
    if (grpc != NULL) {
        grpc_local_abort(grpc);
    }
    finish(call, code, message);
}

/* One message from text. False when the call has ended; it may be gone then. */
static bool feed(struct gateway_call *call, struct bytes text)
{
    struct arena arena;
    struct buf wire;
    struct err err = {{0}};
    ProtobufCMessage *message;
    bool gone = false;
    arena_init(&arena, pbjson_arena_limit(text.size));
    int rc = pbjson_read(call->types->input, text, &arena, &message, &err);
    if (rc != 0) {
        arena_free(&arena);
        refuse(call, GRPC_INVALID_ARGUMENT, err.text);
        return false;
    }
    buf_init(&wire, BUF_NO_LIMIT);
    (void)proto_pack_append(message, &wire); /* no limit: cannot fail */
    arena_free(&arena);
    struct grpc_call *grpc = grpc_of(call);
    if (grpc != NULL) {
        call->gone = &gone;
        grpc_local_feed(grpc, buf_bytes(&wire));
        if (!gone) {
            call->gone = NULL;
        }
    }
    buf_free(&wire);
    return !gone && call->is_open;
}

/* The body's end for a method that takes many. */
static void pump_end(struct gateway_call *call)
{
    if (!is_blank(buf_bytes(&call->body))) {
        refuse(call, GRPC_INVALID_ARGUMENT, "unexpected EOF");
        return;
    }
    struct grpc_call *grpc = grpc_of(call);
    if (grpc != NULL && !call->told_end) {
        call->told_end = true;
        grpc_local_half_close(grpc);
    }
}

static void pump_many(struct gateway_call *call)
{
    while (!call->is_answered) {
        struct grpc_call *grpc =
            call->is_open ? grpc_call_from_handle(call->gateway->grpc, call->handle) : NULL;
        if (grpc != NULL && grpc_local_is_paused(grpc)) {
            if (!call->body_ended && !call->body_paused) {
                call->body_paused = true;
                http1_body_pause(call->http);
            }
            return;
        }
        size_t size = pbjson_scan(&call->scan, buf_bytes(&call->body));
        if (size == 0) {
            break;
        }
        if (!feed(call, bytes_of(call->body.data, size))) {
            return;
        }
        buf_consume(&call->body, size);
    }
    if (call->body_paused) {
        call->body_paused = false;
        http1_body_resume(call->http);
    }
    if (call->body_ended && !call->is_answered) {
        pump_end(call);
    }
}

static void pump(struct gateway_call *call)
{
    if (call->is_answered) {
        return;
    }
    if (takes_many(call)) {
        pump_many(call);
    } else if (call->is_socket) {
        size_t size = call->was_open ? 0 : pbjson_scan(&call->scan, buf_bytes(&call->body));
        if (size > 0) {
            (void)feed(call, bytes_of(call->body.data, size));
        }
    } else if (call->body_ended && !call->was_open) {
        (void)feed(call, buf_bytes(&call->body));
    }
}

static void on_body(void *ctx, struct http1_request *http, struct bytes part, bool at_end)
{
    struct gateway_call *call = http1_user(http);
    (void)ctx;
    if (call == NULL || call->is_answered) {
        return;
    }
    stream_set_read_timeout(http1_stream(http), 0); /* a stream of requests may rest for long */
    if (call->body.size + part.size > call->gateway->text_bytes_max) {
        refuse(call, GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max");
        return;
    }
    buf_append(&call->body, part.data, part.size);
    call->body_ended = at_end;
    pump(call);
}

/* ---- for gateway_socket.c ---- */

void gateway_call_take(struct gateway_call *call, struct bytes message)
{
    /* What follows the one message of a method that takes no more is not kept. */
    if (!takes_many(call) && call->was_open) {
        return;
    }
    if (call->body.size + message.size >= call->gateway->text_bytes_max) {
        refuse(call, GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max");
        return;
    }
    buf_append(&call->body, message.data, message.size);
    buf_append_byte(&call->body, '\n');
    pump(call);
}

void gateway_call_drop(struct gateway_call *call)
{
    struct grpc_call *grpc =
        call->is_open ? grpc_call_from_handle(call->gateway->grpc, call->handle) : NULL;
    call->is_open = false;
    call->is_answered = true;
    if (grpc != NULL) {
        grpc_local_abort(grpc);
    }
}

/* ---- requests ---- */

bool gateway_is_path(const char *path)
{
    return str_starts_with(path, GATEWAY_PREFIX) || str_starts_with(path, GATEWAY_PREFIX_BETA);
}

void gateway_take(struct gateway *gateway, struct http1_request *request)
{
    const char *path = http1_path(request);
    const char *prefix =
        str_starts_with(path, GATEWAY_PREFIX) ? GATEWAY_PREFIX : GATEWAY_PREFIX_BETA;
    const struct gateway_path *found = gateway_path_find(path + strlen(prefix));
    char name[128];
    if (found == NULL) {
        respond_error(request, GRPC_NOT_FOUND, "Not Found");
        return;
    }
    bool is_socket = websocket_is_asked(request);
    if (strcmp(http1_method(request), "POST") != 0 && !is_socket) {
        respond_error(request, GRPC_UNIMPLEMENTED, "Method Not Allowed");
        return;
    }
    snprintf(name, sizeof(name), "/%s/%s", found->service->name, found->method);
    const struct grpc_method *method = grpc_server_method(gateway->grpc, name);
    if (method == NULL) {
        snprintf(name, sizeof(name), "unknown method %s for service %s", found->method,
                 found->service->name);
        respond_error(request, GRPC_UNIMPLEMENTED, name);
        return;
    }
    struct gateway_call *call = mem_zalloc(sizeof(*call));
    call->gateway = gateway;
    call->http = request;
    call->method = method;
    call->types = protobuf_c_service_descriptor_get_method_by_name(found->service, found->method);
    ASSERT(call->types != NULL);
    buf_init(&call->body, BUF_NO_LIMIT); /* on_body holds it to the gateway's limit */
    buf_init(&call->answer, BUF_NO_LIMIT);
    http1_set_user(request, call);
    if (!is_socket) {
        http1_stream_body(request, on_body);
    } else if (!gateway_socket_open(call)) {
        call->is_answered = true;
    }
}

bool gateway_has(const struct http1_request *request)
{
    return http1_user(request) != NULL;
}

void gateway_drained(struct http1_request *request)
{
    struct gateway_call *call = http1_user(request);
    struct grpc_call *grpc =
        call->is_open ? grpc_call_from_handle(call->gateway->grpc, call->handle) : NULL;
    if (grpc != NULL) {
        grpc_local_drained(grpc);
    }
}

void gateway_over(struct http1_request *request)
{
    struct gateway_call *call = http1_user(request);
    struct grpc_call *grpc =
        call->is_open ? grpc_call_from_handle(call->gateway->grpc, call->handle) : NULL;
    if (call->gone != NULL) {
        *call->gone = true;
    }
    call->is_open = false;
    call->is_answered = true;
    http1_set_user(request, NULL);
    if (grpc != NULL) {
        grpc_local_abort(grpc);
    }
    buf_free(&call->body);
    buf_free(&call->answer);
    if (call->is_socket) {
        websocket_reader_free(&call->frames);
    }
    mem_free(call->token);
    mem_free(call);
}
