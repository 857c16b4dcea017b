/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the simulated network, for its own files only. All of it lives in the memory of the
 * world and names what belongs to a life by numbers or by pointers that are dropped with that life
 * (net_exchange_died). A callback of a node may end its life and not return: what must be known
 * then is written down before it is called.
 */
#ifndef TESTS_SIM_NET_INTERNAL_H
#define TESTS_SIM_NET_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/net/http1.h"
#include "base/net/http1client.h"
#include "engine/peer/internal.h"
#include "tests/sim/net.h"

#define NET_MS                 UINT64_C(1000000)
#define NET_WRITE_HIGH         STREAM_WRITE_HIGH_DEFAULT
#define NET_WRITE_LOW          STREAM_WRITE_LOW_DEFAULT
#define NET_SEGMENT_BYTES      (64u * 1024u)
#define NET_RETRY_MS           200u /* doubles up to NET_RETRY_MAX_MS, as TCP sends again */
#define NET_RETRY_MAX_MS       3200u
#define NET_CONNECT_RETRY_MS   1000u
#define NET_GIVE_UP_MS         30000u  /* a server lets go of a client that it does not hear */
#define NET_HOST_GONE_PPM      250000u /* of ended lives: no machine says "connection refused" */
#define NET_LATE_PPM           250000u /* of messages to a life that ended: sent to the next one */
#define NET_LATE_MEAN_MS       500u
#define NET_LATE_TRIES_MAX     8u
#define NET_BROKEN_BY_LOSS_PPM 10000u /* of lost messages: their stream breaks as well */
#define NET_PPM                1000000u

/* One direction between two nodes. */
struct net_link {
    bool is_cut;
    uint64_t cut_count; /* messages sent before the last cut are lost */
    uint64_t last_at_ns, clogged_until_ns;
    uint64_t sequence, newest_arrived;
    uint32_t in_flight; /* what its receiver could have had by now is not: copies, late ones */
};

enum net_unit_kind { NET_OPEN, NET_HEAD, NET_ANSWER, NET_BODY, NET_END, NET_CLOSE };

/* A piece of an exchange on its way. */
struct net_unit {
    struct list node;
    enum net_unit_kind kind;
    uint64_t at_ns;
    int status;      /* NET_ANSWER: HTTP; NET_CLOSE: E_* */
    struct buf data; /* NET_HEAD: method, target, names and values; NET_ANSWER: names and values,
                        each with its NUL; NET_BODY: bytes */
};

enum net_way { NET_TO_SERVER, NET_TO_CLIENT, NET_WAYS };

struct net_half {
    struct list units;
    size_t queued_bytes;
    bool was_full; /* whoever writes waits for room */
    uint64_t last_at_ns;
    uint64_t blocked_since_ns; /* UINT64_MAX: it is not */
    uint32_t retry_ms;
    bool is_scheduled;
    bool is_paused;
    struct net_unit *taken; /* in the hands of a node's callback */
};

/* What a Raft message needs when its stream is gone: it is posted then. Shared. */
struct net_sender {
    uint32_t references;
    struct buf headers; /* names and values, each with its NUL */
    uint16_t to_port;
};

/* One HTTP exchange on a connection of its own. */
struct net_exchange {
    struct list node;
    uint64_t id;
    int client_node, server_node;
    uint16_t port;
    struct loop *client_loop;
    struct http1_client *client; /* NULL: it has gone */
    struct http1_server *server; /* NULL: not accepted yet, or over */
    struct http1_request *request;
    bool is_over; /* at the server, or it never was there */
    bool is_broken;
    uint32_t connect_retry_ms;
    uint64_t body_bytes, break_at_bytes; /* UINT64_MAX: never */
    uint64_t answer_at_ns;
    struct net_half halves[NET_WAYS];
    struct net_sender *sender; /* Raft messages leave the server by this answer */
    enum stream_kind stream;
    struct msgapp_decoder decoder;
};

struct net {
    bool is_begun;
    struct sim_net_faults faults;
    struct sim_net_counts counts;
    struct net_link links[SIM_NODES_MAX][SIM_NODES_MAX];
    bool is_host_gone[SIM_NODES_MAX];
    uint64_t slow_mean_ns[SIM_NODES_MAX];
    uint64_t last_id;
    struct list exchanges, packets, ports;
    struct map exchanges_by_id, packets_by_id;
    sim_net_tap tap;
    void *tap_ctx;
    sim_net_send_tap send_tap;
    void *send_tap_ctx;
};

/* The one network. */
struct net *net_state(void);
uint64_t net_id_new(void);

/* Of the node whose code runs: this one is lost. 0: it is sent. */
int net_send_fails(void);

/* ---- draws (net.c) ---- */

bool net_chance(uint32_t ppm);
uint64_t net_exponential(uint64_t mean_ns);
/* When what leaves from now on arrives; SIM_NOBODY is nowhere in particular. */
uint64_t net_arrival_ns(int from, int to);
uint64_t net_transfer_ns(size_t bytes);
struct net_link *net_link_of(int from, int to); /* NULL: one end is no node */
bool net_is_cut(int from, int to);

/* ---- exchanges (net_exchange.c) ---- */

/* An exchange of the node whose code runs; connects when client is there. */
struct net_exchange *net_exchange_new(int server_node, uint16_t port, struct http1_client *client,
                                      struct loop *client_loop);
struct net_exchange *net_exchange_find(uint64_t id);
void net_exchange_push(struct net_exchange *exchange, enum net_way way, enum net_unit_kind kind,
                       int status, struct bytes data);
void net_exchange_push_body(struct net_exchange *exchange, enum net_way way, struct bytes data);

/* It may go on after http1_body_resume. */
void net_exchange_go_on(struct net_exchange *exchange, enum net_way way);

/* One side lets go; the other hears of it when it can. The exchange may be freed. */
void net_exchange_client_left(struct net_exchange *exchange);
void net_exchange_server_left(struct net_exchange *exchange, bool in_order);
void net_exchange_break(struct net_exchange *exchange); /* both sides see the connection end */
void net_exchange_died(int node);
void net_exchange_free_all(void);

/* ---- the two ends (net_client.c, net_http.c): on their own loops ---- */

void net_client_take(struct net_exchange *exchange, const struct net_unit *unit);
void net_client_room(struct http1_client *client);
bool net_client_is_reading(const struct http1_client *client); /* an answer's body */
void net_client_take_body(struct http1_client *client, struct bytes part);
void net_server_take(struct net_exchange *exchange, const struct net_unit *unit);
void net_server_room(struct http1_request *request);
struct loop *net_server_loop(const struct http1_server *server);
struct http1_server *net_server_find(int node, uint16_t port);
void net_server_died(int node);

/* ---- Raft messages (net_raft.c) ---- */

/* An answer to GET /raft/stream/... has started: messages will leave by it. */
void net_raft_stream_start(struct net_exchange *exchange, const char *path,
                           const struct taken *taken);
void net_raft_send(struct net_exchange *exchange, struct bytes data);
bool net_raft_is_full(const struct net_exchange *exchange);
/* Tells the tap of a message that arrives by POST. */
void net_raft_arrives(int from, int to, struct bytes wire);
/* The same of one that has come whole with its snapshot; frame is with its length. */
void net_raft_snapshot_arrives(int from, int to, struct bytes frame);
void net_raft_died(int node);
void net_raft_free_all(void);
void net_sender_unref(struct net_sender *sender);

#endif
