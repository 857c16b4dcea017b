/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain HTTP of the three ports: health, version and metrics for clients and monitoring; members,
 * version, leases and promotion for peers. The JSON gateway has a place of its own.
 */
#include "engine/server/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/metrics.h"
#include "engine/rpc/gateway.h"
#include "engine/server/process.h"
#include "engine/server/rpc.h"
#include "lease.pb-c.h"

#define PEER_BODY_BYTES_MAX (64u * 1024u * 1024u) /* one message through the pipeline */
#define METRICS_BYTES_MAX   (4u * 1024u * 1024u)
#define TEXT_PLAIN          "text/plain; charset=utf-8"
#define CLUSTER_ID_HEADER   "X-Etcd-Cluster-ID"

static bool is_get(struct http1_request *request)
{
    if (strcmp(http1_method(request), "GET") == 0) {
        return true;
    }
    http1_respond_method_not_allowed(request, "GET");
    return false;
}

/* own: what this member says to be. */
static void serve_version(struct server *server, struct http1_request *request, const char *own)
{
    char body[160];
    int number = atomic_load(&server->shared.cluster_version);
    if (number == 0) {
        snprintf(body, sizeof(body),
                 "{\"etcdserver\":\"%s\",\"etcdcluster\":\"not_decided\",\"storage\":\"unknown\"}",
                 own);
    } else {
        snprintf(body, sizeof(body),
                 "{\"etcdserver\":\"%s\",\"etcdcluster\":\"%d.%d.0\",\"storage\":\"%d.%d.0\"}", own,
                 number / 1000, number % 1000, number / 1000, number % 1000);
    }
    http1_respond(request, 200, "application/json", bytes_of_str(body));
}

static void serve_metrics(struct server *server, struct http1_request *request)
{
    struct buf text;
    io_metrics_refresh(server);
    buf_init(&text, METRICS_BYTES_MAX);
    metrics_write(&text);
    http1_respond(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_bytes(&text));
    buf_free(&text);
}

/* True when the request was for one of the paths that clients and monitoring share. */
static bool serve_common(struct server *server, struct http1_request *request,
                         enum request_origin origin)
{
    const char *path = http1_path(request);
    if (strcmp(path, "/metrics") == 0) {
        if (is_get(request)) {
            serve_metrics(server, request);
        }
        return true;
    }
    if (strcmp(path, "/health") == 0 || str_starts_with(path, "/livez") ||
        str_starts_with(path, "/readyz")) {
        if (is_get(request)) {
            io_probe_start(server, request, origin);
        }
        return true;
    }
    return false;
}

/* The gateway's requests are read as they come; all others are small. */
static void on_client_head(void *ctx, struct http1_request *request)
{
    struct server *server = ctx;
    if (server->gateway != NULL && gateway_is_path(http1_path(request)) &&
        io_http_admit(server, request)) {
        gateway_take(server->gateway, request);
    }
}

static void on_client_drained(void *ctx, struct http1_request *request)
{
    (void)ctx;
    if (gateway_has(request)) {
        gateway_drained(request);
    }
}

static void on_client_over(void *ctx, struct http1_request *request, bool completed)
{
    (void)ctx;
    (void)completed;
    if (gateway_has(request)) {
        gateway_over(request);
    }
}

/* What etcd tells there beside the state of Go's own memory. */
static void serve_vars(struct server *server, struct http1_request *request)
{
    struct server_shared *shared = &server->shared;
    struct process_usage usage;
    char body[512];
    process_usage(&usage);
    const char *role = atomic_load(&shared->is_leader)    ? "StateLeader"
                       : atomic_load(&shared->is_learner) ? "StateLearner"
                                                          : "StateFollower";
    snprintf(body, sizeof(body),
             "{\n\"file_descriptor_limit\": %lld,\n\"raft.status\": {\"id\":\"%llx\",\"term\":%llu,"
             "\"commit\":%llu,\"lead\":\"%llx\",\"raftState\":\"%s\",\"applied\":%llu}\n}\n",
             (long long)usage.open_files_max, (unsigned long long)server->member_id,
             (unsigned long long)atomic_load(&shared->term),
             (unsigned long long)atomic_load(&shared->commit_index),
             (unsigned long long)atomic_load(&shared->leader), role,
             (unsigned long long)atomic_load(&shared->applied_index));
    http1_respond(request, 200, "application/json; charset=utf-8", bytes_of_str(body));
}

static void on_client_request(void *ctx, struct http1_request *request)
{
    struct server *server = ctx;
    if (!io_http_admit(server, request)) {
        return;
    }
    if (strcmp(http1_path(request), "/version") == 0) {
        if (is_get(request)) {
            serve_version(server, request, SERVER_VERSION);
        }
    } else if (strcmp(http1_path(request), "/debug/vars") == 0) {
        if (is_get(request)) {
            serve_vars(server, request);
        }
    } else if (!serve_common(server, request, REQUEST_CLIENT_HTTP)) {
        http1_respond_error(request, 404, "404 page not found");
    }
}

static void on_metrics_request(void *ctx, struct http1_request *request)
{
    if (!serve_common(ctx, request, REQUEST_METRICS_HTTP)) {
        http1_respond_error(request, 404, "404 page not found");
    }
}

/* ---- peers ---- */

static void add_cluster_id(struct server *server, struct http1_request *request)
{
    char text[24];
    snprintf(text, sizeof(text), "%llx", (unsigned long long)server->cluster_id);
    http1_set_header(request, CLUSTER_ID_HEADER, text);
}

static void members_now(struct server *server, struct request *request)
{
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    membership_members_json(server->membership, &body);
    request_reply_plain(server, request, &body);
}

/* A joining member of the version below asks whether it is welcome. */
static void downgrade_now(struct server *server, struct request *request)
{
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    buf_append_str(&body, membership_downgrade_is_enabled(server->membership) ? "true" : "false");
    request_reply_plain(server, request, &body);
}

/* Hands a peer's request to the state thread; descriptor NULL: it has no body. */
static void submit_peer(struct server *server, struct http1_request *http, request_fn run,
                        const ProtobufCMessageDescriptor *descriptor)
{
    struct bytes body = http1_body(http);
    struct request *request =
        request_new(REQUEST_PEER_HTTP, proto_arena_limit(body.size) + body.size);
    request->handle = http1_request_handle(http);
    request->run = run;
    request->wire = arena_copy(&request->arena, body);
    if (descriptor != NULL &&
        proto_unpack(descriptor, request->wire, &request->arena, &request->message) != 0) {
        request_free(request);
        http1_respond_error(http, 400, "error unmarshalling request");
        return;
    }
    server_submit(server, request);
}

static void time_to_live_wrapped(struct server *server, struct request *request)
{
    Leasepb__LeaseInternalRequest *wrapped = (Leasepb__LeaseInternalRequest *)request->message;
    if (wrapped->leasetimetoliverequest == NULL) {
        request_fail(server, request, ETCD_ERR_LEASE_NOT_FOUND);
        return;
    }
    request->message = &wrapped->leasetimetoliverequest->base;
    rpc_lease_time_to_live(server, request);
}

static void serve_promote(struct server *server, struct http1_request *http)
{
    char *end;
    const char *text = http1_path(http) + strlen("/members/promote/");
    unsigned long long id = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        http1_respond_error(http, 404, "member id must be a decimal number");
        return;
    }
    struct request *request = request_new(REQUEST_PEER_HTTP, BUF_NO_LIMIT);
    Etcdserverpb__MemberPromoteRequest *promote = arena_zalloc(&request->arena, sizeof(*promote));
    etcdserverpb__member_promote_request__init(promote);
    promote->id = id;
    request->message = &promote->base;
    request->handle = http1_request_handle(http);
    request->method = RPC_MEMBER_PROMOTE;
    request->run = rpc_member_promote;
    server_submit(server, request);
}

/* GET with a body: {"revision":N}, or {} for the newest. */
static void serve_hash_kv(struct server *server, struct http1_request *http)
{
    const char *cluster = http1_header(http, CLUSTER_ID_HEADER);
    struct bytes body = http1_body(http);
    if (cluster != NULL && strtoull(cluster, NULL, 16) != server->cluster_id) {
        http1_respond_error(http, 412, "cluster ID mismatch");
        return;
    }
    struct json *asked = json_parse((const char *)body.data, body.size, NULL);
    if (!json_is(asked, JSON_OBJECT)) {
        json_free(asked);
        http1_respond_error(http, 400, "error unmarshalling request");
        return;
    }
    struct request *request = request_new(REQUEST_PEER_HTTP, BUF_NO_LIMIT);
    Etcdserverpb__HashKVRequest *hash = arena_zalloc(&request->arena, sizeof(*hash));
    etcdserverpb__hash_kvrequest__init(hash);
    hash->revision = json_path_i64(asked, "revision", 0);
    json_free(asked);
    request->message = &hash->base;
    request->handle = http1_request_handle(http);
    request->run = rpc_hash_kv;
    server_submit(server, request);
}

static void on_peer_head(void *ctx, struct http1_request *request)
{
    struct server *server = ctx;
    (void)peer_handle_head(server->peers, request);
}

static void on_peer_request(void *ctx, struct http1_request *request)
{
    struct server *server = ctx;
    const char *path = http1_path(request);
    bool post = strcmp(http1_method(request), "POST") == 0;
    if (peer_handle_request(server->peers, request)) {
        return;
    }
    add_cluster_id(server, request);
    if (strcmp(path, "/members") == 0 && !post) {
        submit_peer(server, request, members_now, NULL);
    } else if (strcmp(path, "/version") == 0 && !post) {
        serve_version(server, request, version_for_peers(server));
    } else if (strcmp(path, "/downgrade/enabled") == 0 && !post) {
        submit_peer(server, request, downgrade_now, NULL);
    } else if (strcmp(path, "/members/hashkv") == 0 && !post) {
        serve_hash_kv(server, request);
    } else if (strcmp(path, "/leases") == 0 && post) {
        submit_peer(server, request, peer_lease_renew,
                    &etcdserverpb__lease_keep_alive_request__descriptor);
    } else if (strcmp(path, "/leases/internal") == 0 && post) {
        submit_peer(server, request, time_to_live_wrapped,
                    &leasepb__lease_internal_request__descriptor);
    } else if (str_starts_with(path, "/members/promote/") && post) {
        serve_promote(server, request);
    } else {
        http1_respond_error(request, 404, "404 page not found");
    }
}

static void on_peer_drained(void *ctx, struct http1_request *request)
{
    peer_handle_drained(((struct server *)ctx)->peers, request);
}

static void on_peer_over(void *ctx, struct http1_request *request, bool completed)
{
    peer_handle_over(((struct server *)ctx)->peers, request, completed);
}

void io_http_send_reply(struct server *server, struct reply *reply)
{
    struct http1_server *owner = reply->origin == REQUEST_PEER_HTTP     ? server->peer_http
                                 : reply->origin == REQUEST_CLIENT_HTTP ? server->client_http
                                                                        : server->metrics_http;
    struct http1_request *request = http1_request_from_handle(owner, reply->handle);
    if (request == NULL) {
        return; /* who asked has gone */
    }
    if (reply->text != NULL) {
        http1_respond_error(request, reply->http_status, reply->text);
    } else {
        const char *type = reply->content_type != NULL ? reply->content_type : "application/json";
        http1_respond(request, reply->http_status, type, buf_bytes(&reply->body));
    }
}

void io_http_start(struct server *server)
{
    struct http1_server_config config = {.loop = server->io.loop, .ctx = server};
    config.on_head = on_client_head;
    config.on_request = on_client_request;
    config.on_drained = on_client_drained;
    config.on_over = on_client_over;
    server->client_http = http1_server_new(&config);
    if (server->config->enable_grpc_gateway) {
        server->gateway = gateway_new(server->grpc, server->config->max_request_bytes +
                                                        PROTO_RECV_OVERHEAD_BYTES);
    }
    config.on_head = NULL;
    config.on_drained = NULL;
    config.on_over = NULL;
    config.on_request = on_metrics_request;
    server->metrics_http = http1_server_new(&config);
    config.body_bytes_max = PEER_BODY_BYTES_MAX;
    config.on_head = on_peer_head;
    config.on_request = on_peer_request;
    config.on_drained = on_peer_drained;
    config.on_over = on_peer_over;
    server->peer_http = http1_server_new(&config);
}
