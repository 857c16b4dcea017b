/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Lock and Election share: a client's call that asks the key space several times and waits for
 * keys to go. Its questions are ordinary requests of the server's own, so they pass the log, the
 * alarms and the quota as a client's would.
 */
#ifndef ENGINE_SERVER_CONTEST_H
#define ENGINE_SERVER_CONTEST_H

#include "engine/server/rpc.h"
#include "v3election.pb-c.h"
#include "v3lock.pb-c.h"

struct contest;

/*
 * The next step: of what was asked, error and answer (a message of the type that was expected;
 * NULL with an error). Borrowed for the call.
 */
typedef void (*contest_fn)(struct contest *contest, enum etcd_error error,
                           const ProtobufCMessage *answer);

/* Owned by server->contests until contest_end; one per call of a client. */
struct contest {
    struct server *server;
    struct request *request;  /* the client's */
    struct request *question; /* that runs; NULL: none */
    contest_fn next;
    contest_fn after;   /* the step behind several questions */
    contest_fn entered; /* the step behind contest_enter */
    const ProtobufCMessageDescriptor *expected;
    struct arena arena; /* of what follows, but for observed_key */
    bool canceled;      /* the client has gone */
    bool creates_key;   /* the question that runs puts key if it is not there */
    bool owns_key;      /* key goes when the client goes */
    struct bytes name;  /* with its slash: the prefix of all keys of the contest */
    struct bytes name_end;
    struct bytes key;
    struct bytes value; /* of an election */
    int64_t lease;
    int64_t revision; /* at which key was created */
    Etcdserverpb__ResponseHeader header;
    struct stream_state *watch;
    size_t unsent_bytes;
    struct buf observed_key; /* of an observer: whose values it is told */
    contest_fn on_event;     /* of watch: one Event, NULL with an error when the watch has ended */
};

/* Takes request. name is copied. */
struct contest *contest_new(struct server *server, struct request *request, struct bytes name);

/* Drops what is left of the call; the contest is gone. */
void contest_end(struct contest *contest);

/* Answers and ends. The header of message must be set. */
void contest_reply(struct contest *contest, const ProtobufCMessage *message);
void contest_fail(struct contest *contest, enum etcd_error error);
void contest_fail_text(struct contest *contest, const char *text);

/* Gives the contest its lease: one of 60 seconds is granted for 0, as etcd does. next gets no
 * answer. */
void contest_take_lease(struct contest *contest, int64_t lease, contest_fn next);

/*
 * The beginning of both: takes the lease, and puts the contest's key with it unless it is there
 * already; next gets the TxnResponse.
 */
void contest_enter(struct contest *contest, int64_t lease, contest_fn next);

/* Sets key to the name with the lease's number behind it. */
void contest_set_key(struct contest *contest);

/* Puts message to run (rpc_txn, rpc_range, rpc_delete_range); next is called with the answer. */
void contest_ask(struct contest *contest, request_fn run, const ProtobufCMessage *message,
                 const ProtobufCMessageDescriptor *expected, contest_fn next);

/* Txn: if key was created at revision (0: is not there) then op, else otherwise (NULL: nothing). */
void contest_ask_if(struct contest *contest, int64_t revision, Etcdserverpb__RequestOp *op,
                    Etcdserverpb__RequestOp *otherwise, contest_fn next);

/* Ops on the contest's own key, with storage given by the caller. */
void contest_put_op(const struct contest *contest, Etcdserverpb__PutRequest *put,
                    Etcdserverpb__RequestOp *op);
void contest_get_op(const struct contest *contest, Etcdserverpb__RangeRequest *get,
                    Etcdserverpb__RequestOp *op);
void contest_delete_op(const struct contest *contest, Etcdserverpb__DeleteRangeRequest *gone,
                       Etcdserverpb__RequestOp *op);

/* The key of the name that was created first. */
void contest_ask_owner(struct contest *contest, contest_fn next);

/* Calls next (with no answer) once no key of the name is older than ours. */
void contest_wait_for_older(struct contest *contest, contest_fn next);

/* Watches from start_revision; range_end empty: one key. One watch at a time. */
void contest_watch(struct contest *contest, struct bytes key, struct bytes range_end,
                   int64_t start_revision, contest_fn on_event);
void contest_watch_end(struct contest *contest);

/* Deletes key if it is of our revision; nobody waits for it. Server's own: goes on after the call.
 */
void contest_release_key(struct contest *contest);

void contest_take_header(struct contest *contest, const Etcdserverpb__ResponseHeader *header);

#endif
