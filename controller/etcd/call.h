/* SPDX-License-Identifier: Apache-2.0 */
/* One unary gRPC call to one etcd member, in flight on a struct http. */
#ifndef CONTROLLER_ETCD_CALL_H
#define CONTROLLER_ETCD_CALL_H

#include "base/arena.h"
#include "base/defs.h"
#include "base/err.h"
#include "controller/http/http.h"
#include "engine/proto/codec.h"
#include "engine/proto/grpc_code.h"

#define ETCD_ANSWER_BYTES_MAX (4u * 1024u * 1024u)

/* Where a member listens. All borrowed until the call is freed. */
struct etcd_endpoint {
    const char *url;        /* scheme and authority: "http://demo-0.demo-peers.ns.svc:2379" */
    const char *connect_to; /* address to dial for that name, NULL: resolve it */
    const struct http_tls *tls;
};

struct etcd_call;

/* Starts method ("/etcdserverpb.Maintenance/Status"). Gives the call (etcd_call_free). */
struct etcd_call *etcd_call_start(struct http *http, const struct etcd_endpoint *endpoint,
                                  const char *method, const ProtobufCMessage *request,
                                  uint64_t timeout_ms);

bool etcd_call_done(const struct etcd_call *call);

/*
 * What came of a done call: 0 with the answer unpacked into arena, or E_TIMEOUT, E_UNAVAILABLE,
 * E_NOT_FOUND, E_EXISTS, E_AGAIN (not yet: learner behind, members not started), E_CONFLICT
 * (leadership is elsewhere), E_REFUSED, E_PERMISSION, E_CORRUPT, ... The text names method and
 * member.
 */
BASE_MUST_CHECK int etcd_call_result(const struct etcd_call *call,
                                     const ProtobufCMessageDescriptor *descriptor,
                                     struct arena *arena, ProtobufCMessage **out_answer,
                                     struct err *err);

/* Takes turns until the call is done. */
void etcd_call_wait(struct etcd_call *call);

/* Frees; cancels when it is not done. NULL is allowed. */
void etcd_call_free(struct etcd_call *call);

#endif
