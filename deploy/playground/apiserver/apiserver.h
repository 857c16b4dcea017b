/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the server, shared by its HTTP side: one call is one request on its way through. */
#ifndef PLAYGROUND_APISERVER_APISERVER_H
#define PLAYGROUND_APISERVER_APISERVER_H

#include <pthread.h>

#include "api.h"
#include "faults.h"
#include "http.h"
#include "persist.h"
#include "server.h"

struct apiserver {
    struct store store;
    struct persist *persist;
    struct http_server *http;
    SSL_CTX *tls;
    struct faults faults;
    struct pod_logs logs;
    bool has_logs;      /* logs, has_logs and log_streams: guarded by the objects' lock */
    size_t log_streams; /* how many read from logs now */
    pthread_mutex_t extension_lock; /* held while the extension runs */
    apiserver_extension_fn extension;
    void *extension_ctx;
    char *dir;
    char *token;
    uint16_t port;
    pthread_t controllers;
    bool has_controllers;
    bool is_stopped;
};

enum call_form { FORM_OBJECT, FORM_TABLE, FORM_METADATA };

/* Owns the strings that request borrows. */
struct call {
    struct apiserver *server;
    struct http_connection *connection;
    struct http_request *http;
    struct request request;
    char *group;
    char *version;
    char *plural;
    char *ns;
    char *name;
    char *subresource;
    char *manager;
    char *label_selector;
    char *field_selector;
    struct json *body;
    enum call_form form;
    bool is_watch;
};

/* The http_handler_fn of the server; ctx is struct apiserver. */
void router_handle(void *ctx, struct http_connection *connection, struct http_request *http);

/* Sends what reply holds, in the form the client wants. */
void call_respond(struct call *call, struct reply *reply);

/* Gives object as the client of call wants to see it. */
struct json *call_render(const struct call *call, const struct json *object);

/* A query parameter as a number, and as a yes or no ("true", "1"). */
int64_t call_query_i64(const struct call *call, const char *name, int64_t fallback);
bool call_query_truth(const struct call *call, const char *name);

/* Streams: both answer the call themselves (watch.c, logs.c). */
void watch_serve(struct call *call);
void logs_serve(struct call *call);

/* The list of a call (list.c). */
void list_serve(struct call *call);

/* OpenAPI documents (openapi.c); true when path was one of theirs. */
bool openapi_serve(struct call *call, const char *path);

/* /playground/... (faults.c); true when path was one of theirs. */
bool playground_serve(struct call *call, const char *path);

/* Makes the namespaces and classes that every cluster has. Lock held. */
void bootstrap_objects(struct store *store, uint16_t port);

/* Body of the controllers' thread: garbage, namespaces, endpoints, volumes, budgets. */
void *controllers_main(void *arg);

#endif
