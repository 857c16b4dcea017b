/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions: what is refused, how branches are decided, what the answers hold. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/mvcc/kv.h"
#include "lib_request.h"
#include "lib_world.h"

enum { EQUAL, GREATER, LESS, NOT_EQUAL };
enum { VERSION, CREATE, MOD, VALUE, LEASE };

struct bench {
    struct world world;
    struct kv_env env;
    struct requests requests;
    Etcdserverpb__TxnResponse *response;
    int64_t revision;
};

static void set_up(struct bench *bench)
{
    world_open(&bench->world, NULL);
    requests_init(&bench->requests);
    bench->env = (struct kv_env){bench->world.mvcc, NULL, NULL};
    bench->response = NULL;
}

static void drop_response(struct bench *bench)
{
    if (bench->response != NULL) {
        etcdserverpb__txn_response__free_unpacked(bench->response, NULL);
        bench->response = NULL;
    }
}

static void tear_down(struct bench *bench)
{
    drop_response(bench);
    requests_free(&bench->requests);
    world_close(&bench->world);
}

/* Checks the form, runs, keeps the decoded answer; gives the error. */
static int run(struct bench *bench, const Etcdserverpb__TxnRequest *request)
{
    struct buf body;
    drop_response(bench);
    int rc = kv_check_txn(request, KV_TXN_OPS_DEFAULT);
    if (rc != 0) {
        return rc;
    }
    buf_init(&body, BUF_NO_LIMIT);
    rc = kv_txn(&bench->env, &bench->world.batch, request, &body, &bench->revision);
    if (rc == 0) {
        bench->response = etcdserverpb__txn_response__unpack(NULL, body.size, body.data);
        assert_non_null(bench->response);
    }
    buf_free(&body);
    return rc;
}

static void expect_stored(struct bench *bench, const char *key, const char *want)
{
    struct bytes record;
    struct keyvalue kv;
    int rc = mvcc_get_at(bench->world.mvcc, bytes_of_str(key), 0, &record);
    assert_int_equal(rc, want == NULL ? E_NOT_FOUND : 0);
    if (want != NULL) {
        assert_int_equal(keyvalue_decode(record, &kv), 0);
        assert_true(bytes_equal(kv.value, bytes_of_str(want)));
    }
}

struct compare_case {
    const char *key;
    const char *end;
    int target;
    int result;
    int64_t number;
    const char *value;
    bool holds;
};

/* On a (create 2, mod 4, version 2, value "m", lease 0) and b (create 3, mod 3, version 1, value
 * "n"). */
static const struct compare_case COMPARES[] = {
    {"a", "", VERSION, EQUAL, 2, NULL, true},
    {"a", "", VERSION, EQUAL, 1, NULL, false},
    {"a", "", VERSION, GREATER, 1, NULL, true},
    {"a", "", VERSION, GREATER, 2, NULL, false},
    {"a", "", VERSION, LESS, 3, NULL, true},
    {"a", "", VERSION, LESS, 2, NULL, false},
    {"a", "", VERSION, NOT_EQUAL, 3, NULL, true},
    {"a", "", VERSION, NOT_EQUAL, 2, NULL, false},
    {"a", "", CREATE, EQUAL, 2, NULL, true},
    {"a", "", CREATE, LESS, 2, NULL, false},
    {"a", "", MOD, EQUAL, 4, NULL, true},
    {"a", "", MOD, GREATER, 4, NULL, false},
    {"a", "", LEASE, EQUAL, 0, NULL, true},
    {"a", "", LEASE, GREATER, 0, NULL, false},
    {"a", "", VALUE, EQUAL, 0, "m", true},
    {"a", "", VALUE, EQUAL, 0, "", false},
    {"a", "", VALUE, GREATER, 0, "l", true},
    {"a", "", VALUE, LESS, 0, "ma", true},
    {"a", "", VALUE, NOT_EQUAL, 0, "m", false},
    /* A missing key: numbers are zero, a value compare is false whatever it asks. */
    {"x", "", VERSION, EQUAL, 0, NULL, true},
    {"x", "", CREATE, EQUAL, 0, NULL, true},
    {"x", "", MOD, LESS, 1, NULL, true},
    {"x", "", VALUE, EQUAL, 0, "", false},
    {"x", "", VALUE, NOT_EQUAL, 0, "m", false},
    /* Ranges: every key must hold; an empty one is like a missing key. */
    {"a", "c", VERSION, GREATER, 0, NULL, true},
    {"a", "c", VERSION, GREATER, 1, NULL, false},
    {"a", "c", VALUE, GREATER, 0, "l", true},
    {"a", FROM_KEY, MOD, LESS, 4, NULL, false},
    {"x", "z", VERSION, EQUAL, 0, NULL, true},
    {"x", "z", VALUE, NOT_EQUAL, 0, "m", false},
};

static void set_compare(struct bench *bench, Etcdserverpb__Compare *compare,
                        const struct compare_case *c)
{
    compare->target = (Etcdserverpb__Compare__CompareTarget)c->target;
    compare->range_end = data_of(&bench->requests, c->end);
    if (c->target == VALUE) {
        compare->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
        compare->value = data_of(&bench->requests, c->value);
    } else {
        static const int CASES[] = {
            [VERSION] = ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION,
            [CREATE] = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION,
            [MOD] = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION,
            [LEASE] = ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE,
        };
        compare->target_union_case = (Etcdserverpb__Compare__TargetUnionCase)CASES[c->target];
        compare->version = c->number; /* all numbers share the place */
    }
}

static void compares_decide_as_etcd_does(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    world_put(&bench.world, "a", "first");
    world_put(&bench.world, "b", "n");
    world_put(&bench.world, "a", "m");
    for (size_t i = 0; i < ARRAY_COUNT(COMPARES); i++) {
        const struct compare_case *c = &COMPARES[i];
        Etcdserverpb__TxnRequest *txn = txn_of(&bench.requests);
        set_compare(&bench, txn_if(&bench.requests, txn, c->key, c->result, 0), c);

        assert_int_equal(run(&bench, txn), 0);

        if (bench.response->succeeded != c->holds) {
            fail_msg("compare %zu", i);
        }
        assert_int_equal(bench.revision, 4);
    }
    tear_down(&bench);
}

static void a_compare_whose_value_is_of_another_kind_compares_with_nothing(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    world_put(&bench.world, "a", "");
    Etcdserverpb__TxnRequest *txn = txn_of(&bench.requests);
    txn_if(&bench.requests, txn, "a", EQUAL, 99)->target =
        (Etcdserverpb__Compare__CompareTarget)VALUE; /* union holds a version */

    assert_int_equal(run(&bench, txn), 0);

    assert_true(bench.response->succeeded); /* "" equals no value */
    tear_down(&bench);
}

static void all_writes_share_a_revision_and_reads_see_those_before_them(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    world_put(&bench.world, "a", "1");
    world_put(&bench.world, "c", "1");
    Etcdserverpb__TxnRequest *txn = txn_of(&bench.requests);
    struct requests *requests = &bench.requests;
    txn_then(requests, txn, op_range(requests, range_of(requests, "a", "z")));
    txn_then(requests, txn, op_put(requests, "b", "2"));
    txn_then(requests, txn, op_range(requests, range_of(requests, "a", "z")));
    txn_then(requests, txn, op_delete(requests, "c", ""));
    txn_then(requests, txn, op_put(requests, "d", "2"));
    Etcdserverpb__RangeRequest *before = range_of(requests, "a", "z");
    before->revision = 3;
    txn_then(requests, txn, op_range(requests, before));

    assert_int_equal(run(&bench, txn), 0);

    assert_int_equal(bench.revision, 4);
    assert_int_equal(bench.response->n_responses, 6);
    Etcdserverpb__ResponseOp **ops = bench.response->responses;
    assert_int_equal(ops[0]->response_range->count, 2);
    assert_int_equal(ops[0]->response_range->header->revision, 3);
    assert_int_equal(ops[1]->response_put->header->revision, 4);
    assert_int_equal(ops[1]->response_put->header->member_id, 0);
    assert_int_equal(ops[2]->response_range->count, 3);
    assert_int_equal(ops[2]->response_range->header->revision, 4);
    assert_int_equal(ops[2]->response_range->kvs[1]->mod_revision, 4);
    assert_int_equal(ops[3]->response_delete_range->deleted, 1);
    assert_int_equal(ops[3]->response_delete_range->header->revision, 4);
    assert_int_equal(ops[5]->response_range->count, 2);
    assert_memory_equal(ops[5]->response_range->kvs[1]->key.data, "c", 1); /* as before it all */
    assert_int_equal(bench.world.batch.op_count, 5);
    tear_down(&bench);
}

static void nested_compares_see_the_state_before_the_transaction(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    struct requests *requests = &bench.requests;
    Etcdserverpb__TxnRequest *inner = txn_of(requests);
    Etcdserverpb__TxnRequest *outer = txn_of(requests);
    txn_if(requests, inner, "a", EQUAL, 0); /* still missing, although the outer one puts it */
    txn_then(requests, inner, op_put(requests, "b", "missing"));
    txn_else(requests, inner, op_put(requests, "b", "there"));
    txn_then(requests, outer, op_put(requests, "a", "1"));
    txn_then(requests, outer, op_txn(requests, inner));
    txn_then(requests, outer, op_put(requests, "c", "1"));

    assert_int_equal(run(&bench, outer), 0);

    expect_stored(&bench, "b", "missing");
    expect_stored(&bench, "c", "1");
    Etcdserverpb__TxnResponse *nested = bench.response->responses[1]->response_txn;
    assert_true(nested->succeeded);
    assert_non_null(nested->header);
    assert_int_equal(nested->header->revision, 0);
    assert_int_equal(nested->responses[0]->response_put->header->revision, 2);
    assert_int_equal(bench.revision, 2);
    tear_down(&bench);
}

static void branches_of_several_nested_transactions_do_not_mix(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    struct requests *requests = &bench.requests;
    Etcdserverpb__TxnRequest *outer = txn_of(requests);
    txn_if(requests, outer, "none", NOT_EQUAL, 0); /* false: the failure branch runs */
    for (int i = 0; i < 3; i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%d", i);
        Etcdserverpb__TxnRequest *deep = txn_of(requests);
        Etcdserverpb__TxnRequest *middle = txn_of(requests);
        txn_if(requests, deep, "none", i == 1 ? EQUAL : NOT_EQUAL, 0);
        txn_then(requests, deep, op_put(requests, key, "yes"));
        txn_else(requests, deep, op_put(requests, key, "no"));
        txn_then(requests, middle, op_txn(requests, deep));
        txn_else(requests, outer, op_txn(requests, middle));
    }

    assert_int_equal(run(&bench, outer), 0);

    assert_false(bench.response->succeeded);
    expect_stored(&bench, "k0", "no");
    expect_stored(&bench, "k1", "yes");
    expect_stored(&bench, "k2", "no");
    tear_down(&bench);
}

static void an_error_in_the_last_operation_leaves_no_trace_of_the_first(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    struct requests *requests = &bench.requests;
    world_put(&bench.world, "there", "1");
    world_put(&bench.world, "there", "2");
    assert_int_equal(mvcc_compact(bench.world.mvcc, &bench.world.batch, 3), 0);
    size_t ops_before = bench.world.batch.op_count;
    int64_t bad_revisions[] = {4, 2, -2};
    int wants[] = {ETCD_ERR_FUTURE_REV, ETCD_ERR_COMPACTED, ETCD_ERR_COMPACTED};
    for (size_t i = 0; i < ARRAY_COUNT(bad_revisions); i++) {
        Etcdserverpb__TxnRequest *txn = txn_of(requests);
        Etcdserverpb__RangeRequest *range = range_of(requests, "there", "");
        range->revision = bad_revisions[i];
        txn_then(requests, txn, op_put(requests, "a", "1"));
        txn_then(requests, txn, op_range(requests, range));
        assert_int_equal(run(&bench, txn), wants[i]);
    }
    Etcdserverpb__TxnRequest *txn = txn_of(requests);
    Etcdserverpb__RangeRequest *at_mark = range_of(requests, "there", "");
    at_mark->revision = 3; /* the compact revision itself can be read */
    txn_then(requests, txn, op_range(requests, at_mark));
    assert_int_equal(run(&bench, txn), 0);
    assert_int_equal(bench.response->responses[0]->response_range->count, 1);
    txn = txn_of(requests);
    txn_then(requests, txn, op_put(requests, "a", "1"));
    txn_then(requests, txn, op_put(requests, "missing", ""));
    txn->success[1]->request_put->ignore_value = true;
    assert_int_equal(run(&bench, txn), ETCD_ERR_KEY_NOT_FOUND);
    txn = txn_of(requests);
    txn_then(requests, txn, op_put(requests, "a", "1"));
    txn_then(requests, txn, op_put(requests, "leased", "1"));
    txn->success[1]->request_put->lease = 5;
    assert_int_equal(run(&bench, txn), ETCD_ERR_LEASE_NOT_FOUND);

    expect_stored(&bench, "a", NULL);
    assert_int_equal(mvcc_revision(bench.world.mvcc), 3);
    assert_int_equal(bench.world.batch.op_count, ops_before);
    tear_down(&bench);
}

static void the_branch_that_does_not_run_is_not_checked_against_the_state(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    struct requests *requests = &bench.requests;
    Etcdserverpb__TxnRequest *txn = txn_of(requests);
    txn_then(requests, txn, op_put(requests, "a", "1"));
    txn_else(requests, txn, op_put(requests, "leased", "1"));
    txn->failure[0]->request_put->lease = 5;

    assert_int_equal(run(&bench, txn), 0);

    tear_down(&bench);
}

static void everything_can_be_replaced_in_one_transaction(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    struct requests *requests = &bench.requests;
    world_put(&bench.world, "a", "1");
    world_put(&bench.world, "b", "1");
    Etcdserverpb__TxnRequest *txn = txn_of(requests);
    txn_then(requests, txn, op_delete(requests, "a", FROM_KEY));
    txn_then(requests, txn, op_put(requests, "b", "new"));

    assert_int_equal(run(&bench, txn), 0);

    struct mvcc_meta meta;
    expect_stored(&bench, "a", NULL);
    expect_stored(&bench, "b", "new");
    assert_true(mvcc_stat(bench.world.mvcc, bytes_of_str("b"), &meta));
    assert_int_equal(meta.version, 1);
    assert_int_equal(bench.revision, 4);

    /* The same with a put that keeps the value has nothing left to keep. */
    txn = txn_of(requests);
    txn_then(requests, txn, op_delete(requests, "a", FROM_KEY));
    txn_then(requests, txn, op_put(requests, "b", ""));
    txn->success[1]->request_put->ignore_value = true;
    assert_int_equal(run(&bench, txn), ETCD_ERR_KEY_NOT_FOUND);
    expect_stored(&bench, "b", "new");
    tear_down(&bench);
}

/* Operations: p put, d delete of one key, g get, each followed by its key; r delete of [a, c), w of
 * [b, y); "(" and ")" hold a nested transaction, "|" stands between branches. */
static Etcdserverpb__TxnRequest *parse(struct requests *requests, const char **text)
{
    Etcdserverpb__TxnRequest *txn = txn_of(requests);
    bool failure = false;
    for (; **text != 0 && **text != ')'; (*text)++) {
        char key[2] = {(*text)[1], 0};
        Etcdserverpb__RequestOp *op = NULL;
        switch (**text) {
        case '|':
            failure = true;
            continue;
        case '(':
            (*text)++;
            op = op_txn(requests, parse(requests, text));
            break;
        case 'p':
            op = op_put(requests, key, "v");
            (*text)++;
            break;
        case 'd':
            op = op_delete(requests, key, "");
            (*text)++;
            break;
        case 'r':
            op = op_delete(requests, "a", "c");
            break;
        case 'w':
            op = op_delete(requests, "b", "y");
            break;
        case 'g':
            op = op_range(requests, range_of(requests, key, ""));
            (*text)++;
            break;
        default:
            fail_msg("parse: %s", *text);
        }
        if (failure) {
            txn_else(requests, txn, op);
        } else {
            txn_then(requests, txn, op);
        }
    }
    return txn;
}

static const struct {
    const char *text;
    int want;
} OVERLAPS[] = {
    {"papb", 0},
    {"papa", ETCD_ERR_DUPLICATE_KEY},
    {"|papa", ETCD_ERR_DUPLICATE_KEY},
    {"pa|pa", 0},
    {"pada", ETCD_ERR_DUPLICATE_KEY},
    {"dapa", ETCD_ERR_DUPLICATE_KEY},
    {"dapb", 0},
    {"pbr", ETCD_ERR_DUPLICATE_KEY},
    {"pcr", 0},
    {"rwpm", ETCD_ERR_DUPLICATE_KEY}, /* two deletes that overlap cover more than each */
    {"wrpa", ETCD_ERR_DUPLICATE_KEY},
    {"wrpy", 0},
    {"wrdzpzpm", ETCD_ERR_DUPLICATE_KEY},
    {"(r)(w)pm", ETCD_ERR_DUPLICATE_KEY},
    {"wdbpm", ETCD_ERR_DUPLICATE_KEY}, /* a delete inside a larger one does not shorten it */
    {"drr", 0},
    {"dadar", 0},
    {"gapagada|", ETCD_ERR_DUPLICATE_KEY},
    {"gapaga", 0},
    {"(pa)pa", ETCD_ERR_DUPLICATE_KEY},
    {"(pa)(pa)", ETCD_ERR_DUPLICATE_KEY},
    {"(pa|pa)", 0},
    {"(pa|pb)pb", ETCD_ERR_DUPLICATE_KEY},
    {"(pa|pa)(|pa)", ETCD_ERR_DUPLICATE_KEY},
    {"(r)pb", ETCD_ERR_DUPLICATE_KEY},
    {"(|r)pb", ETCD_ERR_DUPLICATE_KEY},
    {"(pb)r", ETCD_ERR_DUPLICATE_KEY},
    {"(r)(pb)", ETCD_ERR_DUPLICATE_KEY},
    {"(pb)(r)", 0}, /* as in etcd: an earlier sibling's puts are not held against later deletes */
    {"(pb|r)", 0},
    {"((pa))((|pa))", ETCD_ERR_DUPLICATE_KEY},
    {"((pa))((|pb))pc", 0},
    {"pa(papa)", ETCD_ERR_DUPLICATE_KEY},
};

static void keys_written_twice_are_found_at_every_depth(void **state)
{
    (void)state;
    struct requests requests;
    requests_init(&requests);
    for (size_t i = 0; i < ARRAY_COUNT(OVERLAPS); i++) {
        const char *text = OVERLAPS[i].text;
        Etcdserverpb__TxnRequest *txn = parse(&requests, &text);
        if (kv_check_txn(txn, KV_TXN_OPS_DEFAULT) != OVERLAPS[i].want) {
            fail_msg("%s", OVERLAPS[i].text);
        }
    }
    requests_free(&requests);
}

static Etcdserverpb__TxnRequest *txn_with_puts(struct requests *requests, unsigned count)
{
    Etcdserverpb__TxnRequest *txn = txn_of(requests);
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", i);
        txn_then(requests, txn, op_put(requests, key, "v"));
    }
    return txn;
}

static void nested_transactions_share_the_budget_of_operations(void **state)
{
    (void)state;
    struct requests requests;
    requests_init(&requests);
    assert_int_equal(kv_check_txn(txn_with_puts(&requests, 128), 128), 0);
    assert_int_equal(kv_check_txn(txn_with_puts(&requests, 129), 128), ETCD_ERR_TOO_MANY_OPS);

    Etcdserverpb__TxnRequest *outer = txn_of(&requests);
    txn_then(&requests, outer, op_txn(&requests, txn_with_puts(&requests, 3)));
    assert_int_equal(kv_check_txn(outer, 4), 0);
    assert_int_equal(kv_check_txn(outer, 3), ETCD_ERR_TOO_MANY_OPS);

    Etcdserverpb__TxnRequest *compares = txn_of(&requests);
    for (int i = 0; i < 5; i++) {
        (void)txn_if(&requests, compares, "k", EQUAL, 0);
    }
    assert_int_equal(kv_check_txn(compares, 5), 0);
    assert_int_equal(kv_check_txn(compares, 4), ETCD_ERR_TOO_MANY_OPS);
    requests_free(&requests);
}

static void keys_and_operations_that_are_missing_are_refused(void **state)
{
    (void)state;
    struct requests requests;
    requests_init(&requests);
    Etcdserverpb__TxnRequest *txn = txn_of(&requests);
    (void)txn_if(&requests, txn, "", EQUAL, 0);
    assert_int_equal(kv_check_txn(txn, 128), ETCD_ERR_EMPTY_KEY);
    txn = txn_of(&requests);
    txn_else(&requests, txn, op_put(&requests, "", "v"));
    assert_int_equal(kv_check_txn(txn, 128), ETCD_ERR_EMPTY_KEY);
    txn = txn_of(&requests);
    Etcdserverpb__RequestOp *empty = op_put(&requests, "a", "v");
    empty->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST__NOT_SET;
    txn_then(&requests, txn, empty);
    assert_int_equal(kv_check_txn(txn, 128), ETCD_ERR_KEY_NOT_FOUND);
    requests_free(&requests);
}

static void only_ranges_make_a_transaction_read_only_and_serializable_ones_a_local_one(void **state)
{
    (void)state;
    struct requests requests;
    requests_init(&requests);
    const char *texts[] = {"gagb|gc", "gapb", "ga|pb", "(ga)", ""};
    const bool wants[] = {true, false, false, false, true};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        const char *text = texts[i];
        assert_int_equal(kv_txn_is_read_only(parse(&requests, &text)), wants[i]);
    }
    const char *text = "ga|gb";
    Etcdserverpb__TxnRequest *txn = parse(&requests, &text);
    txn->success[0]->request_range->serializable = true;
    assert_false(kv_txn_is_serializable(txn));
    txn->failure[0]->request_range->serializable = true;
    assert_true(kv_txn_is_serializable(txn));
    requests_free(&requests);
}

static void a_read_only_transaction_needs_no_batch(void **state)
{
    (void)state;
    struct bench bench;
    struct buf body;
    set_up(&bench);
    world_put(&bench.world, "a", "1");
    buf_init(&body, BUF_NO_LIMIT);
    const char *text = "gagb";

    int rc = kv_txn(&bench.env, NULL, parse(&bench.requests, &text), &body, &bench.revision);

    assert_int_equal(rc, 0);
    assert_int_equal(bench.revision, 2);
    buf_free(&body);
    tear_down(&bench);
}

static void an_overlap_check_of_the_largest_request_is_not_quadratic(void **state)
{
    (void)state;
    struct requests requests;
    requests_init(&requests);
    Etcdserverpb__TxnRequest *outer = txn_of(&requests);
    /* 42 x 42 x 42 operations, half puts and half deletes that cover none of them. */
    for (unsigned i = 0; i < 42; i++) {
        Etcdserverpb__TxnRequest *middle = txn_of(&requests);
        for (unsigned j = 0; j < 42; j++) {
            Etcdserverpb__TxnRequest *inner = txn_of(&requests);
            for (unsigned k = 0; k < 42; k++) {
                char key[16];
                snprintf(key, sizeof(key), "%02u%02u%02u", i, j, k);
                txn_then(&requests, inner,
                         k % 2 == 0 ? op_put(&requests, key, "") : op_delete(&requests, key, ""));
            }
            txn_then(&requests, middle, op_txn(&requests, inner));
        }
        txn_then(&requests, outer, op_txn(&requests, middle));
    }

    assert_int_equal(kv_check_txn(outer, 128), 0);
    txn_then(&requests, outer, op_put(&requests, "414141", ""));
    assert_int_equal(kv_check_txn(outer, 128), ETCD_ERR_DUPLICATE_KEY);
    requests_free(&requests);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares_decide_as_etcd_does),
        cmocka_unit_test(a_compare_whose_value_is_of_another_kind_compares_with_nothing),
        cmocka_unit_test(all_writes_share_a_revision_and_reads_see_those_before_them),
        cmocka_unit_test(nested_compares_see_the_state_before_the_transaction),
        cmocka_unit_test(branches_of_several_nested_transactions_do_not_mix),
        cmocka_unit_test(an_error_in_the_last_operation_leaves_no_trace_of_the_first),
        cmocka_unit_test(the_branch_that_does_not_run_is_not_checked_against_the_state),
        cmocka_unit_test(everything_can_be_replaced_in_one_transaction),
        cmocka_unit_test(keys_written_twice_are_found_at_every_depth),
        cmocka_unit_test(nested_transactions_share_the_budget_of_operations),
        cmocka_unit_test(keys_and_operations_that_are_missing_are_refused),
        cmocka_unit_test(
            only_ranges_make_a_transaction_read_only_and_serializable_ones_a_local_one),
        cmocka_unit_test(a_read_only_transaction_needs_no_batch),
        cmocka_unit_test(an_overlap_check_of_the_largest_request_is_not_quadratic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
