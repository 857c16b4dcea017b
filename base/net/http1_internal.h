/* SPDX-License-Identifier: Apache-2.0 */
/* What http1.c (connections, parsing) and http1_respond.c (answers) share. Nobody else includes it.
 */
#ifndef BASE_NET_HTTP1_INTERNAL_H
#define BASE_NET_HTTP1_INTERNAL_H

#include <http_parser.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/net/handle.h"
#include "base/net/http1.h"

/* Places of a header in the request's text. */
struct http1_field {
    uint32_t name;
    uint32_t value;
};

struct http1_request {
    struct http1_conn *conn;
    uint64_t handle;
    void *user;
    enum http_method method;
    bool is_http11;
    bool keep_alive;

    struct buf text; /* target, header names and values, each NUL-terminated; then path and query */
    uint32_t target;
    uint32_t path;
    uint32_t query;
    size_t field_count;
    struct http1_field fields[HTTP1_HEADERS_MAX];
    bool in_value; /* the parser's last piece was a value */

    struct buf body;
    http1_body_fn on_body;
    bool was_seen;    /* on_head or on_request was called: on_over is owed */
    bool is_received; /* the whole request is here */
    bool is_raw;      /* of another protocol: never received, nothing is parsed any more */

    struct buf extra_headers; /* of the answer */
    bool has_started;         /* the answer's head is queued */
    bool is_chunked;
    bool is_answered; /* the answer's last byte is queued */
};

struct http1_conn {
    struct list node;
    struct http1_server *server;
    struct stream *stream;
    http_parser parser;
    struct http1_request *request; /* NULL between requests */
    struct buf pending;            /* pipelined bytes that wait for the request before them */
    int fail_status;               /* set by a parser callback: answer this and close */
    uint32_t depth; /* our functions on the stack: the connection must not be freed */
    bool is_gone;
    bool is_closing;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

struct http1_server {
    struct http1_server_config config;
    struct list conns;
    size_t conn_count;
    struct handle_table handles;
    bool draining;
};

/* Goes on after an answer is complete: next request, or close. */
void http1_conn_advance(struct http1_conn *conn);

/* Closes the connection; on_over(false) for a request that runs. */
void http1_conn_drop(struct http1_conn *conn);

#endif
