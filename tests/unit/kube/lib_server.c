/* SPDX-License-Identifier: Apache-2.0 */
/* One thread that accepts, one thread per connection. Ports 23000 to 23499, the first that is free.
 */
#include "lib_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

#define PORT_FIRST      23000
#define PORT_LAST       23499
#define CONNECTIONS_MAX 64
#define REQUEST_MAX     65536

struct server {
    int listener;
    char *url;
    server_fn fn;
    void *ctx;
    pthread_t acceptor;
    pthread_mutex_t mutex;
    pthread_t threads[CONNECTIONS_MAX];
    int fds[CONNECTIONS_MAX];
    size_t count;
};

struct connection {
    struct server *server;
    int fd;
};

static void write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t count = send(fd, data, size, MSG_NOSIGNAL);
        if (count <= 0) {
            return;
        }
        data += count;
        size -= (size_t)count;
    }
}

void server_reply(int fd, int status, const char *headers, const char *body)
{
    char *head = str_printf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zu\r\n%s\r\n",
                            status, strlen(body), headers);
    write_all(fd, head, strlen(head));
    write_all(fd, body, strlen(body));
    mem_free(head);
}

void server_stream(int fd)
{
    static const char HEAD[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    write_all(fd, HEAD, sizeof(HEAD) - 1);
}

void server_chunk(int fd, const char *data, size_t size)
{
    char *head = str_printf("%zx\r\n", size);
    write_all(fd, head, strlen(head));
    write_all(fd, data, size);
    write_all(fd, "\r\n", 2);
    mem_free(head);
}

/* Reads until the head and Content-Length bytes are there; returns the size, 0 at the end. */
static size_t request_read(int fd, char *space)
{
    size_t size = 0;
    for (;;) {
        ssize_t count = recv(fd, space + size, REQUEST_MAX - size - 1, 0);
        if (count <= 0) {
            return 0;
        }
        size += (size_t)count;
        space[size] = 0;
        const char *end = strstr(space, "\r\n\r\n");
        if (end == NULL) {
            continue;
        }
        const char *length = strcasestr(space, "content-length:");
        size_t body = length != NULL && length < end ? strtoul(length + 15, NULL, 10) : 0;
        if (size >= (size_t)(end + 4 - space) + body) {
            return size;
        }
    }
}

static void *connection_run(void *arg)
{
    struct connection connection = *(struct connection *)arg;
    mem_free(arg);
    char *space = mem_alloc(REQUEST_MAX);
    bool goes_on = true;
    while (goes_on && request_read(connection.fd, space) > 0) {
        char *head_end = strstr(space, "\r\n\r\n");
        char *body = head_end + 4;
        *head_end = 0;
        char *method_end = strchr(space, ' ');
        char *target_end = strchr(method_end + 1, ' ');
        *method_end = 0;
        *target_end = 0;
        const struct server_request request = {.fd = connection.fd,
                                               .method = space,
                                               .target = method_end + 1,
                                               .headers = target_end + 1,
                                               .body = body};
        goes_on = connection.server->fn(connection.server->ctx, &request);
    }
    shutdown(connection.fd, SHUT_RDWR);
    mem_free(space);
    return NULL;
}

static void *acceptor_run(void *arg)
{
    struct server *server = arg;
    for (;;) {
        int fd = accept(server->listener, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        pthread_mutex_lock(&server->mutex);
        ASSERT(server->count < CONNECTIONS_MAX);
        struct connection *connection = mem_alloc(sizeof(*connection));
        *connection = (struct connection){server, fd};
        server->fds[server->count] = fd;
        pthread_create(&server->threads[server->count++], NULL, connection_run, connection);
        pthread_mutex_unlock(&server->mutex);
    }
}

struct server *server_start(server_fn fn, void *ctx)
{
    struct server *server = mem_zalloc(sizeof(*server));
    server->fn = fn;
    server->ctx = ctx;
    pthread_mutex_init(&server->mutex, NULL);
    int port = PORT_FIRST;
    for (;; port++) {
        ASSERT(port <= PORT_LAST);
        server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int on = 1;
        setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(server->listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
            listen(server->listener, 16) == 0) {
            break;
        }
        close(server->listener);
    }
    server->url = str_printf("http://127.0.0.1:%d", port);
    pthread_create(&server->acceptor, NULL, acceptor_run, server);
    return server;
}

const char *server_url(const struct server *server)
{
    return server->url;
}

void server_stop(struct server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->acceptor, NULL);
    close(server->listener);
    for (size_t i = 0; i < server->count; i++) {
        shutdown(server->fds[i], SHUT_RDWR);
        pthread_join(server->threads[i], NULL);
        close(server->fds[i]);
    }
    pthread_mutex_destroy(&server->mutex);
    mem_free(server->url);
    mem_free(server);
}
