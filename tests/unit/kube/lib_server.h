/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP/1.1 server on loopback for tests: each request is handed to a function of the test.
 */
#ifndef TESTS_UNIT_KUBE_LIB_SERVER_H
#define TESTS_UNIT_KUBE_LIB_SERVER_H

#include "base/defs.h"

struct server;

/* One request; borrowed for the call. */
struct server_request {
    int fd;
    const char *method;
    const char *target; /* path and query */
    const char *headers;
    const char *body;
};

/* Runs on the connection's thread; writes the answer to fd. Returns false to close the connection.
 */
typedef bool (*server_fn)(void *ctx, const struct server_request *request);

struct server *server_start(server_fn fn, void *ctx);
const char *server_url(const struct server *server);
void server_stop(struct server *server);

/* Writes a whole answer. headers: further header lines, each ended by CRLF, or "". */
void server_reply(int fd, int status, const char *headers, const char *body);

/* Starts a chunked answer, and writes one chunk (size 0 text ends it). */
void server_stream(int fd);
void server_chunk(int fd, const char *data, size_t size);

#endif
