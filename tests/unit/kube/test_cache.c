/* SPDX-License-Identifier: Apache-2.0 */
/* List and watch: pages, split events, resume, 410, forbidden kinds, and writes of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "controller/kube/cache.h"
#include "lib_server.h"

#define POD(name, version)                                                                         \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\",\"resourceVersion\":\"" version     \
    "\"}}"
#define LINE(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"

/* Answers the i-th request with the i-th step; the last step holds its connection open. */
struct step {
    const char *expect; /* must be part of the target */
    int status;
    const char *body; /* whole answer, or what a watch sends */
    size_t piece;     /* watch: bytes per chunk */
    bool hold;        /* watch: stay open until the test ends */
};

struct script {
    const struct step *steps;
    size_t count;
    pthread_mutex_t mutex;
    size_t next;
    _Atomic bool failed;
    _Atomic size_t served;
};

static bool script_run(void *ctx, const struct server_request *request)
{
    struct script *script = ctx;
    pthread_mutex_lock(&script->mutex);
    size_t i = script->next;
    const struct step *step = i < script->count ? &script->steps[i] : NULL;
    script->next++;
    pthread_mutex_unlock(&script->mutex);
    if (step == NULL || strstr(request->target, step->expect) == NULL) {
        script->failed = true;
        server_reply(request->fd, 500, "", "{\"message\":\"not expected\"}");
        return true;
    }
    if (step->piece == 0) {
        server_reply(request->fd, step->status, "", step->body);
    } else {
        server_stream(request->fd);
        for (size_t at = 0; at < strlen(step->body); at += step->piece) {
            size_t left = strlen(step->body) - at;
            server_chunk(request->fd, step->body + at, BASE_MIN(left, step->piece));
        }
        if (!step->hold) {
            server_chunk(request->fd, "", 0);
        }
    }
    script->served++;
    return true;
}

struct fixture {
    struct script script;
    struct server *server;
    struct http *http;
    struct kube_client *client;
    struct kube_cache *cache;
    struct buf changes; /* "+a" and "-a" in the order in which they were told */
};

static void on_change(void *ctx, enum kube_kind_id kind, const struct json *object, bool deleted)
{
    struct fixture *fixture = ctx;
    assert_int_equal(kind, KUBE_POD);
    buf_printf(&fixture->changes, "%s%s ", deleted ? "-" : "+",
               json_path_str(object, "metadata.name", ""));
}

static void fixture_init(struct fixture *fixture, const struct step *steps, size_t count)
{
    memset(fixture, 0, sizeof(*fixture));
    buf_init(&fixture->changes, 4096);
    fixture->script.steps = steps;
    fixture->script.count = count;
    pthread_mutex_init(&fixture->script.mutex, NULL);
    fixture->server = server_start(script_run, &fixture->script);
    fixture->http = http_new();
    struct kube_config *config = mem_zalloc(sizeof(*config));
    config->server = str_dup(server_url(fixture->server));
    fixture->client = kube_client_new(fixture->http, clock_posix(), config);
    static const char *const NAMESPACES[] = {"ns"};
    const struct kube_cache_options options = {.client = fixture->client,
                                               .clock = clock_posix(),
                                               .kind = KUBE_POD,
                                               .namespaces = NAMESPACES,
                                               .namespace_count = 1,
                                               .label_selector = "quorate.dev/cluster",
                                               .on_change = on_change,
                                               .ctx = fixture,
                                               .seed = 1};
    fixture->cache = kube_cache_new(&options);
}

static void fixture_free(struct fixture *fixture)
{
    kube_cache_free(fixture->cache);
    kube_client_free(fixture->client);
    http_free(fixture->http);
    server_stop(fixture->server);
    pthread_mutex_destroy(&fixture->script.mutex);
    buf_free(&fixture->changes);
}

/* Turns until all steps were served and then once more for what they sent, or for 500 turns. */
static void settle(struct fixture *fixture)
{
    int rest = 20;
    for (int i = 0; i < 500 && rest > 0; i++) {
        kube_cache_turn(fixture->cache);
        http_turn(fixture->http, 10);
        rest -= fixture->script.served >= fixture->script.count ? 1 : 0;
    }
    kube_cache_turn(fixture->cache);
    assert_false(fixture->script.failed);
    assert_int_equal(fixture->script.served, fixture->script.count);
}

static void pages_are_joined_and_a_watch_cut_into_single_bytes_is_followed(void **state)
{
    (void)state;
    static const struct step STEPS[] = {
        {"/api/v1/namespaces/ns/pods?labelSelector=quorate.dev%2Fcluster&limit=500", 200,
         "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"tok\"},\"items\":[" POD(
             "a", "3") "]}",
         0, false},
        {"continue=tok", 200,
         "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[" POD("b", "4") "]}", 0, false},
        {"watch=true&allowWatchBookmarks=true&resourceVersion=10", 200,
         LINE("ADDED", POD("c", "11")) LINE("DELETED", POD("a", "12"))
             LINE("MODIFIED", POD("b", "13")) LINE("MODIFIED", POD("b", "13"))
                 LINE("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"20\"}}"),
         1, false},
        {"resourceVersion=20", 200, LINE("ADDED", POD("d", "21")), 7, true},
    };
    struct fixture fixture;
    fixture_init(&fixture, STEPS, ARRAY_COUNT(STEPS));
    assert_false(kube_cache_synced(fixture.cache));

    settle(&fixture);

    assert_true(kube_cache_synced(fixture.cache));
    assert_true(kube_cache_readable(fixture.cache));
    assert_string_equal(buf_cstr(&fixture.changes), "+b +a +c -a +b +d ");
    assert_int_equal(kube_cache_count(fixture.cache), 3);
    assert_null(kube_cache_get(fixture.cache, "ns", "a"));
    assert_string_equal(
        json_path_str(kube_cache_get(fixture.cache, "ns", "b"), "metadata.resourceVersion", ""),
        "13");
    fixture_free(&fixture);
}

static void after_410_it_lists_again_and_drops_what_is_gone(void **state)
{
    (void)state;
    static const struct step STEPS[] = {
        {"limit=500", 200,
         "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[" POD("a", "3") "," POD("b",
                                                                                        "4") "]}",
         0, false},
        {"resourceVersion=10", 200, LINE("ERROR", "{\"kind\":\"Status\",\"code\":410}"), 500,
         false},
        {"limit=500", 200,
         "{\"metadata\":{\"resourceVersion\":\"30\"},\"items\":[" POD("b", "25") "]}", 0, false},
        {"resourceVersion=30", 410, "{\"message\":\"too old\"}", 0, false},
        {"limit=500", 200,
         "{\"metadata\":{\"resourceVersion\":\"31\"},\"items\":[" POD("b", "25") "]}", 0, false},
        {"resourceVersion=31", 200, LINE("ADDED", POD("e", "32")), 500, true},
    };
    struct fixture fixture;
    fixture_init(&fixture, STEPS, ARRAY_COUNT(STEPS));

    settle(&fixture);

    assert_string_equal(buf_cstr(&fixture.changes), "+b +a -a +b +e ");
    assert_null(kube_cache_get(fixture.cache, "ns", "a"));
    fixture_free(&fixture);
}

static void an_item_of_a_list_says_its_kind_as_one_of_a_watch_does(void **state)
{
    (void)state;
    static const struct step STEPS[] = {
        {"limit=500", 200,
         "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"10\"},"
         "\"items\":[" POD("a", "3") "]}",
         0, false},
        {"resourceVersion=10", 200, LINE("ADDED", POD("e", "32")), 500, true},
    };
    struct fixture fixture;
    fixture_init(&fixture, STEPS, ARRAY_COUNT(STEPS));

    settle(&fixture);

    const struct json *pod = kube_cache_get(fixture.cache, "ns", "a");
    assert_string_equal(json_path_str(pod, "kind", ""), "Pod");
    assert_string_equal(json_path_str(pod, "apiVersion", ""), "v1");
    fixture_free(&fixture);
}

static void errors_are_retried_and_a_cut_watch_is_resumed(void **state)
{
    (void)state;
    static const struct step STEPS[] = {
        {"limit=500", 500, "{\"message\":\"x\"}", 0, false},
        {"limit=500", 429, "{\"message\":\"x\"}", 0, false},
        {"limit=500", 200, "not json", 0, false},
        {"limit=500", 200, "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[]}", 0, false},
        {"resourceVersion=10", 503, "{\"message\":\"x\"}", 0, false},
        {"resourceVersion=10", 200, LINE("ADDED", POD("a", "11")) "{\"type\":\"ADD", 9, false},
        {"resourceVersion=11", 200, LINE("ADDED", POD("b", "12")), 9, true},
    };
    struct fixture fixture;
    fixture_init(&fixture, STEPS, ARRAY_COUNT(STEPS));

    settle(&fixture);

    assert_string_equal(buf_cstr(&fixture.changes), "+a +b ");
    fixture_free(&fixture);
}

static void a_forbidden_kind_counts_as_synced_and_not_readable(void **state)
{
    (void)state;
    static const struct step STEPS[] = {
        {"limit=500", 403, "{\"reason\":\"Forbidden\",\"message\":\"no\"}", 0, false},
    };
    struct fixture fixture;
    fixture_init(&fixture, STEPS, ARRAY_COUNT(STEPS));

    settle(&fixture);

    assert_true(kube_cache_synced(fixture.cache));
    assert_false(kube_cache_readable(fixture.cache));
    fixture_free(&fixture);
}

static struct json *pod(const char *text)
{
    struct json *object = json_parse(text, strlen(text), NULL);
    assert_non_null(object);
    return object;
}

static void a_write_of_ours_is_seen_at_once_and_not_undone_by_older_news(void **state)
{
    (void)state;
    static const struct step STEPS[] = {
        {"limit=500", 200,
         "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[" POD("a", "3") "]}", 0, false},
        {"resourceVersion=10", 200,
         LINE("MODIFIED", POD("a", "11")) LINE("DELETED", POD("a", "12"))
             LINE("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"12\"}}"),
         500, true},
    };
    struct fixture fixture;
    fixture_init(&fixture, STEPS, ARRAY_COUNT(STEPS));
    kube_cache_put(fixture.cache, pod(POD("a", "15")));
    kube_cache_put(fixture.cache, pod(POD("a", "14")));
    kube_cache_put(fixture.cache, pod(POD("new", "16")));

    settle(&fixture);

    assert_string_equal(
        json_path_str(kube_cache_get(fixture.cache, "ns", "a"), "metadata.resourceVersion", ""),
        "15");
    assert_non_null(kube_cache_get(fixture.cache, "ns", "new"));
    assert_string_equal(buf_cstr(&fixture.changes), "");
    fixture_free(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_joined_and_a_watch_cut_into_single_bytes_is_followed),
        cmocka_unit_test(after_410_it_lists_again_and_drops_what_is_gone),
        cmocka_unit_test(an_item_of_a_list_says_its_kind_as_one_of_a_watch_does),
        cmocka_unit_test(errors_are_retried_and_a_cut_watch_is_resumed),
        cmocka_unit_test(a_forbidden_kind_counts_as_synced_and_not_readable),
        cmocka_unit_test(a_write_of_ours_is_seen_at_once_and_not_undone_by_older_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
