/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random writes, watchers, cancels, windows and compactions against a plain list of all that
 * happened: each watcher must have been told exactly what the list holds for it, in order,
 * revisions whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "engine/mvcc/watch.h"
#include "engine/proto/codec.h"
#include "lib_world.h"

#define KEYS         12
#define STREAMS      4
#define WATCHERS_MAX 400
#define HISTORY_MAX  20000

struct change {
    int64_t revision;
    int key;
    bool is_delete;
    bool is_create;
};

/* What the test knows of one watcher; id is its index, so ids are unique over all streams. */
struct known {
    bool is_open;
    bool was_created;
    bool is_compacted;
    int first_key; /* keys first_key <= k < last_key */
    int last_key;
    bool drops_puts;
    bool drops_deletes;
    bool wants_prev;
    size_t next; /* in history: the first change not told yet */
};

struct model {
    struct world world;
    struct watch_hub *hub;
    struct watch_stream *streams[STREAMS];
    int stream_of[WATCHERS_MAX];
    bool has_more[STREAMS];
    struct rng rng;
    struct change history[HISTORY_MAX];
    size_t history_count;
    bool is_live[KEYS];
    struct known known[WATCHERS_MAX];
    size_t known_count;
    size_t told_count;
    size_t compacted_count;
};

static void key_name(int key, char out[16])
{
    snprintf(out, 16, "k%02d", key);
}

static bool wants(const struct known *known, const struct change *change)
{
    return change->key >= known->first_key && change->key < known->last_key &&
           !(change->is_delete ? known->drops_deletes : known->drops_puts);
}

/* Moves to the next change that the watcher is to be told. */
static const struct change *expected(const struct model *model, struct known *known)
{
    while (known->next < model->history_count && !wants(known, &model->history[known->next])) {
        known->next++;
    }
    return known->next < model->history_count ? &model->history[known->next] : NULL;
}

static void event_check(struct model *model, struct known *known, const Mvccpb__Event *event)
{
    const struct change *change = expected(model, known);
    char name[16];
    assert_non_null(change);
    key_name(change->key, name);
    assert_int_equal(event->kv->mod_revision, change->revision);
    assert_true(bytes_equal(proto_bytes(event->kv->key), bytes_of_str(name)));
    assert_int_equal(event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE, change->is_delete);
    if (change->is_delete) {
        assert_int_equal(event->kv->value.len, 0);
    } else {
        char value[32];
        snprintf(value, sizeof(value), "v%lld", (long long)change->revision);
        assert_true(bytes_equal(proto_bytes(event->kv->value), bytes_of_str(value)));
    }
    if (!known->wants_prev || change->is_create) {
        assert_null(event->prev_kv);
    } else if (change->revision - 1 >= mvcc_compact_revision(model->world.mvcc)) {
        assert_non_null(event->prev_kv);
        assert_true(event->prev_kv->mod_revision < change->revision);
    }
    known->next++;
    model->told_count++;
}

static void response_check(struct model *model, const Etcdserverpb__WatchResponse *response)
{
    if (response->watch_id == WATCH_ID_NONE) {
        /* Progress: nothing up to this revision may still be owed by this stream. */
        assert_int_equal(response->n_events, 0);
        return;
    }
    struct known *known = &model->known[response->watch_id - 1];
    if (response->created) {
        assert_false(known->was_created);
        known->was_created = true;
        return;
    }
    assert_true(known->was_created && !known->is_compacted);
    if (response->canceled) {
        if (response->compact_revision != 0) {
            const struct change *owed = expected(model, known);
            /* It may have been behind without owing anything: history is not read for that. */
            if (owed != NULL) {
                model->compacted_count++;
            }
            assert_int_equal(response->header->revision, 0);
            known->is_compacted = true;
        }
        known->is_open = false;
        return;
    }
    assert_true(known->is_open);
    assert_true(response->n_events > 0);
    for (size_t i = 0; i < response->n_events; i++) {
        event_check(model, known, response->events[i]);
    }
    /* Whole revisions: what comes next for this watcher has a later one. */
    int64_t last = response->events[response->n_events - 1]->kv->mod_revision;
    const struct change *next = expected(model, known);
    assert_true(next == NULL || next->revision > last);
    assert_true(response->header->revision >= last);
}

static void model_pull(struct model *model, int at, size_t max_bytes)
{
    struct buf sent;
    buf_init(&sent, BUF_NO_LIMIT);
    assert_int_equal(watch_stream_pull(model->streams[at], max_bytes, &sent, &model->has_more[at]),
                     0);
    mvcc_release(model->world.mvcc);
    for (size_t offset = 0; offset < sent.size;) {
        size_t size = get_be32(sent.data + offset + 1);
        struct arena arena;
        arena_init(&arena, BUF_NO_LIMIT);
        Etcdserverpb__WatchResponse *response = NULL;
        assert_int_equal(PROTO_UNPACK(etcdserverpb__watch_response,
                                      bytes_of(sent.data + offset + 5, size), &arena, &response),
                         0);
        response_check(model, response);
        arena_free(&arena);
        offset += 5 + size;
    }
    buf_free(&sent);
}

static void model_write(struct model *model)
{
    size_t changes = 1 + rng_below(&model->rng, 3);
    int key = (int)rng_below(&model->rng, KEYS);
    int64_t revision = mvcc_revision(model->world.mvcc) + 1;
    size_t before = model->history_count;
    mvcc_txn_begin(model->world.mvcc, &model->world.batch);
    for (size_t i = 0; i < changes && key < KEYS; i++, key++) {
        char name[16];
        char value[32];
        key_name(key, name);
        snprintf(value, sizeof(value), "v%lld", (long long)revision);
        bool is_delete = rng_below(&model->rng, 4) == 0;
        if (is_delete && !model->is_live[key]) {
            continue;
        }
        assert_true(model->history_count < HISTORY_MAX);
        model->history[model->history_count++] =
            (struct change){revision, key, is_delete, !is_delete && !model->is_live[key]};
        model->is_live[key] = !is_delete;
        if (is_delete) {
            struct key_span span = key_span_of(bytes_of_str(name), (struct bytes){NULL, 0});
            assert_int_equal(mvcc_txn_delete(model->world.mvcc, &span), 1);
        } else {
            mvcc_txn_put(model->world.mvcc, bytes_of_str(name), bytes_of_str(value), 0);
        }
    }
    int64_t after = mvcc_txn_end(model->world.mvcc);
    assert_int_equal(after, model->history_count > before ? revision : revision - 1);
    if (rng_below(&model->rng, 3) != 0) {
        assert_int_equal(watch_hub_notify(model->hub), 0);
    }
}

static void model_create(struct model *model)
{
    if (model->known_count == WATCHERS_MAX) {
        return;
    }
    assert_int_equal(watch_hub_notify(model->hub), 0);
    struct known *known = &model->known[model->known_count++];
    int64_t newest = mvcc_revision(model->world.mvcc);
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    char first[16];
    char last[16];
    known->is_open = true;
    known->first_key = (int)rng_below(&model->rng, KEYS);
    known->last_key = known->first_key + 1;
    key_name(known->first_key, first);
    create.key = proto_binary(bytes_of_str(first));
    if (rng_below(&model->rng, 2) == 0) {
        known->last_key += (int)rng_below(&model->rng, 5);
        key_name(known->last_key, last);
        create.range_end = proto_binary(bytes_of_str(last));
    }
    create.watch_id = (int64_t)model->known_count;
    known->wants_prev = rng_below(&model->rng, 2) == 0;
    create.prev_kv = known->wants_prev;
    Etcdserverpb__WatchCreateRequest__FilterType filter =
        (Etcdserverpb__WatchCreateRequest__FilterType)rng_below(&model->rng, 2);
    if (rng_below(&model->rng, 4) == 0) {
        create.filters = &filter;
        create.n_filters = 1;
        known->drops_puts = filter == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
        known->drops_deletes = !known->drops_puts;
    }
    int64_t start = newest + 1;
    if (rng_below(&model->rng, 2) == 0) {
        start = 1 + (int64_t)rng_below(&model->rng, (uint64_t)newest + 5);
        create.start_revision = start;
    }
    while (known->next < model->history_count && model->history[known->next].revision < start) {
        known->next++;
    }
    if (start > newest) {
        /* In the future: skip what will happen until then. */
        known->next = model->history_count;
        if (start > newest + 1) {
            create.start_revision = 0;
        }
    }
    int stream = (int)rng_below(&model->rng, STREAMS);
    model->stream_of[model->known_count - 1] = stream;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    watch_stream_request(model->streams[stream], &request, NULL);
}

static void model_cancel(struct model *model)
{
    if (model->known_count == 0) {
        return;
    }
    size_t at = rng_below(&model->rng, model->known_count);
    Etcdserverpb__WatchCancelRequest cancel = ETCDSERVERPB__WATCH_CANCEL_REQUEST__INIT;
    cancel.watch_id = (int64_t)at + 1;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    request.cancel_request = &cancel;
    watch_stream_request(model->streams[model->stream_of[at]], &request, NULL);
}

static void model_progress(struct model *model)
{
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &progress;
    watch_stream_request(model->streams[rng_below(&model->rng, STREAMS)], &request, NULL);
}

static void model_compact(struct model *model)
{
    int64_t newest = mvcc_revision(model->world.mvcc);
    int64_t compacted = mvcc_compact_revision(model->world.mvcc);
    if (newest - compacted < 20) {
        return;
    }
    int64_t revision = newest - (int64_t)rng_below(&model->rng, 15);
    assert_int_equal(mvcc_compact(model->world.mvcc, &model->world.batch, revision), 0);
    world_compact_all(&model->world);
}

static void model_step(struct model *model, uint64_t step)
{
    uint64_t choice = rng_below(&model->rng, 100);
    if (choice < 45) {
        model_write(model);
    } else if (choice < 80) {
        model_pull(model, (int)rng_below(&model->rng, STREAMS), 1 + rng_below(&model->rng, 300));
    } else if (choice < 88) {
        model_create(model);
    } else if (choice < 92) {
        model_cancel(model);
    } else if (choice < 96) {
        model_progress(model);
    } else if (choice < 98) {
        world_commit(&model->world, step + 1);
    } else {
        model_compact(model);
    }
}

static void model_run(uint64_t seed, size_t cache_bytes)
{
    struct model *model = mem_zalloc(sizeof(*model));
    world_open(&model->world, NULL);
    struct watch_config config = {
        .fragment_bytes = 1u << 20, .cache_bytes = cache_bytes, .seed = 1};
    model->hub = watch_hub_new(&config, model->world.mvcc);
    rng_seed(&model->rng, seed);
    for (int i = 0; i < STREAMS; i++) {
        model->streams[i] = watch_stream_new(model->hub, NULL, 0, 1000);
    }
    for (uint64_t step = 0; step < 6000; step++) {
        model_step(model, step);
    }
    assert_int_equal(watch_hub_notify(model->hub), 0);
    struct watch_stream *ready = watch_hub_ready(model->hub);
    while (ready != NULL) {
        ready = watch_hub_ready(model->hub);
    }
    for (int i = 0; i < STREAMS; i++) {
        do {
            model_pull(model, i, 100);
        } while (model->has_more[i]);
    }
    for (size_t i = 0; i < model->known_count; i++) {
        struct known *known = &model->known[i];
        assert_true(known->was_created);
        if (known->is_open) {
            assert_null(expected(model, known));
        }
    }
    struct watch_stats stats;
    watch_hub_stats(model->hub, &stats);
    assert_int_equal(stats.slow_count, 0);
    assert_true(stats.cache_bytes <= BASE_MAX(cache_bytes, 4096));
    assert_true(model->told_count > 1000);
    assert_true(model->compacted_count > 0);
    for (int i = 0; i < STREAMS; i++) {
        watch_stream_free(model->streams[i]);
    }
    watch_hub_free(model->hub);
    world_close(&model->world);
    mem_free(model);
}

static void every_watcher_is_told_exactly_what_happened(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        model_run(seed, 1u << 20);
    }
}

static void a_cache_that_holds_nearly_nothing_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 101; seed <= 112; seed++) {
        model_run(seed, 700);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_watcher_is_told_exactly_what_happened),
        cmocka_unit_test(a_cache_that_holds_nearly_nothing_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
