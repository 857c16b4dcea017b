/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A non-blocking byte stream (TCP or unix socket) on a loop, with a bounded write queue.
 *
 * Guarantees: all that one turn of the loop writes leaves in one writev; callbacks come on the
 * loop's thread; stream_free is allowed anywhere, also inside the stream's own callbacks, and none
 * comes after it; on_close comes at most once and is the last. TLS is a struct stream_transport
 * behind the same functions: users of a stream cannot tell.
 */
#ifndef BASE_NET_STREAM_H
#define BASE_NET_STREAM_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/bytes.h"
#include "base/net/loop.h"

#define STREAM_WRITE_HIGH_DEFAULT (256u * 1024u)
#define STREAM_WRITE_LOW_DEFAULT  (64u * 1024u)
#define STREAM_ADDRESS_TEXT_MAX   128u

struct stream;
struct stream_transport;

/* What moves the bytes of one stream. Functions never block. */
struct stream_transport_ops {
    /*
     * Goes on with the handshake: 0 done, E_AGAIN with *out_wants (LOOP_*) what to wait for, else
     * the stream is closed with that code. NULL: no handshake.
     */
    int (*handshake)(struct stream_transport *transport, int fd, uint32_t *out_wants);
    /* Bytes read, 0 at the end of input, E_AGAIN, or another E_*. */
    ssize_t (*read)(struct stream_transport *transport, int fd, void *out, size_t size);
    /* Bytes written, E_AGAIN, or another E_*. */
    ssize_t (*writev)(struct stream_transport *transport, int fd, const struct iovec *parts,
                      int part_count);
    /* True while read may give bytes though the socket has none (TLS records). NULL: never. */
    bool (*has_pending)(const struct stream_transport *transport);
    /* True when read said E_AGAIN because it has to write first. NULL: never. */
    bool (*read_wants_write)(const struct stream_transport *transport);
    /* Says that nothing follows, before the socket is shut down; best effort. NULL: nothing to say.
     */
    void (*shutdown)(struct stream_transport *transport, int fd);
    /* Why handshake, read or writev failed, borrowed; "" when there is no more to say. NULL: never.
     */
    const char *(*failure)(const struct stream_transport *transport);
    /* What is known of the other side once hands are shaken. NULL: nothing. */
    const struct stream_identity *(*identity)(const struct stream_transport *transport);
    /* As a server: the name that the other side asks for, also when hands were not shaken; NULL:
     * none. NULL: never. */
    const char *(*server_name)(const struct stream_transport *transport);
    void (*free)(struct stream_transport *transport);
};

struct stream_transport {
    const struct stream_transport_ops *ops;
};

/* What a handshake told of the other side. Owned by the transport. */
struct stream_identity {
    const char *protocol;     /* agreed by ALPN: "h2", "http/1.1"; NULL: none was */
    const char *common_name;  /* of its verified certificate, "" where that has none; NULL: it
                                 showed none */
    const char *const *hosts; /* that its verified certificate is for: names and addresses */
    size_t host_count;
};

/* Makes transports: one per listener or client. server_name is what the certificate must be for. */
struct stream_transport_maker {
    void *ctx;
    struct stream_transport *(*make_server)(void *ctx);
    struct stream_transport *(*make_client)(void *ctx, const char *server_name);
};

/* Any of these may be NULL. */
struct stream_events {
    /* Connected and handshake done; writes were already allowed before. */
    void (*on_open)(void *ctx);
    /* Bytes arrived, borrowed for the call; all of them are the user's now. */
    void (*on_data)(void *ctx, struct bytes data);
    /* The write queue fell to the low watermark after it had passed the high one. */
    void (*on_drained)(void *ctx);
    /*
     * The stream is closed: E_CLOSED the other side ended it, E_TIMEOUT a timer of it, E_REFUSED
     * nobody listens there, E_UNAVAILABLE no connection for another reason, else an error of the
     * socket. text says more. Call stream_free here or
     * later.
     */
    void (*on_close)(void *ctx, int code, const char *text);
};

/* Called when the stream no longer needs the bytes given by stream_write_ref. */
typedef void (*stream_release_fn)(void *ctx);

/* Takes fd, an accepted socket, and transport (NULL: plain). Reading starts with the next turn. */
struct stream *stream_adopt(struct loop *loop, int fd, struct stream_transport *transport,
                            const struct stream_events *events, void *ctx);

/*
 * Starts to connect to address; on_open or on_close tells how it went (never before this returns).
 * Takes transport. Fails only when no socket can be made.
 */
BASE_MUST_CHECK int stream_connect(struct loop *loop, const struct sockaddr *address,
                                   socklen_t address_size, struct stream_transport *transport,
                                   const struct stream_events *events, void *ctx,
                                   struct stream **out_stream, struct err *err);

/* The same from a local address (without a port) of the same family; NULL: any. */
BASE_MUST_CHECK int stream_connect_from(struct loop *loop, const struct sockaddr *local,
                                        socklen_t local_size, const struct sockaddr *address,
                                        socklen_t address_size, struct stream_transport *transport,
                                        const struct stream_events *events, void *ctx,
                                        struct stream **out_stream, struct err *err);

/* Closes at once, unsent bytes are dropped, and frees. NULL is allowed. */
void stream_free(struct stream *stream);

/* Closes as soon as what was written has left (on_close with E_CLOSED); reads nothing any more. */
void stream_close_when_sent(struct stream *stream);

/* Hands the stream to another user. Bytes that the old one was given and did not use go with it by
 * hand. */
void stream_set_events(struct stream *stream, const struct stream_events *events, void *ctx);

/* Queue bytes for sending. After the close they are dropped. */
void stream_write(struct stream *stream, const void *data, size_t size);   /* copies */
void stream_write_take(struct stream *stream, uint8_t *data, size_t size); /* takes (mem_free) */
void stream_write_ref(struct stream *stream, struct bytes data, stream_release_fn release,
                      void *ctx); /* borrows until release(ctx), which also comes at the close */

/* Bytes queued and not yet given to the socket; full once they passed the high watermark. */
size_t stream_queued_bytes(const struct stream *stream);
bool stream_is_full(const struct stream *stream);
void stream_set_watermarks(struct stream *stream, size_t low_bytes, size_t high_bytes);

/* Stops and restarts reading: back-pressure on the other side. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

/* Closes with E_TIMEOUT when no byte moved for so long (0: never); checked when the timer fires. */
void stream_set_idle_timeout(struct stream *stream, uint64_t timeout_ms);
/* As above, but counts only received bytes: for links that must show a sign of life. */
void stream_set_read_timeout(struct stream *stream, uint64_t timeout_ms);
/* Closes with E_TIMEOUT after so long whatever happens (0: takes the deadline away). */
void stream_set_deadline(struct stream *stream, uint64_t timeout_ms);

struct loop *stream_loop(const struct stream *stream);
bool stream_is_open(const struct stream *stream);
uint64_t stream_received_bytes(const struct stream *stream);
uint64_t stream_sent_bytes(const struct stream *stream);

/* "127.0.0.1:51234", "[::1]:51234" or "@" for a unix socket; borrowed, valid until stream_free. */
const char *stream_peer_address(const struct stream *stream);

/* What is known of the other side; NULL for plain streams, and before hands are shaken. Borrowed.
 */
const struct stream_identity *stream_identity(const struct stream *stream);

/* What the other side calls this one in its handshake; "" when it does not, or has not yet. */
const char *stream_server_name(const struct stream *stream);

/* True when nothing encrypts it. */
bool stream_is_plain(const struct stream *stream);
/* The common name of the verified certificate of the other side ("": it has none), or NULL. */
const char *stream_peer_name(const struct stream *stream);

#endif
