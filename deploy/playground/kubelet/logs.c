/* SPDX-License-Identifier: Apache-2.0 */
/* Logs are the files that containers write to; readers look at the store, not at the kubelet. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "deploy/playground/apiserver/meta.h"
#include "state.h"

#define READ_BYTES     (64u * 1024u)
#define FOLLOW_STEP_MS 50u

struct log_stream {
    struct kubelet *kubelet;
    char *ns;
    char *pod;
    char *uid;
    char *container;
    int64_t restart_count;
    int fd;
    bool follow;
    bool saw_end;       /* the container had ended before the last read that found nothing */
    int64_t left_bytes; /* -1: no limit */
};

char *logs_path(const char *dir, const char *pod_uid, const char *container, int64_t restart_count)
{
    return str_printf("%s/pods/%s/logs/%s/%lld.log", dir, pod_uid, container,
                      (long long)restart_count);
}

static const struct json *status_of(const struct json *pod, const char *container)
{
    static const char *const LISTS[] = {"containerStatuses", "initContainerStatuses"};
    for (size_t list = 0; list < ARRAY_COUNT(LISTS); list++) {
        const struct json *rows = json_get(json_get(pod, "status"), LISTS[list]);
        for (size_t i = 0; i < json_count(rows); i++) {
            if (str_equal(json_path_str(json_at(rows, i), "name", ""), container)) {
                return json_at(rows, i);
            }
        }
    }
    return NULL;
}

static bool has_container(const struct json *pod, const char *name)
{
    static const char *const LISTS[] = {"containers", "initContainers"};
    for (size_t list = 0; list < ARRAY_COUNT(LISTS); list++) {
        const struct json *rows = json_get(json_get(pod, "spec"), LISTS[list]);
        for (size_t i = 0; i < json_count(rows); i++) {
            if (str_equal(json_path_str(json_at(rows, i), "name", ""), name)) {
                return true;
            }
        }
    }
    return false;
}

/* Moves to the start of the last count lines. */
static void seek_tail(int fd, int64_t count)
{
    off_t end = lseek(fd, 0, SEEK_END);
    off_t at = count == 0 ? 0 : end;
    int64_t lines = 0;
    char data[4096];
    while (at > 0) {
        size_t size = (size_t)BASE_MIN(at, (off_t)sizeof(data));
        at -= (off_t)size;
        if (pread(fd, data, size, at) != (ssize_t)size) {
            return;
        }
        for (size_t i = size; i-- > 0;) {
            off_t next = at + (off_t)i + 1;
            /* The newline at the very end ends the last line, it begins none. */
            lines += data[i] == '\n' && next != end ? 1 : 0;
            if (lines == count) {
                lseek(fd, next, SEEK_SET);
                return;
            }
        }
    }
    lseek(fd, count == 0 ? end : 0, SEEK_SET);
}

static void stream_free(struct log_stream *stream)
{
    if (stream->fd >= 0) {
        close(stream->fd);
    }
    mem_free(stream->ns);
    mem_free(stream->pod);
    mem_free(stream->uid);
    mem_free(stream->container);
    mem_free(stream);
}

static int check(const struct json *pod, const char *container,
                 const struct pod_log_options *options, struct err *err)
{
    const struct json *status = status_of(pod, container);
    if (!has_container(pod, container)) {
        return err_set(err, E_INVALID, "container %s is not valid for pod %s", container,
                       meta_name(pod));
    }
    if (options->timestamps || options->since_seconds >= 0) {
        return err_set(err, E_INVALID, "the playground keeps no times of log lines");
    }
    if (options->previous && json_path(status, "lastState.terminated") == NULL) {
        return err_set(err, E_INVALID,
                       "previous terminated container \"%s\" in pod \"%s\" not found", container,
                       meta_name(pod));
    }
    if (*json_path_str(status, "containerID", "") == '\0') {
        return err_set(err, E_INVALID, "container \"%s\" in pod \"%s\" is waiting to start: %s",
                       container, meta_name(pod),
                       json_path_str(status, "state.waiting.reason", "ContainerCreating"));
    }
    return 0;
}

/* While a container waits for its next life, the one that has ended is the previous already. */
static int64_t life_of(const struct json *status, bool previous)
{
    bool is_waiting = json_path(status, "state.waiting") != NULL;
    return json_path_i64(status, "restartCount", 0) - (previous && !is_waiting ? 1 : 0);
}

static int logs_open(void *ctx, const char *ns, const char *name,
                     const struct pod_log_options *options, void **out_stream, struct err *err)
{
    struct kubelet *kubelet = ctx;
    struct json *pod = NULL;
    int rc = store_get(kubelet->config.store, "pods", ns, name, &pod, err);
    if (rc != 0) {
        return rc;
    }
    const char *container = options->container != NULL && *options->container != '\0'
                                ? options->container
                                : json_path_str(pod, "spec.containers.0.name", "");
    rc = check(pod, container, options, err);
    if (rc == 0) {
        struct log_stream *stream = mem_zalloc(sizeof(*stream));
        stream->kubelet = kubelet;
        stream->ns = str_dup(ns);
        stream->pod = str_dup(name);
        stream->uid = str_dup(meta_uid_of(pod));
        stream->container = str_dup(container);
        stream->restart_count = life_of(status_of(pod, container), options->previous);
        stream->follow = options->follow && !options->previous;
        stream->left_bytes = options->limit_bytes;
        char *path = logs_path(kubelet->dir, stream->uid, container, stream->restart_count);
        stream->fd = open(path, O_RDONLY | O_CLOEXEC);
        mem_free(path);
        if (stream->fd < 0) {
            rc = err_set(err, E_INVALID, "the log of container \"%s\" is not there", container);
            stream_free(stream);
        } else {
            if (options->tail_lines >= 0) {
                seek_tail(stream->fd, options->tail_lines);
            }
            *out_stream = stream;
        }
    }
    json_free(pod);
    return rc;
}

/* True while the life whose log is read goes on. */
static bool is_running(const struct log_stream *stream)
{
    struct json *pod = NULL;
    if (store_get(stream->kubelet->config.store, "pods", stream->ns, stream->pod, &pod, NULL) !=
        0) {
        return false;
    }
    const struct json *status = status_of(pod, stream->container);
    bool runs = str_equal(meta_uid_of(pod), stream->uid) &&
                json_path(status, "state.running") != NULL &&
                json_path_i64(status, "restartCount", 0) == stream->restart_count;
    json_free(pod);
    return runs;
}

static int take(struct log_stream *stream, struct buf *out)
{
    size_t wanted = READ_BYTES;
    if (stream->left_bytes >= 0) {
        wanted = (size_t)BASE_MIN((int64_t)wanted, stream->left_bytes);
    }
    uint8_t *place = wanted == 0 ? NULL : buf_reserve(out, wanted);
    ssize_t got = place == NULL ? 0 : read(stream->fd, place, wanted);
    if (got > 0) {
        out->size += (size_t)got;
        stream->left_bytes -= stream->left_bytes >= 0 ? got : 0;
    }
    return got > 0 ? 0 : wanted == 0 ? E_CLOSED : E_AGAIN;
}

static int logs_read(void *ctx, uint32_t timeout_ms, struct buf *out)
{
    struct log_stream *stream = ctx;
    for (uint32_t waited_ms = 0;; waited_ms += FOLLOW_STEP_MS) {
        int rc = take(stream, out);
        if (rc != E_AGAIN) {
            return rc;
        }
        if (!stream->follow || stream->saw_end) {
            return E_CLOSED;
        }
        stream->saw_end = !is_running(stream);
        if (waited_ms >= timeout_ms) {
            return 0;
        }
        if (!stream->saw_end) {
            struct timespec step = {.tv_nsec = (long)FOLLOW_STEP_MS * 1000000L};
            nanosleep(&step, NULL);
        }
    }
}

static void logs_close(void *ctx)
{
    stream_free(ctx);
}

struct pod_logs kubelet_logs(struct kubelet *kubelet)
{
    return (struct pod_logs){
        .ctx = kubelet, .open = logs_open, .read = logs_read, .close = logs_close};
}
