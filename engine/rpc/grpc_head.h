/* SPDX-License-Identifier: Apache-2.0 */
/* The heads and the ends of calls as they stand on the wire. Used by grpc.c alone. */
#ifndef ENGINE_RPC_GRPC_HEAD_H
#define ENGINE_RPC_GRPC_HEAD_H

#include "base/map.h"
#include "engine/proto/grpc_code.h"
#include "engine/rpc/http2.h"

#define GRPC_CONTENT_TYPE       "application/grpc"
#define GRPC_STATUS_MESSAGE_MAX 4096u

/* A header of two texts, borrowed. */
struct http2_header grpc_header(const char *name, const char *value);

/*
 * Writes grpc-status and, when there is a message, grpc-message into out (room for two); text is
 * room for their values. Gives the number of headers.
 */
size_t grpc_status_headers(enum grpc_code code, const char *message, struct http2_header *out,
                           char *text, size_t text_size);

/* True when the content-type is that of gRPC. */
bool grpc_head_is_grpc(const struct http2_stream *stream);

/*
 * Checks what any call must have; *out_timeout_ms from grpc-timeout, UINT64_MAX without. False when
 * the stream has been answered already.
 */
bool grpc_head_check(struct http2_stream *stream, uint64_t *out_timeout_ms);

/* Answers Unimplemented in grpc-go's words; services has the known names as keys. */
void grpc_reject_unknown(const struct map *services, struct http2_stream *stream);

#endif
