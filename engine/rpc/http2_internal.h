/* SPDX-License-Identifier: Apache-2.0 */
/* What http2.c (sessions, receiving) and http2_send.c (answers) share. Nobody else includes it. */
#ifndef ENGINE_RPC_HTTP2_INTERNAL_H
#define ENGINE_RPC_HTTP2_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/list.h"
#include "engine/rpc/http2.h"

struct http2_field {
    uint32_t name;
    uint32_t value;
};

struct http2_stream {
    struct list node; /* in session->streams */
    struct http2_session *session;
    const struct http2_config *handlers; /* whose callbacks are told of it */
    int32_t id;
    void *user;
    bool was_announced; /* on_request came: on_close is owed */
    bool is_ended_by_peer;

    unsigned seen_pseudo; /* see http2_head.c */
    bool saw_regular, has_content_length;
    bool is_malformed; /* it is being reset */
    uint64_t content_length, body_bytes;

    struct buf text; /* header names and values, each NUL-terminated */
    size_t header_bytes;
    size_t field_count;
    size_t field_capacity;
    struct http2_field *fields;
    uint32_t method;
    uint32_t path;

    struct list chunks; /* body that nghttp2 has not taken */
    size_t queued_bytes;
    bool has_responded;
    bool is_deferred; /* nghttp2 waits for http2_stream_write */
    bool is_ended;    /* http2_stream_end was called */
    bool owes_drained;
    struct list drained_node; /* in session->drained */
    struct buf trailers;      /* kept until the body has been taken */
    size_t trailer_count;
};

struct http2_session {
    const struct http2_config *config;
    struct stream *stream;
    nghttp2_session *ng;
    void *ctx;
    struct list streams;
    size_t stream_count;
    size_t queued_bytes; /* body bytes of all streams that nghttp2 has not taken */
    struct list drained;
    struct loop_task pump_task;
    uint32_t depth; /* our functions on the stack */
    bool is_dead;
    bool is_closing; /* GOAWAY of ours is the last word */
    bool saw_settings;
    bool in_headers; /* a header block has begun and not ended */
    bool has_header_deadline;

    uint64_t last_ping_ms;
    uint32_t ping_strikes;
    bool reset_strikes;
    uint64_t tokens_ms; /* time up to which the flood bucket was refilled */
    uint32_t tokens;
    struct loop_timer keepalive;
    struct buf unread;            /* came before reading was stopped */
    struct loop_timer read_timer; /* runs while nothing is read, see http2_config.may_read */
    uint64_t keepalive_seen_bytes;
    bool awaits_pong;

    bool is_draining; /* told that no new streams are wanted */
    bool is_drained;  /* and up to which one they are answered */
};

/* http2_head.c: false when the field, the head as a whole, or as many body bytes are not allowed.
 */
bool http2_head_takes(struct http2_stream *stream, bool is_trailer, struct bytes name,
                      struct bytes value);
bool http2_head_is_whole(const struct http2_stream *stream);
bool http2_body_fits(const struct http2_stream *stream, bool at_end);

void http2_session_enter(struct http2_session *session);

/* False when the session is gone. */
bool http2_session_leave(struct http2_session *session);

/* Something may have to be sent: at the end of the turn. */
void http2_session_wake(struct http2_session *session);

/* The answer to a ping: perhaps to the one that ends the first half of draining. */
void http2_session_on_pong(struct http2_session *session, const uint8_t payload[8]);

/* Drops what is queued; the releases are called when the socket's queue is done with it, too. */
void http2_stream_drop_chunks(struct http2_stream *stream);

/* nghttp2's callback that sends a DATA frame from the chunks. */
int http2_on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t size,
                       nghttp2_data_source *source, void *user_data);

#endif
