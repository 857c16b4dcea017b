/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of watches that stays: watches are made and cancelled on it one after the other, and
 * what each of them tells is gathered until the operation "stream-sync" asks for it. Parting into
 * answers is a matter of time and is left out; the order within a watch, and which events, is not.
 */
#ifndef TESTS_DIFFERENTIAL_STREAM_H
#define TESTS_DIFFERENTIAL_STREAM_H

#include "tests/chaos/rpc.h"
#include "tests/differential/ops.h"

#define STREAM_WATCHES_MAX 2048 /* ids that the server chooses go up and up */
#define STREAM_IDS         16   /* that are asked for */

struct stream_watch {
    bool is_live, is_split; /* is_split: the last answer was a fragment, more of it follows */
    int64_t mod;            /* of the newest event */
    struct buf text;
};

struct stream {
    struct rpc_call call;
    struct rpc_link *link;
    const struct rpc_endpoint *endpoint;
    struct stream_watch watches[STREAM_WATCHES_MAX];
    /* the operation in flight */
    enum op_kind kind;
    int64_t id, target;
    uint64_t ask_ns;
    bool is_done;
    struct buf *answer;
    char broken[160]; /* what it did that no watch may do; "": nothing */
};

void stream_init(struct stream *stream, struct rpc_link *link, const struct rpc_endpoint *endpoint);
void stream_free(struct stream *stream);

/* Starts an operation; its answer is appended to *answer. revision is the store's. 0, or -1. */
int stream_begin(struct stream *stream, enum op_kind kind, ProtobufCMessage *request,
                 int64_t revision, struct buf *answer);
/* To be called until stream->is_done. */
void stream_move(struct stream *stream, uint64_t now);

#endif
