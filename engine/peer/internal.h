/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the transport, for the files of this folder only. */
#ifndef ENGINE_PEER_INTERNAL_H
#define ENGINE_PEER_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/net/http1client.h"
#include "engine/peer/codec.h"
#include "engine/peer/peer.h"
#include "engine/peer/stats.h"

#define PEERS_MAX                 64u
#define PEER_STRANGERS_MAX        8u /* known by their own word alone; members always have room */
#define PEER_REDIAL_MS            100u
#define PEER_REDIAL_SLOW_MS       1000u /* after a refusal that will not pass by itself */
#define PEER_PIPELINE_QUEUE_MAX   256u
#define PEER_PIPELINE_TIMEOUT_MS  5000u
#define PEER_SNAPSHOT_STALL_MS    60000u /* nothing moved for so long: the posting is given up */
#define PEER_RECEIVES_MAX         4u     /* snapshots that may arrive at the same time */
#define PEER_SNAPSHOT_CHUNK_BYTES (128u * 1024u)
#define PEER_HEADERS_MAX          6u
#define PEER_ID_TEXT              24u

struct peer;

enum stream_kind { STREAM_MSGAPP, STREAM_MESSAGE, STREAM_KINDS };

/* One dialled stream: we GET it from the peer and read its messages. */
struct dial {
    struct peer *peer;
    enum stream_kind kind;
    struct http1_client *client;
    struct loop_timer redial;
    struct buf unread;
    struct msgapp_decoder decoder;
    int status;       /* of the answer that runs or was last; 0: none */
    char refusal[64]; /* the text of one that is no 200 */
    bool up;
    int logged_status; /* what was last told in the log */
};

/* One message that waits for the pipeline. */
struct posted {
    struct list link;
    struct buf body;
};

struct peer {
    struct peer_transport *transport;
    uint64_t id;
    char *urls[PEER_URLS_MAX];
    uint32_t url_count, url_picked;
    struct dial dials[STREAM_KINDS];
    /* What the peer GETs from us; NULL: it has not called. */
    struct http1_request *out[STREAM_KINDS];
    struct msgapp_encoder encoder;
    struct http1_client *pipeline;
    struct list pipeline_queue; /* struct posted */
    uint32_t pipeline_count;
    size_t pipeline_bytes; /* of what is queued */
    bool pipeline_busy;
    bool is_stranger; /* came by a header; the log has not named it */
    struct snapshot_send *snapshot;
    uint64_t active_since_ms;
    bool was_there;    /* a stream was up since the last time that it was gone */
    uint32_t refusals; /* connections that were refused, one after the other */
    struct peer_stats stats;
};

/* A request of the peer port that this module answers; http1_user. */
enum taken_kind { TAKEN_STREAM, TAKEN_SNAPSHOT };

struct taken {
    enum taken_kind kind;
    struct peer_transport *transport;
    /* TAKEN_STREAM */
    struct peer *peer;
    enum stream_kind stream;
    /* TAKEN_SNAPSHOT */
    struct snapshot_receive *receive;
};

struct peer_transport {
    struct peer_transport_config config;
    char *texts[5]; /* copies of the config's strings */
    struct map peers;
    struct loop_timer beat;
    uint32_t stranger_count;
    uint32_t receive_count;
    uint64_t receive_number; /* of the last snapshot that came in: part of its temporary name */
    struct metric saved_seconds, synced_seconds; /* of snapshots that came in */
};

/* Headers of every request to a peer; ids is room for their texts. */
size_t peer_headers(const struct peer_transport *transport, uint64_t to,
                    struct http1_header out[PEER_HEADERS_MAX], char ids[3][PEER_ID_TEXT]);

struct peer *peer_find(const struct peer_transport *transport, uint64_t id);
struct http1_client *peer_client_new(struct peer *peer);

/* The next of the peer's URLs, after one has failed. */
void peer_pick_next_url(struct peer *peer);
void peer_refresh_active(struct peer *peer);
void peer_report_unreachable(struct peer *peer);

/* A 410 of this peer: this member is out. The word of a stranger does not count. */
void peer_report_removed(struct peer *peer);

/* Links to somebody whom only its own header names; bounded, and members take its place. */
void peer_add_stranger(struct peer_transport *transport, uint64_t id, const char *const *urls,
                       uint32_t url_count);

/* gone.c: what each dialling came to: E_REFUSED, another error, or 0. */
void peer_note_dial(struct peer *peer, int code);

/* dial.c */
void dial_init(struct dial *dial, struct peer *peer, enum stream_kind kind);
void dial_free(struct dial *dial);

/* pipeline.c */
void pipeline_send(struct peer *peer, const struct raft_message *message);
void pipeline_free(struct peer *peer);

/* snapsend.c; snaprecv.c */
void snapshot_send_free(struct peer *peer);
/* Answers by itself when too many come at once. */
void snapshot_receive_start(struct peer_transport *transport, struct http1_request *request);
void snapshot_receive_free(struct snapshot_receive *receive);

/* serve.c */
/* Not from a removed member, and for this one; else it was answered. */
bool peer_check_message(const struct peer_transport *transport, struct http1_request *request,
                        const struct raft_message *message);
void serve_close_streams(struct peer *peer);

#endif
