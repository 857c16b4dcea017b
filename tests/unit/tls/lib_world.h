/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS port on a loop in a thread of its own, clients of OpenSSL that block (independent of what
 * is tested), and clients of base/net on that loop.
 */
#ifndef TESTS_TLS_LIB_WORLD_H
#define TESTS_TLS_LIB_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/net/http1client.h"
#include "base/tls/tls.h"
#include "engine/rpc/port.h"
#include "lib_pki.h"

#define WORLD_ANSWER_MAX 4096

struct world {
    struct loop *loop;
    struct resolver *resolver;
    struct tls_maker *maker;
    struct http1_server *http;
    struct grpc_server *grpc;
    struct port *port;
    uint16_t number;
    pthread_t thread;
    _Atomic uint64_t bytes_received; /* of streamed bodies */
    _Atomic bool body_paused;        /* POST /slow reads nothing until it is false */
};

struct world_options {
    struct tls_config tls;
    bool check_client_hosts;
};

/*
 * GET /name answers the common name of the client ("none" without), GET /big?<n> n bytes, POST
 * /echo its body, POST /count the number of bytes that came.
 */
struct world *world_start(const struct world_options *options);
void world_stop(struct world *world);

/* cmocka's fixture: *state is a world with one server certificate, for anybody. */
int world_setup(void **state);
int world_teardown(void **state);
void world_run(struct world *world, void (*fn)(void *ctx), void *ctx);

/* What a client of OpenSSL does and sees. */
struct visit {
    const struct pki_cert *shows;  /* NULL: no certificate */
    const struct pki_cert *trusts; /* NULL: everybody */
    int version;                   /* 0: any; TLS1_1_VERSION... */
    const char *suites;            /* of TLS 1.2; NULL: all */
    const char *protocols;         /* ALPN wire form; NULL: none */
    const char *path;              /* NULL: /name */
    /* Out. */
    char answer[WORLD_ANSWER_MAX]; /* "" when there was none */
    char reason[256];              /* why it failed; "" when it did not */
    char protocol[16];
    long serial; /* of the server's certificate */
    int version_spoken;
};

/* One connection, one GET. True when an answer of status 200 came. */
bool visit(struct world *world, struct visit *visit);

/* A connection whose hands are shaken; NULL with reason when refused. SSL_free and close. */
SSL *visit_open(struct world *world, struct visit *visit);
void visit_close(SSL *ssl);

int world_connect(const struct world *world);

/* One GET by a client of base/net with a maker of its own. */
struct dialled {
    int code;
    char text[256];
    int status;
    char body[256];
};
void dial(struct world *world, const struct tls_config *config, const char *host,
          struct dialled *out);

#endif
