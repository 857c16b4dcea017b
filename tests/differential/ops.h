/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client operations as data: a kind and the bytes of its request. A run is a list of them, so it
 * can be written to a file, cut and replayed.
 */
#ifndef TESTS_DIFFERENTIAL_OPS_H
#define TESTS_DIFFERENTIAL_OPS_H

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>

#include "base/buf.h"

enum op_kind {
    OP_RANGE,
    OP_PUT,
    OP_DELETE,
    OP_TXN,
    OP_COMPACT,
    OP_GRANT,
    OP_REVOKE,
    OP_TIME_TO_LIVE,
    OP_LEASES,
    OP_KEEPALIVE,
    OP_HASH,
    OP_WATCH, /* the request is a WatchCreateRequest; all that it is told until now is the answer */
    OP_AUTH_ENABLE,
    OP_AUTH_DISABLE,
    OP_AUTH_STATUS,
    OP_AUTHENTICATE,
    OP_USER_ADD,
    OP_USER_GET,
    OP_USER_LIST,
    OP_USER_DELETE,
    OP_USER_PASSWORD,
    OP_USER_GRANT,
    OP_USER_REVOKE,
    OP_ROLE_ADD,
    OP_ROLE_GET,
    OP_ROLE_LIST,
    OP_ROLE_DELETE,
    OP_ROLE_GRANT,
    OP_ROLE_REVOKE,
    OP_MEMBER_ADD, /* ids of members are those of world.h, so that an operation fits both sides */
    OP_MEMBER_REMOVE,
    OP_MEMBER_UPDATE,
    OP_MEMBER_PROMOTE,
    OP_MEMBER_LIST,
    OP_MOVE_LEADER,
    OP_ALARM,
    OP_STATUS,
    OP_HEALTH,
    OP_HEALTH_WATCH, /* its first answer */
    OP_HEALTH_LIST,
    OP_STREAM_CREATE, /* on a stream of watches that stays */
    OP_STREAM_CANCEL,
    OP_STREAM_SYNC, /* all that its watches have told since the last one is the answer */
    OP_KIND_COUNT
};

/* Who asks. */
enum op_user {
    USER_NOBODY, /* no token */
    USER_ROOT,
    USER_AL,
    USER_BO,
    USER_CY,
    USER_FORGED, /* a token that nobody was given */
    USER_COUNT
};

struct op {
    enum op_kind kind;
    enum op_user user;
    uint8_t *data;
    size_t size;
};

struct op_rpc {
    const char *name, *path;
    const ProtobufCMessageDescriptor *request, *response;
};

/* Owns its operations. */
struct op_list {
    struct op *ops;
    size_t count, capacity;
};

const struct op_rpc *op_rpc(enum op_kind kind);
/* Gives a list entry with a copy of the message's bytes, asked by nobody. */
struct op *op_list_add(struct op_list *list, enum op_kind kind, const ProtobufCMessage *message);
/* Moves an entry of another list, whose place then holds nothing. */
void op_list_take(struct op_list *list, struct op *op);
bool op_is_of_stream(enum op_kind kind);
void op_list_free(struct op_list *list);
/* One line per operation: the kind's name, @ and who asks, the request in hex. 0, or -1 with errno.
 */
int op_list_save(const struct op_list *list, const char *path);
int op_list_load(struct op_list *list, const char *path);

/* Gives the request (protobuf_c_message_free_unpacked), NULL when the bytes are none. */
ProtobufCMessage *op_request(const struct op *op);

#endif
