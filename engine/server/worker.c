/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the engine. */
#include "engine/server/worker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

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
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int errnum = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
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
