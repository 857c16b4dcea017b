/* SPDX-License-Identifier: Apache-2.0 */
/*
 * v3 discovery over the JSON gateway of the other cluster: how many members there shall be, putting
 * oneself into the list, and waiting until the list is full.
 */
#include "engine/server/discovery.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/json.h"
#include "base/log.h"
#include "base/tls/tls.h"
#include "engine/server/process.h"

#define ENDPOINTS_MAX     16u
#define BACKOFF_STEPS_MAX 8u    /* 1 s << 8 */
#define POLL_MS           1000u /* while others are missing */
#define SIZE_MAX_MEMBERS  DISCOVERY_MEMBERS_MAX

struct discovery {
    struct server *server;
    const struct config_discovery *config;
    char *endpoints[ENDPOINTS_MAX];
    size_t endpoint_count;
    size_t endpoint_at; /* who answered last */
    char *login;        /* a token, or NULL */
    char *own_key, *own_value;
    unsigned failures;
};

static bool is_given(const char *text)
{
    return text != NULL && *text != '\0';
}

bool discovery_is_asked(const struct server_config *config)
{
    return is_given(config->discovery.url) || is_given(config->discovery.srv) ||
           is_given(config->discovery.endpoints);
}

/* ---- the list ---- */

void discovery_list_free(struct discovery_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->members[i].key);
        mem_free(list->members[i].value);
    }
    list->count = 0;
}

/* The text of a bytes field, or NULL. */
static char *decoded(const struct json *kv, const char *field)
{
    const char *text = json_str(json_get(kv, field), "");
    struct buf out;
    size_t size;
    buf_init(&out, BUF_NO_LIMIT);
    if (!base64_append_decoded(bytes_of_str(text), BASE64_PADDED, &out) ||
        (out.size > 0 && memchr(out.data, '\0', out.size) != NULL)) {
        buf_free(&out);
        return NULL;
    }
    (void)buf_cstr(&out);
    return (char *)buf_take(&out, &size);
}

static int compare_members(const void *a, const void *b)
{
    const struct discovery_member *left = a;
    const struct discovery_member *right = b;
    return (left->create_revision > right->create_revision) -
           (left->create_revision < right->create_revision);
}

int discovery_list_read(const struct json *answer, struct discovery_list *out, struct err *err)
{
    const struct json *kvs = json_get(answer, "kvs");
    out->count = 0;
    for (size_t i = 0; i < json_count(kvs); i++) {
        const struct json *kv = json_at(kvs, i);
        char *key = decoded(kv, "key");
        char *value = decoded(kv, "value");
        const char *revision = json_str(json_get(kv, "create_revision"), "0");
        if (key == NULL || value == NULL || strchr(value, '=') == NULL) {
            LOG_WARN("invalid peer info returned from discovery service",
                     LOG_STR("key", key == NULL ? "" : key));
            mem_free(key);
            mem_free(value);
            continue;
        }
        if (out->count == DISCOVERY_MEMBERS_MAX) {
            mem_free(key);
            mem_free(value);
            discovery_list_free(out);
            return err_set(err, E_TOO_BIG, "discovery: more than %u members are registered",
                           DISCOVERY_MEMBERS_MAX);
        }
        out->members[out->count++] =
            (struct discovery_member){key, value, strtoll(revision, NULL, 10)};
    }
    qsort(out->members, out->count, sizeof(out->members[0]), compare_members);
    return 0;
}

bool discovery_has_place(const struct discovery_list *list, const char *own_key, size_t size)
{
    for (size_t i = 0; i < list->count && i < size; i++) {
        if (str_equal(list->members[i].key, own_key)) {
            return true;
        }
    }
    return list->count < size;
}

char *discovery_text(const struct discovery_list *list, size_t size)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (size_t i = 0; i < list->count && i < size; i++) {
        buf_printf(&text, "%s%s", i == 0 ? "" : ",", list->members[i].value);
    }
    (void)buf_cstr(&text);
    return (char *)buf_take(&text, &size);
}

char *discovery_endpoint_url(const char *endpoint, size_t size, bool is_tls)
{
    while (size > 0 && *endpoint == ' ') {
        endpoint++;
        size--;
    }
    char *text = str_from(endpoint, size);
    if (strstr(text, "://") != NULL) {
        return text;
    }
    char *url = str_printf("%s://%s", is_tls ? "https" : "http", text);
    mem_free(text);
    return url;
}

/* ---- asking ---- */

struct question {
    struct discovery *discovery;
    const char *url, *path;
    struct bytes body;
    struct completion done;
    struct loop_timer timer;
    int code, status;
    struct buf answer;
    char text[160];
};

static void io_answered(void *ctx, const struct peer_fetch_answer *answer)
{
    struct question *question = ctx;
    question->code = answer->code;
    question->status = answer->status;
    buf_append(&question->answer, answer->body.data, answer->body.size);
    (void)snprintf(question->text, sizeof(question->text), "%s",
                   answer->text == NULL ? "" : answer->text);
    completion_signal(&question->done);
}

static void io_ask(void *ctx)
{
    struct question *question = ctx;
    struct server *server = question->discovery->server;
    const struct config_discovery *config = question->discovery->config;
    const struct peer_fetch fetch = {
        .loop = server->io.loop,
        .resolver = server->resolver,
        .tls = server_tls_seam(server->tls.discovery),
        .url = question->url,
        .method = "POST",
        .path = question->path,
        .content_type = "application/json",
        .authorization = question->discovery->login,
        .body = question->body,
        .timeout_ms = (uint64_t)BASE_MAX(config->request_timeout_ms + config->dial_timeout_ms, 1),
        .on_done = io_answered,
        .ctx = question};
    (void)peer_fetch_start(&fetch);
}

static void io_timer(void *ctx)
{
    completion_signal(&((struct question *)ctx)->done);
}

static void io_timer_start(void *ctx)
{
    struct question *sleep = ctx;
    loop_timer_init(sleep->discovery->server->io.loop, &sleep->timer, io_timer, sleep);
    loop_timer_set(&sleep->timer, (uint64_t)sleep->status);
}

/* Sleeps; a signal ends the process: nothing is written yet. */
static void rest(struct discovery *discovery, uint64_t ms, struct err *err)
{
    struct question sleep = {.discovery = discovery, .status = (int)ms};
    if (completion_init(&sleep.done, err) != 0) {
        return;
    }
    loop_post(discovery->server->io.loop, io_timer_start, &sleep);
    int number = process_wait_signal(&sleep.done);
    if (number != 0) {
        process_exit(128 + number);
    }
    completion_free(&sleep.done);
}

/* One endpoint. Gives the answer (json_free). */
static int ask_one(struct discovery *discovery, const char *path, struct bytes body,
                   struct json **out_answer, struct err *err)
{
    struct question question = {.discovery = discovery,
                                .url = discovery->endpoints[discovery->endpoint_at],
                                .path = path,
                                .body = body};
    int rc = completion_init(&question.done, err);
    if (rc != 0) {
        return rc;
    }
    buf_init(&question.answer, PEER_FETCH_BODY_BYTES_MAX);
    loop_post(discovery->server->io.loop, io_ask, &question);
    completion_wait(&question.done);
    completion_free(&question.done);
    struct json *answer = question.code == 0 ? json_parse((const char *)question.answer.data,
                                                          question.answer.size, NULL)
                                             : NULL;
    if (question.code != 0) {
        rc = err_set(err, question.code, "%s: %s", question.url, question.text);
    } else if (question.status == 404) {
        rc = err_set(err, E_UNSUPPORTED, "%s has no JSON gateway (--enable-grpc-gateway)",
                     question.url);
    } else if (question.status != 200 || answer == NULL) {
        rc = err_set(err, E_REFUSED, "%s: status %d: %s", question.url, question.status,
                     json_str(json_get(answer, "message"), ""));
    }
    buf_free(&question.answer);
    if (rc != 0) {
        json_free(answer);
        return rc;
    }
    *out_answer = answer;
    return 0;
}

/* The first endpoint that answers. Takes body. */
static int ask(struct discovery *discovery, const char *path, struct json *body,
               struct json **out_answer, struct err *err)
{
    char *text = json_text(body, JSON_COMPACT);
    int rc = E_UNAVAILABLE;
    json_free(body);
    for (size_t i = 0; i < discovery->endpoint_count && rc != 0; i++) {
        rc = ask_one(discovery, path, bytes_of_str(text), out_answer, err);
        if (rc != 0) {
            discovery->endpoint_at = (discovery->endpoint_at + 1) % discovery->endpoint_count;
        }
    }
    memset(text, 0, strlen(text)); /* it may hold a password */
    mem_free(text);
    return rc;
}

static void set_bytes(struct json *object, const char *field, const char *text)
{
    char *encoded = base64_text(bytes_of_str(text));
    json_set_str(object, field, encoded);
    mem_free(encoded);
}

/* Waits longer with each failure in a row, as etcd does. */
static void back_off(struct discovery *discovery, const char *step, struct err *err)
{
    discovery->failures = BASE_MIN(discovery->failures + 1, BACKOFF_STEPS_MAX);
    const uint64_t ms = UINT64_C(1000) << discovery->failures;
    LOG_WARN("retry connecting to discovery service", LOG_STR("reason", step),
             LOG_STR("error", err->text), LOG_DURATION("backoff", ms * NS_PER_MS));
    rest(discovery, ms, err);
}

/* What cannot be better at another try. */
static bool is_final(int rc)
{
    return rc == E_UNSUPPORTED || rc == E_TOO_BIG;
}

static int log_in(struct discovery *discovery, struct err *err)
{
    const char *user = discovery->config->user;
    if (!is_given(user)) {
        return 0;
    }
    const char *colon = strchr(user, ':');
    const bool is_apart = is_given(discovery->config->password);
    if (!is_apart && colon == NULL) {
        return err_set(err, E_INVALID,
                       "--discovery-user has no password: say NAME:PASSWORD, or "
                       "give --discovery-password");
    }
    struct json *body = json_object();
    struct json *answer = NULL;
    char *name = is_apart ? str_dup(user) : str_from(user, (size_t)(colon - user));
    json_set_str(body, "name", name);
    json_set_str(body, "password", is_apart ? discovery->config->password : colon + 1);
    mem_free(name);
    int rc = ask(discovery, "/v3/auth/authenticate", body, &answer, err);
    if (rc == 0) {
        discovery->login = str_dup(json_str(json_get(answer, "token"), ""));
        json_free(answer);
    }
    return rc;
}

/* ---- the steps ---- */

static int read_size(struct discovery *discovery, size_t *out_size, struct err *err)
{
    struct json *body = json_object();
    struct json *answer = NULL;
    char *key = str_printf(DISCOVERY_PREFIX "/%s/_config/size", discovery->config->token);
    set_bytes(body, "key", key);
    mem_free(key);
    int rc = ask(discovery, "/v3/kv/range", body, &answer, err);
    if (rc != 0) {
        return rc;
    }
    const struct json *kv = json_at(json_get(answer, "kvs"), 0);
    char *text = kv == NULL ? NULL : decoded(kv, "value");
    char *end = NULL;
    long long size = text == NULL ? 0 : strtoll(text, &end, 10);
    if (kv == NULL) {
        rc = err_set(err, E_UNSUPPORTED, "discovery: size key not found");
    } else if (text == NULL || *text == '\0' || *end != '\0' || size <= 0 ||
               size > (long long)SIZE_MAX_MEMBERS) {
        rc = err_set(err, E_UNSUPPORTED, "discovery: size key is bad");
    }
    mem_free(text);
    json_free(answer);
    *out_size = (size_t)size;
    return rc;
}

static int read_list(struct discovery *discovery, struct discovery_list *out, struct err *err)
{
    struct json *body = json_object();
    struct json *answer = NULL;
    char *key = str_printf(DISCOVERY_PREFIX "/%s/members", discovery->config->token);
    set_bytes(body, "key", key);
    key[strlen(key) - 1]++; /* all that begins so */
    set_bytes(body, "range_end", key);
    mem_free(key);
    int rc = ask(discovery, "/v3/kv/range", body, &answer, err);
    if (rc == 0) {
        rc = discovery_list_read(answer, out, err);
        json_free(answer);
    }
    return rc;
}

/* Size and list, tried until they are there. */
static int check_cluster(struct discovery *discovery, struct discovery_list *list, size_t *out_size,
                         struct err *err)
{
    for (;;) {
        int rc = read_size(discovery, out_size, err);
        if (rc == 0) {
            rc = read_list(discovery, list, err);
        }
        if (rc == 0 && !discovery_has_place(list, discovery->own_key, *out_size)) {
            discovery_list_free(list);
            return err_set(err, E_CONFLICT, "discovery: cluster is full");
        }
        if (rc == 0) {
            discovery->failures = 0;
        }
        if (rc == 0 || is_final(rc)) {
            return rc;
        }
        back_off(discovery, "cluster status check", err);
    }
}

static int put_self(struct discovery *discovery, struct err *err)
{
    for (;;) {
        struct json *body = json_object();
        struct json *answer = NULL;
        set_bytes(body, "key", discovery->own_key);
        set_bytes(body, "value", discovery->own_value);
        int rc = ask(discovery, "/v3/kv/put", body, &answer, err);
        if (rc == 0) {
            json_free(answer);
            discovery->failures = 0;
            LOG_INFO("registered with the discovery service",
                     LOG_STR("memberKey", discovery->own_key),
                     LOG_STR("memberInfo", discovery->own_value));
        }
        if (rc == 0 || is_final(rc)) {
            return rc;
        }
        back_off(discovery, "register member itself", err);
    }
}

static int join(struct discovery *discovery, char **out_initial_cluster, struct err *err)
{
    struct discovery_list *list = mem_zalloc(sizeof(*list));
    size_t size = 0;
    size_t shown = SIZE_MAX;
    int rc = log_in(discovery, err);
    if (rc == 0) {
        rc = check_cluster(discovery, list, &size, err);
    }
    if (rc == 0) {
        discovery_list_free(list);
        rc = put_self(discovery, err);
    }
    while (rc == 0) {
        rc = check_cluster(discovery, list, &size, err);
        if (rc != 0 || list->count >= size) {
            break;
        }
        if (shown != list->count) {
            LOG_INFO("waiting for peers from discovery service", LOG_U64("clusterSize", size),
                     LOG_U64("found-peers", list->count));
            shown = list->count;
        }
        discovery_list_free(list);
        rest(discovery, POLL_MS, err);
    }
    if (rc == 0) {
        *out_initial_cluster = discovery_text(list, size);
        LOG_INFO("discovery joined cluster successfully", LOG_STR("cluster", *out_initial_cluster));
    }
    discovery_list_free(list);
    mem_free(list);
    return rc;
}

/* ---- who asks whom ---- */

static bool wants_tls(const struct config_discovery *config)
{
    return !config->insecure_transport || is_given(config->cert) || is_given(config->key) ||
           is_given(config->cacert);
}

static int split_endpoints(struct discovery *discovery, struct err *err)
{
    for (const char *at = discovery->config->endpoints; *at != '\0';) {
        size_t size = strcspn(at, ",");
        if (discovery->endpoint_count == ENDPOINTS_MAX) {
            return err_set(err, E_TOO_BIG, "--discovery-endpoints names more than %u",
                           ENDPOINTS_MAX);
        }
        char *url = discovery_endpoint_url(at, size, wants_tls(discovery->config));
        struct url parsed;
        discovery->endpoints[discovery->endpoint_count++] = url;
        int rc = url_parse(url, &parsed, err);
        if (rc != 0) {
            return err_wrap(err, rc, "--discovery-endpoints");
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return 0;
}

/* Id and URLs of this member, as the others will make them out. */
static int describe_self(struct discovery *discovery, struct err *err)
{
    const struct server_config *config = discovery->server->config;
    struct membership *alone;
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    for (uint32_t i = 0; i < config->initial_advertise_peer_urls.count; i++) {
        buf_printf(&text, "%s%s=%s", i == 0 ? "" : ",", config->name,
                   config->initial_advertise_peer_urls.urls[i]);
    }
    int rc = membership_parse_initial(buf_cstr(&text), discovery->config->token,
                                      (size_t)config->max_learners, &alone, err);
    if (rc == 0) {
        discovery->own_key = str_printf(DISCOVERY_PREFIX "/%s/members/%" PRIx64,
                                        discovery->config->token, membership_at(alone, 0)->id);
        discovery->own_value = str_dup(buf_cstr(&text));
        membership_free(alone);
    }
    buf_free(&text);
    return rc == 0 ? 0 : err_wrap(err, rc, "--initial-advertise-peer-urls");
}

static int make_tls(struct discovery *discovery, struct err *err)
{
    const struct config_discovery *config = discovery->config;
    const struct tls_config tls = {.cert_file = config->cert,
                                   .key_file = config->key,
                                   .ca_file = config->cacert,
                                   .insecure_skip_verify = config->insecure_skip_verify,
                                   .protocols = TLS_PROTOCOLS_HTTP1};
    bool needed = false;
    for (size_t i = 0; i < discovery->endpoint_count; i++) {
        needed = needed || str_starts_with(discovery->endpoints[i], "https://") ||
                 str_starts_with(discovery->endpoints[i], "unixs://");
    }
    int rc = needed ? tls_maker_new(&tls, &discovery->server->tls.discovery, err) : 0;
    return rc == 0 ? 0 : err_wrap(err, rc, "--discovery-cert, --discovery-key, --discovery-cacert");
}

static int run_v3(struct server *server, char **out_initial_cluster, struct err *err)
{
    struct discovery discovery = {.server = server, .config = &server->config->discovery};
    int rc = split_endpoints(&discovery, err);
    if (rc == 0) {
        rc = make_tls(&discovery, err);
    }
    if (rc == 0) {
        rc = describe_self(&discovery, err);
    }
    if (rc == 0) {
        LOG_INFO("Bootstrapping cluster using v3 discovery.",
                 LOG_STR("discovery-endpoints", discovery.config->endpoints));
        rc = join(&discovery, out_initial_cluster, err);
    }
    for (size_t i = 0; i < discovery.endpoint_count; i++) {
        mem_free(discovery.endpoints[i]);
    }
    mem_free(discovery.login);
    mem_free(discovery.own_key);
    mem_free(discovery.own_value);
    return rc;
}

int discovery_run(struct server *server, char **out_initial_cluster, const char **out_token,
                  struct err *err)
{
    const struct server_config *config = server->config;
    *out_token = config->initial_cluster_token;
    if (is_given(config->discovery.url)) {
        return err_set(err, E_UNSUPPORTED,
                       "--discovery: the protocol of v2 discovery is not spoken; use "
                       "--discovery-endpoints and --discovery-token, or --discovery-srv");
    }
    if (is_given(config->discovery.srv)) {
        return discovery_srv_run(config, out_initial_cluster, err);
    }
    *out_token = config->discovery.token;
    return run_v3(server, out_initial_cluster, err);
}
