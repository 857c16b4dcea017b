/* SPDX-License-Identifier: Apache-2.0 */
/* The test client: see lib_client.h. */
#include "lib_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"

static struct client_call *call_of(nghttp2_session *ng, int32_t id)
{
    return nghttp2_session_get_stream_user_data(ng, id);
}

static void copy_text(char *out, size_t out_size, const uint8_t *value, size_t size)
{
    size_t part = BASE_MIN(size, out_size - 1);
    if (part > 0) {
        memcpy(out, value, part);
    }
    out[part] = '\0';
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *ctx)
{
    (void)flags;
    (void)ctx;
    struct client_call *call = call_of(ng, frame->hd.stream_id);
    if (call == NULL) {
        return 0;
    }
    struct bytes key = bytes_of(name, name_size);
    if (bytes_equal(key, bytes_of_str(":status"))) {
        copy_text(call->http_status, sizeof(call->http_status), value, value_size);
    } else if (bytes_equal(key, bytes_of_str("grpc-status"))) {
        copy_text(call->grpc_status, sizeof(call->grpc_status), value, value_size);
    } else if (bytes_equal(key, bytes_of_str("grpc-message"))) {
        copy_text(call->grpc_message, sizeof(call->grpc_message), value, value_size);
    }
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                   void *ctx)
{
    struct client *client = ctx;
    (void)flags;
    struct client_call *call = call_of(ng, id);
    if (call == NULL) {
        return 0;
    }
    call->received_bytes += size;
    if (call->keep_bytes) {
        buf_append(&call->received, data, size);
    }
    if (!client->holds_window) {
        nghttp2_session_consume(ng, id, size);
    }
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t error, void *ctx)
{
    struct client *client = ctx;
    struct client_call *call = call_of(ng, id);
    if (call != NULL) {
        call->closed = true;
        call->error = error;
        client->closed_count++;
    }
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct client *client = ctx;
    (void)ng;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        client->got_goaway = true;
        client->goaway_error = frame->goaway.error_code;
        copy_text(client->goaway_text, sizeof(client->goaway_text), frame->goaway.opaque_data,
                  frame->goaway.opaque_data_len);
    } else if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
        client->pongs++;
    }
    return 0;
}

struct client *client_open(const struct world *world, bool holds_window)
{
    struct client *client = mem_zalloc(sizeof(*client));
    client->fd = world_connect(world);
    client->holds_window = holds_window;
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_option *option = NULL;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_peer_max_concurrent_streams(option, CLIENT_CALLS_MAX);
    nghttp2_session_client_new2(&client->ng, callbacks, client, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(client->ng, NGHTTP2_FLAG_NONE, NULL, 0);
    return client;
}

void client_close(struct client *client)
{
    for (size_t i = 0; i < client->call_count; i++) {
        buf_free(&client->calls[i]->received);
        buf_free(&client->calls[i]->to_send);
        mem_free(client->calls[i]);
    }
    nghttp2_session_del(client->ng);
    close(client->fd);
    mem_free(client);
}

static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *out, size_t max, uint32_t *flags,
                         nghttp2_data_source *source, void *ctx)
{
    (void)ng;
    (void)id;
    (void)ctx;
    struct client_call *call = source->ptr;
    size_t size = BASE_MIN(max, call->to_send.size);
    if (size > 0) {
        memcpy(out, call->to_send.data, size);
    }
    buf_consume(&call->to_send, size);
    if (call->to_send.size == 0 && call->send_ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (size == 0) {
        call->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)size;
}

static nghttp2_nv nv_of(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

struct client_call *client_start(struct client *client, const char *path,
                                 const struct http1_header *extra, size_t extra_count)
{
    assert_true(client->call_count < CLIENT_CALLS_MAX && extra_count <= 56);
    struct client_call *call = mem_zalloc(sizeof(*call));
    client->calls[client->call_count++] = call;
    buf_init(&call->received, BUF_NO_LIMIT);
    buf_init(&call->to_send, BUF_NO_LIMIT);
    call->keep_bytes = true;
    nghttp2_nv nvs[64];
    size_t count = 0;
    const char *method = "POST";
    const char *type = "application/grpc";
    for (size_t i = 0; i < extra_count; i++) {
        if (strcmp(extra[i].name, ":method") == 0) {
            method = extra[i].value;
        } else if (strcmp(extra[i].name, "content-type") == 0) {
            type = extra[i].value;
        }
    }
    nvs[count++] = nv_of(":method", method);
    nvs[count++] = nv_of(":scheme", "http");
    nvs[count++] = nv_of(":path", path);
    nvs[count++] = nv_of(":authority", "localhost");
    nvs[count++] = nv_of("content-type", type);
    nvs[count++] = nv_of("te", "trailers");
    for (size_t i = 0; i < extra_count; i++) {
        if (extra[i].name[0] != ':' && strcmp(extra[i].name, "content-type") != 0) {
            nvs[count++] = nv_of(extra[i].name, extra[i].value);
        }
    }
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = read_body};
    call->id = nghttp2_submit_request(client->ng, NULL, nvs, count, &provider, call);
    assert_true(call->id > 0);
    return call;
}

static void call_resume(struct client *client, struct client_call *call)
{
    if (call->deferred) {
        call->deferred = false;
        nghttp2_session_resume_data(client->ng, call->id);
    }
}

void client_send(struct client *client, struct client_call *call, const void *message, size_t size,
                 bool end)
{
    uint8_t prefix[GRPC_PREFIX_BYTES] = {0};
    put_be32(prefix + 1, (uint32_t)size);
    buf_append(&call->to_send, prefix, sizeof(prefix));
    buf_append(&call->to_send, message, size);
    call->send_ended = end;
    call_resume(client, call);
}

void client_end(struct client *client, struct client_call *call)
{
    call->send_ended = true;
    call_resume(client, call);
}

void client_cancel(struct client *client, struct client_call *call)
{
    nghttp2_submit_rst_stream(client->ng, NGHTTP2_FLAG_NONE, call->id, NGHTTP2_CANCEL);
}

void client_flush(struct client *client)
{
    for (;;) {
        const uint8_t *data = NULL;
        ssize_t size = nghttp2_session_mem_send(client->ng, &data);
        assert_true(size >= 0);
        if (size == 0) {
            return;
        }
        write_all(client->fd, data, (size_t)size);
    }
}

bool client_read(struct client *client)
{
    uint8_t data[65536];
    client_flush(client);
    ssize_t got = recv(client->fd, data, sizeof(data), 0);
    if (got <= 0) {
        client->ended = true;
        return false;
    }
    assert_int_equal(nghttp2_session_mem_recv(client->ng, data, (size_t)got), got);
    client_flush(client);
    return true;
}

void client_wait(struct client *client, const struct client_call *call)
{
    while (!call->closed && client_read(client)) {
    }
}

struct client_call *client_unary(struct client *client, const char *path, const char *message)
{
    struct client_call *call = client_start(client, path, NULL, 0);
    client_send(client, call, message, strlen(message), true);
    client_wait(client, call);
    return call;
}

char *call_text(const struct client_call *call)
{
    assert_true(call->received.size >= GRPC_PREFIX_BYTES);
    uint32_t size = get_be32(call->received.data + 1);
    assert_true(call->received.size >= GRPC_PREFIX_BYTES + size);
    return str_from(call->received.data + GRPC_PREFIX_BYTES, size);
}
