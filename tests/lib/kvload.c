/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that puts without pause, through failures: N streams in flight over HTTP/2 (one
 * connection per endpoint), each on its own keys. Every value is written once. What was sent and
 * what was acknowledged, with its revision, goes to a file, so that a suite can hold the members to
 * it: sent KEY VALUE            before the request leaves done KEY VALUE REVISION   the server said
 * yes A put that fails is not repeated (its outcome is unknown); the stream goes on with its next
 * value at the next endpoint. With --cacert (and --cert, --key) the endpoints are https.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ENDPOINTS_MAX    16
#define STREAMS_MAX      1000
#define VALUE_BYTES_MAX  (8u * 1024u * 1024u)
#define FAILURE_PAUSE_MS 20
#define POLL_MS          5
#define HANDSHAKE_S      5
#define AUTHORITY_MAX    128

struct options {
    const char *endpoints[ENDPOINTS_MAX];
    int endpoint_count;
    int streams;
    int keys;        /* per stream */
    int value_bytes; /* values are filled up to it */
    long timeout_ms;
    double seconds;    /* 0: until count */
    uint64_t count;    /* 0: until seconds */
    double per_second; /* 0: as fast as it goes */
    const char *prefix;
    const char *record;
    const char *cacert, *cert, *key; /* cacert NULL: no TLS */
};

struct run;

/* The connection to one endpoint; made when it is needed. */
struct link {
    struct run *run;
    char host[AUTHORITY_MAX], port[16], authority[AUTHORITY_MAX + 16];
    int fd;   /* -1: none */
    SSL *ssl; /* NULL: plain */
    nghttp2_session *session;
};

/* One put in flight at a time. */
struct stream {
    int number;
    int endpoint;
    uint64_t turn;
    double not_before; /* pause after a failure */
    double due;
    int32_t id; /* in the link's session; -1: nothing runs */
    char key[96];
    char value[64];
    uint8_t *body;
    size_t body_size, body_sent;
    uint8_t answer[4096];
    size_t answer_size;
    int grpc_status;
    char grpc_message[96];
};

struct run {
    struct options options;
    SSL_CTX *tls; /* NULL: plain */
    FILE *record;
    struct link links[ENDPOINTS_MAX];
    struct stream streams[STREAMS_MAX];
    uint64_t sent, done, failed;
    double longest_gap, last_done;
    char last_failure[160];
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- the few bytes of protobuf and gRPC that a put needs ---- */

static size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        out[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[size++] = (uint8_t)value;
    return size;
}

static size_t put_bytes(uint8_t *out, unsigned field, const char *data, size_t size)
{
    size_t at = put_varint(out, (uint64_t)field << 3 | 2);
    at += put_varint(out + at, size);
    memcpy(out + at, data, size);
    return at + size;
}

static bool get_varint(const uint8_t *data, size_t size, size_t *at, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && *at < size; shift += 7) {
        uint8_t byte = data[(*at)++];
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

/* The varint field of a message (0: not there); with inner set, that of its first submessage. */
static uint64_t find_field(const uint8_t *data, size_t size, unsigned field, const uint8_t **inner,
                           size_t *inner_size)
{
    size_t at = 0;
    uint64_t tag;
    uint64_t value;
    while (get_varint(data, size, &at, &tag)) {
        if (!get_varint(data, size, &at, &value)) {
            return 0;
        }
        if ((tag & 7) == 2) {
            if (value > size - at) {
                return 0;
            }
            if (tag >> 3 == field && inner != NULL) {
                *inner = data + at;
                *inner_size = (size_t)value;
                return 1;
            }
            at += (size_t)value;
        } else if ((tag & 7) != 0) {
            return 0;
        } else if (tag >> 3 == field && inner == NULL) {
            return value;
        }
    }
    return 0;
}

/* header.revision of a PutResponse in a gRPC frame; 0: it is not one. */
static uint64_t answer_revision(const struct stream *stream)
{
    const uint8_t *header = NULL;
    size_t header_size = 0;
    if (stream->answer_size < 5 ||
        find_field(stream->answer + 5, stream->answer_size - 5, 1, &header, &header_size) == 0) {
        return 0;
    }
    return find_field(header, header_size, 3, NULL, NULL);
}

/* ---- one put ---- */

/* The put is over: acknowledged, or nobody knows. */
static void stream_over(struct run *run, struct stream *stream, const char *failure)
{
    double now = now_s();
    uint64_t revision = answer_revision(stream);
    stream->id = -1;
    if (failure == NULL && stream->grpc_status == 0 && revision != 0) {
        fprintf(run->record, "done %s %s %" PRIu64 "\n", stream->key, stream->value, revision);
        run->done++;
        double gap = now - run->last_done;
        run->longest_gap = gap > run->longest_gap ? gap : run->longest_gap;
        run->last_done = now;
        return;
    }
    run->failed++;
    snprintf(run->last_failure, sizeof(run->last_failure), "%s, grpc status %d %s",
             failure == NULL ? "answered" : failure, stream->grpc_status, stream->grpc_message);
    stream->endpoint = (stream->endpoint + 1) % run->options.endpoint_count;
    stream->not_before = now + FAILURE_PAUSE_MS / 1000.0;
}

static void stream_make_body(struct run *run, struct stream *stream)
{
    const struct options *options = &run->options;
    uint64_t turn = stream->turn++;
    snprintf(stream->key, sizeof(stream->key), "%s%d/%" PRIu64, options->prefix, stream->number,
             turn % (uint64_t)options->keys);
    int used = snprintf(stream->value, sizeof(stream->value), "%d-%" PRIu64, stream->number, turn);
    size_t filled = (size_t)options->value_bytes;
    size_t value_size = (size_t)used > filled ? (size_t)used : filled;
    uint8_t *out = stream->body + 5;
    size_t size = put_bytes(out, 1, stream->key, strlen(stream->key));
    size += put_varint(out + size, 2 << 3 | 2);
    size += put_varint(out + size, value_size);
    memcpy(out + size, stream->value, (size_t)used);
    memset(out + size + used, '.', value_size - (size_t)used);
    size += value_size;
    stream->body[0] = 0;
    for (int i = 0; i < 4; i++) {
        stream->body[1 + i] = (uint8_t)(size >> (24 - 8 * i));
    }
    stream->body_size = size + 5;
    stream->body_sent = 0;
}

/* ---- the connection to one endpoint ---- */

static void link_drop(struct link *link, const char *reason)
{
    struct run *run = link->run;
    if (link->fd < 0) {
        return;
    }
    nghttp2_session_del(link->session);
    SSL_free(link->ssl);
    link->ssl = NULL;
    close(link->fd);
    link->session = NULL;
    link->fd = -1;
    for (int i = 0; i < run->options.streams; i++) {
        struct stream *stream = &run->streams[i];
        if (stream->id >= 0 && &run->links[stream->endpoint] == link) {
            stream_over(run, stream, reason);
        }
    }
}

/* ---- bytes, plain or over TLS: as send and recv, with errno EAGAIN ---- */

static ssize_t tls_outcome(SSL *ssl, int rc)
{
    int why = SSL_get_error(ssl, rc);
    ERR_clear_error();
    if (why == SSL_ERROR_ZERO_RETURN) {
        return 0;
    }
    errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
    return -1;
}

static ssize_t link_send(struct link *link, const void *data, size_t size)
{
    if (link->ssl == NULL) {
        return send(link->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    int sent = SSL_write(link->ssl, data, (int)size);
    return sent > 0 ? sent : tls_outcome(link->ssl, sent);
}

static ssize_t link_recv(struct link *link, void *out, size_t size)
{
    if (link->ssl == NULL) {
        return recv(link->fd, out, size, MSG_DONTWAIT);
    }
    int got = SSL_read(link->ssl, out, (int)size);
    return got > 0 ? got : tls_outcome(link->ssl, got);
}

/* Shakes hands while the socket still blocks, with the socket's own time limit. */
static int link_secure(struct link *link, int fd)
{
    const struct timeval limit = {.tv_sec = HANDSHAKE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    link->ssl = SSL_new(link->run->tls);
    SSL_set_fd(link->ssl, fd);
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(link->ssl), link->host);
    if (SSL_connect(link->ssl) != 1) {
        ERR_clear_error();
        SSL_free(link->ssl);
        link->ssl = NULL;
        return -1;
    }
    return fcntl(fd, F_SETFL, O_NONBLOCK);
}

static SSL_CTX *make_tls(const struct options *options)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_protos(tls, (const unsigned char *)"\x02h2", 3);
    if (SSL_CTX_load_verify_file(tls, options->cacert) != 1 ||
        (options->cert != NULL &&
         (SSL_CTX_use_certificate_chain_file(tls, options->cert) != 1 ||
          SSL_CTX_use_PrivateKey_file(tls, options->key, SSL_FILETYPE_PEM) != 1))) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    return tls;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags,
                       void *user)
{
    (void)session;
    (void)flags;
    ssize_t sent = link_send(user, data, size);
    if (sent < 0) {
        return errno == EAGAIN ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return sent;
}

static ssize_t on_read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t size,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct stream *stream = source->ptr;
    (void)session;
    (void)id;
    (void)user;
    size_t left = stream->body_size - stream->body_sent;
    size = size < left ? size : left;
    memcpy(out, stream->body + stream->body_sent, size);
    stream->body_sent += size;
    if (size == left) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)size;
}

/* grpc-status comes as a trailer, or in the head when there is no body. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    (void)user;
    if (stream != NULL && name_size == 11 && memcmp(name, "grpc-status", 11) == 0) {
        stream->grpc_status = (int)strtol((const char *)value, NULL, 10);
    } else if (stream != NULL && name_size == 12 && memcmp(name, "grpc-message", 12) == 0) {
        snprintf(stream->grpc_message, sizeof(stream->grpc_message), "%.*s", (int)value_size,
                 (const char *)value);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *user)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    (void)user;
    if (stream != NULL && size <= sizeof(stream->answer) - stream->answer_size) {
        memcpy(stream->answer + stream->answer_size, data, size);
        stream->answer_size += size;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct link *link = user;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);
    if (stream != NULL && stream->id == id) {
        stream_over(link->run, stream, code == NGHTTP2_NO_ERROR ? NULL : "reset");
    }
    return 0;
}

static int link_connect(struct link *link)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int one = 1;
    if (getaddrinfo(link->host, link->port, &hints, &found) != 0) {
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -1 : connect(fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (rc != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (link->run->tls != NULL && link_secure(link, fd) != 0) {
        close(fd);
        return -1;
    }
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_client_new(&link->session, callbacks, link);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(link->session, NGHTTP2_FLAG_NONE, NULL, 0);
    link->fd = fd;
    return 0;
}

static void link_flush(struct link *link)
{
    if (link->fd >= 0 && nghttp2_session_send(link->session) != 0) {
        link_drop(link, "connection lost");
    }
}

static void link_read(struct link *link)
{
    uint8_t data[65536];
    do {
        ssize_t size = link_recv(link, data, sizeof(data));
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (size <= 0 || nghttp2_session_mem_recv(link->session, data, (size_t)size) < 0 ||
            (nghttp2_session_want_read(link->session) == 0 &&
             nghttp2_session_want_write(link->session) == 0)) {
            link_drop(link, "connection lost");
        }
    } while (link->ssl != NULL); /* what OpenSSL holds does not wake poll */
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static void stream_put(struct run *run, struct stream *stream)
{
    struct link *link = &run->links[stream->endpoint];
    stream->answer_size = 0;
    stream->grpc_status = -1;
    stream->grpc_message[0] = '\0';
    if (link->fd < 0 && link_connect(link) != 0) {
        stream->endpoint = (stream->endpoint + 1) % run->options.endpoint_count;
        stream->not_before = now_s() + FAILURE_PAUSE_MS / 1000.0;
        return; /* nothing was sent */
    }
    stream_make_body(run, stream);
    fprintf(run->record, "sent %s %s\n", stream->key, stream->value);
    const nghttp2_nv headers[] = {
        header(":method", "POST"),
        header(":scheme", run->tls == NULL ? "http" : "https"),
        header(":path", "/etcdserverpb.KV/Put"),
        header(":authority", link->authority),
        header("content-type", "application/grpc"),
        header("te", "trailers"),
    };
    const nghttp2_data_provider body = {.source = {.ptr = stream}, .read_callback = on_read_body};
    run->sent++;
    stream->due = now_s() + (double)run->options.timeout_ms / 1000.0;
    stream->id = nghttp2_submit_request(link->session, NULL, headers,
                                        sizeof(headers) / sizeof(headers[0]), &body, stream);
    if (stream->id < 0) {
        stream_over(run, stream, "not taken by HTTP/2");
    }
}

static void stream_give_up(struct run *run, struct stream *stream)
{
    struct link *link = &run->links[stream->endpoint];
    nghttp2_session_set_stream_user_data(link->session, stream->id, NULL);
    nghttp2_submit_rst_stream(link->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
    stream_over(run, stream, "timed out");
}

/* ---- the run ---- */

static bool run_is_over(const struct run *run, double elapsed)
{
    const struct options *options = &run->options;
    return stopped || (options->seconds > 0 && elapsed >= options->seconds) ||
           (options->count > 0 && run->sent >= options->count);
}

/* Starts what may start, gives up what waits too long; how many are in flight. */
static int move_streams(struct run *run, double start)
{
    const struct options *options = &run->options;
    int running = 0;
    double now = now_s();
    for (int i = 0; i < options->streams; i++) {
        struct stream *stream = &run->streams[i];
        bool in_time =
            options->per_second <= 0 || (double)run->sent < (now - start) * options->per_second + 1;
        if (stream->id >= 0 && now > stream->due) {
            stream_give_up(run, stream);
        }
        if (stream->id < 0 && !run_is_over(run, now - start) && now >= stream->not_before &&
            in_time) {
            stream_put(run, stream);
        }
        running += stream->id >= 0 ? 1 : 0;
    }
    return running;
}

static void wait_and_read(struct run *run)
{
    struct pollfd polled[ENDPOINTS_MAX];
    struct link *links[ENDPOINTS_MAX];
    nfds_t count = 0;
    for (int i = 0; i < run->options.endpoint_count; i++) {
        struct link *link = &run->links[i];
        link_flush(link);
        if (link->fd >= 0) {
            short out = nghttp2_session_want_write(link->session) ? POLLOUT : 0;
            links[count] = link;
            polled[count++] = (struct pollfd){.fd = link->fd, .events = (short)(POLLIN | out)};
        }
    }
    if (poll(polled, count, POLL_MS) <= 0) {
        return;
    }
    for (nfds_t i = 0; i < count; i++) {
        if (polled[i].revents != 0) {
            link_read(links[i]);
        }
    }
}

static void run_all(struct run *run)
{
    double start = now_s();
    run->last_done = start;
    while (move_streams(run, start) > 0 || !run_is_over(run, now_s() - start)) {
        wait_and_read(run);
    }
    double seconds = now_s() - start;
    printf("{\"sent\":%" PRIu64 ",\"done\":%" PRIu64 ",\"failed\":%" PRIu64
           ",\"seconds\":%.3f,\"per_second\":%.0f,\"longest_gap\":%.3f,\"last_failure\":\"%s\"}\n",
           run->sent, run->done, run->failed, seconds, (double)run->done / seconds,
           run->longest_gap, run->last_failure);
}

/* "http://host:port" */
static void link_init(struct run *run, struct link *link, const char *url)
{
    const char *scheme_end = strstr(url, "://");
    const char *start = scheme_end == NULL ? url : scheme_end + 3;
    const char *colon = strrchr(start, ':');
    if (colon == NULL || (size_t)(colon - start) >= sizeof(link->host)) {
        fprintf(stderr, "kvload: %s is not of the form http://host:port\n", url);
        exit(2);
    }
    link->run = run;
    link->fd = -1;
    snprintf(link->host, sizeof(link->host), "%.*s", (int)(colon - start), start);
    snprintf(link->port, sizeof(link->port), "%s", colon + 1);
    snprintf(link->authority, sizeof(link->authority), "%s", start);
}

static void usage(void)
{
    fprintf(stderr,
            "usage: kvload --endpoints URL,URL --record FILE [--streams N] [--keys N] [--bytes N]\n"
            "       [--seconds S | --count N] [--rate PER_SECOND] [--timeout-ms N] [--prefix P]\n"
            "       [--cacert FILE [--cert FILE --key FILE]]\n");
    exit(2);
}

static long number_of(const char *text, long least, long most)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || *text == '\0' || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "kvload: \"%s\" is no number from %ld to %ld\n", text, least, most);
        exit(2);
    }
    return value;
}

static void read_endpoints(struct options *options, char *text)
{
    char *rest = NULL;
    for (char *url = strtok_r(text, ",", &rest); url != NULL; url = strtok_r(NULL, ",", &rest)) {
        if (options->endpoint_count == ENDPOINTS_MAX) {
            usage();
        }
        options->endpoints[options->endpoint_count++] = url;
    }
}

static void read_options(int argc, char **argv, struct options *options)
{
    *options = (struct options){
        .streams = 1, .keys = 100, .value_bytes = 100, .timeout_ms = 3000, .prefix = "load/"};
    for (int i = 1; i + 1 < argc; i += 2) {
        char *value = argv[i + 1];
        if (strcmp(argv[i], "--endpoints") == 0) {
            read_endpoints(options, value);
        } else if (strcmp(argv[i], "--record") == 0) {
            options->record = value;
        } else if (strcmp(argv[i], "--prefix") == 0) {
            options->prefix = value;
        } else if (strcmp(argv[i], "--cacert") == 0) {
            options->cacert = value;
        } else if (strcmp(argv[i], "--cert") == 0) {
            options->cert = value;
        } else if (strcmp(argv[i], "--key") == 0) {
            options->key = value;
        } else if (strcmp(argv[i], "--streams") == 0) {
            options->streams = (int)number_of(value, 1, STREAMS_MAX);
        } else if (strcmp(argv[i], "--keys") == 0) {
            options->keys = (int)number_of(value, 1, 1000000000);
        } else if (strcmp(argv[i], "--bytes") == 0) {
            options->value_bytes = (int)number_of(value, 0, VALUE_BYTES_MAX);
        } else if (strcmp(argv[i], "--timeout-ms") == 0) {
            options->timeout_ms = number_of(value, 1, 600000);
        } else if (strcmp(argv[i], "--seconds") == 0) {
            options->seconds = (double)number_of(value, 1, 86400);
        } else if (strcmp(argv[i], "--count") == 0) {
            options->count = (uint64_t)number_of(value, 1, INT64_MAX);
        } else if (strcmp(argv[i], "--rate") == 0) {
            options->per_second = (double)number_of(value, 1, 10000000);
        } else {
            usage();
        }
    }
    if (argc % 2 == 0 || (options->cert == NULL) != (options->key == NULL) ||
        options->endpoint_count == 0 || options->record == NULL ||
        (options->seconds <= 0 && options->count == 0)) {
        usage();
    }
}

int main(int argc, char **argv)
{
    static struct run run;
    read_options(argc, argv, &run.options);
    run.record = fopen(run.options.record, "w");
    if (run.record == NULL) {
        fprintf(stderr, "kvload: %s: %s\n", run.options.record, strerror(errno));
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    if (run.options.cacert != NULL) {
        run.tls = make_tls(&run.options);
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    for (int i = 0; i < run.options.endpoint_count; i++) {
        link_init(&run, &run.links[i], run.options.endpoints[i]);
    }
    for (int i = 0; i < run.options.streams; i++) {
        run.streams[i].number = i;
        run.streams[i].id = -1;
        run.streams[i].endpoint = i % run.options.endpoint_count;
        run.streams[i].body = malloc((size_t)run.options.value_bytes + 512);
        if (run.streams[i].body == NULL) {
            fprintf(stderr, "kvload: out of memory\n");
            return 1;
        }
    }
    run_all(&run);
    for (int i = 0; i < run.options.endpoint_count; i++) {
        link_drop(&run.links[i], "the run is over");
    }
    for (int i = 0; i < run.options.streams; i++) {
        free(run.streams[i].body);
    }
    SSL_CTX_free(run.tls);
    return fclose(run.record) == 0 ? 0 : 1;
}
