/* SPDX-License-Identifier: Apache-2.0 */
/* The transport: its table of peers, and which way a message takes. */
#include "engine/peer/internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"

static void on_beat(void *ctx);

static uint64_t read_timeout_ms(const struct peer_transport *transport)
{
    return transport->config.read_timeout_ms != 0 ? transport->config.read_timeout_ms
                                                  : PEER_READ_TIMEOUT_MS_DEFAULT;
}

struct peer_transport *peer_transport_new(const struct peer_transport_config *config)
{
    struct peer_transport *transport = mem_zalloc(sizeof(*transport));
    transport->config = *config;
    transport->config.read_timeout_ms = read_timeout_ms(transport);
    transport->config.server_version = transport->texts[0] = str_dup(config->server_version);
    transport->config.min_cluster_version = transport->texts[1] =
        str_dup(config->min_cluster_version);
    transport->config.self_peer_urls = transport->texts[2] = str_dup(config->self_peer_urls);
    transport->config.snap_dir = transport->texts[3] = str_dup(config->snap_dir);
    if (config->local_host != NULL) {
        transport->config.local_host = transport->texts[4] = str_dup(config->local_host);
    }
    map_init(&transport->peers);
    peer_snapshot_stats_start(&transport->saved_seconds, &transport->synced_seconds);
    loop_timer_init(config->loop, &transport->beat, on_beat, transport);
    loop_timer_set(&transport->beat, transport->config.read_timeout_ms / 3);
    return transport;
}

struct peer *peer_find(const struct peer_transport *transport, uint64_t id)
{
    return map_get_u64(&transport->peers, id);
}

static void clear_urls(struct peer *peer)
{
    for (uint32_t i = 0; i < peer->url_count; i++) {
        mem_free(peer->urls[i]);
    }
    peer->url_count = 0;
    peer->url_picked = 0;
}

static void peer_free(struct peer *peer)
{
    for (int i = 0; i < STREAM_KINDS; i++) {
        dial_free(&peer->dials[i]);
    }
    serve_close_streams(peer);
    pipeline_free(peer);
    snapshot_send_free(peer);
    clear_urls(peer);
    peer->transport->stranger_count -= peer->is_stranger ? 1 : 0;
    peer_stats_stop(&peer->stats);
    mem_free(peer);
}

void peer_remove_all(struct peer_transport *transport)
{
    size_t cursor = 0;
    void *value;
    struct bytes key;
    while (map_next(&transport->peers, &cursor, &key, &value)) {
        struct peer *peer = value;
        (void)map_remove_u64(&transport->peers, peer->id);
        peer_free(peer);
    }
}

void peer_keep_only(struct peer_transport *transport, const uint64_t *ids, uint32_t count)
{
    size_t cursor = 0;
    void *value;
    while (map_next(&transport->peers, &cursor, NULL, &value)) {
        struct peer *peer = value;
        bool keep = false;
        for (uint32_t i = 0; i < count; i++) {
            keep = keep || ids[i] == peer->id;
        }
        if (!keep) {
            peer_remove(transport, peer->id);
        }
    }
}

void peer_transport_free(struct peer_transport *transport)
{
    if (transport == NULL) {
        return;
    }
    peer_remove_all(transport);
    map_free(&transport->peers);
    metric_unregister(&transport->saved_seconds);
    metric_unregister(&transport->synced_seconds);
    loop_timer_cancel(&transport->beat);
    for (size_t i = 0; i < ARRAY_COUNT(transport->texts); i++) {
        mem_free(transport->texts[i]);
    }
    mem_free(transport);
}

static bool same_urls(const struct peer *peer, const char *const *urls, uint32_t url_count)
{
    if (peer->url_count != url_count) {
        return false;
    }
    for (uint32_t i = 0; i < url_count; i++) {
        if (!str_equal(peer->urls[i], urls[i])) {
            return false;
        }
    }
    return true;
}

static void peer_start(struct peer_transport *transport, uint64_t id, const char *const *urls,
                       uint32_t url_count, bool is_stranger)
{
    struct peer *peer = mem_zalloc(sizeof(*peer));
    peer->transport = transport;
    peer->id = id;
    peer->is_stranger = is_stranger;
    transport->stranger_count += is_stranger ? 1 : 0;
    list_init(&peer->pipeline_queue);
    peer_stats_start(&peer->stats, transport->config.self_id, id);
    for (uint32_t i = 0; i < url_count; i++) {
        peer->urls[peer->url_count++] = str_dup(urls[i]);
    }
    (void)map_set_u64(&transport->peers, id, peer);
    for (int i = 0; i < STREAM_KINDS; i++) {
        dial_init(&peer->dials[i], peer, (enum stream_kind)i);
    }
    LOG_INFO("started remote peer", LOG_HEX("remote-peer-id", id), LOG_STR("url", urls[0]));
}

void peer_add(struct peer_transport *transport, uint64_t id, const char *const *urls,
              uint32_t url_count)
{
    url_count = BASE_MIN(url_count, PEER_URLS_MAX);
    struct peer *peer = peer_find(transport, id);
    if (id == transport->config.self_id || url_count == 0) {
        return;
    }
    if (peer != NULL && same_urls(peer, urls, url_count)) {
        transport->stranger_count -= peer->is_stranger ? 1 : 0;
        peer->is_stranger = false; /* now the log names it */
        return;
    }
    if (peer != NULL) {
        peer_remove(transport, id); /* other URLs: all links start anew */
    }
    if (transport->peers.count - transport->stranger_count >= PEERS_MAX) {
        LOG_ERROR("there are too many members: no link to this one", LOG_HEX("remote-peer-id", id));
        return;
    }
    peer_start(transport, id, urls, url_count, false);
}

void peer_add_stranger(struct peer_transport *transport, uint64_t id, const char *const *urls,
                       uint32_t url_count)
{
    if (id != transport->config.self_id && id != RAFT_NO_ID && url_count > 0 &&
        peer_find(transport, id) == NULL && transport->stranger_count < PEER_STRANGERS_MAX) {
        peer_start(transport, id, urls, BASE_MIN(url_count, PEER_URLS_MAX), true);
    }
}

void peer_remove(struct peer_transport *transport, uint64_t id)
{
    struct peer *peer = map_remove_u64(&transport->peers, id);
    if (peer != NULL) {
        peer_free(peer);
        LOG_INFO("stopped remote peer", LOG_HEX("remote-peer-id", id));
    }
}

void peer_pick_next_url(struct peer *peer)
{
    peer->url_picked = (peer->url_picked + 1) % peer->url_count;
}

struct http1_client *peer_client_new(struct peer *peer)
{
    const struct peer_transport_config *transport = &peer->transport->config;
    struct http1_client_config config = {.loop = transport->loop,
                                         .resolver = transport->resolver,
                                         .tls = transport->tls,
                                         .local_host = transport->local_host};
    if (url_parse(peer->urls[peer->url_picked], &config.url, NULL) != 0 ||
        (url_is_tls(&config.url) && config.tls == NULL)) {
        return NULL; /* no URL at all: a stranger's header may hold anything */
    }
    return http1_client_new(&config);
}

size_t peer_headers(const struct peer_transport *transport, uint64_t to,
                    struct http1_header out[PEER_HEADERS_MAX], char ids[3][PEER_ID_TEXT])
{
    snprintf(ids[0], PEER_ID_TEXT, "%" PRIx64, transport->config.self_id);
    snprintf(ids[1], PEER_ID_TEXT, "%" PRIx64, transport->config.cluster_id);
    snprintf(ids[2], PEER_ID_TEXT, "%" PRIx64, to);
    out[0] = (struct http1_header){"X-Server-From", ids[0]};
    out[1] = (struct http1_header){"X-Server-Version", transport->config.server_version};
    out[2] = (struct http1_header){"X-Min-Cluster-Version", transport->config.min_cluster_version};
    out[3] = (struct http1_header){"X-Etcd-Cluster-ID", ids[1]};
    out[4] = (struct http1_header){"X-PeerURLs", transport->config.self_peer_urls};
    out[5] = (struct http1_header){"X-Raft-To", ids[2]};
    return 6;
}

/* Both directions work: it hears us and we hear it. */
void peer_refresh_active(struct peer *peer)
{
    bool active = peer->dials[STREAM_MESSAGE].up && peer->dials[STREAM_MSGAPP].up &&
                  peer->out[STREAM_MESSAGE] != NULL && peer->out[STREAM_MSGAPP] != NULL;
    if (active && peer->active_since_ms == 0) {
        peer->active_since_ms = loop_now_ms(peer->transport->config.loop);
        peer_stat_add(&peer->stats, PEER_ACTIVE, 1);
        LOG_INFO("peer became active", LOG_HEX("peer-id", peer->id));
    } else if (!active && peer->active_since_ms != 0) {
        peer->active_since_ms = 0;
        peer_stat_add(&peer->stats, PEER_ACTIVE, -1);
        peer_stat_add(&peer->stats, PEER_DISCONNECTED, 1);
        LOG_WARN("peer became inactive (message send to peer failed)",
                 LOG_HEX("peer-id", peer->id));
        peer_report_unreachable(peer);
    }
}

void peer_report_unreachable(struct peer *peer)
{
    peer->transport->config.on_unreachable(peer->transport->config.ctx, peer->id);
}

void peer_report_removed(struct peer *peer)
{
    if (!peer->is_stranger) {
        peer->transport->config.on_removed(peer->transport->config.ctx);
    }
}

uint64_t peer_active_since_ms(const struct peer_transport *transport, uint64_t id)
{
    const struct peer *peer = peer_find(transport, id);
    return peer == NULL ? 0 : peer->active_since_ms;
}

/* ---- sending ---- */

/* Writes to a stream that the peer holds open; false when there is none or its queue is full. */
static bool stream_send(struct peer *peer, enum stream_kind kind,
                        const struct raft_message *message, bool *out_full)
{
    struct http1_request *request = peer->out[kind];
    *out_full = false;
    if (request == NULL) {
        return false;
    }
    if (http1_response_queued_bytes(request) > PEER_SEND_QUEUE_BYTES_MAX) {
        *out_full = true;
        return false;
    }
    struct buf out;
    size_t size;
    buf_init(&out, BUF_NO_LIMIT);
    if (kind == STREAM_MSGAPP) {
        codec_msgapp_encode(&peer->encoder, message, &out);
    } else {
        codec_message_encode(message, &out);
    }
    uint8_t *data = buf_take(&out, &size);
    http1_respond_write_take(request, data, size);
    peer_stat_add(&peer->stats, PEER_SENT_BYTES, (int64_t)size);
    return true;
}

static void send_one(struct peer *peer, const struct raft_message *message)
{
    enum stream_kind kind = message->type == RAFT_MSG_APP ? STREAM_MSGAPP : STREAM_MESSAGE;
    bool full;
    peer_stats_sent(&peer->stats, message->type);
    if (stream_send(peer, kind, message, &full)) {
        return;
    }
    if (full) {
        peer_stat_add(&peer->stats, PEER_SENT_FAILURES, 1);
        peer_report_unreachable(peer); /* Raft sends again what matters */
    } else {
        pipeline_send(peer, message);
    }
}

void peer_send(struct peer_transport *transport, struct raft_message *messages, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct peer *peer = peer_find(transport, messages[i].to);
        if (peer == NULL) {
            LOG_DEBUG("dropped a message to an unknown peer", LOG_HEX("to", messages[i].to));
        } else {
            send_one(peer, &messages[i]);
        }
        raft_message_clear(&messages[i]);
    }
}

/* Signs of life on the streams that peers hold open: a silent link is given up by its reader. */
static void on_beat(void *ctx)
{
    struct peer_transport *transport = ctx;
    size_t cursor = 0;
    void *value;
    while (map_next(&transport->peers, &cursor, NULL, &value)) {
        struct peer *peer = value;
        for (int kind = 0; kind < STREAM_KINDS; kind++) {
            struct buf out;
            buf_init(&out, BUF_NO_LIMIT);
            if (kind == STREAM_MSGAPP) {
                codec_msgapp_heartbeat(&out);
            } else {
                codec_message_heartbeat(&out);
            }
            if (peer->out[kind] != NULL) {
                http1_respond_write(peer->out[kind], out.data, out.size);
            }
            buf_free(&out);
        }
    }
    loop_timer_set(&transport->beat, transport->config.read_timeout_ms / 3);
}
