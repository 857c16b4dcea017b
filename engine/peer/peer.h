/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peer protocol in etcd's wire format (rafthttp): Raft messages between members over HTTP/1.1
 * streams, pipeline posts and snapshot posts. It carries messages and reports what the network
 * says; it decides nothing of Raft. All functions are for the loop's thread unless said.
 */
#ifndef ENGINE_PEER_PEER_H
#define ENGINE_PEER_PEER_H

#include "base/err.h"
#include "base/net/http1.h"
#include "base/net/loop.h"
#include "base/net/resolve.h"
#include "base/seam/disk.h"
#include "engine/raft/types.h"

#define PEER_URLS_MAX 8u
#define PEER_SEND_QUEUE_BYTES_MAX                                                                  \
    (64u * 1024u * 1024u) /* per peer; beyond it messages are dropped and reported */
#define PEER_STREAM_MESSAGE_BYTES_MAX (512u * 1024u * 1024u)
#define PEER_READ_TIMEOUT_MS_DEFAULT  5000u
#define PEER_FETCH_BODY_BYTES_MAX     (4u * 1024u * 1024u)

struct peer_transport;

struct peer_transport_config {
    struct loop *loop;
    struct resolver *resolver;                /* borrowed */
    const struct stream_transport_maker *tls; /* for https URLs; borrowed; NULL: there are none */
    const struct disk_seam *disk;             /* borrowed */
    uint64_t self_id;
    uint64_t cluster_id;
    const char *server_version;      /* X-Server-Version */
    const char *min_cluster_version; /* X-Min-Cluster-Version */
    const char *self_peer_urls;      /* X-PeerURLs: comma-separated */
    const char *snap_dir;     /* received snapshots: <index %016x>.snap.db, through recv-*.tmp */
    uint64_t read_timeout_ms; /* 0: PEER_READ_TIMEOUT_MS_DEFAULT */
    const char *local_host;   /* the address that peers are dialled from; NULL: any; copied */
    void *ctx;

    /* A message of a peer, never RAFT_MSG_SNAP; takes *message (clears or moves it). */
    void (*on_message)(void *ctx, struct raft_message *message);

    /* A whole snapshot has arrived, db file written and synced. Takes *message; db_path is
     * borrowed. */
    void (*on_snapshot)(void *ctx, struct raft_message *message, const char *db_path);

    void (*on_unreachable)(void *ctx, uint64_t id);

    /* A peer that was connected is a process no more: all its streams are closed, and nobody
     * listens at any of its URLs. Once for each time that it was there. May be NULL. */
    void (*on_gone)(void *ctx, uint64_t id);
    void (*on_snapshot_status)(void *ctx, uint64_t id, bool delivered);

    /* Peers say (410) that this member was removed from the cluster: it must stop. */
    void (*on_removed)(void *ctx);

    /* True when id was removed: its requests are answered 410. */
    bool (*is_removed)(void *ctx, uint64_t id);
};

/* Copies config and its texts. */
struct peer_transport *peer_transport_new(const struct peer_transport_config *config);

/* Closes all links and frees. */
void peer_transport_free(struct peer_transport *transport);

/* Starts links to a member; replaces its URLs when it is known. Texts are copied. */
void peer_add(struct peer_transport *transport, uint64_t id, const char *const *urls,
              uint32_t url_count);
void peer_remove(struct peer_transport *transport, uint64_t id);
void peer_remove_all(struct peer_transport *transport);

/* Ends the links to all but these. */
void peer_keep_only(struct peer_transport *transport, const uint64_t *ids, uint32_t count);

/* Sends; takes the messages' contents (each is cleared). Unknown addressees are dropped and
 * reported. */
void peer_send(struct peer_transport *transport, struct raft_message *messages, uint32_t count);

/*
 * Sends a snapshot: message (taken) and then size bytes read from fd, the non-blocking reading end
 * of a pipe (taken: closed here). on_snapshot_status follows exactly once, also when the peer is
 * removed meanwhile.
 */
void peer_send_snapshot(struct peer_transport *transport, struct raft_message *message, int fd,
                        uint64_t size);

/* For the peer port: true when the request is for /raft... and is being handled. In on_head. */
bool peer_handle_head(struct peer_transport *transport, struct http1_request *request);

/* As http1_server_config.on_request, on_drained and on_over for requests that peer_handle_head
 * took. */
bool peer_handle_request(struct peer_transport *transport, struct http1_request *request);
void peer_handle_drained(struct peer_transport *transport, struct http1_request *request);
void peer_handle_over(struct peer_transport *transport, struct http1_request *request,
                      bool completed);

/* loop_now_ms since when both directions of the link work; 0: not connected. */
uint64_t peer_active_since_ms(const struct peer_transport *transport, uint64_t id);

/*
 * One short HTTP request to a member's peer URL: GET /version, GET /members, POST /leases ...
 * on_done comes once: code 0 with status and body, or E_* with text. url is copied.
 * cluster_id_header is the answer's X-Etcd-Cluster-ID or NULL.
 */
struct peer_fetch_answer {
    int code;
    const char *text;
    int status;
    struct bytes body;
    const char *cluster_id_header;
};
typedef void (*peer_fetch_fn)(void *ctx, const struct peer_fetch_answer *answer);

struct peer_fetch {
    struct loop *loop;
    struct resolver *resolver;
    const struct stream_transport_maker *tls; /* for https URLs; NULL: there are none */
    const char *url;                          /* http://host:port */
    const char *method;
    const char *path;
    const char *content_type;  /* NULL: none */
    const char *authorization; /* NULL: none; borrowed for the call */
    struct bytes body;
    uint64_t timeout_ms;
    peer_fetch_fn on_done;
    void *ctx;
};
struct peer_fetch_run;

/* The run is for peer_fetch_cancel; it is dead once on_done has come. */
struct peer_fetch_run *peer_fetch_start(const struct peer_fetch *fetch);

/* on_done does not come any more. */
void peer_fetch_cancel(struct peer_fetch_run *run);

#endif
