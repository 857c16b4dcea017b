/* SPDX-License-Identifier: Apache-2.0 */
/* Transports on loopback, all in one loop, and what each was told. */
#ifndef TESTS_PEER_LIB_NODES_H
#define TESTS_PEER_LIB_NODES_H

#include "base/net/http1.h"
#include "base/net/listen.h"
#include "engine/peer/peer.h"

#define NODE_MESSAGES_MAX 4096u
#define WORLD_CLUSTER     0xabcdefu

struct world;

struct node {
    struct world *world;
    uint64_t id, cluster_id;
    char url[64];
    char *snap_dir;
    struct peer_transport *transport;
    struct http1_server *http;
    struct listener *listener;
    struct raft_message messages[NODE_MESSAGES_MAX];
    size_t message_count;
    size_t unreachable_count, gone_count, removed_count;
    size_t delivered_count, undelivered_count; /* of snapshots sent */
    char *snapshot_path;                       /* of the last one that arrived */
    struct raft_message snapshot;
    uint64_t removed_id; /* who is answered 410 */
};

struct world {
    struct loop *loop;
    struct loop_timer check, deadline;
    bool (*is_done)(void *ctx);
    void *ctx;
    bool timed_out;
    char *dir;
    uint64_t read_timeout_ms; /* of nodes that start */
};

void world_init(struct world *world);
void world_free(struct world *world);

/* Runs the loop until is_done; fails the test when that takes far too long. */
void world_until(struct world *world, bool (*is_done)(void *ctx), void *ctx);

/* Runs the loop for so long: for what must not happen. */
void world_pass(struct world *world, uint64_t ms);

/* Opens a port (the old one again when the node had one) and makes a transport. */
void node_start(struct world *world, struct node *node, uint64_t id);
void node_stop(struct node *node);
void node_free(struct node *node);
void node_knows(struct node *node, const struct node *other);

/* One append of a single entry. */
void node_send_append(struct node *node, uint64_t to, uint64_t index, size_t bytes);
void node_send_heartbeat(struct node *node, uint64_t to, uint64_t commit);

/* Files in the node's snapshot folder. */
size_t node_file_count(const struct node *node);

#endif
