/* SPDX-License-Identifier: Apache-2.0 */
/* The watch hub, seen as a client sees it: each answer is decoded and written down as a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/mvcc/watch.h"
#include "engine/proto/codec.h"
#include "lib_world.h"

#define MUCH      (1u << 20)
#define MINUTE_MS 60000

struct bench {
    struct world world;
    struct watch_hub *hub;
    struct watch_stream *stream;
    char text[16384];
};

static void bench_open_with(struct bench *bench, size_t fragment_bytes, size_t cache_bytes)
{
    world_open(&bench->world, NULL);
    struct watch_config config = {
        .cluster_id = 11,
        .member_id = 22,
        .fragment_bytes = fragment_bytes,
        .cache_bytes = cache_bytes,
        .seed = 5,
    };
    bench->hub = watch_hub_new(&config, bench->world.mvcc);
    watch_hub_set_term(bench->hub, 33);
    bench->stream = watch_stream_new(bench->hub, bench, 0, MINUTE_MS);
}

static void bench_open(struct bench *bench)
{
    bench_open_with(bench, MUCH, 0);
}

static void bench_close(struct bench *bench)
{
    watch_stream_free(bench->stream);
    watch_hub_free(bench->hub);
    world_close(&bench->world);
}

/* ---- writing down what was sent ---- */

static void event_write(const Mvccpb__Event *event, char *out, size_t size)
{
    const Mvccpb__KeyValue *kv = event->kv;
    assert_non_null(kv);
    bool is_delete = event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE;
    snprintf(out, size, " %c%.*s=%.*s:%lld", is_delete ? '-' : '+', (int)kv->key.len,
             (const char *)kv->key.data, (int)kv->value.len, (const char *)kv->value.data,
             (long long)kv->mod_revision);
    if (is_delete) {
        assert_int_equal(kv->create_revision, 0);
        assert_int_equal(kv->version, 0);
        assert_int_equal(kv->value.len, 0);
    }
    if (event->prev_kv != NULL) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, "<%.*s", (int)event->prev_kv->value.len,
                 (const char *)event->prev_kv->value.data);
    }
}

static void response_write(const Etcdserverpb__WatchResponse *response, char *out, size_t size)
{
    assert_int_equal(response->header->cluster_id, 11);
    assert_int_equal(response->header->member_id, 22);
    assert_int_equal(response->header->raft_term, 33);
    snprintf(out, size, "%lld@%lld%s%s%s", (long long)response->watch_id,
             (long long)response->header->revision, response->created ? " created" : "",
             response->canceled ? " canceled" : "", response->fragment ? " fragment" : "");
    if (response->compact_revision != 0) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, " compact=%lld", (long long)response->compact_revision);
    }
    if (response->cancel_reason[0] != '\0') {
        size_t used = strlen(out);
        snprintf(out + used, size - used, " (%s)", response->cancel_reason);
    }
    for (size_t i = 0; i < response->n_events; i++) {
        size_t used = strlen(out);
        event_write(response->events[i], out + used, size - used);
    }
}

typedef void (*response_fn)(void *ctx, const Etcdserverpb__WatchResponse *response);

/* Cuts the frames and decodes each. */
static size_t frames_each(const struct buf *sent, response_fn visit, void *ctx)
{
    size_t count = 0;
    for (size_t at = 0; at < sent->size; count++) {
        assert_true(sent->size - at >= 5);
        assert_int_equal(sent->data[at], 0);
        size_t size = get_be32(sent->data + at + 1);
        assert_true(size <= sent->size - at - 5);
        struct arena arena;
        arena_init(&arena, BUF_NO_LIMIT);
        Etcdserverpb__WatchResponse *response = NULL;
        assert_int_equal(PROTO_UNPACK(etcdserverpb__watch_response,
                                      bytes_of(sent->data + at + 5, size), &arena, &response),
                         0);
        visit(ctx, response);
        arena_free(&arena);
        at += 5 + size;
    }
    return count;
}

static void line_add(void *ctx, const Etcdserverpb__WatchResponse *response)
{
    struct bench *bench = ctx;
    size_t used = strlen(bench->text);
    response_write(response, bench->text + used, sizeof(bench->text) - used);
    used = strlen(bench->text);
    snprintf(bench->text + used, sizeof(bench->text) - used, "\n");
}

/* Pulls at most max_bytes once and gives the lines of what came. */
static const char *pull_some(struct bench *bench, struct watch_stream *stream, size_t max_bytes,
                             bool *out_more)
{
    struct buf sent;
    buf_init(&sent, BUF_NO_LIMIT);
    bench->text[0] = '\0';
    assert_int_equal(watch_stream_pull(stream, max_bytes, &sent, out_more), 0);
    frames_each(&sent, line_add, bench);
    buf_free(&sent);
    mvcc_release(bench->world.mvcc);
    return bench->text;
}

static const char *pull(struct bench *bench)
{
    bool more = true;
    const char *text = pull_some(bench, bench->stream, MUCH, &more);
    assert_false(more);
    return text;
}

/* ---- requests ---- */

static void send_create(struct watch_stream *stream, Etcdserverpb__WatchCreateRequest create)
{
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    watch_stream_request(stream, &request, NULL);
}

static Etcdserverpb__WatchCreateRequest create_of(const char *key, const char *end, int64_t start)
{
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    create.key = proto_binary(bytes_of_str(key));
    create.range_end = end == NULL ? proto_binary((struct bytes){NULL, 0})
                                   : proto_binary(bytes_of(end, strlen(end) + (*end == '\0')));
    create.start_revision = start;
    return create;
}

static void watch_key(struct bench *bench, const char *key, const char *end, int64_t start)
{
    send_create(bench->stream, create_of(key, end, start));
}

static void send_cancel(struct bench *bench, int64_t id)
{
    Etcdserverpb__WatchCancelRequest cancel = ETCDSERVERPB__WATCH_CANCEL_REQUEST__INIT;
    cancel.watch_id = id;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    request.cancel_request = &cancel;
    watch_stream_request(bench->stream, &request, NULL);
}

static void send_progress(struct bench *bench)
{
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &progress;
    watch_stream_request(bench->stream, &request, NULL);
}

static void put(struct bench *bench, const char *key, const char *value)
{
    world_put(&bench->world, key, value);
    assert_int_equal(watch_hub_notify(bench->hub), 0);
}

static void delete_key(struct bench *bench, const char *key)
{
    world_delete(&bench->world, key);
    assert_int_equal(watch_hub_notify(bench->hub), 0);
}

static void put_two(struct bench *bench, const char *a, const char *b, const char *value)
{
    mvcc_txn_begin(bench->world.mvcc, &bench->world.batch);
    mvcc_txn_put(bench->world.mvcc, bytes_of_str(a), bytes_of_str(value), 0);
    mvcc_txn_put(bench->world.mvcc, bytes_of_str(b), bytes_of_str(value), 0);
    mvcc_txn_end(bench->world.mvcc);
    assert_int_equal(watch_hub_notify(bench->hub), 0);
}

/* ---- tests ---- */

static void created_comes_before_events_and_ids_count_from_zero(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);

    watch_key(&bench, "a", NULL, 0);
    watch_key(&bench, "a", NULL, 0);
    put(&bench, "a", "1");
    assert_string_equal(pull(&bench), "0@1 created\n1@1 created\n0@2 +a=1:2\n1@2 +a=1:2\n");
    put(&bench, "b", "1");
    assert_string_equal(pull(&bench), "");
    bench_close(&bench);
}

static void chosen_ids_are_kept_and_duplicates_refused(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    Etcdserverpb__WatchCreateRequest create = create_of("a", NULL, 0);

    create.watch_id = 1;
    send_create(bench.stream, create);
    send_create(bench.stream, create);
    watch_key(&bench, "b", NULL, 0);
    watch_key(&bench, "c", NULL, 0);
    assert_string_equal(pull(&bench),
                        "1@1 created\n"
                        "-1@1 created canceled (mvcc: duplicate watch ID provided on the "
                        "WatchStream)\n"
                        "0@1 created\n2@1 created\n");
    send_cancel(&bench, 1);
    send_create(bench.stream, create);
    assert_string_equal(pull(&bench), "1@1 canceled\n1@1 created\n");
    bench_close(&bench);
}

static void bad_requests_are_answered_with_created_and_canceled(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);

    watch_key(&bench, "b", "a", 0);
    watch_key(&bench, "b", "b", 0);
    watch_key(&bench, "b", NULL, -1);
    Etcdserverpb__WatchCreateRequest create = create_of("a", NULL, 0);
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    watch_stream_request(bench.stream, &request, "denied, in words");
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION__NOT_SET;
    watch_stream_request(bench.stream, &request, NULL);
    assert_string_equal(
        pull(&bench),
        "-1@1 created canceled (mvcc: watcher range is empty)\n"
        "-1@1 created canceled (mvcc: watcher range is empty)\n"
        "-1@1 created canceled (etcdserver: mvcc: required revision has been compacted)\n"
        "-1@1 created canceled (denied, in words)\n");
    assert_int_equal(watch_stream_watchers(bench.stream), 0);
    bench_close(&bench);
}

/* The text has one line with this event for each of the ids, and no other. */
static void tells(const char *text, const char *event, int revision, const char *ids)
{
    size_t size = 0;
    for (const char *id = ids; *id != '\0'; id++) {
        char line[64];
        snprintf(line, sizeof(line), "%c@%d%s\n", *id, revision, event);
        assert_non_null(strstr(text, line));
        size += strlen(line);
    }
    assert_int_equal(strlen(text), size);
}

static void ranges_hold_their_begin_and_not_their_end(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    watch_key(&bench, "b", "d", 0);
    watch_key(&bench, "c", "", 0); /* "\0": everything from c */
    watch_key(&bench, "", "", 0);  /* everything */
    watch_key(&bench, "c", NULL, 0);
    pull(&bench);

    /* The order among watchers is nobody's business. */
    put(&bench, "a", "1");
    assert_string_equal(pull(&bench), "2@2 +a=1:2\n");
    put(&bench, "b", "1");
    tells(pull(&bench), " +b=1:3", 3, "02");
    put(&bench, "d", "1");
    tells(pull(&bench), " +d=1:4", 4, "12");
    put(&bench, "c", "1");
    tells(pull(&bench), " +c=1:5", 5, "0123");
    bench_close(&bench);
}

static void a_live_watcher_gets_one_response_per_revision(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    watch_key(&bench, "a", "z", 0);
    pull(&bench);

    put(&bench, "a", "1");
    put_two(&bench, "b", "c", "2");
    delete_key(&bench, "b");
    assert_string_equal(pull(&bench), "0@2 +a=1:2\n0@3 +b=2:3 +c=2:3\n0@4 -b=:4\n");
    bench_close(&bench);
}

static void history_comes_in_one_response_with_the_newest_revision(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    put(&bench, "a", "1");
    put(&bench, "x", "0");
    put(&bench, "a", "2");
    delete_key(&bench, "a");

    watch_key(&bench, "a", NULL, 2);
    watch_key(&bench, "a", NULL, 4);
    watch_key(&bench, "x", NULL, 4);
    assert_string_equal(pull(&bench), "0@5 created\n1@5 created\n2@5 created\n"
                                      "0@5 +a=1:2 +a=2:4 -a=:5\n"
                                      "1@5 +a=2:4 -a=:5\n");
    put(&bench, "a", "3");
    assert_string_equal(pull(&bench), "0@6 +a=3:6\n1@6 +a=3:6\n");
    bench_close(&bench);
}

static void history_is_the_same_from_the_store(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    put(&bench, "a", "1");
    put(&bench, "a", "2");
    world_commit(&bench.world, 5);
    put(&bench, "a", "3");

    Etcdserverpb__WatchCreateRequest create = create_of("a", NULL, 2);
    create.prev_kv = 1;
    send_create(bench.stream, create);
    assert_string_equal(pull(&bench), "0@4 created\n0@4 +a=1:2 +a=2:3<1 +a=3:4<2\n");
    bench_close(&bench);
}

static void a_start_in_the_future_waits_for_it(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);

    watch_key(&bench, "a", NULL, 4);
    assert_string_equal(pull(&bench), "0@1 created\n");
    put(&bench, "a", "1");
    put(&bench, "a", "2");
    assert_string_equal(pull(&bench), "");
    put(&bench, "a", "3");
    assert_string_equal(pull(&bench), "0@4 +a=3:4\n");
    bench_close(&bench);
}

static void a_compacted_start_ends_the_watcher_after_created(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    put(&bench, "a", "1");
    put(&bench, "a", "2");
    put(&bench, "a", "3");
    assert_int_equal(mvcc_compact(bench.world.mvcc, &bench.world.batch, 3), 0);
    world_compact_all(&bench.world);

    watch_key(&bench, "a", NULL, 2);
    watch_key(&bench, "a", NULL, 3);
    assert_string_equal(pull(&bench), "0@4 created\n1@4 created\n"
                                      "0@0 canceled compact=3\n"
                                      "1@4 +a=2:3 +a=3:4\n");
    send_cancel(&bench, 0);
    assert_string_equal(pull(&bench), "");
    bench_close(&bench);
}

static void an_idle_watcher_does_not_mind_compaction(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    watch_key(&bench, "quiet", NULL, 0);
    pull(&bench);
    for (int i = 0; i < 20; i++) {
        put(&bench, "busy", "1");
    }
    assert_int_equal(mvcc_compact(bench.world.mvcc, &bench.world.batch, 21), 0);
    world_compact_all(&bench.world);

    put(&bench, "quiet", "now");
    assert_string_equal(pull(&bench), "0@22 +quiet=now:22\n");
    bench_close(&bench);
}

static void a_slow_watcher_learns_that_it_was_compacted(void **state)
{
    (void)state;
    struct bench bench;
    bench_open_with(&bench, MUCH, 400); /* a cache of two or three events */
    watch_key(&bench, "a", NULL, 0);
    pull(&bench);
    for (int i = 0; i < 10; i++) {
        put(&bench, "a", "1");
    }
    assert_int_equal(mvcc_compact(bench.world.mvcc, &bench.world.batch, 5), 0);
    world_compact_all(&bench.world);

    assert_string_equal(pull(&bench), "0@0 canceled compact=5\n");
    bench_close(&bench);
}

static void prev_kv_is_what_was_there_before_the_revision(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    Etcdserverpb__WatchCreateRequest create = create_of("a", "z", 0);
    create.prev_kv = 1;
    send_create(bench.stream, create);
    watch_key(&bench, "a", "z", 0);
    pull(&bench);

    put(&bench, "a", "1");
    put(&bench, "a", "2");
    delete_key(&bench, "a");
    put(&bench, "a", "3");
    assert_string_equal(pull(&bench), "0@2 +a=1:2\n0@3 +a=2:3<1\n0@4 -a=:4<2\n0@5 +a=3:5\n"
                                      "1@2 +a=1:2\n1@3 +a=2:3\n1@4 -a=:4\n1@5 +a=3:5\n");
    bench_close(&bench);
}

static void prev_kv_is_left_out_when_it_is_compacted(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    Etcdserverpb__WatchCreateRequest create = create_of("a", NULL, 3);
    create.prev_kv = 1;
    put(&bench, "a", "1");
    put(&bench, "a", "2");
    assert_int_equal(mvcc_compact(bench.world.mvcc, &bench.world.batch, 3), 0);
    world_compact_all(&bench.world);

    send_create(bench.stream, create);
    assert_string_equal(pull(&bench), "0@3 created\n0@3 +a=2:3\n");
    bench_close(&bench);
}

/* An event is encoded once for all watchers: what it holds from before must not outlive that. */
static void prev_kv_that_another_watcher_has_seen_is_left_out_when_it_is_compacted(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    Etcdserverpb__WatchCreateRequest create = create_of("a", NULL, 3);
    create.prev_kv = 1;
    put(&bench, "a", "1");
    put(&bench, "a", "2");
    send_create(bench.stream, create);
    assert_string_equal(pull(&bench), "0@3 created\n0@3 +a=2:3<1\n");
    assert_int_equal(mvcc_compact(bench.world.mvcc, &bench.world.batch, 3), 0);
    world_compact_all(&bench.world);

    send_create(bench.stream, create);
    assert_string_equal(pull(&bench), "1@3 created\n1@3 +a=2:3\n");
    bench_close(&bench);
}

static void filtered_changes_send_nothing(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    Etcdserverpb__WatchCreateRequest__FilterType filter =
        ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
    Etcdserverpb__WatchCreateRequest create = create_of("a", "z", 0);
    create.filters = &filter;
    create.n_filters = 1;
    send_create(bench.stream, create);
    filter = ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    send_create(bench.stream, create);
    pull(&bench);

    put(&bench, "a", "1");
    assert_string_equal(pull(&bench), "1@2 +a=1:2\n");
    delete_key(&bench, "a");
    assert_string_equal(pull(&bench), "0@3 -a=:3\n");
    filter = ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
    create.start_revision = 2;
    send_create(bench.stream, create);
    assert_string_equal(pull(&bench), "2@3 created\n2@3 -a=:3\n");
    bench_close(&bench);
}

static void only_who_asked_gets_fragments(void **state)
{
    (void)state;
    struct bench bench;
    bench_open_with(&bench, 50, 0);
    Etcdserverpb__WatchCreateRequest create = create_of("a", "z", 0);
    create.fragment = 1;
    send_create(bench.stream, create);
    watch_key(&bench, "a", "z", 0);
    pull(&bench);

    put_two(&bench, "a", "b", "0123456789012345");
    assert_string_equal(pull(&bench), "0@2 fragment +a=0123456789012345:2\n"
                                      "0@2 +b=0123456789012345:2\n"
                                      "1@2 +a=0123456789012345:2 +b=0123456789012345:2\n");
    put(&bench, "a", "a single event is never split, whatever its size is");
    assert_null(strstr(pull(&bench), "fragment"));
    bench_close(&bench);
}

static void a_small_window_never_splits_a_revision(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    watch_key(&bench, "a", "z", 0);
    pull(&bench);
    put_two(&bench, "a", "b", "1");
    put_two(&bench, "a", "b", "2");
    bool more = false;

    assert_string_equal(pull_some(&bench, bench.stream, 1, &more), "0@2 +a=1:2 +b=1:2\n");
    assert_true(more);
    put_two(&bench, "a", "b", "3");
    assert_string_equal(pull_some(&bench, bench.stream, 1, &more), "0@3 +a=2:3 +b=2:3\n");
    assert_string_equal(pull_some(&bench, bench.stream, 1, &more), "0@4 +a=3:4 +b=3:4\n");
    assert_false(more);
    watch_key(&bench, "a", "z", 2);
    assert_string_equal(pull_some(&bench, bench.stream, 1, &more), "1@4 created\n");
    assert_string_equal(pull_some(&bench, bench.stream, 1, &more), "1@4 +a=1:2 +b=1:2\n");
    assert_true(more);
    assert_string_equal(pull_some(&bench, bench.stream, MUCH, &more),
                        "1@4 +a=2:3 +b=2:3 +a=3:4 +b=3:4\n");
    assert_false(more);
    bench_close(&bench);
}

static void a_cancel_is_the_last_word_about_a_watcher(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    watch_key(&bench, "a", NULL, 0);
    pull(&bench);

    put(&bench, "a", "1");
    send_cancel(&bench, 0);
    put(&bench, "a", "2");
    send_cancel(&bench, 0);
    send_cancel(&bench, 7);
    assert_string_equal(pull(&bench), "0@2 canceled\n");
    watch_key(&bench, "a", NULL, 0);
    assert_string_equal(pull(&bench), "1@3 created\n");
    bench_close(&bench);
}

static void a_progress_answer_stands_behind_all_events(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    bool more = false;
    send_progress(&bench);
    assert_string_equal(pull(&bench), ""); /* no watcher */
    watch_key(&bench, "a", NULL, 0);
    watch_key(&bench, "b", NULL, 0);
    send_progress(&bench);
    assert_string_equal(pull(&bench), "0@1 created\n1@1 created\n-1@1\n");

    put(&bench, "a", "1");
    put(&bench, "b", "1");
    send_progress(&bench);
    assert_string_equal(pull_some(&bench, bench.stream, 1, &more), "0@2 +a=1:2\n");
    assert_string_equal(pull_some(&bench, bench.stream, 1, &more), "1@3 +b=1:3\n-1@3\n");
    assert_false(more);
    watch_key(&bench, "c", NULL, 99);
    send_progress(&bench);
    assert_string_equal(pull(&bench), "2@3 created\n"); /* one waits for the future */
    bench_close(&bench);
}

static void quiet_watchers_are_told_of_progress_at_the_interval(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    Etcdserverpb__WatchCreateRequest create = create_of("a", NULL, 0);
    create.progress_notify = 1;
    assert_int_equal(watch_hub_next_deadline_ms(bench.hub), INT64_MAX);
    send_create(bench.stream, create);
    watch_key(&bench, "b", NULL, 0);
    pull(&bench);
    put(&bench, "x", "1");

    assert_int_equal(watch_hub_next_deadline_ms(bench.hub), MINUTE_MS);
    watch_hub_tick(bench.hub, MINUTE_MS - 1);
    assert_null(watch_hub_ready(bench.hub));
    watch_hub_tick(bench.hub, MINUTE_MS);
    assert_ptr_equal(watch_hub_ready(bench.hub), bench.stream);
    assert_string_equal(pull(&bench), "0@2\n");
    put(&bench, "a", "1");
    pull(&bench);
    watch_hub_tick(bench.hub, 2 * MINUTE_MS);
    assert_string_equal(pull(&bench), ""); /* an event was sent in between */
    watch_hub_tick(bench.hub, 3 * MINUTE_MS);
    assert_string_equal(pull(&bench), "0@3\n");
    put(&bench, "a", "2");
    watch_hub_tick(bench.hub, 4 * MINUTE_MS);
    assert_string_equal(pull(&bench), "0@4 +a=2:4\n"); /* behind: no progress claimed */
    send_cancel(&bench, 0);
    assert_int_equal(watch_hub_next_deadline_ms(bench.hub), INT64_MAX);
    bench_close(&bench);
}

static void a_stream_is_announced_once_until_it_ran_dry(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    watch_key(&bench, "a", NULL, 0);
    assert_ptr_equal(watch_hub_ready(bench.hub), bench.stream);
    assert_ptr_equal(watch_stream_user(bench.stream), &bench);
    assert_null(watch_hub_ready(bench.hub));
    pull(&bench);

    put(&bench, "b", "1");
    assert_null(watch_hub_ready(bench.hub));
    put(&bench, "a", "1");
    assert_ptr_equal(watch_hub_ready(bench.hub), bench.stream);
    put(&bench, "a", "2");
    assert_null(watch_hub_ready(bench.hub));
    pull(&bench);
    put(&bench, "a", "3");
    pull(&bench); /* without having been asked for */
    assert_null(watch_hub_ready(bench.hub));
    put(&bench, "a", "4");
    assert_ptr_equal(watch_hub_ready(bench.hub), bench.stream);
    bench_close(&bench);
}

static void a_client_that_only_asks_is_stopped(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    size_t requests = 0;
    while (!watch_stream_is_full(bench.stream)) {
        watch_key(&bench, "b", "a", 0);
        assert_true(++requests < 10000);
    }

    bool more = true;
    struct buf sent;
    buf_init(&sent, BUF_NO_LIMIT);
    assert_int_equal(watch_stream_pull(bench.stream, 1, &sent, &more), 0);
    assert_true(sent.size >= WATCH_CONTROL_BYTES_MAX);
    assert_false(watch_stream_is_full(bench.stream));
    buf_free(&sent);
    bench_close(&bench);
}

static void watchers_go_on_in_a_key_space_that_was_replaced(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    struct world ahead;
    world_open(&ahead, NULL);
    watch_key(&bench, "a", NULL, 0);
    watch_key(&bench, "f", NULL, 6);
    pull(&bench);
    put(&bench, "a", "1");
    pull(&bench);
    world_put(&ahead, "a", "1");
    for (int i = 3; i <= 5; i++) {
        world_put(&ahead, "a", "new");
    }

    watch_hub_reset(bench.hub, ahead.mvcc);
    bool more = true;
    /* The one that starts in the future may be looked at first: its turn gives nothing. */
    const char *first = pull_some(&bench, bench.stream, MUCH, &more);
    first = *first == '\0' && more ? pull_some(&bench, bench.stream, MUCH, &more) : first;
    assert_string_equal(first, "0@5 +a=new:3 +a=new:4 +a=new:5\n");
    while (more) {
        assert_string_equal(pull_some(&bench, bench.stream, MUCH, &more), "");
    }
    world_put(&ahead, "f", "x");
    world_put(&ahead, "a", "y");
    assert_int_equal(watch_hub_notify(bench.hub), 0);
    const char *text = pull(&bench);
    assert_non_null(strstr(text, "1@6 +f=x:6\n"));
    assert_non_null(strstr(text, "0@7 +a=y:7\n"));
    mvcc_release(ahead.mvcc);
    bench_close(&bench);
    world_close(&ahead);
}

static void an_idle_watcher_was_told_all_that_the_hub_knew(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    struct world ahead;
    world_open(&ahead, NULL);
    watch_key(&bench, "a", NULL, 0);
    pull(&bench);
    put(&bench, "b", "1");
    put(&bench, "b", "2");
    world_put(&ahead, "b", "1");
    world_put(&ahead, "b", "2");
    world_put(&ahead, "a", "1");
    assert_int_equal(mvcc_compact(ahead.mvcc, &ahead.batch, 4), 0);

    watch_hub_reset(bench.hub, ahead.mvcc);
    assert_string_equal(pull(&bench), "0@4 +a=1:4\n");
    mvcc_release(ahead.mvcc);
    bench_close(&bench);
    world_close(&ahead);
}

static void ranges_that_read_alike_are_not_mixed_up(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    watch_key(&bench, "b", "cd", 0);
    watch_key(&bench, "bc", "d", 0);
    pull(&bench);

    put(&bench, "bb", "1");
    tells(pull(&bench), " +bb=1:2", 2, "0");
    put(&bench, "ce", "1");
    tells(pull(&bench), " +ce=1:3", 3, "1");
    bench_close(&bench);
}

static void a_key_made_anew_has_no_prev_kv(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    Etcdserverpb__WatchCreateRequest create = create_of("a", NULL, 0);
    create.prev_kv = 1;
    send_create(bench.stream, create);
    put(&bench, "a", "1");
    pull(&bench);
    struct key_span span = key_span_of(bytes_of_str("a"), (struct bytes){NULL, 0});
    mvcc_txn_begin(bench.world.mvcc, &bench.world.batch);
    mvcc_txn_delete(bench.world.mvcc, &span);
    mvcc_txn_put(bench.world.mvcc, bytes_of_str("a"), bytes_of_str("2"), 0);
    mvcc_txn_end(bench.world.mvcc);
    assert_int_equal(watch_hub_notify(bench.hub), 0);

    assert_string_equal(pull(&bench), "0@3 -a=:3<1 +a=2:3\n");
    bench_close(&bench);
}

static void who_waits_for_the_future_is_told_no_progress(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    Etcdserverpb__WatchCreateRequest create = create_of("a", NULL, 3);
    create.progress_notify = 1;
    send_create(bench.stream, create);
    pull(&bench);

    watch_hub_tick(bench.hub, MINUTE_MS);
    assert_string_equal(pull(&bench), "");
    put(&bench, "b", "1");
    put(&bench, "b", "2");
    watch_hub_tick(bench.hub, 2 * MINUTE_MS);
    assert_string_equal(pull(&bench), "0@3\n");
    bench_close(&bench);
}

static void a_watcher_far_behind_gets_many_revisions_at_once(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    watch_key(&bench, "a", NULL, 0);
    pull(&bench);
    enum { PUTS = WATCH_LIVE_EVENTS_MAX + 1 };
    for (int i = 0; i < PUTS; i++) {
        put(&bench, "a", "1");
    }

    const char *text = pull(&bench);
    char *newline = strchr(text, '\n');
    assert_non_null(newline);
    assert_string_equal(newline, "\n");
    assert_non_null(strstr(text, "0@130 +a=1:2 +a=1:3 "));
    bench_close(&bench);
}

static void a_group_that_overflows_loses_nothing(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench);
    watch_key(&bench, "a", NULL, 0);
    pull(&bench);
    enum { PUTS = 2 * WATCH_GROUP_EVENTS_MAX + 5 };
    for (int i = 0; i < PUTS; i++) {
        put(&bench, "a", "1");
    }

    struct buf sent;
    buf_init(&sent, BUF_NO_LIMIT);
    bool more = true;
    int64_t next = 2;
    while (more) {
        assert_int_equal(watch_stream_pull(bench.stream, 1000, &sent, &more), 0);
        mvcc_release(bench.world.mvcc);
    }
    struct arena arena;
    arena_init(&arena, BUF_NO_LIMIT);
    for (size_t at = 0; at < sent.size; at += 5 + get_be32(sent.data + at + 1)) {
        Etcdserverpb__WatchResponse *response = NULL;
        struct bytes wire = bytes_of(sent.data + at + 5, get_be32(sent.data + at + 1));
        assert_int_equal(PROTO_UNPACK(etcdserverpb__watch_response, wire, &arena, &response), 0);
        for (size_t i = 0; i < response->n_events; i++) {
            assert_int_equal(response->events[i]->kv->mod_revision, next++);
        }
    }
    assert_int_equal(next, PUTS + 2);
    arena_free(&arena);
    buf_free(&sent);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(created_comes_before_events_and_ids_count_from_zero),
        cmocka_unit_test(chosen_ids_are_kept_and_duplicates_refused),
        cmocka_unit_test(bad_requests_are_answered_with_created_and_canceled),
        cmocka_unit_test(ranges_hold_their_begin_and_not_their_end),
        cmocka_unit_test(a_live_watcher_gets_one_response_per_revision),
        cmocka_unit_test(history_comes_in_one_response_with_the_newest_revision),
        cmocka_unit_test(history_is_the_same_from_the_store),
        cmocka_unit_test(a_start_in_the_future_waits_for_it),
        cmocka_unit_test(a_compacted_start_ends_the_watcher_after_created),
        cmocka_unit_test(an_idle_watcher_does_not_mind_compaction),
        cmocka_unit_test(a_slow_watcher_learns_that_it_was_compacted),
        cmocka_unit_test(prev_kv_is_what_was_there_before_the_revision),
        cmocka_unit_test(prev_kv_is_left_out_when_it_is_compacted),
        cmocka_unit_test(prev_kv_that_another_watcher_has_seen_is_left_out_when_it_is_compacted),
        cmocka_unit_test(filtered_changes_send_nothing),
        cmocka_unit_test(only_who_asked_gets_fragments),
        cmocka_unit_test(a_small_window_never_splits_a_revision),
        cmocka_unit_test(a_cancel_is_the_last_word_about_a_watcher),
        cmocka_unit_test(a_progress_answer_stands_behind_all_events),
        cmocka_unit_test(quiet_watchers_are_told_of_progress_at_the_interval),
        cmocka_unit_test(a_stream_is_announced_once_until_it_ran_dry),
        cmocka_unit_test(a_client_that_only_asks_is_stopped),
        cmocka_unit_test(watchers_go_on_in_a_key_space_that_was_replaced),
        cmocka_unit_test(an_idle_watcher_was_told_all_that_the_hub_knew),
        cmocka_unit_test(ranges_that_read_alike_are_not_mixed_up),
        cmocka_unit_test(a_key_made_anew_has_no_prev_kv),
        cmocka_unit_test(who_waits_for_the_future_is_told_no_progress),
        cmocka_unit_test(a_watcher_far_behind_gets_many_revisions_at_once),
        cmocka_unit_test(a_group_that_overflows_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
