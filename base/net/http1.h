/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 server connections: JSON gateway, health, metrics, and the peer protocol's endless
 * streams.
 *
 * Guarantees: requests of a connection are handled one after another (pipelining is safe); head at
 * most HTTP1_HEAD_BYTES_MAX and HTTP1_HEADERS_MAX lines; a head that takes longer than the deadline
 * closes the connection; all callbacks come on the loop's thread.
 */
#ifndef BASE_NET_HTTP1_H
#define BASE_NET_HTTP1_H

#include "base/bytes.h"
#include "base/net/stream.h"

#define HTTP1_HEAD_BYTES_MAX     (16u * 1024u)
#define HTTP1_HEADERS_MAX        100u
#define HTTP1_HEAD_DEADLINE_MS   10000u
#define HTTP1_BODY_BYTES_DEFAULT (2u * 1024u * 1024u)

struct http1_server;
struct http1_request;

struct http1_header {
    const char *name;
    const char *value;
};

struct http1_server_config {
    struct loop *loop;
    void *ctx;
    size_t body_bytes_max;     /* of bodies that are collected; 0: HTTP1_BODY_BYTES_DEFAULT */
    uint64_t head_deadline_ms; /* 0: HTTP1_HEAD_DEADLINE_MS */
    uint64_t idle_timeout_ms;  /* between requests of a kept connection; 0: none */

    /*
     * The head is there, the body is not. Optional. May answer at once, or call
     * http1_stream_body; otherwise the body is collected and on_request follows.
     */
    void (*on_head)(void *ctx, struct http1_request *request);

    /* The whole request is there (http1_body). Answer now or later. Required. */
    void (*on_request)(void *ctx, struct http1_request *request);

    /* The write queue has room again (after http1_response_is_full said true). Optional. */
    void (*on_drained)(void *ctx, struct http1_request *request);

    /*
     * The request is over: answered and handed to the socket, or the connection is gone (completed
     * false). Comes exactly once for each request seen by on_head or on_request; the pointer is
     * dead afterwards. Optional.
     */
    void (*on_over)(void *ctx, struct http1_request *request, bool completed);
};

/* Copies config. */
struct http1_server *http1_server_new(const struct http1_server_config *config);

/* Closes all connections and frees. */
void http1_server_free(struct http1_server *server);

/*
 * Takes the stream; first are bytes that were read from it already. on_closed(closed_ctx) comes
 * when the connection has ended (NULL allowed).
 */
void http1_server_adopt(struct http1_server *server, struct stream *stream, struct bytes first,
                        void (*on_closed)(void *ctx), void *closed_ctx);

/* Idle connections close now, the others after their answer; endless answers are the caller's to
 * end. */
void http1_server_drain(struct http1_server *server);
size_t http1_server_connection_count(const struct http1_server *server);

/* A name for the request that other threads may keep; NULL once it is over. */
uint64_t http1_request_handle(const struct http1_request *request);
struct http1_request *http1_request_from_handle(const struct http1_server *server, uint64_t handle);

/* Read the request. Texts are borrowed and live as long as the request. */
const char *http1_method(const struct http1_request *request);
const char *http1_path(const struct http1_request *request);  /* percent-decoded, no query */
const char *http1_query(const struct http1_request *request); /* raw, "" when there is none */
/* The decoded value of a query parameter into out; false when absent or too long. */
bool http1_query_value(const struct http1_request *request, const char *name, char *out,
                       size_t out_size);
const char *http1_header(const struct http1_request *request, const char *name); /* or NULL */
struct bytes http1_body(const struct http1_request *request);
struct stream *http1_stream(const struct http1_request *request);
bool http1_is_plain(const struct http1_request *request); /* it came without TLS */
void http1_set_user(struct http1_request *request, void *user);
void *http1_user(const struct http1_request *request);

/*
 * Only in on_head: the body is not collected but given to on_body as it arrives; on_body with
 * at_end true (and no bytes) is the last call. Replaces on_request for this request.
 */
typedef void (*http1_body_fn)(void *ctx, struct http1_request *request, struct bytes part,
                              bool at_end);
void http1_stream_body(struct http1_request *request, http1_body_fn on_body);
void http1_body_pause(struct http1_request *request);
void http1_body_resume(struct http1_request *request);

/*
 * Only in on_head: answers 101 (with the headers set before) and goes on as protocol. on_data gets
 * the bytes of the connection as they come (at_end is never true), http1_respond_write sends bytes
 * as they are, and http1_respond_end closes. A body of the request is part of those bytes.
 */
void http1_upgrade(struct http1_request *request, const char *protocol, http1_body_fn on_data);

/* Adds a header to the answer; before it starts. Values with CR or LF are an invariant broken. */
void http1_set_header(struct http1_request *request, const char *name, const char *value);

/* The whole answer in one go, with Content-Length. content_type NULL: none. HEAD sends no body. */
void http1_respond(struct http1_request *request, int status, const char *content_type,
                   struct bytes body);

/* The answer as plain text with a newline, as Go's http.Error writes it. */
void http1_respond_error(struct http1_request *request, int status, const char *text);
/* 405 with Allow, as etcd's handlers do it. */
void http1_respond_method_not_allowed(struct http1_request *request, const char *allow);

/*
 * An answer of unknown length: start, any number of writes (each leaves with this turn of the
 * loop), end. HTTP/1.1 gets chunks, HTTP/1.0 a body up to the close.
 */
void http1_respond_start(struct http1_request *request, int status, const char *content_type);
void http1_respond_write(struct http1_request *request, const void *data, size_t size); /* copies */
void http1_respond_write_take(struct http1_request *request, uint8_t *data, size_t size);
void http1_respond_end(struct http1_request *request);
bool http1_response_is_full(const struct http1_request *request);
size_t http1_response_queued_bytes(const struct http1_request *request);
bool http1_response_started(const struct http1_request *request);

/* Cuts the connection: how to end an answer that cannot be completed. on_over follows. */
void http1_abort(struct http1_request *request);

/* "Not Found" for 404; "" for codes that it does not know. */
const char *http1_status_text(int status);

#endif
