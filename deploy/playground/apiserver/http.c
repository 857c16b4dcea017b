/* SPDX-License-Identifier: Apache-2.0 */
/* Connections, their threads, and the HTTP/1.1 messages on them. */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <http_parser.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/log.h"

#define READ_BYTES     (64u * 1024u)
#define LISTEN_BACKLOG 256
#define SEND_TIMEOUT_S 30
#define SSL_WRITE_MAX  (1024u * 1024u)
#define TLS_HELLO      0x16

struct http_server {
    int fd;
    uint16_t port;
    SSL_CTX *tls;
    http_handler_fn handler;
    void *ctx;
    pthread_t acceptor;
    pthread_mutex_t lock;
    pthread_cond_t all_gone;
    struct list connections;
    size_t connection_count;
    atomic_bool is_stopping;
};

struct http_connection {
    struct list link;
    struct http_server *server;
    int fd;
    SSL *ssl; /* NULL: plain text */
    bool is_broken;
    bool is_cut;
    bool keep_alive;
    struct buf extra; /* header lines for the next answer */
    /* the message that is being read */
    struct http_request request;
    struct buf url;
    struct buf header_name;
    struct buf header_value;
    bool in_value;
    bool is_complete;
};

static void request_clear(struct http_request *request)
{
    mem_free(request->method);
    mem_free(request->path);
    mem_free(request->query);
    for (size_t i = 0; i < request->header_count; i++) {
        mem_free(request->headers[i].name);
        mem_free(request->headers[i].value);
    }
    buf_free(&request->body);
    memset(request, 0, sizeof(*request));
    buf_init(&request->body, HTTP_BODY_BYTES_MAX);
}

const char *http_header(const struct http_request *request, const char *name, const char *fallback)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0) {
            return request->headers[i].value;
        }
    }
    return fallback;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *http_decode(const char *text, size_t size, bool is_query)
{
    char *out = str_from(text, size);
    char *to = out;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '%' && i + 2 < size && hex_digit(text[i + 1]) >= 0 &&
            hex_digit(text[i + 2]) >= 0) {
            *to++ = (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
            i += 2;
        } else {
            *to++ = text[i] == '+' && is_query ? ' ' : text[i];
        }
    }
    *to = '\0';
    return out;
}

char *http_query(const struct http_request *request, const char *name)
{
    const char *at = request->query;
    size_t name_size = strlen(name);
    while (*at != '\0') {
        size_t size = strcspn(at, "&");
        const char *equals = memchr(at, '=', size);
        size_t key_size = equals == NULL ? size : (size_t)(equals - at);
        if (key_size == name_size && memcmp(at, name, name_size) == 0) {
            return equals == NULL ? str_dup("")
                                  : http_decode(equals + 1, size - key_size - 1, true);
        }
        at += size;
        at += *at == '&' ? 1 : 0;
    }
    return NULL;
}

/* Sends some bytes: how many, or what is not positive on failure. */
static ssize_t send_some(struct http_connection *connection, const uint8_t *data, size_t size)
{
    if (connection->ssl != NULL) {
        return SSL_write(connection->ssl, data, (int)BASE_MIN(size, SSL_WRITE_MAX));
    }
    return send(connection->fd, data, size, MSG_NOSIGNAL);
}

static ssize_t receive_some(struct http_connection *connection, uint8_t *data, size_t size)
{
    if (connection->ssl != NULL) {
        return SSL_read(connection->ssl, data, (int)size);
    }
    return recv(connection->fd, data, size, 0);
}

static bool send_all(struct http_connection *connection, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0 && !connection->is_broken) {
        ssize_t done = send_some(connection, at, size);
        if (done < 0 && errno == EINTR && connection->ssl == NULL) {
            continue;
        }
        if (done <= 0) {
            connection->is_broken = true;
            break;
        }
        at += done;
        size -= (size_t)done;
    }
    return !connection->is_broken;
}

static void header_finish(struct http_connection *connection)
{
    struct http_request *request = &connection->request;
    if (connection->header_name.size > 0 && request->header_count < HTTP_HEADERS_MAX) {
        struct http_header *header = &request->headers[request->header_count++];
        header->name = str_dup(buf_cstr(&connection->header_name));
        header->value = str_dup(buf_cstr(&connection->header_value));
    }
    buf_clear(&connection->header_name);
    buf_clear(&connection->header_value);
    connection->in_value = false;
}

static int on_url(http_parser *parser, const char *at, size_t size)
{
    struct http_connection *connection = parser->data;
    return buf_append(&connection->url, at, size) == 0 ? 0 : 1;
}

static int on_header_field(http_parser *parser, const char *at, size_t size)
{
    struct http_connection *connection = parser->data;
    if (connection->in_value) {
        header_finish(connection);
    }
    return buf_append(&connection->header_name, at, size) == 0 ? 0 : 1;
}

static int on_header_value(http_parser *parser, const char *at, size_t size)
{
    struct http_connection *connection = parser->data;
    connection->in_value = true;
    return buf_append(&connection->header_value, at, size) == 0 ? 0 : 1;
}

static int on_headers_complete(http_parser *parser)
{
    struct http_connection *connection = parser->data;
    header_finish(connection);
    const char *expect = http_header(&connection->request, "Expect", "");
    if (strcasecmp(expect, "100-continue") == 0) {
        static const char GO_ON[] = "HTTP/1.1 100 Continue\r\n\r\n";
        send_all(connection, GO_ON, sizeof(GO_ON) - 1);
    }
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t size)
{
    struct http_connection *connection = parser->data;
    return buf_append(&connection->request.body, at, size) == 0 ? 0 : 1;
}

static int on_message_complete(http_parser *parser)
{
    struct http_connection *connection = parser->data;
    struct http_request *request = &connection->request;
    request->method = str_dup(http_method_str((enum http_method)parser->method));
    const char *url = buf_cstr(&connection->url);
    size_t path_size = strcspn(url, "?");
    request->path = str_from(url, path_size);
    request->query = str_dup(url[path_size] == '?' ? url + path_size + 1 : "");
    request->keep_alive = http_should_keep_alive(parser) != 0;
    connection->is_complete = true;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings SETTINGS = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void http_add_header(struct http_connection *connection, const char *name, const char *value)
{
    buf_printf(&connection->extra, "%s: ", name);
    for (; *value != '\0'; value++) {
        buf_append_byte(&connection->extra,
                        (uint8_t)(*value == '\r' || *value == '\n' ? ' ' : *value));
    }
    buf_append_str(&connection->extra, "\r\n");
}

static void head_write(struct http_connection *connection, int code, const char *content_type,
                       struct buf *out)
{
    buf_printf(out, "HTTP/1.1 %d %s\r\n", code, http_status_str((enum http_status)code));
    buf_append_str(out, "Audit-Id: playground\r\nCache-Control: no-cache, private\r\n");
    buf_printf(out, "Content-Type: %s\r\n", content_type);
    buf_append(out, connection->extra.data, connection->extra.size);
    buf_clear(&connection->extra);
    if (!connection->keep_alive) {
        buf_append_str(out, "Connection: close\r\n");
    }
}

void http_respond(struct http_connection *connection, int code, const char *content_type,
                  struct bytes body)
{
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    head_write(connection, code, content_type, &out);
    buf_printf(&out, "Content-Length: %zu\r\n\r\n", body.size);
    if (strcmp(connection->request.method, "HEAD") != 0) {
        buf_append(&out, body.data, body.size);
    }
    send_all(connection, out.data, out.size);
    buf_free(&out);
}

bool http_chunked_begin(struct http_connection *connection, int code, const char *content_type)
{
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    head_write(connection, code, content_type, &out);
    buf_append_str(&out, "Transfer-Encoding: chunked\r\n\r\n");
    bool is_sent = send_all(connection, out.data, out.size);
    buf_free(&out);
    return is_sent;
}

bool http_chunk(struct http_connection *connection, struct bytes data)
{
    if (data.size == 0) {
        return !connection->is_broken;
    }
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    buf_printf(&out, "%zx\r\n", data.size);
    buf_append(&out, data.data, data.size);
    buf_append_str(&out, "\r\n");
    bool is_sent = send_all(connection, out.data, out.size);
    buf_free(&out);
    return is_sent;
}

void http_chunked_end(struct http_connection *connection)
{
    send_all(connection, "0\r\n\r\n", 5);
}

bool http_is_gone(struct http_connection *connection)
{
    if (connection->is_broken || atomic_load(&connection->server->is_stopping)) {
        return true;
    }
    struct pollfd state = {.fd = connection->fd, .events = POLLRDHUP};
    if (poll(&state, 1, 0) > 0) {
        connection->is_broken = true;
    }
    return connection->is_broken;
}

void http_cut(struct http_connection *connection)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    connection->is_broken = true;
    connection->is_cut = true;
}

/* Feeds bytes until a message is complete; gives how many were used, or -1 on a bad message. */
static ssize_t feed(struct http_connection *connection, http_parser *parser, const uint8_t *data,
                    size_t size)
{
    size_t used = http_parser_execute(parser, &SETTINGS, (const char *)data, size);
    enum http_errno error = HTTP_PARSER_ERRNO(parser);
    if (error == HPE_PAUSED) {
        http_parser_pause(parser, 0);
        return (ssize_t)used;
    }
    if (error == HPE_OK && !parser->upgrade && used == size) {
        return (ssize_t)used;
    }
    connection->keep_alive = false;
    connection->request.method =
        connection->request.method == NULL ? str_dup("GET") : connection->request.method;
    bool is_too_big = connection->request.body.overflowed;
    http_respond(connection, is_too_big ? 413 : 400, "text/plain",
                 bytes_of_str(is_too_big ? "request entity too large\n" : "bad request\n"));
    return -1;
}

static void message_begin(struct http_connection *connection)
{
    request_clear(&connection->request);
    buf_clear(&connection->url);
    buf_clear(&connection->header_name);
    buf_clear(&connection->header_value);
    connection->in_value = false;
    connection->is_complete = false;
}

/* Reads and answers messages until the connection ends. */
static void serve(struct http_connection *connection)
{
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = connection;
    uint8_t *data = mem_alloc(READ_BYTES);
    message_begin(connection);
    while (!connection->is_broken && !atomic_load(&connection->server->is_stopping)) {
        ssize_t size = receive_some(connection, data, READ_BYTES);
        if (size < 0 && errno == EINTR && connection->ssl == NULL) {
            continue;
        }
        if (size <= 0) {
            break;
        }
        size_t at = 0;
        while (at < (size_t)size && !connection->is_broken) {
            ssize_t used = feed(connection, &parser, data + at, (size_t)size - at);
            if (used < 0) {
                connection->is_broken = true;
                break;
            }
            at += (size_t)used;
            if (connection->is_complete) {
                connection->keep_alive = connection->request.keep_alive;
                connection->server->handler(connection->server->ctx, connection,
                                            &connection->request);
                connection->is_broken = connection->is_broken || !connection->keep_alive;
                message_begin(connection);
            }
        }
    }
    mem_free(data);
}

/* Looks at the first byte and shakes hands when it is TLS; false when there is nobody to serve. */
static bool connection_open(struct http_connection *connection)
{
    uint8_t first;
    ssize_t size = recv(connection->fd, &first, 1, MSG_PEEK);
    if (size != 1) {
        return false;
    }
    if (first != TLS_HELLO || connection->server->tls == NULL) {
        return true;
    }
    connection->ssl = SSL_new(connection->server->tls);
    return connection->ssl != NULL && SSL_set_fd(connection->ssl, connection->fd) == 1 &&
           SSL_accept(connection->ssl) == 1;
}

static void *connection_main(void *arg)
{
    struct http_connection *connection = arg;
    struct http_server *server = connection->server;
    if (connection_open(connection)) {
        serve(connection);
        if (connection->ssl != NULL && !connection->is_cut) {
            SSL_shutdown(connection->ssl);
        }
    }
    SSL_free(connection->ssl);
    pthread_mutex_lock(&server->lock);
    list_remove(&connection->link);
    close(connection->fd);
    server->connection_count--;
    pthread_cond_broadcast(&server->all_gone);
    pthread_mutex_unlock(&server->lock);
    request_clear(&connection->request);
    buf_free(&connection->url);
    buf_free(&connection->header_name);
    buf_free(&connection->header_value);
    buf_free(&connection->extra);
    mem_free(connection);
    return NULL;
}

static void connection_start(struct http_server *server, int fd)
{
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    struct http_connection *connection = mem_zalloc(sizeof(*connection));
    connection->server = server;
    connection->fd = fd;
    connection->keep_alive = true;
    buf_init(&connection->request.body, HTTP_BODY_BYTES_MAX);
    buf_init(&connection->url, HTTP_HEAD_BYTES_MAX);
    buf_init(&connection->header_name, HTTP_HEAD_BYTES_MAX);
    buf_init(&connection->header_value, HTTP_HEAD_BYTES_MAX);
    buf_init(&connection->extra, HTTP_HEAD_BYTES_MAX);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&server->lock);
    pthread_t thread;
    bool is_full = server->connection_count >= HTTP_CONNECTIONS_MAX;
    if (!is_full && pthread_create(&thread, &attributes, connection_main, connection) == 0) {
        list_append(&server->connections, &connection->link);
        server->connection_count++;
    } else {
        LOG_WARN("connection refused: too many", LOG_U64("connections", server->connection_count));
        close(fd);
        mem_free(connection);
    }
    pthread_mutex_unlock(&server->lock);
    pthread_attr_destroy(&attributes);
}

static void *acceptor_main(void *arg)
{
    struct http_server *server = arg;
    while (!atomic_load(&server->is_stopping)) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            connection_start(server, fd);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
            nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

static int listen_on(uint16_t port, int *out_fd, uint16_t *out_port, struct err *err)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_set(err, E_IO, "socket: %s", strerror(errno));
    }
    int yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        int rc = err_set(err, errno == EADDRINUSE ? E_IN_USE : E_IO, "listen on 127.0.0.1:%u: %s",
                         port, strerror(errno));
        close(fd);
        return rc;
    }
    *out_fd = fd;
    *out_port = ntohs(address.sin_port);
    return 0;
}

int http_listen(uint16_t port, SSL_CTX *tls, http_handler_fn handler, void *ctx,
                struct http_server **out_server, struct err *err)
{
    struct http_server *server = mem_zalloc(sizeof(*server));
    int rc = listen_on(port, &server->fd, &server->port, err);
    if (rc != 0) {
        mem_free(server);
        return rc;
    }
    server->tls = tls;
    server->handler = handler;
    server->ctx = ctx;
    list_init(&server->connections);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->all_gone, NULL);
    if (pthread_create(&server->acceptor, NULL, acceptor_main, server) != 0) {
        close(server->fd);
        mem_free(server);
        return err_set(err, E_UNAVAILABLE, "cannot start a thread");
    }
    *out_server = server;
    return 0;
}

uint16_t http_port(const struct http_server *server)
{
    return server->port;
}

void http_stop(struct http_server *server)
{
    atomic_store(&server->is_stopping, true);
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->acceptor, NULL);
    close(server->fd);
    pthread_mutex_lock(&server->lock);
    LIST_EACH(it, &server->connections)
    {
        shutdown(LIST_ENTRY(it, struct http_connection, link)->fd, SHUT_RDWR);
    }
    while (server->connection_count > 0) {
        pthread_cond_wait(&server->all_gone, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    pthread_cond_destroy(&server->all_gone);
    pthread_mutex_destroy(&server->lock);
    mem_free(server);
}
