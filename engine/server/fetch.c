/* SPDX-License-Identifier: Apache-2.0 */
/* The way to the I/O thread and back for short requests to peers. */
#include "engine/server/fetch.h"

#include "base/alloc.h"

/* Travels state -> I/O -> state. */
struct fetch_job {
    struct list link; /* in server->io_fetches while it runs */
    struct peer_fetch_run *run;
    struct server *server;
    struct fetch fetch;
    char *url, *method, *path;
    uint8_t *body;
    struct fetch_answer answer;
    char *text;
    uint8_t *answer_body;
};

static void job_free(struct fetch_job *job)
{
    mem_free(job->url);
    mem_free(job->method);
    mem_free(job->path);
    mem_free(job->body);
    mem_free(job->text);
    mem_free(job->answer_body);
    mem_free(job);
}

/* State thread. */
static void fetch_finish(void *ctx)
{
    struct fetch_job *job = ctx;
    job->fetch.on_done(job->server, job->fetch.ctx, &job->answer);
    job_free(job);
}

/* I/O thread. */
static void io_fetched(void *ctx, const struct peer_fetch_answer *answer)
{
    struct fetch_job *job = ctx;
    list_remove(&job->link);
    job->text = str_dup(answer->text == NULL ? "" : answer->text);
    job->answer_body = mem_dup(answer->body.data, answer->body.size);
    job->answer = (struct fetch_answer){.code = answer->code,
                                        .text = job->text,
                                        .status = answer->status,
                                        .body = bytes_of(job->answer_body, answer->body.size)};
    loop_post(job->server->state.loop, fetch_finish, job);
}

/* I/O thread: this member stops. */
static void give_up(struct fetch_job *job)
{
    const struct peer_fetch_answer answer = {.code = E_CLOSED, .text = "this member stops"};
    io_fetched(job, &answer);
}

void io_fetches_cancel(struct server *server)
{
    while (!list_empty(&server->io_fetches)) {
        struct fetch_job *job = LIST_ENTRY(server->io_fetches.next, struct fetch_job, link);
        peer_fetch_cancel(job->run);
        give_up(job);
    }
}

/* I/O thread. */
static void io_fetch(void *ctx)
{
    struct fetch_job *job = ctx;
    if (job->server->io_closed) {
        give_up(job);
        return;
    }
    const struct peer_fetch fetch = {
        .loop = job->server->io.loop,
        .resolver = job->server->resolver,
        .tls = server_tls_seam(job->server->tls.peer),
        .url = job->url,
        .method = job->method,
        .path = job->path,
        .content_type = job->fetch.body.size > 0 ? "application/protobuf" : NULL,
        .body = bytes_of(job->body, job->fetch.body.size),
        .timeout_ms = job->fetch.timeout_ms,
        .on_done = io_fetched,
        .ctx = job,
    };
    list_append(&job->server->io_fetches, &job->link);
    job->run = peer_fetch_start(&fetch);
}

void fetch_start(struct server *server, const struct fetch *fetch)
{
    struct fetch_job *job = mem_zalloc(sizeof(*job));
    list_init(&job->link);
    job->server = server;
    job->fetch = *fetch;
    job->url = str_dup(fetch->url);
    job->method = str_dup(fetch->method);
    job->path = str_dup(fetch->path);
    job->body = mem_dup(fetch->body.data, fetch->body.size);
    loop_post(server->io.loop, io_fetch, job);
}
