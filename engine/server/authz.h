/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what: the one table for all that clients can ask for and all that the log can hold.
 *
 * A call passes the gate before it is dispatched; a right that depends on the newest state is asked
 * when a read is answered, or when a log entry is applied, by the same rules. What has no row is
 * refused, and an answer that no check has let pass is withheld.
 */
#ifndef ENGINE_SERVER_AUTHZ_H
#define ENGINE_SERVER_AUTHZ_H

#include "engine/server/rpc.h"

/* What a call, or an entry, asks of who sends it. */
enum authz_need {
    AUTHZ_MISSING, /* no row */
    AUTHZ_NOTHING,
    AUTHZ_USER, /* anybody with an account */
    AUTHZ_ROOT,
    AUTHZ_FIELDS, /* what the rules of its message say */
    AUTHZ_PARTS   /* it asks other calls on behalf of the client, which are checked */
};

enum authz_when {
    AUTHZ_AT_ONCE,  /* before dispatch */
    AUTHZ_ANSWERED, /* when this member answers from what it holds (authz_answer) */
    AUTHZ_APPLIED   /* by the row of its log entry */
};

struct authz_row {
    enum authz_need need;
    enum authz_when when;
};

extern const struct authz_row AUTHZ_ROWS[RPC_COUNT];

/* What a field of a message asks for. */
enum authz_right {
    RIGHT_NONE,        /* the message names no data */
    RIGHT_PARTS,       /* its messages have rules of their own */
    RIGHT_USER,        /* anybody with an account */
    RIGHT_ROOT,        /* unless the field is 0 */
    RIGHT_READ,        /* the run from field to end */
    RIGHT_WRITE,       /* the same */
    RIGHT_LEASE_READ,  /* the keys attached to the lease */
    RIGHT_LEASE_WRITE, /* the same */
    RIGHT_LEASES_READ, /* the keys of all leases */
    RIGHT_SELF,        /* the user itself, or root */
    RIGHT_OWN_ROLE     /* a role of the user, or root */
};

/* A message may have several; all must hold. */
struct authz_rule {
    const ProtobufCMessageDescriptor *message;
    enum authz_right right;
    const char *field, *end; /* NULL: none */
    const char *only_if;     /* a field that must be true; NULL: always */
};

extern const struct authz_rule AUTHZ_RULES[];
extern const size_t AUTHZ_RULE_COUNT;

/* Entries of the log by their number in InternalRaftRequest. */
struct authz_entry_row {
    uint32_t field;
    enum authz_need need;
};

extern const struct authz_entry_row AUTHZ_ENTRIES[];
extern const size_t AUTHZ_ENTRY_COUNT;

/* Who asks: nobody when !is_known. name is borrowed. */
struct authz {
    struct auth *auth;
    const struct lessor *lessor;
    struct auth_who who;
    bool is_known;
};

/* AUTHZ_USER: ETCD_OK, ETCD_ERR_USER_EMPTY, or ETCD_ERR_PERMISSION_DENIED when there is no such
 * user. */
enum etcd_error authz_user(const struct authz *authz);

/* By the rules of a message and of all messages in it; without a rule: refused. */
enum etcd_error authz_message(const struct authz *authz, const ProtobufCMessage *message);

/* By the row of what an entry holds. */
enum etcd_error authz_entry(const struct authz *authz,
                            const Etcdserverpb__InternalRaftRequest *entry);

/* ---- of the running server; state thread ---- */

/* Before request->run. False: the request was refused, or runs later. */
bool authz_gate(struct server *server, struct request *request);

/* What waits for its token's entry goes on. */
void authz_after_apply(struct server *server);
void authz_call_gone(struct server *server, uint64_t handle);

/*
 * How far the number in a simple token lies before the entry that made it, the same on all members:
 * etcd 3.4 takes the entry's own index, from 3.5 on the one before it.
 */
uint64_t token_lag(const struct server *server);

/* Before an answer from what this member holds. False: the request was refused. */
bool authz_answer(struct server *server, struct request *request);

/* The same for one message of a stream; the error is for the caller to send. */
enum etcd_error authz_check(struct server *server, struct request *request,
                            const ProtobufCMessage *message);

/* Keys that another member has named: READ on each. */
enum etcd_error authz_check_keys(struct server *server, struct request *request,
                                 const ProtobufCBinaryData *keys, size_t count);

/* For the header of a log entry; who->name lives as long as the request. */
enum etcd_error authz_identify(struct server *server, struct request *request,
                               struct auth_who *out_who);

/* An answer leaves: false when its call has not passed (it says so in the log). */
bool authz_may_leave(const struct request *request);

/* asks is one of the server's own that stands for a client's request, which outlives it. Call
 * before it is run. */
void authz_on_behalf(struct request *asks, const struct request *client);

#endif
