/* SPDX-License-Identifier: Apache-2.0 */
/* See rpc.h. */
#include "tests/chaos/rpc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

#define RECV_BYTES   65536u
#define WINDOW_BYTES (16 * 1024 * 1024)

uint64_t rpc_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int rpc_endpoint_parse(const char *url, struct rpc_endpoint *out_endpoint)
{
    char host[32];
    char *end;
    const char *start = str_starts_with(url, "http://") ? url + 7 : url;
    const char *colon = strchr(start, ':');
    if (colon == NULL || (size_t)(colon - start) >= sizeof(host) || strlen(start) >= 32) {
        return -1;
    }
    snprintf(host, sizeof(host), "%.*s", (int)(colon - start), start);
    long port = strtol(colon + 1, &end, 10);
    if (*end != '\0' || port <= 0 || port > 65535) {
        return -1;
    }
    struct rpc_endpoint endpoint = {
        .address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)}};
    if (inet_pton(AF_INET, host, &endpoint.address.sin_addr) != 1) {
        return -1;
    }
    snprintf(endpoint.authority, sizeof(endpoint.authority), "%s", start);
    *out_endpoint = endpoint;
    return 0;
}

void rpc_link_init(struct rpc_link *link)
{
    *link = (struct rpc_link){.fd = -1};
    list_init(&link->calls);
}

void rpc_call_init(struct rpc_call *call, const struct rpc_events *events, void *ctx)
{
    *call = (struct rpc_call){.events = events, .ctx = ctx};
    list_init(&call->node);
    buf_init(&call->out, BUF_NO_LIMIT);
    buf_init(&call->in, BUF_NO_LIMIT);
}

void rpc_call_free(struct rpc_call *call)
{
    rpc_cancel(call);
    buf_free(&call->out);
    buf_free(&call->in);
}

static void call_end(struct rpc_call *call, int status, const char *text)
{
    list_remove(&call->node);
    call->link = NULL;
    call->events->on_end(call, status, text);
}

void rpc_link_drop(struct rpc_link *link, const char *reason)
{
    struct list calls;
    if (link->fd < 0) {
        return;
    }
    nghttp2_session_del(link->session);
    close(link->fd);
    link->session = NULL;
    link->fd = -1;
    /* on_end may start calls on this link again: those are not ended here. */
    list_init(&calls);
    LIST_EACH_SAFE(it, &link->calls)
    {
        list_remove(it);
        list_append(&calls, it);
    }
    while (!list_empty(&calls)) {
        call_end(LIST_ENTRY(calls.next, struct rpc_call, node),
                 link->has_sent ? RPC_NO_ANSWER : RPC_NOT_SENT, reason);
    }
}

/* ---- HTTP/2 ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags,
                       void *user)
{
    struct rpc_link *link = user;
    (void)session;
    (void)flags;
    ssize_t sent = send(link->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        return errno == EAGAIN ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    link->has_sent = true;
    return sent;
}

static ssize_t on_read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t size,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct rpc_call *call = source->ptr;
    (void)session;
    (void)id;
    (void)user;
    if (call->out.size == 0 && !call->is_half_closed) {
        return NGHTTP2_ERR_DEFERRED;
    }
    size = size < call->out.size ? size : call->out.size;
    if (size > 0) {
        memcpy(out, call->out.data, size);
        buf_consume(&call->out, size);
    }
    if (call->out.size == 0 && call->is_half_closed) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)size;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    struct rpc_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    (void)user;
    if (call == NULL) {
        return 0;
    }
    if (name_size == 11 && memcmp(name, "grpc-status", 11) == 0) {
        call->status = (int)strtol((const char *)value, NULL, 10);
    } else if (name_size == 12 && memcmp(name, "grpc-message", 12) == 0) {
        snprintf(call->text, sizeof(call->text), "%.*s", (int)value_size, (const char *)value);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *user)
{
    struct rpc_call *call = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    (void)user;
    if (call == NULL) {
        return 0;
    }
    buf_append(&call->in, data, size);
    while (call->in.size >= 5) {
        size_t message_size = get_be32(call->in.data + 1);
        if (call->in.size - 5 < message_size) {
            break;
        }
        call->events->on_message(call, bytes_of(call->in.data + 5, message_size));
        if (call->link == NULL) { /* cancelled by what it got */
            return 0;
        }
        buf_consume(&call->in, 5 + message_size);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct rpc_call *call = nghttp2_session_get_stream_user_data(session, id);
    (void)user;
    if (call != NULL) {
        bool is_reset = code != NGHTTP2_NO_ERROR && call->status < 0;
        call_end(call, call->status, is_reset ? "the stream was reset" : call->text);
    }
    return 0;
}

static int link_connect(struct rpc_link *link, const struct rpc_endpoint *endpoint)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (const struct sockaddr *)&endpoint->address, sizeof(endpoint->address)) != 0 &&
        errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_client_new(&link->session, callbacks, link);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES};
    nghttp2_submit_settings(link->session, NGHTTP2_FLAG_NONE, &window, 1);
    nghttp2_session_set_local_window_size(link->session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES);
    link->fd = fd;
    link->has_sent = false;
    link->endpoint = *endpoint;
    return 0;
}

/* ---- calls ---- */

static void append_message(struct buf *out, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *to = buf_reserve(out, size + 5);
    to[0] = 0;
    put_be32(to + 1, (uint32_t)size);
    protobuf_c_message_pack(message, to + 5);
    out->size += size + 5;
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

int rpc_start(struct rpc_link *link, const struct rpc_endpoint *endpoint, struct rpc_call *call,
              const char *path, const ProtobufCMessage *message, bool is_last)
{
    if (link->fd < 0 && link_connect(link, endpoint) != 0) {
        return -1;
    }
    buf_clear(&call->out);
    buf_clear(&call->in);
    call->status = RPC_NO_ANSWER;
    call->text[0] = '\0';
    call->is_half_closed = is_last;
    append_message(&call->out, message);
    const nghttp2_nv headers[] = {
        header(":method", "POST"),
        header(":scheme", "http"),
        header(":path", path),
        header(":authority", link->endpoint.authority),
        header("content-type", "application/grpc"),
        header("te", "trailers"),
        header("token", call->token == NULL ? "" : call->token),
    };
    size_t count = sizeof(headers) / sizeof(headers[0]) - (call->token == NULL ? 1 : 0);
    const nghttp2_data_provider body = {.source = {.ptr = call}, .read_callback = on_read_body};
    call->id = nghttp2_submit_request(link->session, NULL, headers, count, &body, call);
    if (call->id < 0) {
        return -1;
    }
    call->link = link;
    list_append(&link->calls, &call->node);
    return 0;
}

void rpc_send(struct rpc_call *call, const ProtobufCMessage *message)
{
    append_message(&call->out, message);
    nghttp2_session_resume_data(call->link->session, call->id);
}

void rpc_cancel(struct rpc_call *call)
{
    struct rpc_link *link = call->link;
    if (link == NULL) {
        return;
    }
    list_remove(&call->node);
    call->link = NULL;
    nghttp2_session_set_stream_user_data(link->session, call->id, NULL);
    nghttp2_submit_rst_stream(link->session, NGHTTP2_FLAG_NONE, call->id, NGHTTP2_CANCEL);
}

/* ---- polling ---- */

struct pollfd rpc_link_poll(struct rpc_link *link)
{
    if (link->fd >= 0 && nghttp2_session_send(link->session) != 0) {
        rpc_link_drop(link, "connection lost");
    }
    short out = link->fd >= 0 && nghttp2_session_want_write(link->session) != 0 ? POLLOUT : 0;
    return (struct pollfd){.fd = link->fd, .events = (short)(POLLIN | out)};
}

void rpc_link_ready(struct rpc_link *link, short revents)
{
    uint8_t data[RECV_BYTES];
    if (revents == 0 || link->fd < 0) {
        return;
    }
    ssize_t size = recv(link->fd, data, sizeof(data), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0 || nghttp2_session_mem_recv(link->session, data, (size_t)size) < 0 ||
        (nghttp2_session_want_read(link->session) == 0 &&
         nghttp2_session_want_write(link->session) == 0)) {
        rpc_link_drop(link, size < 0 ? "connection failed" : "connection lost");
    }
}
