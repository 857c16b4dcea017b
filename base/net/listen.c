/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets. */
#include "base/net/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

#define LISTEN_BACKLOG          1024
#define LISTEN_ACCEPTS_PER_TURN 64
#define LISTEN_RETRY_MS         100u

struct listener {
    struct loop *loop;
    struct loop_fd watched;
    struct loop_timer retry;
    int fd;
    size_t connections;
    size_t connections_max;
    bool paused;
    uint16_t port;
    char unix_path[URL_HOST_MAX + 1]; /* "" for TCP */
    listener_accept_fn accept;
    void *ctx;
};

static bool listener_has_room(const struct listener *listener)
{
    return !listener->paused &&
           (listener->connections_max == 0 || listener->connections < listener->connections_max);
}

static void listener_on_fd(void *ctx, uint32_t events)
{
    struct listener *listener = ctx;
    (void)events;
    for (int i = 0; i < LISTEN_ACCEPTS_PER_TURN; i++) {
        if (!listener_has_room(listener)) {
            loop_set_events(&listener->watched, 0);
            return;
        }
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            listener->connections++;
            listener->accept(listener->ctx, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            LOG_WARN("accept failed, trying again soon", LOG_STR("error", strerrordesc_np(errno)));
            loop_set_events(&listener->watched, 0);
            loop_timer_set(&listener->retry, LISTEN_RETRY_MS);
        }
        return; /* EAGAIN, or a connection that is gone already */
    }
}

static void listener_on_retry(void *ctx)
{
    struct listener *listener = ctx;
    loop_set_events(&listener->watched, LOOP_READABLE);
}

void listener_pause(struct listener *listener)
{
    listener->paused = true;
    loop_set_events(&listener->watched, 0);
}

void listener_resume(struct listener *listener)
{
    listener->paused = false;
    if (!heap_contains(&listener->retry.node)) {
        loop_set_events(&listener->watched, LOOP_READABLE);
    }
}

/* Fills address from url; false when the host is no address. */
static bool listener_address(const struct url *url, struct sockaddr_storage *address,
                             socklen_t *out_size)
{
    memset(address, 0, sizeof(*address));
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    struct sockaddr_un *un = (struct sockaddr_un *)address;
    if (url_is_unix(url)) {
        un->sun_family = AF_UNIX;
        if (strlen(url->host) >= sizeof(un->sun_path)) {
            return false;
        }
        memcpy(un->sun_path, url->host, strlen(url->host) + 1);
        *out_size = sizeof(*un);
        return true;
    }
    const char *host = strcmp(url->host, "localhost") == 0 ? "127.0.0.1" : url->host;
    if (host[0] == '\0') {
        host = "::";
    }
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(url->port);
        *out_size = sizeof(*v4);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(url->port);
        *out_size = sizeof(*v6);
        return true;
    }
    return false;
}

/* A socket file that nobody listens on any more may go; a living one stays and bind says so. */
static void listener_remove_stale(const struct url *url, const struct sockaddr_storage *address,
                                  socklen_t size)
{
    struct stat info;
    if (!url_is_unix(url) || lstat(url->host, &info) != 0 || !S_ISSOCK(info.st_mode)) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return;
    }
    if (connect(fd, (const struct sockaddr *)address, size) != 0 && errno == ECONNREFUSED) {
        unlink(url->host);
    }
    close(fd);
}

static int listener_error(const struct url *url, const char *step, int errnum, struct err *err)
{
    char authority[URL_TEXT_MAX];
    url_authority(url, authority, sizeof(authority));
    char reason[96];
    snprintf(reason, sizeof(reason), "%s", strerrordesc_np(errnum));
    for (char *c = reason; *c >= 'A' && *c <= 'Z'; c++) {
        *c = (char)(*c - 'A' + 'a'); /* as Go writes it: "address already in use" */
    }
    int code = errnum == EADDRINUSE                          ? E_IN_USE
               : errnum == EACCES || errnum == EPERM         ? E_PERMISSION
               : errnum == EINVAL || errnum == EADDRNOTAVAIL ? E_INVALID
                                                             : err_from_errno(errnum);
    return err_set(err, code, "listen %s %s: %s: %s", url_is_unix(url) ? "unix" : "tcp", authority,
                   step, reason);
}

static int listener_bind(const struct listener_config *config, int *out_fd, struct err *err)
{
    struct sockaddr_storage address;
    socklen_t size = 0;
    if (!listener_address(config->url, &address, &size)) {
        return err_set(err, E_INVALID, "expected IP in URL for binding (%s)", config->url->text);
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return listener_error(config->url, "socket", errno, err);
    }
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (config->reuse_port) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    }
    if (address.ss_family == AF_INET6 && config->url->host[0] == '\0') {
        int zero = 0; /* no host: both families, as Go listens */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    }
    listener_remove_stale(config->url, &address, size);
    if (bind(fd, (const struct sockaddr *)&address, size) != 0) {
        int errnum = errno;
        close(fd);
        return listener_error(config->url, "bind", errnum, err);
    }
    if (listen(fd, LISTEN_BACKLOG) != 0) {
        int errnum = errno;
        close(fd);
        return listener_error(config->url, "listen", errnum, err);
    }
    *out_fd = fd;
    return 0;
}

static uint16_t listener_bound_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    if (address.ss_family == AF_INET) {
        return ntohs(((const struct sockaddr_in *)&address)->sin_port);
    }
    return address.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)&address)->sin6_port)
                                         : 0;
}

int listener_open(const struct listener_config *config, struct listener **out_listener,
                  struct err *err)
{
    int fd = -1;
    int rc = listener_bind(config, &fd, err);
    if (rc != 0) {
        return rc;
    }
    struct listener *listener = mem_zalloc(sizeof(*listener));
    listener->loop = config->loop;
    listener->fd = fd;
    listener->connections_max = config->connections_max;
    listener->accept = config->accept;
    listener->ctx = config->ctx;
    listener->port = listener_bound_port(fd);
    if (url_is_unix(config->url)) {
        memcpy(listener->unix_path, config->url->host, sizeof(listener->unix_path));
    }
    loop_timer_init(config->loop, &listener->retry, listener_on_retry, listener);
    rc = loop_add(config->loop, &listener->watched, fd, LOOP_READABLE, listener_on_fd, listener);
    if (rc != 0) {
        close(fd);
        mem_free(listener);
        return err_set(err, rc, "watch the listener of %s", config->url->text);
    }
    *out_listener = listener;
    return 0;
}

void listener_free(struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    loop_remove(&listener->watched);
    loop_timer_cancel(&listener->retry);
    close(listener->fd);
    if (listener->unix_path[0] != '\0') {
        unlink(listener->unix_path);
    }
    mem_free(listener);
}

void listener_release(struct listener *listener)
{
    listener->connections--;
    if (!listener->paused && !heap_contains(&listener->retry.node)) {
        loop_set_events(&listener->watched, LOOP_READABLE);
    }
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}

size_t listener_connection_count(const struct listener *listener)
{
    return listener->connections;
}
