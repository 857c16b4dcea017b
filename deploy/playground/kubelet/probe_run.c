/* SPDX-License-Identifier: Apache-2.0 */
/* Probes on non-blocking sockets and child processes, advanced by polls. */
#include "probe_run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"

#define ANSWER_BYTES_MAX 4096u

enum step { STEP_FAILED, STEP_CONNECT, STEP_READ, STEP_EXEC };

struct probe_run {
    enum step step;
    int fd;
    pid_t pid;
    bool is_http;
    struct buf request;
    struct buf answer;
    uint64_t deadline_ms;
    char text[PROBE_TEXT_MAX];
};

static void fail(struct probe_run *run, const char *text)
{
    run->step = STEP_FAILED;
    snprintf(run->text, sizeof(run->text), "%s", text);
}

static int64_t port_of(const struct json *port, const struct json *container)
{
    const char *name = json_str(port, NULL);
    if (name == NULL) {
        return json_i64(port, 0);
    }
    const struct json *ports = json_get(container, "ports");
    for (size_t i = 0; i < json_count(ports); i++) {
        if (str_equal(json_path_str(json_at(ports, i), "name", NULL), name)) {
            return json_path_i64(json_at(ports, i), "containerPort", 0);
        }
    }
    return strtoll(name, NULL, 10);
}

static void start_connection(struct probe_run *run, const struct json *action,
                             const struct probe_target *target)
{
    int64_t port = port_of(json_get(action, "port"), target->container);
    const char *host = json_path_str(action, "host", target->pod_ip);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (port < 1 || port > UINT16_MAX ||
        inet_pton(AF_INET, *host == '\0' ? target->pod_ip : host, &address.sin_addr) != 1) {
        fail(run, "the probe names no usable host and port");
        return;
    }
    run->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    run->step = STEP_CONNECT;
    if (run->fd < 0 || (connect(run->fd, (struct sockaddr *)&address, sizeof(address)) != 0 &&
                        errno != EINPROGRESS)) {
        snprintf(run->text, sizeof(run->text), "dial tcp %s:%d: %s", target->pod_ip, (int)port,
                 strerror(errno));
        run->step = STEP_FAILED;
    }
}

static void start_http(struct probe_run *run, const struct json *action,
                       const struct probe_target *target)
{
    if (str_equal(json_path_str(action, "scheme", "HTTP"), "HTTPS")) {
        fail(run, "probes over HTTPS are not supported by the playground");
        return;
    }
    run->is_http = true;
    buf_printf(&run->request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n",
               json_path_str(action, "path", "/"), target->pod_ip);
    const struct json *headers = json_get(action, "httpHeaders");
    for (size_t i = 0; i < json_count(headers); i++) {
        buf_printf(&run->request, "%s: %s\r\n", json_path_str(json_at(headers, i), "name", ""),
                   json_path_str(json_at(headers, i), "value", ""));
    }
    buf_append_str(&run->request, "User-Agent: kube-probe/playground\r\nAccept: */*\r\n\r\n");
    start_connection(run, action, target);
}

struct probe_run *probe_run_start(const struct json *spec, const struct probe_target *target,
                                  uint64_t deadline_ms)
{
    struct probe_run *run = mem_zalloc(sizeof(*run));
    run->fd = -1;
    run->deadline_ms = deadline_ms;
    buf_init(&run->request, BUF_NO_LIMIT);
    buf_init(&run->answer, ANSWER_BYTES_MAX);
    if (json_get(spec, "httpGet") != NULL) {
        start_http(run, json_get(spec, "httpGet"), target);
    } else if (json_get(spec, "tcpSocket") != NULL) {
        start_connection(run, json_get(spec, "tcpSocket"), target);
    } else if (target->exec != NULL) {
        struct err err = {""};
        run->step = STEP_EXEC;
        if (process_spawn(target->exec, &run->pid, &err) != 0) {
            run->pid = 0;
            fail(run, err.text);
        }
    } else {
        fail(run, "the probe is of a kind that the playground does not know");
    }
    return run;
}

static bool is_ready_for(int fd, short events)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    return poll(&poll_fd, 1, 0) > 0;
}

/* True when the probe is over (*out_ok or text). */
static bool poll_connect(struct probe_run *run, bool *out_ok)
{
    if (!is_ready_for(run->fd, POLLOUT)) {
        return false;
    }
    int code = 0;
    socklen_t code_size = sizeof(code);
    getsockopt(run->fd, SOL_SOCKET, SO_ERROR, &code, &code_size);
    if (code != 0) {
        snprintf(run->text, sizeof(run->text), "connect: %s", strerror(code));
        return true;
    }
    if (!run->is_http) {
        *out_ok = true;
        return true;
    }
    struct bytes request = buf_bytes(&run->request);
    ssize_t sent = send(run->fd, run->request.data, request.size, MSG_NOSIGNAL);
    if (sent != (ssize_t)request.size) {
        snprintf(run->text, sizeof(run->text), "cannot send the request");
        return true;
    }
    run->step = STEP_READ;
    return false;
}

/* The status of the answer so far; 0 when it is not there yet. */
static long status_of(struct probe_run *run)
{
    const char *text = buf_cstr(&run->answer);
    const char *line_end = strstr(text, "\r\n");
    const char *space = strchr(text, ' ');
    return line_end == NULL || space == NULL ? 0 : strtol(space, NULL, 10);
}

static bool poll_read(struct probe_run *run, bool *out_ok)
{
    if (!is_ready_for(run->fd, POLLIN)) {
        return false;
    }
    char data[512];
    ssize_t got = recv(run->fd, data, sizeof(data), 0);
    if (got > 0) {
        buf_append(&run->answer, data, (size_t)got);
    }
    long status = status_of(run);
    if (status == 0) {
        snprintf(run->text, sizeof(run->text), "the answer is not HTTP");
        return got <= 0 || run->answer.overflowed;
    }
    *out_ok = status >= 200 && status < 400;
    snprintf(run->text, sizeof(run->text), "HTTP probe failed with statuscode: %ld", status);
    return true;
}

static bool poll_exec(struct probe_run *run, bool *out_ok)
{
    int status = 0;
    if (!process_reap(run->pid, &status)) {
        return false;
    }
    run->pid = 0;
    *out_ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    snprintf(run->text, sizeof(run->text), "the command exited with %d",
             WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return true;
}

bool probe_run_poll(struct probe_run *run, uint64_t now_ms, bool *out_ok,
                    char out_text[PROBE_TEXT_MAX])
{
    *out_ok = false;
    bool is_over = run->step == STEP_FAILED;
    if (run->step == STEP_CONNECT) {
        is_over = poll_connect(run, out_ok);
    }
    if (!is_over && run->step == STEP_READ) {
        is_over = poll_read(run, out_ok);
    }
    if (run->step == STEP_EXEC) {
        is_over = poll_exec(run, out_ok);
    }
    if (!is_over && now_ms >= run->deadline_ms) {
        snprintf(run->text, sizeof(run->text), "no answer in time");
        is_over = true;
    }
    memcpy(out_text, run->text, PROBE_TEXT_MAX);
    return is_over;
}

void probe_run_free(struct probe_run *run)
{
    if (run == NULL) {
        return;
    }
    if (run->fd >= 0) {
        close(run->fd);
    }
    if (run->pid > 0) {
        process_signal(run->pid, SIGKILL);
        waitpid(run->pid, NULL, 0);
    }
    buf_free(&run->request);
    buf_free(&run->answer);
    mem_free(run);
}
