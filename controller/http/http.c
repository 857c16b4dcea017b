/* SPDX-License-Identifier: Apache-2.0 */
/* The transfers of http.h on a curl multi handle. Callbacks only record; nobody else is called. */
#include "controller/http/http.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/map.h"

/* Unanswered bytes for so long mean that the peer is gone, not slow: the connection must not be
 * reused. */
#define HTTP_DEAD_PEER_MS   5000
#define HTTP_CONNECTION_AGE 118L

struct http {
    CURLM *multi;
    struct map suspects; /* host part of a URL whose last transfer timed out: connect anew */
    size_t transfer_count;
    int fds[HTTP_WATCHED_FDS_MAX];
    size_t fd_count;
};

struct http_transfer {
    struct http *http;
    CURL *easy;
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    char *host; /* scheme://host:port, the key of suspects */
    struct buf body;
    struct buf header_lines; /* "name\0value\0" pairs, in order of arrival */
    CURLcode code;
    bool is_done;
    bool is_stream;
    bool is_paused;
    char message[CURL_ERROR_SIZE];
};

struct http *http_new(void)
{
    struct http *http = mem_zalloc(sizeof(*http));
    http->multi = curl_multi_init();
    ASSERT(http->multi != NULL);
    curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_CONNECTIONS_MAX);
    map_init(&http->suspects);
    return http;
}

void http_free(struct http *http)
{
    if (http == NULL) {
        return;
    }
    ASSERT(http->transfer_count == 0);
    curl_multi_cleanup(http->multi);
    map_free(&http->suspects);
    mem_free(http);
}

void http_watch_fd(struct http *http, int fd)
{
    ASSERT(http->fd_count < HTTP_WATCHED_FDS_MAX);
    http->fds[http->fd_count++] = fd;
}

void http_wake(struct http *http)
{
    curl_multi_wakeup(http->multi);
}

static size_t on_body(char *data, size_t one, size_t count, void *ctx)
{
    struct http_transfer *transfer = ctx;
    size_t size = one * count;
    /* A stream always takes one piece into an empty buffer, so that its reader can never starve. */
    if (transfer->is_stream && transfer->body.size > 0 &&
        transfer->body.size + size > HTTP_STREAM_BYTES_MAX) {
        transfer->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    return buf_append(&transfer->body, data, size) == 0 ? size : 0;
}

static size_t on_header(char *data, size_t one, size_t count, void *ctx)
{
    struct http_transfer *transfer = ctx;
    size_t size = one * count;
    if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        buf_clear(&transfer->header_lines);
        return size;
    }
    char *colon = memchr(data, ':', size);
    if (colon == NULL) {
        return size;
    }
    size_t name_size = (size_t)(colon - data);
    const char *value = colon + 1;
    const char *end = data + size;
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) {
        end--;
    }
    for (size_t i = 0; i < name_size; i++) {
        char c = data[i];
        buf_append_byte(&transfer->header_lines,
                        (uint8_t)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c));
    }
    buf_append_byte(&transfer->header_lines, 0);
    buf_append(&transfer->header_lines, value, (size_t)(end - value));
    buf_append_byte(&transfer->header_lines, 0);
    return transfer->header_lines.overflowed ? 0 : size;
}

static int on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    (void)ctx;
    if (purpose == CURLSOCKTYPE_IPCXN) {
        unsigned int dead_ms = HTTP_DEAD_PEER_MS;
        /* Best effort: a socket without it only notices a dead peer later. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
    }
    return CURL_SOCKOPT_OK;
}

static void blob_set(CURL *easy, CURLoption option, const char *pem)
{
    if (pem == NULL) {
        return;
    }
    struct curl_blob blob = {
        .data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};
    curl_easy_setopt(easy, option, &blob);
}

static void tls_set(CURL *easy, const struct http_tls *tls)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (tls == NULL) {
        return;
    }
    blob_set(easy, CURLOPT_CAINFO_BLOB, tls->ca_pem);
    blob_set(easy, CURLOPT_SSLCERT_BLOB, tls->cert_pem);
    blob_set(easy, CURLOPT_SSLKEY_BLOB, tls->key_pem);
    if (tls->insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

/* scheme://authority of a URL. */
static char *url_host(const char *url)
{
    const char *authority = strstr(url, "://");
    const char *from = authority == NULL ? url : authority + 3;
    return str_from(url, (size_t)(from - url) + strcspn(from, "/?"));
}

static void headers_set(struct http_transfer *transfer, const struct http_request *request)
{
    for (size_t i = 0; i < request->header_count; i++) {
        transfer->headers = curl_slist_append(transfer->headers, request->headers[i]);
    }
    /* No round trip for "100-continue": what we send is small. */
    transfer->headers = curl_slist_append(transfer->headers, "Expect:");
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
}

static void body_set(CURL *easy, const struct http_request *request)
{
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (request->has_body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
                         request->body.size == 0 ? "" : (const char *)request->body.data);
    } else if (strcmp(request->method, "GET") == 0) {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
}

static void limits_set(CURL *easy, const struct http_request *request)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 10L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, HTTP_CONNECTION_AGE);
    uint64_t connect_ms = HTTP_CONNECT_MS;
    if (request->timeout_ms != 0) {
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
        connect_ms = BASE_MIN(connect_ms, request->timeout_ms);
    }
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    if (request->idle_ms != 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)((request->idle_ms + 999) / 1000));
    }
}

struct http_transfer *http_start(struct http *http, const struct http_request *request)
{
    struct http_transfer *transfer = mem_zalloc(sizeof(*transfer));
    transfer->http = http;
    transfer->is_stream = request->is_stream;
    transfer->host = url_host(request->url);
    size_t body_max = request->body_bytes_max == 0 ? HTTP_BODY_BYTES_MAX : request->body_bytes_max;
    buf_init(&transfer->body, request->is_stream ? HTTP_BODY_BYTES_MAX : body_max);
    buf_init(&transfer->header_lines, HTTP_HEADER_BYTES_MAX);
    CURL *easy = curl_easy_init();
    ASSERT(easy != NULL);
    transfer->easy = easy;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->message);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    bool is_tls = strncmp(request->url, "https://", 8) == 0;
    bool is_clear_h2 = request->version == HTTP_VERSION_2_ONLY && !is_tls;
    curl_easy_setopt(
        easy, CURLOPT_HTTP_VERSION,
        (long)(is_clear_h2 ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : CURL_HTTP_VERSION_2TLS));
    if (is_clear_h2) {
        /* libcurl 7.88 breaks a clear-text HTTP/2 connection when it is used again (curl #10634):
         * one connection per call there. With TLS calls share one. */
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    }
    limits_set(easy, request);
    tls_set(easy, request->tls);
    headers_set(transfer, request);
    body_set(easy, request);
    if (request->connect_to != NULL) {
        bool is_v6 = strchr(request->connect_to, ':') != NULL;
        char *entry = str_printf(is_v6 ? "::[%s]:" : "::%s:", request->connect_to);
        transfer->connect_to = curl_slist_append(NULL, entry);
        mem_free(entry);
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, transfer->connect_to);
    }
    if (map_remove(&http->suspects, bytes_of_str(transfer->host)) != NULL) {
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    }
    http->transfer_count++;
    CURLMcode code = curl_multi_add_handle(http->multi, easy);
    ASSERT(code == CURLM_OK);
    return transfer;
}

static void messages_take(struct http *http)
{
    int left = 0;
    for (CURLMsg *msg; (msg = curl_multi_info_read(http->multi, &left)) != NULL;) {
        if (msg->msg != CURLMSG_DONE) {
            continue;
        }
        CURLcode code = msg->data.result;
        char *owner = NULL;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &owner);
        struct http_transfer *transfer = (struct http_transfer *)(void *)owner;
        transfer->is_done = true;
        transfer->code = code;
        if (code == CURLE_OPERATION_TIMEDOUT) {
            map_set(&http->suspects, bytes_of_str(transfer->host), http);
        }
    }
}

void http_turn(struct http *http, uint64_t timeout_ms)
{
    int running = 0;
    curl_multi_perform(http->multi, &running);
    messages_take(http);
    if (timeout_ms > 0) {
        struct curl_waitfd fds[HTTP_WATCHED_FDS_MAX];
        for (size_t i = 0; i < http->fd_count; i++) {
            fds[i] = (struct curl_waitfd){.fd = http->fds[i], .events = CURL_WAIT_POLLIN};
        }
        int wait_ms = timeout_ms > 60000 ? 60000 : (int)timeout_ms;
        curl_multi_poll(http->multi, fds, (unsigned int)http->fd_count, wait_ms, NULL);
        curl_multi_perform(http->multi, &running);
        messages_take(http);
    }
}

void http_wait(struct http *http, struct http_transfer *transfer)
{
    http_turn(http, 0);
    while (!transfer->is_done) {
        /* Watched descriptors stay readable until the main loop reads them: do not look at them
         * here. */
        curl_multi_poll(http->multi, NULL, 0, 1000, NULL);
        http_turn(http, 0);
    }
}

bool http_done(const struct http_transfer *transfer)
{
    return transfer->is_done;
}

int http_result(const struct http_transfer *transfer, struct err *err)
{
    ASSERT(transfer->is_done);
    if (transfer->body.overflowed || transfer->header_lines.overflowed) {
        return err_set(err, E_TOO_BIG, "%s: response larger than its limit", transfer->host);
    }
    int code = E_IO;
    switch ((int)transfer->code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        code = E_TIMEOUT;
        break;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        code = E_UNAVAILABLE;
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        code = E_PERMISSION;
        break;
    default:
        break;
    }
    const char *text =
        transfer->message[0] != 0 ? transfer->message : curl_easy_strerror(transfer->code);
    return err_set(err, code, "%s: %s", transfer->host, text);
}

int http_status(const struct http_transfer *transfer)
{
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

const char *http_header(const struct http_transfer *transfer, const char *name)
{
    const char *found = NULL;
    const char *at = (const char *)transfer->header_lines.data;
    const char *end = at + transfer->header_lines.size;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, name) == 0) {
            found = value;
        }
        at = value + strlen(value) + 1;
    }
    return found;
}

struct bytes http_body(const struct http_transfer *transfer)
{
    return buf_bytes(&transfer->body);
}

void http_consume(struct http_transfer *transfer, size_t count)
{
    buf_consume(&transfer->body, count);
    if (transfer->is_paused && transfer->body.size < HTTP_STREAM_BYTES_MAX / 2) {
        transfer->is_paused = false;
        curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
    }
}

void http_transfer_free(struct http_transfer *transfer)
{
    if (transfer == NULL) {
        return;
    }
    curl_multi_remove_handle(transfer->http->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->connect_to);
    transfer->http->transfer_count--;
    buf_free(&transfer->body);
    buf_free(&transfer->header_lines);
    mem_free(transfer->host);
    mem_free(transfer);
}
