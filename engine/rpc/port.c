/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening, handshakes, and telling HTTP/2 from HTTP/1.1 by the first bytes. As soon as a byte
 * differs from the client preface it is HTTP/1.1; a connection that says nothing for too long is
 * closed.
 */
#include "engine/rpc/port.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"
#include "engine/rpc/http2_bridge.h"

#define PREFACE      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_SIZE (sizeof(PREFACE) - 1)

struct port_listener {
    struct port *port;
    struct listener *listener; /* NULL when it was closed */
    bool is_tls;
};

struct port {
    struct port_config config;
    struct port_listener listeners[PORT_URLS_MAX];
    size_t listener_count;
    uint16_t numbers[PORT_URLS_MAX];
    struct http2_bridge *bridge; /* NULL: no plain HTTP over HTTP/2 here */
    struct list sniffing;        /* in the order of their coming */
    size_t sniffing_count;
    struct loop_timer crowd_timer; /* runs while nothing is accepted because of a crowd */
    uint64_t refusals_second;      /* which second refusals_logged is of */
    uint32_t refusals_logged;
    size_t open_count; /* connections of its listeners, sniffed or handed over */
    bool is_freed;     /* goes with the last connection */
};

/* A connection of the port: sniffed first, then only remembered until it ends. */
struct port_conn {
    struct list node; /* in port->sniffing, or alone */
    struct port_listener *from;
    struct stream *stream; /* owns fd */
    int fd;
    bool is_sniffed; /* in port->sniffing */
    bool is_open;    /* hands are shaken */
    uint64_t came_ms;
    struct resolve_query *owner_query; /* runs: nothing is read meanwhile */
    size_t seen_size;
    uint8_t seen[PREFACE_SIZE];
};

static void port_destroy(struct port *port)
{
    http2_bridge_free(port->bridge);
    mem_free(port);
}

static void port_crowd_resume(struct port *port)
{
    if (!loop_timer_is_set(&port->crowd_timer) || port->sniffing_count >= PORT_CROWD_MAX) {
        return;
    }
    loop_timer_cancel(&port->crowd_timer);
    for (size_t i = 0; i < port->listener_count; i++) {
        if (port->listeners[i].listener != NULL) {
            listener_resume(port->listeners[i].listener);
        }
    }
}

/* No longer the port's to watch over. */
static void conn_leave_sniffing(struct port_conn *conn)
{
    if (!conn->is_sniffed) {
        return;
    }
    conn->is_sniffed = false;
    list_remove(&conn->node);
    conn->from->port->sniffing_count--;
    port_crowd_resume(conn->from->port);
}

static void conn_ended(void *ctx)
{
    struct port_conn *conn = ctx;
    struct port *port = conn->from->port;
    conn_leave_sniffing(conn);
    if (conn->owner_query != NULL) {
        resolve_cancel(conn->owner_query);
    }
    if (conn->from->listener != NULL) {
        listener_release(conn->from->listener);
    }
    mem_free(conn);
    port->open_count--;
    if (port->is_freed && port->open_count == 0) {
        port_destroy(port);
    }
}

static void conn_close(struct port_conn *conn)
{
    stream_free(conn->stream);
    conn_ended(conn);
}

/* etcd's words; not more of them than a log can bear. */
static void conn_log_refusal(struct port_conn *conn, const char *reason)
{
    struct port *port = conn->from->port;
    uint64_t second = loop_now_ms(port->config.loop) / 1000;
    if (second != port->refusals_second) {
        port->refusals_second = second;
        port->refusals_logged = 0;
    }
    if (port->refusals_logged++ >= PORT_REFUSALS_LOGGED) {
        return;
    }
    char text[64];
    snprintf(text, sizeof(text), "rejected connection on %s endpoint",
             port->config.name == NULL ? "this" : port->config.name);
    LOG_WARN(text, LOG_STR("remote-addr", stream_peer_address(conn->stream)),
             LOG_STR("server-name", stream_server_name(conn->stream)), LOG_STR("error", reason));
}

static void conn_on_close(void *ctx, int code, const char *text)
{
    struct port_conn *conn = ctx;
    (void)code;
    if (conn->from->is_tls && !conn->is_open) {
        conn_log_refusal(conn, text);
    }
    conn_close(conn);
}

static void conn_on_owner(void *ctx, const struct resolve_result *result)
{
    struct port_conn *conn = ctx;
    conn->owner_query = NULL;
    if (result->code != 0) {
        conn_log_refusal(conn, result->text);
        conn_close(conn);
        return;
    }
    stream_resume(conn->stream);
}

static void conn_on_open(void *ctx)
{
    struct port_conn *conn = ctx;
    const struct port_config *config = &conn->from->port->config;
    const struct stream_identity *identity = stream_identity(conn->stream);
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    conn->is_open = true;
    if (!config->check_client_hosts || identity == NULL || identity->host_count == 0) {
        return;
    }
    if (getpeername(conn->fd, (struct sockaddr *)&address, &size) != 0 ||
        address.ss_family == AF_UNIX) {
        return; /* a connection of this machine, or one that is gone */
    }
    stream_pause(conn->stream);
    conn->owner_query =
        resolve_owner_start(config->resolver, config->loop, (const struct sockaddr *)&address, size,
                            identity->hosts, identity->host_count, conn_on_owner, conn);
}

/* Over TLS the preface alone is not enough: HTTP/2 must have been agreed. */
static bool conn_may_speak_http2(const struct port_conn *conn)
{
    const struct stream_identity *identity = stream_identity(conn->stream);
    return identity == NULL ||
           (identity->protocol != NULL && strcmp(identity->protocol, "h2") == 0);
}

static void conn_on_data(void *ctx, struct bytes data)
{
    struct port_conn *conn = ctx;
    struct port *port = conn->from->port;
    struct buf first;
    buf_init(&first, BUF_NO_LIMIT);
    buf_append(&first, conn->seen, conn->seen_size);
    buf_append(&first, data.data, data.size);
    size_t compared = BASE_MIN(first.size, PREFACE_SIZE);
    bool is_http2 = memcmp(first.data, PREFACE, compared) == 0;
    if (is_http2 && compared < PREFACE_SIZE) {
        memcpy(conn->seen, first.data, first.size);
        conn->seen_size = first.size;
    } else if (is_http2 && port->config.grpc != NULL && conn_may_speak_http2(conn)) {
        conn_leave_sniffing(conn);
        stream_set_deadline(conn->stream, 0);
        grpc_server_adopt(port->config.grpc, conn->stream, buf_bytes(&first), conn_ended, conn);
    } else if (!is_http2 && port->config.http != NULL) {
        conn_leave_sniffing(conn);
        stream_set_deadline(conn->stream, 0);
        http1_server_adopt(port->config.http, conn->stream, buf_bytes(&first), conn_ended, conn);
    } else {
        conn_close(conn);
    }
    buf_free(&first);
}

static const struct stream_events SNIFF_EVENTS = {
    .on_open = conn_on_open,
    .on_data = conn_on_data,
    .on_close = conn_on_close,
};

/* Who has had time enough makes room. */
static void port_on_crowd(void *ctx)
{
    struct port *port = ctx;
    uint64_t now_ms = loop_now_ms(port->config.loop);
    loop_timer_set(&port->crowd_timer, PORT_CROWD_DEADLINE_MS / 4);
    while (!list_empty(&port->sniffing)) {
        struct port_conn *oldest = LIST_ENTRY(port->sniffing.next, struct port_conn, node);
        if (oldest->came_ms + PORT_CROWD_DEADLINE_MS > now_ms) {
            break;
        }
        conn_close(oldest);
    }
}

static void port_crowd_check(struct port *port)
{
    if (port->sniffing_count < PORT_CROWD_MAX || loop_timer_is_set(&port->crowd_timer)) {
        return;
    }
    for (size_t i = 0; i < port->listener_count; i++) {
        if (port->listeners[i].listener != NULL) {
            listener_pause(port->listeners[i].listener);
        }
    }
    loop_timer_set(&port->crowd_timer, PORT_CROWD_DEADLINE_MS / 4);
}

static void port_on_accept(void *ctx, int fd)
{
    struct port_listener *from = ctx;
    struct port *port = from->port;
    const struct stream_transport_maker *tls = port->config.tls;
    struct port_conn *conn = mem_zalloc(sizeof(*conn));
    conn->from = from;
    conn->fd = fd;
    conn->came_ms = loop_now_ms(port->config.loop);
    conn->is_sniffed = true;
    list_append(&port->sniffing, &conn->node);
    port->sniffing_count++;
    port->open_count++;
    struct stream_transport *transport = from->is_tls ? tls->make_server(tls->ctx) : NULL;
    conn->stream = stream_adopt(port->config.loop, fd, transport, &SNIFF_EVENTS, conn);
    stream_set_deadline(conn->stream, PORT_SNIFF_DEADLINE_MS);
    port_crowd_check(port);
}

int port_open(const struct port_config *config, struct port **out_port, struct err *err)
{
    if (config->url_count == 0 || config->url_count > PORT_URLS_MAX) {
        return err_set(err, E_INVALID, "a port needs 1 to %u URLs", PORT_URLS_MAX);
    }
    struct port *port = mem_zalloc(sizeof(*port));
    port->config = *config;
    port->config.urls = NULL;
    list_init(&port->sniffing);
    loop_timer_init(config->loop, &port->crowd_timer, port_on_crowd, port);
    for (size_t i = 0; i < config->url_count; i++) {
        struct port_listener *one = &port->listeners[i];
        one->port = port;
        one->is_tls = url_is_tls(&config->urls[i]);
        struct listener_config listen_config = {
            .loop = config->loop,
            .url = &config->urls[i],
            .connections_max = config->connections_max,
            .reuse_port = config->reuse_port,
            .accept = port_on_accept,
            .ctx = one,
        };
        int rc = one->is_tls && config->tls == NULL
                     ? err_set(err, E_UNSUPPORTED, "no certificate is given for %s",
                               config->urls[i].text)
                     : listener_open(&listen_config, &one->listener, err);
        if (rc != 0) {
            port_free(port);
            return rc;
        }
        port->numbers[i] = listener_port(one->listener);
        port->listener_count++;
    }
    if (config->tls != NULL && config->grpc != NULL && config->http != NULL) {
        port->bridge = http2_bridge_new(config->loop, config->grpc, config->http);
    }
    *out_port = port;
    return 0;
}

void port_stop_listening(struct port *port)
{
    loop_timer_cancel(&port->crowd_timer);
    for (size_t i = 0; i < port->listener_count; i++) {
        listener_free(port->listeners[i].listener);
        port->listeners[i].listener = NULL;
    }
}

void port_free(struct port *port)
{
    if (port == NULL) {
        return;
    }
    port_stop_listening(port);
    while (!list_empty(&port->sniffing)) {
        conn_close(LIST_ENTRY(port->sniffing.next, struct port_conn, node));
    }
    if (port->open_count == 0) {
        port_destroy(port);
    } else {
        port->is_freed = true;
    }
}

uint16_t port_number(const struct port *port, size_t index)
{
    ASSERT(index < port->listener_count);
    return port->numbers[index];
}
