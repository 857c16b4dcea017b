/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening, and telling HTTP/2 from HTTP/1.1 by the first bytes. As soon as a byte differs from
 * the client preface it is HTTP/1.1; a connection that says nothing for too long is closed.
 */
#include "engine/rpc/port.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"

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
    struct list sniffing;
    size_t open_count; /* connections of its listeners, sniffed or handed over */
    bool is_freed;     /* goes with the last connection */
};

/* A connection of the port: sniffed first, then only remembered until it ends. */
struct port_conn {
    struct list node; /* in port->sniffing, or alone */
    struct port_listener *from;
    struct stream *stream;
    size_t seen_size;
    uint8_t seen[PREFACE_SIZE];
};

static void conn_ended(void *ctx)
{
    struct port_conn *conn = ctx;
    struct port *port = conn->from->port;
    list_remove(&conn->node);
    if (conn->from->listener != NULL) {
        listener_release(conn->from->listener);
    }
    mem_free(conn);
    port->open_count--;
    if (port->is_freed && port->open_count == 0) {
        mem_free(port);
    }
}

static void conn_close(struct port_conn *conn)
{
    stream_free(conn->stream);
    conn_ended(conn);
}

static void conn_on_close(void *ctx, int code, const char *text)
{
    (void)code;
    (void)text;
    conn_close(ctx);
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
    } else if (is_http2 && port->config.grpc != NULL) {
        list_remove(&conn->node);
        stream_set_deadline(conn->stream, 0);
        grpc_server_adopt(port->config.grpc, conn->stream, buf_bytes(&first), conn_ended, conn);
    } else if (!is_http2 && port->config.http != NULL) {
        list_remove(&conn->node);
        stream_set_deadline(conn->stream, 0);
        http1_server_adopt(port->config.http, conn->stream, buf_bytes(&first), conn_ended, conn);
    } else {
        conn_close(conn);
    }
    buf_free(&first);
}

static const struct stream_events SNIFF_EVENTS = {
    .on_data = conn_on_data,
    .on_close = conn_on_close,
};

static void port_on_accept(void *ctx, int fd)
{
    struct port_listener *from = ctx;
    struct port *port = from->port;
    const struct stream_transport_maker *tls = port->config.tls;
    struct port_conn *conn = mem_zalloc(sizeof(*conn));
    conn->from = from;
    list_append(&port->sniffing, &conn->node);
    port->open_count++;
    struct stream_transport *transport = from->is_tls ? tls->make_server(tls->ctx) : NULL;
    conn->stream = stream_adopt(port->config.loop, fd, transport, &SNIFF_EVENTS, conn);
    stream_set_deadline(conn->stream, PORT_SNIFF_DEADLINE_MS);
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
    *out_port = port;
    return 0;
}

void port_stop_listening(struct port *port)
{
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
        mem_free(port);
    } else {
        port->is_freed = true;
    }
}

uint16_t port_number(const struct port *port, size_t index)
{
    ASSERT(index < port->listener_count);
    return port->numbers[index];
}
