/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gRPC server on HTTP/2: whole request messages in, response messages and a status out. It knows
 * nothing of etcd: methods come from a table. Codes and texts are those of grpc-go, because clients
 * compare them.
 *
 * A server and its calls belong to one loop's thread. Other threads keep a call's handle and come
 * back by loop_post: a handle of a call that has ended gives NULL.
 */
#ifndef ENGINE_RPC_GRPC_H
#define ENGINE_RPC_GRPC_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/held.h"
#include "base/net/stream.h"
#include "engine/proto/grpc_code.h"

#define GRPC_MESSAGE_BYTES_DEFAULT      (2u * 1024u * 1024u)
#define GRPC_CONCURRENT_STREAMS_DEFAULT UINT32_MAX
#define GRPC_RECEIVE_BYTES_DEFAULT      (32u * 1024u * 1024u)
#define GRPC_RECEIVE_BYTES_SHARE        (1024u * 1024u)
#define GRPC_STREAMS_MAX                6144u
#define GRPC_ABUSES_LOGGED              10u
#define GRPC_CALL_LOW_BYTES             (64u * 1024u)
#define GRPC_PING_MIN_INTERVAL_MS       5000u
#define GRPC_KEEPALIVE_INTERVAL_MS      (2u * 60u * 60u * 1000u)
#define GRPC_KEEPALIVE_TIMEOUT_MS       20000u
#define GRPC_PREFIX_BYTES               5u

enum grpc_kind { GRPC_UNARY, GRPC_SERVER_STREAM, GRPC_CLIENT_STREAM, GRPC_BIDI };

struct grpc_method {
    const char *path; /* "/etcdserverpb.KV/Range" */
    enum grpc_kind kind;
    int id;
    bool is_endless; /* lasts as long as its client wants: nobody waits for its end */
};

struct grpc_server;
struct grpc_call;
struct http2_stream;

/* Why a call ended before it was finished. */
enum grpc_cancel {
    GRPC_CANCEL_RESET,    /* the client gave up on it */
    GRPC_CANCEL_LOST,     /* the connection is gone */
    GRPC_CANCEL_DEADLINE, /* its deadline passed: DeadlineExceeded was sent */
    GRPC_CANCEL_PROTOCOL, /* it broke a rule (message too large, cut short, ...): the status was
                             sent */
};

struct grpc_server_config {
    struct loop *loop;
    void *ctx;
    const struct grpc_method *methods; /* borrowed for the life of the server */
    size_t method_count;
    size_t message_bytes_max; /* of a request; 0: GRPC_MESSAGE_BYTES_DEFAULT */
    size_t receive_bytes_max; /* of unfinished requests, all calls together; beyond it a connection
                                 with more than its share loses the call; 0: default */
    uint32_t max_concurrent_streams; /* per connection; 0: default */
    uint64_t ping_min_interval_ms;   /* 0: GRPC_PING_MIN_INTERVAL_MS */
    bool ping_without_stream;
    uint64_t keepalive_interval_ms; /* 0: GRPC_KEEPALIVE_INTERVAL_MS */
    uint64_t keepalive_timeout_ms;  /* 0: GRPC_KEEPALIVE_TIMEOUT_MS */
    struct held_sum *held;          /* what the counts of connections add up to; NULL: no counts */

    /* False: the connection that held counts for is not read for now. Optional. */
    bool (*may_read)(void *ctx, const struct held *held);

    /*
     * A call has begun (its head is there, no message yet). Optional. For streams whose first word
     * is the server's; may finish the call.
     */
    void (*on_start)(void *ctx, struct grpc_call *call);

    /*
     * A whole request message, borrowed for the call. For unary and server-stream calls exactly one
     * comes, after which on_half_close is not needed (a second message ends the call with
     * Internal).
     */
    void (*on_message)(void *ctx, struct grpc_call *call, struct bytes message);

    /* The client has sent its last message (streams of the client only). Optional. */
    void (*on_half_close)(void *ctx, struct grpc_call *call);

    /* The call ended before grpc_call_finish; it is dead when this returns. Required. */
    void (*on_cancel)(void *ctx, struct grpc_call *call, enum grpc_cancel why);

    /* Pending bytes fell to GRPC_CALL_LOW_BYTES after having been above. Optional. */
    void (*on_drained)(void *ctx, struct grpc_call *call);

    /* A finished call: code as sent, for metrics; the call is dead when this returns. Optional. */
    void (*on_finished)(void *ctx, struct grpc_call *call, enum grpc_code code);
};

/* Readable from any thread. */
struct grpc_stats {
    uint64_t received_bytes; /* of request messages */
    uint64_t sent_bytes;     /* of response messages */
    uint64_t received_messages;
    uint64_t sent_messages;
    uint64_t started_calls;
    uint64_t open_calls;
    uint64_t open_connections;
};

/* Copies config. */
struct grpc_server *grpc_server_new(const struct grpc_server_config *config);

/*
 * Requests over TLS that are not gRPC by their content-type go to take, which hands the stream over
 * (http2_stream_hand_over) or answers it; without, they are answered 415.
 */
void grpc_server_set_other(struct grpc_server *server,
                           void (*take)(void *ctx, struct http2_stream *stream, bool ends_here),
                           void *ctx);

/* Cuts all connections (on_cancel LOST for what is open) and frees. */
void grpc_server_free(struct grpc_server *server);

/* Takes the stream; first are bytes read already. on_closed(closed_ctx) when the connection has
 * ended. */
void grpc_server_adopt(struct grpc_server *server, struct stream *stream, struct bytes first,
                       void (*on_closed)(void *ctx), void *closed_ctx);

/* GOAWAY on all connections; each closes after its last call. */
void grpc_server_drain(struct grpc_server *server);

/* While draining: every client knows, and has all answers that there are. */
bool grpc_server_is_drained(const struct grpc_server *server);

/* Open calls of methods that come to an end by themselves. */
size_t grpc_server_ending_calls(const struct grpc_server *server);
size_t grpc_server_connection_count(const struct grpc_server *server);
void grpc_server_stats(const struct grpc_server *server, struct grpc_stats *out_stats);

/* The call's name for other threads. */
uint64_t grpc_call_handle(const struct grpc_call *call);
struct grpc_call *grpc_call_from_handle(const struct grpc_server *server, uint64_t handle);

struct grpc_server *grpc_call_server(const struct grpc_call *call);
const struct grpc_method *grpc_call_method(const struct grpc_call *call);
void grpc_call_set_user(struct grpc_call *call, void *user);
void *grpc_call_user(const struct grpc_call *call);

/* Counts the answers that the call's connection has not taken; NULL without
 * grpc_server_config.held. Borrowed. */
struct held *grpc_call_held(const struct grpc_call *call);

/* True for calls that came another way than HTTP/2 (grpc_local.h). */
bool grpc_call_is_local(const struct grpc_call *call);

/* Request metadata by lower-case name, NUL-terminated, borrowed; NULL when absent. */
const char *grpc_call_metadata(const struct grpc_call *call, const char *name);

/* "127.0.0.1:51234" and the common name of the client's certificate (NULL: none). */
const char *grpc_call_peer_address(const struct grpc_call *call);
const char *grpc_call_peer_name(const struct grpc_call *call);

/* From grpc-timeout: loop_now_ms value at which it ends; UINT64_MAX when there is none. */
uint64_t grpc_call_deadline_ms(const struct grpc_call *call);

/* loop_clock_ns when the head was there. */
uint64_t grpc_call_started_ns(const struct grpc_call *call);

/* True once the client half-closed. */
bool grpc_call_half_closed(const struct grpc_call *call);

/*
 * Send one response message. grpc_call_send copies. grpc_call_send_buf takes the contents of
 * message (empty afterwards). grpc_call_send_ref borrows until release(ctx), so that one encoding
 * serves many calls; release may come at once. Bounded by the caller: look at
 * grpc_call_pending_bytes.
 */
void grpc_call_send(struct grpc_call *call, struct bytes message);
void grpc_call_send_buf(struct grpc_call *call, struct buf *message);
void grpc_call_send_ref(struct grpc_call *call, struct bytes message, stream_release_fn release,
                        void *ctx);

/*
 * As grpc_call_send_buf; held (NULL: nothing is counted) has counted the bytes already, and counts
 * them until the socket has taken them. Takes one reference of held.
 */
void grpc_call_send_held(struct grpc_call *call, struct buf *message, struct held *held);

/* The same for any number of messages with their prefixes (GRPC_PREFIX_BYTES) in front. Gives how
 * many. */
uint64_t grpc_call_send_framed(struct grpc_call *call, struct buf *messages, struct held *held);

/*
 * One message in parts, so that it need not be in memory at once. To a call over HTTP/2 the whole
 * size is told first, and the parts add up to it. Another (grpc_call_is_local) is told no size:
 * there each part is a message of its own, and their fields together are the answer.
 */
void grpc_call_send_size(struct grpc_call *call, uint32_t message_size);
void grpc_call_send_part(struct grpc_call *call, struct buf *part, struct held *held);

/* Ends a call whose answer cannot be completed: what waits is dropped, the client sees a reset. */
void grpc_call_abort(struct grpc_call *call);

/*
 * Ends the call with a status; what was sent before goes out first. message may be NULL.
 * on_finished follows before this returns and the call is dead then.
 */
void grpc_call_finish(struct grpc_call *call, enum grpc_code code, const char *message);

/* Adds response metadata; before the first send. */
void grpc_call_set_header(struct grpc_call *call, const char *name, const char *value);

/* Response bytes that neither the peer's window nor the socket has taken yet. */
size_t grpc_call_pending_bytes(const struct grpc_call *call);

/* No more on_message until resumed; the client is held by its flow-control window. */
void grpc_call_pause(struct grpc_call *call);
void grpc_call_resume(struct grpc_call *call);

#endif
