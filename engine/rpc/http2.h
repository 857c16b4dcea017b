/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 server sessions. All of nghttp2 is behind this header.
 *
 * Guarantees: streams of a session share the connection fairly; what is queued for a stream is held
 * by reference and handed to the socket only as far as the peer's windows and the socket take it;
 * PINGs are answered in the same turn; floods (resets, settings, pings, empty frames,
 * continuations), header lists over the limit and slow handshakes end the connection and nothing
 * else.
 */
#ifndef ENGINE_RPC_HTTP2_H
#define ENGINE_RPC_HTTP2_H

#include "base/bytes.h"
#include "base/net/stream.h"

#define HTTP2_HEADER_LIST_BYTES_MAX   (16u * 1024u)
#define HTTP2_HEADERS_MAX             64u
#define HTTP2_STREAM_WINDOW_BYTES     (1024u * 1024u)
#define HTTP2_CONNECTION_WINDOW_BYTES (16u * 1024u * 1024u)
#define HTTP2_PREFIX_BYTES_MAX        16u
#define HTTP2_STREAMS_MAX             16384u /* of one session, also where more were promised */
#define HTTP2_STREAMS_SHARE           32u
#define HTTP2_HANDSHAKE_DEADLINE_MS   10000u

enum http2_error {
    HTTP2_NO_ERROR = 0,
    HTTP2_PROTOCOL_ERROR = 1,
    HTTP2_INTERNAL_ERROR = 2,
    HTTP2_REFUSED_STREAM = 7,
    HTTP2_CANCEL = 8,
    HTTP2_ENHANCE_YOUR_CALM = 11,
};

/* What on_close gives when the connection went, and the stream with it. */
#define HTTP2_CONNECTION_LOST UINT32_MAX

struct http2_session;
struct http2_stream;

struct http2_header {
    struct bytes name; /* lower case */
    struct bytes value;
};

struct http2_config {
    struct loop *loop;
    void *ctx;
    uint32_t max_concurrent_streams;
    uint64_t ping_min_interval_ms;  /* a client that pings more often gets GOAWAY too_many_pings; 0:
                                       off */
    bool ping_without_stream;       /* pings count as well when no stream is open */
    uint64_t keepalive_interval_ms; /* our own PING after so much silence; 0: none */
    uint64_t keepalive_timeout_ms;  /* no answer for so long closes the connection */

    size_t *all_streams;    /* counts those of all sessions; NULL: no limit */
    size_t all_streams_max; /* beyond it, sessions with more than their share get no more */

    /* The session is ended, or about to be, because of what its client does. Optional. */
    void (*on_abuse)(void *ctx, struct http2_session *session, const char *reason);
    /* False: nothing is read for now; asked again soon. Optional. */
    bool (*may_read)(void *ctx, const struct http2_session *session);

    /* The request's head is complete; ends_here: no body follows. */
    void (*on_request)(void *ctx, struct http2_stream *stream, bool ends_here);
    /* Body bytes, borrowed for the call; hand the window back by http2_stream_consume. */
    void (*on_data)(void *ctx, struct http2_stream *stream, struct bytes data);
    /* The client has sent all that it will. */
    void (*on_end)(void *ctx, struct http2_stream *stream);
    /* All that was queued for the stream has been handed on below the low watermark. */
    void (*on_drained)(void *ctx, struct http2_stream *stream);
    /* The stream is gone; comes once for each on_request; the pointer is dead afterwards. */
    void (*on_close)(void *ctx, struct http2_stream *stream, uint32_t error);
    /* The connection is gone, after the on_close of its streams. session_ctx as given to adopt. */
    void (*on_session_close)(void *ctx, struct http2_session *session, void *session_ctx);
};

/* Takes the stream, on which nothing has been said yet. Borrows config. */
struct http2_session *http2_session_adopt(const struct http2_config *config, struct stream *stream,
                                          void *session_ctx);

/* Hands over bytes that were read from the stream before, from the client preface on. May end all.
 */
void http2_session_feed(struct http2_session *session, struct bytes data);

/* Ends the connection at once: on_close for each stream, no on_session_close. */
void http2_session_free(struct http2_session *session);

/*
 * Two GOAWAYs, with a ping between them: no new streams. What was sent before the client could know
 * is answered; the connection closes when the last stream has ended.
 */
void http2_session_drain(struct http2_session *session);

/* True once the second GOAWAY and all that was to be said before is on its way. */
bool http2_session_is_drained(const struct http2_session *session);

void *http2_session_ctx(const struct http2_session *session);
struct stream *http2_session_stream(const struct http2_session *session);
size_t http2_session_stream_count(const struct http2_session *session);

/* Reads the request. Pseudo headers have their own functions and may be empty. */
struct http2_session *http2_stream_session(const struct http2_stream *stream);
struct bytes http2_stream_method(const struct http2_stream *stream);
struct bytes http2_stream_path(const struct http2_stream *stream);
/* The value of a header (the last one of that name), NUL-terminated, borrowed; NULL when absent. */
const char *http2_stream_header(const struct http2_stream *stream, const char *name);
/* The header at place index, both NUL-terminated and borrowed; false behind the last one. Pseudo
 * headers other than :method and :path are among them. */
bool http2_stream_header_at(const struct http2_stream *stream, size_t index, const char **out_name,
                            const char **out_value);

/* All that is still to be told of this stream goes to the callbacks and ctx of handlers (borrowed
 * for the stream's life). In on_request. */
void http2_stream_hand_over(struct http2_stream *stream, const struct http2_config *handlers);
void http2_stream_set_user(struct http2_stream *stream, void *user);
void *http2_stream_user(const struct http2_stream *stream);

/* Gives size bytes of receive window back. */
void http2_stream_consume(struct http2_stream *stream, size_t size);

/* The answer: headers once, then body, then trailers (or headers with ends_here alone). Copied. */
void http2_stream_respond(struct http2_stream *stream, const struct http2_header *headers,
                          size_t header_count, bool ends_here);
/*
 * Queues body bytes: prefix (up to HTTP2_PREFIX_BYTES_MAX, copied), then data by reference until
 * release(ctx); with release NULL data is copied as well.
 */
void http2_stream_write(struct http2_stream *stream, struct bytes prefix, struct bytes data,
                        stream_release_fn release, void *ctx);
void http2_stream_end(struct http2_stream *stream, const struct http2_header *trailers,
                      size_t trailer_count);
void http2_stream_reset(struct http2_stream *stream, enum http2_error error);

/* Body bytes queued and not yet handed to the socket's queue. */
size_t http2_stream_queued_bytes(const struct http2_stream *stream);

#endif
