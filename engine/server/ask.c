/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to other members before this one starts. */
#include "engine/server/ask.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "engine/server/version.h"

#define FETCH_TIMEOUT_MS 5000u
#define JOIN_PAUSE_MS    500u /* between two rounds of questions */

struct sync_fetch {
    struct server *server;
    const char *url;
    const char *path;
    struct bytes question; /* the request's body; JSON */
    struct completion done;
    int code;
    int status;
    struct buf body;
    char cluster_id[32];
    char text[160];
};

static void io_sync_done(void *ctx, const struct peer_fetch_answer *answer)
{
    struct sync_fetch *fetch = ctx;
    fetch->code = answer->code;
    fetch->status = answer->status;
    buf_append(&fetch->body, answer->body.data, answer->body.size);
    snprintf(fetch->cluster_id, sizeof(fetch->cluster_id), "%s",
             answer->cluster_id_header == NULL ? "" : answer->cluster_id_header);
    snprintf(fetch->text, sizeof(fetch->text), "%s", answer->text == NULL ? "" : answer->text);
    completion_signal(&fetch->done);
}

static void io_sync_start(void *ctx)
{
    struct sync_fetch *fetch = ctx;
    const struct peer_fetch request = {.loop = fetch->server->io.loop,
                                       .resolver = fetch->server->resolver,
                                       .tls = server_tls_seam(fetch->server->tls.peer),
                                       .url = fetch->url,
                                       .method = "GET",
                                       .path = fetch->path,
                                       .content_type =
                                           fetch->question.size > 0 ? "application/json" : NULL,
                                       .body = fetch->question,
                                       .timeout_ms = FETCH_TIMEOUT_MS,
                                       .on_done = io_sync_done,
                                       .ctx = fetch};
    (void)peer_fetch_start(&request);
}

/* Runs one until it is over; on success the caller frees the body. Its code says how it went. */
static int sync_fetch_ask(struct server *server, const char *url, const char *path,
                          struct bytes question, struct sync_fetch *out, struct err *err)
{
    *out = (struct sync_fetch){.server = server, .url = url, .path = path, .question = question};
    int rc = completion_init(&out->done, err);
    if (rc == 0) {
        buf_init(&out->body, PEER_FETCH_BODY_BYTES_MAX);
        loop_post(server->io.loop, io_sync_start, out);
        completion_wait(&out->done);
        completion_free(&out->done);
    }
    return rc;
}

static int sync_fetch_run(struct server *server, const char *url, const char *path,
                          struct sync_fetch *out, struct err *err)
{
    return sync_fetch_ask(server, url, path, bytes_of(NULL, 0), out, err);
}

int ask_hash(struct server *server, const char *url, int64_t revision, struct buf *out_body)
{
    struct sync_fetch fetch;
    char question[64];
    int size = snprintf(question, sizeof(question), "{\"revision\":%" PRId64 "}", revision);
    int rc = sync_fetch_ask(server, url, "/members/hashkv", bytes_of(question, (size_t)size),
                            &fetch, NULL);
    if (rc != 0) {
        return rc;
    }
    if (fetch.code != 0 || fetch.status != 200) {
        buf_free(&fetch.body);
        return fetch.code != 0 ? fetch.code : E_UNAVAILABLE;
    }
    *out_body = fetch.body;
    return 0;
}

/* Asks one member for the list of members. Gives the list with its cluster id. */
static int ask_members(struct server *server, const char *url, struct membership **out_members,
                       struct err *err)
{
    struct sync_fetch fetch;
    int rc = sync_fetch_run(server, url, "/members", &fetch, err);
    if (rc != 0) {
        return rc;
    }
    rc = fetch.code;
    if (rc != 0) {
        err_set(err, rc, "ask %s for the members of the cluster: %s", url, fetch.text);
    } else if (fetch.status != 200 || fetch.cluster_id[0] == '\0') {
        rc = err_set(err, E_UNAVAILABLE, "ask %s for the members of the cluster: status %d", url,
                     fetch.status);
    } else {
        rc = membership_parse_members(buf_bytes(&fetch.body), out_members, err);
        if (rc == 0) {
            membership_set_cluster_id(*out_members, strtoull(fetch.cluster_id, NULL, 16));
        }
    }
    buf_free(&fetch.body);
    return rc;
}

bool ask_is_own_url(const struct server *server, const char *url)
{
    for (uint32_t i = 0; i < server->config->initial_advertise_peer_urls.count; i++) {
        if (strcmp(server->config->initial_advertise_peer_urls.urls[i], url) == 0) {
            return true;
        }
    }
    return false;
}

typedef int (*judge_fn)(const struct server *server, struct membership *local,
                        const struct membership *members, struct err *err);

/* The first answer that judge (NULL: any) takes. */
static int ask_until(struct server *server, struct membership *local, judge_fn judge,
                     struct membership **out_members, struct err *err)
{
    struct err conflict = {{0}}; /* says more than that another could not be asked */
    int rc = err_set(err, E_UNAVAILABLE, "--initial-cluster names nobody else who could be asked");
    for (size_t i = 0; i < membership_count(local); i++) {
        const struct member *member = membership_at(local, i);
        for (size_t j = 0; j < member->peer_urls.count; j++) {
            if (ask_is_own_url(server, member->peer_urls.urls[j])) {
                continue;
            }
            rc = ask_members(server, member->peer_urls.urls[j], out_members, err);
            if (rc == 0 &&
                (judge == NULL || (rc = judge(server, local, *out_members, &conflict)) == 0)) {
                return 0;
            }
            if (rc == E_CONFLICT) {
                membership_free(*out_members);
                *out_members = NULL;
            }
        }
    }
    return conflict.text[0] == '\0' ? rc : err_set(err, E_CONFLICT, "%s", conflict.text);
}

int ask_anyone(struct server *server, const struct membership *local,
               struct membership **out_members, struct err *err)
{
    /* Without a judge nobody changes it. */
    return ask_until(server, (struct membership *)(uintptr_t)local, NULL, out_members, err);
}

static int judge_joining(const struct server *server, struct membership *local,
                         const struct membership *members, struct err *err)
{
    for (size_t i = 0; i < membership_count(members); i++) {
        const struct member *member = membership_at(members, i);
        for (size_t j = 0; j < member->peer_urls.count; j++) {
            if (ask_is_own_url(server, member->peer_urls.urls[j]) &&
                member->client_urls.count > 0) {
                return err_set(err, E_CONFLICT,
                               "member %" PRIx64
                               " has already run and its data is not here; remove it from the "
                               "cluster, add it again, and start with an empty data directory",
                               member->id);
            }
        }
    }
    int rc = membership_match_existing(local, members, err);
    return rc == 0 ? 0
                   : err_wrap(err, rc,
                              "error validating peerURLs of --initial-cluster against the running "
                              "cluster");
}

struct pause {
    struct loop *loop;
    struct loop_timer timer;
    struct completion done;
};

static void io_pause_over(void *ctx)
{
    completion_signal(&((struct pause *)ctx)->done);
}

static void io_pause_start(void *ctx)
{
    struct pause *pause = ctx;
    loop_timer_init(pause->loop, &pause->timer, io_pause_over, pause);
    loop_timer_set(&pause->timer, JOIN_PAUSE_MS);
}

/* The main thread waits, as for an answer. */
static int wait_a_moment(struct server *server)
{
    struct pause pause = {.loop = server->io.loop};
    int rc = completion_init(&pause.done, NULL);
    if (rc == 0) {
        loop_post(server->io.loop, io_pause_start, &pause);
        completion_wait(&pause.done);
        completion_free(&pause.done);
    }
    return rc;
}

int ask_for_joining(struct server *server, struct membership *local,
                    struct membership **out_members, struct err *err)
{
    uint64_t start = server_now_ms(server);
    bool told = false;
    for (;;) {
        int rc = ask_until(server, local, judge_joining, out_members, err);
        if (rc != E_CONFLICT) {
            return rc;
        }
        if (server_now_ms(server) - start >= ASK_JOIN_WAIT_MS) {
            return err_wrap(err, rc,
                            "no member of the cluster knows this one as it is named here, after "
                            "%u ms of asking",
                            ASK_JOIN_WAIT_MS);
        }
        if (!told) {
            told = true;
            LOG_WARN("the cluster does not know this member yet; asking again",
                     LOG_STR("reason", err->text));
        }
        if (wait_a_moment(server) != 0) {
            return rc;
        }
    }
}

static int cluster_version_in(const struct sync_fetch *fetch)
{
    if (fetch->code != 0 || fetch->status != 200) {
        return 0;
    }
    struct json *body = json_parse((const char *)fetch->body.data, fetch->body.size, NULL);
    int number = version_number(json_path_str(body, "etcdcluster", NULL));
    json_free(body);
    return number;
}

int ask_version(struct server *server, const struct membership *existing)
{
    int highest = 0;
    for (size_t i = 0; i < membership_count(existing); i++) {
        const struct member *member = membership_at(existing, i);
        for (size_t j = 0; j < member->peer_urls.count; j++) {
            struct sync_fetch fetch;
            const char *url = member->peer_urls.urls[j];
            if (ask_is_own_url(server, url) ||
                sync_fetch_run(server, url, "/version", &fetch, NULL) != 0) {
                continue;
            }
            int number = cluster_version_in(&fetch);
            buf_free(&fetch.body);
            highest = BASE_MAX(highest, number);
            if (number != 0) {
                break; /* its other URLs would say the same */
            }
        }
    }
    return highest;
}
