/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the workload: clients (workload.c, operations.c) and watchers (watchers.c). */
#ifndef TESTS_SIM_WORKLOAD_INTERNAL_H
#define TESTS_SIM_WORKLOAD_INTERNAL_H

#include "base/buf.h"
#include "engine/proto/rpc.pb-c.h"
#include "tests/sim/faults/workload.h"

#define LEASES_MAX   16u
#define KEYS_MAX     64u
#define VALUE_MAX    48u
#define WATCHER_BASE 100u /* numbers of watchers as clients of the history */

enum operation {
    OPERATION_PUT,
    OPERATION_RANGE,
    OPERATION_DELETE,
    OPERATION_TXN,
    OPERATION_COMPACT,
    OPERATION_GRANT,
    OPERATION_REVOKE,
    OPERATION_KEEP_ALIVE,
    OPERATION_TIME_TO_LIVE,
};

enum client_phase { CLIENT_MIXED, CLIENT_LAST_PUT, CLIENT_LAST_READ, CLIENT_DONE };

struct client {
    struct workload *workload;
    uint32_t number;
    enum client_phase phase;
    enum operation operation;
    int node;
    uint64_t invoke_ns, call;
    bool is_waiting, is_answered;
    uint64_t values;
    struct buf request, answer; /* in the words of a history */
    uint64_t member, term;
    int64_t revision;
    int64_t leases[LEASES_MAX];
    uint32_t lease_count;
    int64_t seen_mod[KEYS_MAX];
    char seen_value[KEYS_MAX][VALUE_MAX];
};

struct watcher {
    struct workload *workload;
    uint32_t number;
    uint64_t id, call; /* id: of the watch that runs; call 0: none */
    int node;
    int64_t next_revision, seen_revision;
    uint64_t heard_ns;
    bool is_created;
};

struct workload {
    struct workload_options options;
    struct history *history;
    struct rng *rng;
    struct client clients[WORKLOAD_CLIENTS_MAX];
    struct watcher watchers[WORKLOAD_WATCHERS_MAX];
    uint64_t operations, watch_count;
    int64_t newest_revision, compacted;
    bool is_finishing;
    struct buf line, packed;
    struct workload_counts counts;
};

/* Makes the next operation of a client. */
void operation_begin(struct client *client);

/* Takes the answer of the operation that the client waits for; false: it cannot be read. */
bool operation_take(struct client *client, struct bytes message);
void client_send(struct client *client, enum operation operation, const ProtobufCMessage *request);

/* Adds the line that is in workload->line to the history. */
void workload_record(struct workload *workload);

void watcher_start(struct watcher *watcher);
bool watcher_has_seen(const struct watcher *watcher, int64_t revision);

#endif
