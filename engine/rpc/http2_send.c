/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending half of HTTP/2 streams: headers, body by reference, trailers. nghttp2 decides when a
 * frame may go and how large it is; the bytes go from the caller's memory to the socket's queue.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/rpc/http2_internal.h"

#define HTTP2_LOW_BYTES         (64u * 1024u)
#define HTTP2_RESPONSE_HEADERS  32u
#define HTTP2_TRAILER_BYTES_MAX (64u * 1024u)

/* Body bytes of one http2_stream_write. Freed with the last reference. */
struct http2_chunk {
    struct list node;
    uint32_t
        refs; /* one while it is in the stream's list, one for each piece in the socket's queue */
    uint32_t prefix_size;
    size_t offset; /* taken, prefix included */
    size_t size;   /* prefix included */
    const uint8_t *data;
    stream_release_fn release;
    void *ctx;
    uint8_t prefix[HTTP2_PREFIX_BYTES_MAX];
    uint8_t own[];
};

static void chunk_unref(void *ctx)
{
    struct http2_chunk *chunk = ctx;
    ASSERT(chunk->refs > 0);
    chunk->refs--;
    if (chunk->refs > 0) {
        return;
    }
    if (chunk->release != NULL) {
        chunk->release(chunk->ctx);
    }
    mem_free(chunk);
}

void http2_stream_drop_chunks(struct http2_stream *stream)
{
    while (!list_empty(&stream->chunks)) {
        struct http2_chunk *chunk = LIST_ENTRY(stream->chunks.next, struct http2_chunk, node);
        list_remove(&chunk->node);
        chunk_unref(chunk);
    }
    stream->session->queued_bytes -= stream->queued_bytes;
    stream->queued_bytes = 0;
}

static nghttp2_nv nv_of(const struct http2_header *header)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)header->name.data,
                        (uint8_t *)(uintptr_t)header->value.data, header->name.size,
                        header->value.size, NGHTTP2_NV_FLAG_NONE};
}

/* Trailers are kept as name NUL value NUL until the body has gone. */
static void stream_submit_trailers(struct http2_stream *stream)
{
    nghttp2_nv nvs[HTTP2_RESPONSE_HEADERS];
    const uint8_t *at = stream->trailers.data;
    for (size_t i = 0; i < stream->trailer_count; i++) {
        struct http2_header header;
        header.name = bytes_of_str((const char *)at);
        at += header.name.size + 1;
        header.value = bytes_of_str((const char *)at);
        at += header.value.size + 1;
        nvs[i] = nv_of(&header);
    }
    nghttp2_submit_trailer(stream->session->ng, stream->id, nvs, stream->trailer_count);
}

static ssize_t stream_read_body(nghttp2_session *ng, int32_t stream_id, uint8_t *out, size_t max,
                                uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    struct http2_stream *stream = source->ptr;
    (void)ng;
    (void)stream_id;
    (void)out;
    (void)user_data;
    size_t size = BASE_MIN(max, stream->queued_bytes);
    if (size > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    }
    if (size == stream->queued_bytes && stream->is_ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->trailer_count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            stream_submit_trailers(stream);
        }
        return (ssize_t)size;
    }
    if (size == 0) {
        stream->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)size;
}

/* Gives up to size bytes of the chunk to the socket's queue. */
static size_t chunk_send(struct http2_chunk *chunk, struct stream *out, size_t size)
{
    size_t part = 0;
    if (chunk->offset < chunk->prefix_size) {
        part = BASE_MIN(size, chunk->prefix_size - chunk->offset);
        stream_write(out, chunk->prefix + chunk->offset, part);
    } else {
        part = BASE_MIN(size, chunk->size - chunk->offset);
        chunk->refs++;
        stream_write_ref(out, bytes_of(chunk->data + (chunk->offset - chunk->prefix_size), part),
                         chunk_unref, chunk);
    }
    chunk->offset += part;
    return part;
}

int http2_on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t size,
                       nghttp2_data_source *source, void *user_data)
{
    struct http2_session *session = user_data;
    struct http2_stream *stream = source->ptr;
    (void)ng;
    ASSERT(frame->data.padlen == 0 && size <= stream->queued_bytes);
    stream_write(session->stream, head, 9);
    stream->queued_bytes -= size;
    session->queued_bytes -= size;
    while (size > 0) {
        struct http2_chunk *chunk = LIST_ENTRY(stream->chunks.next, struct http2_chunk, node);
        size -= chunk_send(chunk, session->stream, size);
        if (chunk->offset == chunk->size) {
            list_remove(&chunk->node);
            chunk_unref(chunk);
        }
    }
    if (stream->owes_drained && stream->queued_bytes <= HTTP2_LOW_BYTES) {
        stream->owes_drained = false;
        list_append(&session->drained, &stream->drained_node);
    }
    return 0;
}

void http2_stream_respond(struct http2_stream *stream, const struct http2_header *headers,
                          size_t header_count, bool ends_here)
{
    ASSERT(!stream->has_responded && header_count <= HTTP2_RESPONSE_HEADERS);
    nghttp2_nv nvs[HTTP2_RESPONSE_HEADERS];
    for (size_t i = 0; i < header_count; i++) {
        nvs[i] = nv_of(&headers[i]);
    }
    stream->has_responded = true;
    stream->is_ended = ends_here;
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = stream_read_body};
    nghttp2_submit_response(stream->session->ng, stream->id, nvs, header_count,
                            ends_here ? NULL : &provider);
    http2_session_wake(stream->session);
}

static void stream_resume_body(struct http2_stream *stream)
{
    if (stream->is_deferred) {
        stream->is_deferred = false;
        nghttp2_session_resume_data(stream->session->ng, stream->id);
    }
    http2_session_wake(stream->session);
}

void http2_stream_write(struct http2_stream *stream, struct bytes prefix, struct bytes data,
                        stream_release_fn release, void *ctx)
{
    ASSERT(stream->has_responded && !stream->is_ended);
    ASSERT(prefix.size <= HTTP2_PREFIX_BYTES_MAX);
    size_t own_size = release == NULL ? data.size : 0;
    struct http2_chunk *chunk = mem_alloc(sizeof(*chunk) + own_size);
    chunk->refs = 1;
    chunk->prefix_size = (uint32_t)prefix.size;
    chunk->offset = 0;
    chunk->size = prefix.size + data.size;
    chunk->data = data.data;
    chunk->release = release;
    chunk->ctx = ctx;
    memcpy(chunk->prefix, prefix.data, prefix.size);
    if (own_size > 0) {
        memcpy(chunk->own, data.data, data.size);
        chunk->data = chunk->own;
    }
    if (chunk->size == 0) {
        chunk_unref(chunk);
        return;
    }
    list_append(&stream->chunks, &chunk->node);
    stream->queued_bytes += chunk->size;
    stream->session->queued_bytes += chunk->size;
    if (stream->queued_bytes > HTTP2_LOW_BYTES) {
        stream->owes_drained = true;
    }
    stream_resume_body(stream);
}

void http2_stream_end(struct http2_stream *stream, const struct http2_header *trailers,
                      size_t trailer_count)
{
    ASSERT(stream->has_responded && !stream->is_ended);
    ASSERT(trailer_count <= HTTP2_RESPONSE_HEADERS);
    buf_init(&stream->trailers, HTTP2_TRAILER_BYTES_MAX);
    for (size_t i = 0; i < trailer_count; i++) {
        buf_append(&stream->trailers, trailers[i].name.data, trailers[i].name.size);
        buf_append_byte(&stream->trailers, 0);
        buf_append(&stream->trailers, trailers[i].value.data, trailers[i].value.size);
        buf_append_byte(&stream->trailers, 0);
    }
    ASSERT(!stream->trailers.overflowed);
    stream->trailer_count = trailer_count;
    stream->is_ended = true;
    stream_resume_body(stream);
}

void http2_stream_reset(struct http2_stream *stream, enum http2_error error)
{
    http2_stream_drop_chunks(stream); /* also when the client takes nothing any more */
    nghttp2_submit_rst_stream(stream->session->ng, NGHTTP2_FLAG_NONE, stream->id, (uint32_t)error);
    http2_session_wake(stream->session);
}

size_t http2_stream_queued_bytes(const struct http2_stream *stream)
{
    return stream->queued_bytes;
}
