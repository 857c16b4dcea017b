/* SPDX-License-Identifier: Apache-2.0 */
/* The loop, streams over socket pairs, handles, URLs and look-ups. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/net/handle.h"
#include "base/net/listen.h"
#include "base/net/loop.h"
#include "base/net/resolve.h"
#include "base/net/stream.h"
#include "base/net/url.h"

#define POST_THREADS 4u
#define POSTS_EACH   20000u
/* A label of more than 63 characters: refused by the look-up itself, nobody is asked. */
#define TOO_LONG_LABEL "http://aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg:1"

static int setup(void **state)
{
    struct loop *loop = NULL;
    assert_int_equal(loop_new(&loop, NULL), 0);
    *state = loop;
    return 0;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

struct poster {
    struct loop *loop;
    uint64_t next;   /* expected by the loop's thread */
    uint64_t *total; /* of all posters */
    pthread_t thread;
};

struct posted {
    struct poster *poster;
    uint64_t number;
};

static void on_posted(void *ctx)
{
    struct posted *posted = ctx;
    struct poster *poster = posted->poster;
    assert_int_equal(posted->number, poster->next);
    poster->next++;
    (*poster->total)++;
    if (*poster->total == (uint64_t)POST_THREADS * POSTS_EACH) {
        loop_stop(poster->loop);
    }
    mem_free(posted);
}

static void *post_many(void *ctx)
{
    struct poster *poster = ctx;
    for (uint64_t i = 0; i < POSTS_EACH; i++) {
        struct posted *posted = mem_alloc(sizeof(*posted));
        *posted = (struct posted){poster, i};
        loop_post(poster->loop, on_posted, posted);
        if (i % 1000 == 0) {
            usleep(500); /* let the loop fall asleep between bursts */
        }
    }
    return NULL;
}

static void posts_of_many_threads_run_once_and_in_order(void **state)
{
    struct poster posters[POST_THREADS];
    uint64_t total = 0;
    for (size_t i = 0; i < POST_THREADS; i++) {
        posters[i] = (struct poster){.loop = *state, .total = &total};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
    }

    loop_run(*state);

    for (size_t i = 0; i < POST_THREADS; i++) {
        pthread_join(posters[i].thread, NULL);
        assert_int_equal(posters[i].next, POSTS_EACH);
    }
}

struct trace {
    struct loop *loop;
    struct buf text;
    struct loop_timer timers[3];
    struct loop_task task;
    struct loop_task second;
};

static void trace_add(void *ctx, char c)
{
    struct trace *trace = ctx;
    buf_append_byte(&trace->text, (uint8_t)c);
}

static void add_a(void *ctx)
{
    trace_add(ctx, 'a');
}

static void add_b(void *ctx)
{
    trace_add(ctx, 'b');
}

static void add_c_and_stop(void *ctx)
{
    struct trace *trace = ctx;
    trace_add(ctx, 'c');
    loop_stop(trace->loop);
}

static void timers_fire_by_time_and_not_after_cancel(void **state)
{
    struct trace trace = {.loop = *state};
    buf_init(&trace.text, 100);
    loop_timer_init(*state, &trace.timers[0], add_a, &trace);
    loop_timer_init(*state, &trace.timers[1], add_b, &trace);
    loop_timer_init(*state, &trace.timers[2], add_c_and_stop, &trace);

    loop_timer_set(&trace.timers[2], 30);
    loop_timer_set(&trace.timers[1], 1);
    loop_timer_set(&trace.timers[0], 20);
    loop_timer_set(&trace.timers[0], 5);
    loop_timer_set(&trace.timers[1], 10);
    loop_timer_cancel(&trace.timers[1]);
    loop_run(*state);

    assert_string_equal(buf_cstr(&trace.text), "ac");
    buf_free(&trace.text);
}

static void second_task(void *ctx)
{
    trace_add(ctx, '2');
}

static void first_task(void *ctx)
{
    struct trace *trace = ctx;
    trace_add(ctx, '1');
    loop_task_schedule(&trace->second);
}

static void post_that_schedules(void *ctx)
{
    struct trace *trace = ctx;
    trace_add(ctx, 'p');
    loop_task_schedule(&trace->task);
    loop_task_schedule(&trace->task);
    loop_stop(trace->loop);
}

static void tasks_run_once_after_all_else_in_the_same_turn(void **state)
{
    struct trace trace = {.loop = *state};
    buf_init(&trace.text, 100);
    loop_task_init(*state, &trace.task, first_task, &trace);
    loop_task_init(*state, &trace.second, second_task, &trace);
    loop_set_turn_end(*state, add_b, &trace);

    loop_post(*state, post_that_schedules, &trace);
    loop_post(*state, add_a, &trace);
    loop_run(*state);

    assert_string_equal(buf_cstr(&trace.text), "pab12");
    buf_free(&trace.text);
}

/* Two ends of a socket pair, both streams on the loop. */
struct pair {
    struct loop *loop;
    struct stream *left;
    struct stream *right;
    size_t received;
    size_t drained;
    size_t to_send;
    int left_code;
    size_t released;
    bool free_in_callback;
};

static void pair_send(struct pair *pair)
{
    static const uint8_t DATA[8192];
    while (pair->to_send > 0 && !stream_is_full(pair->left)) {
        size_t part = BASE_MIN(sizeof(DATA), pair->to_send);
        stream_write(pair->left, DATA, part);
        pair->to_send -= part;
    }
    assert_true(stream_queued_bytes(pair->left) <= STREAM_WRITE_HIGH_DEFAULT + sizeof(DATA));
    if (pair->to_send == 0) {
        stream_close_when_sent(pair->left);
    }
}

static void left_on_drained(void *ctx)
{
    struct pair *pair = ctx;
    pair->drained++;
    pair_send(pair);
}

static void left_on_close(void *ctx, int code, const char *text)
{
    struct pair *pair = ctx;
    (void)text;
    pair->left_code = code;
    stream_free(pair->left);
    pair->left = NULL;
    loop_stop(pair->loop);
}

static void right_on_data(void *ctx, struct bytes data)
{
    struct pair *pair = ctx;
    pair->received += data.size;
    if (pair->free_in_callback) {
        stream_free(pair->right);
        pair->right = NULL;
    }
}

static void right_on_close(void *ctx, int code, const char *text)
{
    struct pair *pair = ctx;
    (void)code;
    (void)text;
    stream_free(pair->right);
    pair->right = NULL;
}

static const struct stream_events LEFT = {.on_drained = left_on_drained, .on_close = left_on_close};
static const struct stream_events RIGHT = {.on_data = right_on_data, .on_close = right_on_close};

static void pair_open(struct pair *pair, struct loop *loop)
{
    int fds[2];
    *pair = (struct pair){.loop = loop};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    pair->left = stream_adopt(loop, fds[0], NULL, &LEFT, pair);
    pair->right = stream_adopt(loop, fds[1], NULL, &RIGHT, pair);
}

static void a_large_write_goes_through_a_bounded_queue(void **state)
{
    struct pair pair;
    pair_open(&pair, *state);
    pair.to_send = 50u * 1024 * 1024;

    pair_send(&pair);
    loop_run(*state);

    assert_int_equal(pair.received, 50u * 1024 * 1024);
    assert_true(pair.drained > 10);
    assert_int_equal(pair.left_code, E_CLOSED);
}

static void count_release(void *ctx)
{
    struct pair *pair = ctx;
    pair->released++;
}

static void borrowed_bytes_are_released_when_sent_and_when_dropped(void **state)
{
    struct pair pair;
    static const uint8_t DATA[100000];
    pair_open(&pair, *state);

    stream_write_ref(pair.left, bytes_of(DATA, sizeof(DATA)), count_release, &pair);
    stream_write_ref(pair.left, bytes_of(DATA, 10), count_release, &pair);
    assert_int_equal(pair.released, 1); /* small ones are copied */
    stream_close_when_sent(pair.left);
    loop_run(*state);
    assert_int_equal(pair.released, 2);
    assert_int_equal(pair.received, sizeof(DATA) + 10);

    pair_open(&pair, *state);
    stream_write_ref(pair.left, bytes_of(DATA, sizeof(DATA)), count_release, &pair);
    stream_free(pair.left);
    assert_int_equal(pair.released, 1);
    stream_free(pair.right);
}

static void a_stream_may_be_freed_inside_its_callback(void **state)
{
    struct pair pair;
    pair_open(&pair, *state);
    pair.free_in_callback = true;

    stream_write(pair.left, "x", 1);
    loop_run(*state);

    assert_int_equal(pair.received, 1);
    assert_null(pair.right);
    assert_int_equal(pair.left_code, E_CLOSED);
}

static void a_paused_stream_gives_nothing_until_resumed(void **state)
{
    struct pair pair;
    pair_open(&pair, *state);
    struct loop_timer timer;
    loop_timer_init(*state, &timer, stop, *state);

    stream_pause(pair.right);
    stream_write(pair.left, "hello", 5);
    loop_timer_set(&timer, 10);
    loop_run(*state);
    assert_int_equal(pair.received, 0);
    stream_free(pair.left); /* hangs up: the bytes must survive the pause */
    loop_timer_set(&timer, 10);
    loop_run(*state);
    assert_int_equal(pair.received, 0);
    stream_resume(pair.right);
    loop_timer_set(&timer, 10);
    loop_run(*state);

    assert_int_equal(pair.received, 5);
    assert_null(pair.right);
}

static void silence_and_deadlines_close_a_stream(void **state)
{
    void (*const limits[])(struct stream *, uint64_t) = {
        stream_set_idle_timeout, stream_set_read_timeout, stream_set_deadline};
    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) {
        struct pair pair;
        pair_open(&pair, *state);
        limits[i](pair.left, 10);
        loop_run(*state);
        assert_int_equal(pair.left_code, E_TIMEOUT);
        stream_free(pair.right);
    }
}

static void a_dead_handle_gives_nothing_though_its_slot_lives(void **state)
{
    (void)state;
    struct handle_table table;
    handle_table_init(&table);
    int objects[200];
    uint64_t handles[200];
    for (size_t i = 0; i < 200; i++) {
        handles[i] = handle_add(&table, &objects[i]);
        assert_int_not_equal(handles[i], HANDLE_NONE);
    }

    handle_remove(&table, handles[7]);
    uint64_t again = handle_add(&table, &objects[7]);

    assert_null(handle_get(&table, handles[7]));
    assert_null(handle_get(&table, HANDLE_NONE));
    assert_null(handle_get(&table, UINT64_MAX));
    assert_ptr_equal(handle_get(&table, again), &objects[7]);
    assert_ptr_equal(handle_get(&table, handles[199]), &objects[199]);
    assert_int_equal(table.count, 200);
    handle_table_free(&table);
}

static void urls_are_checked_in_the_words_of_etcd(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *error;
    } CASES[] = {
        {"http://127.0.0.1:2379", NULL},
        {"https://[::1]:2380/", NULL},
        {"http://demo-0.demo.ns.svc:2380", NULL},
        {"http://:2379", NULL},
        {"unix:///run/quorate.sock", NULL},
        {"ftp://127.0.0.1:1", "URL scheme must be http, https, unix, or unixs: ftp://127.0.0.1:1"},
        {"127.0.0.1:2379", "URL scheme must be http, https, unix, or unixs: 127.0.0.1:2379"},
        {"http://127.0.0.1", "URL address does not have the form \"host:port\": http://127.0.0.1"},
        {"http://a:b", "URL address does not have the form \"host:port\": http://a:b"},
        {"http://a:65536", "URL address does not have the form \"host:port\": http://a:65536"},
        {"http://::1:80", "URL address does not have the form \"host:port\": http://::1:80"},
        {"http://u@a:80", "URL address does not have the form \"host:port\": http://u@a:80"},
        {"http://a:80/path", "URL must not contain a path: http://a:80/path"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct err err = {""};
        struct url url;
        int rc = url_parse(CASES[i].text, &url, &err);
        assert_int_equal(rc == 0, CASES[i].error == NULL);
        assert_string_equal(err.text, CASES[i].error == NULL ? "" : CASES[i].error);
    }
    struct err err = {""};
    struct url url;
    char authority[URL_TEXT_MAX];
    assert_int_equal(url_parse("https://[::1]:2380/", &url, &err), 0);
    url_authority(&url, authority, sizeof(authority));
    assert_string_equal(authority, "[::1]:2380");
    assert_string_equal(url.text, "https://[::1]:2380");
    assert_int_equal(url_parse("http://example.org:80", &url, &err), 0);
    assert_int_equal(url_check_bind(&url, &err), E_INVALID);
    assert_string_equal(err.text, "expected IP in URL for binding (http://example.org:80)");
}

static void url_lists_are_sorted_and_bounded(void **state)
{
    (void)state;
    struct url urls[2];
    size_t count = 0;
    struct err err = {""};

    assert_int_equal(url_parse_list("http://b:2, http://a:1", urls, 2, &count, &err), 0);
    assert_int_equal(count, 2);
    assert_string_equal(urls[0].text, "http://a:1");
    assert_int_equal(url_parse_list("http://b:2,http://a:1,http://c:3", urls, 2, &count, &err),
                     E_TOO_BIG);
    assert_int_equal(url_parse_list("", urls, 2, &count, &err), E_INVALID);
    assert_string_equal(err.text, "no valid URLs given");
}

struct looked_up {
    struct loop *loop;
    int code;
    size_t count;
    size_t calls;
};

static void on_looked_up(void *ctx, const struct resolve_result *result)
{
    struct looked_up *looked_up = ctx;
    looked_up->code = result->code;
    looked_up->count = result->address_count;
    looked_up->calls++;
    loop_stop(looked_up->loop);
}

static void names_are_looked_up_off_the_loop(void **state)
{
    struct looked_up looked_up = {.loop = *state};
    struct resolver *resolver = resolver_new();
    struct url url;
    assert_int_equal(url_parse(TOO_LONG_LABEL, &url, NULL), 0);

    resolve_start(resolver, *state, &url, on_looked_up, &looked_up);
    loop_run(*state);
    assert_int_not_equal(looked_up.code, 0);

    assert_int_equal(url_parse("http://127.0.0.1:80", &url, NULL), 0);
    struct resolve_query *cancelled = resolve_start(resolver, *state, &url, on_looked_up, NULL);
    resolve_cancel(cancelled);
    resolve_start(resolver, *state, &url, on_looked_up, &looked_up);
    loop_run(*state);
    assert_int_equal(looked_up.code, 0);
    assert_int_equal(looked_up.count, 1);
    assert_int_equal(looked_up.calls, 2);
    resolver_free(resolver);
}

struct unix_listener {
    struct loop *loop;
    size_t accepted;
};

static void on_unix_accept(void *ctx, int fd)
{
    struct unix_listener *seen = ctx;
    seen->accepted++;
    close(fd);
    loop_stop(seen->loop);
}

static void a_dead_socket_file_is_replaced_and_a_living_one_is_not(void **state)
{
    char *text = str_printf("unix:///tmp/quorate-net-%d.sock", (int)getpid());
    struct url url;
    struct err err = {""};
    assert_int_equal(url_parse(text, &url, &err), 0);
    struct unix_listener seen = {.loop = *state};
    struct listener_config config = {
        .loop = *state, .url = &url, .accept = on_unix_accept, .ctx = &seen};
    struct listener *first = NULL;
    struct listener *second = NULL;

    assert_int_equal(listener_open(&config, &first, &err), 0);
    assert_int_equal(listener_open(&config, &second, &err), E_IN_USE);
    loop_run(
        *state); /* takes the connection by which the second one looked whether the first lives */
    assert_int_equal(seen.accepted, 1);
    char *aside = str_printf("%s.aside", url.host);
    assert_int_equal(rename(url.host, aside),
                     0); /* as after a crash: the file stays, nobody listens */
    listener_free(first);
    assert_int_equal(rename(aside, url.host), 0);
    assert_int_equal(listener_open(&config, &second, &err), 0);

    listener_free(second);
    assert_int_not_equal(access(url.host, F_OK), 0);
    mem_free(aside);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(posts_of_many_threads_run_once_and_in_order),
        T(timers_fire_by_time_and_not_after_cancel),
        T(tasks_run_once_after_all_else_in_the_same_turn),
        T(a_large_write_goes_through_a_bounded_queue),
        T(borrowed_bytes_are_released_when_sent_and_when_dropped),
        T(a_stream_may_be_freed_inside_its_callback),
        T(a_paused_stream_gives_nothing_until_resumed),
        T(silence_and_deadlines_close_a_stream),
        T(names_are_looked_up_off_the_loop),
        T(a_dead_socket_file_is_replaced_and_a_living_one_is_not),
#undef T
        cmocka_unit_test(a_dead_handle_gives_nothing_though_its_slot_lives),
        cmocka_unit_test(urls_are_checked_in_the_words_of_etcd),
        cmocka_unit_test(url_lists_are_sorted_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
