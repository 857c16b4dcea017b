/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests in Kubernetes' protobuf form ("k8s\0" and a runtime.Unknown), which typed clients send
 * for built-in kinds. Fields that are zero are left out, because that form cannot tell them from
 * absent ones.
 */
#ifndef PLAYGROUND_APISERVER_PROTO_H
#define PLAYGROUND_APISERVER_PROTO_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/json.h"

/* The field numbers of one type of types_core.c: "name=number ...". */
struct proto_row {
    const char *name;
    const char *numbers;
};

extern const struct proto_row PROTO_ROWS[];
extern const size_t PROTO_ROW_COUNT;

/* True when the bytes begin as that form does. */
bool proto_is_envelope(struct bytes body);

/* Gives the object, or NULL with a text when it holds what the tables do not know. */
struct json *proto_decode(struct bytes body, struct err *err);

#endif
