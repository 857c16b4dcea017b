/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one side calls otherwise than the other: ids of members, its own addresses, tokens. An
 * operation names them by numbers that both understand; answers are renamed back before they are
 * compared, so an answer that names the wrong member still differs.
 */
#ifndef TESTS_DIFFERENTIAL_WORLD_H
#define TESTS_DIFFERENTIAL_WORLD_H

#include "tests/differential/ops.h"

/* Ids of members in operations and in compared answers; any other number is nobody's. */
enum {
    MEMBER_SELF = 1,
    MEMBER_NEWEST = 2, /* that was added last */
    MEMBER_BEFORE = 3, /* that was added before it: gone by now */
    MEMBER_NOBODY = 77,
};

#define TOKEN_BYTES_MAX 128

struct world {
    uint64_t self, newest, before;
    char tokens[USER_COUNT][TOKEN_BYTES_MAX]; /* "": never logged in */
};

void world_init(struct world *world);
/* The token of that user; NULL: none is sent. */
const char *world_token(const struct world *world, enum op_user user);
/* Puts this side's ids into the request of an operation. */
void world_fill_request(const struct world *world, enum op_kind kind, ProtobufCMessage *request);
/* Learns ids and tokens from an answer, and renames them in it. */
void world_rename_answer(struct world *world, enum op_kind kind, const ProtobufCMessage *request,
                         ProtobufCMessage *response);

#endif
