/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes API calls over controller/http: requests, error texts, and waiting when throttled. */
#include "controller/kube/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"

#define LIST_PAGE 500
#define URL_MAX   8192u

struct kube_client {
    struct http *http;
    const struct clock_seam *clock;
    struct kube_config *config;
    struct http_tls tls;
    uint64_t token_read_ms;
    struct kube_seam seam;
};

static const char *const VERB_TEXTS[KUBE_VERB_COUNT] = {
    [KUBE_GET] = "get",         [KUBE_LIST] = "list",   [KUBE_CREATE] = "create",
    [KUBE_REPLACE] = "replace", [KUBE_APPLY] = "apply", [KUBE_MERGE_PATCH] = "patch",
    [KUBE_DELETE] = "delete",
};

static const char *const VERB_METHODS[KUBE_VERB_COUNT] = {
    [KUBE_GET] = "GET",       [KUBE_LIST] = "GET",    [KUBE_CREATE] = "POST",
    [KUBE_REPLACE] = "PUT",   [KUBE_APPLY] = "PATCH", [KUBE_MERGE_PATCH] = "PATCH",
    [KUBE_DELETE] = "DELETE",
};

const char *kube_verb_text(enum kube_verb verb)
{
    ASSERT(verb < KUBE_VERB_COUNT);
    return VERB_TEXTS[verb];
}

bool kube_verb_mutates(enum kube_verb verb)
{
    return verb != KUBE_GET && verb != KUBE_LIST;
}

int kube_call(const struct kube_seam *seam, const struct kube_call *call, struct json **out_object,
              struct err *err)
{
    return seam->call(seam->ctx, call, out_object, err);
}

int kube_get(const struct kube_seam *seam, enum kube_kind_id kind, const char *namespace_,
             const char *name, struct json **out_object, struct err *err)
{
    const struct kube_call call = {
        .verb = KUBE_GET, .kind = &KUBE_KINDS[kind], .namespace_ = namespace_, .name = name};
    return kube_call(seam, &call, out_object, err);
}

uint64_t kube_retry_after_ms(const char *header, uint64_t fallback_ms)
{
    if (header == NULL || header[0] < '0' || header[0] > '9') {
        return fallback_ms;
    }
    uint64_t seconds = strtoull(header, NULL, 10);
    return seconds > UINT64_MAX / 1000 ? fallback_ms : seconds * 1000;
}

static int status_code(int status, const char *reason)
{
    switch (status) {
    case 404:
        return E_NOT_FOUND;
    case 409:
        return strcmp(reason, "AlreadyExists") == 0 ? E_EXISTS : E_CONFLICT;
    case 410:
        return E_COMPACTED;
    case 400:
    case 405:
    case 415:
    case 422:
        return E_INVALID;
    case 401:
    case 403:
        return E_PERMISSION;
    case 413:
        return E_TOO_BIG;
    case 429:
        return E_AGAIN;
    case 504:
        return E_TIMEOUT;
    default:
        return status >= 500 ? E_UNAVAILABLE : E_CORRUPT;
    }
}

int kube_status_error(int status, struct bytes body, const char *what, struct err *err)
{
    if (status >= 200 && status < 300) {
        return 0;
    }
    struct json *reply = json_parse((const char *)body.data, body.size, NULL);
    const char *reason = json_str(json_get(reply, "reason"), "");
    const char *message = json_str(json_get(reply, "message"), "");
    int code = status_code(status, reason);
    if (message[0] != 0) {
        err_set(err, code, "%s: %d %s: %s", what, status, reason, message);
    } else {
        int shown = body.size > 200 ? 200 : (int)body.size;
        err_set(err, code, "%s: %d: %.*s", what, status, shown,
                body.data == NULL ? "" : (const char *)body.data);
    }
    json_free(reply);
    return code;
}

/* "delete pods demo/demo-0" */
static char *call_text(const struct kube_call *call)
{
    struct buf buf;
    buf_init(&buf, URL_MAX);
    buf_printf(&buf, "%s %s", kube_verb_text(call->verb), call->kind->plural);
    if (call->subresource != NULL) {
        buf_printf(&buf, "/%s", call->subresource);
    }
    buf_append_byte(&buf, ' ');
    if (call->kind->namespaced && call->namespace_ != NULL) {
        buf_printf(&buf, "%s/", call->namespace_);
    }
    const char *name =
        call->name != NULL ? call->name : json_path_str(call->body, "metadata.name", "");
    buf_append_str(&buf, name);
    char *text = str_dup(buf_cstr(&buf));
    buf_free(&buf);
    return text;
}

static void query_append(struct buf *url, bool *any, const char *name, const char *value)
{
    buf_append_byte(url, *any ? '&' : '?');
    *any = true;
    buf_printf(url, "%s=", name);
    kube_escape(value, url);
}

static void call_url(const struct kube_client *client, const struct kube_call *call,
                     const char *page_token, struct buf *url)
{
    buf_append_str(url, client->config->server);
    kube_kind_path(call->kind, call->namespace_,
                   call->verb == KUBE_CREATE || call->verb == KUBE_LIST ? NULL : call->name,
                   call->subresource, url);
    bool any = false;
    if (call->verb == KUBE_APPLY) {
        query_append(url, &any, "fieldManager", KUBE_FIELD_MANAGER);
        query_append(url, &any, "force", "true");
    } else if (call->verb == KUBE_CREATE || call->verb == KUBE_REPLACE ||
               call->verb == KUBE_MERGE_PATCH) {
        query_append(url, &any, "fieldManager", KUBE_FIELD_MANAGER);
    }
    if (call->verb == KUBE_LIST) {
        if (call->label_selector != NULL) {
            query_append(url, &any, "labelSelector", call->label_selector);
        }
        char limit[16];
        snprintf(limit, sizeof(limit), "%d", LIST_PAGE);
        query_append(url, &any, "limit", limit);
        if (page_token != NULL) {
            query_append(url, &any, "continue", page_token);
        }
    }
}

/* DeleteOptions of a delete. */
static struct json *delete_options(const struct kube_call *call)
{
    struct json *options = json_object();
    json_set_str(options, "kind", "DeleteOptions");
    json_set_str(options, "apiVersion", "v1");
    json_set_str(options, "propagationPolicy", call->foreground ? "Foreground" : "Background");
    if (call->has_grace) {
        json_set_int(options, "gracePeriodSeconds", call->grace_seconds);
    }
    if (call->if_uid != NULL) {
        json_set_str(json_ensure_object(options, "preconditions"), "uid", call->if_uid);
    }
    if (call->if_version != NULL) {
        json_set_str(json_ensure_object(options, "preconditions"), "resourceVersion",
                     call->if_version);
    }
    return options;
}

static char *body_text(const struct kube_call *call)
{
    if (call->verb == KUBE_DELETE) {
        struct json *options = delete_options(call);
        char *text = json_text(options, JSON_COMPACT);
        json_free(options);
        return text;
    }
    return call->body == NULL ? NULL : json_text(call->body, JSON_COMPACT);
}

static const char *content_type(enum kube_verb verb)
{
    if (verb == KUBE_APPLY) {
        /* JSON is YAML, and this is the only type that every server takes for an apply. */
        return "Content-Type: application/apply-patch+yaml";
    }
    if (verb == KUBE_MERGE_PATCH) {
        return "Content-Type: application/merge-patch+json";
    }
    return "Content-Type: application/json";
}

/* Starts a request with the headers that every request has. */
static struct http_transfer *request_start(struct kube_client *client, struct http_request *request,
                                           const char *type)
{
    uint64_t now_ms = clock_monotonic_ms(client->clock);
    if (client->config->token_file != NULL &&
        now_ms - client->token_read_ms >= KUBE_TOKEN_REREAD_MS) {
        client->token_read_ms = now_ms;
        kube_config_reread_token(client->config);
    }
    const char *headers[4];
    size_t count = 0;
    headers[count++] = "Accept: application/json";
    headers[count++] = "User-Agent: quorate-operator";
    char *authorization = NULL;
    if (client->config->token != NULL) {
        authorization = str_printf("Authorization: Bearer %s", client->config->token);
        headers[count++] = authorization;
    }
    if (type != NULL) {
        headers[count++] = type;
    }
    request->headers = headers;
    request->header_count = count;
    request->tls = &client->tls;
    struct http_transfer *transfer = http_start(client->http, request);
    mem_free(authorization);
    return transfer;
}

/* One exchange. Gives the finished transfer. */
static struct http_transfer *exchange(struct kube_client *client, const struct kube_call *call,
                                      const char *page_token)
{
    struct buf url;
    buf_init(&url, URL_MAX);
    call_url(client, call, page_token, &url);
    char *body = body_text(call);
    struct http_request request = {
        .method = VERB_METHODS[call->verb],
        .url = buf_cstr(&url),
        .has_body = body != NULL,
        .body = body != NULL ? bytes_of_str(body) : bytes_of(NULL, 0),
        .timeout_ms = KUBE_CALL_MS,
    };
    struct http_transfer *transfer =
        request_start(client, &request, body != NULL ? content_type(call->verb) : NULL);
    http_wait(client->http, transfer);
    mem_free(body);
    buf_free(&url);
    return transfer;
}

static void pause_for(struct kube_client *client, uint64_t wait_ms)
{
    uint64_t until_ms = clock_monotonic_ms(client->clock) + wait_ms;
    for (uint64_t now_ms; (now_ms = clock_monotonic_ms(client->clock)) < until_ms;) {
        http_turn(client->http, until_ms - now_ms);
    }
}

/* One exchange, repeated while the server throttles us. */
static int exchange_patiently(struct kube_client *client, const struct kube_call *call,
                              const char *page_token, const char *what, struct json **out_object,
                              struct err *err)
{
    for (uint32_t attempt = 1;; attempt++) {
        struct http_transfer *transfer = exchange(client, call, page_token);
        int rc = http_result(transfer, err);
        if (rc != 0) {
            http_transfer_free(transfer);
            return err_wrap(err, rc, "%s", what);
        }
        rc = kube_status_error(http_status(transfer), http_body(transfer), what, err);
        uint64_t wait_ms = kube_retry_after_ms(http_header(transfer, "retry-after"), 1000);
        if (rc == 0) {
            struct bytes body = http_body(transfer);
            *out_object = json_parse((const char *)body.data, body.size, err);
            rc = *out_object == NULL ? err_wrap(err, E_CORRUPT, "%s: answer", what) : 0;
        }
        http_transfer_free(transfer);
        if (rc != E_AGAIN || attempt == KUBE_THROTTLE_TRIES) {
            return rc;
        }
        pause_for(client, BASE_MIN(wait_ms, KUBE_THROTTLE_MS_MAX));
    }
}

/* All pages of a list as one object. */
static int list_pages(struct kube_client *client, const struct kube_call *call, const char *what,
                      struct json **out_object, struct err *err)
{
    struct json *whole = NULL;
    char *token = NULL;
    int rc = 0;
    do {
        struct json *page = NULL;
        rc = exchange_patiently(client, call, token, what, &page, err);
        mem_free(token);
        token = NULL;
        if (rc != 0) {
            break;
        }
        const char *next = json_path_str(page, "metadata.continue", "");
        token = next[0] == 0 ? NULL : str_dup(next);
        if (whole == NULL) {
            whole = page;
            continue;
        }
        struct json *items = json_get(page, "items");
        struct json *all = json_ensure_array(whole, "items");
        for (size_t i = 0; i < json_count(items); i++) {
            json_append(all, json_copy(json_at(items, i)));
        }
        json_free(page);
    } while (token != NULL);
    if (rc != 0) {
        json_free(whole);
        return rc;
    }
    *out_object = whole;
    return 0;
}

static int client_call(void *ctx, const struct kube_call *call, struct json **out_object,
                       struct err *err)
{
    struct kube_client *client = ctx;
    char *what = call_text(call);
    struct json *object = NULL;
    int rc = call->verb == KUBE_LIST ? list_pages(client, call, what, &object, err)
                                     : exchange_patiently(client, call, NULL, what, &object, err);
    mem_free(what);
    if (rc != 0) {
        return rc;
    }
    if (out_object != NULL) {
        *out_object = object;
    } else {
        json_free(object);
    }
    return 0;
}

struct kube_client *kube_client_new(struct http *http, const struct clock_seam *clock,
                                    struct kube_config *config)
{
    struct kube_client *client = mem_zalloc(sizeof(*client));
    client->http = http;
    client->clock = clock;
    client->config = config;
    client->tls = kube_config_tls(config);
    client->token_read_ms = clock_monotonic_ms(clock);
    client->seam = (struct kube_seam){.ctx = client, .call = client_call};
    return client;
}

void kube_client_free(struct kube_client *client)
{
    if (client == NULL) {
        return;
    }
    kube_config_free(client->config);
    mem_free(client);
}

const struct kube_seam *kube_client_seam(struct kube_client *client)
{
    return &client->seam;
}

const struct kube_config *kube_client_config(const struct kube_client *client)
{
    return client->config;
}

struct http_transfer *kube_client_get(struct kube_client *client, const char *path, bool is_stream,
                                      uint64_t timeout_ms, uint64_t idle_ms)
{
    char *url = str_printf("%s%s", client->config->server, path);
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .is_stream = is_stream,
                                   .timeout_ms = timeout_ms,
                                   .idle_ms = idle_ms};
    struct http_transfer *transfer = request_start(client, &request, NULL);
    mem_free(url);
    return transfer;
}
