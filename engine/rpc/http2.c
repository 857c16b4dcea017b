/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 sessions: what comes in, the pump that lets nghttp2 write, and the defences. Nothing is
 * written to the socket's queue beyond its high watermark, so a slow reader costs a bounded queue.
 */
#include "engine/rpc/http2.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/rpc/http2_internal.h"

#define HTTP2_PING_STRIKES_MAX      2u
#define HTTP2_PING_IDLE_INTERVAL_MS (2u * 60u * 60u * 1000u)
#define HTTP2_FLOOD_BURST           1000u /* control frames that carry no request */
#define HTTP2_FLOOD_PER_SECOND      100u
#define HTTP2_RESET_BURST           1000u
#define HTTP2_RESET_PER_SECOND      200u
#define HTTP2_ACKS_QUEUED_MAX       1000u
#define HTTP2_CONTINUATIONS_MAX     8u
#define HTTP2_SETTINGS_ENTRIES_MAX  32u
#define HTTP2_STREAM_COST_BYTES     2048u
#define HTTP2_HEADERS_USUAL         8u
/* Of one connection in one turn of the loop, so that many large answers do not make it long. */
#define HTTP2_SOCKET_HIGH_BYTES (64u * 1024u)
#define HTTP2_SOCKET_LOW_BYTES  (16u * 1024u)
#define HTTP2_READ_RETRY_MS     5u
#define HTTP2_READ_PIECE_BYTES  4096u /* after each it is asked whether more may be read */
#define HTTP2_CLOSE_DEADLINE_MS 5000u /* for the last word to a client that does not read */
#define HTTP2_HELD_BYTES_MAX    (64u * 1024u * 1024u) /* of a client that does not read */
#define HTTP2_HEADER_OVERHEAD   32u /* RFC 9113, 6.5.2: how a header list is measured */

static void session_on_data(void *ctx, struct bytes data);
static void session_on_stream_drained(void *ctx);
static void session_on_stream_close(void *ctx, int code, const char *text);

static const struct stream_events SESSION_EVENTS = {
    .on_data = session_on_data,
    .on_drained = session_on_stream_drained,
    .on_close = session_on_stream_close,
};

static void stream_destroy(struct http2_stream *stream)
{
    list_remove(&stream->node);
    list_remove(&stream->drained_node);
    stream->session->stream_count--;
    if (stream->session->config->all_streams != NULL) {
        (*stream->session->config->all_streams)--;
    }
    http2_stream_drop_chunks(stream);
    buf_free(&stream->text);
    mem_free(stream->fields);
    buf_free(&stream->trailers);
    mem_free(stream);
}

void http2_session_enter(struct http2_session *session)
{
    session->depth++;
}

bool http2_session_leave(struct http2_session *session)
{
    session->depth--;
    if (!session->is_dead) {
        return true;
    }
    if (session->depth == 0) {
        nghttp2_session_del(session->ng);
        mem_free(session);
    }
    return false;
}

void http2_session_free(struct http2_session *session)
{
    if (session == NULL || session->is_dead) {
        return;
    }
    session->is_dead = true;
    http2_session_enter(session);
    loop_task_cancel(&session->pump_task);
    loop_timer_cancel(&session->keepalive);
    loop_timer_cancel(&session->read_timer);
    buf_free(&session->unread);
    stream_free(session->stream);
    session->stream = NULL;
    while (!list_empty(&session->streams)) {
        struct http2_stream *stream = LIST_ENTRY(session->streams.next, struct http2_stream, node);
        if (stream->was_announced) {
            stream->handlers->on_close(stream->handlers->ctx, stream, HTTP2_CONNECTION_LOST);
        }
        stream_destroy(stream);
    }
    http2_session_leave(session);
}

/* The connection is over: tell everybody. */
static void session_lose(struct http2_session *session)
{
    if (session->is_dead) {
        return;
    }
    http2_session_enter(session);
    http2_session_free(session);
    session->config->on_session_close(session->config->ctx, session, session->ctx);
    http2_session_leave(session);
}

void http2_session_wake(struct http2_session *session)
{
    if (!session->is_dead) {
        loop_task_schedule(&session->pump_task);
    }
}

/* Sends GOAWAY with the reason and lets the connection end. */
static void session_goaway(struct http2_session *session, uint32_t error, const char *reason)
{
    if (session->is_closing) {
        return;
    }
    session->is_closing = true;
    stream_set_deadline(session->stream, HTTP2_CLOSE_DEADLINE_MS);
    int32_t last = nghttp2_session_get_last_proc_stream_id(session->ng);
    nghttp2_submit_goaway(session->ng, NGHTTP2_FLAG_NONE, last, error, (const uint8_t *)reason,
                          strlen(reason));
    http2_session_wake(session);
}

/* What nghttp2 has to say goes to the socket's queue as far as that has room. */
static void session_pump(void *ctx)
{
    struct http2_session *session = ctx;
    http2_session_enter(session);
    while (!session->is_dead && !stream_is_full(session->stream)) {
        const uint8_t *data = NULL;
        ssize_t size = nghttp2_session_mem_send(session->ng, &data);
        if (size < 0) {
            session_lose(session);
            break;
        }
        if (size == 0 || session->is_dead) {
            break;
        }
        stream_write(session->stream, data, (size_t)size);
    }
    while (!session->is_dead && !list_empty(&session->drained)) {
        struct http2_stream *stream =
            LIST_ENTRY(session->drained.next, struct http2_stream, drained_node);
        list_remove(&stream->drained_node);
        if (stream->was_announced && stream->handlers->on_drained != NULL) {
            stream->handlers->on_drained(stream->handlers->ctx, stream);
        }
    }
    if (!session->is_dead && !stream_is_full(session->stream) &&
        (session->is_closing || (nghttp2_session_want_read(session->ng) == 0 &&
                                 nghttp2_session_want_write(session->ng) == 0))) {
        stream_close_when_sent(session->stream);
    }
    http2_session_leave(session);
}

static void session_on_stream_drained(void *ctx)
{
    struct http2_session *session = ctx;
    if (!loop_timer_is_set(&session->read_timer)) {
        stream_resume(session->stream);
    }
    http2_session_wake(session);
}

static bool session_may_read(const struct http2_session *session)
{
    const struct http2_config *config = session->config;
    return config->may_read == NULL || config->may_read(config->ctx, session);
}

/* A client that asks and asks and reads nothing is not read from, until its socket takes bytes
 * again. */
static void session_limit_held(struct http2_session *session)
{
    size_t held = session->queued_bytes + session->stream_count * HTTP2_STREAM_COST_BYTES;
    if (held > HTTP2_HELD_BYTES_MAX && stream_is_full(session->stream)) {
        stream_pause(session->stream);
    }
}

static void session_tell_abuse(struct http2_session *session, const char *reason)
{
    if (session->config->on_abuse != NULL) {
        session->config->on_abuse(session->config->ctx, session, reason);
    }
}

static void session_on_stream_close(void *ctx, int code, const char *text)
{
    (void)code;
    (void)text;
    session_lose(ctx);
}

/* True when the peer has used up its allowance of frames that ask for nothing. */
static bool session_is_flooded(struct http2_session *session)
{
    uint64_t now_ms = loop_now_ms(session->config->loop);
    uint64_t earned = (now_ms - session->tokens_ms) * HTTP2_FLOOD_PER_SECOND / 1000u;
    if (earned > 0) {
        session->tokens = (uint32_t)BASE_MIN(session->tokens + earned, HTTP2_FLOOD_BURST);
        session->tokens_ms = now_ms;
    }
    if (session->tokens == 0) {
        return true;
    }
    session->tokens--;
    return false;
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *head, void *user_data)
{
    struct http2_session *session = user_data;
    (void)ng;
    bool counts = false;
    switch (head->type) {
    case NGHTTP2_HEADERS:
        session->in_headers = true;
        break;
    case NGHTTP2_DATA:
        counts = head->length == 0 && (head->flags & NGHTTP2_FLAG_END_STREAM) == 0;
        break;
    case NGHTTP2_CONTINUATION:
    case NGHTTP2_RST_STREAM:
    case NGHTTP2_WINDOW_UPDATE:
        break;
    case NGHTTP2_PING:
        counts = session->config->ping_min_interval_ms == 0; /* else the strikes see to it */
        break;
    default:
        counts = true;
        break;
    }
    if (counts && session_is_flooded(session)) {
        session_goaway(session, HTTP2_ENHANCE_YOUR_CALM, "too_many_frames");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

static bool session_has_too_many_streams(const struct http2_session *session)
{
    const struct http2_config *config = session->config;
    return session->stream_count >= HTTP2_STREAMS_MAX ||
           (config->all_streams != NULL && *config->all_streams >= config->all_streams_max &&
            session->stream_count >= HTTP2_STREAMS_SHARE);
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    struct http2_session *session = user_data;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    if (session->is_drained) {
        return 0; /* the GOAWAY on its way says that this one is not done: it may be sent elsewhere
                   */
    }
    if (session_has_too_many_streams(session)) {
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, HTTP2_REFUSED_STREAM);
        if (session_is_flooded(session)) {
            session_goaway(session, HTTP2_ENHANCE_YOUR_CALM, "too_many_streams");
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        return 0;
    }
    struct http2_stream *stream = mem_zalloc(sizeof(*stream));
    stream->session = session;
    stream->handlers = session->config;
    stream->id = frame->hd.stream_id;
    buf_init(&stream->text, 2 * HTTP2_HEADER_LIST_BYTES_MAX);
    buf_append_byte(&stream->text, 0); /* place 0 is the empty text */
    buf_init(&stream->trailers, 0);
    list_init(&stream->chunks);
    list_init(&stream->drained_node);
    list_append(&session->streams, &stream->node);
    session->stream_count++;
    if (session->config->all_streams != NULL) {
        (*session->config->all_streams)++;
    }
    nghttp2_session_set_stream_user_data(ng, stream->id, stream);
    return 0;
}

/* A request that is none (RFC 9113, 8.1.1). */
static void stream_malformed(struct http2_stream *stream)
{
    if (!stream->is_malformed) {
        stream->is_malformed = true;
        http2_stream_reset(stream, HTTP2_PROTOCOL_ERROR);
    }
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user_data)
{
    (void)flags;
    (void)user_data;
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (stream == NULL) {
        return 0;
    }
    stream->header_bytes += name_size + value_size + HTTP2_HEADER_OVERHEAD;
    if (stream->header_bytes > HTTP2_HEADER_LIST_BYTES_MAX ||
        stream->field_count == HTTP2_HEADERS_MAX) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    bool is_trailer = frame->headers.cat != NGHTTP2_HCAT_REQUEST;
    if (!http2_head_takes(stream, is_trailer, bytes_of(name, name_size),
                          bytes_of(value, value_size))) {
        stream_malformed(stream);
        return 0;
    }
    if (is_trailer) {
        return 0; /* they say nothing to gRPC */
    }
    struct http2_field field = {(uint32_t)stream->text.size, 0};
    buf_append(&stream->text, name, name_size);
    buf_append_byte(&stream->text, 0);
    field.value = (uint32_t)stream->text.size;
    buf_append(&stream->text, value, value_size);
    buf_append_byte(&stream->text, 0);
    if (name_size == 5 && memcmp(name, ":path", 5) == 0) {
        stream->path = field.value;
    } else if (name_size == 7 && memcmp(name, ":method", 7) == 0) {
        stream->method = field.value;
    } else {
        if (stream->field_count == stream->field_capacity) {
            stream->field_capacity = BASE_MAX(2 * stream->field_capacity, HTTP2_HEADERS_USUAL);
            stream->fields =
                mem_realloc(stream->fields, stream->field_capacity * sizeof(*stream->fields));
        }
        stream->fields[stream->field_count++] = field;
    }
    return 0;
}

static void session_on_ping(struct http2_session *session)
{
    const struct http2_config *config = session->config;
    uint64_t now_ms = loop_now_ms(config->loop);
    uint64_t last_ms = session->last_ping_ms;
    session->last_ping_ms = now_ms;
    if (config->ping_min_interval_ms == 0) {
        return;
    }
    if (session->reset_strikes) {
        session->reset_strikes = false; /* we have sent something since: pings may measure that */
        session->ping_strikes = 0;
        return;
    }
    bool is_idle = session->stream_count == 0 && !config->ping_without_stream;
    uint64_t interval_ms = is_idle ? HTTP2_PING_IDLE_INTERVAL_MS : config->ping_min_interval_ms;
    if (last_ms != 0 && last_ms + interval_ms > now_ms) {
        session->ping_strikes++;
    }
    if (session->ping_strikes > HTTP2_PING_STRIKES_MAX) {
        session_goaway(session, HTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
    }
}

static void stream_on_frame(struct http2_stream *stream, const nghttp2_frame *frame)
{
    const struct http2_config *config = stream->handlers;
    bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    bool is_request =
        frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    if (ends) {
        stream->is_ended_by_peer = true;
    }
    if ((is_request && !http2_head_is_whole(stream)) || (ends && !http2_body_fits(stream, true)) ||
        (!is_request && !ends && frame->hd.type == NGHTTP2_HEADERS)) {
        stream_malformed(stream);
    }
    if (stream->is_malformed) {
        return;
    }
    if (is_request) {
        stream->was_announced = true;
        config->on_request(config->ctx, stream, ends);
    } else if (ends && stream->was_announced) {
        config->on_end(config->ctx, stream);
    }
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    struct http2_session *session = user_data;
    struct http2_stream *stream = NULL;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        session->in_headers = false;
        stream = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
        if (stream != NULL) {
            stream_on_frame(stream, frame);
        }
        break;
    case NGHTTP2_SETTINGS:
        if (!session->saw_settings) {
            session->saw_settings = true;
            stream_set_deadline(session->stream, 0);
        }
        break;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
            session_on_ping(session);
        } else {
            http2_session_on_pong(session, frame->ping.opaque_data);
        }
        break;
    default:
        break;
    }
    return session->is_dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t stream_id, const uint8_t *data,
                         size_t size, void *user_data)
{
    struct http2_session *session = user_data;
    (void)flags;
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(ng, stream_id);
    /* The connection's window is never held back: one stream that waits must not stop the others.
     */
    nghttp2_session_consume_connection(ng, size);
    if (stream != NULL) {
        stream->body_bytes += size;
        if (!http2_body_fits(stream, false)) {
            stream_malformed(stream);
        }
    }
    if (stream != NULL && stream->was_announced && !stream->is_malformed) {
        stream->handlers->on_data(stream->handlers->ctx, stream, bytes_of(data, size));
    }
    return session->is_dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    struct http2_session *session = user_data;
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        char reason[80];
        snprintf(reason, sizeof(reason), "%s %.*s",
                 nghttp2_http2_strerror(frame->goaway.error_code),
                 (int)BASE_MIN(frame->goaway.opaque_data_len, 40u),
                 frame->goaway.opaque_data_len == 0 ? "" : (const char *)frame->goaway.opaque_data);
        session_tell_abuse(session, reason);
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    session->reset_strikes = true;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        struct http2_stream *stream = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
        if (stream != NULL && !stream->is_ended_by_peer) {
            nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                      HTTP2_NO_ERROR); /* the rest of the request is not wanted */
        }
    }
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t stream_id, uint32_t error, void *user_data)
{
    struct http2_session *session = user_data;
    struct http2_stream *stream = nghttp2_session_get_stream_user_data(ng, stream_id);
    if (stream == NULL) {
        return 0;
    }
    nghttp2_session_set_stream_user_data(ng, stream_id, NULL);
    if (stream->was_announced) {
        stream->handlers->on_close(stream->handlers->ctx, stream, error);
    }
    if (!session->is_dead) {
        stream_destroy(stream);
    }
    return 0;
}

static void session_update_deadline(struct http2_session *session)
{
    if (!session->saw_settings) {
        return;
    }
    if (session->in_headers != session->has_header_deadline) {
        session->has_header_deadline = session->in_headers;
        stream_set_deadline(session->stream, session->in_headers ? HTTP2_HANDSHAKE_DEADLINE_MS : 0);
    }
}

/* Gives the bytes to nghttp2, a piece after the other, as long as more may be read; how many. */
static size_t session_take(struct http2_session *session, struct bytes data)
{
    size_t taken = 0;
    while (taken < data.size && !session->is_dead && !session->is_closing) {
        if (!session_may_read(session)) {
            stream_pause(session->stream);
            loop_timer_set(&session->read_timer, HTTP2_READ_RETRY_MS);
            return taken;
        }
        size_t piece = BASE_MIN(data.size - taken, HTTP2_READ_PIECE_BYTES);
        ssize_t used = nghttp2_session_mem_recv(session->ng, data.data + taken, piece);
        taken += piece;
        if (session->is_dead) {
            break;
        }
        if (used < 0 && !session->is_closing) {
            session_tell_abuse(session, nghttp2_strerror((int)used));
            session_lose(session); /* not HTTP/2, or a flood: no word is owed */
            break;
        }
        if (nghttp2_session_want_read(session->ng) == 0) {
            stream_set_deadline(session->stream, HTTP2_CLOSE_DEADLINE_MS);
        }
        session_update_deadline(session);
        session_limit_held(session);
    }
    http2_session_wake(session);
    return data.size;
}

static void session_on_data(void *ctx, struct bytes data)
{
    struct http2_session *session = ctx;
    if (session->is_closing) {
        return;
    }
    http2_session_enter(session);
    if (session->awaits_pong) {
        session->awaits_pong = false; /* any sign of life will do */
        loop_timer_set(&session->keepalive, session->config->keepalive_interval_ms);
    }
    if (session->unread.size > 0) {
        buf_append(&session->unread, data.data, data.size);
    } else {
        size_t used = session_take(session, data);
        if (!session->is_dead && used < data.size) {
            buf_append(&session->unread, data.data + used, data.size - used);
        }
    }
    http2_session_leave(session);
}

static void session_on_read_timer(void *ctx)
{
    struct http2_session *session = ctx;
    struct buf unread = session->unread;
    http2_session_enter(session);
    buf_init(&session->unread, BUF_NO_LIMIT);
    size_t used = session_take(session, buf_bytes(&unread));
    if (!session->is_dead) {
        buf_consume(&unread, used);
        buf_append(&unread, session->unread.data, session->unread.size);
        buf_free(&session->unread);
        session->unread = unread;
        if (unread.size == 0) {
            buf_free(&session->unread);
        }
        if (!loop_timer_is_set(&session->read_timer)) {
            stream_resume(session->stream);
        }
    } else {
        buf_free(&unread);
    }
    http2_session_leave(session);
}

static void session_on_keepalive(void *ctx)
{
    struct http2_session *session = ctx;
    if (session->awaits_pong) {
        session_lose(session);
        return;
    }
    uint64_t received = stream_received_bytes(session->stream);
    if (received != session->keepalive_seen_bytes) {
        session->keepalive_seen_bytes = received;
        loop_timer_set(&session->keepalive, session->config->keepalive_interval_ms);
        return;
    }
    session->awaits_pong = true;
    nghttp2_submit_ping(session->ng, NGHTTP2_FLAG_NONE, NULL);
    http2_session_wake(session);
    loop_timer_set(&session->keepalive, session->config->keepalive_timeout_ms);
}

static nghttp2_session *session_make_ng(struct http2_session *session)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *ng = NULL;
    int rc = nghttp2_session_callbacks_new(&callbacks);
    ASSERT(rc == 0);
    rc = nghttp2_option_new(&option);
    ASSERT(rc == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, http2_on_send_data);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    /* grpc-go of etcd's clients sends whole URLs as :authority, which strict HTTP forbids. What the
     * library would have checked is checked where it is used: grpc_head_check. */
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_option_set_max_outbound_ack(option, HTTP2_ACKS_QUEUED_MAX);
    nghttp2_option_set_max_settings(option, HTTP2_SETTINGS_ENTRIES_MAX);
    nghttp2_option_set_max_continuations(option, HTTP2_CONTINUATIONS_MAX);
    nghttp2_option_set_stream_reset_rate_limit(option, HTTP2_RESET_BURST, HTTP2_RESET_PER_SECOND);
    rc = nghttp2_session_server_new2(&ng, callbacks, session, option);
    ASSERT(rc == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return ng;
}

struct http2_session *http2_session_adopt(const struct http2_config *config, struct stream *stream,
                                          void *session_ctx)
{
    struct http2_session *session = mem_zalloc(sizeof(*session));
    session->config = config;
    session->stream = stream;
    session->ctx = session_ctx;
    session->tokens = HTTP2_FLOOD_BURST;
    session->tokens_ms = loop_now_ms(config->loop);
    list_init(&session->streams);
    list_init(&session->drained);
    buf_init(&session->unread, BUF_NO_LIMIT);
    loop_task_init(config->loop, &session->pump_task, session_pump, session);
    loop_timer_init(config->loop, &session->keepalive, session_on_keepalive, session);
    loop_timer_init(config->loop, &session->read_timer, session_on_read_timer, session);
    session->ng = session_make_ng(session);
    nghttp2_settings_entry settings[4] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP2_HEADER_LIST_BYTES_MAX},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, config->max_concurrent_streams},
    };
    size_t setting_count = config->max_concurrent_streams == UINT32_MAX ? 3 : 4;
    nghttp2_submit_settings(session->ng, NGHTTP2_FLAG_NONE, settings, setting_count);
    nghttp2_session_set_local_window_size(session->ng, NGHTTP2_FLAG_NONE, 0,
                                          HTTP2_CONNECTION_WINDOW_BYTES);
    stream_set_events(stream, &SESSION_EVENTS, session);
    stream_set_watermarks(stream, HTTP2_SOCKET_LOW_BYTES, HTTP2_SOCKET_HIGH_BYTES);
    stream_set_deadline(stream, HTTP2_HANDSHAKE_DEADLINE_MS);
    if (config->keepalive_interval_ms != 0) {
        loop_timer_set(&session->keepalive, config->keepalive_interval_ms);
    }
    http2_session_wake(session);
    return session;
}

void http2_session_feed(struct http2_session *session, struct bytes data)
{
    session_on_data(session, data);
}

void *http2_session_ctx(const struct http2_session *session)
{
    return session->ctx;
}

struct stream *http2_session_stream(const struct http2_session *session)
{
    return session->stream;
}

size_t http2_session_stream_count(const struct http2_session *session)
{
    return session->stream_count;
}

struct http2_session *http2_stream_session(const struct http2_stream *stream)
{
    return stream->session;
}

struct bytes http2_stream_method(const struct http2_stream *stream)
{
    return bytes_of_str((const char *)stream->text.data + stream->method);
}

struct bytes http2_stream_path(const struct http2_stream *stream)
{
    return bytes_of_str((const char *)stream->text.data + stream->path);
}

const char *http2_stream_header(const struct http2_stream *stream, const char *name)
{
    const char *text = (const char *)stream->text.data;
    for (size_t i = stream->field_count; i-- > 0;) {
        if (strcmp(text + stream->fields[i].name, name) == 0) {
            return text + stream->fields[i].value;
        }
    }
    return NULL;
}

bool http2_stream_header_at(const struct http2_stream *stream, size_t index, const char **out_name,
                            const char **out_value)
{
    const char *text = (const char *)stream->text.data;
    if (index >= stream->field_count) {
        return false;
    }
    *out_name = text + stream->fields[index].name;
    *out_value = text + stream->fields[index].value;
    return true;
}

void http2_stream_hand_over(struct http2_stream *stream, const struct http2_config *handlers)
{
    stream->handlers = handlers;
}

void http2_stream_set_user(struct http2_stream *stream, void *user)
{
    stream->user = user;
}

void *http2_stream_user(const struct http2_stream *stream)
{
    return stream->user;
}

void http2_stream_consume(struct http2_stream *stream, size_t size)
{
    nghttp2_session_consume_stream(stream->session->ng, stream->id, size);
    http2_session_wake(stream->session);
}
