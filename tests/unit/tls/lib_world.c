/* SPDX-License-Identifier: Apache-2.0 */
/* The port under test and its visitors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "lib_world.h"

#define SOCKET_TIMEOUT_S 20

/* ---- the server ---- */

static void answer_big(struct http1_request *request)
{
    size_t size = strtoul(http1_query(request), NULL, 10);
    uint8_t *data = mem_alloc(size + 1);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 31 >> 3);
    }
    http1_respond(request, 200, "application/octet-stream", bytes_of(data, size));
    mem_free(data);
}

static void on_part(void *ctx, struct http1_request *request, struct bytes part, bool at_end)
{
    struct world *world = ctx;
    atomic_fetch_add(&world->bytes_received, part.size);
    if (at_end) {
        char text[32];
        snprintf(text, sizeof(text), "%llu",
                 (unsigned long long)atomic_load(&world->bytes_received));
        http1_respond(request, 200, "text/plain", bytes_of_str(text));
    } else if (atomic_load(&world->body_paused)) {
        http1_body_pause(request);
        http1_set_user(request, request);
    }
}

static void on_head(void *ctx, struct http1_request *request)
{
    (void)ctx;
    if (strcmp(http1_path(request), "/count") == 0) {
        http1_stream_body(request, on_part);
    }
}

static void on_request(void *ctx, struct http1_request *request)
{
    (void)ctx;
    const char *path = http1_path(request);
    if (strcmp(path, "/big") == 0) {
        answer_big(request);
    } else if (strcmp(path, "/echo") == 0) {
        http1_respond(request, 200, "text/plain", http1_body(request));
    } else {
        const char *name = stream_peer_name(http1_stream(request));
        http1_respond(request, 200, "text/plain", bytes_of_str(name == NULL ? "none" : name));
    }
}

static void on_cancel(void *ctx, struct grpc_call *call, enum grpc_cancel why)
{
    (void)ctx;
    (void)call;
    (void)why;
}

static void on_message(void *ctx, struct grpc_call *call, struct bytes message)
{
    (void)ctx;
    (void)call;
    (void)message;
}

static void *run_loop(void *ctx)
{
    loop_run(((struct world *)ctx)->loop);
    return NULL;
}

struct world *world_start(const struct world_options *options)
{
    struct world *world = mem_zalloc(sizeof(*world));
    struct err err = {""};
    struct url url;
    signal(SIGPIPE, SIG_IGN); /* of the blocking clients: the port itself must never raise it */
    assert_int_equal(loop_new(&world->loop, &err), 0);
    if (tls_maker_new(&options->tls, &world->maker, &err) != 0) {
        fail_msg("%s", err.text);
    }
    world->resolver = resolver_new();
    const struct http1_server_config http = {.loop = world->loop,
                                             .ctx = world,
                                             .body_bytes_max = 64u << 20,
                                             .on_head = on_head,
                                             .on_request = on_request};
    world->http = http1_server_new(&http);
    const struct grpc_server_config grpc = {
        .loop = world->loop, .on_message = on_message, .on_cancel = on_cancel};
    world->grpc = grpc_server_new(&grpc);
    assert_int_equal(url_parse("https://127.0.0.1:0", &url, &err), 0);
    const struct port_config port = {.loop = world->loop,
                                     .urls = &url,
                                     .url_count = 1,
                                     .name = "test",
                                     .tls = tls_maker_seam(world->maker),
                                     .check_client_hosts = options->check_client_hosts,
                                     .resolver = world->resolver,
                                     .http = world->http,
                                     .grpc = world->grpc};
    if (port_open(&port, &world->port, &err) != 0) {
        fail_msg("%s", err.text);
    }
    world->number = port_number(world->port, 0);
    assert_int_equal(pthread_create(&world->thread, NULL, run_loop, world), 0);
    return world;
}

void world_stop(struct world *world)
{
    loop_stop(world->loop);
    pthread_join(world->thread, NULL);
    port_stop_listening(world->port);
    grpc_server_free(world->grpc);
    http1_server_free(world->http);
    port_free(world->port);
    resolver_free(world->resolver);
    tls_maker_free(world->maker);
    loop_free(world->loop);
    mem_free(world);
}

struct run_job {
    void (*fn)(void *ctx);
    void *ctx;
    sem_t done;
};

static void run_job(void *ctx)
{
    struct run_job *job = ctx;
    job->fn(job->ctx);
    sem_post(&job->done);
}

void world_run(struct world *world, void (*fn)(void *ctx), void *ctx)
{
    struct run_job job = {.fn = fn, .ctx = ctx};
    sem_init(&job.done, 0, 0);
    loop_post(world->loop, run_job, &job);
    sem_wait(&job.done);
    sem_destroy(&job.done);
}

/* ---- visitors ---- */

int world_connect(const struct world *world)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons(world->number),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval limit = {.tv_sec = SOCKET_TIMEOUT_S};
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void take_reason(struct visit *visit, const char *otherwise)
{
    unsigned long error = ERR_peek_error();
    const char *text = error == 0 ? NULL : ERR_reason_error_string(error);
    snprintf(visit->reason, sizeof(visit->reason), "%s", text == NULL ? otherwise : text);
    ERR_clear_error();
}

static SSL_CTX *visitor_context(const struct visit *visit)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    assert_non_null(context);
    SSL_CTX_set_security_level(context, 0); /* weak ones must be refused by the other side */
    SSL_CTX_set_min_proto_version(context, visit->version == 0 ? TLS1_VERSION : visit->version);
    SSL_CTX_set_max_proto_version(context, visit->version);
    if (visit->suites != NULL) {
        assert_int_equal(SSL_CTX_set_cipher_list(context, visit->suites), 1);
    }
    if (visit->shows != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(context, visit->shows->cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(context, visit->shows->key), 1);
    }
    if (visit->trusts != NULL) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(context), visit->trusts->cert);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    }
    if (visit->protocols != NULL) {
        SSL_CTX_set_alpn_protos(context, (const unsigned char *)visit->protocols,
                                (unsigned)strlen(visit->protocols));
    }
    return context;
}

SSL *visit_open(struct world *world, struct visit *visit)
{
    SSL_CTX *context = visitor_context(visit);
    SSL *ssl = SSL_new(context);
    SSL_CTX_free(context);
    int fd = world_connect(world);
    SSL_set_fd(ssl, fd);
    visit->reason[0] = visit->answer[0] = visit->protocol[0] = '\0';
    ERR_clear_error();
    if (SSL_connect(ssl) != 1) {
        take_reason(visit, "EOF");
        visit_close(ssl);
        return NULL;
    }
    const unsigned char *protocol = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl, &protocol, &size);
    if (size > 0) {
        snprintf(visit->protocol, sizeof(visit->protocol), "%.*s", (int)size,
                 (const char *)protocol);
    }
    X509 *shown = SSL_get0_peer_certificate(ssl);
    visit->serial = shown == NULL ? -1 : ASN1_INTEGER_get(X509_get0_serialNumber(shown));
    visit->version_spoken = SSL_version(ssl);
    return ssl;
}

void visit_close(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    SSL_free(ssl);
    close(fd);
}

bool visit(struct world *world, struct visit *visit)
{
    SSL *ssl = visit_open(world, visit);
    char request[256];
    int size = snprintf(request, sizeof(request),
                        "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                        visit->path == NULL ? "/name" : visit->path);
    size_t got = 0;
    if (ssl == NULL) {
        return false;
    }
    ERR_clear_error();
    if (SSL_write(ssl, request, size) != size) {
        take_reason(visit, "EOF");
    }
    while (visit->reason[0] == '\0' && got + 1 < sizeof(visit->answer)) {
        int part = SSL_read(ssl, visit->answer + got, (int)(sizeof(visit->answer) - 1 - got));
        if (part <= 0) {
            if (SSL_get_error(ssl, part) != SSL_ERROR_ZERO_RETURN) {
                take_reason(visit, "EOF");
            }
            break;
        }
        got += (size_t)part;
    }
    visit->answer[got] = '\0';
    visit_close(ssl);
    return visit->reason[0] == '\0' && strncmp(visit->answer, "HTTP/1.1 200", 12) == 0;
}

/* ---- dialling ---- */

struct dial_job {
    struct world *world;
    const struct tls_config *config;
    const char *host;
    struct dialled *out;
    struct tls_maker *maker;
    struct http1_client *client;
    sem_t done;
};

static void dial_answer(void *ctx, const struct http1_client_answer *answer)
{
    ((struct dial_job *)ctx)->out->status = answer->status;
}

static void dial_body(void *ctx, struct bytes part)
{
    struct dialled *out = ((struct dial_job *)ctx)->out;
    size_t at = strlen(out->body);
    size_t size = BASE_MIN(part.size, sizeof(out->body) - 1 - at);
    memcpy(out->body + at, part.data, size);
    out->body[at + size] = '\0';
}

static void dial_done(void *ctx, int code, const char *text)
{
    struct dial_job *job = ctx;
    job->out->code = code;
    snprintf(job->out->text, sizeof(job->out->text), "%s", text);
    sem_post(&job->done);
}

static void dial_start(void *ctx)
{
    struct dial_job *job = ctx;
    struct err err = {""};
    char url[128];
    snprintf(url, sizeof(url), "https://%s:%u", job->host, (unsigned)job->world->number);
    struct http1_client_config config = {.loop = job->world->loop,
                                         .resolver = job->world->resolver,
                                         .tls = tls_maker_seam(job->maker)};
    int rc = url_parse(url, &config.url, &err);
    if (rc == 0) {
        job->client = http1_client_new(&config);
        const struct http1_client_exchange exchange = {.method = "GET",
                                                       .path = "/name",
                                                       .ctx = job,
                                                       .on_answer = dial_answer,
                                                       .on_body = dial_body,
                                                       .on_done = dial_done,
                                                       .total_timeout_ms = 20000};
        rc = http1_client_start(job->client, &exchange);
    }
    if (rc != 0) {
        dial_done(job, rc, err.text);
    }
}

static void dial_end(void *ctx)
{
    http1_client_free(((struct dial_job *)ctx)->client);
}

void dial(struct world *world, const struct tls_config *config, const char *host,
          struct dialled *out)
{
    struct dial_job job = {.world = world, .config = config, .host = host, .out = out};
    struct err err = {""};
    memset(out, 0, sizeof(*out));
    if (tls_maker_new(config, &job.maker, &err) != 0) {
        fail_msg("%s", err.text);
    }
    sem_init(&job.done, 0, 0);
    loop_post(world->loop, dial_start, &job);
    sem_wait(&job.done);
    world_run(world, dial_end, &job);
    sem_destroy(&job.done);
    tls_maker_free(job.maker);
}

static struct pki_cert fixture_server;

int world_setup(void **state)
{
    pki_make(&fixture_server, &(struct pki_request){.name = "server",
                                                    .is_authority = true,
                                                    .hosts = "IP:127.0.0.1",
                                                    .usage = "serverAuth"});
    const struct world_options options = {.tls = {.cert_file = fixture_server.cert_path,
                                                  .key_file = fixture_server.key_path,
                                                  .protocols = TLS_PROTOCOLS_BOTH}};
    *state = world_start(&options);
    return 0;
}

int world_teardown(void **state)
{
    world_stop(*state);
    pki_free(&fixture_server);
    pki_end();
    return 0;
}
