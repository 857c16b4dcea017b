/* SPDX-License-Identifier: Apache-2.0 */
/* The service under test: see lib_world.h. */
#include "lib_world.h"

#include <errno.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"

#define BIG_MESSAGE_BYTES (256u * 1024u)
#define BIG_PENDING_BYTES (1024u * 1024u)

static const struct grpc_method METHODS[] = {
    {"/test.Echo/Unary", GRPC_UNARY, WORLD_UNARY, false},
    {"/test.Echo/Bidi", GRPC_BIDI, WORLD_BIDI, false},
    {"/test.Echo/Collect", GRPC_CLIENT_STREAM, WORLD_COLLECT, false},
    {"/test.Echo/Big", GRPC_SERVER_STREAM, WORLD_BIG, false},
    {"/test.Echo/Hang", GRPC_UNARY, WORLD_HANG, false},
    {"/test.Echo/Fail", GRPC_UNARY, WORLD_FAIL, false},
    {"/test.Echo/Slow", GRPC_BIDI, WORLD_SLOW, false},
};

struct big {
    size_t left;
};

static void big_send(struct world *world, struct grpc_call *call)
{
    struct big *big = grpc_call_user(call);
    while (big->left > 0 && grpc_call_pending_bytes(call) < BIG_PENDING_BYTES) {
        size_t part = BASE_MIN(big->left, BIG_MESSAGE_BYTES);
        struct buf message;
        buf_init(&message, BUF_NO_LIMIT);
        memset(buf_reserve(&message, part), 'x', part);
        message.size = part;
        grpc_call_send_buf(call, &message);
        big->left -= part;
    }
    uint64_t pending = grpc_call_pending_bytes(call);
    if (pending > atomic_load(&world->pending_max)) {
        atomic_store(&world->pending_max, pending);
    }
    if (big->left == 0) {
        mem_free(big);
        grpc_call_finish(call, GRPC_OK, NULL);
    }
}

static void on_message(void *ctx, struct grpc_call *call, struct bytes message)
{
    struct world *world = ctx;
    switch (grpc_call_method(call)->id) {
    case WORLD_UNARY:
        grpc_call_send(call, message);
        grpc_call_finish(call, GRPC_OK, NULL);
        break;
    case WORLD_BIDI:
        grpc_call_send(call, message);
        break;
    case WORLD_COLLECT:
        grpc_call_set_user(call, (void *)((uintptr_t)grpc_call_user(call) + 1));
        break;
    case WORLD_BIG: {
        struct big *big = mem_zalloc(sizeof(*big));
        char *text = str_from(message.data, message.size);
        big->left = strtoull(text, NULL, 10);
        mem_free(text);
        grpc_call_set_user(call, big);
        big_send(world, call);
        break;
    }
    case WORLD_FAIL:
        grpc_call_finish(call, GRPC_NOT_FOUND, "50% of \xc3\xa4 key\n");
        break;
    case WORLD_SLOW:
        atomic_fetch_add(&world->slow_messages, 1);
        if (atomic_load(&world->slow_messages) == 1) {
            atomic_store(&world->slow_handle, grpc_call_handle(call));
            grpc_call_pause(call);
        }
        break;
    default:
        break;
    }
}

static void on_half_close(void *ctx, struct grpc_call *call)
{
    (void)ctx;
    if (grpc_call_method(call)->id == WORLD_COLLECT) {
        char *text = str_printf("%zu", (size_t)(uintptr_t)grpc_call_user(call));
        grpc_call_send(call, bytes_of_str(text));
        mem_free(text);
    }
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void on_cancel(void *ctx, struct grpc_call *call, enum grpc_cancel why)
{
    struct world *world = ctx;
    if (grpc_call_method(call)->id == WORLD_BIG) {
        mem_free(grpc_call_user(call));
    }
    atomic_fetch_add(&world->cancels[why], 1);
}

static void on_drained(void *ctx, struct grpc_call *call)
{
    if (grpc_call_method(call)->id == WORLD_BIG) {
        big_send(ctx, call);
    }
}

static void on_finished(void *ctx, struct grpc_call *call, enum grpc_code code)
{
    struct world *world = ctx;
    (void)call;
    (void)code;
    atomic_fetch_add(&world->finished, 1);
}

static void http_on_request(void *ctx, struct http1_request *request)
{
    struct world *world = ctx;
    atomic_fetch_add(&world->http_requests, 1);
    if (strcmp(http1_path(request), "/health") == 0) {
        http1_respond(request, 200, "application/json", bytes_of_str("{\"health\":\"true\"}"));
    } else if (strcmp(http1_path(request), "/echo") == 0) {
        http1_respond(request, 200, NULL, http1_body(request));
    } else {
        http1_respond_error(request, 404, "404 page not found");
    }
}

static void http_on_over(void *ctx, struct http1_request *request, bool completed)
{
    struct world *world = ctx;
    (void)request;
    (void)completed;
    atomic_fetch_add(&world->http_over, 1);
}

static void *world_thread(void *ctx)
{
    struct world *world = ctx;
    loop_run(world->loop);
    return NULL;
}

struct world *world_start(const struct grpc_server_config *limits)
{
    struct world *world = mem_zalloc(sizeof(*world));
    struct err err = {""};
    assert_int_equal(loop_new(&world->loop, &err), 0);
    struct grpc_server_config config = {0};
    if (limits != NULL) {
        config = *limits;
    }
    config.loop = world->loop;
    config.ctx = world;
    config.methods = METHODS;
    config.method_count = ARRAY_COUNT(METHODS);
    config.on_message = on_message;
    config.on_half_close = on_half_close;
    config.on_cancel = on_cancel;
    config.on_drained = on_drained;
    config.on_finished = on_finished;
    world->grpc = grpc_server_new(&config);
    struct http1_server_config http = {
        .loop = world->loop, .ctx = world, .on_request = http_on_request, .on_over = http_on_over};
    world->http = http1_server_new(&http);
    struct url url;
    assert_int_equal(url_parse("http://127.0.0.1:0", &url, &err), 0);
    struct port_config port = {.loop = world->loop,
                               .urls = &url,
                               .url_count = 1,
                               .grpc = world->grpc,
                               .http = world->http};
    int rc = port_open(&port, &world->port, &err);
    if (rc != 0) {
        fail_msg("%s", err.text);
    }
    world->number = port_number(world->port, 0);
    assert_int_equal(pthread_create(&world->thread, NULL, world_thread, world), 0);
    return world;
}

void world_stop(struct world *world)
{
    loop_stop(world->loop);
    pthread_join(world->thread, NULL);
    grpc_server_free(world->grpc);
    http1_server_free(world->http);
    port_free(world->port);
    loop_free(world->loop);
    mem_free(world);
}

struct errand {
    void (*fn)(void *ctx);
    void *ctx;
    sem_t done;
};

static void errand_run(void *ctx)
{
    struct errand *errand = ctx;
    errand->fn(errand->ctx);
    sem_post(&errand->done);
}

void world_run(struct world *world, void (*fn)(void *ctx), void *ctx)
{
    struct errand errand = {.fn = fn, .ctx = ctx};
    sem_init(&errand.done, 0, 0);
    loop_post(world->loop, errand_run, &errand);
    while (sem_wait(&errand.done) != 0) {
    }
    sem_destroy(&errand.done);
}

void world_wait(_Atomic uint64_t *counter, uint64_t value)
{
    for (int i = 0; i < 20000; i++) {
        if (atomic_load(counter) >= value) {
            return;
        }
        usleep(1000);
    }
    fail_msg("waited in vain");
}

void world_wait_started(struct world *world, uint64_t calls)
{
    struct grpc_stats stats = {0};
    for (int i = 0; i < 20000 && stats.started_calls < calls; i++) {
        grpc_server_stats(world->grpc, &stats);
        usleep(1000);
    }
    assert_true(stats.started_calls >= calls);
}

int world_connect(const struct world *world)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct timeval limit = {.tv_sec = 30};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(world->number),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

char *read_all(int fd, size_t *out_size)
{
    struct buf all;
    buf_init(&all, BUF_NO_LIMIT);
    for (;;) {
        uint8_t *room = buf_reserve(&all, 65536);
        ssize_t got = recv(fd, room, 65536, 0);
        if (got <= 0) {
            assert_true(got == 0 || errno == ECONNRESET);
            break;
        }
        all.size += (size_t)got;
    }
    buf_cstr(&all);
    return (char *)buf_take(&all, out_size);
}

void write_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* the other side has closed: what it said before is still to be read */
        }
        at += sent;
        size -= (size_t)sent;
    }
}
