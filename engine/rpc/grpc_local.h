/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that come another way than HTTP/2: the JSON gateway's. To the server's callbacks they are
 * calls as any other, so that all that is checked in front of a method is checked for them too.
 * All on the loop's thread.
 */
#ifndef ENGINE_RPC_GRPC_LOCAL_H
#define ENGINE_RPC_GRPC_LOCAL_H

#include "engine/rpc/grpc.h"

/* What the call's other end does; ctx is given to grpc_local_open. */
struct grpc_local {
    const char *(*metadata)(void *ctx, const char *name);
    const char *(*peer_address)(void *ctx);
    void (*on_message)(void *ctx, struct bytes message); /* one response, borrowed */
    void (*on_part)(void *ctx, struct bytes part); /* a response whose fields come in several */
    void (*on_abort)(void *ctx); /* as on_status, of an answer that cannot be completed */
    /* The call has ended and must not be touched any more. */
    void (*on_status)(void *ctx, enum grpc_code code, const char *message);
    void (*on_resume)(void *ctx);             /* it takes messages again */
    size_t (*pending_bytes)(const void *ctx); /* responses that wait; then grpc_local_drained */
};

/* The method of a path, NULL: it is not served. */
const struct grpc_method *grpc_server_method(const struct grpc_server *server, const char *path);

/*
 * Opens a call; local is borrowed for its life. Gives its handle (grpc_call_from_handle): it may
 * have ended already.
 */
uint64_t grpc_local_open(struct grpc_server *server, const struct grpc_method *method,
                         const struct grpc_local *local, void *ctx);

/* One more request message; not while it is paused. The call may be gone when this returns. */
void grpc_local_feed(struct grpc_call *call, struct bytes message);
bool grpc_local_is_paused(const struct grpc_call *call);

/* The client has said its last word. Not while it is paused. */
void grpc_local_half_close(struct grpc_call *call);

/* What waited has been taken. */
void grpc_local_drained(struct grpc_call *call);

/* The client has gone; on_status does not follow. */
void grpc_local_abort(struct grpc_call *call);

#endif
