/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded API server as its program sees it: start, hand out the store, stop. It listens on
 * loopback only and wants a bearer token on every request but the health checks.
 */
#ifndef PLAYGROUND_APISERVER_SERVER_H
#define PLAYGROUND_APISERVER_SERVER_H

#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"

struct apiserver;
struct json;
struct store;

struct apiserver_config {
    const char *dir;   /* state folder, made when absent */
    uint16_t port;     /* 0: any free port */
    const char *token; /* NULL: kept in dir/token, made at random the first time */
};

/* What `kubectl logs` asks for. */
struct pod_log_options {
    const char *container; /* NULL: the only one, or the first */
    bool follow;
    bool previous;
    bool timestamps;
    int64_t tail_lines;    /* -1: all */
    int64_t since_seconds; /* -1: from the start */
    int64_t limit_bytes;   /* -1: all */
};

/* Where logs come from: the kubelet fills this. Called on connection threads. */
struct pod_logs {
    void *ctx;
    /* Gives *out_stream; E_NOT_FOUND (no such Pod or container), E_INVALID, with a text. */
    int (*open)(void *ctx, const char *ns, const char *pod, const struct pod_log_options *options,
                void **out_stream, struct err *err);
    /* Appends what is there, waiting at most timeout_ms when following; E_CLOSED: the end. */
    int (*read)(void *stream, uint32_t timeout_ms, struct buf *out);
    void (*close)(void *stream);
};

/* Loads the state, listens, starts the threads. Gives *out_server; ready when it returns. */
BASE_MUST_CHECK int apiserver_start(const struct apiserver_config *config,
                                    struct apiserver **out_server, struct err *err);

/* The objects; borrowed until apiserver_free. */
struct store *apiserver_store(struct apiserver *server);

uint16_t apiserver_port(const struct apiserver *server);
const char *apiserver_token(const struct apiserver *server);

/*
 * Registers the source of Pod logs (copied). Without one logs answer 501. NULL takes it away, and
 * no stream of it is open any longer when this returns.
 */
void apiserver_set_logs(struct apiserver *server, const struct pod_logs *logs);

/*
 * A path below /playground/ that the server does not know itself. Gives an HTTP status and
 * *out_answer (taken), or 0 when the path is none of its own. Called on connection threads.
 */
typedef int (*apiserver_extension_fn)(void *ctx, const char *method, const char *path,
                                      struct json **out_answer);

/* Registers it; NULL takes it away, and no call is under way any longer when this returns. */
void apiserver_set_extension(struct apiserver *server, apiserver_extension_fn extension, void *ctx);

/* Ends all watches and connections and joins all threads but the callers of store.h; writes the
 * state. */
void apiserver_stop(struct apiserver *server);

/* Frees what is left after apiserver_stop, the store included. */
void apiserver_free(struct apiserver *server);

/* Writes a kubeconfig for the server (cluster, user, context "playground") atomically, mode 0600.
 */
BASE_MUST_CHECK int apiserver_write_kubeconfig(const struct apiserver *server, const char *path,
                                               struct err *err);

#endif
