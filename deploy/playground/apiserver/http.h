/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 on blocking sockets, one thread per connection. A message is read whole (with a limit);
 * an answer is sent whole, or in chunks for watches and logs.
 */
#ifndef PLAYGROUND_APISERVER_HTTP_H
#define PLAYGROUND_APISERVER_HTTP_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/err.h"

#define HTTP_CONNECTIONS_MAX 512u
#define HTTP_BODY_BYTES_MAX  (8u * 1024u * 1024u)
#define HTTP_HEADERS_MAX     64u
#define HTTP_HEAD_BYTES_MAX  (64u * 1024u)

struct http_header {
    char *name;
    char *value;
};

struct http_request {
    char *method;
    char *path;  /* decoded later, part by part */
    char *query; /* without '?', may be "" */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    struct buf body;
    bool keep_alive;
};

struct http_connection;
struct http_server;

typedef void (*http_handler_fn)(void *ctx, struct http_connection *connection,
                                struct http_request *request);

/*
 * Listens on 127.0.0.1:port (0: any). A client that begins with a TLS hello is served over TLS (tls
 * is borrowed), others in plain text. handler runs on connection threads. Gives *out_server.
 */
BASE_MUST_CHECK int http_listen(uint16_t port, SSL_CTX *tls, http_handler_fn handler, void *ctx,
                                struct http_server **out_server, struct err *err);
uint16_t http_port(const struct http_server *server);

/* Shuts all sockets, waits until every connection thread has ended, frees. */
void http_stop(struct http_server *server);

/* The header's value, or fallback; names are compared without case. */
const char *http_header(const struct http_request *request, const char *name, const char *fallback);

/* Gives the decoded value of a query parameter (mem_free), or NULL. */
char *http_query(const struct http_request *request, const char *name);

/* Gives text with %xx (and '+' when is_query) decoded (mem_free). */
char *http_decode(const char *text, size_t size, bool is_query);

/* Adds a header line ("Name: value\r\n") to the answer that is sent next. */
void http_add_header(struct http_connection *connection, const char *name, const char *value);

/* Sends a whole answer. */
void http_respond(struct http_connection *connection, int code, const char *content_type,
                  struct bytes body);

/* Sends the head of a chunked answer, then chunks; false when the peer is gone. */
bool http_chunked_begin(struct http_connection *connection, int code, const char *content_type);
bool http_chunk(struct http_connection *connection, struct bytes data);
void http_chunked_end(struct http_connection *connection);

/* True when the peer has closed or the server stops; for handlers that wait. */
bool http_is_gone(struct http_connection *connection);

/* Ends the connection at once, in the middle of whatever was sent. */
void http_cut(struct http_connection *connection);

#endif
