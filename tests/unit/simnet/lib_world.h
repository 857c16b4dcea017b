/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for the simulator's core: events, lives, memory by life, loops, channels and disks
 * that note what they are asked, as little as the simulated network needs. Nodes are peer
 * transports.
 */
#ifndef TESTS_SIMNET_LIB_WORLD_H
#define TESTS_SIMNET_LIB_WORLD_H

#include <setjmp.h>

#include "base/buf.h"
#include "base/list.h"
#include "engine/peer/peer.h"
#include "tests/sim/net.h"

#define MS           UINT64_C(1000000)
#define CLUSTER      0xabcdefu
#define MESSAGES_MAX 20000u

struct told {
    int from, to; /* slots, from the tap; from -1: told by the node itself */
    uint64_t from_id, to_id, index, at_ns, life;
    enum raft_message_type type;
    size_t entry_bytes;
};

struct test_node {
    uint64_t id, cluster_id;
    uint64_t life;
    bool is_running, is_paused;
    struct list region;
    struct loop *loop;
    struct peer_transport *transport;
    struct http1_server *http;
    uint64_t removed_id; /* is answered 410 */
    /* what it was told */
    struct told *messages;
    size_t message_count;
    size_t unreachable, removed, delivered, undelivered;
    char snapshot_path[128];
    uint64_t snapshot_index;
    struct buf disk_calls; /* one letter each; see lib_world.c */
    struct buf snapshot_bytes;
    uint64_t die_at_disk_call; /* 0: never */
    size_t http_requests, http_over, http_incomplete;
    bool is_mute; /* does not answer GET /slow */
    uint64_t mute_handle;
};

extern struct test_node nodes[SIM_NODES_MAX];

void world_begin(uint64_t seed);
void world_end(void); /* and checks that nothing is left */
void world_run_ms(uint64_t ms);
uint64_t world_hash(void);
uint64_t world_drops(void);

/* Runs fn(ctx) in the name of the node, at once. */
void world_in(int node, void (*fn)(void *ctx), void *ctx);

void node_start(int node, uint64_t id);
void node_kill(int node);
void node_pause(int node, bool on);
void node_knows(int node, int other, uint64_t other_id);
void node_forgets(int node, uint64_t other_id);
void nodes_start(int count); /* ids 101, 102, ...; they know each other; links are up */

void node_send(int node, uint64_t to, enum raft_message_type type, uint64_t index, size_t bytes);

/* Bytes for a snapshot: the reading end of a channel. */
int channel_of(const void *data, size_t size);
void node_send_snapshot(int node, uint64_t to, uint64_t index, size_t bytes);

/* ---- memory, for lib_alloc.c ---- */
void memory_use(struct list *list);
struct list *memory_now(void);
void memory_drop(struct list *list);
size_t memory_world_blocks(void);

#endif
