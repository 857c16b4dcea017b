/* SPDX-License-Identifier: Apache-2.0 */
/* One short request to a member's peer URL. */
#include <stdio.h>

#include "base/alloc.h"
#include "engine/peer/internal.h"

struct fetching {
    struct http1_client *client;
    struct loop *loop;
    struct buf body;
    int status;
    char cluster_id[PEER_ID_TEXT];
    bool has_cluster_id;
    peer_fetch_fn on_done;
    void *ctx;
    int code;
    char text[160];
};

static void fetching_free(void *ctx)
{
    struct fetching *fetching = ctx;
    http1_client_free(fetching->client);
    buf_free(&fetching->body);
    mem_free(fetching);
}

static void finish(void *ctx)
{
    struct fetching *fetching = ctx;
    const struct peer_fetch_answer answer = {
        .code = fetching->code,
        .text = fetching->text,
        .status = fetching->status,
        .body = buf_bytes(&fetching->body),
        .cluster_id_header = fetching->has_cluster_id ? fetching->cluster_id : NULL,
    };
    fetching->on_done(fetching->ctx, &answer);
    fetching_free(fetching);
}

static void on_answer(void *ctx, const struct http1_client_answer *answer)
{
    struct fetching *fetching = ctx;
    const char *id = http1_client_header(answer, "x-etcd-cluster-id");
    fetching->status = answer->status;
    fetching->has_cluster_id = id != NULL;
    snprintf(fetching->cluster_id, sizeof(fetching->cluster_id), "%s", id == NULL ? "" : id);
}

static void on_body(void *ctx, struct bytes part)
{
    struct fetching *fetching = ctx;
    (void)buf_append(&fetching->body, part.data, part.size); /* overflow is told at the end */
}

static void on_done(void *ctx, int code, const char *text)
{
    struct fetching *fetching = ctx;
    fetching->code = code == 0 && fetching->body.overflowed ? E_TOO_BIG : code;
    snprintf(fetching->text, sizeof(fetching->text), "%s", text == NULL ? "" : text);
    loop_post(fetching->loop, finish, fetching); /* not inside the client's own callback */
}

void peer_fetch_start(const struct peer_fetch *fetch)
{
    struct fetching *fetching = mem_zalloc(sizeof(*fetching));
    struct http1_client_config config = {.loop = fetch->loop, .resolver = fetch->resolver};
    struct err err = {{0}};
    fetching->loop = fetch->loop;
    fetching->on_done = fetch->on_done;
    fetching->ctx = fetch->ctx;
    buf_init(&fetching->body, PEER_FETCH_BODY_BYTES_MAX);
    int rc = url_parse(fetch->url, &config.url, &err);
    if (rc == 0 && url_is_tls(&config.url)) {
        rc = err_set(&err, E_UNSUPPORTED, "%s: peer URLs with TLS are not supported", fetch->url);
    }
    if (rc == 0) {
        const struct http1_header type = {"Content-Type", fetch->content_type};
        const struct http1_client_exchange exchange = {
            .method = fetch->method,
            .path = fetch->path,
            .headers = &type,
            .header_count = fetch->content_type != NULL ? 1 : 0,
            .body = fetch->body,
            .ctx = fetching,
            .on_answer = on_answer,
            .on_body = on_body,
            .on_done = on_done,
            .total_timeout_ms = fetch->timeout_ms,
        };
        fetching->client = http1_client_new(&config);
        rc = http1_client_start(fetching->client, &exchange);
    }
    if (rc != 0) {
        fetching->code = rc;
        snprintf(fetching->text, sizeof(fetching->text), "%.150s", err.text);
        loop_post(fetch->loop, finish, fetching);
    }
}
