/* SPDX-License-Identifier: Apache-2.0 */
/* Range, Put, DeleteRange and Compact as clients see them. Transactions: test_kv_txn.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/mvcc/kv.h"
#include "lib_request.h"
#include "lib_world.h"

#define DESCEND ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND
#define ASCEND  ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__ASCEND

struct bench {
    struct world world;
    struct kv_env env;
    struct requests requests;
    int64_t revision; /* of the last answer */
};

static bool lease_exists(void *ctx, int64_t lease)
{
    (void)ctx;
    return lease == 7;
}

static void set_up(struct bench *bench)
{
    world_open(&bench->world, NULL);
    requests_init(&bench->requests);
    bench->env = (struct kv_env){bench->world.mvcc, lease_exists, NULL};
}

static void tear_down(struct bench *bench)
{
    requests_free(&bench->requests);
    world_close(&bench->world);
}

/* Keys a to e at revisions 2 to 6, then b again (7) and d again (8): versions 1 2 1 2 1. */
static void set_up_five(struct bench *bench)
{
    set_up(bench);
    world_put(&bench->world, "a", "5");
    world_put(&bench->world, "b", "0");
    world_put(&bench->world, "c", "3");
    world_put(&bench->world, "d", "0");
    world_put(&bench->world, "e", "1");
    world_put(&bench->world, "b", "4");
    world_put(&bench->world, "d", "2");
}

/* The answer as "key=value key=value more=m count=n". */
static const char *describe(const struct buf *body, struct buf *text)
{
    Etcdserverpb__RangeResponse *response =
        etcdserverpb__range_response__unpack(NULL, body->size, body->data);
    assert_non_null(response);
    for (size_t i = 0; i < response->n_kvs; i++) {
        const Mvccpb__KeyValue *kv = response->kvs[i];
        (void)buf_append(text, kv->key.data, kv->key.len);
        if (kv->value.len > 0) {
            (void)buf_append_byte(text, '=');
            (void)buf_append(text, kv->value.data, kv->value.len);
        }
        (void)buf_append_byte(text, ' ');
    }
    (void)buf_printf(text, "more=%d count=%d", response->more, (int)response->count);
    etcdserverpb__range_response__free_unpacked(response, NULL);
    return buf_cstr(text);
}

static void expect_range(struct bench *bench, const Etcdserverpb__RangeRequest *request,
                         const char *want)
{
    struct buf body;
    struct buf text;
    buf_init(&body, BUF_NO_LIMIT);
    buf_init(&text, BUF_NO_LIMIT);
    assert_int_equal(kv_check_range(request), 0);
    assert_int_equal(kv_range(&bench->env, request, &body, &bench->revision), 0);
    assert_string_equal(describe(&body, &text), want);
    assert_int_equal(bench->revision, mvcc_revision(bench->world.mvcc));
    buf_free(&body);
    buf_free(&text);
}

struct range_case {
    const char *key;
    const char *end;
    int64_t limit;
    int64_t revision;
    int order;
    int target;
    bool keys_only;
    bool count_only;
    int64_t min_mod, max_mod, min_create, max_create;
    const char *want;
};

static const struct range_case RANGES[] = {
    {.key = "a", .end = "", .want = "a=5 more=0 count=1"},
    {.key = "x", .end = "", .want = "more=0 count=0"},
    {.key = "b", .end = "d", .want = "b=4 c=3 more=0 count=2"},
    {.key = "d", .end = "b", .want = "more=0 count=0"},
    {.key = "c", .end = FROM_KEY, .want = "c=3 d=2 e=1 more=0 count=3"},
    {.key = FROM_KEY, .end = FROM_KEY, .want = "a=5 b=4 c=3 d=2 e=1 more=0 count=5"},
    {.key = "a", .end = "f", .limit = 2, .want = "a=5 b=4 more=1 count=5"},
    {.key = "a", .end = "f", .limit = 5, .want = "a=5 b=4 c=3 d=2 e=1 more=0 count=5"},
    {.key = "a", .end = "f", .limit = -1, .want = "a=5 b=4 c=3 d=2 e=1 more=0 count=5"},
    {.key = "a", .end = "f", .revision = 4, .want = "a=5 b=0 c=3 more=0 count=3"},
    {.key = "a", .end = "f", .revision = 4, .limit = 1, .want = "a=5 more=1 count=3"},
    {.key = "a", .end = "f", .revision = -3, .limit = 1, .want = "a=5 more=1 count=5"},
    {.key = "a", .end = "f", .keys_only = true, .want = "a b c d e more=0 count=5"},
    {.key = "a", .end = "f", .keys_only = true, .revision = 6, .want = "a b c d e more=0 count=5"},
    {.key = "a", .end = "f", .count_only = true, .limit = 1, .want = "more=0 count=5"},
    {.key = "a", .end = "f", .count_only = true, .revision = 4, .want = "more=0 count=3"},
    {.key = "a",
     .end = "f",
     .count_only = true,
     .min_mod = 99,
     .order = DESCEND,
     .want = "more=0 count=5"},
    {.key = "a", .end = "f", .order = DESCEND, .want = "e=1 d=2 c=3 b=4 a=5 more=0 count=5"},
    {.key = "a", .end = "f", .order = DESCEND, .limit = 2, .want = "e=1 d=2 more=1 count=5"},
    {.key = "a", .end = "f", .order = ASCEND, .limit = 2, .want = "a=5 b=4 more=1 count=5"},
    {.key = "a",
     .end = "f",
     .order = ASCEND,
     .target = 1,
     .want = "a=5 c=3 e=1 b=4 d=2 more=0 count=5"},
    {.key = "a",
     .end = "f",
     .order = DESCEND,
     .target = 2,
     .want = "e=1 d=2 c=3 b=4 a=5 more=0 count=5"},
    {.key = "a",
     .end = "f",
     .order = DESCEND,
     .target = 3,
     .want = "d=2 b=4 e=1 c=3 a=5 more=0 count=5"},
    {.key = "a",
     .end = "f",
     .order = ASCEND,
     .target = 4,
     .want = "e=1 d=2 c=3 b=4 a=5 more=0 count=5"},
    {.key = "a",
     .end = "f",
     .order = ASCEND,
     .target = 4,
     .limit = 1,
     .want = "e=1 more=1 count=5"},
    {.key = "a", .end = "f", .target = 4, .want = "e=1 d=2 c=3 b=4 a=5 more=0 count=5"},
    /* A target without an order sorts only what the limit has fetched. */
    {.key = "a", .end = "f", .target = 4, .limit = 2, .want = "c=3 b=4 more=1 count=5"},
    {.key = "a", .end = "f", .min_mod = 6, .want = "b=4 d=2 e=1 more=0 count=5"},
    {.key = "a", .end = "f", .max_mod = 4, .want = "a=5 c=3 more=0 count=5"},
    {.key = "a", .end = "f", .min_create = 5, .want = "d=2 e=1 more=0 count=5"},
    {.key = "a", .end = "f", .max_create = 3, .want = "a=5 b=4 more=0 count=5"},
    {.key = "a", .end = "f", .min_mod = 6, .limit = 2, .want = "b=4 d=2 more=1 count=5"},
    {.key = "a", .end = "f", .min_mod = 6, .limit = 3, .want = "b=4 d=2 e=1 more=0 count=5"},
    {.key = "a",
     .end = "f",
     .min_mod = 6,
     .keys_only = true,
     .order = DESCEND,
     .want = "e d b more=0 count=5"},
};

static Etcdserverpb__RangeRequest *request_of(struct requests *requests, const struct range_case *c)
{
    Etcdserverpb__RangeRequest *request = range_of(requests, c->key, c->end);
    request->limit = c->limit;
    request->revision = c->revision;
    request->sort_order = (Etcdserverpb__RangeRequest__SortOrder)c->order;
    request->sort_target = (Etcdserverpb__RangeRequest__SortTarget)c->target;
    request->keys_only = c->keys_only;
    request->count_only = c->count_only;
    request->min_mod_revision = c->min_mod;
    request->max_mod_revision = c->max_mod;
    request->min_create_revision = c->min_create;
    request->max_create_revision = c->max_create;
    return request;
}

static void every_kind_of_range_answers_as_etcd_from_the_tail_and_from_the_store(void **state)
{
    (void)state;
    struct bench bench;
    set_up_five(&bench);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < ARRAY_COUNT(RANGES); i++) {
            expect_range(&bench, request_of(&bench.requests, &RANGES[i]), RANGES[i].want);
        }
        world_commit(&bench.world, 1);
        assert_int_equal(mvcc_tail_count(bench.world.mvcc), 0);
    }
    tear_down(&bench);
}

static void slices_of_a_range_join_to_the_same_answer_whatever_happens_in_between(void **state)
{
    (void)state;
    struct bench bench;
    struct buf body;
    struct buf text;
    buf_init(&body, BUF_NO_LIMIT);
    buf_init(&text, BUF_NO_LIMIT);
    for (size_t i = 0; i < ARRAY_COUNT(RANGES); i++) {
        struct kv_range_job job;
        unsigned slices = 0;
        set_up_five(&bench);
        Etcdserverpb__RangeRequest *request = request_of(&bench.requests, &RANGES[i]);
        buf_clear(&body);
        buf_clear(&text);

        assert_int_equal(kv_range_begin(&bench.env, request, &job), 0);
        while (!job.done) {
            assert_int_equal(kv_range_slice(&bench.env, &job, 1, SIZE_MAX, &body), 0);
            if (slices++ == 0) {
                world_delete(&bench.world, "c");
                world_put(&bench.world, "bb", "new");
                int64_t newest = mvcc_revision(bench.world.mvcc);
                assert_int_equal(mvcc_compact(bench.world.mvcc, &bench.world.batch, newest), 0);
                (void)mvcc_compact_slice(bench.world.mvcc, &bench.world.batch, 100);
                world_commit(&bench.world, 1);
            }
        }
        kv_range_append_tail(&job, &body);

        assert_string_equal(describe(&body, &text), RANGES[i].want);
        assert_int_equal(job.header_revision, 8);

        struct buf again;
        buf_init(&again, BUF_NO_LIMIT);
        world_put(&bench.world, "cc", "newer");
        kv_range_restart(&job);
        while (!job.done) {
            assert_int_equal(kv_range_slice(&bench.env, &job, 2, 3, &again), 0);
        }
        kv_range_append_tail(&job, &again);
        assert_int_equal(again.size, body.size);
        assert_memory_equal(again.data, body.data, body.size);
        buf_free(&again);

        kv_range_end(&bench.env, &job);
        world_compact_all(&bench.world);
        assert_false(mvcc_compacting(bench.world.mvcc));
        tear_down(&bench);
    }
    buf_free(&body);
    buf_free(&text);
}

static void a_byte_budget_ends_a_slice_after_the_record_that_passes_it(void **state)
{
    (void)state;
    struct bench bench;
    struct buf body;
    struct kv_range_job job;
    set_up_five(&bench);
    buf_init(&body, BUF_NO_LIMIT);
    Etcdserverpb__RangeRequest *request = range_of(&bench.requests, "a", "f");

    assert_int_equal(kv_range_begin(&bench.env, request, &job), 0);
    assert_int_equal(kv_range_slice(&bench.env, &job, 100, 1, &body), 0);

    assert_int_equal(job.emitted, 1);
    assert_false(job.done);
    kv_range_end(&bench.env, &job);
    buf_free(&body);
    tear_down(&bench);
}

static int range_error(struct bench *bench, int64_t revision)
{
    struct buf body;
    Etcdserverpb__RangeRequest *request = range_of(&bench->requests, "a", "f");
    request->revision = revision;
    buf_init(&body, BUF_NO_LIMIT);
    int rc = kv_range(&bench->env, request, &body, &bench->revision);
    buf_free(&body);
    return rc;
}

static void revisions_that_are_gone_or_to_come_are_refused(void **state)
{
    (void)state;
    struct bench bench;
    set_up_five(&bench);
    int64_t revision;

    assert_int_equal(range_error(&bench, 9), ETCD_ERR_FUTURE_REV);
    assert_int_equal(kv_compact(&bench.env, &bench.world.batch, 9, &revision), ETCD_ERR_FUTURE_REV);
    assert_int_equal(kv_compact(&bench.env, &bench.world.batch, 5, &revision), 0);
    assert_int_equal(revision, 8);
    assert_int_equal(kv_compact(&bench.env, &bench.world.batch, 5, &revision), ETCD_ERR_COMPACTED);
    assert_int_equal(range_error(&bench, 4), ETCD_ERR_COMPACTED);
    assert_int_equal(range_error(&bench, 5), 0);

    tear_down(&bench);
}

static void requests_without_form_are_refused(void **state)
{
    (void)state;
    struct requests requests;
    requests_init(&requests);
    Etcdserverpb__RangeRequest *range = range_of(&requests, "", "");
    assert_int_equal(kv_check_range(range), ETCD_ERR_EMPTY_KEY);
    range = range_of(&requests, "a", "");
    range->sort_order = (Etcdserverpb__RangeRequest__SortOrder)3;
    assert_int_equal(kv_check_range(range), ETCD_ERR_INVALID_SORT_OPTION);
    range = range_of(&requests, "a", "");
    range->sort_target = (Etcdserverpb__RangeRequest__SortTarget)-1;
    assert_int_equal(kv_check_range(range), ETCD_ERR_INVALID_SORT_OPTION);

    Etcdserverpb__PutRequest *put = put_of(&requests, "", "");
    assert_int_equal(kv_check_put(put), ETCD_ERR_EMPTY_KEY);
    put = put_of(&requests, "a", "v");
    put->ignore_value = true;
    assert_int_equal(kv_check_put(put), ETCD_ERR_VALUE_PROVIDED);
    put = put_of(&requests, "a", "v");
    put->ignore_lease = true;
    put->lease = 1;
    assert_int_equal(kv_check_put(put), ETCD_ERR_LEASE_PROVIDED);
    put->lease = 0;
    assert_int_equal(kv_check_put(put), 0);

    assert_int_equal(kv_check_delete_range(delete_of(&requests, "", "")), ETCD_ERR_EMPTY_KEY);
    assert_int_equal(kv_check_delete_range(delete_of(&requests, "a", "")), 0);
    requests_free(&requests);
}

static Etcdserverpb__PutResponse *put(struct bench *bench, const Etcdserverpb__PutRequest *request)
{
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    assert_int_equal(kv_put(&bench->env, &bench->world.batch, request, &body, &bench->revision), 0);
    Etcdserverpb__PutResponse *response =
        etcdserverpb__put_response__unpack(NULL, body.size, body.data);
    assert_non_null(response);
    buf_free(&body);
    return response;
}

static int put_error(struct bench *bench, const Etcdserverpb__PutRequest *request)
{
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    int64_t before = mvcc_revision(bench->world.mvcc);
    int rc = kv_put(&bench->env, &bench->world.batch, request, &body, &bench->revision);
    assert_int_equal(mvcc_revision(bench->world.mvcc), before);
    buf_free(&body);
    return rc;
}

static struct mvcc_meta meta_of(struct bench *bench, const char *key)
{
    struct mvcc_meta meta = {0};
    assert_true(mvcc_stat(bench->world.mvcc, bytes_of_str(key), &meta));
    return meta;
}

static void a_put_gives_the_previous_pair_and_can_keep_value_or_lease(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    Etcdserverpb__PutRequest *request = put_of(&bench.requests, "k", "one");
    request->lease = 7;
    request->prev_kv = true;
    Etcdserverpb__PutResponse *response = put(&bench, request);
    assert_null(response->prev_kv);
    assert_int_equal(bench.revision, 2);
    etcdserverpb__put_response__free_unpacked(response, NULL);

    request = put_of(&bench.requests, "k", "two");
    request->ignore_lease = true;
    request->prev_kv = true;
    response = put(&bench, request);
    assert_memory_equal(response->prev_kv->value.data, "one", 3);
    assert_int_equal(response->prev_kv->lease, 7);
    etcdserverpb__put_response__free_unpacked(response, NULL);
    assert_int_equal(meta_of(&bench, "k").lease, 7);

    request = put_of(&bench.requests, "k", "");
    request->ignore_value = true;
    etcdserverpb__put_response__free_unpacked(put(&bench, request), NULL);
    assert_int_equal(meta_of(&bench, "k").lease, 0);
    assert_int_equal(meta_of(&bench, "k").version, 3);
    expect_range(&bench, range_of(&bench.requests, "k", ""), "k=two more=0 count=1");
    tear_down(&bench);
}

static void a_refused_put_changes_nothing(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    Etcdserverpb__PutRequest *request = put_of(&bench.requests, "k", "v");
    request->lease = 8;
    assert_int_equal(put_error(&bench, request), ETCD_ERR_LEASE_NOT_FOUND);
    request = put_of(&bench.requests, "k", "");
    request->ignore_value = true;
    assert_int_equal(put_error(&bench, request), ETCD_ERR_KEY_NOT_FOUND);
    request = put_of(&bench.requests, "k", "v");
    request->ignore_lease = true;
    assert_int_equal(put_error(&bench, request), ETCD_ERR_KEY_NOT_FOUND);
    assert_int_equal(bench.world.batch.op_count, 0);
    tear_down(&bench);
}

static void a_delete_counts_gives_previous_pairs_and_shares_one_revision(void **state)
{
    (void)state;
    struct bench bench;
    struct buf body;
    set_up_five(&bench);
    buf_init(&body, BUF_NO_LIMIT);
    Etcdserverpb__DeleteRangeRequest *request = delete_of(&bench.requests, "b", "e");
    request->prev_kv = true;

    assert_int_equal(
        kv_delete_range(&bench.env, &bench.world.batch, request, &body, &bench.revision), 0);

    Etcdserverpb__DeleteRangeResponse *response =
        etcdserverpb__delete_range_response__unpack(NULL, body.size, body.data);
    assert_int_equal(response->deleted, 3);
    assert_int_equal(response->n_prev_kvs, 3);
    assert_memory_equal(response->prev_kvs[1]->value.data, "3", 1);
    assert_int_equal(bench.revision, 9);
    etcdserverpb__delete_range_response__free_unpacked(response, NULL);
    expect_range(&bench, range_of(&bench.requests, "a", "f"), "a=5 e=1 more=0 count=2");

    buf_clear(&body);
    assert_int_equal(
        kv_delete_range(&bench.env, &bench.world.batch, request, &body, &bench.revision), 0);
    assert_int_equal(body.size, 0);
    assert_int_equal(bench.revision, 9);
    buf_free(&body);
    tear_down(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_range_answers_as_etcd_from_the_tail_and_from_the_store),
        cmocka_unit_test(slices_of_a_range_join_to_the_same_answer_whatever_happens_in_between),
        cmocka_unit_test(a_byte_budget_ends_a_slice_after_the_record_that_passes_it),
        cmocka_unit_test(revisions_that_are_gone_or_to_come_are_refused),
        cmocka_unit_test(requests_without_form_are_refused),
        cmocka_unit_test(a_put_gives_the_previous_pair_and_can_keep_value_or_lease),
        cmocka_unit_test(a_refused_put_changes_nothing),
        cmocka_unit_test(a_delete_counts_gives_previous_pairs_and_shares_one_revision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
