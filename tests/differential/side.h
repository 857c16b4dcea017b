/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One of the two servers: a connection, the operation in flight, and a watch over everything from
 * the start on. Answers and events come out as text (print.h).
 */
#ifndef TESTS_DIFFERENTIAL_SIDE_H
#define TESTS_DIFFERENTIAL_SIDE_H

#include "tests/chaos/rpc.h"
#include "tests/differential/ops.h"
#include "tests/differential/stream.h"
#include "tests/differential/world.h"

struct side {
    const char *name;
    struct rpc_endpoint endpoint;
    struct rpc_link link;

    /* the operation in flight */
    struct rpc_call call;
    const struct op *op;
    ProtobufCMessage *request; /* of op, with this side's ids; owned */
    bool is_done;
    int status;
    struct buf answer, error;
    uint32_t message_count;
    bool is_watch_created, is_watch_over;
    int64_t watch_start, watch_target;
    uint64_t watch_ask_ns;
    int64_t watch_mod; /* of the newest event */

    struct world world;
    struct stream stream;
    int64_t revision;  /* of the newest header of an operation */
    int64_t compacted; /* by the newest successful compaction */

    /* the watch over everything */
    struct rpc_call all;
    bool is_all_created;
    struct buf events; /* lines that nobody took yet */
    int64_t events_mod;
    char broken[160]; /* what the stream did that no watch may do; "": nothing */
};

void side_init(struct side *side, const char *name, const struct rpc_endpoint *endpoint);
void side_free(struct side *side);

/* Starts the watch over everything on both. 0, or -1 when one does not answer. */
int sides_open(struct side *sides);

/*
 * Runs op on both at once; *out_request must stay until the next one. Afterwards answer holds
 * "CODE TEXT {...}" of each. 0, or -1 when one gave none in time (its text says so).
 */
int sides_run(struct side *sides, const struct op *op);

/* Waits until both watches have told everything up to the newest revision. 0, or -1. */
int sides_settle(struct side *sides);

#endif
