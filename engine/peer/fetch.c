/* SPDX-License-Identifier: Apache-2.0 */
/* One short request to a member's peer URL. */
#include <stdio.h>

#include "base/alloc.h"
#include "engine/peer/internal.h"

struct peer_fetch_run {
    struct http1_client *client;
    struct loop *loop;
    struct buf body;
    int status;
    char cluster_id[PEER_ID_TEXT];
    bool has_cluster_id;
    peer_fetch_fn on_done;
    void *ctx;
    bool is_posted;   /* its end is on the way */
    bool is_canceled; /* meanwhile */
    int code;
    char text[160];
};

static void run_free(void *ctx)
{
    struct peer_fetch_run *run = ctx;
    http1_client_free(run->client);
    buf_free(&run->body);
    mem_free(run);
}

static void finish(void *ctx)
{
    struct peer_fetch_run *run = ctx;
    const struct peer_fetch_answer answer = {
        .code = run->code,
        .text = run->text,
        .status = run->status,
        .body = buf_bytes(&run->body),
        .cluster_id_header = run->has_cluster_id ? run->cluster_id : NULL,
    };
    if (!run->is_canceled) {
        run->on_done(run->ctx, &answer);
    }
    run_free(run);
}

static void post_finish(struct peer_fetch_run *run)
{
    run->is_posted = true;
    loop_post(run->loop, finish, run);
}

static void on_answer(void *ctx, const struct http1_client_answer *answer)
{
    struct peer_fetch_run *run = ctx;
    const char *id = http1_client_header(answer, "x-etcd-cluster-id");
    run->status = answer->status;
    run->has_cluster_id = id != NULL;
    snprintf(run->cluster_id, sizeof(run->cluster_id), "%s", id == NULL ? "" : id);
}

static void on_body(void *ctx, struct bytes part)
{
    struct peer_fetch_run *run = ctx;
    (void)buf_append(&run->body, part.data, part.size); /* overflow is told at the end */
}

static void on_done(void *ctx, int code, const char *text)
{
    struct peer_fetch_run *run = ctx;
    run->code = code == 0 && run->body.overflowed ? E_TOO_BIG : code;
    snprintf(run->text, sizeof(run->text), "%s", text == NULL ? "" : text);
    post_finish(run); /* not inside the client's own callback */
}

struct peer_fetch_run *peer_fetch_start(const struct peer_fetch *fetch)
{
    struct peer_fetch_run *run = mem_zalloc(sizeof(*run));
    struct http1_client_config config = {
        .loop = fetch->loop, .resolver = fetch->resolver, .tls = fetch->tls};
    struct err err = {{0}};
    run->loop = fetch->loop;
    run->on_done = fetch->on_done;
    run->ctx = fetch->ctx;
    buf_init(&run->body, PEER_FETCH_BODY_BYTES_MAX);
    int rc = url_parse(fetch->url, &config.url, &err);
    if (rc == 0 && url_is_tls(&config.url) && config.tls == NULL) {
        rc = err_set(&err, E_UNSUPPORTED, "%s: TLS is not to be had here", fetch->url);
    }
    if (rc == 0) {
        struct http1_header headers[2];
        size_t header_count = 0;
        if (fetch->content_type != NULL) {
            headers[header_count++] = (struct http1_header){"Content-Type", fetch->content_type};
        }
        if (fetch->authorization != NULL) {
            headers[header_count++] = (struct http1_header){"Authorization", fetch->authorization};
        }
        const struct http1_client_exchange exchange = {
            .method = fetch->method,
            .path = fetch->path,
            .headers = headers,
            .header_count = header_count,
            .body = fetch->body,
            .ctx = run,
            .on_answer = on_answer,
            .on_body = on_body,
            .on_done = on_done,
            .total_timeout_ms = fetch->timeout_ms,
        };
        run->client = http1_client_new(&config);
        rc = http1_client_start(run->client, &exchange);
    }
    if (rc != 0) {
        run->code = rc;
        snprintf(run->text, sizeof(run->text), "%.150s", err.text);
        post_finish(run);
    }
    return run;
}

void peer_fetch_cancel(struct peer_fetch_run *run)
{
    if (run->is_posted) {
        run->is_canceled = true;
    } else {
        run_free(run);
    }
}
