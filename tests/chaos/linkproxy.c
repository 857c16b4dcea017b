/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands between the members of a chaos run: what member I sends to member J can be delayed,
 * jittered or held, each direction of each pair by itself, on connections of either side's making.
 *
 *   linkproxy --members N --prefix 10.77 --port 2380 --control SOCKET
 *
 * Members listen on PREFIX.0.N and advertise PREFIX.1.N, where the proxy listens; towards J it
 * speaks for I from PREFIX.2.I, so that a packet filter can still tell who is who. The control
 * socket (one line per datagram, sent from a bound socket that gets "ok" or "error"): delay I J MS
 * JITTER_MS     0 as I or J: all of them hold I J | release I J     held bytes stay where they are
 *   clear
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/list.h"
#include "base/net/loop.h"
#include "base/rng.h"

#define MEMBERS_MAX   16
#define QUEUED_MAX    (8u * 1024u * 1024u)
#define READ_BYTES    65536u
#define FORWARDED_MAX 64

struct way {
    uint64_t delay_ms, jitter_ms;
    bool is_held;
};

struct proxy {
    struct loop *loop;
    int member_count;
    const char *prefix;
    uint16_t port;
    struct way ways[MEMBERS_MAX + 1][MEMBERS_MAX + 1];
    struct list pairs;
    struct rng rng;
    struct loop_fd control;
};

/* Bytes that wait for their time; size 0 is the end of the stream. */
struct chunk {
    struct list node;
    uint64_t due_ms;
    size_t size, sent;
    uint8_t data[];
};

struct pair;

/* One direction of a connection: reads from its own end, writes to the other's. */
struct half {
    struct pair *pair;
    int from, to; /* members */
    int fd;       /* read here */
    struct half *other;
    struct loop_fd watched;
    struct loop_timer timer;
    struct list chunks;
    size_t queued;
    uint64_t last_due_ms;
    bool is_ended; /* nothing more comes */
    bool is_sent;  /* and all of it has left */
};

struct pair {
    struct list node;
    struct proxy *proxy;
    struct half dialer, target;
    bool is_dead;
};

struct port {
    struct proxy *proxy;
    int member;
    struct loop_fd watched;
};

static void pair_free(struct pair *pair)
{
    struct half *halves[] = {&pair->dialer, &pair->target};
    list_remove(&pair->node);
    for (int i = 0; i < 2; i++) {
        loop_remove(&halves[i]->watched);
        loop_timer_cancel(&halves[i]->timer);
        LIST_EACH_SAFE(it, &halves[i]->chunks)
        {
            mem_free(LIST_ENTRY(it, struct chunk, node));
        }
        if (halves[i]->fd >= 0) {
            close(halves[i]->fd);
        }
    }
    mem_free(pair);
}

/* What to wait for on this end: bytes to take, and room for what the other half has for it. */
static void half_watch(struct half *half, bool wants_room)
{
    uint32_t events = wants_room ? LOOP_WRITABLE : 0;
    if (half->watched.loop == NULL) {
        return;
    }
    if (half->is_ended && half->other->is_sent) {
        loop_remove(&half->watched); /* both ways are over here: all it could tell is a hang-up */
        return;
    }
    if (!half->is_ended && half->queued < QUEUED_MAX) {
        events |= LOOP_READABLE;
    }
    loop_set_events(&half->watched, events);
}

/* Sends what is due; false when the pair was freed. */
static bool half_flush(struct half *half)
{
    struct proxy *proxy = half->pair->proxy;
    uint64_t now = loop_now_ms(proxy->loop);
    bool wants_room = false;
    while (!list_empty(&half->chunks) && !proxy->ways[half->from][half->to].is_held) {
        struct chunk *chunk = LIST_ENTRY(half->chunks.next, struct chunk, node);
        if (chunk->due_ms > now) {
            loop_timer_set(&half->timer, chunk->due_ms - now);
            break;
        }
        if (chunk->size == 0) {
            shutdown(half->other->fd, SHUT_WR);
            half->is_sent = true;
        } else {
            ssize_t sent = send(half->other->fd, chunk->data + chunk->sent,
                                chunk->size - chunk->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) {
                pair_free(half->pair);
                return false;
            }
            wants_room = sent < 0;
            chunk->sent += sent < 0 ? 0 : (size_t)sent;
            if (wants_room) {
                break;
            }
            if (chunk->sent < chunk->size) {
                continue;
            }
        }
        half->queued -= chunk->size;
        list_remove(&chunk->node);
        mem_free(chunk);
    }
    if (half->is_sent && half->other->is_sent) {
        pair_free(half->pair);
        return false;
    }
    half_watch(half->other, wants_room);
    half_watch(half, (half->watched.events & LOOP_WRITABLE) != 0);
    return true;
}

static void on_timer(void *ctx)
{
    half_flush(ctx);
}

static void half_take(struct half *half, const uint8_t *data, size_t size)
{
    struct proxy *proxy = half->pair->proxy;
    const struct way *way = &proxy->ways[half->from][half->to];
    struct chunk *chunk = mem_alloc(sizeof(*chunk) + size);
    uint64_t jitter = way->jitter_ms == 0 ? 0 : rng_below(&proxy->rng, way->jitter_ms + 1);
    uint64_t due = loop_now_ms(proxy->loop) + way->delay_ms + jitter;
    *chunk = (struct chunk){.size = size};
    if (size > 0) {
        memcpy(chunk->data, data, size);
    }
    /* Bytes of one stream stay in order. */
    chunk->due_ms = due > half->last_due_ms ? due : half->last_due_ms;
    half->last_due_ms = chunk->due_ms;
    half->queued += size;
    half->is_ended = size == 0;
    list_append(&half->chunks, &chunk->node);
}

static void on_ready(void *ctx, uint32_t events)
{
    struct half *half = ctx;
    uint8_t data[READ_BYTES];
    if ((events & LOOP_WRITABLE) != 0 && !half_flush(half->other)) {
        return;
    }
    bool can_take = !half->is_ended && half->queued < QUEUED_MAX;
    ssize_t size = recv(half->fd, data, sizeof(data), MSG_DONTWAIT | (can_take ? 0 : MSG_PEEK));
    if (size < 0 && errno != EAGAIN && errno != EINTR) {
        pair_free(half->pair);
        return;
    }
    if (size < 0 || !can_take) {
        return;
    }
    half_take(half, data, (size_t)size);
    half_flush(half);
}

static struct sockaddr_in address_of(const struct proxy *proxy, int net, int member, uint16_t port)
{
    char text[32];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    snprintf(text, sizeof(text), "%s.%d.%d", proxy->prefix, net, member);
    inet_pton(AF_INET, text, &address.sin_addr);
    return address;
}

/* A connection to a member that comes from the address kept for `from`; -1 when it cannot be. */
static int dial(const struct proxy *proxy, int from, int to)
{
    int one = 1;
    struct sockaddr_in own = address_of(proxy, 2, from, 0);
    struct sockaddr_in target = address_of(proxy, 0, to, proxy->port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&own, sizeof(own)) != 0 ||
        (connect(fd, (const struct sockaddr *)&target, sizeof(target)) != 0 &&
         errno != EINPROGRESS)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int half_init(struct half *half, struct pair *pair, struct half *other, int fd)
{
    half->pair = pair;
    half->other = other;
    half->fd = fd;
    list_init(&half->chunks);
    loop_timer_init(pair->proxy->loop, &half->timer, on_timer, half);
    return loop_add(pair->proxy->loop, &half->watched, fd, LOOP_READABLE, on_ready, half);
}

static void on_accept(void *ctx, uint32_t events)
{
    struct port *port = ctx;
    struct proxy *proxy = port->proxy;
    struct sockaddr_in peer;
    socklen_t size = sizeof(peer);
    int one = 1;
    (void)events;
    int fd =
        accept4(port->watched.fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    int from = (int)(ntohl(peer.sin_addr.s_addr) & 0xff);
    int out = from >= 1 && from <= proxy->member_count ? dial(proxy, from, port->member) : -1;
    if (out < 0) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct pair *pair = mem_zalloc(sizeof(*pair));
    pair->proxy = proxy;
    list_append(&proxy->pairs, &pair->node);
    pair->dialer.from = pair->target.to = from;
    pair->dialer.to = pair->target.from = port->member;
    if (half_init(&pair->dialer, pair, &pair->target, fd) != 0 ||
        half_init(&pair->target, pair, &pair->dialer, out) != 0) {
        fprintf(stderr, "linkproxy: no place for a connection\n");
        exit(1);
    }
}

/* ---- control ---- */

static void flush_all(struct proxy *proxy)
{
    LIST_EACH_SAFE(it, &proxy->pairs)
    {
        struct pair *pair = LIST_ENTRY(it, struct pair, node);
        if (half_flush(&pair->dialer)) {
            half_flush(&pair->target);
        }
    }
}

/* One request; true when it was understood. */
static bool obey(struct proxy *proxy, const char *line)
{
    char what[16];
    int from = 0;
    int to = 0;
    unsigned delay = 0;
    unsigned jitter = 0;
    int words = sscanf(line, "%15s %d %d %u %u", what, &from, &to, &delay, &jitter);
    bool is_delay = words == 5 && str_equal(what, "delay");
    bool is_hold = words == 3 && str_equal(what, "hold");
    bool is_release = words == 3 && str_equal(what, "release");
    if (words == 1 && str_equal(what, "clear")) {
        memset(proxy->ways, 0, sizeof(proxy->ways));
        return true;
    }
    if ((!is_delay && !is_hold && !is_release) || from < 0 || from > proxy->member_count ||
        to < 0 || to > proxy->member_count) {
        return false;
    }
    for (int i = 1; i <= proxy->member_count; i++) {
        for (int j = 1; j <= proxy->member_count; j++) {
            struct way *way = &proxy->ways[i][j];
            if ((from != 0 && from != i) || (to != 0 && to != j)) {
                continue;
            }
            if (is_delay) {
                way->delay_ms = delay;
                way->jitter_ms = jitter;
            } else {
                way->is_held = is_hold;
            }
        }
    }
    return true;
}

static void on_control(void *ctx, uint32_t events)
{
    struct proxy *proxy = ctx;
    char line[256];
    struct sockaddr_un peer;
    socklen_t peer_size = sizeof(peer);
    (void)events;
    ssize_t size = recvfrom(proxy->control.fd, line, sizeof(line) - 1, MSG_DONTWAIT,
                            (struct sockaddr *)&peer, &peer_size);
    if (size < 0) {
        return;
    }
    line[size] = '\0';
    const char *answer = obey(proxy, line) ? "ok" : "error";
    flush_all(proxy);
    (void)!sendto(proxy->control.fd, answer, strlen(answer), MSG_DONTWAIT,
                  (const struct sockaddr *)&peer, peer_size);
}

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "linkproxy: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static void open_control(struct proxy *proxy, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    need(strlen(path) < sizeof(address.sun_path), path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    need(fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0, path);
    need(loop_add(proxy->loop, &proxy->control, fd, LOOP_READABLE, on_control, proxy) == 0, path);
}

static void open_port(struct proxy *proxy, struct port *port, int member)
{
    int one = 1;
    struct sockaddr_in address = address_of(proxy, 1, member, proxy->port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    need(fd >= 0, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    need(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
             listen(fd, FORWARDED_MAX) == 0,
         "listen");
    *port = (struct port){.proxy = proxy, .member = member};
    need(loop_add(proxy->loop, &port->watched, fd, LOOP_READABLE, on_accept, port) == 0, "listen");
}

int main(int argc, char **argv)
{
    static struct proxy proxy;
    static struct port ports[MEMBERS_MAX + 1];
    const char *control = NULL;
    struct err err = {0};
    for (int i = 1; i + 1 < argc; i += 2) {
        long number = strtol(argv[i + 1], NULL, 10);
        if (str_equal(argv[i], "--members") && number > 0 && number <= MEMBERS_MAX) {
            proxy.member_count = (int)number;
        } else if (str_equal(argv[i], "--prefix")) {
            proxy.prefix = argv[i + 1];
        } else if (str_equal(argv[i], "--port") && number > 0 && number < 65536) {
            proxy.port = (uint16_t)number;
        } else if (str_equal(argv[i], "--control")) {
            control = argv[i + 1];
        }
    }
    if (proxy.member_count == 0 || proxy.prefix == NULL || proxy.port == 0 || control == NULL) {
        fprintf(stderr, "usage: linkproxy --members N --prefix A.B --port P --control SOCKET\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    rng_seed(&proxy.rng, 1);
    list_init(&proxy.pairs);
    if (loop_new(&proxy.loop, &err) != 0) {
        fprintf(stderr, "linkproxy: no event loop\n");
        return 1;
    }
    for (int i = 1; i <= proxy.member_count; i++) {
        open_port(&proxy, &ports[i], i);
    }
    open_control(&proxy, control);
    loop_run(proxy.loop);
    return 0;
}
