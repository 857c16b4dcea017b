/* SPDX-License-Identifier: Apache-2.0 */
/* Health, readiness and metrics, asked over loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/metrics.h"
#include "base/seam/clock.h"
#include "controller/serve/serve.h"

#define ADDRESS "127.0.0.1:23550"

static size_t collect(char *data, size_t one, size_t count, void *ctx)
{
    return buf_append(ctx, data, one * count) == 0 ? one * count : 0;
}

/* GETs path; gives the status, the body in out. */
static long get(CURL *curl, const char *path, struct buf *out)
{
    char *url = str_printf("http://%s%s", ADDRESS, path);
    long status = 0;
    buf_clear(out);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    CURLcode code = curl_easy_perform(curl);
    mem_free(url);
    assert_int_equal(code, CURLE_OK);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static void health_readiness_and_metrics_say_how_the_loop_is(void **state)
{
    (void)state;
    static struct metric big[400];
    for (size_t i = 0; i < ARRAY_COUNT(big); i++) {
        big[i] = (struct metric){.name = "quorate_test_total",
                                 .help = "Many series, so that the answer does not fit one packet.",
                                 .labels = str_printf("number=\"%0200zu\"", i),
                                 .type = METRIC_COUNTER};
        metric_register(&big[i]);
    }
    struct serve_state loop = {0};
    int64_t now_ms = (int64_t)clock_monotonic_ms(clock_posix());
    loop.turned_ms = now_ms;
    struct serve *serve = NULL;
    struct err err = {{0}};
    assert_int_equal(serve_start(ADDRESS, &loop, &serve, &err), 0);
    CURL *curl = curl_easy_init();
    struct buf body;
    buf_init(&body, 4u << 20);

    assert_int_equal(get(curl, "/healthz", &body), 200);
    assert_string_equal(buf_cstr(&body), "ok\n");
    assert_int_equal(get(curl, "/readyz", &body), 503);
    loop.is_ready = true;
    assert_int_equal(get(curl, "/readyz", &body), 200);
    loop.turned_ms = now_ms - SERVE_STUCK_MS;
    assert_int_equal(get(curl, "/healthz", &body), 503);
    assert_int_equal(get(curl, "/readyz", &body), 503);
    assert_int_equal(get(curl, "/metrics", &body), 200);
    assert_non_null(strstr(buf_cstr(&body), "# TYPE quorate_test_total counter"));
    assert_true(body.size > 400 * 200);
    assert_int_equal(get(curl, "/other", &body), 404);

    buf_free(&body);
    curl_easy_cleanup(curl);
    serve_stop(serve);
    for (size_t i = 0; i < ARRAY_COUNT(big); i++) {
        metric_unregister(&big[i]);
        mem_free((void *)(uintptr_t)big[i].labels);
    }
}

static void a_port_that_is_taken_is_refused(void **state)
{
    (void)state;
    struct serve_state loop = {0};
    struct serve *serve = NULL;
    assert_int_equal(serve_start(ADDRESS, &loop, &serve, NULL), 0);
    /* In a child: libwebsockets keeps some bytes of a context that it could not make. */
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct serve *second = NULL;
        _exit(serve_start(ADDRESS, &loop, &second, NULL) == E_IN_USE ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    serve_stop(serve);
}

static void an_address_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const WRONG[] = {"",           "8080",   "host:",      "host:0",
                                        "host:65536", "host:x", "host:123456"};
    struct serve_state loop = {0};
    for (size_t i = 0; i < ARRAY_COUNT(WRONG); i++) {
        struct serve *serve = NULL;
        struct err err = {{0}};
        assert_int_equal(serve_start(WRONG[i], &loop, &serve, &err), E_INVALID);
        assert_null(serve);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_readiness_and_metrics_say_how_the_loop_is),
        cmocka_unit_test(a_port_that_is_taken_is_refused),
        cmocka_unit_test(an_address_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
