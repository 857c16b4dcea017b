/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: state, reading, connecting, closing. The write queue is in stream_queue.c, the plain
 * socket transport in stream_plain.c.
 */
#include "base/net/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/net/stream_queue.h"

#define STREAM_READS_PER_TURN 4
#define STREAM_LINGER_MS      2000u
#define STREAM_IOVECS_MAX     64

#define STREAM_FAILURE_TEXT_MAX 256u

enum stream_state {
    STREAM_CONNECTING,
    STREAM_HANDSHAKE,
    STREAM_OPEN,
    STREAM_CLOSING,   /* sends what is queued, then shuts down */
    STREAM_LINGERING, /* has shut down; reads and drops until the other side ends */
    STREAM_CLOSED,
};

struct stream {
    struct loop *loop;
    struct loop_fd watched;
    int fd;
    enum stream_state state;
    struct stream_transport *transport;
    const struct stream_events *events;
    void *ctx;

    struct stream_queue queue;
    size_t low_bytes;
    size_t high_bytes;
    bool was_full; /* on_drained is owed */
    bool blocked;  /* the socket took less than was given: wait for writable */
    bool paused;
    bool muted;     /* hung up while paused: out of the loop, or it would spin */
    bool is_dead;   /* stream_free was called inside a callback */
    uint32_t depth; /* callbacks of ours on the stack */
    struct loop_task flush_task;
    struct loop_task read_task;

    struct loop_timer timer;
    uint64_t idle_timeout_ms;
    uint64_t read_timeout_ms;
    uint64_t deadline_ms; /* 0: none */
    uint64_t last_read_ms;
    uint64_t last_write_ms;

    uint32_t handshake_wants;
    int connect_errno;
    uint64_t received_bytes;
    uint64_t sent_bytes;
    char *server_name; /* owned: of a transport that is gone; NULL: none */
    char address[STREAM_ADDRESS_TEXT_MAX];
};

static void stream_on_fd(void *ctx, uint32_t events);
static void stream_fail(struct stream *stream, int code, const char *text);
static bool stream_read_wants_write(const struct stream *stream);

static void stream_destroy(struct stream *stream)
{
    ASSERT(stream->state == STREAM_CLOSED && stream->depth == 0);
    mem_free(stream->server_name);
    mem_free(stream);
}

/* Around each callback: stream_free inside it must not pull the ground away. */
static void stream_enter(struct stream *stream)
{
    stream->depth++;
}

/* False when the stream is gone. */
static bool stream_leave(struct stream *stream)
{
    stream->depth--;
    if (!stream->is_dead) {
        return true;
    }
    if (stream->depth == 0) {
        stream_destroy(stream);
    }
    return false;
}

static void stream_update_events(struct stream *stream)
{
    if (stream->watched.loop == NULL) {
        return;
    }
    uint32_t events = 0;
    switch (stream->state) {
    case STREAM_CONNECTING:
        events = LOOP_WRITABLE;
        break;
    case STREAM_HANDSHAKE:
        events = stream->handshake_wants;
        break;
    case STREAM_OPEN:
        events = stream->paused ? 0 : LOOP_READABLE;
        if (stream->blocked || stream->was_full ||
            (!stream->paused && stream_read_wants_write(stream))) {
            events |= LOOP_WRITABLE;
        }
        break;
    case STREAM_CLOSING:
        events = stream->blocked ? LOOP_WRITABLE : 0;
        break;
    case STREAM_LINGERING:
        events = LOOP_READABLE;
        break;
    case STREAM_CLOSED:
        return;
    }
    loop_set_events(&stream->watched, events);
}

/* It is asked for when the connection has ended, too. */
static void stream_keep_server_name(struct stream *stream)
{
    const char *name = stream_server_name(stream);
    stream->server_name = *name == '\0' ? NULL : str_dup(name);
}

/* Closes the socket and drops what is queued; no callback. */
static void stream_shut(struct stream *stream)
{
    if (stream->state == STREAM_CLOSED) {
        return;
    }
    stream->state = STREAM_CLOSED;
    loop_remove(&stream->watched);
    loop_task_cancel(&stream->flush_task);
    loop_task_cancel(&stream->read_task);
    loop_timer_cancel(&stream->timer);
    stream_keep_server_name(stream);
    stream->transport->ops->free(stream->transport);
    stream->transport = NULL;
    close(stream->fd);
    stream->fd = -1;
    stream_enter(stream); /* the release functions of queued bytes are callbacks too */
    stream_queue_clear(&stream->queue);
    stream->depth--;
}

static void stream_fail(struct stream *stream, int code, const char *text)
{
    if (stream->state == STREAM_CLOSED) {
        return;
    }
    stream_enter(stream);
    stream_shut(stream);
    if (!stream->is_dead && stream->events->on_close != NULL) {
        stream->events->on_close(stream->ctx, code, text);
    }
    stream_leave(stream);
}

/* Closes with the transport's own words where it has some. */
static void stream_fail_transport(struct stream *stream, int code, const char *text)
{
    const struct stream_transport *transport = stream->transport;
    char reason[STREAM_FAILURE_TEXT_MAX] = "";
    if (transport->ops->failure != NULL) {
        snprintf(reason, sizeof(reason), "%s", transport->ops->failure(transport));
    }
    stream_fail(stream, code, reason[0] == '\0' ? text : reason);
}

static bool stream_has_pending(const struct stream *stream)
{
    return stream->transport->ops->has_pending != NULL &&
           stream->transport->ops->has_pending(stream->transport);
}

/* True when reading goes on as soon as the socket takes bytes. */
static bool stream_read_wants_write(const struct stream *stream)
{
    return stream->transport->ops->read_wants_write != NULL &&
           stream->transport->ops->read_wants_write(stream->transport);
}

void stream_free(struct stream *stream)
{
    if (stream == NULL || stream->is_dead) {
        return;
    }
    stream_shut(stream);
    if (stream->depth > 0) {
        stream->is_dead = true;
        return;
    }
    stream_destroy(stream);
}

static void stream_arm_timer(struct stream *stream)
{
    uint64_t due_ms = UINT64_MAX;
    if (stream->idle_timeout_ms != 0) {
        due_ms = BASE_MAX(stream->last_read_ms, stream->last_write_ms) + stream->idle_timeout_ms;
    }
    if (stream->read_timeout_ms != 0) {
        due_ms = BASE_MIN(due_ms, stream->last_read_ms + stream->read_timeout_ms);
    }
    if (stream->deadline_ms != 0) {
        due_ms = BASE_MIN(due_ms, stream->deadline_ms);
    }
    if (due_ms == UINT64_MAX || stream->state == STREAM_CLOSED) {
        loop_timer_cancel(&stream->timer);
        return;
    }
    uint64_t now_ms = loop_now_ms(stream->loop);
    loop_timer_set(&stream->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void stream_on_timer(void *ctx)
{
    struct stream *stream = ctx;
    uint64_t now_ms = loop_now_ms(stream->loop);
    uint64_t moved_ms = BASE_MAX(stream->last_read_ms, stream->last_write_ms);
    if (stream->deadline_ms != 0 && now_ms >= stream->deadline_ms) {
        stream_fail(stream, E_TIMEOUT, "deadline exceeded");
    } else if (stream->read_timeout_ms != 0 &&
               now_ms >= stream->last_read_ms + stream->read_timeout_ms) {
        stream_fail(stream, E_TIMEOUT, "i/o timeout");
    } else if (stream->idle_timeout_ms != 0 && now_ms >= moved_ms + stream->idle_timeout_ms) {
        stream_fail(stream, E_TIMEOUT, "idle timeout");
    } else {
        stream_arm_timer(stream);
    }
}

/* Gives the socket what is queued; false when the stream was closed by it. */
static bool stream_flush(struct stream *stream)
{
    while (stream->queue.size > 0) {
        struct iovec parts[STREAM_IOVECS_MAX];
        int part_count = stream_queue_peek(&stream->queue, parts, STREAM_IOVECS_MAX);
        size_t offered = 0;
        for (int i = 0; i < part_count; i++) {
            offered += parts[i].iov_len;
        }
        ssize_t written =
            stream->transport->ops->writev(stream->transport, stream->fd, parts, part_count);
        if (written == E_AGAIN) {
            stream->blocked = true;
            break;
        }
        if (written < 0) {
            stream_fail_transport(stream, (int)written, "write failed");
            return false;
        }
        stream->sent_bytes += (uint64_t)written;
        stream->last_write_ms = loop_now_ms(stream->loop);
        stream_enter(stream);
        stream_queue_consume(&stream->queue, (size_t)written);
        if (!stream_leave(stream) || stream->state == STREAM_CLOSED) {
            return false;
        }
        if ((size_t)written < offered) {
            stream->blocked = true;
            break;
        }
        stream->blocked = false;
    }
    if (stream->queue.size == 0) {
        stream->blocked = false;
    }
    return true;
}

static void stream_flush_turn(void *ctx)
{
    struct stream *stream = ctx;
    if (stream->state != STREAM_OPEN && stream->state != STREAM_CLOSING) {
        return; /* flushed when the handshake is done */
    }
    if (!stream_flush(stream)) {
        return;
    }
    if (stream->state == STREAM_CLOSING && stream->queue.size == 0) {
        /* Closing with unread input would reset the connection and lose what was just sent. */
        if (stream->transport->ops->shutdown != NULL) {
            stream->transport->ops->shutdown(stream->transport, stream->fd);
        }
        shutdown(stream->fd, SHUT_WR);
        stream->state = STREAM_LINGERING;
        stream->idle_timeout_ms = 0;
        stream->read_timeout_ms = 0;
        stream->deadline_ms = loop_now_ms(stream->loop) + STREAM_LINGER_MS;
        stream_arm_timer(stream);
    }
    stream_update_events(stream);
}

static void stream_read(struct stream *stream)
{
    for (int round = 0; round < STREAM_READS_PER_TURN; round++) {
        if (stream->state == STREAM_CLOSED || (stream->state == STREAM_OPEN && stream->paused)) {
            return;
        }
        size_t capacity = 0;
        uint8_t *scratch = loop_scratch(stream->loop, &capacity);
        ssize_t got =
            stream->transport->ops->read(stream->transport, stream->fd, scratch, capacity);
        if (got == E_AGAIN) {
            if (stream_read_wants_write(stream)) {
                stream_update_events(stream);
            }
            return;
        }
        if (got == 0) {
            stream_fail(stream, E_CLOSED, "EOF");
            return;
        }
        if (got < 0) {
            stream_fail_transport(stream, (int)got, "read failed");
            return;
        }
        stream->received_bytes += (uint64_t)got;
        stream->last_read_ms = loop_now_ms(stream->loop);
        if (stream->state != STREAM_LINGERING && stream->events->on_data != NULL) {
            stream_enter(stream);
            stream->events->on_data(stream->ctx, bytes_of(scratch, (size_t)got));
            if (!stream_leave(stream)) {
                return;
            }
        }
        if ((size_t)got < capacity && stream->state != STREAM_CLOSED &&
            !stream_has_pending(stream)) {
            return;
        }
    }
    if (stream->state == STREAM_OPEN && stream_has_pending(stream)) {
        loop_task_schedule(&stream->read_task); /* epoll does not know of these bytes */
    }
}

static void stream_read_again(void *ctx)
{
    stream_read(ctx);
}

static void stream_opened(struct stream *stream)
{
    stream->state = STREAM_OPEN;
    stream->last_read_ms = loop_now_ms(stream->loop);
    stream_update_events(stream);
    if (stream->queue.size > 0) {
        loop_task_schedule(&stream->flush_task);
    }
    if (stream_has_pending(stream)) {
        loop_task_schedule(&stream->read_task); /* came together with the end of the handshake */
    }
    if (stream->events->on_open != NULL) {
        stream_enter(stream);
        stream->events->on_open(stream->ctx);
        stream_leave(stream);
    }
}

static void stream_shake_hands(struct stream *stream)
{
    stream->state = STREAM_HANDSHAKE;
    if (stream->transport->ops->handshake != NULL) {
        uint32_t wants = LOOP_READABLE;
        int rc = stream->transport->ops->handshake(stream->transport, stream->fd, &wants);
        if (rc == E_AGAIN) {
            stream->handshake_wants = wants;
            stream_update_events(stream);
            return;
        }
        if (rc != 0) {
            stream_fail_transport(stream, rc, "handshake failed");
            return;
        }
    }
    stream_opened(stream);
}

static void stream_connected(struct stream *stream)
{
    int errnum = stream->connect_errno;
    socklen_t size = sizeof(errnum);
    if (errnum == 0 && getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &errnum, &size) != 0) {
        errnum = errno;
    }
    if (errnum != 0) {
        char text[192];
        snprintf(text, sizeof(text), "connect %s: %s", stream->address, strerrordesc_np(errnum));
        stream_fail(stream, errnum == ECONNREFUSED ? E_REFUSED : E_UNAVAILABLE, text);
        return;
    }
    stream_shake_hands(stream);
}

static void stream_on_open_event(struct stream *stream, uint32_t events)
{
    bool hung_up = stream->paused && (events & LOOP_READABLE) != 0;
    if ((events & LOOP_WRITABLE) != 0) {
        stream->blocked = false;
        if (stream_read_wants_write(stream)) {
            events |= LOOP_READABLE;
        }
        if (!stream_flush(stream)) {
            return;
        }
        if (stream->was_full && stream->queue.size <= stream->low_bytes) {
            stream->was_full = false;
            if (stream->events->on_drained != NULL) {
                stream_enter(stream);
                stream->events->on_drained(stream->ctx);
                if (!stream_leave(stream)) {
                    return;
                }
            }
        }
        stream_update_events(stream);
    }
    if ((events & LOOP_READABLE) != 0 && stream->state == STREAM_OPEN) {
        if (hung_up && stream->paused) {
            loop_remove(&stream->watched);
            stream->muted = true;
            return;
        }
        stream_read(stream);
    }
}

static void stream_on_fd(void *ctx, uint32_t events)
{
    struct stream *stream = ctx;
    stream_enter(stream);
    switch (stream->state) {
    case STREAM_CONNECTING:
        stream_connected(stream);
        break;
    case STREAM_HANDSHAKE:
        stream_shake_hands(stream);
        break;
    case STREAM_OPEN:
        stream_on_open_event(stream, events);
        break;
    case STREAM_CLOSING:
        if ((events & LOOP_WRITABLE) == 0) {
            stream_fail(stream, E_CLOSED, "EOF");
        } else {
            stream->blocked = false;
            stream_flush_turn(stream);
        }
        break;
    case STREAM_LINGERING:
        stream_read(stream);
        break;
    case STREAM_CLOSED:
        break;
    }
    stream_leave(stream);
}

static void stream_describe(struct stream *stream, const struct sockaddr *address)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        snprintf(stream->address, sizeof(stream->address), "%s:%u", host,
                 (unsigned)ntohs(v4->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        snprintf(stream->address, sizeof(stream->address), "[%s]:%u", host,
                 (unsigned)ntohs(v6->sin6_port));
    } else {
        snprintf(stream->address, sizeof(stream->address), "@");
    }
}

static struct stream *stream_make(struct loop *loop, int fd, struct stream_transport *transport,
                                  const struct stream_events *events, void *ctx)
{
    struct stream *stream = mem_zalloc(sizeof(*stream));
    stream->loop = loop;
    stream->fd = fd;
    stream->transport = transport != NULL ? transport : stream_transport_plain();
    stream->events = events;
    stream->ctx = ctx;
    stream_queue_init(&stream->queue);
    stream->low_bytes = STREAM_WRITE_LOW_DEFAULT;
    stream->high_bytes = STREAM_WRITE_HIGH_DEFAULT;
    loop_task_init(loop, &stream->flush_task, stream_flush_turn, stream);
    loop_task_init(loop, &stream->read_task, stream_read_again, stream);
    loop_timer_init(loop, &stream->timer, stream_on_timer, stream);
    stream->last_read_ms = loop_now_ms(loop);
    stream->last_write_ms = stream->last_read_ms;
    int one = 1; /* fails for unix sockets, which need no such option */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return stream;
}

struct stream *stream_adopt(struct loop *loop, int fd, struct stream_transport *transport,
                            const struct stream_events *events, void *ctx)
{
    struct stream *stream = stream_make(loop, fd, transport, events, ctx);
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    getpeername(fd, (struct sockaddr *)&address, &size);
    stream_describe(stream, (const struct sockaddr *)&address);
    bool shake = stream->transport->ops->handshake != NULL;
    stream->state = shake ? STREAM_HANDSHAKE : STREAM_OPEN;
    stream->handshake_wants = LOOP_READABLE;
    int rc = loop_add(loop, &stream->watched, fd, LOOP_READABLE, stream_on_fd, stream);
    ASSERT(rc == 0); /* ENOMEM or a watch limit of the machine, as an allocation that fails */
    return stream;
}

static void stream_connect_failed_later(void *ctx)
{
    struct stream *stream = ctx;
    loop_task_init(stream->loop, &stream->read_task, stream_read_again, stream);
    stream_connected(stream);
}

/* The port is picked with the other end's in view, so that there are as many as without. */
static int stream_bind(int fd, const struct sockaddr *local, socklen_t local_size,
                       const struct sockaddr *address)
{
    int one = 1;
    if (local == NULL || local->sa_family != address->sa_family) {
        return 0;
    }
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    return bind(fd, local, local_size);
}

int stream_connect(struct loop *loop, const struct sockaddr *address, socklen_t address_size,
                   struct stream_transport *transport, const struct stream_events *events,
                   void *ctx, struct stream **out_stream, struct err *err)
{
    return stream_connect_from(loop, NULL, 0, address, address_size, transport, events, ctx,
                               out_stream, err);
}

int stream_connect_from(struct loop *loop, const struct sockaddr *local, socklen_t local_size,
                        const struct sockaddr *address, socklen_t address_size,
                        struct stream_transport *transport, const struct stream_events *events,
                        void *ctx, struct stream **out_stream, struct err *err)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        int errnum = errno;
        if (transport != NULL) {
            transport->ops->free(transport);
        }
        return err_set(err, err_from_errno(errnum), "socket: %s", strerrordesc_np(errnum));
    }
    struct stream *stream = stream_make(loop, fd, transport, events, ctx);
    stream_describe(stream, address);
    stream->state = STREAM_CONNECTING;
    if (stream_bind(fd, local, local_size, address) != 0 ||
        (connect(fd, address, address_size) != 0 && errno != EINPROGRESS)) {
        stream->connect_errno = errno;
        loop_task_init(loop, &stream->read_task, stream_connect_failed_later, stream);
        loop_task_schedule(&stream->read_task);
    } else {
        int rc = loop_add(loop, &stream->watched, fd, LOOP_WRITABLE, stream_on_fd, stream);
        ASSERT(rc == 0);
    }
    *out_stream = stream;
    return 0;
}

void stream_close_when_sent(struct stream *stream)
{
    if (stream->state == STREAM_OPEN) {
        if (stream->muted) {
            stream->muted = false;
            int rc = loop_add(stream->loop, &stream->watched, stream->fd, 0, stream_on_fd, stream);
            ASSERT(rc == 0);
        }
        stream->state = STREAM_CLOSING;
        stream_update_events(stream);
        loop_task_schedule(&stream->flush_task);
    } else if (stream->state == STREAM_CONNECTING || stream->state == STREAM_HANDSHAKE) {
        stream_queue_clear(&stream->queue); /* never connected: nothing can be sent */
        stream->state = STREAM_CLOSING;
        loop_task_schedule(&stream->flush_task);
    }
}

void stream_set_events(struct stream *stream, const struct stream_events *events, void *ctx)
{
    stream->events = events;
    stream->ctx = ctx;
}

static bool stream_accepts_writes(const struct stream *stream)
{
    return stream->state == STREAM_OPEN || stream->state == STREAM_CONNECTING ||
           stream->state == STREAM_HANDSHAKE;
}

static void stream_wrote(struct stream *stream)
{
    if (stream->queue.size > stream->high_bytes && !stream->was_full) {
        stream->was_full = true;
        stream_update_events(stream);
    }
    if (stream->state == STREAM_OPEN && !stream->blocked) {
        loop_task_schedule(&stream->flush_task);
    }
}

void stream_write(struct stream *stream, const void *data, size_t size)
{
    if (stream_accepts_writes(stream) && size > 0) {
        stream_queue_copy(&stream->queue, data, size);
        stream_wrote(stream);
    }
}

void stream_write_take(struct stream *stream, uint8_t *data, size_t size)
{
    stream_write_ref(stream, bytes_of(data, size), mem_free, data);
}

void stream_write_ref(struct stream *stream, struct bytes data, stream_release_fn release,
                      void *ctx)
{
    if (!stream_accepts_writes(stream) || data.size == 0) {
        release(ctx);
        return;
    }
    stream_queue_ref(&stream->queue, data, release, ctx);
    stream_wrote(stream);
}

size_t stream_queued_bytes(const struct stream *stream)
{
    return stream->queue.size;
}

bool stream_is_full(const struct stream *stream)
{
    return stream->was_full;
}

void stream_set_watermarks(struct stream *stream, size_t low_bytes, size_t high_bytes)
{
    ASSERT(low_bytes < high_bytes);
    stream->low_bytes = low_bytes;
    stream->high_bytes = high_bytes;
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
    stream_update_events(stream);
}

void stream_resume(struct stream *stream)
{
    if (!stream->paused) {
        return;
    }
    stream->paused = false;
    stream->last_read_ms = loop_now_ms(stream->loop); /* the silence was ours */
    if (stream->state != STREAM_OPEN) {
        return;
    }
    if (stream->muted) {
        stream->muted = false;
        int rc = loop_add(stream->loop, &stream->watched, stream->fd, LOOP_READABLE, stream_on_fd,
                          stream);
        ASSERT(rc == 0);
    }
    stream_update_events(stream);
    if (stream_has_pending(stream)) {
        loop_task_schedule(&stream->read_task);
    }
}

void stream_set_idle_timeout(struct stream *stream, uint64_t timeout_ms)
{
    stream->idle_timeout_ms = timeout_ms;
    stream_arm_timer(stream);
}

void stream_set_read_timeout(struct stream *stream, uint64_t timeout_ms)
{
    stream->read_timeout_ms = timeout_ms;
    stream->last_read_ms = loop_now_ms(stream->loop);
    stream_arm_timer(stream);
}

void stream_set_deadline(struct stream *stream, uint64_t timeout_ms)
{
    stream->deadline_ms = timeout_ms == 0 ? 0 : loop_now_ms(stream->loop) + timeout_ms;
    stream_arm_timer(stream);
}

struct loop *stream_loop(const struct stream *stream)
{
    return stream->loop;
}

bool stream_is_open(const struct stream *stream)
{
    return stream->state == STREAM_OPEN;
}

uint64_t stream_received_bytes(const struct stream *stream)
{
    return stream->received_bytes;
}

uint64_t stream_sent_bytes(const struct stream *stream)
{
    return stream->sent_bytes;
}

const char *stream_peer_address(const struct stream *stream)
{
    return stream->address;
}

const char *stream_server_name(const struct stream *stream)
{
    const char *name = stream->server_name;
    if (stream->transport != NULL && stream->transport->ops->server_name != NULL) {
        name = stream->transport->ops->server_name(stream->transport);
    }
    return name == NULL ? "" : name;
}

const struct stream_identity *stream_identity(const struct stream *stream)
{
    if (stream->transport == NULL || stream->transport->ops->identity == NULL) {
        return NULL;
    }
    return stream->transport->ops->identity(stream->transport);
}

bool stream_is_plain(const struct stream *stream)
{
    return stream->transport == stream_transport_plain();
}

const char *stream_peer_name(const struct stream *stream)
{
    const struct stream_identity *identity = stream_identity(stream);
    return identity == NULL ? NULL : identity->common_name;
}
