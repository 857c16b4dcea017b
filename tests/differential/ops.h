/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client operations as data: a kind and the bytes of its request. A run is a list of them, so it
 * can be written to a file, cut and replayed.
 */
#ifndef TESTS_DIFFERENTIAL_OPS_H
#define TESTS_DIFFERENTIAL_OPS_H

#include <protobuf-c/protobuf-c.h>

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
    OP_KIND_COUNT
};

struct op {
    enum op_kind kind;
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
/* Gives a list entry with a copy of the message's bytes. */
struct op *op_list_add(struct op_list *list, enum op_kind kind, const ProtobufCMessage *message);
void op_list_free(struct op_list *list);
/* One line per operation: the kind's name and the request in hex. 0, or -1 with errno. */
int op_list_save(const struct op_list *list, const char *path);
int op_list_load(struct op_list *list, const char *path);

/* Gives the request (protobuf_c_message_free_unpacked), NULL when the bytes are none. */
ProtobufCMessage *op_request(const struct op *op);

#endif
