/* SPDX-License-Identifier: Apache-2.0 */
/* What gRPC puts around a message, and how its outcome reads. Pure. */
#ifndef CONTROLLER_ETCD_FRAME_H
#define CONTROLLER_ETCD_FRAME_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "engine/proto/grpc_code.h"

#define ETCD_FRAME_HEAD_BYTES 5u

/* Appends the five bytes that precede a message of size bytes. */
void etcd_frame_head(size_t size, struct buf *out);

/*
 * Gives the one message in a unary answer; *out_message borrows body. E_TRUNCATED when bytes are
 * missing, E_CORRUPT when there is more than one message, E_UNSUPPORTED when it is compressed.
 */
BASE_MUST_CHECK int etcd_frame_parse(struct bytes body, struct bytes *out_message, struct err *err);

/*
 * Reads the trailers grpc-status and grpc-message (percent-encoded; may be NULL). Returns 0 for
 * status 0, else the E_* code that fits, with the message in err; E_CORRUPT when status is NULL or
 * no number. *out_code is set unless E_CORRUPT is returned for that.
 */
int etcd_trailers_parse(const char *status, const char *message, enum grpc_code *out_code,
                        struct err *err);

#endif
