/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clients of a chaos run: workers that read and write, watchers that follow everything, and the
 * history that all of them write to (tests/check/README.md). One thread.
 */
#ifndef TESTS_CHAOS_CLIENT_H
#define TESTS_CHAOS_CLIENT_H

#include <stdio.h>

#include "base/rng.h"
#include "tests/chaos/record.h"
#include "tests/chaos/rpc.h"

#define ENDPOINTS_MAX 16
#define WORKERS_MAX   64
#define WATCHERS_MAX  16
#define KEYS_MAX      1000
#define LEASES_MAX    8 /* that one worker remembers */

struct options {
    struct rpc_endpoint endpoints[ENDPOINTS_MAX];
    struct rpc_endpoint watch_endpoints[ENDPOINTS_MAX]; /* where watchers go */
    int endpoint_count, watch_endpoint_count;
    int workers, watchers, keys;
    uint64_t seed;
    double per_second, seconds;
    uint64_t timeout_ns;
    bool compacts;
    const char *path;
};

enum outcome { OUTCOME_OK, OUTCOME_UNKNOWN, OUTCOME_REFUSED, OUTCOME_COUNT };

struct run {
    struct options options;
    FILE *file;
    struct buf line;
    bool is_draining; /* no new operations but the last ones */
    uint64_t counts[OUTCOME_COUNT];
    uint64_t events, resumes, not_sent;
    uint64_t last_write_ns, longest_gap_ns;
    int64_t newest_revision; /* that any answer told */
    int64_t compacted;
};

/* ---- workers ---- */

enum op_kind {
    OP_PUT,
    OP_RANGE,
    OP_DELETE,
    OP_TXN,
    OP_GRANT,
    OP_REVOKE,
    OP_KEEPALIVE,
    OP_TIME_TO_LIVE,
    OP_COMPACT,
};

enum worker_phase { WORKER_MIXED, WORKER_LAST_PUT, WORKER_LAST_READ, WORKER_DONE };

/* One client: one operation at a time, on one connection, which it leaves when it fails. */
struct worker {
    struct run *run;
    unsigned number;
    struct rng rng;
    struct rpc_link link;
    struct rpc_call call;
    int endpoint;
    bool must_drop; /* the connection, outside of its callbacks */
    enum worker_phase phase;
    enum op_kind kind;
    bool is_write;
    uint64_t invoke_ns, due_ns, not_before_ns;
    struct buf request, answer;
    uint64_t member, term;
    int64_t revision;
    uint64_t counter; /* of values and leases */
    int64_t leases[LEASES_MAX];
    unsigned lease_count;
    int64_t seen_mod[KEYS_MAX];
    char seen_value[KEYS_MAX][32];
    int64_t final_revision;
};

void worker_init(struct worker *worker, struct run *run, unsigned number);
void worker_free(struct worker *worker);
/* Starts what may start, gives up what waits too long. */
void worker_move(struct worker *worker, uint64_t now_ns);

/* ---- watchers ---- */

/* Follows everything from revision 1; a new watch each time the old one broke. */
struct watcher {
    struct run *run;
    unsigned number;
    struct rpc_link link;
    struct rpc_call call;
    int endpoint;
    bool must_drop;
    bool is_created;
    uint64_t id;
    int64_t next_revision; /* to resume from */
    int64_t seen_revision; /* everything up to it has come */
    uint64_t heard_ns, asked_ns, not_before_ns;
};

void watcher_init(struct watcher *watcher, struct run *run, unsigned number);
void watcher_free(struct watcher *watcher);
void watcher_move(struct watcher *watcher, uint64_t now_ns);

/* Appends one line (newline added) to the history's file. */
void run_record(struct run *run, const struct buf *line);

#endif
