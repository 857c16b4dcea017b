/* SPDX-License-Identifier: Apache-2.0 */
/* Three paths on libwebsockets. */
#include "controller/serve/serve.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/metrics.h"
#include "base/seam/clock.h"

#define HEADER_SPACE    1024u
#define METRICS_MAX     (4u * 1024u * 1024u)
#define IDLE_SECONDS    30
#define CONNECTIONS_MAX 64

struct serve {
    const struct serve_state *state;
    struct lws_context *context;
    pthread_t thread;
    char *interface; /* NULL: all */
    _Atomic bool stopping;
};

/* One answer under way; lws keeps one per connection, zeroed. */
struct answer {
    uint8_t *text; /* LWS_PRE free bytes, then the body */
    size_t size;
};

static bool is_alive(const struct serve *serve)
{
    int64_t now_ms = (int64_t)clock_monotonic_ms(clock_posix());
    return now_ms - atomic_load(&((struct serve_state *)(uintptr_t)serve->state)->turned_ms) <
           SERVE_STUCK_MS;
}

static bool is_ready(const struct serve *serve)
{
    return is_alive(serve) &&
           atomic_load(&((struct serve_state *)(uintptr_t)serve->state)->is_ready);
}

/* The body of path; *out_status its status. */
static void body_make(const struct serve *serve, const char *path, struct buf *out,
                      unsigned int *out_status)
{
    *out_status = HTTP_STATUS_OK;
    if (strcmp(path, "/metrics") == 0) {
        metrics_write(out);
    } else if (strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0) {
        bool good = path[1] == 'h' ? is_alive(serve) : is_ready(serve);
        buf_append_str(out, good ? "ok\n" : "not ok\n");
        *out_status = good ? HTTP_STATUS_OK : HTTP_STATUS_SERVICE_UNAVAILABLE;
    } else {
        buf_append_str(out, "not found\n");
        *out_status = HTTP_STATUS_NOT_FOUND;
    }
}

static int answer_start(const struct serve *serve, struct lws *wsi, struct answer *answer,
                        const char *path)
{
    struct buf body;
    buf_init(&body, METRICS_MAX);
    static const uint8_t ROOM[LWS_PRE] = {0};
    buf_append(&body, ROOM, sizeof(ROOM));
    unsigned int status = 0;
    body_make(serve, path, &body, &status);
    size_t size = 0;
    mem_free(answer->text);
    answer->text = buf_take(&body, &size);
    answer->size = size - LWS_PRE;
    uint8_t space[LWS_PRE + HEADER_SPACE];
    uint8_t *start = space + LWS_PRE;
    uint8_t *at = start;
    uint8_t *end = space + sizeof(space) - 1;
    const char *type = strcmp(path, "/metrics") == 0 ? "text/plain; version=0.0.4" : "text/plain";
    if (lws_add_http_common_headers(wsi, status, type, answer->size, &at, end) != 0 ||
        lws_finalize_write_http_header(wsi, start, &at, end) != 0) {
        return 1;
    }
    lws_callback_on_writable(wsi);
    return 0;
}

static int answer_write(struct lws *wsi, struct answer *answer)
{
    if (answer->text == NULL) {
        return 0;
    }
    int written = lws_write(wsi, answer->text + LWS_PRE, answer->size, LWS_WRITE_HTTP_FINAL);
    mem_free(answer->text);
    answer->text = NULL;
    if (written < 0) {
        return -1;
    }
    return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}

static int on_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len)
{
    struct answer *answer = user;
    struct serve *serve = lws_context_user(lws_get_context(wsi));
    switch ((int)reason) {
    case LWS_CALLBACK_HTTP:
        return answer_start(serve, wsi, answer, in);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return answer_write(wsi, answer);
    case LWS_CALLBACK_CLOSED_HTTP:
        if (answer != NULL) {
            mem_free(answer->text);
            answer->text = NULL;
        }
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, len);
    }
}

static const struct lws_protocols PROTOCOLS[] = {
    {.name = "http", .callback = on_http, .per_session_data_size = sizeof(struct answer)},
    {.name = NULL},
};

static void *serve_run(void *arg)
{
    struct serve *serve = arg;
    while (!atomic_load(&serve->stopping) && lws_service(serve->context, 0) >= 0) {
    }
    return NULL;
}

/* Splits "host:port"; *out_host is NULL for all interfaces (mem_free). */
static int address_split(const char *address, char **out_host, int *out_port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon[1] == 0 || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) > 5) {
        return E_INVALID;
    }
    long port = strtol(colon + 1, NULL, 10);
    if (port < 1 || port > 65535) {
        return E_INVALID;
    }
    size_t size = (size_t)(colon - address);
    bool is_v6 = size >= 2 && address[0] == '[' && address[size - 1] == ']';
    *out_port = (int)port;
    *out_host = size == 0 ? NULL : str_from(address + is_v6, size - 2u * is_v6);
    return 0;
}

int serve_start(const char *address, const struct serve_state *state, struct serve **out_serve,
                struct err *err)
{
    int port = 0;
    char *host = NULL;
    if (address_split(address, &host, &port) != 0) {
        return err_set(err, E_INVALID, "address \"%s\" is not host:port", address);
    }
    struct serve *serve = mem_zalloc(sizeof(*serve));
    serve->state = state;
    serve->interface = host;
    lws_set_log_level(0, NULL); /* what fails is said by err */
    uint64_t options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                       LWS_SERVER_OPTION_HTTP_HEADERS_SECURITY_BEST_PRACTICES_ENFORCE;
    if (host != NULL && strchr(host, ':') == NULL) {
        options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    }
    const struct lws_context_creation_info info = {
        .port = port,
        .iface = host,
        .protocols = PROTOCOLS,
        .user = serve,
        .server_string = "quorate-operator",
        .fd_limit_per_thread = CONNECTIONS_MAX,
        .timeout_secs = IDLE_SECONDS,
        .keepalive_timeout = IDLE_SECONDS,
        .gid = -1,
        .uid = -1,
        .options = options,
    };
    serve->context = lws_create_context(&info);
    if (serve->context == NULL) {
        mem_free(serve->interface);
        mem_free(serve);
        return err_set(err, E_IN_USE, "cannot listen on %s", address);
    }
    int rc = pthread_create(&serve->thread, NULL, serve_run, serve);
    if (rc != 0) {
        lws_context_destroy(serve->context);
        mem_free(serve->interface);
        mem_free(serve);
        return err_set(err, err_from_errno(rc), "cannot start the thread that serves %s", address);
    }
    *out_serve = serve;
    return 0;
}

void serve_stop(struct serve *serve)
{
    if (serve == NULL) {
        return;
    }
    atomic_store(&serve->stopping, true);
    lws_cancel_service(serve->context);
    pthread_join(serve->thread, NULL);
    lws_context_destroy(serve->context);
    mem_free(serve->interface);
    mem_free(serve);
}
