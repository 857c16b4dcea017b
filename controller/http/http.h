/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outgoing HTTP calls over libcurl's multi interface: any number in flight, driven by one thread.
 * There are no callbacks: a caller starts transfers, takes turns, and looks at what has arrived, so
 * that nothing of its own state changes while it waits. HTTP/1.1 and HTTP/2, mutual TLS from PEM
 * texts in memory, trailers (for gRPC), and streams that are paused when their reader is slow.
 */
#ifndef CONTROLLER_HTTP_HTTP_H
#define CONTROLLER_HTTP_HTTP_H

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"

#define HTTP_BODY_BYTES_MAX   (64u * 1024u * 1024u)
#define HTTP_HEADER_BYTES_MAX (64u * 1024u)
#define HTTP_STREAM_BYTES_MAX (8u * 1024u * 1024u)
#define HTTP_CONNECTIONS_MAX  1024
#define HTTP_WATCHED_FDS_MAX  2u
#define HTTP_CONNECT_MS       5000u

struct http;
struct http_transfer;

/* PEM texts, copied by http_start; NULL where there is none. */
struct http_tls {
    const char *ca_pem;   /* NULL: the system's authorities */
    const char *cert_pem; /* client certificate chain */
    const char *key_pem;
    bool insecure; /* do not verify the server: only when a person asked for it */
};

enum http_version {
    HTTP_VERSION_ANY,   /* HTTP/2 where TLS offers it, else 1.1 */
    HTTP_VERSION_2_ONLY /* prior knowledge, as gRPC does it */
};

/* One request. All pointers are borrowed for the call of http_start only. */
struct http_request {
    const char *method;
    const char *url;
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    struct bytes body;
    bool has_body;
    bool is_stream; /* the body is read piece by piece with http_body: paused past its limit */
    enum http_version version;
    const struct http_tls *tls;
    const char *connect_to; /* NULL, or the address that the URL's name stands for ("10.0.0.7") */
    uint64_t timeout_ms;    /* of the whole transfer; 0: none */
    uint64_t idle_ms;       /* no byte for so long ends it; 0: never */
    size_t body_bytes_max;  /* 0: HTTP_BODY_BYTES_MAX */
};

/* Makes a set of transfers; curl_global_init has been called once by the program's main. */
struct http *http_new(void);

/* Frees it; every transfer must have been freed. */
void http_free(struct http *http);

/* Makes http_turn return early when fd becomes readable (a signalfd); at most HTTP_WATCHED_FDS_MAX.
 */
void http_watch_fd(struct http *http, int fd);

/* Makes a sleeping http_turn return. Any thread. */
void http_wake(struct http *http);

/* Starts a request. Gives the transfer (http_transfer_free); it never fails here, only later. */
struct http_transfer *http_start(struct http *http, const struct http_request *request);

/* Moves all transfers on; waits at most timeout_ms when nothing happens. */
void http_turn(struct http *http, uint64_t timeout_ms);

/* Takes turns until the transfer is done. */
void http_wait(struct http *http, struct http_transfer *transfer);

bool http_done(const struct http_transfer *transfer);

/*
 * What came of a done transfer: 0 when a whole response arrived (whatever its status); E_TIMEOUT;
 * E_UNAVAILABLE (no connection, or cut); E_PERMISSION (TLS refused); E_TOO_BIG; E_IO.
 */
int http_result(const struct http_transfer *transfer, struct err *err);

/* The response's status, 0 before it is known. */
int http_status(const struct http_transfer *transfer);

/* A response header or trailer by lower-case name, the last one wins; NULL when absent. Borrowed.
 */
const char *http_header(const struct http_transfer *transfer, const char *name);

/* What has arrived of the body; a stream's reader consumes with http_consume. Borrowed. */
struct bytes http_body(const struct http_transfer *transfer);

/* Drops count bytes from the front of the body and lets a paused stream go on. */
void http_consume(struct http_transfer *transfer, size_t count);

/* Frees; cancels when it is not done. NULL is allowed. */
void http_transfer_free(struct http_transfer *transfer);

#endif
