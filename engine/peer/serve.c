/* SPDX-License-Identifier: Apache-2.0 */
/* The peer port: who calls is checked in etcd's order, then gets its stream, or its message is
 * stepped. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/peer/internal.h"
#include "engine/proto/raftpb.h"

#define STREAM_PREFIX "/raft/stream/"

/* "3.6.14" as 3006; 2000 when the header is missing, as etcd assumes. */
static int version_of(const char *text)
{
    int major = 2;
    int minor = 0;
    if (text != NULL && (sscanf(text, "%4d.%3d", &major, &minor) < 1 || major < 0 || minor < 0)) {
        return 0; /* no version: older than all */
    }
    return major * 1000 + minor;
}

static void add_headers(const struct peer_transport *transport, struct http1_request *request)
{
    char id[PEER_ID_TEXT];
    snprintf(id, sizeof(id), "%" PRIx64, transport->config.cluster_id);
    http1_set_header(request, "X-Server-Version", transport->config.server_version);
    http1_set_header(request, "X-Etcd-Cluster-ID", id);
}

/* Version and cluster: true when the caller may talk to us at all; else it was answered. */
static bool check_caller(const struct peer_transport *transport, struct http1_request *request)
{
    int theirs = version_of(http1_header(request, "X-Server-Version"));
    int their_minimum = version_of(http1_header(request, "X-Min-Cluster-Version"));
    const char *cluster = http1_header(request, "X-Etcd-Cluster-ID");
    if (theirs < version_of(transport->config.min_cluster_version) ||
        their_minimum > version_of(transport->config.server_version)) {
        const char *version = http1_header(request, "X-Server-Version");
        const char *minimum = http1_header(request, "X-Min-Cluster-Version");
        LOG_WARN("a peer of an incompatible version is refused",
                 LOG_STR("remote-server-version", version == NULL ? "none" : version),
                 LOG_STR("remote-min-cluster-version", minimum == NULL ? "none" : minimum),
                 LOG_STR("local-server-version", transport->config.server_version),
                 LOG_STR("local-min-cluster-version", transport->config.min_cluster_version));
        http1_respond_error(request, 412, "incompatible version");
        return false;
    }
    if (cluster == NULL || strtoull(cluster, NULL, 16) != transport->config.cluster_id) {
        LOG_WARN("request cluster ID mismatch",
                 LOG_HEX("local-member-cluster-id", transport->config.cluster_id),
                 LOG_STR("remote-peer-cluster-id", cluster == NULL ? "none" : cluster));
        http1_respond_error(request, 412, "cluster ID mismatch");
        return false;
    }
    return true;
}

/* Somebody whom the log has not told us of yet: answer it by the URLs that it gives. */
static void add_stranger(struct peer_transport *transport, uint64_t id, const char *urls)
{
    char *copy = str_dup(urls);
    const char *list[PEER_URLS_MAX];
    uint32_t count = 0;
    char *at = copy;
    while (*at != '\0' && count < PEER_URLS_MAX) {
        size_t size = strcspn(at, ",");
        bool more = at[size] == ',';
        at[size] = '\0';
        list[count++] = at;
        at += size + (more ? 1 : 0);
    }
    peer_add_stranger(transport, id, list, count);
    mem_free(copy);
}

static void take_stream(struct peer_transport *transport, struct http1_request *request,
                        struct peer *peer, enum stream_kind kind)
{
    struct taken *taken = mem_zalloc(sizeof(*taken));
    *taken =
        (struct taken){.kind = TAKEN_STREAM, .transport = transport, .peer = peer, .stream = kind};
    if (peer->out[kind] != NULL) {
        struct http1_request *old = peer->out[kind];
        ((struct taken *)http1_user(old))->peer = NULL;
        peer->out[kind] = NULL;
        http1_abort(old); /* a new stream takes the old one's place */
    }
    http1_set_user(request, taken);
    http1_respond_start(request, 200, NULL);
    peer->out[kind] = request;
    if (kind == STREAM_MSGAPP) {
        peer->encoder = (struct msgapp_encoder){0};
    }
    peer_refresh_active(peer);
}

static void serve_stream(struct peer_transport *transport, struct http1_request *request)
{
    const char *rest = http1_path(request) + strlen(STREAM_PREFIX);
    enum stream_kind kind = str_starts_with(rest, "msgapp/") ? STREAM_MSGAPP : STREAM_MESSAGE;
    const char *id_text = strchr(rest, '/');
    const char *to = http1_header(request, "X-Raft-To");
    const char *urls = http1_header(request, "X-PeerURLs");
    if (strcmp(http1_method(request), "GET") != 0) {
        http1_respond_method_not_allowed(request, "GET");
        return;
    }
    add_headers(transport, request);
    if (!check_caller(transport, request)) {
        return;
    }
    if (id_text == NULL || (kind == STREAM_MESSAGE && !str_starts_with(rest, "message/"))) {
        http1_respond_error(request, 404, "404 page not found");
        return;
    }
    uint64_t from = strtoull(id_text + 1, NULL, 16);
    if (transport->config.is_removed(transport->config.ctx, from)) {
        http1_respond_error(request, 410, "removed member");
        return;
    }
    struct peer *peer = peer_find(transport, from);
    if (peer == NULL) {
        if (urls != NULL && from != 0) {
            add_stranger(transport, from, urls);
        }
        http1_respond_error(request, 404, "error sender not found");
        return;
    }
    if (to == NULL || strtoull(to, NULL, 16) != transport->config.self_id) {
        http1_respond_error(request, 412, "to field mismatch");
        return;
    }
    take_stream(transport, request, peer, kind);
}

/* Whoever asks compares our clock with its own and warns of a drift. */
static void serve_probing(struct http1_request *request)
{
    struct timespec now;
    struct tm utc;
    char seconds[32];
    char body[96];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(body, sizeof(body), "{\"OK\":true,\"Now\":\"%s.%09ldZ\"}\n", seconds, now.tv_nsec);
    http1_respond(request, 200, "application/json", bytes_of_str(body));
}

static void serve_snapshot(struct peer_transport *transport, struct http1_request *request)
{
    add_headers(transport, request);
    if (strcmp(http1_method(request), "POST") != 0) {
        http1_respond_method_not_allowed(request, "POST");
    } else if (check_caller(transport, request)) {
        struct taken *taken = mem_zalloc(sizeof(*taken));
        taken->kind = TAKEN_SNAPSHOT;
        taken->transport = transport;
        http1_set_user(request, taken);
        snapshot_receive_start(transport, request);
    }
}

bool peer_handle_head(struct peer_transport *transport, struct http1_request *request)
{
    const char *path = http1_path(request);
    if (str_starts_with(path, STREAM_PREFIX)) {
        serve_stream(transport, request);
    } else if (strcmp(path, "/raft/snapshot") == 0) {
        serve_snapshot(transport, request);
    } else if (strcmp(path, "/raft/probing") == 0) {
        serve_probing(request);
    } else {
        return false; /* "/raft" comes with its whole body */
    }
    return true;
}

/* Whose message it is counts, not the header. 403 is what etcd's senders stop at; one that is for
 * somebody else, at an address that was used before, must not stop its sender. */
bool peer_check_message(const struct peer_transport *transport, struct http1_request *request,
                        const struct raft_message *message)
{
    if (transport->config.is_removed(transport->config.ctx, message->from)) {
        http1_respond_error(request, 403, "cannot process message from removed member");
        return false;
    }
    if (message->to != transport->config.self_id) {
        http1_respond_error(request, 412, "to field mismatch");
        return false;
    }
    return true;
}

static void add_sender(struct peer_transport *transport, struct http1_request *request)
{
    const char *from = http1_header(request, "X-Server-From");
    const char *urls = http1_header(request, "X-PeerURLs");
    uint64_t id = from == NULL ? RAFT_NO_ID : strtoull(from, NULL, 16);
    if (urls != NULL && !transport->config.is_removed(transport->config.ctx, id)) {
        add_stranger(transport, id, urls);
    }
}

static void serve_message(struct peer_transport *transport, struct http1_request *request)
{
    struct raft_message message;
    if (raftpb_message_decode(http1_body(request), &message) != 0) {
        http1_respond_error(request, 400, "error unmarshalling raft message");
        return;
    }
    if (message.type == RAFT_MSG_SNAP) {
        http1_respond_error(request, 400, "a snapshot comes with its database to /raft/snapshot");
    } else if (peer_check_message(transport, request, &message)) {
        add_sender(transport, request);
        struct peer *peer = peer_find(transport, message.from);
        if (peer != NULL) {
            peer_stat_add(&peer->stats, PEER_RECEIVED_BYTES, (int64_t)http1_body(request).size);
            peer_stats_received(&peer->stats, message.type);
        }
        transport->config.on_message(transport->config.ctx, &message);
        http1_respond(request, 204, NULL, (struct bytes){NULL, 0});
    }
    raft_message_clear(&message);
}

bool peer_handle_request(struct peer_transport *transport, struct http1_request *request)
{
    if (strcmp(http1_path(request), "/raft") != 0) {
        return false;
    }
    add_headers(transport, request);
    if (strcmp(http1_method(request), "POST") != 0) {
        http1_respond_method_not_allowed(request, "POST");
    } else if (check_caller(transport, request)) {
        serve_message(transport, request);
    }
    return true;
}

void peer_handle_drained(struct peer_transport *transport, struct http1_request *request)
{
    (void)transport; /* what did not fit was dropped and reported: nothing waits for room */
    (void)request;
}

void peer_handle_over(struct peer_transport *transport, struct http1_request *request,
                      bool completed)
{
    struct taken *taken = http1_user(request);
    (void)transport;
    (void)completed;
    if (taken == NULL) {
        return;
    }
    http1_set_user(request, NULL);
    if (taken->kind == TAKEN_STREAM && taken->peer != NULL) {
        taken->peer->out[taken->stream] = NULL;
        peer_refresh_active(taken->peer);
    }
    if (taken->kind == TAKEN_SNAPSHOT && taken->receive != NULL) {
        snapshot_receive_free(taken->receive);
    }
    mem_free(taken);
}

void serve_close_streams(struct peer *peer)
{
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        struct http1_request *request = peer->out[kind];
        if (request != NULL) {
            peer->out[kind] = NULL;
            ((struct taken *)http1_user(request))->peer = NULL;
            http1_abort(request);
        }
    }
}
