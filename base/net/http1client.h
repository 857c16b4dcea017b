/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A HTTP/1.1 client: one connection, one exchange at a time, kept alive between exchanges. Answers
 * are given as they arrive, bodies of any length in both directions with back-pressure. Made for
 * the peer protocol: endless GET streams, POST of messages, POST of a snapshot.
 */
#ifndef BASE_NET_HTTP1CLIENT_H
#define BASE_NET_HTTP1CLIENT_H

#include "base/bytes.h"
#include "base/net/http1.h"
#include "base/net/resolve.h"
#include "base/net/stream.h"
#include "base/net/url.h"

struct http1_client;

struct http1_client_config {
    struct loop *loop;
    struct url url;                           /* where to; https needs tls */
    struct resolver *resolver;                /* borrowed; NULL: IP literals only */
    const struct stream_transport_maker *tls; /* borrowed; NULL: plain */
    const char *local_host;                   /* borrowed; an address to call from; NULL: any */
    uint64_t connect_timeout_ms;              /* 0: 5 s; covers look-up, connect and handshake */
};

struct http1_client_answer {
    int status;
    const struct http1_header *headers; /* names in lower case */
    size_t header_count;
};

/* One exchange; copied but for what the pointers point to: headers and body are borrowed for the
 * call. */
struct http1_client_exchange {
    const char *method;
    const char *path; /* with query */
    const struct http1_header *headers;
    size_t header_count;
    struct bytes body;

    /*
     * A body made bit by bit instead: called whenever there is room; writes by http1_client_write
     * and ends by http1_client_end_body, now or later. body_size: its length, or
     * HTTP1_CLIENT_CHUNKED.
     */
    void (*on_room)(void *ctx, struct http1_client *client);
    uint64_t body_size;

    void *ctx;
    void (*on_answer)(void *ctx, const struct http1_client_answer *answer); /* the head; optional */
    void (*on_body)(void *ctx, struct bytes part);                          /* optional */
    /* The exchange is over: 0, or E_* with a text. Always comes, once; a new exchange may start in
     * it. */
    void (*on_done)(void *ctx, int code, const char *text);

    uint64_t head_timeout_ms; /* until the answer's head is there; 0: none */
    uint64_t read_timeout_ms; /* longest silence of the other side; 0: none */
    uint64_t total_timeout_ms;
};

#define HTTP1_CLIENT_CHUNKED UINT64_MAX

/* Copies config. Connects only when there is something to send. */
struct http1_client *http1_client_new(const struct http1_client_config *config);

/* Drops the connection; no callback comes any more. Allowed inside callbacks. NULL is allowed. */
void http1_client_free(struct http1_client *client);

/* Starts an exchange. E_CONFLICT while one runs. Callbacks never come before this returns. */
BASE_MUST_CHECK int http1_client_start(struct http1_client *client,
                                       const struct http1_client_exchange *exchange);

/* The request's body: copies; true while there is room for more. */
bool http1_client_write(struct http1_client *client, const void *data, size_t size);
void http1_client_end_body(struct http1_client *client);

/* Back-pressure on the answer's body. */
void http1_client_pause(struct http1_client *client);
void http1_client_resume(struct http1_client *client);

/* Ends the exchange without on_done and closes the connection. */
void http1_client_cancel(struct http1_client *client);
bool http1_client_is_busy(const struct http1_client *client);

/* The value of an answer's header (name in lower case), or NULL. */
const char *http1_client_header(const struct http1_client_answer *answer, const char *name);

#endif
