/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the engine, as the system has them. */
#include "engine/server/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int thread_start(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int errnum = pthread_create(thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return errnum;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    loop_run(worker->loop);
    return NULL;
}

int worker_init(struct worker *worker, const char *name, struct err *err)
{
    *worker = (struct worker){0};
    snprintf(worker->name, sizeof(worker->name), "%s", name);
    return loop_new(&worker->loop, err);
}

int worker_start(struct worker *worker, struct err *err)
{
    int errnum = thread_start(&worker->thread, worker_main, worker);
    if (errnum != 0) {
        return err_set(err, E_UNAVAILABLE, "start the %s thread: %s", worker->name,
                       strerror(errnum));
    }
    worker->running = true;
    pthread_setname_np(worker->thread, worker->name);
    return 0;
}

static void stop_now(void *ctx)
{
    loop_stop(ctx);
}

void worker_stop(struct worker *worker)
{
    if (worker->running) {
        loop_post(worker->loop, stop_now, worker->loop);
        pthread_join(worker->thread, NULL);
        worker->running = false;
    }
}

void worker_free(struct worker *worker)
{
    worker_stop(worker);
    if (worker->loop != NULL) {
        loop_free(worker->loop);
        worker->loop = NULL;
    }
}

/* ---- jobs ---- */

static void *job_main(void *arg)
{
    struct worker_job *job = arg;
    job->fn(job->ctx);
    return NULL;
}

int worker_job_start(struct worker_job *job, loop_fn fn, void *ctx)
{
    job->fn = fn;
    job->ctx = ctx;
    return thread_start(&job->thread, job_main, job) == 0 ? 0 : E_UNAVAILABLE;
}

void worker_job_join(struct worker_job *job)
{
    pthread_join(job->thread, NULL);
}

/* ---- completions ---- */

int completion_init(struct completion *done, struct err *err)
{
    done->fd = eventfd(0, EFD_CLOEXEC);
    return done->fd >= 0 ? 0 : err_set(err, E_IO, "eventfd: %s", strerror(errno));
}

void completion_signal(struct completion *done)
{
    (void)eventfd_write(done->fd, 1);
}

void completion_wait(struct completion *done)
{
    eventfd_t value;
    while (eventfd_read(done->fd, &value) != 0 && errno == EINTR) {
    }
}

void completion_free(struct completion *done)
{
    if (done->fd >= 0) {
        close(done->fd);
        done->fd = -1;
    }
}

/* ---- channels ---- */

int channel_open(int *out_read_fd, int *out_write_fd)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        return err_from_errno(errno);
    }
    *out_read_fd = fds[0];
    *out_write_fd = fds[1];
    return 0;
}

ssize_t channel_write(int write_fd, const void *data, size_t size)
{
    ssize_t written = write(write_fd, data, size);
    if (written >= 0) {
        return written;
    }
    return errno == EAGAIN || errno == EINTR ? E_AGAIN : E_CLOSED;
}

ssize_t channel_read(int read_fd, void *data, size_t size)
{
    ssize_t got = read(read_fd, data, size);
    if (got >= 0) {
        return got;
    }
    return errno == EAGAIN || errno == EINTR ? E_AGAIN : E_CLOSED;
}

void channel_wait_room(int write_fd, int timeout_ms)
{
    struct pollfd room = {.fd = write_fd, .events = POLLOUT};
    (void)poll(&room, 1, timeout_ms);
}

void channel_close(int fd)
{
    close(fd);
}
