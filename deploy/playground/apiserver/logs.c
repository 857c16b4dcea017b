/* SPDX-License-Identifier: Apache-2.0 */
/* GET of pods/log: the kubelet's stream, passed on. */
#include <string.h>

#include "apiserver.h"
#include "base/alloc.h"

#define LOG_WAIT_MS 500u

static struct pod_log_options options_of(const struct call *call, const char *container)
{
    return (struct pod_log_options){
        .container = container,
        .follow = call_query_truth(call, "follow"),
        .previous = call_query_truth(call, "previous"),
        .timestamps = call_query_truth(call, "timestamps"),
        .tail_lines = call_query_i64(call, "tailLines", -1),
        .since_seconds = call_query_i64(call, "sinceSeconds", -1),
        .limit_bytes = call_query_i64(call, "limitBytes", -1),
    };
}

/* True while the source is registered. */
static bool has_source(struct apiserver *server)
{
    objects_lock(&server->store.objects);
    bool is_there = server->has_logs;
    objects_unlock(&server->store.objects);
    return is_there;
}

static void stream_ended(struct apiserver *server)
{
    objects_lock(&server->store.objects);
    server->log_streams--;
    pthread_cond_broadcast(&server->store.objects.changed);
    objects_unlock(&server->store.objects);
}

static void pass_on(struct call *call, const struct pod_logs *logs, void *stream)
{
    if (!http_chunked_begin(call->connection, 200, "text/plain")) {
        return;
    }
    struct buf data;
    buf_init(&data, BUF_NO_LIMIT);
    int rc = 0;
    while (rc == 0 && !http_is_gone(call->connection) && has_source(call->server)) {
        buf_clear(&data);
        rc = logs->read(stream, LOG_WAIT_MS, &data);
        if (!http_chunk(call->connection, buf_bytes(&data))) {
            break;
        }
    }
    buf_free(&data);
    http_chunked_end(call->connection);
}

void logs_serve(struct call *call)
{
    struct apiserver *server = call->server;
    const struct request *request = &call->request;
    struct reply reply;
    reply_init(&reply);
    objects_lock(&server->store.objects);
    bool is_there =
        objects_find(&server->store.objects, "pods", request->ns, request->name) != NULL;
    struct pod_logs logs = server->logs;
    bool has_logs = server->has_logs;
    bool is_counted = is_there && has_logs;
    server->log_streams += is_counted ? 1 : 0;
    objects_unlock(&server->store.objects);
    void *stream = NULL;
    struct err err = {""};
    char *container = http_query(call->http, "container");
    struct pod_log_options options = options_of(call, container);
    if (!is_there) {
        reply_not_found(&reply, request->version->kind, request->name);
    } else if (!has_logs) {
        reply_fail(&reply, 501, "NotImplemented", NULL, NULL, "no kubelet gives logs");
    } else if (logs.open(logs.ctx, request->ns, request->name, &options, &stream, &err) != 0) {
        reply_bad_request(&reply, "%s", err.text);
    } else {
        pass_on(call, &logs, stream);
        logs.close(stream);
    }
    if (is_counted) {
        stream_ended(server);
    }
    if (reply.code != 0) {
        call_respond(call, &reply);
    }
    reply_free(&reply);
    mem_free(container);
}
